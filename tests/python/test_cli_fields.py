"""`wspool fields`, as a shell uses it."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys

import pytest
from tests.support.pull_servers import websockets_server

import wspool
from wspool.testing import market_data, replay

ENVIRONMENT = {**os.environ, "PYTHONWARNINGS": "error"}


def run(*arguments, stdin=""):
    """Run `wspool fields` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "wspool", "fields", *map(str, arguments)],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=30,
        env=ENVIRONMENT,
        check=False,
    )


def fields_in(printed):
    """Evaluate what is there to paste: it begins a line."""
    at = min(printed.index(begin) for begin in ("\n{\n", "\nwspool.") if begin in printed)
    return eval(printed[at:], {"wspool": wspool})


def test_file(tmp_path):
    """A table, and Fields that pick the file's messages."""
    path = tmp_path / "messages.txt"
    path.write_text('{"p":"1.5","s":"BTC"}\n\n{"p":"2","s":"ETH","x":null}\nnope\n')
    done = run(path)
    assert done.returncode == 0
    assert "2 messages" in done.stdout
    assert '  /p       quoted number  100%  float64   "1.5"' in done.stdout
    assert "  /x       null           50%   ?         null" in done.stdout
    assert done.stderr == "1 of 3 messages are no JSON\n"
    assert fields_in(done.stdout) == wspool.Fields(
        {"p": ("/p", "float64"), "s": ("/s", "category")}
    )


def test_capture(tmp_path):
    """A compressed capture with times; one Fields for each kind."""
    path = tmp_path / "feed.tsv.gz"
    messages = market_data(2000)
    with gzip.open(path, "wt") as file:
        for number, message in enumerate(messages):
            file.write(f"{1626916403.5 + number}\t{message}\n")
    done = run("-n", 1500, path)
    assert (done.returncode, done.stderr) == (0, "")
    fields = fields_in(done.stdout)
    assert "aggTrade" in fields
    batches = wspool.pick(messages[:1500], fields)
    assert {name for name, batch in batches.items() if batch.errors or not len(batch)} == set()


def test_standard_input():
    """A hyphen reads what a pipe brings."""
    done = run("-", stdin='[1,"a"]\n')
    assert done.returncode == 0
    assert "('/0', 'int64')" in done.stdout


def test_uri():
    """Messages are received from a URI, until there are enough."""
    with replay(market_data(500)) as server:
        done = run("-n", 200, server.uri)
    assert (done.returncode, done.stderr) == (0, "")
    assert fields_in(done.stdout)


def test_subscription():
    """--send goes out first; the time bounds the wait."""

    def subscribed(connection):
        assert connection.recv() == "please"
        connection.send('{"a":1}')
        for _ in connection:
            pass

    with websockets_server(subscribed) as uri:
        done = run("--send", "please", "--seconds", 0.3, uri)
    assert done.returncode == 0
    assert "'a': ('/a', 'int64')" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "stdin", "code", "said"),
    [
        (["nowhere.txt"], "", 2, "nowhere.txt: No such file or directory"),
        (["-"], "", 1, "-: no messages"),
        (["-"], "a\nb\n", 1, "-: none of 2 messages is JSON"),
        (["ws://127.0.0.1:1/?token=secret"], "", 3, "Connection refused"),
        (["ws://"], "", 2, "URI"),
        (["-n", "0", "-"], "", 2, "at least 1"),
        ([], "", 2, "FILE-or-URI"),
    ],
)
def test_errors(arguments, stdin, code, said):
    """One line says what is wrong, without secrets; the exit code says of which sort."""
    done = run(*arguments, stdin=stdin)
    assert done.returncode == code
    assert said in done.stderr
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert "secret" not in done.stderr
