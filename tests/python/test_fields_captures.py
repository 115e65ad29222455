"""`pick` agrees with Python's json on every message of the real captures, where they are."""

from __future__ import annotations

import importlib.util
import random
from pathlib import Path

import pytest

import wspool
from wspool.testing import load_captures, market_data

_spec = importlib.util.spec_from_file_location(
    "json_oracle", Path(__file__).parents[1] / "support" / "json_oracle.py"
)
assert _spec is not None
assert _spec.loader is not None
oracle = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(oracle)

CAPTURES = Path(__file__).parents[3] / "shared" / "data"
SCHEMAS = 800
TYPES = [
    "int64",
    "uint64",
    "float64",
    "bool",
    "string",
    "category",
    "json",
    "decimal128(30,12)",
    "decimal128(9,2)",
    "timestamp[s]",
    "timestamp[ms]",
    "timestamp[us]",
    "timestamp[ns]",
    "timestamp[iso]",
    "list<float64>",
    "list<list<float64>>",
    "list<string>",
    "list<list<string>>",
    "list<json>",
]


@pytest.fixture(scope="module")
def messages():
    """Every message of every capture; without the captures, made ones of the same shapes."""
    if CAPTURES.is_dir():
        return load_captures(CAPTURES)
    return market_data(20_000)


def paths_in(raw, prefix=""):
    """Pointers into a document; of long arrays the first elements and the last."""
    found = [prefix]
    if isinstance(raw.value, dict):
        for name, value in raw.value.items():
            found += paths_in(value, f"{prefix}/{name}")
    elif isinstance(raw.value, list):
        chosen = {0, 1, 2, len(raw.value) - 1} & set(range(len(raw.value)))
        for number in sorted(chosen):
            found += paths_in(raw.value[number], f"{prefix}/{number}")
    return found


def make_schema(source, message):
    """A schema that finds something in a message, and its arguments."""
    document = oracle.parse(message)
    inside = paths_in(document)
    arrays = [
        p for p in inside if isinstance(oracle._follow(document, oracle._steps(p)).value, list)
    ]
    rows = source.choice(arrays) if arrays and source.random() < 0.4 else None
    pointers = [source.choice(inside) for _ in range(source.randint(1, 4))]
    if rows is not None:
        array = oracle._follow(document, oracle._steps(rows)).value
        if array:
            pointers += [source.choice(paths_in(array[0])) for _ in range(3)]
        pointers.append("#" + source.choice(inside))
    columns = {f"c{n}": (p, source.choice(TYPES)) for n, p in enumerate(pointers)}
    where = {}
    if source.random() < 0.3:
        path = source.choice(inside)
        value = oracle._follow(document, oracle._steps(path)).value
        if isinstance(value, (bool, str)) and not isinstance(value, oracle.Number):
            where = {path: value}
    return columns, where, rows


def check(some, columns, where, rows):
    expected = oracle.pick(some, columns, where, rows)
    batch = wspool.pick(some, wspool.Fields(columns, where=where, rows=rows))
    found = batch.to_pydict()
    for name, column in expected.columns.items():
        assert list(map(repr, found[name])) == list(map(repr, column)), (name, columns[name], rows)
    assert batch.errors == expected.errors
    assert batch.offenders == expected.offenders
    assert batch.statistics.unmatched == expected.unmatched
    assert batch.statistics.not_json == expected.not_json


def test_every_message_once(messages):
    """The whole text of every message comes back, and none is taken for no JSON."""
    batch = wspool.pick(messages, wspool.Fields({"all": ("", "json")}))
    assert batch.statistics.not_json == 0
    assert batch.to_pydict()["all"] == [message.strip() for message in messages]


def test_every_message_with_a_schema_of_its_own(messages):
    """Each message agrees with the oracle on a schema that was made from it."""
    source = random.Random(4)
    for message in messages:
        if len(message) < 20_000:
            check([message], *make_schema(source, message))


def test_hundreds_of_schemas(messages):
    """Schemas made from messages agree with the oracle on these and on others."""
    source = random.Random(5)
    usual = [message for message in messages if len(message) < 6000]
    for _ in range(SCHEMAS):
        message = source.choice(usual)
        schema = make_schema(source, message)
        check([message, *source.sample(usual, 8)], *schema)


def test_cut_and_changed(messages):
    """Corrupted messages are JSON if and only if json says so."""
    source = random.Random(6)
    usual = [message for message in messages if len(message) < 3000]
    for _ in range(SCHEMAS * 2):
        message = source.choice(usual)
        schema = make_schema(source, message)
        at = source.randrange(len(message))
        changed = message[:at]
        if source.random() < 0.8:
            changed += source.choice('[]{},:"\\ 0-e.') + message[at + source.randint(0, 2) :]
        check([changed], *schema)


def test_shuffled_keys(messages):
    """The order of keys does not matter, from one message to the next either."""
    source = random.Random(7)
    usual = [message for message in messages if len(message) < 3000 and message[0] == "{"]

    def shuffle(raw):
        if isinstance(raw.value, dict):
            members = list(raw.value.items())
            source.shuffle(members)
            return "{" + ",".join(f'"{name}":{shuffle(value)}' for name, value in members) + "}"
        if isinstance(raw.value, list):
            return "[" + ",".join(map(shuffle, raw.value)) + "]"
        return raw.text

    for _ in range(SCHEMAS // 3):
        message = source.choice(usual)
        columns, where, rows = make_schema(source, message)
        columns = {n: c for n, c in columns.items() if not c[1].endswith(("json", "json>"))}
        if not columns:
            continue
        fields = wspool.Fields(columns, where=where, rows=rows)
        shuffled = [shuffle(oracle.parse(message)) for _ in range(5)]
        found = wspool.pick([message, *shuffled], fields).to_pydict()
        once = wspool.pick(message, fields).to_pydict()
        assert {n: list(map(repr, c)) for n, c in found.items()} == {
            n: list(map(repr, c)) * 6 for n, c in once.items()
        }


def test_large_message(messages):
    """The largest message (709 KB in the captures) agrees, with rows and without."""
    largest = max(messages, key=len)
    source = random.Random(8)
    for _ in range(3):
        check([largest], *make_schema(source, largest))


def test_decimals_keep_their_digits(messages):
    """Decimal text comes back digit for digit."""
    prices = {"/data/p": "decimal128(38,10)", "/data/q": "decimal128(38,10)", "/price": "string"}
    columns = {pointer: (pointer, kind) for pointer, kind in prices.items()}
    check([m for m in messages if len(m) < 2000][:4000], columns, {}, None)
