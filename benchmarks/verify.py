"""Before anything is timed: did every client deliver exactly what was sent?"""

from __future__ import annotations

from .catalog import Client
from .scenarios import Scenario
from .session import RunFailed, Settings, expectation, run

#: Messages of a verified run, on all connections together; a cycle at least.
_COUNT = 2000
_ECHOES = 200


def problem(scenario: Scenario, client: Client, settings: Settings) -> str | None:
    """Return what a client delivered otherwise than it was sent; None if nothing."""
    if not scenario.counted:
        return None  # nothing to compare: no messages, or as many as fit into the time
    count = _ECHOES if scenario.work == "echo" else _COUNT
    expected = expectation(scenario, settings, count)
    try:
        result = run(scenario, client, settings, count, verify=True)
    except RunFailed as failure:
        return str(failure)
    wrong = [
        f"{name} is {result[name]}, not {value}"
        for name, value in expected.items()
        if result[name] != value
    ]
    return "; ".join(wrong) or None
