"""wspool: asyncio iteration on asyncio's own event loop."""

from __future__ import annotations

import asyncio

import wspool.aio

from ._asyncio_api import AsyncioClient

if __name__ == "__main__":
    AsyncioClient(wspool.aio.connect, asyncio.run).main()
