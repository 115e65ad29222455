"""How asyncio connections are made."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import AsyncIterator, Generator
from typing import TYPE_CHECKING, Any

from wspool.pull import PullConnection, endpoint_of
from wspool.reconnecting import Reconnect

from .connection import ClientConnection

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Unpack

    from wspool.options import ConnectionOptions, URISource
    from wspool.pool import EndpointPool

__all__ = ["connect", "unix_connect"]


class connect:  # noqa: N801
    """Connect to a WebSocket server: ``async with connect(uri) as ws`` or ``await connect(uri)``.

    With ``await`` you close the connection yourself. Cancelling it gives the connection up.

    ``async for ws in connect(uri)`` makes one connection after the other: the next when the body
    has ended, by ``continue`` for one, or by a ``ConnectionClosed`` that it handles. The last is
    closed before. Attempts that fail are made again, and wait, as ``reconnect`` says, by default as
    ``Reconnect()``; what it gives up for is raised.

    Args:
        uri: ``ws://`` or ``wss://`` (RFC 6455 section 3), with user and password if need be; or a
            function that returns one, called before each attempt on a thread of its own.
        pool: Whose endpoint it runs on, the next in turn; None takes ``EndpointPool.instance()``.
        options: See ``wspool.Options``. ``write_limit`` is 1 MiB here unless given.

    Raises:
        InvalidURI: If uri is not a WebSocket URI.
        InvalidHandshake: If the server refuses; ``InvalidStatus`` has its answer.
        OSError: If the network, the name look-up or TLS fails.
        TimeoutError: If it takes longer than ``open_timeout``.
        TypeError, ValueError: If an option cannot be what it is; the text names it.
        PoolClosed: If the pool has been closed.
    """

    def __init__(
        self,
        uri: URISource,
        *,
        pool: EndpointPool | None = None,
        **options: Unpack[ConnectionOptions],
    ) -> None:
        self._uri = uri
        self._pool = pool
        self._options = PullConnection.check_options(options)
        self._connection: ClientConnection | None = None

    def __await__(self) -> Generator[Any, None, ClientConnection]:
        return self._open().__await__()

    async def __aenter__(self) -> ClientConnection:
        self._connection = await self._open()
        return self._connection

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._connection is not None
        await self._connection.__aexit__(exc_type, exc_value, traceback)

    async def __aiter__(self) -> AsyncIterator[ClientConnection]:
        reconnect = self._options.reconnect or Reconnect()
        options = dataclasses.replace(self._options, reconnect=reconnect)
        failures = 0
        while True:
            connection = ClientConnection(endpoint_of(self._pool), options)
            await connection._open(  # noqa: SLF001
                self._uri, options, until_open=True, failures=failures
            )
            opened = time.monotonic()
            try:
                async with connection:
                    yield connection
            finally:
                connection.abort()
            stable = time.monotonic() - opened >= reconnect.stable_after
            failures = 1 if stable else failures + 1

    async def _open(self) -> ClientConnection:
        connection = ClientConnection(endpoint_of(self._pool), self._options)
        await connection._open(self._uri, self._options)  # noqa: SLF001
        return connection


def unix_connect(
    path: str | os.PathLike[str],
    uri: str = "ws://localhost/",
    *,
    pool: EndpointPool | None = None,
    **options: Unpack[ConnectionOptions],
) -> connect:
    """Connect to a WebSocket server on a Unix socket; otherwise as ``connect``.

    Args:
        path: Of the socket, at most 107 bytes.
        uri: Gives host and path of the request; with ``wss://`` TLS is spoken on the socket.
        pool: As for ``connect``.
        options: As for ``connect``, without ``local_addr``.
    """
    options["unix_path"] = path
    return connect(uri, pool=pool, **options)
