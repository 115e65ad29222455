"""picows: its core API on uvloop; a listener in Python that takes each payload as bytes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from benchmarks.feeds import filler, outgoing
from benchmarks.measure import (
    WARM_UP,
    WINDOW,
    Memory,
    Meter,
    Result,
    main,
    round_trips,
    tls_context,
)
from benchmarks.spec import Spec
from benchmarks.tally import Tally, summary


def answer_close(transport: WSTransport, frame: WSFrame) -> None:
    """End a connection that the server closes."""
    transport.send_close(frame.get_close_code())
    transport.disconnect()


def _counting(expected: int) -> tuple[type[WSListener], Callable[[], int]]:
    """Return a listener that counts, and what tells its count.

    It knows the end by the count: asking every frame for its type would cost more.
    """
    count = 0

    class Counting(WSListener):
        def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
            nonlocal count
            count += 1
            if count > expected:
                count -= 1
                answer_close(transport, frame)
                return
            frame.get_payload_as_bytes()

    return Counting, lambda: count


def _counting_to_close() -> tuple[type[WSListener], Callable[[], int]]:
    """As `_counting`, where the end is not known before."""
    count = 0

    class Counting(WSListener):
        def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
            nonlocal count
            if frame.msg_type == WSMsgType.CLOSE:
                answer_close(transport, frame)
                return
            frame.get_payload_as_bytes()
            count += 1

    return Counting, lambda: count


class _Tallying(WSListener):
    def __init__(self) -> None:
        self.tally = Tally()
        self._message = b""
        self._is_text = False

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.CLOSE:
            answer_close(transport, frame)
            return
        if frame.msg_type != WSMsgType.CONTINUATION:
            self._is_text = frame.msg_type == WSMsgType.TEXT
        self._message += frame.get_payload_as_bytes()
        if frame.fin:
            self.tally.add_payload(self._message, is_text=self._is_text)
            self._message = b""


async def _connect(spec: Spec, listener: Any, context: Any) -> Any:
    return await ws_connect(listener, spec.uri, ssl_context=context)


async def receive(spec: Spec) -> Result:
    """Receive until every connection has been closed."""
    context = tls_context(spec)
    connections = []
    totals = []
    for _ in range(spec.connections):
        listener: Any = _Tallying
        if not spec.verify:
            listener, total = _counting(spec.count) if spec.count else _counting_to_close()
            totals.append(total)
        connections.append(await _connect(spec, listener, context))
    meter = Meter(spec)
    meter.go()
    for transport, _ in connections:
        transport.send(WSMsgType.TEXT, b"go")
    for transport, _ in connections:
        await transport.wait_disconnected()
    meter.done()
    if spec.verify:
        return summary(listener.tally for _, listener in connections)
    return meter.result(count=sum(total() for total in totals))


class _Sending(WSListener):
    def __init__(self) -> None:
        self.resumed: asyncio.Future[None] | None = None

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.CLOSE:
            transport.disconnect()

    def pause_writing(self) -> None:
        self.resumed = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        if self.resumed is not None:
            self.resumed.set_result(None)
            self.resumed = None


async def send(spec: Spec) -> Result:
    """Send while writing is not paused, as its guide on slow clients shows."""
    transport, listener = await _connect(spec, _Sending, tls_context(spec))
    meter = Meter(spec)
    message = filler(spec.size)
    meter.go()
    for number in range(spec.count):
        if listener.resumed is not None:
            await listener.resumed
        transport.send(WSMsgType.TEXT, outgoing(spec.size, number) if spec.verify else message)
    transport.send_close()  # the server answers once it has read all
    await transport.wait_disconnected()
    meter.done()
    return meter.result(count=spec.count)


class _Echoing(WSListener):
    def __init__(self, spec: Spec) -> None:
        self.done = asyncio.get_running_loop().create_future()
        self.times: list[int] = []
        self.begun = 0
        self._count = spec.count
        self._message = filler(spec.size)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        frame.get_payload_as_bytes()
        now = time.perf_counter_ns()
        self.times.append(now - self.begun)
        if len(self.times) == self._count:
            self.done.set_result(None)
        else:
            self.begun = now
            transport.send(WSMsgType.BINARY, self._message)


class _EchoingVerified(WSListener):
    def __init__(self, spec: Spec) -> None:
        self.done = asyncio.get_running_loop().create_future()
        self.tally = Tally()
        self._spec = spec

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        is_text = frame.msg_type == WSMsgType.TEXT
        self.tally.add_payload(frame.get_payload_as_bytes(), is_text=is_text)
        if self.tally.count == self._spec.count:
            self.done.set_result(None)
        else:
            transport.send(WSMsgType.BINARY, outgoing(self._spec.size, self.tally.count))


async def echo(spec: Spec) -> Result:
    """Answer each echo, inside its callback, with the next message."""
    context = tls_context(spec)
    if spec.verify:
        transport, verified = await _connect(spec, lambda: _EchoingVerified(spec), context)
        transport.send(WSMsgType.BINARY, outgoing(spec.size, 0))
        await verified.done
        return summary([verified.tally])
    transport, listener = await _connect(spec, lambda: _Echoing(spec), context)
    meter = Meter(spec)
    message = filler(spec.size)
    meter.go()
    listener.begun = time.perf_counter_ns()
    transport.send(WSMsgType.BINARY, message)
    await listener.done
    meter.done()
    return round_trips(meter, listener.times)


async def idle(spec: Spec) -> Result:
    """Open connections that nothing comes on."""
    context = tls_context(spec)

    async def open_many(number: int) -> list[Any]:
        connections: list[Any] = []
        while len(connections) < number:
            window = min(WINDOW, number - len(connections))
            connections += await asyncio.gather(
                *(_connect(spec, WSListener, context) for _ in range(window))
            )
        return connections

    kept = await open_many(WARM_UP)
    memory = Memory()
    kept += await open_many(spec.connections)
    result = memory.opened(spec.connections)
    assert len(kept) == WARM_UP + spec.connections
    return result


if __name__ == "__main__":
    main(
        {
            "receive": lambda spec: uvloop.run(receive(spec)),
            "send": lambda spec: uvloop.run(send(spec)),
            "echo": lambda spec: uvloop.run(echo(spec)),
            "idle": lambda spec: uvloop.run(idle(spec)),
        }
    )
