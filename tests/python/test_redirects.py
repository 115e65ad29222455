"""Redirects of the opening handshake: where they lead, what is sent along, what is refused."""

import base64
import contextlib
import http.server
import re
import socket
import ssl
import subprocess
import threading
import time

import pytest
from tests.support.echo_site import EchoSite

import wspool
import wspool.testing
from wspool import EndpointPool, Status


@pytest.fixture(scope="module")
def pool():
    """A private pool of two endpoints."""
    with EndpointPool(2) as pool:
        yield pool


class Site(EchoSite):
    """Redirects the paths in `routes`, echoes on others."""

    def __init__(self, context=None):
        super().__init__(ssl=context)
        self.routes = {}
        self.certificates = []  # whether the client showed one, for each request by TLS

    def answer(self, connection, request):
        if isinstance(connection.socket, ssl.SSLSocket):
            self.certificates.append(bool(connection.socket.getpeercert()))
        route = self.routes.get(request.path)
        if route is None:
            return None
        status, location = route if isinstance(route, tuple) else (302, route)
        response = connection.respond(status, "this way\n")
        response.headers["Location"] = location
        return response

    @property
    def paths(self):
        """What was asked for, in order."""
        return [request.path for request in self.requests]


@pytest.fixture
def site():
    """A plain server."""
    with Site() as site:
        yield site


@pytest.fixture
def other():
    """Another plain server: another port, so another origin."""
    with Site() as site:
        yield site


def certified(folder, hosts):
    """Make a certificate; returns a server's context and the authority's file."""
    folder.mkdir()
    wspool.testing.make_certificates(folder, hosts=hosts)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context, folder / "ca.pem"


@contextlib.contextmanager
def silent_server():
    """A server that reads a request and never answers; yields its port and what tells of it."""
    listener = socket.create_server(("127.0.0.1", 0))
    asked = threading.Event()

    def work():
        with contextlib.suppress(OSError):
            sock, _ = listener.accept()
            with sock:
                sock.settimeout(20)
                while data := sock.recv(4096):
                    if b"\r\n\r\n" in data:
                        asked.set()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield listener.getsockname()[1], asked
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def opened(pool, uri, **options):
    connection = pool.get_endpoint().create_new_connection(uri, **options)
    assert connection.opened.result(20) is Status.OPENED, connection.error
    return connection


def failed(pool, uri, **options):
    connection = pool.get_endpoint().create_new_connection(uri, **options)
    assert connection.opened.result(20) is Status.FAILED
    connection.wait_closed(10)
    return connection


class TestFollowed:
    @pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308])
    def test_statuses(self, pool, site, status):
        """Each redirecting status with a Location is followed."""
        site.routes["/"] = (status, "/there")
        with opened(pool, site.uri) as connection:
            assert connection.request.path == "/there"
        assert site.paths == ["/", "/there"]

    @pytest.mark.parametrize(
        ("location", "path"),
        [
            ("d", "/a/d"),
            ("../d?e#f", "/d?e"),
            ("?q=1", "/a/b?q=1"),
            ("/d", "/d"),
            ("//127.0.0.1:{port}/d", "/d"),
            ("http://127.0.0.1:{port}/d", "/d"),
            ("ws://127.0.0.1:{port}", "/"),
        ],
    )
    def test_locations(self, pool, site, location, path):
        """Relative and absolute Locations are resolved against the URI (RFC 3986 section 5)."""
        site.routes["/a/b?c"] = location.format(port=site.port)
        with opened(pool, f"{site.uri}/a/b?c"):
            assert site.paths == ["/a/b?c", path]

    def test_callbacks(self, pool, site, other):
        """Callbacks hear of one connection; URI, request and response are told as they are."""
        site.routes["/"] = f"{other.uri}/there"
        events = []
        done = threading.Event()

        def on_open(connection):
            events.append("open")
            connection.send("hello")

        def on_message(connection, message):
            events.append(message.text)
            connection.close()

        def on_close(connection, code, reason):
            events.append(code)
            done.set()

        connection = pool[0].create_new_connection(
            site.uri,
            on_open=on_open,
            on_message=on_message,
            on_close=on_close,
            on_fail=lambda *args: events.append(args),
        )
        assert done.wait(10)
        assert events == ["open", "hello", 1000]
        assert connection.uri == f"{site.uri}/"
        assert connection.request.path == "/there"
        assert connection.request.headers["Host"] == f"127.0.0.1:{other.port}"
        assert connection.response.status_code == 101
        assert connection.error is None

    def test_remote_address(self, pool, site, other):
        """The address is that of the last server."""
        site.routes["/"] = other.uri
        with opened(pool, site.uri) as connection:
            assert connection.remote_address == ("127.0.0.1", other.port)

    def test_server_of_the_standard_library(self, pool, site):
        """A web server that knows nothing of WebSockets may redirect."""

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                self.send_response(301)
                self.send_header("Location", site.uri.replace("ws:", "http:") + self.path)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args):
                """Keep quiet."""

        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            with opened(pool, f"ws://127.0.0.1:{server.server_port}/feed"):
                assert site.paths == ["/feed"]
            server.shutdown()
            thread.join()

    def test_plain_to_tls(self, pool, site, tmp_path, monkeypatch):
        """From ws to wss the default trust decides, as it does for wss."""
        context, ca_file = certified(tmp_path / "tls", ["127.0.0.1"])
        with Site(context) as secure:
            site.routes["/"] = f"https://127.0.0.1:{secure.port}/there"
            error = failed(pool, site.uri).error
            assert isinstance(error, ssl.SSLCertVerificationError)
            monkeypatch.setenv("SSL_CERT_FILE", str(ca_file))
            with opened(pool, site.uri) as connection:
                assert connection.request.path == "/there"
        assert secure.paths == ["/there"]

    def test_unusable_trust(self, pool, site, monkeypatch, tmp_path):
        """Where the default trust cannot be read, a redirect to wss fails and says so."""
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "missing.pem"))
        site.routes["/"] = "wss://127.0.0.1:1/"
        assert "missing.pem" in str(failed(pool, site.uri).error)


class TestCredentials:
    HEADERS = (
        ("Authorization", "Bearer secret"),
        ("Cookie", "session=secret"),
        ("Proxy-Authorization", "secret"),
        ("Host", "virtual.example"),
        ("X-Key", "kept"),
    )

    def test_same_origin(self, pool, site):
        """Within the origin everything is sent again."""
        site.routes["/"] = "/there"
        with opened(pool, site.uri, additional_headers=self.HEADERS):
            for name, value in self.HEADERS:
                assert site.requests[1].headers[name] == value

    def test_other_origin(self, pool, site, other):
        """Another origin learns no credentials, and gets its own name as Host."""
        site.routes["/"] = other.uri
        with opened(
            pool, site.uri, additional_headers=self.HEADERS, origin="https://o", subprotocols=None
        ):
            seen = other.requests[0].headers
            assert "secret" not in str(list(seen.raw_items()))
            assert seen.get_all("Host") == [f"127.0.0.1:{other.port}"]
            assert seen["X-Key"] == "kept"
            assert seen["Origin"] == "https://o"

    def test_there_and_back(self, pool, site, other):
        """What another origin redirects to is sent no credentials, be it the first origin."""
        site.routes["/"] = other.uri
        other.routes["/"] = f"{site.uri}/back"
        with opened(pool, site.uri, additional_headers=self.HEADERS):
            assert "Authorization" not in site.requests[1].headers
            assert site.requests[1].headers["X-Key"] == "kept"

    def test_in_the_uri(self, pool, site, other):
        """User and password of the URI stay within the origin."""
        basic = "Basic " + base64.b64encode(b"me:secret").decode()
        site.routes["/"] = "/again"
        site.routes["/again"] = f"http://127.0.0.1:{site.port}/and-again"
        site.routes["/and-again"] = other.uri
        with opened(pool, site.uri.replace("//", "//me:secret@")) as connection:
            assert [r.headers["Authorization"] for r in site.requests] == [basic] * 3
            assert "Authorization" not in other.requests[0].headers
            assert "secret" not in repr(connection)

    def test_in_the_location(self, pool, site, other):
        """User and password that the server itself names are sent to where it says."""
        site.routes["/"] = other.uri.replace("//", "//you:key@")
        with opened(pool, site.uri.replace("//", "//me:secret@")):
            expected = "Basic " + base64.b64encode(b"you:key").decode()
            assert other.requests[0].headers["Authorization"] == expected

    def test_server_hostname(self, pool, tmp_path):
        """The name that the user expects in a certificate is that of the first origin."""
        first, first_ca = certified(tmp_path / "first", ["feed.example"])
        second, second_ca = certified(tmp_path / "second", ["127.0.0.1"])
        trust = wspool.TLS(ca_data=first_ca.read_text() + second_ca.read_text())
        with Site(first) as site, Site(second) as other:
            site.routes["/same"] = "/there"
            options = {"ssl": trust, "server_hostname": "feed.example"}
            opened(pool, f"{site.uri}/same", **options).close()
            site.routes["/"] = other.uri
            opened(pool, site.uri, **options).close()
            other.routes["/"] = site.uri
            error = failed(pool, site.uri, **options).error
        assert isinstance(error, ssl.SSLCertVerificationError)

    def test_client_certificate(self, pool, tmp_path):
        """A client certificate is shown to the first origin, and to no other."""
        cert, key = tmp_path / "client.pem", tmp_path / "client.key"
        command = "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=client -keyout"
        subprocess.run([*command.split(), key, "-out", cert], check=True, capture_output=True)
        first, first_ca = certified(tmp_path / "first", ["127.0.0.1"])
        second, second_ca = certified(tmp_path / "second", ["127.0.0.1"])
        for context in (first, second):
            context.verify_mode = ssl.CERT_OPTIONAL
            context.load_verify_locations(cert)
        trust = wspool.TLS(
            ca_data=first_ca.read_text() + second_ca.read_text(), cert_file=cert, key_file=key
        )
        with Site(first) as site, Site(second) as other:
            site.routes["/"] = "/same"
            opened(pool, site.uri, ssl=trust).close()
            site.routes["/away"] = other.uri
            opened(pool, f"{site.uri}/away", ssl=trust).close()
            opened(pool, other.uri, ssl=trust).close()
            assert site.certificates == [True, True, True]
            assert other.certificates == [False, True]

    def test_function_is_called_once(self, pool, site, other):
        """Headers that a function returns are those of all redirects of one connection."""
        calls = []

        def headers():
            calls.append(1)
            return {"X-Call": str(len(calls))}

        site.routes["/"] = other.uri
        for number in (1, 2):
            with opened(pool, site.uri, additional_headers=headers):
                seen = [r.headers["X-Call"] for r in (site.requests[-1], other.requests[-1])]
                assert seen == [str(number)] * 2


class TestRefused:
    def test_ten_are_followed(self, pool, site):
        """A chain of ten redirects opens."""
        site.routes.update({f"/{i}": f"/{i + 1}" for i in range(10)})
        with opened(pool, f"{site.uri}/0") as connection:
            assert connection.request.path == "/10"

    def test_eleven_are_not(self, pool, site):
        """One of eleven does not; the response is the last that was read."""
        site.routes.update({f"/{i}": f"/{i + 1}" for i in range(11)})
        connection = failed(pool, f"{site.uri}/0")
        assert isinstance(connection.error, wspool.SecurityError)
        assert str(connection.error) == "more than 10 redirects"
        assert connection.response.status_code == 302
        assert connection.response.headers["Location"] == "/11"
        assert connection.response.body == b"this way\n"
        assert len(site.requests) == 11

    def test_loop(self, pool, site, other):
        """Two servers that redirect to each other are given up."""
        site.routes["/"] = other.uri
        other.routes["/"] = site.uri
        error = failed(pool, site.uri).error
        assert str(error) == "more than 10 redirects"

    def test_tls_to_plain(self, pool, other, tmp_path):
        """From wss to ws is refused: what was safe would be sent in the clear."""
        context, ca_file = certified(tmp_path / "tls", ["127.0.0.1"])
        with Site(context) as site:
            for scheme in ("ws", "http"):
                site.routes["/"] = f"{scheme}://127.0.0.1:{other.port}/?secret"
                error = failed(pool, site.uri, ssl=wspool.TLS(ca_file=ca_file)).error
                assert isinstance(error, wspool.SecurityError)
                assert str(error).startswith("redirect from wss to ws is refused")
                assert "secret" not in str(error)
        assert other.requests == []

    @pytest.mark.parametrize(
        "location", ["ftp://127.0.0.1/", "mailto:a@b", "http://", "ws://h:99999/", "ws://a b/"]
    )
    def test_not_a_websocket_uri(self, pool, site, location):
        """A Location that leads nowhere leaves an InvalidStatus with the response."""
        site.routes["/"] = location
        error = failed(pool, site.uri).error
        assert isinstance(error, wspool.InvalidStatus)
        assert error.response.headers["Location"] == location

    def test_no_location(self, pool, site):
        """Nor is a status alone a redirect, nor a Location with another status."""
        site.routes["/"] = (304, "/there")
        assert failed(pool, site.uri).error.response.status_code == 304
        site.routes["/"] = (401, "/there")
        assert failed(pool, site.uri).error.response.status_code == 401
        assert site.paths == ["/", "/"]

    def test_nobody_there(self, pool, site):
        """A redirect to where nobody listens fails as a connection to there does."""
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            site.routes["/"] = f"ws://127.0.0.1:{unused.getsockname()[1]}"
            connection = failed(pool, site.uri)
        assert isinstance(connection.error, ConnectionRefusedError)
        assert connection.response is None


class TestTime:
    def test_one_deadline(self, pool, site):
        """open_timeout covers all attempts, and the error names the URI that was given."""
        with silent_server() as (port, _):
            site.routes["/"] = f"ws://127.0.0.1:{port}"
            start = time.monotonic()
            error = failed(pool, site.uri, open_timeout=0.5).error
            assert 0.4 < time.monotonic() - start < 5
        assert isinstance(error, TimeoutError)
        assert re.search(f"{site.uri}/ did not open within 0.5 s", str(error))

    @pytest.mark.parametrize("how", ["close", "abort"])
    def test_closed_meanwhile(self, pool, site, how):
        """A connection that is closed while it is redirected fails, once."""
        told = []
        with silent_server() as (port, asked):
            site.routes["/"] = f"ws://127.0.0.1:{port}"
            connection = pool[0].create_new_connection(
                site.uri, on_fail=lambda *args: told.append(args)
            )
            assert asked.wait(10)
            assert connection.status is Status.CONNECTING
            getattr(connection, how)()
            assert connection.opened.result(10) is Status.FAILED
        assert told == [(connection, connection.error)]
        assert isinstance(connection.error, ConnectionAbortedError)

    def test_closed_at_any_moment(self, pool):
        """So does one that is closed between two of many redirects."""
        with contextlib.ExitStack() as stack:
            sites = [stack.enter_context(Site()) for _ in range(2)]
            for number, site in enumerate(sites):
                site.routes["/"] = sites[1 - number].uri
            for _ in range(30):
                connection = pool[0].create_new_connection(sites[0].uri)
                connection.close()
                assert connection.opened.result(10) is Status.FAILED
                kinds = (ConnectionAbortedError, wspool.SecurityError)
                assert isinstance(connection.error, kinds)
