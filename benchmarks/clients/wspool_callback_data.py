"""wspool: callbacks that take each payload as bytes, as the one for picows does."""

from __future__ import annotations

from collections.abc import Callable

import wspool
from benchmarks.measure import main

from .wspool_callback import receive


def _counter() -> tuple[Callable[..., None], Callable[[], int]]:
    """Return a callback that counts and takes the bytes, and what tells its count."""
    count = 0

    def on_message(_connection: wspool.Connection, message: wspool.Message) -> None:
        nonlocal count
        count += 1
        message.data  # noqa: B018

    return on_message, lambda: count


if __name__ == "__main__":
    main({"receive": lambda spec: receive(spec, _counter)})
