"""picows' core API on uvloop, with a decoder of somebody else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from benchmarks.measure import Meter, Result, main, tls_context
from benchmarks.spec import Spec

from ._records import Make, Table, Take
from .picows_core import answer_close

PayloadOf = Callable[[WSFrame], Any]


def _taking(
    take: Take, payload_of: PayloadOf, expected: int
) -> tuple[type[WSListener], Callable[[], int]]:
    """Return a listener that takes all messages, and what tells their number.

    It knows the end by the number: asking every frame for its type would cost more.
    """
    count = 0

    class Taking(WSListener):
        def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
            nonlocal count
            count += 1
            if count > expected:
                count -= 1
                answer_close(transport, frame)
                return
            take(payload_of(frame))

    return Taking, lambda: count


def _taking_to_close(
    take: Take, payload_of: PayloadOf
) -> tuple[type[WSListener], Callable[[], int]]:
    """As `_taking`, where the end is not known before."""
    count = 0

    class Taking(WSListener):
        def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
            nonlocal count
            if frame.msg_type == WSMsgType.CLOSE:
                answer_close(transport, frame)
                return
            count += 1
            take(payload_of(frame))

    return Taking, lambda: count


async def _records(spec: Spec, make: dict[str, Make], payload_of: PayloadOf) -> Result:
    table = Table(spec, make)
    context = tls_context(spec)
    connections = []
    totals = []
    for _ in range(spec.connections):
        if spec.count:
            listener, total = _taking(table.take, payload_of, spec.count)
        else:
            listener, total = _taking_to_close(table.take, payload_of)
        totals.append(total)
        connections.append(await ws_connect(listener, spec.uri, ssl_context=context))
    meter = Meter(spec)
    meter.go()
    for transport, _ in connections:
        transport.send(WSMsgType.TEXT, b"go")
    for transport, _ in connections:
        await transport.wait_disconnected()
    table.flush()
    meter.done()
    count = sum(total() for total in totals)
    return table.verified(count) if spec.verify else meter.result(count=count)


def run(make: dict[str, Make], payload_of: PayloadOf) -> None:
    """Run the client whose decoder this is.

    Args:
        make: What fills the columns of each schema.
        payload_of: Takes the payload out of a frame.
    """
    main({"records": lambda spec: uvloop.run(_records(spec, make, payload_of))})
