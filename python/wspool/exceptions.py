"""The errors of wspool.

* ``WSPoolError``
    * ``ConnectionClosed``
        * ``ConnectionClosedOK``
        * ``ConnectionClosedError``
    * ``InvalidURI`` (also a ``ValueError``)
    * ``InvalidHandshake``
        * ``SecurityError``
        * ``ProxyError``
        * ``InvalidMessage``
        * ``InvalidStatus``
        * ``InvalidHeader``
            * ``InvalidUpgrade``
        * ``NegotiationError``
    * ``ProtocolError``
    * ``PayloadTooBig``
    * ``InvalidState``
        * ``PoolClosed``
    * ``BufferFull``
    * ``QueueFull``
    * ``ConcurrencyError`` (also a ``RuntimeError``)
    * ``UnknownConnection`` (also a ``LookupError``)
    * ``WrongProcess`` (also a ``RuntimeError``)

What is not about WebSocket keeps the name that Python gives it:

* ``OSError``
    * ``ConnectionRefusedError``, ``ConnectionResetError`` and the others, by errno
    * ``ConnectionAbortedError``: this side gave up before the connection was open
    * ``socket.gaierror``: the host name has no address
    * ``ssl.SSLError``, ``ssl.SSLCertVerificationError``
    * ``TimeoutError``: a deadline passed
* ``ValueError`` and ``TypeError``: a bad argument, which the text names
"""

from __future__ import annotations

import errno as errno_module
import os
import re
import socket
import ssl
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "BufferFull",
    "ConcurrencyError",
    "ConnectionClosed",
    "ConnectionClosedError",
    "ConnectionClosedOK",
    "InvalidHandshake",
    "InvalidHeader",
    "InvalidMessage",
    "InvalidState",
    "InvalidStatus",
    "InvalidURI",
    "InvalidUpgrade",
    "NegotiationError",
    "PayloadTooBig",
    "PoolClosed",
    "ProtocolError",
    "ProxyError",
    "QueueFull",
    "SecurityError",
    "UnknownConnection",
    "WSPoolError",
    "WrongProcess",
]

#: Codes that end a connection in order: OK, going away, and a close frame without a code.
OK_CLOSE_CODES = frozenset({1000, 1001, 1005})


class CloseLike(Protocol):
    """What an exception holds of a close frame: see ``wspool.Close``."""

    @property
    def code(self) -> int:
        """The close code."""

    @property
    def reason(self) -> str:
        """The reason, possibly empty."""


class HeadersLike(Protocol):
    """What an exception holds of headers: see ``wspool.Headers``."""

    def __getitem__(self, key: str) -> str:
        """Return the only value of a header."""

    def __contains__(self, key: object) -> bool:
        """Tell whether a header is there."""

    def get_all(self, key: str) -> list[str]:
        """Return all values of a header."""

    def raw_items(self) -> Iterator[tuple[str, str]]:
        """Return names and values in order."""


class ResponseLike(Protocol):
    """What an exception holds of an HTTP response: see ``wspool.Response``."""

    @property
    def status_code(self) -> int:
        """The HTTP status."""

    @property
    def reason_phrase(self) -> str:
        """The words behind the status."""

    @property
    def headers(self) -> HeadersLike:
        """The headers."""

    @property
    def body(self) -> bytes:
        """The body, as far as it was read."""


class ErrorSource(Protocol):
    """The connection that a native failure came from, as far as the exception needs it."""

    @property
    def response(self) -> ResponseLike | None:
        """The server's answer to the opening handshake."""

    @property
    def max_size(self) -> int | None:
        """The bound for messages, in bytes."""

    def closed_exception(self) -> WSPoolError:
        """Return the exception for using the connection in its present state."""


class WSPoolError(Exception):
    """Base class of all errors that wspool defines."""


class ConnectionClosed(WSPoolError):
    """The connection has ended, or is ending.

    The exception that ended it, where there was one, is its ``__cause__``.

    Attributes:
        rcvd: The close frame that was received, or None.
        sent: The close frame that was sent, or None.
        rcvd_then_sent: Where there are both, whether the peer's came first; else None.
    """

    def __init__(
        self,
        rcvd: CloseLike | None,
        sent: CloseLike | None,
        rcvd_then_sent: bool | None = None,
    ) -> None:
        super().__init__(rcvd, sent, rcvd_then_sent)
        self.rcvd = rcvd
        self.sent = sent
        self.rcvd_then_sent = rcvd_then_sent

    def __str__(self) -> str:
        if self.rcvd is None:
            if self.sent is None:
                return "no close frame received or sent"
            return f"sent {self.sent}; no close frame received"
        if self.sent is None:
            return f"received {self.rcvd}; no close frame sent"
        if self.rcvd_then_sent:
            return f"received {self.rcvd}; then sent {self.sent}"
        return f"sent {self.sent}; then received {self.rcvd}"

    @property
    def code(self) -> int:
        """The close code received; 1006 without a close frame (RFC 6455 section 7.1.5)."""
        return 1006 if self.rcvd is None else self.rcvd.code

    @property
    def reason(self) -> str:
        """The close reason received; empty without a close frame (RFC 6455 section 7.1.6)."""
        return "" if self.rcvd is None else self.rcvd.reason


class ConnectionClosedOK(ConnectionClosed):
    """The connection ended in order.

    Close frames with code 1000 (OK) or 1001 (going away), or without a code, went both ways.
    """


class ConnectionClosedError(ConnectionClosed):
    """The connection ended with an error.

    A close frame had another code than 1000 or 1001, or the closing handshake was not completed.
    """


class InvalidURI(WSPoolError, ValueError):
    """The URI is not a WebSocket URI (RFC 6455 section 3).

    Attributes:
        uri: The URI, without user name and password.
        msg: What is wrong with it.
    """

    def __init__(self, uri: str, msg: str) -> None:
        super().__init__(uri, msg)
        self.uri = uri
        self.msg = msg

    def __str__(self) -> str:
        return f"{self.uri} isn't a valid URI: {self.msg}"


class InvalidHandshake(WSPoolError):
    """The opening handshake failed (RFC 6455 section 4.1)."""


class SecurityError(InvalidHandshake):
    """The server's answer passed a bound, or redirected to where it is not safe to follow.

    The bounds are on the number and the size of headers, and on the number of redirects.
    """


class ProxyError(InvalidHandshake):
    """The proxy refused, or did not keep to its protocol.

    Attributes:
        status_code: The HTTP status that it answered CONNECT with; None where there is none.
    """

    def __init__(self, message: str, status_code: int | None = None) -> None:
        super().__init__(message)
        self.status_code = status_code


class InvalidMessage(InvalidHandshake):
    """The server's answer is not HTTP (RFC 9112)."""


class InvalidStatus(InvalidHandshake):
    """The server answered with another HTTP status than 101.

    Attributes:
        response: The answer: ``status_code``, ``reason_phrase``, ``headers``, ``body``.
    """

    def __init__(self, response: ResponseLike) -> None:
        super().__init__(response)
        self.response = response

    def __str__(self) -> str:
        return f"server rejected WebSocket connection: HTTP {self.response.status_code:d}"


class InvalidHeader(InvalidHandshake):
    """A header of the server's answer is missing or has a wrong value.

    Attributes:
        name: The header.
        value: Its value; None if it is missing.
    """

    def __init__(self, name: str, value: str | None = None) -> None:
        super().__init__(name, value)
        self.name = name
        self.value = value

    def __str__(self) -> str:
        if self.value is None:
            return f"missing {self.name} header"
        if self.value == "":
            return f"empty {self.name} header"
        return f"invalid {self.name} header: {self.value}"


class InvalidUpgrade(InvalidHeader):
    """The Upgrade or the Connection header of the server's answer is not right."""


class NegotiationError(InvalidHandshake):
    """The server chose a subprotocol or an extension that was not offered."""


class ProtocolError(WSPoolError):
    """The peer broke RFC 6455; the cause of a ``ConnectionClosedError``.

    Also of one with 1008: the peer sent empty fragments of one message without end.
    """


class PayloadTooBig(WSPoolError):
    """A message above ``max_size``; the cause of a ``ConnectionClosedError`` with 1009.

    Attributes:
        size: Its size in bytes, where it was announced; else None.
        max_size: The bound in bytes; None if unknown.
    """

    def __init__(self, size: int | None, max_size: int | None = None) -> None:
        super().__init__(size, max_size)
        self.size = size
        self.max_size = max_size

    def __str__(self) -> str:
        text = "message" if self.size is None else f"message with {self.size} bytes"
        bound = "limit" if self.max_size is None else f"limit of {self.max_size} bytes"
        return f"{text} exceeds {bound}"


class InvalidState(WSPoolError):
    """The call does not fit the present state, such as sending while still connecting."""


class PoolClosed(InvalidState):
    """The pool of the endpoint has been closed; it makes no connections any more."""


class BufferFull(WSPoolError):
    """More than ``write_limit`` bytes wait to be written, inside a callback that may not wait."""


class QueueFull(WSPoolError):
    """More messages came than ``max_queue`` allows, with ``overflow="error"``.

    The cause of a ``ConnectionClosedError`` with 1008.
    """


class ConcurrencyError(WSPoolError, RuntimeError):
    """Two calls were made at once that exclude each other."""


class UnknownConnection(WSPoolError, LookupError):
    """The endpoint has no open connection with that id.

    Attributes:
        id: The id asked for.
    """

    def __init__(self, id: int) -> None:  # noqa: A002
        super().__init__(id)
        self.id = id

    def __str__(self) -> str:
        return f"no open connection with id {self.id} on this endpoint"


class WrongProcess(WSPoolError, RuntimeError):
    """The object was made before ``fork()`` and belongs to the parent process."""


#: How a native failure crosses: code, sentence, HTTP status or 0, errno or 0.
NativeError = tuple[str, str, int, int]

_PLAIN: dict[str, type[Exception]] = {
    "INVALID_ARGUMENT": ValueError,
    "TIMEOUT": TimeoutError,
    "HANDSHAKE": InvalidMessage,
    "NEGOTIATION": NegotiationError,
    "SECURITY": SecurityError,
    "PREPARATION": WSPoolError,
    "PROTOCOL": ProtocolError,
    "BUFFER_FULL": BufferFull,
    "QUEUE_FULL": QueueFull,
    "CONCURRENCY": ConcurrencyError,
    "WRONG_PROCESS": WrongProcess,
}
_WITHOUT_SOURCE: dict[str, type[Exception]] = {
    "INVALID_STATE": InvalidState,
    "STATUS": InvalidHandshake,
    "UPGRADE": InvalidHandshake,
    "CLOSED": ConnectionResetError,
}


def redact_uri(uri: str) -> str:
    """Return the URI without the user name and password that it may hold."""
    return re.sub(r"(?<=//)[^/?#]*@", "", uri, count=1)


def redact_invalid_uri(uri: str) -> str:
    """Return what is no valid URI without what may be user name and password.

    That is all before the last @: where they end, nobody can tell.
    """
    return re.sub(r"^(\w+:/+)?.*@", r"\1", uri, count=1, flags=re.DOTALL)


def from_native(native: NativeError, source: ErrorSource | None = None) -> Exception:
    """Return the public exception for a native failure. The one place where they cross.

    Args:
        native: Code, sentence, HTTP status and errno.
        source: The connection concerned, if any.
    """
    code, message, status, number = native
    if code == "PROXY":
        return ProxyError(message, status or None)
    if code == "PREPARATION" and number == errno_module.ETIMEDOUT:
        return TimeoutError(message)
    if code in _PLAIN:
        return _PLAIN[code](message)
    if code in {"RESOLVE", "CONNECT", "TLS", "TLS_VERIFY", "ABORTED"}:
        return _os_error(code, message, number)
    if code == "END_OF_STREAM":
        ended = InvalidMessage(message)
        ended.__cause__ = EOFError("the stream ended")
        return ended
    exception = None if source is None else _of_connection(code, source)
    if exception is not None:
        return exception
    if code == "INVALID_URI":
        return InvalidURI("", message)  # the caller of the core knows which
    return _WITHOUT_SOURCE.get(code, WSPoolError)(message)


def _of_connection(code: str, source: ErrorSource) -> Exception | None:
    """Return the exception for what only the connection knows the facts of."""
    if code in {"INVALID_STATE", "CLOSED"}:
        return source.closed_exception()
    if code == "PAYLOAD_TOO_BIG":
        return PayloadTooBig(None, source.max_size)
    if code in {"STATUS", "UPGRADE"} and source.response is not None:
        if code == "STATUS":
            return InvalidStatus(source.response)
        return _invalid_upgrade(source.response.headers)
    return None


def _os_error(code: str, message: str, number: int) -> OSError:
    """Return the error that Python itself would raise for a failure of the network."""
    if code == "RESOLVE":
        return socket.gaierror(number or socket.EAI_NONAME, message)
    if code == "TLS_VERIFY":
        return ssl.SSLCertVerificationError(1, message)
    if code == "TLS":
        return ssl.SSLError(1, message)
    if code == "ABORTED":
        return ConnectionAbortedError(errno_module.ECONNABORTED, message)
    if not number:
        return ConnectionError(message)
    # OSError makes ConnectionRefusedError and the like of the number by itself.
    return OSError(number, message or os.strerror(number))


def _invalid_upgrade(headers: HeadersLike) -> InvalidHeader:
    """Return what is wrong with an answer of status 101 (RFC 6455 section 4.1)."""

    def value(name: str) -> str | None:
        values = headers.get_all(name)
        return ", ".join(values) if values else None

    upgrade = value("Upgrade")
    if upgrade is None or upgrade.strip().lower() != "websocket":
        return InvalidUpgrade("Upgrade", upgrade)
    connection = value("Connection")
    tokens = [token.strip().lower() for token in (connection or "").split(",")]
    if "upgrade" not in tokens:
        return InvalidUpgrade("Connection", connection)
    chosen = headers.get_all("Sec-WebSocket-Protocol")
    if len(chosen) > 1:
        return InvalidHeader("Sec-WebSocket-Protocol", f"multiple values: {', '.join(chosen)}")
    return InvalidHeader("Sec-WebSocket-Accept", value("Sec-WebSocket-Accept"))
