"""The asyncio API: one task sends, another receives, and a deadline ends both.

    python examples/python/asyncio_client.py [URI]

Without a URI it starts an echo server of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys

import wspool
import wspool.aio
import wspool.testing


async def send_lines(ws: wspool.aio.ClientConnection, count: int) -> None:
    """Send some messages, then close."""
    round_trip = await (await ws.ping())
    print(f"round trip of a ping: {round_trip * 1000:.2f} ms", flush=True)
    for number in range(1, count + 1):
        await ws.send(f"Hello {number}")
        await asyncio.sleep(0.05)
    await ws.close()


async def talk(uri: str) -> None:
    """Send and receive at the same time."""
    print(f"connecting to {uri}", flush=True)
    async with wspool.aio.connect(uri) as ws:
        sender = asyncio.create_task(send_lines(ws, 5))
        async for message in ws:  # until the connection has ended in order
            print(f"received {message!r}", flush=True)
        await sender
    print(f"closed: {ws.close_code}")


def main() -> int:
    """Talk to the server that is named, or to one of our own."""
    with contextlib.ExitStack() as stack:
        uri = sys.argv[1] if len(sys.argv) > 1 else stack.enter_context(wspool.testing.echo()).uri
        try:
            asyncio.run(asyncio.wait_for(talk(uri), timeout=30))
        except (OSError, wspool.WSPoolError) as error:  # TimeoutError is an OSError
            print(f"{type(error).__name__}: {error}")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
