"""Who stays connected when Python does not keep up: the peers, and we.

Case by case, the peers lose their connection first, and ours goes on without losing a message. No
time is asserted; connections live or die. WSPOOL_LONG=1 makes what blocks for seconds block for
a minute.
"""

import contextlib
import ctypes
import json
import logging
import os
import re
import subprocess
import sys
import threading
import time
import weakref

import pytest
from tests.support.liveness_clients import OURS, PEERS, Consumer
from tests.support.pull_servers import wait_until as eventually

import wspool
import wspool.testing

#: A consumer that takes so long for a message,
PAUSE = 0.05
#: for so many messages.
SLOW = 100
#: Bytes: more than sockets and queues take in, so that the server is sending all the while.
FLOOD = 40_000_000
#: Messages of so many bytes.
SMALL, LARGE = 1000, 16_000
KEEPALIVE = 1.0
BLOCKED = 2.6
LONG = 60.0 if os.environ.get("WSPOOL_LONG") == "1" else 4.0
#: How long the server goes on after a block.
AFTERWARDS = 2.5
HUNG_UP_ON = "1011 no pong within 1 s"
#: How picows pings makes no difference where it is the server that pings.
HANDLERS = [name for name in PEERS if name != "picows-when-idle"]


@pytest.fixture(scope="module")
def uri(repo_root):
    """The URI of a server that pings every second and hangs up after one more, less the path."""
    script = repo_root / "tests" / "support" / "liveness_server.py"
    with subprocess.Popen(
        [sys.executable, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        try:
            yield f"ws://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


@contextlib.contextmanager
def flood(size):
    """A server that sends numbered messages as fast as it can; it answers pings in their turn."""
    padding = "x" * size
    messages = [
        json.dumps({"e": "number", "n": number, "pad": padding}) for number in range(FLOOD // size)
    ]
    with wspool.testing.replay(messages) as server:
        yield server


def hold_the_gil(seconds):
    """Call C code that blocks and does not release the GIL, as many an extension does."""
    ctypes.PyDLL(None).usleep(int(seconds * 1_000_000))


class Running(threading.Thread):
    """A client in a thread of its own."""

    def __init__(self, name, uri, consumer):
        super().__init__(name=name)
        self.consumer = consumer
        self.how = None
        self._client = {**OURS, **PEERS}[name]
        self._uri = uri
        self.start()

    def run(self):
        try:
            self.how = self._client(self._uri, self.consumer)
        except Exception as error:  # noqa: BLE001
            self.how = repr(error)

    def finish(self):
        self.join(LONG + 60)
        assert not self.is_alive(), self.name
        return self.how


def check_complete(numbers, report, pings):
    """Check that nothing is missing, and that the server had each of its pongs in time."""
    assert numbers == list(range(report["sent"]))
    assert report["pings"] >= pings
    assert report["slowest"] < 1


class TestSlowConsumer:
    """50 ms a message under a flood; the client pings each second and gives the pong one more.

    The pong stands behind all that the server has sent before, and the slow consumer has not taken.
    """

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("name", "size", "how"),
        [
            # The close code, and what their words have in common from version to version.
            ("websockets", SMALL, "1011 .*ping"),
            ("picows.websockets", SMALL, "1011 .*ping"),
            ("picows", LARGE, "1001 .*ping"),
            ("aiohttp", SMALL, "1006 .*pong"),
        ],
        ids=["websockets", "picows.websockets", "picows", "aiohttp"],
    )
    def test_peer_gives_up_a_live_connection(self, name, size, how):
        """The server is fine and sends, but the peer takes it for dead, and messages are lost."""
        consumer = Consumer(pause=PAUSE, slow=SLOW)
        with flood(size) as server:
            assert re.match(how, PEERS[name](server.uri, consumer, KEEPALIVE), re.IGNORECASE)
            assert len(consumer.numbers) < FLOOD // size
            assert server.wait_idle()
            assert server.connections[0].messages_sent < FLOOD // size

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("name", "size"), [("picows", SMALL), ("picows-when-idle", SMALL), ("aiohttp", LARGE)]
    )
    def test_peer_survives(self, name, size):
        """Where a peer does not lose its connection.

        picows pings each second, but with messages of 1 KB its callbacks take the whole read buffer
        before anything else runs: its ping's deadline, too, which then finds the pong. By
        its default strategy it sends no ping at all while data comes. aiohttp takes any byte for
        life, and with messages of 16 KB it reads one often enough. None of this helps where the
        server pings: see TestBlockedHandler.
        """
        consumer = Consumer(pause=PAUSE, slow=SLOW)
        with flood(size) as server:
            assert PEERS[name](server.uri, consumer, KEEPALIVE) == "1000 "
            assert consumer.numbers == list(range(FLOOD // size))

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("name", "size", "options"),
        [
            *(pytest.param(name, SMALL, {}, id=name) for name in OURS),
            *(pytest.param(name, LARGE, {}, id=f"{name}-large") for name in OURS),
            # Reading stops and goes on again and again, for 2.4 s each time.
            *(
                pytest.param(name, SMALL, {"max_queue": (64, 16)}, id=f"{name}-short_queue")
                for name in OURS
                if name != "stream"  # its queue is short as it is
            ),
        ],
    )
    def test_nothing_is_lost(self, name, size, options):
        """Ours stays, and brings every message in order once the consumer is faster."""
        consumer = Consumer(pause=PAUSE, slow=SLOW)
        with flood(size) as server:
            how = OURS[name](server.uri, consumer, KEEPALIVE, overflow="pause", **options)
            assert how == "1000 "
            assert consumer.numbers == list(range(FLOOD // size))
            assert server.connections[0].pings_received >= 3


class TestBlockedHandler:
    """A handler blocks for 2.6 s; the server pings each second and gives the pong one more."""

    @pytest.mark.parametrize("name", HANDLERS)
    def test_peer_is_hung_up_on(self, uri, name):
        """No peer answers a ping while its handler blocks."""
        consumer = Consumer(lambda: time.sleep(BLOCKED))
        how = PEERS[name](f"{uri}/{BLOCKED + AFTERWARDS}", consumer)
        assert how == HUNG_UP_ON
        assert consumer.report is None

    @pytest.mark.parametrize("name", OURS)
    def test_nothing_is_lost(self, uri, name):
        """Ours answers from its native thread."""
        consumer = Consumer(lambda: time.sleep(BLOCKED))
        assert OURS[name](f"{uri}/{BLOCKED + AFTERWARDS}", consumer) == "1000 "
        assert consumer.ended.is_set()
        check_complete(consumer.numbers, consumer.report, 3)

    def test_connections_that_end_meanwhile(self, uri, caplog):
        """What they leave behind in Python is not waited for on the thread of the others."""
        caplog.set_level(logging.WARNING, "wspool")  # else it waits to log, and another stands in
        with wspool.EndpointPool(1) as pool:
            where = f"{uri}/{BLOCKED + AFTERWARDS}"
            consumer = Consumer()
            with wspool.connect(where, pool=pool) as ws:
                others = [wspool.connect(where, pool=pool) for _ in range(50)]
                while others:
                    others.pop().abort()
                hold_the_gil(BLOCKED)
                for message in ws:
                    consumer.take(message)
            assert ws.close_code == 1000, ws.close_reason
            check_complete(consumer.numbers, consumer.report, 3)

    def test_what_they_leave_behind_goes(self):
        """The user's functions are let go, whichever thread a connection ends on."""

        class Source:
            def __call__(self):
                return server.uri

        gone = []
        with wspool.testing.replay(["x"], close_after=False) as server:
            for _ in range(50):
                source = Source()
                gone.append(weakref.ref(source))
                wspool.connect(source, reconnect=wspool.Reconnect()).abort()
            del source
            eventually(lambda: not any(one() for one in gone))


class TestFullQueue:
    """Where ours does not survive: the server pings, and reading has stopped for want of room.

    With room for 16 messages, reading stops 0.3 s after the handler has blocked.
    """

    @pytest.mark.parametrize("name", [name for name in OURS if name != "stream"])
    def test_pausing_is_hung_up_on(self, uri, name):
        """Of what is not read, nothing is answered: `overflow="pause"` keeps order, not a promise.

        The messages that were read before are all delivered.
        """
        consumer = Consumer(lambda: time.sleep(2 * BLOCKED))
        where = f"{uri}/{2 * BLOCKED + AFTERWARDS}"
        assert OURS[name](where, consumer, max_queue=(16, 4)) == HUNG_UP_ON
        assert len(consumer.numbers) > 16
        assert consumer.numbers == list(range(len(consumer.numbers)))

    @pytest.mark.parametrize("name", ["connect", "aio"])
    def test_dropping_survives(self, uri, name):
        """Who drops goes on reading, and answers."""
        consumer = Consumer(lambda: time.sleep(2 * BLOCKED))
        where = f"{uri}/{2 * BLOCKED + AFTERWARDS}"
        options = {"max_queue": (16, 4), "overflow": "drop_oldest"}
        assert OURS[name](where, consumer, **options) == "1000 "
        assert consumer.report["pings"] >= 3
        assert len(consumer.numbers) < consumer.report["sent"]
        assert consumer.numbers == sorted(consumer.numbers)


@pytest.mark.slow
@pytest.mark.timeout(LONG + 120)
class TestLongBlock:
    """As TestBlockedHandler, for longer, and whatever it is that blocks."""

    @pytest.fixture
    def uri(self, uri):
        return f"{uri}/{LONG + AFTERWARDS}"

    @pytest.mark.parametrize("names", [HANDLERS, list(OURS)], ids=["peers", "ours"])
    def test_handler_sleeps(self, uri, names):
        """Every handler of every client, each in its own thread."""
        self.check([Running(name, uri, Consumer(lambda: time.sleep(LONG))) for name in names])

    @pytest.mark.parametrize("names", [HANDLERS, list(OURS)], ids=["peers", "ours"])
    def test_other_thread_holds_the_gil(self, uri, names):
        """One C call in the main thread stops all of Python."""
        running = [Running(name, uri, Consumer()) for name in names]
        for one in running:
            assert one.consumer.began.wait(20)
        hold_the_gil(LONG)
        self.check(running)

    @pytest.mark.parametrize("names", [HANDLERS[:1], ["callbacks"]], ids=["peers", "ours"])
    def test_handler_holds_the_gil(self, uri, names):
        """One C call in the handler does, too."""
        self.check([Running(name, uri, Consumer(lambda: hold_the_gil(LONG))) for name in names])

    @pytest.mark.parametrize("names", [HANDLERS, list(OURS)], ids=["peers", "ours"])
    def test_breakpoint(self, repo_root, uri, names):
        """A developer looks around in the debugger, with the handler stopped, and goes on."""
        script = repo_root / "tests" / "support" / "liveness_debugged.py"
        processes = {
            name: subprocess.Popen(
                [sys.executable, script, name, uri],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for name in names
        }
        try:
            for process in processes.values():
                prompt = ""
                while "(Pdb)" not in prompt:
                    read = process.stdout.read(1)
                    assert read, prompt
                    prompt += read
            time.sleep(LONG)
            for name, process in processes.items():
                printed, _ = process.communicate("c\n", timeout=60)
                result = json.loads(printed.splitlines()[-1])
                self.check_one(name, result["how"], result["numbers"], result["report"])
        finally:
            for process in processes.values():
                process.kill()
                process.wait()
                process.stdin.close()
                process.stdout.close()

    def check(self, running):
        for one in running:
            how = one.finish()
            self.check_one(one.name, how, one.consumer.numbers, one.consumer.report)

    def check_one(self, name, how, numbers, report):
        if name in PEERS:
            assert (name, how, report) == (name, HUNG_UP_ON, None)
        else:
            assert (name, how) == (name, "1000 ")
            check_complete(numbers, report, LONG / 2)
