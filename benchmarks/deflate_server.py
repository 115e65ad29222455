"""A feed compressed with permessage-deflate (RFC 7692), which the native server does not offer.

The frames of a cycle are made once for each window size that a client asks for, so that sending
them again costs next to nothing. Each cycle begins with a fresh compressor, so its frames refer
to nothing before it and may follow themselves.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import hashlib
import re
import socket
import struct
import threading
import zlib
from collections.abc import Sequence

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3
_TAIL = b"\x00\x00\xff\xff"  # RFC 7692 section 7.2.1
_CLOSE = b"\x88\x02\x03\xe8"


class DeflateServer:
    """Sends the messages `repeat` times to each client that has sent a message, then closes."""

    def __init__(self, messages: Sequence[str | bytes], repeat: int) -> None:
        self._messages = messages
        self._repeat = repeat
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.uri = f"ws://127.0.0.1:{self._listener.getsockname()[1]}"
        self._frames = functools.cache(self._compress)
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(ConnectionError):
            request = b""
            while b"\r\n\r\n" not in request:
                request += connection.recv(65536)
            key = _header(request, b"Sec-WebSocket-Key")
            offer = _header(request, b"Sec-WebSocket-Extensions").split(b",")[0]
            if b"permessage-deflate" not in offer:
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
                return
            bits_wanted = re.search(rb"server_max_window_bits\s*=\s*\"?(\d+)", offer)
            bits = int(bits_wanted[1]) if bits_wanted else 15
            alone = b"server_no_context_takeover" in offer
            frames = self._frames(max(bits, 9), alone)
            accept = base64.b64encode(hashlib.sha1(key + _GUID).digest())
            parameters = (b"; server_max_window_bits=%d" % bits if bits_wanted else b"") + (
                b"; server_no_context_takeover" if alone else b""
            )
            connection.sendall(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                b"Connection: Upgrade\r\nSec-WebSocket-Accept: " + accept + b"\r\n"
                b"Sec-WebSocket-Extensions: permessage-deflate" + parameters + b"\r\n\r\n"
            )
            connection.recv(65536)  # the client's go
            for _ in range(self._repeat):
                connection.sendall(frames)
            connection.sendall(_CLOSE)
            while connection.recv(65536):  # its close frame, then the end
                connection.shutdown(socket.SHUT_WR)

    def _compress(self, bits: int, alone: bool) -> bytes:
        frames = bytearray()
        compressor = zlib.compressobj(wbits=-bits)
        for message in self._messages:
            if alone:
                compressor = zlib.compressobj(wbits=-bits)
            payload = message.encode() if isinstance(message, str) else message
            data = compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH)
            data = data.removesuffix(_TAIL)
            frames.append(0xC1 if isinstance(message, str) else 0xC2)  # FIN and RSV1
            if len(data) < 126:
                frames.append(len(data))
            elif len(data) < 65536:
                frames += struct.pack("!BH", 126, len(data))
            else:
                frames += struct.pack("!BQ", 127, len(data))
            frames += data
        return bytes(frames)


def _header(request: bytes, name: bytes) -> bytes:
    found = re.search(rb"(?im)^" + name + rb":\s*(.*?)\s*$", request)
    return found[1] if found else b""
