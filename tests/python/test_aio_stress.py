"""Many asyncio connections, for long, against servers that die.

Short here; WSPOOL_STRESS_CONNECTS and WSPOOL_STRESS_SECONDS make it as long as wanted.
"""

import asyncio
import gc
import logging
import os
import random
import threading
import time

import pytest
from tests.support.pull_clients import LOOPS, running

import wspool
import wspool.testing

CONNECTS = int(os.environ.get("WSPOOL_STRESS_CONNECTS", "1500"))
SECONDS = float(os.environ.get("WSPOOL_STRESS_SECONDS", "4"))
AT_ONCE = 20
#: Of memory, for all connects together: a leak of one object a connection would pass it.
MOST_GROWTH = 2 * 2**20 + 100 * CONNECTS


def resources():
    """Return the open descriptors, the threads and the resident bytes of this process."""
    gc.collect()
    with open("/proc/self/statm") as statm:
        resident = int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    with open("/proc/self/status") as status:
        threads = next(int(line.split()[1]) for line in status if line.startswith("Threads:"))
    return len(os.listdir("/proc/self/fd")), threads, resident


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="reads /proc")
@pytest.mark.parametrize("kind", LOOPS)
def test_connects_leave_nothing(kind, caplog):
    """Thousands of connects and closes leave descriptors, threads and memory where they were."""

    caplog.set_level(logging.WARNING, logger="wspool")  # what is captured takes memory as well

    async def connect_often(uri, count):
        for _ in range(count):
            async with wspool.aio.connect(uri) as ws:
                await ws.send("x")
                assert await ws.recv() == "x"

    async def main(uri, count):
        await asyncio.gather(*(connect_often(uri, count // AT_ONCE) for _ in range(AT_ONCE)))

    # The server keeps a record of every connection, so each part has one of its own.
    with running(kind) as run:
        with wspool.testing.echo() as server:
            run(main(server.uri, CONNECTS))  # until all that is kept is there
        before = resources()
        with wspool.testing.echo() as server:
            run(main(server.uri, CONNECTS), timeout=600)
        after = resources()
        run(asyncio.sleep(0))
    print(f"{kind}: {CONNECTS} connects: {before} -> {after}")
    assert after[0] <= before[0]
    assert after[1] <= before[1]
    assert after[2] - before[2] < MOST_GROWTH


class Restarting:
    """An echo server that loses its connections, and itself, again and again."""

    def __init__(self):
        self._server = wspool.testing.echo()
        self.port = self._server.port
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.deaths = 0

    @property
    def uri(self):
        return f"ws://127.0.0.1:{self.port}"

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()
        self._server.close()

    def _run(self):
        randomly = random.Random(1)
        while not self._stop.wait(0.1 + randomly.random() * 0.4):
            self.deaths += 1
            how = randomly.randrange(3)
            if how == 0:
                self._server.abort_connections()
            elif how == 1:
                self._server.close_connections(1012)
            else:
                self._server.close()
                self._server = wspool.testing.echo(port=self.port)


class Worker:
    """One connection after the other; every message is answered, or its connection has ended."""

    def __init__(self, number):
        self.randomly = random.Random(number)
        self.connections = self.answered = self.given_up = 0

    async def work(self, uri, until):
        while time.monotonic() < until:
            try:
                async with wspool.aio.connect(uri, open_timeout=20, close_timeout=5) as ws:
                    self.connections += 1
                    await self.talk(ws, until)
            except (OSError, wspool.ConnectionClosed, wspool.InvalidHandshake):
                await asyncio.sleep(self.randomly.random() * 0.05)

    async def talk(self, ws, until):
        sent = received = 0
        try:
            while time.monotonic() < until:
                for _ in range(self.randomly.randrange(1, 6)):
                    # Counted first: a send that is given up has still been sent, or not.
                    await ws.send(f"{ws.id} {sent}")
                    sent += 1
                while received < sent:
                    message = await self.receive(ws)
                    if message is not None:
                        assert message == f"{ws.id} {received}"
                        received += 1
        finally:
            self.answered += received

    async def receive(self, ws):
        """Receive a message, or give it up by a cancellation or a timeout."""
        how = self.randomly.randrange(4)
        if how == 0:
            try:
                return await ws.recv(timeout=self.randomly.random() * 0.002)
            except TimeoutError:
                self.given_up += 1
                return None
        if how == 1:
            task = asyncio.ensure_future(ws.recv())
            for _ in range(self.randomly.randrange(4)):
                await asyncio.sleep(0)
            task.cancel()
            try:
                return await task
            except asyncio.CancelledError:
                self.given_up += 1
                return None
        return await ws.recv()


@pytest.mark.parametrize("kind", LOOPS)
def test_deaths_and_cancels(kind):
    """With cancels, timeouts and deaths of the server nothing is lost, and nothing hangs.

    That no task is left and that the loop has nothing to complain of, `running` checks.
    """
    workers = [Worker(number) for number in range(200)]

    async def main(uri):
        until = time.monotonic() + SECONDS
        await asyncio.gather(*(worker.work(uri, until) for worker in workers))

    with Restarting() as server, running(kind) as run:
        run(main(server.uri), timeout=SECONDS + 60)
    totals = [
        sum(getattr(w, name) for w in workers) for name in vars(workers[0]) if name != "randomly"
    ]
    print(f"{kind}: {SECONDS} s, {server.deaths} deaths: connections, answers, given up: {totals}")
    assert server.deaths > 1
    assert all(totals)
