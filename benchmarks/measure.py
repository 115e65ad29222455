"""What every client's process does around its work: times, memory, the JSON result."""

from __future__ import annotations

import gc
import json
import os
import resource
import ssl
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from .spec import Spec

Result: TypeAlias = dict[str, Any]

#: Connections opened before memory is first looked at, so that one-time costs are over.
WARM_UP = 20
#: Connects under way at a time.
WINDOW = 100
_BASELINE_SECONDS = 1.0


class Meter:
    """Wall and CPU time, of all threads of the process, from `go` to `done`.

    With a busy thread, its speed before and after `go` as well.
    """

    def __init__(self, spec: Spec) -> None:
        self._worker = Worker() if spec.busy else None
        self._alone = 0.0
        self._result: Result | None = None

    def go(self) -> None:
        """Begin. Who computes beside gets a second without any traffic first."""
        if self._worker is not None:
            self._worker.start()
            time.sleep(0.1)
            before, begun = self._worker.iterations, time.perf_counter()
            time.sleep(_BASELINE_SECONDS)
            self._alone = (self._worker.iterations - before) / (time.perf_counter() - begun)
        else:
            gc.collect()
        self._iterations = self._worker.iterations if self._worker else 0
        self._usage = resource.getrusage(resource.RUSAGE_SELF)
        self._begun = time.perf_counter()

    def done(self) -> None:
        wall = time.perf_counter() - self._begun
        usage = resource.getrusage(resource.RUSAGE_SELF)
        self._result = {
            "wall": wall,
            "user": usage.ru_utime - self._usage.ru_utime,
            "system": usage.ru_stime - self._usage.ru_stime,
        }
        if self._worker is not None:
            speed = (self._worker.iterations - self._iterations) / wall
            self._result["kept"] = speed / self._alone
            self._worker.stop()

    def result(self, **more: object) -> Result:
        assert self._result is not None, "not done"
        return {**self._result, **more}


class Worker(threading.Thread):
    """Computes without pause, as Python programs do."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.iterations = 0
        self._stopping = False

    def run(self) -> None:
        value = 1
        while not self._stopping:
            for _ in range(200):
                value = (value * 1_103_515_245 + 12_345) & 0x7FFFFFFF
            self.iterations += 200

    def stop(self) -> None:
        self._stopping = True


def round_trips(meter: Meter, nanoseconds: list[int], **more: object) -> Result:
    """Return the result of an echo: with the median and the 99th percentile, in microseconds."""
    ordered = sorted(nanoseconds)
    return meter.result(
        **{
            "count": len(ordered),
            "p50": ordered[len(ordered) // 2] / 1000,
            "p99": ordered[len(ordered) * 99 // 100] / 1000,
            **more,
        }
    )


class Memory:
    """Resident memory and time that connections take; begins when it is made."""

    def __init__(self) -> None:
        gc.collect()
        self._before = resident()
        self._usage = resource.getrusage(resource.RUSAGE_SELF)
        self._begun = time.perf_counter()

    def opened(self, connections: int) -> Result:
        wall = time.perf_counter() - self._begun
        usage = resource.getrusage(resource.RUSAGE_SELF)
        time.sleep(0.5)  # what is freed late
        gc.collect()
        return {
            "count": connections,
            "wall": wall,
            "user": usage.ru_utime - self._usage.ru_utime,
            "system": usage.ru_stime - self._usage.ru_stime,
            "memory": (resident() - self._before) / connections,
        }


def resident() -> int:
    """Resident memory of this process in bytes (Linux)."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def tls_context(spec: Spec) -> ssl.SSLContext | None:
    """Return what trusts the server's authority, TLS 1.3 only; None for ws."""
    if spec.ca_file is None:
        return None
    context = ssl.create_default_context(cafile=spec.ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context


def main(works: Mapping[str, Callable[[Spec], Result]]) -> None:
    """Do what the spec on the command line says, and print the result."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    spec = Spec.from_json(sys.argv[1])
    result = works[spec.work](spec)
    print(json.dumps(result), flush=True)
    os._exit(0)  # a thousand connections need not be closed one by one
