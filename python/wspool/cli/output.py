"""What the commands say and write, and how messages look."""

from __future__ import annotations

import base64
import json
import os
import re
import select
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

#: Exit codes.
ENDED_BADLY, USAGE, NO_CONNECTION, INTERRUPTED, TERMINATED = 1, 2, 3, 130, 143

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]")
_JSON_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\],:]|[^\s{}\[\],:"]+')


def visible(text: str) -> str:
    """Return text without control characters but tabs: they could do anything to a terminal."""
    return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text)


def redact(text: str) -> str:
    """Return text whose URIs have neither user and password nor a query, where tokens are."""
    text = re.sub(r"(://)[^/?#\s]*@", r"\1", text)
    return re.sub(r"(://[^?\s'\"]*\?)[^\s'\"]*", r"\1...", text)


def note(text: str) -> None:
    """Say something on the standard error, in one line."""
    if sys.stderr is not None:
        with suppress(OSError):
            sys.stderr.write(visible(text) + "\n")
            sys.stderr.flush()


def error(text: object, code: int) -> int:
    """Say what is wrong; returns the exit code."""
    note(f"wspool: error: {text}")
    return code


def reason(problem: BaseException) -> str:
    """Return an error in words, without the number that OSError puts before them."""
    return (problem.strerror if isinstance(problem, OSError) else None) or str(problem)


def write(data: bytes) -> None:
    """Write to the standard output, past Python's buffer: nothing is left over at the exit."""
    if sys.stdout is None:  # closed by the shell
        return
    descriptor = sys.stdout.fileno()
    while data:
        try:
            data = data[os.write(descriptor, data) :]
        except BlockingIOError:
            select.select([], [descriptor], [])


def stdout_is_terminal() -> bool:
    """Tell whether somebody looks at what is written."""
    return sys.stdout is not None and sys.stdout.isatty()


def say(text: str) -> None:
    """Write a line to the standard output."""
    write(f"{text}\n".encode())


def _indented(text: str) -> str:
    """Return JSON indented, with numbers, escapes and keys as they came; other text as it is."""
    try:
        json.loads(text, parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        return text
    parts: list[str] = []
    depth, previous = 0, " "
    for token in _JSON_TOKEN.findall(text):
        closes = token in {"}", "]"}
        depth -= closes
        if (
            (previous in "{[" and not closes)
            or (closes and previous not in "{[")
            or previous == ","
        ):
            parts.append("\n" + "  " * depth)
        parts.append({":": ": "}.get(token, token))
        depth += token in {"{", "["}
        previous = token
    return "".join(parts)


def shown(message: str | bytes, arguments: argparse.Namespace, terminal: bool) -> bytes | str:
    """Return a message as it is shown: a str is lines of text, bytes go out as they are."""
    if isinstance(message, str):
        return _indented(message) if arguments.json else message
    match arguments.binary:
        case "hex":
            return message.hex()
        case "base64":
            return base64.b64encode(message).decode()
        case None if terminal:
            dots = " ..." if len(message) > 16 else ""
            return f"({len(message)} bytes) {message[:16].hex(' ')}{dots}"
    return message.decode(errors="replace") if terminal else message


def terminal_lines(text: str) -> list[str]:
    """Return the lines of a text as a terminal can show them."""
    return [visible(line).expandtabs() for line in text.split("\n")]


def plain(message: str | bytes, arguments: argparse.Namespace, terminal: bool) -> bytes:
    """Return the bytes of a message in a pipe, or in a terminal without a prompt."""
    text = shown(message, arguments, terminal)
    if isinstance(text, bytes):
        return text
    if terminal:
        text = "\n".join(terminal_lines(text))
    return text.encode() + b"\n"
