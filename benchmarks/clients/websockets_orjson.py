"""websockets (asyncio on uvloop) and orjson, on bytes, as the documentation of recv advises."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import uvloop
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedOK

from benchmarks.measure import Meter, Result, main, tls_context
from benchmarks.spec import Spec

from ._records import Table, Take, from_documents


async def _receive(connection: Any, take: Take) -> int:
    count = 0
    await connection.send("go")
    recv = connection.recv
    try:
        while True:
            take(await recv(decode=False))
            count += 1
    except ConnectionClosedOK:
        return count


async def _records(spec: Spec) -> Result:
    table = Table(spec, from_documents(orjson.loads))
    connections = [
        await connect(spec.uri, compression=None, proxy=None, ssl=tls_context(spec))
        for _ in range(spec.connections)
    ]
    meter = Meter(spec)
    meter.go()
    counts = await asyncio.gather(*(_receive(one, table.take) for one in connections))
    table.flush()
    meter.done()
    count = sum(counts)
    return table.verified(count) if spec.verify else meter.result(count=count)


if __name__ == "__main__":
    main({"records": lambda spec: uvloop.run(_records(spec))})
