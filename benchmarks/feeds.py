"""The messages of the scenarios: the server sends them, the runner knows their hash."""

from __future__ import annotations

import functools
import json
import random
from pathlib import Path

from wspool.testing import load_captures, market_data

from .spec import Feed


@functools.lru_cache(maxsize=2)
def messages_of(feed: Feed) -> list[str] | list[bytes]:
    """Return one cycle of a feed; the same in every process."""
    if feed.kind == "binary":
        source = random.Random(feed.size)
        return [source.randbytes(feed.size) for _ in range(feed.number)]
    if feed.kind == "captures" and feed.captures is not None:
        return load_captures(Path(feed.captures))
    if feed.kind == "json":
        source = random.Random(feed.size)
        return [_json_of(source, feed.size, number) for number in range(feed.number)]
    if feed.kind == "trades":
        return _trades(feed.number)
    if feed.kind == "books":
        return _books(feed.number)
    return market_data(feed.number)


def _trades(number: int) -> list[str]:
    """Trades as Binance sends them, about 180 bytes each."""
    found: list[str] = []
    seed = 0
    while len(found) < number:
        found += [text for text in market_data(20_000, seed) if '"aggTrade"' in text]
        seed += 1
    return found[:number]


def _books(number: int) -> list[str]:
    """Changes of a book of prices as Binance sends them, about 3.6 KB each."""
    source = random.Random(number)
    messages = []
    for at in range(number):
        message = {
            "stream": "btcusdt@depth@100ms",
            "data": {
                "e": "depthUpdate",
                "E": 1_626_916_403_000 + at,
                "T": 1_626_916_402_993 + at,
                "s": source.choice(["BTCUSDT", "ETHUSDT", "LINKUSDT"]),
                "U": 600_859_600_000 + at * 1500,
                "u": 600_859_601_499 + at * 1500,
                "pu": 600_859_599_999 + at * 1500,
                "b": _levels(source, 75),
                "a": _levels(source, 75),
            },
        }
        messages.append(json.dumps(message, separators=(",", ":")))
    return messages


def _levels(source: random.Random, count: int) -> list[list[str]]:
    return [
        [f"{source.uniform(20_000, 40_000):.2f}", f"{source.lognormvariate(5, 2):.3f}"]
        for _ in range(count)
    ]


def _json_of(source: random.Random, size: int, number: int) -> str:
    """One message of exactly `size` bytes: a trade, with levels of a book as far as they fit."""
    levels: list[list[str]] = []
    message = {
        "e": "update",
        "E": 1_626_916_403_000 + number,
        "s": source.choice(["BTCUSDT", "ETHUSDT", "LINKUSDT"]),
        "p": f"{source.uniform(20_000, 40_000):.2f}",
        "q": f"{source.uniform(0, 10):.3f}",
        "m": source.random() < 0.5,
        "b": levels,
        "x": "",
    }
    while True:
        text = json.dumps(message, separators=(",", ":"))
        room = size - len(text)
        if room < 30:
            break
        levels.append([f"{source.uniform(20_000, 40_000):.2f}", f"{source.uniform(0, 10):.5f}"])
    if room < 0:
        raise ValueError(f"no message of {size} bytes")
    message["x"] = "x" * room
    return json.dumps(message, separators=(",", ":"))


def outgoing(size: int, number: int) -> bytes:
    """Return what a client sends in a verified run: ASCII, different for each number."""
    return b"%08d" % number + filler(size)[8:]


def filler(size: int) -> bytes:
    """Return what a client sends in a timed run."""
    return bytes(97 + position % 26 for position in range(size))
