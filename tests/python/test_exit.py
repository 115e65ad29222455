"""Ctrl-C, and the end of the interpreter, while connections are in use."""

import signal
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import wspool.testing

# The promise is 2 s; machines that run tests are slow.
BOUND = 5.0
RUNS = 50
AT_ONCE = 2
# The scripts leave listeners open on purpose.
WARNINGS = ["-W", "error", "-W", "ignore::ResourceWarning"]

PRELUDE = """
import ctypes, os, signal, socket, sys, threading, time
import wspool, wspool.testing

# Whoever starts the tests in the background may have them ignore it.
signal.signal(signal.SIGINT, signal.default_int_handler)
server = wspool.testing.echo()

def opened(endpoint, uri=server.uri, **arguments):
    connection = endpoint.create_new_connection(uri, **arguments)
    assert connection.opened.result(20) is wspool.Status.OPENED, connection.error
    return connection

def deaf():
    listener = socket.create_server(("127.0.0.1", 0))
    return listener, "ws://127.0.0.1:%d" % listener.getsockname()[1]
"""


def start(script, ready):
    """Start a script; `ready` is what it prints as its last line of code."""
    code = f"{PRELUDE}\n{textwrap.dedent(script)}\n{ready}\n"
    return subprocess.Popen(
        [sys.executable, "-X", "faulthandler", *WARNINGS, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def seconds_to_end(script):
    """Run a script; returns how long its process lives on after its last line."""
    with start(script, "print(time.time(), flush=True)") as process:
        try:
            output, errors = process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        end = time.time()
    assert errors == ""
    assert process.returncode == 0
    return end - float(output)


HUNDRED_OPEN = """
    pool = wspool.EndpointPool.instance()
    connections = [pool.get_endpoint().create_new_connection(server.uri) for _ in range(100)]
    assert all(c.opened.result(20) is wspool.Status.OPENED for c in connections)
"""
CALLBACK_RUNNING = """
    inside = threading.Event()
    def on_message(connection, message):
        inside.set()
        time.sleep(60)
    connection = opened(wspool.EndpointPool.instance()[0], on_message=on_message)
    connection.send("x")
    assert inside.wait(20)
"""
CONNECT_PENDING = """
    listener, uri = deaf()
    connection = wspool.EndpointPool.instance().get_endpoint().create_new_connection(uri)
"""


class TestExit:
    @pytest.mark.slow
    @pytest.mark.parametrize(
        "script",
        [HUNDRED_OPEN, CALLBACK_RUNNING, CONNECT_PENDING],
        ids=["hundred_open", "callback_running", "connect_pending"],
    )
    def test_fifty_times(self, script):
        """Fifty times in a row it ends in time, with status 0 and nothing on stderr."""
        with ThreadPoolExecutor(AT_ONCE) as runners:
            times = sorted(runners.map(seconds_to_end, [script] * RUNS))
        print(f"median {times[RUNS // 2]:.2f} s, slowest {times[-1]:.2f} s")
        assert times[-1] < BOUND

    @pytest.mark.parametrize(
        "script",
        [
            pytest.param(
                """
                inside = []
                def on_message(connection, message):
                    inside.append(1)
                    while True:
                        pass
                pool = wspool.EndpointPool.instance()
                for endpoint in pool:
                    opened(endpoint, on_message=on_message).send("x")
                while len(inside) < len(pool):
                    time.sleep(0.01)
                """,
                id="callbacks_computing",
            ),
            pytest.param(
                """
                import logging
                logging.basicConfig(level=logging.ERROR)
                how = wspool.Reconnect(initial_delay=0.01, max_delay=0.05)
                gone = wspool.testing.echo()
                feed = opened(wspool.EndpointPool.instance()[0], gone.uri, reconnect=how,
                              proxy=None)
                gone.close()
                while feed.status is not wspool.Status.CONNECTING:
                    time.sleep(0.01)
                """,
                id="feed_reconnecting",
            ),
            pytest.param(
                """
                asked = threading.Event()
                def uri():
                    asked.set()
                    time.sleep(60)
                wspool.EndpointPool.instance()[0].create_new_connection(uri, proxy=None)
                assert asked.wait(20)
                """,
                id="feed_whose_uri_is_being_made",
            ),
            pytest.param(
                """
                import logging
                logging.basicConfig(level=logging.ERROR)
                asked = threading.Event()
                def fatal(error):
                    asked.set()
                    ctypes.PyDLL(None).usleep(300_000)  # with the GIL held
                    return False
                how = wspool.Reconnect(initial_delay=0.01, max_delay=0.01, fatal=fatal)
                for endpoint in wspool.EndpointPool.instance():
                    endpoint.create_new_connection("ws://127.0.0.1:9", reconnect=how, proxy=None)
                assert asked.wait(20)
                """,
                id="feed_being_judged",
            ),
            pytest.param(
                """
                feed = wspool.testing.replay(["x" * 100] * 100, repeat=None)
                pool = wspool.EndpointPool.instance()
                events = []
                for _ in range(10):
                    opened(pool.get_endpoint(), feed.uri, reconnect=True, replace_after=0.05,
                           on_event=lambda _, event: events.append(event), proxy=None)
                while len(events) < 40:
                    time.sleep(0.01)
                """,
                id="feeds_being_replaced",
            ),
            pytest.param(
                """
                inside = threading.Event()
                def on_message(connection, message):
                    inside.set()
                    while True:
                        ctypes.PyDLL(None).usleep(50_000)  # with the GIL held
                opened(wspool.EndpointPool.instance()[0], on_message=on_message).send("x")
                assert inside.wait(20)
                """,
                id="callback_holding_the_gil",
            ),
            pytest.param(
                """
                count = 0
                def on_message(connection, message):
                    global count
                    count += 1
                feed = wspool.testing.replay(["x" * 100] * 100, repeat=None)
                pool = wspool.EndpointPool.instance()
                feeds = [opened(pool.get_endpoint(), feed.uri, on_message=on_message)
                         for _ in range(20)]
                while count < 20_000:
                    time.sleep(0.01)
                """,
                id="callbacks_without_end",
            ),
            pytest.param(
                """
                def on_message(connection, message):
                    try:
                        connection.send(message)
                    except wspool.ConnectionClosed:
                        pass  # the exit has begun to close it
                pool = wspool.EndpointPool.instance()
                for _ in range(20):
                    connection = opened(pool.get_endpoint(), on_message=on_message)
                    connection.send("round and round")
                while connection.statistics.messages_received < 100:
                    time.sleep(0.01)
                """,
                id="callbacks_sending",
            ),
            pytest.param(
                """
                def on_close(connection, code, reason):
                    time.sleep(60)
                opened(wspool.EndpointPool.instance()[0], on_close=on_close)
                """,
                id="on_close_blocks",
            ),
            pytest.param(
                """
                pool = wspool.EndpointPool(3)
                connections = [opened(endpoint) for endpoint in pool for _ in range(5)]
                sys.wspool_test = pool, connections  # not even a module's globals let go of it
                """,
                id="private_pool_referenced",
            ),
            pytest.param(
                """
                silent = wspool.testing.sink(silent=True)
                pool = wspool.EndpointPool.instance()
                connections = [opened(pool.get_endpoint(), silent.uri) for _ in range(20)]
                """,
                id="close_not_answered",
            ),
            pytest.param(
                """
                silent = wspool.testing.sink(silent=True)
                pool = wspool.EndpointPool.instance()
                connections = [opened(pool.get_endpoint(), silent.uri, close_timeout=None)
                               for _ in range(20)]
                pool[0].close_all_connections()
                """,
                id="closing_already_without_a_deadline",
            ),
            pytest.param(
                """
                listener, uri = deaf()
                def connect():
                    connection = wspool.EndpointPool.instance()[0].create_new_connection(uri)
                    connection.opened.result()
                threading.Thread(target=connect, daemon=True).start()
                time.sleep(0.1)
                """,
                id="daemon_thread_waits_for_a_connect",
            ),
            pytest.param(
                """
                def on_message(connection, message):
                    messages.append(message)
                messages = []
                connection = opened(wspool.EndpointPool.instance()[0], on_message=on_message)
                for _ in range(100):
                    connection.send(b"kept" * 1000)
                while len(messages) < 100:
                    time.sleep(0.01)
                views = [memoryview(message) for message in messages]
                """,
                id="messages_kept",
            ),
            pytest.param(
                """
                import atexit
                connection = opened(wspool.EndpointPool.instance()[0])
                def use():
                    for call in (lambda: connection.send("x"), lambda: connection.ping(),
                                 connection.close, lambda: connection.wait_closed(1),
                                 lambda: wspool.EndpointPool.instance()[0]
                                 .create_new_connection(server.uri)):
                        try:
                            call()
                        except (wspool.WSPoolError, TimeoutError):
                            pass
                atexit.register(use)
                """,
                id="used_by_an_exit_handler",
            ),
        ],
    )
    def test_ends(self, script):
        """It ends in time, with status 0 and nothing on stderr."""
        took = seconds_to_end(script)
        print(f"{took:.2f} s")
        assert took < BOUND

    def test_thread_of_the_program_goes_on(self):
        """Threads that Python waits for at exit still have their connections."""
        took = seconds_to_end(
            """
            got = threading.Event()
            connection = opened(
                wspool.EndpointPool.instance()[0], on_message=lambda c, m: got.set())
            def talk():
                threading.main_thread().join()
                connection.send("still there?")
                assert got.wait(20)
            threading.Thread(target=talk).start()
            """
        )
        assert took < BOUND

    def test_what_was_sent_arrives(self):
        """What was sent just before the end arrives, and the server gets a close frame."""
        with wspool.testing.sink() as sink:
            seconds_to_end(
                f"""
                connection = opened(
                    wspool.EndpointPool.instance()[0], {sink.uri!r}, compression=None)
                for _ in range(300):
                    connection.send(b"x" * 100_000)
                """
            )
            assert sink.wait_idle(20)
            (record,) = sink.connections
        assert record.messages_received == 300
        assert record.payload_bytes_received == 30_000_000
        assert record.close_code_received == 1001
        assert record.error == ""


class TestInterrupt:
    @pytest.mark.parametrize(
        "script",
        [
            pytest.param(
                """
                listener, uri = deaf()
                connection = wspool.EndpointPool.instance()[0].create_new_connection(uri)
                wait = connection.opened.result
                """,
                id="opened",
            ),
            pytest.param(
                "wait = opened(wspool.EndpointPool.instance()[0]).wait_closed",
                id="wait_closed",
            ),
            pytest.param(
                "wait = opened(wspool.EndpointPool.instance()[0]).endpoint.wait_for_closing_all",
                id="wait_for_closing_all",
            ),
            pytest.param(
                """
                count = 0
                def on_message(connection, message):
                    global count
                    count += 1
                feed = wspool.testing.replay(["x" * 100] * 100, repeat=None)
                pool = wspool.EndpointPool.instance()
                for _ in range(10):
                    opened(pool.get_endpoint(), feed.uri, on_message=on_message)
                wait = lambda: time.sleep(60)
                """,
                id="busy_feed",
            ),
            pytest.param(
                """
                wait = lambda: time.sleep(60)
                def on_message(connection, message):
                    while True:
                        pass
                opened(wspool.EndpointPool.instance()[0], on_message=on_message).send("x")
                """,
                id="busy_callback",
            ),
        ],
    )
    def test_wait(self, script):
        """Ctrl-C raises KeyboardInterrupt within 1 s, and the program ends as Python's do."""
        ready = textwrap.dedent(
            """
            print("ready", flush=True)
            try:
                wait()
            finally:
                print(time.time(), flush=True)
            """
        )
        with start(script, ready) as process:
            try:
                assert process.stdout.readline() == "ready\n"
                time.sleep(0.3)  # for the wait to have begun; nothing tells it
                interrupted = time.time()
                process.send_signal(signal.SIGINT)
                output, errors = process.communicate(timeout=60)
            except BaseException:
                process.kill()
                raise
            end = time.time()
        raised = float(output)
        print(f"raised after {raised - interrupted:.2f} s, ended {end - raised:.2f} s later")
        assert raised - interrupted < 1
        assert end - raised < BOUND
        assert errors.rstrip().endswith("KeyboardInterrupt")
        assert errors.count("Traceback") == 1
        assert process.returncode == -signal.SIGINT

    def test_caught(self):
        """A program that catches Ctrl-C goes on, with its connections."""
        script = """
            got = threading.Event()
            connection = opened(
                wspool.EndpointPool.instance()[0], on_message=lambda c, m: got.set())
            try:
                threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
                connection.wait_closed(60)
            except KeyboardInterrupt:
                connection.send("still there?")
                assert got.wait(20)
            else:
                raise AssertionError
        """
        assert seconds_to_end(script) < BOUND


class TestStream:
    @pytest.mark.parametrize(
        "waiting",
        [
            "pass",
            "threading.Thread(target=wait, daemon=True).start(); waiting.wait()",
            "stream.connections[0].send('{\"a\":1}'); kept = stream.next()['a']",
        ],
    )
    def test_exit_with_a_stream(self, waiting):
        """A program ends at once with a stream open, waited on, or with arrays of it kept."""
        took = seconds_to_end(
            f"""
            import contextlib, logging
            logging.disable()  # the server goes first
            waiting = threading.Event()

            def wait():
                waiting.set()
                with contextlib.suppress(wspool.ConnectionClosed):
                    stream.next()

            fields = wspool.Fields({{"a": ("/a", "int64")}})
            stream = wspool.stream([server.uri] * 5, fields=fields, max_delay=0.01)
            stream.__enter__()
            {waiting}
            """
        )
        assert took < BOUND
