"""Threads for user code that takes part in making connections."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable

__all__ = ["Workers"]


class Workers:
    """A few daemon threads for user code; each ends when there is nothing to do for a while.

    One whose work is late counts for nothing, so that another takes its place.
    """

    #: That are not late.
    most = 8
    #: With those that are late.
    most_threads = 64
    idle_after = 5.0
    #: Later than this is late, where there is no bound.
    patience = 60.0

    def __init__(self) -> None:
        # Guards the rest.
        self._changed = threading.Condition()
        self._work: deque[tuple[Callable[[], None], float]] = deque()
        self._threads = 0
        # That wait, for work or until they may take it.
        self._waiting = 0
        # When the work of the others is late.
        self._deadlines: list[float] = []

    def submit(self, work: Callable[[], None], timeout: float) -> bool:
        """Have work done.

        Args:
            work: What to call.
            timeout: Seconds after which it is late.

        Returns:
            False if that cannot be: each thread is at work that is late, or there is none.
        """
        with self._changed:
            if self._threads >= self.most_threads and not self._in_time() and not self._waiting:
                return False
            self._work.append((work, min(timeout, self.patience)))
            self._changed.notify()
            self._see_to_work()
            if self._threads == 0:  # none can be started
                self._work.clear()
                return False
            return True

    def _in_time(self) -> list[float]:
        now = time.monotonic()
        return [deadline for deadline in self._deadlines if deadline > now]

    def _see_to_work(self) -> None:
        """Start a thread if there is work and nobody waits, be it for one that becomes late."""
        if not self._work or self._waiting or self._threads >= self.most_threads:
            return
        # Counted before it runs, or the next to come would start another.
        self._threads += 1
        self._waiting += 1
        try:
            threading.Thread(target=self._run, name="wspool-attempts", daemon=True).start()
        except RuntimeError:  # the system has no more; those that there are go on
            self._threads -= 1
            self._waiting -= 1

    def _run(self) -> None:
        while True:
            with self._changed:
                taken = self._take()
                self._waiting -= 1
                if taken is None:
                    self._threads -= 1
                    return
                work, timeout = taken
                deadline = time.monotonic() + timeout
                self._deadlines.append(deadline)
                self._see_to_work()
            try:
                work()
            except BaseException:
                # It tells of errors itself; this would be a mistake of ours, or no memory.
                logging.getLogger("wspool").exception("a function of an attempt to connect raised")
            finally:
                del work, taken
                with self._changed:
                    self._deadlines.remove(deadline)
                    self._waiting += 1
                    self._changed.notify()

    def _take(self) -> tuple[Callable[[], None], float] | None:
        """Wait for work that may be taken; None if there is none for a while."""
        until = time.monotonic() + self.idle_after
        while True:
            in_time = self._in_time()
            if self._work and len(in_time) < self.most:
                return self._work.popleft()
            wake = min(in_time) if self._work else until
            left = wake - time.monotonic()
            if left <= 0 and not self._work:
                return None
            self._changed.wait(max(left, 0.0))
