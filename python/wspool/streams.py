"""Blocking streams: JSON messages of many connections as columns.

trades = wspool.Fields({"price": ("/data/p", "float64")}, where={"/data/e": "aggTrade"})
with wspool.stream(uris, fields=trades) as batches:
for batch in batches:
print(batch["price"].mean())
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from . import native
from .checking import check_timeout
from .exceptions import ConnectionClosedOK
from .stream_base import OnUnmatched, StreamBase, StreamOptions

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self, Unpack

    from .fields import Fields
    from .options import ConnectionOptions, URISource
    from .pool import EndpointPool
    from .records import RecordBatch

__all__ = ["RecordStream", "stream"]


class RecordStream(StreamBase):
    """Batches of rows from many connections, to iterate over. ``stream`` makes it.

    Entering the ``with`` block connects, and waits until all connections are open. Leaving it
    closes them. The iteration ends when all have ended and every row was handed out: in order, or
    with the exception of the first that did not. Ctrl-C while somebody else takes the batches by
    Arrow's interface is their error, and leaving the block raises ``KeyboardInterrupt``.

    Thread safety: any thread, but one at a time takes batches.
    """

    _name = "wspool.RecordStream"

    #: What interrupted a consumer of Arrow's stream, such as KeyboardInterrupt.
    _interrupted: BaseException | None = None

    def __enter__(self) -> Self:
        self._start()
        try:
            self._started().wait_opened(None)
            self._raise_unless_opened()
        except BaseException:
            self.abort()
            raise
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        interrupted, self._interrupted = self._interrupted, None
        try:
            self.close(1000 if exc_type is None and interrupted is None else 1011)
            if interrupted is not None:
                raise interrupted.with_traceback(None)
        finally:
            del interrupted

    def __iter__(self) -> Iterator[RecordBatch]:
        while True:
            batch = self._next(None)
            if batch is not None:
                yield self._wrap(batch)
                continue
            ended = self._end()
            if not isinstance(ended, ConnectionClosedOK):
                raise ended
            return

    def next(self, timeout: float | None = None) -> RecordBatch:
        """Return the next batch: one that is full, or what has waited for ``max_delay``.

        Ctrl-C interrupts it.

        Args:
            timeout: In seconds; None waits without bound.

        Raises:
            TimeoutError: If there is none by then.
            ConnectionClosed: If all connections have ended and every row was handed out.
        """
        batch = self._next(timeout)
        if batch is None:
            raise self._end()
        return self._wrap(batch)

    def _next(self, timeout: float | None) -> native.RecordBatch | None:
        """Return the next native batch; None when there will be none."""
        stream = self._started()
        bound = check_timeout("timeout", timeout)
        deadline = None if bound is None else time.monotonic() + bound
        while True:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            batch, is_end = stream.take_within(left)
            self._report()
            if batch is not None or is_end:
                return batch
            if deadline is not None and time.monotonic() >= deadline:
                raise TimeoutError(f"no batch within {timeout} s")

    def _next_for_arrow(self) -> native.RecordBatch | None:
        try:
            batch = self._next(None)
        except BaseException as error:
            # A consumer makes an error of its own of it, which would let Ctrl-C be swallowed.
            self._interrupted = None if isinstance(error, Exception) else error
            raise
        if batch is None:
            ended = self._end()
            if not isinstance(ended, ConnectionClosedOK):
                raise ended
        return batch

    def close(self, code: int = 1000, reason: str = "") -> None:
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
        for one in self._connections:
            one._wait_closed(None)  # noqa: SLF001


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
    """Receive JSON messages of many connections as columns. Use it in a ``with`` block.

    Fields are picked on native threads, without the GIL, right from the read buffer; Python sees
    one object a batch.

    Args:
        uris: One or many; each gets a connection, spread over the pool's endpoints.
        fields: What is picked. Of several, by name, a message goes to each that it matches; a
            batch is of one of them, ``RecordBatch.name`` says which.
        batch_rows: A batch is handed out when it has so many rows,
        max_delay: or when its first row has waited so long, in seconds.
        order: ``"arrival"``: one order for all connections; their threads take turns. With
            ``"endpoint"`` each batch is of the connections of one endpoint, and threads do not
            wait for each other.
        max_batches: Batches that may wait to be taken. At that bound ``overflow`` decides:
            ``"pause"`` (default) stops reading, so that TCP pushes back; ``"drop_oldest"`` and
            ``"drop_newest"`` drop a batch, its rows counted in ``statistics.dropped``;
            ``"error"`` closes the connections with 1008.
        on_unmatched: ``on_unmatched(connection, message)``: a message that matches none of the
            fields, or is no JSON. Called by the thread that takes batches, while it does.
        pool: Whose endpoints they run on; None takes ``EndpointPool.instance()``.
        options: See ``wspool.Options``; ``max_queue`` and ``max_queue_bytes`` do not count here.

    Raises:
        TypeError, ValueError: If an argument cannot be what it is; the text names it.

    Entering the block raises what opening a connection raised, see ``wspool.connect``.
    """
    wanted = StreamOptions(batch_rows, max_delay, order, max_batches, on_unmatched)
    return RecordStream(uris, fields, wanted, pool, options)
