"""The soak, in short: see benchmarks/soak.py. `make soak` runs it in full."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import datetime, timezone

import pytest
from benchmarks import soak
from benchmarks.soak_client import Plan, Tally
from benchmarks.soak_servers import joined

from wspool import Gap


@pytest.mark.slow
def test_short(repo_root, tmp_path):
    """Twenty seconds of faults on forty connections."""
    command = [sys.executable, "-m", "benchmarks.soak", "--folder", tmp_path]
    result = subprocess.run(
        [*command, "--seconds", "20", "--connections", "40"],
        cwd=repo_root,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    print(result.stdout)
    assert result.returncode == 0, result.stdout + result.stderr
    found = json.loads((tmp_path / "soak.json").read_text())
    assert found["connections"] == 40
    assert set(found["kinds"]) == {
        *("callbacks", "blocking", "asyncio", "stream", "redundant", "replaced")
    }
    assert sum(kind["gaps"] for kind in found["kinds"].values()) > 0
    assert (tmp_path / "soak.png").read_bytes().startswith(b"\x89PNG")


# --- it would notice


def result_of(*numbers, kind="callbacks", gap=None):
    """What is said of a feed to which these numbers came, with a gap before one of them.

    The server has sent 1 to 10, one in a second.
    """
    tally = Tally(Plan(kind, "ws://localhost", "f0"))
    for number in numbers:
        if gap is not None and number == gap[0]:
            since, until = (datetime.fromtimestamp(at, tz=timezone.utc) for at in gap[1:])
            tally.event(Gap(2, since, until, 1, "reset"))
        tally.number(number)
    received = {name: getattr(tally, name) for name in ("count", "opened", "error")}
    received |= {
        "kind": kind,
        "feed": "f0",
        "runs": list(tally.runs),
        "gaps": list(tally.gaps),
        "slow": False,
    }
    received |= {"not_above": tally.not_above, "jumps": tally.jumps}
    sample = dict.fromkeys(("rss_without_names", "descriptors", "threads", "tasks"), 1.0)
    record = {"f0": ([(1, 10)], [100.0 + number for number in range(1, 11)])}
    return soak.judge([sample] * 8, [received], record, [])


@pytest.mark.parametrize(
    ("numbers", "problems"),
    [
        ((1, 2, 3), []),
        ((1, 2, 4), ["outside_gaps is 1", "jumps is 1"]),
        ((1, 2, 2, 3), ["twice is 1", "not_above is 1"]),
        ((1, 3, 2), ["jumps is 1", "not_above is 1"]),
        ((8, 9, 10, 11), ["unknown is 1"]),
        ((), ["nothing was received"]),
    ],
)
def test_what_must_not_be_is_noticed(numbers, problems):
    found = result_of(*numbers)["problems"]
    assert found == [f"callbacks: {problem}" for problem in problems]


@pytest.mark.parametrize(
    ("gap", "problems"),
    [
        ((7, 103, 107), []),
        ((7, 103, 104.5), ["callbacks: outside_gaps is 2"]),
        ((7, 113.5, 114), ["callbacks: outside_gaps is 2"]),
        ((2, 103, 107), ["callbacks: jumps is 1"]),
    ],
)
def test_what_is_missing_in_a_gap_is_no_problem(gap, problems):
    """Both by the place of the gap and by its times: 4, 5 and 6 are missing."""
    result = result_of(1, 2, 3, 7, 8, gap=gap)
    assert result["problems"] == problems
    assert result["kinds"]["callbacks"]["missing"] == 3


def test_redundant_connections_may_be_out_of_order():
    assert result_of(1, 2, 5, 3, 4, 6, kind="redundant")["problems"] == []
    found = result_of(1, 2, 5, 3, 3, 6, kind="redundant")["problems"]
    assert found == ["redundant: outside_gaps is 1", "redundant: twice is 1"]


def test_growth_is_noticed():
    samples = [
        dict.fromkeys(("rss_without_names", "descriptors", "threads", "tasks"), 1.0)
        for _ in range(16)
    ]
    for sample in samples[12:]:
        sample["rss_without_names"] = 1.2
    problems = soak.judge(samples, [], {}, [])["problems"]
    assert len(problems) == 1
    assert "rss_without_names: not flat" in problems[0]


def test_joined():
    assert joined([(1, 3), (2, 5), (6, 7), (9, 9)]) == [(1, 7), (9, 9)]


def test_plans():
    """As many connections as were asked for, of all kinds."""
    plans = soak.make_plans(500, [1, 2, 3])
    assert sum(plan.connections for plan in plans) == 500
    assert len({plan.uri for plan in plans}) == len(plans)
