"""A server on `websockets` that pings often, and numbers what it sends.

usage: numbered_server.py

Prints its port and serves until its standard input ends. To each connection it sends the texts
"0 SENT_AT", "1 SENT_AT", ... every 10 ms, with the time of sending in seconds since the epoch. It
pings every 0.2 s, and one pong that takes longer than 1 s ends the connection with 1011. The
client's first message makes it stop: it sends a report,
{"sent": N, "pings": N, "slowest": SECONDS}, and closes with 1000.
"""

import asyncio
import contextlib
import json
import sys
import time

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed


async def ping(connection, round_trips):
    while True:
        answered = await connection.ping()
        try:
            round_trips.append(await asyncio.wait_for(answered, 1))
        except asyncio.TimeoutError:
            await connection.close(1011, "no pong within 1 s")
            return
        await asyncio.sleep(0.2)


async def handler(connection):
    round_trips = []
    sent = 0
    pinging = asyncio.create_task(ping(connection, round_trips))
    stopped = asyncio.create_task(connection.recv())
    try:
        with contextlib.suppress(ConnectionClosed):
            while not stopped.done():
                await connection.send(f"{sent} {time.time()}")
                sent += 1
                await asyncio.sleep(0.01)
            await stopped
            report = {"sent": sent, "pings": len(round_trips), "slowest": max(round_trips)}
            await connection.send(json.dumps(report))
    finally:
        pinging.cancel()
        stopped.cancel()
        with contextlib.suppress(ConnectionClosed, asyncio.CancelledError):
            await pinging
        with contextlib.suppress(ConnectionClosed, asyncio.CancelledError):
            await stopped


async def main():
    async with serve(
        handler, "127.0.0.1", 0, compression=None, ping_interval=None, close_timeout=2
    ) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.to_thread(sys.stdin.read)


asyncio.run(main())
