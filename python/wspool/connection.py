"""One WebSocket connection."""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from . import native
from .connection_info import ConnectionInfo, check_close_code, check_str, control_payload
from .events import Event, Status
from .exceptions import ConnectionClosed, InvalidState, NativeError

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
OnEvent: TypeAlias = "Callable[[Connection, Event], object]"


@dataclass(frozen=True)
class Callbacks:
    """What the user wants to hear of a connection, besides its messages."""

    on_open: OnOpen | None = None
    on_close: OnClose | None = None
    on_fail: OnFail | None = None
    on_error: OnError | None = None
    on_event: OnEvent | None = None


_NO_CALLBACKS = Callbacks()
_ENDING = (Status.CLOSING, Status.CLOSED)


class _Opened(Future[Status]):
    """What ``opened`` is. Nobody can cancel it: it is only told what happened."""

    #: For all that are done. Those who wait have the one that they wait on, and who comes later
    #: only takes the lock to see that there is nothing to wait for.
    _of_all_done = threading.Condition()

    def __init__(self) -> None:
        super().__init__()
        self.set_running_or_notify_cancel()

    def settle(self, status: Status) -> None:
        """Set the result, and let the condition go: 1.3 KB that no connection needs any more."""
        self.set_result(status)
        self._condition = self._of_all_done


class Connection(ConnectionInfo, native.Connection):
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
        "_source",
        "ended",
        "opened",
    )

    _name = "wspool.Connection"

    def __init__(self, endpoint: Endpoint, options: Options, callbacks: Callbacks) -> None:
        super().__init__(endpoint, options)
        self._logger = options.logger
        # Let go after the last call, so that no cycle keeps an ended connection.
        self._callbacks = callbacks
        # True once the last callback has returned; the endpoint's, under its lock.
        self.ended = False
        self.opened = _Opened()

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
                answered.set_exception(self.lost_ping())

        self._ping(secrets.token_bytes(4) if data is None else control_payload(data), on_pong)
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
        self._pong(control_payload(data))

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

    # What the native listener calls, on the endpoint's thread. None lets an exception out.

    def _on_open(self) -> None:
        self._endpoint.remember(self)
        self._call(self._callbacks.on_open, self)
        if not self.opened.done():  # a feed opens more than once
            self.opened.settle(Status.OPENED)

    def _on_event(self, event: Event) -> None:
        self._call(self._callbacks.on_event, self, event)

    def _on_fail(self, failure: NativeError) -> None:
        self._error = self._describe(failure)
        self._call(self._callbacks.on_fail, self, self._error)
        self._end()
        self.opened.settle(Status.FAILED)

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
        name = self.log_name()
        self._logger.log(level, "exception in a callback of %s", name, exc_info=exception)

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
