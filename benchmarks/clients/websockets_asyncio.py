"""websockets: its asyncio client, on uvloop as its documentation advises for speed."""

from __future__ import annotations

import functools

import uvloop
from websockets.asyncio.client import connect

from ._asyncio_api import AsyncioClient

if __name__ == "__main__":
    AsyncioClient(functools.partial(connect, proxy=None), uvloop.run).main()
