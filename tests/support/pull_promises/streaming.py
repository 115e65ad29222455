"""What both APIs promise of recv_streaming."""

import queue
import threading

import pytest
from tests.support.pull_servers import (
    BINARY,
    CLOSE,
    PATIENCE,
    finish,
    fragments,
    frame,
    frame_server,
    sending,
    websockets_server,
)

import wspool
import wspool.testing

from .common import arrived, equal


class TestStreaming:
    def test_as_they_come(self, client):
        """The first fragment is handed out before the server has sent the last."""
        steps = queue.SimpleQueue()

        def handler(connection):
            connection.send(iter(lambda: steps.get(timeout=PATIENCE), None))
            connection.send("next")
            connection.recv()

        with websockets_server(handler) as uri, client.connect(uri) as ws:
            steps.put("one")
            stream = ws.recv_streaming()
            assert next(stream) == "one"
            steps.put("two")
            assert next(stream) == "two"
            steps.put(None)
            assert list(stream) == [""]
            assert ws.recv(PATIENCE) == "next"

    def test_characters_are_not_cut(self, client):
        """Text comes in whole characters, wherever the server cuts it."""
        text = "a\u00e9\u20ac\U0001f600" * 20
        pieces = [bytes([byte]) for byte in text.encode()]

        def behave(sock):
            sock.sendall(fragments(pieces) * 3 + fragments(pieces, BINARY) * 2)
            finish(sock)

        with frame_server(behave) as uri, client.connect(uri) as ws:
            for decode in (None, True):
                got = list(ws.recv_streaming(decode))
                assert all(isinstance(piece, str) for piece in got)
                assert "".join(got) == text
            assert list(ws.recv_streaming(decode=False)) == pieces
            assert list(ws.recv_streaming()) == pieces
            assert "".join(ws.recv_streaming(decode=True)) == text

    def test_not_utf_8(self, client):
        """Binary fragments that are not UTF-8 raise, and the connection goes on."""

        def behave(sock):
            sock.sendall(fragments([b"a", b"\xff", b"b"], BINARY) + frame(b"after"))
            finish(sock)

        with frame_server(behave) as uri, client.connect(uri) as ws:
            stream = ws.recv_streaming(decode=True)
            assert next(stream) == "a"
            with pytest.raises(UnicodeDecodeError):
                next(stream)
            assert ws.recv(PATIENCE) == "after"

    def test_closed_early(self, client):
        """Closing the iterator skips the rest; the next message comes next."""
        release = threading.Event()

        def handler(connection):
            for number in range(3):
                connection.send(parts(number))
                connection.send(f"after {number}")
            connection.recv()

        def parts(number):
            yield f"first {number}"
            assert release.wait(PATIENCE)
            yield "rest"

        with websockets_server(handler) as uri, client.connect(uri) as ws:
            for number in range(3):
                stream = ws.recv_streaming()
                assert next(stream) == f"first {number}"
                stream.close()
                release.set()
                assert ws.recv(PATIENCE) == f"after {number}"

    @pytest.mark.parametrize("receive", ["recv", "recv_many"])
    def test_skipped_rest_is_no_message(self, client, receive):
        """When only the skipped rest of a message has come there is nothing to take."""
        release, sent = threading.Event(), threading.Event()

        def handler(connection):
            connection.send(parts())
            sent.set()
            connection.recv()
            connection.send("after")

        def parts():
            yield "first"
            assert release.wait(PATIENCE)
            yield "rest"

        with websockets_server(handler) as uri, client.connect(uri) as ws:
            stream = ws.recv_streaming()
            assert next(stream) == "first"
            stream.close()
            release.set()
            assert sent.wait(PATIENCE)
            arrived(ws, 1)
            for timeout in (0, 0.05):
                with pytest.raises(TimeoutError):
                    getattr(ws, receive)(timeout=timeout)
            ws.send("go on")
            assert getattr(ws, receive)(timeout=PATIENCE) in ("after", ["after"])

    def test_skipped_rest_before_the_end(self, client):
        """When the skipped rest is the last that came, the end is told."""

        def behave(sock):
            sock.sendall(fragments([b"a", b"b", b"c"]) + frame(b"\x03\xe8", CLOSE))
            finish(sock)

        with frame_server(behave) as uri, client.connect(uri) as ws:
            stream = ws.recv_streaming()
            assert next(stream) == "a"
            stream.close()
            ws.wait_closed()
            with pytest.raises(wspool.ConnectionClosedOK):
                ws.recv_many()
            assert list(ws) == []

    def test_messages_that_wait(self, client):
        """Messages that came before come as they were sent, whole or in fragments."""

        def behave(sock):
            sock.sendall(frame(b"whole") + fragments([b"a", b"b", b"c"]) + frame(b"\x00", BINARY))
            finish(sock)

        with frame_server(behave) as uri, client.connect(uri) as ws:
            arrived(ws, 3)
            assert list(ws.recv_streaming()) == ["whole"]
            assert list(ws.recv_streaming()) == ["a", "b", "c"]
            assert list(ws.recv_streaming()) == [b"\x00"]

    def test_not_begun(self, client):
        """An iterator that is never begun takes nothing."""
        with websockets_server(sending("a", "b")) as uri, client.connect(uri) as ws:
            ws.recv_streaming().close()
            arrived(ws, 2)
            assert ws.recv_many() == ["a", "b"]

    def test_lost(self, client):
        """A connection lost in the middle raises, after the fragments that came."""

        def behave(sock):
            sock.sendall(frame(b"a", fin=False) + frame(b"b", 0, fin=False))

        with frame_server(behave) as uri, client.connect(uri) as ws:
            stream = ws.recv_streaming()
            assert [next(stream), next(stream)] == ["a", "b"]
            with pytest.raises(wspool.ConnectionClosedError):
                next(stream)
            with pytest.raises(wspool.ConnectionClosedError):
                ws.recv()

    def test_large(self, client):
        """A message of 5 MB in 3,000 fragments comes in these."""
        size = 5_000_000 // 3000
        pieces = [bytes([i % 251]) * size for i in range(3000)]

        def behave(sock):
            sock.sendall(fragments(pieces, BINARY))
            finish(sock)

        with frame_server(behave) as uri, client.connect(uri, max_size=None) as ws:
            assert equal(list(ws.recv_streaming()), pieces)

    def test_many_wait(self, client):
        """Of fragments that wait above a bound those that follow are joined."""
        pieces = [b"%d," % i for i in range(20_000)]

        def behave(sock):
            sock.sendall(fragments(pieces) + frame(b"after"))
            finish(sock)

        with frame_server(behave) as uri, client.connect(uri) as ws:
            arrived(ws, 2)
            got = list(ws.recv_streaming())
            assert equal("".join(got), b"".join(pieces).decode())
            assert 4096 <= len(got) < 4200
            assert got[:3] == ["0,", "1,", "2,"]
            assert ws.recv(PATIENCE) == "after"

    def test_recv_meanwhile(self, client):
        """While an iterator is at work nothing else receives."""

        def behave(sock):
            sock.sendall(fragments([b"a", b"b"]) + frame(b"c"))
            finish(sock)

        with frame_server(behave) as uri, client.connect(uri) as ws:
            stream = ws.recv_streaming()
            assert next(stream) == "a"
            for receive in (ws.recv, ws.recv_many, lambda: next(ws.recv_streaming())):
                with pytest.raises(wspool.ConcurrencyError):
                    receive()
            with pytest.raises(wspool.ConcurrencyError):
                next(iter(ws))
            assert list(stream) == ["b"]
            assert ws.recv(PATIENCE) == "c"
