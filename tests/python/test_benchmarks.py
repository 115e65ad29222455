"""The benchmark runs, tells all, and is not taken in. No time is asserted here."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from benchmarks import page, report, session, verify
from benchmarks.bars import BARS, Bar
from benchmarks.catalog import CLIENTS, Client
from benchmarks.feeds import messages_of
from benchmarks.runner import Outcome
from benchmarks.scenarios import SCENARIOS
from benchmarks.schemas import SCHEMAS, rows_of
from benchmarks.statistics_of import measured, ratio

from wspool.testing import make_certificates

ROOT = Path(__file__).parents[2]
OURS = ["wspool-callback", "wspool-recv-many", "wspool-iter", "wspool-aio"]
RECORDS = ["wspool-stream", "wspool-batch"]
RUN = [sys.executable, "-m", "benchmarks.run"]


def scenario(name):
    return next(one for one in SCENARIOS if one.name == name)


def outcome(name, **results):
    return Outcome(scenario(name), {client: list(rounds) for client, rounds in results.items()})


@pytest.fixture
def settings(tmp_path):
    make_certificates(tmp_path)
    return session.Settings(tmp_path, timeout=30)


def test_quick_run_is_complete(tmp_path):
    """Every client of every scenario asked for is in the JSON, with every metric."""
    scenarios = ["text-150", "tls-150-records", "deflate-text", "send-150", "echo-256", "idle"]
    scenarios += ["trades", "trades-100", "captures-records"]
    clients = [*OURS, "websockets-sync", *RECORDS]
    done = subprocess.run(
        [*RUN, "--quick", "--json", tmp_path / "result.json"]
        + ["--scenario", ",".join(scenarios), "--client", ",".join(clients)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    written = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))
    assert list(written["scenarios"]) == scenarios
    assert written["versions"]["wspool"]
    for name in scenarios:
        found = written["scenarios"][name]
        assert found["failures"] == {}
        doing = [one.name for one in CLIENTS if one.name in clients and one.does(scenario(name))]
        assert list(found["results"]) == doing
        for rounds in found["results"].values():
            assert len(rounds) == 1
            assert {metric.name for metric in scenario(name).metrics} <= rounds[0].keys()
        assert f"{name}: " in done.stdout


LIAR = """
import sys
from benchmarks.clients.websockets_sync import WebsocketsSync
from benchmarks.tally import Tally

class Liar(WebsocketsSync):
    def tally(self, ws):
        tally = Tally()
        for number, message in enumerate(ws):
            {lie}
        return tally

Liar().main()
"""


@pytest.mark.parametrize(
    ("lie", "complaint"),
    [
        ("tally.add(message)", None),
        ("number == 7 or tally.add(message)", "messages were delivered"),
        ("number == 7 and tally.add(message); tally.add(message)", "messages were delivered"),
        ("tally.add(message[:-1] if number == 7 else message)", "bytes is"),
        ("tally.add(message.upper() if number == 7 else message)", "hash is"),
        ("tally.add(message.encode() if number == 7 else message)", "hash is"),
    ],
    ids=["honest", "lost", "twice", "cut", "changed", "binary"],
)
def test_other_delivery_is_noticed(settings, lie, complaint):
    """A client that loses, repeats or changes one message is not timed."""
    program = LIAR.format(lie=lie)
    client = Client("liar", "peer", lambda spec: [sys.executable, "-c", program, spec.to_json()])
    found = verify.problem(scenario("text-150").quick(), client, settings)
    assert found is None if complaint is None else complaint in (found or "")


RECORDS_LIAR = """
import json, sys
from websockets.sync.client import connect
from benchmarks.schemas import Digest, rows_of
from benchmarks.spec import Spec

spec = Spec.from_json(sys.argv[1])
digest, count = Digest(), 0
with connect(spec.uri, proxy=None) as ws:
    ws.send("go")
    rows = [(kind, row) for message in ws for kind, row in rows_of(spec.schema, message)]
count = len(rows)
{lie}
for kind, row in rows:
    digest.add(kind, row)
print(json.dumps(digest.summary(count)))
"""


@pytest.mark.parametrize(
    ("lie", "complaint"),
    [
        ("rows.reverse()", None),
        ("del rows[7]", "rows is"),
        ("rows[7] = rows[8]", "hash is"),
        ("kind, (symbol, *rest) = rows[7]; rows[7] = kind, (symbol[1:], *rest)", "hash is"),
        ("kind, (s, p, *rest) = rows[7]; rows[7] = kind, (s, p * (1 + 2**-52), *rest)", "hash is"),
        ("kind, (s, p, q, t, n, m) = rows[7]; rows[7] = kind, (s, p, q, t, n, not m)", "hash is"),
        ("count -= 1", "messages were delivered"),
    ],
    ids=["other order", "lost", "another", "text", "last bit", "flag", "message lost"],
)
def test_other_rows_are_noticed(settings, lie, complaint):
    """A client whose rows are not those of the messages is not timed; their order is free."""
    program = RECORDS_LIAR.format(lie=lie)
    command = [sys.executable, "-c", program]
    client = Client("liar", "peer", lambda spec: [*command, spec.to_json()], records=True)
    found = verify.problem(scenario("trades").quick(), client, settings)
    assert found is None if complaint is None else complaint in (found or "")


def test_feeds_of_records_are_of_their_kinds(settings):
    """Every trade and every book is a row; of the captures' kinds there are some of each."""
    for name in ("trades", "books-3600", "captures-records"):
        one = scenario(name)
        feed = session.feed_of(one, settings)  # without captures: generated messages
        rows = [rows_of(one.schema, message) for message in messages_of(feed)]
        kinds = {kind for found in rows for kind, _ in found}
        assert kinds == SCHEMAS[one.schema].keys()
        assert all(len(found) <= 1 for found in rows)
        if len(kinds) == 1:
            assert all(rows)


def test_client_that_hangs_is_given_up(settings):
    """It is ended, and the report says so."""
    client = Client(
        "hangs", "peer", lambda _: [sys.executable, "-c", "import time; time.sleep(60)"]
    )
    impatient = session.Settings(settings.certificates, timeout=0.5)
    found = verify.problem(scenario("text-150").quick(), client, impatient)
    assert "did not end within" in found


def test_interrupt_ends_what_was_started():
    """Ctrl-C ends the runner with 130, and no child outlives it."""
    runner = subprocess.Popen(
        [*RUN, "--scenario", "text-150", "--client", "wspool-callback", "--rounds", "1000"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        while "round 2" not in (line := runner.stderr.readline()):
            assert line, "it ended by itself"
        children = Path(f"/proc/{runner.pid}/task/{runner.pid}/children").read_text().split()
        runner.send_signal(signal.SIGINT)
        _, errors = runner.communicate(timeout=30)
    finally:
        runner.kill()
        runner.communicate()
    assert runner.returncode == 130
    assert "interrupted" in errors
    assert "Traceback" not in errors
    deadline = time.monotonic() + 10
    while any(alive(int(child)) for child in children):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_unknown_name_is_refused():
    """A typing error does not measure nothing."""
    done = subprocess.run(
        [*RUN, "--scenario", "text-15"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "there are text-150" in done.stderr


def test_ratios_are_of_pairs():
    """A slow round is slow for both: the ratio of each round counts, not that of the medians."""
    ours = [{"cpu_ns": value} for value in (10, 40, 12)]
    theirs = [{"cpu_ns": value} for value in (20, 80, 20)]
    one = outcome("text-150", ours=ours, theirs=theirs)
    assert ratio(one, "ours", one, "theirs", "cpu_ns") == 0.5


def test_failed_round_makes_no_pair():
    """A round that one of both did not finish is left out for both."""
    one = outcome("text-150", ours=[{"cpu_ns": 1}, None], theirs=[{"cpu_ns": 2}, {"cpu_ns": 9}])
    assert ratio(one, "ours", one, "theirs", "cpu_ns") == 0.5
    assert ratio(one, "nobody", one, "theirs", "cpu_ns") is None


@pytest.mark.parametrize(
    ("bar", "value", "holds"),
    [
        (Bar("text-150", "a", "cpu_ns", "at most", 0.6, "b"), 0.5, True),
        (Bar("text-150", "b", "cpu_ns", "at most", 0.6, "a"), 2.0, False),
        (Bar("text-150", "b", "cpu_ns", "at least", 2.0, "a"), 2.0, True),
        (Bar("text-150", "a", "cpu_ns", "at most", 9.0), 10, False),
        (Bar("conns-100", "a", "cpu_ns", "at most", 1.2, "a", "text-150"), 1.1, True),
    ],
)
def test_bar_is_held_against_what_was_measured(bar, value, holds):
    """Against a peer, against a figure, against another scenario."""
    outcomes = {
        "text-150": outcome("text-150", a=[{"cpu_ns": 10}], b=[{"cpu_ns": 20}]),
        "conns-100": outcome("conns-100", a=[{"cpu_ns": 11}]),
    }
    assert measured(bar, outcomes) == pytest.approx(value)
    assert bar.holds(value) is holds


def test_bars_name_what_exists():
    """Every bar is about a scenario, clients that do it, and a metric that is measured."""
    clients = {one.name: one for one in CLIENTS}
    for bar in BARS:
        names = {metric.name for metric in scenario(bar.scenario).metrics}
        assert bar.metric in names, bar
        assert clients[bar.client].does(scenario(bar.scenario)), bar
        if bar.peer is not None:
            assert clients[bar.peer].does(scenario(bar.peer_scenario or bar.scenario)), bar
    assert report.bars({}) == []


def test_page_has_what_was_measured():
    """The page in the documentation has the figures of the JSON, and what failed."""
    metrics = {"cpu_ns": 50.0, "user_ns": 40.0, "system_ns": 10.0, "per_second": 2e7}
    one = outcome(
        "text-150",
        **{
            "wspool-callback": [metrics],
            "picows": [{**metrics, "cpu_ns": 100.0}],
            "c-memcpy": [{**metrics, "cpu_ns": 25.0}],
        },
    )
    one.failures["aiohttp"] = "did not end"
    content = json.loads(json.dumps(report.to_json({"text-150": one}, "the command"), default=vars))
    content["scenarios"] = {"text-150": one.to_json(), "gone": {"results": {}, "failures": {}}}
    more = {**content, "command": "another", "scenarios": {"idle": {"results": {}, "failures": {}}}}
    content = page.merged([content, more])
    loaded = page.load(content)
    assert list(loaded) == ["text-150", "idle"]
    text = page.page(content, loaded, ["bench-text.png"])
    assert "images/bench-text.png" in text
    assert "| **wspool-callback** | 50 | 40 | 10 | 20,000,000 | 0% | 0.50 | 2.00 |" in text
    assert "| text-150: wspool-callback cpu_ns at most 0.6 x picows | 0.50 | reached |" in text
    assert "`aiohttp` failed: did not end" in text
    assert "```sh\nthe command\nanother\n```" in text
