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
    return market_data(feed.number)


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
