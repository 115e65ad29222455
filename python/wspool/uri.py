"""Internationalised URIs: from what people write to what goes on the wire."""

from __future__ import annotations

import re
from urllib.parse import quote

from .exceptions import InvalidURI, redact_invalid_uri

__all__ = ["to_ascii"]

_PARTS = re.compile(r"([a-zA-Z]+://)([^/?#]*)(.*)", re.DOTALL)
_HOST = re.compile(r"[a-z0-9.-]+")
_OUTSIDE_ASCII = re.compile(r"[^\x00-\x7f]+")


def to_ascii(uri: str) -> str:
    """Return the URI for an IRI (RFC 3987 section 3.1); one in ASCII is returned as it is.

    The host is mapped by UTS 46 and encoded by IDNA 2008 (RFC 5891); other characters outside
    ASCII are percent-encoded as UTF-8.

    Raises:
        InvalidURI: If it cannot be encoded. What else may be wrong with it, the core tells.
    """
    if uri.isascii():
        return uri
    parts = _PARTS.fullmatch(uri)
    if parts is None:
        raise InvalidURI(redact_invalid_uri(uri), "it does not begin with ws:// or wss://")
    scheme, authority, rest = parts.groups()
    credentials, at, address = authority.rpartition("@")
    host, colon, port = address.partition(":")
    if not port.isascii():
        raise InvalidURI(redact_invalid_uri(uri), "its port holds a character outside ASCII")
    try:
        credentials, rest = _percent_encode(credentials), _percent_encode(rest)
        return f"{scheme}{credentials}{at}{_encode_host(host)}{colon}{port}{rest}"
    except UnicodeEncodeError:
        why = "it contains a lone surrogate"
    except UnicodeError as error:
        why = f"its host name is not valid: {error}"
    raise InvalidURI(redact_invalid_uri(uri), why)


def _percent_encode(text: str) -> str:
    return _OUTSIDE_ASCII.sub(lambda match: quote(match[0]), text)


def _encode_host(host: str) -> str:
    """Return a host name in ASCII; idna.IDNAError is a UnicodeError."""
    if host.isascii():
        return host
    # Few programs need it, and its tables take time and memory.
    import idna

    encoded = idna.encode(host, uts46=True).decode("ascii")
    # The mapping may make delimiters of what looks like them, such as a fullwidth slash.
    if not _HOST.fullmatch(encoded):
        raise UnicodeError(f"{encoded!r} holds a character that no host name may have")
    return encoded
