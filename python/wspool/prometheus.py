"""What connections count, for Prometheus; needs ``pip install 'wspool[prometheus]'``.

from prometheus_client import start_http_server
from wspool.prometheus import Collector

Collector()
start_http_server(9100)
"""

from __future__ import annotations

import dataclasses
import logging
import re
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, TypeAlias

from .checking import check_ordinary
from .connection_info import ConnectionInfo, sum_of
from .events import RoundTrips, Statistics, Status
from .exceptions import redact_uri
from .pool import EndpointPool

try:
    from prometheus_client import REGISTRY
    from prometheus_client.core import (
        CounterMetricFamily,
        GaugeMetricFamily,
        HistogramMetricFamily,
    )
except ImportError as missing:
    raise ImportError(
        "wspool.prometheus needs prometheus-client: pip install 'wspool[prometheus]'"
    ) from missing

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric

    from .pool import Endpoint

__all__ = ["Collector"]

Label: TypeAlias = "Callable[[ConnectionInfo], str]"

#: Name, field of Statistics, help; "_total" is put behind the names of counters.
_COUNTERS = (
    ("messages_received", "messages_received", "Messages received."),
    ("received_bytes", "bytes_received", "Bytes received on the socket, with TLS and framing."),
    ("payload_received_bytes", "payload_received", "Bytes of the messages received, inflated."),
    ("messages_sent", "messages_sent", "Messages sent."),
    ("sent_bytes", "bytes_sent", "Bytes sent on the socket, with TLS and framing."),
    ("pauses", "pauses", "How often reading stopped because the consumer had stalled."),
    ("callback_errors", "callback_errors", "Exceptions that callbacks raised."),
    ("reconnects", "reconnects", "How often a feed was ready again."),
    ("failed_attempts", "failed_attempts", "Attempts of feeds to connect that failed."),
    ("duplicate_messages", "duplicates", "Copies that dedup left out."),
    ("dropped_messages", "dropped", "Messages that found no room in the queue."),
)
_GAUGES = (
    ("queue_messages", "queue_messages", "Messages that wait for the consumer."),
    ("queue_bytes", "queue_bytes", "Bytes of the messages that wait for the consumer."),
    ("queue_age_seconds", "queue_age", "How long the oldest of them has waited."),
    ("last_message_age_seconds", "last_message_age", "Since the last message, of any connection."),
    ("last_received_age_seconds", "last_received_age", "Since the last bytes of any kind."),
)
_STATES = {
    Status.CONNECTING: "connecting",
    Status.OPENED: "open",
    Status.CLOSING: "closing",
}
#: The core has four buckets an octave; one is enough here, and its counts are exact, too.
_BUCKETS = range(0, 93, 4)
_BOUNDS = [(bucket, repr(RoundTrips.upper_bound(bucket))) for bucket in _BUCKETS]


class Collector:
    """Hands what a pool's connections count to Prometheus; see the page on monitoring.

    It registers itself. Counters are read when Prometheus asks, and cost nothing in between.
    Those of an endpoint, such as ``wspool_messages_received_total``, include connections that have
    ended. Those of connections, such as ``wspool_connection_messages_received_total``, have a
    label ``uri`` besides ``endpoint``; several with the same are summed, and when the last of
    them has ended their series ends.

    Thread safety: any thread.

    Args:
        pool: Whose connections; None is the process's own.
        registry: Where it registers; None is ``prometheus_client.REGISTRY``. It has
            ``unregister(collector)``.
        per_connection: Whether connections have series of their own, some 45 for each URI, whose
            label is the URI without user, password and query. Or a function of the connection
            that returns the label, on the thread that collects; when it raises, the label is
            empty, and the logger ``wspool`` says so once.

    Raises:
        TypeError: If an argument is none of these.
        ValueError: If the registry has one already.
    """

    def __init__(
        self,
        pool: EndpointPool | None = None,
        *,
        registry: CollectorRegistry | None = None,
        per_connection: bool | Label = True,
    ) -> None:
        if pool is not None and not isinstance(pool, EndpointPool):
            kind = type(pool).__name__
            raise TypeError(f"pool must be a wspool.EndpointPool or None, not {kind}")
        if not isinstance(per_connection, bool) and not callable(per_connection):
            kind = type(per_connection).__name__
            raise TypeError(f"per_connection must be a bool or a function, not {kind}")
        check_ordinary("per_connection", per_connection)
        if registry is not None and not callable(getattr(registry, "register", None)):
            kind = type(registry).__name__
            raise TypeError(f"registry must be a CollectorRegistry or None, not {kind}")
        self._pool = pool
        self._label: Label | None = None
        if per_connection:
            self._label = _label_of if isinstance(per_connection, bool) else per_connection
        self._told = False
        # Two may collect at once; guards the memory of the endpoints.
        self._lock = threading.Lock()
        self._memories: weakref.WeakKeyDictionary[Endpoint, _Memory] = weakref.WeakKeyDictionary()
        (REGISTRY if registry is None else registry).register(self)

    def describe(self) -> Iterable[Metric]:
        """Return the metrics without values; registering asks for their names."""
        return self._families("wspool", ("endpoint",)) + (
            self._families("wspool_connection", ("endpoint", "uri")) if self._label else []
        )

    def collect(self) -> Iterator[Metric]:
        """Return the metrics as they are now; the registry calls it."""
        pool = EndpointPool.instance() if self._pool is None else self._pool
        endpoints = _Families("wspool", ("endpoint",))
        connections = _Families("wspool_connection", ("endpoint", "uri"))
        with self._lock:
            for endpoint in pool:
                memory = self._memories.get(endpoint)
                if memory is None:
                    memory = self._memories[endpoint] = _Memory(self._label_or_empty)
                index = str(endpoint.index)
                found = endpoint.connections
                memory.look_at(found)
                endpoints.add((index,), endpoint.stats, [one.status for one in found])
                by_label = {} if self._label is None else memory.by_label()
                for label, (sum_, statuses) in by_label.items():
                    connections.add((index, label), sum_, statuses)
        yield from endpoints.metrics()
        if self._label is not None:
            yield from connections.metrics()

    def _label_or_empty(self, connection: ConnectionInfo) -> str:
        """Return the label; an exception in the user's function must not cost all metrics."""
        if self._label is None:
            return ""
        try:
            return str(self._label(connection))
        except Exception:
            if not self._told:
                self._told = True
                logging.getLogger("wspool").exception("per_connection raised; the label is empty")
            return ""

    @staticmethod
    def _families(prefix: str, labels: tuple[str, ...]) -> list[Metric]:
        return _Families(prefix, labels).metrics()


class _Memory:
    """What has been seen of an endpoint's connections: counters must not fall when one ends.

    Not thread-safe.
    """

    def __init__(self, label: Label) -> None:
        self._label = label
        self._seen: dict[int, _Seen] = {}
        #: What those have counted that have ended, of labels that others still have.
        self._ended: dict[str, Statistics] = {}

    def look_at(self, connections: Iterable[ConnectionInfo]) -> None:
        """Take notice of the connections that have not ended."""
        before = dict(self._seen)
        now: dict[int, _Seen] = {}
        for one in connections:
            seen = before.pop(one.id, None) or _Seen(one, self._label(one))
            seen.look()
            now[one.id] = seen
        self._seen = now
        alive = {seen.label for seen in now.values()}
        for seen in before.values():
            seen.look()
            if seen.label in alive:
                last = [_without_gauges(seen.statistics)]
                last += [self._ended[seen.label]] if seen.label in self._ended else []
                self._ended[seen.label] = sum_of(last)
        self._ended = {label: sum_ for label, sum_ in self._ended.items() if label in alive}

    def by_label(self) -> dict[str, tuple[Statistics, list[Status]]]:
        """Return the sums, and the states of the connections that have not ended."""
        grouped: dict[str, list[_Seen]] = {}
        for seen in self._seen.values():
            grouped.setdefault(seen.label, []).append(seen)
        sums = {}
        for label, several in grouped.items():
            parts = [seen.statistics for seen in several]
            parts += [self._ended[label]] if label in self._ended else []
            sums[label] = (sum_of(parts), [seen.status for seen in several])
        return sums


class _Seen:
    """A connection, as it was seen last."""

    def __init__(self, connection: ConnectionInfo, label: str) -> None:
        self.label = label
        self.status = connection.status
        self.statistics = connection.stats
        # Weakly: who drops a connection whose messages are pulled ends it.
        self._connection = weakref.ref(connection)

    def look(self) -> None:
        """Look again, as long as somebody keeps it."""
        connection = self._connection()
        if connection is not None:
            self.status = connection.status
            self.statistics = connection.stats


def _without_gauges(statistics: Statistics) -> Statistics:
    return dataclasses.replace(
        statistics,
        connections=0,
        open_connections=0,
        queue_messages=0,
        queue_bytes=0,
        queue_age=0.0,
        last_message_age=None,
        last_received_age=None,
    )


def _label_of(connection: ConnectionInfo) -> str:
    """Return the URI without user, password and query: tokens are there."""
    return re.sub(r"[?#].*", "", redact_uri(connection.uri))


class _Families:
    """Metrics of one kind, with a sample for each set of labels."""

    def __init__(self, prefix: str, labels: tuple[str, ...]) -> None:
        self._counters = [
            (field, CounterMetricFamily(f"{prefix}_{name}", text, labels=labels))
            for name, field, text in _COUNTERS
        ]
        self._gauges = [
            (field, GaugeMetricFamily(f"{prefix}_{name}", text, labels=labels))
            for name, field, text in _GAUGES
        ]
        self._pings = HistogramMetricFamily(
            f"{prefix}_ping_seconds", "How long the answers to pings took.", labels=labels
        )
        self._states = GaugeMetricFamily(
            "wspool_connections" if prefix == "wspool" else f"{prefix}_states",
            "Connections that have not ended, by state.",
            labels=(*labels, "state"),
        )

    def add(self, labels: tuple[str, ...], statistics: Statistics, statuses: list[Status]) -> None:
        """Add a sample of each."""
        for field, counter in self._counters:
            counter.add_metric(labels, getattr(statistics, field))
        for field, gauge in self._gauges:
            value = getattr(statistics, field)
            if value is not None:
                gauge.add_metric(labels, value)
        for status, state in _STATES.items():
            self._states.add_metric((*labels, state), statuses.count(status))
        trips = statistics.round_trips
        buckets = [(bound, float(sum(trips.counts[: bucket + 1]))) for bucket, bound in _BOUNDS]
        buckets.append(("+Inf", float(trips.count)))
        self._pings.add_metric(labels, buckets, trips.total)

    def metrics(self) -> list[Metric]:
        """Return them all."""
        counters = [counter for _, counter in self._counters]
        gauges = [gauge for _, gauge in self._gauges]
        return [*counters, *gauges, self._pings, self._states]
