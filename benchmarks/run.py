"""The benchmark: scenarios x clients, one runner, one report.

    python -m benchmarks.run [--scenario A,B] [--client X,Y] [--rounds 5] [--quick]
                             [--json FILE] [--charts DIR] [--list]

`make bench` does it with the peers installed. See docs/performance.md.
"""

from __future__ import annotations

import argparse
import json
import shlex
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from wspool.testing import make_certificates

from . import charts, report
from .catalog import CLIENTS, Client
from .runner import Outcome, Progress, measure
from .scenarios import SCENARIOS, Scenario
from .session import Settings, processes

_CAPTURES = Path(__file__).parents[2] / "shared" / "data"
_COMPLAINED, _INTERRUPTED = 1, 130


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="benchmarks.run", description="Run the benchmark.")
    parser.add_argument("--scenario", metavar="NAMES", help="some, comma-separated; else all")
    parser.add_argument("--client", metavar="NAMES", help="some, comma-separated; else all")
    parser.add_argument("--rounds", type=int, default=5, help="(%(default)s)")
    parser.add_argument(
        "--seconds", type=float, default=1.2, help="that a run is to take (%(default)s)"
    )
    parser.add_argument("--quick", action="store_true", help="one round of next to nothing")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there")
    parser.add_argument("--charts", type=Path, metavar="DIR", help="write bench-*.png there")
    parser.add_argument(
        "--captures", type=Path, default=_CAPTURES, help="folder of captures, if it is there"
    )
    parser.add_argument("--list", action="store_true", help="name scenarios and clients, and end")
    options = parser.parse_args(arguments)
    if options.rounds < 1:
        parser.error("--rounds must be at least 1")
    try:
        options.scenarios = pick(options.scenario, SCENARIOS)
        options.clients = pick(options.client, CLIENTS)
    except LookupError as error:
        parser.error(str(error.args[0]))
    return options


def pick(names: str | None, things: Sequence[Scenario | Client]) -> list[Scenario | Client]:
    """Return those that are named, in the order of the list; all without names.

    Raises:
        LookupError: If there is no such thing.
    """
    if not names:
        return list(things)
    wanted = {name.strip() for name in names.split(",") if name.strip()}
    unknown = wanted - {thing.name for thing in things}
    if unknown:
        known = ", ".join(thing.name for thing in things)
        raise LookupError(f"unknown: {', '.join(sorted(unknown))}; there are {known}")
    return [thing for thing in things if thing.name in wanted]


def available(clients: Sequence[Client]) -> list[Client]:
    """Return the clients that can run here, and say why others cannot."""
    found = []
    for client in clients:
        why = client.unavailable()
        if why is None:
            found.append(client)
        else:
            print(f"without {client.name}: {why}", file=sys.stderr)
    return found


def measure_all(options: argparse.Namespace, settings: Settings) -> tuple[dict[str, Outcome], bool]:
    """Measure what was asked for; returns it, and whether Ctrl-C cut it short."""
    outcomes: dict[str, Outcome] = {}
    progress = Progress()
    try:
        doing = {one.name: [c for c in options.clients if c.does(one)] for one in options.scenarios}
        needed = [c for c in options.clients if any(c in those for those in doing.values())]
        clients = available(needed)
        for scenario in options.scenarios:
            who = [client for client in clients if client in doing[scenario.name]]
            if not who:
                continue
            outcome = measure(
                scenario.quick() if options.quick else scenario,
                who,
                settings,
                1 if options.quick else options.rounds,
                progress,
                quick=options.quick,
            )
            outcomes[scenario.name] = outcome
            print(report.table(outcome), end="\n\n", flush=True)
    except KeyboardInterrupt:
        progress.clear()
        return outcomes, True
    finally:
        processes.end_all()
    return outcomes, False


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; returns the exit status: 1 if a client failed, 130 after Ctrl-C."""
    options = parse(arguments)
    if options.list:
        for thing in (*options.scenarios, *options.clients):
            print(f"{thing.name:20} {thing.title if isinstance(thing, Scenario) else thing.kind}")
        return 0
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="wspool-bench-") as folder:
        make_certificates(folder)
        settings = Settings(Path(folder), seconds=options.seconds)
        if options.captures.is_dir():
            settings = replace(settings, captures=options.captures)
        outcomes, interrupted = measure_all(options, settings)
    if report.bars(outcomes) and not options.quick:
        print("The bars:", report.bars_table(outcomes), sep="\n")
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        command = shlex.join(["python", "-m", "benchmarks.run", *(arguments or sys.argv[1:])])
        content = json.dumps(report.to_json(outcomes, command), indent=1)
        options.json.write_text(content + "\n", encoding="utf-8")
    if options.charts is not None:
        for path in charts.draw(outcomes, options.charts):
            print(f"wrote {path}")
    if interrupted:
        print("interrupted: what was not finished is left out", file=sys.stderr)
        return _INTERRUPTED
    failed = any(outcome.failures for outcome in outcomes.values())
    return _COMPLAINED if failed else 0


if __name__ == "__main__":
    sys.exit(main())
