"""What a connection tells about itself: states, close frames, the opening handshake."""

from __future__ import annotations

import enum
import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, ClassVar, TypeAlias

__all__ = [
    "Close",
    "CloseCode",
    "Closed",
    "Event",
    "Gap",
    "Headers",
    "Opened",
    "Request",
    "Response",
    "RoundTrips",
    "Statistics",
    "Status",
    "event_of",
]


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
class Opened:
    """A connection of a feed is ready; messages of its generation follow.

    Attributes:
        generation: The number of the connection in its feed, from 1.
        time: When, in UTC.
        attempt: How many attempts it took, from 1.
    """

    generation: int
    time: datetime
    attempt: int


@dataclass(frozen=True)
class Gap:
    """What was sent between two moments may be missing. ``Opened`` follows.

    There is none while another connection of the feed was open (``redundancy``), nor where a
    connection was replaced (``replace_after``) and has answered our close frame. If it turns out
    that the other connection was silent meanwhile, it is told late: with the end of that one, and
    without an ``Opened``.

    Attributes:
        generation: Of the connection that follows.
        since: When the last bytes of the lost connection came, in UTC. What was on its way to us at
            that moment may be missing as well.
        until: When the next one was ready.
        attempt: How many attempts that took.
        reason: How the lost connection ended.
    """

    generation: int
    since: datetime
    until: datetime
    attempt: int
    reason: str

    @property
    def seconds(self) -> float:
        """How long it was."""
        return (self.until - self.since).total_seconds()


@dataclass(frozen=True)
class Closed:
    """A connection of a feed that was open has ended.

    Attributes:
        generation: The number of the connection.
        time: When that was noticed, in UTC.
        code: The peer's close code; 1006 without a close frame.
        reason: The peer's reason, or what was wrong.
    """

    generation: int
    time: datetime
    code: int
    reason: str


Event: TypeAlias = Opened | Gap | Closed
"""What may happen to a feed; ``isinstance(item, wspool.Event)`` tells it from a message."""


def event_of(*core: Any) -> Event:
    """Make an event of what the core says."""
    kind, generation, time_ns, since_ns, attempt, code, reason = core
    time = _utc(time_ns)
    if kind == 0:
        return Opened(generation, time, attempt)
    if kind == 1:
        return Gap(generation, _utc(since_ns), time, attempt, reason)
    return Closed(generation, time, code, reason)


def _utc(nanoseconds: int) -> datetime:
    return datetime.fromtimestamp(nanoseconds / 1e9, tz=timezone.utc)


@dataclass(frozen=True)
class RoundTrips:
    """How long the answers to pings took, in seconds.

    Percentiles come of a histogram with four buckets an octave: at most 19 % too high.
    """

    count: int = 0
    mean: float = 0.0
    p50: float = 0.0
    p90: float = 0.0
    p99: float = 0.0
    max: float = 0.0
    total: float = field(default=0.0, repr=False)
    """All of them together."""
    counts: tuple[int, ...] = field(default=(), repr=False)
    """How many fell into each bucket of the histogram."""

    #: Upper end of the core's first bucket, in seconds.
    _first: ClassVar[float] = 16e-6

    @classmethod
    def of(cls, counts: list[int], sum_ns: int, max_ns: int) -> RoundTrips:
        """Make it of what the core counts."""
        total = sum(counts)
        if total == 0:
            return cls()
        longest = max_ns / 1e9
        cumulated = list(itertools.accumulate(counts))

        def percentile(part: float) -> float:
            reached = next(i for i, below in enumerate(cumulated) if below >= part * total)
            return min(cls.upper_bound(reached), longest)

        took = sum_ns / 1e9
        return cls(
            count=total,
            mean=took / total,
            p50=percentile(0.5),
            p90=percentile(0.9),
            p99=percentile(0.99),
            max=longest,
            total=took,
            counts=tuple(counts),
        )

    @classmethod
    def upper_bound(cls, bucket: int) -> float:
        """Return the upper end of a bucket in seconds; the last one has none."""
        return float(cls._first * 2 ** (bucket / 4))

    @classmethod
    def sum_of(cls, several: Iterable[RoundTrips]) -> RoundTrips:
        """Return one histogram of several."""
        some = [one for one in several if one.count]
        counts = [sum(numbers) for numbers in zip(*(one.counts for one in some), strict=True)]
        total = sum(one.total for one in some)
        longest = max((one.max for one in some), default=0.0)
        return cls.of(counts, round(total * 1e9), round(longest * 1e9))


@dataclass(frozen=True)
class Statistics:
    """What a connection, an endpoint or a pool counts.

    Counters only grow; those of connections that have ended stay in the sums of their endpoint.

    Attributes:
        connections: Connections that have not ended.
        open_connections: Those of them over which messages can be sent now.
        messages_received: Messages, without control frames.
        bytes_received: On the socket, with TLS and framing.
        payload_received: Of the messages, in bytes, inflated.
        messages_sent: Messages, without control frames.
        bytes_sent: On the socket, with TLS and framing.
        pauses: How often reading stopped because the consumer had stalled.
        callback_errors: Exceptions that callbacks raised.
        reconnects: How often a feed was ready again.
        failed_attempts: Attempts of feeds to connect that failed.
        duplicates: Copies that ``dedup`` left out.
        dropped: Messages that found no room in the queue.
        queue_messages: What waits for the consumer: a queue's messages, or a stalled callback's
            backlog.
        queue_bytes: Their bytes.
        queue_age: How long the oldest of them has waited, in seconds: how slow the consumer is.
        last_message_age: Seconds since the last message; None before the first.
        last_received_age: Seconds since the last bytes of any kind; None before the first.
        round_trips: Of pings.
    """

    connections: int
    open_connections: int
    messages_received: int
    bytes_received: int
    payload_received: int
    messages_sent: int
    bytes_sent: int
    pauses: int
    callback_errors: int
    reconnects: int
    failed_attempts: int
    duplicates: int
    dropped: int
    queue_messages: int
    queue_bytes: int
    queue_age: float
    last_message_age: float | None
    last_received_age: float | None
    round_trips: RoundTrips
