"""EndpointPool and Endpoint."""

import gc
import math
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import weakref

import pytest
from tests.support.pull_servers import wait_until

import wspool
import wspool.testing
from wspool import EndpointPool, Status


@pytest.fixture
def pool():
    """A private pool of two endpoints."""
    with EndpointPool(2) as pool:
        yield pool


@pytest.fixture(scope="module")
def server():
    """An echo server."""
    with wspool.testing.echo() as server:
        yield server


def open_connection(endpoint, server, **arguments):
    connection = endpoint.create_new_connection(server.uri, **arguments)
    assert connection.opened.result(10) is Status.OPENED
    return connection


class TestPool:
    def test_size(self):
        """The size is what was asked for; None is one endpoint a core."""
        with EndpointPool(3) as pool:
            assert len(pool) == 3
            assert pool.max_index() == 2
        with EndpointPool() as pool:
            assert len(pool) == len(os.sched_getaffinity(0)) or len(pool) == os.cpu_count()

    @pytest.mark.parametrize(
        ("size", "kind"),
        [(0, ValueError), (-1, ValueError), (2**40, ValueError)]
        + [("2", TypeError), (1.5, TypeError), (True, TypeError)],
    )
    def test_bad_size(self, size, kind):
        """Bad sizes are refused."""
        with pytest.raises(kind, match="size"):
            EndpointPool(size)

    def test_get_endpoint(self, pool):
        """By index, always the same."""
        assert [pool.get_endpoint(i) for i in range(2)] == list(pool)
        assert pool[0] is pool.get_endpoint(0)
        assert [endpoint.index for endpoint in pool] == [0, 1]

    @pytest.mark.parametrize("index", [-1, 2, 10**30])
    def test_index_outside(self, pool, index):
        """Outside 0..max_index() is an IndexError."""
        with pytest.raises(IndexError, match="index"):
            pool.get_endpoint(index)
        with pytest.raises(IndexError, match="index"):
            _ = pool[index]

    @pytest.mark.parametrize("index", ["0", 0.0, slice(0, 1)])
    def test_index_type(self, pool, index):
        """What is no index is a TypeError."""
        with pytest.raises(TypeError):
            pool.get_endpoint(index)

    def test_in_turn(self, pool):
        """Without an index endpoints go round, also for many threads."""
        taken = []

        def take():
            taken.extend(pool.get_endpoint() for _ in range(500))

        threads = [threading.Thread(target=take) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert taken.count(pool[0]) == taken.count(pool[1]) == 1000

    def test_instance(self):
        """The process has one pool."""
        assert EndpointPool.instance() is EndpointPool.instance()

    def test_repr(self, pool):
        """Both tell what they are."""
        assert repr(pool) == "<wspool.EndpointPool 2 endpoints>"
        assert repr(pool[1]) == "<wspool.Endpoint 1, 0 connections>"

    def test_close(self, server):
        """Closing ends connections in order, and the threads."""
        closes = []
        pool = EndpointPool(2)
        connections = [
            open_connection(endpoint, server, on_close=lambda c, code, reason: closes.append(code))
            for endpoint in pool
        ]
        assert pool.close() is True
        assert pool.closed
        assert [connection.status for connection in connections] == [Status.CLOSED] * 2
        assert closes == [1001, 1001]
        assert "closed" in repr(pool)
        assert pool.close() is True

    def test_use_after_close(self, server):
        """A closed pool makes no connections, and says so."""
        pool = EndpointPool(1)
        pool.close()
        with pytest.raises(wspool.PoolClosed):
            pool[0].create_new_connection(server.uri)
        assert pool[0].connections == []
        pool[0].close_all_connections()
        pool[0].wait_for_closing_all(1)

    def test_close_while_a_callback_blocks(self, server):
        """A callback that blocks does not hold up closing beyond the bound."""
        release = threading.Event()
        inside = threading.Event()

        def on_open(connection):
            inside.set()
            release.wait(60)

        pool = EndpointPool(1)
        pool[0].create_new_connection(server.uri, on_open=on_open)
        assert inside.wait(10)
        start = time.monotonic()
        try:
            assert pool.close(timeout=0.2) is False
            assert time.monotonic() - start < 5
        finally:
            release.set()
        deadline = time.monotonic() + 10
        while not pool.close(timeout=0.1):
            assert time.monotonic() < deadline

    def test_close_inside_a_callback(self, pool, server):
        """It would wait for itself, so it is refused."""
        raised = []

        def on_open(connection):
            for call in (pool.close, connection.endpoint.wait_for_closing_all):
                try:
                    call()
                except wspool.InvalidState as error:
                    raised.append(error)

        open_connection(pool[0], server, on_open=on_open)
        assert len(raised) == 2

    def test_dropped_pool(self, server):
        """A pool that is dropped ends its threads, after its connections."""
        before = threading_count()
        for _ in range(5):
            connection = open_connection(EndpointPool(2)[1], server)
            connection.close()
            connection.wait_closed(10)
        del connection
        gc.collect()
        wait_until(lambda: threading_count() <= before)

    def test_open_connection_outlives_its_pool(self, server):
        """A connection that is open works on when everything else is dropped."""
        received = threading.Event()
        connection = open_connection(
            EndpointPool(1)[0], server, on_message=lambda c, m: received.set()
        )
        gc.collect()
        connection.send("still here")
        assert received.wait(10)
        connection.close()
        connection.wait_closed(10)


def threading_count():
    """Threads of the process, native ones too."""
    return len(os.listdir("/proc/self/task"))


class TestEndpoint:
    def test_connections(self, pool, server):
        """Connections are listed until they have ended, in the order of creation."""
        endpoint = pool[0]
        connections = [open_connection(endpoint, server) for _ in range(3)]
        assert endpoint.connections == connections
        assert len({connection.id for connection in connections}) == 3
        connections[1].close()
        connections[1].wait_closed(10)
        assert endpoint.connections == [connections[0], connections[2]]
        assert repr(endpoint) == "<wspool.Endpoint 0, 2 connections>"

    def test_by_id(self, pool, server):
        """send_msg and close name connections by id."""
        received = []
        done = threading.Event()

        def on_message(connection, message):
            received.append(message.text)
            done.set()

        connection = open_connection(pool[1], server, on_message=on_message)
        pool[1].send_msg(connection.id, "hello")
        assert done.wait(10)
        assert received == ["hello"]
        pool[1].close(connection.id, 4000, "bye")
        connection.wait_closed(10)
        assert connection.close_code == 4000

    def test_id_in_on_open(self, pool, server):
        """Inside on_open the id is known."""
        done = threading.Event()
        open_connection(
            pool[0],
            server,
            on_open=lambda c: c.endpoint.send_msg(c.id, "first"),
            on_message=lambda c, m: done.set(),
        )
        assert done.wait(10)

    def test_unknown_id(self, pool, server):
        """An id that is not open is an error with the id."""
        for call in (
            lambda: pool[0].send_msg(99, "x"),
            lambda: pool[0].close(99),
            lambda: pool[0].disable_callbacks(99),
        ):
            with pytest.raises(wspool.UnknownConnection, match="99"):
                call()
        connection = open_connection(pool[0], server)
        connection.close()
        connection.wait_closed(10)
        with pytest.raises(LookupError):
            pool[0].send_msg(connection.id, "x")

    def test_close_all_connections(self, pool, server):
        """All are closed with the code, and waiting for it ends."""
        connections = [open_connection(pool[0], server) for _ in range(10)]
        pool[0].close_all_connections(4001, "over")
        pool[0].wait_for_closing_all(10)
        assert pool[0].connections == []
        assert {connection.close_code for connection in connections} == {4001}

    def test_wait_for_closing_all_times_out(self, pool, server):
        """With a connection left it is a TimeoutError."""
        open_connection(pool[0], server)
        start = time.monotonic()
        with pytest.raises(TimeoutError, match="within 0.2 s"):
            pool[0].wait_for_closing_all(0.2)
        assert 0.15 < time.monotonic() - start < 5

    @pytest.mark.parametrize(
        "uri",
        [
            "",
            "nonsense",
            "http://host/",
            "ws://",
            "ws:///path",
            "ws://host:port/",
            "ws://host:70000/",
        ]
        + [
            "ws://host/#fragment",
            "ws://ho st/",
            "ws://host/a b",
            "ws://host/\r\nX: y",
            "wss://[::1/",
        ],
    )
    def test_invalid_uri(self, pool, uri):
        """A bad URI is an exception at the call, and starts nothing."""
        with pytest.raises(wspool.InvalidURI) as raised:
            pool[0].create_new_connection(uri)
        assert raised.value.uri == uri
        assert raised.value.msg
        assert pool[0].connections == []

    def test_invalid_uri_hides_credentials(self, pool):
        """User name and password are in no error text."""
        with pytest.raises(wspool.InvalidURI) as raised:
            pool[0].create_new_connection("ws://me:secret@host:port/")
        assert "secret" not in str(raised.value)
        assert "me" not in raised.value.uri

    @pytest.mark.parametrize("uri", [None, b"ws://host", 1])
    def test_uri_type(self, pool, uri):
        """A URI is a str."""
        with pytest.raises(TypeError, match="uri must be a str"):
            pool[0].create_new_connection(uri)

    @pytest.mark.parametrize("name", ["on_open", "on_message", "on_event", "on_unmatched"])
    def test_coroutine_functions(self, pool, name):
        """Nobody would await what one returns, so it is refused as a callback and as a URI."""

        async def callback(*_):
            pass

        before = pool[0].connections
        with pytest.raises(TypeError, match=f"{name} must be an ordinary function"):
            pool[0].create_new_connection("ws://127.0.0.1:1/", **{name: callback})
        with pytest.raises(TypeError, match="uri must be an ordinary function"):
            pool[0].create_new_connection(callback)
        with pytest.raises(TypeError, match="uris must be an ordinary function"):
            wspool.stream(callback, fields=wspool.Fields({"a": ("/a", "int64")}))
        assert pool[0].connections == before

    def test_events_need_on_event(self, pool):
        """Without it nobody would be told of them."""
        with pytest.raises(ValueError, match="events: give on_event"):
            pool[0].create_new_connection("ws://127.0.0.1:1/", events=True)

    @pytest.mark.parametrize("timeout", [True, "1", math.nan])
    def test_bad_timeouts(self, timeout):
        """What is no number of seconds is refused, and nothing is closed for it."""
        with EndpointPool(1) as pool, wspool.testing.echo() as server:
            connection = pool[0].create_new_connection(server.uri, proxy=None)
            assert connection.opened.result(10) is Status.OPENED
            for wait in (pool.close, pool[0].wait_for_closing_all, connection.wait_closed):
                with pytest.raises(TypeError, match="timeout must be a number of seconds"):
                    wait(timeout)
            assert connection.status is Status.OPENED

    @pytest.mark.parametrize("name", ["on_open", "on_message", "on_close", "on_fail", "on_error"])
    def test_callback_not_callable(self, pool, name):
        """A callback that cannot be called is refused, and named."""
        with pytest.raises(TypeError, match=f"{name} must be callable"):
            pool[0].create_new_connection("ws://127.0.0.1:1/", **{name: "x"})

    @pytest.mark.parametrize(
        ("code", "kind"), [(999, ValueError), (5000, ValueError), ("1", TypeError)]
    )
    def test_bad_close_code(self, pool, code, kind):
        """Codes that may not be sent are refused."""
        with pytest.raises(kind, match="code"):
            pool[0].close_all_connections(code)


PRELUDE = """
import os, signal, sys, threading, time, types
import wspool, wspool.testing
server = wspool.testing.echo()
pool = wspool.EndpointPool.instance()
def opened(n, **arguments):
    made = [pool.get_endpoint().create_new_connection(server.uri, **arguments) for _ in range(n)]
    assert all(c.opened.result(20) is wspool.Status.OPENED for c in made)
    return made
"""


def run(script, *, timeout=30, status=0):
    """Run a script in a fresh interpreter; returns what it printed and how long exit took."""
    result = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", PRELUDE + textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    end = time.time()
    assert result.returncode == status, result.stderr
    return result, end


EXIT_SCRIPTS = {
    "nothing_used": "",
    "hundred_open": "made = opened(100)",
    "hundred_open_dropped": "opened(100)",
    "callback_running": """
        inside = threading.Event()
        def on_open(connection):
            inside.set()
            time.sleep(60)
        pool[0].create_new_connection(server.uri, on_open=on_open)
        assert inside.wait(10)
    """,
    "callback_computing": """
        inside = threading.Event()
        def on_open(connection):
            inside.set()
            while True:
                pass
        pool[0].create_new_connection(server.uri, on_open=on_open)
        assert inside.wait(10)
    """,
    "callback_in_the_library": """
        inside = threading.Event()
        def on_open(connection):
            inside.set()
            while True:
                connection.buffered_amount
        connection = pool[0].create_new_connection(server.uri, on_open=on_open)
        assert inside.wait(10)
    """,
    "connect_pending": """
        import socket
        deaf = socket.socket()
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(16)
        uri = "ws://127.0.0.1:%d" % deaf.getsockname()[1]
        for _ in range(20):
            pool.get_endpoint().create_new_connection(uri)
    """,
    "messages_pouring": """
        feed = wspool.testing.replay(["x" * 100] * 100, repeat=None)
        count = 0
        def on_message(connection, message):
            global count
            count += 1
        for _ in range(10):
            pool.get_endpoint().create_new_connection(feed.uri, on_message=on_message)
        while count < 10000:
            time.sleep(0.01)
    """,
    "daemon_thread_waiting": """
        connection = opened(1)[0]
        for call in (connection.wait_closed, connection.endpoint.wait_for_closing_all):
            threading.Thread(target=call, daemon=True).start()
    """,
    "closed_pool": """
        opened(10)
        pool.close()
    """,
    "private_pools": """
        pools = [wspool.EndpointPool(2) for _ in range(4)]
        made = [p[0].create_new_connection(server.uri) for p in pools]
    """,
}


class TestExit:
    """The interpreter ends within 2 s, with the right status and nothing on stderr."""

    @pytest.mark.parametrize("name", EXIT_SCRIPTS)
    def test_exit(self, name):
        """It ends by itself."""
        script = textwrap.dedent(EXIT_SCRIPTS[name]) + "\nprint(time.time(), flush=True)\n"
        result, end = run(script)
        assert end - float(result.stdout) < 2
        assert result.stderr == ""

    def test_status(self):
        """The exit status is the program's."""
        run("made = opened(5); sys.exit(7)", status=7)

    def test_exception(self):
        """An exception that ends the program is shown, with status 1."""
        result, _ = run("made = opened(5); raise ZeroDivisionError('that')", status=1)
        assert result.stderr.rstrip().endswith("ZeroDivisionError: that")

    def test_close_callbacks_run(self):
        """Connections get a closing handshake at exit, and their callbacks are told."""
        # A server of another process: one of the same would end at exit as well.
        with wspool.testing.echo() as server:
            result, _ = run(
                f"""
                server = types.SimpleNamespace(uri={server.uri!r})
                def on_close(connection, code, reason):
                    os.write(1, b"%d\\n" % code)
                made = opened(3, on_close=on_close)
                """
            )
            assert server.wait_idle(10)
            assert [c.close_code_received for c in server.connections] == [1001] * 3
        assert result.stdout.split() == ["1001"] * 3

    def test_again_and_again(self):
        """Ten times in a row with everything at once."""
        script = "made = opened(100)\n" + textwrap.dedent(EXIT_SCRIPTS["messages_pouring"])
        for _ in range(10):
            result, _ = run(script)
            assert result.stderr == ""


class TestInterrupt:
    """Ctrl-C interrupts every wait on the main thread within 100 ms, plus what starting takes."""

    @pytest.mark.parametrize(
        "wait",
        ["connection.wait_closed()", "connection.wait_closed(60)"]
        + [
            "connection.endpoint.wait_for_closing_all()",
            "pending.opened.result()",
            "pool.close(60)",
        ],
    )
    def test_interrupt(self, wait):
        """KeyboardInterrupt is raised out of the wait."""
        result, _ = run(
            f"""
            import socket
            deaf = socket.socket()
            deaf.bind(("127.0.0.1", 0))
            deaf.listen(16)
            connection = opened(1, close_timeout=None)[0]
            pending = pool[0].create_new_connection("ws://127.0.0.1:%d" % deaf.getsockname()[1])
            stuck = threading.Event()
            if "pool.close" in {wait!r}:
                inside = threading.Event()
                other = pool[0].create_new_connection(
                    server.uri, on_open=lambda c: (inside.set(), stuck.wait(60)))
                assert inside.wait(10)
            at = []
            def interrupt():
                time.sleep(0.3)
                at.append(time.monotonic())
                os.kill(os.getpid(), signal.SIGINT)
            threading.Thread(target=interrupt).start()
            try:
                {wait}
            except KeyboardInterrupt:
                print(time.monotonic() - at[0])
            """
        )
        assert float(result.stdout) < 0.2


class TestFork:
    def test_child_has_a_fresh_pool(self):
        """In the child old objects say whose they are, and a new pool works."""
        result, _ = run(
            """
            import warnings
            warnings.simplefilter("ignore", DeprecationWarning)
            connection = opened(1)[0]
            old_pool, endpoint = pool, connection.endpoint
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    for call in (lambda: connection.send("x"), lambda: connection.status,
                                 connection.close, lambda: connection.ping(),
                                 lambda: endpoint.create_new_connection(server.uri),
                                 endpoint.wait_for_closing_all):
                        try:
                            call()
                        except wspool.WrongProcess:
                            pass
                        else:
                            raise AssertionError(call)
                    assert "parent" in repr(connection)
                    fresh = wspool.EndpointPool.instance()
                    assert fresh is not old_pool
                    got = threading.Event()
                    mine = fresh[0].create_new_connection(
                        server.uri, on_message=lambda c, m: got.set())
                    assert mine.opened.result(10) is wspool.Status.OPENED
                    mine.send("hello")
                    assert got.wait(10)
                    del connection, endpoint, old_pool, pool
                    import gc; gc.collect()
                    status = 0
                finally:
                    sys.exit(status) if status == 0 else os._exit(status)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            connection.send("the parent's goes on")
            assert connection.status is wspool.Status.OPENED
            print("done")
            """
        )
        assert result.stdout == "done\n"

    @pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
    def test_multiprocessing(self, server, method, tmp_path):
        """Worker processes use the library beside their parent."""
        script = tmp_path / "workers.py"
        script.write_text(WORKERS)
        result = subprocess.run(
            [sys.executable, str(script), method, server.uri],
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )
        assert result.returncode == 0, result.stderr
        assert result.stdout == "hello hello hello hello\n"


WORKERS = """
import multiprocessing, sys, threading, warnings
import wspool

def echo(uri):
    received = []
    done = threading.Event()
    def on_message(connection, message):
        received.append(message.text)
        done.set()
    endpoint = wspool.EndpointPool.instance().get_endpoint()
    with endpoint.create_new_connection(uri, on_message=on_message) as connection:
        connection.opened.result(10)
        connection.send("hello")
        assert done.wait(10)
    return received[0]

if __name__ == "__main__":
    warnings.simplefilter("ignore", DeprecationWarning)
    _, method, uri = sys.argv
    endpoint = wspool.EndpointPool.instance().get_endpoint()
    with endpoint.create_new_connection(uri) as connection:
        assert connection.opened.result(10) is wspool.Status.OPENED
        with multiprocessing.get_context(method).Pool(2) as workers:
            print(*workers.map(echo, [uri] * 4, chunksize=1))
        connection.send("still here")
"""


def test_signals_reach_python_handlers():
    """A signal handler runs during a wait, which then goes on."""
    caught = []
    old = signal.signal(signal.SIGUSR1, lambda *_: caught.append(time.monotonic()))
    try:
        with wspool.testing.echo() as server, EndpointPool(1) as pool:
            connection = open_connection(pool[0], server)
            sent = time.monotonic() + 0.1
            timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGUSR1))
            timer.start()
            with pytest.raises(TimeoutError):
                connection.wait_closed(0.5)
            assert caught[0] - sent < 0.2
            timer.join()
    finally:
        signal.signal(signal.SIGUSR1, old)


def test_nothing_is_left_of_ended_connections():
    """Connections that have ended leave no Python object behind."""
    with wspool.testing.echo() as server, EndpointPool(1) as pool:
        references = []
        for _ in range(20):
            connection = open_connection(
                pool[0], server, on_message=lambda c, m: None, on_close=lambda c, *_: None
            )
            references.append(weakref.ref(connection))
            connection.close()
            connection.wait_closed(10)
        del connection
        wait_until(lambda: gc.collect() >= 0 and not any(ref() for ref in references))
