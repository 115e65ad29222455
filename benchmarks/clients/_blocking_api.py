"""Clients with blocking calls; many connections take a thread each."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from benchmarks.feeds import filler, outgoing
from benchmarks.measure import WARM_UP, Memory, Meter, Result, main, round_trips, tls_context
from benchmarks.spec import Spec
from benchmarks.tally import Tally, summary

#: Threads that connect, for as many idle connections as wanted.
_CONNECTING = 16


class BlockingClient:
    """The works of a library whose connection has send, recv and close, and can be iterated."""

    def connect(self, uri: str, *, deflate: bool, ssl: Any) -> Any:
        """Return an open connection; `ssl` is None for ws."""
        raise NotImplementedError

    def count(self, ws: Any) -> int:
        """Receive until the end; returns the number of messages."""
        count = 0
        for _ in ws:
            count += 1
        return count

    def tally(self, ws: Any) -> Tally:
        """Receive until the end, every message into the tally."""
        tally = Tally()
        for message in ws:
            tally.add(message)
        return tally

    def main(self) -> None:
        works = {
            "receive": self.receive,
            "send": self.send,
            "echo": self.echo,
            "idle": self.idle,
        }
        main(works)

    def _opener(self, spec: Spec) -> Callable[[], Any]:
        context = tls_context(spec)
        return lambda: self.connect(spec.uri, deflate=spec.deflate, ssl=context)

    def receive(self, spec: Spec) -> Result:
        opener = self._opener(spec)
        connections = [opener() for _ in range(spec.connections)]
        work: Callable[[Any], Any] = self.tally if spec.verify else self.count

        def run(ws: Any) -> Any:
            ws.send("go")
            return work(ws)

        meter = Meter(spec)
        if len(connections) == 1:
            meter.go()
            results = [run(connections[0])]
            meter.done()
        else:
            with ThreadPoolExecutor(len(connections)) as pool:
                meter.go()
                results = list(pool.map(run, connections))
                meter.done()
        return summary(results) if spec.verify else meter.result(count=sum(results))

    def send(self, spec: Spec) -> Result:
        ws = self._opener(spec)()
        meter = Meter(spec)
        message = filler(spec.size).decode()
        meter.go()
        if spec.verify:
            for number in range(spec.count):
                ws.send(outgoing(spec.size, number).decode())
        else:
            for _ in range(spec.count):
                ws.send(message)
        ws.close()  # the server answers once it has read all
        meter.done()
        return meter.result(count=spec.count)

    def binary_sender(self, ws: Any) -> Callable[[bytes], object]:
        """Return what sends a binary message."""
        sender: Callable[[bytes], object] = ws.send
        return sender

    def echo(self, spec: Spec) -> Result:
        ws = self._opener(spec)()
        send = self.binary_sender(ws)
        if spec.verify:
            tally = Tally()
            for number in range(spec.count):
                send(outgoing(spec.size, number))
                tally.add(ws.recv())
            return summary([tally])
        meter = Meter(spec)
        message = filler(spec.size)
        times = []
        meter.go()
        for _ in range(spec.count):
            begun = time.perf_counter_ns()
            send(message)
            ws.recv()
            times.append(time.perf_counter_ns() - begun)
        meter.done()
        return round_trips(meter, times)

    def idle(self, spec: Spec) -> Result:
        opener = self._opener(spec)
        with ThreadPoolExecutor(_CONNECTING) as pool:
            kept = [future.result() for future in [pool.submit(opener) for _ in range(WARM_UP)]]
            memory = Memory()
            opening = [pool.submit(opener) for _ in range(spec.connections)]
            kept += [future.result() for future in opening]
            result = memory.opened(spec.connections)
        assert len(kept) == WARM_UP + spec.connections
        return result
