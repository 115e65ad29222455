"""Charts as PNG: a panel a scenario, a bar a client, the limit as a line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .catalog import CLIENTS
from .runner import Outcome
from .scenarios import SCENARIOS, Metric
from .statistics_of import best, figure

_COLORS = {"ours": "#0b6e4f", "peer": "#9aa5b1"}
_TITLES = {
    "text": "Receiving text",
    "binary": "Receiving binary",
    "tls": "Receiving over TLS 1.3",
    "more": "Many connections, compression, sending",
    "echo": "Echo, one message at a time",
    "idle": "1,000 idle connections",
    "busy": "Beside a Python thread that computes",
}


def draw(outcomes: dict[str, Outcome], folder: Path) -> list[Path]:
    """Write bench-GROUP.png for each group of which something was measured."""
    import matplotlib as mpl

    mpl.use("Agg")
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for group, title in _TITLES.items():
        panels = [
            (outcomes[one.name], metric)
            for one in SCENARIOS
            if one.group == group and one.name in outcomes and outcomes[one.name].results
            for metric in _shown(group, one.metrics)
        ]
        if panels:
            path = folder / f"bench-{group}.png"
            _figure(title, panels, path)
            written.append(path)
    return written


def _shown(group: str, metrics: tuple[Metric, ...]) -> tuple[Metric, ...]:
    if group in ("idle", "busy"):
        return metrics[:2]
    if group == "echo":
        return (metrics[0], metrics[3])
    return metrics[:1]


def _figure(title: str, panels: list[tuple[Outcome, Metric]], path: Path) -> None:
    import matplotlib.pyplot as plt

    columns = min(len(panels), 2)
    rows = -(-len(panels) // columns)
    drawn, axes = plt.subplots(
        rows, columns, figsize=(6.2 * columns, 3.6 * rows), squeeze=False, layout="constrained"
    )
    drawn.suptitle(title, fontweight="bold")
    places = list(axes.flat)
    for place, (outcome, metric) in zip(places, panels, strict=False):
        _panel(place, outcome, metric)
    for place in places[len(panels) :]:
        place.set_visible(False)
    drawn.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(drawn)


def _panel(axes: Any, outcome: Outcome, metric: Metric) -> None:
    shown = []
    for client in CLIENTS:
        found = figure(outcome, client.name, metric.name)
        if found is not None and client.kind != "limit":
            shown.append((client, found))
    # barh draws from below: the best at the top.
    shown.sort(key=lambda pair: pair[1].median, reverse=metric.better == "lower")
    values = [found.median for _, found in shown]
    axes.barh(
        [client.name for client, _ in shown],
        values,
        color=[_COLORS[client.kind] for client, _ in shown],
        xerr=[
            [found.median - found.low for _, found in shown],
            [found.high - found.median for _, found in shown],
        ],
        error_kw={"ecolor": "#444444", "elinewidth": 0.8, "capsize": 2},
    )
    longest = max([found.high for _, found in shown], default=1)
    for place, (_, found) in enumerate(shown):
        axes.text(
            found.high + longest * 0.015,
            place,
            f"{found.median:,.{metric.digits}f}",
            va="center",
            fontsize=8,
        )
    limit = best(outcome, CLIENTS, "limit", metric)
    if limit is not None:
        reached = figure(outcome, limit, metric.name)
        assert reached is not None
        axes.axvline(reached.median, color="#c0392b", linewidth=1.2, label=f"limit: {limit}")
        axes.legend(loc="lower right" if metric.better == "higher" else "upper right", fontsize=8)
        longest = max(longest, reached.median)
    axes.set_xlim(0, longest * 1.16)
    axes.set_title(outcome.scenario.title, fontsize=10)
    arrow = "less is better" if metric.better == "lower" else "more is better"
    axes.set_xlabel(f"{metric.title} ({arrow})", fontsize=9)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
