"""What happened, as a flat mapping of plain values: equal if a user could not tell two apart.

A key is the number and the name of a step; behind a dot come the facts of an exception. What has
other names in the two libraries gets one name here.
"""

from __future__ import annotations

import builtins
import warnings
from typing import Any, TypeAlias

Outcome: TypeAlias = "dict[str, object]"

#: Stands for words that each library chooses itself.
OWN_WORDS = "(own words)"

#: The exceptions that both libraries have, below their roots.
SHARED = frozenset(
    {
        "ConnectionClosed",
        "ConnectionClosedOK",
        "ConnectionClosedError",
        "InvalidURI",
        "InvalidHandshake",
        "SecurityError",
        "ProxyError",
        "InvalidMessage",
        "InvalidStatus",
        "InvalidHeader",
        "InvalidUpgrade",
        "NegotiationError",
        "ProtocolError",
        "PayloadTooBig",
        "InvalidState",
        "ConcurrencyError",
    }
)
ROOTS = frozenset({"WebSocketException", "WSPoolError"})
ROOT = "the root"
#: What a program may have an ``except`` clause for, besides.
BUILTIN_KINDS = ("OSError", "TimeoutError", "ConnectionError", "ValueError", "TypeError")


def common_name(kind: type[BaseException]) -> str:
    """Return the name of an exception class, or that of the first base that both have."""
    for base in kind.__mro__:
        if base.__name__ in ROOTS:
            return ROOT
        if base.__name__ in SHARED or hasattr(builtins, base.__name__):
            return base.__name__
        if base.__module__ in {"socket", "asyncio.exceptions", "zlib", "ssl"}:
            return base.__name__
    return kind.__name__


def kinds_of(kind: type[BaseException]) -> tuple[str, ...]:
    """Return the ``except`` clauses that would catch it."""
    names = set()
    for base in kind.__mro__:
        if base.__name__ in ROOTS:
            names.add(ROOT)
        elif base.__name__ in SHARED or base.__name__ in {*BUILTIN_KINDS, "RuntimeError"}:
            names.add(base.__name__)
    return tuple(sorted(names))


def describe(error: Any, *, own_words: bool, any_cause: bool) -> Outcome:
    """Return the facts of an exception; the key of its name is empty.

    Args:
        error: The exception.
        own_words: Whether the reason that the client sent is left out.
        any_cause: Whether the cause is left out: what it is depends on time.
    """
    name = common_name(type(error))
    facts: Outcome = {"": f"raised {name}", ".is": kinds_of(type(error))}
    if "ConnectionClosed" in kinds_of(type(error)):
        facts |= describe_closed(error, own_words=own_words)
        if any_cause:
            del facts[".cause"]
    response = getattr(error, "response", None)
    if response is not None:
        facts[".response"] = (response.status_code, response.reason_phrase, bytes(response.body))
    if name in {"InvalidHeader", "InvalidUpgrade"}:
        facts[".header"] = (error.name, error.value)
    if name == "InvalidURI":
        facts[".uri"] = error.uri
    if isinstance(error, ConnectionError):
        facts[".errno"] = error.errno
    if name == "InvalidMessage":
        # The one cause that programs ask for: whether trying again may help.
        facts[".cause"] = "EOFError" if isinstance(error.__cause__, EOFError) else "any"
    return facts


def describe_closed(error: Any, *, own_words: bool) -> Outcome:
    """Return the facts of a ConnectionClosed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # code and reason: websockets wants them used no more
        facts: Outcome = {".code": int(error.code), ".reason": error.reason}
    facts[".rcvd"] = close_frame(error.rcvd)
    facts[".sent"] = close_frame(error.sent, own_words=own_words)
    facts[".rcvd_then_sent"] = error.rcvd_then_sent
    facts[".cause"] = cause_of(error)
    if not own_words:
        facts[".text"] = str(error)
    return facts


def close_frame(frame: Any, *, own_words: bool = False) -> tuple[int, str] | None:
    """Return code and reason of a close frame."""
    if frame is None:
        return None
    return int(frame.code), OWN_WORDS if own_words and frame.reason else frame.reason


def cause_of(error: BaseException) -> str | None:
    """Return the name of the exception that another one names as its cause."""
    return None if error.__cause__ is None else common_name(type(error.__cause__))


def what_server_saw(saw: list[list[object]], *, own_words: bool, rough_end: bool) -> list[object]:
    """Return what the server saw of all connections.

    Args:
        saw: As the server remembers it.
        own_words: Whether reasons that the client sent are left out.
        rough_end: Whether FIN and RST are the same: which one it is depends on time.
    """
    seen: list[object] = []
    for entry in (entry for connection in saw for entry in connection):
        if rough_end and entry in {"EOF", "RST"}:
            seen.append("EOF or RST")
        elif own_words and isinstance(entry, tuple) and entry[0] == "close" and entry[2]:
            seen.append((*entry[:2], OWN_WORDS))
        else:
            seen.append(entry)
    return seen
