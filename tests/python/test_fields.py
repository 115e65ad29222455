"""What `Fields` accepts, and what it says when it does not."""

from __future__ import annotations

import pickle

import pytest

import wspool
from wspool import Fields, pick


def values(message, pointer, kind="json", **more):
    """Return the one column that is picked out of a message."""
    return pick(message, Fields({"c": (pointer, kind)}, **more)).to_pydict()["c"]


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({}, "at least one"),
        ({"a": ("/a", "int32")}, "column 'a': unknown type 'int32'"),
        ({"a": ("/a", "list<category>")}, "column 'a': unknown type"),
        ({"a": ("/a", "decimal128(39,2)")}, "column 'a': unknown type"),
        ({"a": ("/a", "decimal128(4,5)")}, "column 'a': unknown type"),
        ({"a": ("/a", "timestamp[min]")}, "column 'a': unknown type"),
        ({"a": ("/a", "list<" * 60 + "int64" + ">" * 60)}, "column 'a': unknown type"),
        ({"a": ("a", "int64")}, "column 'a': not a pointer"),
        ({"a": ("/a~2", "int64")}, "column 'a': not a pointer"),
        ({"a": ("../a", "int64")}, "column 'a': not a pointer"),
        ({"received": ("/a", "int64")}, "column 'received': every batch has it"),
        ({"connection": ("/a", "int64")}, "column 'connection': every batch has it"),
    ],
)
def test_bad_columns(columns, said):
    """The error names the column."""
    with pytest.raises(ValueError, match=r"(?s).*") as caught:
        Fields(columns)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "columns", [[("a", "/a")], {"a": "/a"}, {"a": ("/a", 1)}, {1: ("/a", "x")}]
)
def test_columns_of_a_wrong_type(columns):
    """What is no mapping of str to two str is a TypeError."""
    with pytest.raises(TypeError):
        Fields(columns)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"where": {"a": 1}}, "where: not a JSON Pointer"),
        ({"where": {"/a": []}}, "where['/a']: at least one value"),
        ({"where": {"/a": {2**64}}}, "where: integers must fit"),
        ({"where": {"/a": [b"x"]}}, "where['/a']: values must be"),
        ({"rows": "data"}, "rows: not a JSON Pointer"),
        ({"rows": "/a", "pointer": "../../../x"}, "column 'c': not a pointer"),
        ({"rows": "", "pointer": "../x"}, "column 'c': not a pointer"),
    ],
)
def test_bad_where_and_rows(more, said):
    """The error names the argument."""
    pointer = more.pop("pointer", "/c")
    with pytest.raises(ValueError, match=r"(?s).*") as caught:
        Fields({"c": (pointer, "int64")}, **more)
    assert said in str(caught.value)


def test_repr_can_be_pasted():
    """repr() is a call that makes an equal one."""
    fields = Fields(
        {"symbol": ("/s", "category"), "price": ("./p", "float64")},
        where={"/e": {"trade"}, "/x": [1, None]},
        rows="/data",
    )
    assert eval(repr(fields)) == fields
    assert pickle.loads(pickle.dumps(fields)) == fields
    assert hash(fields) == hash(eval(repr(fields)))
    assert fields != Fields({"symbol": ("/s", "category")})
    assert fields.columns["price"] == ("./p", "float64")
    assert fields.where == {"/e": ("trade",), "/x": (1, None)}
    assert fields.rows == "/data"


def test_pointers_without_rows():
    """A pointer is followed through members and elements; `#` may stand before it."""
    message = '{"a":{"b":[10,{"c/d":1,"e~f":2,"":3}]},"0":"zero"}'
    assert values(message, "/a/b/0") == ["10"]
    assert values(message, "/a/b/1/c~1d") == ["1"]
    assert values(message, "/a/b/1/e~0f") == ["2"]
    assert values(message, "/a/b/1/") == ["3"]
    assert values(message, "#/0") == ['"zero"']
    assert values(message, "/a/b/00") == [None]
    assert values(message, "") == [message]


def test_pointers_with_rows():
    """Each form looks where it should."""
    message = '{"topic":"t","price":9,"d":{"seq":5,"rows":[{"price":1},{"x":2},7]}}'

    def rows(pointer):
        return values(message, pointer, rows="/d/rows")

    assert rows("price") == ["1", None, None]
    assert rows("./price") == ["1", None, None]
    assert rows("/price") == ["1", "9", "9"]
    assert rows("#/price") == ["9"] * 3
    assert rows("../seq") == ["5"] * 3
    assert rows("../../topic") == ['"t"'] * 3
    assert rows("") == rows(".") == ['{"price":1}', '{"x":2}', "7"]
    assert rows("..")[0].startswith('{"seq"')


def test_positional_arrays():
    """Kraken's arrays: rows in an object in an array, the pair outside."""
    message = '[336,{"a":[["1.5","2.0","1626.25"],["1.6","3.0","1626.5"]]},"book-10","XBT/USD"]'
    fields = Fields(
        {
            "pair": ("../../3", "category"),
            "price": ("/0", "float64"),
            "volume": ("1", "decimal128(20,8)"),
            "time": ("2", "timestamp[us]"),
        },
        where={"/2": "book-10"},
        rows="/1/a",
    )
    batch = pick(message, fields)
    assert batch["price"].tolist() == [1.5, 1.6]
    assert batch["pair"].tolist() == ["XBT/USD"] * 2
    assert [str(t) for t in batch["time"]] == [
        "1970-01-01T00:27:06.250000",
        "1970-01-01T00:27:06.500000",
    ]


@pytest.mark.parametrize(
    ("wanted", "matching"),
    [
        ("x", ['"x"', '"\\u0078"']),
        (1, ["1", "1.0", "1e0"]),
        (1.5, ["1.5", "15e-1"]),
        (True, ["true"]),
        (None, ["null"]),
        ({"x", 1, None}, ['"x"', '"\\u0078"', "1", "1.0", "1e0", "null"]),
        (2**63, ["9223372036854775808"]),
    ],
)
def test_where(wanted, matching):
    """Strings, numbers by value, booleans and null; a missing value is none of them."""
    texts = ['"x"', '"\\u0078"', "1", "1.0", "1e0", "1.5", "15e-1", "true", "false", "null", '"1"']
    texts += ["9223372036854775808", "[1]", '{"x":1}']
    messages = [f'{{"k":{text}}}' for text in texts] + ["{}", "[]", '"x"']
    fields = Fields({"c": ("/k", "json")}, where={"/k": wanted})
    batch = pick(messages, fields)
    found = [text if text is not None else "null" for text in batch.to_pydict()["c"]]
    assert found == matching
    assert batch.statistics.unmatched == len(messages) - len(matching)


def test_all_of_where_must_hold():
    """Two pointers are two conditions."""
    fields = Fields({"c": ("/a", "int64")}, where={"/a": 1, "/b": {2, 3}})
    batch = pick(['{"a":1,"b":2}', '{"a":1,"b":4}', '{"b":3,"a":1}', '{"b":3}'], fields)
    assert len(batch) == 2


def test_rows_match_only_arrays():
    """With rows a message without an array there matches nothing; an empty array does."""
    fields = Fields({"c": ("", "json")}, rows="/r")
    batch = pick(['{"r":[1,2]}', '{"r":[]}', '{"r":{}}', "{}"], fields)
    assert batch.to_pydict()["c"] == ["1", "2"]
    assert batch.statistics.unmatched == 2


def test_several_fields():
    """Each message goes to every one that it matches."""
    fields = {
        "all": Fields({"e": ("/e", "string")}),
        "trades": Fields({"p": ("/p", "float64")}, where={"/e": "trade"}),
        "levels": Fields({"p": ("/0", "float64")}, rows="/b"),
    }
    batches = pick(['{"e":"trade","p":1}', '{"e":"book","b":[[1,2],[3,4]]}', "5"], fields)
    assert {name: len(batch) for name, batch in batches.items()} == {
        "all": 3,
        "trades": 1,
        "levels": 2,
    }
    assert batches["trades"].name == "trades"


@pytest.mark.parametrize("fields", [None, {}, {"a": 1}, [("a", 1)], "x"])
def test_no_fields(fields):
    """What is neither Fields nor a mapping of them is refused."""
    with pytest.raises((TypeError, ValueError)):
        pick("{}", fields)


def test_many_names():
    """Hundreds of columns, of the same beginnings, are all found."""
    columns = {f"c{n}": (f"/name{n}", "int64") for n in range(400)}
    message = "{" + ",".join(f'"name{n}":{n}' for n in reversed(range(400))) + "}"
    found = pick([message, message], wspool.Fields(columns)).to_pydict()
    assert [found[f"c{n}"] for n in range(400)] == [[n, n] for n in range(400)]
