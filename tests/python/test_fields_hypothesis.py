"""`pick` finds what Python's json finds, in whatever JSON and whatever is nearly JSON.

`WSPOOL_EXAMPLES=20000` makes a long run of it.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import wspool

_spec = importlib.util.spec_from_file_location(
    "json_oracle", Path(__file__).parents[1] / "support" / "json_oracle.py"
)
assert _spec is not None
assert _spec.loader is not None
oracle = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(oracle)

EXAMPLES = int(os.environ.get("WSPOOL_EXAMPLES", "700"))
run = settings(
    max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), database=None
)

NAMES = ["a", "b", "price", "a/b", "m~n", "", "0", "1", "é", "a long name of 20 by", "sequence"]

spaces = st.sampled_from(["", "", "", " ", "\n\t", "\r "])
numbers = st.one_of(
    st.integers(-(2**70), 2**70).map(str),
    st.integers(-20, 20).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.decimals(allow_nan=False, allow_infinity=False, places=8).map(lambda d: f"{d:f}"),
    st.sampled_from(
        [
            "0",
            "-0",
            "1",
            "0.0",
            "-0.0",
            "1e400",
            "-1e400",
            "1e-400",
            "5e-324",
            "2.4703282292062327e-324",
            "4.9e-324",
            "1E5",
            "1e+2",
            "9007199254740993",
            "9007199254740993.0",
            "9223372036854775807",
            "9223372036854775808",
            "-9223372036854775808",
            "-9223372036854775809",
            "18446744073709551615",
            "18446744073709551616",
            "1626916403.801801",
            "1626916403801",
            "1626916403801.5",
            "99999999999.9",
            "100000000000.5",
            "123456789012345678901234567890123456789",
            "0.1000000000000000055511151231257827",
            "1.7976931348623157e308",
            "1.7976931348623159e308",
            "2.2250738585072011e-308",
            "-1626916403.25",
            "0.00000001",
            "1000000000000000000000",
            "1e38",
            "1.0e-9",
            "1.5e3",
            "12e-1",
        ]
    ),
)
odd_words = st.sampled_from(["NaN", "Infinity", "-Infinity", "true", "false", "null"])
strings = st.one_of(
    st.sampled_from(
        [
            *(
                '"aggTrade"',
                '"BTC"',
                '""',
                '"1.5"',
                '"+7"',
                '"007"',
                '".5"',
                '"5."',
                '" 1"',
                '"1_0"',
            ),
            *(
                '"true"',
                '"false"',
                '"1"',
                '"0"',
                '"nan"',
                '"inf"',
                '"1e5"',
                '"-"',
                '"0x1"',
                '"\\u0031"',
            ),
            *(
                '"\\ud83d\\ude00"',
                '"\\ud800"',
                '"\\udc00x"',
                '"\\n\\"\\\\\\/"',
                '"é€😀"',
                '"[]{},:"',
            ),
            *('"2021-07-22T01:13:23.124Z"', '"2021-07-22"', '"2021-02-29T00:00:00Z"'),
            *('"2020-02-29 23:59:59.1234567891+05:30"', '"1969-12-31T23:59:59.999999999-0100"'),
            *(
                '"2021-07-22T01:13:60Z"',
                '"1677-09-21T00:12:43Z"',
                '"2262-04-11T23:47:16.854775807Z"',
            ),
            *('"2262-04-12"', '"0000-01-01"', '"2021-07-22T01:13+24"', '"2021-07-22T24:00:00"'),
        ]
    ),
    st.text(max_size=12).map(lambda s: '"' + "".join(map(_escape, s)) + '"'),
    numbers.map(lambda n: f'"{n}"'),
    st.integers(60, 70).map(lambda n: '"' + "x" * n + '"'),
)


def _escape(c: str) -> str:
    if c in '"\\' or c < " ":
        return f"\\u{ord(c):04x}"
    return f"\\u{ord(c):04x}" if 0xD800 <= ord(c) < 0xE000 else c


scalars = st.one_of(numbers, strings, odd_words)


@st.composite
def arrays(draw: st.DrawFn, items: st.SearchStrategy[str]) -> str:
    space = draw(spaces)
    return "[" + space + f"{space},{space}".join(draw(st.lists(items, max_size=5))) + space + "]"


@st.composite
def objects(draw: st.DrawFn, items: st.SearchStrategy[str]) -> str:
    space = draw(spaces)
    names = st.sampled_from(NAMES).map(
        lambda s: '"' + s + '"' if draw(st.booleans()) else '"' + "".join(map(_uescape, s)) + '"'
    )
    members = draw(st.lists(st.tuples(names, items), max_size=6))
    text = f"{space},{space}".join(f"{name}{space}:{space}{value}" for name, value in members)
    return "{" + space + text + space + "}"


def _uescape(c: str) -> str:
    return f"\\u{ord(c):04X}"


values = st.recursive(scalars, lambda items: arrays(items) | objects(items), max_leaves=25)
#: As books of prices are.
books = st.lists(
    st.lists(st.one_of(strings, numbers), min_size=1, max_size=3).map(lambda x: f"[{','.join(x)}]"),
    max_size=12,
).map(lambda x: f"[{','.join(x)}]")
documents = st.one_of(objects(values), objects(values | books), arrays(values), values)

steps = st.sampled_from([n.replace("~", "~0").replace("/", "~1") for n in NAMES] + ["2", "01", "x"])
pointers = st.lists(steps, max_size=3).map(lambda parts: "".join("/" + part for part in parts))
plain_types = st.sampled_from(
    [
        "int64",
        "uint64",
        "float64",
        "bool",
        "string",
        "json",
        "decimal128(18,8)",
        "decimal128(38,0)",
        "decimal128(5,2)",
        "timestamp[s]",
        "timestamp[ms]",
        "timestamp[us]",
        "timestamp[ns]",
        "timestamp[iso]",
    ]
)
types = st.one_of(
    plain_types,
    st.just("category"),
    plain_types.map(lambda kind: f"list<{kind}>"),
    plain_types.map(lambda kind: f"list<list<{kind}>>"),
)
wanted = st.one_of(
    st.sampled_from(["aggTrade", "BTC", "", 1, 0, 1.0, 1.5, True, False, None, 2**63, -5]),
    st.lists(st.sampled_from(["aggTrade", "BTC", 1, 1.5, True, None]), min_size=1, max_size=3),
)


def paths_in(raw, prefix: str = "") -> list[tuple[str, object]]:
    """All pointers into a document with what is there."""
    found = [(prefix, raw.value)]
    if isinstance(raw.value, dict):
        for name, value in raw.value.items():
            if name.isprintable():
                found += paths_in(value, f"{prefix}/{name.replace('~', '~0').replace('/', '~1')}")
    elif isinstance(raw.value, list):
        for number, value in enumerate(raw.value):
            found += paths_in(value, f"{prefix}/{number}")
    return found


def fitting(value: object) -> list[str]:
    """Types that may fit a value."""
    if isinstance(value, list):
        inner = fitting(value[0].value) if value else ["float64"]
        return [f"list<{kind}>" for kind in inner if kind != "category"] + ["json"]
    if isinstance(value, bool):
        return ["bool", "json"]
    if isinstance(value, oracle.Number):
        return [
            *("int64", "uint64", "float64", "float64", "decimal128(38,8)", "decimal128(38,20)"),
            *("timestamp[s]", "timestamp[ms]", "timestamp[us]", "timestamp[ns]", "json"),
        ]
    if isinstance(value, str):
        return ["string", "category", "float64", "int64", "bool", "timestamp[iso]", "json"]
    return ["json", "string"]


@st.composite
def columns_for(draw, document, rows: str | None):
    """A pointer that mostly hits, in one of its forms, and a type that often fits."""
    inside = paths_in(document)
    row = None
    if rows is not None:
        array = oracle._follow(document, oracle._steps(rows))
        if array is not oracle.MISSING and isinstance(array.value, list) and array.value:
            row = draw(st.sampled_from(array.value))
    if row is not None and draw(st.booleans()):
        pointer, value = draw(st.sampled_from(paths_in(row)))
        form = draw(st.integers(0, 2))
        bare = pointer[1:]
        if form == 1:
            pointer = "." + pointer
        elif form == 2 and bare and not bare.startswith((".", "/", "#")):
            pointer = bare
        if pointer == "./":
            pointer = "/"
    elif draw(st.integers(0, 4)) == 0:
        pointer, value = draw(pointers), None
    else:
        pointer, value = draw(st.sampled_from(inside))
        if rows is not None and draw(st.booleans()):
            pointer = "#" + pointer
        elif rows and draw(st.booleans()):
            up = draw(st.integers(1, rows.count("/")))
            base = "/".join(rows.split("/")[:-up])
            if pointer.startswith(base + "/"):
                pointer = "/".join([".."] * up) + pointer[len(base) :]
    kind = draw(st.one_of(st.sampled_from(fitting(value)), st.sampled_from(fitting(value)), types))
    return pointer, kind


@st.composite
def cases(draw):
    """Messages, and a schema for the first of them."""
    message = draw(documents)
    messages = [message, *draw(st.lists(documents, max_size=2))]
    document = oracle.parse(message)
    if document is None:
        return messages, ({"c": (draw(pointers), draw(types))}, {}, None)
    inside = paths_in(document)
    rows = None
    if draw(st.integers(0, 2)) == 0:
        arrays_in = [path for path, value in inside if isinstance(value, list)]
        rows = draw(st.one_of(st.sampled_from(arrays_in), pointers) if arrays_in else pointers)
    chosen = draw(st.lists(columns_for(document, rows), min_size=1, max_size=5))
    columns = {f"c{number}": column for number, column in enumerate(chosen)}
    where = {}
    if draw(st.integers(0, 3)) == 0:
        path, value = draw(st.sampled_from(inside))
        plain = [value] if value is None or isinstance(value, (bool, str)) else []
        if isinstance(value, oracle.Number):
            as_integer = int(value) if value.lstrip("-").isdigit() else 0
            plain = [as_integer] if -(2**63) <= as_integer < 2**64 else []
        elif isinstance(value, str) and not value.isprintable():
            plain = []
        where = {path: draw(st.one_of(*map(st.just, plain), wanted))}
    return messages, (columns, where, rows)


def check(messages: list[str | bytes], columns, where, rows) -> None:
    expected = oracle.pick(messages, columns, where, rows)
    batch = wspool.pick(messages, wspool.Fields(columns, where=where, rows=rows))
    found = batch.to_pydict()
    assert found.pop("received") == [None] * len(batch)
    assert found.pop("connection") == [None] * len(batch)
    assert list(map(repr, found.values())) == list(map(repr, expected.columns.values()))
    assert batch.errors == expected.errors
    assert batch.offenders == expected.offenders
    assert batch.statistics.not_json == expected.not_json
    assert batch.statistics.unmatched == expected.unmatched


@run
@given(cases())
@example((['{"a":1,"a":{"b":2},"a":{"c":3}}'], ({"c": ("/a/b", "int64")}, {}, None)))
@example((['{"a":[1,2],"a":[3]}'], ({"c": ("", "int64")}, {}, "/a")))
@example((['{"a":[],"price":[1]}'], ({"c": ("/0", "int64")}, {}, "/a")))
def test_same_as_json(case):
    """Rows, errors, offenders and counts are those of the oracle."""
    messages, schema = case
    check(messages, *schema)


@run
@given(cases(), st.data())
def test_same_as_json_when_corrupted(case, data):
    """A text that was cut or changed is JSON if and only if json says so, and then the same."""
    (message, *_), schema = case
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(message)))
        kind = data.draw(st.integers(0, 3))
        new = data.draw(st.sampled_from([*'[]{},:"\\0123.eE+-tfnNI \n\x00\x1fé', "null", "[]"]))
        if kind == 0:
            message = message[:at] + new + message[at:]
        elif kind == 1:
            message = message[:at] + new + message[at + 1 :]
        elif kind == 2:
            message = message[:at] + message[at + 1 :]
        else:
            message = message[:at]
    check([message], *schema)


@run
@given(documents, st.binary(min_size=1, max_size=2), st.data())
def test_bytes_must_be_utf8(message, garbage, data):
    """Bytes that are no UTF-8 are no JSON, wherever they stand."""
    raw = message.encode()
    at = data.draw(st.integers(0, len(raw)))
    check([raw[:at] + garbage + raw[at:]], {"c": ("", "json")}, {}, None)


@run
@given(numbers, plain_types, st.booleans())
def test_number_texts(number, kind, quoted):
    """Every type makes of a number, quoted or not, what the oracle says."""
    check([f'["{number}"]' if quoted else f"[{number}]"], {"c": ("/0", kind)}, {}, None)


@settings(max_examples=30, deadline=None)
@given(st.integers(1015, 1030), st.sampled_from(["[]", "{}"]), st.booleans())
def test_deep_nesting(depth, kind, is_wanted):
    """Up to 1,024 levels are JSON."""
    opening = "[" if kind == "[]" else '{"a":'
    text = opening * depth + "1" + kind[1] * depth
    column = ("/0" if is_wanted else "/x", "json")
    batch = wspool.pick(text, wspool.Fields({"c": column}))
    assert batch.statistics.not_json == (0 if depth <= 1024 else 1)
