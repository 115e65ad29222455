"""What Prometheus scrapes, read back with its own parser."""

import contextlib
import gc
import subprocess
import sys
import threading
import time

import pytest
from prometheus_client import CollectorRegistry, generate_latest, start_http_server
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families
from tests.support.pull_servers import wait_until

import wspool
import wspool.prometheus
import wspool.testing
from wspool.prometheus import Collector

SECONDS = 20


@pytest.fixture
def pool():
    with wspool.EndpointPool(2) as made:
        yield made


@pytest.fixture
def registry():
    return CollectorRegistry()


class Scrape:
    """The samples of one scrape."""

    def __init__(self, registry):
        self.text = generate_latest(registry).decode()
        self.families = {one.name: one for one in text_string_to_metric_families(self.text)}
        self.samples = {}
        for family in self.families.values():
            for sample in family.samples:
                key = (sample.name, *sorted(sample.labels.items()))
                assert key not in self.samples, f"twice: {key}"
                self.samples[key] = sample.value

    def get(self, name, **labels):
        return self.samples.get((name, *sorted(labels.items())))

    def sum(self, name, **labels):
        wanted = set(labels.items())
        return sum(
            value
            for (one, *found), value in self.samples.items()
            if one == name and wanted <= set(found)
        )

    def counters(self):
        return {
            key: value
            for key, value in self.samples.items()
            if key[0].endswith(("_total", "_bucket", "_sum", "_count"))
        }


def test_numbers_are_those_of_stats(pool, registry):
    """Endpoints and connections have what their stats have."""
    Collector(pool, registry=registry)
    with (
        wspool.testing.echo() as server,
        wspool.connect(server.uri + "/feed", pool=pool, ping_interval=0.05) as ws,
    ):
        for _ in range(10):
            ws.send("x" * 50)
            ws.recv()
        with pytest.raises(TimeoutError):
            ws.recv(timeout=0.2)
        wait_until(lambda: ws.stats.round_trips.count >= 2)
        scrape = Scrape(registry)
        here = {"endpoint": str(ws.endpoint.index)}
        other = {"endpoint": str(1 - ws.endpoint.index)}
        for labels in (here, {**here, "uri": server.uri + "/feed"}):
            prefix = "wspool_connection" if "uri" in labels else "wspool"
            assert scrape.get(f"{prefix}_messages_received_total", **labels) == 10
            assert scrape.get(f"{prefix}_messages_sent_total", **labels) == 10
            assert scrape.get(f"{prefix}_payload_received_bytes_total", **labels) == 500
            assert scrape.get(f"{prefix}_received_bytes_total", **labels) > 500
            assert scrape.get(f"{prefix}_sent_bytes_total", **labels) > 500
            assert scrape.get(f"{prefix}_queue_messages", **labels) == 0
            assert 0 <= scrape.get(f"{prefix}_last_message_age_seconds", **labels) < SECONDS
            assert scrape.get(f"{prefix}_ping_seconds_count", **labels) >= 2
        assert scrape.get("wspool_connections", **here, state="open") == 1
        assert scrape.get("wspool_connections", **here, state="connecting") == 0
        assert scrape.get("wspool_connections", **other, state="open") == 0
        assert scrape.get("wspool_messages_received_total", **other) == 0
        # No message, no age.
        assert scrape.get("wspool_last_message_age_seconds", **other) is None


def test_every_counter_of_statistics_is_there(pool, registry):
    """No field of Statistics is forgotten."""
    fields = {field for _, field, _ in wspool.prometheus._COUNTERS + wspool.prometheus._GAUGES}
    elsewhere = {"connections", "open_connections", "round_trips"}
    assert fields | elsewhere == set(wspool.Statistics.__dataclass_fields__)
    Collector(pool, registry=registry)
    families = Scrape(registry).families
    for name, _, _ in wspool.prometheus._COUNTERS:
        assert families[f"wspool_{name}"].type == "counter"
    for name, _, _ in wspool.prometheus._GAUGES:
        assert families[f"wspool_{name}"].type == "gauge"
    assert families["wspool_ping_seconds"].type == "histogram"


def test_histogram(pool, registry):
    """Its buckets are cumulative, exact, and agree with the round trips."""
    Collector(pool, registry=registry)
    with (
        wspool.testing.echo() as server,
        wspool.connect(server.uri, pool=pool) as ws,
    ):
        for _ in range(50):
            ws.ping().wait(SECONDS)
        trips = ws.stats.round_trips
        scrape = Scrape(registry)
    assert trips.count == 50
    buckets = [
        (float(sample.labels["le"]), sample.value)
        for sample in scrape.families["wspool_connection_ping_seconds"].samples
        if sample.name.endswith("_bucket")
    ]
    assert buckets == sorted(buckets)
    assert buckets[0][0] == 16e-6
    assert buckets[-1] == (float("inf"), 50)
    assert len(buckets) == 25
    for bound, value in buckets[:-1]:
        numbers = enumerate(trips.counts)
        assert value == sum(n for i, n in numbers if trips.upper_bound(i) <= bound * 1.000001)
    assert scrape.sum("wspool_ping_seconds_sum") == pytest.approx(trips.total)


def test_same_uri_is_summed(pool, registry):
    """Several connections with the same URI are one series an endpoint."""
    Collector(pool, registry=registry)
    with wspool.testing.echo() as server, contextlib.ExitStack() as stack:
        several = [stack.enter_context(wspool.connect(server.uri, pool=pool)) for _ in range(6)]
        for number, ws in enumerate(several):
            for _ in range(number):
                ws.send("x")
                ws.recv()
        # It is counted once the queue has it.
        wait_until(lambda: pool.stats.messages_received == 15)
        scrape = Scrape(registry)
    name = "wspool_connection_messages_received_total"
    assert scrape.sum(name, uri=server.uri + "/") == 15
    assert len([key for key in scrape.samples if key[0] == name]) == 2
    assert scrape.sum("wspool_connection_states", uri=server.uri + "/", state="open") == 6


def test_labels_have_no_credentials(pool, registry):
    """User, password and query are not in it; a function makes other labels."""
    Collector(pool, registry=registry)
    named = CollectorRegistry()
    Collector(pool, registry=named, per_connection=lambda connection: f'feed {connection.id}\n"')
    none = CollectorRegistry()
    Collector(pool, registry=none, per_connection=False)
    with wspool.testing.echo() as server:
        uri = server.uri.replace("://", "://user:secret@") + "/a?token=secret"
        with wspool.connect(uri, pool=pool) as ws:
            text = generate_latest(registry).decode()
            assert "secret" not in text
            assert f'uri="{server.uri}/a"' in text
            labels = {"endpoint": str(ws.endpoint.index), "uri": f'feed {ws.id}\n"'}
            assert Scrape(named).get("wspool_connection_states", **labels, state="open") == 1
            assert "uri=" not in generate_latest(none).decode()


def test_counters_never_fall(pool, registry):
    """Neither when connections end, nor when they are forgotten, nor while others come."""
    Collector(pool, registry=registry)
    stop = threading.Event()
    problems = []
    scrapes = []

    def scrape_all_the_time():
        while not stop.is_set():
            now = Scrape(registry).counters()
            before = scrapes[-1] if scrapes else {}
            problems.extend(
                (key, old, now.get(key)) for key, old in before.items() if now[key] < old
            )
            scrapes.append(now)

    options = {"pool": pool, "max_queue": 10, "overflow": "drop_newest", "ping_interval": 0.02}
    with (
        wspool.testing.replay(["x" * 100], repeat=3000, close_after=False) as feed,
        # These two keep the series of the URI, one on each endpoint.
        wspool.connect(feed.uri, **options) as first,
        wspool.connect(feed.uri, **options) as second,
    ):
        wait_until(lambda: first.stats.messages_received == second.stats.messages_received == 3000)
        thread = threading.Thread(target=scrape_all_the_time)
        thread.start()
        for number in range(8):
            ws = wspool.connect(feed.uri, **options)
            wait_until(lambda ws=ws: ws.stats.messages_received == 3000)
            assert ws.dropped >= 2900
            seen = len(scrapes)
            # Else nobody has seen what it had.
            wait_until(lambda seen=seen: len(scrapes) >= seen + 2 or not thread.is_alive())
            ws.abort() if number % 3 == 2 else ws.close()
            del ws
            gc.collect()
        stop.set()
        thread.join()
        assert problems == []
        scrape = Scrape(registry)
        dropped = scrape.sum("wspool_dropped_messages_total")
        assert dropped >= 10 * 2900
        for name in ("wspool_messages_received_total", "wspool_connection_messages_received_total"):
            assert scrape.sum(name) == 10 * 3000
    scrape = Scrape(registry)
    assert scrape.sum("wspool_messages_received_total") == 10 * 3000
    assert scrape.sum("wspool_dropped_messages_total") == dropped
    assert scrape.sum("wspool_connection_messages_received_total") == 0


def test_dropped_messages_of_ended_connections(pool, registry):
    """They are seen, and stay."""
    Collector(pool, registry=registry)

    def dropped():
        return Scrape(registry).sum("wspool_dropped_messages_total")

    with wspool.testing.replay(["x"], repeat=1000, close_after=False) as feed:
        with wspool.connect(feed.uri, pool=pool, max_queue=10, overflow="drop_oldest") as ws:
            wait_until(lambda: pool.stats.messages_received == 1000)
            expected = ws.dropped
            assert dropped() == expected > 900
        assert dropped() == expected
        ws = None
        gc.collect()
        assert dropped() == expected


def test_feed(pool, registry):
    """Reconnects and failed attempts are counted; the state is told."""
    Collector(pool, registry=registry)
    server = wspool.testing.sink()
    feed = pool.get_endpoint().create_new_connection(
        server.uri, reconnect=wspool.Reconnect(initial_delay=0.01, max_delay=0.02)
    )
    assert feed.opened.result(SECONDS) is wspool.Status.OPENED
    server.abort_connections()
    wait_until(lambda: Scrape(registry).sum("wspool_reconnects_total") == 1)
    server.close()
    wait_until(lambda: Scrape(registry).sum("wspool_failed_attempts_total") >= 1)
    scrape = Scrape(registry)
    assert scrape.sum("wspool_connections", state="connecting") == 1
    assert scrape.sum("wspool_connections", state="open") == 0
    feed.abort()


def test_waiting_messages(pool, registry):
    """What waits in a queue, and for how long."""
    Collector(pool, registry=registry)
    with (
        wspool.testing.replay(["x" * 10] * 25, close_after=False) as feed,
        wspool.connect(feed.uri, pool=pool) as ws,
    ):
        wait_until(lambda: ws.stats.messages_received == 25)
        time.sleep(0.05)
        scrape = Scrape(registry)
        assert scrape.sum("wspool_queue_messages") == 25
        assert scrape.sum("wspool_queue_bytes") == 250
        assert scrape.sum("wspool_connection_queue_messages", uri=feed.uri + "/") == 25
        assert 0.05 <= scrape.sum("wspool_queue_age_seconds") < SECONDS
        assert len(ws.recv_many()) == 25
        with pytest.raises(TimeoutError):
            ws.recv(timeout=0.01)
        assert Scrape(registry).sum("wspool_queue_age_seconds") == 0


def test_openmetrics(pool, registry):
    """The other format of Prometheus takes it, too; its parser is strict."""
    Collector(pool, registry=registry)
    with wspool.testing.echo() as server, wspool.connect(server.uri, pool=pool) as ws:
        ws.ping().wait(SECONDS)
        text = openmetrics.generate_latest(registry).decode()
    families = {family.name: family for family in parse_openmetrics(text)}
    assert families["wspool_connection_ping_seconds"].type == "histogram"


def test_over_http(pool, registry):
    """As Prometheus reads it."""
    from urllib.request import urlopen

    Collector(pool, registry=registry)
    server, thread = start_http_server(0, addr="127.0.0.1", registry=registry)
    try:
        with urlopen(f"http://127.0.0.1:{server.server_port}/metrics", timeout=SECONDS) as answer:
            assert b'wspool_connections{endpoint="0",state="open"} 0.0' in answer.read()
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_registering_makes_no_pool(registry):
    """The process's own pool is made when it is needed; one collector is enough."""
    program = (
        "import wspool, wspool.prometheus, threading, os\n"
        "wspool.prometheus.Collector()\n"
        "assert len(os.listdir('/proc/self/task')) == 1\n"
        "from prometheus_client import generate_latest\n"
        "assert b'wspool_connections{' in generate_latest()\n"
        "try: wspool.prometheus.Collector()\n"
        "except ValueError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "Duplicated timeseries" in done.stdout


def test_unregister(pool, registry):
    """It can be taken away and made again."""
    collector = Collector(pool, registry=registry)
    registry.unregister(collector)
    assert generate_latest(registry) == b""
    Collector(pool, registry=registry)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"pool": 1}, "pool must be a wspool.EndpointPool or None, not int"),
        ({"per_connection": "uri"}, "per_connection must be a bool or a function, not str"),
    ],
)
def test_bad_argument(arguments, text):
    """The error names it."""
    with pytest.raises(TypeError, match=text):
        Collector(**arguments)


def test_without_prometheus_client():
    """The error says what to install; wspool itself does without."""
    program = (
        "import sys\n"
        "import wspool\n"
        "assert 'prometheus_client' not in sys.modules\n"
        "sys.modules['prometheus_client'] = None\n"
        "import wspool.prometheus\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last == (
        "ImportError: wspool.prometheus needs prometheus-client: pip install 'wspool[prometheus]'"
    )


def test_a_label_function_that_raises(registry, pool, caplog):
    """The other metrics are there, no counter falls, and it is logged once."""

    def label(connection):
        if "bad" in connection.uri:
            raise KeyError("no label")
        return "all"

    name = "wspool_connection_messages_received_total"
    labels = {"endpoint": "0", "uri": "all"}
    with wspool.testing.replay(["x"] * 10, close_after=False) as server:
        Collector(pool, registry=registry, per_connection=label)
        first, second, bad = (
            pool[0].create_new_connection(server.uri + path, proxy=None)
            for path in ("/a", "/b", "/bad")
        )
        wait_until(lambda: pool[0].stats.messages_received == 30)
        scrape = Scrape(registry)
        assert scrape.get(name, **labels) == 20
        assert scrape.get(name, endpoint="0", uri="") == 10
        first.close()
        first.wait_closed(SECONDS)
        another = pool[0].create_new_connection(server.uri + "/bad", proxy=None)
        wait_until(lambda: another.stats.messages_received == 10)
        scrape = Scrape(registry)
        assert scrape.get(name, **labels) == 20
        assert scrape.get(name, endpoint="0", uri="") == 20
        assert [one.status.name for one in (second, bad)] == ["OPENED"] * 2
    assert caplog.text.count("per_connection raised") == 1


def test_bad_registry():
    """It is said at once, by a text."""
    with pytest.raises(TypeError, match="registry must be a CollectorRegistry or None, not str"):
        Collector(registry="x")

    async def label(_):
        return "x"

    with pytest.raises(TypeError, match="per_connection must be an ordinary function"):
        Collector(registry=CollectorRegistry(), per_connection=label)
