"""What the opening handshake carries, and where the connection goes out: seen by servers."""

import base64
import contextlib
import errno
import http
import re
import socket
import threading
import traceback

import pytest
from tests.support.echo_site import EchoSite
from websockets.utils import accept_key

import wspool
import wspool.testing
from wspool import EndpointPool, Status


@pytest.fixture(scope="module")
def pool():
    """A private pool of two endpoints."""
    with EndpointPool(2) as pool:
        yield pool


class Site(EchoSite):
    """Notes where the requests come from, too, and refuses one path."""

    def __init__(self, host="127.0.0.1", **options):
        super().__init__(host, **options)
        self.clients = []

    def answer(self, connection, request):
        self.clients.append(connection.remote_address)
        if request.path == "/refuse":
            return connection.respond(http.HTTPStatus.UNAUTHORIZED, "who are you?\n")
        return None


@pytest.fixture
def site():
    """A server on IPv4."""
    with Site() as site:
        yield site


@pytest.fixture
def site_v6():
    """A server on IPv6."""
    with contextlib.ExitStack() as stack:
        try:
            site = stack.enter_context(Site("::1"))
        except OSError:
            pytest.skip("this machine has no IPv6")
        yield site


def opened(pool, uri, **options):
    connection = pool.get_endpoint().create_new_connection(uri, **options)
    assert connection.opened.result(10) is Status.OPENED, connection.error
    return connection


def failure(pool, uri, **options):
    connection = pool.get_endpoint().create_new_connection(uri, **options)
    assert connection.opened.result(10) is Status.FAILED
    return connection.error


class TestIPv6:
    def test_address_in_the_uri(self, pool, site_v6):
        """An address in brackets is connected to, and is the Host with brackets."""
        with opened(pool, f"{site_v6.uri}/a") as connection:
            assert connection.uri == f"ws://[::1]:{site_v6.port}/a"
            assert connection.remote_address == ("::1", site_v6.port)
            assert connection.local_address[0] == "::1"
        assert site_v6.requests[0].headers["Host"] == f"[::1]:{site_v6.port}"

    def test_local_addr(self, pool, site_v6):
        """A local address may be one of IPv6."""
        with opened(pool, site_v6.uri, local_addr=("::1", 0)) as connection:
            assert connection.local_address[:2] == site_v6.clients[0][:2]

    def test_tls(self, pool, site_v6):
        """A certificate for the address is accepted."""
        with wspool.testing.echo(tls=True, host="::1") as server:
            uri = f"wss://[::1]:{server.port}"
            opened(pool, uri, ssl=wspool.TLS(ca_file=server.ca_file)).close()

    def test_other_family(self, pool, site_v6):
        """A local address of IPv4 does not go with a server on IPv6."""
        error = failure(pool, site_v6.uri, local_addr=("127.0.0.1", 0))
        assert isinstance(error, OSError)


class TestLocalAddr:
    @pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2"])
    def test_host(self, pool, site, host):
        """The server sees the connection come from there."""
        with opened(pool, site.uri, local_addr=(host, 0)) as connection:
            assert site.clients[0][0] == host
            assert connection.local_address == site.clients[0]

    def test_port(self, pool, site):
        """The port may be chosen too."""
        with socket.socket() as unused:
            unused.bind(("127.0.0.3", 0))
            port = unused.getsockname()[1]
        with opened(pool, site.uri, local_addr=("127.0.0.3", port)):
            assert site.clients[0] == ("127.0.0.3", port)

    def test_port_in_use(self, pool, site):
        """A port that somebody has is an OSError that says so."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            error = failure(pool, site.uri, local_addr=taken.getsockname())
        assert isinstance(error, OSError)
        assert error.errno == errno.EADDRINUSE

    def test_other_family(self, pool, site):
        """A local address of IPv6 does not go with a server on IPv4."""
        error = failure(pool, site.uri, local_addr=("::1", 0))
        assert isinstance(error, OSError)
        assert f"127.0.0.1 port {site.port}" in str(error)

    def test_name_of_both_families(self, pool, site):
        """Of a name's addresses those of the local address's family are what counts."""
        local_addr = ("127.0.0.1", 0)
        opened(pool, f"ws://localhost:{site.port}", local_addr=local_addr).close()
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            uri = f"ws://localhost:{unused.getsockname()[1]}"
            error = failure(pool, uri, local_addr=local_addr)
        assert isinstance(error, ConnectionRefusedError)

    @pytest.mark.parametrize("host", ["192.0.2.1", "not an address"])
    def test_not_ours(self, pool, site, host):
        """An address that this machine does not have is an OSError."""
        assert isinstance(failure(pool, site.uri, local_addr=(host, 0)), OSError)


class TestCredentials:
    @pytest.mark.parametrize(
        ("user_info", "credentials"),
        [
            ("me:secret", b"me:secret"),
            ("m%40e:se%3Acret%2F", b"m@e:se:cret/"),
            ("me:se:cret", b"me:se:cret"),
            ("me:", b"me:"),
            ("%C3%BC:%E2%82%ac", "ü:€".encode()),
            ("ü:€", "ü:€".encode()),
        ],
    )
    def test_basic(self, pool, site, user_info, credentials):
        """User and password are percent-decoded and sent as Basic (RFC 7617)."""
        with opened(pool, site.uri.replace("//", f"//{user_info}@")) as connection:
            assert connection.uri == f"{site.uri}/"
        assert site.requests[0].headers.get_all("Authorization") == [
            "Basic " + base64.b64encode(credentials).decode()
        ]

    def test_headers_win(self, pool, site):
        """An Authorization among additional_headers is sent instead, whatever its case."""
        uri = site.uri.replace("//", "//me:secret@")
        opened(pool, uri, additional_headers={"authorization": "Bearer token"}).close()
        assert site.requests[0].headers.get_all("Authorization") == ["Bearer token"]

    def test_not_in_errors(self, pool, site):
        """They are in no error: of a refusal, of a lost server, of a deadline."""
        uri = site.uri.replace("//", "//me:secret@")
        with socket.create_server(("127.0.0.1", 0)) as silent:
            silent_uri = f"ws://me:secret@127.0.0.1:{silent.getsockname()[1]}/"
            for error in (
                failure(pool, f"{uri}/refuse"),
                failure(pool, "ws://me:secret@127.0.0.1:1/"),
                failure(pool, "ws://me:secret@nowhere.invalid/"),
                failure(pool, silent_uri, open_timeout=0.1),
                failure(pool, uri.replace("ws:", "wss:"), open_timeout=2),
            ):
                assert "secret" not in f"{error} {error!r}"

    @pytest.mark.parametrize(
        "uri",
        [
            *("ws://me:secret@h:x/", "ws://secret@h/", "ws://me:secret%zz@h/", "ws://me:secret@/"),
            *("ws://me:pa/secret@h/", "ws://me:pa?secret@h/", "ws://me:pa#secret@h/"),
            *("ws://me:pa secret@h/", "ws://me:secret@x@h:y/", "me:secret@h", "wss:/me:secret@h/"),
            *("http://me:secret@h/", "ws://me:pa/secret@hö/", "ws://me:pa/\nsecret@h/"),
        ],
    )
    def test_not_in_refusals(self, pool, uri):
        """Nor are they in an InvalidURI."""
        with pytest.raises(wspool.InvalidURI) as raised:
            pool[0].create_new_connection(uri)
        assert "secret" not in f"{raised.value} {raised.value!r}"


class TestProxy:
    @pytest.mark.parametrize("where", ["proxy", "all_proxy", "WSS_PROXY"])
    @pytest.mark.parametrize(
        ("rest", "why"),
        [
            (
                "user:se/cret@h:1",
                "its port is not a number up to 65535; a '/', '#' or '\\?' in the",
            ),
            ("user:se#cret@h:1", "its port is not a number"),
            ("user:se?cret@h:1", "its port is not a number"),
            ("user:secret@h:99999", "its port is not a number"),
            ("user:12/secret@h:1", "of scheme, user, password, host and port only; a '/'"),
            ("user:secret@[::1:1", "is not a URI"),
            ("us\u2100er:secret@h:1", "is not a URI"),
            ("user:secret@", "has no host"),
        ],
    )
    def test_not_in_refusals(self, monkeypatch, where, rest, why):
        """What is wrong with a proxy's URI is said without its password, and where it is from."""
        options = {}
        if where == "proxy":
            options["proxy"] = f"http://{rest}"
        else:
            monkeypatch.setenv(where, f"http://{rest}")
        with pytest.raises(ValueError, match=f"^{where} .*{why}") as raised:
            wspool.connect("wss://nowhere.invalid/", **options)
        told = "".join(traceback.format_exception(raised.value))
        assert not any(
            part in f"{raised.value}" for part in ("secret", "se/", "cret@", "'se'", "user:")
        )
        assert "During handling" not in told


class TestHeaders:
    def test_function(self, pool, site):
        """A function is asked again for each connection."""
        tokens = iter(["first", "second"])
        for expected in ("first", "second"):
            connection = opened(
                pool, site.uri, additional_headers=lambda: {"Authorization": next(tokens)}
            )
            assert connection.request.headers["Authorization"] == expected
            connection.close()
        assert [r.headers["Authorization"] for r in site.requests] == ["first", "second"]

    def test_cookies_are_the_users(self, pool, site):
        """Cookies are sent as given, and none is kept from an answer."""
        with opened(pool, site.uri, additional_headers=[("Cookie", "a=1; b=2")]):
            assert site.requests[0].headers["Cookie"] == "a=1; b=2"

    def test_origin_and_user_agent(self, pool, site):
        """Origin and User-Agent are sent once; one among additional_headers wins."""
        opened(pool, site.uri, origin="https://o.example", user_agent_header="me").close()
        opened(pool, site.uri, additional_headers={"User-Agent": "you"}).close()
        opened(pool, site.uri, user_agent_header=None).close()
        seen = [
            (r.headers.get_all("Origin"), r.headers.get_all("User-Agent")) for r in site.requests
        ]
        assert seen == [(["https://o.example"], ["me"]), ([], ["you"]), ([], [])]

    def test_refused_origin(self, pool):
        """A server that wants another origin refuses."""
        with Site(origins=["https://o.example"]) as site:
            opened(pool, site.uri, origin="https://o.example").close()
            error = failure(pool, site.uri, origin="https://p.example")
        assert isinstance(error, wspool.InvalidStatus)
        assert error.response.status_code == 403


class TestSubprotocols:
    @pytest.mark.parametrize(
        ("chosen", "offered"),
        [("c", ["a", "b"]), ("A", ["a"]), ("a, b", ["a", "b"]), ("a", None), ("", ["a"])],
    )
    def test_not_offered(self, pool, chosen, offered):
        """A choice that was not offered fails the handshake (RFC 6455 section 4.1)."""
        with socket.create_server(("127.0.0.1", 0)) as listener:

            def answer():
                sock, _ = listener.accept()
                with sock:
                    request = b""
                    while b"\r\n\r\n" not in request:
                        request += sock.recv(4096)
                    key = re.search(rb"Sec-WebSocket-Key: (\S+)", request)[1].decode()
                    sock.sendall(
                        b"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                        + f"Sec-WebSocket-Accept: {accept_key(key)}\r\n".encode()
                        + f"Sec-WebSocket-Protocol: {chosen}\r\n\r\n".encode()
                    )
                    sock.settimeout(10)
                    with contextlib.suppress(OSError):
                        sock.recv(1)

            thread = threading.Thread(target=answer)
            thread.start()
            uri = f"ws://127.0.0.1:{listener.getsockname()[1]}"
            error = failure(pool, uri, subprotocols=offered)
            thread.join()
        assert isinstance(error, wspool.NegotiationError)
        assert "subprotocol" in str(error)
