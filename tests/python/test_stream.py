"""Streams of records, blocking and with asyncio, and fields in callbacks."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import subprocess
import sys
import threading
import time
import warnings

import pyarrow as pa
import pytest
import uvloop
from tests.support.pull_servers import PATIENCE, sending, wait_until, websockets_server

import wspool
from wspool import Fields
from wspool.testing import market_data, replay

PRICES = Fields({"n": ("/n", "int64"), "p": ("/p", "float64")}, where={"/e": "trade"})
TRADES = [f'{{"e":"trade","n":{n},"p":"{n}.5"}}' for n in range(1000)]
EASY = {"compression": None}


def on_demand(connection):
    """Serve one trade when asked, and nothing more."""
    connection.recv()
    connection.send(TRADES[7])
    for _ in connection:
        pass


@pytest.fixture(scope="module")
def server():
    """Sends 20,000 trades to each connection, then closes."""
    with replay(TRADES, repeat=20) as running:
        yield running


def numbers_of(batches):
    return [n for batch in batches for n in batch["n"].tolist()]


class TestBlocking:
    def test_everything_in_order(self, server):
        """One connection: all rows, in order, in batches that are full but for the last."""
        with wspool.stream(server.uri, fields=PRICES, batch_rows=3000, **EASY) as batches:
            taken = list(batches)
        assert numbers_of(taken) == list(range(1000)) * 20
        assert all(len(batch) <= 3000 for batch in taken)
        assert taken[0]["connection"][0] == server.uri
        assert (taken[0]["received"][1:] >= taken[0]["received"][:-1]).all()

    @pytest.mark.parametrize("order", ["arrival", "endpoint"])
    def test_many_connections(self, server, order):
        """Every row of every connection comes, and those of each in order."""
        with (
            wspool.EndpointPool(3) as pool,
            wspool.stream([server.uri] * 20, fields=PRICES, order=order, pool=pool, **EASY) as some,
        ):
            taken = list(some)
            assert sum(map(len, taken)) == 400_000
            counts = some.statistics
            assert (counts.messages, counts.rows, counts.batches) == (400_000, 400_000, len(taken))
            assert {one.endpoint.index for one in some.connections} == {0, 1, 2}
        if order == "arrival":
            received = [t for batch in taken for t in batch["received"].astype("int64").tolist()]
            assert len(received) == 400_000

    def test_several_fields(self):
        """Each batch is of one of the fields, and says of which."""
        data = market_data(3000)
        fields = {
            "trades": Fields({"p": ("/data/p", "float64")}, where={"/data/e": "aggTrade"}),
            "levels": Fields({"p": ("/1", "float64")}, rows="/changes"),
        }
        expected = wspool.pick(data, fields)
        rows = {"trades": [], "levels": []}
        with replay(data) as running, wspool.stream(running.uri, fields=fields) as batches:
            for batch in batches:
                rows[batch.name] += batch["p"].tolist()
            unmatched = batches.statistics.unmatched
        assert rows == {name: batch["p"].tolist() for name, batch in expected.items()}
        assert unmatched == expected["trades"].statistics.unmatched

    def test_max_delay(self):
        """A row of a slow feed comes although its batch is not full."""
        with (
            websockets_server(sending(*TRADES[:3])) as uri,
            wspool.stream(uri, fields=PRICES, max_delay=0.05) as batches,
        ):
            taken = []
            while sum(map(len, taken)) < 3:
                taken.append(batches.next(PATIENCE))
            assert numbers_of(taken) == [0, 1, 2]
            with pytest.raises(TimeoutError, match="no batch within"):
                batches.next(0.02)

    def test_slow_consumer_loses_nothing(self, server):
        """With overflow="pause" reading stops, and all rows come in the end."""
        with wspool.stream(
            server.uri, fields=PRICES, batch_rows=100, max_batches=2, **EASY
        ) as batches:
            one = batches.connections[0]
            wait_until(lambda: one.statistics.pauses > 0)
            assert numbers_of(batches) == list(range(1000)) * 20
            assert batches.statistics.dropped == 0

    @pytest.mark.parametrize("overflow", ["drop_oldest", "drop_newest"])
    def test_dropping(self, server, overflow):
        """What is dropped is counted, and the rest is the oldest or the latest."""
        with wspool.stream(
            server.uri, fields=PRICES, batch_rows=100, max_batches=3, overflow=overflow, **EASY
        ) as batches:
            wait_until(lambda: batches.statistics.messages == 20_000)
            found = numbers_of(batches)
            assert len(found) + batches.statistics.dropped == 20_000
        assert batches.statistics.dropped > 0
        if overflow == "drop_newest":
            assert found[:100] == list(range(100))
        else:
            assert found[-1] == 999

    def test_overflow_error(self, server):
        """With overflow="error" the connection ends with 1008, after the rows that came."""
        with wspool.stream(
            server.uri, fields=PRICES, batch_rows=10, max_batches=2, overflow="error", **EASY
        ) as batches:
            with pytest.raises(wspool.ConnectionClosedError) as caught:
                list(batches)
            assert caught.value.sent.code == 1008
            assert isinstance(caught.value.__cause__, wspool.QueueFull)

    def test_unmatched(self, caplog):
        """What matches nothing or is no JSON is counted, and handed to on_unmatched."""
        messages = ['{"e":"other"}', TRADES[0], "pong", b"\xff\xfe", '{"e":"trade"', TRADES[1]]
        left = []
        with (
            websockets_server(sending(*messages, close=(1000,))) as uri,
            wspool.stream(
                uri, fields=PRICES, on_unmatched=lambda one, m: left.append((one.uri, m))
            ) as batches,
        ):
            found = numbers_of(batches)
            counts = batches.statistics
        assert found == [0, 1]
        assert (counts.unmatched, counts.not_json) == (1, 3)
        assert [m for _, m in left] == ['{"e":"other"}', "pong", b"\xff\xfe", '{"e":"trade"']
        assert left[0][0].rstrip("/") == uri
        assert [record.message for record in caplog.records if "no JSON" in record.message]

    def test_subscriptions(self):
        """What the connections send is what a server waits for."""

        def subscribed(connection):
            for _ in range(int(connection.recv())):
                connection.send(TRADES[0])

        with (
            websockets_server(subscribed) as uri,
            wspool.stream([uri, uri], fields=PRICES) as batches,
        ):
            for number, one in enumerate(batches.connections):
                one.send(str(number + 1))
            assert sum(map(len, batches)) == 3

    def test_end_with_an_error(self, caplog):
        """Rows come first, then the error; the other connections go on until then."""
        with (
            websockets_server(sending(TRADES[0], close=(1011, "oops"))) as bad,
            websockets_server(sending(*TRADES[:5], close=(1000,))) as good,
            wspool.stream([good, bad], fields=PRICES, max_delay=0.01) as batches,
        ):
            taken = []
            with pytest.raises(wspool.ConnectionClosedError, match="oops"):
                taken.extend(batches)  # a list keeps what came before
        assert len(numbers_of(taken)) == 6
        assert [record for record in caplog.records if "ended with an error" in record.message]

    def test_refused(self, server):
        """If one cannot be opened its error is raised, and the others are aborted."""
        stream = wspool.stream([server.uri, "ws://127.0.0.1:1/"], fields=PRICES)
        with pytest.raises(ConnectionRefusedError), stream:
            pass
        wait_until(lambda: all(one.status.name != "OPENED" for one in stream.connections))

    def test_leaving_early(self, server):
        """Leaving the block closes the connections, however much is waiting."""
        with wspool.stream(
            [server.uri] * 3, fields=PRICES, batch_rows=10, max_batches=1, **EASY
        ) as batches:
            batches.next(PATIENCE)
        assert {one.status.name for one in batches.connections} == {"CLOSED"}
        left = list(batches)  # what had come
        assert all(len(batch) for batch in left)

    def test_forgotten(self, server):
        """A stream that is dropped warns, and ends its connections."""
        stream = wspool.stream(server.uri, fields=PRICES, max_batches=1, batch_rows=1)
        connections = stream.__enter__().connections
        with pytest.warns(ResourceWarning, match="unclosed stream"):  # noqa: PT031
            del stream
            gc.collect()
        wait_until(lambda: connections[0].status.name == "CLOSED")

    def test_aborted_and_forgotten(self, server):
        """One that was aborted may be dropped at once, though its connections are still ending."""
        for _ in range(20):
            stream = wspool.stream(server.uri, fields=PRICES)
            connection = stream.__enter__().connections[0]
            with warnings.catch_warnings(record=True) as told:
                warnings.simplefilter("always", ResourceWarning)
                stream.abort()
                del stream
                gc.collect()
            assert [str(one.message) for one in told] == []
            wait_until(lambda one=connection: one.status.name == "CLOSED")

    def test_misuse(self, server):
        """Before its block there is nothing to take, and it starts once."""
        stream = wspool.stream(server.uri, fields=PRICES)
        with pytest.raises(wspool.WSPoolError, match="with block"):
            stream.next(0)
        with stream:
            with pytest.raises(wspool.WSPoolError, match="once"):
                stream.__enter__()
            list(stream)
        with pytest.raises(wspool.ConnectionClosedOK):
            stream.next(0)

    @pytest.mark.parametrize(
        ("wrong", "error"),
        [
            ({"batch_rows": 0}, ValueError),
            ({"batch_rows": "1"}, TypeError),
            ({"max_delay": -1}, ValueError),
            ({"max_delay": None}, TypeError),
            ({"max_batches": 0}, ValueError),
            ({"order": "price"}, ValueError),
            ({"on_unmatched": 5}, TypeError),
            ({"pool": 5}, TypeError),
            ({"fields": 5}, TypeError),
            ({"overflow": "panic"}, ValueError),
            ({"bacth_rows": 5}, TypeError),
        ],
    )
    def test_bad_arguments(self, server, wrong, error):
        """They are refused before anything is connected, by name."""
        with pytest.raises(error, match=next(iter(wrong))):
            wspool.stream(server.uri, **{"fields": PRICES, **wrong})
        with pytest.raises(TypeError, match="did you mean 'max_delay'"):
            wspool.stream(server.uri, fields=PRICES, max_dealy=1)
        with pytest.raises(TypeError, match="did you mean 'ping_timeout'"):
            wspool.stream(server.uri, fields=PRICES, ping_timout=1)
        for uris in ([], 5, [5], b"ws://x"):
            with pytest.raises((TypeError, ValueError), match="uris"):
                wspool.stream(uris, fields=PRICES)

    @pytest.mark.parametrize("timeout", [float("nan"), "1", True])
    def test_bad_timeout(self, server, timeout):
        """What is no number of seconds is refused."""
        with wspool.stream(server.uri, fields=PRICES, **EASY) as batches:
            with pytest.raises(TypeError, match="timeout must be a number of seconds"):
                batches.next(timeout)

    def test_bad_uri(self):
        """One that is none is raised on entering."""
        with pytest.raises(wspool.InvalidURI), wspool.stream("http://x/", fields=PRICES):
            pass

    def test_no_credentials(self, caplog):
        """User and password of a URI are in no column, repr or log."""
        caplog.set_level(logging.DEBUG)
        with websockets_server(sending(TRADES[0], close=(1011,))) as uri:
            secret = uri.replace("//", "//user:pass@")
            with wspool.stream(secret + "/?token=hidden", fields=PRICES) as batches:
                batch = batches.next(PATIENCE)
                assert "user" not in repr(batches)
                with pytest.raises(wspool.ConnectionClosedError):
                    batches.next(PATIENCE)
        assert batch["connection"].tolist() == [uri + "/?token=hidden"]
        ours = [one.getMessage() for one in caplog.records if one.name.startswith("wspool")]
        assert any("ended with an error; one:" in one and f"{uri}/?..." in one for one in ours)
        assert "pass" not in "".join(ours)
        assert "hidden" not in "".join(ours)

    def test_compressed_and_tls(self):
        """Inflated messages and those over TLS are picked the same way."""
        with replay(TRADES, tls=True) as running:
            options = {"ssl": wspool.TLS(ca_file=running.ca_file)}
            with wspool.stream(running.uri, fields=PRICES, **options) as batches:
                assert numbers_of(batches) == list(range(1000))
        with (
            websockets_server(sending(*TRADES, close=(1000,)), compression="deflate") as uri,
            wspool.stream(uri, fields=PRICES) as batches,
        ):
            assert numbers_of(batches) == list(range(1000))
            assert "deflate" in batches.connections[0].response.headers["Sec-WebSocket-Extensions"]

    def test_large_and_fragmented_messages(self):
        """A message that is put together from frames or reads is picked like any other."""
        large = '{"e":"trade","n":1,"p":2,"x":"' + "y" * 900_000 + '"}'
        parts = ['{"e":"tra', 'de","n":2,', '"p":3}']
        with (
            websockets_server(sending(large, parts, TRADES[3], close=(1000,))) as uri,
            wspool.stream(uri, fields=PRICES) as batches,
        ):
            assert numbers_of(batches) == [1, 2, 3]

    def test_beside_a_busy_thread(self, server):
        """A Python thread that computes does not cost rows."""
        stop = threading.Event()

        def compute():
            while not stop.is_set():
                sum(range(1000))

        thread = threading.Thread(target=compute)
        thread.start()
        try:
            with wspool.stream([server.uri] * 4, fields=PRICES, **EASY) as batches:
                assert sum(map(len, batches)) == 80_000
        finally:
            stop.set()
            thread.join()

    def test_ctrl_c(self, server):
        """Ctrl-C ends a wait for a batch."""
        program = (
            "import sys, wspool\n"
            "from wspool.testing import echo\n"
            "with echo() as server:\n"
            "    fields = wspool.Fields({'a': ('/a', 'int64')})\n"
            "    with wspool.stream(server.uri, fields=fields) as batches:\n"
            "        print('waiting', flush=True)\n"
            "        batches.next()\n"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", program],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout.readline() == "waiting\n"
        begun = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=PATIENCE)
        assert "KeyboardInterrupt" in errors
        assert time.monotonic() - begun < PATIENCE


class TestArrow:
    def test_reader(self, server):
        """pyarrow reads the batches as they come."""
        with wspool.stream([server.uri] * 3, fields=PRICES, **EASY) as batches:
            reader = pa.RecordBatchReader.from_stream(batches)
            assert reader.schema.names == ["n", "p", "received", "connection"]
            table = reader.read_all()
        assert table.num_rows == 60_000
        table.validate(full=True)

    def test_error_at_the_end(self):
        """How the stream ended is the reader's error."""
        with (
            websockets_server(sending(TRADES[0], close=(1011, "oops"))) as uri,
            wspool.stream(uri, fields=PRICES) as batches,
        ):
            reader = pa.RecordBatchReader.from_stream(batches)
            assert reader.read_next_batch().num_rows == 1
            with pytest.raises(OSError, match="oops"):
                reader.read_next_batch()

    def test_ctrl_c(self):
        """Ctrl-C is the reader's error, with a text, and leaving the block raises it again."""
        program = (
            "import os, signal, threading, pyarrow, wspool\n"
            "from wspool.testing import sink\n"
            "interrupt = lambda: os.kill(os.getpid(), signal.SIGINT)\n"
            "def interrupted(self, timeout, wait=wspool.RecordStream._next):\n"
            "    threading.Thread(target=interrupt).start()\n"
            "    return wait(self, timeout)\n"
            "wspool.RecordStream._next = interrupted\n"
            "with sink() as server:\n"
            "    fields = wspool.Fields({'a': ('/a', 'int64')})\n"
            "    try:\n"
            "        with wspool.stream(server.uri, fields=fields, proxy=None) as batches:\n"
            "            reader = pyarrow.RecordBatchReader.from_stream(batches)\n"
            "            try:\n"
            "                reader.read_next_batch()\n"
            "            except OSError as error:\n"
            "                assert 'KeyboardInterrupt' in str(error), error\n"
            "                print('error', flush=True)\n"
            "                raise\n"
            "    except KeyboardInterrupt as error:\n"
            "        assert isinstance(error.__context__, OSError)\n"
            "        print('interrupted', flush=True)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert (done.stdout, done.stderr) == ("error\ninterrupted\n", "")

    def test_one_schema(self, server):
        """Several fields have no common schema."""
        with wspool.stream(server.uri, fields={"a": PRICES}, **EASY) as batches:
            with pytest.raises(ValueError, match="one schema"):
                batches.__arrow_c_stream__()
            list(batches)


class TestAsyncio:
    def run(self, coroutine):
        return asyncio.run(asyncio.wait_for(coroutine, PATIENCE))

    def test_everything(self, server):
        """All rows of all connections come."""

        async def main():
            async with wspool.aio.stream([server.uri] * 3, fields=PRICES, **EASY) as batches:
                return [batch async for batch in batches], batches.statistics

        taken, counts = self.run(main())
        assert sum(map(len, taken)) == counts.rows == 60_000

    def test_uvloop(self, server):
        """The same on uvloop."""

        async def main():
            async with wspool.aio.stream(server.uri, fields=PRICES, **EASY) as batches:
                return numbers_of([batch async for batch in batches])

        with (
            asyncio.Runner(loop_factory=uvloop.new_event_loop)
            if hasattr(asyncio, "Runner")
            else _OldRunner() as runner
        ):
            assert runner.run(main()) == list(range(1000)) * 20

    def test_max_delay_and_cancelling(self):
        """A slow row comes in time, and a wait that is cancelled loses nothing."""

        async def main(uri):
            async with wspool.aio.stream(uri, fields=PRICES, max_delay=0.05) as batches:
                for _ in range(20):
                    with pytest.raises(asyncio.TimeoutError):
                        await asyncio.wait_for(batches.next(), 0.001)
                batches.connections[0].send("go")
                return (await batches.next())["n"].tolist()

        with websockets_server(on_demand) as uri:
            assert self.run(main(uri)) == [7]

    def test_other_tasks_go_on(self, server):
        """A flood leaves other tasks their turn."""

        async def main():
            turns = 0

            async def other():
                nonlocal turns
                while True:
                    turns += 1
                    await asyncio.sleep(0)

            task = asyncio.create_task(other())
            async with wspool.aio.stream(
                [server.uri] * 3, fields=PRICES, batch_rows=100, **EASY
            ) as batches:
                rows = 0
                async for batch in batches:
                    rows += len(batch)
            task.cancel()
            return rows, turns

        rows, turns = self.run(main())
        assert rows == 60_000
        assert turns >= 100

    def test_ends(self):
        """Refused, ended with an error, left early, unmatched: as with the blocking one."""

        async def refused():
            async with wspool.aio.stream("ws://127.0.0.1:1/", fields=PRICES):
                pass

        with pytest.raises(ConnectionRefusedError):
            self.run(refused())
        left = []

        async def ended(uri):
            taken = []
            async with wspool.aio.stream(
                uri, fields=PRICES, on_unmatched=lambda _, m: left.append(m.text)
            ) as batches:
                with pytest.raises(wspool.ConnectionClosedError, match="oops"):
                    async for batch in batches:
                        taken.append(batch)
            return numbers_of(taken)

        with websockets_server(sending("hello", TRADES[0], close=(1011, "oops"))) as uri:
            assert self.run(ended(uri)) == [0]
        assert left == ["hello"]

    @pytest.mark.parametrize("leave", [False, True], ids=["close", "leave"])
    def test_closed_while_a_task_takes(self, leave):
        """A task that waits for a batch gets what came, and the end."""

        async def main(uri):
            taken = []

            async def consume(batches):
                async for batch in batches:
                    taken.append(batch)

            async with wspool.aio.stream(
                [uri] * 2, fields=PRICES, max_delay=0.01, proxy=None
            ) as batches:
                task = asyncio.create_task(consume(batches))
                deadline = time.monotonic() + PATIENCE
                while sum(map(len, taken)) < 4:  # then it waits for more
                    assert time.monotonic() < deadline
                    await asyncio.sleep(0.001)
                if not leave:
                    await asyncio.wait_for(batches.close(), PATIENCE)
            await asyncio.wait_for(task, PATIENCE)
            return numbers_of(taken)

        with websockets_server(sending(*TRADES[:2])) as uri:
            assert sorted(self.run(main(uri))) == [0, 0, 1, 1]

    def test_one_task_takes(self):
        """A second one is told so, and the first goes on."""

        async def main(uri):
            async with wspool.aio.stream(uri, fields=PRICES, max_delay=0.01) as batches:
                task = asyncio.create_task(batches.next())
                await asyncio.sleep(0)
                with pytest.raises(wspool.ConcurrencyError, match="another task"):
                    await batches.next()
                with pytest.raises(wspool.ConcurrencyError):
                    async for _ in batches:
                        pass
                batches.connections[0].send("go")
                return (await task)["n"].tolist()

        with websockets_server(on_demand) as uri:
            assert self.run(main(uri)) == [7]

    def test_leaving_early(self, server):
        """Leaving the block closes, and what had come can be taken."""

        async def main():
            async with wspool.aio.stream(
                [server.uri] * 3, fields=PRICES, batch_rows=10, max_batches=1, **EASY
            ) as batches:
                await batches.next()
            return [one.status.name for one in batches.connections]

        assert self.run(main()) == ["CLOSED"] * 3


class _OldRunner:
    """asyncio.Runner for Python 3.10."""

    def __enter__(self):
        self._loop = uvloop.new_event_loop()
        return self

    def run(self, coroutine):
        return self._loop.run_until_complete(coroutine)

    def __exit__(self, *_):
        self._loop.close()


class TestCallbacks:
    @pytest.fixture
    def endpoint(self):
        with wspool.EndpointPool(1) as pool:
            yield pool.get_endpoint()

    def test_batches_and_records(self, endpoint, server):
        """on_batch gets what one read brought, on_record each row as a tuple."""
        batches = []
        records = []
        connection = endpoint.create_new_connection(
            server.uri,
            fields=PRICES,
            on_batch=lambda c, batch: batches.append((c, batch)),
            on_record=lambda c, record: records.append((c, record)),
            **EASY,
        )
        connection.wait_closed(PATIENCE)
        assert {c for c, _ in batches} == {c for c, _ in records} == {connection}
        assert numbers_of(batch for _, batch in batches) == list(range(1000)) * 20
        assert [record for _, record in records[:2]] == [(0, 0.5), (1, 1.5)]
        assert len(records) == 20_000
        assert batches[0][1]["connection"][0] == server.uri

    def test_several_fields_and_unmatched(self, endpoint):
        """A batch for each of the fields; what is left goes to on_unmatched."""
        names = []
        left = []
        fields = {"trade": PRICES, "any": Fields({"e": ("/e", "string")}, where={"/k": 1})}
        with websockets_server(sending(TRADES[0], '{"k":1}', "hi", close=(1000,))) as uri:
            connection = endpoint.create_new_connection(
                uri,
                fields=fields,
                on_batch=lambda _, batch: names.append(batch.name),
                on_unmatched=lambda _, message: left.append(message.text),
            )
            connection.wait_closed(PATIENCE)
        assert sorted(names) == ["any", "trade"]
        assert left == ["hi"]

    def test_exceptions(self, endpoint):
        """What a callback raises goes to on_error, and the next one is called."""
        raised = []
        calls = []

        def on_record(_, record):
            calls.append(record)
            raise ValueError(record)

        with websockets_server(sending(*TRADES[:3], close=(1000,))) as uri:
            connection = endpoint.create_new_connection(
                uri, fields=PRICES, on_record=on_record, on_error=lambda _, e: raised.append(e)
            )
            connection.wait_closed(PATIENCE)
        assert len(calls) == len(raised) == 3

    @pytest.mark.parametrize(
        "arguments",
        [
            {"fields": PRICES},
            {"on_batch": print},
            {"on_unmatched": print},
            {"fields": PRICES, "on_message": print},
            {"fields": {"a": PRICES, "b": PRICES}, "on_record": print},
        ],
    )
    def test_refused(self, endpoint, arguments):
        """Arguments that do not go together."""
        with pytest.raises(ValueError, match="fields|on_record"):
            endpoint.create_new_connection("ws://127.0.0.1:1/", **arguments)

    def test_disabled(self, endpoint, server):
        """After disable_callbacks no batch comes."""
        connection = None
        seen = []

        def on_batch(c, batch):
            seen.append(batch)
            c.disable_callbacks()

        connection = endpoint.create_new_connection(
            server.uri, fields=PRICES, on_batch=on_batch, **EASY
        )
        connection.wait_closed(PATIENCE)
        assert len(seen) == 1
