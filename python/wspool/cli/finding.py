"""``wspool fields``: looks at messages, and prints fields for them."""

from __future__ import annotations

import gzip
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

from wspool.exceptions import ConnectionClosed, InvalidURI, WSPoolError
from wspool.schema import Kind, kinds_of
from wspool.sync import connect
from wspool.tls import TLS

from .output import ENDED_BADLY, NO_CONNECTION, USAGE, error, note, reason, redact, say, visible

if TYPE_CHECKING:
    import argparse

_PROGRESS_SECONDS = 1.0


@contextmanager
def _opened(name: str) -> Iterator[TextIO]:
    if name == "-":
        yield sys.stdin
        return
    with open(name, "rb") as file:
        is_gzip = file.read(2) == b"\x1f\x8b"
    opened = gzip.open if is_gzip else open
    with opened(name, "rt", encoding="utf-8", newline="\n") as lines:
        yield lines


def _from_file(name: str, count: int) -> list[str]:
    messages: list[str] = []
    with _opened(name) as lines:
        for line in lines:
            text = line.strip()
            head, tab, rest = text.partition("\t")
            if tab and head.replace(".", "", 1).isdigit():
                text = rest  # after the time of a capture
            if text:
                messages.append(text)
            if len(messages) == count:
                break
    return messages


def _from_uri(arguments: argparse.Namespace) -> list[str]:
    options: dict[str, Any] = {"additional_headers": arguments.header or []}
    if arguments.insecure or arguments.ca_file:
        options["ssl"] = TLS(ca_file=arguments.ca_file, verify=not arguments.insecure)
    messages: list[str] = []
    deadline = time.monotonic() + arguments.seconds
    told = time.monotonic()
    with connect(arguments.source, max_size=None, **options) as ws:
        for text in arguments.send or ():
            ws.send(text)
        while len(messages) < arguments.count:
            left = deadline - time.monotonic()
            if left <= 0:
                break
            try:
                messages += ws.recv_many(
                    arguments.count - len(messages), min(left, _PROGRESS_SECONDS), decode=True
                )
            except TimeoutError:
                pass
            except UnicodeDecodeError:
                continue  # binary
            except ConnectionClosed:
                break
            if time.monotonic() - told >= _PROGRESS_SECONDS:
                told = time.monotonic()
                note(f"{len(messages):,} messages, {max(0.0, left):.0f} s left")
    return messages


def _decoded(messages: list[str]) -> list[Any]:
    documents = []
    for message in messages:
        try:
            documents.append(json.loads(message))
        except (ValueError, RecursionError):
            continue
    return documents


def _table(kind: Kind) -> list[str]:
    header = ("pointer", "seen", "in", "type", "example")
    rows = [
        (
            place.pointer or '""',
            ", ".join(one for one, _ in place.types.most_common()),
            f"{place.present / kind.seen:.0%}",
            place.type if place.guesses else "?",
            place.example,
        )
        for place in kind.places
    ]
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(4)]
    return [
        "  "
        + "  ".join(
            cell.ljust(width) for cell, width in zip(row, [*widths, 0], strict=True)
        ).rstrip()
        for row in [header, *rows]
    ]


def _title(kind: Kind) -> str:
    where = " and ".join(f"{pointer} is {value!r}" for pointer, value in kind.where.items())
    title = f"{kind.messages:,} messages" + (f" where {where}" if where else "")
    if kind.rows is not None:
        title += f": {kind.seen:,} rows at {kind.rows or 'the root'}"
    return title


def run_fields(arguments: argparse.Namespace) -> int:
    """Run ``wspool fields``; returns the exit code."""
    is_uri = arguments.source.startswith(("ws://", "wss://"))
    try:
        source = arguments.source
        messages = _from_uri(arguments) if is_uri else _from_file(source, arguments.count)
    except (InvalidURI, ValueError) as problem:
        return error(redact(str(problem)), USAGE)
    except (WSPoolError, OSError) as problem:
        if is_uri:
            return error(redact(reason(problem)), NO_CONNECTION)
        return error(f"{arguments.source}: {reason(problem)}", USAGE)
    documents = _decoded(messages)
    if not documents:
        found = f"none of {len(messages):,} messages is JSON" if messages else "no messages"
        return error(f"{redact(arguments.source)}: {found}", ENDED_BADLY)
    if len(documents) != len(messages):
        note(f"{len(messages) - len(documents):,} of {len(messages):,} messages are no JSON")
    kinds = kinds_of(documents)
    for kind in kinds:
        say(visible(_title(kind)) + "\n")
        for line in _table(kind):
            say(visible(line))
        say("")
    _say_fields(kinds)
    return 0


def _say_fields(kinds: list[Kind]) -> None:
    picking = [(kind.name, fields) for kind in kinds if (fields := kind.fields()) is not None]
    if len(picking) == 1:
        say(f"wspool.{picking[0][1]!r}")
        return
    say("{")
    names: set[str] = set()
    for name, fields in picking:
        unique = name
        while unique in names:
            unique += "_"
        names.add(unique)
        text = f"wspool.{fields!r}".replace("\n", "\n    ")
        say(f"    {unique!r}: {text},")
    say("}")
