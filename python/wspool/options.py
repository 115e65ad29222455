"""The keyword options of a connection: what they may be, and how the core gets them."""

from __future__ import annotations

import logging
import math
import os
import re
import ssl as ssl_module
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict

from . import native
from .compression import Deflate
from .tls import TLS, native_context, trust_for_redirects

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["ConnectionOptions", "HeadersInput", "HeadersSource", "Options"]

HeadersInput: TypeAlias = "Mapping[str, str] | Iterable[tuple[str, str]]"
HeadersSource: TypeAlias = "HeadersInput | Callable[[], HeadersInput | None]"
LoggerLike: TypeAlias = "logging.Logger | logging.LoggerAdapter[Any]"

#: Value of User-Agent unless another is given.
USER_AGENT = f"Python/{sys.version_info[0]}.{sys.version_info[1]} wspool/{native.__version__}"

#: Nobody waits for longer; the core counts in milliseconds and adds.
_LONGEST = 10 * 365 * 24 * 3600.0
_UNLIMITED = 2**63 - 1
#: In the core's order.
_OVERFLOWS = ("pause", "drop_oldest", "drop_newest", "error")
_LONGEST_UNIX_PATH = 107  # of Linux, without the NUL; the core knows that of other systems
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110 section 5.6.2
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class ConnectionOptions(TypedDict, total=False):
    """The options of ``create_new_connection``; see ``Options`` for what they mean."""

    additional_headers: HeadersSource | None
    user_agent_header: str | None
    origin: str | None
    subprotocols: Iterable[str] | None
    compression: str | Deflate | None
    ssl: ssl_module.SSLContext | TLS | bool | None
    server_hostname: str | None
    proxy: bool | None
    local_addr: tuple[str, int] | None
    unix_path: str | os.PathLike[str] | None
    open_timeout: float | None
    ping_interval: float | None
    ping_timeout: float | None
    close_timeout: float | None
    max_size: int | None
    max_queue: int | tuple[int | None, int | None] | None
    max_queue_bytes: int | None
    overflow: str
    write_limit: int | None
    logger: LoggerLike | None


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of one connection, checked. Immutable; any thread may use it.

    Make it with ``Options.from_kwargs``, which checks. Times are in seconds, and None switches
    that deadline off; sizes are in bytes, and None is no bound.
    """

    additional_headers: tuple[tuple[str, str], ...] | Callable[[], HeadersInput | None] = field(
        default=(), repr=False
    )
    """Further headers of the opening request: a mapping, or pairs of name and value. Or a
    function of no arguments that returns them, called whenever a connection is made; what it
    raises, the caller gets. A redirect to another origin is sent no Authorization, Cookie,
    Proxy-Authorization and Host."""
    user_agent_header: str | None = USER_AGENT
    """Value of User-Agent; None sends none."""
    origin: str | None = None
    """Value of Origin (RFC 6454), for servers that ask for one."""
    subprotocols: tuple[str, ...] = ()
    """Subprotocols to offer, in order of preference (RFC 6455 section 1.9)."""
    compression: str | Deflate | None = "deflate"
    """``"deflate"`` or a ``Deflate`` offers compression of messages (RFC 7692); None does not."""
    ssl: ssl_module.SSLContext | TLS | None = None
    """For wss: None verifies with the default trust; else a ``TLS`` or an ``ssl.SSLContext``."""
    server_hostname: str | None = None
    """Name for SNI and in the certificate, if it is not the host of the URI."""
    proxy: bool | None = True
    """True or None. So far connections are direct in either case."""
    local_addr: tuple[str, int] | None = None
    """Local address and port to connect from; port 0 takes any."""
    unix_path: str | None = None
    """Unix socket to connect to. The URI still says scheme, Host header and path."""
    open_timeout: float | None = 10
    """For name look-up, TCP, TLS, the opening handshake and redirects together."""
    ping_interval: float | None = 20
    """Between keepalive pings (RFC 6455 section 5.5.2)."""
    ping_timeout: float | None = 20
    """Without any byte from the peer after a ping; then the connection ends with 1011."""
    close_timeout: float | None = 10
    """For the peer's close frame and the end of TCP (RFC 6455 section 7.1.1)."""
    max_size: int | None = 2**20
    """Largest message; a larger one ends the connection with 1009."""
    max_queue: tuple[int | None, int | None] = (4096, 1024)
    """Messages that may wait for their consumer: (stop reading at, go on at)."""
    max_queue_bytes: int | None = 16 * 2**20
    """And their payload together; whichever bound comes first."""
    overflow: str = "pause"
    """What happens at that bound: ``"pause"`` stops reading, so that TCP pushes back;
    ``"drop_oldest"`` and ``"drop_newest"`` drop messages, counted in ``dropped``; ``"error"``
    closes the connection with 1008. With callbacks it is always ``"pause"``."""
    write_limit: int | None = 64 * 2**20
    """What may wait to be written; above it ``send`` waits, inside a callback it raises."""
    logger: LoggerLike = field(default_factory=lambda: logging.getLogger("wspool"), repr=False)
    """Where exceptions of callbacks go if there is no ``on_error``."""

    @classmethod
    def from_kwargs(cls, **options: Unpack[ConnectionOptions]) -> Options:
        """Check options.

        Raises:
            TypeError: If an option is unknown or has the wrong type; the text names it.
            ValueError: If an option has a value that it cannot have, or does not go with
                another; the text names it.
        """
        checked: dict[str, Any] = {}
        for name, value in options.items():
            check = _CHECKS.get(name)
            if check is None:
                hint = get_close_matches(name, _CHECKS, n=1)
                did_you_mean = f"; did you mean {hint[0]!r}?" if hint else ""
                raise TypeError(f"unknown option {name!r}{did_you_mean}")
            checked[name] = check(name, value)
        made = cls(**checked)
        if made.unix_path is not None and made.local_addr is not None:
            raise ValueError("unix_path is incompatible with local_addr")
        return made

    def for_uri(self, uri: str) -> Options:
        """Check that the options fit the URI; returns them.

        Raises:
            ValueError: If TLS settings are given for a ws:// URI.
        """
        if uri[:3].lower() == "ws:":
            if self.ssl is not None:
                raise ValueError("ssl is incompatible with a ws:// URI")
            if self.server_hostname is not None:
                raise ValueError("server_hostname is incompatible with a ws:// URI")
        return self

    def to_native(self, *, secure: bool) -> dict[str, object]:
        """Return the options as the core takes them.

        Args:
            secure: Whether the URI is wss://; only then the TLS settings are made.

        Raises:
            Exception: What a function given as ``additional_headers`` raises.
            TypeError: If it returns something else than headers.
            ValueError: If it returns a header that cannot be sent, if the SSLContext has a
                setting that cannot be taken over, or a certificate file is not what it should be.
            OSError: If a certificate file cannot be read.
        """
        host, port = self.local_addr or ("", 0)
        headers = self.additional_headers
        if callable(headers):
            headers = _headers("additional_headers()", headers())
        compression = Deflate() if self.compression == "deflate" else self.compression
        ca_file, ca_path = ("", "") if secure else trust_for_redirects()
        return {
            "additional_headers": [(name, value.encode("latin-1")) for name, value in headers],
            "user_agent": (self.user_agent_header or "").encode("latin-1"),
            "origin": self.origin or "",
            "subprotocols": list(self.subprotocols),
            "deflate": compression.to_native() if isinstance(compression, Deflate) else None,
            "tls": native_context(self.ssl) if secure else None,
            "default_ca_file": ca_file,
            "default_ca_path": ca_path,
            "server_hostname": self.server_hostname or "",
            "local_address": host,
            "local_port": port,
            "unix_path": os.fsencode(self.unix_path or ""),
            "open_timeout": _milliseconds(self.open_timeout),
            "ping_interval": _milliseconds(self.ping_interval),
            "ping_timeout": _milliseconds(self.ping_timeout),
            "close_timeout": _milliseconds(self.close_timeout),
            "max_size": _bound(self.max_size),
            "max_queue": _bound(self.max_queue[0]),
            "max_queue_low": _bound(self.max_queue[1]),
            "overflow": _OVERFLOWS.index(self.overflow),
            "max_queue_bytes": _bound(self.max_queue_bytes),
            "write_limit": _bound(self.write_limit),
        }


def _milliseconds(seconds: float | None) -> int:
    return 0 if seconds is None else max(1, math.ceil(seconds * 1000))


def _bound(size: int | None) -> int:
    return _UNLIMITED if size is None else size


def _wrong_type(name: str, wanted: str, value: object) -> TypeError:
    return TypeError(f"{name} must be {wanted}, not {type(value).__name__}")


def _string(name: str, value: object) -> str | None:
    """Check a value that goes into a header, or None."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise _wrong_type(name, "a str or None", value)
    return _header_value(name, value)


def _header_value(name: str, value: str) -> str:
    if _CONTROL.search(value):
        raise ValueError(f"{name} must not hold line breaks or other control characters")
    try:
        value.encode("latin-1")
    except UnicodeEncodeError:
        raise ValueError(f"{name} must hold ISO-8859-1 characters only") from None
    return value


def _headers_source(
    name: str, value: object
) -> tuple[tuple[str, str], ...] | Callable[[], HeadersInput | None]:
    if callable(value) and not isinstance(value, Iterable):
        return value
    return _headers(name, value)


def _headers(name: str, value: object) -> tuple[tuple[str, str], ...]:
    if value is None:
        return ()
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise _wrong_type(name, "a mapping or pairs of str", value)
    raw = getattr(value, "raw_items", None)  # wspool.Headers and alike keep repeated names
    if callable(raw):
        items = list(raw())
    else:
        items = list(value.items() if isinstance(value, Mapping) else value)
    headers = []
    for item in items:
        if not isinstance(item, (tuple, list)) or len(item) != 2:
            raise _wrong_type(name, "a mapping or pairs of str", item)
        header, content = item
        if not isinstance(header, str) or not isinstance(content, str):
            raise TypeError(f"{name} must have names and values of type str")
        if not _TOKEN.fullmatch(header):
            raise ValueError(f"{name}: {header!r} is not a header name")
        headers.append((header, _header_value(f"{name}: the value of {header}", content)))
    return tuple(headers)


def _subprotocols(name: str, value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise _wrong_type(name, "a list of str", value)
    subprotocols = tuple(value)
    for subprotocol in subprotocols:
        if not isinstance(subprotocol, str):
            raise _wrong_type(name, "a list of str", subprotocol)
        if not _TOKEN.fullmatch(subprotocol):
            raise ValueError(f"{name}: {subprotocol!r} is not a subprotocol (RFC 6455 section 4.1)")
    if len(set(subprotocols)) != len(subprotocols):
        raise ValueError(f"{name} must be unique (RFC 6455 section 4.1)")
    return subprotocols


def _compression(name: str, value: object) -> str | Deflate | None:
    if value is None or isinstance(value, Deflate):
        return value
    if value == "deflate":
        return "deflate"
    raise ValueError(f"{name} must be 'deflate', a wspool.Deflate or None, not {value!r}")


def _ssl(name: str, value: object) -> ssl_module.SSLContext | TLS | None:
    if value is None or value is True:
        return None
    if isinstance(value, (ssl_module.SSLContext, TLS)):
        return value
    raise _wrong_type(name, "an ssl.SSLContext, a wspool.TLS, True or None", value)


def _hostname(name: str, value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise _wrong_type(name, "a str or None", value)
    if not value or re.search(r"[\x00-\x20\x7f/]", value):
        raise ValueError(f"{name} must be a host name")
    return value


def _proxy(name: str, value: object) -> bool | None:
    if value is None or value is True:
        return value
    raise ValueError(f"{name} must be True or None: proxies are not supported yet")


def _local_addr(name: str, value: object) -> tuple[str, int] | None:
    if value is None:
        return None
    if not isinstance(value, tuple) or len(value) != 2:
        raise _wrong_type(name, "(host, port) or None", value)
    host, port = value
    if not isinstance(host, str) or not isinstance(port, int) or isinstance(port, bool):
        raise TypeError(f"{name} must be (host, port), a str and an int")
    if not 0 <= port <= 65535:
        raise ValueError(f"{name} must have a port in 0..65535")
    return host, port


def _unix_path(name: str, value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, (str, os.PathLike)):
        raise _wrong_type(name, "a str, an os.PathLike or None", value)
    path = os.fspath(value)
    if not isinstance(path, str):
        raise _wrong_type(name, "a path of str", path)
    if not path or "\0" in path:
        raise ValueError(f"{name} must be the path of a socket")
    if len(os.fsencode(path)) > _LONGEST_UNIX_PATH:
        raise ValueError(f"{name} must have at most {_LONGEST_UNIX_PATH} bytes")
    return path


def _seconds(name: str, value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _wrong_type(name, "a number of seconds or None", value)
    if math.isnan(value) or value <= 0:
        raise ValueError(f"{name} must be above zero, or None to switch it off")
    return min(value, _LONGEST)


def _size(least: int) -> Callable[[str, object], int | None]:
    def check(name: str, value: object) -> int | None:
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            raise _wrong_type(name, "an int or None", value)
        if value < least:
            raise ValueError(f"{name} must be at least {least}, or None for no bound")
        return min(value, _UNLIMITED)

    return check


def _queue(name: str, value: object) -> tuple[int | None, int | None]:
    if isinstance(value, tuple):
        if len(value) != 2:
            raise ValueError(f"{name} must be an int or (high, low)")
        high, low = (_size(least)(name, bound) for least, bound in zip((1, 0), value, strict=True))
    else:
        high, low = _size(1)(name, value), None
    if low is None and high is not None:
        low = high // 4
    if low is not None and high is not None and low > high:
        raise ValueError(f"{name} must be (high, low) with low <= high")
    return high, low


def _overflow(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise _wrong_type(name, "a str", value)
    if value not in _OVERFLOWS:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, _OVERFLOWS))}, not {value!r}")
    return value


def _logger(name: str, value: object) -> LoggerLike:
    if value is None:
        return logging.getLogger("wspool")
    if isinstance(value, (logging.Logger, logging.LoggerAdapter)):
        return value
    raise _wrong_type(name, "a logging.Logger or None", value)


_CHECKS: dict[str, Callable[[str, object], object]] = {
    "additional_headers": _headers_source,
    "user_agent_header": _string,
    "origin": _string,
    "subprotocols": _subprotocols,
    "compression": _compression,
    "ssl": _ssl,
    "server_hostname": _hostname,
    "proxy": _proxy,
    "local_addr": _local_addr,
    "unix_path": _unix_path,
    "open_timeout": _seconds,
    "ping_interval": _seconds,
    "ping_timeout": _seconds,
    "close_timeout": _seconds,
    "max_size": _size(0),
    "max_queue": _queue,
    "max_queue_bytes": _size(1),
    "overflow": _overflow,
    "write_limit": _size(1),
    "logger": _logger,
}
