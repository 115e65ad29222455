"""Compiles the limits into build/bench-limits, where their sources have changed."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

_SOURCES = Path(__file__).parent
_PROGRAMS = _SOURCES.parents[1] / "build" / "bench-limits"
_FLAGS = {
    "c-memcpy": ["-DCOPY"],
    # simdjson's own way to its best: On-Demand compiled for the processor at hand.
    "c-simdjson": ["-O3", "-march=native", "-lsimdjson"],
}
_LIBRARIES = ["-lssl", "-lcrypto", "-lpthread"]


def program(name: str) -> Path:
    """Where the program of a limit is, once built."""
    return _PROGRAMS / name


def build(name: str, source: str) -> str | None:
    """Compile a limit with -O2, if need be; returns why that failed."""
    path, target = _SOURCES / source, program(name)
    if target.exists() and target.stat().st_mtime > path.stat().st_mtime:
        return None
    compiler = ["cc"] if source.endswith(".c") else ["c++", "-std=c++17"]
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = target.with_suffix(f".{os.getpid()}")
    command = [*compiler, "-O2", "-o", str(scratch), str(path), *_FLAGS.get(name, []), *_LIBRARIES]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return f"there is no {compiler[0]}"
    if done.returncode != 0:
        errors = [line for line in done.stderr.splitlines() if "error" in line] or ["no message"]
        return f"cannot be compiled: {errors[0]}"
    scratch.replace(target)
    return None
