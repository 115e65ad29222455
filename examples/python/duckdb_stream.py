"""SQL over a live stream: DuckDB reads record batches as they come.

    python examples/python/duckdb_stream.py [URI ...] [--sql "select ..."]

Without a URI it starts a server of its own that replays made-up market data. The stream is the
view `trades`, and can be read once, to its end. Needs duckdb and pyarrow.
"""

from __future__ import annotations

import argparse
import contextlib
import sys

import duckdb
import pyarrow as pa

import wspool
import wspool.testing

TRADES = wspool.Fields(
    {
        "symbol": ("/data/s", "category"),
        "price": ("/data/p", "decimal128(18, 6)"),
        "quantity": ("/data/q", "float64"),
        "time": ("/data/T", "timestamp[ms]"),
        "seller_is_taker": ("/data/m", "bool"),
    },
    where={"/data/e": "aggTrade"},
)
SQL = """
    select symbol, count(*) as trades, min(price) as low, max(price) as high,
           round(sum(price * quantity) / sum(quantity), 4) as average
    from trades where quantity > 0 group by symbol order by trades desc limit 10
"""


def main() -> int:
    """Parse the arguments, and start a server if there is no URI."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("uris", nargs="*", metavar="URI")
    parser.add_argument("--sql", default=SQL)
    arguments = parser.parse_args()
    with contextlib.ExitStack() as stack:
        uris = list(arguments.uris)
        if not uris:
            replay = wspool.testing.replay(wspool.testing.market_data(20_000), repeat=20)
            uris = [stack.enter_context(replay).uri] * 4
        try:
            with wspool.stream(uris, fields=TRADES) as batches:
                database = duckdb.connect()
                database.register("trades", pa.RecordBatchReader.from_stream(batches))
                print(database.sql(arguments.sql))
                counts = batches.statistics
                print(f"{counts.messages:,} messages, {counts.rows:,} trades")
        except KeyboardInterrupt:  # what Ctrl-C was for DuckDB, leaving the block raises again
            return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
