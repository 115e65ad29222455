"""What a feed says around the loss of a connection: to who sends, who pings, who looks."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
import time

import pytest
from tests.support.pull_clients import LOOPS, client_of, running
from tests.support.pull_servers import (
    CLOSE,
    PATIENCE,
    PING,
    TEXT,
    Frames,
    finish,
    frame,
    frame_server,
    raw_server,
    upgrade,
    wait_until,
)
from websockets.asyncio.server import serve

import wspool
import wspool.aio
from wspool import Reconnect, Status

QUICK = Reconnect(initial_delay=0.02, max_delay=0.1)
OPTIONS = {"proxy": None, "reconnect": QUICK, "ping_interval": None}


async def until(condition):
    """Wait until a condition holds."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "not within the time"
        await asyncio.sleep(0.001)


class ClosingServer:
    """Sends a close frame to its first connection and, while `hold` is unset, does not end TCP."""

    def __init__(self, code=1012):
        self._code = code
        self._first = threading.Lock()
        self.answered = threading.Event()
        self.hold = threading.Event()

    def __call__(self, sock):
        if not self._first.acquire(blocking=False):
            return finish(sock)
        frames = Frames(sock)
        assert frames.read()[0] == TEXT  # it is open for the client
        sock.sendall(frame(self._code.to_bytes(2, "big"), CLOSE))
        while frames.read()[0] != CLOSE:
            pass
        self.answered.set()
        assert self.hold.wait(PATIENCE)
        return None


@pytest.fixture(params=["sync", *LOOPS])
def client(request):
    """Connects with the blocking API or with asyncio."""
    client = client_of(request.param)
    yield client
    client.close()


@pytest.mark.parametrize("code", [1000, 1012])
def test_sending_while_the_server_closes(client, code):
    """The feed lives on: InvalidState at once, and not how a connection ended."""
    behave = ClosingServer(code)
    with frame_server(behave) as uri:
        ws = client.connect(uri, close_timeout=PATIENCE, **OPTIONS)
        try:
            ws.send("go")
            assert behave.answered.wait(PATIENCE)
            assert ws.status is Status.OPENED
            for call in (ws.send, ws.ping, ws.pong):
                with pytest.raises(wspool.InvalidState, match="not connected at the moment"):
                    call("x")
            behave.hold.set()
            wait_until(lambda: ws.generation == 2)
            ws.send("x")
        finally:
            behave.hold.set()
            ws.close()


def test_sending_in_a_callback_while_the_server_closes():
    """The same with callbacks."""
    behave = ClosingServer()
    with frame_server(behave) as uri, wspool.EndpointPool(1) as pool:
        connection = pool[0].create_new_connection(uri, close_timeout=PATIENCE, **OPTIONS)
        assert connection.opened.result(PATIENCE) is Status.OPENED
        connection.send("go")
        assert behave.answered.wait(PATIENCE)
        for call in (connection.send, connection.ping, connection.pong):
            with pytest.raises(wspool.InvalidState, match="not connected at the moment"):
                call("x")
        behave.hold.set()
        wait_until(lambda: connection.generation == 2)


def test_what_ends_with_its_connection_says_how_it_ended(client):
    """With events only nothing is made again, so there it is the end that is raised."""
    behave = ClosingServer()
    with frame_server(behave) as uri:
        ws = client.connect(uri, proxy=None, events=True, close_timeout=PATIENCE)
        ws.send("go")
        assert behave.answered.wait(PATIENCE)
        threading.Timer(0.05, behave.hold.set).start()
        with pytest.raises(wspool.ConnectionClosedError, match="1012"):
            ws.send("x")
        ws.close()


@pytest.mark.parametrize("kind", LOOPS)
def test_a_sender_goes_on_over_restarts(kind):
    """Whatever moment a restart hits it, it is never left waiting."""

    async def main():
        async def handler(connection):
            async for _ in connection:
                pass

        async with serve(handler, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            ws = await wspool.aio.connect(f"ws://127.0.0.1:{port}", **OPTIONS)
            sent = 0

            async def beat():
                nonlocal sent
                while True:
                    with contextlib.suppress(wspool.InvalidState):
                        await ws.send("x")
                        sent += 1
                    await asyncio.sleep(0)

            task = asyncio.create_task(beat())
            for restart in range(5):
                await until(lambda before=sent: sent > before + 100)
                for one in list(server.connections):
                    await one.close(1012)
                await until(lambda restart=restart: ws.generation == restart + 2)
            await until(lambda before=sent: sent > before + 100)
            task.cancel()
            await asyncio.wait([task])
            ws.abort()
            await ws.wait_closed()

    with running(kind) as run:
        run(main())


class Switch:
    """Closes its first connection as told; later ones are not opened."""

    def __init__(self, code, reason=b"bye"):
        self._frame = None if code is None else frame(code.to_bytes(2, "big") + reason, CLOSE)
        self._first = threading.Lock()
        self.pinged = threading.Event()
        self.go = threading.Event()
        self.back = threading.Event()

    def __call__(self, sock):
        if not self._first.acquire(blocking=False):
            if not self.back.wait(0):
                sock.sendall(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")
                return None
            upgrade(sock)
            return finish(sock)
        upgrade(sock)
        frames = Frames(sock)
        while not self.go.is_set():
            if frames.read()[0] == PING:
                self.pinged.set()
                assert self.go.wait(PATIENCE)
        if self._frame:
            sock.sendall(self._frame)
            while frames.read()[0] != CLOSE:
                pass
        return None


@pytest.mark.parametrize("code", [1000, 1012, None])
def test_a_lost_ping_raises_how_its_connection_ended(client, code):
    """At once, and also when the feed is connected again."""
    behave = Switch(code)
    with raw_server(behave) as uri:
        ws = client.connect(uri, **OPTIONS)
        pong = ws.ping("a")
        assert behave.pinged.wait(PATIENCE)
        behave.go.set()
        kind = wspool.ConnectionClosedOK if code == 1000 else wspool.ConnectionClosedError
        with pytest.raises(kind) as caught:
            pong.result(PATIENCE)
        assert caught.value.code == (code or 1006)
        assert ws.generation == 1
        behave.back.set()
        wait_until(lambda: ws.generation == 2)
        with pytest.raises(kind) as caught:
            pong.result(PATIENCE)
        assert caught.value.code == (code or 1006)
        ws.ping("a")  # the old one is not under way any more
        ws.close()


def test_a_lost_ping_of_callbacks():
    """The future raises ConnectionClosed, not InvalidState."""
    behave = Switch(1012)
    with raw_server(behave) as uri, wspool.EndpointPool(1) as pool:
        connection = pool[0].create_new_connection(uri, **OPTIONS)
        assert connection.opened.result(PATIENCE) is Status.OPENED
        pong = connection.ping()
        assert behave.pinged.wait(PATIENCE)
        behave.go.set()
        with pytest.raises(wspool.ConnectionClosedError, match="1012"):
            pong.result(PATIENCE)


@pytest.mark.parametrize("code", [1000, 1001, 1012, None])
def test_given_up_says_how_the_last_connection_ended(client, code):
    """Attempts that fail afterwards are its cause, and do not change its close frames."""
    behave = Switch(code)
    reconnect = Reconnect(initial_delay=0.02, max_delay=0.1, max_attempts=2)
    with raw_server(behave) as uri:
        ws = client.connect(uri, **{**OPTIONS, "reconnect": reconnect})
        ws.ping()
        assert behave.pinged.wait(PATIENCE)
        behave.go.set()
        with pytest.raises(wspool.ConnectionClosedError) as caught:
            ws.recv(PATIENCE)
        assert caught.value.rcvd == (wspool.Close(code, "bye") if code else None)
        assert isinstance(caught.value.__cause__, wspool.InvalidStatus)
        assert ws.close_code == (code or 1006)
        assert ws.close_reason == ("bye" if code else "")
        assert isinstance(ws.error, wspool.ConnectionClosedError)
        assert ws.last_error.code == (code or 1006)


def test_given_up_tells_callbacks_how_the_last_connection_ended():
    """on_close gets the close frame of the server, not 1006."""
    behave = Switch(1012)
    reconnect = Reconnect(initial_delay=0.02, max_delay=0.1, max_attempts=2)
    ends = queue.SimpleQueue()
    with raw_server(behave) as uri, wspool.EndpointPool(1) as pool:
        connection = pool[0].create_new_connection(
            uri,
            on_close=lambda _, code, reason: ends.put((code, reason)),
            **{**OPTIONS, "reconnect": reconnect},
        )
        assert connection.opened.result(PATIENCE) is Status.OPENED
        connection.ping()
        assert behave.pinged.wait(PATIENCE)
        behave.go.set()
        assert ends.get(timeout=PATIENCE) == (1012, "bye")


@pytest.mark.parametrize("code", [1000, 1012, None])
def test_last_error_right_after_a_loss(code):
    """How the connection was lost, until an attempt fails."""
    behave = Switch(code)
    reconnect = Reconnect(initial_delay=PATIENCE * 1000, max_delay=PATIENCE * 1000)
    with raw_server(behave) as uri:
        ws = wspool.connect(uri, **{**OPTIONS, "reconnect": reconnect})
        assert ws.last_error is None
        ws.ping()
        assert behave.pinged.wait(PATIENCE)
        behave.go.set()
        wait_until(lambda: ws.status is Status.CONNECTING)
        kind = wspool.ConnectionClosedOK if code == 1000 else wspool.ConnectionClosedError
        assert type(ws.last_error) is kind
        assert ws.last_error.code == (code or 1006)
        assert ws.error is None
        ws.close()
