"""Rows that were picked out of messages, as columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

from . import native
from .fields import RESERVED, Fields, FieldSet

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from typing_extensions import Buffer

    from .events import Event

__all__ = ["RecordBatch", "RecordStatistics", "batch_of", "pick"]

_NUMPY_TYPES = {
    "l": "int64",
    "L": "uint64",
    "g": "float64",
    "tss:": "datetime64[s]",
    "tsm:": "datetime64[ms]",
    "tsu:": "datetime64[us]",
    "tsn:": "datetime64[ns]",
}
_SHOWN_ROWS = 10
_SHOWN_WIDTH = 24


@dataclass(frozen=True)
class RecordStatistics:
    """Counters of what was picked."""

    messages: int
    rows: int
    """In batches that are finished."""
    batches: int
    unmatched: int
    """Messages that are JSON and matched none of the fields."""
    not_json: int
    dropped: int = 0
    """Rows, for want of room; see ``overflow``."""
    unmatched_dropped: int = 0
    """Messages that ``on_unmatched`` did not get, because too many were waiting."""


class RecordBatch:
    """Rows as columns: those asked for, then ``received`` and ``connection``.

    ``received`` is when the message's last bytes were read (Unix time, nanoseconds);
    ``connection`` is its URI without credentials.

    It speaks Arrow's PyCapsule interface, so ``pyarrow.record_batch(batch)``,
    ``polars.DataFrame(batch)``, ``pandas.DataFrame.from_arrow(batch)`` and DuckDB take it without a
    copy. Arrays that were taken out of it outlive it. Immutable; any thread may use it.
    """

    __slots__ = ("_columns", "_name", "_native", "_statistics")

    def __init__(
        self,
        batch: native.RecordBatch,
        name: str | None,
        columns: tuple[str, ...],
        statistics: RecordStatistics | None = None,
    ) -> None:
        self._native = batch
        self._name = name
        self._columns = (*columns, *RESERVED)
        self._statistics = statistics

    @property
    def name(self) -> str | None:
        """The name of its ``Fields``, if they were given by name."""
        return self._name

    @property
    def num_rows(self) -> int:
        """How many rows; ``len(batch)`` is the same."""
        return self._native.rows

    @property
    def num_columns(self) -> int:
        """How many columns, with ``received`` and ``connection``."""
        return len(self._columns)

    @property
    def column_names(self) -> list[str]:
        """The columns asked for, in order, then ``received`` and ``connection``."""
        return list(self._columns)

    @property
    def errors(self) -> Counter[str]:
        """Column to how many values had a wrong type and became null."""
        counts = zip(self._columns, self._native.mistakes, strict=False)
        return Counter({name: count for name, (count, _) in counts if count})

    @property
    def offenders(self) -> dict[str, bytes]:
        """Column to the first message with a value of a wrong type; its first 64 KiB."""
        firsts = zip(self._columns, self._native.mistakes, strict=False)
        return {name: first for name, (count, first) in firsts if count}

    @property
    def generations(self) -> dict[str, int]:
        """Of a stream with ``reconnect``: feed to the number of the connection its rows are of.

        Rows of different ones are never in one batch.
        """
        return self._native.generations

    @property
    def events(self) -> list[tuple[str, Event]]:
        """What happened to feeds right before the first row, with the URI of the feed.

        Empty unless the stream has ``events=True``. A batch with events may have no rows.
        """
        return self._native.events

    @property
    def statistics(self) -> RecordStatistics | None:
        """Of what ``pick`` was given; None for a batch of a stream or a callback."""
        return self._statistics

    def __len__(self) -> int:
        return self._native.rows

    def __contains__(self, name: object) -> bool:
        return name in self._columns

    def __getitem__(self, name: str) -> NDArray[Any]:
        """Return a column as a NumPy array, which is read-only.

        int64, uint64, float64 and timestamps are views of the batch's memory. Nulls are NaN and
        NaT; integers and booleans with nulls come as a ``numpy.ma.MaskedArray``. Strings,
        categories, decimals, json and lists are arrays of Python objects, None for null.

        Raises:
            KeyError: If there is no such column.
            ImportError: If NumPy is not installed.
        """
        return _to_numpy(self._column(name))

    def _column(self, name: str) -> native.Column:
        try:
            return self._native.column(self._columns.index(name))
        except ValueError:
            raise KeyError(name) from None

    def to_pydict(self) -> dict[str, list[Any]]:
        """Return the columns as lists of Python objects, None for null.

        Timestamps are ``datetime`` without a zone, in UTC, cut off to microseconds; decimals are
        ``decimal.Decimal``.
        """
        return {
            name: self._native.column(number).to_list() for number, name in enumerate(self._columns)
        }

    def __arrow_c_schema__(self) -> object:
        return self._native.arrow_schema()

    def __arrow_c_array__(self, requested_schema: object = None) -> tuple[object, object]:
        # A consumer that wants other types casts by itself: the protocol asks for best effort.
        return self._native.arrow_schema(), self._native.arrow_array()

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        left = [self._native]
        return self._native.fields.arrow_stream(
            self._native.number, lambda: left.pop() if left else None
        )

    def __repr__(self) -> str:
        name = "" if self._name is None else f" {self._name!r}"
        title = f"<wspool.RecordBatch{name}: {len(self):,} rows>"
        columns = [
            [column, *map(_shown, self._native.column(number).to_list(_SHOWN_ROWS))]
            for number, column in enumerate(self._columns)
        ]
        widths = [max(map(len, cells)) for cells in columns]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in zip(*columns, strict=True)
        ]
        more = [f"... {len(self) - _SHOWN_ROWS:,} more"] if len(self) > _SHOWN_ROWS else []
        return "\n".join([title, *lines, *more])


def _shown(value: object) -> str:
    text = "null" if value is None else str(value)
    text = " ".join(text.split())
    return text if len(text) <= _SHOWN_WIDTH else text[: _SHOWN_WIDTH - 1] + "…"


def _to_numpy(column: native.Column) -> NDArray[Any]:
    try:
        import numpy as np
    except ImportError as error:
        raise ImportError("batch[name] needs NumPy: pip install numpy", name="numpy") from error
    kind = column.format
    if kind == "+l":
        return _lists_to_numpy(np, column)
    if kind == "b":
        values = _bits(np, column.values, len(column))
        return _masked(np, values, column)
    if kind not in _NUMPY_TYPES:
        objects = np.empty(len(column), dtype=object)
        objects[:] = column.to_list()
        return objects
    memory: Any = column.values
    dtype = np.dtype(_NUMPY_TYPES[kind])
    array = np.empty(0, dtype) if memory is None else np.frombuffer(memory, dtype)
    array.flags.writeable = False
    return _masked(np, array, column) if kind in "lL" else array


def _bits(np: Any, memory: Buffer | None, count: int) -> NDArray[np.bool_]:
    if memory is None:
        return np.empty(0, bool)  # type: ignore[no-any-return]
    packed = np.frombuffer(memory, np.uint8)
    bits = np.unpackbits(packed, count=count, bitorder="little").view(bool)
    bits.flags.writeable = False
    return bits  # type: ignore[no-any-return]


def _masked(np: Any, array: NDArray[Any], column: native.Column) -> NDArray[Any]:
    if column.null_count == 0:
        return array
    mask = ~_bits(np, column.validity, len(column))
    return np.ma.MaskedArray(array, mask=mask)  # type: ignore[no-any-return]


def _lists_to_numpy(np: Any, column: native.Column) -> NDArray[Any]:
    """Return an array of arrays, each a view where the items' array is one."""
    child = column.child
    assert child is not None
    assert column.offsets is not None
    items = _to_numpy(child)
    offsets = np.frombuffer(column.offsets, np.int32)
    valid = None if column.null_count == 0 else _bits(np, column.validity, len(column))
    lists = np.empty(len(column), dtype=object)
    for row in range(len(column)):
        if valid is None or valid[row]:
            lists[row] = items[offsets[row] : offsets[row + 1]]
    return lists  # type: ignore[no-any-return]


def batch_of(
    compiled: FieldSet, batch: native.RecordBatch, statistics: RecordStatistics | None = None
) -> RecordBatch:
    """Return a native batch as users see it."""
    number = batch.number
    return RecordBatch(batch, compiled.names[number], compiled.columns[number], statistics)


@overload
def pick(
    data: str | Buffer | Iterable[str | Buffer],
    fields: Fields,
    *,
    received_ns: int | None = None,
    connection: str | None = None,
) -> RecordBatch: ...
@overload
def pick(
    data: str | Buffer | Iterable[str | Buffer],
    fields: Mapping[str, Fields],
    *,
    received_ns: int | None = None,
    connection: str | None = None,
) -> dict[str, RecordBatch]: ...
def pick(
    data: str | Buffer | Iterable[str | Buffer],
    fields: Fields | Mapping[str, Fields],
    *,
    received_ns: int | None = None,
    connection: str | None = None,
) -> RecordBatch | dict[str, RecordBatch]:
    """Pick fields out of messages that are at hand: for backfills, and to try a ``Fields``.

    Args:
        data: A message (str, bytes-like or ``Message``), or an iterable of messages.
        fields: What is picked; or several, by name.
        received_ns: For the column ``received``: Unix time in nanoseconds. None takes that of a
            ``Message``, else null.
        connection: For the column ``connection``; None is null.

    Returns:
        One batch with all rows; with several fields a dict with a batch for each. Its
        ``statistics`` tell how many messages matched nothing or were no JSON.

    Raises:
        TypeError: If data or fields are something else.
    """
    compiled = FieldSet.of(fields)
    picker = native.RecordPicker(compiled.native)
    if connection is not None:
        picker.set_connection(connection)
    messages: Any = (data,) if native.is_payload(data) else data
    if not isinstance(messages, Iterable) or isinstance(messages, Mapping):
        raise TypeError(f"data must be a message or an iterable, not {type(data).__name__}")
    for message in messages:
        at = received_ns
        if at is None:
            at = message.received_ns if isinstance(message, native.Message) else 0
        picker.pick(message, at)
    batches = picker.finish()
    total, unmatched, not_json = picker.counts
    statistics = RecordStatistics(
        total, sum(batch.rows for batch in batches), len(batches), unmatched, not_json
    )
    made = [batch_of(compiled, batch, statistics) for batch in batches]
    if isinstance(fields, Fields):
        return made[0]
    return dict(zip(fields, made, strict=True))
