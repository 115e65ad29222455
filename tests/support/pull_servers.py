"""Servers for the tests of the blocking and asyncio APIs."""

import contextlib
import socket
import struct
import threading
import time

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import serve
from websockets.utils import accept_key

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
#: Seconds; machines that run tests are slow.
PATIENCE = 30


def wait_until(condition, timeout=PATIENCE):
    """Wait until a condition holds; returns what it says."""
    deadline = time.monotonic() + timeout
    while not (result := condition()):
        assert time.monotonic() < deadline, "not within the time"
        time.sleep(0.005)
    return result


@contextlib.contextmanager
def websockets_server(handler, **options):
    """A server by `websockets`; yields its URI.

    What handler(connection) raises, but for the end of its connection, is raised at the end.
    """
    options.setdefault("compression", None)
    options.setdefault("max_size", None)
    errors = []

    def guarded(connection):
        try:
            handler(connection)
        except ConnectionClosed:
            pass
        except BaseException as error:
            errors.append(error)
            raise

    with serve(guarded, "127.0.0.1", 0, **options) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            scheme = "wss://localhost" if "ssl" in options else "ws://127.0.0.1"
            yield f"{scheme}:{server.socket.getsockname()[1]}"
        finally:
            server.shutdown()
            thread.join()
    if errors:
        raise errors[0]


def sending(*messages, close=None):
    """Return a handler that sends messages, then closes, or else waits for the client to go."""

    def handler(connection):
        for message in messages:
            connection.send(message)
        if close is not None:
            connection.close(*close)
        for _ in connection:
            pass

    return handler


def echo(connection):
    """Send every message back."""
    for message in connection:
        connection.send(message)


@contextlib.contextmanager
def raw_server(answer):
    """A server that calls answer(socket) for each connection; yields its URI."""
    listener = socket.create_server(("127.0.0.1", 0))
    threads = []

    def work(sock):
        with sock, contextlib.suppress(OSError):
            sock.settimeout(2 * PATIENCE)
            answer(sock)

    def accept():
        with contextlib.suppress(OSError):
            while True:
                sock, _ = listener.accept()
                threads.append(threading.Thread(target=work, args=(sock,)))
                threads[-1].start()

    acceptor = threading.Thread(target=accept)
    acceptor.start()
    try:
        yield f"ws://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        acceptor.join()
        for thread in threads:
            thread.join()


def frame_server(behave, extensions=""):
    """A server that upgrades each connection and calls behave(socket); yields its URI."""

    def answer(sock):
        upgrade(sock, extensions)
        behave(sock)

    return raw_server(answer)


def upgrade(sock, extensions=""):
    """Answer the opening handshake; extensions is the value of Sec-WebSocket-Extensions."""
    request = b""
    while b"\r\n\r\n" not in request:
        request += received(sock, 4096)
    (key,) = (
        line.split(": ", 1)[1]
        for line in request.decode().split("\r\n")
        if line.lower().startswith("sec-websocket-key:")
    )
    sock.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        + f"Sec-WebSocket-Accept: {accept_key(key)}\r\n".encode()
        + (f"Sec-WebSocket-Extensions: {extensions}\r\n".encode() if extensions else b"")
        + b"\r\n"
    )


def received(sock, size):
    """Return at least one byte; OSError at the end."""
    data = sock.recv(size)
    if not data:
        raise OSError("end")
    return data


def frame(payload=b"", opcode=TEXT, *, fin=True, rsv1=False):
    """Return a frame as a server sends it (RFC 6455 section 5.2)."""
    head = fin << 7 | rsv1 << 6 | opcode
    size = len(payload)
    if size < 126:
        return struct.pack("!BB", head, size) + payload
    if size < 65536:
        return struct.pack("!BBH", head, 126, size) + payload
    return struct.pack("!BBQ", head, 127, size) + payload


def fragments(payloads, opcode=TEXT):
    """Return the frames of one message."""
    last = len(payloads) - 1
    return b"".join(
        frame(payload, CONTINUATION if i else opcode, fin=i == last)
        for i, payload in enumerate(payloads)
    )


class Frames:
    """Reads what a client sends: iterating gives (opcode, fin, payload) until its end."""

    def __init__(self, sock):
        self.sock = sock
        self.data = bytearray()

    def take(self, size):
        while len(self.data) < size:
            self.data += received(self.sock, 2**18)
        taken = bytes(self.data[:size])
        del self.data[:size]
        return taken

    def read(self):
        first, second = self.take(2)
        size = second & 0x7F
        if size == 126:
            (size,) = struct.unpack("!H", self.take(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", self.take(8))
        assert second & 0x80, "clients mask"
        mask = self.take(4)
        payload = self.take(size)
        key = int.from_bytes((mask * (size // 4 + 1))[:size], "big")
        return (
            first & 0xF,
            bool(first & 0x80),
            (int.from_bytes(payload, "big") ^ key).to_bytes(size, "big"),
        )

    def __iter__(self):
        with contextlib.suppress(OSError):
            while True:
                yield self.read()


def finish(sock, frames=None):
    """Read on until the client's close frame, and answer it."""
    for opcode, _, payload in frames or Frames(sock):
        if opcode == PING:
            sock.sendall(frame(payload, PONG))
        if opcode == CLOSE:
            sock.sendall(frame(payload, CLOSE))
            return
