"""Feeds: a connection that is lost is made again, and says what may have been missed.

What arrives is compared with the server's own record: nothing is lost outside the gaps that were
told, nothing comes twice.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import re
import socket
import subprocess
import sys
import threading
import time
from datetime import timezone

import pytest
from tests.support.feed_takers import jumps_without_gap
from tests.support.pull_servers import wait_until
from tests.support.recording_server import RecordingServer, compare

import wspool
import wspool.testing
from wspool import Closed, Gap, Opened, Reconnect, Status

QUICK = Reconnect(initial_delay=0.02, max_delay=0.2, stable_after=0.5)
OPTIONS = {"proxy": None, "reconnect": QUICK}


def assert_in_order(received, spans):
    """Nothing comes twice, in another order, or without having been sent."""
    found = compare(received, spans)
    assert not found.duplicates
    assert not found.out_of_order
    assert not found.unknown


def parsed(items):
    """What was received, with the number in place of each message."""
    return [json.loads(one)["u"] if isinstance(one, (str, bytes)) else one for one in items]


def numbers(items):
    """The numbers of a feed's messages among what was received."""
    return [one for one in parsed(items) if isinstance(one, int)]


class Taker:
    """Takes everything from a blocking connection on a thread of its own."""

    def __init__(self, uri, **options):
        self.ws = wspool.connect(uri, **{**OPTIONS, "events": True, **options})
        self.items = []
        self.error = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        try:
            for item in self.ws:
                self.items.append(item)
        except wspool.WSPoolError as error:
            self.error = error

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.ws.close()
        self._thread.join(20)
        assert not self._thread.is_alive()

    def events(self, kind):
        return [one for one in self.items if isinstance(one, kind)]


@pytest.fixture
def server():
    with RecordingServer(rate=500) as one:
        yield one


class Callbacks:
    """The same by callbacks."""

    def __init__(self, uri, **options):
        self.items = []
        self.opened = 0
        self.closed = threading.Event()
        self.pool = wspool.EndpointPool(1)
        self.connection = self.pool[0].create_new_connection(
            uri,
            on_open=self._on_open,
            on_message=lambda _, message: self.items.append(str(message)),
            on_event=lambda _, event: self.items.append(event),
            on_close=lambda *_: self.closed.set(),
            **{**OPTIONS, **options},
        )
        assert self.connection.opened.result(20) is Status.OPENED

    def _on_open(self, _):
        self.opened += 1

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()
        assert self.closed.wait(20)
        self.pool.close()

    def events(self, kind):
        return [one for one in self.items if isinstance(one, kind)]


@pytest.mark.parametrize("make", [Taker, Callbacks])
@pytest.mark.parametrize("how", ["abort", "close", "restart"])
def test_nothing_is_lost_outside_gaps(server, make, how):
    """Events come in order with the messages, and gaps say what is missing."""
    with make(server.uri + "/feed/a") as feed:
        for times in (1, 2):
            before = len(feed.items)
            wait_until(lambda before=before: len(feed.items) > before + 50)
            if how == "abort":
                server.abort_all()
            elif how == "close":
                server.close_all(1012, "come back")
            else:
                server.stop(None)
                server.start()
            wait_until(lambda times=times: len(feed.events(Opened)) == times + 1)
        before = len(feed.items)
        wait_until(lambda: len(feed.items) > before + 50)
    kinds = [type(one) for one in feed.items if not isinstance(one, str)]
    assert kinds == [Opened, Closed, Gap, Opened, Closed, Gap, Opened, Closed]
    assert [one.generation for one in feed.events(Opened)] == [1, 2, 3]
    assert [one.generation for one in feed.events(Closed)] == [1, 2, 3]
    assert_in_order(numbers(feed.items), server.feed("a").spans)
    # What the server handed to a socket that it then cut off may be lost: within the gap.
    gaps = feed.events(Gap)
    assert jumps_without_gap(parsed(feed.items)) == []
    for gap in gaps:
        assert gap.since <= gap.until
        assert gap.since.tzinfo is timezone.utc
        assert gap.seconds >= 0
        assert gap.attempt >= 1
        assert gap.reason
    if how == "close":
        assert [one.code for one in feed.events(Closed)][:2] == [1012, 1012]
        assert "come back" in gaps[0].reason
    # Every message stands between the events of its connection.
    position = {id(one): place for place, one in enumerate(feed.items)}
    for gap, closed in zip(gaps, feed.events(Closed), strict=False):
        assert position[id(closed)] + 1 == position[id(gap)]


def test_on_open_whenever_it_is_there_again(server):
    """on_open is called at each opening, and messages know their generation."""
    generations = []
    with wspool.EndpointPool(1) as pool:
        opened = []
        connection = pool[0].create_new_connection(
            server.uri + "/feed/a",
            on_open=opened.append,
            on_message=lambda _, message: generations.append(message.generation),
            **OPTIONS,
        )
        wait_until(lambda: len(generations) > 20)
        server.abort_all()
        wait_until(lambda: generations[-1] == 2)
        assert opened == [connection, connection]
        assert connection.generation == 2
        assert connection.status is Status.OPENED
        stats = connection.stats
        assert (stats.reconnects, stats.connections, stats.open_connections) == (1, 1, 1)
        assert stats.messages_received >= len(generations) - 1
        connection.close()
        connection.wait_closed(20)
        assert connection.status is Status.CLOSED
        assert pool[0].connections == []
    assert generations == sorted(generations)


def test_asyncio(server):
    """The same, awaited."""

    async def main():
        items = []
        async with wspool.aio.connect(server.uri + "/feed/a", events=True, **OPTIONS) as ws:
            async for item in ws:
                items.append(item)
                if len(items) == 50:
                    await asyncio.to_thread(server.abort_all)
                if isinstance(item, Opened) and item.generation == 2:
                    break
            items += [await ws.recv() for _ in range(20)]
            assert ws.generation == 2
        return items

    items = asyncio.run(main())
    kinds = [type(one) for one in items if not isinstance(one, str)]
    assert kinds == [Opened, Closed, Gap, Opened]
    assert_in_order(numbers(items), server.feed("a").spans)


def test_without_events_only_messages_come(server):
    """events=False, the default, hands out messages only; recv_many takes them over the gap."""
    received = []
    with wspool.connect(server.uri + "/feed/a", **OPTIONS) as ws:
        while len(received) < 200:
            received += ws.recv_many(timeout=20)
            if ws.generation == 1 and len(received) > 50:
                server.abort_all()
                wait_until(lambda: ws.generation == 2)
    assert all(isinstance(one, str) for one in received)
    assert_in_order(numbers(received), server.feed("a").spans)


@pytest.mark.parametrize("order", ["arrival", "endpoint"])
def test_streams(server, order):
    """Batches know which connection their rows are of, and what happened before them."""
    fields = wspool.Fields({"u": ("/u", "int64"), "feed": ("/feed", "category")})
    uris = [f"{server.uri}/feed/{name}" for name in "abc"]
    rows = {name: [] for name in "abc"}
    events = []
    generations = {}
    with wspool.stream(
        uris, fields=fields, max_delay=0.02, order=order, events=True, **OPTIONS
    ) as batches:
        aborted = False
        deadline = time.monotonic() + 20
        for batch in batches:
            assert time.monotonic() < deadline
            table = batch.to_pydict()
            for name, number in zip(table["feed"], table["u"], strict=True):
                rows[name].append(number)
            events += batch.events
            for uri, generation in batch.generations.items():
                assert generation >= generations.get(uri, 0)
                generations[uri] = generation
            if not aborted and min(map(len, rows.values())) > 50:
                server.abort_all()
                aborted = True
            after = [
                1 for _, event in events if isinstance(event, Opened) and event.generation == 2
            ]
            if len(after) == 3 and batch.num_rows:
                break
        assert batches.stats.reconnects == 3
    assert generations == dict.fromkeys(uris, 2)
    for uri, name in zip(uris, "abc", strict=True):
        kinds = [type(event) for of, event in events if of == uri]
        assert kinds == [Opened, Closed, Gap, Opened]
        assert_in_order(rows[name], server.feed(name).spans)


# --- attempts


@pytest.mark.slow
@pytest.mark.parametrize("connections", [1, 20])
def test_host_that_closes_at_once_is_not_hammered(connections):
    """However many connections want to, at most ten attempts are made in ten seconds."""
    eager = Reconnect(initial_delay=0.001, max_delay=0.001)
    with RecordingServer() as server, wspool.EndpointPool(2) as pool:
        server.accept_then_close()
        for _ in range(connections):
            pool.get_endpoint().create_new_connection(server.uri, proxy=None, reconnect=eager)
        wait_until(lambda: len(server.records) >= connections)
        begun = server.records[0].at
        wait_until(lambda: time.monotonic() > begun + 10.1, 15)
        made = [record for record in server.records if record.at <= begun + 10]
    # The first of each is the user's own wish; the others are ours.
    assert 5 <= len(made) - connections + 1 <= 10


def test_retry_after(server):
    """An answer 503 with Retry-After is honoured."""
    server.refuse(503, retry_after=2, times=1)
    with wspool.connect(server.uri + "/feed/a", **OPTIONS) as ws:
        assert ws.recv(timeout=20)
        assert ws.stats.failed_attempts == 1
    first, second = server.records[:2]
    assert second.at - first.at >= 2


@pytest.mark.parametrize("status", [500, 502, 503, 429, 408])
def test_refusals_that_time_mends(server, status):
    """Such an answer is tried again, also at first."""
    server.refuse(status, times=1)
    with wspool.connect(server.uri + "/feed/a", **OPTIONS) as ws:
        assert ws.recv(timeout=20)


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_refusals_that_time_does_not_mend(server, status):
    """Such an answer is raised at once, while it has never been open."""
    server.refuse(status)
    with pytest.raises(wspool.InvalidStatus) as caught:
        wspool.connect(server.uri, **OPTIONS)
    assert caught.value.response.status_code == status
    assert len(server.records) == 1


def test_any_refusal_is_tried_again_once_it_was_open(server):
    """A gateway that says 404 for a moment does not end a feed."""
    with Taker(server.uri + "/feed/a") as feed:
        wait_until(lambda: len(feed.items) > 20)
        server.refuse(404, times=2)
        server.abort_all()
        wait_until(lambda: len(feed.events(Opened)) == 2)
    assert feed.events(Gap)[0].attempt == 3
    assert feed.events(Opened)[1].attempt == 3


def test_classifiers(server):
    """fatal and retry are exception classes or functions of the exception, off the I/O thread."""
    seen = []

    def fatal(error):
        seen.append((error, threading.current_thread().name))
        return isinstance(error, wspool.InvalidStatus) and error.response.status_code == 500

    server.refuse(503, times=1)
    how = Reconnect(initial_delay=0.01, max_delay=0.01, fatal=fatal)
    with wspool.connect(server.uri + "/feed/a", proxy=None, reconnect=how) as ws:
        ws.recv(timeout=20)
        server.refuse(500)
        server.abort_all()
        with pytest.raises(wspool.ConnectionClosedError) as caught:
            while True:
                ws.recv(timeout=20)
    kinds = [type(error) for error, _ in seen]
    assert kinds == [wspool.InvalidStatus, wspool.ConnectionClosedError, wspool.InvalidStatus]
    assert {name for _, name in seen} == {"wspool-attempts"}
    assert isinstance(caught.value.__cause__, wspool.InvalidStatus)
    assert ws.status is Status.CLOSED
    server.accept()
    server.refuse(404, times=1)
    with wspool.connect(
        server.uri + "/feed/a",
        proxy=None,
        reconnect=Reconnect(initial_delay=0.01, retry=wspool.InvalidStatus),
    ) as ws:
        ws.recv(timeout=20)


def test_classifier_that_raises(server, caplog):
    """It counts as if it were not there, and the log says so."""
    server.refuse(503, times=1)
    how = Reconnect(initial_delay=0.01, fatal=lambda error: 1 / 0)
    with wspool.connect(server.uri + "/feed/a", proxy=None, reconnect=how) as ws:
        ws.recv(timeout=20)
    assert "fatal or retry raised" in caplog.text


# In a process of its own, so that it answers without waiting for anyone's GIL.
_REFUSING_SERVER = r"""
import socket, sys
listening = socket.socket(fileno=int(sys.argv[1]))
while True:
    peer, _ = listening.accept()
    peer.recv(65536)
    peer.sendall(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
    peer.close()
"""


def test_classifier_is_asked_before_the_connection_is_made():
    """An attempt may fail before the thread that makes the connection has the GIL again."""
    asked = []

    def fatal(error):
        asked.append(error.response.status_code)
        return True

    done = threading.Event()

    def compute():
        while not done.is_set():
            pass

    thread = threading.Thread(target=compute)
    interval = sys.getswitchinterval()
    tries = 12
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        arguments = [sys.executable, "-c", _REFUSING_SERVER, str(listening.fileno())]
        server = subprocess.Popen(arguments, pass_fds=[listening.fileno()])
        stack.callback(server.wait)
        stack.callback(server.kill)
        thread.start()
        stack.callback(thread.join)
        stack.callback(done.set)
        sys.setswitchinterval(0.1)  # who wants the GIL waits so long, and not always in turn
        stack.callback(sys.setswitchinterval, interval)
        for _ in range(tries):
            with pytest.raises(wspool.InvalidStatus):
                wspool.connect(
                    f"ws://127.0.0.1:{listening.getsockname()[1]}/",
                    proxy=None,
                    open_timeout=20,
                    reconnect=Reconnect(initial_delay=0.01, fatal=fatal),
                )
    assert asked == [503] * tries


def test_max_attempts():
    """After so many failures in a row it is given up, with the last error."""
    with RecordingServer() as server:
        server.refuse(503)
        how = Reconnect(initial_delay=0.01, max_delay=0.01, max_attempts=3)
        with pytest.raises(wspool.InvalidStatus):
            wspool.connect(server.uri, proxy=None, reconnect=how)
        assert len(server.records) == 3


def test_refused_port_is_tried_again(server):
    """A server that starts later is waited for."""
    server.stop(None)
    threading.Timer(0.3, server.start).start()
    with wspool.connect(server.uri + "/feed/a", **OPTIONS) as ws:
        assert ws.recv(timeout=20)


def test_bad_uri_is_said_at_once():
    """What cannot be right is no attempt."""
    with pytest.raises(wspool.InvalidURI):
        wspool.connect("http://localhost", **OPTIONS)


# --- what an attempt is made with


def test_uri_and_headers_are_made_for_each_attempt(server):
    """Functions are called before each attempt, on a thread of their own."""
    calls = []

    def uri():
        calls.append(threading.current_thread().name)
        return f"{server.uri}/feed/a?n={len(calls)}"

    def headers():
        return {"X-Attempt": str(len(calls))}

    with wspool.connect(uri, additional_headers=headers, **OPTIONS) as ws:
        ws.recv(timeout=20)
        server.abort_all()
        wait_until(lambda: ws.generation == 2)
        assert ws.request.path.endswith("n=2")
        assert ws.uri == "uri()"
    paths = [record.path for record in server.records]
    assert paths == ["/feed/a?n=1", "/feed/a?n=2"]
    sent = [dict(record.headers)["X-Attempt"] for record in server.records]
    assert sent == ["1", "2"]
    assert set(calls) == {"wspool-attempts"}


def test_function_that_raises_is_an_attempt_that_failed(server, caplog):
    """The next attempt asks it again; given up, its exception is what is raised."""
    calls = []

    def uri():
        calls.append(1)
        if len(calls) == 1:
            raise RuntimeError("no token")
        return server.uri + "/feed/a"

    with wspool.connect(uri, **OPTIONS) as ws:
        assert ws.recv(timeout=20)
    assert "no token" in caplog.text
    calls.clear()
    with pytest.raises(RuntimeError, match="no token"):
        wspool.connect(uri, proxy=None)


def test_function_that_blocks_holds_up_nothing(server):
    """While one attempt waits for its token, other connections of the endpoint go on."""
    release = threading.Event()

    def slow():
        release.wait(20)
        return server.uri + "/feed/b"

    with wspool.EndpointPool(1) as pool:
        slow_one = pool[0].create_new_connection(slow, **OPTIONS)
        received = []
        pool[0].create_new_connection(
            server.uri + "/feed/a", on_message=lambda *_: received.append(1), **OPTIONS
        )
        wait_until(lambda: len(received) > 50)
        assert slow_one.status is Status.CONNECTING
        release.set()
        assert slow_one.opened.result(20) is Status.OPENED


def test_subscriptions_at_every_connection(server):
    """They are sent whenever it connects; with match it is ready when they are acknowledged."""
    subscriptions = [json.dumps({"op": "subscribe", "feed": name}) for name in ("x", "y")]
    match = [{"/feed": name, "/result": None} for name in ("x", "y")]
    with Taker(server.uri, subscriptions=subscriptions, match=match) as feed:
        wait_until(lambda: len(feed.items) > 50)
        server.abort_all()
        wait_until(lambda: len(feed.events(Opened)) == 2)
        before = len(feed.items)
        wait_until(lambda: len(feed.items) > before + 50)
    texts = [json.loads(one) for one in feed.items if isinstance(one, str)]
    acknowledged = [one["feed"] for one in texts if "result" in one]
    assert sorted(acknowledged) == ["x", "x", "y", "y"]
    # Nothing was handed out before the event that says it is ready.
    assert isinstance(feed.items[0], Opened)
    for name in ("x", "y"):
        got = [one["u"] for one in texts if "u" in one and one["feed"] == name]
        assert_in_order(got, server.feed(name).spans)


def test_on_connect_and_subscriptions_may_be_functions(server):
    """They are called for each attempt, and on_connect goes first."""
    count = 0

    def login():
        nonlocal count
        count += 1
        return json.dumps({"op": "subscribe", "feed": f"first{count}"})

    with wspool.connect(
        server.uri,
        on_connect=login,
        subscriptions=lambda: [b'{"op": "subscribe", "feed": "second"}'],
        match="second",
        **OPTIONS,
    ) as ws:
        server.abort_all()
        wait_until(lambda: ws.generation == 2)
        received = wait_until(lambda: server.connections[-1].received)
    assert [json.loads(one)["feed"] for one in received] == ["first2", "second"]


def test_subscriptions_without_reconnect(server):
    """They work for a single connection too."""
    with wspool.connect(
        server.uri,
        proxy=None,
        subscriptions=json.dumps({"op": "subscribe", "feed": "z"}),
        match={"/feed": "z"},
    ) as ws:
        assert json.loads(ws.recv(timeout=20))["feed"] == "z"
        server.abort_all()
        with pytest.raises(wspool.ConnectionClosedError):
            while True:
                ws.recv(timeout=20)


def test_acknowledgement_that_does_not_come(server):
    """The attempt fails at open_timeout."""
    server.ignore_subscriptions()
    with pytest.raises(TimeoutError, match="no acknowledgement"):
        wspool.connect(
            server.uri,
            proxy=None,
            open_timeout=0.3,
            subscriptions='{"op": "subscribe", "feed": "z"}',
            match={"/feed": "z"},
        )


def test_acknowledgement_behind_a_flood(server):
    """What comes before the acknowledgement is held back, up to the queue's bound."""
    with pytest.raises(wspool.QueueFull, match="acknowledgement"):
        wspool.connect(server.uri + "/feed/a", proxy=None, match="never", max_queue=50)


# --- ending


def test_close_while_waiting():
    """Closing ends it between two attempts as well."""
    with RecordingServer() as server:
        how = Reconnect(initial_delay=30, max_delay=30)
        with Taker(server.uri + "/feed/a", reconnect=how) as feed:
            server.abort_all()
            wait_until(lambda: feed.ws.status is Status.CONNECTING)
            begun = time.monotonic()
            with pytest.raises(wspool.InvalidState, match="not connected at the moment"):
                feed.ws.send("x")
        assert time.monotonic() - begun < 10
    assert feed.ws.status is Status.CLOSED
    assert isinstance(feed.error, wspool.ConnectionClosedError)


@pytest.mark.parametrize("end", ["close", "abort"])
def test_close_while_it_has_never_been_open(end):
    """Then it has failed."""
    with RecordingServer() as server, wspool.EndpointPool(1) as pool:
        server.refuse(503)
        failed = []
        connection = pool[0].create_new_connection(
            server.uri, on_fail=lambda *_: failed.append(1), **OPTIONS
        )
        wait_until(lambda: server.records)
        getattr(connection, end)()
        connection.wait_closed(20)
        assert connection.opened.result(20) is Status.FAILED
        assert failed == [1]


def test_dropped_feed_ends(server):
    """A pulled one that its user drops makes no connection any more."""
    with wspool.EndpointPool(1) as pool:
        ws = wspool.connect(server.uri + "/feed/a", pool=pool, **OPTIONS)
        ws.recv(timeout=20)
        with pytest.warns(ResourceWarning, match="unclosed"):
            del ws
        # One that lived would be among those of the endpoint, also between two attempts: so soon
        # after it was opened the next one is not made before a second.
        pool[0].wait_for_closing_all(20)
        assert len(server.records) == 1


def test_pool_that_closes_ends_feeds(server):
    """In whichever state they are."""
    with wspool.EndpointPool(2) as pool:
        server.refuse(503, times=3)
        for _ in range(4):
            pool.get_endpoint().create_new_connection(server.uri + "/feed/a", **OPTIONS)
        wait_until(lambda: len(server.records) >= 4)
    assert pool.closed
    assert all(endpoint.connections == [] for endpoint in pool)


def test_iteration_of_asyncio_connect(server):
    """`async for ws in connect()` makes one connection after the other, as in websockets."""

    async def main():
        seen = []
        async for ws in wspool.aio.connect(server.uri + "/feed/a", **OPTIONS):
            with contextlib.suppress(wspool.ConnectionClosed):
                seen.append(ws)
                await ws.recv()
                if len(seen) == 3:
                    break
                await asyncio.to_thread(server.abort_all)
                while True:
                    await ws.recv()
        return seen

    seen = asyncio.run(main())
    assert len({id(ws) for ws in seen}) == 3
    assert all(ws.status is Status.CLOSED for ws in seen)


@pytest.mark.slow
def test_iteration_does_not_hammer():
    """The iteration as well makes at most ten attempts in ten seconds."""

    async def main():
        eager = Reconnect(initial_delay=0.001, max_delay=0.001)
        async for ws in wspool.aio.connect(server.uri, proxy=None, reconnect=eager):
            with contextlib.suppress(wspool.ConnectionClosed):
                await ws.recv()
            if time.monotonic() > server.records[0].at + 10:
                return

    with RecordingServer() as server:
        server.accept_then_close()
        asyncio.run(main())
        begun = server.records[0].at
        made = [record for record in server.records if record.at <= begun + 10]
    assert 5 <= len(made) <= 10


# --- two connections at once


@pytest.mark.parametrize("dedup", [None, "/u"])
def test_replacement_without_a_gap(server, dedup):
    """A successor takes over; nothing is missed, and with dedup nothing comes twice."""
    with Taker(server.uri + "/feed/a", replace_after=0.4, dedup=dedup) as feed:
        wait_until(lambda: len(feed.events(Opened)) >= 4)
        before = len(feed.items)
        wait_until(lambda: len(feed.items) > before + 50)
    assert feed.events(Gap) == []
    assert feed.error is None
    received = numbers(feed.items)
    # The last connection's end is ours, so everything up to there has come.
    assert sorted(set(received)) == list(range(received[0], max(received) + 1))
    if dedup:
        assert len(set(received)) == len(received)
        assert received == sorted(received)


def test_replacement_whose_successor_fails(server):
    """The old connection goes on until there is a new one."""
    with Taker(server.uri + "/feed/a", replace_after=0.2) as feed:
        wait_until(lambda: len(feed.items) > 20)
        server.refuse(503, times=1)
        wait_until(lambda: len(feed.events(Opened)) >= 2)
    assert feed.events(Gap) == []
    received = numbers(feed.items)
    assert sorted(set(received)) == list(range(received[0], max(received) + 1))


def test_redundancy(server):
    """One of two connections may be lost without a gap, and copies are left out."""
    with Taker(server.uri + "/feed/a", redundancy=2, dedup="/u") as feed:
        wait_until(lambda: len(feed.events(Opened)) == 2)
        wait_until(lambda: len(numbers(feed.items)) > 50)
        for times in (1, 2, 3):
            # The older of the two that are open.
            one = next(record for record in server.connections if record.is_open)
            server.abort(one.number)
            wait_until(lambda times=times: len(feed.events(Opened)) == 2 + times)
            # Until both have received: what was sent right before the new one was ready, the other
            # may lose with its end.
            copies = feed.ws.stats.duplicates
            wait_until(lambda copies=copies: feed.ws.stats.duplicates > copies + 20)
        before = len(feed.items)
        wait_until(lambda: len(feed.items) > before + 50)
        assert feed.ws.stats.duplicates > 50
    assert feed.events(Gap) == []
    received = numbers(feed.items)
    assert received == list(range(received[0], received[-1] + 1))


def test_redundancy_that_loses_both(server):
    """Then there is a gap, told once."""
    with Taker(server.uri + "/feed/a", redundancy=2, dedup="/u") as feed:
        wait_until(lambda: len(feed.events(Opened)) == 2)
        # A connection that had been silent since before the other was ready would be a gap too.
        wait_until(lambda: feed.ws.stats.duplicates > 50)
        server.abort_all()
        wait_until(lambda: len(feed.events(Opened)) == 4)
    assert len(feed.events(Gap)) == 1


def test_redundancy_sends_to_all(server):
    """What is sent goes to every connection, and arrives at each."""
    with Taker(server.uri + "/feed/a", redundancy=3, dedup="/u") as feed:
        wait_until(lambda: len(feed.events(Opened)) == 3)
        feed.ws.send('{"op": "ping"}')
        wait_until(lambda: [bool(one.received) for one in server.connections] == [True] * 3)


# --- what users stumble over


def test_give_up_after():
    """It bounds the first opening, and an outage, however many attempts that is."""
    with RecordingServer() as server:
        server.refuse(503)
        how = Reconnect(initial_delay=0.05, max_delay=0.05, give_up_after=1.5)
        begun = time.monotonic()
        with pytest.raises(wspool.InvalidStatus):
            wspool.connect(server.uri, proxy=None, reconnect=how)
        assert 1.5 <= time.monotonic() - begun < 15
        server.accept()
        with wspool.connect(server.uri + "/feed/a", proxy=None, reconnect=how) as ws:
            ws.recv(timeout=20)
            server.refuse(503)
            server.abort_all()
            with pytest.raises(wspool.ConnectionClosedError):
                while True:
                    ws.recv(timeout=20)


def test_events_of_a_single_connection(server):
    """Asked for, they come without any other option of feeds as well."""
    with wspool.connect(server.uri + "/feed/a", events=True, proxy=None) as ws:
        first = ws.recv(timeout=20)
        assert isinstance(first, Opened)
        assert isinstance(ws.recv(timeout=20), str)
        server.abort_all()
        items = []
        with pytest.raises(wspool.ConnectionClosedError):
            while True:
                items.append(ws.recv(timeout=20))
    assert isinstance(items[-1], Closed)


def test_order_of_callbacks(server):
    """Who subscribes in on_open has heard of the gap before."""
    told = []
    with wspool.EndpointPool(1) as pool:
        connection = pool[0].create_new_connection(
            server.uri + "/feed/a",
            on_open=lambda _: told.append("open"),
            on_event=lambda _, event: told.append(type(event).__name__),
            **OPTIONS,
        )
        assert connection.opened.result(20) is Status.OPENED
        server.abort_all()
        wait_until(lambda: told.count("open") == 2)
        connection.close()
        connection.wait_closed(20)
    assert told == ["Opened", "open", "Closed", "Gap", "Opened", "open", "Closed"]


def test_blocked_callback_does_not_delay_user_functions(server):
    """A feed is made again while another callback of its endpoint blocks."""
    release = threading.Event()
    with wspool.EndpointPool(1) as pool, wspool.testing.echo() as echo:
        ws = wspool.connect(
            lambda: server.uri + "/feed/a", additional_headers=dict, pool=pool, **OPTIONS
        )
        blocked = pool[0].create_new_connection(
            echo.uri, on_message=lambda *_: release.wait(30), proxy=None
        )
        assert blocked.opened.result(20) is Status.OPENED
        blocked.send("x")
        wait_until(lambda: blocked.stats.messages_received == 1)
        server.abort_all()
        wait_until(lambda: ws.generation == 2)
        assert not release.is_set()
        release.set()
        ws.close()


@pytest.mark.parametrize("overflow", ["drop_oldest", "drop_newest"])
def test_events_are_not_dropped(server, overflow):
    """That something is missing must not be missing itself."""
    with wspool.connect(
        server.uri + "/feed/a", events=True, max_queue=10, overflow=overflow, **OPTIONS
    ) as ws:
        wait_until(lambda: ws.dropped > 50)
        server.abort_all()
        wait_until(lambda: ws.generation == 2)
        dropped = ws.dropped
        wait_until(lambda: ws.dropped > dropped + 50)
        items = []
        while len([one for one in items if isinstance(one, Opened)]) < 2:
            items += ws.recv_many(timeout=20)
    kinds = [type(one) for one in items if not isinstance(one, str)]
    assert kinds == [Opened, Closed, Gap, Opened]


def test_streams_of_functions(server):
    """A stream takes functions that make URIs."""
    fields = wspool.Fields({"u": ("/u", "int64")})

    def make():
        return server.uri + "/feed/a"

    with wspool.stream(make, fields=fields, max_delay=0.02, **OPTIONS) as batches:
        batch = next(iter(batches))
        assert batch.num_rows
        assert batch.to_pydict()["connection"][0] == "make()"


def test_reason_of_a_replacement(server):
    """A connection that was replaced says so."""
    with Taker(server.uri + "/feed/a", replace_after=0.3) as feed:
        wait_until(lambda: len(feed.events(Closed)) >= 1)
    assert feed.events(Closed)[0].reason == "replaced by its successor"


@pytest.mark.slow
def test_peer_that_lives_and_does_not_read():
    """A peer that sends and does not read is alive, however long what we send stands unread."""

    def serve(listener, stop):
        sock, _ = listener.accept()
        request = b""
        while b"\r\n\r\n" not in request:
            request += sock.recv(4096)
        sock.sendall(answer_to(request))
        with contextlib.suppress(OSError):
            while not stop.wait(0.3):
                sock.sendall(b"\x81\x01x")
        sock.close()

    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener, stop))
        thread.start()
        uri = f"ws://127.0.0.1:{listener.getsockname()[1]}"
        ws = wspool.connect(uri, proxy=None, ping_interval=0.5, ping_timeout=0.5)
        sender = threading.Thread(target=lambda: send_without_end(ws))
        sender.start()
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            ws.recv(timeout=20)
        assert ws.status is Status.OPENED
        ws.abort()
        stop.set()
        thread.join(20)
        sender.join(20)


def answer_to(request):
    """The answer 101 to an opening request (RFC 6455 section 4.2.2)."""
    key = re.search(rb"(?i)sec-websocket-key: *([^\r]+)", request)[1]
    digest = hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n\r\n"
    )


def send_without_end(ws):
    with contextlib.suppress(wspool.WSPoolError):
        while True:
            ws.send(b"x" * 100_000)
