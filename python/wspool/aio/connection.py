"""A connection of an asyncio event loop."""

from __future__ import annotations

import asyncio
import itertools
import time
from asyncio import get_running_loop
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Iterable
from typing import TYPE_CHECKING, Any, Literal, overload

from wspool import native
from wspool.checking import check_timeout
from wspool.connection_info import check_close_code, check_str, control_payload
from wspool.exceptions import ConnectionClosed, ConnectionClosedOK
from wspool.pull import (
    Event,
    FragmentDecoder,
    FragmentEncoder,
    Frame,
    Payload,
    PullConnection,
    not_a_message,
    refuse_mapping,
)

from .watcher import Watcher

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from wspool.options import Options, URISource
    from wspool.pool import Endpoint

__all__ = ["ClientConnection"]


class ClientConnection(PullConnection, native.AsyncPullConnection):
    """A WebSocket connection of one event loop, whose methods are awaited.

    ``wspool.aio.connect`` makes it.

    As an asynchronous context manager it is closed on leaving, with 1011 if that is by an
    exception. Iterating receives messages until the connection has ended: after an end in order
    (1000, 1001) the iteration ends, else it raises ``ConnectionClosedError``.

    Cancelling any of its methods loses no message.

    Thread safety: the thread of its event loop.
    """

    __slots__ = ("_loop", "_room", "_sending_fragments", "_waiters", "_watcher")
    _name = "wspool.aio.ClientConnection"

    def __init__(self, endpoint: Endpoint, options: Options) -> None:
        super().__init__(endpoint, options)
        self._loop = asyncio.get_running_loop()
        self._watcher = Watcher.of(self._loop)
        # Who waits for anything; all look for themselves when something has happened.
        self._waiters: set[asyncio.Future[None]] = set()
        # Held by who waits for room in the write buffer.
        self._room = asyncio.Lock()
        # Done when the message that is being sent in fragments is complete; None without one.
        self._sending_fragments: asyncio.Future[None] | None = None

    async def _open(
        self, uri: URISource, options: Options, *, until_open: bool = False, failures: int = 0
    ) -> None:
        number = self._watcher.add(self)
        try:
            self._start(
                *(uri, options, self._watcher.ready, number),
                until_open=until_open,
                failures=failures,
            )
        except BaseException:
            self._watcher.remove(number)
            raise
        try:
            await self._until(Event.OPENED)
        except BaseException:
            self.abort()
            raise
        finally:
            # The watcher is told of the end, wherever that comes.
            self._arm(Event.ENDED)
        self._raise_unless_opened()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close(1000 if exc_type is None else 1011)

    # __aiter__() and __anext__() are native.

    async def _anext_later(self) -> str | bytes:
        """Go on where the native ``__anext__`` had no message to give at once."""
        try:
            return await self._recv_later(None, None)
        except ConnectionClosedOK:
            raise StopAsyncIteration from None

    # Waiting.

    def on_ready(self) -> bool:
        """Wake who waits; the watcher calls it. Returns False once the connection has ended."""
        while self._waiters:
            waiter = self._waiters.pop()
            if not waiter.done():
                waiter.set_result(None)
        return not self._has_ended()

    def _new_waiter(self) -> asyncio.Future[None]:
        """Return a future that is done when something has happened; native code yields it."""
        self._check_loop()
        waiter: asyncio.Future[None] = self._loop.create_future()
        waiter._asyncio_future_blocking = True  # noqa: SLF001  # as its __await__ does
        self._waiters.add(waiter)
        return waiter

    def _check_loop(self) -> None:
        if get_running_loop() is not self._loop:
            raise RuntimeError(f"{self!r} belongs to another event loop")

    async def _until(self, events: int, deadline: float | None = None) -> bool:
        """Wait for one of the events; False if the deadline, a monotonic time, passes first."""
        self._check_loop()
        while not self._arm(events):
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return False
            waiter: asyncio.Future[None] = self._loop.create_future()
            self._waiters.add(waiter)
            timer = None if left is None else self._loop.call_later(left, _finish, waiter)
            try:
                await waiter
            finally:
                self._waiters.discard(waiter)
                if timer is not None:
                    timer.cancel()
            if events == Event.WRITABLE:  # never holds by itself
                return True
        return True

    # Receiving.

    @overload  # type: ignore[override]  # the base's waits, this one is awaited
    async def recv(self, timeout: float | None = None, *, decode: Literal[True]) -> str: ...
    @overload
    async def recv(self, timeout: float | None = None, *, decode: Literal[False]) -> bytes: ...
    @overload
    async def recv(
        self, timeout: float | None = None, decode: bool | None = None
    ) -> str | bytes: ...
    async def recv(
        self,
        timeout: float | None = None,
        decode: bool | None = None,
    ) -> str | bytes:
        """Receive the next message (RFC 6455 section 5.6).

        Messages that came before the connection ended are handed out after it.

        Args:
            timeout: In seconds; None waits without bound, 0 takes only what is there.
            decode: None gives text messages as str and binary ones as bytes; True gives str,
                False bytes, whatever came.

        Raises:
            ConnectionClosed: If the connection has ended and all messages have been received.
            TimeoutError: If no message came in time; none is lost by it.
            ConcurrencyError: If another task is receiving.
            UnicodeDecodeError: If decode is True and a binary message is not UTF-8.
        """
        if timeout is None:
            return await self._receive(decode)
        return await self._recv_later(_deadline(timeout), decode)

    async def _recv_later(self, deadline: float | None, decode: bool | None) -> str | bytes:
        """Receive as the native ``_receive`` does, also by a deadline and at the end."""
        while True:
            ended = self._has_ended()
            if (message := self._next(decode)) is not None:
                return message
            if self._spent:
                await self._let_others_run()
            else:
                await self._readable(ended, deadline)

    async def recv_many(  # type: ignore[override]
        self,
        max_messages: int | None = None,
        timeout: float | None = None,
        decode: bool | None = None,
    ) -> list[str | bytes]:
        """Receive all messages that are queued, at least one, as a list in the order of arrival.

        The cheapest way to receive many. Waits like ``recv`` while there is none.

        Args:
            max_messages: The most to take; None takes all.
            timeout: In seconds; None waits without bound, 0 takes only what is there.
            decode: As in ``recv``.

        Raises:
            ValueError: If max_messages is below 1.
            ConnectionClosed, TimeoutError, ConcurrencyError, UnicodeDecodeError: As ``recv``.
        """
        deadline = None if timeout is None else _deadline(timeout)
        if self._available:  # nothing to wait for
            await self._let_others_run()
        while True:
            ended = self._has_ended()
            if messages := self._take(max_messages, decode):
                return messages
            await self._readable(ended, deadline)

    async def _let_others_run(self) -> None:
        # Native threads may be faster than any consumer: who never waits would stop the loop.
        self._begin_receiving()
        try:
            await asyncio.sleep(0)
        finally:
            self._receiving = False

    async def _readable(self, ended: bool, deadline: float | None) -> None:
        """Wait until there is something to take; ``ended`` is from before looking for it."""
        if ended:
            raise self.closed_exception()
        self._begin_receiving()
        try:
            if not await self._until(Event.READABLE, deadline):
                raise TimeoutError("timed out while waiting for a message")
        finally:
            # Taking it needs no further await, so cancellation loses none.
            self._receiving = False

    async def recv_streaming(self, decode: bool | None = None) -> AsyncIterator[str | bytes]:
        """Receive the next message fragment by fragment, as they come (RFC 6455 section 5.4).

        Closing the iterator before its end skips the rest of the message. Above 4,096 fragments
        that wait, those that follow are joined.

        Args:
            decode: As in ``recv``.

        Raises:
            ConnectionClosed: If the connection ends before the message does.
            ConcurrencyError: If another task is receiving, this iterator included.
        """
        self._begin_receiving()
        decoder = FragmentDecoder(decode)
        try:
            self._set_streaming(True)
            for number in itertools.count():
                # As _let_others_run; messages that wait count at the beginning only.
                if self._available if number == 0 else number % 256 == 0:
                    await asyncio.sleep(0)
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
                    await self._until(Event.READABLE)
        finally:
            self._receiving = False
            self._set_streaming(False)

    # Sending.

    async def send(  # type: ignore[override]  # the base's waits, this one is awaited
        self,
        message: Payload | Iterable[Payload] | AsyncIterable[Payload],
        text: bool | None = None,
    ) -> None:
        """Send a message (RFC 6455 section 5.6). Waits only while ``write_limit`` is exceeded.

        Cancelled while it waits, nothing of the message is sent, unless it goes in fragments:
        then the connection is closed with 1011, because it can never be completed.

        Args:
            message: A str goes as a text message, a bytes-like object as a binary one. The items
                of an iterable, or of an asynchronous one, go as fragments (section 5.4), each
                as soon as it is there.
            text: True sends bytes-like UTF-8 as text; False sends a str, encoded, as binary.

        Raises:
            ConnectionClosed: If the connection has ended or is closing.
            InvalidState: If it is a feed that is not connected at the moment.
            TypeError: If message is none of these; a mapping is not taken for an iterable.
            ValueError: If text is True and message is not UTF-8.
        """
        if get_running_loop() is not self._loop:
            self._check_loop()  # raises
        try:
            # Nearly always that is all there is to do.
            if (
                self._sending_fragments is None
                and not self._room.locked()
                and self._try_send(message, text)
            ):
                return
            while self._sending_fragments is not None:
                await asyncio.shield(self._sending_fragments)
            if native.is_payload(message):
                if self._room.locked() or not self._try_send(message, text):
                    await self._send_with_room(self._try_send, message, text)
            elif isinstance(message, AsyncIterable):
                await self._send_fragments(message, text)
            else:
                refuse_mapping(message)
                if not isinstance(message, Iterable):
                    raise not_a_message(message)
                await self._send_fragments(_as_async(message), text)
        except ConnectionClosed:
            await self._until(Event.ENDED)  # only then it is known how it ended
        else:
            return
        raise self.closed_exception()

    async def _send_with_room(self, send: Any, *args: Any) -> None:
        async with self._room:  # who came first sends first
            # Armed before it is tried again: otherwise the room could come in between.
            while not self._arm(Event.WRITABLE):
                if send(*args):
                    return
                await self._until(Event.WRITABLE)
        raise self.closed_exception()

    async def _send_fragments(self, message: AsyncIterable[Payload], text: bool | None) -> None:
        encode = FragmentEncoder(text)
        self._sending_fragments = self._loop.create_future()
        began = False
        try:
            async for fragment in message:
                await self._send_frame(encode(fragment))
                began = True
            if began:
                await self._send_frame(encode.end())
        except BaseException:
            if began:  # and can never be completed
                self._fail(1011, "error in fragmented message")
            raise
        finally:
            self._sending_fragments.set_result(None)
            self._sending_fragments = None

    async def _send_frame(self, frame: Frame) -> None:
        if not self._send_fragment(*frame, 0):
            await self._send_with_room(self._send_fragment, *frame, 0)

    async def ping(self, data: Payload | None = None) -> Awaitable[float]:
        """Send a ping (RFC 6455 section 5.5.2).

        Args:
            data: Payload of at most 125 bytes, a str goes as UTF-8; None takes a random one.

        Returns:
            Its answer: ``await (await ws.ping())`` is the round-trip time in seconds. It raises
            ``ConnectionClosed`` if the connection ends first.

        Raises:
            ConnectionClosed: If the connection has ended or is closing.
            InvalidState: If it is a feed that is not connected at the moment.
            ConcurrencyError: If a ping with the same data has not been answered yet.
            ValueError: If data is too long.
        """
        self._check_loop()
        answer = _Answer(self, self._loop.create_future())
        number = self._watcher.add(answer, keep=True)
        answer.pong = native.Pong(self._watcher.ready, number)
        try:
            self._send_ping(data, answer.pong)
        except ConnectionClosed:
            self._watcher.remove(number)
            await self._until(Event.ENDED)
        except BaseException:
            self._watcher.remove(number)
            raise
        else:
            return answer.future
        raise self.closed_exception()

    async def pong(self, data: Payload = b"") -> None:
        """Send a pong that nobody asked for (RFC 6455 section 5.5.3).

        Pings are answered by the library; this is a heartbeat in one direction.

        Args:
            data: Payload of at most 125 bytes; a str goes as UTF-8.

        Raises:
            ConnectionClosed: If the connection has ended or is closing.
            InvalidState: If it is a feed that is not connected at the moment.
            ValueError: If data is too long.
        """
        self._check_loop()
        try:
            self._pong(control_payload(data))
        except ConnectionClosed:
            await self._until(Event.ENDED)
        else:
            return
        raise self.closed_exception()

    # Ending.

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the connection, and wait until it has ended (RFC 6455 section 7.1.2).

        Waits at most ``close_timeout`` for the peer. On a connection that has ended it does
        nothing. Messages that have come can still be received.

        Args:
            code: Close code: 1000 to 1003, 1007 to 1014, or 3000 to 4999 (RFC 6455 section 7.4).
            reason: At most 123 bytes in UTF-8.

        Raises:
            ValueError: If the code may not be sent or the reason is too long.
        """
        self._check_loop()
        self._close(check_close_code(code), check_str("reason", reason))
        await self._until(Event.ENDED)

    async def wait_closed(self) -> None:
        """Wait until the connection has ended."""
        await self._until(Event.ENDED)


class _Answer:
    """What the watcher tells of the answer to a ping."""

    def __init__(self, connection: ClientConnection, future: asyncio.Future[float]) -> None:
        self._connection = connection
        self.future = future
        self.pong: native.Pong | None = None

    def on_ready(self) -> bool:
        """Hand the answer on. Returns False: there is nothing more to come."""
        assert self.pong is not None
        if not self.future.done():
            round_trip = self.pong.round_trip
            if round_trip is None:
                self.future.set_exception(self._connection.lost_ping(self.pong))
                self.future.exception()  # retrieved: not everybody waits for a pong
            else:
                self.future.set_result(round_trip)
        return False


def _finish(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


def _deadline(timeout: float) -> float:
    check_timeout("timeout", timeout)
    return time.monotonic() + timeout


async def _as_async(items: Iterable[Payload]) -> AsyncIterator[Payload]:
    for item in items:
        yield item
