"""Medians, spreads, and ratios pair by pair."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from .bars import Bar
from .catalog import Client
from .measure import Result
from .runner import Outcome
from .scenarios import Metric


@dataclass(frozen=True)
class Figure:
    """A metric of a client over all rounds."""

    median: float
    low: float
    high: float

    @property
    def spread(self) -> float:
        """From the lowest to the highest, as a part of the median."""
        return (self.high - self.low) / self.median if self.median else 0.0


def figure(outcome: Outcome, client: str, metric: str) -> Figure | None:
    """Return the median and the extremes; None if there is no result."""
    values = [one[metric] for one in outcome.results.get(client, []) if one is not None]
    if not values:
        return None
    return Figure(statistics.median(values), min(values), max(values))


def ratio(ours: Outcome, client: str, theirs: Outcome, other: str, metric: str) -> float | None:
    """Return the median of the ratios client / other, each of two runs of the same round."""
    pairs = zip(ours.results.get(client, []), theirs.results.get(other, []), strict=False)
    ratios = [_divide(one[metric], two[metric]) for one, two in _both(pairs)]
    return statistics.median(ratios) if ratios else None


def _both(pairs: zip[tuple[Result | None, Result | None]]) -> list[tuple[Result, Result]]:
    return [(one, two) for one, two in pairs if one is not None and two is not None]


def _divide(one: float, two: float) -> float:
    return one / two if two else float("inf")


def best(outcome: Outcome, clients: list[Client], kind: str, metric: Metric) -> str | None:
    """Return the client of a kind with the best median; of limits the hardest one to reach."""
    medians = {}
    for client in clients:
        found = figure(outcome, client.name, metric.name) if client.kind == kind else None
        if found is not None:
            medians[client.name] = found.median
    if not medians:
        return None
    choose = min if metric.better == "lower" else max
    return choose(medians, key=medians.__getitem__)


def measured(bar: Bar, outcomes: dict[str, Outcome]) -> float | None:
    """Return what a bar is held against: a ratio, or a median; None if it was not measured."""
    ours = outcomes.get(bar.scenario)
    if ours is None:
        return None
    if bar.peer is None:
        found = figure(ours, bar.client, bar.metric)
        return None if found is None else found.median
    theirs = outcomes.get(bar.peer_scenario or bar.scenario)
    return None if theirs is None else ratio(ours, bar.client, theirs, bar.peer, bar.metric)
