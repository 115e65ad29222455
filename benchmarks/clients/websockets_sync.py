"""websockets: its blocking client, by iteration."""

from __future__ import annotations

from typing import Any

from websockets.sync.client import ClientConnection, connect

from ._blocking_api import BlockingClient


class WebsocketsSync(BlockingClient):
    """It reads on a thread of its own for each connection."""

    def connect(self, uri: str, *, deflate: bool, ssl: Any) -> ClientConnection:
        return connect(uri, compression="deflate" if deflate else None, ssl=ssl, proxy=None)


if __name__ == "__main__":
    WebsocketsSync().main()
