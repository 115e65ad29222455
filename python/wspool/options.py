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
from .checking import check_ordinary
from .compression import Deflate
from .proxy import check_proxy, find_proxy, native_proxy
from .reconnecting import (
    Acknowledgement,
    Attempt,
    AttemptSource,
    Match,
    Reconnect,
    Subscriptions,
    check_match,
    check_messages,
)
from .tls import TLS, native_context, trust_for_redirects
from .uri import to_ascii

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["ConnectionOptions", "HeadersInput", "HeadersSource", "Options", "URISource"]

HeadersInput: TypeAlias = "Mapping[str, str] | Iterable[tuple[str, str]]"
HeadersSource: TypeAlias = "HeadersInput | Callable[[], HeadersInput | None]"
#: A URI, or a function that makes it for each attempt to connect.
URISource: TypeAlias = "str | Callable[[], str]"
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
    proxy: str | bool | None
    proxy_ssl: ssl_module.SSLContext | TLS | None
    proxy_server_hostname: str | None
    local_addr: tuple[str, int] | None
    unix_path: str | os.PathLike[str] | None
    open_timeout: float | None
    ping_interval: float | None
    ping_timeout: float | None
    close_timeout: float | None
    idle_timeout: float | None
    reconnect: Reconnect | bool | None
    on_connect: Subscriptions | None
    subscriptions: Subscriptions | None
    match: Match | None
    events: bool
    replace_after: float | None
    redundancy: int
    dedup: str | Iterable[str] | None
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
    function of no arguments that returns them, called whenever a connection is made: what it
    raises, the caller gets; with ``reconnect``, for each attempt on a thread of its own, and what
    it raises is an attempt that failed. A redirect to another origin is sent no Authorization,
    Cookie, Proxy-Authorization and Host."""
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
    proxy: str | bool | None = field(default=True, repr=False)
    """True takes the proxy that the environment names (``wss_proxy``, ``https_proxy``,
    ``all_proxy``, but ``no_proxy``), if any; None connects directly. Or the URI of one:
    ``http://``, ``https://`` (CONNECT, Basic), ``socks5://`` (names are looked up here),
    ``socks5h://`` (by the proxy), with user and password if need be."""
    proxy_ssl: ssl_module.SSLContext | TLS | None = None
    """For a proxy with https://: as ``ssl``."""
    proxy_server_hostname: str | None = None
    """Name for SNI and in the proxy's certificate, if it is not its host."""
    local_addr: tuple[str, int] | None = None
    """Local address and port to connect from; port 0 takes any."""
    unix_path: str | None = None
    """Unix socket to connect to. The URI still says scheme, Host header and path."""
    open_timeout: float | None = 10
    """For functions that make the attempt, name look-up, TCP, proxy, TLS, the opening handshake,
    redirects, and what ``match`` waits for together."""
    ping_interval: float | None = 20
    """Between keepalive pings (RFC 6455 section 5.5.2)."""
    ping_timeout: float | None = 20
    """Without any byte from the peer after a ping; then the connection ends with 1011."""
    close_timeout: float | None = 10
    """For the peer's close frame and the end of TCP (RFC 6455 section 7.1.1)."""
    idle_timeout: float | None = None
    """Without a message from the peer, whatever its pongs say; then the connection ends with 1011.
    Time in which nothing is read because the consumer is slow does not count."""
    reconnect: Reconnect | None = None
    """Makes the connection again when it is lost; True is ``Reconnect()``, None does not. Its
    handle stays the same, and what it received before is still handed out."""
    on_connect: tuple[str | bytes, ...] | Callable[[], Any] = field(default=(), repr=False)
    """Messages sent whenever the connection is open, before it counts as ready: a login, for
    one. Or a function of no arguments that returns them, called before each attempt on a thread of
    its own, so that what it signs or dates is fresh."""
    subscriptions: tuple[str | bytes, ...] | Callable[[], Any] = field(default=(), repr=False)
    """The same; sent after those of ``on_connect``."""
    match: tuple[Acknowledgement, ...] = ()
    """What must come before the connection counts as ready, within ``open_timeout``: a text that
    a message contains, or a mapping of JSON Pointers to values as in ``Fields(where=...)``, or
    several of these, in any order. Messages are held back meanwhile, and then handed out."""
    events: bool = False
    """Whether ``recv`` and iteration also hand out ``Opened``, ``Gap`` and ``Closed``, in order
    with the messages."""
    replace_after: float | None = None
    """A connection so old, or at random up to a tenth younger, is replaced by a successor, for
    servers that end connections after a day. The old one is closed when the successor is ready,
    and what it still receives comes first. Nothing is missed if it answers our close frame; else
    there is a ``Gap``. Without ``dedup`` some messages may come twice."""
    redundancy: int = 1
    """The same feed over so many connections at once; needs ``dedup``. What is sent goes to all."""
    dedup: tuple[str, ...] = ()
    """JSON Pointers to the values that together name a message. Of messages with the same, the
    first that arrives is handed out; the last 65,536 names are known."""
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
        if made.unix_path is not None and isinstance(made.proxy, str):
            raise ValueError("unix_path is incompatible with proxy")
        if made.redundancy > 1 and not made.dedup:
            raise ValueError("redundancy needs dedup, which tells a message from its copy")
        return made

    def is_feed(self, uri: object) -> bool:
        """Tell whether one handle stands for several connections, one after the other."""
        return bool(
            callable(uri)
            or self.reconnect
            or self.on_connect
            or self.subscriptions
            or self.match
            or self.replace_after is not None
            or self.redundancy > 1
            or self.dedup
            or self.events
        )

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

    def to_native(
        self,
        uri: URISource,
        *,
        until_open: bool = False,
        failures: int = 0,
    ) -> tuple[dict[str, object], AttemptSource]:
        """Return the options as the core takes them, and the user code in them.

        Args:
            uri: In ASCII, or what makes it. TLS settings are made only if it is not ws://.
            until_open: Reconnect only until it is open for the first time.
            failures: Attempts that have failed in a row before.

        Raises:
            Exception: What a function given as ``additional_headers`` raises.
            TypeError: If it returns something else than headers.
            ValueError: If it returns a header that cannot be sent, if the SSLContext has a
                setting that cannot be taken over, or a certificate file is not what it should be.
            OSError: If a certificate file cannot be read.
        """
        host, port = self.local_addr or ("", 0)
        secure = isinstance(uri, str) and uri[:4].lower() == "wss:"
        is_feed = self.is_feed(uri)
        prepares = any(map(callable, (uri, self.on_connect, self.subscriptions))) or (
            is_feed and callable(self.additional_headers)
        )
        messages: list[str | bytes] = []
        if not (prepares or callable(self.on_connect) or callable(self.subscriptions)):
            messages = [*self.on_connect, *self.subscriptions]
        headers = () if prepares else self._made_headers()
        source = AttemptSource(
            (lambda tell: self._attempt(uri, tell)) if prepares else None,
            self.reconnect,
            self.logger,
            timeout=self.open_timeout,
            goes_on=(self.reconnect is not None and not until_open)
            or self.replace_after is not None
            or self.redundancy > 1,
        )
        compression = Deflate() if self.compression == "deflate" else self.compression
        ca_file, ca_path = ("", "") if secure else trust_for_redirects()
        made: dict[str, object] = {
            "additional_headers": _encoded_headers(headers),
            "user_agent": (self.user_agent_header or "").encode("latin-1"),
            "origin": self.origin or "",
            "subprotocols": list(self.subprotocols),
            "deflate": compression.to_native() if isinstance(compression, Deflate) else None,
            "tls": native_context(self.ssl) if secure or self.ssl is not None else None,
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
            "idle_timeout": _milliseconds(self.idle_timeout),
            "proxy": self._made_proxy(uri) if isinstance(uri, str) and not prepares else None,
            "reconnect": self.reconnect
            and self.reconnect.to_native(until_open=until_open, failures=failures),
            "subscriptions": messages,
            "match": list(self.match),
            "events": self.events,
            "replace_after": _milliseconds(self.replace_after),
            "redundancy": self.redundancy,
            "dedup": list(self.dedup),
            "source": source.to_native(),
            "log": native_log(self.logger),
            "max_size": _bound(self.max_size),
            "max_queue": _bound(self.max_queue[0]),
            "max_queue_low": _bound(self.max_queue[1]),
            "overflow": _OVERFLOWS.index(self.overflow),
            "max_queue_bytes": _bound(self.max_queue_bytes),
            "write_limit": _bound(self.write_limit),
        }
        return made, source

    def _made_headers(self) -> tuple[tuple[str, str], ...]:
        headers = self.additional_headers
        return _headers("additional_headers()", headers()) if callable(headers) else headers

    def _made_proxy(self, uri: str) -> object:
        if self.unix_path is not None:
            return None
        found = find_proxy(uri) if self.proxy is True else (self.proxy, "proxy")
        if found is None or not isinstance(found[0], str):
            return None
        return native_proxy(found[0], self.proxy_ssl, self.proxy_server_hostname, found[1])

    def _attempt(self, uri: URISource, tell: Callable[[str], None]) -> Attempt:
        """Make what one attempt needs; on a thread for user code. ``tell`` gets what is called."""
        if callable(uri):
            tell("uri()")
            text = uri()
            if not isinstance(text, str):
                raise TypeError(f"uri() must return a str, not {type(text).__name__}")
            uri = to_ascii(text)
        messages: list[str | bytes] = []
        for name in ("on_connect", "subscriptions"):
            given = getattr(self, name)
            if callable(given):
                tell(f"{name}()")
                given = check_messages(f"{name}()", given())
            messages += given
        if callable(self.additional_headers):
            tell("additional_headers()")
        headers = _encoded_headers(self._made_headers())
        return Attempt(uri, headers, tuple(messages), self._made_proxy(uri))


# That a connection was lost is told by an exception as well, so that without any logging set up it
# need not be printed, as Python does with warnings. That a feed tries again nobody else says.
logging.getLogger("wspool.connection").addHandler(logging.NullHandler())
#: Python's level for each of the core's.
_LEVELS = (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR)


def native_log(logger: LoggerLike) -> tuple[Callable[[int, str, str], None], int] | None:
    """Return where the core writes its log, and from which level on; None for nowhere.

    With the default logger each topic has a logger of its own below it.
    """
    least = next((i for i, level in enumerate(_LEVELS) if logger.isEnabledFor(level)), None)
    if least is None:
        return None
    has_topics = isinstance(logger, logging.Logger) and logger.name == "wspool"

    def write(level: int, topic: str, text: str) -> None:
        of_topic = logging.getLogger(f"wspool.{topic}") if has_topics else logger
        of_topic.log(_LEVELS[level], "%s", text)

    return write, least


def _encoded_headers(headers: tuple[tuple[str, str], ...]) -> list[tuple[str, bytes]]:
    return [(name, value.encode("latin-1")) for name, value in headers]


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
        return check_ordinary(name, value)
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


def _proxy(name: str, value: object) -> str | bool | None:
    if value is None or value is True:
        return value
    if not isinstance(value, str):
        raise _wrong_type(name, "a URI, True or None", value)
    return check_proxy(value)


def _proxy_ssl(name: str, value: object) -> ssl_module.SSLContext | TLS | None:
    return _ssl(name, value)


def _reconnect(name: str, value: object) -> Reconnect | None:
    if value is None or value is False:
        return None
    if value is True:
        return Reconnect()
    if isinstance(value, Reconnect):
        return value
    raise _wrong_type(name, "a wspool.Reconnect, True or None", value)


def _subscriptions(name: str, value: object) -> object:
    return check_ordinary(name, value) if callable(value) else check_messages(name, value)


def _flag(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise _wrong_type(name, "a bool", value)
    return value


def _redundancy(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _wrong_type(name, "an int", value)
    if not 1 <= value <= 16:
        raise ValueError(f"{name} must be in 1..16")
    return value


def _dedup(name: str, value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    pointers = (value,) if isinstance(value, str) else value
    if not isinstance(pointers, Iterable) or isinstance(pointers, (bytes, Mapping)):
        raise _wrong_type(name, "a JSON Pointer, several of them, or None", value)
    checked = tuple(pointers)
    for pointer in checked:
        if not isinstance(pointer, str):
            raise _wrong_type(name, "JSON Pointers of type str", pointer)
        if not pointer.startswith("/"):
            raise ValueError(f"{name}: a JSON Pointer (RFC 6901) begins with /, not {pointer!r}")
    return checked


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
    "proxy_ssl": _proxy_ssl,
    "proxy_server_hostname": _hostname,
    "local_addr": _local_addr,
    "unix_path": _unix_path,
    "open_timeout": _seconds,
    "ping_interval": _seconds,
    "ping_timeout": _seconds,
    "close_timeout": _seconds,
    "idle_timeout": _seconds,
    "reconnect": _reconnect,
    "on_connect": _subscriptions,
    "subscriptions": _subscriptions,
    "match": check_match,
    "events": _flag,
    "replace_after": _seconds,
    "redundancy": _redundancy,
    "dedup": _dedup,
    "max_size": _size(0),
    "max_queue": _queue,
    "max_queue_bytes": _size(1),
    "overflow": _overflow,
    "write_limit": _size(1),
    "logger": _logger,
}
