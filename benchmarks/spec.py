"""What the runner tells a client to do, and what it tells the server to send."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

Work: TypeAlias = Literal["receive", "records", "send", "echo", "idle"]


@dataclass(frozen=True)
class Spec:
    """One run of one client."""

    work: Work
    uri: str
    ca_file: str | None = None
    """PEM file to trust, for wss."""
    count: int = 0
    """Messages to receive or send on each connection, or round trips; 0: until the server ends."""
    size: int = 0
    """Bytes of a message to send or echo."""
    connections: int = 1
    deflate: bool = False
    """Offer permessage-deflate, else no compression."""
    busy: bool = False
    """Another Python thread computes all the while."""
    endpoints: int | None = None
    """Of a pool of wspool's own; None: the process's."""
    schema: str = ""
    """Of the rows to make of each message: see schemas.py."""
    verify: bool = False
    """Hash every message; such a run is not timed."""

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Spec:
        return cls(**json.loads(text))


@dataclass(frozen=True)
class Feed:
    """What a server sends to each connection, or what it does with what it gets."""

    mode: Literal["replay", "sink", "echo", "deflate"]
    kind: str = "json"
    """Of the messages: see feeds.py."""
    size: int = 0
    number: int = 1
    """Different messages in one cycle."""
    captures: str | None = None
    """Folder of captures, for the kind "captures"."""
    repeat: int | None = 1
    """Cycles; None: until `seconds` have passed since the first message."""
    seconds: float | None = None
    rate: float | None = None
    records: Literal["full", "message"] = "full"
    tls: tuple[str, str] | None = None
    """Files of certificate and key."""
    checksum: bool = False
    """A sink computes the CRC-32 of what it receives."""

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Feed:
        fields: dict[str, Any] = json.loads(text)
        if fields["tls"] is not None:
            fields["tls"] = tuple(fields["tls"])
        return cls(**fields)
