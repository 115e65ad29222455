"""What connections, endpoints and pools count, and what they log."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import re
import threading
import time

import pytest
import websockets.sync.server
from tests.support.pull_servers import wait_until

import wspool
import wspool.testing
from wspool import RoundTrips, Status


@pytest.fixture
def echo():
    with wspool.testing.echo() as server:
        yield server


@pytest.mark.parametrize("compression", [None, "deflate"])
def test_messages_and_bytes(compression):
    """Payload is counted inflated, bytes as they are on the wire."""

    def serve(connection):
        for message in connection:
            connection.send(message)

    text = "x" * 10_000
    with websockets.sync.server.serve(serve, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        uri = f"ws://127.0.0.1:{server.socket.getsockname()[1]}"
        with wspool.connect(uri, compression=compression, proxy=None) as ws:
            for _ in range(10):
                ws.send(text)
            for _ in range(10):
                assert ws.recv(timeout=20) == text
            wait_until(lambda: ws.stats.messages_received == 10)
            stats = ws.stats
        server.shutdown()
        thread.join()
    assert stats.messages_sent == 10
    assert stats.payload_received == 100_000
    if compression is None:
        assert stats.bytes_received > 100_000
    else:
        assert stats.bytes_received < 50_000
    assert stats.last_message_age is not None
    assert 0 <= stats.last_message_age < 20
    assert ws.statistics.messages_received == 10  # the older name


def test_fragments_count_as_their_message(echo):
    """One message in pieces is one message, with the sum of its payloads."""
    with wspool.connect(echo.uri, proxy=None) as ws:
        ws.send(iter(["ab", "cd", "ef"]))
        assert ws.recv(timeout=20) == "abcdef"
        wait_until(lambda: ws.stats.messages_received == 1)
        assert ws.stats.payload_received == 6


def test_before_anything():
    """A connection that has not been open counts nothing."""
    with wspool.EndpointPool(1) as pool:
        connection = pool[0].create_new_connection("ws://127.0.0.1:9", proxy=None)
        stats = connection.stats
        assert stats.messages_received == 0
        assert stats.last_message_age is None
        assert stats.round_trips == RoundTrips()
        connection.opened.result(20)
        assert connection.stats.connections == 0


def test_queue_and_its_age(echo):
    """What waits for the consumer is told, with how long it has waited."""
    with wspool.connect(echo.uri, proxy=None) as ws:
        assert ws.stats.queue_age == 0
        for _ in range(5):
            ws.send("1234")
        wait_until(lambda: ws.stats.queue_messages == 5)
        wait_until(lambda: ws.stats.queue_age > 0.2)
        assert ws.stats.queue_bytes == 20
        ws.recv(timeout=20)
        assert ws.stats.queue_messages == 4
        assert len(ws.recv_many(timeout=20)) == 4
        assert ws.stats.queue_messages == 0
        assert ws.stats.queue_age == 0


def test_age_of_a_stalled_callback():
    """A callback that blocks has a backlog, and it has an age."""
    release = threading.Event()
    with (
        wspool.testing.replay(["x" * 100], repeat=2000) as server,
        wspool.EndpointPool(1) as pool,
    ):
        connection = pool[0].create_new_connection(
            server.uri, on_message=lambda *_: release.wait(30), proxy=None
        )
        wait_until(lambda: connection.stats.queue_age > 0.2)
        stats = connection.stats
        assert stats.queue_messages > 0
        assert pool.stats.queue_age >= stats.queue_age
        release.set()
        wait_until(lambda: connection.stats.queue_age == 0)


def test_dropped(echo):
    """Messages without room are counted."""
    with wspool.connect(echo.uri, max_queue=4, overflow="drop_newest", proxy=None) as ws:
        for _ in range(10):
            ws.send("x")
        wait_until(lambda: ws.stats.dropped == 6)
        assert ws.stats.queue_messages == 4


def test_round_trips(echo):
    """Answers to pings make a histogram."""
    with wspool.connect(echo.uri, proxy=None) as ws:
        took = [ws.ping().result(20) for _ in range(20)]
        trips = ws.stats.round_trips
    assert trips.count == 20
    assert trips.max == pytest.approx(max(took), rel=1e-6)
    assert trips.mean == pytest.approx(sum(took) / 20, rel=1e-6)
    assert min(took) <= trips.p50 <= trips.p90 <= trips.p99 <= trips.max
    middle = sorted(took)[9]
    assert trips.p50 <= max(middle * 2 ** (1 / 4), RoundTrips.upper_bound(0)) * 1.001


def test_sums_keep_what_has_ended(echo):
    """An endpoint's counters do not fall when a connection ends."""
    with wspool.EndpointPool(2) as pool:
        for _ in range(4):
            with wspool.connect(echo.uri, pool=pool, proxy=None) as ws:
                ws.send("x")
                ws.recv(timeout=20)
                assert pool.stats.open_connections >= 1
        stats = pool.stats
        assert stats.messages_received == 4
        assert (stats.connections, stats.open_connections) == (0, 0)
        each = [endpoint.stats.messages_received for endpoint in pool]
        assert sum(each) == 4


def test_sums_are_of_all_fields(echo):
    """Every field of the statistics has a sum."""
    with wspool.EndpointPool(2) as pool:
        connections = [
            pool.get_endpoint().create_new_connection(echo.uri, proxy=None) for _ in range(4)
        ]
        for connection in connections:
            assert connection.opened.result(20) is Status.OPENED
            connection.ping().result(20)
        summed, single = pool.stats, connections[0].stats
        for field in dataclasses.fields(summed):
            assert type(getattr(summed, field.name)) is type(getattr(single, field.name)), field
        assert summed.connections == 4
        assert summed.round_trips.count == 4


# --- the log


def test_log_of_a_connection(echo, caplog):
    """Opening and closing are told at INFO, by a logger of their own."""
    with caplog.at_level(logging.INFO, logger="wspool"):
        with wspool.connect(echo.uri.replace("//", "//user:secret@"), proxy=None):
            pass
        wait_until(lambda: len(caplog.records) >= 2)
    lines = [
        (one.name, one.levelname, one.getMessage())
        for one in caplog.records
        if one.name == "wspool.connection"
    ]
    assert lines[0] == ("wspool.connection", "INFO", f"open: {echo.uri}/")
    assert lines[1][2].startswith(f"closed: {echo.uri}/")
    assert "secret" not in caplog.text


def test_log_of_a_loss_and_of_attempts(caplog):
    """A loss is a warning; that it is tried again is one from the second failure on.

    In the end that it is given up is an error.
    """
    how = wspool.Reconnect(initial_delay=0.01, max_delay=0.01, max_attempts=3)
    with wspool.testing.echo() as server, wspool.EndpointPool(1) as pool:
        connection = pool[0].create_new_connection(server.uri, proxy=None, reconnect=how)
        assert connection.opened.result(20) is Status.OPENED
        caplog.clear()
        server.abort_connections()
        server.close()
        wait_until(lambda: "given up after" in caplog.text)
    uri = f"{server.uri}/"
    told = [(one.name, one.levelname, one.getMessage()) for one in caplog.records]
    print(told)
    patterns = [
        ("wspool.connection", "WARNING", f"lost: {uri}: .+"),
        ("wspool.reconnect", "INFO", rf"{uri}: will try again in \d+ ms: .+"),
        (
            "wspool.reconnect",
            "WARNING",
            rf"{uri}: will try again in \d+ ms: after 2 failures in a row, .+ refused",
        ),
        ("wspool.reconnect", "ERROR", f"{uri}: given up after 3 failures in a row: .+ refused"),
    ]
    assert [one[:2] for one in told] == [one[:2] for one in patterns]
    for (_, _, text), (_, _, pattern) in zip(told, patterns, strict=True):
        assert re.fullmatch(pattern, text)
    assert "failures" not in told[1][2]


def test_log_of_a_logger_of_ones_own(echo):
    """logger= gets the lines itself; below its level nothing is made."""
    lines = []

    class Handler(logging.Handler):
        def emit(self, record):
            lines.append(record.getMessage())

    logger = logging.getLogger("test_stats.mine")
    logger.addHandler(Handler())
    logger.propagate = False
    logger.setLevel(logging.WARNING)
    with wspool.connect(echo.uri, logger=logger, proxy=None):
        pass
    assert lines == []
    logger.setLevel(logging.INFO)
    with wspool.connect(echo.uri, logger=logger, proxy=None):
        pass
    wait_until(lambda: len(lines) == 2)


# --- idle_timeout


def test_idle_timeout(echo):
    """A peer that answers pings and says nothing is given up."""
    with wspool.connect(
        echo.uri, idle_timeout=1.5, ping_interval=0.05, ping_timeout=5, proxy=None
    ) as ws:
        begun = time.monotonic()
        while time.monotonic() < begun + 2:  # messages keep it alive
            ws.send("x")
            ws.recv(timeout=20)
            time.sleep(0.1)
        with pytest.raises(wspool.ConnectionClosedError) as caught:
            ws.recv(timeout=20)
    assert caught.value.sent is not None
    assert (caught.value.sent.code, caught.value.sent.reason) == (1011, "idle timeout")
    assert isinstance(caught.value.__cause__, TimeoutError)
    assert ws.stats.round_trips.count > 0


def test_idle_timeout_of_a_feed_reconnects(echo):
    """With reconnect it is made again."""
    opened = []
    with wspool.EndpointPool(1) as pool:
        connection = pool[0].create_new_connection(
            echo.uri,
            idle_timeout=0.1,
            on_open=opened.append,
            reconnect=wspool.Reconnect(initial_delay=0.01, max_delay=0.01),
            proxy=None,
        )
        wait_until(lambda: len(opened) >= 2)
        connection.abort()


def test_idle_timeout_does_not_count_a_slow_consumer():
    """While nothing is read because the consumer is slow, silence is not the peer's."""
    with (
        wspool.testing.replay(["x" * 1000], repeat=20_000) as server,
        wspool.connect(
            server.uri, idle_timeout=0.2, max_queue=(10, 5), ping_interval=None, proxy=None
        ) as ws,
    ):
        wait_until(lambda: ws.stats.pauses > 0)
        time.sleep(0.6)
        assert ws.status is Status.OPENED
        received = 0
        while received < 20_000:
            received += len(ws.recv_many(timeout=20))


@pytest.mark.parametrize("pings", [(0.2, 0.2), (None, None)])
def test_slow_consumer_is_told_as_such(caplog, pings):
    """The log says that the consumer is slow, and not that a ping timed out.

    As soon when nothing else is due, as without pings: not when it happens to be looked.
    """
    interval, timeout = pings

    async def main():
        async with wspool.aio.connect(
            server.uri, max_queue=(10, 5), ping_interval=interval, ping_timeout=timeout, proxy=None
        ) as ws:
            deadline = time.monotonic() + 20
            while "slow consumer" not in caplog.text:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.05)
            assert ws.status is Status.OPENED
            assert ws.stats.queue_age > 4

    with wspool.testing.replay(["x" * 1000], repeat=20_000) as server:
        asyncio.run(main())
    assert "ping timeout" not in caplog.text
    (seconds,) = re.findall(
        r"slow consumer: .* for (\d+) s, because the queue is full", caplog.text
    )
    assert 5 <= int(seconds) < 15
