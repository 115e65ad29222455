"""``wspool connect``: from the arguments to an exit code."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

from wspool.exceptions import ConnectionClosed, ConnectionClosedOK, InvalidURI, WSPoolError
from wspool.sync import connect
from wspool.tls import TLS

from .lines import in_a_pipe
from .output import (
    ENDED_BADLY,
    NO_CONNECTION,
    USAGE,
    error,
    note,
    reason,
    redact,
    stdout_is_terminal,
)
from .terminal import in_a_terminal

if TYPE_CHECKING:
    import argparse

    from wspool.options import ConnectionOptions
    from wspool.sync import ClientConnection

#: Answers that come after the end of the input are kept up to here, whatever their number.
_QUEUE_BYTES = 64 * 2**20


def _options(arguments: argparse.Namespace) -> ConnectionOptions:
    """Return the connection's options; a bad certificate file raises ValueError."""
    options: ConnectionOptions = {
        "additional_headers": arguments.header,
        "origin": arguments.origin,
        "subprotocols": arguments.subprotocol,
        "compression": None if arguments.no_compress else "deflate",
        "open_timeout": arguments.timeout,
        "ping_interval": arguments.ping_interval,
        "max_size": arguments.max_size,
        "max_queue": None,
        "max_queue_bytes": _QUEUE_BYTES,
    }
    if arguments.ca_file is not None or arguments.insecure:
        if arguments.uri[:3].lower() == "ws:":
            raise ValueError("--ca-file and --insecure need a wss:// URI")
        tls = TLS(ca_file=arguments.ca_file, verify=not arguments.insecure)
        try:
            tls.native_context()
        except OSError as problem:
            raise ValueError(f"--ca-file {arguments.ca_file}: {reason(problem)}") from None
        options["ssl"] = tls
    return options


def run_connect(arguments: argparse.Namespace) -> int:
    """Run ``wspool connect``; returns the exit code."""
    uri = arguments.uri
    try:
        options = _options(arguments)
        if arguments.insecure:
            note("wspool: warning: --insecure: whoever answers may not be the server")
        ws = connect(uri, **options)
    except InvalidURI as problem:
        # Where the user's name ends in a URI that is none, nobody knows.
        return error(redact(re.sub(r"//\S*@", "//", str(problem))), USAGE)
    except (WSPoolError, OSError) as problem:  # before ValueError: that of a certificate is both
        text = redact(reason(problem))
        return error(text if "://" in text else f"{redact(uri)}: {text}", NO_CONNECTION)
    except (TypeError, ValueError) as problem:
        return error(problem, USAGE)
    has_stdin = sys.stdin is not None and sys.stdin.isatty()
    interactive = has_stdin and stdout_is_terminal()
    interactive = interactive and not (arguments.quiet or arguments.listen)
    try:
        count, complaint = (in_a_terminal if interactive else in_a_pipe)(ws, arguments)
    except BrokenPipeError:  # who reads has had enough
        return 0
    except OSError as problem:
        return error(f"cannot write the messages: {reason(problem)}", ENDED_BADLY)
    if complaint:
        return error(complaint, USAGE)
    return _tell_end(ws, arguments, count, interactive)


def _tell_end(
    ws: ClientConnection, arguments: argparse.Namespace, count: int, interactive: bool
) -> int:
    """Say how the connection ended, where that is news; returns the exit code."""
    if ws.dropped:
        note(f"wspool: warning: {ws.dropped} messages came faster than they could be written")
    ended = ws.closed_exception()
    assert isinstance(ended, ConnectionClosed)
    why = ended.__cause__
    text = f"closed: {ended if ended.rcvd is None else ended.rcvd}"
    text += "" if why is None else f": {reason(why)}"
    if not isinstance(ended, ConnectionClosedOK):
        note(text)
        return ENDED_BADLY
    if not arguments.quiet and (interactive or ended.rcvd_then_sent):
        note(text)
    if arguments.count is not None and count < arguments.count and ended.rcvd_then_sent:
        return error(f"{count} of {arguments.count} messages came", ENDED_BADLY)
    return 0
