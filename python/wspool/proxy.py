"""Which proxy a connection goes through."""

from __future__ import annotations

import os
import urllib.request
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import unquote, urlsplit

from .tls import TLS, native_context

if TYPE_CHECKING:
    import ssl

    from . import native

__all__ = ["NativeProxy", "check_proxy", "find_proxy", "native_proxy"]

#: kind, host, port, user or None, password, TLS context or None, name in the certificate.
NativeProxy: TypeAlias = "tuple[int, str, int, str | None, str, native.TLSContext | None, str]"

#: The core's numbers, and the port of each if none is given.
_KINDS = {"http": (1, 80), "https": (2, 443), "socks5": (3, 1080), "socks5h": (4, 1080)}
_HTTPS = 2
_ENCODE = "a '/', '#' or '?' in the password must be percent-encoded"


def check_proxy(proxy: str) -> str:
    """Check the URI of a proxy; returns it.

    Raises:
        ValueError: If it is none that can be used; the text holds no credentials.
    """
    _parse(proxy, "proxy")
    return proxy


def find_proxy(uri: str) -> tuple[str, str] | None:
    """Return the proxy that the environment names for a URI, and where it does, or None.

    Looked for are, for wss, ``wss_proxy``, ``https_proxy`` and ``all_proxy``; for ws,
    ``ws_proxy``, ``https_proxy``, ``http_proxy`` and ``all_proxy``: in lower or upper case, but
    ``http_proxy`` in lower case only where this is a CGI program. A SOCKS proxy of the system's
    settings comes before https. Hosts in ``no_proxy`` are connected to directly. On macOS and
    Windows the system's settings count where the environment says nothing.
    """
    proxies = urllib.request.getproxies()
    if not proxies:
        return None
    try:
        parts = urlsplit(uri)
        secure = parts.scheme.lower() == "wss"
        host, port = parts.hostname or "", parts.port or (443 if secure else 80)
    except ValueError:
        return None  # what is wrong with it, the core says
    if _is_bypassed(host, port, proxies):
        return None
    kinds = ("wss", "socks", "https", "all") if secure else ("ws", "socks", "https", "http", "all")
    for kind in kinds:
        proxy = proxies.get(kind)
        if not proxy:
            continue
        if "://" not in proxy:
            proxy = f"http://{proxy}"
        if kind == "socks" and proxy.startswith("http://"):
            proxy = "socks5h://" + proxy.removeprefix("http://")  # as the system's settings say it
        return proxy, _name_of(kind)
    return None


def _name_of(kind: str) -> str:
    """Return the variable that names a proxy, in lower case or upper."""
    names = (f"{kind}_proxy", f"{kind}_proxy".upper())
    return next((name for name in names if os.environ.get(name)), "the system's proxy")


def _is_bypassed(host: str, port: int, proxies: dict[str, str]) -> bool:
    # With brackets an address would not be recognised; names are compared with and without port.
    return bool(
        urllib.request.proxy_bypass(f"{host}:{port}")
        or (":" in host and urllib.request.proxy_bypass(host))
        or proxies.get("no") == "*"
    )


def native_proxy(
    proxy: str,
    tls: ssl.SSLContext | TLS | None,
    server_hostname: str | None,
    subject: str = "proxy",
) -> NativeProxy:
    """Return a proxy as the core takes it.

    Args:
        proxy: Its URI.
        tls: Settings for an https:// proxy; None verifies with the default trust.
        server_hostname: Name in the proxy's certificate; None is its host.
        subject: What errors are about.

    Raises:
        ValueError: If it is none that can be used; the text holds no credentials.
    """
    kind, host, port, user, password = _parse(proxy, subject)
    context = native_context(tls) if kind == _HTTPS else None
    return kind, host, port, user, password, context, server_hostname or ""


def _parse(proxy: str, subject: str) -> tuple[int, str, int, str | None, str]:
    # What urllib says of a URI that it cannot take may hold a part of the password.
    try:
        parts = urlsplit(proxy)
    except ValueError:
        raise ValueError(f"{subject} is not a URI: its host is none") from None
    try:
        port = parts.port
    except ValueError:
        text = f"{subject} is not a URI: its port is not a number up to 65535; {_ENCODE}"
        raise ValueError(text) from None
    if parts.scheme not in _KINDS:
        known = ", ".join(f"{scheme}://" for scheme in _KINDS)
        raise ValueError(f"{subject} must begin with one of {known}")
    if not parts.hostname:
        raise ValueError(f"{subject} has no host")
    if parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise ValueError(
            f"{subject} must be a URI of scheme, user, password, host and port only; {_ENCODE}"
        )
    kind, default = _KINDS[parts.scheme]
    user = None if parts.username is None else unquote(parts.username)
    password = unquote(parts.password or "")
    if user is not None and kind > _HTTPS and not (0 < len(user.encode()) < 256):
        raise ValueError(f"{subject}: a SOCKS5 user must have 1 to 255 bytes (RFC 1929)")
    if kind > _HTTPS and len(password.encode()) > 255:
        raise ValueError(f"{subject}: a SOCKS5 password must have at most 255 bytes (RFC 1929)")
    return kind, parts.hostname, default if port is None else port, user, password
