"""Callbacks: when they run, in which order, and what becomes of their exceptions."""

import gc
import logging
import sys
import threading
import time
import weakref

import pytest
from tests.support.pull_servers import wait_until

import wspool
import wspool.testing
from wspool import EndpointPool, Message, Status


@pytest.fixture(scope="module")
def pool():
    """A private pool of two endpoints."""
    with EndpointPool(2) as pool:
        yield pool


@pytest.fixture
def echo():
    """An echo server."""
    with wspool.testing.echo() as server:
        yield server


def opened(pool, server, **arguments):
    connection = pool.get_endpoint().create_new_connection(server.uri, **arguments)
    assert connection.opened.result(10) is Status.OPENED, connection.error
    return connection


class TestOrder:
    def test_life(self, pool, echo):
        """open, messages in order, close; each on a native thread, with what it should get."""
        events = []
        threads = set()

        def note(name):
            def callback(*args):
                events.append((name, *args))
                threads.add(threading.get_ident())

            return callback

        connection = opened(
            pool,
            echo,
            on_open=note("open"),
            on_message=note("message"),
            on_close=note("close"),
            on_fail=note("fail"),
            on_error=note("error"),
        )
        for i in range(100):
            connection.send(str(i))
        wait_until(lambda: len(events) == 101)
        connection.close(4000)
        connection.wait_closed(10)
        assert events[0] == ("open", connection)
        assert events[1:101] == [("message", connection, str(i)) for i in range(100)]
        assert all(isinstance(event[2], Message) for event in events[1:101])
        assert events[101:] == [("close", connection, 4000, "")]
        assert threading.get_ident() not in threads

    def test_failure(self, pool):
        """on_fail is the only call, with the exception."""
        events = []
        connection = pool[0].create_new_connection(
            "ws://127.0.0.1:1/",
            on_open=lambda *args: events.append(args),
            on_close=lambda *args: events.append(args),
            on_fail=lambda *args: events.append(args),
        )
        assert connection.opened.result(10) is Status.FAILED
        connection.wait_closed(10)
        assert events == [(connection, connection.error)]
        assert isinstance(connection.error, ConnectionRefusedError)

    def test_opened_comes_after_on_open(self, pool, echo):
        """The future is set when the callback has returned."""
        returned = []

        def on_open(connection):
            time.sleep(0.1)
            assert not connection.opened.done()
            returned.append(1)

        opened(pool, echo, on_open=on_open).close()
        assert returned == [1]

    def test_opened_comes_after_on_fail(self, pool):
        """The same for a failure."""
        returned = []

        def on_fail(connection, error):
            time.sleep(0.1)
            assert not connection.opened.done()
            returned.append(1)

        connection = pool[0].create_new_connection("ws://127.0.0.1:1/", on_fail=on_fail)
        assert connection.opened.result(10) is Status.FAILED
        assert returned == [1]

    def test_messages_before_the_close(self, pool):
        """Messages that came before the close are handed out before on_close."""
        events = []
        with wspool.testing.replay([f"{i}" for i in range(1000)]) as server:
            connection = pool[0].create_new_connection(
                server.uri,
                on_message=lambda c, m: events.append(m.text),
                on_close=lambda c, code, reason: events.append(code),
            )
            connection.wait_closed(10)
        assert events == [*(f"{i}" for i in range(1000)), 1000]

    def test_received_ns(self, pool, echo):
        """Messages are stamped when they were read."""
        stamps = []
        connection = opened(pool, echo, on_message=lambda c, m: stamps.append(m.received_ns))
        before = time.time_ns()
        for _ in range(10):
            connection.send("x")
        wait_until(lambda: len(stamps) == 10)
        assert stamps == sorted(stamps)
        assert before - 10**7 <= stamps[0] <= stamps[-1] <= time.time_ns() + 10**7
        connection.close()

    def test_no_on_message(self, pool):
        """Without on_message all is read and dropped, and counted."""
        with wspool.testing.replay(["x" * 100] * 1000) as server:
            connection = opened(pool, server)
            connection.wait_closed(10)
        assert connection.statistics.messages_received == 1000
        assert connection.close_code == 1000

    def test_send_inside(self, pool, echo):
        """A callback may send; a chain of echoes goes on by itself."""
        done = threading.Event()

        def on_message(connection, message):
            number = int(message.text)
            if number == 500:
                done.set()
            else:
                connection.send(str(number + 1))

        connection = opened(pool, echo, on_open=lambda c: c.send("0"), on_message=on_message)
        assert done.wait(30)
        connection.close()

    def test_close_inside(self, pool, echo):
        """A callback may close; waiting there is refused, or returns at the end."""
        raised = []

        def on_message(connection, message):
            connection.close()
            try:
                connection.wait_closed()
            except wspool.InvalidState as error:
                raised.append(error)

        connection = opened(pool, echo, on_message=on_message)
        connection.send("x")
        connection.wait_closed(10)
        assert len(raised) == 1

    def test_create_inside(self, pool, echo):
        """A callback may start further connections on its endpoint."""
        made = []

        def on_open(connection):
            if len(made) < 5:
                made.append(connection.endpoint.create_new_connection(echo.uri, on_open=on_open))

        opened(pool, echo, on_open=on_open)
        wait_until(lambda: len(made) == 5 and made[-1].status is Status.OPENED)
        for connection in made:
            connection.close()
            connection.wait_closed(10)

    def test_one_at_a_time(self, pool, echo):
        """Callbacks of one endpoint never run at once."""
        inside = []
        together = []

        def on_message(connection, message):
            inside.append(1)
            together.append(len(inside))
            time.sleep(0.001)
            inside.pop()

        connections = [
            pool[0].create_new_connection(echo.uri, on_message=on_message) for _ in range(10)
        ]
        for connection in connections:
            connection.opened.result(10)
            for _ in range(10):
                connection.send("x")
        wait_until(lambda: len(together) == 100)
        assert set(together) == {1}
        pool[0].close_all_connections()
        pool[0].wait_for_closing_all(10)

    def test_slow_callback_costs_no_connection(self, pool):
        """While a callback blocks, the connection is kept alive and nothing is lost."""
        received = []

        def on_message(connection, message):
            if not received:
                time.sleep(1.5)
            received.append(message.text)

        with wspool.testing.replay([str(i) for i in range(20_000)]) as server:
            connection = pool[1].create_new_connection(
                server.uri,
                on_message=on_message,
                ping_interval=0.2,
                ping_timeout=0.3,
                max_queue=100,
            )
            connection.wait_closed(20)
        assert connection.close_code == 1000
        assert received == [str(i) for i in range(20_000)]


class TestExceptions:
    def test_to_on_error(self, pool, echo):
        """on_error gets the exception; thread and connection go on."""
        errors = []
        received = []

        def on_message(connection, message):
            received.append(message.text)
            raise ZeroDivisionError(message.text)

        connection = opened(
            pool, echo, on_message=on_message, on_error=lambda *args: errors.append(args)
        )
        for i in range(3):
            connection.send(str(i))
        wait_until(lambda: len(errors) == 3)
        assert received == ["0", "1", "2"]
        assert [(c, type(e), str(e)) for c, e in errors] == [
            (connection, ZeroDivisionError, str(i)) for i in range(3)
        ]
        assert errors[0][1].__traceback__ is not None
        assert connection.status is Status.OPENED
        connection.close()

    @pytest.mark.parametrize("name", ["on_open", "on_message", "on_close"])
    def test_to_the_log(self, pool, echo, caplog, name):
        """Without on_error it is logged with its traceback."""

        def fail(*args):
            raise ZeroDivisionError("that one")

        with caplog.at_level(logging.ERROR, logger="wspool"):
            connection = opened(pool, echo, **{name: fail})
            connection.send("x")
            wait_until(lambda: name != "on_message" or caplog.records)
            connection.close()
            connection.wait_closed(10)
        (record,) = caplog.records
        assert record.name == "wspool"
        assert "exception in a callback" in record.message
        assert record.exc_info[0] is ZeroDivisionError
        assert "in fail" in caplog.text

    def test_of_sending_to_an_ended_connection(self, pool, echo, caplog):
        """A callback that sends while its own connection ends is noted, but not as an error."""
        with caplog.at_level(logging.INFO, logger="wspool"):
            connection = opened(pool, echo, on_close=lambda c, code, reason: c.send("x"))
            connection.close()
            connection.wait_closed(10)
        (record,) = (one for one in caplog.records if one.name == "wspool")
        assert record.levelno == logging.INFO
        assert record.exc_info[0] is wspool.ConnectionClosedOK

    def test_of_on_fail(self, pool, caplog):
        """on_fail may fail as well."""

        def fail(*args):
            raise ZeroDivisionError("that one")

        connection = pool[0].create_new_connection("ws://127.0.0.1:1/", on_fail=fail)
        assert connection.opened.result(10) is Status.FAILED
        connection.wait_closed(10)
        assert "that one" in caplog.text

    def test_of_on_error(self, pool, echo, caplog):
        """If on_error fails itself, both are logged."""

        def fail(*args):
            raise ZeroDivisionError("first")

        def fail_again(*args):
            raise KeyError("second")

        connection = opened(pool, echo, on_message=fail, on_error=fail_again)
        connection.send("x")
        wait_until(lambda: caplog.records)
        connection.close()
        connection.wait_closed(10)
        assert "second" in caplog.text

    def test_own_logger(self, pool, echo, caplog):
        """logger= says where."""

        def fail(*args):
            raise ZeroDivisionError

        with caplog.at_level(logging.ERROR):
            opened(pool, echo, on_open=fail, logger=logging.getLogger("mine")).close()
        assert [record.name for record in caplog.records] == ["mine"]

    @pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit])
    def test_that_would_end_a_thread(self, pool, echo, kind):
        """Even these are reported, and end neither thread nor connection."""
        errors = []

        def fail(connection, message):
            raise kind

        connection = opened(
            pool, echo, on_message=fail, on_error=lambda c, e: errors.append(type(e))
        )
        connection.send("a")
        connection.send("b")
        wait_until(lambda: errors == [kind, kind])
        assert connection.ping().result(10) > 0
        connection.close()

    def test_wrong_signature(self, pool, echo):
        """A callback with other arguments is an error like any other."""
        errors = []
        connection = opened(
            pool, echo, on_message=lambda: None, on_error=lambda c, e: errors.append(e)
        )
        connection.send("x")
        wait_until(lambda: errors)
        assert isinstance(errors[0], TypeError)
        connection.close()


class TestDisable:
    def test_takes_effect_at_once(self, pool):
        """After it returned no message is handed out, though many more come."""
        received = []
        with wspool.testing.replay(["x" * 50] * 1000, repeat=None) as server:
            connection = opened(pool, server, on_message=lambda c, m: received.append(1))
            wait_until(lambda: len(received) > 1000)
            connection.disable_callbacks()
            count = len(received)
            before = connection.statistics.messages_received
            wait_until(lambda: connection.statistics.messages_received > before + 1000)
            assert len(received) == count
            connection.abort()
            connection.wait_closed(10)

    def test_inside(self, pool):
        """Inside a callback it holds for the next message of the same batch."""
        received = []

        def on_message(connection, message):
            received.append(message.text)
            if message == "3":
                connection.endpoint.disable_callbacks(connection.id)

        with wspool.testing.replay([str(i) for i in range(1000)]) as server:
            connection = opened(pool, server, on_message=on_message)
            connection.wait_closed(10)
        assert received == ["0", "1", "2", "3"]

    def test_no_on_close(self, pool, echo):
        """on_close is not called either; waiting and status work."""
        called = []
        connection = opened(pool, echo, on_close=lambda *args: called.append(args))
        connection.disable_callbacks()
        connection.close()
        connection.wait_closed(10)
        assert called == []
        assert connection.status is Status.CLOSED
        assert connection not in connection.endpoint.connections

    def test_before_open(self, pool, echo):
        """Before it is open: `opened` is told all the same."""
        called = []
        connection = pool[0].create_new_connection(echo.uri, on_message=called.append)
        connection.disable_callbacks()
        assert connection.opened.result(10) is Status.OPENED
        connection.close()
        connection.wait_closed(10)
        assert called == []


class TestLifetime:
    def test_open_connection_is_kept(self, pool, echo):
        """An open connection and its callbacks live on when the user drops them."""
        received = threading.Event()
        held = []
        number = opened(
            pool,
            echo,
            on_open=lambda c: held.append(c.endpoint),
            on_message=lambda c, m: received.set(),
        ).id
        gc.collect()
        held[0].send_msg(number, "x")
        assert received.wait(10)
        held[0].close(number)

    def test_callbacks_are_let_go(self, pool, echo):
        """After the end neither callbacks nor connection are kept, even in a cycle."""

        class Handler:
            def __init__(self):
                self.connection = None

            def on_event(self, *args):
                pass

        handler = Handler()
        connection = opened(
            pool,
            echo,
            on_open=handler.on_event,
            on_message=handler.on_event,
            on_close=handler.on_event,
            on_error=handler.on_event,
        )
        handler.connection = connection
        reference = weakref.ref(handler)
        connection.close()
        connection.wait_closed(10)
        gc.disable()
        try:
            del handler.connection
            del handler
            wait_until(lambda: reference() is None)
            other = weakref.ref(connection)
            del connection
            wait_until(lambda: other() is None)
        finally:
            gc.enable()

    def test_failed_connections_leave_nothing(self, pool):
        """Two hundred refused connections leave no objects."""

        def fail_many(count):
            connections = [
                pool.get_endpoint().create_new_connection(
                    "ws://127.0.0.1:1/", on_message=lambda c, m: None, on_fail=lambda c, e: None
                )
                for _ in range(count)
            ]
            for connection in connections:
                connection.wait_closed(20)

        fail_many(50)
        gc.collect()
        before = sys.getallocatedblocks()
        fail_many(200)
        gc.collect()
        wait_until(lambda: gc.collect() >= 0 and sys.getallocatedblocks() - before < 500)

    def test_message_outlives_the_callback(self, pool):
        """A message that is kept keeps its payload."""
        kept = []
        texts = [f"message {i} " + "x" * (i % 600) for i in range(3000)]
        with wspool.testing.replay(texts) as server:
            connection = opened(pool, server, on_message=lambda c, m: kept.append(m))
            connection.wait_closed(10)
        assert kept == texts

    @pytest.mark.parametrize(
        "keep",
        [
            lambda message: message,
            memoryview,
            lambda message: memoryview(message)[1:-1],
            lambda message: (message.text, message)[1],
            lambda message: (message.json(), message)[1],
            lambda message: (message.at("/n"), message)[1],
            lambda message: [message, hash(message)],
        ],
        ids=["message", "view", "slice", "text", "json", "at", "hash"],
    )
    def test_what_is_kept_stays_as_it_was(self, pool, keep):
        """Payloads are lent for the time of the callback; whatever outlives it has a copy."""
        sent = [f'{{"n": {number}, "x": "{"x" * (number % 700)}"}}' for number in range(5000)]
        kept = []
        with wspool.testing.replay(sent) as server:
            connection = opened(
                pool, server, on_message=lambda _connection, message: kept.append(keep(message))
            )
            connection.wait_closed(30)
        assert len(kept) == len(sent)
        for was, now in zip(map(keep, map(Message, sent)), kept, strict=True):
            assert now == was

    def test_kept_now_and_then(self, pool):
        """Messages that are kept and others that are not may follow each other in any order."""
        sent = [f"message {number}" for number in range(3000)]
        kept = {}
        count = 0

        def on_message(_connection, message):
            nonlocal count
            if count % 7 in (0, 1, 5):
                kept[count] = message
            count += 1

        with wspool.testing.replay(sent) as server:
            opened(pool, server, on_message=on_message).wait_closed(30)
        assert count == len(sent)
        assert kept == {n: sent[n] for n in range(len(sent)) if n % 7 in (0, 1, 5)}
