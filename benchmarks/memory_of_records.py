"""Is memory flat while JSON becomes columns?

    build/bench-venv/bin/python -m benchmarks.memory_of_records [--millions 50]

Streams trades over four connections and prints the resident memory every five million messages.
Exit status 1 if it grew by more than 8 MiB after the first ten million.
"""

from __future__ import annotations

import argparse
import sys
import time

import wspool

from .clients.wspool_stream import arrays_of, fields_of
from .feeds import messages_of
from .measure import resident
from .session import Server
from .spec import Feed

_STEP = 5_000_000
_SETTLED = 10_000_000
_ALLOWED = 8 * 2**20
_CONNECTIONS = 4


def main() -> int:
    """Run it; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--millions", type=int, default=50)
    wanted = parser.parse_args().millions * 1_000_000
    feed = Feed("replay", "trades", number=2000)
    repeat = -(-wanted // (len(messages_of(feed)) * _CONNECTIONS))
    settled = 0
    largest = 0
    with Server(Feed("replay", "trades", number=2000, repeat=repeat)) as server:
        uris = [server.uri] * _CONNECTIONS
        fields = fields_of("trades")
        begun = time.monotonic()
        with wspool.stream(uris, fields=fields, compression=None) as batches:
            for connection in batches.connections:
                connection.send("go")
            rows = 0
            for batch in batches:
                arrays_of(batch)
                before, rows = rows, rows + len(batch)
                if before // _STEP == rows // _STEP:
                    continue
                memory = resident()
                took = time.monotonic() - begun
                print(f"{rows / 1e6:6.0f} million rows  {memory / 2**20:7.1f} MiB  {took:5.1f} s")
                if rows < _SETTLED + _STEP:
                    settled = memory
                largest = max(largest, memory)
    grown = largest - settled
    print(f"grew by {grown / 2**20:.1f} MiB after the first {_SETTLED // 10**6} million")
    return 0 if grown <= _ALLOWED else 1


if __name__ == "__main__":
    sys.exit(main())
