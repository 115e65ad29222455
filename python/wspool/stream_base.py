"""What blocking and asyncio streams of records share."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from dataclasses import fields as dataclass_fields
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from . import native
from .checking import check_ordinary
from .connection_info import ConnectionInfo, check_close_code, check_str, sum_of
from .events import Statistics, Status
from .exceptions import ConnectionClosedOK, WSPoolError
from .fields import Fields, FieldSet
from .options import ConnectionOptions, URISource
from .pool import EndpointPool
from .pull import PullConnection
from .records import RecordBatch, RecordStatistics, batch_of

if TYPE_CHECKING:
    from .pool import Endpoint

__all__ = ["OnUnmatched", "StreamBase", "StreamConnection", "StreamOptions"]

OnUnmatched: TypeAlias = "Callable[[StreamConnection, native.Message], object]"

#: Messages that match nothing wait for the consumer, so many at the most.
_KEPT_UNMATCHED = 4096
_ORDERS = ("arrival", "endpoint")
_OVERFLOWS = ("pause", "drop_oldest", "drop_newest", "error")


class StreamConnection(ConnectionInfo, native.Connection):
    """One connection of a stream: its messages become rows. The stream makes it.

    ``send`` is for subscriptions; it waits while the write buffer is full.

    Thread safety: any thread.
    """

    __slots__ = ("__weakref__", "_endpoint", "_error", "_max_size", "_source")
    _name: ClassVar[str] = "wspool.StreamConnection"

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Start the closing handshake and return at once; the stream goes on with the others.

        Args:
            code: Close code (RFC 6455 section 7.4).
            reason: At most 123 bytes in UTF-8.

        Raises:
            ValueError: If the code may not be sent or the reason is too long.
        """
        self._close(check_close_code(code), check_str("reason", reason))


@dataclass(frozen=True)
class StreamOptions:
    """The options of a stream that are not those of its connections, checked."""

    batch_rows: int = 4096
    max_delay: float = 0.1
    order: str = "arrival"
    max_batches: int = 16
    on_unmatched: OnUnmatched | None = None

    def __post_init__(self) -> None:
        for name in ("batch_rows", "max_batches"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int):
                raise TypeError(f"{name} must be an int, not {type(value).__name__}")
            if not 1 <= value <= 2**24:
                raise ValueError(f"{name} must be in 1..{2**24}, not {value}")
        if isinstance(self.max_delay, bool) or not isinstance(self.max_delay, (int, float)):
            raise TypeError(f"max_delay must be a number, not {type(self.max_delay).__name__}")
        if not 0 <= self.max_delay <= 3600:
            raise ValueError(f"max_delay must be in 0..3600 seconds, not {self.max_delay}")
        if self.order not in _ORDERS:
            raise ValueError(f"order must be one of {', '.join(_ORDERS)}, not {self.order!r}")
        if self.on_unmatched is not None and not callable(self.on_unmatched):
            raise TypeError(
                f"on_unmatched must be callable or None, not {type(self.on_unmatched).__name__}"
            )
        check_ordinary("on_unmatched", self.on_unmatched)


class StreamBase:
    """Connections whose messages become batches of rows.

    Thread safety: any thread, but one at a time takes batches.
    """

    _name: ClassVar[str]

    def __init__(
        self,
        uris: URISource | Iterable[URISource],
        fields: Fields | Mapping[str, Fields],
        stream_options: StreamOptions,
        pool: EndpointPool | None,
        options: ConnectionOptions,
    ) -> None:
        self._uris = _check_uris(uris)
        self._compiled = FieldSet.of(fields)
        self._single = isinstance(fields, Fields)
        self._stream_options = stream_options
        if pool is not None and not isinstance(pool, EndpointPool):
            raise TypeError(
                f"pool must be a wspool.EndpointPool or None, not {type(pool).__name__}"
            )
        self._pool = pool
        _check_names(options)
        self._options = PullConnection.check_options(options)
        self._connections: tuple[StreamConnection, ...] = ()
        self._native: native.RecordStream | None = None
        self._closed = False
        self._reported_end = 0
        self._reported_text = False

    def __repr__(self) -> str:
        if self._native is None:
            return f"<{self._name} of {len(self._uris)} connections, not started>"
        states = [one.status.name for one in self._connections]
        counts = ", ".join(f"{states.count(one)} {one}" for one in dict.fromkeys(states))
        return f"<{self._name} of {len(states)} connections ({counts})>"

    def __del__(self) -> None:
        alive = [one for one in getattr(self, "_connections", ()) if _is_alive(one)]
        if not alive:
            return  # or half made
        text = f"unclosed stream {self!r}"
        for one in alive:
            one.abort()
        if not self._closed:
            warnings.warn(text, ResourceWarning, 2, self)

    @property
    def connections(self) -> tuple[StreamConnection, ...]:
        """The connections, in the order of the URIs; empty before it is started."""
        return self._connections

    @property
    def stats(self) -> Statistics:
        """What its connections count, together."""
        return sum_of(one.stats for one in self._connections)

    @property
    def statistics(self) -> RecordStatistics:
        """How many messages became rows, of all connections together."""
        return RecordStatistics(*self._started().statistics())

    def abort(self) -> None:
        """End all connections at once, without a closing handshake. Returns at once."""
        self._closed = True
        for one in self._connections:
            one.abort()

    def _started(self) -> native.RecordStream:
        if self._native is None:
            raise WSPoolError(f"{self!r}: use it in a with block")
        return self._native

    def _start(self, ready: native.ReadyList | None = None, number: int = 0) -> None:
        if self._native is not None:
            raise WSPoolError(f"{self!r} can be started once only")
        pool = EndpointPool.instance() if self._pool is None else self._pool
        wanted = self._stream_options
        per_endpoint = wanted.order == "endpoint"
        self._native = native.RecordStream(
            self._compiled.native,
            batch_rows=wanted.batch_rows,
            max_delay=float(wanted.max_delay),
            max_batches=wanted.max_batches,
            overflow=_OVERFLOWS.index(self._options.overflow),
            lanes=len(pool) if per_endpoint else 1,
            kept_unmatched=_KEPT_UNMATCHED if wanted.on_unmatched is not None else 0,
            takes_events=self._options.events,
            ready=ready,
            number=number,
        )
        made: list[StreamConnection] = []
        try:
            for uri in self._uris:
                endpoint: Endpoint = pool.get_endpoint()
                one = StreamConnection(endpoint, self._options)
                lane = endpoint.index if per_endpoint else 0
                endpoint.start_in_stream(one, uri, self._options, self._native, lane)
                made.append(one)
        except BaseException:
            for one in made:
                one.abort()
            raise
        self._connections = tuple(made)

    def _raise_unless_opened(self) -> None:
        """Raise why a connection could not be opened, if so; the others are aborted."""
        for one in self._connections:
            if one.status is Status.FAILED:
                error = one.error
                assert error is not None
                self.abort()
                # Its traceback will hold the connection, which must not hold it: no cycle.
                one._error = None  # noqa: SLF001
                try:
                    raise error
                finally:
                    del error

    def _wrap(self, batch: native.RecordBatch) -> RecordBatch:
        return batch_of(self._compiled, batch)

    def _report(self) -> None:
        """Tell of what has happened since the last time.

        That is messages that matched nothing, texts that are no JSON, connections that have ended.
        """
        stream = self._started()
        on_unmatched = self._stream_options.on_unmatched
        if on_unmatched is not None:
            for number, message, _ in stream.take_unmatched():
                on_unmatched(self._connections[number], message)
        if not self._reported_text and self.statistics.not_json:
            self._reported_text = True
            self._options.logger.warning(
                "%r: a message is no JSON; there may be more, see its statistics", self
            )
        ended = stream.ended()
        if ended != self._reported_end:
            self._reported_end = ended
            if not self._closed:
                errors = [one for one in self._connections if _ended_badly(one)]
                if errors:
                    self._options.logger.warning(
                        "%d of the %d connections of a stream ended with an error; one: %s: %s",
                        *(len(errors), len(self._connections), errors[-1].log_name()),
                        errors[-1].closed_exception(),
                    )

    def _end(self) -> WSPoolError:
        """Return what says how it all ended: the first error, else an end in order."""
        ended = [one.closed_exception() for one in self._connections]
        return next((one for one in ended if not isinstance(one, ConnectionClosedOK)), ended[0])

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Export the batches to come (Arrow's PyCapsule interface). It takes them as they come.

        Raises:
            ValueError: If it has several fields: an Arrow stream has one schema.
        """
        if not self._single:
            raise ValueError("an Arrow stream has one schema: give the stream one wspool.Fields")
        self._started()
        return self._compiled.native.arrow_stream(0, self._next_for_arrow)

    def _next_for_arrow(self) -> native.RecordBatch | None:
        raise NotImplementedError


def _check_names(options: Mapping[str, object]) -> None:
    """Say which option of a stream was meant; those of connections say so themselves."""
    for name in options:
        if name in ConnectionOptions.__annotations__:
            continue
        meant = get_close_matches(name, [one.name for one in dataclass_fields(StreamOptions)], n=1)
        if meant:
            raise TypeError(f"unknown option {name!r}; did you mean {meant[0]!r}?")


def _is_alive(connection: StreamConnection) -> bool:
    try:
        return connection.status not in {Status.CLOSED, Status.FAILED}
    except WSPoolError:  # of another process
        return False


def _ended_badly(connection: StreamConnection) -> bool:
    if connection.status is not Status.CLOSED:
        return connection.status is Status.FAILED
    return not isinstance(connection.closed_exception(), ConnectionClosedOK)


def _check_uris(uris: Any) -> list[URISource]:
    if isinstance(uris, str) or callable(uris):
        return [check_ordinary("uris", uris)]
    if not isinstance(uris, Iterable) or isinstance(uris, (bytes, bytearray, Mapping)):
        raise TypeError(f"uris must be a str or an iterable of str, not {type(uris).__name__}")
    checked = [
        check_ordinary("uris", uri) if callable(uri) else check_str("uris", uri) for uri in uris
    ]
    if not checked:
        raise ValueError("uris must have at least one URI")
    return checked
