"""What must be reached: the acceptance table as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Bar:
    """`client` on `metric` against a peer of the same round, or against a figure."""

    scenario: str
    client: str
    metric: str
    side: Literal["at most", "at least"]
    factor: float
    """Times the peer's; without a peer the figure itself."""
    peer: str | None = None
    peer_scenario: str | None = None
    """Where the peer's is taken from, if not the same scenario."""

    def __str__(self) -> str:
        against = f" x {self.peer}" if self.peer else ""
        where = f" in {self.peer_scenario}" if self.peer_scenario else ""
        return (
            f"{self.scenario}: {self.client} {self.metric} {self.side} {self.factor:g}"
            f"{against}{where}"
        )

    def holds(self, measured: float) -> bool:
        if self.side == "at most":
            return measured <= self.factor
        return measured >= self.factor


BARS = [
    Bar("text-150", "wspool-callback", "cpu_ns", "at most", 0.6, "picows"),
    Bar("text-150", "wspool-recv-many", "cpu_ns", "at most", 0.45, "picows"),
    Bar("text-150", "wspool-aio-uvloop", "cpu_ns", "at most", 0.8, "picows-websockets"),
    Bar("text-150", "wspool-aio-uvloop", "cpu_ns", "at most", 0.15, "websockets"),
    Bar("text-3600", "wspool-callback", "cpu_ns", "at most", 0.9, "picows"),
    Bar("text-3600", "wspool-callback", "cpu_ns", "at most", 1.6, "c-memcpy"),
    Bar("tls-150", "wspool-callback", "cpu_ns", "at most", 0.7, "picows"),
    Bar("tls-150-records", "wspool-callback", "cpu_ns", "at most", 0.9, "picows"),
    Bar("send-150", "wspool-callback", "per_second", "at least", 2.0, "picows"),
    Bar("echo-256", "wspool-callback", "per_second", "at least", 1.0, "picows"),
    Bar("echo-256", "wspool-callback", "per_second", "at least", 0.97, "beast"),
    Bar("echo-256", "wspool-callback", "cpu_us", "at most", 0.8, "picows"),
    Bar("echo-256", "wspool-callback", "p99", "at most", 1.0, "picows"),
    Bar("echo-256", "wspool-aio-uvloop", "per_second", "at least", 1.0, "picows-websockets"),
    Bar("idle", "wspool-callback", "memory_kb", "at most", 10.0),
    Bar("idle-tls", "wspool-callback", "memory_kb", "at most", 38.0),
    Bar("busy-python", "wspool-recv-many", "kept_percent", "at least", 90.0),
    Bar("trades", "wspool-stream", "cpu_ns", "at most", 1.6, "c-simdjson"),
    Bar("trades", "wspool-stream", "cpu_ns", "at most", 0.2, "picows-msgspec"),
    Bar("trades", "wspool-stream", "cpu_ns", "at most", 0.12, "picows-orjson"),
    Bar("books-3600", "wspool-stream", "cpu_ns", "at most", 1.6, "c-simdjson"),
    Bar("books-3600", "wspool-stream", "cpu_ns", "at most", 0.4, "picows-msgspec"),
    Bar("books-3600", "wspool-stream", "cpu_ns", "at most", 0.1, "picows-orjson"),
    Bar("trades-busy", "wspool-stream", "kept_percent", "at least", 95.0),
    Bar("conns-100", "wspool-callback", "cpu_ns", "at most", 1.2, "wspool-callback", "text-150"),
]
