"""The same feed over two connections: one may be lost, and nothing is missing.

    python examples/python/redundant_feed.py

It starts servers of its own that publish the same numbered ticks, as the front ends of an
exchange do, kills one after the other, and checks the numbers. At last it kills all at once.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time

import wspool
import wspool.aio
import wspool.testing

RATE = 200  # ticks a second


class Exchange:
    """Each connection is told another front end; what they send is the same."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._fronts: list[wspool.testing.LoopbackServer] = []

    def where(self) -> str:
        """Return where to connect. wspool calls it before each attempt, on a thread for that."""
        first = int((time.monotonic() - self._began) * RATE)
        ticks = [json.dumps({"n": number}) for number in range(first, first + 60 * RATE)]
        front = wspool.testing.replay(ticks, rate=RATE)
        self._fronts.append(front)
        return front.uri

    def kill(self, count: int = 1) -> None:
        """Kill the front ends that have been there for longest."""
        for front in self._fronts[:count]:
            front.close(timeout=0)
        del self._fronts[:count]

    def close(self) -> None:
        """End all."""
        self.kill(len(self._fronts))


class Received:
    """The numbers that came, and the gaps that were told."""

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self.gaps = 0
        self.opened = 0

    def take(self, item: str | bytes | wspool.Event) -> None:
        """Take a message or an event."""
        if isinstance(item, (str, bytes)):
            self.numbers.append(json.loads(item)["n"])
        elif isinstance(item, wspool.Gap):
            self.gaps += 1
            print(f"gap of {item.seconds:.2f} s before connection {item.generation}", flush=True)
        elif isinstance(item, wspool.Opened):
            self.opened += 1
            print(f"connection {item.generation} is there", flush=True)
        else:
            print(f"connection {item.generation} has ended: {item.reason}", flush=True)

    @property
    def missing(self) -> int:
        """How many numbers are missing between the lowest and the highest.

        Not between the first and the last: two connections are not equally fast, and whichever has
        a tick first hands it over.
        """
        return max(self.numbers) - min(self.numbers) + 1 - len(self.numbers)


async def receive(
    ws: wspool.aio.ClientConnection, into: Received, *, opened: int = 0, ticks: int = 0
) -> None:
    """Take what comes, until so many connections were opened and so many ticks have come more."""
    wanted = len(into.numbers) + ticks
    while into.opened < opened or len(into.numbers) < wanted:
        into.take(await ws.recv(timeout=30))


async def main() -> int:
    """Kill one connection three times, then both."""
    exchange = Exchange()
    received = Received()
    reconnect = wspool.Reconnect(initial_delay=0.1, max_delay=5)
    async with wspool.aio.connect(
        exchange.where, reconnect=reconnect, redundancy=2, dedup="/n", events=True
    ) as ws:
        for kills in range(4):
            await receive(ws, received, opened=2 + kills)
            await receive(ws, received, ticks=RATE)
            if kills < 3:
                exchange.kill()
        missing = received.missing
        print(
            f"{len(received.numbers):,} ticks, {missing} missing, {received.gaps} gaps,"
            f" {ws.stats.duplicates:,} copies left out",
            flush=True,
        )
        print("now all at once", flush=True)
        exchange.kill(2)
        await receive(ws, received, opened=6)
    exchange.close()
    return 0 if missing == 0 and received.gaps == 1 else 1


if __name__ == "__main__":
    logging.basicConfig(level=logging.ERROR)  # the outages are ours; INFO tells of each attempt
    try:
        sys.exit(asyncio.run(main()))
    except KeyboardInterrupt:
        sys.exit(130)
