"""Record batches: values of every type, NumPy, and those who take Arrow."""

# ruff: noqa: DTZ001  # timestamps have no zone, as in Arrow

from __future__ import annotations

import gc
import subprocess
import sys
import weakref
from datetime import datetime
from decimal import Decimal

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from wspool import Fields, Message, pick

EVERY_TYPE = {
    "i": ("/i", "int64"),
    "u": ("/u", "uint64"),
    "f": ("/f", "float64"),
    "b": ("/b", "bool"),
    "s": ("/s", "string"),
    "c": ("/s", "category"),
    "d": ("/f", "decimal128(12,4)"),
    "t_s": ("/t", "timestamp[s]"),
    "t_ms": ("/t", "timestamp[ms]"),
    "t_us": ("/t", "timestamp[us]"),
    "t_ns": ("/t", "timestamp[ns]"),
    "t_iso": ("/iso", "timestamp[iso]"),
    "j": ("/l", "json"),
    "l": ("/l", "list<float64>"),
    "ll": ("/ll", "list<list<string>>"),
    "lb": ("/lb", "list<bool>"),
}
MESSAGES = [
    (
        '{"i":-1,"u":"18446744073709551615","f":"1.25","b":true,"s":"é","t":1626916403,'
        '"iso":"2021-07-22T01:13:23.5Z","l":[1,"2.5"],"ll":[["a"],[]],"lb":[true,null,"false"]}'
    ),
    "{}",
    '{"i":[],"u":-1,"f":"x","b":2,"s":1,"t":{},"iso":"now","l":[1,"x"],"ll":5,"lb":[7]}',
]


@pytest.fixture
def batch():
    """Three rows of every type: one good, one null, one wrong."""
    return pick(MESSAGES, Fields(EVERY_TYPE), received_ns=1_626_916_403_000_000_001)


def test_to_pydict(batch):
    """Python objects, None for null."""
    found = batch.to_pydict()
    assert found["i"] == [-1, None, None]
    assert found["u"] == [2**64 - 1, None, None]
    assert found["f"] == [1.25, None, None]
    assert found["b"] == [True, None, None]
    assert found["s"] == found["c"] == ["é", None, None]
    assert found["d"] == [Decimal("1.2500"), None, None]
    assert found["t_s"][0] == datetime(2021, 7, 22, 1, 13, 23)
    assert found["t_iso"][0] == datetime(2021, 7, 22, 1, 13, 23, 500_000)
    assert found["j"] == ['[1,"2.5"]', None, '[1,"x"]']
    assert found["l"] == [[1.0, 2.5], None, [1.0, None]]
    assert found["ll"] == [[["a"], []], None, None]
    assert found["lb"] == [[True, None, False], None, [None]]
    assert found["received"] == [datetime(2021, 7, 22, 1, 13, 23)] * 3
    assert found["connection"] == [None] * 3


def test_errors_and_offenders(batch):
    """Wrong values are counted by column, and the first message with one is kept."""
    wrong = {name: 1 for name in EVERY_TYPE if name != "j"}
    assert batch.errors == wrong
    assert batch.errors["j"] == 0
    assert set(batch.offenders) == set(wrong)
    assert batch.offenders["f"] == MESSAGES[2].encode()
    assert batch.statistics.rows == 3


def test_shape(batch):
    """Length, names and columns."""
    assert len(batch) == batch.num_rows == 3
    assert batch.column_names == [*EVERY_TYPE, "received", "connection"]
    assert batch.num_columns == len(EVERY_TYPE) + 2
    assert batch.name is None
    assert "f" in batch
    assert "nope" not in batch
    with pytest.raises(KeyError, match="nope"):
        batch["nope"]


def test_repr():
    """A small table with the first rows."""
    many = pick([f'{{"a":{n}}}' for n in range(1234)], Fields({"a": ("/a", "int64")}))
    lines = repr(many).splitlines()
    assert lines[0] == "<wspool.RecordBatch: 1,234 rows>"
    assert lines[1].split() == ["a", "received", "connection"]
    assert lines[2].split() == ["0", "null", "null"]
    assert lines[-1] == "... 1,224 more"


def test_numpy(batch):
    """The type of each array, and what stands for null."""
    assert batch["f"].dtype == np.float64
    assert np.isnan(batch["f"][1:]).all()
    assert batch["t_ms"].dtype == np.dtype("datetime64[ms]")
    assert np.isnat(batch["t_ms"][1:]).all()
    assert batch["t_iso"].dtype == batch["received"].dtype == np.dtype("datetime64[ns]")
    assert batch["received"][0] == np.datetime64(1_626_916_403_000_000_001, "ns")
    for name in "iub":
        assert isinstance(batch[name], np.ma.MaskedArray)
        assert batch[name].mask.tolist() == [False, True, True]
    assert batch["u"][0] == 2**64 - 1
    assert batch["s"].tolist() == batch["c"].tolist() == ["é", None, None]
    assert batch["d"].tolist() == [Decimal("1.2500"), None, None]
    assert batch["l"][0].tolist() == [1.0, 2.5]
    assert batch["l"][1] is None
    assert batch["ll"][0][0].tolist() == ["a"]


def test_numpy_without_nulls_is_a_view():
    """The arrays are read-only views of one memory, that outlives the batch."""
    batch = pick(
        [f'{{"a":{n},"f":{n}.5,"t":{n}}}' for n in range(1000)],
        Fields({"a": ("/a", "int64"), "f": ("/f", "float64"), "t": ("/t", "timestamp[ms]")}),
    )
    arrays = [batch[name] for name in "aft"]
    for array in arrays:
        assert type(array) is np.ndarray
        assert not array.flags.owndata
        assert not array.flags.writeable
        with pytest.raises(ValueError, match="read-only"):
            array[0] = array[1]
    assert batch["a"].ctypes.data == arrays[0].ctypes.data
    gone = weakref.ref(batch) if hasattr(batch, "__weakref__") else lambda: None
    del batch
    gc.collect()
    assert gone() is None
    assert arrays[0].sum() == 499_500
    assert arrays[1].sum() == 500_000


def test_numpy_of_nothing():
    """A batch without rows has empty arrays of the right type."""
    batch = pick([], Fields(EVERY_TYPE))
    assert len(batch) == 0
    for name in batch.column_names:
        assert len(batch[name]) == 0
    assert batch["t_us"].dtype == np.dtype("datetime64[us]")
    assert pa.record_batch(batch).num_rows == 0
    assert batch.to_pydict()["l"] == []
    assert repr(batch).startswith("<wspool.RecordBatch: 0 rows>")


def test_arrow_schema(batch):
    """The types are what the names of the types say."""
    schema = pa.record_batch(batch).schema
    category = pa.dictionary(pa.int32(), pa.string())
    expected = {
        "i": pa.int64(),
        "u": pa.uint64(),
        "f": pa.float64(),
        "b": pa.bool_(),
        "s": pa.string(),
        "c": category,
        "d": pa.decimal128(12, 4),
        "j": pa.string(),
        **{f"t_{unit}": pa.timestamp(unit) for unit in ("s", "ms", "us", "ns")},
        "t_iso": pa.timestamp("ns"),
        "l": pa.list_(pa.float64()),
        "ll": pa.list_(pa.list_(pa.string())),
        "lb": pa.list_(pa.bool_()),
        "received": pa.timestamp("ns"),
        "connection": category,
    }
    assert {field.name: field.type for field in schema} == expected
    assert pa.schema(batch) == schema


def test_arrow_values(batch):
    """Arrow sees the same values, and finds nothing wrong with the memory."""
    for taken in (pa.record_batch(batch), pa.table(batch).combine_chunks().to_batches()[0]):
        taken.validate(full=True)
        # With pandas around pyarrow makes its Timestamp of nanoseconds.
        names = [name for name in EVERY_TYPE if name not in {"t_ns", "t_iso"}]
        found = {name: taken[name].to_pylist() for name in names}
        assert found == {name: batch.to_pydict()[name] for name in names}
        for name in ("t_ns", "t_iso"):
            numbers = taken[name].cast(pa.int64()).to_pylist()
            assert numbers[0] == batch[name].view(np.int64)[0]
            assert numbers[1:] == [None, None]


def test_arrow_outlives_the_batch():
    """What was exported stays when the batch has gone, and nothing stays when that has gone."""
    batch = pick([f'{{"s":"text {n}"}}' for n in range(5000)], Fields({"s": ("/s", "string")}))
    table = pa.table(batch)
    del batch
    gc.collect()
    assert table["s"][4999].as_py() == "text 4999"
    kept = table["s"].slice(10, 2)
    del table
    gc.collect()
    assert kept.to_pylist() == ["text 10", "text 11"]


def test_unused_capsules(batch):
    """A capsule that nobody takes frees what it holds."""
    for _ in range(1000):
        batch.__arrow_c_array__()
        batch.__arrow_c_stream__()
        batch.__arrow_c_schema__()


def test_memory_is_flat():
    """Making, exporting and dropping batches over and over needs no more memory."""
    fields = Fields(EVERY_TYPE)
    many = MESSAGES * 300

    def once():
        batch = pick(many, fields)
        pa.record_batch(batch)
        pl.DataFrame(batch)
        batch["f"], batch["l"], batch["s"]

    def resident():
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * 4096

    for _ in range(30):
        once()
    gc.collect()
    before = resident()
    for _ in range(150):
        once()
    gc.collect()
    assert resident() - before < 4 * 2**20


def test_others_take_it(batch):
    """polars, pandas and DuckDB take a batch as it is."""
    frame = pl.DataFrame(batch)
    assert frame["f"].to_list() == [1.25, None, None]
    assert frame["d"].dtype == pl.Decimal(12, 4)
    assert frame["l"].to_list() == [[1.0, 2.5], None, [1.0, None]]
    if hasattr(pd.DataFrame, "from_arrow"):
        assert pd.DataFrame.from_arrow(batch)["s"].tolist()[0] == "é"
    table = pa.table(batch)
    assert table.to_pandas()["c"].tolist()[0] == "é"
    assert duckdb.sql("select sum(f), count(s) from batch").fetchall() == [(1.25, 1)]


def test_categories_with_many_values():
    """A category of 100,000 different texts begins its dictionary anew; values stay right."""
    fields = Fields({"c": ("/c", "category")})
    texts = [f"name {n}" for n in range(100_000)]
    batch = pick([f'{{"c":"{text}"}}' for text in texts], fields)
    assert batch.to_pydict()["c"] == texts
    assert pa.record_batch(batch)["c"].to_pylist() == texts


def test_what_pick_takes():
    """A message or an iterable of them; str, bytes-like or Message."""
    fields = Fields({"a": ("/a", "int64")})
    for data in ('{"a":1}', b'{"a":1}', bytearray(b'{"a":1}'), memoryview(b'{"a":1}')):
        assert pick(data, fields).to_pydict()["a"] == [1]
    message = Message('{"a":2}', received_ns=5)
    batch = pick((m for m in [message, '{"a":3}']), fields, connection="ws://feed/")
    assert batch.to_pydict()["a"] == [2, 3]
    assert batch["received"].view(np.int64).tolist() == [5, np.iinfo(np.int64).min]
    assert batch["connection"].tolist() == ["ws://feed/"] * 2
    for wrong in (5, None, [5], {"a": 1}):
        with pytest.raises(TypeError):
            pick(wrong, fields)


def test_times_before_1970_and_beyond():
    """Timestamps are cut off toward the past, and years that datetime lacks stay numbers."""
    fields = Fields({"t": ("/0", "timestamp[ms]"), "s": ("/0", "timestamp[s]")})
    batch = pick(["[-1.0005]", "[-1]", "[253402300800]"], fields)
    assert batch.to_pydict()["t"][0] == datetime(1969, 12, 31, 23, 59, 58, 999_000)
    assert batch.to_pydict()["s"][1:] == [datetime(1969, 12, 31, 23, 59, 59), 253_402_300_800]


def test_numpy_is_not_needed():
    """Picking, Python objects and Arrow do without NumPy."""
    program = (
        "import sys, wspool\n"
        "b = wspool.pick('[1]', wspool.Fields({'a': ('/0', 'int64')}))\n"
        "b.to_pydict(), b.__arrow_c_array__(), repr(b)\n"
        "assert 'numpy' not in sys.modules\n"
        "sys.modules['numpy'] = None\n"
        "try: b['a']\n"
        "except ImportError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert "pip install numpy" in done.stdout


def test_hostile_rows_do_not_multiply():
    """A long text outside, repeated in each of very many rows, is bounded."""
    message = '{"s":"' + "x" * 400_000 + '","r":[' + ",".join("1" * 2000) + "]}"
    batch = pick(message, Fields({"s": ("#/s", "string"), "r": ("", "int64")}, rows="/r"))
    assert len(batch) == 2000
    assert batch.errors["s"] > 0
    assert sum(len(s) for s in batch.to_pydict()["s"] if s) <= 256 * 2**20
