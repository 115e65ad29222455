"""What both APIs promise of recv, recv_many and iteration."""

import math
import threading

import pytest
from tests.support.pull_servers import (
    BINARY,
    PATIENCE,
    echo,
    finish,
    fragments,
    frame,
    frame_server,
    sending,
    websockets_server,
)

import wspool
import wspool.testing

from .common import MESSAGES, arrived, equal


class TestRecv:
    def test_kinds_and_order(self, client):
        """Messages come in order, text as str and binary as bytes, empty ones as well."""
        with websockets_server(sending(*MESSAGES)) as uri, client.connect(uri) as ws:
            for message in MESSAGES:
                assert equal(ws.recv(PATIENCE), message)

    def test_decode(self, client):
        """With decode True everything is str, with False bytes."""
        sent = ["\u20ac", "\u20ac".encode()]
        with websockets_server(sending(*sent * 4)) as uri, client.connect(uri) as ws:
            assert [ws.recv(decode=True) for _ in sent] == ["\u20ac"] * 2
            assert [ws.recv(decode=False) for _ in sent] == ["\u20ac".encode()] * 2
            assert [ws.recv(decode=None) for _ in sent] == sent
            assert [ws.recv(None, True) for _ in sent] == ["\u20ac"] * 2

    def test_not_utf_8(self, client):
        """A binary message that is not UTF-8 raises, and the connection goes on."""
        with websockets_server(sending(b"\xff", "after")) as uri, client.connect(uri) as ws:
            with pytest.raises(UnicodeDecodeError):
                ws.recv(decode=True)
            assert ws.recv(decode=True) == "after"

    @pytest.mark.parametrize("timeout", [0, 0.0, 0.01, -1, -math.inf])
    def test_timeout(self, client, timeout):
        """After the timeout TimeoutError is raised; nothing is lost by it."""
        with websockets_server(echo) as uri, client.connect(uri) as ws:
            for _ in range(5):
                with pytest.raises(TimeoutError):
                    ws.recv(timeout)
            for number in range(5):
                ws.send(f"{number}")
            assert [ws.recv(math.inf) for _ in range(5)] == ["0", "1", "2", "3", "4"]

    def test_zero_takes_what_is_there(self, client):
        """With timeout 0 queued messages are handed out."""
        with websockets_server(sending("a", "b")) as uri, client.connect(uri) as ws:
            arrived(ws, 2)
            assert [ws.recv(timeout=0), ws.recv(timeout=-1)] == ["a", "b"]

    @pytest.mark.parametrize("timeout", [True, False, math.nan, "1"])
    def test_bad_timeout(self, client, timeout):
        """What is no number of seconds is refused."""
        with websockets_server(sending()) as uri, client.connect(uri) as ws:
            with pytest.raises(TypeError, match="timeout must be a number of seconds"):
                ws.recv(timeout)
            with pytest.raises(TypeError, match="timeout must be a number of seconds"):
                ws.recv_many(timeout=timeout)

    @pytest.mark.parametrize("timeout", [True, math.nan, "1"])
    def test_bad_timeout_with_messages(self, client, timeout):
        """It is refused as well where nothing need be waited for, and costs no message."""
        with websockets_server(sending("a", "b")) as uri, client.connect(uri) as ws:
            arrived(ws, 2)
            with pytest.raises(TypeError):
                ws.recv(timeout)
            with pytest.raises(TypeError):
                ws.recv_many(timeout=timeout)
            assert ws.recv_many() == ["a", "b"]

    @pytest.mark.parametrize(
        ("close", "kind"),
        [
            ((1000, "done"), wspool.ConnectionClosedOK),
            ((1001, ""), wspool.ConnectionClosedOK),
            ((1011, "broken"), wspool.ConnectionClosedError),
            ((4000, "own"), wspool.ConnectionClosedError),
        ],
    )
    def test_after_the_close(self, client, close, kind):
        """What came before the close is handed out after it; then it raises again and again."""
        with websockets_server(sending("a", "b", "c", close=close)) as uri:
            with client.connect(uri) as ws:
                ws.wait_closed()
                assert ws.recv() == "a"
                assert ws.recv_many(1) == ["b"]
                assert ws.recv(timeout=0) == "c"
                for receive in (
                    ws.recv,
                    ws.recv_many,
                    lambda: ws.recv(timeout=0),
                    lambda: ws.recv_many(timeout=-1),
                    lambda: next(ws.recv_streaming()),
                    ws.recv,
                ):
                    with pytest.raises(wspool.ConnectionClosed) as raised:
                        receive()
                    assert type(raised.value) is kind
                    assert (raised.value.rcvd.code, raised.value.rcvd.reason) == close
                assert (ws.close_code, ws.close_reason) == close

    def test_lost(self, client):
        """A connection that is lost raises ConnectionClosedError, after its messages."""

        def behave(sock):
            sock.sendall(frame(b"a") + frame(b"half of a message", fin=False))

        with frame_server(behave) as uri, client.connect(uri) as ws:
            assert ws.recv(PATIENCE) == "a"
            for _ in range(2):
                with pytest.raises(wspool.ConnectionClosedError) as raised:
                    ws.recv(PATIENCE)
            assert raised.value.rcvd is None
            assert ws.close_code == 1006

    def test_fragments(self, client):
        """A message in fragments is handed out as a whole; characters may be cut."""
        text = "a\u00e9\u20ac\U0001f600" * 300
        pieces = [bytes([byte]) for byte in text.encode()]
        data = fragments(pieces) + fragments([b"", b"", b""]) + fragments([b"\xff"] * 9, BINARY)

        def behave(sock):
            sock.sendall(data + frame(b"whole"))
            finish(sock)

        with frame_server(behave) as uri, client.connect(uri) as ws:
            got = [ws.recv(PATIENCE) for _ in range(4)]
            assert got == [text, "", b"\xff" * 9, "whole"]

    def test_many_fragments(self, client):
        """Of a message in more fragments than are kept apart nothing is lost."""
        pieces = [b"%d," % i for i in range(10_000)]

        def behave(sock):
            sock.sendall(fragments(pieces) + fragments(pieces, BINARY) + frame(b"after"))
            finish(sock)

        with frame_server(behave) as uri, client.connect(uri) as ws:
            whole = b"".join(pieces)
            assert equal(ws.recv(PATIENCE), whole.decode())
            assert equal(ws.recv(PATIENCE), whole)
            assert ws.recv(PATIENCE) == "after"

    def test_large(self, client):
        """Messages of 16 MB pass with max_size=None, and 1009 ends a connection without."""
        text = "0123456789abcde\n" * 2**20
        with websockets_server(sending(text, text.encode())) as uri:
            with client.connect(uri, max_size=None) as ws:
                assert equal(ws.recv(PATIENCE), text)
                assert equal(ws.recv(PATIENCE), text.encode())
            with client.connect(uri) as ws:
                with pytest.raises(wspool.ConnectionClosedError) as raised:
                    ws.recv(PATIENCE)
                assert raised.value.sent.code == 1009
                assert isinstance(raised.value.__cause__, wspool.PayloadTooBig)


class TestRecvMany:
    def test_all_that_is_queued(self, client):
        """It takes all that is there, in order, and never waits for more."""
        with websockets_server(sending(*MESSAGES)) as uri, client.connect(uri) as ws:
            arrived(ws, len(MESSAGES))
            assert equal(ws.recv_many(), MESSAGES)

    def test_at_least_one(self, client):
        """It waits for the first message."""
        release = threading.Event()

        def handler(connection):
            assert release.wait(PATIENCE)
            connection.send("late")

        with websockets_server(handler) as uri, client.connect(uri) as ws:
            with pytest.raises(TimeoutError):
                ws.recv_many(timeout=0.01)
            with pytest.raises(TimeoutError):
                ws.recv_many(timeout=0)
            threading.Timer(0.05, release.set).start()
            assert ws.recv_many(timeout=PATIENCE) == ["late"]

    def test_max_messages(self, client):
        """It takes no more than it is told to."""
        with websockets_server(sending(*"abcde")) as uri, client.connect(uri) as ws:
            arrived(ws, 5)
            assert ws.recv_many(2) == ["a", "b"]
            assert ws.recv_many(max_messages=1, timeout=0) == ["c"]
            assert ws.recv_many(100) == ["d", "e"]
            for wrong in (0, -1):
                with pytest.raises(ValueError, match="max_messages"):
                    ws.recv_many(wrong, timeout=0)
            with pytest.raises(TypeError):
                ws.recv_many("2", timeout=0)

    def test_decode(self, client):
        """With decode True everything is str, with False bytes."""
        sent = ["\u20ac", "\u20ac".encode()]
        with websockets_server(sending(*sent * 3)) as uri, client.connect(uri) as ws:
            arrived(ws, 6)
            assert ws.recv_many(2, decode=True) == ["\u20ac"] * 2
            assert ws.recv_many(2, decode=False) == ["\u20ac".encode()] * 2
            assert ws.recv_many(2) == sent

    def test_not_utf_8(self, client):
        """A message that cannot be decoded costs only itself."""
        with websockets_server(sending("a", b"b", b"\xff", "c")) as uri:
            with client.connect(uri) as ws:
                arrived(ws, 4)
                got, errors = [], 0
                while len(got) < 3:
                    try:
                        got += ws.recv_many(timeout=0, decode=True)
                    except UnicodeDecodeError:
                        errors += 1
                    except TimeoutError:
                        break
                assert got == ["a", "b", "c"]
                assert errors == 1

    def test_order_over_many_calls(self, client):
        """Nothing is lost, doubled or swapped over many calls."""
        numbers = [str(i) for i in range(30_000)]
        with wspool.testing.replay(numbers) as server, client.connect(server.uri) as ws:
            got = []
            with pytest.raises(wspool.ConnectionClosedOK):
                while True:
                    messages = ws.recv_many(len(got) % 700 + 1, timeout=PATIENCE)
                    assert messages
                    got += messages
            assert equal(got, numbers)


class TestIteration:
    @pytest.mark.parametrize("code", [1000, 1001])
    def test_ends(self, client, code):
        """An end in order ends the iteration."""
        with websockets_server(sending("a", b"b", close=(code, ""))) as uri:
            with client.connect(uri) as ws:
                assert list(ws) == ["a", b"b"]
                assert list(ws) == []

    @pytest.mark.parametrize("code", [1002, 1011, 1012, 4000])
    def test_raises(self, client, code):
        """Another end raises, after the messages."""
        with websockets_server(sending("a", close=(code, "why"))) as uri:
            with client.connect(uri) as ws:
                got = []
                for _ in range(2):
                    with pytest.raises(wspool.ConnectionClosedError) as raised:
                        for message in ws:
                            got.append(message)
                    assert raised.value.rcvd == wspool.Close(code, "why")
                assert got == ["a"]

    def test_break(self, client):
        """After leaving the loop the next message is had by any means."""
        with websockets_server(sending(*"abcdef", close=(1000, ""))) as uri:
            with client.connect(uri) as ws:
                for message in ws:
                    assert message == "a"
                    break
                assert ws.recv(PATIENCE) == "b"
                got = []
                for message in ws:
                    got.append(message)
                    if message == "d":
                        break
                assert got == ["c", "d"]
                assert next(ws.recv_streaming()) == "e"
                assert list(ws) == ["f"]
