"""The arguments of the commands, and their help."""

from __future__ import annotations

import argparse
import math
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from wspool import demo
from wspool.native import __version__

from .output import USAGE, error, redact

_EXIT_CODES = """\
exit codes:
  0    done; a connection was closed in order: 1000, 1001, or without a code
  1    the connection ended with an error, or before -n COUNT messages came
  2    wrong usage: an option, the URI, a file, or input that is not UTF-8
  3    could not connect, or for echo, could not listen
  130  interrupted by Ctrl-C, after closing with 1001
  143  terminated by SIGTERM, after closing with 1001
"""
_EXAMPLES = """\
examples:
  wspool echo
  wspool connect ws://localhost:8765/
  wspool top ws://localhost:8765/ wss://localhost:8766/
  wspool fields messages.txt
  wspool demo --connections 10
"""
_FIELDS_EXAMPLES = """\
examples:
  wspool fields capture.tsv.gz
  wspool connect --listen -n 500 ws://localhost:8767/ | wspool fields -
  wspool fields --send '{"op": "subscribe", "channel": "trades"}' wss://localhost:8766/

A file has a message a line, maybe with a time and a tab before it, maybe compressed by gzip.

exit codes:
  0    done
  1    there was no message, or none of them is JSON
  2    wrong usage: an option, the URI or a file
  3    could not connect
"""
_CONNECT_EXAMPLES = """\
examples:
  wspool connect --json wss://localhost:8766/
  wspool connect --header "Authorization: Bearer abc" ws://localhost:8765/
  printf 'one\\ntwo\\n' | wspool connect ws://localhost:8765/
  echo '{"op": "subscribe"}' | wspool connect -n 1 --json ws://localhost:8765/
  wspool connect --listen -n 100 ws://localhost:8767/ > messages.txt

In a terminal, lines are sent as you enter them; Ctrl-D closes the connection.
From a pipe, each line is a text message; at the end of the input the connection is closed, and
what comes until the server has agreed is printed. To wait for answers, give -n or --listen.

"""
_TOP_EXAMPLES = """\
examples:
  wspool top ws://localhost:8767/ wss://localhost:8766/feed
  wspool top --subscribe '{"op": "subscribe", "channel": "trades"}' @feeds.txt
  wspool top --once --interval 5 @feeds.txt

A file has a URI a line; empty lines and those that begin with # do not count. Messages are counted
and dropped. Feeds that are lost are connected again. Where the standard output is no terminal,
there is a table of plain text each interval. It needs rich: pip install 'wspool[top]'.

exit codes:
  0    done; ended by q or Ctrl-C
  2    wrong usage: an option, a URI or a file
  3    with --once: not all feeds are open
  143  terminated by SIGTERM, after closing with 1001
"""
_ECHO_EXAMPLES = """\
examples:
  wspool echo --port 8765
  wspool echo --tls
  wspool echo --tls --directory certificates

Stop it with Ctrl-C or SIGTERM; the exit code is then 0.
"""
_DEMO_EXAMPLES = """\
examples:
  wspool demo
  wspool demo --connections 5 --messages 1000
"""


class _Parser(argparse.ArgumentParser):
    """Says what is wrong without repeating a URI's user and password."""

    def error(self, message: str) -> NoReturn:
        message = redact(re.sub(r"//\S*@", "//", message))
        sys.exit(error(f"{message} (see {self.prog} --help)", USAGE))


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise argparse.ArgumentTypeError("must be 'Name: value'")
    return name, value.strip()


def _number(
    kind: type[int | float], least: float, most: float = math.inf
) -> Callable[[str], float]:
    def convert(text: str) -> float:
        value = kind(text)
        if not value >= least:
            raise argparse.ArgumentTypeError(f"must be at least {least}")
        if value > most:
            raise argparse.ArgumentTypeError(f"must be at most {most}")
        return value

    convert.__name__ = "number"  # what argparse calls it
    return convert


def _or_none(convert: Callable[[str], float]) -> Callable[[str], float | None]:
    def convert_or_none(text: str) -> float | None:
        return None if text == "none" else convert(text)

    convert_or_none.__name__ = convert.__name__
    return convert_or_none


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of ``wspool``."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = _Parser(
        prog="wspool",
        description="A WebSocket client, a table of feeds, an echo server, help with schemas, "
        "a demonstration.",
        epilog=_EXAMPLES + "\n" + _EXIT_CODES,
        formatter_class=raw,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"wspool {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def command(name: str, description: str, epilog: str) -> argparse.ArgumentParser:
        return commands.add_parser(
            name,
            help=description[0].lower() + description[1:-1],
            description=description,
            epilog=epilog,
            formatter_class=raw,
            allow_abbrev=False,
        )

    _add_connect(command("connect", _CONNECT, _CONNECT_EXAMPLES + _EXIT_CODES))
    _add_top(command("top", _TOP, _TOP_EXAMPLES))
    echo = command("echo", "Serve on loopback, and send every message back.", _ECHO_EXAMPLES)
    echo.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    echo.add_argument("--port", type=int, default=0, help="port to listen on (any free one)")
    echo.add_argument("--tls", action="store_true", help="with a throw-away certificate")
    echo.add_argument(
        "--directory",
        type=Path,
        metavar="DIR",
        help="with TLS; ca.pem, cert.pem and key.pem are there, or are made there for 30 days",
    )
    _add_fields(command("fields", _FIELDS, _FIELDS_EXAMPLES))
    demo.add_arguments(command("demo", "Show the pool at work on loopback.", _DEMO_EXAMPLES))
    return parser


_TOP = "Watch feeds: rates, reconnects, pings, as a table that is kept up to date."


def _add_top(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("uris", metavar="URI", nargs="+", help="ws:// or wss://, or @FILE of them")
    add("--subscribe", action="append", metavar="TEXT", help="message to send whenever a feed is "
        "open; may be repeated")  # fmt: skip
    add("--header", action="append", type=_header, metavar="'NAME: VALUE'",
        help="further header of the opening request; may be repeated")  # fmt: skip
    add("--interval", type=_number(float, 0.05, 86400), default=1.0, metavar="SECONDS",
        help="between two looks (%(default)g)")  # fmt: skip
    add("--once", action="store_true", help="print one table of plain text after the interval, "
        "and end")  # fmt: skip
    add("--endpoints", type=_number(int, 1), metavar="COUNT", help="native threads (one a core)")
    add("--proxy", metavar="URI", help="http://, https://, socks5:// or socks5h://; none: connect "
        "directly (that of the environment)")  # fmt: skip
    tls = parser.add_mutually_exclusive_group()
    tls.add_argument("--ca-file", metavar="FILE", help="certificates to trust, PEM")
    tls.add_argument("--insecure", action="store_true", help="do not check who the server is")


_FIELDS = "Look at JSON messages, and print the wspool.Fields that would pick their values."


def _add_fields(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("source", metavar="FILE-or-URI", help="file of messages, - for the standard input, or a "
        "ws:// or wss:// URI to receive from")  # fmt: skip
    add("-n", dest="count", type=_number(int, 1), default=1000, metavar="COUNT",
        help="messages to look at (%(default)d)")  # fmt: skip
    add("--seconds", type=_number(float, 0.001, 86400), default=10.0,
        help="to receive from a URI at the most (%(default)g)")  # fmt: skip
    add("--send", action="append", metavar="TEXT", help="message to send first, such as a "
        "subscription; may be repeated")  # fmt: skip
    add("--header", action="append", type=_header, metavar="'NAME: VALUE'",
        help="further header of the opening request; may be repeated")  # fmt: skip
    tls = parser.add_mutually_exclusive_group()
    tls.add_argument("--ca-file", metavar="FILE", help="certificates to trust, PEM")
    tls.add_argument("--insecure", action="store_true", help="do not check who the server is")


_CONNECT = "Connect to a WebSocket server, send lines, print messages."


def _add_connect(parser: argparse.ArgumentParser) -> None:
    seconds, size = _or_none(_number(float, 0.001)), _or_none(_number(int, 0))
    add = parser.add_argument
    add("uri", metavar="URI", help="ws:// or wss://")
    add("--json", action="store_true", help="indent text messages that are JSON")
    add("--binary", choices=["hex", "base64", "raw"], help="how to print binary messages "
        "(their beginning as hex in a terminal, else raw)")  # fmt: skip
    add("-q", "--quiet", action="store_true", help="no prompt, no notes: only messages and errors")
    add("-l", "--listen", action="store_true", help="send nothing, receive until the server closes")
    add("-n", dest="count", type=_number(int, 1), metavar="COUNT", help="end after COUNT messages")
    add("--header", action="append", type=_header, metavar="'NAME: VALUE'",
        help="further header of the opening request; may be repeated")  # fmt: skip
    add("--origin", help="value of the Origin header")
    add("--subprotocol", action="append", metavar="NAME", help="subprotocol to offer; "
        "may be repeated, in order of preference")  # fmt: skip
    add("--no-compress", action="store_true", help="do not offer compression")
    tls = parser.add_mutually_exclusive_group()
    tls.add_argument("--ca-file", metavar="FILE", help="certificates to trust, PEM")
    tls.add_argument("--insecure", action="store_true", help="do not check who the server is")
    add("--timeout", type=seconds, default=10.0, metavar="SECONDS",
        help="for connecting (%(default)g); none: no limit")  # fmt: skip
    add("--ping-interval", type=seconds, default=20.0, metavar="SECONDS",
        help="between keepalive pings (%(default)g); none: no pings")  # fmt: skip
    add("--max-size", type=size, default=2**20, metavar="BYTES",
        help="largest message to receive (%(default)d); none: no limit")  # fmt: skip
