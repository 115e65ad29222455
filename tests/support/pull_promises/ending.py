"""What both APIs promise of closing, and what an ended or dropped connection does."""

import gc
import warnings

import pytest
from tests.support.pull_servers import (
    PATIENCE,
    echo,
    frame_server,
    sending,
    websockets_server,
)

import wspool
import wspool.testing
from wspool import EndpointPool, Status

from .common import arrived


class TestClose:
    def test_codes(self, client, records):
        """The server gets code and reason."""
        uri, next_message = records
        for code in (1000, 1001, 1002, 1003, *range(1007, 1015), 3000, 4999):
            with client.connect(uri) as ws:
                ws.close(code, f"because of {code}")
                assert next_message() == (code, f"because of {code}")
                assert ws.status is Status.CLOSED
                assert ws.close_code == code

    def test_again(self, client):
        """Closing what has ended does nothing."""
        with websockets_server(echo) as uri, client.connect(uri) as ws:
            ws.close(3001, "first")
            ws.close(3002, "second")
            ws.close()
            assert ws.close_code == 3001
            ws.wait_closed()

    def test_bad_arguments(self, client):
        """Code and reason are checked, and the connection goes on."""
        with websockets_server(echo) as uri, client.connect(uri) as ws:
            for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, -1):
                with pytest.raises(ValueError, match="code"):
                    ws.close(code)
            for code in ("1000", None, 1000.0, True):
                with pytest.raises(TypeError, match="code"):
                    ws.close(code)
            with pytest.raises(ValueError, match="reason"):
                ws.close(1000, "x" * 124)
            with pytest.raises(ValueError, match="reason"):
                ws.close(1000, "\u20ac" * 42)
            with pytest.raises(TypeError, match="reason"):
                ws.close(1000, b"x")
            with pytest.raises(UnicodeEncodeError):
                ws.close(1000, "\ud800")
            ws.send("still here")
            assert ws.recv(PATIENCE) == "still here"
            ws.close(1000, "x" * 123)
            assert ws.close_reason == "x" * 123

    def test_messages_remain(self, client):
        """What came before can be received after close()."""
        with websockets_server(sending("a", "b")) as uri, client.connect(uri) as ws:
            arrived(ws, 2)
            ws.close()
            assert ws.recv() == "a"
            assert list(ws) == ["b"]
            with pytest.raises(wspool.ConnectionClosedOK):
                ws.recv()

    def test_close_timeout(self, client):
        """A peer that never answers is waited for no longer than close_timeout."""
        with wspool.testing.sink(silent=True) as server:
            with client.connect(server.uri, close_timeout=0.1) as ws:
                ws.close()
                assert ws.status is Status.CLOSED
                assert ws.close_code == 1006
                with pytest.raises(wspool.ConnectionClosedError) as raised:
                    ws.recv()
                assert raised.value.sent.code == 1000

    def test_left(self, client, records):
        """Leaving the block closes with 1000."""
        uri, next_message = records
        with client.connect(uri):
            pass
        assert next_message() == (1000, "")

    def test_left_by_an_exception(self, client, records):
        """Leaving the block by an exception closes with 1011."""
        uri, next_message = records
        with pytest.raises(ZeroDivisionError), client.connect(uri):
            raise ZeroDivisionError
        assert next_message() == (1011, "")

    def test_left_after_the_server_died(self, client):
        """A server that has died troubles nobody who leaves the block."""
        with frame_server(lambda sock: None) as uri:
            with client.connect(uri) as ws:
                ws.wait_closed()
            with client.connect(uri):
                pass
            with pytest.raises(ZeroDivisionError), client.connect(uri):
                raise ZeroDivisionError

    def test_use_after_close(self, client):
        """What a connection tells remains, and what it cannot do any more is a clear error."""
        with websockets_server(echo) as uri:
            with client.connect(uri) as ws:
                ws.send("a")
                assert ws.recv(PATIENCE) == "a"
        assert "CLOSED" in repr(getattr(ws, "connection", ws))
        assert ws.status is Status.CLOSED
        assert (ws.close_code, ws.close_reason) == (1000, "")
        assert ws.response.status_code == 101
        assert ws.statistics.messages_received == 1
        assert (ws.dropped, ws.last_gap, ws.buffered_amount) == (0, 0, 0)
        for use in (
            lambda: ws.send("b"),
            lambda: ws.send(["b"]),
            ws.ping,
            ws.pong,
            ws.recv,
            ws.recv_many,
            lambda: next(ws.recv_streaming()),
        ):
            with pytest.raises(wspool.ConnectionClosedOK):
                use()
        ws.abort()
        ws.close()
        ws.wait_closed()

    def test_abort(self, client):
        """abort() ends it without a closing handshake."""
        with wspool.testing.echo() as server, client.connect(server.uri) as ws:
            ws.abort()
            ws.wait_closed()
            assert ws.close_code == 1006
            with pytest.raises(wspool.ConnectionClosedError):
                ws.recv()
            assert server.wait_idle(PATIENCE)
            assert server.connections[0].close_code_received is None


class TestLife:
    def test_dropped(self, client):
        """A connection that is dropped unclosed warns, and ends."""
        with wspool.testing.echo() as server:
            ws = client.connect(server.uri + "/a?token=secret")
            with pytest.warns(ResourceWarning, match=r"unclosed connection.*/a\?\.\.\. OPENED"):
                del ws
            assert server.wait_idle(PATIENCE)

    def test_dropped_with_warnings_as_errors(self, client, monkeypatch):
        """Where warnings are errors, the one about a dropped connection is not lost."""
        unraisable = []
        monkeypatch.setattr("sys.unraisablehook", unraisable.append)
        with wspool.testing.echo() as server:
            ws = client.connect(server.uri)
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                del ws
                gc.collect()
            assert server.wait_idle(PATIENCE)
        kinds = [event.exc_type for event in unraisable]
        unraisable.clear()
        assert kinds == [ResourceWarning]

    def test_no_warning(self, client):
        """Closed, aborted, ended and failed connections do not warn."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            with websockets_server(sending(close=(1000, ""))) as uri:
                ws = client.connect(uri)
                ws.wait_closed()
                del ws
            with wspool.testing.echo() as server:
                ws = client.connect(server.uri)
                ws.close()
                del ws
                for _ in range(20):
                    ws = client.connect(server.uri)
                    ws.abort()
                    del ws
            with pytest.raises(ConnectionRefusedError):
                client.connect(server.uri)
            gc.collect()
        assert [str(warning.message) for warning in caught] == []

    def test_endpoint(self, client):
        """Its endpoint has it among its connections as long as it is open."""
        with websockets_server(echo) as uri, EndpointPool(1) as pool:
            with client.connect(uri, pool=pool) as first, client.connect(uri, pool=pool) as second:
                listed = set(pool[0].connections)
                assert listed == {getattr(ws, "connection", ws) for ws in (first, second)}
                first.close()
                assert pool[0].connections == [getattr(second, "connection", second)]
            assert pool[0].connections == []

    def test_pool_closes(self, client, records):
        """Closing the pool ends its connections in order."""
        uri, next_message = records
        with EndpointPool(1) as pool:
            ws = client.connect(uri, pool=pool)
            pool.close()
            with pytest.raises(wspool.ConnectionClosedOK):
                ws.recv(PATIENCE)
        assert next_message()[0] == 1001
        ws.close()

    def test_wait_closed(self, client):
        """It waits for the end, and takes no message."""
        with websockets_server(sending("a", close=(1000, ""))) as uri, client.connect(uri) as ws:
            ws.wait_closed()
            assert ws.status is Status.CLOSED
            assert ws.recv() == "a"
