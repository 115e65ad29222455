"""The asyncio API, on the loops of asyncio and of uvloop, against servers of others."""

import asyncio
import contextlib
import gc
import os
import queue
import random
import threading
import time
import warnings
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.support.pull_clients import LOOPS, Loop, client_of, new_loop, running
from tests.support.pull_promises import *  # noqa: F403
from tests.support.pull_servers import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PATIENCE,
    Frames,
    echo,
    finish,
    fragments,
    frame,
    frame_server,
    raw_server,
    sending,
    wait_until,
    websockets_server,
)

import wspool
import wspool.aio
import wspool.testing
from wspool import EndpointPool, Status


@pytest.fixture(params=LOOPS)
def client(request):
    """Connects with the asyncio API."""
    client = client_of(request.param)
    yield client
    client.close()


@pytest.fixture(params=LOOPS)
def run(request):
    """Runs a coroutine; nothing may be left of it on the loop."""
    with running(request.param) as run:
        yield run


async def until(condition):
    """Wait until a condition holds."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "not within the time"
        await asyncio.sleep(0.005)


async def settled(value):
    """Wait until a value has not changed for a while; returns it."""
    last, since = value(), time.monotonic()
    while time.monotonic() - since < 0.2:
        await asyncio.sleep(0.01)
        if value() != last:
            last, since = value(), time.monotonic()
    return last


def descriptors():
    """Count the open descriptors of this process."""
    return len(os.listdir("/proc/self/fd"))


def eventfds():
    """Count the event descriptors of this process."""
    count = 0
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            count += os.readlink(f"/proc/self/fd/{name}") == "anon_inode:[eventfd]"
    return count


class TestConnecting:
    def test_both_ways(self, run):
        """It is awaited, or entered."""

        async def main():
            async with wspool.aio.connect(uri) as ws:
                assert ws.status is Status.OPENED
            assert ws.status is Status.CLOSED
            ws = await wspool.aio.connect(uri)
            async with ws as same:
                assert same is ws
            assert ws.status is Status.CLOSED

        with websockets_server(echo) as uri:
            run(main())

    @pytest.mark.parametrize("server", ["plain", "tls", "deaf"])
    def test_cancelled(self, run, server):
        """Cancelled at any moment it leaves nothing open, and warns of nothing."""
        randomly = random.Random(server)

        async def main(uri, pool, **options):
            opened = 0
            for attempt in range(150):
                task = asyncio.ensure_future(connecting(uri, pool, options))
                if attempt % 3:
                    await asyncio.sleep(randomly.random() * 0.004)
                else:
                    for _ in range(randomly.randrange(4)):
                        await asyncio.sleep(0)
                task.cancel()
                try:
                    ws = await task
                except asyncio.CancelledError:
                    continue
                opened += 1
                await ws.close()
            print(opened, "were open before they could be cancelled")

        async def connecting(uri, pool, options):
            return await wspool.aio.connect(uri, pool=pool, **options)

        with contextlib.ExitStack() as stack:
            pool = stack.enter_context(EndpointPool(2))
            caught = stack.enter_context(warnings.catch_warnings(record=True))
            warnings.simplefilter("always")
            options = {}
            if server == "deaf":
                uri = stack.enter_context(raw_server(lambda sock: sock.recv(4096) and sock.recv(1)))
            else:
                echo = stack.enter_context(wspool.testing.echo(tls=server == "tls"))
                uri = echo.uri
                options = {"ssl": wspool.TLS(ca_file=echo.ca_file)} if echo.ca_file else {}
            run(main(uri, pool, **options))  # whatever is made once
            before = descriptors()
            run(main(uri, pool, **options))
            wait_until(lambda: not any(endpoint.connections for endpoint in pool))
            wait_until(lambda: descriptors() <= before + 1)
            gc.collect()
            assert [str(w.message) for w in caught if w.category is ResourceWarning] == []


class TestTasks:
    def test_two_receive(self, run):
        """While one task receives another one cannot."""

        async def main():
            async with wspool.aio.connect(uri) as ws:
                waiting = asyncio.ensure_future(ws.recv())
                await until(lambda: ws._receiving)
                for receive in (ws.recv, ws.recv_many, ws.recv_streaming().__anext__, ws.__anext__):
                    with pytest.raises(wspool.ConcurrencyError):
                        await receive()
                await ws.send("done")
                assert await waiting == "done"
                await ws.send("again")
                assert await ws.recv() == "again"

        with websockets_server(echo) as uri:
            run(main())

    @pytest.mark.parametrize("receive", ["recv", "recv_many", "__anext__", "recv_streaming"])
    def test_close_while_another_receives(self, run, receive):
        """Who waits for a message when another task closes is told of the end."""

        async def main():
            async with wspool.aio.connect(uri) as ws:
                if receive == "recv_streaming":
                    waiting = asyncio.ensure_future(next_of(ws.recv_streaming()))
                else:
                    waiting = asyncio.ensure_future(getattr(ws, receive)())
                ended = asyncio.ensure_future(ws.wait_closed())
                await until(lambda: ws._receiving)
                await ws.close()
                kind = StopAsyncIteration if receive == "__anext__" else wspool.ConnectionClosedOK
                with pytest.raises(kind):
                    await waiting
                await ended

        async def next_of(iterator):
            return await iterator.__anext__()

        with websockets_server(echo) as uri:
            run(main())

    def test_concurrent_closes(self, run):
        """Several tasks may close at once; all of them wait for the end."""
        release = threading.Event()

        def behave(sock):
            opcode, _, payload = Frames(sock).read()
            assert opcode == CLOSE
            assert release.wait(PATIENCE)
            sock.sendall(frame(payload, CLOSE))

        async def main():
            ws = await wspool.aio.connect(uri)
            closes = [asyncio.ensure_future(ws.close(3000 + i)) for i in range(4)]
            cancelled = asyncio.ensure_future(ws.close())
            await until(lambda: ws.status is Status.CLOSING)
            cancelled.cancel()
            await asyncio.sleep(0)
            assert not any(close.done() for close in closes)
            release.set()
            await asyncio.gather(*closes)
            assert cancelled.cancelled()
            assert ws.close_code == 3000

        with frame_server(behave) as uri:
            run(main())

    def test_cancelled_block(self, run):
        """A block that is cancelled closes with 1011, and the cancellation goes on."""
        codes = queue.SimpleQueue()

        def behave(sock):
            for opcode, _, payload in Frames(sock):
                if opcode == CLOSE:
                    codes.put(int.from_bytes(payload, "big"))
                    sock.sendall(frame(payload, CLOSE))
                    return

        async def block():
            async with wspool.aio.connect(uri) as ws:
                await ws.recv()

        async def main():
            task = asyncio.ensure_future(block())
            await asyncio.sleep(0.1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        with frame_server(behave) as uri:
            run(main())
            assert codes.get(timeout=PATIENCE) == 1011


class TestSending:
    def test_asynchronous_iterable(self, run, records):
        """Items of an asynchronous iterable go as fragments, each as soon as it is there."""
        uri, next_message = records

        async def items(*items):
            for item in items:
                await asyncio.sleep(0)
                yield item

        async def main():
            async with wspool.aio.connect(uri) as ws:
                await ws.send(items("a", "b"))
                assert next_message() == ["a", "b", ""]
                await ws.send(items(b"a"), text=True)
                assert next_message() == ["a", ""]
                await ws.send(items())
                await ws.send("after")
                assert next_message() == ["after"]
                with pytest.raises(TypeError):
                    await ws.send(items("a", b"b"))
                await ws.wait_closed()
                assert next_message()[0] == 1011

        run(main())

    def test_they_wait_their_turn(self, run, records):
        """While a message goes out in fragments others wait; pings do not."""
        uri, next_message = records

        async def main():
            async with wspool.aio.connect(uri) as ws:
                release = asyncio.Event()

                async def items():
                    yield "first"
                    await release.wait()
                    yield "second"

                first = asyncio.ensure_future(ws.send(items()))
                await asyncio.sleep(0)
                others = [
                    asyncio.ensure_future(ws.send(message))
                    for message in ("text", b"binary", ["of", "two"], items())
                ]
                given_up = asyncio.ensure_future(ws.send("never"))
                await (await ws.ping())
                assert not any(task.done() for task in (first, *others))
                given_up.cancel()
                release.set()
                await asyncio.gather(first, *others)
                assert given_up.cancelled()
            got = [next_message() for _ in range(6)]
            assert got[0] == ["first", "second", ""]
            assert sorted(got[1:5], key=str) == sorted(
                [["text"], [b"binary"], ["of", "two", ""], ["first", "second", ""]], key=str
            )
            assert got[5] == (1000, "")

        run(main())

    def test_cancelled_in_fragments(self, run, records):
        """Cancelled in the middle of its fragments a message ends the connection with 1011."""
        uri, next_message = records

        async def main():
            async with wspool.aio.connect(uri) as ws:

                async def items():
                    yield "first"
                    await asyncio.Event().wait()

                sending = asyncio.ensure_future(ws.send(items()))
                waiting = asyncio.ensure_future(ws.send("later"))
                await (await ws.ping())
                sending.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await sending
                with pytest.raises(wspool.ConnectionClosed):
                    await waiting
            assert next_message()[0] == 1011

        run(main())

    def test_write_limit(self, run):
        """Where the server does not read send waits, and other tasks run; all arrives in order.

        A message whose send was cancelled is not sent.
        """
        release = threading.Event()
        got = []

        def behave(sock):
            assert release.wait(PATIENCE)
            for opcode, fin, payload in Frames(sock):
                if opcode == CLOSE:
                    sock.sendall(frame(payload, CLOSE))
                    return
                got.append((opcode, fin, len(payload), int(payload[:8])))

        count, size = 200, 100_000

        async def main():
            async with wspool.aio.connect(uri, write_limit=250_000, compression=None) as ws:
                sent = []

                async def work():
                    for i in range(count):
                        await ws.send(b"%08d" % i + bytes(size - 8))
                        sent.append(i)

                working = asyncio.ensure_future(work())
                assert await settled(lambda: len(sent)) < count
                assert ws.buffered_amount <= 250_000
                given_up = [
                    asyncio.ensure_future(ws.send(b"%08d" % (10**7 + i) + bytes(size - 8)))
                    for i in range(10)
                ]
                await asyncio.sleep(0.01)
                for task in given_up:
                    task.cancel()
                await asyncio.sleep(0)
                assert all(task.cancelled() for task in given_up)
                release.set()
                await working
                assert sent == list(range(count))

        with frame_server(behave) as uri:
            run(main())
        assert got == [(BINARY, True, size, i) for i in range(count)]

    def test_random_cancels(self, run):
        """Of sends that are cancelled at random those that returned were sent, in order."""
        randomly = random.Random(7)
        release = threading.Event()
        got = []

        def behave(sock):
            assert release.wait(PATIENCE)
            for opcode, _, payload in Frames(sock):
                if opcode == CLOSE:
                    sock.sendall(frame(payload, CLOSE))
                    return
                got.append(int(payload[:8]))

        async def main():
            sent = []
            async with wspool.aio.connect(uri, write_limit=100_000, compression=None) as ws:
                # By then the system's buffers are full, and sends wait.
                asyncio.get_running_loop().call_later(0.3, release.set)
                for i in range(600):
                    task = asyncio.ensure_future(ws.send(b"%08d" % i + bytes(60_000)))
                    for _ in range(randomly.randrange(3)):
                        await asyncio.sleep(0)
                    if randomly.random() < 0.5:
                        await asyncio.sleep(randomly.random() * 0.002)
                        task.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await task
                        sent.append(i)
            return sent

        with frame_server(behave) as uri:
            sent = run(main())
        assert 0 < len(sent) < 600
        assert got == sent

    def test_many_wait_for_room(self, run):
        """All of many tasks that wait for room get it."""
        release = threading.Event()
        got = []

        def behave(sock):
            assert release.wait(PATIENCE)
            for opcode, _, payload in Frames(sock):
                if opcode == CLOSE:
                    sock.sendall(frame(payload, CLOSE))
                    return
                got.append(int(payload[:8]))

        async def main():
            async with wspool.aio.connect(uri, write_limit=100_000, compression=None) as ws:
                tasks = [
                    asyncio.ensure_future(ws.send(b"%08d" % i + bytes(60_000))) for i in range(300)
                ]
                assert await settled(lambda: sum(task.done() for task in tasks)) < 300
                release.set()
                await asyncio.gather(*tasks)

        with frame_server(behave) as uri:
            run(main())
        assert sorted(got) == list(range(300))

    @pytest.mark.parametrize("message", [bytes(50_000), [bytes(50_000)] * 1000])
    def test_ends_while_waiting(self, run, message):
        """Who waits for room when the connection ends gets ConnectionClosed."""
        release = threading.Event()

        async def work(ws):
            while True:
                await ws.send(message)

        async def main():
            async with wspool.aio.connect(uri, write_limit=100_000) as ws:
                working = [asyncio.ensure_future(work(ws)) for _ in range(3)]
                await settled(lambda: ws.buffered_amount)
                release.set()
                for one in working:
                    with pytest.raises(wspool.ConnectionClosedError):
                        await one

        with frame_server(lambda sock: release.wait(PATIENCE)) as uri:
            run(main())


class TestPings:
    def test_cancelled(self, run):
        """An answer that nobody waits for any more troubles nobody."""
        release = threading.Event()

        def behave(sock):
            assert release.wait(PATIENCE)
            finish(sock)

        async def main():
            async with wspool.aio.connect(uri) as ws:
                cancelled, dropped, awaited = [await ws.ping() for _ in range(3)]
                cancelled.cancel()
                del dropped
                with pytest.raises((asyncio.TimeoutError, TimeoutError)):
                    await asyncio.wait_for(asyncio.shield(awaited), 0.01)
                release.set()
                assert await awaited > 0
                assert await (await ws.ping()) > 0

        with frame_server(behave) as uri:
            run(main())

    def test_loop_ends_before(self, run):
        """Pings under way when the loop ends are forgotten."""

        async def main():
            ws = await wspool.aio.connect(server.uri)
            await ws.ping()
            ws.abort()

        with wspool.testing.sink(silent=True) as server:
            run(main())


class TestCancellation:
    @pytest.mark.parametrize("seed", range(3))
    def test_loses_nothing(self, run, seed):
        """Receiving that is cancelled at random moments loses and doubles no message."""
        count = 15_000
        randomly = random.Random(seed)

        async def main():
            got = []
            cancelled = 0
            async with wspool.aio.connect(server.uri, max_queue=(64, 16)) as ws:
                while True:
                    ways = [
                        ws.recv,
                        lambda: ws.recv(timeout=randomly.random() * 0.002),
                        ws.recv_many,
                        lambda: ws.recv_many(randomly.randrange(1, 9), randomly.random() * 0.002),
                        ws.__anext__,
                    ]
                    task = asyncio.ensure_future(randomly.choice(ways)())
                    how = randomly.randrange(4)
                    if how == 0:
                        for _ in range(randomly.randrange(4)):
                            await asyncio.sleep(0)
                    elif how == 1:
                        await asyncio.sleep(randomly.random() * 0.002)
                    if how != 2:
                        task.cancel()
                    try:
                        result = await task
                    except asyncio.CancelledError:
                        cancelled += 1
                    except TimeoutError:
                        pass
                    except (wspool.ConnectionClosedOK, StopAsyncIteration):
                        break
                    else:
                        got += result if isinstance(result, list) else [result]
            assert [int(message) for message in got] == list(range(count))
            assert cancelled > 100

        with wspool.testing.replay([str(i) for i in range(count)], rate=20_000) as server:
            run(main())

    def test_streaming(self, run):
        """recv_streaming cancelled before the first fragment leaves the message alone."""
        steps = queue.SimpleQueue()

        def handler(connection):
            steps.get(timeout=PATIENCE)
            connection.send(["a", "b"])
            connection.recv()

        async def main():
            async with wspool.aio.connect(uri) as ws:
                task = asyncio.ensure_future(ws.recv_streaming().__anext__())
                await until(lambda: ws._receiving)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                steps.put(None)
                assert await ws.recv() == "ab"

        with websockets_server(handler) as uri:
            run(main())

    def test_wait_for(self, run):
        """asyncio's own timeouts lose nothing either."""

        async def main():
            got = []
            async with wspool.aio.connect(server.uri) as ws:
                with contextlib.suppress(wspool.ConnectionClosedOK):
                    while True:
                        with contextlib.suppress(asyncio.TimeoutError, TimeoutError):
                            got += await asyncio.wait_for(ws.recv_many(), 0.001)
            return got

        numbers = [str(i) for i in range(500)]
        with wspool.testing.replay(numbers, rate=1000) as server:
            assert run(main()) == numbers


class TestFairness:
    @pytest.mark.parametrize("how", ["iteration", "recv", "recv_many", "recv_streaming"])
    def test_others_run(self, run, how):
        """Who receives from a server that is always faster does not keep others from running."""
        ticks = 0

        async def tick():
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0)

        async def consume(ws):
            count = 0
            if how == "iteration":
                async for _ in ws:
                    count += 1
                    if count == 50_000:
                        return
            elif how == "recv":
                for _ in range(50_000):
                    await ws.recv()
            elif how == "recv_many":
                while count < 200_000:
                    count += len(await ws.recv_many())
            else:
                async with contextlib.aclosing(ws.recv_streaming()) as stream:
                    async for _ in stream:
                        count += 1
                        if count == 50_000:
                            return

        async def main():
            async with wspool.aio.connect(server.uri, max_size=None) as ws:
                await until(lambda: ws.statistics.pauses > 0 or how == "recv_streaming")
                ticking = asyncio.ensure_future(tick())
                before = ticks
                await consume(ws)
                during = ticks - before
                ticking.cancel()
                ws.abort()
            # Of one message at most 4,096 fragments wait apart; others have a turn every 256.
            assert during >= (5 if how == "recv_streaming" else 20)

        if how == "recv_streaming":
            server = wspool.testing.replay([bytes(500_000)], fragment=5, start="open")
        else:
            server = wspool.testing.replay(["x" * 50] * 100, repeat=None)
        with server:
            run(main())

    def test_others_run_within_a_message(self, run):
        """Fragments that wait, of a message that is not complete, do not keep others waiting."""
        count = 4000

        def behave(sock):
            sock.sendall(
                frame(b"a", fin=False) + frame(b"b", CONTINUATION, fin=False) * (count - 1)
            )
            finish(sock)

        async def main():
            ticks = 0

            async def tick():
                nonlocal ticks
                while True:
                    ticks += 1
                    await asyncio.sleep(0)

            async with wspool.aio.connect(uri) as ws:
                # All of it has been read by then, so the consumer never waits.
                await until(lambda: ws.statistics.bytes_received > 3 * count)
                ticking = asyncio.ensure_future(tick())
                await asyncio.sleep(0)
                before, taken = ticks, 0
                async for _ in ws.recv_streaming():
                    taken += 1
                    if taken == count:
                        break
                during = ticks - before
                ticking.cancel()
                ws.abort()
            assert during >= 10

        with frame_server(behave) as uri:
            run(main())


class TestLoops:
    @pytest.mark.parametrize(
        "use",
        [
            lambda ws: ws.recv(),
            lambda ws: ws.recv(timeout=1),
            lambda ws: ws.recv_many(),
            lambda ws: ws.__anext__(),
            lambda ws: ws.recv_streaming().__anext__(),
            lambda ws: ws.wait_closed(),
            lambda ws: ws.send("not sent"),
            lambda ws: ws.ping(),
            lambda ws: ws.pong(),
            lambda ws: ws.close(),
        ],
    )
    @pytest.mark.parametrize("kind", LOOPS)
    def test_another_loop(self, kind, use):
        """A connection is used on its own loop only; on another nothing is done."""

        async def opening():
            return await wspool.aio.connect(uri)

        async def using():
            return await use(ws)

        with websockets_server(echo) as uri, running(kind) as run, running(kind) as other:
            ws = run(opening())
            with pytest.raises(RuntimeError, match="loop"):
                other(using())
            run(ws.send("own"))
            assert run(ws.recv()) == "own"
            run(ws.close())

    @pytest.mark.parametrize("kind", LOOPS)
    def test_many_threads(self, kind):
        """Loops of eight threads at once, each with 20 connections."""

        async def talk(number):
            async with wspool.aio.connect(server.uri) as ws:
                for i in range(20):
                    await ws.send(f"{number} {i}")
                    assert await ws.recv() == f"{number} {i}"

        async def main(thread):
            await asyncio.gather(*(talk(f"{thread} {i}") for i in range(20)))

        def work(thread):
            with running(kind) as run:
                run(main(thread))

        with wspool.testing.echo() as server, ThreadPoolExecutor(8) as threads:
            for _ in threads.map(work, range(8)):
                pass
            assert server.wait_idle(PATIENCE)
            assert {record.close_code_received for record in server.connections} == {1000}
            assert len(server.connections) == 160

    @pytest.mark.parametrize("leave", ["closed", "open"])
    @pytest.mark.parametrize("kind", LOOPS)
    def test_come_and_go(self, kind, leave):
        """Loops that come and go leave no descriptor, whether connections were closed or not."""

        async def main():
            ws = await wspool.aio.connect(server.uri)
            await ws.send("x")
            assert await ws.recv() == "x"
            if leave == "closed":
                await ws.close()

        def once():
            loop = new_loop(kind)
            loop.run_until_complete(main())
            loop.close()

        with wspool.testing.echo() as server, warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            for _ in range(3):
                once()
            assert server.wait_idle(PATIENCE)
            gc.collect()
            before = descriptors()
            for _ in range(200):
                once()
            assert server.wait_idle(PATIENCE)
            gc.collect()
            wait_until(lambda: descriptors() <= before)

    @pytest.mark.parametrize("kind", LOOPS)
    @pytest.mark.parametrize("how", ["iteration", "recv"])
    def test_dropped_with_its_loop(self, kind, how, recwarn):
        """A task that waits when its loop is dropped keeps nothing alive."""

        async def consume(ws):
            if how == "recv":
                await ws.recv()
            else:
                async for _ in ws:
                    pass

        async def main():
            ws = await wspool.aio.connect(server.uri)
            task = asyncio.ensure_future(consume(ws))
            await until(lambda: ws._receiving)
            return weakref.ref(ws), weakref.ref(task)

        with wspool.testing.echo() as server:
            loop = new_loop(kind)
            loop.set_exception_handler(lambda *_: None)  # that the task was destroyed
            alive = loop.run_until_complete(main())
            loop.close()
            del loop
            wait_until(lambda: gc.collect() >= 0 and [ref() for ref in alive] == [None, None])
            assert server.wait_idle(PATIENCE)

    @pytest.mark.parametrize("kind", LOOPS)
    def test_one_descriptor(self, kind):
        """A loop watches one descriptor, however many connections it has."""

        async def main():
            for _ in pool:  # each endpoint's own descriptors are opened at its first connection
                wspool.connect(server.uri, pool=pool).close()
            before = eventfds()
            async with contextlib.AsyncExitStack() as stack:
                counts = set()
                for _ in range(50):
                    await stack.enter_async_context(wspool.aio.connect(server.uri, pool=pool))
                    counts.add(eventfds() - before)
            return counts

        with wspool.testing.echo() as server, EndpointPool(2) as pool, running(kind) as run:
            assert run(main()) == {1}

    @pytest.mark.parametrize("kind", LOOPS)
    def test_blocked(self, kind):
        """A loop that is blocked costs no message and no connection."""

        async def main():
            options = {"ping_interval": 0.05, "ping_timeout": 0.1}
            async with wspool.aio.connect(server.uri, **options) as ws:
                assert await ws.recv() == "0"
                time.sleep(0.5)  # noqa: ASYNC251
                return ["0"] + [message async for message in ws]

        numbers = [str(i) for i in range(1000)]
        with wspool.testing.replay(numbers, rate=2000) as server, running(kind) as run:
            assert run(main()) == numbers

    def test_dropped_in_a_running_loop(self, run):
        """A connection that is dropped ends, and its loop watches nothing for it any more."""

        async def main():
            ws = await wspool.aio.connect(server.uri)
            with pytest.warns(ResourceWarning, match="unclosed"):
                del ws
            assert await asyncio.to_thread(server.wait_idle, PATIENCE)
            async with wspool.aio.connect(server.uri) as ws:
                await ws.send("after")
                assert await ws.recv() == "after"

        with wspool.testing.echo() as server:
            run(main())

    def test_open_at_the_end(self):
        """Connections that outlive their loop can still be looked at and dropped."""
        loop = Loop("asyncio")

        async def main():
            return await wspool.aio.connect(uri)

        with websockets_server(sending("a")) as uri:
            ws = loop.run(main())
            wait_until(lambda: ws._available == 1)
            loop.close()
            assert ws.status is Status.OPENED
            ws.abort()
            wait_until(lambda: ws.status is Status.CLOSED)
            assert "CLOSED" in repr(ws)


def test_streams_of_many_tasks(run):
    """Many connections of one loop, each with a stream of its own, do not mix."""
    pieces = [b"%d," % i for i in range(200)]

    def behave(sock):
        sock.sendall(fragments(pieces) * 3)
        finish(sock)

    async def one():
        async with wspool.aio.connect(uri, max_queue=16) as ws:
            for _ in range(3):
                got = [piece async for piece in ws.recv_streaming()]
                assert "".join(got) == b"".join(pieces).decode()

    async def main():
        await asyncio.gather(*(one() for _ in range(20)))

    with frame_server(behave) as uri:
        run(main())
