"""What clients that make columns in Python share: lists, and NumPy arrays of them now and then."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from benchmarks.schemas import SCHEMAS, Digest, Types
from benchmarks.spec import Spec

#: Takes a message.
Take: TypeAlias = Callable[[Any], None]

#: Makes of the columns, by kind, what fills them.
Make: TypeAlias = Callable[["dict[str, Columns]"], Take]

#: When a list has so many rows, it becomes an array.
ROWS = 4096

_DTYPES = {
    "category": "int32",
    "float64": "float64",
    "timestamp[ms]": "int64",
    "timestamp[iso]": "datetime64[ns]",  # of texts without the Z
    "int64": "int64",
    "bool": "bool",
}


class Columns:
    """The columns of one kind: lists that are made into arrays when they have 4,096 rows.

    A category is a number from `codes`, as it is in wspool.
    """

    def __init__(self, kind: str, types: Types, digest: Digest | None) -> None:
        self._kind = kind
        self._types = [name for _, name in types.values()]
        self._digest = digest
        self.lists: list[list[Any]] = [[] for _ in types]
        self.codes: dict[str, int] = {}

    def flush(self) -> None:
        """Make arrays of what is there."""
        arrays: list[Any] = []
        for values, name in zip(self.lists, self._types, strict=True):
            array = np.array(values, _DTYPES[name])
            arrays.append(array.view("datetime64[ms]") if name == "timestamp[ms]" else array)
            values.clear()
        if self._digest is not None:
            self._digest.add_columns(self._kind, map(self._plain, arrays, self._types))

    def _plain(self, array: Any, name: str) -> list[Any]:
        if name == "category":
            texts = list(self.codes)
            return [texts[code] for code in array.tolist()]
        return plain(array)


def plain(array: Any) -> list[Any]:
    """Return an array as Python's own values, times as integers."""
    values: list[Any] = (array.view("int64") if array.dtype.kind == "M" else array).tolist()
    return values


class Table:
    """All rows of a run, and what takes messages to add to them."""

    def __init__(self, spec: Spec, make: dict[str, Make]) -> None:
        self._digest = Digest() if spec.verify else None
        self._kinds = {
            name: Columns(name, types, self._digest)
            for name, (types, _) in SCHEMAS[spec.schema].items()
        }
        self.take = make[spec.schema](self._kinds)

    def flush(self) -> None:
        for columns in self._kinds.values():
            columns.flush()

    def verified(self, messages: int) -> dict[str, object]:
        """Return the result of a verified run."""
        assert self._digest is not None
        return self._digest.summary(messages)


# Written out, as somebody writes it who knows the columns: calls cost more than all else here.


def from_documents(
    loads: Callable[[Any], Any], mapping: type[Any] = dict
) -> dict[str, Callable[[dict[str, Columns]], Take]]:
    """Return what fills the columns of each schema, from documents of `loads`.

    Args:
        loads: Decodes a message.
        mapping: What an object becomes: has `get` and is subscripted.
    """

    def trades(kinds: dict[str, Columns]) -> Take:
        return _trades(loads, kinds["trades"])

    def books(kinds: dict[str, Columns]) -> Take:
        return _books(loads, kinds["books"])

    def captures(kinds: dict[str, Columns]) -> Take:
        trade = _trades(lambda document: document, kinds["trades"])
        ticker, match = _tickers(kinds["tickers"]), _matches(kinds["matches"])

        def take(payload: Any) -> None:
            document = loads(payload)
            if not isinstance(document, mapping):
                return
            data = document.get("data")
            event = data.get("e") if isinstance(data, mapping) else None
            if event == "bookTicker":
                ticker(data)
            elif event == "aggTrade":
                trade(document)
            elif document.get("type") == "match":
                match(document)

        return take

    return {"trades": trades, "books": books, "captures": captures}


def _trades(loads: Callable[[Any], Any], columns: Columns) -> Take:
    symbol, price, quantity, time, number, maker = (one.append for one in columns.lists)
    symbols, codes, flush = columns.lists[0], columns.codes, columns.flush
    code = codes.setdefault

    def take(payload: Any) -> None:
        d = loads(payload)["data"]
        symbol(code(d["s"], len(codes)))
        price(float(d["p"]))
        quantity(float(d["q"]))
        time(d["T"])
        number(d["a"])
        maker(d["m"])
        if len(symbols) == ROWS:
            flush()

    return take


def _books(loads: Callable[[Any], Any], columns: Columns) -> Take:
    symbol, update, time = (one.append for one in columns.lists)
    symbols, codes, flush = columns.lists[0], columns.codes, columns.flush
    code = codes.setdefault

    def take(payload: Any) -> None:
        d = loads(payload)["data"]
        symbol(code(d["s"], len(codes)))
        update(d["u"])
        time(d["T"])
        if len(symbols) == ROWS:
            flush()

    return take


def _tickers(columns: Columns) -> Take:
    symbol, bid, ask, time = (one.append for one in columns.lists)
    symbols, codes, flush = columns.lists[0], columns.codes, columns.flush
    code = codes.setdefault

    def take(d: Any) -> None:
        symbol(code(d["s"], len(codes)))
        bid(float(d["b"]))
        ask(float(d["a"]))
        time(d["T"])
        if len(symbols) == ROWS:
            flush()

    return take


def _matches(columns: Columns) -> Take:
    symbol, price, size, time = (one.append for one in columns.lists)
    symbols, codes, flush = columns.lists[0], columns.codes, columns.flush
    code = codes.setdefault

    def take(d: Any) -> None:
        symbol(code(d["product_id"], len(codes)))
        price(float(d["price"]))
        size(float(d["size"]))
        time(d["time"][:-1])
        if len(symbols) == ROWS:
            flush()

    return take
