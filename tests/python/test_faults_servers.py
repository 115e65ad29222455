"""The servers of the fault tests themselves: nginx in front, and the one that keeps a record."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import time

import pytest
from tests.support.certificates import make_certificates
from tests.support.namespaces import network
from tests.support.nginx_front import nginx_front
from tests.support.pull_servers import PATIENCE, echo, wait_until, websockets_server
from tests.support.recording_server import RecordingServer, Span, compare
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

import wspool


def port_of(uri):
    return int(uri.rpartition(":")[2])


class TestNginx:
    @pytest.fixture
    def upstream(self):
        with websockets_server(echo) as uri:
            yield port_of(uri)

    def asked(self, connection, text="hello"):
        connection.send(text)
        return connection.recv(PATIENCE)

    def test_forwards(self, upstream, tmp_path):
        """Plain and with TLS; what it served is in its log."""
        ca_file = make_certificates(tmp_path)
        with nginx_front(upstream, tmp_path, tls=True) as nginx:
            with connect(f"{nginx.uri}/a", compression=None) as plain:
                assert self.asked(plain) == "hello"
            context = ssl.create_default_context(cafile=ca_file)
            with connect(f"{nginx.tls_uri}/b", ssl=context, compression=None) as tls:
                assert self.asked(tls) == "hello"
            wait_until(lambda: nginx.requests == ["101 /a", "101 /b"])

    def test_restart(self, upstream):
        """Connections are lost, connects are refused, and then it is back at the same port."""
        with nginx_front(upstream) as nginx:
            with connect(nginx.uri, compression=None) as connection:
                assert self.asked(connection) == "hello"
                nginx.stop()
                with pytest.raises(ConnectionClosed):
                    connection.recv(PATIENCE)
            with pytest.raises(ConnectionRefusedError), connect(nginx.uri):
                pass
            nginx.start()
            nginx.restart()
            with connect(nginx.uri, compression=None) as connection:
                assert self.asked(connection) == "hello"

    @pytest.mark.parametrize("timeout", [None, "100ms"])
    def test_reload(self, upstream, timeout):
        """Old connections live on, or are cut after the timeout; new ones work."""
        with nginx_front(upstream, shutdown_timeout=timeout) as nginx:
            with connect(nginx.uri, compression=None) as old:
                assert self.asked(old) == "hello"
                nginx.reload()
                with connect(nginx.uri, compression=None) as new:
                    assert self.asked(new) == "hello"
                if timeout is None:
                    assert self.asked(old) == "hello"
                else:
                    with pytest.raises(ConnectionClosed):
                        old.recv(PATIENCE)

    def test_reload_with_another_upstream(self, upstream):
        """New connections go to the other server."""

        def other(connection):
            connection.send("other")

        with nginx_front(upstream) as nginx, websockets_server(other) as uri:
            nginx.reload(port_of(uri))
            with connect(nginx.uri, compression=None) as connection:
                assert connection.recv(PATIENCE) == "other"

    def test_upstream_is_away(self):
        """502."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        with nginx_front(port) as nginx:
            with pytest.raises(InvalidStatus) as raised, connect(nginx.uri):
                pass
        assert raised.value.response.status_code == 502


def subscribe(connection, feed="a"):
    connection.send(json.dumps({"op": "subscribe", "feed": feed}))
    assert json.loads(connection.recv(PATIENCE)) == {"result": None, "feed": feed}


def take(connection, count):
    """Receive so many numbers."""
    return [json.loads(connection.recv(PATIENCE))["u"] for _ in range(count)]


def close_code(connection):
    """Return the code with which it ends; what comes before is dropped."""
    with pytest.raises(ConnectionClosed) as raised:
        while True:
            connection.recv(PATIENCE)
    return raised.value.rcvd and raised.value.rcvd.code


@pytest.fixture
def server():
    with RecordingServer(rate=None) as server:
        yield server


def connected(server, path="", **options):
    # Without a limit of its queue: a full one would have the end of a connection wait.
    return connect(server.uri + path, compression=None, max_queue=None, **options)


class TestFeeds:
    def test_subscription(self, server):
        """Answered, and the messages of that feed only follow."""
        with connected(server) as connection:
            subscribe(connection)
            server.publish("b")
            server.publish("a", 2)
            assert take(connection, 2) == [1, 2]
            connection.send('{"op": "unsubscribe", "feed": "a", "id": 7}')
            assert json.loads(connection.recv(PATIENCE)) == {"result": None, "feed": "a", "id": 7}
            assert server.publish("a") == 3
            subscribe(connection)
            server.publish("a")
            assert take(connection, 1) == [4]
            (record,) = server.connections
            assert record.spans == {"a": [Span(0, 1, 2), Span(0, 4, 4)]}
            assert (record.first("a"), record.last("a"), record.first("b")) == (1, 4, None)
            assert len(record.received) == 3

    def test_sent_while_away_is_lost(self, server):
        """Numbers go on, and the record tells who got which."""
        received = []
        for path in ("/feed/a?x=1", "/feed/a"):
            with connected(server, path) as connection:
                wait_until(lambda: server.feed("a").subscribers == 1)
                server.publish("a", 3)
                received += take(connection, 3)
            wait_until(lambda: server.connections == [])
            server.publish("a", 2)
        assert received == [1, 2, 3, 6, 7, 8]
        feed = server.feed("a")
        assert feed.published == 10
        assert feed.spans == [Span(0, 1, 3), Span(1, 6, 8)]
        found = compare(received, feed.spans)
        assert (found.missing, found.never_given) == ([4, 5], 2)
        assert [record.close_code for record in server.records] == [1000, 1000]
        assert all(r.at <= r.opened <= r.closed for r in server.records)

    def test_rate(self):
        """By the clock, to all who are there; silence uses no numbers."""
        with RecordingServer(rate=1000) as server:
            server.feed("b", rate=None, filling=100)
            with connected(server, "/feed/a") as one, connected(server, "/feed/a") as two:
                begin = time.monotonic()
                for connection in (one, two):
                    numbers = take(connection, 200)
                    assert numbers == [*range(numbers[0], numbers[0] + 200)]
                assert time.monotonic() - begin > 0.15
                server.silence()
                before = server.publish("a")
                assert server.publish("a") == before + 1
                server.resume()
                wait_until(lambda: server.feed("a").published > before + 10)
            with connected(server, "/feed/b") as connection:
                wait_until(lambda: server.feed("b").subscribers == 1)
                server.publish("b")
                assert len(connection.recv(PATIENCE)) > 100

    def test_our_client(self):
        """wspool gets all that the record says."""
        with RecordingServer(rate=500) as server:
            with wspool.connect(f"{server.uri}/feed/a") as connection:
                numbers = [json.loads(connection.recv(PATIENCE))["u"] for _ in range(100)]
            found = compare(numbers, server.feed("a").spans)
            assert (found.missing, found.duplicates, found.unknown) == ([], 0, [])
            assert numbers[0] == server.records[0].first("a")

    @pytest.mark.parametrize("path", ["", "/feed/a"])
    def test_too_many_connections(self, server, path):
        """One more than the feed takes is refused, and may come when the other has gone."""
        server.feed("a", max_connections=1)
        with connected(server, path) as one:
            if not path:
                subscribe(one)
            wait_until(lambda: server.feed("a").subscribers == 1)
            if path:
                with pytest.raises(InvalidStatus), connected(server, path):
                    pass
            else:
                with connected(server) as two:
                    two.send('{"op": "subscribe", "feed": "a"}')
                    answer = json.loads(two.recv(PATIENCE))
                    assert answer == {"error": "too many connections", "feed": "a"}
                    assert close_code(two) == 1013
        wait_until(lambda: server.feed("a").subscribers == 0)
        with connected(server) as three:
            subscribe(three)

    def test_ignored_subscriptions(self, server):
        """Taken, not answered."""
        server.ignore_subscriptions()
        with connected(server) as connection:
            connection.send('{"op": "subscribe", "feed": "a"}')
            wait_until(lambda: server.records[0].received)
            server.publish("a")
            with pytest.raises(TimeoutError):
                connection.recv(0.1)

    def test_nonsense(self, server):
        """Kept in the record, and that is all."""
        with connected(server) as connection:
            for message in ("?", "[]", '{"op": "subscribe"}', '{"op": "x", "feed": "a"}', b"\xff"):
                connection.send(message)
            subscribe(connection)
            assert len(server.connections[0].received) == 6


class TestMisbehaviour:
    def test_refuse(self, server):
        """Twice 503 with Retry-After, then once 429 without, then accepted."""
        server.refuse(503, retry_after=2, times=2)
        server.refuse(429, times=1)
        answers = []
        for _ in range(3):
            with pytest.raises(InvalidStatus) as raised, connected(server):
                pass
            response = raised.value.response
            answers.append((response.status_code, response.headers.get("Retry-After")))
        assert answers == [(503, "2"), (503, "2"), (429, None)]
        with connected(server):
            pass
        assert [record.refused for record in server.records] == [503, 503, 429, None]

    def test_accept_then_close(self, server):
        """Until told otherwise."""
        server.accept_then_close(4000, "go away")
        for _ in range(2):
            with connected(server) as connection:
                assert close_code(connection) == 4000
        server.accept()
        with connected(server) as connection:
            subscribe(connection)
        assert all(record.opened is not None for record in server.records)

    def test_never_answer(self, server):
        """The client waits in vain; the next one is answered."""
        server.never_answer(times=1)
        with pytest.raises(TimeoutError), connected(server, open_timeout=0.2):
            pass
        with connected(server) as connection:
            subscribe(connection)
        assert server.records[0].opened is None

    def test_close_all(self, server):
        """With a code."""
        with connected(server) as one, connected(server) as two:
            wait_until(lambda: len(server.connections) == 2)
            assert server.close_all(1012, "restart") == 2
            assert [close_code(one), close_code(two)] == [1012, 1012]
        wait_until(lambda: [r.close_code for r in server.records] == [1012, 1012])

    def test_abort_all(self, server):
        """Without a word."""
        with connected(server) as connection:
            wait_until(lambda: len(server.connections) == 1)
            assert server.abort_all() == 1
            assert close_code(connection) is None
        wait_until(lambda: [r.close_code for r in server.records] == [1006])

    @pytest.mark.parametrize("code", [1001, None])
    def test_stop_and_start(self, code):
        """Connects are refused meanwhile, and the feeds go on."""
        with RecordingServer(rate=1000) as server:
            with connected(server, "/feed/a") as connection:
                first = take(connection, 1)[0]
                server.stop(code)
                assert close_code(connection) == code
            with pytest.raises(ConnectionRefusedError), connected(server):
                pass
            before = server.feed("a").published
            wait_until(lambda: server.feed("a").published > before)
            server.start()
            with connected(server, "/feed/a") as connection:
                assert take(connection, 1)[0] > before
            assert server.records[0].first("a") == first

    def test_end_with_a_client_that_waits(self):
        """The end does not wait for anybody."""
        with RecordingServer() as server, contextlib.ExitStack() as stack:
            server.never_answer(times=1)
            sock = stack.enter_context(socket.create_connection((server.host, server.port)))
            request = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            request += (
                "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
            )
            sock.sendall(request.encode() + b"\r\n")
            wait_until(lambda: len(server.records) == 1)
            begin = time.monotonic()
            server.close()
            assert time.monotonic() - begin < 10
            assert b"503" in sock.recv(100)

    def test_in_a_namespace(self):
        """It lives on the host on which it was started."""
        with network() as net:
            with net.server.inside():
                server = RecordingServer(host=net.server.address)
            with server:
                with net.client.inside(), connected(server, "/feed/a") as connection:
                    take(connection, 5)


class TestCompare:
    def test_all_kinds(self):
        """Of what may go wrong."""
        spans = [Span(0, 1, 4), Span(1, 7, 10)]
        found = compare([2, 1, 4, 4, 8, 7, 10, 12, 10], spans)
        assert found.missing == [3, 5, 6, 9, 11]
        assert found.never_given == 3
        assert found.duplicates == 2
        assert found.out_of_order == 2
        assert found.unknown == [12]

    def test_nothing(self):
        """No numbers, no complaint."""
        found = compare([], [])
        assert (found.missing, found.duplicates, found.unknown) == ([], 0, [])
