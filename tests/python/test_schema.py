"""Guesses of `wspool fields`: pointers, types, kinds of messages."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import wspool
from wspool.schema import kinds_of
from wspool.testing import load_captures, market_data

CAPTURES = Path(__file__).parents[3] / "shared" / "data"


def types_of(*messages):
    """Return pointer to type, of messages of one kind."""
    (kind,) = kinds_of([json.loads(message) for message in messages])
    return {place.pointer: place.type for place in kind.places}


def check(messages):
    """Check that what is guessed picks every message of its kind without an error."""
    kinds = kinds_of([json.loads(message) for message in messages])
    assert kinds
    for kind in kinds:
        fields = kind.fields()
        if fields is None:
            continue
        assert eval(repr(fields), {"Fields": wspool.Fields}) == fields
        batch = wspool.pick(messages, fields)
        assert batch.errors == {}, (fields, batch.offenders)
        assert len(batch) >= kind.seen


@pytest.mark.parametrize(
    ("texts", "kind"),
    [
        (["1", "-5"], "int64"),
        (["1", "18446744073709551615"], "uint64"),
        (["1", "2.5"], "float64"),
        (['"1.5"', '"2"'], "float64"),
        (["true", "false"], "bool"),
        (["true", "1"], "json"),
        (['"a"', '"b"', '"a"'], "category"),
        ([f'"{n} apples"' for n in range(100)], "string"),
        (['"2021-07-22T01:13:23.124Z"'], "timestamp[iso]"),
        (['"2021-07-22T01:13:23.124Z"', '"soon"'], "string"),
        (["[1,2.5]", "[]"], "list<float64>"),
        (['[["1","2"],["3","4"]]'], "list<list<float64>>"),
        (['["a","b"]'], "list<string>"),
        (["{}"], "json"),
        (["null"], "json"),
    ],
)
def test_types(texts, kind):
    """The type takes all that was seen at a pointer."""
    assert types_of(*(f'{{"value":{text}}}' for text in texts))["/value"] == kind


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("timestamp", 1_626_916_403, "timestamp[s]"),
        ("T", 1_626_916_403_124, "timestamp[ms]"),
        ("created_at", "1626916403124000", "timestamp[us]"),
        ("E", 1_626_916_403_124_000_000, "timestamp[ns]"),
        ("id", 1_626_916_403_124, "int64"),
        ("T", 5, "int64"),
    ],
)
def test_times(name, value, kind):
    """A number is a time by its name and its size."""
    assert types_of(json.dumps({name: value}))[f"/{name}"] == kind


def test_kinds():
    """Messages are told apart by a member with few different texts."""
    messages = ['{"type":"a","x":1}'] * 5 + ['{"type":"b","y":"2"}'] * 8
    first, second = kinds_of([json.loads(message) for message in messages])
    assert (first.where, first.messages, first.name) == ({"/type": "b"}, 8, "b")
    assert second.where == {"/type": "a"}
    assert [place.pointer for place in second.places] == ["/type", "/x"]


def test_rows():
    """An array of objects, or of arrays of mixed things, is rows; what is outside repeats."""
    (kind,) = kinds_of([{"table": "t", "data": [{"p": 1}, {"p": 2, "q": True}]}] * 3)
    assert kind.rows == "/data"
    assert kind.seen == 6
    assert {place.pointer: place.present for place in kind.places} == {
        "./p": 6,
        "./q": 3,
        "#/table": 6,
    }
    (kind,) = kinds_of([{"changes": [["buy", "1.5", "2"]]}])
    assert kind.rows == "/changes"
    assert [place.pointer for place in kind.places] == ["./0", "./1", "./2"]


def test_share_of_presence():
    """A place knows in how many messages it was."""
    (kind,) = kinds_of([{"a": 1}, {"a": 2, "b": 3}])
    assert [(place.pointer, place.present) for place in kind.places] == [("/a", 2), ("/b", 1)]


def test_names():
    """Column names are unique, no keywords of ours, and no numbers."""
    (kind,) = kinds_of([{"a": {"x": 1}, "b": {"x": 2}, "received": 3, "0": 4, "é/ü": 5, "": 6}])
    fields = kind.fields()
    assert list(fields.columns) == ["x", "b_x", "received_2", "c0", "é_ü", "value"]


def test_odd_documents():
    """Scalars, empty containers and deep ones make no trouble."""
    for documents in ([5], ["x"], [None], [[]], [{}], [[[[[1]]]]], [{"a": {"b": {"c": [{}]}}}]):
        for kind in kinds_of(documents):
            fields = kind.fields()
            if fields is not None:
                wspool.pick([json.dumps(one) for one in documents], fields)


def test_made_up_feeds():
    """What is guessed for made-up market data picks it without an error."""
    check(market_data(2000))


@pytest.mark.skipif(not CAPTURES.is_dir(), reason="the folder of captures is not here")
@pytest.mark.parametrize(
    "name", ["binance_delivery", "binance_futures", "bitmex", "bybit", "coinbase", "kraken"]
)
def test_captures(name, tmp_path):
    """The same for the first thousand messages of each exchange."""
    (tmp_path / f"{name}.tsv.gz").symlink_to(CAPTURES / f"{name}.tsv.gz")
    check([message for message in load_captures(tmp_path)[:1000] if len(message) < 50_000])
