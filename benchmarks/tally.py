"""Count, bytes and hash of what a client delivered."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable


class Tally:
    """Of one connection. The hash covers type, length and payload of every message in order."""

    def __init__(self) -> None:
        self.count = 0
        self.bytes = 0
        self._hash = hashlib.sha256()

    def add(self, message: str | bytes) -> None:
        if isinstance(message, str):
            self.add_payload(message.encode(), is_text=True)
        else:
            self.add_payload(message, is_text=False)

    def add_payload(self, payload: bytes, *, is_text: bool) -> None:
        self.count += 1
        self.bytes += len(payload)
        self._hash.update((b"T" if is_text else b"B") + len(payload).to_bytes(8, "little"))
        self._hash.update(payload)

    @property
    def hash(self) -> str:
        return self._hash.hexdigest()


def summary(tallies: Iterable[Tally]) -> dict[str, object]:
    """Return the sums over connections, and their hash: it must be the same for all."""
    tallies = list(tallies)
    hashes = {tally.hash for tally in tallies}
    return {
        "count": sum(tally.count for tally in tallies),
        "bytes": sum(tally.bytes for tally in tallies),
        "hash": hashes.pop() if len(hashes) == 1 else "differs between connections",
    }
