"""Clients with the asyncio API that `websockets` made familiar: connect, send, recv, iteration."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

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


class AsyncioClient:
    """The works of one such library.

    Args:
        connect: its function; takes uri, compression, ssl.
        run: `asyncio.run` or `uvloop.run`.
    """

    def __init__(self, connect: Callable[..., Any], run: Callable[[Any], Any]) -> None:
        self._connect = connect
        self._run = run

    def main(self) -> None:
        main(
            {
                "receive": lambda spec: self._run(self.receive(spec)),
                "send": lambda spec: self._run(self.send(spec)),
                "echo": lambda spec: self._run(self.echo(spec)),
                "idle": lambda spec: self._run(self.idle(spec)),
            }
        )

    # What libraries call differently.

    def options(self, *, deflate: bool, ssl: Any) -> dict[str, Any]:
        """Return the keyword arguments of connect; `ssl` is None for ws."""
        options: dict[str, Any] = {"compression": "deflate" if deflate else None}
        if ssl is not None:
            options["ssl"] = ssl
        return options

    def text_sender(self, ws: Any) -> Callable[[str], Any]:
        """Return what sends a text message, awaited."""
        return ws.send  # type: ignore[no-any-return]

    def binary_sender(self, ws: Any) -> Callable[[bytes], Any]:
        """Return what sends a binary message, awaited."""
        return ws.send  # type: ignore[no-any-return]

    def receiver(self, ws: Any) -> Callable[[], Any]:
        """Return what receives a message, awaited."""
        return ws.recv  # type: ignore[no-any-return]

    def data(self, message: Any) -> str | bytes:
        """Return the payload of what iteration gave."""
        return message  # type: ignore[no-any-return]

    # The works.

    async def _count(self, ws: Any) -> int:
        await self.text_sender(ws)("go")
        count = 0
        async for _ in ws:
            count += 1
        return count

    async def _tally(self, ws: Any) -> Tally:
        tally = Tally()
        await self.text_sender(ws)("go")
        async for message in ws:
            tally.add(self.data(message))
        return tally

    def _options(self, spec: Spec) -> dict[str, Any]:
        return self.options(deflate=spec.deflate, ssl=tls_context(spec))

    async def receive(self, spec: Spec) -> Result:
        options = self._options(spec)
        connections = [await self._connect(spec.uri, **options) for _ in range(spec.connections)]
        if spec.verify:
            return summary(await asyncio.gather(*map(self._tally, connections)))
        meter = Meter(spec)
        meter.go()
        if len(connections) == 1:
            counts = [await self._count(connections[0])]
        else:
            counts = await asyncio.gather(*map(self._count, connections))
        meter.done()
        return meter.result(count=sum(counts))

    async def send(self, spec: Spec) -> Result:
        ws = await self._connect(spec.uri, **self._options(spec))
        send = self.text_sender(ws)
        meter = Meter(spec)
        message = filler(spec.size).decode()
        meter.go()
        if spec.verify:
            for number in range(spec.count):
                await send(outgoing(spec.size, number).decode())
        else:
            for _ in range(spec.count):
                await send(message)
        await ws.close()  # the server answers once it has read all
        meter.done()
        return meter.result(count=spec.count)

    async def echo(self, spec: Spec) -> Result:
        ws = await self._connect(spec.uri, **self._options(spec))
        send, recv = self.binary_sender(ws), self.receiver(ws)
        if spec.verify:
            tally = Tally()
            for number in range(spec.count):
                await send(outgoing(spec.size, number))
                tally.add(await recv())
            return summary([tally])
        meter = Meter(spec)
        message = filler(spec.size)
        times = []
        meter.go()
        for _ in range(spec.count):
            begun = time.perf_counter_ns()
            await send(message)
            await recv()
            times.append(time.perf_counter_ns() - begun)
        meter.done()
        return round_trips(meter, times)

    async def idle(self, spec: Spec) -> Result:
        options = self._options(spec)

        async def open_many(number: int) -> list[Any]:
            connections: list[Any] = []
            while len(connections) < number:
                window = min(WINDOW, number - len(connections))
                connections += await asyncio.gather(
                    *(self._open(spec.uri, options) for _ in range(window))
                )
            return connections

        kept = await open_many(WARM_UP)
        memory = Memory()
        kept += await open_many(spec.connections)
        result = memory.opened(spec.connections)
        assert len(kept) == WARM_UP + spec.connections
        return result

    async def _open(self, uri: str, options: dict[str, Any]) -> Any:
        return await self._connect(uri, **options)
