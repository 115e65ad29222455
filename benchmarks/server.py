"""The server of one run, in a process of its own.

    python -m benchmarks.server FEED

FEED is the JSON of a `spec.Feed`. Prints a line of JSON with the URI, then one with what was
received for each line that it reads; ends with its input.
"""

from __future__ import annotations

import contextlib
import json
import resource
import signal
import sys
import threading
import time
from typing import Any

from wspool import testing

from .deflate_server import DeflateServer
from .feeds import messages_of
from .spec import Feed


def start(feed: Feed) -> testing.LoopbackServer | DeflateServer:
    """Start the server that a feed asks for."""
    if feed.mode == "deflate":
        return DeflateServer(messages_of(feed), feed.repeat or 1)
    if feed.mode == "sink":
        return testing.sink(tls=feed.tls or False, checksum=feed.checksum)
    if feed.mode == "echo":
        return testing.echo(tls=feed.tls or False, checksum=False)
    return testing.replay(
        messages_of(feed),
        repeat=feed.repeat,
        rate=feed.rate,
        start="message",
        records=feed.records,
        tls=feed.tls or False,
    )


def close_after(server: testing.LoopbackServer, seconds: float) -> None:
    """End the connections `seconds` after the first message has been sent."""
    server.wait_messages(sent=1, timeout=None)
    time.sleep(seconds)
    server.close_connections()


def received(server: testing.LoopbackServer) -> dict[str, Any]:
    """What a sink got, all connections together; the checksum is the first one's."""
    server.wait_idle(timeout=10)
    records = server.connections
    return {
        "received": sum(record.messages_received for record in records),
        "bytes": sum(record.payload_bytes_received for record in records),
        "crc32": records[0].crc32_received if records else None,
    }


def main() -> None:
    """Serve until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the runner's matter
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    feed = Feed.from_json(sys.argv[1])
    server = start(feed)
    if feed.seconds is not None and isinstance(server, testing.LoopbackServer):
        threading.Thread(target=close_after, args=(server, feed.seconds), daemon=True).start()
    with contextlib.suppress(BrokenPipeError):  # the runner has gone
        print(json.dumps({"uri": server.uri}), flush=True)
        for _ in sys.stdin:
            answer = received(server) if isinstance(server, testing.LoopbackServer) else {}
            print(json.dumps(answer), flush=True)
    server.close()


if __name__ == "__main__":
    main()
