"""The tables on the terminal, and the JSON."""

from __future__ import annotations

import os
import platform
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

from .bars import BARS
from .catalog import CLIENTS, Client
from .runner import Outcome
from .statistics_of import best, figure, measured, ratio

_PACKAGES = (
    *("wspool", "picows", "aiofastnet", "uvloop", "websockets", "aiohttp"),
    *("websocket-client", "numpy", "msgspec", "orjson", "pysimdjson"),
)


def table(outcome: Outcome, clients: list[Client] | None = None) -> str:
    """Return one scenario as a table: medians, spread, and ratios of the leading metric."""
    clients = CLIENTS if clients is None else clients
    scenario = outcome.scenario
    leading = scenario.metrics[0]
    peer = best(outcome, clients, "peer", leading)
    limit = best(outcome, clients, "limit", leading)
    header = [
        "client",
        *(metric.title for metric in scenario.metrics),
        "spread",
        f"/ {peer}" if peer else "",
        f"/ {limit}" if limit else "",
    ]
    rows = [header]
    for client in clients:
        first = figure(outcome, client.name, leading.name)
        if first is None:
            continue
        row = [client.name]
        for metric in scenario.metrics:
            found = figure(outcome, client.name, metric.name)
            row.append("" if found is None else f"{found.median:,.{metric.digits}f}")
        row.append(f"{first.spread:.0%}")
        for other in (peer, limit):
            by = ratio(outcome, client.name, outcome, other, leading.name) if other else None
            row.append("" if by is None else f"{by:.2f}")
        rows.append(row)
    rounds = max((len(results) for results in outcome.results.values()), default=0)
    lines = [f"{scenario.name}: {scenario.title} ({rounds} rounds)", *_aligned(rows)]
    lines += [f"  ! {name}: {why}" for name, why in outcome.failures.items()]
    return "\n".join(lines)


def _aligned(rows: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            text.ljust(width) if place == 0 else text.rjust(width)
            for place, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append(("  " + "  ".join(cells)).rstrip())
    return lines


def bars(outcomes: dict[str, Outcome]) -> list[dict[str, Any]]:
    """Return every bar of what was measured, with what it came to."""
    found = []
    for bar in BARS:
        value = measured(bar, outcomes)
        if value is not None:
            found.append({"bar": str(bar), "measured": value, "pass": bar.holds(value)})
    return found


def bars_table(outcomes: dict[str, Outcome]) -> str:
    """Return the list of PASS and FAIL."""
    return "\n".join(
        f"  {'PASS' if one['pass'] else 'FAIL'}  {one['measured']:7.2f}  {one['bar']}"
        for one in bars(outcomes)
    )


def to_json(outcomes: dict[str, Outcome], command: str) -> dict[str, Any]:
    """Return everything: the machine, the versions, each result of each round."""
    return {
        "command": command,
        "when": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": machine(),
        "versions": {name: version(name) for name in _PACKAGES},
        "scenarios": {name: outcome.to_json() for name, outcome in outcomes.items()},
        "bars": bars(outcomes),
    }


def machine() -> dict[str, Any]:
    """What the numbers depend on besides the code."""
    model = platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="ascii").splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    except OSError:
        pass  # not Linux
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load": os.getloadavg(),
    }


def version(name: str) -> str | None:
    """Return the installed version of a distribution."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
