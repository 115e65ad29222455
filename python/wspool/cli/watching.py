"""``wspool top``: a live table of feeds."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import select
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from wspool.exceptions import InvalidURI
from wspool.pool import EndpointPool
from wspool.reconnecting import Reconnect
from wspool.tls import TLS

from .feeds import Feeds
from .output import (
    NO_CONNECTION,
    USAGE,
    error,
    note,
    reason,
    redact,
    say,
    stdout_is_terminal,
    visible,
    write,
)

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from wspool.connection import Connection
    from wspool.options import ConnectionOptions

try:
    import termios
    import tty
except ImportError:  # no terminals like these: there is still Ctrl-C
    HAS_TERMIOS = False
else:
    HAS_TERMIOS = True

#: So that the columns of pings soon say something.
_PING_INTERVAL = 5.0
_CLOSE_SECONDS = 1.0


def _uris(arguments: argparse.Namespace) -> list[tuple[str, str]]:
    """Return the URIs, each with where it is from; a bad file raises ValueError."""
    found: list[tuple[str, str]] = []
    for argument in arguments.uris:
        if not argument.startswith("@"):
            found.append((argument, ""))
            continue
        name = argument[1:]
        try:
            lines = Path(name).read_text(encoding="utf-8-sig").splitlines()
        except OSError as problem:
            raise ValueError(f"{name}: {reason(problem)}") from None
        except UnicodeDecodeError:
            raise ValueError(f"{name}: not UTF-8") from None
        for number, line in enumerate(lines, 1):
            uri = line.strip()
            if uri and not uri.startswith("#"):
                found.append((uri, f"{name}:{number}: "))
    if not found:
        raise ValueError("there is no URI to watch")
    return found


def _tls(arguments: argparse.Namespace, uris: list[tuple[str, str]]) -> TLS | None:
    if arguments.ca_file is None and not arguments.insecure:
        return None
    if not any(_is_secure(uri) for uri, _ in uris):
        raise ValueError("--ca-file and --insecure need a wss:// URI")
    tls = TLS(ca_file=arguments.ca_file, verify=not arguments.insecure)
    try:
        tls.native_context()
    except OSError as problem:
        raise ValueError(f"--ca-file {arguments.ca_file}: {reason(problem)}") from None
    return tls


def _is_secure(uri: str) -> bool:
    return uri[:4].lower() == "wss:"


def _connect(pool: EndpointPool, arguments: argparse.Namespace) -> list[Connection]:
    """Start the connections. What is wrong with the arguments raises ValueError."""
    uris = _uris(arguments)
    tls = _tls(arguments, uris)
    common: ConnectionOptions = {
        "additional_headers": arguments.header,
        "subscriptions": arguments.subscribe,
        "proxy": {None: True, "none": None}.get(arguments.proxy, arguments.proxy),
        "ping_interval": _PING_INTERVAL,
        "max_size": None,
        "reconnect": Reconnect(),
    }
    connections = []
    for uri, where in uris:
        options: ConnectionOptions = {**common, "ssl": tls} if _is_secure(uri) else common
        try:
            # Without on_message the core counts messages and drops them.
            connection = pool.get_endpoint().create_new_connection(
                uri, on_open=_ping, on_error=_ignore, **options
            )
        except InvalidURI as problem:
            # Where the user's name ends in a URI that is none, nobody knows.
            raise ValueError(where + redact(re.sub(r"//\S*@", "//", str(problem)))) from None
        connections.append(connection)
    return connections


def _ping(connection: Connection) -> None:
    """Measure at once, and not first after the interval."""
    connection.ping()


def _ignore(connection: Connection, problem: BaseException) -> None:
    """Say nothing of a connection that ended while it was to be pinged."""


def run_top(arguments: argparse.Namespace) -> int:
    """Run ``wspool top``; returns the exit code."""
    # What the log would say of attempts stands in the table.
    logging.getLogger("wspool.reconnect").addHandler(logging.NullHandler())
    try:
        from .table import plain_text
    except ImportError:
        return error("wspool top needs rich: pip install 'wspool[top]'", USAGE)
    with contextlib.ExitStack() as stack:
        try:
            pool = EndpointPool(arguments.endpoints)
            stack.callback(pool.close, _CLOSE_SECONDS)
            feeds = Feeds(_connect(pool, arguments))
        except (TypeError, ValueError) as problem:
            return error(visible(redact(str(problem))), USAGE)
        if arguments.insecure:
            note("wspool: warning: --insecure: whoever answers may not be the server")
        if arguments.once:
            time.sleep(arguments.interval)
            rows, total = feeds.look()
            write(plain_text(rows, total).encode())
            return 0 if total.is_well else NO_CONNECTION
        if stdout_is_terminal() and os.environ.get("TERM", "dumb") not in {"dumb", "unknown"}:
            _show_live(feeds, arguments.interval)
        else:
            _print_again_and_again(feeds, arguments.interval)
    return 0


def _print_again_and_again(feeds: Feeds, interval: float) -> None:
    from .table import plain_text

    with contextlib.suppress(KeyboardInterrupt):
        while True:
            time.sleep(interval)
            rows, total = feeds.look()
            write(f"{plain_text(rows, total)}\n".encode())
    say(feeds.summary(feeds.look()[1]))


def _show_live(feeds: Feeds, interval: float) -> None:
    from rich.console import Console, Group
    from rich.live import Live
    from rich.text import Text

    from .table import make_table

    console = Console()
    rows, total = feeds.look()

    def picture() -> Group:
        shown = make_table(rows, total, console, console.height)
        return Group(shown, Text("q or Ctrl-C quits", "dim"))

    live = Live(picture(), console=console, screen=True, auto_refresh=False)
    with contextlib.suppress(KeyboardInterrupt), _keys() as pressed:
        try:
            live.start(refresh=True)
            while not pressed(interval):
                rows, total = feeds.look()
                live.update(picture(), refresh=True)
        finally:
            live.stop()  # also of a start that was interrupted, where __exit__ is not called
    console.print(make_table(rows, total, console))
    say(feeds.summary(feeds.look()[1]))


class _Keys:
    """Waits for somebody to press q."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor

    def __call__(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            if self._descriptor is None:
                time.sleep(left)
                continue
            if not select.select([self._descriptor], [], [], left)[0]:
                continue
            read = os.read(self._descriptor, 64)
            if not read:  # nobody will press anything any more
                self._descriptor = None
            elif b"q" in read.lower():
                return True
        return False


@contextlib.contextmanager
def _keys() -> Iterator[_Keys]:
    """Let keys be read as they are pressed, if there is a keyboard."""
    if not HAS_TERMIOS or sys.stdin is None or not sys.stdin.isatty():
        yield _Keys(None)
        return
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    try:
        tty.setcbreak(descriptor)
        yield _Keys(descriptor)
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
