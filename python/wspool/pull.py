"""What blocking and asyncio connections share: messages that are pulled from a native queue."""

from __future__ import annotations

import codecs
import secrets
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from . import native
from .connection_info import ConnectionInfo, control_payload
from .events import Status
from .exceptions import ConcurrencyError, ConnectionClosedOK
from .options import ConnectionOptions, Options, URISource
from .pool import EndpointPool

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from .pool import Endpoint

__all__ = [
    "Event",
    "FragmentDecoder",
    "FragmentEncoder",
    "Frame",
    "Payload",
    "PullConnection",
    "endpoint_of",
    "not_a_message",
    "refuse_mapping",
]

Payload: TypeAlias = "str | Buffer"
#: Arguments of ``_send_fragment``: payload, is_text, is_first, is_final.
Frame: TypeAlias = "tuple[Payload, bool, bool, bool]"

#: What may wait to be written, unless ``write_limit`` says otherwise.
_WRITE_LIMIT = 2**20
#: Answered pings are forgotten when there are this many.
_MANY_PINGS = 64


class Event:
    """What a consumer may wait for; the core's bits."""

    OPENED = 1
    READABLE = 2
    WRITABLE = 4
    ENDED = 8


class PullConnection(ConnectionInfo, native.PullConnection):
    """A connection whose messages wait in a native queue until they are taken.

    It is aborted when its user drops it without closing it.
    """

    __slots__ = ("__weakref__", "_endpoint", "_error", "_max_size", "_pings", "_source", "_started")

    def __init__(self, endpoint: Endpoint, options: Options) -> None:
        super().__init__(endpoint, options)
        # Pings that may be under way, by payload.
        self._pings: dict[bytes, native.Pong] = {}
        # Whether dropping it without closing it is worth a warning.
        self._started = False

    def _start(
        self,
        uri: URISource,
        options: Options,
        ready: native.ReadyList | None = None,
        number: int = 0,
        *,
        until_open: bool = False,
        failures: int = 0,
    ) -> None:
        self._endpoint.start_pull(
            self, uri, options, ready, number, until_open=until_open, failures=failures
        )
        self._started = True

    def __del__(self) -> None:
        try:
            unclosed = self._started and not self._has_ended()
        except Exception:  # noqa: BLE001  # half made, or of another process
            unclosed = False
        if unclosed:
            text = f"unclosed connection {self.log_name()}"
            self._abort()  # a warning that is made an error keeps the object alive
            warnings.warn(text, ResourceWarning, 2, self)

    def waiting(self) -> tuple[int, int, int]:
        """Return what waits in the queue: messages, bytes, since when (Unix ns, or 0)."""
        return self._waiting

    def abort(self) -> None:
        """End the connection at once, without a closing handshake. Returns at once."""
        self._started = False  # nobody forgot to close it
        super().abort()

    def _raise_unless_opened(self) -> None:
        """Raise why the connection could not be opened, if so."""
        if self.status is Status.FAILED:
            error = self.error
            assert error is not None
            # Its traceback will hold the connection, which must not hold it: no cycle.
            self._error = None
            try:
                raise error
            finally:
                del error

    def _raise_unless_in_order(self) -> None:
        """Raise how the connection ended, unless that was in order."""
        ended = self.closed_exception()
        if not isinstance(ended, ConnectionClosedOK):
            raise ended

    def _begin_receiving(self) -> None:
        if self._receiving:
            raise ConcurrencyError("another call is receiving from this connection already")
        self._receiving = True

    def _send_ping(self, data: Payload | None, pong: native.Pong) -> None:
        if data is None:
            payload = secrets.token_bytes(4)
        else:
            payload = control_payload(data)
            known = self._pings.get(payload)
            if known is not None and not known.done:
                raise ConcurrencyError("already waiting for a pong with the same data")
        self._ping_for(payload, pong)
        if len(self._pings) >= _MANY_PINGS:
            self._pings = {key: one for key, one in self._pings.items() if not one.done}
        self._pings[payload] = pong

    @staticmethod
    def check_options(options: ConnectionOptions) -> Options:
        """Return the options of a connection whose messages are pulled, checked."""
        if "write_limit" not in options:
            options = {**options, "write_limit": _WRITE_LIMIT}
        return Options.from_kwargs(**options)


def endpoint_of(pool: EndpointPool | None) -> Endpoint:
    """Return the endpoint for a new connection: the next in turn of the pool."""
    if pool is None:
        return EndpointPool.instance().get_endpoint()
    if not isinstance(pool, EndpointPool):
        raise TypeError(f"pool must be a wspool.EndpointPool or None, not {type(pool).__name__}")
    return pool.get_endpoint()


class FragmentDecoder:
    """Turns the fragments of one message into what ``recv_streaming`` yields.

    Args:
        decode: None yields str for text and bytes for binary; True str, False bytes.
    """

    def __init__(self, decode: bool | None) -> None:
        self._decode = decode
        self._decoder: codecs.IncrementalDecoder | None = None
        self._first = True

    def __call__(self, fragment: tuple[bytes, bool, bool]) -> str | bytes:
        payload, is_text, is_final = fragment
        if self._first:
            self._first = False
            if is_text if self._decode is None else self._decode:
                # A character may be cut between two fragments (RFC 6455 section 5.6).
                self._decoder = codecs.getincrementaldecoder("utf-8")()
        return payload if self._decoder is None else self._decoder.decode(payload, is_final)


class FragmentEncoder:
    """Turns what ``send`` got as fragments into arguments for ``_send_fragment``.

    Args:
        text: None sends str as text and bytes-like as binary; True text, False binary.
    """

    def __init__(self, text: bool | None) -> None:
        self._text = text
        self._kind: type | None = None
        self._is_text = False

    def __call__(self, fragment: Any) -> Frame:
        """Return the frame of the next fragment.

        Raises:
            TypeError: If it is neither str nor bytes-like, or not like the first.
        """
        kind = str if isinstance(fragment, str) else bytes
        if not native.is_payload(fragment):
            raise TypeError(f"fragments must be str or bytes-like, not {type(fragment).__name__}")
        is_first = self._kind is None
        if is_first:
            self._kind = kind
            self._is_text = kind is str if self._text is None else self._text
        elif self._kind is not kind:
            raise TypeError("the fragments of a message must be all str or all bytes-like")
        return fragment, self._is_text, is_first, False

    def end(self) -> Frame:
        """Return the final frame. It is empty: which fragment is the last, nobody knows before."""
        return b"", self._is_text, False, True


def refuse_mapping(message: object) -> None:
    """Refuse what is iterable but hardly meant as fragments.

    Raises:
        TypeError: If it is a mapping.
    """
    if isinstance(message, Mapping):
        raise TypeError("message is a mapping; if you mean its keys, send message.keys()")


def not_a_message(message: object) -> TypeError:
    """Return the error for what ``send`` cannot take."""
    return TypeError(
        f"message must be str, bytes-like, or an iterable of them, not {type(message).__name__}"
    )
