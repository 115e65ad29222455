"""What `wspool.pick` must find, by Python's json: slow, simple, and knowing nothing of wspool."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections import Counter
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple

MAX_DEPTH = 1024
MISSING = object()


class Number(str):
    """A number as it is written; NaN and Infinity as well."""

    __slots__ = ()


class Raw(NamedTuple):
    """A value, and its text."""

    value: Any
    text: str


class Result(NamedTuple):
    columns: dict[str, list[Any]]
    errors: Counter[str]
    offenders: dict[str, bytes]
    unmatched: int
    not_json: int


_SPACE = " \t\n\r"
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_WORDS = ("true", "false", "null", "NaN", "Infinity", "-Infinity")


class _Parser:
    """A recursive descent that keeps the text of every value. json.loads has accepted the text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def space(self) -> None:
        while self.at < len(self.text) and self.text[self.at] in _SPACE:
            self.at += 1

    def value(self) -> Raw:
        self.space()
        begin = self.at
        value = self.bare()
        return Raw(value, self.text[begin : self.at])

    def bare(self) -> Any:
        c = self.text[self.at]
        if c == "{":
            return self.object()
        if c == "[":
            return self.array()
        if c == '"':
            value, self.at = json.decoder.scanstring(self.text, self.at + 1, True)
            return value
        for word in _WORDS:
            if self.text.startswith(word, self.at):
                self.at += len(word)
                return {"true": True, "false": False, "null": None}.get(word, Number(word))
        found = _NUMBER.match(self.text, self.at)
        assert found is not None
        self.at = found.end()
        return Number(found[0])

    def object(self) -> dict[str, Raw]:
        members: dict[str, Raw] = {}
        self.at += 1
        self.space()
        while self.text[self.at] != "}":
            if self.text[self.at] == ",":
                self.at += 1
                self.space()
            name, self.at = json.decoder.scanstring(self.text, self.at + 1, True)
            self.space()
            assert self.text[self.at] == ":"
            self.at += 1
            members[name] = self.value()
            self.space()
        self.at += 1
        return members

    def array(self) -> list[Raw]:
        elements: list[Raw] = []
        self.at += 1
        self.space()
        while self.text[self.at] != "]":
            if self.text[self.at] == ",":
                self.at += 1
            elements.append(self.value())
            self.space()
        self.at += 1
        return elements


def _depth(text: str) -> int:
    """How deep arrays and objects nest; strings are left out."""
    deepest = now = 0
    for c in re.sub(r'"(?:[^"\\]|\\.)*"', "", text):
        if c in "[{":
            now += 1
            deepest = max(deepest, now)
        elif c in "]}":
            now -= 1
    return deepest


def parse(message: str | bytes) -> Raw | None:
    """Return the document; None if it is no JSON."""
    try:
        text = message.decode() if isinstance(message, bytes) else message
    except UnicodeDecodeError:
        return None
    if text.startswith("\ufeff") or _depth(text) > MAX_DEPTH:
        return None
    try:
        json.loads(text, parse_int=Number, parse_float=Number)
    except ValueError:
        return None
    return _Parser(text).value()


def _step(value: Any, name: str) -> Any:
    if isinstance(value, Raw):
        value = value.value
    if isinstance(value, dict):
        return value.get(name, MISSING)
    if isinstance(value, list) and re.fullmatch("0|[1-9][0-9]*", name):
        return value[int(name)] if int(name) < len(value) else MISSING
    return MISSING


def _follow(value: Any, steps: list[str]) -> Any:
    for step in steps:
        value = _step(value, step)
        if value is MISSING:
            return MISSING
    return value


def _steps(pointer: str) -> list[str]:
    return [s.replace("~1", "/").replace("~0", "~") for s in pointer.split("/")[1:]]


def _look_up(document: Raw, row: Any, pointer: str, rows: str | None) -> Any:
    if pointer.startswith("#"):
        return _follow(document, _steps(pointer[1:]))
    if rows is None:
        return _follow(document, _steps(pointer))
    if pointer == ".." or pointer.startswith("../"):
        base = _steps(rows.removeprefix("#"))
        parts = pointer.split("/")
        while parts and parts[0] == "..":
            base.pop()
            parts.pop(0)
        return _follow(document, base + _steps("/" + "/".join(parts) if parts else ""))
    if pointer in {"", "."}:
        return row
    if pointer.startswith("/"):
        found = _follow(row, _steps(pointer))
        return _follow(document, _steps(pointer)) if found is MISSING else found
    return _follow(row, _steps("/" + pointer.removeprefix("./")))


class Wrong(Exception):
    """A value does not fit its type."""


_FLOAT = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_INTEGER = re.compile(r"[-+]?[0-9]+")


def _text_of(value: Any, pattern: re.Pattern[str]) -> str:
    """A number, or what a string holds."""
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise Wrong
    return str(value)


def _integer(value: Any, least: int, most: int) -> int:
    number = int(_text_of(value, _INTEGER))
    if not least <= number <= most:
        raise Wrong
    return number


def _float(value: Any) -> float:
    number = float(_text_of(value, _FLOAT))
    if number in {float("inf"), float("-inf")}:
        raise Wrong
    return number


def _bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    words = {"true": True, "1": True, "false": False, "0": False}
    if isinstance(value, str) and str(value) in words:
        return words[str(value)]
    raise Wrong


def _string(value: Any) -> str:
    if not isinstance(value, str) or isinstance(value, Number):
        raise Wrong
    try:
        value.encode()
    except UnicodeEncodeError:
        raise Wrong from None
    return value


def _parts(value: Any) -> tuple[int, int]:
    """Digits and power of ten, exactly; a power that no type can hold is wrong."""
    text = _text_of(value, _FLOAT)
    mantissa, _, exponent = text.lower().partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = int(whole + fraction)
    power = int(exponent or "0") - len(fraction)
    while digits and digits % 10 == 0:
        digits //= 10
        power += 1
    if len(str(abs(digits))) > 38:
        raise Wrong
    return (digits, power) if digits else (0, 0)


def _decimal(value: Any, precision: int, scale: int) -> Decimal:
    digits, power = _parts(value)
    if power + scale < 0 or power + scale > 60:
        raise Wrong
    number = digits * 10 ** (power + scale)
    if len(str(abs(number))) > precision and number:
        raise Wrong
    try:
        return Decimal((0 if number >= 0 else 1, tuple(map(int, str(abs(number)))), -scale))
    except InvalidOperation:
        raise Wrong from None


_UNITS = {"s": 0, "ms": 3, "us": 6, "ns": 9}
_EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001


def _as_datetime(count: int, unit: str) -> dt.datetime | int:
    if not -(2**63) < count < 2**63:
        raise Wrong
    power = _UNITS[unit]
    us = count * 10 ** (6 - power) if power <= 6 else count // 10 ** (power - 6)
    try:
        return _EPOCH + dt.timedelta(microseconds=us)
    except OverflowError:
        return count


def _timestamp(value: Any, unit: str) -> dt.datetime | int:
    text = _text_of(value, _FLOAT)
    if _INTEGER.fullmatch(text):
        return _as_datetime(int(text), unit)
    digits, power = _parts(value)
    if power > 40:
        raise Wrong
    if power < -400:  # nothing but the sign is left
        digits, power = (digits > 0) - (digits < 0), -400
    numerator, denominator = digits * 10 ** max(power, 0), 10 ** max(-power, 0)
    is_small = abs(numerator) < 10**11 * denominator
    factor = 10 ** _UNITS[unit] if is_small else 1
    return _as_datetime(numerator * factor // denominator, unit)


_ISO = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:[Tt ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d+))?)?"
    r"(Z|z|[-+]\d\d(?::?\d\d)?)?)?",
    re.ASCII,
)


def _iso(value: Any) -> dt.datetime | int:
    found = _ISO.fullmatch(_string(value))
    if found is None:
        raise Wrong
    year, month, day, hour, minute, second, fraction, zone = found.groups()
    numbers = [int(x or 0) for x in (hour, minute, second)]
    # datetime begins with the year 1; 400 years later the calendar is the same.
    shift = 400 if int(year) < 1 else 0
    try:
        moment = dt.datetime(int(year) + shift, int(month), int(day), *numbers)  # noqa: DTZ001
    except ValueError:
        raise Wrong from None
    since = moment - _EPOCH
    seconds = since.days * 86400 + since.seconds - (146_097 * 86400 if shift else 0)
    if zone and zone not in "Zz":
        hours, minutes = int(zone[1:3]), int(zone[3:].lstrip(":") or 0)
        if hours > 23 or minutes > 59:
            raise Wrong
        seconds -= (hours * 3600 + minutes * 60) * (-1 if zone[0] == "-" else 1)
    return _as_datetime(seconds * 10**9 + int((fraction or "")[:9].ljust(9, "0")), "ns")


def _convert(raw: Any, kind: str) -> tuple[Any, int]:
    """Return the value, None for null, and how many were wrong."""
    if raw is MISSING or raw.value is None:
        return None, 0
    value = raw.value
    if kind.startswith("list<"):
        if not isinstance(value, list):
            return None, 1
        items = [_convert(item, kind[5:-1].strip()) for item in value]
        return [item for item, _ in items], sum(wrong for _, wrong in items)
    try:
        return _convert_one(raw, kind), 0
    except Wrong:
        return None, 1


def _convert_one(raw: Raw, kind: str) -> Any:
    value = raw.value
    if kind == "json":
        return raw.text
    if kind == "int64":
        return _integer(value, -(2**63), 2**63 - 1)
    if kind == "uint64":
        return _integer(value, 0, 2**64 - 1)
    if kind == "float64":
        return _float(value)
    if kind == "bool":
        return _bool(value)
    if kind in {"string", "category"}:
        return _string(value)
    if kind == "timestamp[iso]":
        return _iso(value)
    if kind.startswith("timestamp["):
        return _timestamp(value, kind[10:-1])
    precision, scale = map(int, kind[len("decimal128(") : -1].split(","))
    return _decimal(value, precision, scale)


def _equals(raw: Any, wanted: Any) -> bool:
    if raw is MISSING:
        return False
    value = raw.value
    if wanted is None or isinstance(wanted, bool):
        return value is wanted
    if isinstance(value, Number):
        if isinstance(wanted, str) or "N" in value or "I" in value:
            return False
        return bool((int(value) if re.fullmatch("-?[0-9]+", value) else float(value)) == wanted)
    return isinstance(wanted, str) and isinstance(value, str) and value == wanted


def pick(
    messages: list[str | bytes],
    columns: dict[str, tuple[str, str]],
    where: dict[str, Any] | None = None,
    rows: str | None = None,
) -> Result:
    """Pick as `wspool.pick` must."""
    found: dict[str, list[Any]] = {name: [] for name in columns}
    errors: Counter[str] = Counter()
    offenders: dict[str, bytes] = {}
    unmatched = not_json = 0
    for message in messages:
        document = parse(message)
        if document is None:
            not_json += 1
            continue
        elements: list[Any] = [None]
        matches = True
        for pointer, wanted in (where or {}).items():
            values = wanted if isinstance(wanted, (list, tuple, set, frozenset)) else [wanted]
            value = _follow(document, _steps(pointer.removeprefix("#")))
            matches = matches and any(_equals(value, one) for one in values)
        if rows is not None:
            array = _follow(document, _steps(rows.removeprefix("#")))
            matches = matches and array is not MISSING and isinstance(array.value, list)
            elements = array.value if matches else []
        if not matches:
            unmatched += 1
            continue
        for element in elements:
            for name, (pointer, kind) in columns.items():
                value, wrong = _convert(_look_up(document, element, pointer, rows), kind)
                found[name].append(value)
                if wrong:
                    errors[name] += wrong
                    data = message if isinstance(message, bytes) else message.encode()
                    offenders.setdefault(name, data[: 64 * 1024])
    return Result(found, errors, offenders, unmatched, not_json)
