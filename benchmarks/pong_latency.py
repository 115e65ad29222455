"""How long does a server wait for its pongs while Python holds the GIL?

    build/bench-venv/bin/python -m benchmarks.pong_latency [--seconds 10] [--json FILE]

A server, on uvloop in a process of its own, sends 50,000 messages a second in all on 100
connections, and a ping on each every 20 ms, right behind the messages that are due. It takes the
time from before it writes a ping until it has read the pong: its own delays included, and so it
says how late its own timers were ("late"). In the client's process a thread holds the GIL: in a
Python loop without pause, or in C calls of 200 ms each that do not release it. Exit status 1 if a
client of wspool has a 99th percentile above 100 ms, or leaves a ping without an answer.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import ctypes
import hashlib
import json
import os
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import uvloop

import wspool
import wspool.aio

from .clients.wspool_stream import fields_of
from .feeds import messages_of
from .measure import Worker
from .spec import Feed

CONNECTIONS = 100
#: On each connection, between two pings, in seconds,
EVERY = 0.02
#: and messages each time: 50,000 a second in all.
BURST = 10
BAR_MS = 100.0
_WARM_UP = 1.0
#: For the last pongs.
_LINGER = 2.0
_HELD = 200_000  # microseconds of a C call
_ROOT = Path(__file__).parents[1]
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

# --- the server ------------------------------------------------------------------------------


class _Times:
    """Of pings sent while it is open, and how late the timers were that sent them."""

    def __init__(self) -> None:
        self.opened = False
        self.sent = 0
        self.messages = 0
        self.latencies: list[int] = []
        self.late: list[float] = []
        #: By time.monotonic_ns().
        self.begun = self.closed = 2**63
        self.ended = False


class _Serving(asyncio.Protocol):
    """One connection: RFC 6455 as far as this client needs it."""

    def __init__(self, times: _Times, bursts: list[bytes], made: list[_Serving]) -> None:
        self._times = times
        self._bursts = bursts
        self._made = made
        self._data = b""
        self._upgraded = False
        self._number = len(made)
        self._next = 0.0
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._transport = None

    @property
    def lost(self) -> bool:
        return self._transport is None

    def data_received(self, data: bytes) -> None:
        now = time.monotonic_ns()
        self._data += data
        if not self._upgraded:
            self._upgrade()
            return
        at = 0
        while len(self._data) - at >= 6:
            size = self._data[at + 1] & 0x7F
            end = at + 6 + size
            if size > 125 or len(self._data) < end:
                break
            if self._data[at] == 0x8A and size == 8:
                mask, payload = struct.unpack_from("!IQ", self._data, at + 2)
                begun = payload ^ (mask << 32 | mask)
                if self._times.begun <= begun < self._times.closed:
                    self._times.latencies.append(now - begun)
            at = end
        self._data = self._data[at:]

    def _upgrade(self) -> None:
        if b"\r\n\r\n" not in self._data or self._transport is None:
            return
        (key,) = (
            line.partition(b":")[2].strip()
            for line in self._data.split(b"\r\n")
            if line.lower().startswith(b"sec-websocket-key:")
        )
        accept = base64.b64encode(hashlib.sha1(key + _GUID).digest())
        self._transport.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        self._data = b""
        self._upgraded = True
        self._made.append(self)
        # Spread over the interval, not all at once.
        self._next = self._loop.time() + EVERY * self._number / CONNECTIONS
        self._loop.call_at(self._next, self._tick)

    def _tick(self) -> None:
        if self._transport is None or self._transport.is_closing() or self._times.ended:
            return
        self._number += 1
        now = time.monotonic_ns()
        burst = self._bursts[self._number % len(self._bursts)]
        self._transport.write(burst + struct.pack("!BBQ", 0x89, 8, now))
        if self._times.opened:
            self._times.sent += 1
            self._times.messages += BURST
            self._times.late.append(now / 1e9 - self._next)
        self._next += EVERY
        self._loop.call_at(self._next, self._tick)


def _frame(text: str) -> bytes:
    payload = text.encode()
    if len(payload) < 126:
        return struct.pack("!BB", 0x81, len(payload)) + payload
    return struct.pack("!BBH", 0x81, 126, len(payload)) + payload


async def _serve(seconds: float) -> None:
    """Print the port; measure once a line has come; print what was found."""
    frames = [_frame(text) for text in messages_of(Feed("replay", "trades", number=2000))]
    bursts = [b"".join(frames[at : at + BURST]) for at in range(0, len(frames), BURST)]
    times, made = _Times(), []
    server = await asyncio.get_running_loop().create_server(
        lambda: _Serving(times, bursts, made), "127.0.0.1", 0, backlog=CONNECTIONS
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    await asyncio.sleep(_WARM_UP)
    times.begun, times.opened = time.monotonic_ns(), True
    begun = time.monotonic()
    await asyncio.sleep(seconds)
    times.opened, times.closed = False, time.monotonic_ns()
    took = time.monotonic() - begun
    sent = times.sent
    deadline = time.monotonic() + _LINGER
    # Pings go on, so that this is no better than the rest.
    while len(times.latencies) < sent and time.monotonic() < deadline:  # noqa: ASYNC110
        await asyncio.sleep(EVERY)
    times.ended = True
    ordered = sorted(times.latencies)
    late = sorted(times.late)
    found: dict[str, Any] = {
        "per_second": times.messages / took,
        "pings": sent,
        "unanswered": max(0, sent - len(ordered)),
        "late_p99_ms": late[len(late) * 99 // 100] * 1e3,
        "lost": sum(one.lost for one in made) + CONNECTIONS - len(made),
    }
    if ordered:
        found |= {
            "p50_ms": ordered[len(ordered) // 2] / 1e6,
            "p99_ms": ordered[len(ordered) * 99 // 100] / 1e6,
            "max_ms": ordered[-1] / 1e6,
        }
    print(json.dumps(found), flush=True)


# --- the clients -----------------------------------------------------------------------------

Report: TypeAlias = "Callable[[], dict[str, int]]"
Ready: TypeAlias = "Callable[[Report], None]"


def _pauses(connections: Any) -> int:
    return sum(one.statistics.pauses for one in connections)


def _callbacks(uri: str, ready: Ready, pool: wspool.EndpointPool) -> None:
    count = 0

    def on_message(_connection: wspool.Connection, _message: wspool.Message) -> None:
        nonlocal count
        count += 1

    connections = [
        pool.get_endpoint().create_new_connection(uri, on_message=on_message, compression=None)
        for _ in range(CONNECTIONS)
    ]
    for connection in connections:
        if connection.opened.result() is not wspool.Status.OPENED:
            raise connection.error or RuntimeError("not opened")
    ready(lambda: {"received": count, "pauses": _pauses(connections)})


async def _aio(uri: str, ready: Ready) -> None:
    count = 0

    async def take(connection: wspool.aio.ClientConnection) -> None:
        nonlocal count
        while True:
            received = len(await connection.recv_many())
            count += received  # not in one line: count would be read before the wait

    connections = [await wspool.aio.connect(uri, compression=None) for _ in range(CONNECTIONS)]
    tasks = [asyncio.create_task(take(connection)) for connection in connections]
    report = {"received": 0, "pauses": 0}
    await asyncio.to_thread(
        ready, lambda: {**report, "received": count, "pauses": _pauses(connections)}
    )
    del tasks


def _stream(uri: str, ready: Ready) -> None:
    count = 0
    fields = fields_of("trades")

    with wspool.stream([uri] * CONNECTIONS, fields=fields, compression=None) as batches:

        def take() -> None:
            nonlocal count
            for batch in batches:
                count += len(batch)

        threading.Thread(target=take, daemon=True).start()
        ready(lambda: {"received": count, "pauses": _pauses(batches.connections)})


async def _picows(uri: str, ready: Ready) -> None:
    from picows import WSFrame, WSListener, WSTransport, ws_connect

    count = 0

    class Counting(WSListener):
        def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:  # noqa: ARG002
            nonlocal count
            count += 1

    connections = [await ws_connect(Counting, uri) for _ in range(CONNECTIONS)]
    await asyncio.to_thread(ready, lambda: {"received": count, "pauses": 0})
    del connections


CLIENTS: dict[str, Callable[[str, Ready], None]] = {
    "callbacks": lambda uri, ready: _callbacks(uri, ready, wspool.EndpointPool.instance()),
    "callbacks-1": lambda uri, ready: _callbacks(uri, ready, wspool.EndpointPool(1)),
    "aio": lambda uri, ready: asyncio.run(_aio(uri, ready)),
    "stream": _stream,
    "picows": lambda uri, ready: uvloop.run(_picows(uri, ready)),
}


def _call_c() -> None:
    usleep = ctypes.PyDLL(None).usleep
    while True:
        usleep(_HELD)


HOLDS: dict[str, Callable[[], threading.Thread] | None] = {
    "nothing": None,
    "Python loop": Worker,
    "200 ms C calls": lambda: threading.Thread(target=_call_c, daemon=True),
}


def _be_client(name: str, hold: str, uri: str) -> None:
    """Connect, hold the GIL, tell, and report once a line has come."""

    def ready(report: Report) -> None:
        make = HOLDS[hold]
        if make is not None:
            make().start()
        print("ready", flush=True)
        sys.stdin.readline()
        print(json.dumps(report()), flush=True)
        os._exit(0)  # a hundred connections need not be closed one by one

    CLIENTS[name](uri, ready)


# --- the runner ------------------------------------------------------------------------------


class _Process:
    """Lines to it and from it; killed at the end."""

    def __init__(self, *arguments: str) -> None:
        self._popen = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.pong_latency", *arguments],
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def read(self) -> str:
        assert self._popen.stdout is not None
        line = self._popen.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._popen.args} ended early")
        return line.strip()

    def go_on(self) -> None:
        assert self._popen.stdin is not None
        self._popen.stdin.write("\n")
        self._popen.stdin.flush()

    def __enter__(self) -> _Process:
        return self

    def __exit__(self, *_: object) -> None:
        self._popen.kill()
        self._popen.communicate()


def measure(client: str, hold: str, seconds: float) -> dict[str, Any]:
    """Run one client once, beside what holds the GIL; returns what both sides found."""
    with _Process("--serve", "--seconds", str(seconds)) as server:
        uri = f"ws://127.0.0.1:{server.read()}"
        with _Process("--be", client, "--hold", hold, "--uri", uri) as process:
            process.read()
            server.go_on()
            found: dict[str, Any] = json.loads(server.read())
            process.go_on()
            return {"client": client, "hold": hold, **found, **json.loads(process.read())}


def _missed(found: dict[str, Any]) -> bool:
    late = found.get("p99_ms", BAR_MS + 1) > BAR_MS
    return found["client"] != "picows" and (late or found["unanswered"] > 0 or found["lost"] > 0)


def _line(*cells: str) -> str:
    widths = (11, 15, 8, 8, 8, 8, 8, 8, 10, 10, 7)
    return " ".join(
        cell.ljust(width) if at < 2 else cell.rjust(width)
        for at, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )


def _row(found: dict[str, Any]) -> str:
    times = [f"{found[name]:.2f}" if name in found else "-" for name in ("p50_ms", "p99_ms")]
    return _line(
        found["client"],
        found["hold"],
        *times,
        f"{found['max_ms']:.1f}" if "max_ms" in found else "-",
        f"{found['late_p99_ms']:.1f}",
        f"{found['pings']:,}",
        f"{found['unanswered']:,}",
        f"{found['per_second']:,.0f}",
        f"{found['received']:,}",
        f"{found['pauses']:,}",
    )


def main() -> int:
    """Run all; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=10.0, help="of each run (10)")
    parser.add_argument("--client", help=f"of {', '.join(CLIENTS)}, with commas; all")
    parser.add_argument("--json", type=Path, help="where the figures go as JSON")
    for name in ("--be", "--hold", "--uri"):  # for its own processes
        parser.add_argument(name, help=argparse.SUPPRESS)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve or options.be:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the runner's matter
    if options.serve:
        uvloop.run(_serve(options.seconds))
        return 0
    if options.be:
        _be_client(options.be, options.hold, options.uri)
        return 0
    names = options.client.split(",") if options.client else list(CLIENTS)
    if unknown := sorted(set(names) - set(CLIENTS)):
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(CLIENTS)}")
    print(
        _line(
            *("client", "GIL held by", "p50 ms", "p99 ms", "max ms", "late", "pings", "no pong"),
            *("messages/s", "received", "pauses"),
        )
    )
    results = []
    for hold in HOLDS:
        for name in names:
            results.append(measure(name, hold, options.seconds))
            print(_row(results[-1]), flush=True)
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    missed = [found for found in results if _missed(found)]
    for found in missed:
        print(f"missed: {found['client']} beside {found['hold']}: p99 must be <= {BAR_MS:.0f} ms")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
