"""Who stays connected when Python does not keep up: the peers, and we.

Case by case, the peers lose their connection first, and ours goes on without losing a message. No
time is asserted; connections live or die. WSPOOL_LONG=1 makes what blocks for seconds block for
a minute.
"""

import ctypes
import json
import os
import subprocess
import sys
import threading
import time

import pytest

import wspool
import wspool.testing
from tests.support.liveness_clients import OURS, PEERS, Consumer

#: A consumer that takes so long for a message,
PAUSE = 0.05
#: for so many messages, of 1 KB.
SLOW = 150
#: 30 MB: more than sockets and queues take in, so that the server is sending all the while.
FLOOD = 30_000
KEEPALIVE = 1.0
BLOCKED = 2.6
LONG = 60.0 if os.environ.get("WSPOOL_LONG") == "1" else 4.0
#: How long the server goes on after a block.
AFTERWARDS = 2.5
HUNG_UP_ON = "1011 no pong within 1 s"
#: Of picows there is one here: liveness_server.py knows nothing of whose pings are how.
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


@pytest.fixture
def flood():
    """A server that sends numbered messages as fast as it can; it answers pings in their turn."""
    padding = "x" * 1000
    messages = [json.dumps({"n": number, "pad": padding}) for number in range(FLOOD)]
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
        except BaseException as error:
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
        ("name", "how"),
        [
            ("websockets", "1011 keepalive ping timeout"),
            ("picows.websockets", "1011 keepalive ping timeout"),
            ("picows", "1001 peer has not replied to ping/heartbeat request within 1.0 second(s)"),
            ("aiohttp", "1006 No PONG received after 1.0 seconds"),
        ],
    )
    def test_peer_gives_up_a_live_connection(self, flood, name, how):
        """The server is fine and sends, but the peer takes it for dead, and messages are lost.

        Messages of 1 KB, and each peer's own bounds. Size matters: a read of picows is of 64 KB or
        so, and between two reads its consumer takes messages for 3 s; of aiohttp, for which any
        byte is a sign of life, messages of 16 KB would be read often enough.
        """
        consumer = Consumer(pause=PAUSE, slow=SLOW)
        assert PEERS[name](flood.uri, consumer, KEEPALIVE) == how
        assert len(consumer.numbers) < FLOOD
        assert flood.wait_idle()
        assert flood.connections[0].messages_sent < FLOOD

    @pytest.mark.slow
    def test_picows_survives_where_it_does_not_ping(self, flood):
        """By its default strategy, picows sends no ping while data comes: nothing is lost.

        It does not help where the server pings: see TestBlockedHandler, where settings of the
        client's own pings play no part.
        """
        consumer = Consumer(pause=PAUSE, slow=SLOW)
        assert PEERS["picows-when-idle"](flood.uri, consumer, KEEPALIVE) == "1000 "
        assert consumer.numbers == list(range(FLOOD))
        assert flood.connections[0].pings_received == 0

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("name", "options"),
        [
            *(pytest.param(name, {}, id=name) for name in OURS),
            # Reading stops and goes on again and again, for 2.4 s each time.
            *(
                pytest.param(name, {"max_queue": (64, 16)}, id=f"{name}-short_queue")
                for name in OURS
                if name != "stream"  # its queue is short as it is
            ),
        ],
    )
    def test_nothing_is_lost(self, flood, name, options):
        """Ours stays, and brings every message in order once the consumer is faster."""
        consumer = Consumer(pause=PAUSE, slow=SLOW)
        at_the_end_of_slowness = []

        def block():
            at_the_end_of_slowness.append(flood.connections[0])

        consumer = Consumer(block, at=SLOW, pause=PAUSE, slow=SLOW)
        if name != "callbacks" or options:
            options = {"overflow": "pause", **options}
        assert OURS[name](flood.uri, consumer, KEEPALIVE, **options) == "1000 "
        assert consumer.numbers == list(range(FLOOD))
        # All the while there was a flood, and ours pinged.
        (then,) = at_the_end_of_slowness
        assert then.messages_sent < FLOOD
        assert then.pings_received >= 3


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
            check_complete(numbers, report, int(LONG))
