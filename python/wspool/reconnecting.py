"""When and how a connection is made again: what users say of it, and their code in it."""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from .checking import check_ordinary
from .exceptions import WSPoolError, from_native
from .fields import check_where
from .workers import Workers

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from . import native
    from .exceptions import NativeError
    from .fields import Scalar

__all__ = [
    "Acknowledgement",
    "Attempt",
    "AttemptSource",
    "Match",
    "Outgoing",
    "Reconnect",
    "Subscriptions",
    "check_match",
    "check_messages",
]

Outgoing: TypeAlias = "str | Buffer"
Messages: TypeAlias = "Outgoing | Iterable[Outgoing]"
Subscriptions: TypeAlias = "Messages | Callable[[], Messages | None]"
Matcher: TypeAlias = "str | bytes | Mapping[str, Scalar | AbstractSet[Scalar]]"
Match: TypeAlias = "Matcher | Iterable[Matcher]"
#: What must be contained, and the conditions, as the core takes them.
Acknowledgement: TypeAlias = "tuple[bytes, tuple[tuple[str, tuple[Scalar, ...]], ...]]"
#: An exception class, several, or a function of the exception.
Classifier: TypeAlias = (
    "type[BaseException] | tuple[type[BaseException], ...] | Callable[[Exception], object]"
)

_LONGEST = 10 * 365 * 24 * 3600.0


@dataclass(frozen=True, kw_only=True)
class Reconnect:
    """When a connection that has failed, or has ended without its user closing it, is made again.

    The delay before the n-th attempt in a row is random between 0 and ``initial_delay`` times
    ``factor`` to the power of n - 1, at most ``max_delay``: full jitter, so that clients that were
    disconnected together do not come back together. An answer 429 or 503 with Retry-After
    (RFC 9110 section 10.2.3) is honoured, up to an hour, by all connections to that host.

    To a host at which attempts fail, or are closed within a second, the process makes one attempt
    every 1.2 seconds, however many connections wait for it. Once one stays open, two are made at
    a time, then four, and so on.

    While it has never been open, a connection is given up at once for what trying again does not
    mend: a certificate that is not accepted, an answer 101 that is no WebSocket handshake,
    credentials that a proxy does not accept, HTTP 4xx but 408, 425 and 429. Once it has been open,
    everything is tried again, but for ``QueueFull``. ``fatal`` and ``retry`` say otherwise;
    ``fatal`` is asked first. Each is an exception class, a tuple of them, or a function of the
    exception, called on a thread of its own.

    Immutable; any thread may use it, for any number of connections.

    Attributes:
        initial_delay: Seconds, above 0.
        max_delay: Seconds.
        factor: At least 1.
        stable_after: Seconds; after so long open the delays begin anew.
        max_attempts: Failures in a row after which it is given up; None is no bound.
        give_up_after: Seconds without a connection after which no further attempt is made, at first
            as after a loss; None is no bound.
        fatal: For which errors it is given up.
        retry: For which errors it is tried again, where it would be given up.
    """

    initial_delay: float = 1.0
    max_delay: float = 60.0
    factor: float = 2.0
    stable_after: float = 10.0
    max_attempts: int | None = None
    give_up_after: float | None = None
    fatal: Classifier | None = None
    retry: Classifier | None = None

    def __post_init__(self) -> None:
        for name in ("initial_delay", "max_delay", "factor", "stable_after"):
            _check_number(name, getattr(self, name))
        if self.initial_delay <= 0:
            raise ValueError("initial_delay must be above zero")
        if self.max_delay < self.initial_delay:
            raise ValueError("max_delay must be at least initial_delay")
        if not 1 <= self.factor <= 1000:
            raise ValueError("factor must be in 1..1000")
        if self.stable_after < 0:
            raise ValueError("stable_after must not be negative")
        most = self.max_attempts
        if most is not None and (isinstance(most, bool) or not isinstance(most, int)):
            raise TypeError(f"max_attempts must be an int or None, not {type(most).__name__}")
        if most is not None and not 1 <= most < 2**31:
            raise ValueError("max_attempts must be at least 1, or None")
        if self.give_up_after is not None:
            _check_number("give_up_after", self.give_up_after)
            if self.give_up_after <= 0:
                raise ValueError("give_up_after must be above zero, or None")
        for name in ("fatal", "retry"):
            _check_classifier(name, getattr(self, name))

    def judges(self) -> bool:
        """Tell whether user code has a say."""
        return self.fatal is not None or self.retry is not None

    def decide(self, error: Exception, *, by_default: bool) -> bool:
        """Tell whether to try again after an error.

        Args:
            error: What went wrong.
            by_default: What is done if neither ``fatal`` nor ``retry`` applies.
        """
        if _applies(self.fatal, error):
            return False
        return by_default or _applies(self.retry, error)

    def to_native(self, *, until_open: bool = False, failures: int = 0) -> tuple[object, ...]:
        """Return it as the core takes it.

        Args:
            until_open: Only until it is open for the first time.
            failures: Failures in a row before.
        """
        return (
            _milliseconds(self.initial_delay),
            _milliseconds(self.max_delay),
            float(self.factor),
            _milliseconds(self.stable_after),
            self.max_attempts or 0,
            until_open,
            failures,
            0 if self.give_up_after is None else _milliseconds(self.give_up_after),
        )


def _check_number(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number, not {type(value).__name__}")
    if math.isnan(value):
        raise ValueError(f"{name} must be a number")


def _milliseconds(seconds: float) -> int:
    return math.ceil(min(seconds, _LONGEST) * 1000)


def _is_classes(value: object) -> bool:
    classes = value if isinstance(value, tuple) else (value,)
    return all(isinstance(one, type) and issubclass(one, BaseException) for one in classes)


def _check_classifier(name: str, value: object) -> None:
    check_ordinary(name, value)
    if value is None or _is_classes(value) or (callable(value) and not isinstance(value, type)):
        return
    raise TypeError(f"{name} must be an exception class, a tuple of them, a function, or None")


def _applies(classifier: Any, error: Exception) -> bool:
    if classifier is None:
        return False
    if _is_classes(classifier):
        return isinstance(error, classifier)
    return bool(classifier(error))


# --- messages and acknowledgements


def check_messages(name: str, value: object) -> tuple[str | bytes, ...]:
    """Return messages to send as a tuple; None is none.

    Raises:
        TypeError: If it is neither a message nor an iterable of them.
        ValueError: If a str holds a lone surrogate.
    """
    if value is None:
        return ()
    if isinstance(value, (str, bytes, bytearray, memoryview)):
        value = (value,)
    if not isinstance(value, Iterable) or isinstance(value, Mapping):
        raise TypeError(f"{name} must be messages of str or bytes, not {type(value).__name__}")
    messages: list[str | bytes] = []
    for message in value:
        if isinstance(message, str):
            if any("\ud800" <= character <= "\udfff" for character in message):
                raise ValueError(f"{name}: a message holds a lone surrogate")
            messages.append(message)
        elif isinstance(message, (bytes, bytearray, memoryview)):
            messages.append(bytes(message))
        else:
            raise TypeError(
                f"{name} must be messages of str or bytes-like, not {type(message).__name__}; "
                "json.dumps() makes one"
            )
    return tuple(messages)


def check_match(name: str, value: object) -> tuple[Acknowledgement, ...]:
    """Return the acknowledgements that a user gives as ``match``.

    Raises:
        TypeError, ValueError: If they are none; the text names the option.
    """
    if value is None:
        return ()
    one_by_one = value
    if isinstance(value, (str, bytes, Mapping)):
        one_by_one = (value,)
    if not isinstance(one_by_one, Iterable):
        raise TypeError(f"{name} must be str, bytes, a mapping, or several of them")
    checked: list[Acknowledgement] = []
    for one in one_by_one:
        if isinstance(one, (str, bytes)):
            if not one:
                raise ValueError(f"{name}: an empty text is in every message")
            checked.append((one.encode() if isinstance(one, str) else one, ()))
        elif isinstance(one, Mapping):
            if not one:
                raise ValueError(f"{name}: a mapping must have at least one pointer")
            checked.append((b"", tuple(check_where(one, name).items())))
        else:
            raise TypeError(
                f"{name} must be str, bytes, or a mapping of JSON pointers to values, "
                f"not {type(one).__name__}"
            )
    return tuple(checked)


# --- user code, off the endpoints' threads


@dataclass(frozen=True)
class Attempt:
    """What one attempt to connect is made with."""

    uri: str
    headers: list[tuple[str, bytes]]
    messages: tuple[str | bytes, ...]
    proxy: object


@dataclass(eq=False)
class _Call:
    """A call of user code for an attempt."""

    deadline: float
    #: Which function is running; None before the first.
    name: str | None = None

    def begin(self, name: str) -> None:
        """Note which function is called."""
        self.name = name


class AttemptSource:
    """Runs the user's functions that take part in reconnecting.

    Args:
        prepare: Makes what an attempt needs, and tells which function it calls; None if nothing of
            it is made by user code.
        reconnect: Whose ``fatal`` and ``retry`` are asked; None if there are none.
        logger: Where it is said that such a function has raised.
        timeout: Seconds that an attempt has; None is no bound.
        goes_on: Whether the handle may live on when a connection of it has ended.
    """

    #: Calls that may be late; a function that blocks each time must not take every thread.
    most_late = 4

    def __init__(
        self,
        prepare: Callable[[Callable[[str], None]], Attempt] | None,
        reconnect: Reconnect | None,
        logger: logging.Logger | logging.LoggerAdapter[Any],
        *,
        timeout: float | None = None,
        goes_on: bool = False,
    ) -> None:
        self.goes_on = goes_on
        self._prepare = prepare
        self._reconnect = reconnect
        self._logger = logger
        self._timeout = math.inf if timeout is None else timeout
        # Those that have not returned, and the function of the attempt that has.
        self._calls: list[_Call] = []
        self._returned: str | None = None
        #: What preparing raised last.
        self.exception: Exception | None = None
        #: Makes an exception of how an attempt failed, or the connection ended; it sets it.
        self.describe: Callable[[NativeError, bool, native.JudgeTicket], Exception] = _describe

    def to_native(self) -> tuple[object, object] | None:
        """Return it as the core takes it; None if there is nothing to run."""
        judges = self._reconnect is not None and self._reconnect.judges()
        if self._prepare is None and not judges:
            return None
        return (
            None if self._prepare is None else self._on_prepare,
            self._on_judge if judges else None,
        )

    def overrun(self) -> TimeoutError:
        """Return what an attempt failed with whose functions did not return in time."""
        running = next((call.name for call in reversed(self._calls) if call.name), self._returned)
        if running is None:
            return TimeoutError("no thread was free in time for the functions of the attempt")
        return TimeoutError(f"{running} did not return in time")

    def _on_prepare(self, attempt: int, ticket: native.PrepareTicket) -> None:  # noqa: ARG002
        now = time.monotonic()
        late = [call for call in self._calls if call.deadline < now]
        if len(late) >= self.most_late:
            error = TimeoutError(f"{late[0].name} has not returned from {len(late)} calls")
            self._refuse(ticket, error)
            return
        self._returned = None
        call = _Call(now + self._timeout)
        if not _workers.submit(lambda: self._run_prepare(call, ticket), self._timeout):
            self._refuse(ticket, WSPoolError("the functions of other connections do not return"))

    def _run_prepare(self, call: _Call, ticket: native.PrepareTicket) -> None:
        assert self._prepare is not None
        if call.deadline < time.monotonic():
            return  # the attempt has failed long since
        self._calls.append(call)
        try:
            made = self._prepare(call.begin)
            ticket.ready(made.uri, made.headers, list(made.messages), made.proxy)
        except BaseException as error:  # noqa: BLE001
            # CancelledError and SystemExit, too: they are meant for the function's own thread.
            self._refuse(ticket, error)
        finally:
            self._calls.remove(call)
            self._returned = call.name

    def _refuse(self, ticket: native.PrepareTicket, error: BaseException) -> None:
        text = f"making an attempt to connect raised {type(error).__name__}"
        if isinstance(error, Exception):
            self.exception = error
        else:
            self.exception = WSPoolError(text)
            self.exception.__cause__ = error
        ticket.fail(text)
        self._logger.warning("making an attempt to connect raised", exc_info=error)

    def _on_judge(
        self, error: NativeError, was_open: bool, by_default: bool, ticket: native.JudgeTicket
    ) -> None:
        described = self.describe(error, was_open, ticket)
        if not _workers.submit(
            lambda: self._run_judge(described, by_default, ticket), self._timeout
        ):
            ticket.answer(by_default)
            self._logger.warning("fatal and retry are not asked: other functions do not return")

    def _run_judge(self, error: Exception, by_default: bool, ticket: native.JudgeTicket) -> None:
        assert self._reconnect is not None
        again = by_default
        try:
            again = self._reconnect.decide(error, by_default=by_default)
        except BaseException:
            self._logger.exception("fatal or retry raised; it counts as if it were not there")
        finally:
            ticket.answer(again)


def _describe(error: NativeError, was_open: bool, ticket: native.JudgeTicket) -> Exception:  # noqa: ARG001
    return from_native(error)


_workers = Workers()


def _after_fork() -> None:
    """Forget the parent's threads, which do not exist here."""
    global _workers  # noqa: PLW0603
    _workers = Workers()


os.register_at_fork(after_in_child=_after_fork)
