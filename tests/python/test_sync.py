"""The blocking API, against servers of others."""

import asyncio
import gc
import subprocess
import sys
import textwrap
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.support.pull_clients import client_of
from tests.support.pull_promises import *  # noqa: F403
from tests.support.pull_servers import (
    BINARY,
    CLOSE,
    PATIENCE,
    Frames,
    echo,
    finish,
    frame,
    frame_server,
    wait_until,
    websockets_server,
)

import wspool
import wspool.aio
import wspool.connection_info
import wspool.testing
from wspool import Status


@pytest.fixture
def client():
    """Connects with the blocking API."""
    return client_of("sync")


class TestThreads:
    def test_two_receive(self):
        """While one thread receives another one cannot."""
        with websockets_server(echo) as uri, wspool.connect(uri) as ws:
            with ThreadPoolExecutor(1) as other:
                waiting = other.submit(ws.recv)
                wait_until(lambda: ws._receiving)
                for receive in (ws.recv, ws.recv_many, ws.recv_streaming().__next__):
                    with pytest.raises(wspool.ConcurrencyError):
                        receive()
                with pytest.raises(wspool.ConcurrencyError):
                    next(iter(ws))
                ws.send("done")
                assert waiting.result(PATIENCE) == "done"
            ws.send("again")
            assert ws.recv(PATIENCE) == "again"

    @pytest.mark.parametrize(
        "receive",
        [
            lambda ws: ws.recv(),
            lambda ws: ws.recv(timeout=PATIENCE),
            lambda ws: ws.recv_many(),
            lambda ws: next(ws.recv_streaming()),
        ],
    )
    def test_close_while_another_receives(self, receive):
        """Who waits for a message when another thread closes gets ConnectionClosedOK."""
        with websockets_server(echo) as uri, wspool.connect(uri) as ws:
            with ThreadPoolExecutor(2) as others:
                waiting = others.submit(receive, ws)
                ended = others.submit(ws.wait_closed)
                wait_until(lambda: ws._receiving)
                ws.close()
                with pytest.raises(wspool.ConnectionClosedOK):
                    waiting.result(PATIENCE)
                assert ended.result(PATIENCE) is True

    def test_concurrent_closes(self):
        """Several threads may close at once; all of them wait for the end."""
        release = threading.Event()

        def behave(sock):
            frames = Frames(sock)
            opcode, _, payload = frames.read()
            assert opcode == CLOSE
            assert release.wait(PATIENCE)
            sock.sendall(frame(payload, CLOSE))

        with frame_server(behave) as uri, wspool.connect(uri) as ws:
            with ThreadPoolExecutor(5) as others:
                closes = [others.submit(ws.close, 3000 + i) for i in range(4)]
                wait_until(lambda: ws.status is Status.CLOSING)
                assert not any(close.done() for close in closes)
                late = others.submit(ws.send, "too late")
                release.set()
                with pytest.raises(wspool.ConnectionClosed):
                    late.result(PATIENCE)
                assert [close.result(PATIENCE) for close in closes] == [None] * 4
            assert ws.close_code in range(3000, 3004)

    def test_sends_of_many_threads(self):
        """Messages of many threads come whole, those of each in order."""
        with websockets_server(echo) as uri, wspool.connect(uri) as ws:
            with ThreadPoolExecutor(8) as others:
                for thread in range(8):
                    others.submit(lambda t=thread: [ws.send(f"{t} {i}") for i in range(200)])
                got = [tuple(map(int, ws.recv(PATIENCE).split())) for _ in range(1600)]
            for thread in range(8):
                assert [i for t, i in got if t == thread] == list(range(200))

    def test_send_meanwhile(self, records):
        """While a message goes out in fragments no other can."""
        uri, next_message = records
        with wspool.connect(uri) as ws:

            def items():
                yield "first"
                with ThreadPoolExecutor(1) as other:
                    for message in ("between", ["in", "between"]):
                        with pytest.raises(wspool.ConcurrencyError):
                            other.submit(ws.send, message).result(PATIENCE)
                    assert other.submit(ws.ping).result(PATIENCE).result(PATIENCE) > 0
                yield "second"

            ws.send(items())
            assert next_message() == ["first", "second", ""]
            ws.send("after")
            assert next_message() == ["after"]

    def test_iterable_that_sends(self, records):
        """An iterable that sends itself fails, and its message cannot stay half sent."""
        uri, next_message = records
        with wspool.connect(uri) as ws:

            def items():
                yield "first"
                ws.send("between")

            with pytest.raises(wspool.ConcurrencyError):
                ws.send(items())
            wait_until(lambda: ws.status is not Status.OPENED, 5)
            assert next_message()[0] == 1011


class TestWriteLimit:
    def test_waits_for_room(self):
        """Where the server does not read send waits; then everything arrives in order."""
        release = threading.Event()
        got = []

        def behave(sock):
            assert release.wait(PATIENCE)
            frames = Frames(sock)
            for opcode, fin, payload in frames:
                if opcode == CLOSE:
                    sock.sendall(frame(payload, CLOSE))
                    return
                got.append((opcode, fin, len(payload), int(payload[:8])))

        count, size = 300, 100_000
        with frame_server(behave) as uri:
            with wspool.connect(uri, write_limit=200_000, compression=None) as ws:
                with ThreadPoolExecutor(1) as other:
                    sent = []

                    def work():
                        for i in range(count):
                            ws.send(b"%08d" % i + bytes(size - 8))
                            sent.append(i)

                    working = other.submit(work)
                    wait_until(lambda: ws.buffered_amount > 100_000)
                    stuck = settled(lambda: len(sent))
                    assert stuck < count
                    assert not working.done()
                    assert ws.buffered_amount <= 200_000
                    release.set()
                    working.result(PATIENCE)
        assert got == [(BINARY, True, size, i) for i in range(count)]

    def test_fragments_wait_for_room(self):
        """So do fragments."""
        release = threading.Event()
        got = []

        def behave(sock):
            assert release.wait(PATIENCE)
            for opcode, fin, payload in Frames(sock):
                if opcode == CLOSE:
                    sock.sendall(frame(payload, CLOSE))
                    return
                got.append((opcode, fin, len(payload)))

        with frame_server(behave) as uri:
            with wspool.connect(uri, write_limit=100_000) as ws:
                asked = []

                def items():
                    for i in range(200):
                        asked.append(i)
                        yield bytes(80_000)

                with ThreadPoolExecutor(1) as other:
                    working = other.submit(ws.send, items())
                    assert settled(lambda: len(asked)) < 200
                    release.set()
                    working.result(PATIENCE)
        assert got == [(BINARY, False, 80_000)] + [(0, False, 80_000)] * 199 + [(0, True, 0)]

    @pytest.mark.parametrize("message", [bytes(50_000), [bytes(50_000)] * 1000])
    def test_ends_while_waiting(self, message):
        """Who waits for room when the connection ends gets ConnectionClosed."""
        release = threading.Event()
        with frame_server(lambda sock: release.wait(PATIENCE)) as uri:
            with wspool.connect(uri, write_limit=100_000) as ws, ThreadPoolExecutor(1) as other:

                def work():
                    while True:
                        ws.send(message)

                working = other.submit(work)
                wait_until(lambda: ws.buffered_amount > 50_000)
                settled(lambda: ws.buffered_amount)
                release.set()
                with pytest.raises(wspool.ConnectionClosedError):
                    working.result(PATIENCE)


def settled(value):
    """Wait until a value has not changed for a while; returns it."""
    last, since = value(), time.monotonic()
    while time.monotonic() - since < 0.2:
        time.sleep(0.01)
        now = value()
        if now != last:
            last, since = now, time.monotonic()
    return last


class TestPong:
    def test_wait(self):
        """wait() tells whether the answer came, and done() whether waiting is of use."""
        release = threading.Event()

        def behave(sock):
            assert release.wait(PATIENCE)
            finish(sock)

        with frame_server(behave) as uri, wspool.connect(uri) as ws:
            pong = ws.ping()
            assert not pong.done()
            assert pong.wait(0) is False
            assert pong.wait(0.01) is False
            with pytest.raises(TimeoutError):
                pong.result(0.01)
            assert "pending" in repr(pong)
            release.set()
            assert pong.wait(PATIENCE) is True
            assert pong.wait() is True
            assert pong.done()
            assert "after" in repr(pong)

    def test_never_comes(self):
        """When the server dies before, wait() says so and result() raises."""

        def behave(sock):
            Frames(sock).read()

        with frame_server(behave) as uri, wspool.connect(uri) as ws:
            pong = ws.ping()
            assert pong.wait(PATIENCE) is False
            assert pong.done()
            with pytest.raises(wspool.ConnectionClosedError):
                pong.result()
            assert "never" in repr(pong)


def test_wait_closed():
    """wait_closed tells whether the connection has ended."""
    with websockets_server(echo) as uri, wspool.connect(uri) as ws:
        assert ws.wait_closed(0) is False
        assert ws.wait_closed(timeout=0.01) is False
        ws.close()
        assert ws.wait_closed(0) is True
        assert ws.wait_closed() is True


PRELUDE = """
import gc, os, signal, socket, sys, threading, time
import wspool, wspool.testing

# Whoever starts the tests in the background may have them ignore it.
signal.signal(signal.SIGINT, signal.default_int_handler)
server = wspool.testing.echo()
silent = wspool.testing.sink(silent=True)
listener = socket.create_server(("127.0.0.1", 0))
deaf = "ws://127.0.0.1:%d" % listener.getsockname()[1]
"""


class TestInterrupt:
    """Ctrl-C, each time in a program of its own."""

    @pytest.mark.parametrize(
        "wait",
        [
            "wspool.connect(deaf)",
            "ws = wspool.connect(server.uri); ws.recv()",
            "ws = wspool.connect(server.uri); ws.recv(timeout=60)",
            "ws = wspool.connect(server.uri); ws.recv_many()",
            "ws = wspool.connect(server.uri); next(iter(ws))",
            "ws = wspool.connect(server.uri); next(ws.recv_streaming())",
            "ws = wspool.connect(server.uri); ws.wait_closed()",
            "ws = wspool.connect(silent.uri); ws.ping().result()",
            "ws = wspool.connect(silent.uri); ws.ping().wait(60)",
            "ws = wspool.connect(silent.uri, close_timeout=60); ws.close()",
            "ws = stuck();\nwhile True: ws.send(bytes(100_000))",
            "ws = stuck(); ws.send(bytes(100_000) for _ in range(10_000))",
        ],
    )
    def test_wait(self, wait):
        """It interrupts whatever waits within 1 s, and the program ends soon."""
        script = f"""{PRELUDE}
def stuck():
    # A server that never reads.
    def answer():
        global sock
        from websockets.utils import accept_key
        sock, _ = listener.accept()
        key = sock.recv(4096).decode().split("Sec-WebSocket-Key: ")[1].split()[0]
        sock.sendall(("HTTP/1.1 101 OK\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\n"
                      f"Sec-WebSocket-Accept: {{accept_key(key)}}\\r\\n\\r\\n").encode())
    thread = threading.Thread(target=answer)
    thread.start()
    ws = wspool.connect(deaf, compression=None)
    thread.join()
    return ws

def interrupt():
    time.sleep(0.3)  # for the wait to have begun; nothing tells it
    global interrupted
    interrupted = time.monotonic()
    os.kill(os.getpid(), signal.SIGINT)

threading.Thread(target=interrupt, daemon=True).start()
try:
    {textwrap.indent(wait, "    ").strip()}
except KeyboardInterrupt:
    print(time.monotonic() - interrupted)
"""
        result = subprocess.run(
            [sys.executable, "-X", "faulthandler", "-W", "ignore", "-c", script],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert result.stderr == ""
        assert result.returncode == 0
        assert float(result.stdout) < 1

    def test_caught(self):
        """A program that catches it goes on with the connection, and has lost no message."""
        script = f"""{PRELUDE}
ws = wspool.connect(server.uri)
main = threading.get_ident()
for number in range(5):
    timer = threading.Timer(0.1, signal.pthread_kill, (main, signal.SIGINT))
    try:
        timer.start()
        ws.recv()
    except KeyboardInterrupt:
        ws.send(str(number))
    else:
        raise AssertionError
    assert ws.recv(20) == str(number)
ws.close()
"""
        subprocess.run([sys.executable, "-c", script], timeout=60, check=True)


def test_fork():
    """In a forked child the connection refuses everything; the parent's goes on."""
    script = f"""{PRELUDE}
ws = wspool.connect(server.uri)
child = os.fork()
if child == 0:
    status = 1
    try:
        for use in (ws.recv, ws.recv_many, lambda: ws.recv(timeout=0), lambda: next(iter(ws)),
                    lambda: next(ws.recv_streaming()), lambda: ws.send("x"),
                    lambda: ws.send(["x"]), ws.ping, ws.pong, ws.close, ws.wait_closed):
            try:
                use()
            except wspool.WrongProcess:
                pass
            else:
                raise AssertionError(use)
        assert "parent" in repr(ws)
        with wspool.connect(server.uri) as own:
            own.send("child")
            assert own.recv(20) == "child"
        del ws
        gc.collect()
        status = 0
    except BaseException:
        import traceback
        traceback.print_exc()
    finally:
        os._exit(status)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
ws.send("parent")
assert ws.recv(20) == "parent"
ws.close()
"""
    subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", script], timeout=60, check=True
    )


def test_iterator_in_a_cycle():
    """A dropped connection ends also where its iterator is in a cycle with it."""

    class Box:
        pass

    with wspool.testing.echo() as server:
        box = Box()
        box.ws = wspool.connect(server.uri)
        box.iterator = iter(box.ws)
        box.ws._error = ValueError(box)  # what an exception's traceback does
        alive = weakref.ref(box.ws)
        box.ws._started = False  # its warning is tried elsewhere
        del box
        gc.collect()
        assert alive() is None
        assert server.wait_idle(PATIENCE)


def connections():
    """Count the connections that the collector knows of."""
    return sum(isinstance(one, wspool.connection_info.ConnectionInfo) for one in gc.get_objects())


@pytest.mark.parametrize("make", ["sync", "asyncio", "stream"])
def test_a_failed_connect_leaves_no_cycle(make):
    """What could not be opened is gone with its exception, without the collector."""
    fields = wspool.Fields({"a": ("/a", "int64")})
    uri = "ws://127.0.0.1:1/"

    async def awaited():
        with pytest.raises(ConnectionRefusedError):
            await wspool.aio.connect(uri, proxy=None)

    def attempt():
        if make == "asyncio":
            asyncio.run(awaited())
            return
        with pytest.raises(ConnectionRefusedError):
            if make == "sync":
                wspool.connect(uri, proxy=None)
            else:
                with wspool.stream(uri, fields=fields, proxy=None):
                    pass

    attempt()
    gc.collect()
    gc.disable()
    try:
        before = connections()
        for _ in range(5):
            attempt()
        wait_until(lambda: connections() == before)
    finally:
        gc.enable()


@pytest.mark.parametrize("timeout", [True, "1", float("nan")])
def test_bad_timeouts(timeout):
    """What is no number of seconds is refused, and not taken for one."""
    with wspool.testing.echo() as server, wspool.connect(server.uri) as ws:
        pong = ws.ping()
        for wait in (ws.wait_closed, pong.wait, pong.result):
            with pytest.raises(TypeError, match="timeout must be a number of seconds"):
                wait(timeout)
