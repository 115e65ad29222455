"""The soak's server, and the proxies in front of it, each in a process of its own."""

from __future__ import annotations

import random
from multiprocessing.connection import Connection
from typing import Any

from tests.support.fault_proxy import FaultProxy
from tests.support.recording_server import RecordingServer

from .measure import resident
from .soak_client import serve_calls


class Server:
    """A recording server, told what to do over a pipe."""

    def __init__(self, feeds: list[str], rate: float) -> None:
        self._server = RecordingServer(rate=rate)
        self._feeds = feeds
        for name in feeds:
            self._server.feed(name)

    def port(self) -> int:
        """Return where it listens."""
        return self._server.port

    def stop(self, code: int | None) -> None:
        """Refuse connects, and close what is open."""
        self._server.stop(code)

    def start(self) -> None:
        """Accept again."""
        self._server.start()

    def close_some(self, code: int, part: float, seed: int) -> int:
        """Close a part of the connections with a code; returns how many."""
        some = _some(self._server.connections, part, random.Random(seed))
        return sum(self._server.close_one(record.number, code, "soak") for record in some)

    def refuse(self, status: int, retry_after: int | None, times: int) -> None:
        """Answer the next requests with a status."""
        self._server.refuse(status, retry_after, times)

    def accept_then_close(self, code: int, times: int) -> None:
        """Accept the next connections, and close them at once."""
        self._server.accept_then_close(code, times=times)

    def accept(self) -> None:
        """End both of that."""
        self._server.accept()

    def sample(self) -> dict[str, float]:
        """Return what changes over time."""
        return {
            "open": len(self._server.connections),
            "requests": len(self._server.records),
            "rss": resident(),
        }

    def published(self) -> dict[str, int]:
        """Return the last number of each feed."""
        return {name: self._server.feed(name).published for name in self._feeds}

    def finish(self) -> dict[str, tuple[list[tuple[int, int]], list[float]]]:
        """End it; returns of each feed what connections were given, and when it was sent."""
        feeds = [self._server.feed(name) for name in self._feeds]
        self._server.close()
        return {
            feed.name: (
                joined(sorted((span.first, span.last) for span in feed.spans)),
                list(feed.times),
            )
            for feed in feeds
        }


class Proxies:
    """Several proxies in front of one server; each is a host of its own to its clients."""

    def __init__(self, target: int, count: int) -> None:
        self._proxies = [FaultProxy("127.0.0.1", target) for _ in range(count)]

    def ports(self) -> list[int]:
        """Return where they listen."""
        return [proxy.port for proxy in self._proxies]

    def damage_some(self, number: int, how: str, part: float, seed: int, *args: Any) -> int:
        """Call a method of a part of a proxy's connections; returns of how many."""
        proxy = self._proxies[number]
        some = _some(proxy.connections, part, random.Random(seed))
        for connection in some:
            getattr(connection, how)(*args)
        return len(some)

    def damage(self, number: int, how: str, *args: Any) -> int:
        """Call a method of a proxy; returns how many connections it had."""
        proxy = self._proxies[number]
        count = len(proxy.connections)
        getattr(proxy, how)(*args)
        return count

    def restore(self, number: int) -> None:
        """End all faults of a proxy, and of its connections."""
        self._proxies[number].restore()

    def sample(self) -> dict[str, float]:
        """Return what changes over time."""
        return {
            "open": sum(len(proxy.connections) for proxy in self._proxies),
            "accepted": sum(proxy.accepted for proxy in self._proxies),
            "rss": resident(),
        }

    def finish(self) -> None:
        """End them."""
        for proxy in self._proxies:
            proxy.close()


def joined(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return sorted spans with those that touch or overlap made one."""
    result: list[tuple[int, int]] = []
    for first, last in spans:
        if result and first <= result[-1][1] + 1:
            result[-1] = result[-1][0], max(last, result[-1][1])
        else:
            result.append((first, last))
    return result


def _some(things: list[Any], part: float, chance: random.Random) -> list[Any]:
    return [thing for thing in things if chance.random() < part]


def serve(pipe: Connection, feeds: list[str], rate: float) -> None:
    """Run the server."""
    server = Server(feeds, rate)
    pipe.send((True, server.port()))
    serve_calls(pipe, server)


def forward(pipe: Connection, target: int, count: int) -> None:
    """Run the proxies."""
    proxies = Proxies(target, count)
    pipe.send((True, proxies.ports()))
    serve_calls(pipe, proxies)
