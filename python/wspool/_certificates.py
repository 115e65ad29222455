"""Throw-away certificates for loopback servers."""

from __future__ import annotations

import os
from collections.abc import Sequence

from . import native

__all__ = ["make_certificates"]


def make_certificates(
    directory: str | os.PathLike[str],
    *,
    hosts: Sequence[str] = ("localhost", "127.0.0.1", "::1"),
    not_before: float = -300,
    not_after: float = 86_400,
) -> None:
    """Write ca.pem, cert.pem and key.pem: a certificate, and the authority that signed it.

    For tests of what a client must refuse, too: another host, or a time that is over.

    Args:
        directory: existing directory.
        hosts: DNS names and IP addresses that the certificate is for.
        not_before, not_after: seconds from now between which both are valid.

    Raises:
        ValueError: no hosts, or a file cannot be written in `directory`.
    """
    native.make_certificates(
        os.fspath(directory), hosts=list(hosts), not_before=not_before, not_after=not_after
    )
