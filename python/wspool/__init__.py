"""A pool of native WebSocket endpoints for programs that listen to many feeds at once.

    import wspool

    def on_message(connection, message):
        print(message.json())

    endpoint = wspool.EndpointPool.instance().get_endpoint()
    connection = endpoint.create_new_connection("wss://...", on_message=on_message)
    connection.opened.result()

Sockets, TLS, framing and keepalive run on native threads without the GIL.
"""

from . import aio, sync
from .compression import Deflate
from .connection import Connection
from .events import (
    Close,
    CloseCode,
    Closed,
    Event,
    Gap,
    Headers,
    Opened,
    Request,
    Response,
    RoundTrips,
    Statistics,
    Status,
)
from .exceptions import (
    BufferFull,
    ConcurrencyError,
    ConnectionClosed,
    ConnectionClosedError,
    ConnectionClosedOK,
    InvalidHandshake,
    InvalidHeader,
    InvalidMessage,
    InvalidState,
    InvalidStatus,
    InvalidUpgrade,
    InvalidURI,
    NegotiationError,
    PayloadTooBig,
    PoolClosed,
    ProtocolError,
    ProxyError,
    QueueFull,
    SecurityError,
    UnknownConnection,
    WrongProcess,
    WSPoolError,
)
from .fields import Fields
from .native import Message, __version__
from .options import ConnectionOptions, Options
from .pool import Endpoint, EndpointPool
from .reconnecting import Reconnect
from .records import RecordBatch, RecordStatistics, pick
from .stream_base import StreamConnection
from .streams import RecordStream, stream
from .sync import connect, unix_connect
from .tls import TLS

__all__ = [
    "TLS",
    "BufferFull",
    "Close",
    "CloseCode",
    "Closed",
    "ConcurrencyError",
    "Connection",
    "ConnectionClosed",
    "ConnectionClosedError",
    "ConnectionClosedOK",
    "ConnectionOptions",
    "Deflate",
    "Endpoint",
    "EndpointPool",
    "Event",
    "Fields",
    "Gap",
    "Headers",
    "InvalidHandshake",
    "InvalidHeader",
    "InvalidMessage",
    "InvalidState",
    "InvalidStatus",
    "InvalidURI",
    "InvalidUpgrade",
    "Message",
    "NegotiationError",
    "Opened",
    "Options",
    "PayloadTooBig",
    "PoolClosed",
    "ProtocolError",
    "ProxyError",
    "QueueFull",
    "Reconnect",
    "RecordBatch",
    "RecordStatistics",
    "RecordStream",
    "Request",
    "Response",
    "RoundTrips",
    "SecurityError",
    "Statistics",
    "Status",
    "StreamConnection",
    "UnknownConnection",
    "WSPoolError",
    "WrongProcess",
    "__version__",
    "aio",
    "connect",
    "pick",
    "stream",
    "sync",
    "unix_connect",
]
