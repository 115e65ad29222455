"""What every connection tells about itself, however its messages are taken."""

from __future__ import annotations

import dataclasses
import errno
import time
import weakref
from typing import TYPE_CHECKING, Any, ClassVar

from . import native
from .events import Close, Headers, Request, Response, RoundTrips, Statistics, Status
from .exceptions import (
    OK_CLOSE_CODES,
    ConnectionClosed,
    ConnectionClosedError,
    ConnectionClosedOK,
    InvalidState,
    InvalidURI,
    NativeError,
    WrongProcess,
    WSPoolError,
    from_native,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from typing_extensions import Buffer

    from .options import Options
    from .pool import Endpoint
    from .reconnecting import AttemptSource

    _Native = native.Connection
else:
    _Native = object  # an instance has one native layout, that of its other base

__all__ = [
    "ConnectionInfo",
    "check_close_code",
    "check_str",
    "control_payload",
    "statistics_of",
    "sum_of",
]

_ENDED = (Status.CLOSED, Status.FAILED)
_STATUSES = {status.value: status for status in Status}


class ConnectionInfo(_Native):
    """The state of a connection, its handshake, its end and its counters.

    Mixed into the subclasses of the native connection types.

    Thread safety: any thread. After the connection has ended it answers from what is kept.
    """

    __slots__ = ()

    _name: ClassVar[str]
    _endpoint: Endpoint
    _error: Exception | None
    _max_size: int | None
    _source: AttemptSource | None

    def __init__(self, endpoint: Endpoint, options: Options) -> None:
        self._endpoint = endpoint
        self._max_size = options.max_size
        # Why the connection failed or ended with an error; None as long as it has not.
        self._error = None
        self._source = None

    def set_source(self, source: AttemptSource) -> None:
        """Note the user code that takes part in making the connection. The library calls it."""
        self._source = source
        # Weakly: the core keeps the source, and the source must not keep the connection.
        me = weakref.ref(self)

        def describe(failure: NativeError, was_open: bool, ticket: native.JudgeTicket) -> Exception:
            connection = me()
            if connection is None:
                return from_native(failure)
            # The thread that makes it may still be on its way back from the core.
            ticket.attach(connection)
            return connection._lost() if was_open else connection._describe(failure)  # noqa: SLF001

        source.describe = describe

    def __repr__(self) -> str:
        try:
            state = self.status.name
        except WrongProcess:
            state = "of the parent process"
        return f"<{self._name} {self.id} {self.uri} {state}>"

    def log_name(self) -> str:
        """Return what it is called in logs: the query of its URI may hold secrets."""
        uri, query, _ = self.uri.partition("?")
        return f"<{self._name} {self.id} {uri}{query and '?...'} {self.status.name}>"

    @property
    def endpoint(self) -> Endpoint:
        """The endpoint that it runs on."""
        return self._endpoint

    @property
    def status(self) -> Status:
        """The state now."""
        return _STATUSES[self._status()]

    @property
    def error(self) -> Exception | None:
        """Why it failed, or ended with an error; None before, and after an end in order.

        Of a failed connection the exception that says why, of a closed one a
        ``ConnectionClosedError``, whose ``__cause__`` may say more.
        """
        if self._error is None:
            status = self.status
            if status is Status.FAILED:
                failure = self._native_error()
                self._error = None if failure is None else self._describe(failure)
            elif status is Status.CLOSED:
                ended = self.closed_exception()
                self._error = None if isinstance(ended, ConnectionClosedOK) else ended
        return self._error

    @property
    def last_error(self) -> Exception | None:
        """What went wrong last; None while all is well.

        Of a feed, why it is not open at the moment: how the latest attempt to connect failed, or
        how the connection was lost. Else the same as ``error``.
        """
        if self.status is Status.CONNECTING:
            failure = self._native_error()
            # As an attempt the end of the stream is an answer that is none; here it is the loss.
            if failure is None or "without a close frame" in failure[1]:
                return self._lost() if self.generation else None
            return self._describe(failure)
        return self.error

    @property
    def max_size(self) -> int | None:
        """The bound for received messages in bytes; None is no bound."""
        return self._max_size

    @property
    def request(self) -> Request | None:
        """The opening request; None before it is made."""
        path, headers = self._request()
        return Request(path, Headers(headers)) if path else None

    @property
    def response(self) -> Response | None:
        """The server's answer to the opening request; None before it is read."""
        answer = self._response()
        if answer is None:
            return None
        status_code, reason_phrase, headers, body = answer
        return Response(status_code, reason_phrase, Headers(headers), body)

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol that the server chose (RFC 6455 section 1.9); None without one."""
        return self._subprotocol()

    @property
    def local_address(self) -> tuple[str, int] | None:
        """Host and port of this side; None while not connected, and with a Unix socket."""
        return self._local_address()

    @property
    def remote_address(self) -> tuple[str, int] | None:
        """Host and port of the peer; None while not connected, and with a Unix socket."""
        return self._remote_address()

    @property
    def latency(self) -> float:
        """Round-trip time of the latest answered ping in seconds; 0 before the first."""
        return self._latency()

    @property
    def close_code(self) -> int | None:
        """The close code (RFC 6455 section 7.1.5); None before it is closed.

        1005 if the peer's close frame had none, 1006 if there was no close frame.
        """
        if self.status is not Status.CLOSED:
            return None
        received = self._close_frames()[0]
        return 1006 if received is None else received[0]

    @property
    def close_reason(self) -> str | None:
        """The close reason (RFC 6455 section 7.1.6); None before it is closed."""
        if self.status is not Status.CLOSED:
            return None
        received = self._close_frames()[0]
        return "" if received is None else received[1]

    @property
    def stats(self) -> Statistics:
        """Counters since it was made, of a feed those of all its connections together."""
        return statistics_of(self._statistics(), [self])

    @property
    def statistics(self) -> Statistics:
        """The same as ``stats``."""
        return self.stats

    def waiting(self) -> tuple[int, int, int]:
        """Return what waits in a queue of ours: messages, bytes, since when (Unix ns, or 0)."""
        return 0, 0, 0

    @property
    def buffered_amount(self) -> int:
        """Bytes that ``send`` has taken and the system has not."""
        return self._buffered_amount()

    def abort(self) -> None:
        """End the connection at once, without a closing handshake. Returns at once."""
        self._abort()

    def closed_exception(self) -> WSPoolError:
        """Return the exception that using the connection in its present state raises."""
        status = self.status
        if status is Status.CONNECTING:
            if self.generation:
                return InvalidState("not connected at the moment; it is being connected again")
            return InvalidState("still connecting; wait for Connection.opened")
        if status is Status.OPENED and self._goes_on():
            return InvalidState("not connected at the moment; the connection is ending")
        return self._ended(status)

    def lost_ping(self, pong: native.Pong | None = None) -> WSPoolError:
        """Return what an unanswered ping raises. The library calls it.

        Args:
            pong: It knows how the connection has ended that it was sent on; None takes the last.
        """
        if not self._goes_on():
            return self.closed_exception()
        return self._lost() if pong is None else self._ended(Status.CLOSED, pong.close_frames)

    def _goes_on(self) -> bool:
        """Tell whether it is a feed that may live on when its connection has ended."""
        return self._source is not None and self._source.goes_on

    def _lost(self) -> WSPoolError:
        """Return how the connection of a feed has ended that was the last one."""
        return self._ended(Status.CLOSED)

    def _ended(
        self, status: Status, frames: tuple[Any, Any, bool] | None = None
    ) -> ConnectionClosed:
        received, sent, received_first = frames or self._close_frames()
        rcvd = None if received is None else Close(*received)
        sent_frame = None if sent is None else Close(*sent)
        in_order = all(
            # While closing, a frame that is missing may still come.
            status is Status.CLOSING if frame is None else frame.code in OK_CLOSE_CODES
            for frame in (rcvd, sent_frame)
        )
        # Of a connection that is not the last one the reason is not known any more.
        cause = self._cause(status) if frames is None else None
        if status is Status.CLOSED and cause is not None and self._goes_on():
            in_order = False  # a feed that is given up after attempts that failed
        kind: type[ConnectionClosed] = ConnectionClosedOK if in_order else ConnectionClosedError
        both = rcvd is not None and sent_frame is not None
        closed = kind(rcvd, sent_frame, received_first if both else None)
        if not in_order:
            closed.__cause__ = cause
        return closed

    def _cause(self, status: Status) -> Exception | None:
        """Return what ended the connection besides close frames."""
        if status is Status.FAILED:
            return self.error
        failure = self._native_error()
        if failure is None or failure[0] in {"CLOSED", "ABORTED", "INVALID_STATE"}:
            return None
        return EOFError(failure[1]) if failure[0] == "END_OF_STREAM" else self._describe(failure)

    def _describe(self, failure: NativeError) -> Exception:
        """Return the exception for what ended the connection."""
        if failure[0] == "PREPARATION" and self._source is not None:
            if failure[3] == errno.ETIMEDOUT:
                return self._source.overrun()
            if self._source.exception is not None:
                return self._source.exception
        if failure[0] == "INVALID_URI":  # of a function; others are checked at once
            return InvalidURI(f"what {self.uri} returned", failure[1])
        if failure[0] in {"CLOSED", "INVALID_STATE"}:
            return ConnectionResetError(errno.ECONNRESET, failure[1])
        return from_native(failure, self)


def statistics_of(core: tuple[Any, ...], connections: Sequence[ConnectionInfo]) -> Statistics:
    """Return statistics of what the core counts, and of what waits in the connections' queues.

    Args:
        core: What ``_statistics`` says.
        connections: Those that it is about and that have not been forgotten.
    """
    now = time.time_ns()
    received, received_bytes, payload, sent, sent_bytes, pauses, errors, *more = core
    reconnects, failed, duplicates, dropped, message_ns, received_ns, *more = more
    aside, aside_bytes, aside_since, trips = more
    statuses = [one.status for one in connections]
    queued = [one.waiting() for one in connections]
    since = [begin for _, _, begin in (*queued, (0, 0, aside_since)) if begin]
    return Statistics(
        connections=sum(status not in _ENDED for status in statuses),
        open_connections=statuses.count(Status.OPENED),
        messages_received=received,
        bytes_received=received_bytes,
        payload_received=payload,
        messages_sent=sent,
        bytes_sent=sent_bytes,
        pauses=pauses,
        callback_errors=errors,
        reconnects=reconnects,
        failed_attempts=failed,
        duplicates=duplicates,
        dropped=dropped,
        queue_messages=aside + sum(messages for messages, _, _ in queued),
        queue_bytes=aside_bytes + sum(size for _, size, _ in queued),
        queue_age=max(0.0, (now - min(since)) / 1e9) if since else 0.0,
        last_message_age=_age(now, message_ns),
        last_received_age=_age(now, received_ns),
        round_trips=RoundTrips.of(*trips),
    )


def _age(now: int, then: int) -> float | None:
    return max(0.0, (now - then) / 1e9) if then else None


def sum_of(statistics: Iterable[Statistics]) -> Statistics:
    """Return the sum; of ages of the queue the highest, of the others the lowest."""
    every = list(statistics)
    summed: dict[str, Any] = {}
    for one in dataclasses.fields(Statistics):
        values = [getattr(item, one.name) for item in every]
        if one.name == "queue_age":
            summed[one.name] = max(values, default=0.0)
        elif one.name in {"last_message_age", "last_received_age"}:
            summed[one.name] = min((age for age in values if age is not None), default=None)
        elif one.name == "round_trips":
            summed[one.name] = RoundTrips.sum_of(values)
        else:
            summed[one.name] = sum(values)
    return Statistics(**summed)


def check_close_code(code: int) -> int:
    """Check a close code (RFC 6455 section 7.4); the core checks which may be sent."""
    if isinstance(code, bool) or not isinstance(code, int):
        raise TypeError(f"code must be an int, not {type(code).__name__}")
    if not 1000 <= code <= 4999:
        raise ValueError(f"code must be in 1000..4999, not {code}")
    return code


def check_str(name: str, value: str) -> str:
    """Check an argument that must be a str."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {type(value).__name__}")
    return value


def control_payload(data: str | Buffer) -> bytes:
    """Return the payload of a control frame (RFC 6455 section 5.5)."""
    if not isinstance(data, (str, bytes, bytearray, memoryview)):
        raise TypeError(f"data must be str or bytes-like, not {type(data).__name__}")
    payload = data.encode() if isinstance(data, str) else bytes(data)
    if len(payload) > 125:
        raise ValueError(f"data must have at most 125 bytes, not {len(payload)}")
    return payload
