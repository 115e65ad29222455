"""What a loopback server knows of one of its connections."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ServerConnection"]


@dataclass(frozen=True, slots=True)
class ServerConnection:
    """What one connection did so far, as the server saw it.

    The `*_sent` counters move when a write is complete: all of a replay that was closed in order
    is in them; of a TLS connection that was aborted, the last 256 KiB may be missing.
    """

    index: int
    """In the order of accepting, from 0."""
    opened: bool
    """The WebSocket handshake succeeded."""
    finished: bool
    """The socket is closed; nothing here changes any more."""
    path: str
    """Target of the request, with the query."""
    headers: tuple[tuple[str, str], ...]
    """Headers of the request, in their order."""
    subprotocol: str | None
    messages_sent: int
    payload_bytes_sent: int
    crc32_sent: int
    """`zlib.crc32` over the payloads sent, concatenated."""
    messages_received: int
    payload_bytes_received: int
    crc32_received: int | None
    """`zlib.crc32` over the payloads received; None if the server doesn't compute it."""
    pings_sent: int
    pings_received: int
    pongs_received: int
    close_code_sent: int | None
    """None until a close frame was queued; 1005: a close frame without a code."""
    close_code_received: int | None
    """None until a close frame came; 1005: a close frame without a code."""
    error: str
    """Why it ended, or couldn't open, without a proper closing handshake; else empty."""
