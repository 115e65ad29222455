"""What `stats` promises: counters that only grow, and what waits."""

import threading
import time

import pytest
from tests.support.pull_servers import wait_until

import wspool
import wspool.testing

SECONDS = 20


@pytest.fixture
def pool():
    with wspool.EndpointPool(1) as made:
        yield made


def test_last_error_of_a_feed(pool):
    """It says why a feed is not open, and nothing while it is."""
    server = wspool.testing.sink()
    port = server.port
    feed = pool.get_endpoint().create_new_connection(
        server.uri, reconnect=wspool.Reconnect(initial_delay=0.01, max_delay=0.05)
    )
    assert feed.opened.result(SECONDS) is wspool.Status.OPENED
    assert feed.last_error is None
    server.close()
    wait_until(lambda: isinstance(feed.last_error, ConnectionRefusedError))
    assert feed.status is wspool.Status.CONNECTING
    assert feed.error is None
    with wspool.testing.sink(port=port):
        wait_until(lambda: feed.status is wspool.Status.OPENED)
        assert feed.last_error is None


def test_last_error_of_a_connection_that_failed(pool):
    """It is the error then."""
    failed = pool.get_endpoint().create_new_connection("ws://127.0.0.1:1/")
    assert failed.opened.result(SECONDS) is wspool.Status.FAILED
    assert failed.last_error is failed.error
    assert isinstance(failed.last_error, ConnectionRefusedError)


def test_dropped_of_ended_connections_stays(pool):
    """As all other counters."""
    with wspool.testing.replay(["x"], repeat=1000, close_after=False) as server:
        with wspool.connect(server.uri, pool=pool, max_queue=10, overflow="drop_newest") as ws:
            wait_until(lambda: pool.stats.messages_received == 1000)
            dropped = pool.stats.dropped
            assert dropped == ws.dropped > 900
        assert pool.stats.dropped == dropped


def test_nothing_waits_when_all_has_been_taken(pool):
    """Else a consumer that has nothing to do looks slower and slower."""
    with wspool.testing.echo() as server, wspool.connect(server.uri, pool=pool) as ws:
        ws.send("x")
        ws.recv()
        time.sleep(0.1)
        assert (ws.stats.queue_messages, ws.stats.queue_age) == (0, 0.0)


@pytest.mark.parametrize(
    "reconnect",
    [
        None,
        wspool.Reconnect(),
    ],
    ids=["connection", "feed"],
)
def test_backlog_of_a_stalled_callback(pool, reconnect):
    """It waits, and no longer once the callback has caught up."""
    stalled, go_on = threading.Event(), threading.Event()

    def on_message(connection, message):
        stalled.set()
        go_on.wait(SECONDS)

    with wspool.testing.replay(["x" * 100] * 300, rate=1000, close_after=False) as server:
        feed = pool.get_endpoint().create_new_connection(
            server.uri, on_message=on_message, reconnect=reconnect
        )
        assert stalled.wait(SECONDS)
        wait_until(lambda: feed.stats.messages_received == 300)
        waiting = feed.stats
        go_on.set()
        wait_until(lambda: feed.stats.queue_messages == 0)
        feed.abort()
    assert waiting.queue_messages > 200
    assert waiting.queue_age > 0.05
