"""One WebSocket connection."""

from __future__ import annotations

import errno
import logging
import secrets
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from . import native
from .events import Close, Headers, Request, Response, Statistics, Status
from .exceptions import (
    OK_CLOSE_CODES,
    ConnectionClosed,
    ConnectionClosedError,
    ConnectionClosedOK,
    InvalidState,
    NativeError,
    WrongProcess,
    WSPoolError,
    from_native,
)

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from .options import Options
    from .pool import Endpoint

__all__ = ["Callbacks", "Connection"]

OnOpen: TypeAlias = "Callable[[Connection], object]"
OnMessage: TypeAlias = "Callable[[Connection, native.Message], object]"
OnClose: TypeAlias = "Callable[[Connection, int, str], object]"
OnFail: TypeAlias = "Callable[[Connection, Exception], object]"
OnError: TypeAlias = "Callable[[Connection, BaseException], object]"

_STATUSES = {status.value: status for status in Status}


@dataclass(frozen=True)
class Callbacks:
    """What the user wants to hear of a connection, besides its messages."""

    on_open: OnOpen | None = None
    on_close: OnClose | None = None
    on_fail: OnFail | None = None
    on_error: OnError | None = None


_NO_CALLBACKS = Callbacks()
_ENDING = (Status.CLOSING, Status.CLOSED)


class Connection(native.Connection):
    """A WebSocket connection (RFC 6455). ``Endpoint.create_new_connection`` makes it.

    It lives on when its user drops it, until it ends. Afterwards it answers from what is kept.
    As a context manager it is closed on leaving, with 1011 if that is by an exception.

    Thread safety: any thread, also inside callbacks, unless a method says otherwise.

    Attributes:
        opened: Becomes ``Status.OPENED`` or ``Status.FAILED``, never an exception, after
            ``on_open`` or ``on_fail`` has returned. So do not wait for it inside these.
    """

    # Callbacks run on the endpoint's thread; the rest may be read from any.
    __slots__ = (
        "__weakref__",
        "_callbacks",
        "_endpoint",
        "_error",
        "_logger",
        "_max_size",
        "ended",
        "opened",
    )

    def __init__(self, endpoint: Endpoint, options: Options, callbacks: Callbacks) -> None:
        self._endpoint = endpoint
        self._logger = options.logger
        self._max_size = options.max_size
        # Let go after the last call, so that no cycle keeps an ended connection.
        self._callbacks = callbacks
        # Why the connection failed or ended with an error; None as long as it has not.
        self._error: Exception | None = None
        # True once the last callback has returned; the endpoint's, under its lock.
        self.ended = False
        self.opened: Future[Status] = Future()
        # Nobody can cancel it: it is only told what happened.
        self.opened.set_running_or_notify_cancel()

    def __repr__(self) -> str:
        try:
            state = self.status.name
        except WrongProcess:
            state = "of the parent process"
        return f"<wspool.Connection {self.id} {self.uri} {state}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close(1000 if exc_type is None else 1011)
        if not self._endpoint.on_own_thread():
            self.wait_closed()

    # What it is.

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
        """Host and port of the peer, of a Unix socket its path and 0; None while not connected."""
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
    def statistics(self) -> Statistics:
        """Counters since it was made."""
        return Statistics(*self._statistics())

    @property
    def buffered_amount(self) -> int:
        """Bytes that ``send`` has taken and the system has not."""
        return self._buffered_amount()

    # What can be done with it; send() is native.

    def ping(self, data: str | bytes | None = None) -> Future[float]:
        """Send a ping (RFC 6455 section 5.5.2).

        Args:
            data: Payload of at most 125 bytes, a str goes as UTF-8; None takes a random one.

        Returns:
            A future of the round-trip time in seconds. It raises ``ConnectionClosed`` if the
            connection ends first.

        Raises:
            ConnectionClosed: If the connection has ended or is closing.
            InvalidState: If it is still connecting.
            ValueError: If data is too long.
        """
        answered: Future[float] = Future()
        answered.set_running_or_notify_cancel()

        def on_pong(round_trip: float | None) -> None:
            if round_trip is not None:
                answered.set_result(round_trip)
            else:
                answered.set_exception(self.closed_exception())

        self._ping(secrets.token_bytes(4) if data is None else _control_payload(data), on_pong)
        return answered

    def pong(self, data: str | bytes = b"") -> None:
        """Send a pong that nobody asked for (RFC 6455 section 5.5.3).

        Pings are answered by the library; this is a heartbeat in one direction.

        Args:
            data: Payload of at most 125 bytes; a str goes as UTF-8.

        Raises:
            ConnectionClosed: If the connection has ended or is closing.
            InvalidState: If it is still connecting.
            ValueError: If data is too long.
        """
        self._pong(_control_payload(data))

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Start the closing handshake, after what was sent before, and return at once.

        A connection that is still connecting fails; on one that has ended this does nothing.

        Args:
            code: Close code: 1000 to 1003, 1007 to 1014, or 3000 to 4999 (RFC 6455 section 7.4).
            reason: At most 123 bytes in UTF-8.

        Raises:
            ValueError: If the code may not be sent or the reason is too long.
        """
        self._close(check_close_code(code), check_str("reason", reason))

    def abort(self) -> None:
        """End the connection at once, without a closing handshake. Returns at once."""
        self._abort()

    def wait_closed(self, timeout: float | None = None) -> None:
        """Wait until the connection has ended and its last callback has returned.

        Ctrl-C interrupts it.

        Args:
            timeout: In seconds; None waits without bound.

        Raises:
            TimeoutError: If it has not ended by then.
            InvalidState: If called inside a callback of the endpoint, where it would wait for
                itself.
        """
        if self._wait_closed(0):
            return
        if self._endpoint.on_own_thread():
            raise InvalidState("wait_closed() inside a callback would wait for itself")
        if not self._wait_closed(timeout):
            raise TimeoutError(f"{self!r} has not ended within {timeout} s")

    def disable_callbacks(self) -> None:
        """Call no callback any more: none starts after this has returned.

        The connection goes on, and ``opened`` is still told.
        """
        self._disable_callbacks()

    def closed_exception(self) -> WSPoolError:
        """Return the exception that using the connection in its present state raises."""
        status = self.status
        if status is Status.CONNECTING:
            return InvalidState("still connecting; wait for Connection.opened")
        received, sent, received_first = self._close_frames()
        rcvd = None if received is None else Close(*received)
        sent_frame = None if sent is None else Close(*sent)
        in_order = all(
            # While closing, a frame that is missing may still come.
            status is Status.CLOSING if frame is None else frame.code in OK_CLOSE_CODES
            for frame in (rcvd, sent_frame)
        )
        kind: type[ConnectionClosed] = ConnectionClosedOK if in_order else ConnectionClosedError
        both = rcvd is not None and sent_frame is not None
        closed = kind(rcvd, sent_frame, received_first if both else None)
        if status is Status.FAILED:
            closed.__cause__ = self.error
        elif not in_order:
            failure = self._native_error()
            if failure is not None and failure[0] not in {"CLOSED", "ABORTED", "INVALID_STATE"}:
                closed.__cause__ = self._describe(failure)
        return closed

    # What the native listener calls, on the endpoint's thread. None lets an exception out.

    def _on_open(self) -> None:
        self._endpoint.remember(self)
        self._call(self._callbacks.on_open, self)
        self.opened.set_result(Status.OPENED)

    def _on_fail(self, failure: NativeError) -> None:
        self._error = self._describe(failure)
        self._call(self._callbacks.on_fail, self, self._error)
        self._end()
        self.opened.set_result(Status.FAILED)

    def _on_close(self, code: int, reason: str) -> None:
        self._call(self._callbacks.on_close, self, code, reason)
        self._end()

    def _callback_failed(self, exception: BaseException) -> None:
        """Tell of an exception in a callback."""
        on_error = self._callbacks.on_error
        if on_error is not None:
            try:
                on_error(self, exception)
            except BaseException as another:  # noqa: BLE001
                # Both are told: the second has the first as its context.
                exception = another
            else:
                return
        # A callback that sends while its own connection is being ended is no bug of its author's.
        ending = isinstance(exception, ConnectionClosed) and self.status in _ENDING
        level = logging.INFO if ending else logging.ERROR
        self._logger.log(level, "exception in a callback of %r", self, exc_info=exception)

    def _call(self, callback: Callable[..., object] | None, *args: Any) -> None:
        if callback is None or self._callbacks_disabled:
            return
        try:
            callback(*args)
        except BaseException as exception:  # noqa: BLE001
            # SystemExit and KeyboardInterrupt would end a thread that others depend on.
            self._callback_failed(exception)

    def _end(self) -> None:
        self._callbacks = _NO_CALLBACKS
        self._endpoint.forget(self)

    def _describe(self, failure: NativeError) -> Exception:
        """Return the exception for what ended the connection."""
        if failure[0] in {"CLOSED", "INVALID_STATE"}:
            return ConnectionResetError(errno.ECONNRESET, failure[1])
        return from_native(failure, self)


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


def _control_payload(data: str | bytes) -> bytes:
    """Return the payload of a control frame (RFC 6455 section 5.5)."""
    if not isinstance(data, (str, bytes, bytearray, memoryview)):
        raise TypeError(f"data must be str or bytes-like, not {type(data).__name__}")
    payload = data.encode() if isinstance(data, str) else bytes(data)
    if len(payload) > 125:
        raise ValueError(f"data must have at most 125 bytes, not {len(payload)}")
    return payload
