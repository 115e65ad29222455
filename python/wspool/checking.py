"""Checks of arguments that several modules share; each returns what it was given."""

from __future__ import annotations

import inspect
import math
from typing import Any, TypeVar

__all__ = ["check_ordinary", "check_timeout"]

_Function = TypeVar("_Function")


def check_timeout(name: str, value: object) -> float | None:
    """Check a number of seconds to wait; None is no bound.

    Raises:
        TypeError: If it is neither; a bool is meant for another parameter.
    """
    if value is None:
        return None
    if isinstance(value, (int, float)) and not isinstance(value, bool) and not math.isnan(value):
        return value
    raise TypeError(f"{name} must be a number of seconds or None, not {value!r}")


def check_ordinary(name: str, function: _Function) -> _Function:
    """Check that a function, if it is one, does its work when it is called.

    Raises:
        TypeError: If it is a coroutine function, which would only make a coroutine.
    """
    # Of an object it is its class that says what calling it does.
    called: Any = (
        function if isinstance(function, type) else type(function).__dict__.get("__call__")
    )
    if any(
        is_async(one)
        for one in (function, called)
        for is_async in (inspect.iscoroutinefunction, inspect.isasyncgenfunction)
    ):
        raise TypeError(
            f"{name} must be an ordinary function, not a coroutine function: it is called on a "
            "thread, where nobody awaits it"
        )
    return function
