"""What is made of JSON messages: the columns, and how it is known that they are right.

Each client makes the rows in its own way. In a verified run all rows are put into one form and
hashed; the hashes are added up, so that the order of connections does not matter.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from datetime import datetime, timezone
from typing import Any, TypeAlias

#: Strings, floats, integers (timestamps in their unit) and booleans, in the order of the columns.
Row: TypeAlias = tuple[Any, ...]

#: The columns of a kind of rows, as wspool.Fields takes them: name to pointer and type.
Types: TypeAlias = dict[str, tuple[str, str]]

#: The columns, and the values that a message of this kind must have: pointer to text.
Kind: TypeAlias = tuple[Types, dict[str, str]]

_TRADE = {
    "symbol": ("/data/s", "category"),
    "price": ("/data/p", "float64"),
    "quantity": ("/data/q", "float64"),
    "time": ("/data/T", "timestamp[ms]"),
    "id": ("/data/a", "int64"),
    "maker": ("/data/m", "bool"),
}
_BOOK = {
    "symbol": ("/data/s", "category"),
    "update": ("/data/u", "int64"),
    "time": ("/data/T", "timestamp[ms]"),
}
_TICKER = {
    "symbol": ("/data/s", "category"),
    "bid": ("/data/b", "float64"),
    "ask": ("/data/a", "float64"),
    "time": ("/data/T", "timestamp[ms]"),
}
_MATCH = {
    "symbol": ("/product_id", "category"),
    "price": ("/price", "float64"),
    "size": ("/size", "float64"),
    "time": ("/time", "timestamp[iso]"),
}

#: Of each schema the kinds of rows, by name. The first column of each is a category.
SCHEMAS: dict[str, dict[str, Kind]] = {
    "trades": {"trades": (_TRADE, {})},
    "books": {"books": (_BOOK, {})},
    "captures": {
        "trades": (_TRADE, {"/data/e": "aggTrade"}),
        "tickers": (_TICKER, {"/data/e": "bookTicker"}),
        "matches": (_MATCH, {"/type": "match"}),
    },
}


def _at(document: Any, pointer: str) -> Any:
    for name in pointer.split("/")[1:]:
        document = document.get(name) if isinstance(document, dict) else None
    return document


def _iso_ns(text: str) -> int:
    """Nanoseconds since 1970 of a time in UTC with a fraction of six digits."""
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    since = moment - datetime(1970, 1, 1, tzinfo=timezone.utc)
    return ((since.days * 86400 + since.seconds) * 10**6 + since.microseconds) * 1000


_PYTHON = {
    "category": str,
    "float64": float,
    "timestamp[ms]": int,
    "timestamp[iso]": _iso_ns,
    "int64": int,
    "bool": bool,
}


def rows_of(schema: str, message: str | bytes) -> list[tuple[str, Row]]:
    """Return the rows of a message with the names of their kinds, by Python's json."""
    document = json.loads(message)
    return [
        (name, tuple(_PYTHON[kind](_at(document, pointer)) for pointer, kind in types.values()))
        for name, (types, where) in SCHEMAS[schema].items()
        if all(_at(document, pointer) == value for pointer, value in where.items())
    ]


class Digest:
    """Of all rows of a run, whatever their order."""

    def __init__(self) -> None:
        self._rows = 0
        self._sum = 0

    def add(self, kind: str, row: Row) -> None:
        self._rows += 1
        digest = hashlib.blake2b(repr((kind, row)).encode(), digest_size=8).digest()
        self._sum += int.from_bytes(digest, "little")

    def add_columns(self, kind: str, columns: Iterable[Iterable[Any]]) -> None:
        """Add rows that come as columns, of Python's own types."""
        for row in zip(*columns, strict=True):
            self.add(kind, row)

    def summary(self, messages: int, times: int = 1) -> dict[str, object]:
        """Return what a verified run gives: of so many messages, with all rows `times` over."""
        return {
            "count": messages * times,
            "rows": self._rows * times,
            "hash": f"{self._sum * times % 2**64:016x}",
        }
