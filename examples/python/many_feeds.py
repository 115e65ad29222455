"""Many feeds in one asyncio program: a task for each, and a table of what came.

    python examples/python/many_feeds.py [URI] [--feeds 100] [--rate 50] [--seconds 3]

Without a URI it starts a server of its own that replays made-up market data to each connection.
The rates in the table are what the server was asked to send, not what the library could take.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import sys
import time

import wspool
import wspool.aio
import wspool.testing


@dataclasses.dataclass
class Feed:
    """What one feed received."""

    name: str
    uri: str
    messages: int = 0
    characters: int = 0
    wake_ups: int = 0
    dropped: int = 0
    error: str = ""

    async def follow(self) -> None:
        """Receive until the connection ends."""
        try:
            async with wspool.aio.connect(self.uri, overflow="drop_oldest") as ws:
                try:
                    while True:
                        batch = await ws.recv_many()  # all that is there, at least one
                        self.wake_ups += 1
                        self.messages += len(batch)
                        self.characters += sum(map(len, batch))
                except wspool.ConnectionClosedOK:
                    pass
                finally:
                    self.dropped = ws.dropped
        except (OSError, wspool.WSPoolError) as error:
            self.error = f"{type(error).__name__}: {error}"


async def show_progress(feeds: list[Feed]) -> None:
    """Print a line each half second, until cancelled."""
    started = time.monotonic()
    while True:
        await asyncio.sleep(0.5)
        total = sum(feed.messages for feed in feeds)
        elapsed = time.monotonic() - started
        print(f"  {elapsed:5.1f} s {total:>10,} messages {total / elapsed:>9,.0f} /s", flush=True)


async def follow_all(feeds: list[Feed]) -> float:
    """Follow all feeds at the same time; returns how long it took."""
    started = time.monotonic()
    progress = asyncio.create_task(show_progress(feeds))
    await asyncio.gather(*(feed.follow() for feed in feeds))
    progress.cancel()
    return time.monotonic() - started


def print_table(feeds: list[Feed], elapsed: float) -> None:
    """Print a row for the first feeds, and the sums."""
    print(
        f"\n{'feed':<10}{'messages':>10}{'/s':>8}{'characters':>12}{'wake-ups':>10}{'dropped':>9}"
    )
    total = Feed("all", "")
    for feed in feeds:
        total.messages += feed.messages
        total.characters += feed.characters
        total.wake_ups += feed.wake_ups
        total.dropped += feed.dropped
    for feed in [*feeds[:8], total]:
        if feed is total and len(feeds) > 8:
            print(f"... and {len(feeds) - 8} more")
        print(
            f"{feed.name:<10}{feed.messages:>10,}{feed.messages / elapsed:>8,.0f}"
            f"{feed.characters:>12,}{feed.wake_ups:>10,}{feed.dropped:>9,}  {feed.error}".rstrip()
        )


def main() -> int:
    """Follow the feeds of the server that is named, or of one of our own."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("uri", nargs="?", help="the same for all feeds (default: a local server)")
    parser.add_argument("--feeds", type=int, default=100)
    parser.add_argument("--rate", type=float, default=50, help="messages a second and feed")
    parser.add_argument("--seconds", type=float, default=3)
    arguments = parser.parse_args()
    with contextlib.ExitStack() as stack:
        uri = arguments.uri
        if uri is None:
            count = max(1, round(arguments.rate * arguments.seconds))
            server = wspool.testing.replay(wspool.testing.market_data(count), rate=arguments.rate)
            uri = stack.enter_context(server).uri
        feeds = [Feed(f"feed {number}", uri) for number in range(arguments.feeds)]
        print(f"{len(feeds)} feeds of {uri}", flush=True)
        elapsed = asyncio.run(follow_all(feeds))
    print_table(feeds, elapsed)
    failed = [feed for feed in feeds if feed.error]
    print(f"\n{len(feeds) - len(failed)} feeds ended in order, {len(failed)} did not")
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
