"""Reconnection by hand: exponential back-off with jitter, and a note of what may be missing.

    python examples/python/reconnect_by_hand.py [URI]

With a URI it follows that feed until Ctrl-C. Without one it starts a server of its own, drops its
connections three times, and ends.
"""

from __future__ import annotations

import contextlib
import random
import ssl
import sys
import threading
import time
from collections.abc import Iterator

import wspool
import wspool.testing


def may_pass(error: Exception) -> bool:
    """Tell whether trying again can help."""
    if isinstance(error, wspool.InvalidStatus):
        return error.response.status_code in {408, 429, 500, 502, 503, 504}
    if isinstance(error, ssl.SSLCertVerificationError):
        return False
    return isinstance(error, (OSError, wspool.ConnectionClosed, wspool.InvalidMessage))


def messages(
    uri: str, shortest: float = 0.1, longest: float = 30
) -> Iterator[tuple[str | bytes, float | None]]:
    """Yield the messages of a feed for ever, over as many connections as it takes.

    Args:
        uri: Of the feed.
        shortest: The first delay in seconds; doubled after each failure.
        longest: The longest delay in seconds.

    Yields:
        A message, and for the first one after a reconnection how many seconds lie between it and
        the last one of the connection before; else None.
    """
    delay = shortest
    last: float | None = None
    while True:
        try:
            # closing(): a generator that is left ends by an exception, and a plain `with` would
            # close with 1011 then.
            with contextlib.closing(wspool.connect(uri, open_timeout=5)) as ws:
                first = True
                for message in ws:
                    now = time.monotonic()
                    yield message, now - last if first and last is not None else None
                    first, last, delay = False, now, shortest
            print("the server closed in order", flush=True)
        except Exception as error:
            if not may_pass(error):
                raise
            print(f"lost: {error}", flush=True)
        pause = delay * random.uniform(0.5, 1)
        print(f"next try in {pause:.2f} s", flush=True)
        time.sleep(pause)
        delay = min(2 * delay, longest)


def drop_three_times(server: wspool.testing.LoopbackServer) -> None:
    """Be the misfortune: break the connection whenever it has been open for a while."""
    for number in range(1, 4):
        server.wait_connections(number)
        time.sleep(0.3)
        server.abort_connections()


def follow(uri: str, connections: int | None) -> None:
    """Print what comes; stop after so many connections, None is never."""
    seen = 1
    for count, (_, gap) in enumerate(messages(uri), 1):
        if gap is not None:
            seen += 1
            print(f"back after {gap:.2f} s; ask for a snapshot, some messages may be missing")
        if count % 20 == 0:
            print(f"{count} messages over {seen} connections", flush=True)
        if seen == connections and count % 20 == 0:
            return


def main() -> int:
    """Follow the feed that is named, or one of our own."""
    if len(sys.argv) > 1:
        follow(sys.argv[1], None)
        return 0
    with wspool.testing.replay(["tick"], repeat=None, rate=100) as server:
        misfortune = threading.Thread(target=drop_three_times, args=[server])
        misfortune.start()
        follow(server.uri, 4)
        misfortune.join()
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
