"""The asyncio API: the blocking one, awaited.

    async with wspool.aio.connect("wss://...") as ws:
        await ws.send("Hello")
        print(await ws.recv())
        async for message in ws:
            ...

Reading, keepalive and TLS run on native threads, whatever the event loop does; it only takes the
messages. It watches one descriptor for all of its connections. Works with uvloop as well.
"""

from .connecting import connect, unix_connect
from .connection import ClientConnection
from .streams import RecordStream, stream

__all__ = ["ClientConnection", "RecordStream", "connect", "stream", "unix_connect"]
