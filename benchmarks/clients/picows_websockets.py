"""picows.websockets: the API of websockets on picows, on uvloop."""

from __future__ import annotations

from typing import Any

import uvloop
from picows.websockets.asyncio.client import connect

from ._asyncio_api import AsyncioClient


class PicowsWebsockets(AsyncioClient):
    """As websockets, but for its queue under TLS."""

    def options(self, *, deflate: bool, ssl: Any) -> dict[str, Any]:
        options = super().options(deflate=deflate, ssl=ssl)
        if ssl is not None:
            # picows 2.3.1 never goes on once its queue of 16 has been full under TLS.
            options["max_queue"] = None
        return {**options, "proxy": None}


if __name__ == "__main__":
    PicowsWebsockets(connect, uvloop.run).main()
