"""Charts as PNG: a panel a scenario, a bar a client, the limit as a line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .catalog import CLIENTS
from .runner import Outcome
from .scenarios import SCENARIOS, Metric
from .statistics_of import best, figure

_COLORS = {"ours": "#0b6e4f", "peer": "#9aa5b1"}
#: Groups of scenarios, in the order of the report.
TITLES = {
    "text": "Receiving text",
    "binary": "Receiving binary",
    "tls": "Receiving over TLS 1.3",
    "more": "Many connections, compression, sending",
    "echo": "Echo, one message at a time",
    "idle": "1,000 idle connections",
    "busy": "Beside a Python thread that computes",
    "columns": "JSON to columns",
    "growth": "How cost grows",
}


def draw(outcomes: dict[str, Outcome], folder: Path) -> list[Path]:
    """Write bench-GROUP.png for each group of which something was measured."""
    import matplotlib as mpl

    mpl.use("Agg")
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for group, title in TITLES.items():
        panels = [
            (outcomes[one.name], metric)
            for one in SCENARIOS
            if one.group == group and one.name in outcomes and outcomes[one.name].results
            for metric in _shown(group, one.metrics)
        ]
        if panels and group != "growth":
            path = folder / f"bench-{group}.png"
            _figure(title, panels, path)
            written.append(path)
    if any(one.group == "growth" for one in SCENARIOS if one.name in outcomes):
        written.append(_growth(outcomes, folder / "bench-growth.png"))
    return written


#: What a line is drawn through: where on the axis, and the scenario.
_SIZES = {16: "binary-16", 150: "text-150", 1024: "text-1k", 3600: "text-3600", 65536: "binary-64k"}
_CONNECTIONS = {1: "text-150", 10: "conns-10", 100: "conns-100", 1000: "conns-1000"}
_ENDPOINTS = {1: "endpoints-1", 2: "endpoints-2", 4: "endpoints-4"}
_LINES = {
    "wspool-callback": ("#0b6e4f", "o"),
    "wspool-recv-many": ("#3aa17e", "s"),
    "wspool-aio-uvloop": ("#8fd1b6", "^"),
    "picows": ("#6b7785", "o"),
    "picows-websockets": ("#a9b3bd", "^"),
    "c-memcpy": ("#c0392b", "x"),
}


def _growth(outcomes: dict[str, Outcome], path: Path) -> Path:
    import matplotlib.pyplot as plt

    drawn, (sizes, connections, endpoints) = plt.subplots(
        1, 3, figsize=(15, 4.4), layout="constrained"
    )
    drawn.suptitle("How cost grows", fontweight="bold")
    _lines(sizes, outcomes, _SIZES, "cpu_ns")
    sizes.set(xscale="log", yscale="log", xlabel="bytes a message", ylabel="CPU ns/msg")
    sizes.legend(fontsize=8)
    _lines(connections, outcomes, _CONNECTIONS, "cpu_ns")
    connections.set(xscale="log", xlabel="connections, 150 B text", ylabel="CPU ns/msg")
    connections.set_ylim(bottom=0)
    _lines(endpoints, outcomes, _ENDPOINTS, "per_second")
    endpoints.set(xlabel="endpoints, 100 connections, 150 B text", ylabel="msg/s")
    endpoints.set_xticks(list(_ENDPOINTS))
    endpoints.set_ylim(bottom=0)
    for axes in (sizes, connections, endpoints):
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
    drawn.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(drawn)
    return path


def _lines(axes: Any, outcomes: dict[str, Outcome], places: dict[int, str], metric: str) -> None:
    for client, (color, marker) in _LINES.items():
        points = []
        for place, name in places.items():
            found = figure(outcomes[name], client, metric) if name in outcomes else None
            if found is not None:
                points.append((place, found.median))
        if points:
            axes.plot(*zip(*points, strict=True), color=color, marker=marker, label=client)


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
