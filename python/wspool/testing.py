"""A WebSocket server on loopback for demos, tests and benchmarks.

    with wspool.testing.echo(tls=True) as server:
        ...  # connect to server.uri, trusting server.ca_file

The server is native and runs on one thread of its own that never takes the GIL: a test's client
is the bottleneck, and a busy interpreter doesn't slow the server down.
"""

from __future__ import annotations

import math
import os
import shutil
import tempfile
import weakref
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, TypeAlias

from . import native
from ._certificates import make_certificates
from ._feeds import load_captures, market_data
from ._server_connection import ServerConnection

__all__ = [
    "LoopbackServer",
    "ServerConnection",
    "echo",
    "load_captures",
    "make_certificates",
    "market_data",
    "replay",
    "sink",
]

# False: plain. True: a throw-away certificate. Else the certificate's file and its key's.
_TLS: TypeAlias = bool | tuple[str | os.PathLike[str], str | os.PathLike[str]]
_Message: TypeAlias = str | bytes | bytearray | memoryview

_MAX_SIZE = 64 * 2**20
_MAX_U64 = 2**64 - 1


class LoopbackServer:
    """A running server; made by `echo`, `replay` and `sink`, here or as functions of the module.

    As a context manager it closes at the end. A server that is forgotten closes when it is
    collected, or when the interpreter exits.

    Any thread may call any method; those that wait release the GIL, and on the main thread notice
    Ctrl-C. In a process made by `fork` the server answers nothing: `running` is False there, and
    the parent's goes on.
    """

    def __init__(
        self, mode: Literal["echo", "replay", "sink"], *, tls: _TLS = False, **options: Any
    ) -> None:
        """Start a server. Not for direct use: the options are those of the native one."""
        self._mode = mode
        self._checksum: bool = options.get("checksum", True)
        self._ca_file: str | None = None
        cert_file, key_file = "", ""
        directory: str | None = None
        try:
            if tls is True:
                # Not a TemporaryDirectory: that one would be deleted by a forked child's exit.
                directory = tempfile.mkdtemp(prefix="wspool-")
                make_certificates(directory)
                self._ca_file = os.path.join(directory, "ca.pem")
                cert_file = os.path.join(directory, "cert.pem")
                key_file = os.path.join(directory, "key.pem")
            elif tls is not False:
                cert_file, key_file = _files(tls)
            self._native = native.LoopbackServer(
                mode, cert_file=cert_file, key_file=key_file, **options
            )
        except BaseException:
            _delete(directory)
            raise
        # Not a bound method of self: the finalizer would keep it alive. It runs at exit, too.
        self._finalizer = weakref.finalize(self, _finish, self._native, directory, os.getpid())

    @classmethod
    def echo(
        cls,
        *,
        tls: _TLS = False,
        host: str = "127.0.0.1",
        port: int = 0,
        subprotocols: Sequence[str] = (),
        max_size: int = _MAX_SIZE,
        checksum: bool = True,
    ) -> LoopbackServer:
        """Start a server that sends back every data frame, fragments one for one.

        Args:
            tls: True makes a throw-away certificate authority and a certificate for localhost,
                127.0.0.1 and ::1, valid for a day (`ca_file` is what a client must trust); a pair
                names a PEM certificate chain and its key.
            host: IP address to listen on, or "localhost".
            port: 0 is a free one; see `port` and `uri`.
            subprotocols: of these, the first that the client offers is selected.
            max_size: bytes of a received message; a longer one is answered with close 1009.
            checksum: compute `crc32_received` (and of an echo `crc32_sent`), about 1 ns a byte;
                a benchmark of sending may want it off.

        Raises:
            ValueError: an argument is out of range; the text names it.
            OSError: the address cannot be listened on.
        """
        common = _common(host=host, port=port, subprotocols=subprotocols, max_size=max_size)
        return cls("echo", tls=tls, checksum=checksum, **common)

    @classmethod
    def replay(
        cls,
        messages: Iterable[_Message],
        *,
        repeat: int | None = 1,
        rate: float | None = None,
        start: Literal["open", "message"] = "open",
        fragment: int | None = None,
        ping_every: int | None = None,
        close_after: bool = True,
        records: Literal["full", "message"] = "full",
        tls: _TLS = False,
        host: str = "127.0.0.1",
        port: int = 0,
        subprotocols: Sequence[str] = (),
        max_size: int = _MAX_SIZE,
    ) -> LoopbackServer:
        """Start a server that sends the same messages to each connection.

        The frames are built once, before this returns, and shared by all connections.

        Args:
            messages: str is sent as text, bytes-like as binary; at least one.
            repeat: how often the list is sent; None is until the client goes.
            rate: messages a second to each connection, at most 1e9, by a schedule that counts from
                the replay's start: what a stalled client missed follows at once. None is as fast
                as the socket takes.
            start: "open": right after the handshake; "message": at the client's first message.
            fragment: bytes of payload in a frame; longer messages are sent fragmented.
            ping_every: send a ping after each so many messages.
            close_after: close with 1000 after the last message; else keep the connection open.
            records: with TLS, "full": records of 16 KiB, whatever messages they hold; "message": a
                record for each message.
            tls, host, port, subprotocols, max_size: as for `echo`.

        Raises:
            TypeError: a message is neither str nor bytes-like.
            ValueError: an argument is out of range; the text names it.
            OSError: the address cannot be listened on.
        """
        if isinstance(messages, (str, bytes, bytearray, memoryview)):
            raise TypeError("messages: must be an iterable of messages, not one message")
        messages = list(messages)
        if not messages:
            raise ValueError("messages: at least one is needed")
        for position, message in enumerate(messages):
            if not isinstance(message, (str, bytes, bytearray, memoryview)):
                kind = type(message).__name__
                raise TypeError(f"messages[{position}]: must be str or bytes-like, not {kind}")
        if rate is not None and not (math.isfinite(rate) and 0 < rate <= 1e9):
            raise ValueError(f"rate: must be above 0 and at most 1e9, or None, not {rate!r}")
        return cls(
            "replay",
            tls=tls,
            messages=messages,
            repeat=None if repeat is None else _whole("repeat", repeat),
            rate=0.0 if rate is None else float(rate),
            start_on_message=_choice("start", start, ("open", "message")) == "message",
            fragment=0 if fragment is None else _whole("fragment", fragment),
            ping_every=0 if ping_every is None else _whole("ping_every", ping_every),
            close_after=close_after,
            record_per_message=_choice("records", records, ("full", "message")) == "message",
            **_common(host=host, port=port, subprotocols=subprotocols, max_size=max_size),
        )

    @classmethod
    def sink(
        cls,
        *,
        silent: bool = False,
        tls: _TLS = False,
        host: str = "127.0.0.1",
        port: int = 0,
        subprotocols: Sequence[str] = (),
        max_size: int = _MAX_SIZE,
        checksum: bool = True,
    ) -> LoopbackServer:
        """Start a server that reads and counts, and answers only pings and closes.

        Args:
            silent: answer not even those, so that a client's own deadlines are what ends it.
            tls, host, port, subprotocols, max_size, checksum: as for `echo`.

        Raises:
            ValueError: an argument is out of range; the text names it.
            OSError: the address cannot be listened on.
        """
        common = _common(host=host, port=port, subprotocols=subprotocols, max_size=max_size)
        return cls("sink", tls=tls, silent=silent, checksum=checksum, **common)

    @property
    def port(self) -> int:
        return self._native.port

    @property
    def uri(self) -> str:
        """Where to connect: "ws://127.0.0.1:PORT", with TLS "wss://localhost:PORT"."""
        return self._native.uri

    @property
    def ca_file(self) -> str | None:
        """PEM file of the throw-away authority while the server runs; None without `tls=True`."""
        return self._ca_file

    @property
    def running(self) -> bool:
        """False after `close`, and in a forked child."""
        return self._native.running

    @property
    def connections(self) -> list[ServerConnection]:
        """A record of every connection since the start; also valid after `close`."""
        records = []
        for fields in self._native.connections():
            if not self._checksum:
                fields["crc32_received"] = None
            records.append(ServerConnection(**fields))
        return records

    def wait_connections(self, count: int, timeout: float | None = 10) -> bool:
        """Wait until `count` connections have been opened since the start.

        Args:
            count: how many, closed ones included.
            timeout: seconds; None waits for ever.

        Returns:
            False if the time was up first.

        Raises:
            ValueError: an argument is out of range.
        """
        return self._native.wait_connections(_whole("count", count, 0), _seconds(timeout))

    def wait_idle(self, timeout: float | None = 10) -> bool:
        """Wait until every accepted connection is finished; as `wait_connections`."""
        return self._native.wait_idle(_seconds(timeout))

    def wait_messages(
        self, *, sent: int = 0, received: int = 0, timeout: float | None = 10
    ) -> bool:
        """Wait until all connections together sent and received so many messages.

        Args:
            sent: messages handed to sockets in full.
            received: messages whose last fragment came.
            timeout: seconds; None waits for ever.

        Returns:
            False if the time was up first.

        Raises:
            ValueError: an argument is out of range.
        """
        return self._native.wait_messages(
            _whole("sent", sent, 0), _whole("received", received, 0), _seconds(timeout)
        )

    def send_ping(self, payload: bytes = b"") -> None:
        """Send a ping on every open connection.

        Raises:
            ValueError: the payload is longer than 125 bytes (RFC 6455 section 5.5).
        """
        if len(payload) > 125:
            raise ValueError(f"payload: at most 125 bytes, not {len(payload)}")
        self._native.send_ping(bytes(payload))

    def close_connections(self, code: int = 1000, reason: str = "") -> None:
        """Start the closing handshake on every open connection; returns at once.

        Args:
            code: any number, so that tests may send what RFC 6455 section 7.4 forbids; 1005 sends
                a close frame without a code.
            reason: at most 123 bytes as UTF-8.

        Raises:
            ValueError: `code` or `reason` does not fit into a close frame.
        """
        if not 0 <= code <= 0xFFFF:
            raise ValueError(f"code: must be from 0 to 65535, not {code}")
        if len(reason.encode()) > 123:
            raise ValueError("reason: at most 123 bytes as UTF-8")
        self._native.close_connections(code, reason)

    def abort_connections(self) -> None:
        """Drop every connection with a TCP reset; returns at once."""
        self._native.abort_connections()

    def close(self, timeout: float = 1) -> None:
        """Stop listening, close the connections with 1001 and stop the thread.

        Closing twice is harmless. Throw-away certificates are deleted.

        Args:
            timeout: seconds that the clients get to answer; who doesn't is dropped.

        Raises:
            ValueError: `timeout` is negative or not a number.
        """
        seconds = _seconds(timeout)
        self._native.close(0.0 if seconds is None else seconds)
        self._finalizer()

    def __enter__(self) -> LoopbackServer:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        if not self.running:
            return f"<LoopbackServer {self._mode} {self.uri} closed>"
        records = self._native.connections()
        live = sum(not record["finished"] for record in records)
        return f"<LoopbackServer {self._mode} {self.uri} live={live} total={len(records)}>"


echo = LoopbackServer.echo
replay = LoopbackServer.replay
sink = LoopbackServer.sink


def _finish(server: native.LoopbackServer, directory: str | None, owner: int) -> None:
    if os.getpid() != owner:  # after a fork: thread and files are the parent's
        return
    server.close(0.0)
    _delete(directory)


def _delete(directory: str | None) -> None:
    if directory is not None:
        shutil.rmtree(directory, ignore_errors=True)


def _files(tls: _TLS) -> tuple[str, str]:
    if not isinstance(tls, tuple) or len(tls) != 2:
        raise ValueError("tls: must be a bool or a pair (certificate file, key file)")
    for path in tls:
        if not Path(path).is_file():
            raise ValueError(f"tls: no such file: {os.fspath(path)!r}")
    return os.fspath(tls[0]), os.fspath(tls[1])


def _common(*, host: str, port: int, subprotocols: Sequence[str], max_size: int) -> dict[str, Any]:
    if isinstance(subprotocols, str):
        raise ValueError("subprotocols: must be a sequence of names, not one name")
    if not 0 <= port <= 0xFFFF:
        raise ValueError(f"port: must be from 0 to 65535, not {port}")
    return {
        "host": host,
        "port": port,
        "subprotocols": list(subprotocols),
        "max_size": _whole("max_size", max_size),
    }


def _whole(name: str, value: int, least: int = 1) -> int:
    if not least <= value <= _MAX_U64:
        raise ValueError(f"{name}: must be at least {least}, not {value}")
    return value


def _choice(name: str, value: str, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        raise ValueError(f"{name}: must be one of {', '.join(map(repr, allowed))}, not {value!r}")
    return value


def _seconds(timeout: float | None) -> float | None:
    if timeout is not None and not timeout >= 0:
        raise ValueError(f"timeout: must be 0 or more seconds, or None, not {timeout!r}")
    return timeout
