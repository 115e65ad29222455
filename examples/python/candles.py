"""Trades to a polars frame, and a candle chart of one symbol as PNG.

    python examples/python/candles.py [URI ...] [--symbol BTCUSDT] [--every 15s] [--png candles.png]

Without a URI it starts a server of its own that replays made-up market data. The messages are
Binance's aggTrade. Needs polars and matplotlib.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from typing import Any

import matplotlib as mpl
import numpy as np
import polars as pl

import wspool
import wspool.testing

TRADES = wspool.Fields(
    {
        "symbol": ("/data/s", "category"),
        "price": ("/data/p", "float64"),
        "quantity": ("/data/q", "float64"),
        "time": ("/data/T", "timestamp[ms]"),
    },
    where={"/data/e": "aggTrade"},
)


def collect(uris: list[str], rows: int) -> pl.DataFrame:
    """Receive until there are so many trades, or the feeds end."""
    frames = []
    received = 0
    with wspool.stream(uris, fields=TRADES) as batches:
        for batch in batches:
            frames.append(pl.DataFrame(batch))  # no copy: the columns stay where they are
            received += len(batch)
            print(f"{received:,} trades", end="\r", file=sys.stderr, flush=True)
            if received >= rows:
                break
    print(file=sys.stderr)
    return pl.concat(frames).with_columns(pl.col("symbol").cast(pl.String))


def candles(trades: pl.DataFrame, symbol: str, every: str) -> pl.DataFrame:
    """Return open, high, low, close and volume for each piece of time."""
    return (
        trades.filter(pl.col("symbol") == symbol)
        .sort("time")
        .group_by_dynamic("time", every=every)
        .agg(
            open=pl.col("price").first(),
            high=pl.col("price").max(),
            low=pl.col("price").min(),
            close=pl.col("price").last(),
            volume=pl.col("quantity").sum(),
        )
    )


def plot(bars: pl.DataFrame, title: str, path: str) -> None:
    """Draw candles, and volumes below."""
    mpl.use("Agg")
    import matplotlib.dates

    dates: Any = matplotlib.dates  # without types
    import matplotlib.pyplot as plt

    rising, falling = "#0b6e4f", "#c0392b"
    colors = [rising if up else falling for up in bars["close"] >= bars["open"]]
    when: Any = dates.date2num(bars["time"].to_list())
    width = 0.7 * float(min(when[1:] - when[:-1], default=1.0))
    figure, (prices, volumes) = plt.subplots(
        2, 1, figsize=(10, 5.6), sharex=True, height_ratios=[3, 1], layout="constrained"
    )
    body = (bars["close"] - bars["open"]).abs()
    bottom = bars.select(pl.min_horizontal("open", "close")).to_series()
    smallest = float(np.ptp(bars["high"].to_numpy())) * 0.002
    prices.vlines(when, bars["low"], bars["high"], colors=colors, linewidth=1)
    prices.bar(when, body.clip(smallest), width, bottom, color=colors)
    volumes.bar(when, bars["volume"], width, color=colors, alpha=0.6)
    prices.set_title(title, loc="left", fontweight="bold")
    prices.set_ylabel("price")
    volumes.set_ylabel("volume")
    for axes in (prices, volumes):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color="#e3e7eb", linewidth=0.8)
        axes.set_axisbelow(True)
    volumes.xaxis.set_major_locator(locator := dates.AutoDateLocator())
    volumes.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator))
    figure.savefig(path, dpi=110)


def main() -> int:
    """Parse the arguments, and start a server if there is no URI."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("uris", nargs="*", metavar="URI")
    parser.add_argument("--symbol", default="BTCUSDT")
    parser.add_argument("--every", default="15s", help="time of a candle, such as 1s or 5m")
    parser.add_argument("--rows", type=int, default=6_000, help="trades to wait for")
    parser.add_argument("--png", default="candles.png")
    arguments = parser.parse_args()
    with contextlib.ExitStack() as stack:
        uris = list(arguments.uris)
        if not uris:
            replay = wspool.testing.replay(wspool.testing.market_data(120_000))
            uris = [stack.enter_context(replay).uri]
        try:
            trades = collect(uris, arguments.rows)
        except KeyboardInterrupt:
            return 130
    bars = candles(trades, arguments.symbol, arguments.every)
    if bars.is_empty():
        print(f"no trade of {arguments.symbol}", file=sys.stderr)
        return 1
    print(bars)
    title = f"{arguments.symbol}, {len(bars)} candles of {arguments.every}"
    plot(bars, title, arguments.png)
    print(f"wrote {arguments.png}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
