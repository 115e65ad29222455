"""wspool: callbacks on the endpoint's thread, each with a Message."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable
from typing import Any, TypeAlias

import wspool
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

Counter: TypeAlias = "Callable[[], tuple[Callable[..., None], Callable[[], int]]]"


def _options(spec: Spec) -> dict[str, Any]:
    options: dict[str, Any] = {"compression": "deflate" if spec.deflate else None}
    if spec.ca_file is not None:
        options["ssl"] = tls_context(spec)
    return options


@functools.lru_cache(maxsize=1)
def _pool(endpoints: int | None) -> wspool.EndpointPool:
    return wspool.EndpointPool(endpoints) if endpoints else wspool.EndpointPool.instance()


def _create(spec: Spec, options: dict[str, Any], **callbacks: Any) -> wspool.Connection:
    endpoint = _pool(spec.endpoints).get_endpoint()
    return endpoint.create_new_connection(spec.uri, **callbacks, **options)


def _opened(connection: wspool.Connection) -> wspool.Connection:
    if connection.opened.result() is not wspool.Status.OPENED:
        raise connection.error or RuntimeError("not opened")
    return connection


def _counter() -> tuple[Callable[..., None], Callable[[], int]]:
    """Return a callback that counts, and what tells its count."""
    count = 0

    def on_message(_connection: wspool.Connection, _message: wspool.Message) -> None:
        nonlocal count
        count += 1

    return on_message, lambda: count


def _tally(into: Tally) -> Callable[..., None]:
    def on_message(_connection: wspool.Connection, message: wspool.Message) -> None:
        into.add_payload(message.data, is_text=message.is_text)

    return on_message


def receive(spec: Spec, counter: Counter = _counter) -> Result:
    """Receive until every connection has been closed."""
    meter = Meter(spec)
    ended = threading.Semaphore(0)

    def on_close(_connection: wspool.Connection, _code: int, _reason: str) -> None:
        ended.release()

    tallies = [Tally() for _ in range(spec.connections)]
    totals = []
    connections = []
    options = _options(spec)
    for tally in tallies:
        on_message, total = counter()
        totals.append(total)
        callback = _tally(tally) if spec.verify else on_message
        connections.append(_create(spec, options, on_message=callback, on_close=on_close))
    for connection in connections:
        _opened(connection)
    meter.go()
    for connection in connections:
        connection.send("go")
    for _ in connections:
        ended.acquire()
    meter.done()
    if spec.verify:
        return summary(tallies)
    return meter.result(count=sum(total() for total in totals))


def send(spec: Spec) -> Result:
    """Send from the main thread."""
    connection = _opened(_create(spec, _options(spec)))
    meter = Meter(spec)
    message = filler(spec.size).decode()
    meter.go()
    if spec.verify:
        for number in range(spec.count):
            connection.send(outgoing(spec.size, number).decode())
    else:
        for _ in range(spec.count):
            connection.send(message)
    connection.close()  # the server answers once it has read all
    connection.wait_closed()
    meter.done()
    return meter.result(count=spec.count)


def echo(spec: Spec) -> Result:
    """Answer each echo, inside its callback, with the next message."""
    done = threading.Event()
    tally = Tally()
    times: list[int] = []
    message = filler(spec.size)
    begun = 0

    def on_message(connection: wspool.Connection, _message: wspool.Message) -> None:
        nonlocal begun
        now = time.perf_counter_ns()
        times.append(now - begun)
        if len(times) == spec.count:
            done.set()
        else:
            begun = now
            connection.send(message)

    def on_message_verified(connection: wspool.Connection, reply: wspool.Message) -> None:
        tally.add_payload(reply.data, is_text=reply.is_text)
        if tally.count == spec.count:
            done.set()
        else:
            connection.send(outgoing(spec.size, tally.count))

    callback = on_message_verified if spec.verify else on_message
    connection = _opened(_create(spec, _options(spec), on_message=callback))
    meter = Meter(spec)
    meter.go()
    begun = time.perf_counter_ns()
    connection.send(outgoing(spec.size, 0) if spec.verify else message)
    done.wait()
    meter.done()
    return summary([tally]) if spec.verify else round_trips(meter, times)


def idle(spec: Spec) -> Result:
    """Open connections that nothing comes on."""
    options = _options(spec)

    def open_many(number: int) -> list[wspool.Connection]:
        connections: list[wspool.Connection] = []
        while len(connections) < number:
            window = min(WINDOW, number - len(connections))
            opening = [_create(spec, options) for _ in range(window)]
            connections += map(_opened, opening)
        return connections

    kept = open_many(WARM_UP)
    memory = Memory()
    kept += open_many(spec.connections)
    result = memory.opened(spec.connections)
    assert len(kept) == WARM_UP + spec.connections
    return result


if __name__ == "__main__":
    main({"receive": receive, "send": send, "echo": echo, "idle": idle})
