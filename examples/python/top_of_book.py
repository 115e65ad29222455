"""A live table of the best prices, from columns that native threads fill.

    python examples/python/top_of_book.py [URI ...] [--seconds 5]

Without a URI it starts a server of its own that replays made-up market data. On a terminal the
table stays in place; else the last one is printed. The messages are Binance's bookTicker.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from dataclasses import dataclass

import wspool
import wspool.testing

TICKERS = wspool.Fields(
    {
        "symbol": ("/data/s", "category"),
        "bid": ("/data/b", "float64"),
        "bid_size": ("/data/B", "float64"),
        "ask": ("/data/a", "float64"),
        "ask_size": ("/data/A", "float64"),
    },
    where={"/data/e": "bookTicker"},
)
FRAME_SECONDS = 0.1


@dataclass
class Best:
    """The latest of one symbol."""

    bid: float
    bid_size: float
    ask: float
    ask_size: float
    updates: int = 0


def update(book: dict[str, Best], batch: wspool.RecordBatch) -> None:
    """Take the last row of each symbol; the others were only on the way."""
    symbols = batch["symbol"]
    bid, bid_size, ask, ask_size = (batch[name] for name in ("bid", "bid_size", "ask", "ask_size"))
    last = {symbol: row for row, symbol in enumerate(symbols)}
    for symbol, row in last.items():
        known = book.get(symbol)
        best = Best(float(bid[row]), float(bid_size[row]), float(ask[row]), float(ask_size[row]))
        best.updates = (known.updates if known else 0) + int((symbols == symbol).sum())
        book[symbol] = best


def table(book: dict[str, Best], batches: wspool.RecordStream) -> list[str]:
    """Return the lines of the table."""
    lines = [f"{'symbol':<12}{'bid':>12}{'size':>10}{'ask':>12}{'size':>10}{'updates':>10}"]
    for symbol, best in sorted(book.items()):
        lines.append(
            f"{symbol:<12}{best.bid:>12.5g}{best.bid_size:>10,.0f}"
            f"{best.ask:>12.5g}{best.ask_size:>10,.0f}{best.updates:>10,}"
        )
    counts = batches.statistics
    lines.append(f"{counts.messages:,} messages, {counts.rows:,} rows, {counts.dropped:,} dropped")
    return lines


def show(lines: list[str], *, above: int) -> None:
    """Print the table over the one before."""
    up = f"\x1b[{above}A" if above else ""
    print(up + "".join(f"\x1b[2K{line}\n" for line in lines), end="", flush=True)


def follow(uris: list[str], seconds: float) -> None:
    """Show what comes until the time is over or the feeds end."""
    book: dict[str, Best] = {}
    live = sys.stdout.isatty()
    until = time.monotonic() + seconds
    shown = 0
    # Whoever shows the present has no use for what is late.
    with wspool.stream(
        uris, fields=TICKERS, max_delay=FRAME_SECONDS, overflow="drop_oldest"
    ) as batches:
        drawn = 0.0
        while (left := until - time.monotonic()) > 0:
            try:
                update(book, batches.next(left))
            except (TimeoutError, wspool.ConnectionClosedOK):
                break
            if live and time.monotonic() - drawn > FRAME_SECONDS:
                lines = table(book, batches)
                show(lines, above=shown)
                shown, drawn = len(lines), time.monotonic()
        lines = table(book, batches)
    show(lines, above=shown) if live else print("\n".join(lines))


def main() -> int:
    """Parse the arguments, and start a server if there is no URI."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("uris", nargs="*", metavar="URI")
    parser.add_argument("--seconds", type=float, default=5.0)
    arguments = parser.parse_args()
    with contextlib.ExitStack() as stack:
        uris = list(arguments.uris)
        if not uris:
            replay = wspool.testing.replay(
                wspool.testing.market_data(20_000), repeat=None, rate=20_000
            )
            uris = [stack.enter_context(replay).uri]
        with contextlib.suppress(KeyboardInterrupt):
            follow(uris, arguments.seconds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
