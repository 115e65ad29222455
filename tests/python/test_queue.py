"""The queue between a connection and its consumer: bounds, overflow policies, both APIs."""

import threading
import time
from pathlib import Path

import pytest
from tests.support.pull_clients import client_of
from tests.support.pull_servers import (
    BINARY,
    CLOSE,
    PATIENCE,
    Frames,
    finish,
    fragments,
    frame,
    frame_server,
    wait_until,
    websockets_server,
)

import wspool
import wspool.testing


@pytest.fixture(params=["sync", "asyncio"])
def client(request):
    """Connects with each API."""
    client = client_of(request.param)
    yield client
    client.close()


def numbered(count, size=0):
    """Frames with the numbers from 0."""
    return b"".join(frame(str(i).encode().ljust(size)) for i in range(count))


def sends(data, closed=None):
    """A server that sends, answers pings, and at the first message sends "later".

    What the client closes with goes into the list `closed`.
    """

    def behave(sock):
        sock.sendall(data)
        for opcode, _, payload in Frames(sock):
            if opcode == 9:
                sock.sendall(frame(payload, 10))
            elif opcode == CLOSE:
                if closed is not None:
                    closed.append(int.from_bytes(payload[:2], "big"))
                sock.sendall(frame(payload, CLOSE))
                return
            else:
                sock.sendall(frame(b"later"))

    return frame_server(behave)


def arrived(connection, count):
    """Wait until so many messages have gone through the queue's policy."""
    wait_until(lambda: connection.statistics.messages_received >= count)


def left(connection):
    """Take all that is queued, one by one; returns numbers and gaps."""
    numbers, gaps = [], []
    while True:
        try:
            numbers.append(int(connection.recv(timeout=0)))
        except TimeoutError:
            return numbers, gaps
        gaps.append(connection.last_gap)


class TestDropOldest:
    @pytest.mark.parametrize("bound", [1, 10, (10, 3)])
    def test_survivors(self, client, bound):
        """The latest survive, as many as the queue holds."""
        with sends(numbered(100)) as uri:
            with client.connect(uri, max_queue=bound, overflow="drop_oldest") as ws:
                arrived(ws, 100)
                high = bound if isinstance(bound, int) else bound[0]
                assert ws.dropped == 100 - high
                numbers, gaps = left(ws)
                assert numbers == list(range(100 - high, 100))
                assert gaps == [100 - high] + [0] * (high - 1)
                assert ws.statistics.messages_received == 100
                assert ws.statistics.pauses == 0
                ws.send("more")
                assert ws.recv(PATIENCE) == "later"
                assert ws.last_gap == 0
                assert ws.dropped == 100 - high

    def test_many(self, client):
        """recv_many tells of the gap before the messages that it returns."""
        with sends(numbered(100)) as uri:
            with client.connect(uri, max_queue=10, overflow="drop_oldest") as ws:
                arrived(ws, 100)
                assert ws.recv_many(4) == ["90", "91", "92", "93"]
                assert ws.last_gap == 90
                assert ws.recv_many() == ["94", "95", "96", "97", "98", "99"]
                assert ws.last_gap == 0

    @pytest.mark.parametrize("receive", ["recv", "recv_many"])
    def test_gap_outlives_a_timeout(self, client, receive):
        """last_gap is about the message handed out last, also after a timeout."""
        with sends(numbered(3)) as uri:
            with client.connect(uri, max_queue=1, overflow="drop_oldest") as ws:
                arrived(ws, 3)
                assert getattr(ws, receive)() in ("2", ["2"])
                assert ws.last_gap == 2
                with pytest.raises(TimeoutError):
                    getattr(ws, receive)(timeout=0)
                assert ws.last_gap == 2

    def test_bytes(self, client):
        """The bound in bytes counts as well."""
        with sends(numbered(100, 100)) as uri:
            options = {"max_queue": None, "max_queue_bytes": 1000, "overflow": "drop_oldest"}
            with client.connect(uri, **options) as ws:
                arrived(ws, 100)
                assert left(ws)[0] == list(range(90, 100))
                assert ws.dropped == 90

    def test_larger_than_the_bound(self, client):
        """A message larger than the queue replaces all others."""
        with sends(numbered(5) + frame(b"7".rjust(2000, b"0"))) as uri:
            with client.connect(uri, max_queue_bytes=1000, overflow="drop_oldest") as ws:
                arrived(ws, 6)
                assert left(ws) == ([7], [5])

    def test_fragments(self, client):
        """A message in fragments is dropped, or handed out, as a whole."""
        data = b"".join(fragments([b"%d" % i, b"0", b""]) for i in range(1, 101))
        with sends(data) as uri:
            with client.connect(uri, max_queue=10, overflow="drop_oldest") as ws:
                arrived(ws, 100)
                assert list(ws.recv_streaming()) == ["910"]
                assert left(ws)[0] == list(range(920, 1001, 10))
                assert ws.dropped == 90


class TestDropNewest:
    @pytest.mark.parametrize("bound", [1, 10, (10, 3)])
    def test_survivors(self, client, bound):
        """The first survive; the next that is taken tells of the gap."""
        with sends(numbered(100)) as uri:
            with client.connect(uri, max_queue=bound, overflow="drop_newest") as ws:
                arrived(ws, 100)
                high = bound if isinstance(bound, int) else bound[0]
                assert ws.dropped == 100 - high
                assert left(ws) == (list(range(high)), [0] * high)
                ws.send("more")
                assert ws.recv(PATIENCE) == "later"
                assert ws.last_gap == 100 - high
                assert ws.dropped == 100 - high

    def test_bytes(self, client):
        """The bound in bytes counts as well."""
        with sends(numbered(100, 100)) as uri:
            options = {"max_queue": None, "max_queue_bytes": 1000, "overflow": "drop_newest"}
            with client.connect(uri, **options) as ws:
                arrived(ws, 100)
                assert left(ws)[0] == list(range(10))
                assert ws.dropped == 90

    def test_larger_than_the_bound(self, client):
        """A message larger than the queue is taken where nothing waits, else dropped."""
        large = frame(b"7".rjust(2000, b"0"))
        with sends(large + large) as uri:
            with client.connect(uri, max_queue_bytes=1000, overflow="drop_newest") as ws:
                arrived(ws, 2)
                assert left(ws) == ([7], [0])
                assert ws.dropped == 1


@pytest.mark.parametrize("policy", ["drop_oldest", "drop_newest"])
class TestGaps:
    def test_nothing_is_unaccounted_for(self, client, policy):
        """Of a fast server's messages each is handed out once or in the gap of another."""
        count = 50_000
        with wspool.testing.replay([str(i) for i in range(count)]) as server:
            with client.connect(server.uri, max_queue=50, overflow=policy) as ws:
                expected = received = gaps = 0
                try:
                    while True:
                        number = int(ws.recv(PATIENCE))
                        gaps += ws.last_gap
                        assert number == expected + ws.last_gap
                        expected = number + 1
                        received += 1
                        if received % 100 == 0:
                            time.sleep(0.002)  # a slow consumer
                except wspool.ConnectionClosedOK:
                    pass
                assert received + ws.dropped == count
                assert ws.statistics.messages_received == count
                assert ws.dropped > 0
                assert gaps + (count - expected) == ws.dropped
                assert ws.statistics.pauses == 0

    def test_many(self, client, policy):
        """So it is with recv_many."""
        count = 50_000
        with wspool.testing.replay([str(i) for i in range(count)]) as server:
            with client.connect(server.uri, max_queue=50, overflow=policy) as ws:
                previous, received = -1, 0
                try:
                    while True:
                        numbers = [int(number) for number in ws.recv_many(7, timeout=PATIENCE)]
                        assert len(numbers) in range(1, 8)
                        missing = numbers[-1] - previous - len(numbers)
                        assert missing == ws.last_gap
                        assert numbers == sorted(set(numbers))
                        assert numbers[0] > previous
                        previous = numbers[-1]
                        received += len(numbers)
                except wspool.ConnectionClosedOK:
                    pass
                assert received + ws.dropped == count


class TestError:
    @pytest.mark.parametrize(
        "bound", [{"max_queue": 10}, {"max_queue": None, "max_queue_bytes": 1000}]
    )
    def test_full(self, client, bound):
        """One message too many ends the connection; those that wait are handed out before."""
        closed = []
        with sends(numbered(100, 100), closed) as uri:
            with client.connect(uri, overflow="error", **bound) as ws:
                ws.wait_closed()
                assert [int(message) for message in ws.recv_many()] == list(range(10))
                for receive in (ws.recv, ws.recv_many):
                    with pytest.raises(wspool.ConnectionClosedError) as raised:
                        receive(PATIENCE)
                    assert raised.value.sent.code == 1008
                    assert isinstance(raised.value.__cause__, wspool.QueueFull)
                assert isinstance(ws.error, wspool.ConnectionClosedError)
                assert isinstance(ws.error.__cause__, wspool.QueueFull)
        assert closed == [1008]

    def test_not_full(self, client):
        """As many messages as the queue holds do no harm."""
        with sends(numbered(10)) as uri:
            with client.connect(uri, overflow="error", max_queue=10) as ws:
                arrived(ws, 10)
                assert left(ws)[0] == list(range(10))
                ws.send("more")
                assert ws.recv(PATIENCE) == "later"


def resident():
    """Memory of this process in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError


class TestPause:
    def test_flood(self, client):
        """A flood waits in the server; nothing is lost, and memory is bounded."""
        messages = [str(i).ljust(1000) for i in range(1000)]
        with wspool.testing.replay(messages, repeat=100) as server:
            before = resident()
            with client.connect(server.uri, max_queue=100) as ws:
                wait_until(lambda: ws.statistics.pauses > 0)
                pauses = ws.statistics.pauses
                time.sleep(0.2)  # it could go on filling
                assert ws.statistics.pauses == pauses
                assert 100 <= ws._available < 2000  # the bound, and what one read brings
                assert resident() - before < 50e6
                position = 0
                with pytest.raises(wspool.ConnectionClosedOK):
                    while True:
                        for message in ws.recv_many(timeout=PATIENCE):
                            assert int(message) == position % 1000
                            position += 1
                assert position == 100_000
                assert ws.dropped == 0
                assert ws.statistics.pauses > pauses

    @pytest.mark.parametrize(
        "bound",
        [
            {"max_queue": 1},
            {"max_queue": (1, 0)},
            {"max_queue": (7, 7)},
            {"max_queue": (300, 2)},
            {"max_queue": (None, None)},
            {"max_queue": None, "max_queue_bytes": 1},
            {"max_queue_bytes": 100},
        ],
    )
    @pytest.mark.parametrize("receive", ["recv", "recv_many", "recv_streaming", "iteration"])
    def test_nothing_is_lost(self, client, bound, receive):
        """With any bound, and any way of receiving, all messages come in order."""
        count = 1000
        with wspool.testing.replay([str(i) for i in range(count)]) as server:
            with client.connect(server.uri, **bound) as ws:
                got = []
                try:
                    if receive == "iteration":
                        got = list(ws)
                    while True:
                        if receive == "recv":
                            got.append(ws.recv(PATIENCE))
                        elif receive == "recv_many":
                            got += ws.recv_many(timeout=PATIENCE)
                        else:
                            got += ws.recv_streaming()
                except wspool.ConnectionClosedOK:
                    pass
                assert [int(message) for message in got] == list(range(count))

    def test_marks(self, client):
        """Reading stops at the upper mark, and goes on at the lower one."""
        steps = threading.Semaphore(0)

        def behave(sock):
            for number in range(6):
                assert steps.acquire(timeout=PATIENCE)
                sock.sendall(frame(str(number).encode()))
            finish(sock)

        with frame_server(behave) as uri, client.connect(uri, max_queue=(4, 1)) as ws:
            for number in range(1, 5):
                steps.release()
                wait_until(lambda: ws._available == number)  # noqa: B023
            wait_until(lambda: ws.statistics.pauses == 1)
            steps.release()
            assert [ws.recv(), ws.recv()] == ["0", "1"]
            assert ws._available == 2
            assert ws.statistics.messages_received == 4
            assert ws.recv() == "2"
            wait_until(lambda: ws._available == 2)
            assert ws.statistics.messages_received == 5
            steps.release()
            assert [ws.recv(PATIENCE) for _ in range(3)] == ["3", "4", "5"]

    def test_bytes(self, client):
        """Reading stops at the bound in bytes as well."""
        messages = [str(i).ljust(100_000) for i in range(100)]
        with wspool.testing.replay(messages) as server:
            with client.connect(server.uri, max_queue_bytes=1_000_000) as ws:
                wait_until(lambda: ws.statistics.pauses > 0)
                assert 10 <= ws._available < 50
                assert [int(message) for message in ws] == list(range(100))

    @pytest.mark.parametrize("by", ["replay", "websockets"])
    def test_close(self, client, by):
        """close() while reading has stopped completes, with the peer's code."""

        def handler(connection):
            number = 0
            while True:
                connection.send(str(number).ljust(1000))
                number += 1

        if by == "replay":
            server = wspool.testing.replay([str(i).ljust(1000) for i in range(500)], repeat=None)
        else:
            server = websockets_server(handler)
        with server as served:
            uri = served if by == "websockets" else served.uri
            with client.connect(uri, max_queue=10, close_timeout=20) as ws:
                wait_until(lambda: ws.statistics.pauses > 0)
                ws.close(1000, "enough")
                assert ws.close_code == 1000
                got = [int(message) for message in ws]
                assert len(got) >= 10
                assert got == [i % 500 if by == "replay" else i for i in range(len(got))]

    def test_close_by_the_server(self, client):
        """A close frame behind what waits is found after it has been taken."""
        data = numbered(1000, 1000) + frame(b"\x0f\xa0bye", CLOSE)
        with frame_server(lambda sock: (sock.sendall(data), finish(sock))) as uri:
            with client.connect(uri, max_queue=10) as ws:
                wait_until(lambda: ws.statistics.pauses > 0)
                got = []
                with pytest.raises(wspool.ConnectionClosedError) as raised:
                    for message in ws:
                        got.append(int(message))
                assert got == list(range(1000))
                assert raised.value.rcvd == wspool.Close(4000, "bye")

    def test_keepalive(self, client):
        """A connection whose reading has stopped is not ended by keepalive."""
        messages = [str(i).ljust(1000) for i in range(10_000)]
        with wspool.testing.replay(messages) as server:
            options = {"ping_interval": 0.05, "ping_timeout": 0.1}
            with client.connect(server.uri, max_queue=10, **options) as ws:
                wait_until(lambda: ws.statistics.pauses > 0)
                time.sleep(0.5)  # several deadlines
                got = [int(ws.recv(PATIENCE))]
                time.sleep(0.3)
                got += [int(message) for message in ws]
                assert got == list(range(10_000))

    def test_abort(self, client):
        """abort() while reading has stopped ends the connection; what waits can be taken."""
        with wspool.testing.replay(["x"] * 1000, repeat=None) as server:
            with client.connect(server.uri, max_queue=10) as ws:
                wait_until(lambda: ws.statistics.pauses > 0)
                ws.abort()
                ws.wait_closed()
                assert ws.recv() == "x"
                assert len(ws.recv_many()) >= 9
                with pytest.raises(wspool.ConnectionClosedError):
                    ws.recv_many()


class TestFragments:
    """Fragments that wait for the rest of their message count, but cannot be in its way."""

    @pytest.mark.parametrize("before", [0, 1, 20])
    def test_larger_than_the_bound(self, client, before):
        """A message in fragments larger than the queue comes nevertheless."""
        pieces = [bytes([i]) * 1000 for i in range(200)]
        data = numbered(before) + fragments(pieces, BINARY) + numbered(20) + frame(b"last")
        with sends(data) as uri:
            with client.connect(uri, max_queue=5, max_queue_bytes=10_000) as ws:
                assert [ws.recv(PATIENCE) for _ in range(before)] == [str(i) for i in range(before)]
                assert ws.recv(PATIENCE) == b"".join(pieces)
                assert [ws.recv(PATIENCE) for _ in range(20)] == [str(i) for i in range(20)]
                assert ws.recv(PATIENCE) == "last"

    @pytest.mark.parametrize(
        "bound",
        [{"max_queue": 1}, {"max_queue": 3}, {"max_queue_bytes": 1}, {"max_queue_bytes": 5000}],
    )
    def test_streaming(self, client, bound):
        """Streaming works with a tiny queue, and reading stops between fragments."""
        pieces = [b"%d," % i for i in range(3000)]
        data = fragments(pieces) * 2 + numbered(5) + frame(b"last")
        with sends(data) as uri:
            with client.connect(uri, **bound) as ws:
                for _ in range(2):
                    assert "".join(ws.recv_streaming()) == b"".join(pieces).decode()
                assert [ws.recv(PATIENCE) for _ in range(5)] == ["0", "1", "2", "3", "4"]
                assert list(ws.recv_streaming()) == ["last"]

    @pytest.mark.parametrize("bound", [{"max_queue": 1}, {"max_queue_bytes": 2000}])
    def test_streams_closed_early(self, client, bound):
        """Streams that are closed early, and messages between, with a tiny queue."""
        pieces = [b"%d," % i for i in range(100)]
        data = b"".join(fragments(pieces) + frame(b"%d" % i) for i in range(20))
        with sends(data) as uri, client.connect(uri, **bound) as ws:
            for number in range(20):
                stream = ws.recv_streaming()
                assert [next(stream) for _ in range(number + 1)][-1] == f"{number},"
                stream.close()
                if number % 2:
                    assert ws.recv(PATIENCE) == str(number)
                else:
                    assert ws.recv_many(1, PATIENCE) == [str(number)]

    def test_close(self, client):
        """close() while a stream's reading has stopped completes."""
        began, release = threading.Event(), threading.Event()

        def behave(sock):
            sock.sendall(frame(b"first", fin=False))
            assert began.wait(PATIENCE)
            sock.sendall(frame(b"x" * 1000, 0, fin=False) * 1000)
            assert release.wait(PATIENCE)
            finish(sock)

        with frame_server(behave) as uri:
            with client.connect(uri, max_queue_bytes=2000, max_size=None) as ws:
                stream = ws.recv_streaming()
                assert next(stream) == "first"
                began.set()
                wait_until(lambda: ws.statistics.pauses > 0)
                release.set()
                ws.close()
                assert ws.close_code == 1000
                with pytest.raises(wspool.ConnectionClosedOK):
                    for piece in stream:
                        assert piece == "x" * 1000


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"max_queue": 0}, ValueError),
        ({"max_queue": (1, 2)}, ValueError),
        ({"max_queue": (0, 0)}, ValueError),
        ({"max_queue": (1, 2, 3)}, ValueError),
        ({"max_queue": "many"}, TypeError),
        ({"max_queue": True}, TypeError),
        ({"max_queue_bytes": 0}, ValueError),
        ({"max_queue_bytes": 1.5}, TypeError),
        ({"overflow": "latest"}, ValueError),
        ({"overflow": None}, TypeError),
    ],
)
def test_bad_options(client, options, error):
    """The options of the queue are checked, and the text names them."""
    (name,) = options
    with pytest.raises(error, match=name):
        client.connect("ws://127.0.0.1", **options)
