"""The promise: a slow, blocked or busy Python never drops a feed.

The server, on websockets, runs in a process of its own. It sends numbered messages to each
connection every 10 ms, pings every 0.2 s, and ends a connection that takes longer than 1 s to
answer one.
"""

import asyncio
import contextlib
import ctypes
import json
import subprocess
import sys
import threading
import time

import pytest
import websockets.asyncio.client
import websockets.sync.client
from tests.support.pull_servers import wait_until
from websockets.exceptions import ConnectionClosedError

from wspool import EndpointPool, Status

BLOCKED = 3.0
GIL_HELD = 2.0


@pytest.fixture(scope="module")
def uri(repo_root):
    """The URI of the numbering server."""
    script = repo_root / "tests" / "support" / "servers" / "numbered_server.py"
    with subprocess.Popen(
        [sys.executable, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        try:
            yield f"ws://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


def hold_the_gil(seconds):
    """Call C code that blocks and does not release the GIL, as many an extension does."""
    ctypes.PyDLL(None).usleep(int(seconds * 1_000_000))


class Feed:
    """A connection to the numbering server, and what it brought."""

    def __init__(self, endpoint, uri, block=lambda: None):
        self.block = block
        self.numbers = []
        self.sent = []  # by the clock of the server, which is ours
        self.delays = []  # seconds between the server's send and the callback
        self.report = None
        self.closes = []
        self.errors = []
        self.connection = endpoint.create_new_connection(
            uri,
            on_message=self.on_message,
            on_close=lambda connection, code, reason: self.closes.append((code, reason)),
            on_error=lambda connection, error: self.errors.append(error),
        )
        assert self.connection.opened.result(20) is Status.OPENED, self.connection.error

    def on_message(self, connection, message):
        if message.text.startswith("{"):
            self.report = json.loads(message.text)
            return
        number, sent_at = message.text.split()
        self.numbers.append(int(number))
        self.delays.append(time.time() - float(sent_at))
        self.sent.append(float(sent_at))
        self.block()

    def finish(self):
        """Make the server stop; check that it has seen nothing, and that nothing is missing."""
        self.connection.send("stop")
        self.connection.wait_closed(20)
        assert self.closes == [(1000, "")]
        assert self.connection.error is None
        assert self.errors == []
        assert self.numbers == list(range(self.report["sent"]))
        assert self.report["slowest"] < 1


def wait_for_normal_delivery(*feeds):
    """Wait until the backlog is worked off, and ten new messages came without delay."""
    now = time.time()

    def is_normal(feed):
        return len(feed.sent) > 10 and feed.sent[-10] > now and max(feed.delays[-10:]) < 0.3

    wait_until(lambda: all(is_normal(feed) for feed in feeds))


class Once:
    """Blocks at the given call; callable from callbacks."""

    def __init__(self, block, at):
        self.block = block
        self.calls_left = at
        self.began = threading.Event()
        self.ended = threading.Event()

    def __call__(self):
        self.calls_left -= 1
        if self.calls_left == 0:
            self.began.set()
            self.block()
            self.ended.set()


class TestCallbackBlocks:
    def test_websockets_loses_its_connection(self, uri):
        """A handler that blocks for 3 s costs a client of websockets its connection."""

        async def listen():
            async with websockets.asyncio.client.connect(uri, proxy=None) as connection:
                block = Once(lambda: time.sleep(BLOCKED), at=5)
                async for _ in connection:
                    block()

        with pytest.raises(ConnectionClosedError) as raised:
            asyncio.run(asyncio.wait_for(listen(), 30))
        assert raised.value.rcvd.code == 1011
        assert raised.value.rcvd.reason == "no pong within 1 s"

    @pytest.mark.parametrize(
        "block",
        [
            pytest.param(lambda: time.sleep(BLOCKED), id="sleeping"),
            pytest.param(lambda: hold_the_gil(BLOCKED), id="holding_the_gil"),
        ],
    )
    def test_nothing_is_lost(self, uri, block):
        """The same handler costs us nothing, and the other connection of the endpoint neither."""
        once = Once(block, at=5)
        with EndpointPool(1) as pool:
            blocked, other = Feed(pool[0], uri, once), Feed(pool[0], uri)
            assert once.began.wait(20)
            assert once.ended.wait(20)
            # Callbacks of an endpoint run one at a time: those of the other waited too.
            wait_for_normal_delivery(blocked, other)
            for feed in (blocked, other):
                assert feed.connection.status is Status.OPENED
                assert max(feed.delays) > BLOCKED / 2
                # 100 a second for 3 s at least; a server on a busy machine may be slower.
                assert len(feed.numbers) > 100
                feed.finish()
                assert feed.report["pings"] >= 5
                print(feed.report)

    def test_again_and_again(self, uri):
        """A callback that blocks at every 20th message for 0.3 s costs nothing either."""
        count = [0]

        def block():
            count[0] += 1
            if count[0] % 20 == 0:
                time.sleep(0.3)

        with EndpointPool(1) as pool:
            blocked, other = Feed(pool[0], uri, block), Feed(pool[0], uri)
            wait_until(lambda: count[0] >= 300, timeout=60)
            blocked.block = lambda: None
            wait_for_normal_delivery(blocked, other)
            blocked.finish()
            other.finish()

    def test_while_it_blocks(self, uri):
        """Meanwhile other threads send, ping, and use the connections of the endpoint."""
        go_on = threading.Event()
        once = Once(lambda: go_on.wait(60), at=5)
        with EndpointPool(1) as pool:
            blocked, other = Feed(pool[0], uri, once), Feed(pool[0], uri)
            assert once.began.wait(20)
            for feed in (blocked, other):
                before = feed.connection.statistics.bytes_received
                wait_until(
                    lambda feed=feed, before=before: (
                        feed.connection.statistics.bytes_received > before + 1000
                    )
                )
                assert feed.connection.latency < 20
            # Connections are made meanwhile, up to where their callback would come.
            third = pool[0].create_new_connection(uri)
            wait_until(lambda: third.response is not None)
            assert not third.opened.done()
            third.close()
            go_on.set()
            third.wait_closed(20)
            wait_for_normal_delivery(blocked, other)
            blocked.finish()
            other.finish()


class TestMainThreadHoldsTheGIL:
    def test_websockets_loses_its_connection(self, uri):
        """A C call that holds the GIL for 2 s costs a client of websockets its connection."""
        lost = []

        def listen():
            with websockets.sync.client.connect(uri, proxy=None) as connection:
                try:
                    for _ in connection:
                        listening.set()
                except ConnectionClosedError as error:
                    lost.append(error)

        listening = threading.Event()
        thread = threading.Thread(target=listen)
        thread.start()
        assert listening.wait(20)
        hold_the_gil(GIL_HELD)
        thread.join(30)
        assert [error.rcvd.code for error in lost] == [1011]

    def test_nothing_is_lost(self, uri):
        """The same call costs us nothing, on no connection and on no endpoint."""
        with EndpointPool(2) as pool, contextlib.ExitStack() as stack:
            feeds = [Feed(endpoint, uri) for endpoint in pool for _ in range(2)]
            # Whatever happens, no connection waits for a server that goes on for ever.
            stack.callback(lambda: [feed.connection.abort() for feed in feeds])
            wait_until(lambda: all(len(feed.numbers) > 5 for feed in feeds))
            hold_the_gil(GIL_HELD)
            wait_for_normal_delivery(*feeds)
            for feed in feeds:
                assert feed.connection.status is Status.OPENED
                assert max(feed.delays) > GIL_HELD / 2
                feed.finish()
                print(feed.report)
