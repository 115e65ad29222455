"""Guesses the fields of JSON messages: which pointers there are, and which types would do.

Only guesses: what a feed will send tomorrow, its samples do not say.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from .fields import RESERVED, Fields

__all__ = ["Kind", "Place", "kinds_of"]

#: Of an array's elements, so many are looked at.
_MOST_ELEMENTS = 50
#: Of a positional array: such a long one is a list.
_MOST_POSITIONS = 8
#: Of a tree of pointers; more are a map, whose names are data.
_MOST_PLACES = 200
_FEW_TEXTS = 64
_LONGEST_EXAMPLE = 40

#: What tells kinds of messages apart, likely names first.
_TELLING = ("e", "type", "event", "channel", "table", "op", "topic", "action", "kind", "stream")

_INTEGER = re.compile(r"-?[0-9]{1,20}")
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_ISO = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[-+]\d\d:?\d\d)?)?")
_TIME_NAME = re.compile(
    r"(time|stamp|date|^t$|^ts$|^e$|_at$|_ts$|^last|created|updated)", re.IGNORECASE
)
#: Unix times from 2001 to 2065 in each unit.
_UNITS = {"s": (1e9, 3e9), "ms": (1e12, 3e12), "us": (1e15, 3e15), "ns": (1e18, 3e18)}


@dataclass
class Place:
    """A pointer, and what was seen there."""

    pointer: str
    present: int = 0
    """In so many messages or rows."""
    types: Counter[str] = field(default_factory=Counter)
    example: str = ""
    texts: set[str] = field(default_factory=set)
    """Different strings, up to a few."""
    guesses: Counter[str] = field(default_factory=Counter)

    def add(self, value: Any) -> None:
        """Note a value."""
        self.present += 1
        self.types[_type_of(value)] += 1
        if not self.example or self.example == "null":
            self.example = _short(value)
        if isinstance(value, str) and len(self.texts) <= _FEW_TEXTS:
            self.texts.add(value)
        if value is not None:
            self.guesses[_guess(value, self.pointer)] += 1

    @property
    def type(self) -> str:
        """The type for its column that takes all that was seen."""
        seen = set(self.guesses)
        if not seen:
            return "json"
        if len(seen) == 1:
            (one,) = seen
            if one == "string":
                few = len(self.texts) <= max(4, min(_FEW_TEXTS, self.present // 4))
                return "category" if few else "string"
            return one
        if seen == {"int64", "uint64"}:
            return "uint64"
        if seen <= {"int64", "float64"} or (
            seen <= {"int64", "float64", *(f"timestamp[{unit}]" for unit in _UNITS)}
        ):
            return "float64" if "float64" in seen else "int64"
        lists = [one for one in seen if one.startswith("list<")]
        if len(lists) == len(seen):
            known = {one for one in lists if "json" not in one}
            return known.pop() if len(known) == 1 else "json"
        if seen <= {"string", "timestamp[iso]", "int64", "float64"} and self.types.keys() <= {
            "string",
            "null",
        }:
            return "string"
        return "json"


@dataclass
class Kind:
    """Messages of one kind, or the rows in them."""

    where: dict[str, str]
    """What tells them from others."""
    rows: str | None
    messages: int
    """So many of this kind were seen."""
    seen: int
    """So many rows, or messages without rows."""
    places: list[Place]

    @property
    def name(self) -> str:
        """A name made of what tells it apart."""
        words = [re.sub(r"\W+", "_", value).strip("_") for value in self.where.values()]
        return "_".join(filter(None, words)) or "messages"

    def fields(self) -> Fields | None:
        """Return what picks everything that was seen; None if there is nothing."""
        columns: dict[str, tuple[str, str]] = {}
        for place in self.places:
            if place.pointer in self.where or not place.guesses:
                continue
            name = _column_name(place.pointer, columns)
            columns[name] = (place.pointer, place.type)
        return Fields(columns, where=self.where, rows=self.rows) if columns else None


def _type_of(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, (int, float)):
        return "number"
    if isinstance(value, str):
        return "quoted number" if _NUMBER.fullmatch(value) else "string"
    return "array" if isinstance(value, list) else "object"


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text if len(text) <= _LONGEST_EXAMPLE else text[: _LONGEST_EXAMPLE - 1] + "…"


def _guess(value: Any, pointer: str) -> str:
    """Return the type that fits a value best."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, list):
        return _guess_list(value)
    if isinstance(value, dict):
        return "json"
    if isinstance(value, str):
        if _ISO.fullmatch(value) and len(value) >= len("2021-07-22"):
            return "timestamp[iso]"
        if not _NUMBER.fullmatch(value):
            return "string"
    return _guess_number(str(value), pointer)


def _guess_number(text: str, pointer: str) -> str:
    number = float(text)
    is_integer = _INTEGER.fullmatch(text) is not None and -(2**63) <= int(text) < 2**64
    if is_integer and int(text) >= 2**63:
        return "uint64"
    if is_integer and _TIME_NAME.search(_last(pointer)):
        for unit, (least, most) in _UNITS.items():
            if least <= number < most:
                return f"timestamp[{unit}]"
    # A quoted price such as "31" is written without a point by chance.
    return "int64" if is_integer else "float64"


def _guess_list(values: list[Any]) -> str:
    kinds = {_guess(value, "") for value in values[:_MOST_ELEMENTS] if value is not None}
    if kinds <= {"int64", "float64"} and kinds:
        kinds = {"float64"}
    if len(kinds) != 1:
        return "list<json>"
    (kind,) = kinds
    if kind == "json":
        return "json"  # of objects, or empty ones: rows= makes more of them
    return f"list<{kind}>"


def _last(pointer: str) -> str:
    return pointer.rpartition("/")[2]


def _escape(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def _column_name(pointer: str, taken: Iterable[str]) -> str:
    names = [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")]
    parts = [re.sub(r"\W+", "_", name).strip("_") for name in names]
    parts = [part for part in parts if part and part not in {"#", "..", "."}]
    taken = {*taken, *RESERVED}
    for count in range(1, len(parts) + 1):
        name = "_".join(parts[-count:])
        if name[0].isdigit():
            name = f"c{name}"
        if name not in taken:
            return name
    name = "_".join(parts) or "value"
    number = 2
    while name in taken:
        name = f"{'_'.join(parts) or 'value'}_{number}"
        number += 1
    return name


def _walk(value: Any, pointer: str, found: dict[str, list[Any]]) -> None:
    """Note leaves: scalars, lists, and what is in objects and short positional arrays."""
    if len(found) > _MOST_PLACES:
        return
    if isinstance(value, dict) and value:
        for name, member in value.items():
            _walk(member, f"{pointer}/{_escape(name)}", found)
        return
    if isinstance(value, list) and _is_positional(value):
        for number, element in enumerate(value):
            _walk(element, f"{pointer}/{number}", found)
        return
    found.setdefault(pointer, []).append(value)


def _is_positional(values: list[Any]) -> bool:
    """Tell whether elements mean something by their place: they differ in type."""
    if not 2 <= len(values) <= _MOST_POSITIONS:
        return False
    kinds = {_type_of(value) for value in values}
    return len(kinds) > 1 and kinds != {"number", "quoted number"} and "null" not in kinds


def _arrays_of_rows(value: Any, pointer: str = "") -> list[str]:
    """Return pointers to arrays whose elements are objects, or arrays of mixed things."""
    found = []
    if isinstance(value, dict):
        for name, member in value.items():
            found += _arrays_of_rows(member, f"{pointer}/{_escape(name)}")
    elif isinstance(value, list) and value:
        if all(isinstance(element, dict) for element in value) or all(
            isinstance(element, list) and _is_positional(element) for element in value
        ):
            return [pointer]
        if _is_positional(value):
            for number, element in enumerate(value):
                found += _arrays_of_rows(element, f"{pointer}/{number}")
    return found


def _at(document: Any, pointer: str) -> Any:
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(document, dict):
            document = document.get(name)
        elif isinstance(document, list) and name.isdigit() and int(name) < len(document):
            document = document[int(name)]
        else:
            return None
    return document


def _telling_pointers(documents: list[Any]) -> list[str]:
    """Return the pointers whose few texts tell kinds of messages apart."""
    texts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for document in documents:
        if not isinstance(document, dict):
            continue
        for prefix, value in (("", document), ("/data", document.get("data"))):
            if not isinstance(value, dict):
                continue
            for name in _TELLING:
                if isinstance(value.get(name), str):
                    texts[f"{prefix}/{name}"][value[name]] += 1
    chosen = []
    for pointer, counts in texts.items():
        often = sum(counts.values())
        if len(counts) <= 12 and often >= len(documents) * 0.05 and often >= 3 * len(counts):
            chosen.append(pointer)
    return chosen[:2]


def _texts_seen(document: Any, pointers: list[str]) -> tuple[tuple[str, str], ...]:
    seen = ((pointer, _at(document, pointer)) for pointer in pointers)
    return tuple((pointer, text) for pointer, text in seen if isinstance(text, str))


def kinds_of(documents: list[Any]) -> list[Kind]:
    """Return the kinds of messages among decoded documents, the most frequent first."""
    telling = _telling_pointers(documents)
    groups: defaultdict[tuple[tuple[str, str], ...], list[Any]] = defaultdict(list)
    for document in documents:
        groups[_texts_seen(document, telling)].append(document)
    kinds = [_kind(dict(where), members) for where, members in groups.items()]
    return sorted(kinds, key=lambda kind: -kind.messages)


def _kind(where: dict[str, str], documents: list[Any]) -> Kind:
    arrays = Counter(pointer for one in documents for pointer in set(_arrays_of_rows(one)))
    rows = None
    if len(arrays) == 1:
        (pointer, count), *_ = arrays.items()
        if count >= len(documents) * 0.8:
            rows = pointer
    places: dict[str, Place] = {}
    seen = 0
    for document in documents:
        outside: dict[str, list[Any]] = {}
        _walk(document, "", outside)
        if rows is None:
            seen += 1
            _note(places, outside, "")
            continue
        elements = _at(document, rows)
        elements = elements[:_MOST_ELEMENTS] if isinstance(elements, list) else []
        for element in elements:
            seen += 1
            inside: dict[str, list[Any]] = {}
            _walk(element, "", inside)
            _note(places, inside, ".")
            kept = {p: v for p, v in outside.items() if p != rows and not p.startswith(f"{rows}/")}
            _note(places, kept, "#")
    return Kind(where, rows, len(documents), seen, list(places.values()))


def _note(places: dict[str, Place], found: dict[str, list[Any]], form: str) -> None:
    for pointer, values in found.items():
        # The element itself is ".", and what is outside it "#/...".
        shown = form + pointer if form != "." or pointer else "."
        for value in values:
            places.setdefault(shown, Place(shown)).add(value)
