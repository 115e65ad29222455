"""Clients with one face, of ours and of peers, for the tests of who stays connected.

Each is a function of a URI and a `Consumer`, and of a keepalive or none. It hands the consumer
every message, until the connection has ended, and returns how that was as text: code and reason of
the close frame, or the words of the exception.
"""

import asyncio
import json
import threading
import time

import aiohttp
import picows
import picows.websockets
import websockets.asyncio.client
import websockets.exceptions

import wspool
import wspool.aio


class Consumer:
    """Takes numbered messages, and wants time for it.

    Attributes:
        numbers: What came, in order.
        report: The last message of liveness_server.py.
        began, ended: Set around the call of `block`.
    """

    def __init__(self, block=lambda: None, at=5, pause=0.0, slow=0):
        """Consume.

        Args:
            block: Called once, with message number `at`, in the thread or task that consumes.
            at: See there.
            pause: Seconds for each of the first messages,
            slow: which are so many.
        """
        self.numbers = []
        self.report = None
        self.began = threading.Event()
        self.ended = threading.Event()
        self._block = block
        self._at = at
        self._pause = pause
        self._slow = slow

    def take(self, text):
        """Take a message; returns for how many seconds the caller has to wait, in its own way."""
        message = json.loads(text)
        if message.get("e") == "number":
            return self.take_number(message["n"])
        self.report = message
        return 0.0

    def take_number(self, number):
        """Take the number of a message; as `take`."""
        self.numbers.append(number)
        if number == self._at:
            self.began.set()
            self._block()
            self.ended.set()
        return self._pause if len(self.numbers) <= self._slow else 0.0

    @property
    def is_through(self):
        """Whether it has been slow for as long as it shall."""
        return len(self.numbers) > self._slow


# --- peers -----------------------------------------------------------------------------------


async def _of_websockets(connect, closed, uri, consumer, keepalive):
    options = {"ping_interval": keepalive, "ping_timeout": keepalive}
    async with connect(uri, proxy=None, compression=None, close_timeout=1, **options) as ws:
        try:
            while True:
                delay = consumer.take(await ws.recv())
                if delay:
                    await asyncio.sleep(delay)
        except closed as error:
            frame = error.sent if error.rcvd is None else error.rcvd
            return str(error) if frame is None else f"{frame.code} {frame.reason}"


async def _websockets(uri, consumer, keepalive):
    connect, closed = websockets.asyncio.client.connect, websockets.exceptions.ConnectionClosed
    return await _of_websockets(connect, closed, uri, consumer, keepalive)


async def _picows_websockets(uri, consumer, keepalive):
    connect, closed = picows.websockets.connect, picows.websockets.ConnectionClosed
    return await _of_websockets(connect, closed, uri, consumer, keepalive)


class _Listener(picows.WSListener):
    def __init__(self, consumer):
        self.consumer = consumer
        self.closed = ""

    def on_ws_frame(self, transport, frame):
        if frame.msg_type == picows.WSMsgType.CLOSE:
            if transport.close_handshake is None or transport.close_handshake.sent is None:
                code, reason = frame.get_close_code(), frame.get_close_message() or b""
                self.closed = f"{int(code)} {reason.decode()}"
                transport.send_close(code)
            transport.disconnect()
        elif frame.msg_type == picows.WSMsgType.TEXT:
            # Its callbacks cannot await.
            time.sleep(self.consumer.take(frame.get_payload_as_ascii_text()))


async def _of_picows(strategy, uri, consumer, keepalive):
    options = {}
    if keepalive is not None:
        options = {
            "enable_auto_ping": True,
            "auto_ping_strategy": strategy,
            "auto_ping_idle_timeout": keepalive,
            "auto_ping_reply_timeout": keepalive,
        }
    transport, listener = await picows.ws_connect(lambda: _Listener(consumer), uri, **options)
    await transport.wait_disconnected()
    sent = transport.close_handshake.sent if transport.close_handshake else None
    return listener.closed or (f"{int(sent.code)} {sent.reason}" if sent else "lost")


async def _picows(uri, consumer, keepalive):
    strategy = picows.WSAutoPingStrategy.PING_PERIODICALLY
    return await _of_picows(strategy, uri, consumer, keepalive)


async def _picows_when_idle(uri, consumer, keepalive):
    strategy = picows.WSAutoPingStrategy.PING_WHEN_IDLE
    return await _of_picows(strategy, uri, consumer, keepalive)


async def _aiohttp(uri, consumer, keepalive):
    # Its time for a pong is half the heartbeat.
    heartbeat = None if keepalive is None else 2 * keepalive
    async with aiohttp.ClientSession() as session:
        async with session.ws_connect(uri, heartbeat=heartbeat) as ws:
            while True:
                message = await ws.receive()
                if message.type is not aiohttp.WSMsgType.TEXT:
                    break
                delay = consumer.take(message.data)
                if delay:
                    await asyncio.sleep(delay)
            if message.type is aiohttp.WSMsgType.CLOSE:
                return f"{message.data} {message.extra}"
            return f"{ws.close_code} {ws.exception() or ''}"


def _run(client):
    def run(uri, consumer, keepalive=None):
        return asyncio.run(client(uri, consumer, keepalive))

    return run


PEERS = {
    "websockets": _run(_websockets),
    "picows.websockets": _run(_picows_websockets),
    "picows": _run(_picows),
    "picows-when-idle": _run(_picows_when_idle),
    "aiohttp": _run(_aiohttp),
}

# --- ours ------------------------------------------------------------------------------------


def _keepalive(keepalive):
    return {} if keepalive is None else {"ping_interval": keepalive, "ping_timeout": keepalive}


def _how(connection):
    return f"{connection.close_code} {connection.close_reason}"


def _connect(uri, consumer, keepalive=None, **options):
    with wspool.connect(uri, **_keepalive(keepalive), **options) as ws:
        try:
            for text in ws:
                time.sleep(consumer.take(text))
        except wspool.ConnectionClosed:
            pass
        return _how(ws)


async def _aio(uri, consumer, keepalive=None, **options):
    async with wspool.aio.connect(uri, **_keepalive(keepalive), **options) as ws:
        try:
            async for text in ws:
                delay = consumer.take(text)
                if delay:
                    await asyncio.sleep(delay)
        except wspool.ConnectionClosed:
            pass
        return _how(ws)


def _callbacks(uri, consumer, keepalive=None, **options):
    def on_message(connection, message):
        time.sleep(consumer.take(message.text))

    with wspool.EndpointPool(1) as pool:
        connection = pool[0].create_new_connection(
            uri, on_message=on_message, **_keepalive(keepalive), **options
        )
        if connection.opened.result() is not wspool.Status.OPENED:
            raise connection.error
        connection.wait_closed()
        return _how(connection)


#: Of a stream in these tests: small, so that its bound is reached soon.
STREAM = {"batch_rows": 16, "max_batches": 4}


def _stream(uri, consumer, keepalive=None, **options):
    options.pop("max_queue", None)
    numbers = wspool.Fields({"n": ("/n", "int64")}, where={"/e": "number"})
    with wspool.stream(
        uri,
        fields=numbers,
        on_unmatched=lambda _, message: consumer.take(message.text),
        **(STREAM if keepalive else {}),
        **_keepalive(keepalive),
        **options,
    ) as batches:
        try:
            for batch in batches:
                for number in batch["n"]:
                    time.sleep(consumer.take_number(int(number)))
        except wspool.ConnectionClosed:
            pass
        return _how(batches.connections[0])


OURS = {
    "connect": _connect,
    "aio": lambda *args, **options: asyncio.run(_aio(*args, **options)),
    "callbacks": _callbacks,
    "stream": _stream,
}
