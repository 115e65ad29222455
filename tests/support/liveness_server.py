"""A server that numbers what it sends, pings every second, and hangs up on who does not answer.

usage: liveness_server.py

Prints its port and serves until its standard input ends. Of the path "/SECONDS" it sends for so
long, each 20 ms a text {"e": "number", "n": N}, N from 0. Each second it pings; a pong that is not
there after one more ends the connection with 1011 "no pong within 1 s". At the end it sends
{"sent": N, "pings": N, "slowest": SECONDS}, the latter of all pongs, and closes with 1000.
"""

import asyncio
import contextlib
import json
import sys
import time

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

PING_EVERY = 1.0
PONG_WITHIN = 1.0
#: 50 messages a second: those of a minute fit into the queue that a client of ours has by default.
MESSAGE_EVERY = 0.02


async def ping(connection, round_trips):
    """Ping for ever, or until one is not answered."""
    while True:
        await asyncio.sleep(PING_EVERY)
        answered = await connection.ping()
        try:
            round_trips.append(await asyncio.wait_for(answered, PONG_WITHIN))
        except asyncio.TimeoutError:
            await connection.close(1011, "no pong within 1 s")
            return


async def handler(connection):
    """Serve one connection."""
    round_trips = []
    sent = 0
    end = time.monotonic() + float(connection.request.path[1:])
    pinging = asyncio.create_task(ping(connection, round_trips))
    try:
        with contextlib.suppress(ConnectionClosed):
            while time.monotonic() < end:
                await connection.send(json.dumps({"e": "number", "n": sent}))
                sent += 1
                await asyncio.sleep(MESSAGE_EVERY)
            slowest = max(round_trips, default=0.0)
            report = {"sent": sent, "pings": len(round_trips), "slowest": slowest}
            await connection.send(json.dumps(report))
    finally:
        pinging.cancel()
        with contextlib.suppress(ConnectionClosed, asyncio.CancelledError):
            await pinging


async def main():
    """Serve until the input ends."""
    async with serve(
        handler, "127.0.0.1", 0, compression=None, ping_interval=None, close_timeout=1
    ) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.to_thread(sys.stdin.read)


asyncio.run(main())
