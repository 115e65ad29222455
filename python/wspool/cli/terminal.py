"""``wspool connect`` in a terminal: messages come above the line that is being typed."""

from __future__ import annotations

import os
import signal
import sys
import threading
import unicodedata
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING

from wspool.exceptions import ConnectionClosed

from .lines import close
from .output import note, redact, say, shown, terminal_lines, write

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from wspool.sync import ClientConnection

try:
    import readline
except ImportError:  # a Python built without it: lines cannot be edited, nor drawn anew
    HAS_READLINE = False
else:
    HAS_READLINE = True

_PROMPT = "> "
_RESEND = 0.05


class _Ended(BaseException):
    """Interrupts ``input()``: there is nothing more to come."""


class _Terminal:
    """A prompt at the bottom, and messages that come above it, whatever is being typed.

    A signal handler does the printing: it runs on the main thread, inside of ``input()``, where
    the line that readline holds can be looked at. SIGURG, since it does nothing when unhandled.
    """

    def __init__(self, ws: ClientConnection, arguments: argparse.Namespace) -> None:
        self.count = 0
        self._ws = ws
        self._arguments = arguments
        self._incoming: deque[str | bytes] = deque()
        self._reading = False
        self._printing = False
        self._ended = False
        self._stopped = threading.Event()
        self._shown = threading.Event()
        self._main = threading.get_ident()

    def run(self) -> None:
        receiver = threading.Thread(target=self._receive, name="wspool-messages")
        previous = signal.signal(signal.SIGURG, self._on_signal)
        receiver.start()
        try:
            try:
                self._send_lines()
            except (EOFError, _Ended, ConnectionClosed):
                say("")
            close(self._ws, 1000)
        except BaseException:
            say("")
            close(self._ws, 1001)
            raise
        finally:
            self._stopped.set()
            receiver.join()
            self._on_signal()
            signal.signal(signal.SIGURG, previous)

    def _send_lines(self) -> None:
        try:
            self._reading = True
            while not self._ended:
                line = input(_PROMPT)
                try:
                    self._ws.send(line)
                except UnicodeEncodeError:
                    note("wspool: not sent: that line is not UTF-8")
        finally:
            self._reading = False

    def _receive(self) -> None:
        left: int | None = self._arguments.count
        with suppress(ConnectionClosed):
            while left is None or self.count < left:
                messages = self._ws.recv_many(None if left is None else left - self.count)
                self.count += len(messages)
                self._incoming.extend(messages)
                self._wake(lambda: bool(self._incoming))
        self._ended = True
        self._wake(lambda: self._reading)

    def _wake(self, needed: Callable[[], bool]) -> None:
        # A signal that comes just before input() waits does not interrupt it: so again.
        while needed() and not self._stopped.is_set():
            self._shown.clear()
            signal.pthread_kill(self._main, signal.SIGURG)
            self._shown.wait(_RESEND)

    def _on_signal(self, *_: object) -> None:
        if self._printing:
            return
        self._printing = True
        try:
            while self._incoming:
                self._show(self._incoming[0])
                self._incoming.popleft()
            self._shown.set()
        finally:
            self._printing = False
        if self._ended and self._reading:
            self._reading = False
            raise _Ended

    def _show(self, message: str | bytes) -> None:
        """Print a message above the line that is being typed."""
        text = shown(message, self._arguments, terminal=True)
        if isinstance(text, bytes):
            text = text.decode(errors="replace")
        lines = [("  " if i else "< ") + line for i, line in enumerate(terminal_lines(text))]
        typed = readline.get_line_buffer() if self._reading and HAS_READLINE else ""
        if not HAS_READLINE or os.environ.get("TERM", "dumb") == "dumb":
            again = _PROMPT + typed if self._reading else ""
            write(("\n" + "\n".join(lines) + "\n" + again).encode())
            return
        columns, height = os.get_terminal_size(sys.stdout.fileno())
        rows = [row for line in lines for row in _rows(line, max(columns, 2))]
        below = len(_rows(_PROMPT + typed + "x", max(columns, 2)))  # with room for the cursor
        step = max(height - below, 1)
        for first in range(0, len(rows), step):
            write(_insert_above(rows[first : first + step], below))


def _rows(line: str, columns: int) -> list[str]:
    """Cut a line into the rows of a terminal; a row that is continued lacks its line break."""
    if line.isascii():
        return [line[i : i + columns] for i in range(0, len(line), columns)] or [""]
    rows, room = [""], columns
    for character in line:
        wide = unicodedata.east_asian_width(character) in {"W", "F"}
        cells = 0 if unicodedata.category(character) in {"Mn", "Me", "Cf"} else 1 + wide
        if cells > room:
            rows.append("")
            room = columns
        rows[-1] += character
        room -= cells
    return rows


def _insert_above(rows: list[str], below: int) -> bytes:
    """Return what shows rows above the ``below`` ones of the prompt, on whose last the cursor is.

    The cursor is saved by its place on the screen. If that has scrolled in between, the way down
    from it is too long, and ends at the bottom, where the prompt is then.
    """
    count = len(rows)
    parts = ["\x1b7", "\n" * count, f"\r\x1b[{count + below - 1}A", f"\x1b[{count}L"]
    parts += ["\n".join(rows), "\x1b8", f"\x1b[{count}B"]
    return "".join(parts).encode()


def in_a_terminal(ws: ClientConnection, arguments: argparse.Namespace) -> tuple[int, str]:
    """Talk until the connection has ended; returns how many messages came, and no complaint."""
    address = f"connected to {redact(ws.uri)}"
    note(address if ws.subprotocol is None else f"{address}, subprotocol {ws.subprotocol}")
    terminal = _Terminal(ws, arguments)
    terminal.run()
    return terminal.count, ""
