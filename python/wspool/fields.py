"""What is picked out of JSON messages: names, JSON Pointers and types."""

from __future__ import annotations

import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any, TypeAlias

from . import native

__all__ = ["RESERVED", "FieldSet", "Fields", "Scalar"]

Scalar: TypeAlias = "str | int | float | bool | None"

#: Columns that every batch has.
RESERVED = ("received", "connection")


class Fields:
    """Which values of JSON messages become columns, and of which messages.

    For example::

        trades = wspool.Fields(
            {"symbol": ("/data/s", "category"), "price": ("/data/p", "float64")},
            where={"/data/e": "aggTrade"},
        )

    Types: ``int64``, ``uint64``, ``float64`` and ``bool`` (from numbers and from strings that hold
    them), ``string``, ``category`` (a string, kept once in a dictionary), ``decimal128(p, s)``
    (without rounding), ``timestamp[s|ms|us|ns]`` (integers count that unit since 1970; with a
    fraction below 1e11 they count seconds), ``timestamp[iso]`` (ISO 8601 text, to nanoseconds),
    ``json`` (the raw text of any value) and ``list<...>``.

    A value that is missing or null becomes null. One of a wrong type becomes null, too, and is
    counted in ``RecordBatch.errors``. No row is dropped for it.

    With ``rows`` each element of an array is a row. Pointers are looked up in the element first
    and then in the message; ``"price"`` or ``"./price"`` means the element only, ``"#/topic"`` the
    message only, and ``"../topic"`` what holds the array.

    Args:
        columns: Name of the column to (JSON Pointer (RFC 6901), type). ``received`` and
            ``connection`` are added to every batch.
        where: JSON Pointer to a value, or to a set, list or tuple of values: only messages that
            have one of these there, at each of the pointers. Numbers compare by value.
        rows: JSON Pointer to an array; only messages that have one there. None: a message is a row.

    Raises:
        ValueError: If something is no pointer, no type, or no value to compare with; the text
            names the column.
        TypeError: If an argument has the wrong type.

    Immutable; any thread may use it.
    """

    __slots__ = ("_columns", "_native", "_rows", "_where")

    def __init__(
        self,
        columns: Mapping[str, tuple[str, str]],
        *,
        where: Mapping[str, Scalar | AbstractSet[Scalar] | list[Scalar] | tuple[Scalar, ...]]
        | None = None,
        rows: str | None = None,
    ) -> None:
        self._columns = _check_columns(columns)
        self._where = check_where(where)
        if rows is not None and not isinstance(rows, str):
            raise TypeError(f"rows must be a str or None, not {type(rows).__name__}")
        self._rows = rows
        self._native = FieldSet.of(self).native  # says what is wrong with the pointers

    @property
    def columns(self) -> dict[str, tuple[str, str]]:
        """Name to (pointer, type)."""
        return dict(self._columns)

    @property
    def where(self) -> dict[str, tuple[Scalar, ...]]:
        """Pointer to the values that are allowed there."""
        return dict(self._where)

    @property
    def rows(self) -> str | None:
        """Pointer to the array of rows; None if each message is a row."""
        return self._rows

    def __repr__(self) -> str:
        columns = "".join(f"    {name!r}: {column!r},\n" for name, column in self._columns.items())
        text = f"Fields({{\n{columns}}}"
        if self._where:
            where = {
                pointer: values[0] if len(values) == 1 else list(values)
                for pointer, values in self._where.items()
            }
            text += f", where={where!r}"
        if self._rows is not None:
            text += f", rows={self._rows!r}"
        return text + ")"

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Fields):
            return self._key() == other._key()
        return NotImplemented

    def __hash__(self) -> int:
        return hash((tuple(self._columns.items()), self._rows))

    def __reduce__(self) -> tuple[object, ...]:
        return _restore, (self._columns, self._where, self._rows)

    def _key(self) -> tuple[object, ...]:
        return list(self._columns.items()), self._where, self._rows

    def to_native(self, name: str | None) -> tuple[object, ...]:
        """Return it as the core takes it."""
        columns = [(column, *of) for column, of in self._columns.items()]
        return name or "", columns, list(self._where.items()), self._rows


class FieldSet:
    """One ``Fields`` or several with names, compiled into one walk over each message."""

    __slots__ = ("columns", "names", "native")

    def __init__(self, named: list[tuple[str | None, Fields]]) -> None:
        self.names = [name for name, _ in named]
        self.columns = [tuple(fields.columns) for _, fields in named]
        self.native = native.FieldSet([fields.to_native(name) for name, fields in named])

    @classmethod
    def of(cls, fields: Fields | Mapping[str, Fields]) -> FieldSet:
        """Compile what a user gives as ``fields``.

        Raises:
            TypeError: If it is something else.
            ValueError: If the mapping is empty.
        """
        if isinstance(fields, Fields):
            return cls([(None, fields)])
        if not isinstance(fields, Mapping):
            raise TypeError(
                f"fields must be a wspool.Fields or a mapping of them, not {type(fields).__name__}"
            )
        if not fields:
            raise ValueError("fields must have at least one wspool.Fields")
        given: Mapping[Any, Any] = fields
        for name, one in given.items():
            if not isinstance(name, str) or not isinstance(one, Fields):
                raise TypeError("fields must map names to wspool.Fields")
        return cls(list(fields.items()))


def _restore(
    columns: dict[str, tuple[str, str]], where: dict[str, tuple[Scalar, ...]], rows: str | None
) -> Fields:
    return Fields(columns, where=where, rows=rows)


_TYPE_HINT = (
    "int64, uint64, float64, bool, string, category, decimal128(p, s), timestamp[s|ms|us|ns|iso], "
    "json or list<...>"
)
_PLAIN_TYPE = re.compile(
    r"int64|uint64|float64|bool|string|category|json|timestamp\[(s|ms|us|ns|iso)\]"
    r"|decimal128\(.*\)|list<.*>"
)


def _check_columns(columns: object) -> dict[str, tuple[str, str]]:
    if not isinstance(columns, Mapping):
        raise TypeError(f"columns must be a mapping, not {type(columns).__name__}")
    if not columns:
        raise ValueError("columns: at least one")
    checked: dict[str, tuple[str, str]] = {}
    for name, of in columns.items():
        if not isinstance(name, str):
            raise TypeError(f"columns: a name must be a str, not {type(name).__name__}")
        if name in RESERVED:
            raise ValueError(f"column {name!r}: every batch has it already; take another name")
        if not (
            isinstance(of, (tuple, list)) and len(of) == 2 and all(isinstance(x, str) for x in of)
        ):
            raise TypeError(f"column {name!r}: must be a (pointer, type) of two str, not {of!r}")
        pointer, kind = of
        if not _PLAIN_TYPE.fullmatch(kind.strip()):
            raise ValueError(f"column {name!r}: unknown type {kind!r}; it must be {_TYPE_HINT}")
        checked[name] = (pointer, kind)
    return checked


def check_where(where: object, option: str = "where") -> dict[str, tuple[Scalar, ...]]:
    """Return pointers and the values that are wanted there; ``option`` is named in errors."""
    if where is None:
        return {}
    if not isinstance(where, Mapping):
        raise TypeError(f"{option} must be a mapping or None, not {type(where).__name__}")
    checked: dict[str, tuple[Scalar, ...]] = {}
    for pointer, wanted in where.items():
        if not isinstance(pointer, str):
            raise TypeError(f"{option}: a pointer must be a str, not {type(pointer).__name__}")
        values = tuple(wanted) if isinstance(wanted, (AbstractSet, list, tuple)) else (wanted,)
        if not values:
            raise ValueError(f"{option}[{pointer!r}]: at least one value")
        for value in values:
            if value is not None and not isinstance(value, (str, int, float)):
                raise ValueError(
                    f"{option}[{pointer!r}]: values must be str, int, float, bool or None, "
                    f"not {type(value).__name__}"
                )
        checked[pointer] = values
    return checked
