"""Settings for the compression of messages."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Deflate"]

# zlib cannot deflate with a window of 8 bits, so the least that we send with is 9.
_RANGES = {
    "client_max_window_bits": (9, 15),
    "server_max_window_bits": (8, 15),
    "level": (1, 9),
}


@dataclass(frozen=True, kw_only=True)
class Deflate:
    """How messages are compressed: permessage-deflate (RFC 7692). Immutable.

    For the option ``compression``. It is offered, and the server decides: it may refuse all of
    it, or choose less. What was agreed is in the header Sec-WebSocket-Extensions of
    ``Connection.response``. A server that does agree but does not keep to
    ``server_max_window_bits`` or ``server_no_context_takeover`` fails the handshake with
    ``NegotiationError``.

    Each direction remembers a window of what it sent; the smaller it is, the less memory it
    takes and the less it compresses.

    Args:
        client_max_window_bits: Bits of the window for what we send, 9 to 15 (RFC 7692 section
            7.1.2.2). The server may ask for less.
        server_max_window_bits: Bits of the window for what we receive, 8 to 15 (section
            7.1.2.1).
        client_no_context_takeover: Forget the window after each message that we send (section
            7.1.1.2).
        server_no_context_takeover: Have the server forget it after each message (section
            7.1.1.1).
        level: Of zlib, 1 (fast) to 9 (small), for what we send.

    Raises:
        TypeError: If an argument has the wrong type; the text names it.
        ValueError: If an argument is out of range; the text names it.
    """

    client_max_window_bits: int = 15
    server_max_window_bits: int = 15
    client_no_context_takeover: bool = False
    server_no_context_takeover: bool = False
    level: int = 1

    def __post_init__(self) -> None:
        for name, (least, most) in _RANGES.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int):
                raise TypeError(f"{name} must be an int, not {type(value).__name__}")
            if not least <= value <= most:
                raise ValueError(f"{name} must be in {least}..{most}, not {value}")
        for name in ("client_no_context_takeover", "server_no_context_takeover"):
            if not isinstance(getattr(self, name), bool):
                raise TypeError(f"{name} must be a bool")

    def to_native(self) -> tuple[int, int, bool, bool, int]:
        """Return the settings as the core takes them."""
        return (
            self.client_max_window_bits,
            self.server_max_window_bits,
            self.client_no_context_takeover,
            self.server_no_context_takeover,
            self.level,
        )
