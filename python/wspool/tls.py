"""TLS settings, and where trust comes from when nothing is said."""

from __future__ import annotations

import importlib
import os
import ssl
import threading
import warnings
import weakref
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import native

__all__ = ["TLS"]

_VERSIONS = {"TLSv1.2": False, "TLSv1.3": True}


@dataclass(frozen=True, kw_only=True)
class TLS:
    """TLS settings for any number of connections. Immutable; any thread may use it.

    Files are read when the first connection needs them, and not again: share one object, since
    a store of trusted certificates costs about 900 KB.

    Args:
        ca_file: PEM file with the certificates to trust. With none of ``ca_file``, ``ca_path``
            and ``ca_data``, trust comes from the file that ``SSL_CERT_FILE`` names, else from
            Python's default locations, else from certifi if that is installed.
        ca_path: Directory with certificates to trust, named by hash as ``openssl rehash`` does.
        ca_data: Certificates to trust, as PEM text.
        cert_file: PEM file with this client's certificate chain.
        key_file: PEM file with its key; None if the key is in ``cert_file``.
        key_password: Password of the key. Neither ``repr`` nor an error shows it.
        verify: Check the server's chain and name. Without it anybody can pose as the server.
        check_hostname: Check the server's name (RFC 6125); only together with ``verify``.
        min_version: ``"TLSv1.2"`` or ``"TLSv1.3"``.
        ciphers: OpenSSL cipher list for TLS 1.2; None takes OpenSSL's default.

    Raises:
        TypeError: If an argument has the wrong type; the text names it.
        ValueError: If an argument has a wrong value; the text names it.
    """

    ca_file: str | os.PathLike[str] | None = None
    ca_path: str | os.PathLike[str] | None = None
    ca_data: str | None = field(default=None, repr=False)
    cert_file: str | os.PathLike[str] | None = None
    key_file: str | os.PathLike[str] | None = None
    key_password: str | None = field(default=None, repr=False)
    verify: bool = True
    check_hostname: bool = True
    min_version: str = "TLSv1.2"
    ciphers: str | None = None
    # The native context and the process generation it was made in; None until it is needed.
    _made: tuple[int, native.TLSContext] | None = field(
        default=None, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        for name in ("ca_file", "ca_path", "cert_file", "key_file"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, (str, os.PathLike)):
                raise TypeError(f"{name} must be a path, not {type(value).__name__}")
        for name in ("ca_data", "key_password", "ciphers"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, str):
                raise TypeError(f"{name} must be a str, not {type(value).__name__}")
        for name in ("verify", "check_hostname"):
            if not isinstance(getattr(self, name), bool):
                raise TypeError(f"{name} must be a bool")
        if self.min_version not in _VERSIONS:
            raise ValueError(f"min_version must be one of {', '.join(_VERSIONS)}")
        if self.key_file is not None and self.cert_file is None:
            raise ValueError("key_file needs cert_file")

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_made"}

    def native_context(self) -> native.TLSContext:
        """Return the native context, made at the first call. Any thread.

        Raises:
            OSError: If a file cannot be read.
            ValueError: If a file or a setting is not what it should be; the text names it.
        """
        with _lock:
            generation = native.process_generation()
            if self._made is None or self._made[0] != generation:
                object.__setattr__(self, "_made", (generation, self._make()))
            assert self._made is not None
            return self._made[1]

    def _make(self) -> native.TLSContext:
        for path in (self.ca_file, self.cert_file, self.key_file):
            if path is not None:
                # An OSError that says what is wrong with which file.
                with Path(path).open("rb"):
                    pass
        ca_file, ca_path = _text(self.ca_file), _text(self.ca_path)
        if self.verify and not (ca_file or ca_path or self.ca_data):
            ca_file, ca_path = default_trust()
        return native.TLSContext(
            ca_file=ca_file,
            ca_path=ca_path,
            ca_data=self.ca_data or "",
            cert_file=_text(self.cert_file),
            key_file=_text(self.key_file),
            key_password=self.key_password or "",
            verify=self.verify,
            check_hostname=self.check_hostname and self.verify,
            tls_1_3_only=_VERSIONS[self.min_version],
            ciphers=self.ciphers or "",
        )


# Held while files are read and parsed, and never while anything of ours waits for a peer.
_lock = threading.RLock()
#: The settings for ssl=None, by the environment that they were found in.
_defaults: dict[tuple[str | None, str | None], TLS] = {}
#: What was taken from each ssl.SSLContext that is alive, with the settings it had then.
_taken_over: weakref.WeakKeyDictionary[ssl.SSLContext, tuple[object, TLS]] = (
    weakref.WeakKeyDictionary()
)


def native_context(setting: TLS | ssl.SSLContext | None) -> native.TLSContext:
    """Return the native context for the option ``ssl``. Any thread.

    Args:
        setting: None for the default trust, a ``TLS``, or an ``ssl.SSLContext`` to take over.

    Raises:
        ValueError: If the SSLContext has a setting that cannot be taken over, or a file is not
            what it should be.
        OSError: If a file cannot be read.
    """
    with _lock:
        if setting is None:
            setting = _default()
        elif isinstance(setting, ssl.SSLContext):
            settings = _settings_of(setting)
            known = _taken_over.get(setting)
            if known is None or known[0] != settings:
                known = _taken_over[setting] = (settings, take_over(setting))
            setting = known[1]
        return setting.native_context()


def default_trust() -> tuple[str, str]:
    """Return file and directory of the certificates trusted by default; either may be empty.

    The file that ``SSL_CERT_FILE`` names, else Python's default locations (where
    ``SSL_CERT_DIR`` counts), else certifi if it is installed.
    """
    named = os.environ.get("SSL_CERT_FILE")
    if named:
        return named, ""
    paths = ssl.get_default_verify_paths()
    directory = paths.capath or ""
    if directory and not any(Path(directory).iterdir()):
        directory = ""
    if paths.cafile or directory:
        return paths.cafile or "", directory
    try:
        return str(importlib.import_module("certifi").where()), ""
    except ImportError:
        return "", ""


def trust_for_redirects() -> tuple[str, str]:
    """Return file and directory of the default trust; either may be empty. Any thread.

    For a ws:// connection, which needs them if it is redirected to wss://.
    """
    with _lock:
        trust = _default()
    return _text(trust.ca_file), _text(trust.ca_path)


def take_over(context: ssl.SSLContext) -> TLS:
    """Return the settings of an ``ssl.SSLContext``, as far as they can be seen.

    Taken over: trusted CA certificates, ``verify_mode``, ``check_hostname``, ``minimum_version``
    (at least TLS 1.2), and the ciphers for TLS 1.2. A context that has loaded no certificate,
    as one of ``ssl.create_default_context()`` whose trust is a directory, gets the default
    trust. Its client certificate cannot be seen: use ``wspool.TLS`` for one.

    Raises:
        ValueError: If a setting cannot be taken over.
    """
    if context.maximum_version not in {
        ssl.TLSVersion.MAXIMUM_SUPPORTED,
        ssl.TLSVersion.TLSv1_3,
    }:
        raise ValueError("ssl: an SSLContext with maximum_version below TLS 1.3 is not supported")
    if context.verify_flags & (ssl.VERIFY_CRL_CHECK_LEAF | ssl.VERIFY_CRL_CHECK_CHAIN):
        raise ValueError("ssl: an SSLContext that checks revocation lists is not supported")
    verify = context.verify_mode != ssl.CERT_NONE
    certificates = context.get_ca_certs(binary_form=True)
    stored = context.cert_store_stats()
    if verify and stored["x509"] > stored["x509_ca"]:
        warnings.warn(
            "ssl: the SSLContext trusts certificates of servers that are no CA; these cannot be "
            "taken over, use wspool.TLS(ca_file=...)",
            RuntimeWarning,
            stacklevel=2,
        )
    older = [cipher["name"] for cipher in context.get_ciphers() if cipher["protocol"] != "TLSv1.3"]
    ciphers = ":".join([*older, f"@SECLEVEL={context.security_level}"]) if older else None
    only_1_3 = context.minimum_version in {ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.MAXIMUM_SUPPORTED}
    return TLS(
        ca_data="".join(map(ssl.DER_cert_to_PEM_cert, certificates)) or None,
        verify=verify,
        check_hostname=context.check_hostname,
        min_version="TLSv1.3" if only_1_3 else "TLSv1.2",
        ciphers=ciphers,
    )


def _settings_of(context: ssl.SSLContext) -> object:
    """Return what tells whether a context has changed since it was taken over."""
    return (
        context.verify_mode,
        context.verify_flags,
        context.check_hostname,
        context.minimum_version,
        context.maximum_version,
        tuple(context.cert_store_stats().values()),
        tuple(cipher["name"] for cipher in context.get_ciphers()),
    )


def _default() -> TLS:
    environment = (os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))
    if environment not in _defaults:
        ca_file, ca_path = default_trust()
        _defaults[environment] = TLS(ca_file=ca_file or None, ca_path=ca_path or None)
    return _defaults[environment]


def _text(path: str | os.PathLike[str] | None) -> str:
    return "" if path is None else os.fspath(path)
