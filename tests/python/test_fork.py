"""fork, multiprocessing and process pools beside open connections.

Each test is a program of its own: a fork copies whatever else the tests have going on.
"""

import os
import subprocess
import sys
import textwrap

import pytest

PRELUDE = """
import concurrent.futures, gc, multiprocessing, os, queue, signal, sys, threading, time
import wspool, wspool.testing
from wspool import EndpointPool, Status


class Echo:
    # A connection to an echo server, and what comes back.
    def __init__(self, uri, endpoint=None):
        self.received = queue.SimpleQueue()
        endpoint = endpoint or EndpointPool.instance().get_endpoint()
        self.connection = endpoint.create_new_connection(
            uri, on_message=lambda c, m: self.received.put(m.text))
        assert self.connection.opened.result(20) is Status.OPENED, self.connection.error

    def check(self, text):
        self.connection.send(text)
        assert self.received.get(timeout=20) == text

    def finish(self):
        self.connection.close()
        self.connection.wait_closed(20)
        assert self.connection.error is None, self.connection.error


def work(uri, number=0):
    # What a worker process does: its own pool, a few connections, a few messages.
    echoes = [Echo(uri) for _ in range(4)]
    for i, echo in enumerate(echoes):
        echo.check(f"{number} {i}")
    for echo in echoes:
        echo.finish()
    return os.getpid()


def refused(call):
    try:
        call()
    except wspool.WrongProcess as error:
        assert "fork" in str(error) or "parent" in str(error), error
    else:
        raise AssertionError("not refused")


def status_of(child, timeout=20):
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "still running"
"""
END = "\nprint('done')\n"


def run(script, tmp_path):
    """Run a program of its own; it prints "done" and nothing else, and ends with status 0."""
    body = textwrap.indent(textwrap.dedent(script) + END, "    ")
    file = tmp_path / "program.py"
    file.write_text(f'{PRELUDE}\nif __name__ == "__main__":\n{body}')
    result = subprocess.run(
        # Python 3.12 and later warn of every fork in a process with threads.
        [sys.executable, "-X", "faulthandler", "-W", "error", "-W", "ignore::DeprecationWarning"]
        + [file],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert result.stderr == ""
    assert result.stdout == "done\n"
    assert result.returncode == 0


class TestFork:
    @pytest.mark.parametrize("leave", ["os._exit(0)", "sys.exit(0)", "return"])
    def test_child_works(self, tmp_path, leave):
        """The child has a fresh pool that works, the parent's connections go on; both end well."""
        leave = "pass" if leave == "return" else leave
        run(
            f"""
            server = wspool.testing.echo()
            echoes = [Echo(server.uri) for _ in range(20)]
            parent_pool = EndpointPool.instance()
            child = os.fork()
            if child == 0:
                assert EndpointPool.instance() is not parent_pool
                assert all(endpoint.connections == [] for endpoint in EndpointPool.instance())
                work(server.uri)
                left_open = Echo(server.uri)
                os.close(1)  # the parent alone says that it is done
                sys.stdout = None
                {leave}
            else:
                for i in range(50):
                    for echo in echoes:
                        echo.check(f"meanwhile {{i}}")
                assert status_of(child) == 0
                for echo in echoes:
                    echo.check("afterwards")
                    echo.finish()
                assert EndpointPool.instance() is parent_pool
            """,
            tmp_path,
        )

    def test_objects_from_before(self, tmp_path):
        """In the child everything from before the fork says whose it is, and can be dropped."""
        run(
            """
            server = wspool.testing.echo()
            echo = Echo(server.uri)
            private = EndpointPool(2)
            other = Echo(server.uri, private[0])
            connection, endpoint = echo.connection, echo.connection.endpoint
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    for call in (
                        lambda: connection.send("x"),
                        lambda: connection.ping(),
                        lambda: connection.pong(),
                        lambda: connection.close(),
                        lambda: connection.abort(),
                        lambda: connection.wait_closed(1),
                        lambda: connection.disable_callbacks(),
                        lambda: connection.status,
                        lambda: connection.close_code,
                        lambda: connection.statistics,
                        lambda: endpoint.create_new_connection(server.uri),
                        lambda: endpoint.send_msg(connection.id, "x"),
                        lambda: endpoint.close(connection.id),
                        lambda: endpoint.close_all_connections(),
                        lambda: endpoint.wait_for_closing_all(1),
                        lambda: private[1].create_new_connection(server.uri),
                        lambda: other.connection.send("x"),
                        lambda: private.close(),
                    ):
                        refused(call)
                    assert "parent" in repr(connection)
                    assert repr(endpoint) and repr(private)
                    assert not server.running
                    del echo, other, connection, endpoint, private
                    gc.collect()
                    work(server.uri)
                    status = 0
                finally:
                    if status:
                        sys.excepthook(*sys.exc_info())
                    os._exit(status)
            assert status_of(child) == 0
            echo.check("afterwards")
            other.check("afterwards")
            """,
            tmp_path,
        )

    def test_feeds_on_both_sides(self, tmp_path):
        """The child makes feeds of its own, with look-ups and user code on threads of its own."""
        run(
            """
            def feed(server, count=[0]):
                def uri():
                    count[0] += 1
                    return server.uri.replace("127.0.0.1", "localhost")
                how = wspool.Reconnect(initial_delay=0.01, max_delay=0.02,
                                       fatal=lambda error: False)
                with wspool.connect(uri, reconnect=how, proxy=None) as ws:
                    ws.send("x")
                    assert ws.recv(timeout=20) == "x"
                assert count[0] >= 1

            server = wspool.testing.echo()
            feed(server)
            lasting = wspool.connect(server.uri, reconnect=True, proxy=None)
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    refused(lambda: lasting.send("x"))
                    feed(server)
                    work(server.uri)
                    status = 0
                finally:
                    if status:
                        sys.excepthook(*sys.exc_info())
                    os._exit(status)
            assert status_of(child) == 0
            lasting.send("y")
            assert lasting.recv(timeout=20) == "y"
            lasting.close()
            feed(server)
            """,
            tmp_path,
        )

    def test_during_a_busy_feed(self, tmp_path):
        """Twenty forks amid a feed: each child works, and the parent loses nothing."""
        run(
            """
            server = wspool.testing.echo()
            messages = [f"{i}" for i in range(1000)]
            feed = wspool.testing.replay(messages, repeat=None, rate=20_000)
            received = []
            pool = EndpointPool.instance()
            connections = []
            for endpoint in pool:
                mine = []
                received.append(mine)
                connections.append(endpoint.create_new_connection(
                    feed.uri, on_message=lambda c, m, mine=mine: mine.append(int(m.text))))
            for connection in connections:
                assert connection.opened.result(20) is Status.OPENED
            for number in range(20):
                child = os.fork()
                if child == 0:
                    status = 1
                    try:
                        work(server.uri, number)
                        status = 0
                    finally:
                        os._exit(status)
                assert status_of(child) == 0
            for connection, mine in zip(connections, received):
                assert connection.status is Status.OPENED
                connection.close()
                connection.wait_closed(20)
                assert len(mine) > 1000
                assert mine == [i % 1000 for i in range(len(mine))]
            """,
            tmp_path,
        )

    def test_inside_a_callback(self, tmp_path):
        """A callback may fork: the child has that thread alone, and a fresh pool that works."""
        run(
            """
            server = wspool.testing.echo()
            statuses = queue.SimpleQueue()

            def on_message(connection, message):
                child = os.fork()
                if child == 0:
                    status = 1
                    try:
                        refused(lambda: connection.send("x"))
                        work(server.uri)
                        status = 0
                    finally:
                        os._exit(status)
                statuses.put(status_of(child))
                connection.close()

            connection = EndpointPool.instance()[0].create_new_connection(
                server.uri, on_message=on_message)
            assert connection.opened.result(20) is Status.OPENED
            connection.send("fork")
            assert statuses.get(timeout=30) == 0
            connection.wait_closed(20)
            assert connection.close_code == 1000
            """,
            tmp_path,
        )

    def test_grandchild(self, tmp_path):
        """A child that has used its pool may fork as well."""
        run(
            """
            server = wspool.testing.echo()
            echo = Echo(server.uri)
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    mine = Echo(server.uri)
                    grandchild = os.fork()
                    if grandchild == 0:
                        try:
                            refused(lambda: echo.connection.send("x"))
                            refused(lambda: mine.connection.send("x"))
                            work(server.uri)
                            status = 0
                        finally:
                            os._exit(status)
                    assert status_of(grandchild) == 0
                    mine.check("afterwards")
                    status = 0
                finally:
                    os._exit(status)
            assert status_of(child) == 0
            echo.check("afterwards")
            """,
            tmp_path,
        )

    def test_with_tls(self, tmp_path):
        """Parent and child use TLS, with the same settings, at the same time."""
        run(
            """
            server = wspool.testing.echo(tls=True)
            trust = wspool.TLS(ca_file=server.ca_file)

            def talk(text):
                received = queue.SimpleQueue()
                connection = EndpointPool.instance().get_endpoint().create_new_connection(
                    server.uri, ssl=trust, on_message=lambda c, m: received.put(m.text))
                assert connection.opened.result(20) is Status.OPENED, connection.error
                connection.send(text)
                assert received.get(timeout=20) == text
                return connection, received

            connection, received = talk("before")
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    for _ in range(5):
                        talk("in the child")
                    status = 0
                finally:
                    os._exit(status)
            for _ in range(5):
                talk("in the parent")
            assert status_of(child) == 0
            connection.send("afterwards")
            assert received.get(timeout=20) == "afterwards"
            """,
            tmp_path,
        )


class TestMultiprocessing:
    @pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
    def test_processes(self, tmp_path, method):
        """Processes that multiprocessing starts work beside their parent's open connections."""
        run(
            f"""
            context = multiprocessing.get_context({method!r})
            server = wspool.testing.echo()
            echo = Echo(server.uri)
            processes = [context.Process(target=work, args=(server.uri, i)) for i in range(3)]
            for process in processes:
                process.start()
            for process in processes:
                echo.check("meanwhile")
                process.join(30)
                assert process.exitcode == 0, process.exitcode
            echo.finish()
            """,
            tmp_path,
        )

    @pytest.mark.parametrize("method", ["fork", "spawn"])
    def test_executor(self, tmp_path, method):
        """Workers of a ProcessPoolExecutor keep their pool from one task to the next."""
        run(
            f"""
            context = multiprocessing.get_context({method!r})
            server = wspool.testing.echo()
            echo = Echo(server.uri)
            with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as workers:
                tasks = [workers.submit(work, server.uri, i) for i in range(12)]
                assert os.getpid() not in {{task.result(60) for task in tasks}}
                echo.check("meanwhile")
            echo.check("afterwards")
            echo.finish()
            """,
            tmp_path,
        )

    def test_connection_cannot_be_sent(self, tmp_path):
        """A connection given to another process is refused with an error, as files are."""
        run(
            """
            import pickle
            server = wspool.testing.echo()
            echo = Echo(server.uri)
            for value in (echo.connection, echo.connection.endpoint, EndpointPool.instance()):
                try:
                    pickle.dumps(value)
                except TypeError:
                    pass
                else:
                    raise AssertionError(value)
            echo.finish()
            """,
            tmp_path,
        )


class TestStream:
    def test_stream_from_before(self, tmp_path):
        """A child refuses its parent's stream, on which a thread waits there, and has its own."""
        run(
            """
            server = wspool.testing.echo()
            fields = wspool.Fields({"a": ("/a", "int64")})
            stream = wspool.stream([server.uri] * 3, fields=fields)
            stream.__enter__()
            taken = queue.SimpleQueue()
            waiting = threading.Thread(target=lambda: taken.put(stream.next(20)))
            waiting.start()
            child = os.fork()
            if child == 0:
                refused(lambda: stream.next(0))
                refused(lambda: stream.statistics)
                assert "parent process" in repr(stream.connections[0])
                del stream
                gc.collect()
                with wspool.stream(server.uri, fields=fields, max_delay=0.01) as own:
                    own.connections[0].send('{"a":1}')
                    assert own.next(20).to_pydict()["a"] == [1]
                os._exit(0)
            assert status_of(child) == 0
            stream.connections[1].send('{"a":2}')
            assert taken.get(timeout=20).to_pydict()["a"] == [2]
            waiting.join()
            stream.close()
            """,
            tmp_path,
        )
