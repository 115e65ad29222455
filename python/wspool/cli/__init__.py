"""The command line: ``wspool connect``, ``top``, ``echo``, ``fields`` and ``demo``."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

from wspool import demo

from .arguments import make_parser
from .connecting import run_connect
from .finding import run_fields
from .output import INTERRUPTED, TERMINATED
from .serving import run_echo
from .watching import run_top

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["main"]


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM raise SystemExit, so that what is open is closed."""

    def terminate(*_: object) -> NoReturn:
        sys.exit(TERMINATED)

    previous = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code. The main thread only.

    Args:
        argv: The arguments; None takes the program's.
    """
    arguments = make_parser().parse_args(argv)
    run = {
        "connect": run_connect,
        "top": run_top,
        "echo": run_echo,
        "fields": run_fields,
        "demo": demo.run,
    }[arguments.command]
    try:
        with _terminable():
            return run(arguments)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # nothing of what is left to print can be
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
