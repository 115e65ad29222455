"""The blocking API: a connection in a ``with`` block.

    with wspool.connect("wss://...") as ws:
        ws.send("Hello")
        print(ws.recv())
        for message in ws:
            ...

Reading, keepalive and TLS run on native threads all the while; only taking messages is yours.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from . import native
from .connection_info import check_close_code, check_str, control_payload
from .events import Status
from .exceptions import WSPoolError
from .pull import (
    Event,
    FragmentDecoder,
    FragmentEncoder,
    Frame,
    Payload,
    PullConnection,
    endpoint_of,
    not_a_message,
    refuse_mapping,
)

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self, Unpack

    from .options import ConnectionOptions, URISource
    from .pool import EndpointPool

__all__ = ["ClientConnection", "Pong", "connect", "unix_connect"]

#: Waits for room in the write buffer are cut into pieces, so that Ctrl-C is noticed.
_SLICE = 0.05


def connect(
    uri: URISource, *, pool: EndpointPool | None = None, **options: Unpack[ConnectionOptions]
) -> ClientConnection:
    """Connect to a WebSocket server, and return when the connection is open.

    Use it in a ``with`` block, or call ``close`` yourself. Ctrl-C interrupts it.

    Args:
        uri: ``ws://`` or ``wss://`` (RFC 6455 section 3), with user and password if need be; or a
            function that returns one, called before each attempt on a thread of its own.
        pool: Whose endpoint it runs on, the next in turn; None takes ``EndpointPool.instance()``.
        options: See ``wspool.Options``. ``write_limit`` is 1 MiB here unless given.

    Raises:
        InvalidURI: If uri is not a WebSocket URI.
        InvalidHandshake: If the server refuses; ``InvalidStatus`` has its answer.
        OSError: If the network, the name look-up or TLS fails.
        TimeoutError: If it takes longer than ``open_timeout``.
        TypeError, ValueError: If an option cannot be what it is; the text names it.
        PoolClosed: If the pool has been closed.
    """
    checked = PullConnection.check_options(options)
    connection = ClientConnection(endpoint_of(pool), checked)
    connection._start(uri, checked)  # noqa: SLF001
    try:
        connection._wait_for(Event.OPENED, None)  # noqa: SLF001
    except BaseException:
        connection.abort()
        raise
    connection._raise_unless_opened()  # noqa: SLF001
    return connection


def unix_connect(
    path: str | os.PathLike[str],
    uri: str = "ws://localhost/",
    *,
    pool: EndpointPool | None = None,
    **options: Unpack[ConnectionOptions],
) -> ClientConnection:
    """Connect to a WebSocket server on a Unix socket; otherwise as ``connect``.

    Args:
        path: Of the socket, at most 107 bytes.
        uri: Gives host and path of the request; with ``wss://`` TLS is spoken on the socket.
        pool: As for ``connect``.
        options: As for ``connect``, without ``local_addr``.
    """
    options["unix_path"] = path
    return connect(uri, pool=pool, **options)


class Pong:
    """The answer to a ping, to wait for or not.

    Thread safety: any thread.
    """

    __slots__ = ("_connection", "_native")

    def __init__(self, connection: ClientConnection, pong: native.Pong) -> None:
        self._connection = connection
        self._native = pong

    def __repr__(self) -> str:
        round_trip = self._native.round_trip
        if round_trip is not None:
            return f"<wspool.sync.Pong after {round_trip:.6f} s>"
        return f"<wspool.sync.Pong {'that never came' if self._native.done else 'pending'}>"

    def done(self) -> bool:
        """Tell whether the answer has come, or cannot come any more."""
        return self._native.done

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the answer; True if it came, False after timeout or if the connection ended.

        Args:
            timeout: In seconds; None waits without bound.
        """
        return self._native.wait(timeout) and self._native.round_trip is not None

    def result(self, timeout: float | None = None) -> float:
        """Wait for the answer and return the round-trip time in seconds.

        Args:
            timeout: In seconds; None waits without bound.

        Raises:
            TimeoutError: If it has not come by then.
            ConnectionClosed: If the connection ended before it came.
        """
        if not self._native.wait(timeout):
            raise TimeoutError(f"no pong within {timeout} s")
        round_trip = self._native.round_trip
        if round_trip is None:
            raise self._connection.lost_ping(self._native)
        return round_trip


class ClientConnection(PullConnection):
    """A WebSocket connection whose methods wait. ``connect`` makes it.

    As a context manager it is closed on leaving, with 1011 if that is by an exception.
    Iterating receives messages until the connection has ended: after an end in order (1000, 1001)
    the iteration ends, else it raises ``ConnectionClosedError``.

    Thread safety: any thread; but one at a time receives, and while a message is sent in
    fragments nobody else can send (``ConcurrencyError``).
    """

    __slots__ = ()
    _name = "wspool.sync.ClientConnection"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close(1000 if exc_type is None else 1011)

    def __iter__(self) -> Iterator[str | bytes]:
        return self._iterate()

    def closed_exception(self) -> WSPoolError:
        """Return the exception that using the connection raises, once it is known how it ended."""
        if self.status is Status.CLOSING:
            self._wait_for(Event.ENDED, None)
        return super().closed_exception()

    # recv(), recv_many() and send() are native.

    def recv_streaming(self, decode: bool | None = None) -> Iterator[str | bytes]:
        """Receive the next message fragment by fragment, as they come (RFC 6455 section 5.4).

        Closing the iterator before its end skips the rest of the message. Above 4,096 fragments
        that wait, those that follow are joined.

        Args:
            decode: As in ``recv``.

        Raises:
            ConnectionClosed: If the connection ends before the message does.
            ConcurrencyError: If another call is receiving, this iterator included.
        """
        self._begin_receiving()
        decoder = FragmentDecoder(decode)
        try:
            self._set_streaming(True)
            while True:
                ended = self._has_ended()
                fragment = self._next_fragment()
                if isinstance(fragment, tuple):
                    yield decoder(fragment)
                    if fragment[2]:
                        return
                elif fragment is not None:  # an event
                    yield fragment
                    return
                elif ended:
                    raise self.closed_exception()
                else:
                    self._wait_for(Event.READABLE, None)
        finally:
            self._receiving = False
            self._set_streaming(False)

    def _send_iterable(self, message: Iterable[Payload], text: bool | None) -> None:
        """Send a message in fragments; the native ``send`` calls it for what is no str or bytes."""
        refuse_mapping(message)
        if not isinstance(message, Iterable):
            raise not_a_message(message)
        encode = FragmentEncoder(text)
        began = False
        try:
            for fragment in message:
                self._send_frame(encode(fragment))
                began = True
            if began:
                self._send_frame(encode.end())
        except BaseException:
            if began:  # and can never be completed
                self._fail(1011, "error in fragmented message")
            raise

    def _send_frame(self, frame: Frame) -> None:
        while not self._send_fragment(*frame, _SLICE):
            pass

    def ping(self, data: Payload | None = None) -> Pong:
        """Send a ping (RFC 6455 section 5.5.2).

        Args:
            data: Payload of at most 125 bytes, a str goes as UTF-8; None takes a random one.

        Returns:
            Its answer: ``ws.ping().result(timeout)`` is the round-trip time in seconds.

        Raises:
            ConnectionClosed: If the connection has ended or is closing.
            InvalidState: If it is a feed that is not connected at the moment.
            ConcurrencyError: If a ping with the same data has not been answered yet.
            ValueError: If data is too long.
        """
        pong = native.Pong()
        self._send_ping(data, pong)
        return Pong(self, pong)

    def pong(self, data: Payload = b"") -> None:
        """Send a pong that nobody asked for (RFC 6455 section 5.5.3).

        Pings are answered by the library; this is a heartbeat in one direction.

        Args:
            data: Payload of at most 125 bytes; a str goes as UTF-8.

        Raises:
            ConnectionClosed: If the connection has ended or is closing.
            InvalidState: If it is a feed that is not connected at the moment.
            ValueError: If data is too long.
        """
        self._pong(control_payload(data))

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the connection, and wait until it has ended (RFC 6455 section 7.1.2).

        Waits at most ``close_timeout`` for the peer. On a connection that has ended it does
        nothing. Messages that have come can still be received.

        Args:
            code: Close code: 1000 to 1003, 1007 to 1014, or 3000 to 4999 (RFC 6455 section 7.4).
            reason: At most 123 bytes in UTF-8.

        Raises:
            ValueError: If the code may not be sent or the reason is too long.
        """
        self._close(check_close_code(code), check_str("reason", reason))
        self._wait_for(Event.ENDED, None)

    def wait_closed(self, timeout: float | None = None) -> bool:
        """Wait until the connection has ended; Ctrl-C interrupts it.

        Args:
            timeout: In seconds; None waits without bound.

        Returns:
            Whether it has ended.
        """
        return self._wait_for(Event.ENDED, timeout)
