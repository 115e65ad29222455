"""The results as a page of the documentation, made from the JSON of runs.

    python -m benchmarks.page build/bench.json [MORE.json ...] docs

With several files, of runs of parts, a scenario is taken from the last that has it. Writes
performance-results.md and images/bench-*.png there, so that no figure is copied by hand.
"""

from __future__ import annotations

import json
import re
import sys
import textwrap
from pathlib import Path
from typing import Any

from . import charts, report
from .catalog import CLIENTS
from .runner import Outcome
from .scenarios import SCENARIOS
from .statistics_of import best, figure, ratio

_WIDTH = 118


def load(content: dict[str, Any]) -> dict[str, Outcome]:
    """Return the outcomes of a run; of scenarios that there are no more, none."""
    known = {scenario.name: scenario for scenario in SCENARIOS}
    return {
        name: Outcome(known[name], found["results"], found["failures"])
        for name, found in content["scenarios"].items()
        if name in known
    }


def merged(contents: list[dict[str, Any]]) -> dict[str, Any]:
    """Return one content for several, of runs on the same machine."""
    scenarios = {name: one for content in contents for name, one in content["scenarios"].items()}
    command = "\n".join(content["command"] for content in contents)
    return {**contents[0], "command": command, "scenarios": scenarios}


def page(content: dict[str, Any], outcomes: dict[str, Outcome], images: list[str]) -> str:
    """Return the page as MyST."""
    machine, versions = content["machine"], content["versions"]
    installed = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
    where = f"{machine['cpu']}, {machine['cores']} cores, {machine['system']}"
    made = (
        f"Made by `python -m benchmarks.page` on {content['when'][:10]}: {where}, "
        f"CPython {machine['python']}; {installed}. The figures are those of"
    )
    lines = [
        *textwrap.wrap(made, _WIDTH, break_long_words=False, break_on_hyphens=False),
        "",
        "```sh",
        *(line for command in content["command"].splitlines() for line in _shell_lines(command)),
        "```",
        "",
        "### The bars",
        "",
        "| bar | came to | |",
        "|---|---:|---|",
    ]
    for one in report.bars(outcomes):
        reached = "reached" if one["pass"] else "**missed**"
        lines.append(f"| {one['bar']} | {one['measured']:.2f} | {reached} |")
    for group, title in charts.TITLES.items():
        scenarios = [outcome for outcome in outcomes.values() if outcome.scenario.group == group]
        if not scenarios:
            continue
        lines += ["", f"### {title}", ""]
        image = f"bench-{group}.png"
        if image in images:
            lines += [f"![{title}: the medians of the tables below](images/{image})", ""]
        for outcome in scenarios:
            lines += [f"**{outcome.scenario.title}** (`{outcome.scenario.name}`)", ""]
            lines += [*_table(outcome), ""]
    return "\n".join(lines).rstrip() + "\n"


def _shell_lines(command: str) -> list[str]:
    """Return a command in lines that a shell takes for one; lists are cut behind a comma."""
    lines = [""]
    for part in re.findall(r"[^ ,]+[ ,]?", command):
        if len(lines[-1]) + len(part) > _WIDTH - 1:
            lines[-1] += "\\"
            lines.append("")
        lines[-1] += part
    return lines


def _table(outcome: Outcome) -> list[str]:
    metrics = outcome.scenario.metrics
    others = [best(outcome, CLIENTS, kind, metrics[0]) for kind in ("peer", "limit")]
    header = ["client", *(metric.title for metric in metrics), "spread"]
    header += [f"/ {other}" for other in others if other]
    lines = [_row(header), _row(["---", *["---:"] * (len(header) - 1)])]
    for client in CLIENTS:
        first = figure(outcome, client.name, metrics[0].name)
        if first is None:
            continue
        row = [f"**{client.name}**" if client.kind == "ours" else client.name]
        for metric in metrics:
            found = figure(outcome, client.name, metric.name)
            row.append("" if found is None else f"{found.median:,.{metric.digits}f}")
        row.append(f"{first.spread:.0%}")
        for other in filter(None, others):
            by = ratio(outcome, client.name, outcome, other, metrics[0].name)
            row.append("" if by is None else f"{by:.2f}")
        lines.append(_row(row))
    lines += ["", *(f"`{name}` failed: {why}" for name, why in outcome.failures.items())]
    return lines


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def main(arguments: list[str]) -> int:
    """Write the page; returns the exit status."""
    if len(arguments) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    *sources, folder = map(Path, arguments)
    content = merged([json.loads(source.read_text(encoding="utf-8")) for source in sources])
    outcomes = load(content)
    images = [path.name for path in charts.draw(outcomes, folder / "images")]
    text = page(content, outcomes, images)
    (folder / "performance-results.md").write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
