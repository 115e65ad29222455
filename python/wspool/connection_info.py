"""What every connection tells about itself, however its messages are taken."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, ClassVar

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
    from typing_extensions import Buffer

    from .options import Options
    from .pool import Endpoint

    _Native = native.Connection
else:
    _Native = object  # an instance has one native layout, that of its other base

__all__ = ["ConnectionInfo", "check_close_code", "check_str", "control_payload"]

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

    def __init__(self, endpoint: Endpoint, options: Options) -> None:
        self._endpoint = endpoint
        self._max_size = options.max_size
        # Why the connection failed or ended with an error; None as long as it has not.
        self._error = None

    def __repr__(self) -> str:
        try:
            state = self.status.name
        except WrongProcess:
            state = "of the parent process"
        return f"<{self._name} {self.id} {self.uri} {state}>"

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
    def statistics(self) -> Statistics:
        """Counters since it was made."""
        return Statistics(*self._statistics())

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
            if failure is not None and failure[0] == "END_OF_STREAM":
                closed.__cause__ = EOFError(failure[1])
            elif failure is not None and failure[0] not in {"CLOSED", "ABORTED", "INVALID_STATE"}:
                closed.__cause__ = self._describe(failure)
        return closed

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


def control_payload(data: str | Buffer) -> bytes:
    """Return the payload of a control frame (RFC 6455 section 5.5)."""
    if not isinstance(data, (str, bytes, bytearray, memoryview)):
        raise TypeError(f"data must be str or bytes-like, not {type(data).__name__}")
    payload = data.encode() if isinstance(data, str) else bytes(data)
    if len(payload) > 125:
        raise ValueError(f"data must have at most 125 bytes, not {len(payload)}")
    return payload
