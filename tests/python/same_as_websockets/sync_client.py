"""The steps of a case on a blocking client."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

from .case import Do
from .client import Client, Left
from .outcomes import common_name
from .scripted_server import PATIENCE


class SyncClient(Client):
    """Runs the steps on a blocking client."""

    def run(self, connect: Callable[..., Any], uri: str) -> None:
        """Run the whole case."""
        key = "connect"
        try:
            with connect(uri, **self.options) as self.ws:
                for number, step in enumerate(self.case.client, 1):
                    self.step(f"{number} {step}", step)
                key = "leaving"
        except Left:
            self.outcome["leaving"] = "raised what was raised inside"
        except Exception as error:  # noqa: BLE001
            self.raised(key, error)
        self.keep_end()

    def step(self, key: str, step: Do) -> None:
        """Run one step and keep what it did."""
        method = getattr(self, step.method, None) or getattr(self.ws, step.method)
        try:
            self.returned(key, method(*step.args, **step.options))
        except Left:
            raise
        except Exception as error:  # noqa: BLE001
            self.raised(key, error)

    # Steps that are no method of the connection, or whose result is not a plain value.

    def tell(self, name: str) -> None:
        """Let the server's step ``wait_for`` go on."""
        self.signals.tell(name)

    def wait_for(self, name: str) -> None:
        """Wait for the server's step ``tell``."""
        self.signals.wait_for(name)

    def recv_within(self, seconds: float) -> str | bytes:
        """Receive a message with a timeout."""
        message: str | bytes = self.ws.recv(timeout=seconds)
        return message

    def recv_size(self) -> int:
        """Receive a message; its size is enough."""
        return len(self.ws.recv())

    def recv_in_slices(self, number: int) -> list[str | bytes]:
        """Receive so many messages with a timeout that is much too short."""
        received: list[str | bytes] = []
        while len(received) < number:
            with contextlib.suppress(TimeoutError):
                received.append(self.ws.recv(timeout=0.0005))
        return received

    def iterate(self, number: int | None = None) -> list[str | bytes]:
        """Iterate to the end, or so far; what came before an exception is kept too."""
        received: list[str | bytes] = []
        self.outcome["iterated"] = received
        for message in self.ws:
            received.append(message)
            if len(received) == number:
                break
        return received

    def stream(
        self, *, decode: bool | None = None, number: int | None = None, then: str | None = None
    ) -> list[str | bytes]:
        """Receive a message in fragments, all or so many; tell ``then`` once there is one."""
        fragments: list[str | bytes] = []
        self.outcome["streamed"] = fragments
        for fragment in self.ws.recv_streaming(decode=decode):
            fragments.append(fragment)
            if then is not None:
                self.signals.tell(then)
            if len(fragments) == number:
                break
        return fragments

    def recv_while_streaming(self) -> list[object]:
        """Receive inside an iteration over fragments, and go on with it."""
        seen: list[object] = []
        for fragment in self.ws.recv_streaming():
            seen.append(fragment)
            try:
                seen.append(self.ws.recv())
            except Exception as error:  # noqa: BLE001
                seen.append(common_name(type(error)))
        return seen

    def ping(self, *args: Any, **options: Any) -> str:
        """Send a ping; the step ``pong_of`` waits for its pong."""
        self.pings.append(self.ws.ping(*args, **options))
        return "sent"

    def pong_of(self, number: int, seconds: float = PATIENCE) -> str:
        """Wait for the pong of a ping."""
        return "pong" if self.pings[number].wait(seconds) else "no pong"

    def ping_pong(self) -> str:
        """Send a ping and wait: what the server sent before has then arrived."""
        self.ping()
        return self.pong_of(-1)

    def send_slowly(self) -> None:
        """Send fragments; the step ``meanwhile`` runs between the first and the second."""

        def fragments() -> Iterator[str]:
            yield "one"
            self.signals.tell("now")
            self.signals.wait_for("go on")
            yield "two"

        self.ws.send(fragments())

    def meanwhile(self, step: Do) -> Any:
        """Run a step once told "now", and tell "go on" soon, should the step wait for it."""
        self.signals.wait_for("now")
        going_on = threading.Timer(0.1, self.signals.tell, ["go on"])
        going_on.start()
        try:
            return getattr(self.ws, step.method)(*step.args, **step.options)
        finally:
            self.signals.tell("go on")
            going_on.cancel()
            going_on.join()

    def at_once(self, *steps: Do, then: str | None = None) -> list[str]:
        """Run steps in a thread each; tell ``then`` once the first one has ended."""
        ends: list[str] = []
        ended = threading.Event()

        def run(step: Do) -> None:
            method = getattr(self, step.method, None) or getattr(self.ws, step.method)
            try:
                end = f"{step} returned {method(*step.args, **step.options)!r}"
            except Exception as error:  # noqa: BLE001
                end = f"{step} raised {common_name(type(error))}"
            ends.append(end)
            ended.set()

        threads = [threading.Thread(target=run, args=(step,)) for step in steps]
        for thread in threads:
            thread.start()
        if then is not None:
            ended.wait(PATIENCE)
            self.signals.tell(then)
        for thread in threads:
            thread.join(2 * PATIENCE)
        return sorted(ends)
