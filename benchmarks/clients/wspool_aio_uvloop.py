"""wspool: asyncio iteration on uvloop."""

from __future__ import annotations

import uvloop

import wspool.aio

from ._asyncio_api import AsyncioClient

if __name__ == "__main__":
    AsyncioClient(wspool.aio.connect, uvloop.run).main()
