"""Servers that lie, made of raw sockets, and the same client face for all three APIs."""

import contextlib
import queue
import re
import select
import socket
import ssl
import struct
import sys
import threading
import time

import wspool
from wspool import Status

from .pull_clients import client_of
from .pull_servers import CLOSE, PATIENCE, accept_key, received, wait_until

APIS = ("sync", "asyncio", "callbacks")
DEFLATE = "permessage-deflate"
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\n"
UPGRADE = b"Upgrade: websocket\r\nConnection: Upgrade\r\n"


class Gone(Exception):
    """The client ended the connection, or the test is over."""


class Peer:
    """The server's end of one connection; its own thread only."""

    def __init__(self, server, sock):
        self.server = server
        self.sock = sock
        self.request = b""
        self.data = bytearray()

    def read_request(self):
        """Read the opening request; returns the key that its answer must stand for."""
        while b"\r\n\r\n" not in self.data:
            self.data += received(self.sock, 4096)
        head, _, rest = bytes(self.data).partition(b"\r\n\r\n")
        self.data = bytearray(rest)
        self.request = head
        self.server.requests.append(head.decode("latin-1"))
        return re.search(rb"(?im)^sec-websocket-key: *(\S+)", head)[1].decode()

    def accept(self):
        """Return the line that answers the request's key, with UPGRADE before it."""
        return UPGRADE + f"Sec-WebSocket-Accept: {accept_key(self.read_request())}\r\n".encode()

    def shake(self, *lines):
        """Answer the opening handshake, with further header lines."""
        further = "".join(f"{line}\r\n" for line in lines).encode("latin-1")
        self.send(SWITCH + self.accept() + further + b"\r\n")

    def send(self, *chunks):
        """Send bytes."""
        self.sock.sendall(b"".join(chunks))

    def take_frame(self):
        """Take a frame out of what was read: (opcode, rsv1, payload), or None."""
        if len(self.data) < 2:
            return None
        size, at = self.data[1] & 0x7F, 2
        if size >= 126:
            kind, at = ("!H", 4) if size == 126 else ("!Q", 10)
            if len(self.data) < at:
                return None
            (size,) = struct.unpack_from(kind, self.data, 2)
        if len(self.data) < at + 4 + size:
            return None
        assert self.data[1] & 0x80, "clients mask"
        key = bytes(self.data[at : at + 4])
        masked = bytes(self.data[at + 4 : at + 4 + size])
        first = self.data[0]
        del self.data[: at + 4 + size]
        whole = int.from_bytes((key * (size // 4 + 1))[:size], "big")
        payload = (int.from_bytes(masked, "big") ^ whole).to_bytes(size, "big")
        if first & 0xF == CLOSE:
            code = struct.unpack("!H", payload[:2])[0] if payload else None
            self.server.closes.append((code, payload[2:].decode()))
        return first & 0xF, bool(first & 0x40), payload

    def frames(self):
        """Yield what the client sends, to its end."""
        while True:
            while (frame := self.take_frame()) is not None:
                yield frame
            try:
                data = self.sock.recv(2**16)
            except ConnectionResetError:
                data = b""
            if not data:
                return
            self.data += data

    def until(self, opcode):
        """Read up to a frame of that kind; returns its payload."""
        for got, _, payload in self.frames():
            if got == opcode:
                return payload
        raise Gone

    def flood(self, chunk, most=None, *, reads=True):
        """Send the same bytes again and again, and read meanwhile if so wanted.

        Ends with Gone when the client closes or the test is over, or after `most` chunks.
        """
        count = 0
        rest = memoryview(chunk)
        self.sock.setblocking(False)
        try:
            while count != most:
                readable, writable, _ = select.select(
                    [self.sock] if reads else [], [self.sock], [], 0.05
                )
                if self.server.over.is_set():
                    raise Gone
                if readable:
                    self.data += received(self.sock, 2**16)
                    while self.take_frame() is not None:
                        pass
                if writable:
                    rest = rest[self.sock.send(rest) :]
                    self.server.flooded += 1
                    if not rest:
                        rest = memoryview(chunk)
                        count += 1
        finally:
            self.sock.settimeout(PATIENCE)

    def drip(self, chunk):
        """Send bytes one at a time, several a second, for ever; each is progress of a kind."""
        while True:
            for byte in chunk:
                self.sock.sendall(bytes([byte]))
                if self.server.over.wait(0.1):
                    raise Gone

    def reset(self):
        """Break the connection off with RST instead of FIN."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def hold(self):
        """Neither read nor send nor end, until the test is over."""
        self.server.over.wait(2 * PATIENCE)
        raise Gone


class LyingServer:
    """Calls behave(peer) for each connection, in a thread of its own.

    Attributes:
        closes: What the clients' close frames said: (code, reason).
        requests: The heads of the opening requests.
        ended: How many connections behave() is done with.
        flooded: How often `Peer.flood` could send something.
        over: Set when the test is.
    """

    def __init__(self, behave, *, tls=None, host="127.0.0.1"):
        self.closes = []
        self.requests = []
        self.ended = 0
        self.flooded = 0
        self.over = threading.Event()
        self._behave = behave
        self._tls = tls
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, 0), family=family)
        self.port = self._listener.getsockname()[1]
        scheme, name = ("ws", host) if tls is None else ("wss", "localhost")
        self.uri = f"{scheme}://{f'[{name}]' if ':' in name else name}:{self.port}/"
        self._threads = [threading.Thread(target=self._accept)]
        self._peers = []
        self._errors = []

    def __enter__(self):
        self._threads[0].start()
        return self

    def __exit__(self, kind, *_):
        self.over.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for peer in self._peers:
            with contextlib.suppress(OSError):  # it may have ended
                peer.sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(2 * PATIENCE)
            assert not thread.is_alive(), "the server does not end"
        if self._errors and kind is None:
            raise self._errors[0]

    def close_seen(self):
        """Wait for the close frame of the first client that sends one: (code, reason)."""
        wait_until(lambda: self.closes)
        return self.closes[0]

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                self._threads.append(threading.Thread(target=self._serve, args=(sock,)))
                self._threads[-1].start()

    def _serve(self, sock):
        peer = Peer(self, sock)
        self._peers.append(peer)
        try:
            sock.settimeout(PATIENCE)
            if self._tls is not None:
                peer.sock = self._tls.wrap_socket(sock, server_side=True)
            self._behave(peer)
        except (Gone, OSError):
            pass
        except BaseException as error:  # noqa: BLE001
            self._errors.append(error)  # raised where the test sees it
        finally:
            peer.sock.close()
            sock.close()
            self.ended += 1


def after_handshake(behave, *lines):
    """Return what answers the handshake as it should be, then behaves."""

    def whole(peer):
        peer.shake(*lines)
        behave(peer)

    return whole


def sends(*chunks, deflate=False):
    """Return what sends bytes after the handshake, and ends TCP behind the client's close frame."""

    def behave(peer):
        peer.send(*chunks)
        peer.until(CLOSE)

    return after_handshake(behave, *([f"Sec-WebSocket-Extensions: {DEFLATE}"] if deflate else []))


def shakes(*lines, status=SWITCH, upgrade=UPGRADE, accept=None):
    """Return what answers the opening handshake with something else, and waits for the end."""

    def behave(peer):
        right = accept_key(peer.read_request())
        head = [f"Sec-WebSocket-Accept: {right if accept is None else accept}", *lines, "", ""]
        peer.send(status + upgrade + "\r\n".join(head).encode("latin-1"))
        for _ in peer.frames():
            pass

    return behave


class CallbackClient:
    """Connections by `create_new_connection`, with the same face as the other two."""

    def __init__(self):
        #: What is kept of a message.
        self.take = lambda message: message.text if message.is_text else bytes(message)

    def connect(self, uri, *, pool, **options):
        """Connect; raises what `on_fail` gets."""
        return Heard(uri, pool, self.take, options)

    def close(self):
        """Nothing is left to end."""


class Heard:
    """A connection by callbacks."""

    def __init__(self, uri, pool, take, options):
        self.messages = queue.SimpleQueue()
        self.calls = []
        self.connection = pool[0].create_new_connection(
            uri,
            on_open=lambda _: self.calls.append("open"),
            on_message=lambda _, message: self.messages.put(take(message)),
            on_close=self.ended,
            on_fail=lambda *_: self.calls.append("fail"),
            on_error=lambda _, error: self.calls.append(error),
            **options,
        )
        opened = self.connection.opened.result(PATIENCE)
        assert self.calls[:1] == ["open" if opened is Status.OPENED else "fail"]
        if opened is Status.FAILED:
            # Nothing comes behind the failure: neither on_open nor on_close.
            self.connection.wait_closed(PATIENCE)
            assert self.calls == ["fail"]
            raise self.connection.error

    def ended(self, *args):
        self.calls.append("close")
        self.messages.put(None)

    def __getattr__(self, name):
        return getattr(self.connection, name)

    def recv(self, timeout=PATIENCE):
        """Return the next message."""
        message = self.messages.get(timeout=timeout)
        if message is None:
            self.messages.put(None)
            self.connection.wait_closed(PATIENCE)
            assert self.calls == ["open", "close"]
            raise self.connection.closed_exception()
        return message


class User:
    """Connects by one of the three APIs, all on one endpoint."""

    def __init__(self, api, pool):
        self.api = api
        self.pool = pool
        self.client = CallbackClient() if api == "callbacks" else client_of(api)
        self.connections = []

    def open(self, server, **options):
        """Connect; raises what the API raises."""
        uri = server if isinstance(server, str) else server.uri
        options.setdefault("close_timeout", 1)
        connection = self.client.connect(uri, pool=self.pool, **options)
        self.connections.append(connection)
        return connection

    def ending(self, server, **options):
        """Connect and receive to the end: messages, and the exception."""
        return ending(self.open(server, **options))

    def close(self):
        """End what is left."""
        for connection in self.connections:
            connection.abort()
        self.client.close()


def ending(connection):
    """Receive to the end; returns the messages before it, and the exception that says it."""
    messages = []
    while True:
        try:
            messages.append(connection.recv(timeout=PATIENCE))
        except wspool.ConnectionClosed as closed:
            return messages, closed


class Neighbour:
    """A connection on the same endpoint that must not notice anything."""

    def __init__(self, uri, pool):
        self.ws = wspool.connect(uri, pool=pool)
        self.trips = 0
        self.longest = 0.0
        self.error = None
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        """Talk."""
        try:
            while not self.over.is_set():
                began = time.monotonic()
                self.ws.send(str(self.trips))
                assert self.ws.recv(timeout=PATIENCE) == str(self.trips)
                self.longest = max(self.longest, time.monotonic() - began)
                self.trips += 1
                self.over.wait(0.005)
        except BaseException as error:  # noqa: BLE001
            self.error = error

    def check(self):
        """It talks still, and never had to wait long."""
        trips = self.trips
        wait_until(lambda: self.trips > trips + 1 or self.error)
        assert self.error is None
        assert self.longest < 5, "the endpoint's other connections had to wait"

    def close(self):
        """End."""
        self.over.set()
        self.thread.join()
        self.ws.close()


def resident(name="VmRSS"):
    """Return the memory of this process in bytes; 0 where /proc does not tell."""
    if sys.platform != "linux":
        return 0
    with open("/proc/self/status", encoding="ascii") as status:
        return int(re.search(rf"{name}:\s+(\d+) kB", status.read())[1]) * 1024


@contextlib.contextmanager
def grows_at_most(size):
    """The process may not take so much more memory meanwhile, not even for a moment."""
    with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w") as refs:
        refs.write("5")  # the peak counts anew from here
    before = resident()
    yield
    grown = resident("VmHWM") - before
    print(f"memory grew by {grown / 2**20:.1f} MB")
    assert grown < size


def server_tls(folder, **options):
    """Return a server's context for the certificates in a folder."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    for name, value in options.items():
        setattr(context, name, value)
    return context
