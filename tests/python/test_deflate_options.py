"""compression=Deflate(...): what is offered, agreed on, and kept."""

import asyncio
import contextlib
import re
import socket
import threading
import zlib

import pytest
from aiohttp import web
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.sync.server import serve
from websockets.utils import accept_key

import wspool
from wspool import Deflate, EndpointPool, Options, Status

SETTINGS = [
    Deflate(),
    Deflate(client_max_window_bits=9, server_max_window_bits=9),
    Deflate(client_max_window_bits=11, server_max_window_bits=13, level=9),
    Deflate(client_no_context_takeover=True),
    Deflate(server_no_context_takeover=True),
    Deflate(
        client_max_window_bits=10,
        server_max_window_bits=10,
        client_no_context_takeover=True,
        server_no_context_takeover=True,
        level=6,
    ),
]
# With repetitions at distances around every size of a window.
MESSAGES = [
    "x" * 10,
    "".join(f"{i * 7919 % 10007} " for i in range(1000)) * 3,
    *["the same again, and again" * 10] * 3,
    "".join(chr(0x100 + i * i % 5003) for i in range(20_000)) * 2,
]


@pytest.fixture(scope="module")
def pool():
    """A private pool of two endpoints."""
    with EndpointPool(2) as pool:
        yield pool


@contextlib.contextmanager
def websockets_server(**options):
    """An echo server by `websockets`; yields its URI."""

    def echo(connection):
        for message in connection:
            connection.send(message)

    with serve(echo, "127.0.0.1", 0, **options) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def aiohttp_uri():
    """The URI of an echo server by `aiohttp`."""

    async def echo(request):
        connection = web.WebSocketResponse()
        await connection.prepare(request)
        async for message in connection:
            await connection.send_str(message.data)
        return connection

    started = threading.Event()
    loop = asyncio.new_event_loop()
    ports = []
    stop = asyncio.Event()

    async def main():
        application = web.Application()
        application.add_routes([web.get("/", echo)])
        runner = web.AppRunner(application, shutdown_timeout=1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        ports.append(runner.addresses[0][1])
        started.set()
        await stop.wait()
        await runner.cleanup()

    thread = threading.Thread(target=lambda: loop.run_until_complete(main()))
    thread.start()
    assert started.wait(10)
    yield f"ws://127.0.0.1:{ports[0]}"
    loop.call_soon_threadsafe(stop.set)
    thread.join()
    loop.close()


class DeflatingPeer:
    """A server in plain sight: agrees to what it is told to, and keeps the payloads it gets."""

    def __init__(self, answer):
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.uri = f"ws://127.0.0.1:{self._listener.getsockname()[1]}"
        self.offer = None
        self.payloads = []
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._thread.join()
        self._listener.close()

    def _serve(self):
        self._listener.settimeout(20)
        sock, _ = self._listener.accept()
        with sock, sock.makefile("rwb") as file:
            sock.settimeout(20)
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += file.readline()
            self.offer = re.search(rb"Sec-WebSocket-Extensions: (.*)\r", head)[1].decode()
            key = re.search(rb"Sec-WebSocket-Key: (.*)\r", head)[1].decode()
            file.write(
                "HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                f"Sec-WebSocket-Accept: {accept_key(key)}\r\n"
                f"Sec-WebSocket-Extensions: {self._answer}\r\n\r\n".encode()
            )
            file.flush()
            while (frame := self._frame(file)) is not None:
                first, payload = frame
                if first & 0x0F == 8:
                    file.write(b"\x88\x02\x03\xe8")
                    return
                assert first == 0xC1, "each is one compressed text frame"
                self.payloads.append(payload)

    @staticmethod
    def _frame(file):
        header = file.read(2)
        if len(header) < 2:
            return None
        size = header[1] & 0x7F
        if size >= 126:
            size = int.from_bytes(file.read(2 if size == 126 else 8), "big")
        mask = file.read(4)
        payload = file.read(size)
        return header[0], bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))


def sent_to(pool, answer, messages, setting):
    """Send messages to a peer that agrees to `answer`; returns the peer."""
    with DeflatingPeer(answer) as peer:
        connection = pool.get_endpoint().create_new_connection(peer.uri, compression=setting)
        assert connection.opened.result(10) is Status.OPENED, connection.error
        with connection:
            for message in messages:
                connection.send(message)
    assert len(peer.payloads) == len(messages)
    return peer


def inflated(payloads, window_bits):
    """Inflate the payloads of messages in one context (RFC 7692 section 7.2.2)."""
    inflater = zlib.decompressobj(-window_bits)
    return [inflater.decompress(p + b"\x00\x00\xff\xff").decode() for p in payloads]


def round_trip(pool, uri, setting):
    """Send all messages, expect them back; returns what was agreed on."""
    received = []
    complete = threading.Event()

    def on_message(connection, message):
        received.append(message.text)
        if len(received) == len(MESSAGES):
            complete.set()

    connection = pool.get_endpoint().create_new_connection(
        uri, on_message=on_message, compression=setting
    )
    assert connection.opened.result(10) is Status.OPENED, connection.error
    with connection:
        for message in MESSAGES:
            connection.send(message)
        assert complete.wait(20)
        assert received == MESSAGES
        plain = sum(len(message.encode()) for message in MESSAGES)
        assert connection.statistics.bytes_sent < plain
        assert connection.statistics.bytes_received < plain
    header = connection.response.headers["Sec-WebSocket-Extensions"]
    return [parameter.strip() for parameter in header.split(";")]


class TestNegotiation:
    @pytest.mark.parametrize(
        ("setting", "offer", "answer"),
        [
            (
                "deflate",
                "permessage-deflate; client_max_window_bits",
                "permessage-deflate",
            ),
            (
                Deflate(),
                "permessage-deflate; client_max_window_bits",
                "permessage-deflate; client_max_window_bits=9",
            ),
            (
                SETTINGS[5],
                "; ".join(
                    [
                        *("permessage-deflate", "server_no_context_takeover"),
                        *("client_no_context_takeover", "server_max_window_bits=10"),
                        "client_max_window_bits=10",
                    ]
                ),
                "permessage-deflate; server_no_context_takeover; server_max_window_bits=9",
            ),
        ],
    )
    def test_offer(self, pool, setting, offer, answer):
        """The offer says what was set (RFC 7692 section 7.1), and the answer may say less."""
        assert sent_to(pool, answer, ["x" * 100], setting).offer == offer

    @pytest.mark.parametrize("setting", SETTINGS)
    def test_websockets(self, pool, setting):
        """A server by websockets agrees to all of it, and messages go both ways."""
        factory = ServerPerMessageDeflateFactory()
        with websockets_server(compression=None, extensions=[factory]) as uri:
            agreed = round_trip(pool, uri, setting)
        assert agreed[0] == "permessage-deflate"
        for name in ("server_max_window_bits", "client_max_window_bits"):
            bits = getattr(setting, name)
            assert (f"{name}={bits}" in agreed) is (bits < 15)
        for name in ("server_no_context_takeover", "client_no_context_takeover"):
            assert (name in agreed) is getattr(setting, name)

    @pytest.mark.parametrize("setting", SETTINGS)
    def test_websockets_that_wants_less(self, pool, setting):
        """As shipped it asks for windows of 12 bits where more is offered."""
        with websockets_server() as uri:
            agreed = round_trip(pool, uri, setting)
        for name in ("server_max_window_bits", "client_max_window_bits"):
            assert f"{name}={min(getattr(setting, name), 12)}" in agreed

    @pytest.mark.parametrize("setting", SETTINGS)
    def test_aiohttp(self, pool, aiohttp_uri, setting):
        """A server by aiohttp agrees to what concerns it, and messages go both ways."""
        agreed = round_trip(pool, aiohttp_uri, setting)
        bits = setting.server_max_window_bits
        assert (f"server_max_window_bits={bits}" in agreed) is (bits < 15)
        assert ("server_no_context_takeover" in agreed) is setting.server_no_context_takeover

    @pytest.mark.parametrize(
        ("setting", "answer"),
        [
            (Deflate(server_max_window_bits=10), "permessage-deflate"),
            (
                Deflate(server_max_window_bits=10),
                "permessage-deflate; server_max_window_bits=11",
            ),
            (Deflate(server_no_context_takeover=True), "permessage-deflate"),
            (
                Deflate(client_max_window_bits=10),
                "permessage-deflate; client_max_window_bits=11",
            ),
        ],
    )
    def test_broken_promise(self, pool, setting, answer):
        """A server that agrees to more than was offered fails the handshake."""
        with DeflatingPeer(answer) as peer:
            connection = pool[0].create_new_connection(peer.uri, compression=setting)
            assert connection.opened.result(10) is Status.FAILED
        assert isinstance(connection.error, wspool.NegotiationError)
        assert "permessage-deflate" in str(connection.error)


class TestBounds:
    def test_window(self, pool):
        """What we send needs no larger window than the one that was set, or agreed on."""
        small = Deflate(client_max_window_bits=9)
        for setting, answer in (
            (small, "permessage-deflate"),
            (Deflate(), "permessage-deflate; client_max_window_bits=9"),
        ):
            peer = sent_to(pool, answer, MESSAGES[1:], setting)
            assert inflated(peer.payloads, 9) == MESSAGES[1:]
        peer = sent_to(pool, "permessage-deflate", MESSAGES[1:], Deflate())
        assert inflated(peer.payloads, 15) == MESSAGES[1:]
        with pytest.raises(zlib.error, match="too far back"):
            inflated(peer.payloads, 9)

    def test_context(self, pool):
        """Without context takeover each message can be inflated by itself, and is as large."""
        messages = ["the same again" * 10] * 3
        alone = Deflate(client_no_context_takeover=True)
        for setting, answer in (
            (alone, "permessage-deflate"),
            (Deflate(), "permessage-deflate; client_no_context_takeover"),
        ):
            payloads = sent_to(pool, answer, messages, setting).payloads
            assert [inflated([p], 15)[0] for p in payloads] == messages
            assert len({len(p) for p in payloads}) == 1
        payloads = sent_to(pool, "permessage-deflate", messages, Deflate()).payloads
        assert inflated(payloads, 15) == messages
        assert len(payloads[1]) < len(payloads[0])

    def test_level(self, pool):
        """A higher level makes messages smaller."""
        message = "".join(f'{{"id":{i},"price":{i * 37 % 1009}}}' for i in range(3000))
        fast, small = (
            len(sent_to(pool, "permessage-deflate", [message], Deflate(level=level)).payloads[0])
            for level in (1, 9)
        )
        assert small < fast


class TestSettings:
    @pytest.mark.parametrize(
        ("name", "value", "kind"),
        [
            ("client_max_window_bits", 8, ValueError),
            ("client_max_window_bits", 16, ValueError),
            ("client_max_window_bits", None, TypeError),
            ("client_max_window_bits", True, TypeError),
            ("server_max_window_bits", 7, ValueError),
            ("server_max_window_bits", 16, ValueError),
            ("server_max_window_bits", "15", TypeError),
            ("client_no_context_takeover", 1, TypeError),
            ("server_no_context_takeover", None, TypeError),
            ("level", 0, ValueError),
            ("level", 10, ValueError),
            ("level", 1.0, TypeError),
        ],
    )
    def test_bad(self, name, value, kind):
        """A bad setting is refused, and the text names it."""
        with pytest.raises(kind, match=name):
            Deflate(**{name: value})

    def test_positional(self):
        """All settings are named."""
        with pytest.raises(TypeError):
            Deflate(15)

    def test_value(self):
        """Equal settings are equal, immutable and shown."""
        assert Deflate(level=3) == Deflate(level=3) != Deflate()
        assert "level=3" in repr(Options.from_kwargs(compression=Deflate(level=3)))
        with pytest.raises(AttributeError):
            Deflate().level = 2

    def test_all_that_are_taken_are_taken_by_the_core(self, pool):
        """The core refuses none of the extremes."""
        for setting in (
            Deflate(client_max_window_bits=9, server_max_window_bits=8, level=1),
            Deflate(client_max_window_bits=15, server_max_window_bits=15, level=9),
        ):
            pool[0].create_new_connection("ws://127.0.0.1:1/", compression=setting).abort()
