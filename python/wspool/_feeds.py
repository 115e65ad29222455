"""Market-data messages for demos, tests and benchmarks: generated, or read from captures."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable
from pathlib import Path

__all__ = ["load_captures", "market_data"]

_START_MS = 1_626_916_403_000
_BASES = ("BTC", "ETH", "XRP", "BCH", "LTC", "LINK", "TRX", "EOS", "SUSHI", "AKRO", "DASH", "SKL")


class _Market:
    """Prices, ids and the clock that the makers of messages share."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.ms = _START_MS
        self.ids = 600_859_600_000
        self.prices = {base: 10 ** self.random.uniform(-2, 4.5) for base in _BASES}

    def tick(self) -> None:
        self.ms += self.random.randrange(0, 12)
        self.ids += self.random.randrange(1, 900)

    def base(self) -> str:
        return self.random.choice(_BASES)

    def price(self, base: str, digits: int = 6) -> str:
        """A decimal of `digits` significant digits near the base's last price."""
        self.prices[base] *= 1 + self.random.gauss(0, 0.0004)
        value = self.prices[base]
        whole = len(str(int(value))) if value >= 1 else 0
        return f"{value:.{max(digits - whole, 1)}f}"

    def amount(self, decimals: int = 0) -> str:
        if self.random.random() < 0.25:
            return f"{0:.{decimals}f}"  # a level that is gone
        return f"{self.random.lognormvariate(5, 2):.{decimals}f}"

    def levels(self, base: str, mean: float) -> list[list[str]]:
        count = min(int(self.random.expovariate(1 / mean)), 60) if mean else 0
        return [[self.price(base), self.amount()] for _ in range(count)]

    def iso(self, decimals: int) -> str:
        seconds, ms = divmod(self.ms, 1000)
        minutes, second = divmod(seconds, 60)
        hour, minute = divmod(minutes, 60)
        fraction = f"{ms:03}{self.random.randrange(1000):03}"[:decimals]
        return f"2021-07-22T{hour % 24:02}:{minute % 60:02}:{second % 60:02}.{fraction}Z"


def _binance_trade(m: _Market) -> object:
    base = m.base()
    first = m.random.randrange(10**7, 10**8)
    return {
        "stream": f"{base.lower()}usdt@aggTrade",
        "data": {
            "e": "aggTrade",
            "E": m.ms + 3,
            "a": m.ids % 10**9,
            "s": f"{base}USDT",
            "p": m.price(base),
            "q": m.amount(),
            "f": first,
            "l": first + m.random.randrange(5),
            "T": m.ms,
            "m": m.random.random() < 0.5,
        },
    }


def _binance_depth(m: _Market) -> object:
    base = m.base()
    return {
        "stream": f"{base.lower()}usdt@depth@100ms",
        "data": {
            "e": "depthUpdate",
            "E": m.ms + 7,
            "T": m.ms,
            "s": f"{base}USDT",
            "U": m.ids - 1500,
            "u": m.ids,
            "pu": m.ids - 2500,
            "b": m.levels(base, 3.5),
            "a": m.levels(base, 3.5),
        },
    }


def _binance_ticker(m: _Market) -> object:
    base = m.base()
    return {
        "stream": f"{base.lower()}usdt@bookTicker",
        "data": {
            "e": "bookTicker",
            "u": m.ids,
            "s": f"{base}USDT",
            "b": m.price(base),
            "B": m.amount(),
            "a": m.price(base),
            "A": m.amount(),
            "T": m.ms,
            "E": m.ms + 5,
        },
    }


def _coinbase_l2update(m: _Market) -> object:
    base = m.base()
    side = m.random.choice(("buy", "sell"))
    return {
        "type": "l2update",
        "product_id": f"{base}-USD",
        "changes": [[side, m.price(base), m.amount(m.random.choice((2, 6, 8)))]],
        "time": m.iso(6),
    }


def _uuid(m: _Market) -> str:
    text = f"{m.random.getrandbits(128):032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _coinbase_match(m: _Market) -> object:
    base = m.base()
    return {
        "type": "match",
        "trade_id": m.ids % 10**8,
        "maker_order_id": _uuid(m),
        "taker_order_id": _uuid(m),
        "side": m.random.choice(("buy", "sell")),
        "size": m.amount(8),
        "price": m.price(base),
        "product_id": f"{base}-USD",
        "sequence": m.ids % 10**10,
        "time": m.iso(6),
    }


def _coinbase_ticker(m: _Market) -> object:
    base = m.base()
    return {
        "type": "ticker",
        "sequence": m.ids % 10**10,
        "product_id": f"{base}-USD",
        "price": m.price(base),
        "open_24h": m.price(base),
        "volume_24h": m.amount(8),
        "low_24h": m.price(base),
        "high_24h": m.price(base),
        "volume_30d": m.amount(8),
        "best_bid": m.price(base),
        "best_ask": m.price(base),
        "side": m.random.choice(("buy", "sell")),
        "time": m.iso(6),
        "trade_id": m.ids % 10**8,
        "last_size": m.amount(8),
    }


def _kraken_book(m: _Market) -> object:
    base = m.base()
    channel = 16 * (1 + _BASES.index(base))
    level = [m.price(base, 8), m.amount(8), f"{m.ms // 1000}.{m.ms % 1000:03}801"]
    checksum = str(m.random.getrandbits(32))
    side = m.random.choice("ab")
    return [channel, {side: [level], "c": checksum}, "book-1000", f"{base}/USD"]


def _bitmex_book(m: _Market) -> object:
    base = m.base()
    action = m.random.choices(("update", "insert", "delete"), (55, 23, 22))[0]
    rows: list[dict[str, object]] = []
    for _ in range(1 + min(int(m.random.expovariate(2.5)), 15)):
        row: dict[str, object] = {
            "symbol": f"{base}USD",
            "id": 8_796_000_000 + m.random.randrange(10**6),
            "side": m.random.choice(("Buy", "Sell")),
        }
        if action != "delete":
            row["size"] = m.random.randrange(1, 900) * 100
        if action == "insert":
            row["price"] = float(m.price(base))
        rows.append(row)
    return {"table": "orderBookL2", "action": action, "data": rows}


def _bybit_row(m: _Market, base: str, sized: bool) -> dict[str, object]:
    price = m.price(base)
    row: dict[str, object] = {
        "price": price,
        "symbol": f"{base}USDT",
        "id": price.replace(".", ""),
        "side": m.random.choice(("Buy", "Sell")),
    }
    if sized:
        row["size"] = round(m.random.lognormvariate(4, 2), 1)
    return row


def _bybit_book(m: _Market) -> object:
    base = m.base()
    counts = [min(int(m.random.expovariate(1 / mean)), 20) for mean in (0.8, 3.2, 0.8)]
    return {
        "topic": f"orderBookL2_25.{base}USDT",
        "type": "delta",
        "data": {
            "delete": [_bybit_row(m, base, False) for _ in range(counts[0])],
            "update": [_bybit_row(m, base, True) for _ in range(counts[1])],
            "insert": [_bybit_row(m, base, True) for _ in range(counts[2])],
        },
        "cross_seq": str(m.ids % 10**10),
        "timestamp_e6": str(m.ms * 1000 + 839),
    }


def _bybit_trade(m: _Market) -> object:
    base = m.base()
    return {
        "topic": f"trade.{base}USDT",
        "data": [
            {
                "symbol": f"{base}USDT",
                "tick_direction": m.random.choice(("MinusTick", "PlusTick", "ZeroPlusTick")),
                "price": m.price(base),
                "size": round(m.random.lognormvariate(1, 2), 2),
                "timestamp": m.iso(3),
                "trade_time_ms": str(m.ms),
                "side": m.random.choice(("Buy", "Sell")),
                "trade_id": _uuid(m),
            }
        ],
    }


# Weights near what the captures hold, all feeds together.
_KINDS: tuple[tuple[Callable[[_Market], object], int], ...] = (
    (_binance_trade, 10),
    (_binance_depth, 24),
    (_binance_ticker, 24),
    (_coinbase_l2update, 40),
    (_coinbase_match, 4),
    (_coinbase_ticker, 4),
    (_kraken_book, 24),
    (_bitmex_book, 14),
    (_bybit_book, 16),
    (_bybit_trade, 4),
)


def market_data(count: int, seed: int = 0) -> list[str]:
    """Make messages of the shapes and sizes that exchanges send over their public feeds.

    The kinds are Binance `aggTrade`, `depthUpdate` and `bookTicker`, Coinbase `l2update`, `match`
    and `ticker`, Kraken book arrays, BitMEX table rows and Bybit topics: JSON texts of about 100
    to 3,000 bytes, mixed. They are made up: only the shape is real.

    Args:
        count: how many messages, 0 or more.
        seed: the same count and seed give the same messages, on every machine.

    Raises:
        ValueError: `count` is negative.
    """
    if count < 0:
        raise ValueError(f"count: must not be negative, not {count}")
    market = _Market(seed)
    makers = [maker for maker, _ in _KINDS]
    weights = [weight for _, weight in _KINDS]
    messages = []
    for maker in market.random.choices(makers, weights, k=count):
        market.tick()
        messages.append(json.dumps(maker(market), separators=(",", ":")))
    return messages


def load_captures(directory: str | Path) -> list[str]:
    """Read captured feeds: every `*.tsv.gz` in a directory, in the order of their names.

    Each line is `<arrival, Unix seconds><tab><message>`; the messages come without the time.

    Args:
        directory: where the captures are.

    Raises:
        FileNotFoundError: the directory holds no captures, or doesn't exist.
        ValueError: a line has no tab; the text names file and line.
    """
    paths = sorted(Path(directory).glob("*.tsv.gz"))
    if not paths:
        raise FileNotFoundError(f"directory: no *.tsv.gz in {str(directory)!r}")
    messages = []
    for path in paths:
        with gzip.open(path, "rt", encoding="utf-8", newline="\n") as lines:
            for number, line in enumerate(lines, 1):
                _, tab, message = line.rstrip("\n").partition("\t")
                if not tab:
                    raise ValueError(f"{path.name}, line {number}: no tab after the arrival time")
                messages.append(message)
    return messages
