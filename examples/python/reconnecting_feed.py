"""A feed that comes back: its server is killed, and what may be missing is said.

    python examples/python/reconnecting_feed.py [URI]

With a URI it follows that feed until Ctrl-C. Without one it starts a server of its own, kills it
twice while the numbers of its ticks go on, and compares what is missing with what was told.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
from collections.abc import Iterator

import wspool
import wspool.testing

RATE = 100  # ticks a second


class Exchange:
    """Publishes ticks with numbers; of those during an outage nobody hears."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._server = self._serve(port=0)

    @property
    def uri(self) -> str:
        """Where to connect; stays the same after an outage."""
        return self._server.uri

    def _serve(self, port: int) -> wspool.testing.LoopbackServer:
        first = int((time.monotonic() - self._began) * RATE)
        ticks = [json.dumps({"n": number}) for number in range(first, first + 100 * RATE)]
        return wspool.testing.replay(ticks, rate=RATE, port=port)

    def outages(self, count: int) -> None:
        """Be killed so many times, and come back each time."""
        for _ in range(count):
            self._server.wait_connections(1)  # the client is back
            time.sleep(1)
            self._server.close(timeout=0)  # without a close frame, as a process that is killed
            time.sleep(0.7)
            self._server = self._serve(self._server.port)

    def close(self) -> None:
        """End it for good."""
        self._server.close(timeout=0)


def follow(uri: str) -> Iterator[str | bytes | wspool.Event]:
    """Yield messages and events for ever, or until the consumer stops."""
    reconnect = wspool.Reconnect(initial_delay=0.1, max_delay=5)
    ws = wspool.connect(uri, reconnect=reconnect, events=True, idle_timeout=30)
    try:
        yield from ws
    finally:
        ws.close()


def describe(event: wspool.Event) -> str:
    """Return what happened as a line."""
    if isinstance(event, wspool.Opened):
        return f"connection {event.generation} is there, attempt {event.attempt}"
    if isinstance(event, wspool.Gap):
        since, until = (f"{one:%H:%M:%S.%f}"[:-3] for one in (event.since, event.until))
        return f"gap of {event.seconds:.2f} s, {since} to {until}: {event.reason}"
    return f"connection {event.generation} has ended with {event.code}: {event.reason}"


def demonstrate() -> int:
    """Follow a feed of our own through two outages."""
    exchange = Exchange()
    misfortune = threading.Thread(target=exchange.outages, args=[2])
    misfortune.start()
    last: int | None = None
    gaps, jumps, since_opened = 0, 0, 0
    for item in follow(exchange.uri):
        if not isinstance(item, (str, bytes)):
            print(describe(item), flush=True)
            gaps += isinstance(item, wspool.Gap)
            since_opened = 0
            continue
        number = json.loads(item)["n"]
        if last is not None and number != last + 1:
            jumps += 1
            # Here a program takes a snapshot, or fetches what is missing.
            print(f"  ticks {last + 1} to {number - 1} are missing", flush=True)
        last = number
        since_opened += 1
        if gaps == 2 and since_opened == RATE:
            break
    misfortune.join()
    exchange.close()
    print(f"{gaps} gaps were told, in {jumps} ticks are missing")
    return 0 if gaps == jumps == 2 else 1


def main() -> int:
    """Follow the feed that is named, or one of our own."""
    if len(sys.argv) == 1:
        return demonstrate()
    for item in follow(sys.argv[1]):
        print(item if isinstance(item, (str, bytes)) else describe(item), flush=True)
    return 0


if __name__ == "__main__":
    logging.basicConfig(level=logging.ERROR)  # the outages are ours; INFO tells of each attempt
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
