"""The user's functions of an attempt to connect: what they raise, and how long they may take."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
from tests.support.pull_servers import PATIENCE, echo, wait_until, websockets_server

import wspool
from wspool import Reconnect, Status, reconnecting
from wspool.workers import Workers

QUICK = Reconnect(initial_delay=0.02, max_delay=0.1, max_attempts=2)


@pytest.fixture
def blocked():
    """A function that blocks until the end of the test, and counts its calls."""
    release = threading.Event()

    def function():
        function.calls += 1
        assert release.wait(2 * PATIENCE)
        return "ws://127.0.0.1:1/"

    function.calls = 0
    yield function
    release.set()
    wait_until(lambda: not reconnecting._workers._deadlines)


@pytest.fixture
def server():
    """A server that echoes; its URI."""
    with websockets_server(echo) as uri:
        yield uri


def works(uri):
    """Connect with a function, which needs a worker."""
    with wspool.connect(lambda: uri, proxy=None, open_timeout=PATIENCE) as ws:
        ws.send("x")
        return ws.recv(PATIENCE) == "x"


@pytest.mark.parametrize("raised", [asyncio.CancelledError, SystemExit, KeyboardInterrupt])
@pytest.mark.parametrize("name", ["uri", "additional_headers", "subscriptions"])
def test_base_exceptions(server, raised, name):
    """Any exception is an attempt that failed, and costs no thread."""

    def bad():
        raise raised

    options = {"proxy": None, "reconnect": QUICK}
    uri = bad if name == "uri" else server
    if name != "uri":
        options[name] = bad
    for _ in range(5):
        with pytest.raises(wspool.WSPoolError, match=raised.__name__) as caught:
            wspool.connect(uri, **options)
        assert isinstance(caught.value.__cause__, raised)
    assert reconnecting._workers._threads <= reconnecting._workers.most
    assert works(server)


def test_a_bad_uri_names_the_function():
    """The text says which function returned it, and shows no secret."""

    def make_uri():
        return "http://me:secret@host/?token=secret"

    with pytest.raises(wspool.InvalidURI, match=r"what make_uri\(\) returned isn't") as raised:
        wspool.connect(make_uri, proxy=None)
    assert "secret" not in str(raised.value)


def test_a_judge_that_raises_a_base_exception(server):
    """It counts as if it were not there."""

    def fatal(_):
        raise SystemExit

    uris = iter(["ws://127.0.0.1:1/", server])
    reconnect = Reconnect(initial_delay=0.02, fatal=fatal)
    with wspool.connect(lambda: next(uris), proxy=None, reconnect=reconnect) as ws:
        ws.send("x")
        assert ws.recv(PATIENCE) == "x"


@pytest.mark.parametrize("name", ["uri", "additional_headers", "on_connect", "subscriptions"])
def test_open_timeout_covers_functions(server, blocked, name):
    """A function that blocks is an attempt that failed, and is named."""
    uri = blocked if name == "uri" else server
    options = {} if name == "uri" else {name: blocked}
    if name == "additional_headers":
        options["events"] = True  # else the caller's own thread calls it
    begun = time.monotonic()
    with pytest.raises(TimeoutError, match=rf"^{name}\(\) did not return in time$"):
        wspool.connect(uri, proxy=None, open_timeout=0.2, **options)
    assert time.monotonic() - begun < PATIENCE
    assert blocked.calls == 1


def test_open_timeout_counts_once(server):
    """What a function takes is gone for the rest of the attempt."""

    def on_connect():
        time.sleep(0.3)
        return ()

    begun = time.monotonic()
    with pytest.raises(TimeoutError):
        wspool.connect(
            server, proxy=None, open_timeout=0.6, on_connect=on_connect, match="never", max_queue=9
        )
    assert 0.55 <= time.monotonic() - begun < PATIENCE


def test_a_late_answer_counts_for_nothing(server):
    """The next attempt is not disturbed by it."""
    release = threading.Event()
    calls = []

    def uri():
        calls.append(time.monotonic())
        if len(calls) == 1:
            assert release.wait(PATIENCE)
            return "ws://127.0.0.1:1/"
        return server

    reconnect = Reconnect(initial_delay=0.02)
    with wspool.connect(uri, proxy=None, open_timeout=0.3, reconnect=reconnect) as ws:
        release.set()
        wait_until(lambda: not reconnecting._workers._deadlines)
        ws.send("x")
        assert ws.recv(PATIENCE) == "x"
        assert ws.stats.failed_attempts == 1
        assert ws.generation == 1


@pytest.mark.parametrize("timeout", [0.2, None])
def test_give_up_after_holds(blocked, timeout):
    """It bounds a function as well, with open_timeout and without."""
    reconnect = Reconnect(initial_delay=0.02, max_delay=0.05, give_up_after=0.5)
    begun = time.monotonic()
    with pytest.raises(TimeoutError, match="uri"):
        wspool.connect(blocked, proxy=None, open_timeout=timeout, reconnect=reconnect)
    assert time.monotonic() - begun < PATIENCE


def test_blocked_functions_take_no_thread_of_others(server, blocked):
    """More of them block than there are threads; others still get their attempt."""
    with wspool.EndpointPool(1) as pool:
        blocking = [
            pool[0].create_new_connection(blocked, proxy=None, open_timeout=0.3)
            for _ in range(2 * reconnecting._workers.most)
        ]
        assert works(server)
        assert [one.opened.result(PATIENCE) for one in blocking] == [Status.FAILED] * len(blocking)
        assert works(server)


def test_a_function_that_always_blocks_is_not_called_for_ever(blocked):
    """Its feed fails attempts without calling it, so that it takes no more threads."""
    reconnect = Reconnect(initial_delay=0.01, max_delay=0.01, max_attempts=8)
    with pytest.raises(TimeoutError, match=r"uri\(\) has not returned from 4 calls"):
        wspool.connect(blocked, proxy=None, open_timeout=0.05, reconnect=reconnect)
    assert blocked.calls == 4


def test_a_judge_that_blocks(server):
    """After open_timeout it counts as if it were not there."""
    release = threading.Event()
    uris = iter(["ws://127.0.0.1:1/", server])
    reconnect = Reconnect(initial_delay=0.02, fatal=lambda _: release.wait(2 * PATIENCE))
    try:
        with wspool.connect(
            lambda: next(uris), proxy=None, open_timeout=0.3, reconnect=reconnect
        ) as ws:
            ws.send("x")
            assert ws.recv(PATIENCE) == "x"
    finally:
        release.set()


class TestWorkers:
    def test_bounds(self):
        """Eight at a time, 64 with those that are late; then it says no."""
        workers = Workers()
        workers.most, workers.most_threads, workers.idle_after = 2, 4, 0.05
        release, begun = threading.Event(), threading.Semaphore(0)

        def block():
            begun.release()
            release.wait(PATIENCE)

        for _ in range(4):
            assert workers.submit(block, 0.05)
        for _ in range(4):
            assert begun.acquire(timeout=PATIENCE)
        wait_until(lambda: not workers.submit(block, 0.05))
        assert workers._threads == 4
        release.set()
        wait_until(lambda: workers._threads == 0)
        done = threading.Event()
        assert workers.submit(done.set, 1)
        assert done.wait(PATIENCE)

    def test_no_more_than_that_in_time(self):
        """While they are in time, others wait; a thread that becomes free takes their work."""
        workers = Workers()
        workers.most, workers.idle_after = 2, 0.05
        release = [threading.Semaphore(0) for _ in range(5)]
        begun = []

        def work(number):
            begun.append(number)
            assert release[number].acquire(timeout=PATIENCE)

        for number in range(5):
            assert workers.submit(lambda number=number: work(number), PATIENCE)
        wait_until(lambda: len(begun) == 2)
        for number in range(3):
            release[number].release()
            wait_until(lambda number=number: len(begun) == number + 3)
        assert sorted(begun) == [0, 1, 2, 3, 4]
        for one in release[3:]:
            one.release()
        wait_until(lambda: workers._threads == 0)

    def test_whatever_work_raises(self):
        """A worker goes on."""
        workers = Workers()
        workers.most = 1
        done = threading.Event()

        def bad():
            raise SystemExit

        for _ in range(3):
            assert workers.submit(bad, PATIENCE)
        assert workers.submit(done.set, PATIENCE)
        assert done.wait(PATIENCE)
