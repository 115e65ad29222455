"""Streams of records for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from wspool import native
from wspool.exceptions import ConcurrencyError, ConnectionClosedOK
from wspool.stream_base import OnUnmatched, StreamBase, StreamOptions

from .watcher import Watcher

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self, Unpack

    from wspool.fields import Fields
    from wspool.options import ConnectionOptions, URISource
    from wspool.pool import EndpointPool
    from wspool.records import RecordBatch

__all__ = ["RecordStream", "stream"]

# What to wait for; the core's numbers.
_TAKABLE, _OPENED, _OVER = range(3)


class RecordStream(StreamBase):
    """Batches of rows from many connections, for ``async for``. ``stream`` makes it.

    Entering the ``async with`` block connects, and waits until all connections are open. Leaving
    it closes them. The iteration ends as that of ``wspool.stream``.

    Thread safety: the event loop's thread, and one task at a time takes batches; another may
    close it.
    """

    _name = "wspool.aio.RecordStream"

    #: A task takes batches.
    _taking = False

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        # Who waits for anything; all look for themselves when something has happened.
        self._waiters: set[asyncio.Future[None]] = set()

    async def __aenter__(self) -> Self:
        watcher = Watcher.of(asyncio.get_running_loop())
        self._start(watcher.ready, watcher.add(self))
        try:
            while not self._started().are_opened():
                await self._wait(_OPENED)
            self._raise_unless_opened()
        except BaseException:
            self.abort()
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close(1000 if exc_type is None else 1011)

    async def __aiter__(self) -> AsyncIterator[RecordBatch]:
        while True:
            batch = await self._next()
            if batch is not None:
                yield self._wrap(batch)
                continue
            ended = self._end()
            if not isinstance(ended, ConnectionClosedOK):
                raise ended
            return

    async def next(self) -> RecordBatch:
        """Return the next batch: one that is full, or what has waited for ``max_delay``.

        Cancelling it, ``asyncio.timeout`` for one, loses nothing.

        Raises:
            ConnectionClosed: If all connections have ended and every row was handed out.
            ConcurrencyError: If another task is taking batches.
        """
        batch = await self._next()
        if batch is None:
            raise self._end()
        return self._wrap(batch)

    async def _next(self) -> native.RecordBatch | None:
        """Return the next native batch; None when there will be none."""
        stream = self._started()
        if self._taking:
            raise ConcurrencyError("another task is taking batches of this stream already")
        self._taking = True
        try:
            while True:
                batch, is_end = stream.take()
                self._report()
                if batch is not None:
                    await asyncio.sleep(0)  # a firehose leaves other tasks their turn
                    return batch
                if is_end:
                    return None
                await self._wait(_TAKABLE, stream.due_in())
        finally:
            self._taking = False

    async def _wait(self, change: int, timeout: float | None = None) -> None:
        """Wait until something has changed, for ``timeout`` seconds at the most.

        Returns at once if it is so already.
        """
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            if self._started().arm(change):
                await asyncio.wait([waiter], timeout=timeout)
        finally:
            self._waiters.discard(waiter)

    def on_ready(self) -> bool:
        """Look what has become ready; the loop's watcher calls it."""
        while self._waiters:
            waiter = self._waiters.pop()
            if not waiter.done():
                waiter.set_result(None)
        return not self._started().is_over()

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close all connections, and wait until they have ended (RFC 6455 section 7.1.2).

        Rows that have come can still be taken.

        Args:
            code: Close code (RFC 6455 section 7.4).
            reason: At most 123 bytes in UTF-8.

        Raises:
            ValueError: If the code may not be sent or the reason is too long.
        """
        self._closed = True
        for one in self._connections:
            one.close(code, reason)
        while not self._started().is_over():
            await self._wait(_OVER)

    def _next_for_arrow(self) -> native.RecordBatch | None:
        raise NotImplementedError("export a blocking wspool.stream: Arrow's streams wait")


def stream(
    uris: URISource | Iterable[URISource],
    *,
    fields: Fields | Mapping[str, Fields],
    batch_rows: int = 4096,
    max_delay: float = 0.1,
    order: str = "arrival",
    max_batches: int = 16,
    on_unmatched: OnUnmatched | None = None,
    pool: EndpointPool | None = None,
    **options: Unpack[ConnectionOptions],
) -> RecordStream:
    """Receive JSON messages of many connections as columns: ``async with`` and ``async for``.

    The arguments are those of ``wspool.stream``. ``on_unmatched`` is called on the event loop's
    thread.

    Raises:
        TypeError, ValueError: If an argument cannot be what it is; the text names it.
    """
    wanted = StreamOptions(batch_rows, max_delay, order, max_batches, on_unmatched)
    return RecordStream(uris, fields, wanted, pool, options)
