"""Programs at a pseudo terminal."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence

import pexpect
from tests.support.pull_servers import PATIENCE


@contextlib.contextmanager
def at_a_terminal(
    command: Sequence[object], env: Mapping[str, str], *, width: int = 80, height: int = 24
) -> Iterator[pexpect.spawn]:
    """Start a program in a pseudo terminal; what is still running at the end is killed."""
    program, *arguments = map(str, command)
    child = pexpect.spawn(
        program,
        arguments,
        encoding="utf-8",
        timeout=PATIENCE,
        dimensions=(height, width),
        env=dict(env),
    )
    child.delaybeforesend = None
    try:
        yield child
    finally:
        child.close(force=True)


def ended(child: pexpect.spawn) -> tuple[str, int | None]:
    """Return what a child in a terminal still printed, and its exit code."""
    child.expect(pexpect.EOF)
    child.wait()
    return child.before, child.exitstatus
