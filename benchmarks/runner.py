"""Verifies, finds counts, and runs clients in turn, round after round."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from . import verify
from .catalog import Client
from .measure import Result
from .scenarios import Scenario
from .session import RunFailed, Settings, run

#: A run that is shorter says too little about speed.
_TELLING = 0.25


@dataclass
class Outcome:
    """All rounds of one scenario."""

    scenario: Scenario
    results: dict[str, list[Result | None]] = field(default_factory=dict)
    """By client, one a round; None where that round failed."""
    failures: dict[str, str] = field(default_factory=dict)
    """By client: why it was not measured, or a round of it failed."""

    def to_json(self) -> dict[str, Any]:
        return {
            "title": self.scenario.title,
            "group": self.scenario.group,
            "results": self.results,
            "failures": self.failures,
        }


class Progress:
    """One line that changes on a terminal, a line a step elsewhere."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._terminal = sys.stderr.isatty()

    def say(self, text: str) -> None:
        line = f"{time.monotonic() - self._begun:6.0f} s  {text}"
        if self._terminal:
            print(f"\r\x1b[K{line[:110]}", end="", file=sys.stderr, flush=True)
        else:
            print(line, file=sys.stderr, flush=True)

    def clear(self) -> None:
        if self._terminal:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def measure(
    scenario: Scenario,
    clients: Sequence[Client],
    settings: Settings,
    rounds: int,
    progress: Progress,
    *,
    quick: bool = False,
) -> Outcome:
    """Measure one scenario. On Ctrl-C nothing of it is kept."""
    outcome = Outcome(scenario)
    counts: dict[str, int] = {}
    for client in clients:
        progress.say(f"{scenario.name}: does {client.name} deliver what was sent?")
        wrong = verify.problem(scenario, client, settings)
        if wrong is not None:
            outcome.failures[client.name] = wrong
            continue
        try:
            progress.say(f"{scenario.name}: how fast is {client.name}?")
            counts[client.name] = 1 if quick else _count_for(scenario, client, settings)
        except RunFailed as failure:
            outcome.failures[client.name] = str(failure)
    for number in range(rounds):
        for client in clients:
            if client.name not in counts:
                continue
            progress.say(f"{scenario.name}: round {number + 1} of {rounds}, {client.name}")
            results = outcome.results.setdefault(client.name, [])
            try:
                results.append(run(scenario, client, settings, counts[client.name]))
            except RunFailed as failure:
                results.append(None)
                outcome.failures[client.name] = f"round {number + 1}: {failure}"
    progress.clear()
    return outcome


def _count_for(scenario: Scenario, client: Client, settings: Settings) -> int:
    """Return how many messages take this client about as long as a run is to take."""
    if not scenario.counted:
        return 1
    count: int = scenario.at_least
    for _ in range(4):
        result = run(scenario, client, settings, count)
        enough: int = math.ceil(result["per_second"] * settings.seconds)
        if result["wall"] >= _TELLING:
            return max(enough, 1)
        count = max(min(enough, count * 50), count)
    return count
