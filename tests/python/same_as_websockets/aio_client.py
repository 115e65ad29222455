"""The steps of a case on a client for asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import AsyncIterator, Callable
from typing import Any

from .case import Do
from .client import Client, Left
from .outcomes import common_name
from .scripted_server import PATIENCE


class AioClient(Client):
    """Runs the steps on a client for asyncio."""

    def run(self, connect: Callable[..., Any], uri: str) -> None:
        """Run the whole case, in a loop of its own."""
        asyncio.run(self.run_in_loop(connect, uri))

    async def run_in_loop(self, connect: Callable[..., Any], uri: str) -> None:
        """Run the whole case."""
        key = "connect"
        try:
            async with connect(uri, **self.options) as self.ws:
                for number, step in enumerate(self.case.client, 1):
                    await self.step(f"{number} {step}", step)
                key = "leaving"
        except (Left, asyncio.CancelledError):
            self.outcome["leaving"] = "raised what was raised inside"
        except Exception as error:  # noqa: BLE001
            self.raised(key, error)
        self.keep_end()

    async def step(self, key: str, step: Do) -> None:
        """Run one step and keep what it did."""
        try:
            self.returned(key, await self.call(step))
        except Left:
            raise
        except asyncio.CancelledError as error:
            if step.method == "cancel_task":
                raise
            self.raised(key, error)
        except Exception as error:  # noqa: BLE001
            self.raised(key, error)

    async def call(self, step: Do) -> Any:
        """Call the method of a step."""
        method = getattr(self, step.method, None) or getattr(self.ws, step.method)
        value = method(*step.args, **step.options)
        return await value if inspect.isawaitable(value) else value

    # Steps that are no method of the connection, or whose result is not a plain value.

    async def tell(self, name: str) -> None:
        """Let the server's step ``wait_for`` go on."""
        self.signals.tell(name)

    async def wait_for(self, name: str) -> None:
        """Wait for the server's step ``tell``."""
        await asyncio.to_thread(self.signals.wait_for, name)

    async def recv_within(self, seconds: float) -> str | bytes:
        """Receive a message with a timeout."""
        return await asyncio.wait_for(self.ws.recv(), seconds)

    async def recv_size(self) -> int:
        """Receive a message; its size is enough."""
        return len(await self.ws.recv())

    async def recv_in_slices(self, number: int) -> list[str | bytes]:
        """Receive so many messages with a timeout that is much too short."""
        received: list[str | bytes] = []
        while len(received) < number:
            with contextlib.suppress(asyncio.TimeoutError):
                received.append(await asyncio.wait_for(self.ws.recv(), 0.0005))
        return received

    async def cancel_task(self) -> None:
        """Leave the ``with`` block because the task is cancelled."""
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)

    async def cancel_recv(self) -> str:
        """Cancel a recv() that waits."""
        waiting = asyncio.ensure_future(self.ws.recv())
        for _ in range(3):
            await asyncio.sleep(0)  # it runs up to where it waits
        waiting.cancel()
        return repr(await waiting)

    async def iterate(self, number: int | None = None) -> list[str | bytes]:
        """Iterate to the end, or so far; what came before an exception is kept too."""
        received: list[str | bytes] = []
        self.outcome["iterated"] = received
        async for message in self.ws:
            received.append(message)
            if len(received) == number:
                break
        return received

    async def stream(
        self, *, decode: bool | None = None, number: int | None = None, then: str | None = None
    ) -> list[str | bytes]:
        """Receive a message in fragments, all or so many; tell ``then`` once there is one."""
        fragments: list[str | bytes] = []
        self.outcome["streamed"] = fragments
        async for fragment in self.ws.recv_streaming(decode=decode):
            fragments.append(fragment)
            if then is not None:
                self.signals.tell(then)
            if len(fragments) == number:
                break
        return fragments

    async def recv_while_streaming(self) -> list[object]:
        """Receive inside an iteration over fragments, and go on with it."""
        seen: list[object] = []
        async for fragment in self.ws.recv_streaming():
            seen.append(fragment)
            try:
                seen.append(await self.ws.recv())
            except Exception as error:  # noqa: BLE001
                seen.append(common_name(type(error)))
        return seen

    async def ping(self, *args: Any, **options: Any) -> str:
        """Send a ping; the step ``pong_of`` waits for its pong."""
        self.pings.append(await self.ws.ping(*args, **options))
        return "sent"

    async def pong_of(self, number: int, seconds: float = PATIENCE) -> str:
        """Wait for the pong of a ping."""
        round_trip = await asyncio.wait_for(self.pings[number], seconds)
        return "pong" if isinstance(round_trip, float) else f"{round_trip!r}"

    async def ping_pong(self) -> str:
        """Send a ping and wait: what the server sent before has then arrived."""
        await self.ping()
        return await self.pong_of(-1)

    async def send_asynchronously(self) -> None:
        """Send fragments from an asynchronous iterable."""

        async def fragments() -> AsyncIterator[str]:
            for fragment in ("one", "two"):
                await asyncio.sleep(0)
                yield fragment

        await self.ws.send(fragments())

    async def send_slowly(self) -> None:
        """Send fragments; the step ``meanwhile`` runs between the first and the second."""

        async def fragments() -> AsyncIterator[str]:
            yield "one"
            self.signals.tell("now")
            await self.wait_for("go on")
            yield "two"

        await self.ws.send(fragments())

    async def meanwhile(self, step: Do) -> Any:
        """Run a step once told "now", and tell "go on" soon, should the step wait for it."""
        await self.wait_for("now")
        going_on = asyncio.get_running_loop().call_later(0.1, self.signals.tell, "go on")
        try:
            return await getattr(self.ws, step.method)(*step.args, **step.options)
        finally:
            self.signals.tell("go on")
            going_on.cancel()

    async def at_once(self, *steps: Do, then: str | None = None) -> list[str]:
        """Run steps in a task each; tell ``then`` once the first one has ended."""

        async def run(step: Do) -> str:
            try:
                return f"{step} returned {await self.call(step)!r}"
            except Exception as error:  # noqa: BLE001
                return f"{step} raised {common_name(type(error))}"

        tasks = [asyncio.ensure_future(run(step)) for step in steps]
        if then is not None:
            await asyncio.wait(tasks, timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
            self.signals.tell(then)
        return sorted([await task for task in tasks])
