"""A row of the table: what the server does, what the client does, and where wspool differs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .scripted_server import Script

APIS = ("sync", "aio")

#: In the changes of a ``Differs``: wspool has no such fact.
ABSENT = object()


class Do(NamedTuple):
    """A step of the client: a method of the connection, or one of ``clients``."""

    method: str
    args: tuple[Any, ...] = ()
    options: Mapping[str, Any] = {}

    def __str__(self) -> str:
        return self.method


def do(method: str, *args: Any, **options: Any) -> Do:
    """Return a step of the client."""
    return Do(method, args, options)


@dataclass(frozen=True)
class Differs:
    """Where wspool wants to differ: a reason, and its outcome as changes to that of websockets.

    Attributes:
        reason: Goes into the docs.
        changes: Facts of the outcome, by key. A step that is among them is stated whole.
        sync: Further changes that hold with the blocking API only.
        aio: Further changes that hold with asyncio only.
    """

    reason: str
    changes: Mapping[str, object] = field(default_factory=dict)
    sync: Mapping[str, object] = field(default_factory=dict)
    aio: Mapping[str, object] = field(default_factory=dict)

    def stated(self, api: str) -> Mapping[str, object]:
        """Return the changes that hold with an API."""
        return {**self.changes, **(self.sync if api == "sync" else self.aio)}

    def expected(self, theirs: Mapping[str, object], api: str) -> dict[str, object]:
        """Return the outcome that wspool must have, given that of websockets."""
        changes = self.stated(api)
        kept = {
            key: value
            for key, value in theirs.items()
            if "." not in key or key.partition(".")[0] not in changes
        }
        return {key: value for key, value in {**kept, **changes}.items() if value is not ABSENT}


@dataclass(frozen=True)
class Case:
    """A row of the table.

    Attributes:
        name: What happens; unique.
        server: The script of the server, one for each connection.
        client: The steps inside the ``with`` block.
        options: Options of ``connect``, besides ``DEFAULTS``.
        uri: Where to connect to; ``{port}`` stands for the server's.
        tls: Whether the server speaks TLS, and the client trusts it.
        apis: For what only one of sync and aio has.
        own_words: Reasons that a library sends are its own, and not compared.
        rough_end: Whether the client ends TCP with FIN or RST depends on time.
        any_cause: Whether there is a cause besides the close frames depends on time.
        differs: Where wspool wants to differ.
    """

    name: str
    server: Script | Sequence[Script]
    client: Sequence[Do] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    uri: str = "ws://127.0.0.1:{port}/path"
    tls: bool = False
    apis: Sequence[str] = APIS
    own_words: bool = False
    rough_end: bool = False
    any_cause: bool = False
    differs: Differs | None = None

    @property
    def scripts(self) -> Sequence[Script]:
        """The scripts of the server."""
        if self.server and not callable(self.server[0]):
            return self.server  # type: ignore[return-value]
        return [self.server]  # type: ignore[list-item]


#: Keepalive only where it is what a case is about; no proxy of the environment.
DEFAULTS: Mapping[str, Any] = {
    "open_timeout": 3,
    "close_timeout": 3,
    "ping_interval": None,
    "compression": None,
    "proxy": None,
}
