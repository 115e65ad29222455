"""Programs in the background that end with the test, also where the test is killed.

What a test needs of the system may be missing: it is skipped then. WSPOOL_NO_SKIPS=1 makes it fail,
for machines that are meant to have everything: there nobody would notice that a test never runs.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

import pytest

#: Seconds; machines that run tests are slow.
_PATIENCE = 30

# Tells the program's process id, and ends the program when its own input ends.
_KEEPER = """
log=$1; shift
exec 3<&0
"$@" >>"$log" 2>&1 </dev/null 3<&- &
program=$!
echo $program
(cat <&3 >/dev/null; kill $program; sleep 5; kill -KILL $program) 2>/dev/null >&2 &
keeper=$!
wait $program
code=$?
kill $keeper
exit $code
"""


def skip_for_want(reason: str) -> NoReturn:
    """Skip the test, as the system lacks something; with WSPOOL_NO_SKIPS=1 it fails."""
    if os.environ.get("WSPOOL_NO_SKIPS") == "1":
        pytest.fail(f"WSPOOL_NO_SKIPS: {reason}")
    pytest.skip(reason)


def find_program(name: str, package: str) -> str:
    """Return the path of a program; without it the test is skipped, naming Debian's package."""
    path = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin:/usr/local/sbin")
    if path is None:
        skip_for_want(f"{name} is not installed (Debian's package {package})")
    return path


def free_ports(count: int) -> list[int]:
    """Return ports of loopback on which nobody listens."""
    with contextlib.ExitStack() as stack:
        listeners = [
            stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)
        ]
        return [listener.getsockname()[1] for listener in listeners]


def bound_socket(host: str, port: int) -> socket.socket:
    """Return a non-blocking socket that keeps a port, and refuses connects until it listens."""
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((host, port))
    sock.setblocking(False)
    return sock


class Daemon:
    """A program that runs until it ends or is stopped; its output is appended to a file."""

    def __init__(
        self,
        command: Sequence[str | os.PathLike[str]],
        log: Path,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.command = [os.fspath(part) for part in command]
        self.log_file = log
        log.touch()
        self._lock = threading.Lock()
        self._keeper = subprocess.Popen(
            ["sh", "-c", _KEEPER, "sh", os.fspath(log), *self.command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=env,
        )
        assert self._keeper.stdin is not None
        assert self._keeper.stdout is not None
        #: The program's process id.
        self.pid = int(self._keeper.stdout.readline())

    @property
    def log(self) -> str:
        """What it has written so far."""
        return self.log_file.read_text(errors="replace")

    @property
    def returncode(self) -> int | None:
        """None while it runs; 128 and more is a signal."""
        return self._keeper.poll()

    def send_signal(self, number: int) -> None:
        """Send a signal, if it runs."""
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End it and wait for that; SIGKILL if it takes too long."""
        with self._lock:
            self.send_signal(number)
            try:
                self._keeper.wait(10)
            except subprocess.TimeoutExpired:
                self.send_signal(signal.SIGKILL)
                self._keeper.wait(_PATIENCE)
            for pipe in (self._keeper.stdin, self._keeper.stdout):
                if pipe is not None:
                    pipe.close()

    def wait_listening(self, *addresses: tuple[str, int]) -> bool:
        """Wait until it listens everywhere; False if it ends before that."""
        for address in addresses:
            deadline = time.monotonic() + _PATIENCE
            while not _accepts(address):
                if self.returncode is not None:
                    return False
                assert time.monotonic() < deadline, f"{self.command} does not listen: {self.log}"
                time.sleep(0.01)
        return self.returncode is None


def start_listening(start: Callable[[int], Daemon], host: str = "127.0.0.1") -> tuple[Daemon, int]:
    """Call start(port) with a free port until what it starts listens there."""
    attempts = 5
    while True:  # a port may be taken between being found free and being used
        (port,) = free_ports(1)
        daemon = start(port)
        if daemon.wait_listening((host, port)):
            return daemon, port
        daemon.stop()
        attempts -= 1
        assert attempts, f"{daemon.command} does not start: {daemon.log}"


def _accepts(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, timeout=_PATIENCE).close()
    except OSError:
        return False
    return True
