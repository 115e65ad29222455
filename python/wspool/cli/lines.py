"""``wspool connect`` in a pipe: lines in, lines out."""

from __future__ import annotations

import os
import select
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from wspool.events import Status
from wspool.exceptions import ConnectionClosed

from .output import plain, reason, stdout_is_terminal, write

if TYPE_CHECKING:
    import argparse

    from wspool.sync import ClientConnection


class _Input:
    """Sends the lines of the standard input, until that ends; notices a reader that has gone.

    Its thread ends when the connection has ended and ``stop`` is called.
    """

    def __init__(self, ws: ClientConnection, arguments: argparse.Namespace) -> None:
        self.complaint = ""
        self._ws = ws
        self._listen = arguments.listen
        self._waits = arguments.listen or arguments.count is not None
        self._stopped, self._stop = os.pipe()
        self._thread = threading.Thread(target=self._run, name="wspool-input")
        self._thread.start()

    def stop(self) -> None:
        os.close(self._stop)
        self._thread.join()
        os.close(self._stopped)

    def _run(self) -> None:
        poll = select.poll()
        poll.register(self._stopped, select.POLLIN)
        if sys.stdout is not None:
            poll.register(sys.stdout.fileno(), 0)  # tells when nobody reads it any more
        stdin = -1 if sys.stdin is None else sys.stdin.fileno()
        if stdin >= 0 and not self._listen:
            poll.register(stdin, select.POLLIN)
        elif not self._waits:
            self._ws.close()
        rest = b""
        with suppress(ConnectionClosed):
            while True:
                ready = [descriptor for descriptor, _ in poll.poll()]
                if self._stopped in ready:
                    return
                if stdin not in ready or self._listen:
                    break  # nobody reads
                try:
                    data = os.read(stdin, 65536)
                except OSError as problem:  # a directory, or a terminal that is gone
                    self.complaint = f"cannot read the input: {reason(problem)}"
                    break
                *lines, rest = (rest + data).split(b"\n")
                if not data and rest:
                    lines = [rest]
                if not self._send(lines):
                    break
                if not data:
                    poll.unregister(stdin)
                    if not self._waits:
                        break
            self._ws.close()

    def _send(self, lines: list[bytes]) -> bool:
        for line in lines:
            try:
                self._ws.send(line, text=True)
            except ValueError:
                self.complaint = "the input has a line that is not UTF-8"
                return False
        return True


def in_a_pipe(ws: ClientConnection, arguments: argparse.Namespace) -> tuple[int, str]:
    """Send lines and print messages until the connection has ended; returns how many came."""
    terminal = stdout_is_terminal()
    left: int | None = arguments.count
    count = 0
    sender = _Input(ws, arguments)
    try:
        while left is None or count < left:
            messages = ws.recv_many(1024 if left is None else min(1024, left - count))
            count += len(messages)
            write(b"".join(plain(message, arguments, terminal) for message in messages))
        close(ws, 1000)
    except ConnectionClosed:
        pass
    except BaseException as problem:
        own = isinstance(problem, OSError)  # nobody interrupted: the output cannot be written
        close(ws, 1000 if own else 1001, hurry=not own)
        raise
    finally:
        sender.stop()
    return count, sender.complaint


def close(ws: ClientConnection, code: int, *, hurry: bool = False) -> None:
    """Close, and wait for the peer; who interrupts that does not wait any longer.

    Args:
        hurry: Whether this is an interruption: if another thread is closing, it is one of that.
    """
    try:
        if hurry and ws.status is Status.CLOSING:
            ws.abort()
        ws.close(code)
    except BaseException:
        ws.abort()
        raise
