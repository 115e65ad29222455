"""WebSocket frames as bytes (RFC 6455 section 5.2), right and wrong ones."""

from __future__ import annotations

import struct
import zlib

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
NAMES = {0x0: "continuation", 0x1: "text", 0x2: "binary", 0x8: "close", 0x9: "ping", 0xA: "pong"}


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    reserved: int = 0,
    mask: bytes | None = None,
    announced: int | None = None,
) -> bytes:
    """Return a frame; servers do not mask.

    Args:
        opcode: Any of 0 to 15.
        payload: As it is.
        fin: Whether it ends its message.
        reserved: The three reserved bits: 4 is RSV1, 1 is RSV3.
        mask: A masking key of four bytes.
        announced: The length in the header, if it is not the payload's.
    """
    length = len(payload) if announced is None else announced
    masked = 0 if mask is None else 0x80
    head = bytes([fin << 7 | reserved << 4 | opcode])
    if length < 126:
        head += bytes([masked | length])
    elif length < 2**16:
        head += bytes([masked | 126]) + struct.pack("!H", length)
    else:
        head += bytes([masked | 127]) + struct.pack("!Q", length)
    if mask is None:
        return head + payload
    return head + mask + unmask(mask, payload)


def text(message: str, *, fin: bool = True) -> bytes:
    """Return a text frame."""
    return frame(TEXT, message.encode(), fin=fin)


def binary(message: bytes, *, fin: bool = True) -> bytes:
    """Return a binary frame."""
    return frame(BINARY, message, fin=fin)


def more(payload: bytes, *, fin: bool = False) -> bytes:
    """Return a continuation frame."""
    return frame(CONTINUATION, payload, fin=fin)


def close(code: int | None = None, reason: str | bytes = "") -> bytes:
    """Return a close frame; None is one without a code."""
    if code is None:
        return frame(CLOSE)
    words = reason.encode() if isinstance(reason, str) else reason
    return frame(CLOSE, struct.pack("!H", code) + words)


def deflated(payload: bytes) -> bytes:
    """Return a payload compressed as RFC 7692 section 7.2.1 says, without context."""
    compressor = zlib.compressobj(wbits=-15)
    return (compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]


def unmask(mask: bytes, payload: bytes) -> bytes:
    """Return a payload masked, or unmasked (RFC 6455 section 5.3)."""
    if not payload:
        return b""
    whole = (mask * (len(payload) // 4 + 1))[: len(payload)]
    mixed = int.from_bytes(payload, "big") ^ int.from_bytes(whole, "big")
    return mixed.to_bytes(len(payload), "big")
