"""Many feeds behind nginx, which goes and comes back: all of them do, too, and count right."""

from __future__ import annotations

import contextlib
import itertools
import time

import pytest
from tests.support.feed_takers import TAKERS, ByCallbacks, check, check_sequence
from tests.support.nginx_front import nginx_front
from tests.support.pull_servers import wait_until
from tests.support.recording_server import RecordingServer

import wspool
from wspool import Closed, Gap, Reconnect

FEEDS, EACH = 20, 10
CONNECTIONS = FEEDS * EACH
RATE = 20
#: How long it may take at most until all are back, in seconds.
MOST = 60
HOW = Reconnect(initial_delay=0.1, max_delay=2, stable_after=1)


@pytest.fixture
def server():
    with RecordingServer(rate=RATE) as one:
        yield one


@contextlib.contextmanager
def many_feeds(base, count=CONNECTIONS):
    """So many connections, all of them feeds, over a pool; most by callbacks, some by others."""
    # Threads cost more than callbacks do.
    others = [kind for kind in TAKERS.values() if kind is not ByCallbacks]
    kinds = itertools.chain(others * 2, itertools.repeat(ByCallbacks))
    feeds = []
    with wspool.EndpointPool(2) as pool:
        try:
            for number, kind in zip(range(count), kinds, strict=False):
                uri = f"{base}/feed/f{number % FEEDS}"
                feed = kind(uri, pool=pool, reconnect=HOW, open_timeout=20)
                feed.of = f"f{number % FEEDS}"
                feeds.append(feed)
            yield feeds, pool
        finally:
            for feed in feeds:
                feed.close()


def wait_all(feeds, times):
    """Wait until all are ready for that time; returns how long it took each."""
    begun = time.monotonic()
    wait_until(lambda: all(feed.opened >= times for feed in feeds), MOST + 30)
    return time.monotonic() - begun


def wait_more_of_all(feeds, count=RATE):
    targets = [len(feed.numbers) + count for feed in feeds]
    wait_until(
        lambda: all(
            len(feed.numbers) >= target for feed, target in zip(feeds, targets, strict=True)
        )
    )


def checked(server, feeds):
    """Compare each with the record; returns how many messages there were, and are missing."""
    received = missing = 0
    for feed in feeds:
        found = check(feed, server.feed(feed.of).spans)
        received += len(feed.numbers)
        missing += len(found.missing)
    return received, missing


def report(what, took, server, nginx, feeds, before):
    attempts = len(server.records) - before
    answers = [line.split()[0] for line in nginx.requests]
    counts = {code: answers.count(code) for code in sorted(set(answers))}
    failed = sum(feed.stats.failed_attempts for feed in feeds)
    print(
        f"{what}: {len(feeds)} connections were back after {took:.1f} s, with {attempts} requests "
        f"that reached the server, {failed} attempts failed; nginx has logged {counts}"
    )
    return attempts


@pytest.mark.parametrize("down", [0, 3])
@pytest.mark.slow
def test_restart(server, down):
    """nginx ends all connections at once; two hundred come back."""
    with nginx_front(server.port) as nginx, many_feeds(nginx.uri) as (feeds, pool):
        wait_until(lambda: all(len(feed.numbers) > RATE for feed in feeds))
        before = len(server.records)
        nginx.stop()
        begun = time.monotonic()
        wait_until(lambda: time.monotonic() >= begun + down)
        nginx.start()
        took = wait_all(feeds, 2)
        attempts = report(f"restart, {down} s down", took, server, nginx, feeds, before)
        wait_more_of_all(feeds)
        stats = pool.stats
    assert took < MOST
    # Nobody is told off: each needed one request, or had one cut off.
    assert attempts <= 2 * CONNECTIONS
    assert (stats.reconnects, stats.open_connections) == (CONNECTIONS, CONNECTIONS)
    received, missing = checked(server, feeds)
    print(f"{received} messages came, {missing} are missing, all of them in gaps")
    for feed in feeds:
        check_sequence(feed)
        (gap,) = feed.events(Gap)
        assert gap.seconds >= down


@pytest.mark.slow
def test_server_behind_it_restarts(server):
    """nginx stays, and answers 502 while there is no server; that is tried again."""
    with nginx_front(server.port) as nginx, many_feeds(nginx.uri) as (feeds, _):
        wait_until(lambda: all(len(feed.numbers) > RATE for feed in feeds))
        before = len(server.records)
        server.stop(1012)
        wait_until(lambda: any(line.startswith("502") for line in nginx.requests))
        server.start()
        took = wait_all(feeds, 2)
        report("the server restarts", took, server, nginx, feeds, before)
        refusals = sum(line.startswith("502") for line in nginx.requests)
    assert took < MOST
    # While it fails, the host is asked once in a while, not by each of the feeds.
    assert refusals < CONNECTIONS / 2
    checked(server, feeds)
    for feed in feeds:
        check_sequence(feed)
        assert feed.events(Closed)[0].code in {1006, 1012}


@pytest.mark.slow
def test_reload(server):
    """A reload with a shutdown timeout ends old connections after it, and new ones are taken."""
    with (
        nginx_front(server.port, shutdown_timeout="2s") as nginx,
        many_feeds(nginx.uri) as (feeds, _),
    ):
        wait_until(lambda: all(len(feed.numbers) > RATE for feed in feeds))
        before = len(server.records)
        nginx.reload()
        # At first nothing happens to what is open.
        assert sum(feed.opened for feed in feeds) == CONNECTIONS
        took = wait_all(feeds, 2)
        report("reload", took, server, nginx, feeds, before)
    assert took < MOST
    checked(server, feeds)
    for feed in feeds:
        check_sequence(feed)


def test_few_feeds_over_a_restart(server):
    """The same in small: a feed of each kind."""
    with nginx_front(server.port) as nginx, many_feeds(nginx.uri, 8) as (feeds, _):
        wait_more_of_all(feeds, 5)
        nginx.restart()
        wait_all(feeds, 2)
        wait_more_of_all(feeds, 5)
    checked(server, feeds)
    for feed in feeds:
        check_sequence(feed)


def test_redundancy_over_a_reload(server):
    """nginx gives a worker two seconds: a feed of two connections, one of them new, has no gap."""
    with (
        nginx_front(server.port, shutdown_timeout="2s") as nginx,
        ByCallbacks(nginx.uri + "/feed/a", reconnect=HOW, replace_after=1, dedup="/u") as feed,
    ):
        feed.wait_more(5)
        nginx.reload()
        reloaded = feed.opened
        # A connection is replaced before its worker goes.
        feed.wait_opened(reloaded + 3)
    found = check(feed, server.feed("a").spans)
    assert feed.events(Gap) == []
    assert found.missing == []
