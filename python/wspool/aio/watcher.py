"""What one asyncio event loop watches for all of its connections: one descriptor."""

from __future__ import annotations

import itertools
import weakref
from typing import TYPE_CHECKING, Protocol

from wspool import native

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

__all__ = ["Watched", "Watcher"]

_watchers: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Watcher] = (
    weakref.WeakKeyDictionary()
)


class Watched(Protocol):
    """Who is told that something has become ready."""

    def on_ready(self) -> bool:
        """Look what it is. Returns whether more may come."""


class Watcher:
    """The descriptor of one event loop, and who is told when it is readable.

    Native threads post numbers, however many, and the loop wakes up once. Without anybody to
    tell nothing is watched, so that nothing of an idle loop is left.

    Thread safety: the loop's thread; native threads post.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.ready = native.ReadyList()
        self._loop = weakref.ref(loop)
        self._numbers = itertools.count(1)
        # By number; connections weakly, so that they end when their user drops them.
        self._told: dict[int, Callable[[], Watched | None]] = {}
        self._watching = False

    @classmethod
    def of(cls, loop: asyncio.AbstractEventLoop) -> Watcher:
        """Return the watcher of a loop."""
        watcher = _watchers.get(loop)
        if watcher is None:
            watcher = _watchers[loop] = cls(loop)
        return watcher

    def add(self, watched: Watched, *, keep: bool = False) -> int:
        """Tell ``watched`` of the number that is returned, until it wants no more.

        Args:
            watched: Held weakly, unless keep is true.
            keep: Whether to keep it alive.
        """
        number = next(self._numbers)
        self._told[number] = (lambda: watched) if keep else weakref.ref(watched)
        if not self._watching:
            loop = self._loop()
            assert loop is not None
            loop.add_reader(self.ready.descriptor, self._on_readable)
            self._watching = True
        return number

    def remove(self, number: int) -> None:
        """Tell nobody of a number any more."""
        self._told.pop(number, None)
        if not self._told and self._watching:
            self._watching = False
            loop = self._loop()
            if loop is not None and not loop.is_closed():
                loop.remove_reader(self.ready.descriptor)

    def _on_readable(self) -> None:
        for number in self.ready.take():
            told = self._told.get(number)
            if told is None:
                continue
            watched = told()
            if watched is None or not watched.on_ready():
                self.remove(number)
