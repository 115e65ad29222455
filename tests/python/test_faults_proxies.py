"""Connections through real proxies, and through some that lie (RFC 9110, 1928 and 1929)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import ssl
import struct
import threading
import time
import traceback

import pytest
from tests.support.certificates import make_certificates
from tests.support.fault_proxy import FaultProxy
from tests.support.feed_takers import QUICK, TAKERS, check, check_sequence
from tests.support.processes import free_ports
from tests.support.proxies import http_proxy, https_proxy, socks_proxy
from tests.support.pull_servers import PATIENCE, raw_server, wait_until
from tests.support.recording_server import RecordingServer

import wspool
from wspool import Closed, Gap, ProxyError

#: By the scheme of the proxy's URI; socks5h is a way to use the same proxy.
STARTS = {"http": http_proxy, "https": https_proxy, "socks5": socks_proxy, "socks5h": socks_proxy}
SCHEMES = list(STARTS)
USER, PASSWORD = "bob", "s3cr3t-Passw0rd"
#: As Basic credentials show.
ENCODED = "Ym9iOnMzY3IzdC1QYXNzdzByZA=="
SECRETS = (PASSWORD, ENCODED)


def SLOW(*values):  # noqa: N802
    """A case of the same kind as one that is quick to run: only with the slow tests."""
    return pytest.param(*values, marks=pytest.mark.slow)


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch):
    """Take all settings of proxies out of the environment."""
    for name in [*os.environ]:
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture(scope="module")
def server():
    with RecordingServer(rate=200) as one:
        yield one


@pytest.fixture(scope="module")
def certified(tmp_path_factory):
    """A server with TLS; yields it and what a client must trust."""
    folder = tmp_path_factory.mktemp("certificates")
    ca_file = make_certificates(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    with RecordingServer(rate=200, ssl=context) as one:
        yield one, ca_file


@contextlib.contextmanager
def running(scheme, user=None, password=""):
    """A proxy, and the options that use it."""
    with STARTS[scheme](user, password) as proxy:
        yield proxy


def options_of(proxy, scheme, user=None, password=""):
    credentials = "" if user is None else f"{user}:{password}@"
    options = {"proxy": f"{scheme}://{credentials}{proxy.host}:{proxy.port}"}
    if proxy.ca_file:
        options["proxy_ssl"] = wspool.TLS(ca_file=proxy.ca_file)
    return options


def takes(uri, **options):
    """Connect and take some messages; returns the connection, which is closed."""
    with wspool.connect(uri, **options) as ws:
        for _ in range(3):
            assert ws.recv(timeout=PATIENCE)
    return ws


def refused(uri, **options):
    """Return the error of a proxy that does not let through."""
    with pytest.raises(ProxyError) as caught:
        takes(uri, **options)
    assert not any(secret in str(caught.value) for secret in SECRETS)
    return caught.value


# --- through real proxies


class TestThrough:
    @pytest.mark.parametrize("scheme", SCHEMES)
    def test_ws(self, server, scheme):
        """Messages come, and the proxy was asked for the server."""
        with running(scheme) as proxy:
            ws = takes(server.uri + "/feed/a", **options_of(proxy, scheme))
            assert ws.remote_address[1] == proxy.port
            assert proxy.requests == [f"127.0.0.1:{server.port}"]

    @pytest.mark.parametrize("scheme", SCHEMES)
    def test_wss(self, certified, scheme):
        """TLS is with the server, through the proxy; with https:// it is TLS in TLS."""
        server, ca_file = certified
        with running(scheme) as proxy:
            options = options_of(proxy, scheme)
            takes(server.uri + "/feed/a", ssl=wspool.TLS(ca_file=ca_file), **options)
            # The server's certificate is verified: through a proxy as well.
            with pytest.raises(ssl.SSLCertVerificationError):
                takes(server.uri + "/feed/a", **options)
            assert len(proxy.requests) == 2

    def test_certificate_of_the_proxy(self, server):
        """It is verified, and has nothing to do with the server's."""
        with running("https") as proxy:
            with pytest.raises(ssl.SSLCertVerificationError):
                takes(server.uri, proxy=proxy.uri)
            with pytest.raises(ssl.SSLCertVerificationError):
                options = options_of(proxy, "https")
                takes(server.uri, proxy_server_hostname="other.example", **options)
            # By its address it is another name, which the option mends.
            options = options_of(proxy, "https") | {"proxy": f"https://127.0.0.1:{proxy.port}"}
            takes(server.uri + "/feed/a", proxy_server_hostname="localhost", **options)

    @pytest.mark.parametrize("scheme", SCHEMES)
    def test_asyncio_callbacks_and_stream(self, server, scheme):
        """Every API takes the option."""
        with running(scheme, USER, PASSWORD) as proxy:
            options = options_of(proxy, scheme, USER, PASSWORD)
            for name, taker in TAKERS.items():
                with taker(f"{server.uri}/feed/{scheme}-{name}", **options) as feed:
                    feed.wait_more(10)
                assert check(feed, server.feed(f"{scheme}-{name}").spans).missing == []
            assert len(proxy.requests) == len(TAKERS)

    @pytest.mark.parametrize("scheme", SCHEMES)
    def test_closing(self, server, scheme):
        """The end comes with the server's, not when close_timeout is over.

        With https:// the proxy's close_notify may come in one read with the last bytes, and the
        proxy waits for ours then: nothing else tells of the end.
        """
        with running(scheme) as proxy:
            for _ in range(10):
                ws = wspool.connect(
                    server.uri + "/feed/a", close_timeout=PATIENCE, **options_of(proxy, scheme)
                )
                ws.recv(timeout=PATIENCE)
                begun = time.monotonic()
                ws.close()
                assert time.monotonic() - begun < PATIENCE / 2
                assert ws.close_code == 1000

    @pytest.mark.parametrize("scheme", SCHEMES)
    def test_server_that_goes(self, server, scheme):
        """It is noticed at once, too."""
        with running(scheme) as proxy:
            options = options_of(proxy, scheme)
            for how in (server.abort_all, lambda: server.close_all(1012)):
                with wspool.connect(server.uri + "/feed/a", **options) as ws:
                    ws.recv(timeout=PATIENCE)
                    begun = time.monotonic()
                    how()
                    with pytest.raises(wspool.ConnectionClosed):
                        while True:
                            ws.recv(timeout=PATIENCE)
                    assert time.monotonic() - begun < 5

    @pytest.mark.parametrize("name", ["http", "socks5h"])
    def test_many_at_once(self, server, name):
        """A hundred connections through one proxy."""
        with running(name) as proxy, wspool.EndpointPool(2) as pool:
            options = options_of(proxy, name)
            connections = [
                pool.get_endpoint().create_new_connection(server.uri, open_timeout=30, **options)
                for _ in range(100)
            ]
            for connection in connections:
                assert connection.opened.result(PATIENCE) is wspool.Status.OPENED, connection.error
            assert len(proxy.requests) == 100


class TestCredentials:
    @pytest.mark.parametrize("scheme", SCHEMES)
    def test_right(self, server, scheme):
        with running(scheme, USER, PASSWORD) as proxy:
            takes(server.uri + "/feed/a", **options_of(proxy, scheme, USER, PASSWORD))

    @pytest.mark.parametrize("scheme", SCHEMES)
    @pytest.mark.parametrize("which", ["wrong", "missing"])
    def test_not_right(self, server, scheme, which):
        """Refused, with the proxy's status, and not tried again."""
        credentials = ("bob", "wrong") if which == "wrong" else ()
        with running(scheme, USER, PASSWORD) as proxy:
            begun = time.monotonic()
            error = refused(server.uri, reconnect=True, **options_of(proxy, scheme, *credentials))
            assert time.monotonic() - begun < 5
            if scheme in {"http", "https"}:
                assert error.status_code == (401 if which == "wrong" else 407)
                assert len(proxy.requests) == 1
            else:
                assert error.status_code is None
                wanted = "does not accept" if which == "wrong" else "wants authentication"
                assert wanted in str(error)
            assert f"port {proxy.port}" in str(error)

    @pytest.mark.parametrize("scheme", ["http", "socks5"])
    def test_quoted(self, scheme):
        """Credentials in the URI are percent-encoded."""
        heard = []

        def answer(sock):
            if scheme == "http":
                heard.append(sock.recv(4096))
                sock.sendall(b"HTTP/1.1 403 No\r\n\r\n")
            else:
                sock.recv(64)
                sock.sendall(b"\x05\x02")
                heard.append(sock.recv(600))
                sock.sendall(b"\x01\x01")

        with raw_server(answer) as uri:
            proxy = uri.replace("ws://", f"{scheme}://a%40b:p%3Aq%2F%C3%A4@")
            error = refused("ws://127.0.0.1:1", proxy=proxy)
        if scheme == "http":
            assert b"Proxy-Authorization: Basic YUBiOnA6cS/DpA==\r\n" in heard[0]
            assert error.status_code == 403
        else:
            user, password = b"a@b", "p:q/ä".encode()
            expected = b"\x01" + bytes([3]) + user + bytes([len(password)]) + password
            assert heard == [expected]

    @pytest.mark.parametrize("scheme", SCHEMES)
    @pytest.mark.parametrize("which", ["right", "refused", "down"])
    def test_nowhere_shown(self, server, scheme, which, caplog):
        """Not in logs, errors, or what objects print as."""
        caplog.set_level(logging.DEBUG)
        texts = []
        with running(scheme, USER, PASSWORD if which != "refused" else "other") as proxy:
            options = options_of(proxy, scheme, USER, PASSWORD)
            if which == "down":
                proxy.stop()
            how = wspool.Reconnect(
                initial_delay=0.01,
                max_delay=0.01,
                max_attempts=1 if which == "down" else 2,
                fatal=lambda error: texts.append(repr(error)),
            )
            try:
                with wspool.connect(server.uri + "/feed/a", reconnect=how, **options) as ws:
                    texts += [repr(ws), str(ws), repr(ws.request), repr(ws.response)]
                    texts.append(repr(dict(ws.request.headers)))
                    server.abort_all()
                    wait_until(lambda: ws.generation == 2)
                    texts += [repr(ws), repr(ws.stats)]
            except (OSError, ProxyError) as error:
                assert which != "right"
                texts += traceback.format_exception(error)
            else:
                assert which == "right"
        texts.append(repr(wspool.Options.from_kwargs(**options)))
        texts.append(caplog.text)
        assert caplog.text or which == "refused"
        for secret in SECRETS:
            assert secret not in "\n".join(texts)

    def test_not_sent_to_the_server(self, server):
        """Proxy-Authorization is for the proxy."""
        with running("http", USER, PASSWORD) as proxy:
            before = len(server.records)
            takes(server.uri + "/feed/a", **options_of(proxy, "http", USER, PASSWORD))
            headers = dict(server.records[before].headers)
        assert not any(name.lower().startswith("proxy") for name in headers)

    @pytest.mark.parametrize(
        "proxy",
        [
            f"ftp://{USER}:{PASSWORD}@localhost:1",
            f"http://{USER}:{PASSWORD}@localhost:1/path",
            f"http://{USER}:{PASSWORD}@:1",
            f"http://{USER}:{PASSWORD}@localhost:99999",
            f"socks5://{USER}:{PASSWORD * 20}@localhost:1",
        ],
    )
    def test_bad_uri(self, proxy):
        """What is wrong with the proxy's URI is said without its credentials."""
        with pytest.raises(ValueError, match="proxy") as caught:
            wspool.connect("ws://localhost", proxy=proxy)
        assert PASSWORD not in "".join(traceback.format_exception(caught.value))


# --- proxies in trouble


class TestTrouble:
    @pytest.mark.parametrize("scheme", SCHEMES)
    def test_down(self, server, scheme):
        """Nobody listens: the error names the proxy."""
        with running(scheme) as proxy:
            proxy.stop()
            with pytest.raises(ConnectionRefusedError, match=f"port {proxy.port}"):
                takes(server.uri, **options_of(proxy, scheme))

    @pytest.mark.parametrize("scheme", SCHEMES)
    def test_target_refuses(self, scheme):
        """The proxy says so."""
        (port,) = free_ports(1)
        with running(scheme) as proxy:
            error = refused(f"ws://127.0.0.1:{port}", **options_of(proxy, scheme))
        if scheme in {"http", "https"}:
            assert error.status_code in {500, 502, 503}
        else:
            assert error.status_code is None
            assert "connection refused" in str(error)

    @pytest.mark.parametrize("scheme", ["http", "https", "socks5h"])
    def test_unknown_name(self, scheme):
        """A name that the proxy cannot look up is the proxy's error."""
        with running(scheme) as proxy:
            options = options_of(proxy, scheme)
            error = refused("ws://no-such-host.invalid", open_timeout=PATIENCE, **options)
        if scheme != "socks5h":
            assert error.status_code in {500, 502, 503, 504}

    def test_unknown_name_here(self, server):
        """With socks5:// it is looked up here, and the proxy never asked."""
        with running("socks5") as proxy:
            with pytest.raises(socket.gaierror, match=r"no-such-host\.invalid"):
                takes("ws://no-such-host.invalid", **options_of(proxy, "socks5"))
            assert proxy.requests == []

    def test_unknown_name_of_the_proxy(self, server):
        with pytest.raises(socket.gaierror, match=r"no-such-proxy\.invalid"):
            takes(server.uri, proxy="http://no-such-proxy.invalid:1")

    @pytest.mark.parametrize("scheme", SCHEMES)
    @pytest.mark.parametrize("how", ["close", "reset"])
    def test_ends_without_an_answer(self, scheme, how):
        """Whether by FIN or by RST."""

        def answer(sock):
            sock.recv(4096)
            if how == "reset":
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

        with raw_server(answer) as uri:
            proxy = uri.replace("ws://", f"{scheme}://")
            with pytest.raises((ProxyError, OSError)) as caught:
                takes("ws://127.0.0.1:1", proxy=proxy)
        error = caught.value
        if scheme == "https":
            assert isinstance(error, OSError)  # no TLS came about
        elif how == "close":
            assert isinstance(error, ProxyError)
            assert "without an answer" in str(error)
        else:
            assert isinstance(error, ConnectionResetError)
        if isinstance(error, ProxyError):
            assert error.status_code is None

    @pytest.mark.parametrize("scheme", SCHEMES)
    def test_never_answers(self, scheme):
        """It is within open_timeout."""
        over = threading.Event()
        with raw_server(lambda _: over.wait(PATIENCE)) as uri:
            begun = time.monotonic()
            with pytest.raises(TimeoutError, match=r"within 0\.3 s"):
                takes(
                    "ws://127.0.0.1:1", proxy=uri.replace("ws://", f"{scheme}://"), open_timeout=0.3
                )
            assert 0.3 <= time.monotonic() - begun < 5
            over.set()

    @pytest.mark.parametrize("scheme", ["http", "socks5"])
    def test_drips_its_answer(self, scheme):
        """A byte now and then does not make the time longer."""
        gone = threading.Event()

        def answer(sock):
            sock.recv(4096)
            text = b"\x05\x00" if scheme == "socks5" else b"HTTP/1.1 200 "
            with contextlib.suppress(OSError):
                for byte in text:
                    sock.sendall(bytes([byte]))
                    time.sleep(0.05)
                while scheme == "http":
                    sock.sendall(b"x")
                    time.sleep(0.05)
                sock.recv(4096)
                sock.sendall(b"\x05\x00")
                sock.recv(1)  # until the client gives up
            gone.set()

        with raw_server(answer) as uri:
            begun = time.monotonic()
            with pytest.raises(TimeoutError, match=r"within 0\.5 s"):
                takes(
                    "ws://127.0.0.1:1", proxy=uri.replace("ws://", f"{scheme}://"), open_timeout=0.5
                )
            assert time.monotonic() - begun < 5
            assert gone.wait(PATIENCE)  # the connection is given up as well

    @pytest.mark.parametrize(
        ("text", "why", "status"),
        [
            (b"\x00\xff garbage \r\n\r\n", "not HTTP", None),
            (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "not HTTP: SSH-2.0-OpenSSH_9.2", None),
            (b"HTTP/1.1 2x0 OK\r\n\r\n", "not HTTP", None),
            (b"HTTP/2 200\r\n\r\n", "not HTTP", None),
            (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 65536 + b"\r\n\r\n", "longer than 16 KiB", None),
            (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 11000 + b"\r\n", "longer than 16 KiB", None),
            (b"HTTP/1.1 200 OK\r\n\r\nmore", "sent more than its answer", None),
            (b"HTTP/1.1 302 Found\r\nLocation: http://a/\r\n\r\n", "302 Found", 302),
            (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "101 Switching", 101),
            (b"HTTP/1.1 502 \x1b[31mred\r\n\r\n", "502 ?[31mred", 502),
            (b"HTTP/1.0 403\r\n\r\n", "403", 403),
            (b"HTTP/1.1 200 OK\n\n", "without an answer", None),
        ],
    )
    def test_http_that_lies(self, text, why, status):
        """What is no answer is refused, in bounds; nothing of it reaches the terminal raw."""

        def answer(sock):
            sock.recv(4096)
            with contextlib.suppress(OSError):
                sock.sendall(text)
                sock.shutdown(socket.SHUT_WR)
                sock.recv(1)

        with raw_server(answer) as uri:
            error = refused("ws://127.0.0.1:1", proxy=uri.replace("ws://", "http://"))
        assert why in str(error)
        assert error.status_code == status
        assert str(error).isprintable()

    @pytest.mark.parametrize(
        ("answers", "why"),
        [
            ([b"\x04\x00"], "not a SOCKS5 proxy"),
            ([b"HTTP/1.1 400 Bad Request\r\n\r\n"], "not a SOCKS5 proxy"),
            ([b"\x05\x01"], "a method that was not offered"),
            ([b"\x05\xff"], "wants authentication"),
            ([b"\x05\x02"], "a method that was not offered"),
            ([b"\x05\x00", b"\x04\x00\x00\x01" + bytes(6)], "not a SOCKS5 proxy"),
            ([b"\x05\x00", b"\x05\x00\x00\x09" + bytes(6)], "unknown type of address"),
            ([b"\x05\x00", b"\x05\x00\x00\x01" + bytes(6) + b"x"], "more than its answer"),
            ([b"\x05\x00", b"\x05\x00\x00\x03\xff" + bytes(257) + b"x"], "more than its answer"),
            ([b"\x05\x00", b"\x05\x02\x00\x01" + bytes(6)], "not allowed by its rules"),
            ([b"\x05\x00", b"\x05\x04\x00\x01" + bytes(6)], "host unreachable"),
            ([b"\x05\x00", b"\x05\x05\x00\x01" + bytes(6)], "connection refused"),
            ([b"\x05\x00", b"\x05\x63\x00\x01" + bytes(6)], "unknown reply"),
            ([b"\x05\x00", b"\x05\x00\x00"], "without an answer"),
        ],
    )
    def test_socks_that_lies(self, answers, why):
        def answer(sock):
            with contextlib.suppress(OSError):
                for text in answers:
                    sock.recv(4096)
                    sock.sendall(text)
                sock.shutdown(socket.SHUT_WR)
                sock.recv(1)

        with raw_server(answer) as uri:
            error = refused("ws://127.0.0.1:1", proxy=uri.replace("ws://", "socks5://"))
        assert why in str(error)
        assert error.status_code is None

    def test_endless_headers(self):
        """An answer without end is given up at its bound, not at a timeout."""
        sent = []

        def answer(sock):
            sock.recv(4096)
            sock.sendall(b"HTTP/1.1 200 OK\r\n")
            with contextlib.suppress(OSError):
                while True:
                    sock.sendall(b"X: " + b"y" * 1000 + b"\r\n")
                    sent.append(1)

        with raw_server(answer) as uri:
            error = refused("ws://127.0.0.1:1", proxy=uri.replace("ws://", "http://"))
        assert "longer than 16 KiB" in str(error)

    def test_interim_answers(self, server):
        """1xx come before the answer (RFC 9110 section 15.2)."""

        def answer(sock):
            sock.recv(4096)
            sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nA: b\r\n\r\n")
            sock.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            with socket.create_connection(("127.0.0.1", server.port)) as target:
                sock.settimeout(PATIENCE)
                target.sendall(sock.recv(4096))
                with contextlib.suppress(OSError):
                    while data := target.recv(4096):
                        sock.sendall(data)

        with raw_server(answer) as uri:
            ws = wspool.connect(server.uri + "/feed/a", proxy=uri.replace("ws://", "http://"))
            assert ws.recv(timeout=PATIENCE)
            ws.abort()
            ws.wait_closed(PATIENCE)

    def test_answer_without_end_of_interim_answers(self):
        """Interim answers without end are bounded by open_timeout."""

        def answer(sock):
            sock.recv(4096)
            with contextlib.suppress(OSError):
                while True:
                    sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)

        with raw_server(answer) as uri:
            begun = time.monotonic()
            with pytest.raises((TimeoutError, ProxyError)):
                takes("ws://127.0.0.1:1", proxy=uri.replace("ws://", "http://"), open_timeout=0.5)
            assert time.monotonic() - begun < 5


# --- what the proxy is asked for


def asked(uri, scheme="http", **options):
    """Return what a proxy is asked for, which refuses it."""
    heard = []

    def answer(sock):
        if scheme == "http":
            heard.append(sock.recv(4096))
            sock.sendall(b"HTTP/1.1 403 No\r\n\r\n")
            return
        sock.recv(64)
        sock.sendall(b"\x05\x00")
        heard.append(sock.recv(600))
        sock.sendall(b"\x05\x02\x00\x01" + bytes(6))

    with raw_server(answer) as proxy:
        refused(uri, proxy=proxy.replace("ws://", f"{scheme}://"), **options)
    return heard[0]


class TestTarget:
    @pytest.mark.parametrize(
        ("uri", "authority"),
        [
            ("ws://server.test", "server.test:80"),
            ("wss://server.test", "server.test:443"),
            ("ws://server.test:8080/path", "server.test:8080"),
            ("ws://[::1]:8080", "[::1]:8080"),
            ("wss://[2001:db8::1]", "[2001:db8::1]:443"),
            ("ws://bücher.example", "xn--bcher-kva.example:80"),
        ],
    )
    def test_connect(self, uri, authority):
        """CONNECT names host and port, an IPv6 address in brackets."""
        lines = asked(uri).decode().split("\r\n")
        assert lines[0] == f"CONNECT {authority} HTTP/1.1"
        assert f"Host: {authority}" in lines
        assert not any(line.lower().startswith("upgrade") for line in lines)

    def test_additional_headers_are_not_for_the_proxy(self):
        text = asked("ws://server.test", additional_headers={"Authorization": "Bearer x"})
        assert b"Bearer" not in text

    def test_credentials_of_the_uri_are_not_for_the_proxy(self):
        assert b"uthorization" not in asked("ws://me:mine@server.test")

    def test_names_by_the_proxy(self):
        """socks5h:// hands on the name."""
        text = asked("ws://server.test:8080", "socks5h")
        assert text == b"\x05\x01\x00\x03\x0bserver.test" + struct.pack("!H", 8080)

    def test_names_here(self):
        """socks5:// hands on an address."""
        text = asked("ws://localhost:8080", "socks5")
        addresses = {b"\x01\x7f\x00\x00\x01", b"\x04" + bytes(15) + b"\x01"}
        assert text[:3] == b"\x05\x01\x00"
        assert text[3:-2] in addresses

    @pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
    def test_addresses(self, scheme):
        """An address is sent as one."""
        assert asked("ws://127.0.0.9:8080", scheme)[3:-2] == b"\x01\x7f\x00\x00\x09"
        expected = b"\x04" + socket.inet_pton(socket.AF_INET6, "2001:db8::7")
        assert asked("ws://[2001:db8::7]:8080", scheme)[3:-2] == expected

    @pytest.mark.parametrize("scheme", ["http", "socks5h"])
    def test_ipv6_server(self, scheme):
        """A server at ::1, through real proxies."""
        try:
            server = RecordingServer(host="::1")
        except OSError:
            pytest.skip("there is no ::1")
        with server, running(scheme) as proxy:
            takes(server.uri + "/feed/a", **options_of(proxy, scheme))


# --- the environment


class Counted:
    """A proxy, and what it was asked for since this was made."""

    def __init__(self, proxy):
        self.uri, self.port = proxy.uri, proxy.port
        self._proxy, self._before = proxy, len(proxy.requests)

    @property
    def requests(self):
        return self._proxy.requests[self._before :]


@pytest.fixture(scope="module")
def two_proxies():
    with http_proxy() as one, http_proxy() as two:
        yield one, two


class TestEnvironment:
    @pytest.fixture
    def proxies(self, two_proxies):
        """Two proxies, to tell which is used."""
        return tuple(map(Counted, two_proxies))

    @pytest.mark.parametrize("name", ["ws_proxy", "https_proxy", "http_proxy", "all_proxy"])
    @pytest.mark.parametrize("upper", [False, True])
    def test_for_ws(self, server, monkeypatch, proxies, name, upper):
        proxy, _ = proxies
        monkeypatch.setenv(name.upper() if upper else name, proxy.uri)
        takes(server.uri + "/feed/a")
        assert len(proxy.requests) == 1

    @pytest.mark.parametrize("name", ["wss_proxy", "https_proxy", "all_proxy"])
    @pytest.mark.parametrize("upper", [False, True])
    def test_for_wss(self, certified, monkeypatch, proxies, name, upper):
        server, ca_file = certified
        proxy, _ = proxies
        monkeypatch.setenv(name.upper() if upper else name, proxy.uri)
        takes(server.uri + "/feed/a", ssl=wspool.TLS(ca_file=ca_file))
        assert len(proxy.requests) == 1

    def test_http_proxy_is_not_for_wss(self, certified, monkeypatch, proxies):
        server, ca_file = certified
        monkeypatch.setenv("http_proxy", proxies[0].uri)
        takes(server.uri + "/feed/a", ssl=wspool.TLS(ca_file=ca_file))
        assert proxies[0].requests == []

    @pytest.mark.parametrize(
        ("first", "second"),
        [("ws_proxy", "https_proxy"), ("https_proxy", "http_proxy"), ("http_proxy", "all_proxy")],
    )
    def test_order(self, server, monkeypatch, proxies, first, second):
        """The one that fits best is used."""
        one, two = proxies
        monkeypatch.setenv(second, two.uri)
        monkeypatch.setenv(first, one.uri)
        takes(server.uri + "/feed/a")
        assert (len(one.requests), len(two.requests)) == (1, 0)

    @pytest.mark.parametrize(
        ("no_proxy", "direct"),
        [
            ("127.0.0.1", True),
            ("127.0.0.1:{port}", True),
            ("127.0.0.1:1", False),
            ("other.example,127.0.0.1", True),
            ("other.example, 127.0.0.1:{port} ", True),
            ("other.example", False),
            ("7.0.0.1", False),
            ("*", True),
            ("", False),
        ],
    )
    @pytest.mark.parametrize("upper", [False, True])
    def test_no_proxy(self, server, monkeypatch, proxies, no_proxy, direct, upper):
        proxy, _ = proxies
        monkeypatch.setenv("all_proxy", proxy.uri)
        name = "NO_PROXY" if upper else "no_proxy"
        monkeypatch.setenv(name, no_proxy.format(port=server.port))
        takes(server.uri + "/feed/a")
        assert len(proxy.requests) == (0 if direct else 1)

    def test_no_proxy_of_a_domain(self, monkeypatch, proxies):
        """Names below it as well, and others not."""
        proxy, _ = proxies
        monkeypatch.setenv("all_proxy", proxy.uri)
        monkeypatch.setenv("no_proxy", ".example.invalid")
        with pytest.raises(socket.gaierror):  # looked up here
            takes("ws://feed.example.invalid")
        refused("ws://feed.example-2.invalid", open_timeout=PATIENCE)

    def test_none_ignores_it(self, server, monkeypatch, proxies):
        monkeypatch.setenv("all_proxy", proxies[0].uri)
        takes(server.uri + "/feed/a", proxy=None)
        assert proxies[0].requests == []

    def test_option_goes_before(self, server, monkeypatch, proxies):
        """Also before no_proxy: who names a proxy means it."""
        one, two = proxies
        monkeypatch.setenv("all_proxy", two.uri)
        monkeypatch.setenv("no_proxy", "*")
        takes(server.uri + "/feed/a", proxy=one.uri)
        assert (len(one.requests), len(two.requests)) == (1, 0)

    def test_without_a_scheme(self, server, monkeypatch, proxies):
        """HOST:PORT is an HTTP proxy, as curl has it."""
        monkeypatch.setenv("all_proxy", f"127.0.0.1:{proxies[0].port}")
        takes(server.uri + "/feed/a")
        assert len(proxies[0].requests) == 1

    @pytest.mark.parametrize("scheme", ["socks5", "socks5h", "https"])
    def test_other_kinds(self, server, monkeypatch, scheme):
        with running(scheme, USER, PASSWORD) as proxy:
            options = options_of(proxy, scheme, USER, PASSWORD)
            monkeypatch.setenv("all_proxy", options.pop("proxy"))
            takes(server.uri + "/feed/a", **options)
            assert len(proxy.requests) == 1

    def test_bad_one(self, server, monkeypatch):
        """It is said at once, without credentials."""
        monkeypatch.setenv("all_proxy", f"ftp://{USER}:{PASSWORD}@localhost")
        with pytest.raises(ValueError, match="all_proxy must begin with") as caught:
            wspool.connect(server.uri)
        assert PASSWORD not in "".join(traceback.format_exception(caught.value))

    @pytest.mark.parametrize("make", ["asyncio", "callbacks", "stream"])
    def test_every_api(self, server, monkeypatch, proxies, make):
        monkeypatch.setenv("all_proxy", proxies[0].uri)
        with TAKERS[make](f"{server.uri}/feed/a", proxy=True) as feed:
            feed.wait_more(3)
        assert len(proxies[0].requests) == 1


# --- redirects, reconnection


@contextlib.contextmanager
def redirecting(location):
    """A server that sends everybody elsewhere."""

    def answer(sock):
        sock.recv(4096)
        sock.sendall(
            f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()
        )
        sock.recv(1)

    with raw_server(answer) as uri:
        yield uri


@pytest.mark.parametrize("scheme", SCHEMES)
def test_redirect(server, scheme):
    """The next server is asked for through the same proxy."""
    with redirecting(server.uri + "/feed/a") as uri, running(scheme, USER, PASSWORD) as proxy:
        takes(uri, **options_of(proxy, scheme, USER, PASSWORD))
        assert proxy.requests == [uri.removeprefix("ws://"), f"127.0.0.1:{server.port}"]


@pytest.mark.parametrize("scheme", [SLOW("http"), "https", SLOW("socks5"), "socks5h"])
def test_feeds_through_a_proxy_that_restarts(server, scheme):
    """They come back with the proxy; nothing is lost outside the gaps."""
    with running(scheme) as proxy, contextlib.ExitStack() as stack:
        options = options_of(proxy, scheme)
        feeds = [
            stack.enter_context(taker(f"{server.uri}/feed/{scheme}-{kind}-again", **options))
            for kind, taker in TAKERS.items()
        ]
        for feed in feeds:
            feed.wait_more(20)
        proxy.stop()
        # All four want to the same host, which is asked for once in a while only.
        wait_until(lambda: any(feed.stats.failed_attempts >= 1 for feed in feeds))
        wait_until(lambda: all(feed.events(Closed) for feed in feeds))
        proxy.start()
        for feed in feeds:
            feed.wait_opened(2)
            feed.wait_more(20)
    for feed in feeds:
        check(feed, server.feed(f"{scheme}-{feed.name}-again").spans)
        check_sequence(feed)
    assert max(feed.events(Gap)[0].attempt for feed in feeds) >= 2


@pytest.mark.parametrize("scheme", ["http", SLOW("socks5h")])
def test_feed_whose_way_to_the_proxy_fails(server, scheme):
    """Faults between here and the proxy are found as others are."""
    name = f"way-{scheme}"
    pings = {"ping_interval": 0.4, "ping_timeout": 0.4, "open_timeout": 1}
    with running(scheme) as proxy, FaultProxy("127.0.0.1", proxy.port) as way:
        options = {"proxy": f"{scheme}://127.0.0.1:{way.port}", **pings}
        with TAKERS["asyncio"](f"{server.uri}/feed/{name}", **options) as feed:
            feed.wait_more(20)
            way.black_hole()
            wait_until(lambda: feed.stats.failed_attempts >= 1)
            way.restore()
            feed.wait_opened(2)
            feed.wait_more(20)
            way.reset()
            feed.wait_opened(3)
            feed.wait_more(20)
    check(feed, server.feed(name).spans)
    check_sequence(feed)


def test_proxy_that_wants_credentials_meanwhile(server):
    """Once it was open, a refusal of the proxy is tried again; by `fatal` it need not be."""
    with http_proxy() as proxy:
        how = wspool.Reconnect(initial_delay=0.02, max_delay=0.1, fatal=ProxyError)
        ws = wspool.connect(server.uri + "/feed/a", proxy=proxy.uri, reconnect=how)
        feed = TAKERS["blocking"](server.uri + "/feed/a", proxy=proxy.uri, reconnect=QUICK)
        proxy.stop()
        with http_proxy(USER, PASSWORD) as other:
            other.stop()
            proxy._daemon = other._start(proxy.port)
            assert proxy._daemon.wait_listening(("127.0.0.1", proxy.port))
            with pytest.raises(wspool.ConnectionClosedError) as caught:
                while True:
                    ws.recv(timeout=PATIENCE)
            assert isinstance(caught.value.__cause__, ProxyError)
            assert caught.value.__cause__.status_code == 407
            wait_until(lambda: feed.stats.failed_attempts >= 2)
            proxy.stop()
        proxy.start()
        feed.wait_opened(2)
        feed.wait_more(10)
        feed.close()
        assert feed.events(Gap)[0].attempt >= 3


def test_asyncio_cancelled_while_the_proxy_is_silent():
    """Cancelling gives the connection up."""
    gone = threading.Event()

    def answer(sock):
        with contextlib.suppress(OSError):
            while sock.recv(4096):
                pass
        gone.set()

    async def main(proxy):
        task = asyncio.ensure_future(wspool.aio.connect("ws://127.0.0.1:1", proxy=proxy)._open())
        await asyncio.sleep(0.2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with raw_server(answer) as uri:
        asyncio.run(main(uri.replace("ws://", "http://")))
        assert gone.wait(PATIENCE)
