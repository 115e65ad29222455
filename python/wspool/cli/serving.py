"""``wspool echo``: the server of ``wspool.testing``, until it is stopped."""

from __future__ import annotations

import os
import shlex
import threading
from typing import TYPE_CHECKING

from wspool import testing

from .output import NO_CONNECTION, USAGE, error, reason, say

if TYPE_CHECKING:
    import argparse
    from pathlib import Path


def _certificate(directory: Path) -> tuple[Path, Path]:
    """Return certificate and key in a directory, made there unless they are there already."""
    files = [directory / name for name in ("ca.pem", "cert.pem", "key.pem")]
    missing = [path.name for path in files if not path.exists()]
    if len(missing) == len(files):
        directory.mkdir(parents=True, exist_ok=True)
        testing.make_certificates(directory, not_after=30 * 86_400)
    elif missing:
        raise ValueError(f"--directory: {directory} lacks {' and '.join(missing)}")
    return files[1], files[2]


def run_echo(arguments: argparse.Namespace) -> int:
    """Run ``wspool echo``; returns the exit code."""
    ca_file: str | os.PathLike[str] | None = None
    try:
        if arguments.directory is not None:
            tls: bool | tuple[Path, Path] = _certificate(arguments.directory)
            ca_file = arguments.directory / "ca.pem"
        else:
            tls = arguments.tls
        server = testing.echo(tls=tls, host=arguments.host, port=arguments.port)
    except ValueError as problem:
        return error(problem, USAGE)
    except OSError as problem:
        return error(reason(problem), NO_CONNECTION)
    with server:
        try:
            ca_file = ca_file or server.ca_file
            say(f"listening on {server.uri}/")
            if ca_file is not None:
                quoted = shlex.quote(os.fspath(ca_file))
                say(f"certificate authority: {ca_file}")
                say(f"try: wspool connect --ca-file {quoted} {server.uri}/")
            threading.Event().wait()
        except (KeyboardInterrupt, SystemExit):
            pass
    served = server.connections
    messages = sum(each.messages_received for each in served)
    size = sum(each.payload_bytes_received for each in served)
    say(f"served {len(served)} connections, {messages} messages, {size} bytes")
    return 0
