"""The client of the soak: feeds of all kinds in one process, counted while they come.

What came is kept as runs of consecutive numbers, so that counting needs no memory of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import threading
import time
from array import array
from collections.abc import Callable
from concurrent.futures import CancelledError
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import wspool
from wspool import Closed, Gap, Opened, Reconnect

#: Quick, as everything in the soak is.
HOW = Reconnect(initial_delay=0.1, max_delay=2, stable_after=2)
OPTIONS: dict[str, Any] = {
    "proxy": None,
    "reconnect": HOW,
    "open_timeout": 6,
    "ping_interval": 3,
    "ping_timeout": 4,
    "close_timeout": 3,
}
#: A queue that slow consumers fill.
SLOW = {"max_queue": 8}
FIELDS = wspool.Fields({"u": ("/u", "int64")})


@dataclass(frozen=True)
class Plan:
    """One feed of the client."""

    kind: str
    uri: str
    #: Its name at the server.
    feed: str
    #: How many connections it has.
    connections: int = 1


class Tally:
    """What came of one feed."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        #: First and last of each run, one after the other.
        self.runs = array("q")
        self.count = 0
        self.opened = 0
        self.closed = 0
        #: When each gap began and ended, one after the other.
        self.gaps = array("d")
        #: What must not be: a number that is not above the last one.
        self.not_above = 0
        #: What must not be: numbers missing where no gap was told.
        self.jumps = 0
        self.error = ""
        self.deduped = plan.kind in {"redundant", "replaced"}
        #: Whether its consumer is slow at times.
        self.slow = False
        self._in_gap = False

    def add(self, item: Any) -> None:
        """Take what a feed hands out: a message or an event."""
        if isinstance(item, str):
            self.number(json.loads(item)["u"])
        else:
            self.event(item)

    def number(self, number: int) -> None:
        """Take the number of a message."""
        self.count += 1
        runs = self.runs
        if runs and number == runs[-1] + 1:
            runs[-1] = number
        else:
            if runs and number <= runs[-1]:
                self.not_above += 1
            elif runs and not self._in_gap:
                self.jumps += 1
            runs.extend((number, number))
        self._in_gap = False

    def event(self, event: wspool.Event) -> None:
        """Take an event."""
        if isinstance(event, Opened):
            self.opened += 1
        elif isinstance(event, Closed):
            self.closed += 1
        elif isinstance(event, Gap):
            self.gaps.extend((event.since.timestamp(), event.until.timestamp()))
            self._in_gap = True

    @property
    def last(self) -> int:
        """The last number that came."""
        return self.runs[-1] if self.runs else 0


class Client:
    """All feeds; runs until `finish`."""

    def __init__(self, plans: list[Plan], seed: int) -> None:
        self.tallies = [Tally(plan) for plan in plans]
        self._random = random.Random(seed)
        self._pool = wspool.EndpointPool(2)
        self._closers: list[Callable[[], object]] = []
        self._threads: list[threading.Thread] = []
        self._over = threading.Event()
        self._slow_seconds = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None
        of_kind: dict[str, list[Tally]] = {}
        for tally in self.tallies:
            of_kind.setdefault(tally.plan.kind, []).append(tally)
        for tally in of_kind.get("callbacks", []):
            self._start_callbacks(tally)
        for number, tally in enumerate(of_kind.get("replaced", [])):
            self._start_callbacks(tally, dedup="/u", replace_after=10 + number % 10)
        for tally in of_kind.get("redundant", []):
            self._start_callbacks(tally, dedup="/u", redundancy=tally.plan.connections)
        for number, tally in enumerate(of_kind.get("blocking", [])):
            self._start_thread(self._take_blocking, tally, number % 5 == 0)
        if of_kind.get("asyncio"):
            self._start_thread(self._run_loop, of_kind["asyncio"])
        if of_kind.get("stream"):
            self._start_thread(self._take_stream, of_kind["stream"])

    def _start_thread(self, work: Callable[..., object], *args: Any) -> None:
        thread = threading.Thread(target=work, args=args)
        thread.start()
        self._threads.append(thread)

    def _start_callbacks(self, tally: Tally, **options: Any) -> None:
        connection = self._pool.get_endpoint().create_new_connection(
            tally.plan.uri,
            on_message=lambda _, message: tally.add(message.text),
            on_event=lambda _, event: tally.add(event),
            **{**OPTIONS, **options},
        )
        self._closers.append(connection.close)

    def _take_blocking(self, tally: Tally, slow: bool) -> None:
        tally.slow = slow
        options = {**OPTIONS, **(SLOW if slow else {})}
        try:
            with wspool.connect(tally.plan.uri, pool=self._pool, events=True, **options) as ws:
                self._closers.append(ws.close)
                for item in ws:
                    tally.add(item)
                    if slow and self._slow_seconds:
                        self._over.wait(self._slow_seconds)
        except wspool.WSPoolError as error:
            tally.error = repr(error)

    def _run_loop(self, tallies: list[Tally]) -> None:
        async def take(tally: Tally, slow: bool) -> None:
            tally.slow = slow
            options = {**OPTIONS, **(SLOW if slow else {})}
            try:
                async with wspool.aio.connect(
                    tally.plan.uri, pool=self._pool, events=True, **options
                ) as ws:

                    def close() -> None:
                        # The iteration may see the end first, and then the loop ends.
                        with contextlib.suppress(CancelledError):
                            asyncio.run_coroutine_threadsafe(ws.close(), self._loop).result(30)

                    self._closers.append(close)
                    async for item in ws:
                        tally.add(item)
                        if slow and self._slow_seconds and not self._over.is_set():
                            await asyncio.sleep(self._slow_seconds)
            except wspool.WSPoolError as error:
                tally.error = repr(error)

        async def main() -> None:
            self._loop = asyncio.get_running_loop()
            tasks = [take(tally, number % 5 == 0) for number, tally in enumerate(tallies)]
            await asyncio.gather(*tasks)

        asyncio.run(main())

    def _take_stream(self, tallies: list[Tally]) -> None:
        by_uri = {tally.plan.uri: tally for tally in tallies}
        options = {**OPTIONS, "pool": self._pool, "events": True, "max_delay": 0.1}
        try:
            with wspool.stream(list(by_uri), fields=FIELDS, **options) as batches:
                self._closers.append(batches.close)
                for batch in batches:
                    for uri, event in batch.events:
                        by_uri[uri].event(event)
                    table = batch.to_pydict()
                    for uri, number in zip(table["connection"], table["u"], strict=True):
                        by_uri[uri].number(number)
        except wspool.WSPoolError as error:
            for tally in tallies:
                tally.error = repr(error)

    def slow(self, seconds: float) -> None:
        """Have slow consumers wait so long after each message; 0 ends that."""
        self._slow_seconds = seconds

    def sample(self) -> dict[str, float]:
        """Return what changes over time."""
        stats = self._pool.stats
        return {
            "open": sum(tally.opened - tally.closed for tally in self.tallies),
            "messages": sum(tally.count for tally in self.tallies),
            "gaps": sum(len(tally.gaps) // 2 for tally in self.tallies),
            "failed_attempts": stats.failed_attempts,
            "reconnects": stats.reconnects,
            "pauses": stats.pauses,
            "duplicates": stats.duplicates,
            "queue_messages": stats.queue_messages,
            "queue_bytes": stats.queue_bytes,
            # Of which `dedup` knows, until there are too many.
            "names": sum(min(tally.count, 65_536) for tally in self.tallies if tally.deduped),
            "tasks": len(asyncio.all_tasks(self._loop)) if self._loop else 0,
        }

    def lasts(self) -> list[int]:
        """Return the last number of each feed."""
        return [tally.last for tally in self.tallies]

    def ended(self) -> list[str]:
        """Return what has ended a feed that should go on."""
        return [f"{tally.plan}: {tally.error}" for tally in self.tallies if tally.error]

    def finish(self) -> list[dict[str, Any]]:
        """Close everything; returns what came of each feed."""
        self._slow_seconds = 0.0
        self._over.set()
        for close in [*self._closers]:
            close()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive(), "a consumer does not end"
        assert self._pool.close(30), "the pool does not close"
        return [
            {
                "kind": tally.plan.kind,
                "feed": tally.plan.feed,
                "runs": list(tally.runs),
                "count": tally.count,
                "opened": tally.opened,
                "gaps": list(tally.gaps),
                "not_above": tally.not_above,
                "jumps": tally.jumps,
                "error": tally.error,
                "slow": tally.slow,
            }
            for tally in self.tallies
        ]


def serve_calls(pipe: Connection, subject: Any) -> None:
    """Do what comes over a pipe as (method, arguments), until `finish` or its end."""
    while True:
        try:
            name, args = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send((True, getattr(subject, name)(*args)))
        except Exception as error:  # noqa: BLE001  # the caller raises it
            pipe.send((False, repr(error)))
        if name == "finish":
            return


def main(pipe: Connection, plans: list[Plan], seed: int) -> None:
    """Run the client."""
    client = Client(plans, seed)
    pipe.send((True, time.monotonic()))
    serve_calls(pipe, client)
