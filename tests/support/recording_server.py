"""A server of live feeds that misbehaves on demand and keeps a record of what it sent.

    with RecordingServer(rate=200) as server:
        ...  # connect to server.uri, and send {"op": "subscribe", "feed": "trades"}
        server.close_all(1012)
        ...
    found = compare(received, server.feed("trades").spans)

A feed's messages are {"feed": NAME, "u": N} with N from 1 up. They go to whoever is subscribed at
that moment; what is sent while a client is away is lost to it, as it is with a real feed. The path
/feed/NAME is subscribed to that feed from the start.
"""

from __future__ import annotations

import asyncio
import contextlib
import http
import json
import ssl as _ssl
import threading
import time
import weakref
from array import array
from collections import Counter
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, TypeVar

from tests.support.processes import bound_socket
from websockets.asyncio.server import Server, ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.protocol import State

_Result = TypeVar("_Result")
#: Seconds that a method waits for the server's thread.
_PATIENCE = 30
#: Seconds between looks at what is due.
_TICK = 0.002


@dataclass
class Span:
    """Consecutive numbers of a feed that one connection was given, both ends included."""

    connection: int
    first: int
    last: int


@dataclass
class Record:
    """What became of one attempt to connect; times are of `time.monotonic`."""

    #: Counts from 0 in the order of the requests.
    number: int
    path: str
    headers: list[tuple[str, str]]
    #: When its request was read.
    at: float
    #: When the handshake was over; None if it never was.
    opened: float | None = None
    #: When the connection was over, or the attempt refused.
    closed: float | None = None
    #: The HTTP status with which it was refused.
    refused: int | None = None
    #: The client's or our close code, 1006 without one.
    close_code: int | None = None
    #: What the client sent.
    received: list[str | bytes] = field(default_factory=list)
    #: What was handed to the socket of each feed. The client may have got less of the end of it.
    spans: dict[str, list[Span]] = field(default_factory=dict)

    @property
    def is_open(self) -> bool:
        return self.opened is not None and self.closed is None

    def first(self, feed: str) -> int | None:
        """Return the first number of a feed that was handed to the socket."""
        return self.spans[feed][0].first if feed in self.spans else None

    def last(self, feed: str) -> int | None:
        """Return the last number of a feed that was handed to the socket."""
        return self.spans[feed][-1].last if feed in self.spans else None


@dataclass
class Feed:
    """A feed; made by `RecordingServer.feed`."""

    name: str
    #: Messages a second; None is only by `publish`.
    rate: float | None
    #: How many connections it takes; None is any number.
    max_connections: int | None = None
    #: Bytes of filling in each message.
    filling: int = 0
    #: The last number that was used, whether or not somebody listened.
    published: int = 0
    #: What all connections were given, in the order of their beginnings.
    spans: list[Span] = field(default_factory=list)
    #: When each number was used, by `time.time`; that of 1 comes first.
    times: array[float] = field(default_factory=lambda: array("d"))
    _subscribers: dict[ServerConnection, Record] = field(default_factory=dict)
    _begin: float = 0.0
    _count: int = 0

    @property
    def subscribers(self) -> int:
        """How many connections are subscribed now."""
        return len(self._subscribers)

    def set_rate(self, rate: float | None) -> None:
        """Send so many messages a second from now on."""
        self._begin, self._count = time.monotonic(), 0
        self.rate = rate

    def _due(self, now: float) -> int:
        if self.rate is None:
            return 0
        return max(0, int((now - self._begin) * self.rate) - self._count)

    def _publish(self, count: int) -> None:
        for _ in range(count):
            self.published += 1
            self.times.append(time.time())
            message: dict[str, Any] = {"feed": self.name, "u": self.published}
            if self.filling:
                message["filling"] = "x" * self.filling
            self._send(json.dumps(message))

    def _send(self, text: str) -> None:
        number = self.published
        for connection, record in self._subscribers.items():
            if connection.state is not State.OPEN:
                continue
            broadcast([connection], text)  # writes and does not wait
            spans = record.spans.setdefault(self.name, [])
            if spans and spans[-1].last == number - 1:
                spans[-1].last = number
            else:
                spans.append(Span(record.number, number, number))
                self.spans.append(spans[-1])


@dataclass
class _Plan:
    """How attempts to connect are treated."""

    times: int | None
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    close: tuple[int, str] | None = None
    is_silent: bool = False


class RecordingServer:
    """A server on a thread of its own. The methods may be called from any thread.

    Feeds come into being when they are first named, by `feed` or by a client, and go on until the
    server's end, also while it is stopped.
    """

    def __init__(
        self,
        *,
        rate: float | None = 100,
        host: str = "127.0.0.1",
        ssl: _ssl.SSLContext | None = None,
        ping_interval: float | None = None,
        compression: str | None = None,
    ) -> None:
        """Start it, in the network of the thread that makes it (see `Host.inside`).

        Args:
            rate: of feeds that `feed` was not told another: messages a second; None is by
                `publish` only.
            host: IP address to listen on.
            ssl: for TLS.
            ping_interval: seconds between pings of ours; None is none.
            compression: "deflate" or None.
        """
        self._rate = rate
        self._ssl = ssl
        self._options: dict[str, Any] = {
            "ping_interval": ping_interval,
            "ping_timeout": ping_interval,
            "compression": compression,
        }
        self._plans: list[_Plan] = []
        self._feeds: dict[str, Feed] = {}
        self._records: list[Record] = []
        self._by_connection: dict[ServerConnection, tuple[Record, _Plan | None]] = {}
        self._made: weakref.WeakSet[ServerConnection] = weakref.WeakSet()
        self._is_quiet = False
        self._answers = True
        self._tasks: set[asyncio.Task[None]] = set()
        self.host = host
        self._socket = bound_socket(host, 0)
        self.port: int = self._socket.getsockname()[1]
        self._server: Server | None = None
        self._loop = asyncio.new_event_loop()
        self._released = asyncio.Event()
        self._is_running = True
        self._thread = threading.Thread(target=self._work, name="recording-server")
        self._thread.start()
        self.start()

    @property
    def uri(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"ws://{host}:{self.port}" if self._ssl is None else f"wss://localhost:{self.port}"

    @property
    def records(self) -> list[Record]:
        """Of all attempts to connect, in order."""
        return self._records.copy()

    @property
    def connections(self) -> list[Record]:
        """Of those that are open."""
        return [record for record in self._records.copy() if record.is_open]

    def feed(
        self,
        name: str,
        *,
        rate: float | None = -1,
        max_connections: int | None = None,
        filling: int = 0,
    ) -> Feed:
        """Return a feed, which is made at the first call with these settings."""

        async def work() -> Feed:
            feed = self._feed(name, self._rate if rate == -1 else rate)
            if max_connections is not None:
                feed.max_connections = max_connections
            feed.filling = filling or feed.filling
            return feed

        return self._run(work())

    def publish(self, name: str, count: int = 1) -> int:
        """Send so many messages of a feed at once; returns the last one's number."""

        async def work() -> int:
            feed = self._feed(name, self._rate)
            feed._publish(count)
            return feed.published

        return self._run(work())

    # --- misbehaviour ----------------------------------------------------------------------------
    # `times` is for so many attempts to connect; None is until `accept`. Later plans wait for
    # the end of earlier ones.

    def refuse(
        self, status: int = 503, retry_after: str | int | None = None, times: int | None = None
    ) -> None:
        """Answer requests with a status, and with Retry-After if that is given."""
        headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
        self._plan(_Plan(times, status=status, headers=headers))

    def accept_then_close(
        self, code: int = 1013, reason: str = "", times: int | None = None
    ) -> None:
        """Accept, and close at once."""
        self._plan(_Plan(times, close=(code, reason)))

    def never_answer(self, times: int | None = None) -> None:
        """Read requests, and answer nothing; when the server ends, with 503."""
        self._plan(_Plan(times, is_silent=True))

    def accept(self) -> None:
        """Drop all plans: accept what comes from now on."""

        async def work() -> None:
            self._plans.clear()

        self._run(work())

    def ignore_subscriptions(self, ignore: bool = True) -> None:
        """Take subscriptions without an answer, and send nothing for them."""
        self._answers = not ignore

    def silence(self) -> None:
        """Publish nothing, by rate, until `resume`; connections stay, and no number is used."""
        self._is_quiet = True

    def resume(self) -> None:
        """End `silence`."""

        async def work() -> None:
            for feed in self._feeds.values():
                feed.set_rate(feed.rate)
            self._is_quiet = False

        self._run(work())

    def close_all(self, code: int = 1001, reason: str = "") -> int:
        """Start the closing handshake with all; returns with how many."""

        async def work() -> int:
            connections = [c for c in self._by_connection if c.state is State.OPEN]
            for connection in connections:
                self._spawn(connection.close(code, reason))
            await asyncio.sleep(0)  # the close frames are written now
            return len(connections)

        return self._run(work())

    def close_one(self, number: int, code: int = 1001, reason: str = "") -> int:
        """Start the closing handshake with that of `Record.number`; returns 0 if it is gone."""

        async def work() -> int:
            for connection, (record, _) in [*self._by_connection.items()]:
                if record.number == number and connection.state is State.OPEN:
                    self._spawn(connection.close(code, reason))
                    await asyncio.sleep(0)
                    return 1
            return 0

        return self._run(work())

    def abort_all(self) -> int:
        """End all connections without a closing handshake; returns how many."""

        async def work() -> int:
            connections = [*self._by_connection]
            for connection in connections:
                connection.transport.abort()
            return len(connections)

        return self._run(work())

    def abort(self, number: int) -> None:
        """End one connection without a closing handshake: that of `Record.number`."""

        async def work() -> None:
            for connection, (record, _) in [*self._by_connection.items()]:
                if record.number == number:
                    connection.transport.abort()

        self._run(work())

    def stop(self, code: int | None = 1001) -> None:
        """Refuse connects, and close what is open with a code, None is without a handshake."""

        async def work() -> None:
            if self._server is None:
                return
            server, self._server = self._server, None
            server.close(close_connections=False)
            await asyncio.sleep(0)  # now the listener is closed
            self._socket = bound_socket(self.host, self.port)  # keeps the port, does not listen
            self._released.set()
            if code is None:
                for connection in [*self._by_connection]:
                    connection.transport.abort()
            else:
                open_ones = [c for c in self._by_connection if c.state is State.OPEN]
                closing = [self._loop.create_task(c.close(code)) for c in open_ones]
                # One that cannot write, because nothing comes through, does not end by itself.
                await asyncio.wait([*closing, self._loop.create_task(asyncio.sleep(0))], timeout=3)
            for connection in [*self._by_connection]:
                connection.transport.abort()
            # And those whose request does not come: a black hole may be between us.
            for connection in [*self._made]:
                transport = getattr(connection, "transport", None)
                if transport is not None and getattr(connection, "request", None) is None:
                    transport.abort()
            await server.wait_closed()

        self._run(work())

    def start(self) -> None:
        """Accept again after `stop`, on the same port."""

        async def work() -> None:
            if self._server is not None:
                return
            self._released = asyncio.Event()
            self._server = await serve(
                self._handle,
                sock=self._socket,
                ssl=self._ssl,
                process_request=self._on_request,
                open_timeout=None,
                create_connection=self._make,
                close_timeout=1,
                max_size=None,
                **self._options,
            )

        self._run(work())

    def close(self) -> None:
        """Stop, and end the thread."""
        if self._is_running:
            self.stop()
            self._is_running = False
            self._thread.join(_PATIENCE)
            assert not self._thread.is_alive(), "the server's thread does not end"
            self._socket.close()

    def __enter__(self) -> RecordingServer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _run(self, work: Coroutine[Any, Any, _Result]) -> _Result:
        assert self._is_running, "the server is closed"
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_PATIENCE)

    def _plan(self, plan: _Plan) -> None:
        async def work() -> None:
            self._plans.append(plan)

        self._run(work())

    # --- on the server's thread ------------------------------------------------------------------

    def _work(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._tick())
        finally:
            left = asyncio.all_tasks(self._loop)
            for task in left:
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            self._loop.close()

    async def _tick(self) -> None:
        while self._is_running:
            now = time.monotonic()
            for feed in [] if self._is_quiet else [*self._feeds.values()]:
                due = feed._due(now)
                feed._count += due
                feed._publish(due)
            await asyncio.sleep(_TICK)

    def _make(self, *args: Any, **options: Any) -> ServerConnection:
        connection = ServerConnection(*args, **options)
        self._made.add(connection)
        return connection

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _feed(self, name: str, rate: float | None) -> Feed:
        if name not in self._feeds:
            feed = Feed(name, None)
            feed.set_rate(rate)
            self._feeds[name] = feed
        return self._feeds[name]

    def _next_plan(self) -> _Plan | None:
        if not self._plans:
            return None
        plan = self._plans[0]
        if plan.times is not None:
            plan.times -= 1
            if plan.times <= 0:
                self._plans.pop(0)
        return plan

    async def _on_request(self, connection: ServerConnection, request: Request) -> Response | None:
        headers = [*request.headers.raw_items()]
        record = Record(len(self._records), request.path, headers, time.monotonic())
        self._records.append(record)
        plan = self._next_plan()
        response = None
        if plan is not None and plan.is_silent:
            await self._released.wait()
            response = connection.respond(http.HTTPStatus.SERVICE_UNAVAILABLE, "the end\n")
        elif plan is not None and plan.status is not None:
            response = connection.respond(http.HTTPStatus(plan.status), "not now\n")
            for header, value in plan.headers.items():
                response.headers[header] = value
        elif (name := _feed_of(request.path)) and self._is_full(self._feed(name, self._rate)):
            response = connection.respond(http.HTTPStatus.SERVICE_UNAVAILABLE, "full\n")
        if response is None:
            self._by_connection[connection] = record, plan
        else:
            record.refused, record.closed = response.status_code, time.monotonic()
        return response

    def _is_full(self, feed: Feed) -> bool:
        limit = feed.max_connections
        return limit is not None and feed.subscribers >= limit

    async def _handle(self, connection: ServerConnection) -> None:
        record, plan = self._by_connection[connection]
        record.opened = time.monotonic()
        try:
            with contextlib.suppress(ConnectionClosed):
                if plan is not None and plan.close is not None:
                    await connection.close(*plan.close)
                else:
                    await self._serve(connection, record)
        finally:
            for feed in self._feeds.values():
                feed._subscribers.pop(connection, None)
            del self._by_connection[connection]
            await connection.wait_closed()
            record.close_code, record.closed = connection.close_code, time.monotonic()

    async def _serve(self, connection: ServerConnection, record: Record) -> None:
        subscribed = _feed_of(record.path)
        if subscribed and not await self._subscribe(connection, record, subscribed):
            return
        async for message in connection:
            record.received.append(message)
            request = _parse(message)
            if request is None or not self._answers:
                continue
            name = str(request["feed"])
            result = {"result": None, "feed": name}
            answer = json.dumps(result | ({"id": request["id"]} if "id" in request else {}))
            if request["op"] == "unsubscribe":
                self._feed(name, self._rate)._subscribers.pop(connection, None)
                await connection.send(answer)
            elif not await self._subscribe(connection, record, name, answer):
                return

    async def _subscribe(
        self, connection: ServerConnection, record: Record, name: str, answer: str | None = None
    ) -> bool:
        feed = self._feed(name, self._rate)
        if connection not in feed._subscribers and self._is_full(feed):
            await connection.send(json.dumps({"error": "too many connections", "feed": name}))
            await connection.close(1013, "too many connections")
            return False
        if answer is not None:  # before the first message of the feed
            await connection.send(answer)
        feed._subscribers[connection] = record
        return True


@dataclass
class Comparison:
    """What a client received of a feed, compared with what it was sent."""

    #: Numbers between the first and the last received that did not come.
    missing: list[int]
    #: Of those, how many no connection was given: sent while the client was away.
    never_given: int
    #: How many came more than once, each counted as often as it came too often.
    duplicates: int
    #: How many came after a higher one, duplicates not counted.
    out_of_order: int
    #: Numbers that came though they were never given to any connection.
    unknown: list[int]


def compare(received: Iterable[int], spans: Iterable[Span]) -> Comparison:
    """Compare the numbers that came, in that order, with what the connections were given.

    A number that is missing though a connection was given it may have been on its way when that
    connection was lost.
    """
    numbers = list(received)
    given = {number for span in spans for number in range(span.first, span.last + 1)}
    counts = Counter(numbers)
    everything = range(min(counts, default=1), max(counts, default=0) + 1)
    missing = [number for number in everything if number not in counts]
    highest, late, seen = 0, 0, set[int]()
    for number in numbers:
        if number not in seen and number < highest:
            late += 1
        seen.add(number)
        highest = max(highest, number)
    return Comparison(
        missing,
        sum(number not in given for number in missing),
        len(numbers) - len(counts),
        late,
        sorted(number for number in counts if number not in given),
    )


def _feed_of(path: str) -> str | None:
    """Return the feed that a path names."""
    name = path.partition("?")[0].removeprefix("/feed/")
    return name if path.startswith("/feed/") and name else None


def _parse(message: str | bytes) -> dict[str, Any] | None:
    """Return what a client asks for, None if it is nothing that this server knows."""
    try:
        request = json.loads(message)
    except ValueError:
        return None
    if not isinstance(request, dict) or not isinstance(request.get("feed"), str):
        return None
    return request if request.get("op") in {"subscribe", "unsubscribe"} else None
