"""Many connections at once, and many threads on one connection."""

import contextlib
import queue
import resource
import subprocess
import sys
import threading
import time
import zlib

import pytest

import wspool
import wspool.testing
from wspool import EndpointPool, Status

CONNECTIONS = 1000
MESSAGES = 100
# Both ends of each connection are in this process.
DESCRIPTORS = 2500


@pytest.fixture
def many_descriptors():
    """Allow as many descriptors as the system does, for as long as the test runs."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < DESCRIPTORS:
        pytest.skip(f"needs {DESCRIPTORS} descriptors, the system allows {hard}")
    if soft != resource.RLIM_INFINITY and soft < DESCRIPTORS:
        resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextlib.contextmanager
def websockets_server(repo_root):
    """Run a server of websockets; gives the URI of its echo."""
    script = repo_root / "tests" / "support" / "servers" / "websockets_server.py"
    with subprocess.Popen(
        [sys.executable, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        try:
            ports = wspool.Message(process.stdout.readline().decode()).json()
            yield f"ws://127.0.0.1:{ports['plain']}/echo"
        finally:
            process.kill()


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_thousand_connections(many_descriptors, tls):
    """Each of 1,000 connections gets its own 100 messages back, all and in order."""
    received = {}
    closed = []
    all_received, all_closed = threading.Event(), threading.Event()
    left = [CONNECTIONS * MESSAGES]
    lock = threading.Lock()

    def on_message(connection, message):
        received[connection].append(message.text)
        with lock:
            left[0] -= 1
            if left[0] == 0:
                all_received.set()

    def on_close(connection, code, reason):
        with lock:
            closed.append(code)
            if len(closed) == CONNECTIONS:
                all_closed.set()

    start = time.monotonic()
    with wspool.testing.echo(tls=tls) as server, EndpointPool() as pool:
        options = {"ssl": wspool.TLS(ca_file=server.ca_file)} if tls else {}
        connections = [
            pool.get_endpoint().create_new_connection(
                server.uri,
                on_message=on_message,
                on_close=on_close,
                open_timeout=60,
                **options,
            )
            for _ in range(CONNECTIONS)
        ]
        for connection in connections:
            received[connection] = []
            assert connection.opened.result(60) is Status.OPENED, connection.error
        assert sum(len(endpoint.connections) for endpoint in pool) == CONNECTIONS
        opened = time.monotonic()
        for number in range(MESSAGES):
            for place, connection in enumerate(connections):
                connection.send(f"{place}:{number}")
        assert all_received.wait(60), f"{left[0]} messages are missing"
        exchanged = time.monotonic()
        for place, connection in enumerate(connections):
            assert received[connection] == [f"{place}:{number}" for number in range(MESSAGES)]
        for connection in connections:
            connection.close()
        assert all_closed.wait(60), f"{CONNECTIONS - len(closed)} have not ended"
        for connection in connections:
            connection.wait_closed(10)
        ended = time.monotonic()
        assert server.wait_idle(10)
        records = server.connections
    assert set(closed) == {1000}
    assert {record.messages_received for record in records} == {MESSAGES}
    assert {record.messages_sent for record in records} == {MESSAGES}
    assert {record.error for record in records} == {""}
    assert len(records) == CONNECTIONS
    times = f"open {opened - start:.2f} s, exchange {exchanged - opened:.2f} s"
    print(f"{times}, close {ended - exchanged:.2f} s")


def body(thread, number):
    """Return a payload that says whose it is, of very different sizes, with its checksum."""
    size = (0, 3, 120, 130, 5_000, 66_000, 200_000)[number % 7]
    content = f"{thread}:{number}:" + chr(ord("a") + thread) * size
    return f"{content}:{zlib.crc32(content.encode())}"


def test_eight_threads_on_one_connection(repo_root):
    """Messages of 8 threads arrive whole at a server of websockets, each thread's in order."""
    threads, messages = 8, 210
    received = queue.SimpleQueue()
    with websockets_server(repo_root) as uri, EndpointPool(1) as pool:
        connection = pool[0].create_new_connection(
            uri,
            on_message=lambda c, m: received.put(m.text),
            compression=None,
            write_limit=2**20,  # so that send() has to wait as well
        )
        assert connection.opened.result(20) is Status.OPENED, connection.error
        start = time.monotonic()
        barrier = threading.Barrier(threads)

        def send(thread):
            barrier.wait()
            for number in range(messages):
                connection.send(body(thread, number))

        senders = [threading.Thread(target=send, args=(thread,)) for thread in range(threads)]
        for sender in senders:
            sender.start()
        next_of = [0] * threads
        for _ in range(threads * messages):
            text = received.get(timeout=60)
            thread = int(text.partition(":")[0])
            # No assert on equality itself: pytest would explain 200 KB.
            assert (text == body(thread, next_of[thread])) is True
            next_of[thread] += 1
        for sender in senders:
            sender.join(10)
        took = time.monotonic() - start
        connection.close()
        connection.wait_closed(20)
    assert next_of == [messages] * threads
    assert connection.error is None
    assert connection.statistics.messages_sent == threads * messages
    print(f"{connection.statistics.bytes_sent / 1e6:.0f} MB, {took:.2f} s")
