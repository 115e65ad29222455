"""websocket-client: recv() in a loop.

Its README names `skip_utf8_validation` for speed; text is decoded, and so checked, all the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import websocket

from benchmarks.tally import Tally

from ._blocking_api import BlockingClient


class WebsocketClient(BlockingClient):
    """Its recv() answers a close frame with one, and returns it as an empty message."""

    def connect(self, uri: str, *, deflate: bool, ssl: Any) -> websocket.WebSocket:
        if deflate:
            raise ValueError("websocket-client does not inflate")
        return websocket.create_connection(
            uri,
            sslopt={} if ssl is None else {"context": ssl},
            skip_utf8_validation=True,
            enable_multithread=False,
        )

    def count(self, ws: Any) -> int:
        count = 0
        while ws.recv():
            count += 1
        return count

    def tally(self, ws: Any) -> Tally:
        tally = Tally()
        while message := ws.recv():
            tally.add(message)
        return tally

    def binary_sender(self, ws: Any) -> Callable[[bytes], object]:
        sender: Callable[[bytes], object] = ws.send_binary
        return sender


if __name__ == "__main__":
    WebsocketClient().main()
