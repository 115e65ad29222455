"""wspool: callbacks, each with a record batch of what one read brought."""

from __future__ import annotations

import threading

import wspool
from benchmarks.measure import Meter, Result, main
from benchmarks.schemas import Digest
from benchmarks.spec import Spec

from .wspool_stream import arrays_of, fields_of, options_of, verify


def records(spec: Spec) -> Result:
    """Receive until every connection has been closed."""
    meter = Meter(spec)
    digest = Digest()
    lock = threading.Lock()
    ended = threading.Semaphore(0)

    def on_batch(_connection: wspool.Connection, batch: wspool.RecordBatch) -> None:
        if spec.verify:
            with lock:
                verify(batch, digest)
        else:
            arrays_of(batch)

    pool = wspool.EndpointPool.instance()
    connections = [
        pool.get_endpoint().create_new_connection(
            spec.uri,
            fields=fields_of(spec.schema),
            on_batch=on_batch,
            on_close=lambda *_: ended.release(),
            **options_of(spec),
        )
        for _ in range(spec.connections)
    ]
    for connection in connections:
        if connection.opened.result() is not wspool.Status.OPENED:
            raise connection.error or RuntimeError("not opened")
    meter.go()
    for connection in connections:
        connection.send("go")
    for _ in connections:
        ended.acquire()
    meter.done()
    messages = sum(one.statistics.messages_received for one in connections)
    return digest.summary(messages) if spec.verify else meter.result(count=messages)


if __name__ == "__main__":
    main({"records": records})
