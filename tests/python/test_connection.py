"""Connection: sending, closing and what it tells, against servers of others."""

import contextlib
import gc
import http
import itertools
import re
import socket
import ssl
import threading
import time

import pytest
import websockets.exceptions
from tests.support.pull_servers import raw_server, wait_until
from websockets.sync.server import serve
from websockets.utils import accept_key

import wspool
import wspool.testing
from wspool import EndpointPool, Status


@pytest.fixture(scope="module")
def pool():
    """A private pool of two endpoints."""
    with EndpointPool(2) as pool:
        yield pool


@pytest.fixture(scope="module")
def echo():
    """An echo server."""
    with wspool.testing.echo() as server:
        yield server


@contextlib.contextmanager
def websockets_server(handler, **options):
    """A server by `websockets`; yields its URI."""
    options.setdefault("compression", None)
    with serve(handler, "127.0.0.1", 0, **options) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}"
        finally:
            server.shutdown()
            thread.join()


UPGRADED = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"


def read_request(sock):
    data = b""
    while b"\r\n\r\n" not in data:
        chunk = sock.recv(4096)
        if not chunk:
            raise OSError("end")
        data += chunk
    return data


def opened(pool, uri, **arguments):
    connection = pool.get_endpoint().create_new_connection(uri, **arguments)
    assert connection.opened.result(10) is Status.OPENED, connection.error
    return connection


def failed(pool, uri, **arguments):
    connection = pool.get_endpoint().create_new_connection(uri, **arguments)
    assert connection.opened.result(15) is Status.FAILED
    connection.wait_closed(10)
    return connection


class Inbox:
    """Collects messages; waits for them."""

    def __init__(self):
        self.messages = []
        self.changed = threading.Condition()

    def __call__(self, connection, message):
        with self.changed:
            self.messages.append(message)
            self.changed.notify_all()

    def wait(self, count, timeout=10):
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.messages) >= count, timeout)
            return self.messages[:count]


class TestSend:
    @pytest.mark.parametrize(
        ("message", "text", "expected"),
        [
            ("text \u20ac", None, "text \u20ac"),
            ("", None, ""),
            (b"\x00\xff", None, b"\x00\xff"),
            (b"", None, b""),
            (bytearray(b"array"), None, b"array"),
            (memoryview(b"_view_")[1:5], None, b"view"),
            (b"as text \xe2\x82\xac", True, "as text \u20ac"),
            ("as binary \u20ac", False, b"as binary \xe2\x82\xac"),
            ("as text", True, "as text"),
            (b"as binary", False, b"as binary"),
        ],
    )
    def test_kinds(self, pool, message, text, expected):
        """str goes as text, bytes-like as binary, unless told otherwise."""
        inbox = Inbox()
        with websockets_server(lambda ws: [ws.send(m) for m in ws]) as uri:
            with opened(pool, uri, on_message=inbox) as connection:
                connection.send(message, text)
                connection.send(message, text=text)
                assert [m == expected for m in inbox.wait(2)] == [True, True]
                assert inbox.messages[0].is_text is isinstance(expected, str)

    @pytest.mark.parametrize("size", [1, 125, 126, 127, 65535, 65536, 2**20, 2**24])
    def test_sizes(self, pool, echo, size):
        """Every size comes back as it was sent."""
        inbox = Inbox()
        with opened(pool, echo.uri, on_message=inbox, max_size=None) as connection:
            text = ("0123456789\u20ac" * (size // 13 + 1))[: size // 13 * 11 or 1]
            connection.send(text)
            connection.send(b"\x01" * size)
            first, second = inbox.wait(2, timeout=30)
            assert first == text
            assert second == b"\x01" * size

    @pytest.mark.parametrize("message", [None, 1, ["a"], {"a": 1}, object()])
    def test_wrong_type(self, pool, echo, message):
        """What is neither str nor bytes-like is refused."""
        with opened(pool, echo.uri) as connection:
            with pytest.raises(TypeError, match="message must be str or bytes-like"):
                connection.send(message)

    def test_wrong_arguments(self, pool, echo):
        """Arguments are checked as those of any function."""
        with opened(pool, echo.uri) as connection:
            for args, names in [((), {}), (("a", None, 1), {}), (("a",), {"message": "b"})]:
                with pytest.raises(TypeError, match=re.escape("send()")):
                    connection.send(*args, **names)
            with pytest.raises(TypeError, match="other"):
                connection.send("a", other=1)

    def test_not_contiguous(self, pool, echo):
        """A view with gaps is sent without them."""
        inbox = Inbox()
        with opened(pool, echo.uri, on_message=inbox) as connection:
            connection.send(memoryview(b"abcdef")[::2])
            (message,) = inbox.wait(1, timeout=30)
            assert message == b"ace"

    def test_lone_surrogate(self, pool, echo):
        """A str that is not UTF-8 is refused before anything is sent."""
        with opened(pool, echo.uri) as connection, pytest.raises(UnicodeEncodeError):
            connection.send("\ud800")

    def test_bad_utf_8(self, pool, echo):
        """Bytes sent as text must be UTF-8."""
        with opened(pool, echo.uri) as connection, pytest.raises(ValueError, match="UTF-8"):
            connection.send(b"\xff", text=True)

    def test_while_connecting(self, pool):
        """Sending before the connection is open says what to wait for."""
        with raw_server(lambda sock: [read_request(sock), sock.recv(1)]) as uri:
            connection = pool[0].create_new_connection(uri)
            for call in (lambda: connection.send("x"), connection.ping, connection.pong):
                with pytest.raises(wspool.InvalidState, match=r"wait for Connection\.opened"):
                    call()
            connection.abort()
            connection.wait_closed(10)

    def test_after_close(self, pool, echo):
        """Sending on a closed connection raises ConnectionClosed with both frames."""
        connection = opened(pool, echo.uri)
        connection.close(1000, "bye")
        connection.wait_closed(10)
        for call in (lambda: connection.send("x"), connection.ping, connection.pong):
            with pytest.raises(wspool.ConnectionClosedOK) as raised:
                call()
            assert raised.value.sent == wspool.Close(1000, "bye")
            assert raised.value.rcvd.code == 1000
            assert raised.value.rcvd_then_sent is False

    def test_after_failure(self, pool):
        """Sending on a connection that never opened says why, as the cause."""
        connection = failed(pool, "ws://127.0.0.1:1/")
        with pytest.raises(wspool.ConnectionClosedError) as raised:
            connection.send("x")
        assert isinstance(raised.value.__cause__, ConnectionRefusedError)

    def test_from_many_threads(self, pool, echo):
        """Frames of eight threads on one connection never interleave; each keeps its order."""
        inbox = Inbox()
        with opened(pool, echo.uri, on_message=inbox) as connection:

            def send(n):
                for i in range(200):
                    connection.send(f"{n} {i} " + "x" * (i * 7))

            threads = [threading.Thread(target=send, args=(n,)) for n in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            seen = dict.fromkeys(range(8), 0)
            for message in inbox.wait(1600, 30):
                n, i, rest = message.text.split(" ")
                assert int(i) == seen[int(n)]
                assert rest == "x" * (int(i) * 7)
                seen[int(n)] += 1

    def test_write_limit(self, pool):
        """Above write_limit send waits for room, and all arrives."""
        with wspool.testing.sink() as server:
            with opened(pool, server.uri, write_limit=100_000) as connection:
                for _ in range(100):
                    connection.send(b"x" * 90_000)
                    assert connection.buffered_amount < 300_000
                assert server.wait_messages(received=100, timeout=30)

    def test_while_closing(self, pool):
        """After close() nothing more can be sent, while the peer's answer is out."""
        go_on = threading.Event()

        def handler(ws):
            go_on.wait(10)

        with websockets_server(handler) as uri:
            connection = opened(pool, uri)
            connection.close()
            if connection.status is Status.CLOSING:
                with pytest.raises(wspool.ConnectionClosedOK) as raised:
                    connection.send("x")
                assert raised.value.sent == wspool.Close(1000)
            go_on.set()
            connection.wait_closed(10)


class TestClose:
    @pytest.mark.parametrize(
        "code",
        [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014]
        + [3000, 3999, 4000, 4999],
    )
    def test_by_this_side(self, pool, code):
        """Every legal code arrives, and decides which ConnectionClosed it is."""
        seen = []

        def handler(ws):
            try:
                ws.recv(10)
            except websockets.exceptions.ConnectionClosed as error:
                seen.append((error.rcvd.code, error.rcvd.reason))

        with websockets_server(handler) as uri:
            connection = opened(pool, uri)
            connection.close(code, "because")
            connection.wait_closed(10)
            wait_until(lambda: seen)  # the server's handler goes on a little
        assert seen == [(code, "because")]
        assert connection.status is Status.CLOSED
        assert (connection.close_code, connection.close_reason) == (code, "because")
        in_order = code in {1000, 1001}
        expected = wspool.ConnectionClosedOK if in_order else wspool.ConnectionClosedError
        assert type(connection.closed_exception()) is expected
        assert (connection.error is None) is in_order

    @pytest.mark.parametrize(
        "code",
        [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014]
        + [3000, 4000, 4999],
    )
    def test_by_the_peer(self, pool, code):
        """Every legal code is told."""
        told = []
        with websockets_server(lambda ws: ws.close(code, "because")) as uri:
            connection = opened(pool, uri, on_close=lambda *args: told.append(args))
            connection.wait_closed(10)
        assert told == [(connection, code, "because")]
        assert (connection.close_code, connection.close_reason) == (code, "because")
        closed = connection.closed_exception()
        assert closed.rcvd == wspool.Close(code, "because")
        assert closed.rcvd_then_sent is True
        assert str(closed).startswith(f"received {code} (")

    def test_without_a_code(self, pool, echo):
        """A close frame without a code reads 1005."""
        connection = opened(pool, echo.uri)
        echo.close_connections(1005)
        connection.wait_closed(10)
        assert (connection.close_code, connection.close_reason) == (1005, "")
        assert isinstance(connection.closed_exception(), wspool.ConnectionClosedOK)

    def test_without_a_close_frame(self, pool):
        """A connection that breaks reads 1006."""
        told = []
        with wspool.testing.echo() as server:
            connection = opened(pool, server.uri, on_close=lambda c, *args: told.append(args))
            server.abort_connections()
            connection.wait_closed(10)
        assert told[0][0] == 1006
        assert connection.status is Status.CLOSED
        assert (connection.close_code, connection.close_reason) == (1006, "")
        assert isinstance(connection.error, wspool.ConnectionClosedError)
        assert connection.error.rcvd is None
        assert isinstance(connection.error.__cause__, OSError)

    @pytest.mark.parametrize(
        ("code", "kind"),
        [(code, ValueError) for code in (-1, 0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000)]
        + [(70_000, ValueError), ("1000", TypeError), (None, TypeError), (True, TypeError)],
    )
    def test_bad_code(self, pool, echo, code, kind):
        """Codes that may not be sent are refused, and nothing is closed."""
        with opened(pool, echo.uri) as connection:
            with pytest.raises(kind, match="code"):
                connection.close(code)
            assert connection.status is Status.OPENED

    @pytest.mark.parametrize(
        ("reason", "kind"),
        [("x" * 124, ValueError), ("\u20ac" * 42, ValueError), (b"x", TypeError)],
    )
    def test_bad_reason(self, pool, echo, reason, kind):
        """A reason is a str of at most 123 bytes."""
        with opened(pool, echo.uri) as connection:
            with pytest.raises(kind, match="reason"):
                connection.close(1000, reason)
            connection.close(1000, "x" * 123)
            connection.wait_closed(10)

    def test_twice(self, pool, echo):
        """Closing again does nothing."""
        connection = opened(pool, echo.uri)
        connection.close(4000)
        connection.close(4001)
        connection.wait_closed(10)
        connection.close(4002)
        connection.abort()
        assert connection.close_code == 4000

    def test_while_connecting(self, pool):
        """Closing a connection that is not open yet makes it fail."""
        told = []
        with raw_server(lambda sock: [read_request(sock), sock.recv(1)]) as uri:
            connection = pool[0].create_new_connection(uri, on_fail=lambda *args: told.append(args))
            connection.close()
            assert connection.opened.result(10) is Status.FAILED
        assert told == [(connection, connection.error)]
        assert isinstance(connection.error, ConnectionAbortedError)
        assert connection.close_code is None

    def test_abort(self, pool, echo):
        """abort() ends it at once, with 1006."""
        connection = opened(pool, echo.uri)
        connection.abort()
        connection.wait_closed(10)
        assert connection.close_code == 1006
        assert isinstance(connection.error, wspool.ConnectionClosedError)

    def test_before_it_is_closed(self, pool, echo):
        """Code and reason are None while there is none."""
        with opened(pool, echo.uri) as connection:
            assert connection.close_code is None
            assert connection.close_reason is None
            assert connection.error is None

    def test_peer_does_not_answer(self, pool):
        """After close_timeout the connection is ended."""
        with wspool.testing.sink(silent=True) as server:
            connection = opened(pool, server.uri, close_timeout=0.3)
            start = time.monotonic()
            connection.close()
            connection.wait_closed(10)
            assert 0.2 < time.monotonic() - start < 5
        assert connection.close_code == 1006

    def test_context_manager(self, pool):
        """Leaving closes with 1000, by an exception with 1011, and waits."""
        codes = []

        def handler(ws):
            with contextlib.suppress(websockets.exceptions.ConnectionClosed):
                ws.recv(10)
            codes.append(ws.close_code)

        with websockets_server(handler) as uri:
            with opened(pool, uri) as connection:
                pass
            assert connection.status is Status.CLOSED
            with pytest.raises(ZeroDivisionError), opened(pool, uri) as connection:
                _ = 1 / 0
            assert connection.status is Status.CLOSED
            wait_until(lambda: len(codes) == 2)
        assert sorted(codes) == [1000, 1011]

    def test_wait_closed_times_out(self, pool, echo):
        """It raises TimeoutError while the connection lives."""
        with opened(pool, echo.uri) as connection:
            start = time.monotonic()
            with pytest.raises(TimeoutError, match="has not ended within 0.2 s"):
                connection.wait_closed(0.2)
            assert 0.15 < time.monotonic() - start < 5
            with pytest.raises(TimeoutError):
                connection.wait_closed(0)
            with pytest.raises((TypeError, ValueError)):
                connection.wait_closed("1")


class TestPing:
    def test_round_trip(self, pool, echo):
        """A ping is answered with its round-trip time."""
        with opened(pool, echo.uri) as connection:
            assert connection.latency == 0
            seconds = connection.ping().result(10)
            assert 0 < seconds < 10
            assert connection.latency == pytest.approx(seconds)

    @pytest.mark.parametrize("data", ["text", b"bytes", "", b"\xff" * 125])
    def test_data(self, pool, echo, data):
        """Payloads are sent as they are."""
        with opened(pool, echo.uri) as connection:
            assert connection.ping(data).result(10) > 0
            connection.pong(data)

    @pytest.mark.parametrize(
        ("data", "kind"), [(b"x" * 126, ValueError), ("\u20ac" * 42, ValueError), (1, TypeError)]
    )
    def test_bad_data(self, pool, echo, data, kind):
        """Control frames carry at most 125 bytes (RFC 6455 section 5.5)."""
        with opened(pool, echo.uri) as connection:
            for call in (connection.ping, connection.pong):
                with pytest.raises(kind, match="data"):
                    call(data)

    def test_connection_ends_first(self, pool):
        """Without an answer the future raises ConnectionClosed."""
        with wspool.testing.sink(silent=True) as server:
            connection = opened(pool, server.uri)
            future = connection.ping()
            server.abort_connections()
            with pytest.raises(wspool.ConnectionClosed):
                future.result(10)

    def test_keepalive(self, pool):
        """A peer that says nothing is given up, with the reason as the cause."""
        with wspool.testing.sink(silent=True) as server:
            connection = opened(
                pool, server.uri, ping_interval=0.1, ping_timeout=0.2, close_timeout=0.2
            )
            connection.wait_closed(10)
            assert isinstance(connection.error, wspool.ConnectionClosedError)
            assert connection.error.sent.code == 1011
            assert isinstance(connection.error.__cause__, TimeoutError)


class TestHandshake:
    def test_request_and_response(self, pool):
        """Both sides of the handshake can be read."""
        paths = []

        def handler(ws):
            paths.append(ws.request.path)
            assert ws.request.headers["X-Key"] == "value"
            assert ws.request.headers["Origin"] == "https://example.org"
            assert ws.request.headers["User-Agent"] == "me"
            ws.recv(10)

        with websockets_server(handler, server_header="that one") as uri:
            connection = opened(
                pool,
                f"{uri}/path?query=1",
                additional_headers={"X-Key": "value"},
                origin="https://example.org",
                user_agent_header="me",
            )
            assert connection.request.path == "/path?query=1"
            assert connection.request.headers["x-key"] == "value"
            assert connection.response.status_code == 101
            assert connection.response.headers["Server"] == "that one"
            connection.send("seen")
            connection.wait_closed(10)
        assert connection.close_code == 1000
        assert paths == ["/path?query=1"]

    def test_no_user_agent(self, pool):
        """None sends no User-Agent; the default names the library."""
        agents = []

        def handler(ws):
            agents.append(ws.request.headers.get("User-Agent"))

        with websockets_server(handler) as uri:
            opened(pool, uri, user_agent_header=None).wait_closed(10)
            opened(pool, uri).wait_closed(10)
        assert agents == [None, wspool.Options().user_agent_header]

    def test_subprotocol(self, pool):
        """The server's choice is told."""
        with websockets_server(lambda ws: ws.recv(10), subprotocols=["b", "c"]) as uri:
            with opened(pool, uri, subprotocols=["a", "b"]) as connection:
                assert connection.subprotocol == "b"
        with websockets_server(lambda ws: ws.recv(10)) as uri:
            with opened(pool, uri) as connection:
                assert connection.subprotocol is None

    def test_addresses(self, pool, echo):
        """Both addresses are told."""
        with opened(pool, echo.uri) as connection:
            assert connection.remote_address == ("127.0.0.1", echo.port)
            assert connection.local_address[0] == "127.0.0.1"
            assert connection.local_address[1] > 0

    def test_local_addr(self, pool, echo):
        """local_addr is where the connection comes from."""
        with opened(pool, echo.uri, local_addr=("127.0.0.5", 0)) as connection:
            assert connection.local_address[0] == "127.0.0.5"

    def test_refused_status(self, pool):
        """Another status than 101 is an InvalidStatus with the response."""

        def refuse(connection, request):
            return connection.respond(http.HTTPStatus.FORBIDDEN, "go away\n")

        with websockets_server(lambda ws: None, process_request=refuse) as uri:
            error = failed(pool, uri).error
        assert isinstance(error, wspool.InvalidStatus)
        assert error.response.status_code == 403
        assert error.response.body == b"go away\n"
        assert "HTTP 403" in str(error)

    @pytest.mark.parametrize(
        ("answer", "kind"),
        [
            (b"garbage\r\n\r\n", wspool.InvalidMessage),
            (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", wspool.InvalidUpgrade),
            (UPGRADED + b"Sec-WebSocket-Accept: wrong\r\n\r\n", wspool.InvalidHeader),
            (
                b"HTTP/1.1 101 x\r\n" + b"".join(b"X%d: y\r\n" % i for i in range(10_000)),
                wspool.SecurityError,
            ),
            (b"", (wspool.InvalidMessage, OSError)),
        ],
    )
    def test_bad_answers(self, pool, answer, kind):
        """Answers that are no handshake fail the connection, and say how."""

        def serve_answer(sock):
            read_request(sock)
            sock.sendall(answer)
            sock.shutdown(socket.SHUT_WR)
            sock.recv(1)

        with raw_server(serve_answer) as uri:
            error = failed(pool, uri).error
        assert isinstance(error, kind)
        assert str(error)

    def test_refused_port(self, pool):
        """A port where nobody listens is a ConnectionRefusedError."""
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            error = failed(pool, f"ws://127.0.0.1:{unused.getsockname()[1]}").error
        assert isinstance(error, ConnectionRefusedError)

    def test_unknown_host(self, pool):
        """A name without address is a socket.gaierror."""
        error = failed(pool, "ws://does-not-exist.invalid/").error
        assert isinstance(error, socket.gaierror)
        assert "does-not-exist.invalid" in str(error)

    def test_open_timeout(self, pool):
        """A server that never answers is a TimeoutError after open_timeout."""
        with raw_server(lambda sock: [read_request(sock), sock.recv(1)]) as uri:
            start = time.monotonic()
            error = failed(pool, uri, open_timeout=0.3).error
            assert 0.25 < time.monotonic() - start < 5
        assert isinstance(error, TimeoutError)

    def test_credentials_are_nowhere(self, pool, echo):
        """User name and password of the URI are in no repr and no uri."""
        uri = echo.uri.replace("ws://", "ws://me:secret@")
        with opened(pool, uri) as connection:
            assert connection.uri.rstrip("/") == echo.uri
            assert "secret" not in repr(connection)
            assert "secret" not in repr(connection.request)


class TestTLS:
    def test_verified(self, pool):
        """A connection over TLS with its CA trusted, by TLS and by SSLContext."""
        with wspool.testing.echo(tls=True) as server:
            for setting in (
                wspool.TLS(ca_file=server.ca_file),
                wspool.TLS(ca_file=server.ca_file, min_version="TLSv1.3"),
                ssl.create_default_context(cafile=server.ca_file),
                wspool.TLS(verify=False),
            ):
                inbox = Inbox()
                with opened(pool, server.uri, ssl=setting, on_message=inbox) as connection:
                    connection.send("hello")
                    assert inbox.wait(1) == ["hello"]

    def test_unknown_authority(self, pool):
        """Without the CA the certificate is refused."""
        with wspool.testing.echo(tls=True) as server:
            error = failed(pool, server.uri).error
            assert isinstance(error, ssl.SSLCertVerificationError)

    def test_environment(self, pool, monkeypatch):
        """SSL_CERT_FILE says whom to trust."""
        with wspool.testing.echo(tls=True) as server:
            monkeypatch.setenv("SSL_CERT_FILE", server.ca_file)
            opened(pool, server.uri).close()

    def test_wrong_host(self, pool):
        """A certificate for another host is refused, unless the name is not checked."""
        with wspool.testing.echo(tls=True) as server:
            for setting in (
                wspool.TLS(ca_file=server.ca_file),
                ssl.create_default_context(cafile=server.ca_file),
            ):
                error = failed(
                    pool,
                    server.uri,
                    ssl=setting,
                    server_hostname="example.org",
                ).error
                assert isinstance(error, ssl.SSLCertVerificationError)
                assert "example.org" in str(error)
            setting = wspool.TLS(ca_file=server.ca_file, check_hostname=False)
            opened(pool, server.uri, ssl=setting, server_hostname="example.org").close()

    def test_plain_server(self, pool, echo):
        """TLS to a plain server is an SSLError or a lost connection."""
        error = failed(pool, echo.uri.replace("ws:", "wss:"), open_timeout=3).error
        assert isinstance(error, OSError)

    def test_expired(self, pool, tmp_path):
        """A certificate whose time is over is refused."""
        wspool.testing.make_certificates(tmp_path, not_before=-7200, not_after=-3600)
        files = (tmp_path / "cert.pem", tmp_path / "key.pem")
        with wspool.testing.echo(tls=files) as server:
            error = failed(pool, server.uri, ssl=wspool.TLS(ca_file=tmp_path / "ca.pem")).error
            assert isinstance(error, ssl.SSLCertVerificationError)
            assert "expired" in str(error)


class TestProtocolErrors:
    def frame_server(self, frame):
        """A server that completes the handshake by hand, and then sends these bytes."""

        def answer(sock):
            request = read_request(sock).decode()
            key = re.search(r"Sec-WebSocket-Key: (\S+)", request, re.IGNORECASE)[1]
            accept = f"Sec-WebSocket-Accept: {accept_key(key)}\r\n\r\n"
            sock.sendall(UPGRADED + accept.encode() + frame)
            while sock.recv(4096):
                pass

        return raw_server(answer)

    @pytest.mark.parametrize(
        ("frame", "code", "cause"),
        [
            (b"\xf1\x00", 1002, wspool.ProtocolError),  # reserved bits
            (b"\x83\x00", 1002, wspool.ProtocolError),  # reserved opcode
            (b"\x80\x00", 1002, wspool.ProtocolError),  # continuation of nothing
            (b"\x81\x80abcd", 1002, wspool.ProtocolError),  # masked
            (b"\x89\x7e\x00\x7e", 1002, wspool.ProtocolError),  # long ping
            (b"\x81\x01\xff", 1007, wspool.ProtocolError),
            (b"\x82\x7f\x00\x00\x00\x01\x00\x00\x00\x00", 1009, wspool.PayloadTooBig),
        ],
    )
    def test_close_code(self, pool, frame, code, cause):
        """A peer that breaks the protocol is told the right code, and the user the cause."""
        with self.frame_server(frame) as uri:
            connection = opened(pool, uri, close_timeout=1)
            connection.wait_closed(10)
        closed = connection.error
        assert isinstance(closed, wspool.ConnectionClosedError)
        assert closed.rcvd is None
        assert closed.sent.code == code
        assert isinstance(closed.__cause__, cause)

    def test_dies_in_mid_frame(self, pool):
        """A connection that ends inside a frame ends with 1006, after what came before."""
        inbox = Inbox()
        with self.frame_server(b"\x81\x05hello\x81\x05wor") as uri:
            connection = opened(pool, uri, on_message=inbox)
            inbox.wait(1)
            connection.abort()
            connection.wait_closed(10)
        assert inbox.messages == ["hello"]

    def test_max_size(self, pool, echo):
        """A message above max_size ends the connection with 1009; one of it does not."""
        inbox = Inbox()
        connection = opened(pool, echo.uri, max_size=1000, on_message=inbox)
        assert connection.max_size == 1000
        connection.send("x" * 1000)
        connection.send("x" * 1001)
        connection.wait_closed(10)
        assert [len(message) for message in inbox.messages] == [1000]
        assert connection.error.sent.code == 1009
        assert isinstance(connection.error.__cause__, wspool.PayloadTooBig)
        assert "1000 bytes" in str(connection.error.__cause__)


class TestState:
    def test_life(self, pool, echo):
        """States follow each other, and each is told."""
        connection = pool[0].create_new_connection(echo.uri)
        assert connection.status in {Status.CONNECTING, Status.OPENED}
        assert connection.opened.result(10) is Status.OPENED
        assert connection.status is Status.OPENED
        assert connection.endpoint is pool[0]
        shown = repr(connection)
        assert re.fullmatch(rf"<wspool\.Connection {connection.id} {echo.uri}/? OPENED>", shown)
        connection.close()
        assert connection.status in {Status.CLOSING, Status.CLOSED}
        connection.wait_closed(10)
        assert connection.status is Status.CLOSED
        assert connection.opened.result(0) is Status.OPENED

    def test_opened_cannot_be_cancelled(self, pool, echo):
        """Nobody can cancel what the library will set."""
        connection = pool[0].create_new_connection(echo.uri)
        assert not connection.opened.cancel()
        assert connection.opened.result(10) is Status.OPENED
        connection.close()

    def test_after_the_end(self, pool, echo):
        """Everything can still be asked."""
        connection = opened(pool, echo.uri)
        connection.send("x")
        connection.close()
        connection.wait_closed(10)
        assert connection.request.path == "/"
        assert connection.response.status_code == 101
        assert connection.remote_address in {None, ("127.0.0.1", echo.port)}
        assert connection.local_address is None or connection.local_address[1] > 0
        assert connection.statistics.messages_sent == 1
        assert connection.buffered_amount == 0
        assert connection.latency >= 0
        assert connection.subprotocol is None
        connection.disable_callbacks()

    def test_statistics(self, pool, echo):
        """Counters count."""
        inbox = Inbox()
        with opened(pool, echo.uri, on_message=inbox) as connection:
            for _ in range(10):
                connection.send("x" * 100)
            inbox.wait(10)
            statistics = connection.statistics
        assert statistics.messages_sent == 10
        assert statistics.messages_received == 10
        assert statistics.bytes_sent >= 10 * 106
        assert statistics.bytes_received >= 10 * 102

    def test_made_by_hand(self):
        """A native connection by itself is none, and says so."""
        lonely = wspool.Connection.__new__(wspool.Connection)
        with pytest.raises(RuntimeError, match="create_new_connection"):
            lonely.send("x")

    def test_many(self, pool, echo):
        """A thousand connections on one pool each send and receive in order."""
        count, messages = 1000, 20
        inboxes = [Inbox() for _ in range(count)]
        connections = [
            pool.get_endpoint().create_new_connection(echo.uri, on_message=inbox, open_timeout=60)
            for inbox in inboxes
        ]
        for connection in connections:
            assert connection.opened.result(60) is Status.OPENED, connection.error
        for i, (n, connection) in itertools.product(range(messages), enumerate(connections)):
            connection.send(f"{n} {i}")
        for n, inbox in enumerate(inboxes):
            assert inbox.wait(messages, 60) == [f"{n} {i}" for i in range(messages)]
        for connection in connections:
            connection.close()
        for connection in connections:
            connection.wait_closed(60)
        gc.collect()
