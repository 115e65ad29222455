"""A server that does what a list of steps says, and remembers what it saw.

It is made of raw sockets, so that it can do what no server should: break off anywhere, reset,
send frames that are not allowed, answer nothing. It waits for things, never for time, and for
nothing longer than ``PATIENCE``: then it notes that it was stuck and resets the connection.
"""

from __future__ import annotations

import base64
import hashlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Sequence
from typing import TypeAlias

from . import frames

PATIENCE = 4.0  # seconds
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3

Step: TypeAlias = "Callable[[Peer], None]"
Script: TypeAlias = "Sequence[Step]"


class Signals:
    """Named events between the script of the server and the steps of the client."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._events: dict[str, threading.Event] = {}

    def _event(self, name: str) -> threading.Event:
        with self._lock:
            return self._events.setdefault(name, threading.Event())

    def tell(self, name: str) -> None:
        """Let whoever waits for it go on."""
        self._event(name).set()

    def wait_for(self, name: str) -> None:
        """Wait until it is told."""
        if not self._event(name).wait(PATIENCE):
            raise TimeoutError(f"nobody told {name!r}")


class Peer:
    """The server's end of one connection; its own thread only."""

    def __init__(self, connection: socket.socket, signals: Signals) -> None:
        self.socket = connection
        self.socket.settimeout(PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.signals = signals
        self.request = b""
        self.saw: list[object] = []
        self.ended = False
        self.closed = False  # by a close frame of the client
        self._received = bytearray()

    def run(self, script: Script) -> None:
        """Do the steps; then end TCP in order, and read until the client ends it too."""
        try:
            for step in script:
                step(self)
            if self.socket.fileno() != -1:
                finish(self)
        except TimeoutError:
            self.note_end("stuck")
            reset(self)
        except OSError:
            self.note_end("RST")
        finally:
            self.socket.close()

    def start_tls(self, context: ssl.SSLContext) -> bool:
        """Shake hands; returns whether the client liked it."""
        try:
            self.socket = context.wrap_socket(self.socket, server_side=True)
        except OSError:
            self.saw.append("no TLS")
            self.socket.close()
            return False
        return True

    def read_request(self) -> bytes:
        """Read the opening request, once."""
        while b"\r\n\r\n" not in self._received and not self.ended:
            self.read_more()
        if not self.request:
            head, _, rest = bytes(self._received).partition(b"\r\n\r\n")
            self.request = head
            self._received = bytearray(rest)
        return self.request

    def read_frame(self) -> tuple[bool, int, bytes] | None:
        """Read a frame: fin, opcode, payload unmasked; None at the end."""
        head = self._take(2)
        if head is None:
            return None
        length = head[1] & 0x7F
        if length >= 126:
            kind = "!H" if length == 126 else "!Q"
            longer = self._take(struct.calcsize(kind))
            if longer is None:
                return None
            (length,) = struct.unpack(kind, longer)
        mask = self._take(4)
        masked = self._take(length)
        if mask is None or masked is None:
            return None
        if not head[1] & 0x80 or head[0] & 0x70:
            self.saw.append("a frame without mask, or with reserved bits")
        return bool(head[0] & 0x80), head[0] & 0x0F, frames.unmask(mask, masked)

    def _take(self, size: int) -> bytes | None:
        while len(self._received) < size:
            if self.ended:
                return None
            self.read_more()
        taken = bytes(self._received[:size])
        del self._received[:size]
        return taken

    def read_more(self) -> None:
        """Read what there is, and note the end."""
        try:
            data = self.socket.recv(65536)
        except TimeoutError:
            raise
        except OSError:
            self.note_end("RST")
            return
        if not data:
            self.note_end("EOF")
        self._received += data

    def note_end(self, how: str) -> None:
        """Remember how the client ended TCP."""
        if not self.ended:
            self.ended = True
            self.saw.append(how)

    def note(self, fin: bool, opcode: int, payload: bytes) -> None:
        """Remember a frame, as something comparable."""
        name = frames.NAMES.get(opcode, f"opcode {opcode}") + ("" if fin else "...")
        if opcode == frames.CLOSE:
            self.closed = True
            code = struct.unpack("!H", payload[:2])[0] if payload else None
            self.saw.append((name, code, payload[2:].decode()))
        elif opcode == frames.PING and len(payload) == 4:
            # Keepalive pings, and those with a random payload: that there are some is enough.
            if (name, "any") not in self.saw:
                self.saw.append((name, "any"))
        else:
            self.saw.append((name, payload))


class ScriptedServer:
    """A server for one case: the first connection gets the first script, and so on.

    As a context manager it ends when its scripts have; from then on ``saw`` is complete.
    """

    def __init__(self, *scripts: Script, tls: ssl.SSLContext | None = None) -> None:
        self.signals = Signals()
        self.saw: list[list[object]] = []
        self._scripts = scripts
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(PATIENCE)
        self.port: int = self._listener.getsockname()[1]
        # Bound, so that nobody else takes it, and refusing connections.
        self._closed = socket.socket()
        self._closed.bind(("127.0.0.1", 0))
        self.closed_port: int = self._closed.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._error: BaseException | None = None

    def __enter__(self) -> ScriptedServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        try:
            # Wakes accept(): the client connects no more.
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._thread.join(4 * PATIENCE)
        self._listener.close()
        self._closed.close()
        assert not self._thread.is_alive(), "a script does not end"
        if self._error is not None:
            raise self._error

    def _serve(self) -> None:
        try:
            for script in self._scripts:
                try:
                    connection, _ = self._listener.accept()
                except OSError:
                    return
                peer = Peer(connection, self.signals)
                self.saw.append(peer.saw)
                if self._tls is None or peer.start_tls(self._tls):
                    peer.run(script)
        except BaseException as error:  # noqa: BLE001
            self._error = error  # raised where the test sees it


# --- steps: the opening handshake -----------------------------------------------------------------


def accept_key(request: bytes) -> str:
    """Return the value of Sec-WebSocket-Accept for a request (RFC 6455 section 4.2.2)."""
    for line in request.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"sec-websocket-key":
            return base64.b64encode(hashlib.sha1(value.strip() + GUID).digest()).decode()
    return "no key"


def shake(
    *further: str, status: str = "HTTP/1.1 101 Switching Protocols", **changed: object
) -> Step:
    """Answer the opening request.

    Args:
        further: Further header lines.
        status: The status line.
        changed: Headers with another value; None leaves one out: ``upgrade``, ``connection``,
            ``accept``.
    """

    def step(peer: Peer) -> None:
        headers = {
            "upgrade": "websocket",
            "connection": "Upgrade",
            "accept": accept_key(peer.read_request()),
            **changed,
        }
        names = {"accept": "Sec-WebSocket-Accept"}
        lines = [
            f"{names.get(name, name.title())}: {value}"
            for name, value in headers.items()
            if value is not None
        ]
        head = "\r\n".join([status, *lines, *further, "", ""])
        peer.socket.sendall(head.encode("latin-1"))

    return step


DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate"


def answer(data: bytes | str) -> Step:
    """Answer the opening request with these bytes, whatever they are."""

    def step(peer: Peer) -> None:
        peer.read_request()
        peer.socket.sendall(data.encode("latin-1") if isinstance(data, str) else data)

    return step


def read_request(peer: Peer) -> None:
    """Read the opening request and answer nothing."""
    peer.read_request()


# --- steps: the open connection -------------------------------------------------------------------


def send(*chunks: bytes) -> Step:
    """Send bytes, all at once."""

    def step(peer: Peer) -> None:
        peer.socket.sendall(b"".join(chunks))

    return step


def read_until(*kinds: str, pongs: bool = True, instead: bytes | None = None) -> Step:
    """Read frames up to one of a kind, or the end.

    Args:
        kinds: ``close``, ``text`` and so on; none reads up to the end.
        pongs: Whether pings are answered.
        instead: Sent instead of pongs.
    """

    def step(peer: Peer) -> None:
        while (got := peer.read_frame()) is not None:
            fin, opcode, payload = got
            peer.note(fin, opcode, payload)
            if opcode == frames.PING and (pongs or instead):
                pong = frames.frame(frames.PONG, payload)
                peer.socket.sendall(pong if instead is None else instead)
            if fin and frames.NAMES.get(opcode) in kinds:
                return

    return step


def read_some(peer: Peer) -> None:
    """Read a little of what comes."""
    peer.read_more()


def count_pings(number: int, instead: bytes | None = None) -> Step:
    """Read frames up to so many pings, answering each; or up to a close frame."""

    def step(peer: Peer) -> None:
        for _ in range(number):
            if not peer.closed:
                read_until("ping", "close", instead=instead)(peer)

    return step


def echo_close(peer: Peer) -> None:
    """Read up to the client's close frame and send it back; nothing if there was one."""
    while not peer.closed and (got := peer.read_frame()) is not None:
        peer.note(*got)
        if got[1] == frames.PING:
            peer.socket.sendall(frames.frame(frames.PONG, got[2]))
        if got[1] == frames.CLOSE:
            peer.socket.sendall(frames.frame(frames.CLOSE, got[2]))


def tell(name: str) -> Step:
    """Let the client's step ``wait_for`` go on."""
    return lambda peer: peer.signals.tell(name)


def wait_for(name: str) -> Step:
    """Wait for the client's step ``tell``."""
    return lambda peer: peer.signals.wait_for(name)


# --- steps: the end -------------------------------------------------------------------------------


def finish(peer: Peer) -> None:
    """End TLS and TCP on this side, then read to the end. So ends every script unless it says."""
    if isinstance(peer.socket, ssl.SSLSocket) and not peer.ended:
        try:
            peer.socket = peer.socket.unwrap()
        except OSError:
            peer.note_end("RST")
        else:
            drain(peer)
    elif not peer.ended:
        shut(peer)
        read_until(pongs=False)(peer)
    peer.socket.close()


def shut(peer: Peer) -> None:
    """End TCP on this side only."""
    try:
        peer.socket.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # the client was faster, and rough


def until_end(peer: Peer) -> None:
    """Answer nothing any more, and leave ending TCP to the client."""
    read_until(pongs=False)(peer)
    peer.socket.close()


def drain(peer: Peer) -> None:
    """Read to the end, whatever it is."""
    while not peer.ended:
        peer.read_more()
    peer.socket.close()


def reset(peer: Peer) -> None:
    """Break the connection off with RST instead of FIN."""
    peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.socket.close()


def vanish(peer: Peer) -> None:
    """Close the socket and look at nothing the client sends afterwards."""
    peer.socket.close()
