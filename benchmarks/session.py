"""One run: a server, a client, what both say."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .catalog import Client
from .feeds import messages_of, outgoing
from .measure import Result
from .scenarios import Scenario
from .schemas import Digest, rows_of
from .spec import Feed, Spec
from .tally import Tally, summary

_ROOT = Path(__file__).parents[1]


class RunFailed(Exception):
    """A client or the server did not do its part; the text says what."""


@dataclass(frozen=True)
class Settings:
    """What all runs share."""

    certificates: Path
    """Folder with ca.pem, cert.pem and key.pem."""
    captures: Path | None = None
    seconds: float = 1.2
    """How long a timed run is to take."""
    timeout: float = 120.0
    """For a client to finish; longer is taken for hanging."""


class _Processes:
    """What was started and has not ended: Ctrl-C ends these and nothing else."""

    def __init__(self) -> None:
        self._running: list[subprocess.Popen[str]] = []

    def start(self, command: list[str]) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            command,
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C is the runner's alone
        )
        self._running.append(process)
        return process

    def end(self, process: subprocess.Popen[str]) -> str:
        """Kill it, if it still runs; returns what it wrote to its standard error."""
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        with contextlib.suppress(OSError, ValueError):
            if process.stdin is not None:
                process.stdin.close()
        process.stdin = None
        _, errors = process.communicate()
        self._running.remove(process)
        return errors

    def end_all(self) -> None:
        for process in list(self._running):
            self.end(process)


processes = _Processes()


class Server:
    """The server of one run; a context manager."""

    def __init__(self, feed: Feed) -> None:
        self._process = processes.start([sys.executable, "-m", "benchmarks.server", feed.to_json()])
        # Certificates name the address as well; a look-up of localhost is not what is measured.
        self.uri = str(self._read()["uri"]).replace("localhost", "127.0.0.1")

    def received(self) -> dict[str, Any]:
        """What it received, once all connections have ended."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], 60)
        line = self._process.stdout.readline() if ready else ""
        if not line:
            raise RunFailed(f"the server said nothing: {_last_line(processes.end(self._process))}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.returncode is None:
            processes.end(self._process)


def feed_of(scenario: Scenario, settings: Settings) -> Feed:
    """Return a scenario's feed with this run's files."""
    feed = scenario.feed
    if scenario.tls:
        folder = settings.certificates
        feed = replace(feed, tls=(str(folder / "cert.pem"), str(folder / "key.pem")))
    if feed.kind == "captures":
        if settings.captures is not None:
            return replace(feed, captures=str(settings.captures))
        return replace(feed, kind="market")
    return feed


def run(
    scenario: Scenario, client: Client, settings: Settings, count: int, *, verify: bool = False
) -> Result:
    """Run a client once, with `count` messages or a few more on all connections together.

    Raises:
        RunFailed: It failed, took too long, or did not deliver what was sent.
    """
    feed = feed_of(scenario, settings)
    expected = count
    if scenario.work in {"receive", "records"} and scenario.counted:
        cycle = len(messages_of(feed))
        repeat = max(1, -(-count // (cycle * scenario.connections)))
        feed = replace(feed, repeat=repeat)
        count = repeat * cycle
        expected = count * scenario.connections
    elif scenario.work == "send":
        feed = replace(feed, checksum=verify)
    with Server(feed) as server:
        spec = Spec(
            work=scenario.work,
            uri=server.uri,
            ca_file=str(settings.certificates / "ca.pem") if scenario.tls else None,
            count=count if scenario.counted else 0,
            size=scenario.size,
            connections=scenario.connections,
            deflate=scenario.deflate,
            busy=scenario.busy and not verify,
            endpoints=scenario.endpoints,
            schema=scenario.schema,
            verify=verify,
        )
        result = _result_of(client, spec, settings.timeout)
        if scenario.work == "send":
            received = server.received()
            result["count"] = received["received"]
            if verify:
                result |= {"bytes": received["bytes"], "hash": f"{received['crc32']:08x}"}
    if scenario.counted and result["count"] != expected:
        raise RunFailed(f"{result['count']:,} of {expected:,} messages were delivered")
    if scenario.busy and result["count"] == 0:
        raise RunFailed("no message was delivered")
    return result if verify else with_metrics(result)


def expectation(scenario: Scenario, settings: Settings, count: int) -> Result:
    """Return what a verified run must give: count, bytes or rows, and hash."""
    if scenario.work == "send":
        sent = [outgoing(scenario.size, number) for number in range(count)]
        checksum = 0
        for message in sent:
            checksum = zlib.crc32(message, checksum)
        return {"count": count, "bytes": sum(map(len, sent)), "hash": f"{checksum:08x}"}
    tally = Tally()
    if scenario.work == "echo":
        for number in range(count):
            tally.add(outgoing(scenario.size, number))
        return summary([tally])
    cycle = messages_of(feed_of(scenario, settings))
    if scenario.work == "records":
        digest = Digest()
        for delivered in cycle:
            for name, row in rows_of(scenario.schema, delivered):
                digest.add(name, row)
        cycles = max(1, -(-count // (len(cycle) * scenario.connections))) * scenario.connections
        return digest.summary(len(cycle), cycles)
    for _ in range(max(1, -(-count // (len(cycle) * scenario.connections)))):
        for delivered in cycle:
            tally.add(delivered)
    return {
        "count": tally.count * scenario.connections,
        "bytes": tally.bytes * scenario.connections,
        "hash": tally.hash,
    }


def with_metrics(result: Result) -> Result:
    """Add what the report shows to what a client measured."""
    cpu = result["user"] + result["system"]
    count = result["count"]
    result |= {
        "per_second": count / result["wall"],
        "cpu_ns": cpu / count * 1e9,
        "cpu_us": cpu / count * 1e6,
        "user_ns": result["user"] / count * 1e9,
        "system_ns": result["system"] / count * 1e9,
    }
    if "memory" in result:
        result["memory_kb"] = result["memory"] / 1024
    if "kept" in result:
        result["kept_percent"] = result["kept"] * 100
    return result


def _result_of(client: Client, spec: Spec, timeout: float) -> Result:
    process = processes.start(client.command(spec))
    begun = time.monotonic()
    try:
        printed, errors = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        raise RunFailed(f"did not end within {time.monotonic() - begun:.0f} s") from None
    finally:
        processes.end(process)
    if process.returncode != 0:
        raise RunFailed(f"exit status {process.returncode}: {_last_line(errors)}")
    result: Result = json.loads(printed)
    return result


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["no message"])[-1]
