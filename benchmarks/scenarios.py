"""What is measured: one Scenario a row of the report."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from .spec import Feed, Work


@dataclass(frozen=True)
class Metric:
    """One column of the report, taken from a result by `name`."""

    name: str
    title: str
    better: Literal["lower", "higher"]
    digits: int = 0


CPU = Metric("cpu_ns", "CPU ns/msg", "lower")
USER = Metric("user_ns", "user", "lower")
SYSTEM = Metric("system_ns", "system", "lower")
RATE = Metric("per_second", "msg/s", "higher")
TRIPS = Metric("per_second", "trips/s", "higher")
TRIP_CPU = Metric("cpu_us", "CPU us/trip", "lower", 1)
P50 = Metric("p50", "p50 us", "lower", 1)
P99 = Metric("p99", "p99 us", "lower", 1)
MEMORY = Metric("memory_kb", "KB/conn", "lower", 1)
CONNECTS = Metric("per_second", "connects/s", "higher")
KEPT = Metric("kept_percent", "% speed kept", "higher", 1)
DELIVERED = Metric("per_second", "msg/s", "higher")

_MESSAGES = (CPU, USER, SYSTEM, RATE)
_ECHO = (TRIPS, P50, P99, TRIP_CPU)
_IDLE = (MEMORY, CONNECTS)


@dataclass(frozen=True)
class Scenario:
    """A server, what the clients do with it, and what is looked at; the first metric leads."""

    name: str
    title: str
    group: str
    """Which chart it is in."""
    work: Work
    feed: Feed
    metrics: tuple[Metric, ...]
    connections: int = 1
    size: int = 0
    """Bytes of a message that the client sends."""
    tls: bool = False
    deflate: bool = False
    busy: bool = False
    at_least: int = 1
    """Messages, on all connections, of the first try at finding a count."""
    only: tuple[str, ...] = ()
    """Clients that it is for; empty: all."""
    endpoints: int | None = None
    """Of a pool of wspool's own; None: as many as there are cores."""
    schema: str = ""
    """Of the rows that are made of each message: see schemas.py."""

    @property
    def counted(self) -> bool:
        """Whether the number of messages is chosen by the speed of the client."""
        return self.work != "idle" and not self.busy

    def quick(self) -> Scenario:
        """Return the same with next to nothing to do."""
        feed = replace(
            self.feed,
            number=min(self.feed.number, 20),
            seconds=None if self.feed.seconds is None else 0.2,
            kind="market" if self.feed.kind == "captures" else self.feed.kind,
        )
        connections = min(self.connections, 20 if self.work == "idle" else 4)
        return replace(self, feed=feed, connections=connections, at_least=1)


def _receive(name: str, title: str, group: str, feed: Feed, **more: object) -> Scenario:
    fields: dict[str, object] = {"at_least": 20_000, "metrics": _MESSAGES, **more}
    return Scenario(name, title, group, "receive", feed, **fields)  # type: ignore[arg-type]


def _text(size: int, **more: object) -> Feed:
    return replace(Feed("replay", "json", size=size, number=1000), **more)  # type: ignore[arg-type]


def _records(name: str, title: str, feed: Feed, **more: object) -> Scenario:
    fields: dict[str, object] = {
        "at_least": 20_000,
        "metrics": _MESSAGES,
        "schema": name.removesuffix("-3600").removesuffix("-records"),
        **more,
    }
    return Scenario(name, title, "columns", "records", feed, **fields)  # type: ignore[arg-type]


_GROWING = ("wspool-callback", "wspool-recv-many", "wspool-aio-uvloop", "picows", "c-memcpy")

SCENARIOS = [
    _receive("text-150", "receive 150 B text", "text", _text(150)),
    _receive("text-1k", "receive 1 KB text", "text", _text(1024)),
    _receive("text-3600", "receive 3.6 KB text", "text", _text(3600)),
    _receive(
        "captures", "receive real captures", "text", Feed("replay", "captures", number=20_000)
    ),
    _receive(
        "binary-16",
        "receive 16 B binary",
        "binary",
        Feed("replay", "binary", size=16, number=1000),
    ),
    _receive(
        "binary-64k",
        "receive 64 KB binary",
        "binary",
        Feed("replay", "binary", size=65536, number=16),
        at_least=1000,
    ),
    _receive("tls-150", "TLS 1.3, 150 B text, records of 16 KB", "tls", _text(150), tls=True),
    _receive(
        "tls-150-records",
        "TLS 1.3, 150 B text, a record each",
        "tls",
        _text(150, records="message"),
        tls=True,
    ),
    _receive("tls-3600", "TLS 1.3, 3.6 KB text, records of 16 KB", "tls", _text(3600), tls=True),
    _receive(
        "tls-captures",
        "TLS 1.3, real captures, records of 16 KB",
        "tls",
        Feed("replay", "captures", number=20_000),
        tls=True,
    ),
    _receive(
        "tls-64k",
        "TLS 1.3, 64 KB binary",
        "tls",
        Feed("replay", "binary", size=65536, number=16),
        tls=True,
        at_least=1000,
    ),
    _receive(
        "tls-conns-100",
        "TLS 1.3, 150 B text over 100 connections",
        "tls",
        _text(150, number=100),
        tls=True,
        connections=100,
    ),
    _receive(
        "conns-100",
        "receive 150 B text over 100 connections",
        "more",
        _text(150, number=100),
        connections=100,
    ),
    _receive(
        "deflate-text",
        "receive deflated text, 194 B inflated",
        "more",
        Feed("deflate", "market", number=5000),
        deflate=True,
    ),
    Scenario(
        "send-150",
        "send 150 B text",
        "more",
        "send",
        Feed("sink"),
        (RATE, CPU, USER, SYSTEM),
        size=150,
        at_least=20_000,
    ),
    Scenario(
        "echo-256", "echo 256 B", "echo", "echo", Feed("echo"), _ECHO, size=256, at_least=1000
    ),
    Scenario("echo-8k", "echo 8 KB", "echo", "echo", Feed("echo"), _ECHO, size=8192, at_least=1000),
    Scenario(
        "echo-256-tls",
        "echo 256 B, TLS 1.3",
        "echo",
        "echo",
        Feed("echo"),
        _ECHO,
        size=256,
        tls=True,
        at_least=1000,
    ),
    Scenario(
        "echo-8k-tls",
        "echo 8 KB, TLS 1.3",
        "echo",
        "echo",
        Feed("echo"),
        _ECHO,
        size=8192,
        tls=True,
        at_least=1000,
    ),
    Scenario(
        "idle", "1,000 idle connections", "idle", "idle", Feed("echo"), _IDLE, connections=1000
    ),
    Scenario(
        "idle-tls",
        "1,000 idle connections, TLS 1.3",
        "idle",
        "idle",
        Feed("echo"),
        _IDLE,
        connections=1000,
        tls=True,
    ),
    Scenario(
        "busy-python",
        "200,000 msg/s beside a thread that computes",
        "busy",
        "receive",
        _text(150, rate=200_000.0, repeat=None, seconds=3.0),
        (KEPT, DELIVERED),
        busy=True,
    ),
    # JSON to columns.
    _records("trades", "trades of 180 B to six columns", Feed("replay", "trades", number=2000)),
    _records("books-3600", "books of 3.6 KB to three columns", Feed("replay", "books", number=300)),
    _records(
        "trades-100",
        "trades to six columns over 100 connections",
        Feed("replay", "trades", number=100),
        connections=100,
        schema="trades",
    ),
    _records(
        "captures-records",
        "real captures to the columns of three kinds",
        Feed("replay", "captures", number=20_000),
    ),
    _records(
        "trades-busy",
        "300,000 trades/s to columns beside a thread that computes",
        Feed("replay", "trades", number=2000, rate=300_000.0, repeat=None, seconds=3.0),
        metrics=(KEPT, DELIVERED),
        busy=True,
        schema="trades",
    ),
    # How cost grows, beside text-150 and conns-100.
    *(
        _receive(
            f"conns-{connections}",
            f"receive 150 B text over {connections:,} connections",
            "growth",
            _text(150, number=100),
            connections=connections,
            only=_GROWING,
        )
        for connections in (10, 1000)
    ),
    *(
        _receive(
            f"endpoints-{endpoints}",
            f"receive 150 B text over 100 connections, {endpoints} endpoint(s)",
            "growth",
            _text(150, number=100),
            connections=100,
            endpoints=endpoints,
            only=("wspool-callback",),
        )
        for endpoints in (1, 2, 4)
    ),
]
