"""Connections through Unix sockets, by the option unix_path."""

import contextlib
import os
import pathlib
import socket
import ssl
import tempfile
import threading

import pytest
from websockets.sync.server import unix_serve

import wspool
import wspool.testing
from wspool import EndpointPool, Options, Status


@pytest.fixture(scope="module")
def pool():
    """A private pool of two endpoints."""
    with EndpointPool(2) as pool:
        yield pool


@pytest.fixture
def path():
    """Where a socket may be made; short, as the system wants it."""
    with tempfile.TemporaryDirectory() as folder:
        yield os.path.join(folder, "socket")


@contextlib.contextmanager
def unix_server(path, **options):
    """An echo server by `websockets` on a Unix socket; yields the requests that it got."""
    requests = []

    def echo(connection):
        requests.append(connection.request)
        for message in connection:
            connection.send(message)

    with unix_serve(echo, path, **options) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield requests
        finally:
            server.shutdown()
            thread.join()


def echoed(pool, uri, message="hello", **options):
    """Open, send a message, and return it as it came back, with the connection."""
    received = []
    back = threading.Event()

    def on_message(connection, message):
        received.append(message.text)
        back.set()

    connection = pool.get_endpoint().create_new_connection(uri, on_message=on_message, **options)
    assert connection.opened.result(10) is Status.OPENED, connection.error
    with connection:
        connection.send(message)
        assert back.wait(10)
        return received, connection


def failure(pool, uri, **options):
    connection = pool.get_endpoint().create_new_connection(uri, **options)
    assert connection.opened.result(10) is Status.FAILED
    return connection.error


class TestConnect:
    def test_echo(self, pool, path):
        """Host and path come from the URI, the rest is as with TCP."""
        with unix_server(path) as requests:
            received, _ = echoed(pool, "ws://feed.example/a?b", unix_path=path)
        assert received == ["hello"]
        assert requests[0].path == "/a?b"
        assert requests[0].headers["Host"] == "feed.example"

    def test_large(self, pool, path):
        """Large messages pass."""
        with unix_server(path, max_size=None):
            received, _ = echoed(
                pool, "ws://localhost/", "x" * 5_000_000, unix_path=path, max_size=None
            )
        assert received == ["x" * 5_000_000]

    def test_addresses(self, pool, path):
        """The peer's address is the path; this side has none."""
        with unix_server(path):
            _, connection = echoed(pool, "ws://localhost/", unix_path=pathlib.Path(path))
        assert connection.remote_address == (path, 0)
        assert connection.local_address is None

    def test_tls(self, pool, path, tmp_path):
        """wss works over it; the certificate is that of the URI's host."""
        wspool.testing.make_certificates(tmp_path, hosts=["feed.example"])
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
        options = {"unix_path": path, "ssl": wspool.TLS(ca_file=tmp_path / "ca.pem")}
        with unix_server(path, ssl=context):
            received, _ = echoed(pool, "wss://feed.example/", **options)
            assert received == ["hello"]
            error = failure(pool, "wss://localhost/", **options)
            assert isinstance(error, ssl.SSLCertVerificationError)

    def test_longest_path(self, pool, path):
        """A path of 107 bytes is not too long, whatever its characters."""
        name = path + "é" + "x" * (107 - len(os.fsencode(path)) - 2)
        with unix_server(name):
            _, connection = echoed(pool, "ws://localhost/", unix_path=name)
        assert connection.remote_address == (name, 0)

    def test_full_queue(self, pool, path):
        """While the listener's queue is full, connections wait for room, up to open_timeout."""
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen(0)
        connections = [
            pool[0].create_new_connection("ws://localhost/", unix_path=path) for _ in range(20)
        ]
        error = failure(pool, "ws://localhost/", unix_path=path, open_timeout=0.2)
        assert isinstance(error, TimeoutError)
        with unix_server(None, sock=listener):
            for connection in connections:
                assert connection.opened.result(10) is Status.OPENED, connection.error
            for connection in connections:
                connection.close()
                connection.wait_closed(10)

    def test_nobody_listens(self, pool, path):
        """Without a socket, or without somebody behind it, it is the system's error."""
        error = failure(pool, "ws://localhost/", unix_path=path)
        assert isinstance(error, FileNotFoundError)
        assert path in str(error)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
        assert isinstance(failure(pool, "ws://localhost/", unix_path=path), ConnectionRefusedError)


class TestRedirects:
    @staticmethod
    def to(location):
        def process(connection, request):
            if request.path != "/":
                return None
            response = connection.respond(302, "")
            response.headers["Location"] = location
            return response

        return process

    def test_same_origin(self, pool, path):
        """A redirect within the origin is followed through the same socket."""
        with unix_server(path, process_request=self.to("/there")) as requests:
            echoed(pool, "ws://localhost/", unix_path=path)
        assert requests[0].path == "/there"

    @pytest.mark.parametrize("location", ["ws://localhost:81/", "wss://localhost/", "//b/"])
    def test_other_origin(self, pool, path, location):
        """One to another origin is refused: it is not known what stands for that."""
        with unix_server(path, process_request=self.to(location)):
            error = failure(pool, "ws://localhost/", unix_path=path)
        assert isinstance(error, wspool.SecurityError)
        assert "Unix socket" in str(error)


class TestOption:
    @pytest.mark.parametrize(
        ("value", "kind"),
        [
            (b"/run/x", TypeError),
            (5, TypeError),
            ("", ValueError),
            ("/run/\0x", ValueError),
            ("/" + "x" * 107, ValueError),
            ("/" + "é" * 54, ValueError),
        ],
    )
    def test_bad(self, value, kind):
        """What no socket can have as its path is refused."""
        with pytest.raises(kind, match="unix_path"):
            Options.from_kwargs(unix_path=value)

    def test_path_of_bytes(self):
        """Nor is a path-like of bytes taken."""

        class Path:
            def __fspath__(self):
                return b"/run/x"

        with pytest.raises(TypeError, match="unix_path"):
            Options.from_kwargs(unix_path=Path())

    def test_with_local_addr(self):
        """A local address is of TCP."""
        with pytest.raises(ValueError, match="unix_path is incompatible with local_addr"):
            Options.from_kwargs(unix_path="/run/x", local_addr=("127.0.0.1", 0))
