"""aiohttp: its WebSocket client on uvloop, by iteration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import aiohttp
import uvloop

from ._asyncio_api import AsyncioClient


class AiohttpClient(AsyncioClient):
    """One session, as its documentation asks for."""

    def __init__(self) -> None:
        super().__init__(self._open_in_session, uvloop.run)
        self._session: aiohttp.ClientSession | None = None

    async def _open_in_session(self, uri: str, **options: Any) -> Any:
        if self._session is None:  # at most 100 connections at once, unless told otherwise
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        return await self._session.ws_connect(uri, **options)

    def options(self, *, deflate: bool, ssl: Any) -> dict[str, Any]:
        return {"compress": 15 if deflate else 0, "ssl": True if ssl is None else ssl}

    def text_sender(self, ws: Any) -> Callable[[str], Any]:
        return ws.send_str  # type: ignore[no-any-return]

    def binary_sender(self, ws: Any) -> Callable[[bytes], Any]:
        return ws.send_bytes  # type: ignore[no-any-return]

    def receiver(self, ws: Any) -> Callable[[], Any]:
        return ws.receive_bytes  # type: ignore[no-any-return]

    def data(self, message: Any) -> str | bytes:
        return message.data  # type: ignore[no-any-return]


if __name__ == "__main__":
    AiohttpClient().main()
