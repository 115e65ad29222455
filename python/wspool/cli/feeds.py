"""What ``wspool top`` knows of its feeds: rates between two looks at their counters."""

from __future__ import annotations

import time
from collections import Counter, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wspool.connection_info import sum_of
from wspool.events import RoundTrips, Statistics, Status

from .output import reason, redact, visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wspool.connection import Connection

#: Rates that are kept for the sparkline.
HISTORY = 24


@dataclass(frozen=True)
class Row:
    """A feed, or all of them together, at one moment."""

    name: str
    state: str
    is_well: bool
    reason: str
    """Why it is not open; empty if it is, or nothing is known."""
    generation: int
    rate: float
    """Messages a second since the last look."""
    payload_rate: float
    """Bytes a second."""
    wire_rate: float
    """Bytes a second, with TLS and framing."""
    history: tuple[float, ...]
    """The latest rates, the newest last."""
    statistics: Statistics

    @property
    def trips(self) -> RoundTrips:
        """Of pings."""
        return self.statistics.round_trips


class Meter:
    """Makes rates of counters."""

    def __init__(self) -> None:
        self._time = time.monotonic()
        self._before = (0, 0, 0)
        self._rates = (0.0, 0.0, 0.0)
        self._history: deque[float] = deque(maxlen=HISTORY)

    def look(self, statistics: Statistics) -> tuple[float, float, float, tuple[float, ...]]:
        """Return messages, payload and bytes a second since the last look, and the history."""
        now = time.monotonic()
        counted = (
            statistics.messages_received,
            statistics.payload_received,
            statistics.bytes_received,
        )
        elapsed = max(now - self._time, 1e-6)
        pairs = zip(counted, self._before, strict=True)
        messages, payload, wire = ((after - before) / elapsed for after, before in pairs)
        self._time, self._before = now, counted
        self._history.append(messages)
        return messages, payload, wire, tuple(self._history)


class Feed:
    """A connection that is watched."""

    def __init__(self, connection: Connection, number: int) -> None:
        self.connection = connection
        self._meter = Meter()
        # A query is not shown, since tokens are there; so several may look the same.
        self._name = visible(redact(connection.uri)) + (f" #{number}" if number > 1 else "")

    def look(self) -> Row:
        """Return how it is now."""
        connection = self.connection
        status, statistics = connection.status, connection.stats
        generation = connection.generation
        error = None if status is Status.OPENED else connection.last_error
        state = {
            Status.CONNECTING: "lost" if generation else "connecting",
            Status.OPENED: "open",
            Status.CLOSING: "closing",
            Status.CLOSED: "closed",
            Status.FAILED: "failed",
        }[status]
        rate, payload, wire, history = self._meter.look(statistics)
        return Row(
            name=self._name,
            state=state,
            is_well=status is Status.OPENED,
            reason="" if error is None else visible(redact(reason(error))),
            generation=generation,
            rate=rate,
            payload_rate=payload,
            wire_rate=wire,
            history=history,
            statistics=statistics,
        )


class Feeds:
    """All of them."""

    def __init__(self, connections: Sequence[Connection]) -> None:
        names: Counter[str] = Counter()
        self._feeds = []
        for one in connections:
            name = redact(one.uri)
            names[name] += 1
            self._feeds.append(Feed(one, names[name]))
        self._meter = Meter()
        self._began = time.monotonic()

    def look(self) -> tuple[list[Row], Row]:
        """Return how each is now, and their sum."""
        rows = [feed.look() for feed in self._feeds]
        statistics = sum_of(row.statistics for row in rows)
        rate, payload, wire, history = self._meter.look(statistics)
        well = sum(row.is_well for row in rows)
        total = Row(
            name=f"{len(rows)} feeds" if len(rows) > 1 else "1 feed",
            state=f"{well} open",
            is_well=well == len(rows),
            reason="",
            generation=sum(row.generation for row in rows),
            rate=rate,
            payload_rate=payload,
            wire_rate=wire,
            history=history,
            statistics=statistics,
        )
        return rows, total

    def summary(self, total: Row) -> str:
        """Return in one line what has come of it all."""
        statistics = total.statistics
        took = time.monotonic() - self._began
        parts = [
            f"{statistics.messages_received:,} messages in {took:,.1f} s",
            f"{statistics.payload_received / 1e6:,.1f} MB of payload",
            f"{statistics.bytes_received / 1e6:,.1f} MB on the wire",
            f"{statistics.reconnects:,} reconnects",
            f"{statistics.failed_attempts:,} failed attempts",
            f"{statistics.dropped:,} drops",
        ]
        if total.trips.count:
            parts.append(
                f"ping p50 {total.trips.p50 * 1e3:.2f} ms, p99 {total.trips.p99 * 1e3:.2f} ms"
            )
        return f"{total.name}, {total.state}: " + ", ".join(parts)
