"""Do feeds come through an hour of faults, compressed into ten minutes?

    make soak [SOAK_SECONDS=600] [SOAK_CONNECTIONS=500] [SOAK_SEED=1]

A server sends live feeds through proxies that damage what passes: by a schedule that the seed
decides, connections are reset, black-holed, cut inside frames, half open, slow or closed with all
kinds of codes, hosts refuse for a while, the server restarts, consumers are slow. The client has
feeds of all kinds: callbacks, blocking, asyncio, a stream, redundant ones, replaced ones. In the
end all of what came is compared with what the server had sent: nothing is missing outside the gaps
that were told, nothing came twice; memory (but for the names that `dedup` has to know),
descriptors and threads are flat. Writes soak.json and
soak.png. Exit status 1 if something of that is not so.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import os
import random
import resource
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from . import soak_client, soak_servers
from .soak_client import Plan

#: Messages a second of each feed; a server in Python must keep up with all of them.
RATE = 5.0
#: Connections to a proxy; each proxy is a host of its own.
PER_PROXY = 50
#: Feeds of the server for so many connections.
PER_FEED = 10
EVERY = 2.0
#: Seconds after which a call to one of the processes is given up.
_PATIENCE = 120
CODES = (1000, 1001, 1008, 1011, 1012, 1013, 1014, 3000, 4000, 4999)
#: Median of the last quarter against that of the second.
FLAT = 1.15
#: What `dedup` needs for each name that it knows, as measured. It knows up to 65,536 of a feed,
#: which do not come together in a few minutes: that growth is no leak.
NAME_BYTES = 90
#: Seconds that a message may have been on its way when the last bytes before it came. So much,
#: because ways are black holes for a while: what was held up there may come as the last bytes and
#: be followed by nothing, as in a replacement. One that holds for longer is found by pings.
ON_ITS_WAY = soak_client.OPTIONS["ping_interval"] + soak_client.OPTIONS["ping_timeout"] + 1.0
_MIB = 2**20


class Process:
    """A process that does what it is told over a pipe."""

    def __init__(self, main: Callable[..., None], *args: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_entry, args=(main, theirs, *args), daemon=True)
        self._process.start()
        theirs.close()
        #: What it said when it was ready.
        self.ready = self._answer()

    @property
    def pid(self) -> int:
        """Return its process id."""
        assert self._process.pid is not None
        return self._process.pid

    def call(self, name: str, *args: Any) -> Any:
        """Call a method there."""
        self._pipe.send((name, args))
        return self._answer()

    def end(self) -> None:
        """Have it end, kindly or not."""
        self._pipe.close()
        self._process.join(5)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def _answer(self) -> Any:
        if not self._pipe.poll(_PATIENCE):
            raise RuntimeError("no answer")
        is_good, value = self._pipe.recv()
        if not is_good:
            raise RuntimeError(value)
        return value


def _entry(main: Callable[..., None], pipe: Connection, *args: Any) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 16384 if hard == resource.RLIM_INFINITY else min(hard, 16384)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    main(pipe, *args)


def make_plans(connections: int, ports: list[int]) -> list[Plan]:
    """Return what the client does with so many connections."""
    kinds = itertools.cycle(
        ("callbacks", "blocking", "asyncio", "stream", "redundant", "replaced", "callbacks")
    )
    plans: list[Plan] = []
    used = 0
    while used < connections:
        kind = next(kinds)
        count = 2 if kind == "redundant" and connections - used >= 2 else 1
        number = len(plans)
        feed = f"f{number % max(1, connections // PER_FEED)}"
        # What follows the ? makes it one of its own.
        uri = f"ws://127.0.0.1:{ports[number % len(ports)]}/feed/{feed}?n={number}"
        plans.append(
            Plan("callbacks" if count == 1 and kind == "redundant" else kind, uri, feed, count)
        )
        used += count
    return plans


class Schedule:
    """Faults, one after the other, and their ends."""

    def __init__(self, server: Process, proxies: Process, client: Process, seed: int) -> None:
        self._server, self._proxies, self._client = server, proxies, client
        self._count = len(proxies.ready)
        self._chance = random.Random(seed)
        self._ends: list[tuple[float, Callable[[], object]]] = []
        self._is_down = False
        #: How often there was which.
        self.counts: Counter[str] = Counter()
        self._faults: list[tuple[int, str, Callable[[], object]]] = [
            (12, "reset some", lambda: self._some("reset")),
            (4, "reset all of a host", lambda: self._whole("reset", 0)),
            (6, "close some by FIN", lambda: self._some("close")),
            (10, "black-hole some", lambda: self._some("black_hole", heal=True)),
            (4, "black-hole a host", lambda: self._whole("black_hole", self._seconds(3, 9))),
            (6, "half-open some", lambda: self._some("half_open")),
            (8, "cut inside a frame", lambda: self._some("cut_after", self._size())),
            (5, "drip", lambda: self._whole("drip", self._seconds(2, 6), 3000.0)),
            (5, "delay", lambda: self._whole("delay", self._seconds(2, 6), 300.0)),
            (5, "refuse", self._refuse),
            (10, "close with codes", self._close_with_codes),
            (3, "503 with Retry-After", lambda: self._server.call("refuse", 503, 1, 5)),
            (3, "502", lambda: self._server.call("refuse", 502, None, 10)),
            (3, "accept, then close", lambda: self._server.call("accept_then_close", 1013, 5)),
            (2, "restart of the server", self._restart),
            (6, "slow consumers", self._slow),
        ]

    def step(self) -> None:
        """Make the next fault, and end those whose time is over."""
        self._end_due(time.monotonic())
        weights = [weight for weight, _, _ in self._faults]
        _, name, make = self._chance.choices(self._faults, weights)[0]
        self.counts[name] += 1
        make()

    def end_all(self) -> None:
        """End all faults that last."""
        self._end_due(float("inf"))
        for number in range(self._count):
            self._proxies.call("restore", number)
        self._server.call("accept")

    def end_due(self) -> None:
        """End those whose time is over."""
        self._end_due(time.monotonic())

    def _end_due(self, now: float) -> None:
        due = [end for at, end in self._ends if at <= now]
        self._ends = [(at, end) for at, end in self._ends if at > now]
        for end in due:
            end()

    def _later(self, seconds: float, end: Callable[[], object]) -> None:
        self._ends.append((time.monotonic() + seconds, end))

    def _seconds(self, least: float, most: float) -> float:
        return self._chance.uniform(least, most)

    def _size(self) -> int:
        return self._chance.randrange(1, 200)

    def _host(self) -> int:
        return self._chance.randrange(self._count)

    def _some(self, how: str, *args: Any, heal: bool = False) -> None:
        host, part = self._host(), self._chance.choice((0.1, 0.3, 0.6))
        self._proxies.call("damage_some", host, how, part, self._chance.randrange(2**32), *args)
        if heal:
            # After it was noticed, or before.
            self._later(self._seconds(2, 12), lambda: self._proxies.call("restore", host))

    def _whole(self, how: str, seconds: float, *args: Any) -> None:
        host = self._host()
        self._proxies.call("damage", host, how, *args)
        if seconds:
            self._later(seconds, lambda: self._proxies.call("restore", host))

    def _refuse(self) -> None:
        host = self._host()
        self._proxies.call("damage", host, "refuse")
        self._proxies.call("damage", host, "reset")
        self._later(self._seconds(2, 6), lambda: self._proxies.call("restore", host))

    def _close_with_codes(self) -> None:
        code, part = self._chance.choice(CODES), self._chance.choice((0.02, 0.1))
        self._server.call("close_some", code, part, self._chance.randrange(2**32))

    def _restart(self) -> None:
        if self._is_down:
            return
        self._is_down = True
        self._server.call("stop", self._chance.choice((None, 1001, 1012)))

        def start() -> None:
            self._server.call("start")
            self._is_down = False

        self._later(self._seconds(0.5, 3), start)

    def _slow(self) -> None:
        self._client.call("slow", self._seconds(1, 4))
        self._later(self._seconds(5, 15), lambda: self._client.call("slow", 0.0))


def sample_of(server: Process, proxies: Process, client: Process) -> dict[str, float]:
    """Return what changes over time, of all processes."""
    status = dict(
        line.split(":", 1) for line in Path(f"/proc/{client.pid}/status").read_text().splitlines()
    )
    counted = client.call("sample")
    rss = int(status["VmRSS"].split()[0]) * 1024
    served, forwarded = server.call("sample"), proxies.call("sample")
    return {
        "rss": rss,
        "rss_without_names": rss - counted["names"] * NAME_BYTES,
        "threads": int(status["Threads"]),
        "descriptors": len(os.listdir(f"/proc/{client.pid}/fd")),
        **counted,
        "server_open": served["open"],
        "server_requests": served["requests"],
        "server_rss": served["rss"],
        "proxies_open": forwarded["open"],
        "proxies_accepted": forwarded["accepted"],
        "proxies_rss": forwarded["rss"],
    }


def wait_for(condition: Callable[[], bool], seconds: float) -> float | None:
    """Wait for a condition; returns how long it took, None if it did not come true."""
    begun = time.monotonic()
    while not condition():
        if time.monotonic() - begun > seconds:
            return None
        time.sleep(0.2)
    return time.monotonic() - begun


def flatness(samples: list[dict[str, float]], name: str) -> tuple[float, float]:
    """Return the medians of the second and the last quarter."""
    values = [sample[name] for sample in samples]
    quarter = max(1, len(values) // 4)
    return statistics.median(values[quarter : 2 * quarter]), statistics.median(values[-quarter:])


def pairs_of(numbers: list[Any]) -> list[tuple[Any, Any]]:
    """Return numbers two by two."""
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def not_given(runs: list[tuple[int, int]], spans: list[tuple[int, int]]) -> int:
    """Count numbers in runs that no connection was ever given."""
    count = 0
    for first, last in runs:
        given = sum(
            max(0, min(last, end) - max(first, begin) + 1)
            for begin, end in spans
            if begin <= last and end >= first
        )
        count += last - first + 1 - given
    return count


def outside_gaps(
    missing: list[tuple[int, int]], times: list[float], gaps: list[tuple[float, float]]
) -> tuple[int, float]:
    """Count missing numbers that were sent at a time of which no gap was told.

    Returns that, and how long before the beginning of its gap one was sent at most: it was on its
    way when the last bytes came.
    """
    count = 0
    longest = 0.0
    for first, last in missing:
        for number in range(first, last + 1):
            at = times[number - 1]
            before = min((since - at for since, until in gaps if until >= at), default=None)
            if before is None or before > ON_ITS_WAY:
                count += 1
            else:
                longest = max(longest, before)
    return count, longest


def soak(seconds: float, connections: int, seed: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Run it; returns all that was found, `problems` among it."""
    hosts = max(2, connections // PER_PROXY)
    names = [f"f{number}" for number in range(max(1, connections // PER_FEED))]
    processes: list[Process] = []
    problems: list[str] = []
    try:
        server = Process(soak_servers.serve, names, RATE)
        processes.append(server)
        proxies = Process(soak_servers.forward, server.ready, hosts)
        processes.append(proxies)
        plans = make_plans(connections, proxies.ready)
        total = sum(plan.connections for plan in plans)
        client = Process(soak_client.main, plans, seed)
        processes.append(client)
        took = wait_for(lambda: client.call("sample")["open"] >= total, 90)
        if took is None:
            raise RuntimeError(f"not all are open at first: {client.call('sample')}")
        say(f"{total} connections of {len(plans)} feeds to {hosts} hosts; open after {took:.1f} s")
        schedule = Schedule(server, proxies, client, seed)
        samples: list[dict[str, float]] = []
        for at in _ticks(seconds, EVERY):
            # The first samples are of the quiet: what is there without faults.
            schedule.end_due()
            if at >= min(5.0, seconds / 10):
                for _ in range(max(1, hosts // 5)):
                    schedule.step()
            samples.append({"time": at, **sample_of(server, proxies, client)})
            if len(samples) % round(10 / EVERY) == 0:
                say(line_of(samples[-1]))
        schedule.end_all()
        problems += client.call("ended")
        recovery = wait_for(lambda: client.call("sample")["open"] >= total, 90)
        if recovery is None:
            problems.append(f"not all came back: {client.call('sample')}, of {total}")
        say(f"all faults ended; all were open after {recovery or float('nan'):.1f} s")
        published = server.call("published")
        wanted = [published[plan.feed] for plan in plans]

        def is_up_to_date() -> bool:
            return all(
                last >= least for last, least in zip(client.call("lasts"), wanted, strict=True)
            )

        if wait_for(is_up_to_date, 60) is None:
            problems.append("what was published last does not come to all")
        final = sample_of(server, proxies, client)
        received = client.call("finish")
        proxies.call("finish")
        record = server.call("finish")
    finally:
        for process in processes:
            process.end()
    return judge(samples, received, record, problems) | {
        "seconds": seconds,
        "connections": total,
        "feeds": len(plans),
        "hosts": hosts,
        "seed": seed,
        "faults": dict(schedule.counts.most_common()),
        "recovery_seconds": recovery,
        "samples": samples,
        "final": final,
    }


def judge(
    samples: list[dict[str, float]],
    received: list[dict[str, Any]],
    record: dict[str, tuple[list[tuple[int, int]], list[float]]],
    problems: list[str],
) -> dict[str, Any]:
    """Compare what came with the server's record, and look at what must be flat."""
    kinds: dict[str, Counter[str]] = {}
    longest = 0.0
    for one in received:
        spans, times = record[one["feed"]]
        runs = soak_servers.joined(sorted(pairs_of(one["runs"])))
        gaps = pairs_of(one["gaps"])
        missing = [(before + 1, after - 1) for (_, before), (after, _) in itertools.pairwise(runs)]
        outside, before = outside_gaps(missing, times, gaps)
        longest = max(longest, 0.0 if one["slow"] else before)
        counts = kinds.setdefault(one["kind"], Counter())
        counts.update(
            feeds=1,
            opened=one["opened"],
            gaps=len(gaps),
            gap_seconds=round(sum(until - since for since, until in gaps)),
            received=one["count"],
            missing=sum(last - first + 1 for first, last in missing),
            # How long what a slow consumer has not read had waited is not known: gaps begin
            # when the last bytes were read. Where they stand is looked at all the same.
            outside_gaps=0 if one["slow"] else outside,
            twice=one["count"] - sum(last - first + 1 for first, last in runs),
            unknown=not_given(runs, spans),
            errors=bool(one["error"]),
        )
        # Of two connections the one that is behind may bring what is missing, later.
        if one["kind"] != "redundant":
            counts.update(jumps=one["jumps"], not_above=one["not_above"])
    for kind, counts in kinds.items():
        problems += [
            f"{kind}: {name} is {counts[name]}"
            for name in ("outside_gaps", "twice", "unknown", "errors", "jumps", "not_above")
            if counts[name]
        ]
        if not counts["received"]:
            problems.append(f"{kind}: nothing was received")
    names = ("rss_without_names", "threads", "tasks")
    flat = {name: flatness(samples, name) for name in names}
    # As many as there are connections, which are fewer while something is down.
    descriptors = [sample["descriptors"] for sample in samples]
    flat["descriptors"] = (
        max(descriptors[: len(samples) // 2]),
        max(descriptors[-len(samples) // 4 :]),
    )
    for name, (before, after) in flat.items():
        if after > FLAT * before:
            problems.append(f"{name}: not flat, {before:.0f} and in the last quarter {after:.0f}")
    return {
        "kinds": {kind: dict(counts) for kind, counts in kinds.items()},
        "longest_before_gap": longest,
        "flat": flat,
        "problems": problems,
    }


def _ticks(seconds: float, every: float) -> Iterator[float]:
    """Yield the time since the beginning at regular moments."""
    begun = time.monotonic()
    for number in itertools.count():
        at = number * every
        if at > seconds:
            return
        time.sleep(max(0.0, begun + at - time.monotonic()))
        yield time.monotonic() - begun


def line_of(sample: dict[str, float]) -> str:
    """Return a line of progress."""
    return (
        f"{sample['time']:6.0f} s  open {sample['open']:4.0f}  messages {sample['messages']:9.0f}  "
        f"gaps {sample['gaps']:6.0f}  failed attempts {sample['failed_attempts']:6.0f}  "
        f"RSS {sample['rss'] / _MIB:6.1f} MiB  fds {sample['descriptors']:5.0f}  "
        f"threads {sample['threads']:4.0f}  tasks {sample['tasks']:4.0f}"
    )


def table_of(result: dict[str, Any]) -> str:
    """Return the final table."""
    columns = ("feeds", "opened", "gaps", "gap_seconds", "received", "missing", "outside_gaps")
    columns += ("twice", "unknown", "jumps", "not_above")
    lines = ["".join([f"{'kind':<10}", *(f"{name:>13}" for name in columns)])]
    for kind, counts in result["kinds"].items():
        lines.append("".join([f"{kind:<10}", *(f"{counts.get(one, 0):>13,}" for one in columns)]))
    lines.append("")
    for name, (before, after) in result["flat"].items():
        unit = _MIB if name.startswith("rss") else 1
        lines.append(
            f"{name:<18} {before / unit:9.1f} before, {after / unit:9.1f} in the last quarter"
        )
    lines.append(
        "What is missing was sent at most "
        f"{result['longest_before_gap']:.1f} s before the last bytes that came before its gap."
    )
    before, after = flatness(result["samples"], "rss")
    lines.append(
        f"With what dedup knows, memory was {before / _MIB:.1f} MiB in the second quarter and "
        f"{after / _MIB:.1f} MiB in the last."
    )
    lines += ["", ", ".join(f"{count} x {name}" for name, count in result["faults"].items())]
    return "\n".join(lines)


def draw(result: dict[str, Any], path: Path) -> None:
    """Write the plot of what changed over time."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    samples = result["samples"]
    times = [sample["time"] for sample in samples]
    panels: list[tuple[str, Callable[[dict[str, float]], float]]] = [
        ("resident memory, MiB", lambda sample: sample["rss"] / _MIB),
        ("without the names that dedup knows", lambda sample: sample["rss_without_names"] / _MIB),
        ("descriptors", lambda sample: sample["descriptors"]),
        ("threads", lambda sample: sample["threads"]),
        ("open connections", lambda sample: sample["open"]),
        ("gaps so far", lambda sample: sample["gaps"]),
        ("attempts that failed so far", lambda sample: sample["failed_attempts"]),
    ]
    figure, axes = plt.subplots(len(panels), 1, sharex=True, figsize=(9, 2 * len(panels)))
    for axis, (title, value) in zip(axes, panels, strict=True):
        axis.plot(times, [value(sample) for sample in samples], color="#0b6e4f", linewidth=1)
        axis.set_ylim(bottom=0)
        axis.set_title(title, loc="left", fontsize=9)
        axis.grid(alpha=0.3)
    axes[-1].set_xlabel("seconds")
    figure.suptitle(f"{result['connections']} connections, faults all the time")
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)
    plt.close(figure)


def main(arguments: list[str] | None = None) -> int:
    """Run it; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--connections", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=Path("build"))
    options = parser.parse_args(arguments)

    def say(text: str) -> None:
        print(text, flush=True)

    result = soak(options.seconds, options.connections, options.seed, say)
    options.folder.mkdir(parents=True, exist_ok=True)
    (options.folder / "soak.json").write_text(json.dumps(result, indent=1))
    draw(result, options.folder / "soak.png")
    say("\n" + table_of(result))
    for problem in result["problems"]:
        say(f"PROBLEM: {problem}")
    say("failed" if result["problems"] else "good")
    return 1 if result["problems"] else 0


if __name__ == "__main__":
    sys.exit(main())
