"""Parts of outcomes, for what ``Differs`` states of wspool."""

from __future__ import annotations

from wspool import Close, ConnectionClosed

from .outcomes import OWN_WORDS, ROOT, Outcome

#: The common end, which each library words in its own way.
PROTOCOL_ERROR = (1002, OWN_WORDS)
BAD_TEXT = (1007, OWN_WORDS)

_IN_ORDER = {1000, 1001, 1005}


def closed(
    *keys: str,
    rcvd: tuple[int, str] | None = None,
    sent: tuple[int, str] | None = None,
    rcvd_then_sent: bool | None = None,
    cause: str | None = None,
    own_words: bool = False,
) -> Outcome:
    """Return the facts of steps that raise ConnectionClosed; own_words as in the case."""
    in_order = all(frame is not None and frame[0] in _IN_ORDER for frame in (rcvd, sent))
    name = "ConnectionClosedOK" if in_order else "ConnectionClosedError"
    facts = {
        "": f"raised {name}",
        ".is": ("ConnectionClosed", name, ROOT),
        ".code": 1006 if rcvd is None else rcvd[0],
        ".reason": "" if rcvd is None else rcvd[1],
        ".rcvd": rcvd,
        ".sent": sent,
        ".rcvd_then_sent": rcvd_then_sent,
        ".cause": cause,
    }
    if not own_words and (sent is None or sent[1] != OWN_WORDS):
        theirs, ours = (None if frame is None else Close(*frame) for frame in (rcvd, sent))
        facts[".text"] = str(ConnectionClosed(theirs, ours, rcvd_then_sent))
    return {key + fact: value for key in keys for fact, value in facts.items()}


def raised(key: str, name: str, *kinds: str, **facts: object) -> Outcome:
    """Return the facts of a step that raises something else.

    Args:
        key: The step.
        name: The exception.
        kinds: The ``except`` clauses that catch it, its own name included if it is listed.
        facts: Further ones.
    """
    described = {f"{key}.{fact}": value for fact, value in facts.items()}
    return {key: f"raised {name}", f"{key}.is": tuple(sorted(kinds)), **described}


def returned(*keys: str, value: object = None) -> Outcome:
    """Return the facts of steps that return something."""
    return dict.fromkeys(keys, f"returned {value!r}")


def ended(code: int, reason: str = "", *, saw: object = None) -> Outcome:
    """Return what the connection says at the end, and what the server saw, if stated."""
    facts: Outcome = {"close_code": code, "close_reason": reason}
    return facts if saw is None else {**facts, "server saw": saw}
