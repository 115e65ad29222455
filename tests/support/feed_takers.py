"""The same face for feeds that are taken in different ways: blocking, asyncio, callbacks, stream.

with taker_of("stream")(server.uri + "/feed/a", **options) as feed:
    ...
check(feed, server.feed("a").spans)
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import CancelledError
from typing import Any, TypeVar

from tests.support.pull_servers import PATIENCE, wait_until
from tests.support.recording_server import Comparison, Span, compare

import wspool
from wspool import Closed, Gap, Opened, Reconnect, Status

_Event = TypeVar("_Event", Opened, Gap, Closed)

#: Comes back soon, however it is lost.
QUICK = Reconnect(initial_delay=0.02, max_delay=0.2, stable_after=0.5)
#: Seconds that a message may have been on its way when the last bytes before it came, where nothing
#: delays them: server, proxies and consumers take turns in one interpreter.
ON_ITS_WAY = 0.2
FIELDS = wspool.Fields({"u": ("/u", "int64")})


class Taker:
    """Takes all that a feed hands out, on a thread of its own."""

    name: str

    def __init__(self, uri: str, *, pool: wspool.EndpointPool | None = None, **options: Any):
        #: Numbers of messages, and events, in the order in which they were handed out.
        self.items: list[int | wspool.Event] = []
        #: How it ended, if that was not in order; or what else was raised.
        self.error: BaseException | None = None
        self._uri = uri
        self._options = {"proxy": None, "reconnect": QUICK, "pool": pool, **options}
        self._takes = threading.Event()
        self._takes.set()
        self._opened = threading.Event()
        self._thread = threading.Thread(target=self._guarded, name=f"taker-{self.name}")
        self._thread.start()
        assert self._opened.wait(PATIENCE)
        if self.error is not None:
            self._thread.join()
            raise self.error

    def pause(self) -> None:
        """Take nothing any more, as a consumer that is slow."""
        self._takes.clear()

    def resume(self) -> None:
        """End `pause`."""
        self._takes.set()

    @property
    def stats(self) -> wspool.Statistics:
        raise NotImplementedError

    def close(self) -> None:
        """Close it; all that came is in `items` then."""
        self.resume()
        self._close()
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive(), f"{self.name}: it does not end"

    def events(self, kind: type[_Event]) -> list[_Event]:
        return [one for one in [*self.items] if isinstance(one, kind)]

    @property
    def numbers(self) -> list[int]:
        return [one for one in [*self.items] if isinstance(one, int)]

    @property
    def has_dedup(self) -> bool:
        """Whether copies are left out."""
        return self._options.get("dedup") is not None

    @property
    def opened(self) -> int:
        """How often it was ready."""
        return len(self.events(Opened))

    def wait_more(self, count: int = 50) -> None:
        """Wait until so many more messages have come."""
        target = len(self.numbers) + count
        wait_until(lambda: len(self.numbers) >= target or self.error)
        assert self.error is None, (self.name, self.error)

    def wait_opened(self, times: int) -> None:
        """Wait until it was ready so often."""
        wait_until(lambda: self.opened >= times or self.error)
        assert self.error is None, (self.name, self.error)

    def __enter__(self) -> Taker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{self.name} {self._uri}>"

    def _guarded(self) -> None:
        try:
            self._run()
        except BaseException as error:  # noqa: BLE001  # the test looks at it
            self.error = error
        finally:
            self._opened.set()

    def _run(self) -> None:
        raise NotImplementedError

    def _close(self) -> None:
        raise NotImplementedError

    def _add(self, item: Any) -> None:
        self.items.append(json.loads(item)["u"] if isinstance(item, (str, bytes)) else item)


class Blocking(Taker):
    name = "blocking"

    def _run(self) -> None:
        with wspool.connect(self._uri, events=True, **self._options) as ws:
            self._ws = ws
            self._opened.set()
            for item in ws:
                self._add(item)
                self._takes.wait()

    @property
    def stats(self) -> wspool.Statistics:
        return self._ws.stats

    def _close(self) -> None:
        self._ws.close()


class Asyncio(Taker):
    name = "asyncio"

    def _run(self) -> None:
        asyncio.run(self._main())

    async def _main(self) -> None:
        async with wspool.aio.connect(self._uri, events=True, **self._options) as ws:
            self._ws, self._loop = ws, asyncio.get_running_loop()
            self._opened.set()
            async for item in ws:
                self._add(item)
                while not self._takes.is_set():  # noqa: ASYNC110  # it is a thread's event
                    await asyncio.sleep(0.01)

    @property
    def stats(self) -> wspool.Statistics:
        return self._ws.stats

    def _close(self) -> None:
        if self._loop.is_closed():
            return
        # The iteration may see the end first, and then the loop ends.
        with contextlib.suppress(CancelledError):
            asyncio.run_coroutine_threadsafe(self._ws.close(), self._loop).result(PATIENCE)


class ByCallbacks(Taker):
    name = "callbacks"

    def _run(self) -> None:
        self._ended = threading.Event()
        pool = self._options.pop("pool") or wspool.EndpointPool.instance()
        self._ws = pool.get_endpoint().create_new_connection(
            self._uri,
            on_message=self._on_message,
            on_event=lambda _, event: self._add(event),
            on_close=lambda *_: self._ended.set(),
            on_fail=lambda *_: self._ended.set(),
            **self._options,
        )
        status = self._ws.opened.result(PATIENCE)
        if status is not Status.OPENED:
            raise self._ws.error or RuntimeError(status)
        self._opened.set()
        self._ended.wait()

    def _on_message(self, _: wspool.Connection, message: wspool.Message) -> None:
        self._add(message.text)
        self._takes.wait()

    @property
    def stats(self) -> wspool.Statistics:
        return self._ws.stats

    def _close(self) -> None:
        self._ws.close()


class Stream(Taker):
    name = "stream"

    def _run(self) -> None:
        options = {"fields": FIELDS, "max_delay": 0.02, "events": True, **self._options}
        with wspool.stream([self._uri], **options) as batches:
            self._ws = batches
            self._opened.set()
            for batch in batches:
                self.items += [event for _, event in batch.events]
                self.items += batch.to_pydict()["u"]
                self._takes.wait()

    @property
    def stats(self) -> wspool.Statistics:
        return self._ws.stats

    def _close(self) -> None:
        self._ws.close()


TAKERS = {one.name: one for one in (Blocking, Asyncio, ByCallbacks, Stream)}


def jumps_without_gap(items: Iterable[object]) -> list[tuple[int, int]]:
    """Return where numbers are missing though no Gap stands between those around them."""
    found = []
    last, gap = None, False
    for item in items:
        if isinstance(item, Gap):
            gap = True
        elif isinstance(item, int):
            if last is not None and item != last + 1 and not gap:
                found.append((last, item))
            last, gap = item, False
    return found


def sent_outside_gaps(
    feed: Taker, missing: Iterable[int], times: Sequence[float], on_its_way: float = ON_ITS_WAY
) -> list[int]:
    """Return the numbers that were sent at a time of which no gap was told.

    Args:
        feed: whose gaps count.
        missing: numbers that did not come.
        times: when the server has sent each, from 1 on.
        on_its_way: seconds that the way may take.
    """
    gaps = [(gap.since.timestamp(), gap.until.timestamp()) for gap in feed.events(Gap)]
    return [
        number
        for number in missing
        if not any(since - on_its_way <= times[number - 1] <= until for since, until in gaps)
    ]


def check(feed: Taker, spans: Iterable[Span], *, redundant: bool = False) -> Comparison:
    """Check what a feed handed out against the server's record; returns the comparison.

    Nothing is lost outside of gaps, nothing comes twice, all is in order; events go together.

    Args:
        feed: that was closed.
        spans: what the server has sent of it.
        redundant: of its connections the one that is behind may bring what the other has not
            had, later, and a gap may come after the messages that follow it.
    """
    found = compare(feed.numbers, spans)
    assert feed.numbers, feed
    assert not found.duplicates, (feed, found)
    assert redundant or not found.out_of_order, (feed, found)
    assert not found.unknown, (feed, found)
    assert redundant or jumps_without_gap(feed.items) == [], feed
    if not feed.events(Gap):
        assert found.missing == [], feed
    stats = feed.stats
    if not feed.has_dedup and not stats.dropped:
        assert stats.messages_received == len(feed.numbers), feed
    for gap in feed.events(Gap):
        assert gap.since <= gap.until, (feed, gap)
        assert gap.reason, (feed, gap)
        assert gap.attempt >= 1, (feed, gap)
    return found


def check_sequence(feed: Taker) -> None:
    """Check that the events are those of one connection after the other."""
    kinds = [type(one) for one in feed.items if not isinstance(one, int)]
    times = feed.opened
    assert kinds == [Opened, *([Closed, Gap, Opened] * (times - 1)), Closed], feed
    assert isinstance(feed.items[0], Opened), feed
    assert isinstance(feed.items[-1], Closed), feed
    for kind in (Opened, Closed):
        assert [one.generation for one in feed.events(kind)] == [*range(1, times + 1)], feed
    # Nothing comes between the end of a connection and the next one's beginning.
    for item, after in zip(feed.items, feed.items[1:], strict=False):
        if isinstance(item, Closed):
            assert isinstance(after, Gap), feed
        if isinstance(item, Gap):
            assert isinstance(after, Opened), feed
