"""The table of ``wspool top``; the one module of the command line that needs rich."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from .feeds import HISTORY, Row

_BARS = "▁▂▃▄▅▆▇█"
_ASCII_BARS = "_.-=+*#@"
_COLOURS = {"open": "green", "connecting": "yellow", "closing": "yellow"}
#: A line of text that is nobody's terminal is as long as it must be.
_PLAIN_WIDTH = 1000
#: Lines of the screen beside the feeds: heading, rule, totals, help.
_FRAME = 8


@dataclass(frozen=True)
class _Column:
    heading: str
    cell: Callable[[Row], str]
    least: int
    """Columns that the terminal must have for it."""
    is_number: bool = True


def _age(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    if seconds < 100:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.0f} h"


def _ping(row: Row, seconds: float) -> str:
    return f"{seconds * 1e3:.2f}" if row.trips.count else "-"


def _megabytes(rate: float) -> str:
    return f"{rate / 1e6:,.3f}"


_COLUMNS = (
    _Column("state", lambda row: row.state, 0, is_number=False),
    _Column("gen", lambda row: f"{row.generation}", 90),
    _Column("reconn", lambda row: f"{row.statistics.reconnects}", 72),
    _Column("msg/s", lambda row: f"{row.rate:,.0f}", 0),
    _Column("MB/s", lambda row: _megabytes(row.payload_rate), 56),
    _Column("wire MB/s", lambda row: _megabytes(row.wire_rate), 110),
    _Column("last", lambda row: _age(row.statistics.last_message_age), 0),
    _Column("queue", lambda row: f"{row.statistics.queue_messages:,}", 96),
    _Column("age", lambda row: _age(row.statistics.queue_age), 104),
    _Column("drops", lambda row: f"{row.statistics.dropped:,}", 96),
    _Column("p50 ms", lambda row: _ping(row, row.trips.p50), 118),
    _Column("p99 ms", lambda row: _ping(row, row.trips.p99), 80),
)


def sparkline(values: Sequence[float], bars: str = _BARS) -> str:
    """Return a bar for each value, the highest for the greatest of them."""
    most = max(values, default=0.0)
    if most <= 0:
        return bars[0] * len(values)
    return "".join(bars[min(int(value / most * len(bars)), len(bars) - 1)] for value in values)


def make_table(rows: Sequence[Row], total: Row, console: Console, height: int = 0) -> Group:
    """Return the table, and below it why feeds are not open.

    Args:
        rows: The feeds.
        total: Their sum.
        console: Where it shall be shown.
        height: Lines that there are; 0 is no bound. Where that is too few, feeds that are not open
            come first, and then those with the most messages.
    """
    plain = console.width >= _PLAIN_WIDTH
    bars = _BARS if console.encoding.startswith("utf") else _ASCII_BARS
    columns = [column for column in _COLUMNS if column.least <= console.width]
    room = console.width - 130
    history = min(HISTORY, 8 + max(0, room // 2)) if room >= 0 else 0
    table = Table(
        box=None if plain else box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 2, 0, 0) if plain else (0, 1, 0, 0),
        expand=not plain,
    )
    table.add_column("feed", overflow="ellipsis", no_wrap=True, ratio=None if plain else 1)
    for column in columns:
        table.add_column(
            column.heading, justify="right" if column.is_number else "left", no_wrap=True
        )
    if plain or history:
        table.add_column("reason" if plain else "msg/s lately", no_wrap=True, overflow="ignore")

    def add(row: Row, style: str = "") -> None:
        cells = [Text(column.cell(row)) for column in columns]
        cells[0].stylize(_COLOURS.get(row.state, "red") if not style else "")
        if plain:
            cells.append(Text(row.reason))
        elif history:
            cells.append(Text(sparkline(row.history[-history:], bars), "cyan"))
        table.add_row(Text(row.name), *cells, style=style)

    shown = _fitting(rows, height)
    for row in shown:
        add(row)
    if len(shown) < len(rows):
        table.add_row(Text(f"and {len(rows) - len(shown)} more", "dim"))
    table.add_section()
    add(total, "bold")
    reasons = [
        Text(f"{row.name}: {row.reason}", "red", no_wrap=True, overflow="ellipsis")
        for row in shown
        if row.reason and not plain
    ]
    return Group(table, *reasons)


def _fitting(rows: Sequence[Row], height: int) -> list[Row]:
    if height <= 0 or sum(1 + bool(row.reason) for row in rows) <= height - _FRAME:
        return list(rows)
    left = max(1, height - _FRAME - 1)
    shown = []
    for row in sorted(rows, key=lambda row: (row.is_well, -row.rate)):
        left -= 1 + bool(row.reason)
        if left < 0:
            break
        shown.append(row)
    return shown


def plain_text(rows: Sequence[Row], total: Row) -> str:
    """Return the table as text, a line for each feed, with every column."""
    console = Console(file=io.StringIO(), width=_PLAIN_WIDTH, color_system=None)
    with console.capture() as captured:
        console.print(make_table(rows, total, console))
    return "".join(f"{line.rstrip()}\n" for line in captured.get().splitlines())
