"""What a connection tells about itself: states, close frames, the opening handshake."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

__all__ = ["Close", "CloseCode", "Headers", "Request", "Response", "Statistics", "Status"]


class Status(enum.Enum):
    """The state of a connection (RFC 6455 section 4.1 and section 7)."""

    CONNECTING = 0
    """The opening handshake is under way."""
    OPENED = 1
    """Messages may be sent and received."""
    FAILED = 2
    """It could not be opened; ``Connection.error`` says why. Final."""
    CLOSED = 3
    """It was open and has ended. Final."""
    CLOSING = 4
    """The closing handshake is under way; nothing can be sent any more."""


class CloseCode(enum.IntEnum):
    """Close codes (RFC 6455 section 7.4.1 and the IANA registry)."""

    NORMAL_CLOSURE = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    UNSUPPORTED_DATA = 1003
    NO_STATUS_RCVD = 1005
    ABNORMAL_CLOSURE = 1006
    INVALID_DATA = 1007
    POLICY_VIOLATION = 1008
    MESSAGE_TOO_BIG = 1009
    MANDATORY_EXTENSION = 1010
    INTERNAL_ERROR = 1011
    SERVICE_RESTART = 1012
    TRY_AGAIN_LATER = 1013
    BAD_GATEWAY = 1014
    TLS_HANDSHAKE = 1015


_EXPLANATIONS: dict[int, str] = {
    CloseCode.NORMAL_CLOSURE: "OK",
    CloseCode.GOING_AWAY: "going away",
    CloseCode.PROTOCOL_ERROR: "protocol error",
    CloseCode.UNSUPPORTED_DATA: "unsupported data",
    CloseCode.NO_STATUS_RCVD: "no status received [internal]",
    CloseCode.ABNORMAL_CLOSURE: "abnormal closure [internal]",
    CloseCode.INVALID_DATA: "invalid frame payload data",
    CloseCode.POLICY_VIOLATION: "policy violation",
    CloseCode.MESSAGE_TOO_BIG: "message too big",
    CloseCode.MANDATORY_EXTENSION: "mandatory extension",
    CloseCode.INTERNAL_ERROR: "internal error",
    CloseCode.SERVICE_RESTART: "service restart",
    CloseCode.TRY_AGAIN_LATER: "try again later",
    CloseCode.BAD_GATEWAY: "bad gateway",
    CloseCode.TLS_HANDSHAKE: "TLS handshake failure [internal]",
}


@dataclass(frozen=True)
class Close:
    """A close frame (RFC 6455 section 5.5.1)."""

    code: int
    """The close code; 1005 for a frame without one."""
    reason: str = ""
    """The reason, possibly empty."""

    def __str__(self) -> str:
        if 3000 <= self.code < 4000:
            explanation = "registered"
        elif 4000 <= self.code < 5000:
            explanation = "private use"
        else:
            explanation = _EXPLANATIONS.get(self.code, "unknown")
        text = f"{self.code} ({explanation})"
        return f"{text} {self.reason}" if self.reason else text


class Headers(Mapping[str, str]):
    """HTTP headers: names are case-insensitive, and one may occur several times.

    As a mapping it has lower-case names, and for a name that occurs several times the values
    joined by ", " (RFC 9110 section 5.2). ``get_all`` and ``raw_items`` have them one by one.
    """

    __slots__ = ("_by_name", "_items")

    def __init__(self, items: Iterable[tuple[str, str]] = ()) -> None:
        self._items = list(items)
        self._by_name: dict[str, list[str]] = {}
        for name, value in self._items:
            self._by_name.setdefault(name.lower(), []).append(value)

    def __getitem__(self, key: str) -> str:
        return ", ".join(self._by_name[key.lower()])

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __len__(self) -> int:
        return len(self._by_name)

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and key.lower() in self._by_name

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Headers):
            return self._by_name == other._by_name
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._items!r})"

    def get_all(self, key: str) -> list[str]:
        """Return the values of a header in order; an empty list if there are none."""
        return list(self._by_name.get(key.lower(), ()))

    def raw_items(self) -> Iterator[tuple[str, str]]:
        """Return the headers in order, with the names as they were written."""
        return iter(self._items)


@dataclass(frozen=True)
class Request:
    """The opening request, as it was sent (RFC 6455 section 4.1)."""

    path: str
    """Path and query."""
    headers: Headers

    def __repr__(self) -> str:
        # Headers hold credentials.
        return f"Request(path={self.path!r}, headers={list(self.headers)!r})"


@dataclass(frozen=True)
class Response:
    """The server's answer to the opening request (RFC 6455 section 4.2.2)."""

    status_code: int
    """101 if the server accepted."""
    reason_phrase: str
    headers: Headers
    body: bytes = b""
    """Of a refusal; at most the first 64 KiB."""


@dataclass(frozen=True)
class Statistics:
    """Counters of one connection since it was made."""

    messages_received: int
    bytes_received: int
    """On the socket, with TLS and framing."""
    messages_sent: int
    bytes_sent: int
    """On the socket, with TLS and framing."""
    pauses: int
    """How often reading stopped because the consumer had stalled."""
    callback_errors: int
    """Exceptions that callbacks raised."""
