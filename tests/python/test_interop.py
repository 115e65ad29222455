"""Against servers that others wrote: websockets, aiohttp, ws, and nginx in front of one of them."""

import asyncio
import contextlib
import functools
import json
import os
import queue
import random
import shutil
import ssl
import subprocess
import sys
import time
from dataclasses import dataclass
from urllib.parse import quote

import pytest
import websockets.asyncio.client
import websockets.exceptions
from tests.support.certificates import make_certificates
from tests.support.nginx_front import nginx_front

import wspool
from wspool import EndpointPool, Status

KINDS = ("plain", "tls")
CLOSE_CODES = [1000, 1001, 1002, 1003, *range(1007, 1015), 3000, 4999]
# Around every change of the length's encoding (RFC 6455 section 5.2), and large ones.
SIZES = [0, 1, 125, 126, 127, 65_535, 65_536, 1_000_000, 2**20, 16 * 2**20]


def sites(*names):
    """Return the parameters of the fixture `site` for some servers."""
    return [f"{name}-{kind}" for name in names for kind in KINDS]


ALL = sites("websockets", "aiohttp", "ws", "nginx")


@dataclass(frozen=True)
class Site:
    """Where a server is, and what a client needs to trust it."""

    name: str
    uri: str
    ca_file: str | None

    @property
    def options(self):
        """Options of our connections."""
        return {"ssl": wspool.TLS(ca_file=self.ca_file)} if self.ca_file else {}

    @property
    def context(self):
        """What other clients take as ssl."""
        return ssl.create_default_context(cafile=self.ca_file) if self.ca_file else None


class Launcher:
    """Starts servers when they are asked for first, and ends them."""

    def __init__(self, root, folder):
        self.support = root / "tests" / "support"
        self.modules = root / "build" / "ws_server"
        self.folder = folder
        self.stack = contextlib.ExitStack()
        self.ports = {}
        self.ca_file = None

    def site(self, parameter):
        """Return where a server listens, plain or with TLS."""
        name, kind = parameter.split("-")
        if self.ca_file is None:
            self.ca_file = make_certificates(self.folder)
        if name not in self.ports:
            self.ports[name] = getattr(self, name)()
        port = self.ports[name][kind]
        if kind == "tls":
            return Site(name, f"wss://localhost:{port}", self.ca_file)
        return Site(name, f"ws://127.0.0.1:{port}", None)

    def websockets(self):
        return self.start([sys.executable, self.support / "servers" / "websockets_server.py"])

    def aiohttp(self):
        return self.start([sys.executable, self.support / "servers" / "aiohttp_server.py"])

    def ws(self):
        node, npm = shutil.which("node"), shutil.which("npm")
        if node is None or npm is None:
            pytest.skip("node and npm are not installed")
        if failure := install_ws(npm, self.support / "ws_server", self.modules):
            pytest.skip(failure)
        return self.start(
            [node, self.support / "ws_server" / "server.js"],
            env={**os.environ, "NODE_PATH": str(self.modules / "node_modules")},
        )

    def nginx(self):
        upstream = int(self.site("websockets-plain").uri.rpartition(":")[2])
        front = self.stack.enter_context(nginx_front(upstream, self.folder, tls=True))
        return {"plain": front.port, "tls": front.tls_port}

    def start(self, command, **options):
        """Start a server that prints its ports."""
        process = self.stack.enter_context(
            subprocess.Popen(
                [*command, self.folder / "cert.pem", self.folder / "key.pem"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                **options,
            )
        )
        self.stack.callback(process.kill)
        line = process.stdout.readline()
        assert line, f"{command} did not start"
        return json.loads(line)


@functools.cache  # npm is asked once, not for each test
def install_ws(npm, source, folder):
    """Install the version of ws that the lock file names, if it is not there yet.

    Returns why not, if so.
    """
    lock = (source / "package-lock.json").read_text()
    stamp = folder / "installed"
    if stamp.is_file() and stamp.read_text() == lock:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(source / name, folder)
    # Without an answer it would try again for minutes.
    quick = ["--fetch-retries=1", "--fetch-retry-mintimeout=1000", "--fetch-timeout=20000"]
    command = [npm, "ci", "--prefix", folder, "--no-audit", "--no-fund", "--loglevel=error", *quick]
    try:
        result = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=60, check=False
        )
    except subprocess.TimeoutExpired:
        return "npm did not install ws within a minute"
    if result.returncode != 0:
        return f"npm could not install ws: {result.stderr.strip()[-300:]}"
    stamp.write_text(lock)
    return None


@pytest.fixture(scope="module")
def launcher(repo_root, tmp_path_factory):
    """Servers, which live as long as the tests of this module."""
    launcher = Launcher(repo_root, tmp_path_factory.mktemp("interop"))
    with launcher.stack:
        yield launcher


@pytest.fixture
def site(request, launcher):
    """One server, plain or with TLS."""
    return launcher.site(request.param)


@pytest.fixture(scope="module")
def pool():
    """A private pool of two endpoints."""
    with EndpointPool(2) as pool:
        yield pool


@pytest.fixture
def connect(pool, site):
    """A function that opens a connection to a path; messages go to its second result."""
    made = []

    def connect(path, **options):
        received = queue.SimpleQueue()
        connection = pool.get_endpoint().create_new_connection(
            site.uri + path,
            on_message=lambda c, m: received.put(m.text if m.is_text else m.data),
            **site.options,
            **options,
        )
        made.append(connection)
        assert connection.opened.result(20) is Status.OPENED, connection.error
        return connection, received

    yield connect
    for connection in made:
        connection.close()
    for connection in made:
        connection.wait_closed(20)


def payload(kind, size):
    """Return a message of that many bytes that compresses a little, and differs everywhere."""
    data = random.Random(size).randbytes(size // 2 + 1).hex()[:size]
    if kind == "binary":
        return data.encode()
    # The same number of bytes, with characters of one, two, three and four.
    head = "aé€😀" if size >= 10 else ""
    return head + data[len(head.encode()) :]


class TestMessages:
    @pytest.mark.parametrize("kind", ["text", "binary"])
    @pytest.mark.parametrize("site", ALL, indirect=True)
    def test_sizes(self, connect, kind):
        """Messages of 0 B to 16 MB go there and come back unchanged, in order."""
        connection, received = connect("/echo", compression=None, max_size=None)
        messages = [payload(kind, size) for size in SIZES]
        for message in messages:
            connection.send(message)
        for message in messages:
            # No assert on equality itself: pytest would explain 16 MB.
            got = received.get(timeout=60)
            assert type(got) is type(message)
            assert len(got) == len(message)
            assert (got == message) is True
        assert connection.status is Status.OPENED

    @pytest.mark.parametrize("site", ALL, indirect=True)
    def test_kinds_alternate(self, connect):
        """Text and binary stay what they are when they follow each other closely."""
        connection, received = connect("/echo")
        messages = [payload("text" if i % 2 else "binary", i) for i in range(300)]
        for message in messages:
            connection.send(message)
        assert [received.get(timeout=20) for _ in messages] == messages

    @pytest.mark.parametrize("size", [1, 125, 1000, 70_000])
    @pytest.mark.parametrize("site", sites("websockets", "ws", "nginx"), indirect=True)
    def test_fragments(self, connect, size):
        """Messages that the server sends in fragments are put together."""
        connection, received = connect(f"/fragments?size={size}", compression=None)
        # Text is cut between characters by websockets, and between bytes by ws.
        messages = [payload(kind, 4 * size + 30) for kind in ("text", "binary", "text")]
        for message in messages:
            connection.send(message)
        assert [received.get(timeout=20) for _ in messages] == messages
        assert connection.statistics.messages_received == 3

    @pytest.mark.parametrize("site", sites("websockets", "nginx"), indirect=True)
    def test_compressed_fragments(self, connect):
        """A compressed message that comes in fragments is put together as well."""
        connection, received = connect("/fragments?size=100")
        messages = [payload(kind, 10_000) for kind in ("text", "binary")]
        for message in messages:
            connection.send(message)
        assert [received.get(timeout=20) for _ in messages] == messages


class TestPing:
    @pytest.mark.parametrize("site", ALL, indirect=True)
    def test_of_the_server(self, connect):
        """The server gets a pong with the payload of its ping."""
        _, received = connect("/ping")
        assert received.get(timeout=20) == "answered are you there?"

    @pytest.mark.parametrize("data", [None, "text", b"", b"\xff" * 125])
    @pytest.mark.parametrize("site", ALL, indirect=True)
    def test_of_ours(self, connect, data):
        """Our ping gives the round-trip time."""
        connection, _ = connect("/echo")
        round_trip = connection.ping(data).result(20)
        assert isinstance(round_trip, float)
        assert 0 < round_trip < 20
        assert connection.latency == round_trip

    @pytest.mark.parametrize("site", ALL, indirect=True)
    def test_keepalive(self, connect):
        """A connection that keepalive watches closely stays open."""
        connection, received = connect("/echo", ping_interval=0.05, ping_timeout=20)
        deadline = time.monotonic() + 20
        while connection.latency == 0:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        connection.send("still here")
        assert received.get(timeout=20) == "still here"


def close_of_websockets(site, path):
    """Return the exception that a client of websockets gets where the server closes.

    The asyncio one: the blocking one sometimes hangs while it connects by TLS.
    """

    async def ask():
        async with websockets.asyncio.client.connect(
            site.uri + path, ssl=site.context, proxy=None, open_timeout=20
        ) as client:
            with pytest.raises(websockets.exceptions.ConnectionClosed) as raised:
                await asyncio.wait_for(client.recv(), 20)
            return raised.value

    return asyncio.run(ask())


class TestClose:
    @pytest.mark.parametrize("code", CLOSE_CODES)
    @pytest.mark.parametrize("site", ALL, indirect=True)
    def test_by_the_server(self, site, pool, code):
        """Every legal code of the server is told, and judged as websockets judges it."""
        reason = f"bëcause of {code}"
        path = f"/close?code={code}&reason={quote(reason)}"
        told = []
        connection = pool.get_endpoint().create_new_connection(
            site.uri + path, on_close=lambda *args: told.append(args), **site.options
        )
        assert connection.opened.result(20) is Status.OPENED, connection.error
        connection.wait_closed(20)
        assert connection.status is Status.CLOSED
        assert (connection.close_code, connection.close_reason) == (code, reason)
        assert told == [(connection, code, reason)]

        theirs = close_of_websockets(site, path)
        ours = connection.closed_exception()
        assert type(ours).__name__ == type(theirs).__name__
        assert str(ours) == str(theirs)
        assert (ours.rcvd.code, ours.rcvd.reason) == (theirs.rcvd.code, theirs.rcvd.reason)
        assert (ours.sent.code, ours.sent.reason) == (theirs.sent.code, theirs.sent.reason)
        assert ours.rcvd_then_sent is theirs.rcvd_then_sent is True
        if isinstance(ours, wspool.ConnectionClosedOK):
            assert connection.error is None
        else:
            assert isinstance(connection.error, wspool.ConnectionClosedError)
            assert str(connection.error) == str(theirs)

    @pytest.mark.parametrize("code", [1000, 1001, 1011, 4999])
    @pytest.mark.parametrize("site", ALL, indirect=True)
    def test_by_us(self, connect, site, code):
        """Our close is answered, with the same code by all but aiohttp, which answers 1000."""
        connection, received = connect("/echo")
        connection.send("last words")
        assert received.get(timeout=20) == "last words"
        connection.close(code, "bye")
        connection.wait_closed(20)
        assert connection.close_code == (1000 if site.name == "aiohttp" else code)
        ended = connection.closed_exception()
        assert (ended.sent.code, ended.sent.reason) == (code, "bye")
        assert ended.rcvd_then_sent is False


def agreed_extensions(connection):
    return connection.response.headers.get("Sec-WebSocket-Extensions", "")


class TestHandshake:
    @pytest.mark.parametrize("kind", ["text", "binary"])
    @pytest.mark.parametrize("site", ALL, indirect=True)
    def test_compression(self, connect, site, kind):
        """Compression is agreed on with servers that do it, and messages stay intact both ways."""
        # As shipped, ws compresses only where it is told to.
        path = "/deflate/echo" if site.name == "ws" else "/echo"
        connection, received = connect(path, max_size=None)
        assert agreed_extensions(connection).startswith("permessage-deflate")
        messages = [payload(kind, size) for size in (0, 1, 125, 126, 70_000, 0, 1_000_000)]
        # Later ones refer to earlier ones, where the context is taken over.
        messages += [payload(kind, 5000)] * 20
        for message in messages:
            connection.send(message)
        for message in messages:
            assert (received.get(timeout=60) == message) is True
        size = sum(len(message) for message in messages)
        assert connection.statistics.bytes_received < 0.8 * size

    @pytest.mark.parametrize("site", sites("ws"), indirect=True)
    def test_compression_refused(self, connect):
        """A server that does not compress is talked to without."""
        connection, received = connect("/echo")
        assert agreed_extensions(connection) == ""
        connection.send("plain" * 1000)
        assert received.get(timeout=20) == "plain" * 1000

    @pytest.mark.parametrize("site", ALL, indirect=True)
    def test_compression_not_offered(self, connect):
        """Where we do not offer it, nothing is compressed."""
        connection, received = connect("/echo", compression=None)
        assert agreed_extensions(connection) == ""
        connection.send("plain" * 1000)
        assert received.get(timeout=20) == "plain" * 1000

    @pytest.mark.parametrize(
        ("offered", "chosen"),
        [
            (["chat.v1"], "chat.v1"),
            (["chat.v3", "chat.v2"], "chat.v2"),
            (["chat.v3"], None),
            (None, None),
        ],
    )
    @pytest.mark.parametrize("site", ALL, indirect=True)
    def test_subprotocol(self, connect, offered, chosen):
        """The subprotocol is the one that the server chose."""
        connection, _ = connect("/echo", subprotocols=offered)
        assert connection.subprotocol == chosen

    @pytest.mark.parametrize("site", ALL, indirect=True)
    def test_request(self, connect, site):
        """The server sees path, query, Origin, and the headers that were asked for."""
        headers = [("X-Tag", "a"), ("Authorization", "Bearer abc"), ("X-Tag", "b")]
        _, received = connect(
            "/request?feed=x%20y&z=%C3%A9",
            additional_headers=headers,
            origin="https://example.com",
            user_agent_header="tester/1",
        )
        seen = json.loads(received.get(timeout=20))
        assert seen["path"] == "/request?feed=x%20y&z=%C3%A9"

        def values(name):
            return [value for header, value in seen["headers"] if header == name]

        assert values("x-tag") == ["a", "b"]
        assert values("authorization") == ["Bearer abc"]
        assert values("origin") == ["https://example.com"]
        assert values("user-agent") == ["tester/1"]
        assert values("host") == [site.uri.partition("//")[2]]

    @pytest.mark.parametrize("site", ALL, indirect=True)
    def test_refused(self, site, pool):
        """A refusal makes it FAILED, with the server's answer and its body in the error."""
        told = []
        connection = pool.get_endpoint().create_new_connection(
            site.uri + "/forbidden", on_fail=lambda *args: told.append(args), **site.options
        )
        assert connection.opened.result(20) is Status.FAILED
        connection.wait_closed(20)
        assert isinstance(connection.error, wspool.InvalidStatus)
        assert told == [(connection, connection.error)]
        response = connection.error.response
        assert response.status_code == 403
        assert response.reason_phrase == "Forbidden"
        assert response.body == b"not for you\n"
        assert response.headers["Content-Length"] == "12"
        assert connection.response == response

    @pytest.mark.parametrize(
        "site", ["websockets-tls", "aiohttp-tls", "ws-tls", "nginx-tls"], indirect=True
    )
    def test_untrusted(self, site, pool):
        """Without the authority no TLS server is talked to."""
        connection = pool.get_endpoint().create_new_connection(site.uri + "/echo")
        assert connection.opened.result(20) is Status.FAILED
        assert isinstance(connection.error, ssl.SSLCertVerificationError)
