"""wspool: the blocking API; messages by iteration."""

from __future__ import annotations

from typing import Any

import wspool

from ._blocking_api import BlockingClient


class WspoolIteration(BlockingClient):
    """One `with` block's worth of calls a connection."""

    def connect(self, uri: str, *, deflate: bool, ssl: Any) -> wspool.sync.ClientConnection:
        options = {} if ssl is None else {"ssl": ssl}
        return wspool.connect(uri, compression="deflate" if deflate else None, **options)


if __name__ == "__main__":
    WspoolIteration().main()
