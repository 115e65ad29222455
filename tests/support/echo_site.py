"""A server by `websockets` for the tests of the opening handshake."""

from __future__ import annotations

import socket
import threading
from typing import Any

from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve


class EchoSite:
    """Sends every message back, and notes the requests.

    Args:
        host: IP address to listen on.
        options: of `websockets.sync.server.serve`; with `ssl` the URI is a wss.
    """

    def __init__(self, host: str = "127.0.0.1", **options: Any) -> None:
        #: The opening requests, in order.
        self.requests: list[Request] = []
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, 0), family=family)
        self.port: int = listener.getsockname()[1]
        scheme = "ws" if options.get("ssl") is None else "wss"
        self.uri = f"{scheme}://{f'[{host}]' if ':' in host else host}:{self.port}"
        self._server = serve(self._echo, sock=listener, process_request=self._process, **options)
        self._thread = threading.Thread(target=self._server.serve_forever)

    def answer(self, connection: ServerConnection, request: Request) -> Response | None:
        """Return what a request gets instead of a connection; None is a connection."""

    def __enter__(self) -> EchoSite:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()

    def _process(self, connection: ServerConnection, request: Request) -> Response | None:
        self.requests.append(request)
        return self.answer(connection, request)

    def _echo(self, connection: ServerConnection) -> None:
        for message in connection:
            connection.send(message)
