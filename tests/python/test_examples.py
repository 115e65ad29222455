"""Every file in examples/ is run."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from wspool import demo

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / "examples" / "python"
CPP = ROOT / "build" / "cpp" / "examples" / "cpp"


def run(*command):
    """Run to the end and return what was printed."""
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, timeout=110, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_each_python_example_has_a_test():
    """A new example comes with a test here or in test_docs.py."""
    names = ("test_examples.py", "test_docs.py")
    tests = "".join(Path(__file__).with_name(name).read_text() for name in names)
    assert {path.name for path in PYTHON.glob("*.py") if f'"{path.name}"' not in tests} == set()


@pytest.mark.skipif(not (CPP / "simple").exists(), reason="the C++ examples are not built")
@pytest.mark.parametrize("captures", ["generated", "captured"])
def test_demo(captures, tmp_path):
    """The demonstration runs from Python and from C++, and its feed arrives whole."""
    folder = ROOT.parent / "shared" / "data" if captures == "captured" else tmp_path / "none"
    if captures == "captured" and not folder.is_dir():
        pytest.skip("the folder of captures is not here")
    printed = run(sys.executable, PYTHON / "demo.py", "--connections", 5, "--captures", folder)
    assert "Connections completed: " in printed
    assert ("captures of six exchanges" in printed) == (captures == "captured")
    assert re.search(r"lost +0\n", printed)
    assert re.search(r"CRC-32 match +5\n", printed)


def test_demo_notices_a_loss():
    """The demonstration's comparison is not one that always agrees."""
    sent = [
        {"path": "/feed/0", "messages_sent": 2, "payload_bytes_sent": 3, "crc32_sent": 9},
    ]
    assert not demo.report(sent, [demo.Tally(1, 3, 9)], 1.0, 1.0)
    assert not demo.report(sent, [demo.Tally(2, 3, 8)], 1.0, 1.0)
    assert demo.report(sent, [demo.Tally(2, 3, 9)], 1.0, 1.0)


def test_top_of_book():
    """Every symbol has a line, and nothing is dropped."""
    printed = run(sys.executable, "-W", "error", PYTHON / "top_of_book.py", "--seconds", 1)
    assert re.search(r"(?m)^BTCUSDT +\d", printed)
    assert re.search(r"(?m)^[\d,]+ messages, [\d,]+ rows, 0 dropped$", printed)


def test_candles(tmp_path):
    """Trades become candles, and these a picture."""
    pytest.importorskip("polars")
    pytest.importorskip("matplotlib")
    path = tmp_path / "candles.png"
    program = PYTHON / "candles.py"
    printed = run(sys.executable, "-W", "error", program, "--rows", 3000, "--png", path)
    assert f"wrote {path}" in printed
    assert path.read_bytes().startswith(b"\x89PNG")
    assert path.stat().st_size > 10_000


def test_duckdb_stream():
    """A query sees all trades of all connections."""
    pytest.importorskip("duckdb")
    program = PYTHON / "duckdb_stream.py"
    sql = "select count(*) as n, count(distinct symbol) as symbols from trades"
    printed = run(sys.executable, "-W", "error", program, "--sql", sql)
    counts = re.search(r"1,600,000 messages, ([\d,]+) trades", printed)
    assert counts
    assert re.search(rf"{counts[1].replace(',', '')} +│ +12 ", printed)
