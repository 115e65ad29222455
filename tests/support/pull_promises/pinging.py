"""What both APIs promise of ping and pong."""

import contextlib
import gc
import queue
import threading

import pytest
from tests.support.pull_servers import (
    CLOSE,
    PATIENCE,
    PING,
    PONG,
    Frames,
    echo,
    finish,
    frame,
    frame_server,
    sending,
    websockets_server,
)

import wspool
import wspool.testing


class TestPing:
    @pytest.mark.parametrize("data", [None, "text \u20ac", b"", b"\xff" * 125, bytearray(b"x")])
    def test_round_trip(self, client, data):
        """The answer is the round-trip time, which latency has as well."""
        with websockets_server(echo) as uri, client.connect(uri) as ws:
            assert ws.latency == 0
            pong = ws.ping(data)
            round_trip = pong.result(PATIENCE)
            assert pong.done()
            assert isinstance(round_trip, float)
            assert 0 < round_trip < PATIENCE
            assert ws.latency == round_trip
            assert pong.result(0.001) == round_trip

    def test_many(self, client):
        """Many pings at once are answered, each one."""
        with websockets_server(echo) as uri, client.connect(uri) as ws:
            pongs = [ws.ping() for _ in range(200)]
            assert all(pong.result(PATIENCE) > 0 for pong in pongs)

    def test_comes_after_messages(self, client):
        """When the answer is told, the messages that came before it can be taken."""
        data = b"".join(frame(b"%d" % i) for i in range(100))

        def behave(sock):
            for opcode, _, payload in Frames(sock):
                if opcode == PING:
                    sock.sendall(data + frame(payload, PONG))
                elif opcode == CLOSE:
                    sock.sendall(frame(payload, CLOSE))
                    return

        with frame_server(behave) as uri, client.connect(uri) as ws:
            early = 0
            for _ in range(300):
                ws.ping().result(PATIENCE)
                left = 100
                with contextlib.suppress(TimeoutError):
                    left -= len(ws.recv_many(timeout=0))
                early += left > 0
                while left:
                    left -= len(ws.recv_many(timeout=PATIENCE))
            assert early == 0

    def test_same_data(self, client):
        """A second ping with the data of one that is under way is refused."""
        release = threading.Event()

        def behave(sock):
            assert release.wait(PATIENCE)
            finish(sock)

        with frame_server(behave) as uri, client.connect(uri) as ws:
            pong = ws.ping("same")
            with pytest.raises(wspool.ConcurrencyError):
                ws.ping(b"same")
            other = ws.ping("other")
            release.set()
            assert pong.result(PATIENCE) > 0
            assert other.result(PATIENCE) > 0
            assert ws.ping("same").result(PATIENCE) > 0

    def test_bad_data(self, client):
        """Data is checked."""
        with websockets_server(echo) as uri, client.connect(uri) as ws:
            for send in (ws.ping, ws.pong):
                with pytest.raises(ValueError, match="125"):
                    send(b"x" * 126)
                with pytest.raises(ValueError, match="125"):
                    send("\u20ac" * 42)
                with pytest.raises(TypeError):
                    send(1)
            ws.ping().result(PATIENCE)

    def test_after_the_close(self, client):
        """On a connection that has ended it raises."""
        with websockets_server(sending(close=(1000, ""))) as uri, client.connect(uri) as ws:
            ws.wait_closed()
            for send in (ws.ping, ws.pong):
                for _ in range(2):
                    with pytest.raises(wspool.ConnectionClosedOK):
                        send(b"x")

    @pytest.mark.parametrize("waits", [True, False])
    def test_never_answered(self, client, waits):
        """A server that dies before the answer ends the wait; nobody need wait."""

        def behave(sock):
            opcode, _, _ = Frames(sock).read()
            assert opcode == PING

        with frame_server(behave) as uri, client.connect(uri) as ws:
            pong = ws.ping()
            if waits:
                with pytest.raises(wspool.ConnectionClosed):
                    pong.result(PATIENCE)
                assert pong.done()
            ws.wait_closed()
            del pong
            gc.collect()

    def test_pong(self, client):
        """A pong is sent as it is told."""
        got = queue.SimpleQueue()

        def behave(sock):
            frames = Frames(sock)
            got.put(frames.read())
            got.put(frames.read())
            finish(sock, frames)

        with frame_server(behave) as uri, client.connect(uri) as ws:
            ws.pong()
            ws.pong("here I am")
            assert got.get(timeout=PATIENCE) == (10, True, b"")
            assert got.get(timeout=PATIENCE) == (10, True, b"here I am")
