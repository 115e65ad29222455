"""picows and msgspec: typed structures, quoted numbers converted by it, from the frame's memory."""

from __future__ import annotations

from typing import Any

import msgspec
from picows import WSFrame

from ._picows_records import run
from ._records import ROWS, Columns, Take


class _TradeData(msgspec.Struct, gc=False):
    s: str
    p: float
    q: float
    T: int
    a: int
    m: bool


class _Trade(msgspec.Struct, gc=False):
    data: _TradeData


class _BookData(msgspec.Struct, gc=False):
    s: str
    u: int
    T: int


class _Book(msgspec.Struct, gc=False):
    data: _BookData


class _TickerData(msgspec.Struct, gc=False):
    s: str
    b: float
    a: float
    T: int


class _Ticker(msgspec.Struct, gc=False):
    data: _TickerData


class _Match(msgspec.Struct, gc=False):
    product_id: str
    price: float
    size: float
    time: str


class _Event(msgspec.Struct, gc=False):
    e: str = ""


class _Any(msgspec.Struct, gc=False):
    """What tells of which kind a message is."""

    data: _Event | list[msgspec.Raw] | None = None
    type: str = ""


def _decoder(kind: Any) -> Any:
    return msgspec.json.Decoder(kind, strict=False).decode  # not strict: numbers may be quoted


def _trades(kinds: dict[str, Columns]) -> Take:
    columns, decode = kinds["trades"], _decoder(_Trade)
    symbol, price, quantity, time, number, maker = (one.append for one in columns.lists)
    symbols, codes, flush = columns.lists[0], columns.codes, columns.flush
    code = codes.setdefault

    def take(payload: Any) -> None:
        d = decode(payload).data
        symbol(code(d.s, len(codes)))
        price(d.p)
        quantity(d.q)
        time(d.T)
        number(d.a)
        maker(d.m)
        if len(symbols) == ROWS:
            flush()

    return take


def _books(kinds: dict[str, Columns]) -> Take:
    columns, decode = kinds["books"], _decoder(_Book)
    symbol, update, time = (one.append for one in columns.lists)
    symbols, codes, flush = columns.lists[0], columns.codes, columns.flush
    code = codes.setdefault

    def take(payload: Any) -> None:
        d = decode(payload).data
        symbol(code(d.s, len(codes)))
        update(d.u)
        time(d.T)
        if len(symbols) == ROWS:
            flush()

    return take


def _tickers(kinds: dict[str, Columns]) -> Take:
    columns, decode = kinds["tickers"], _decoder(_Ticker)
    symbol, bid, ask, time = (one.append for one in columns.lists)
    symbols, codes, flush = columns.lists[0], columns.codes, columns.flush
    code = codes.setdefault

    def take(payload: Any) -> None:
        d = decode(payload).data
        symbol(code(d.s, len(codes)))
        bid(d.b)
        ask(d.a)
        time(d.T)
        if len(symbols) == ROWS:
            flush()

    return take


def _matches(kinds: dict[str, Columns]) -> Take:
    columns, decode = kinds["matches"], _decoder(_Match)
    symbol, price, size, time = (one.append for one in columns.lists)
    symbols, codes, flush = columns.lists[0], columns.codes, columns.flush
    code = codes.setdefault

    def take(payload: Any) -> None:
        d = decode(payload)
        symbol(code(d.product_id, len(codes)))
        price(d.price)
        size(d.size)
        time(d.time[:-1])
        if len(symbols) == ROWS:
            flush()

    return take


def _captures(kinds: dict[str, Columns]) -> Take:
    decode = msgspec.json.Decoder(_Any | list[msgspec.Raw]).decode
    trade, ticker, match = _trades(kinds), _tickers(kinds), _matches(kinds)

    def take(payload: Any) -> None:
        found = decode(payload)
        if type(found) is list:
            return
        data = found.data
        event = data.e if type(data) is _Event else None
        if event == "bookTicker":
            ticker(payload)
        elif event == "aggTrade":
            trade(payload)
        elif found.type == "match":
            match(payload)

    return take


if __name__ == "__main__":
    run(
        {"trades": _trades, "books": _books, "captures": _captures},
        WSFrame.get_payload_as_memoryview,
    )
