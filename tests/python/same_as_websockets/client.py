"""What the clients of both APIs share: keeping the outcome, and the simplest steps."""

from __future__ import annotations

from typing import Any

from .case import DEFAULTS, Case
from .certificates import contexts
from .outcomes import Outcome, describe
from .scripted_server import Signals


class Left(Exception):
    """Raised inside the ``with`` block by the step ``fail``."""


class Client:
    """What both kinds of clients share: keeping the outcome."""

    def __init__(self, case: Case, signals: Signals) -> None:
        self.case = case
        self.signals = signals
        self.outcome: Outcome = {}
        self.pings: list[Any] = []
        self.ws: Any = None

    @property
    def options(self) -> dict[str, Any]:
        """The options of ``connect``."""
        trust = {"ssl": contexts()[1]} if self.case.tls else {}
        return {**DEFAULTS, **trust, **self.case.options}

    def returned(self, key: str, value: object) -> None:
        """Keep what a step has returned."""
        self.outcome[key] = f"returned {value!r}"

    def raised(self, key: str, error: BaseException) -> None:
        """Keep what a step has raised."""
        facts = describe(error, own_words=self.case.own_words, any_cause=self.case.any_cause)
        for fact, value in facts.items():
            self.outcome[key + fact] = value

    def keep_end(self) -> None:
        """Keep what the connection says of its end."""
        if self.ws is not None:
            code = self.ws.close_code
            self.outcome["close_code"] = code if code is None else int(code)
            self.outcome["close_reason"] = self.ws.close_reason

    def look(self, path: str) -> Any:
        """Step: an attribute of the connection, such as ``response.status_code``."""
        value = self.ws
        for name in path.split("."):
            value = getattr(value, name)
        return value

    def header_of_response(self, name: str) -> str:
        """Step: a header of the server's answer."""
        value: str = self.ws.response.headers[name]
        return value

    def latency_known(self) -> bool:
        """Step: whether the connection has measured its latency."""
        return bool(self.ws.latency > 0)

    def fail(self) -> None:
        """Step: leave the ``with`` block with an exception."""
        raise Left
