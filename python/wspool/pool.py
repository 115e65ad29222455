"""Endpoints, each a native thread with many connections, and pools of them."""

from __future__ import annotations

import contextlib
import itertools
import operator
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from . import native
from .checking import check_ordinary, check_timeout
from .connection import Callbacks, Connection
from .connection_info import ConnectionInfo, check_close_code, check_str, statistics_of, sum_of
from .events import Statistics, Status
from .exceptions import (
    InvalidState,
    InvalidURI,
    PoolClosed,
    UnknownConnection,
    WrongProcess,
    redact_invalid_uri,
    redact_uri,
)
from .fields import FieldSet
from .options import ConnectionOptions, Options, URISource
from .records import RecordBatch, batch_of
from .uri import to_ascii

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self, Unpack

    from .connection import OnClose, OnError, OnEvent, OnFail, OnMessage, OnOpen
    from .fields import Fields
    from .pull import PullConnection
    from .stream_base import StreamConnection

__all__ = ["Endpoint", "EndpointPool"]

OnBatch: TypeAlias = "Callable[[Connection, RecordBatch], object]"
OnRecord: TypeAlias = "Callable[[Connection, tuple[Any, ...]], object]"

#: For a thread to end once its connections have.
_STOP_TIMEOUT = 1.0
_ENDED = (Status.FAILED, Status.CLOSED)


class Endpoint:
    """One native thread with its event loop, and any number of connections on it.

    Pools make it. Callbacks of its connections run one at a time, in the order of the events,
    normally on its thread. One that blocks holds up the callbacks of the endpoint, but neither
    its pings nor its reading.

    Thread safety: any thread, also inside callbacks, unless a method says otherwise.
    """

    __slots__ = ("__weakref__", "_connections", "_index", "_lock", "_native", "_pulled")

    def __init__(self, endpoint: native.Endpoint, index: int) -> None:
        self._native = endpoint
        self._index = index
        # Guards the next one and Connection.ended; never held while anything waits or calls out.
        self._lock = threading.Lock()
        # Those that have not ended, by id.
        self._connections: dict[int, Connection] = {}
        # Those whose messages are pulled: they end when their user drops them.
        self._pulled: weakref.WeakSet[PullConnection | StreamConnection] = weakref.WeakSet()

    def __repr__(self) -> str:
        try:
            return f"<wspool.Endpoint {self._index}, {len(self.connections)} connections>"
        except WrongProcess:
            return f"<wspool.Endpoint {self._index} of the parent process>"

    @property
    def index(self) -> int:
        """The place in its pool."""
        return self._index

    @property
    def connections(self) -> list[Connection | PullConnection | StreamConnection]:
        """The connections that have not ended, in the order of creation."""
        with self._lock:
            known: list[Connection | PullConnection | StreamConnection] = [
                *self._connections.values(),
                *self._pulled,
            ]
        alive = [one for one in known if one.status not in _ENDED]
        return sorted(alive, key=lambda one: one.id)

    @property
    def stats(self) -> Statistics:
        """The counters of all its connections together, those that have ended included."""
        return statistics_of(self._native.statistics(), self.connections)

    def create_new_connection(
        self,
        uri: URISource,
        *,
        on_open: OnOpen | None = None,
        on_message: OnMessage | None = None,
        on_close: OnClose | None = None,
        on_fail: OnFail | None = None,
        on_error: OnError | None = None,
        on_event: OnEvent | None = None,
        fields: Fields | Mapping[str, Fields] | None = None,
        on_batch: OnBatch | None = None,
        on_record: OnRecord | None = None,
        on_unmatched: OnMessage | None = None,
        **options: Unpack[ConnectionOptions],
    ) -> Connection:
        """Start a connection and return at once; ``Connection.opened`` tells how it went.

        The callbacks run on a native thread. An exception in one goes to ``on_error``, or with
        its traceback to the logger; neither the thread nor the connection ends by it.

        Args:
            uri: ``ws://`` or ``wss://`` (RFC 6455 section 3). User and password in it are sent
                as Basic credentials (RFC 7617) unless ``additional_headers`` has an
                Authorization. An internationalised one is encoded (RFC 3987 section 3.1). Or a
                function of no arguments that returns one, called before each attempt to connect,
                on a thread of its own.
            on_open: ``on_open(connection)``: the opening handshake is complete. With
                ``reconnect``, whenever the connection is there again.
            on_message: ``on_message(connection, message)`` for each message, in order. Without
                it messages are read and dropped.
            on_close: ``on_close(connection, code, reason)``: it was open and has ended, with
                1006 where there was no close frame. Last call.
            on_fail: ``on_fail(connection, error)``: it could not be opened; ``error`` is an
                exception. First and last call.
            on_error: ``on_error(connection, exception)``: another callback raised.
            on_event: ``on_event(connection, event)``: ``Opened``, ``Gap`` or ``Closed``, in order
                with the messages; see ``Reconnect``.
            fields: What is picked out of JSON messages, instead of ``on_message``; see ``Fields``.
            on_batch: ``on_batch(connection, batch)``: the rows that one read brought, a
                ``RecordBatch`` for each of the fields that has some. For batches of a given size
                take ``wspool.stream``.
            on_record: ``on_record(connection, record)``: each row as a tuple of the columns that
                were asked for; with one ``Fields`` only.
            on_unmatched: ``on_unmatched(connection, message)``: a message that matches none of the
                fields, or is no JSON.
            options: See ``wspool.Options``.

        Raises:
            Exception: What a function given as ``additional_headers`` raises.
            InvalidURI: If uri is not a WebSocket URI.
            TypeError: If a callback is not callable, an option is unknown or has the wrong type.
            ValueError: If an option has a value that it cannot have, or a certificate file is
                not what it should be; the text names it.
            OSError: If a certificate file cannot be read.
            PoolClosed: If the pool has been closed.
            WrongProcess: If the endpoint was made before ``fork()``.
        """
        for name, callback in (
            ("on_open", on_open),
            ("on_message", on_message),
            ("on_close", on_close),
            ("on_fail", on_fail),
            ("on_error", on_error),
            ("on_event", on_event),
            ("on_batch", on_batch),
            ("on_record", on_record),
            ("on_unmatched", on_unmatched),
        ):
            _check_callable(name, callback)
        checked = Options.from_kwargs(**options)
        if checked.events and on_event is None:
            raise ValueError("events: give on_event, which gets them")
        if checked.overflow != "pause":
            raise ValueError("overflow must be 'pause' for a connection with callbacks")
        callbacks = Callbacks(on_open, on_close, on_fail, on_error, on_event)
        connection = Connection(self, checked, callbacks)
        encoded = _encoded(uri)
        native_options = _native_options(encoded, checked, connection)
        picked = _picked(fields, on_message, on_batch, on_record, on_unmatched)
        label = _label(encoded)
        takes_events = on_event is not None
        native_options["events"] = takes_events
        with _public_errors(uri):
            if picked is None:
                self._native.create(connection, label, native_options, on_message, takes_events)
            else:
                self._native.create_records(
                    connection, label, native_options, redact_uri(label), *picked, takes_events
                )
        self.remember(connection)
        return connection

    def start_pull(
        self,
        connection: PullConnection,
        uri: URISource,
        options: Options,
        ready: native.ReadyList | None = None,
        number: int = 0,
        *,
        until_open: bool = False,
        failures: int = 0,
    ) -> None:
        """Start a connection whose messages are pulled; ``sync`` and ``aio`` call it.

        Args:
            connection: The object that it becomes, made for this endpoint.
            uri: As for ``create_new_connection``, and with its exceptions.
            options: Checked.
            ready: Where events that were armed are posted; see ``native.ReadyList``.
            number: What is posted there.
            until_open: Reconnect only until it is open for the first time.
            failures: Attempts that have failed in a row before.
        """
        encoded = _encoded(uri)
        native_options = _native_options(
            encoded, options, connection, until_open=until_open, failures=failures
        )
        label = _label(encoded)
        with _public_errors(uri):
            self._native.create_pull(connection, label, native_options, ready, number)
        with self._lock:
            self._pulled.add(connection)

    def start_in_stream(
        self,
        connection: StreamConnection,
        uri: URISource,
        options: Options,
        stream: native.RecordStream,
        lane: int,
    ) -> None:
        """Start a connection of a stream; ``wspool.stream`` calls it.

        Args:
            connection: The object that it becomes, made for this endpoint.
            uri: As for ``create_new_connection``, and with its exceptions.
            options: Checked.
            stream: Where its messages go.
            lane: Of the stream.
        """
        encoded = _encoded(uri)
        native_options = _native_options(encoded, options, connection)
        label = _label(encoded)
        with _public_errors(uri):
            self._native.create_in_stream(
                connection, label, native_options, stream, redact_uri(label), lane
            )
        with self._lock:
            self._pulled.add(connection)

    def send_msg(self, id: int, message: str | bytes, text: bool | None = None) -> None:  # noqa: A002
        """Send a message on a connection; see ``Connection.send``.

        Raises:
            UnknownConnection: If no connection with that id is open here.
        """
        self._get(id).send(message, text)

    def close(self, id: int, code: int = 1000, reason: str = "") -> None:  # noqa: A002
        """Start the closing handshake on a connection; see ``Connection.close``.

        Raises:
            UnknownConnection: If no connection with that id is open here.
        """
        self._get(id).close(code, reason)

    def disable_callbacks(self, id: int) -> None:  # noqa: A002
        """Call no callback of a connection any more; see ``Connection.disable_callbacks``.

        Raises:
            UnknownConnection: If no connection with that id is open here.
        """
        self._get(id).disable_callbacks()

    def close_all_connections(self, code: int = 1001, reason: str = "") -> None:
        """Start the closing handshake on every connection, and return at once.

        Args:
            code: Close code (RFC 6455 section 7.4).
            reason: At most 123 bytes in UTF-8.

        Raises:
            ValueError: If the code may not be sent or the reason is too long.
        """
        self._native.close_all_connections(check_close_code(code), check_str("reason", reason))

    def wait_for_closing_all(self, timeout: float | None = None) -> None:
        """Wait until no connection is left. Ctrl-C interrupts it.

        Args:
            timeout: In seconds; None waits without bound.

        Raises:
            TimeoutError: If some are left by then.
            InvalidState: If called inside a callback of the endpoint, where it would wait for
                itself.
        """
        if not self._native.wait_for_closing_all(timeout):
            raise TimeoutError(f"{self!r}: not all have ended within {timeout} s")

    def on_own_thread(self) -> bool:
        """Tell whether the calling thread runs a callback of this endpoint."""
        return self._native.on_own_thread()

    def stop(self, timeout: float) -> bool:
        """Abort every connection and stop the thread; ``EndpointPool.close`` calls it.

        Args:
            timeout: In seconds, for a callback that is running.

        Returns:
            True if the thread has ended.
        """
        return self._native.stop(timeout)

    def remember(self, connection: Connection) -> None:
        """Note a connection that has been made. The library calls it."""
        with self._lock:
            if not connection.ended:
                self._connections[connection.id] = connection

    def forget(self, connection: Connection) -> None:
        """Note that a connection has ended. The library calls it."""
        with self._lock:
            connection.ended = True
            self._connections.pop(connection.id, None)

    def _get(self, id: int) -> Connection:  # noqa: A002
        try:
            return self._connections[id]
        except KeyError:
            raise UnknownConnection(id) from None


class EndpointPool:
    """A fixed number of endpoints, handed out in turn.

    ``EndpointPool.instance()`` is the process's own; ``EndpointPool(size)`` makes a private one.
    As a context manager it is closed on leaving. After ``fork()`` the child has none of its
    parent's, and ``instance()`` makes a fresh one.

    Thread safety: any thread, also inside callbacks, unless a method says otherwise.

    Args:
        size: Number of endpoints; None is one a core.
    """

    __slots__ = ("__weakref__", "_closed", "_endpoints", "_native", "_turn")

    def __init__(self, size: int | None = None) -> None:
        if size is not None and (isinstance(size, bool) or not isinstance(size, int)):
            raise TypeError(f"size must be an int or None, not {type(size).__name__}")
        if size is not None and not 1 <= size <= 4096:
            raise ValueError(f"size must be in 1..4096, or None for one a core, not {size}")
        self._take(native.EndpointPool(size or 0))

    def _take(self, pool: native.EndpointPool) -> None:
        self._native = pool
        self._endpoints = tuple(
            Endpoint(endpoint, index) for index, endpoint in enumerate(pool.endpoints())
        )
        self._turn = itertools.cycle(self._endpoints)
        self._closed = False

    @staticmethod
    def instance() -> EndpointPool:
        """Return the process's own pool, made at the first call and after it was closed."""
        return _process_pool.get()

    def __repr__(self) -> str:
        state = ", closed" if self._closed else ""
        return f"<wspool.EndpointPool {len(self._endpoints)} endpoints{state}>"

    def __len__(self) -> int:
        return len(self._endpoints)

    def __iter__(self) -> Iterator[Endpoint]:
        return iter(self._endpoints)

    def __getitem__(self, index: int) -> Endpoint:
        return self.get_endpoint(index)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def closed(self) -> bool:
        """Whether the pool has been closed."""
        return self._closed

    @property
    def stats(self) -> Statistics:
        """The counters of all its connections together, those that have ended included."""
        return sum_of(endpoint.stats for endpoint in self._endpoints)

    def max_index(self) -> int:
        """Return the last valid index."""
        return len(self._endpoints) - 1

    def get_endpoint(self, index: int | None = None) -> Endpoint:
        """Return an endpoint.

        Args:
            index: Which; None takes the next in turn.

        Raises:
            IndexError: If index is not in 0..max_index().
        """
        if index is None:
            return next(self._turn)
        index = operator.index(index)
        if not 0 <= index < len(self._endpoints):
            raise IndexError(f"index must be in 0..{self.max_index()}, not {index}")
        return self._endpoints[index]

    def close(self, timeout: float | None = 10) -> bool:
        """Close every connection with 1001, and stop the threads. Ctrl-C interrupts it.

        Args:
            timeout: In seconds, for the closing handshakes; what is left then is aborted. None
                waits as long as each connection's ``close_timeout``.

        Returns:
            True if all threads have ended; False if one is inside a callback that blocks.

        Raises:
            InvalidState: If called inside a callback of one of its endpoints, where it would
                wait for itself.
        """
        if any(endpoint.on_own_thread() for endpoint in self._endpoints):
            raise InvalidState("EndpointPool.close() inside a callback would wait for itself")
        check_timeout("timeout", timeout)
        self._closed = True
        try:
            for endpoint in self._endpoints:
                endpoint.close_all_connections()
            deadline = None if timeout is None else time.monotonic() + timeout
            for endpoint in self._endpoints:
                with contextlib.suppress(TimeoutError):
                    endpoint.wait_for_closing_all(_left(deadline))
        finally:
            for endpoint in self._endpoints:
                endpoint.stop(0)
        deadline = time.monotonic() + _STOP_TIMEOUT
        ended = [endpoint.stop(_left(deadline) or 0) for endpoint in self._endpoints]
        return all(ended)


class _ProcessPool:
    """Holds the process's own pool."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pool: EndpointPool | None = None

    def get(self) -> EndpointPool:
        with self._lock:
            if self._pool is None:
                self._pool = EndpointPool.__new__(EndpointPool)
                self._pool._take(native.EndpointPool.instance())  # noqa: SLF001
            elif self._pool.closed:
                # The core's own cannot be opened again.
                self._pool = EndpointPool()
            return self._pool


def _encoded(uri: URISource) -> URISource:
    return check_ordinary("uri", uri) if callable(uri) else to_ascii(check_str("uri", uri))


def _label(uri: URISource) -> str:
    """Return what the core is given as the URI; of a function its name, for people."""
    return f"{getattr(uri, '__name__', 'uri')}()" if callable(uri) else uri


def _native_options(
    uri: URISource,
    options: Options,
    connection: ConnectionInfo,
    *,
    until_open: bool = False,
    failures: int = 0,
) -> dict[str, object]:
    if isinstance(uri, str):
        options.for_uri(uri)
    made, source = options.to_native(uri, until_open=until_open, failures=failures)
    connection.set_source(source)
    return made


@contextlib.contextmanager
def _public_errors(uri: URISource) -> Iterator[None]:
    """Say what a refusal of the core is about, without credentials."""
    try:
        yield
    except InvalidURI as error:
        raise InvalidURI(redact_invalid_uri(_label(uri)), error.msg) from None
    except InvalidState:
        raise PoolClosed("the pool of this endpoint has been closed") from None


def _left(deadline: float | None) -> float | None:
    return None if deadline is None else max(0.0, deadline - time.monotonic())


def _picked(
    fields: Fields | Mapping[str, Fields] | None,
    on_message: OnMessage | None,
    on_batch: OnBatch | None,
    on_record: OnRecord | None,
    on_unmatched: OnMessage | None,
) -> tuple[native.FieldSet, Callable[..., object] | None, OnRecord | None, OnMessage | None] | None:
    """Check the arguments about fields; return what the core wants of them."""
    if fields is None:
        if on_batch is not None or on_record is not None or on_unmatched is not None:
            raise ValueError("on_batch, on_record and on_unmatched need fields")
        return None
    compiled = FieldSet.of(fields)
    if on_message is not None:
        raise ValueError("on_message does not go with fields; on_unmatched gets what is left")
    if on_batch is None and on_record is None:
        raise ValueError("fields needs on_batch or on_record")
    if on_record is not None and len(compiled.names) != 1:
        raise ValueError("on_record needs one wspool.Fields: a tuple does not say of which it is")
    return compiled.native, _batch_maker(compiled, on_batch), on_record, on_unmatched


def _batch_maker(compiled: FieldSet, on_batch: OnBatch | None) -> Callable[..., object] | None:
    if on_batch is None:
        return None

    def call(connection: Connection, batch: native.RecordBatch) -> object:
        return on_batch(connection, batch_of(compiled, batch))

    return call


def _check_callable(name: str, callback: Callable[..., object] | None) -> None:
    if callback is not None and not callable(callback):
        raise TypeError(f"{name} must be callable or None, not {type(callback).__name__}")
    check_ordinary(name, callback)


_process_pool = _ProcessPool()


def _after_fork() -> None:
    """Forget the parent's pool; its threads do not exist here, and its lock may be held."""
    global _process_pool  # noqa: PLW0603
    _process_pool = _ProcessPool()


os.register_at_fork(after_in_child=_after_fork)
