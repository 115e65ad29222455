"""Feeds over networks that fail: nothing is lost outside the gaps that are told, nothing twice.

Every fault meets feeds of all kinds at once: blocking, asyncio, callbacks, a stream. Each is
compared with the server's own record.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import subprocess
import sys
import threading
import time
import traceback
from types import SimpleNamespace

import pytest
from tests.support.fault_proxy import FaultProxy
from tests.support.feed_takers import ON_ITS_WAY, TAKERS, check, check_sequence, sent_outside_gaps
from tests.support.namespaces import network
from tests.support.processes import skip_for_want
from tests.support.pull_servers import PATIENCE, wait_until
from tests.support.recording_server import RecordingServer

from wspool import Closed, Gap, Opened

KINDS = list(TAKERS)
#: Finds a silent peer soon; a slow machine, too, so only where there is one to be found.
PINGS = {"ping_interval": 0.4, "ping_timeout": 0.4}
PATIENT_PINGS = {"ping_interval": 0.4, "ping_timeout": 5}
NO_PINGS = {"ping_interval": None}
RATE = 300
RESET = os.strerror(errno.ECONNRESET)


def SLOW(*values):  # noqa: N802
    """A case of the same kind as one that is quick to run: only with the slow tests."""
    return pytest.param(*values, marks=pytest.mark.slow)


@pytest.fixture
def server():
    with RecordingServer(rate=RATE) as one:
        yield one


@contextlib.contextmanager
def all_kinds(server, *, proxied=True, **options):
    """Feeds of all kinds, each through a proxy of its own; yields those by name.

    An option named after a kind holds options for that kind alone.
    """
    own = {kind: options.pop(kind, {}) for kind in KINDS}
    feeds = {}
    with contextlib.ExitStack() as stack:

        def make(kind):
            base, proxy = server.uri, None
            if proxied:
                proxy = stack.enter_context(FaultProxy("127.0.0.1", server.port))
                base = f"ws://127.0.0.1:{proxy.port}"
            feed = TAKERS[kind](f"{base}/feed/{kind}", **{**PATIENT_PINGS, **options, **own[kind]})
            feed.fault = proxy
            feeds[kind] = feed

        for kind in KINDS:
            make(kind)
        try:
            yield SimpleNamespace(all=list(feeds.values()), **feeds)
        finally:
            # The feeds first: with the proxies they would see another fault.
            for feed in feeds.values():
                feed.close()


def at_once(feeds, work):
    """Do something with each feed at the same time."""
    errors = []

    def guarded(feed):
        try:
            work(feed)
        except BaseException:  # noqa: BLE001
            errors.append(f"{feed.name}: {traceback.format_exc()}")

    threads = [
        threading.Thread(target=guarded, args=(feed,), name=feed.name, daemon=True)
        for feed in feeds.all
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(3 * PATIENCE)
    hanging = [thread.name for thread in threads if thread.is_alive()]
    assert not errors, "\n".join(errors)
    assert not hanging, f"not at an end: {hanging}"


def checked(server, feeds, *, redundant=False, slow=False, on_its_way=ON_ITS_WAY):
    """Compare all with the record; returns what was found, by name.

    Of what a slow consumer has not read, nobody knows when it came: gaps begin at the last read.
    """
    result = {}
    for feed in feeds.all:
        of_server = server.feed(feed.name)
        found = result[feed.name] = check(feed, of_server.spans, redundant=redundant)
        assert slow or not sent_outside_gaps(feed, found.missing, of_server.times, on_its_way), feed
    return result


def check_complete(server, feeds, **how):
    """As `checked`; nothing is missing, and no gap was told."""
    for found in checked(server, feeds, **how).values():
        assert found.missing == []
    for feed in feeds.all:
        assert feed.events(Gap) == []


# --- what a proxy can do


class TestThroughProxy:
    @pytest.mark.parametrize("how", ["reset", SLOW("close")])
    def test_connection_is_ended(self, server, how):
        """An RST, or a FIN without a close frame: told as 1006, and made again."""

        def work(feed):
            for times in (2, 3):
                feed.wait_more()
                feed.fault.reset() if how == "reset" else feed.fault.close_connections()
                feed.wait_opened(times)
            feed.wait_more()

        with all_kinds(server) as feeds:
            at_once(feeds, work)
            stats = [feed.stats for feed in feeds.all]
        checked(server, feeds)
        for feed, one in zip(feeds.all, stats, strict=True):
            check_sequence(feed)
            assert [closed.code for closed in feed.events(Closed)][:-1] == [1006, 1006]
            assert (one.reconnects, one.connections) == (2, 1)

    @pytest.mark.parametrize("by", ["pings", "idle"])
    def test_black_hole(self, server, by):
        """Silence is found, by pings that are not answered or by messages that do not come."""
        options = {"idle_timeout": 0.8, **NO_PINGS} if by == "idle" else PINGS

        def work(feed):
            feed.wait_more()
            feed.fault.black_hole()
            begun = time.monotonic()
            wait_until(lambda: feed.events(Closed))
            took = time.monotonic() - begun
            assert 0.3 < took < 5, took
            # While it lasts, attempts do not come through.
            wait_until(lambda: feed.stats.failed_attempts >= 1)
            assert feed.opened == 1
            feed.fault.restore()
            feed.wait_opened(2)
            feed.wait_more()

        with all_kinds(server, open_timeout=1, **options) as feeds:
            at_once(feeds, work)
        checked(server, feeds)
        reason = "keepalive ping timeout" if by == "pings" else "idle timeout"
        for feed in feeds.all:
            check_sequence(feed)
            (gap,) = feed.events(Gap)
            assert reason in gap.reason
            assert reason in feed.events(Closed)[0].reason
            assert gap.attempt >= 2
            # From the last bytes that came, not from when it was noticed.
            assert gap.seconds > 1

    def test_half_open(self, server):
        """The server's side is gone, and nobody has told: found by pings."""

        def work(feed):
            feed.wait_more()
            feed.fault.half_open()
            feed.wait_opened(2)
            feed.wait_more()

        with all_kinds(server, **PINGS) as feeds:
            at_once(feeds, work)
        checked(server, feeds)
        for feed in feeds.all:
            check_sequence(feed)
            assert "keepalive ping timeout" in feed.events(Gap)[0].reason

    def test_slow_drip(self, server):
        """What comes slowly comes: no gap, though pongs come late behind much data."""

        def work(feed):
            feed.wait_more()
            feed.fault.drip(2000)
            time.sleep(2.5)  # how long it lasts; pongs come later than they may
            feed.fault.restore()
            feed.wait_more(2 * RATE)

        with all_kinds(server, ping_timeout=1) as feeds:
            at_once(feeds, work)
        for found in checked(server, feeds).values():
            assert found.missing == []
        for feed in feeds.all:
            assert feed.opened == 1

    def test_delay(self, server):
        """A long way is no gap either."""

        def work(feed):
            feed.wait_more()
            feed.fault.delay(200)
            feed.wait_more(2 * RATE)
            feed.fault.restore()
            feed.wait_more()
            assert feed.stats.round_trips.max > 0.3

        with all_kinds(server) as feeds:
            at_once(feeds, work)
        for found in checked(server, feeds).values():
            assert found.missing == []
        for feed in feeds.all:
            assert feed.opened == 1

    @pytest.mark.parametrize("ending", ["reset", SLOW("close"), SLOW("black_hole")])
    def test_cut_inside_a_frame(self, server, ending):
        """Part of a message is no message."""
        for kind in KINDS:
            server.feed(kind, filling=300)  # a header of four bytes

        def work(feed):
            for times, size in enumerate((1001, 1150), start=2):
                feed.wait_more(20)
                feed.fault.connections[-1].cut_after(size, ending=ending)
                feed.wait_opened(times)
            feed.wait_more()

        with all_kinds(server, **(PINGS if ending == "black_hole" else {})) as feeds:
            at_once(feeds, work)
        checked(server, feeds)
        for feed in feeds.all:
            check_sequence(feed)
            assert len(feed.events(Gap)) == 2

    def test_cut_inside_the_handshake(self, server):
        """An answer that ends in the middle is an attempt that failed."""

        def work(feed):
            feed.wait_more()
            feed.fault.cut_after(40, ending="close")
            feed.fault.reset()
            wait_until(lambda: feed.stats.failed_attempts >= 1)
            feed.fault.restore()
            feed.wait_opened(2)
            feed.wait_more()

        with all_kinds(server) as feeds:
            at_once(feeds, work)
        checked(server, feeds)
        for feed in feeds.all:
            check_sequence(feed)
            assert feed.events(Gap)[0].attempt >= 2

    def test_refuse_then_restore(self, server):
        """Nobody listens for a while."""

        def work(feed):
            feed.wait_more()
            feed.fault.refuse()
            feed.fault.reset()
            wait_until(lambda: feed.stats.failed_attempts >= 2)
            assert feed.stats.open_connections == 0
            feed.fault.restore()
            feed.wait_opened(2)
            feed.wait_more()

        with all_kinds(server) as feeds:
            at_once(feeds, work)
        checked(server, feeds)
        for feed in feeds.all:
            check_sequence(feed)
            (gap,) = feed.events(Gap)
            assert gap.attempt >= 3
            assert feed.events(Opened)[1].attempt == gap.attempt

    @pytest.mark.parametrize("fault", ["reset", "black_hole", SLOW("half_open"), SLOW("cut")])
    def test_redundant_connections(self, server, fault):
        """With two connections a fault of one of them is no gap."""

        def damage(connection):
            if fault == "cut":
                connection.cut_after(25)
            else:
                getattr(connection, fault)()

        def work(feed):
            feed.wait_opened(2)
            for times in (3, 4):
                feed.wait_more()
                # The older one; the proxy does not notice the end of one that it holds up.
                damage(feed.fault.all_connections[times - 3])
                feed.wait_opened(times)
            feed.wait_more()

        # Short of patience with both connections at once there would be a gap.
        with all_kinds(server, redundancy=2, dedup="/u", ping_timeout=1.5) as feeds:
            at_once(feeds, work)
            assert all(feed.stats.duplicates > 50 for feed in feeds.all)
        check_complete(server, feeds, redundant=True)

    def test_replacement_over_a_slow_way(self, server):
        """A connection is replaced while what it had is still on its way."""

        def work(feed):
            feed.wait_more()
            feed.fault.delay(150)
            feed.wait_opened(3)
            feed.wait_more()

        with all_kinds(server, replace_after=1, dedup="/u") as feeds:
            at_once(feeds, work)
        check_complete(server, feeds)

    def test_successor_that_does_not_come_through(self, server):
        """The way of the next connection is a black hole: the old one goes on meanwhile."""

        def work(feed):
            feed.wait_more()
            first = feed.fault.connections[0]
            feed.fault.black_hole()
            first.restore()
            wait_until(lambda: feed.stats.failed_attempts >= 1)
            assert feed.opened == 1
            feed.fault.restore()
            feed.wait_opened(2)
            feed.wait_more()

        # The feeds are opened one after the other: the first is not to be replaced before the work.
        with all_kinds(server, replace_after=3, dedup="/u", open_timeout=0.5) as feeds:
            at_once(feeds, work)
        check_complete(server, feeds)

    def test_silent_connection_that_is_replaced(self, server):
        """Only with its close frame it is certain that all came: else there is a gap.

        The old connection is a black hole when its successor comes.
        """

        def work(feed):
            feed.wait_more()
            feed.fault.connections[0].black_hole()
            feed.wait_opened(2)
            feed.wait_more()

        options = {"replace_after": 3, "close_timeout": 0.5, "ping_interval": 20}
        with all_kinds(server, dedup="/u", **options) as feeds:
            at_once(feeds, work)
        for found in checked(server, feeds).values():
            assert found.missing != []
        for feed in feeds.all:
            gap = feed.events(Gap)[0]
            assert feed.items.index(gap) + 1 == feed.items.index(feed.events(Opened)[1])
            assert gap.generation == 2

    def test_connection_that_the_server_closes_while_it_is_replaced(self, server):
        """A close frame of the server's own may be older than the successor: then there is a gap.

        It comes late, when the successor is there; what was sent in between went to neither.
        """

        def work(feed):
            feed.wait_more()
            (old,) = feed.fault.connections
            begun = time.monotonic()
            old.black_hole("down")
            of_feed = [record for record in server.connections if feed.name in record.path]
            assert server.close_one(of_feed[0].number, 1012) == 1
            wait_until(
                lambda: any(
                    record.is_open and record.number > of_feed[0].number
                    for record in server.connections
                    if feed.name in record.path
                )
            )
            old.restore()
            held.append(time.monotonic() - begun)
            feed.wait_opened(2)
            feed.wait_more()

        held = []
        with all_kinds(server, replace_after=3, dedup="/u", ping_interval=20) as feeds:
            at_once(feeds, work)
        # So long the close frame was on its way, and with it what would have followed.
        for found in checked(server, feeds, on_its_way=max(held) + ON_ITS_WAY).values():
            assert found.missing != []
        for feed in feeds.all:
            assert feed.events(Gap)[0].generation == 2
            assert "1012" in feed.events(Gap)[0].reason

    def test_silent_connection_that_stood_in(self, server):
        """Of two connections one is silent while the other is lost: that is a gap, told late.

        It is found when the silent one ends; then it is told, with the times of what is missing.
        """

        def work(feed):
            feed.wait_opened(2)
            feed.wait_more()
            silent, lost = feed.fault.all_connections
            silent.black_hole()
            feed.wait_more()  # by the other one
            feed.fault.refuse()
            lost.reset()
            wait_until(lambda: feed.events(Closed))
            feed.fault.accept()  # the black hole stays
            feed.wait_opened(3)
            feed.wait_more()
            assert feed.events(Gap) == []
            wait_until(lambda: feed.events(Gap))
            feed.wait_more()

        # Long enough for the third connection to be there before the silent one is found.
        with all_kinds(server, redundancy=2, dedup="/u", ping_interval=1, ping_timeout=8) as feeds:
            at_once(feeds, work)
        for found in checked(server, feeds, redundant=True).values():
            assert found.missing != []
        for feed in feeds.all:
            (gap,) = feed.events(Gap)
            assert "keepalive ping timeout" in gap.reason
            assert gap.generation == 3
            assert isinstance(feed.items[feed.items.index(gap) - 1], Closed)

    def test_faults_with_a_slow_consumer(self, server):
        """What waits in the queue stays when its connection is lost, and is bounded."""
        bound = 100

        def work(feed):
            for times in (2, 3):
                feed.wait_more()
                feed.pause()
                wait_until(lambda times=times: feed.stats.pauses >= times - 1)
                feed.fault.reset()
                # Nobody reads, so it is not told yet: what the system has received comes first.
                time.sleep(1)
                assert feed.opened == times - 1
                feed.waited = feed.stats
                feed.resume()
                feed.wait_opened(times)
            feed.wait_more()

        options = {"max_queue": bound, "stream": {"max_batches": 4, "batch_rows": 20}}
        with all_kinds(server, **options) as feeds:
            at_once(feeds, work)
        checked(server, feeds, slow=True)
        for feed in feeds.all:
            check_sequence(feed)
            assert [gap.reason for gap in feed.events(Gap)] == ["connection lost: " + RESET] * 2
            # A stream's rows are in batches, which are counted otherwise.
            if feed.name != "stream":
                # What was read at once may go over the bound. One was waiting when reading stopped
                # that the consumer holds by now.
                assert bound <= feed.waited.queue_messages + 1 < 3 * bound, feed
                assert feed.waited.queue_bytes < 50 * feed.waited.queue_messages
                assert 0.5 < feed.waited.queue_age < PATIENCE


# --- what a network can do


@contextlib.contextmanager
def networked(**options):
    """A network whose client is this process, with a server at the other end."""
    with network(client_is_root=True, **options) as net:
        with net.server.inside():
            server = RecordingServer(rate=RATE, host=net.server.address)
        with server:
            yield net, server


def wait_for_all(feeds, condition):
    for feed in feeds.all:
        wait_until(lambda feed=feed: condition(feed))


@pytest.mark.parametrize("end", ["client", SLOW("server")])
def test_link_down_and_up(end):
    """The cable is pulled at our end or at the other, and put back."""
    with networked() as (net, server):
        with all_kinds(server, proxied=False, open_timeout=1, **PINGS) as feeds:
            host = getattr(net, end)
            at_once(feeds, lambda feed: feed.wait_more())
            host.down()
            wait_for_all(feeds, lambda feed: feed.events(Closed))
            host.up()
            wait_for_all(feeds, lambda feed: feed.opened == 2)
            at_once(feeds, lambda feed: feed.wait_more())
        checked(server, feeds)
    for feed in feeds.all:
        check_sequence(feed)


def test_short_black_hole_is_no_gap():
    """What TCP sends again in time is not lost."""
    with networked() as (net, server):
        with all_kinds(server, proxied=False, ping_timeout=10) as feeds:
            at_once(feeds, lambda feed: feed.wait_more())
            net.black_hole()
            time.sleep(0.7)  # how long it lasts
            net.heal()
            at_once(feeds, lambda feed: feed.wait_more(2 * RATE))
        for found in checked(server, feeds).values():
            assert found.missing == []
    for feed in feeds.all:
        assert feed.opened == 1


@pytest.mark.slow
def test_black_hole_of_the_network():
    """Found by pings; attempts fail while it lasts."""
    with networked() as (net, server):
        with all_kinds(server, proxied=False, open_timeout=0.7, **PINGS) as feeds:
            at_once(feeds, lambda feed: feed.wait_more())
            net.black_hole()
            wait_for_all(feeds, lambda feed: feed.events(Closed))
            # All want to the same host, which is asked for once in a while only.
            wait_until(lambda: sum(feed.stats.failed_attempts for feed in feeds.all) >= 2)
            net.heal()
            wait_for_all(feeds, lambda feed: feed.opened == 2)
            at_once(feeds, lambda feed: feed.wait_more())
        checked(server, feeds)
    for feed in feeds.all:
        check_sequence(feed)
        assert "keepalive ping timeout" in feed.events(Gap)[0].reason


@pytest.mark.slow
def test_dead_peer_of_a_paused_consumer():
    """While nothing is read nobody waits for a pong; what TCP says finds it all the same.

    It is told when the consumer has taken what had come before, at once: not after a ping's time.
    """
    with networked() as (net, server):
        for kind in KINDS:
            server.feed(kind, filling=1000)
        options = {"max_queue": 20, "stream": {"max_batches": 4, "batch_rows": 20}}
        # max(10 s, 0.4 s + 9.6 s)
        pings = {"ping_interval": 0.4, "ping_timeout": 9.6}
        with all_kinds(server, proxied=False, open_timeout=1, **pings, **options) as feeds:
            at_once(feeds, lambda feed: feed.wait_more())
            for feed in feeds.all:
                feed.pause()
            wait_for_all(feeds, lambda feed: feed.stats.pauses >= 1)
            begun = time.monotonic()
            net.black_hole()
            # Of the ping that was sent last before: up to ping_interval + ping_timeout later.
            time.sleep(22)
            for feed in feeds.all:
                feed.resume()
            wait_for_all(feeds, lambda feed: feed.events(Closed))
            took = time.monotonic() - begun
            net.heal()
            wait_for_all(feeds, lambda feed: feed.opened == 2)
            at_once(feeds, lambda feed: feed.wait_more())
        checked(server, feeds, slow=True)
    print(f"told after {took:.1f} s")
    assert took < 22 + 5
    for feed in feeds.all:
        check_sequence(feed)
        assert feed.events(Gap)[0].reason == "the peer's system does not answer any more"


@pytest.mark.slow
def test_dead_peer_without_pings():
    """With ping_interval=None, TCP's own keepalive finds it: 30 s of silence, 3 questions."""
    with networked() as (net, server):
        with all_kinds(server, proxied=False, open_timeout=1, **NO_PINGS) as feeds:
            at_once(feeds, lambda feed: feed.wait_more())
            net.black_hole()
            begun = time.monotonic()
            for feed in feeds.all:
                wait_until(lambda feed=feed: feed.stats.open_connections == 0, 90)
            took = time.monotonic() - begun
            net.heal()
            wait_for_all(feeds, lambda feed: feed.opened == 2)
            at_once(feeds, lambda feed: feed.wait_more())
        checked(server, feeds)
    print(f"found after {took:.1f} s")
    assert 50 < took < 70
    for feed in feeds.all:
        check_sequence(feed)


def test_loss_delay_and_reordering():
    """TCP mends it: nothing is missing."""
    with networked(shaped=True) as (net, server):
        with all_kinds(server, proxied=False, ping_timeout=10) as feeds:
            net.shape(delay=20, jitter=10, loss=5, reorder=20)
            at_once(feeds, lambda feed: feed.wait_more(2 * RATE))
            net.shape()
        for found in checked(server, feeds).values():
            assert found.missing == []
    for feed in feeds.all:
        assert feed.opened == 1


@pytest.mark.slow
def test_reconnecting_over_a_bad_way():
    """Attempts, too, are made over a way that loses a tenth."""
    with networked(shaped=True) as (net, server):
        net.shape(delay=20, loss=10)
        with all_kinds(server, proxied=False, ping_timeout=10) as feeds:
            at_once(feeds, lambda feed: feed.wait_more())
            server.abort_all()
            wait_for_all(feeds, lambda feed: feed.opened == 2)
            at_once(feeds, lambda feed: feed.wait_more())
        # What was lost is sent again, after 0.2 s, 0.4 s, 0.8 s, ... where that is lost, too; what
        # was sent meanwhile waits for it.
        checked(server, feeds, on_its_way=5)
    for feed in feeds.all:
        check_sequence(feed)


def test_small_mtu():
    """Messages of many small packets, also where the packets become smaller meanwhile."""
    with networked() as (net, server):
        for kind in KINDS:
            server.feed(kind, filling=5000)
        with all_kinds(server, proxied=False, ping_timeout=10) as feeds:
            at_once(feeds, lambda feed: feed.wait_more())
            net.set_mtu(1280)
            at_once(feeds, lambda feed: feed.wait_more())
            server.abort_all()
            wait_for_all(feeds, lambda feed: feed.opened == 2)
            at_once(feeds, lambda feed: feed.wait_more())
        checked(server, feeds)
    for feed in feeds.all:
        check_sequence(feed)


_HAPPY = """
import json, socket, sys, time
import wspool

uri = sys.argv[1]
host, port = uri.removeprefix("ws://").split("/")[0].rsplit(":", 1)
families = [found[0].name for found in socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)]
took = []
for _ in range(3):
    begun = time.monotonic()
    with wspool.connect(uri, proxy=None, open_timeout=30) as ws:
        took.append(time.monotonic() - begun)
        message = ws.recv(timeout=20)
        remote = ws.remote_address[0]
print(json.dumps([families, took, remote, message]))
"""


#: Exit code of the shell where it could not put its own hosts in place.
NOT_MOUNTED = 77


@pytest.mark.parametrize("dead", ["IPv6", "IPv4"])
def test_happy_eyeballs(tmp_path, dead):
    """Of two addresses, one of which is a black hole, the other is used soon (RFC 8305)."""
    with network(medium="veth") as net:
        host = net.server.address if dead == "IPv6" else net.server.address6
        with net.server.inside():
            server = RecordingServer(rate=RATE, host=host)
        with server:
            # Somebody of the same network who is not there: packets get lost without a word.
            nobody = {
                "IPv6": net.server.address6.rpartition(":")[0] + ":dead",
                "IPv4": net.client.address.rpartition(".")[0] + ".0",
            }[dead]
            if dead == "IPv4":
                nobody = "198.19.255.254"
                net.client.run("ip", "route", "add", nobody, "dev", net.client.device)
            card = ("lladdr", "02:00:00:00:de:ad", "dev", net.client.device, "nud", "permanent")
            made = net.client.run("ip", "neigh", "replace", nobody, *card)
            assert made.returncode == 0, made.stderr
            hosts = tmp_path / "hosts"
            hosts.write_text(f"{nobody} server.test\n{host} server.test\n")
            # `ip netns exec` gives a mount namespace of its own: nobody else sees these hosts.
            result = net.client.run(
                *("sh", "-c", f'mount --bind "$0" /etc/hosts || exit {NOT_MOUNTED}; exec "$@"'),
                hosts,
                *(sys.executable, "-c", _HAPPY, f"ws://server.test:{server.port}/feed/a"),
            )
    if result.returncode == NOT_MOUNTED and result.stderr.startswith("mount:"):
        skip_for_want(f"mounting is not permitted: {result.stderr}")
    assert result.returncode == 0, result.stderr
    families, took, remote, message = json.loads(result.stdout)
    assert set(families) == {"AF_INET6", "AF_INET"}
    assert remote == host
    assert json.loads(message)["feed"] == "a"
    print(f"{families} took {[round(one, 3) for one in took]} s")
    # Where the system puts the dead one first, the other follows 250 ms later.
    assert max(took) < 2


# --- memory


_RESETS = """
import json, sys, threading, time
import wspool
from wspool import Opened, Reconnect

uri, times = sys.argv[1], int(sys.argv[2])
how = Reconnect(initial_delay=0.001, max_delay=0.001, stable_after=0)

def resident():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * 4096

opened = 0
sizes = []
with wspool.connect(uri, proxy=None, reconnect=how, events=True) as ws:
    for item in ws:
        if isinstance(item, Opened):
            opened += 1
            sizes.append(resident())
            if opened == times:
                break
print(json.dumps(sizes))
"""


@pytest.mark.slow
def test_memory_of_many_reconnections(repo_root):
    """Connections, one after the other, leave nothing behind."""
    times = 25
    with RecordingServer(rate=RATE) as server:
        process = subprocess.Popen(
            [sys.executable, "-c", _RESETS, f"{server.uri}/feed/a", str(times)],
            stdout=subprocess.PIPE,
            cwd=repo_root,
            text=True,
        )
        with process:
            while process.poll() is None:
                # Open for a second each, so that the host counts as healthy.
                time.sleep(1.1)
                server.abort_all()
            sizes = json.loads(process.stdout.read())
    assert process.returncode == 0
    assert len(sizes) == times
    assert sizes[-1] - sizes[5] < 2**20
