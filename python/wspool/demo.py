"""The demonstration: the pool from Python, the pool from C++, and a replayed market-data feed.

    wspool demo [--connections 50] [--messages 25000] [--examples DIR] [--captures DIR]

Everything runs on loopback, over TLS that verifies: the servers make a throw-away CA at their
start, and the clients trust that CA and no other.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import os
import resource
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from . import testing
from .events import Status
from .pool import EndpointPool
from .tls import TLS

if TYPE_CHECKING:
    from .connection import Connection
    from .native import Message
    from .pool import Endpoint

__all__ = ["add_arguments", "main", "run"]

log = logging.getLogger("demo")


def _print(text: str, end: str = "\n") -> None:
    sys.stdout.write(text + end)
    sys.stdout.flush()


def headline(text: str) -> None:
    """Print the title of a part."""
    _print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n{text}")


# --- 1. the C++ example, from Python ---


def one_endpoint(index: int, endpoint: Endpoint, server: testing.LoopbackServer) -> bool:
    """Connect, wait until open, send, wait for the echo, close; log every step."""
    greeting = f"Hello from endpoint {index}"
    echoed = threading.Event()

    def on_open(connection: Connection) -> None:
        log.info("endpoint %d: connection %d opened", index, connection.id)

    def on_message(connection: Connection, message: Message) -> None:  # noqa: ARG001
        log.info("endpoint %d: received %r", index, message.text)
        if message == greeting:
            echoed.set()

    def on_close(connection: Connection, code: int, reason: str) -> None:  # noqa: ARG001
        log.info("endpoint %d: closed with code %d", index, code)

    connection = endpoint.create_new_connection(
        server.uri,
        on_open=on_open,
        on_message=on_message,
        on_close=on_close,
        ssl=TLS(ca_file=server.ca_file),
    )
    log.info("endpoint %d: connecting to %s", index, server.uri)
    if connection.opened.result(timeout=10) is not Status.OPENED:
        log.error("endpoint %d: failed: %s", index, connection.error)
        return False
    connection.send(greeting)
    log.info("endpoint %d: sent %r", index, greeting)
    complete = echoed.wait(timeout=10)
    connection.close()
    connection.wait_closed(timeout=10)
    return complete


def from_python() -> bool:
    """Run `one_endpoint` on a Python thread for each endpoint of the pool."""
    pool = EndpointPool.instance()
    log.info("endpoints in the pool: %d", pool.max_index() + 1)
    results: list[bool] = []
    with testing.echo(tls=True) as server:
        threads = [
            threading.Thread(
                name=f"python-{i}",
                target=lambda i=i, e=e: results.append(one_endpoint(i, e, server)),
            )
            for i, e in enumerate(pool)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return len(results) == len(pool) and all(results)


# --- 2. the C++ example itself ---


def from_cpp(directory: Path | None) -> bool:
    """Run the built C++ examples against the same kind of server; without them, nothing."""
    if directory is None:
        _print("  skipped: it needs the C++ examples; --examples DIR says where they are built")
        return True
    fine = True
    with testing.echo(tls=True) as server:
        environment = {**os.environ, "SSL_CERT_FILE": server.ca_file or ""}
        for name in ("simple", "multithreading"):
            program = directory / name
            if not program.exists():
                _print(f"{program} is not there: `make build` builds it")
                return False
            _print(f"$ {name} {server.uri}")
            done = subprocess.run(  # noqa: S603  # what the user built
                [program, server.uri], env=environment, timeout=60, check=False
            )
            fine = fine and done.returncode == 0
    return fine


# --- 3. a market-data feed ---


@dataclasses.dataclass
class Tally:
    """What one connection received; each belongs to the thread that delivers to it."""

    messages: int = 0
    bytes: int = 0
    crc32: int = 0

    def on_message(self, connection: Connection, message: Message) -> None:  # noqa: ARG002
        """Count a message. `message` gives its bytes by the buffer protocol, without a copy."""
        self.messages += 1
        self.bytes += len(message)
        self.crc32 = zlib.crc32(message, self.crc32)


def serve_feed(messages: Sequence[str], source: str) -> None:
    """Be the feed's server, in a process of its own, until the standard input ends."""
    with testing.replay(messages, tls=True, start="message") as server:
        hello = {"uri": server.uri, "ca_file": server.ca_file, "source": source}
        _print(json.dumps(hello | {"messages": len(messages)}))
        sys.stdin.read()
        server.wait_idle(timeout=10)
        _print(json.dumps([dataclasses.asdict(c) for c in server.connections]))


def cpu_seconds() -> float:
    """CPU time of this process so far, user and system."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def show_progress(tallies: list[Tally], expected: int, started: float, last: bool = False) -> None:
    """Print one line: in place on a terminal."""
    messages = sum(t.messages for t in tallies)
    elapsed = max(time.monotonic() - started, 1e-9)
    line = (
        f"  {messages:>10,} of {expected:,} messages   {messages / elapsed:>10,.0f} /s   "
        f"{sum(t.bytes for t in tallies) / 1e6:>8,.1f} MB   {elapsed:4.1f} s"
    )
    if sys.stdout.isatty():
        _print(f"\r{line}", end="\n" if last else "")
    else:
        _print(line)


def feed(connections: int, messages: int, captures: Path | None) -> bool:
    """Replay the feed to many connections over the pool; compare with what the server sent."""
    command = [sys.executable, "-m", "wspool.demo", "--serve", "--messages", str(messages)]
    if captures is not None:
        command += ["--captures", str(captures)]
    with subprocess.Popen(  # noqa: S603  # this module
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        try:
            greeting = server.stdout.readline()
            if not greeting:
                _print("  the feed's server did not start")
                return False
            hello = json.loads(greeting)
            expected = hello["messages"] * connections
            _print(
                f"{hello['messages']:,} messages ({hello['source']}) to each of {connections} "
                f"connections on {len(EndpointPool.instance())} endpoints"
            )
            tallies, fine, elapsed, cpu = receive_feed(hello, connections, expected)
        finally:
            server.stdin.close()
        records = json.loads(server.stdout.readline())
    return report(records, tallies, elapsed, cpu) and fine


def receive_feed(
    hello: dict[str, str], connections: int, expected: int
) -> tuple[list[Tally], bool, float, float]:
    """Connect, start the feed on all connections at once, and wait for its end."""
    pool = EndpointPool.instance()
    tls = TLS(ca_file=hello["ca_file"])
    tallies = [Tally() for _ in range(connections)]
    opened = [
        pool.get_endpoint().create_new_connection(
            f"{hello['uri']}/feed/{i}", on_message=tally.on_message, ssl=tls
        )
        for i, tally in enumerate(tallies)
    ]
    for connection in opened:
        if connection.opened.result(timeout=30) is not Status.OPENED:
            _print(f"  {connection!r}: {connection.error}")
            return tallies, False, 1.0, 0.0
    started, cpu_before = time.monotonic(), cpu_seconds()
    for connection in opened:
        connection.send("start")
    step = 0.1 if sys.stdout.isatty() else 1.0
    shown = started
    while any(c.status is not Status.CLOSED for c in opened):
        time.sleep(0.02)
        if time.monotonic() - shown >= step:
            shown = time.monotonic()
            show_progress(tallies, expected, started)
        if time.monotonic() - started > 300:
            _print("  the feed did not end within 300 s")
            break
    for connection in opened:
        connection.wait_closed(timeout=10)
    elapsed, cpu = time.monotonic() - started, cpu_seconds() - cpu_before
    show_progress(tallies, expected, started, last=True)
    return tallies, True, elapsed, cpu


def report(
    records: list[dict[str, object]], tallies: list[Tally], elapsed: float, cpu: float
) -> bool:
    """Print the table; True if every connection received exactly what the server sent to it."""
    sent = {str(r["path"]): r for r in records}
    lost = different = 0
    for i, tally in enumerate(tallies):
        record = sent.get(f"/feed/{i}")
        if record is None:
            different += 1
            continue
        lost += int(str(record["messages_sent"])) - tally.messages
        same = (record["messages_sent"], record["payload_bytes_sent"], record["crc32_sent"]) == (
            tally.messages,
            tally.bytes,
            tally.crc32,
        )
        different += not same
    messages = sum(t.messages for t in tallies)
    rows = [
        ("messages", f"{messages:,}"),
        ("bytes", f"{sum(t.bytes for t in tallies):,}"),
        ("messages a second", f"{messages / elapsed:,.0f}"),
        ("CPU time a message", f"{cpu / max(messages, 1) * 1e9:,.0f} ns"),
        ("connections whose count, bytes and CRC-32 match", f"{len(tallies) - different}"),
        ("connections that differ", f"{different}"),
        ("lost", f"{lost}"),
    ]
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        _print(f"  {name:<{width}}  {value:>16}")
    return lost == 0 and different == 0 and messages > 0


# --- all of it ---


def _at_least_one(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


_at_least_one.__name__ = "whole number"  # what argparse calls it


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the demonstration's options to a parser."""
    parser.add_argument(
        "--connections",
        type=_at_least_one,
        default=50,
        metavar="N",
        help="of the feed (%(default)s)",
    )
    parser.add_argument(
        "--messages",
        type=_at_least_one,
        default=25_000,
        metavar="N",
        help="generated for each connection where there are no captures (%(default)s)",
    )
    parser.add_argument(
        "--examples", type=Path, metavar="DIR", help="built C++ examples to run as well"
    )
    parser.add_argument(
        "--captures", type=Path, metavar="DIR", help="captured feeds, *.tsv.gz, to replay instead"
    )
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)


def run(arguments: argparse.Namespace) -> int:
    """Run all parts; the exit code is 0 if each did what it should."""
    captures: Path | None = arguments.captures
    if captures is not None and not captures.is_dir():
        captures = None
    if arguments.serve:
        if captures is not None:
            serve_feed(testing.load_captures(captures), "captures of six exchanges")
        else:
            serve_feed(testing.market_data(arguments.messages), "generated messages")
        return 0
    logging.basicConfig(
        level=logging.INFO, format="%(relativeCreated)6d ms  %(threadName)-10s %(message)s"
    )
    headline("1. One Python thread for each endpoint of the pool")
    results = [from_python()]
    headline("2. The same from C++")
    results.append(from_cpp(arguments.examples))
    headline("3. A market-data feed")
    results.append(feed(arguments.connections, arguments.messages, captures))
    headline("All parts did what they should." if all(results) else "A part FAILED; see above.")
    return 0 if all(results) else 1


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demonstration as a program of its own."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add_arguments(parser)
    try:
        return run(parser.parse_args(argv))
    except KeyboardInterrupt:  # reaches the server's process as well
        return 130


if __name__ == "__main__":
    sys.exit(main())
