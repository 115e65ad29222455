"""A TCP proxy on loopback that damages what passes through it, as it is told.

    with FaultProxy("127.0.0.1", server_port) as proxy:
        ...  # connect to proxy.port
        proxy.reset()  # or a method of one of proxy.connections

A fault that is set on the proxy holds for the connections that are open and for those to come,
until `restore`; one that is set on a connection holds for that one. When a method returns, the
fault is in force. "up" is from the client to the target, "down" the way back.
"""

from __future__ import annotations

import errno
import queue
import selectors
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Literal, TypeAlias

from tests.support.processes import bound_socket

Direction: TypeAlias = Literal["up", "down", "both"]
#: How a connection that is cut ends: an RST, a FIN, or nothing ever again.
Ending: TypeAlias = Literal["reset", "close", "black_hole"]

#: Bytes that a direction holds back before it stops to read.
_LIMIT = 2**20
_WAITING = {errno.EAGAIN, errno.EWOULDBLOCK, errno.EINTR}
#: Seconds that a method waits for the proxy's thread.
_PATIENCE = 30


@dataclass
class _Faults:
    """What is done to the bytes of one direction."""

    held: bool = False
    rate: float | None = None
    delay: float = 0.0
    left: int | None = None
    ending: Ending = "reset"

    def copy(self) -> _Faults:
        return _Faults(self.held, self.rate, self.delay, self.left, self.ending)


@dataclass
class _Flow:
    """One direction of a connection."""

    source: socket.socket
    sink: socket.socket
    faults: _Faults
    chunks: deque[tuple[float, memoryview]] = field(default_factory=deque)
    size: int = 0
    passed: int = 0
    next_send: float = 0.0
    read_all: bool = False
    shut: bool = False
    blocked: bool = False

    def reads(self) -> bool:
        return not (self.read_all or self.faults.held) and self.size < _LIMIT

    def receive(self, now: float) -> None:
        """Read once; an empty chunk is the end."""
        data = self.source.recv(65536)
        self.read_all = not data
        ready = now + self.faults.delay
        if self.chunks:  # a delay that was made shorter must not overtake
            ready = max(ready, self.chunks[-1][0])
        self.chunks.append((ready, memoryview(data)))
        self.size += len(data)

    def wake(self) -> float | None:
        """When there is something to do without anything from the sockets."""
        if not self.chunks or self.faults.held or self.blocked or self.shut:
            return None
        return max(self.chunks[0][0], self.next_send)

    def send(self, now: float) -> int:
        """Send what may be sent now; returns how much."""
        self.blocked = False
        total = 0
        faults = self.faults
        while not faults.held and self.chunks and faults.left != 0:
            ready, chunk = self.chunks[0]
            if max(ready, self.next_send) > now:
                break
            if not chunk:
                self.shut_down()
                break
            size = len(chunk)
            if faults.rate is not None:
                size = min(size, max(1, int(faults.rate / 20)))
            if faults.left is not None:
                size = min(size, faults.left)
            try:
                sent = self.sink.send(chunk[:size])
            except OSError as error:
                if error.errno in _WAITING:
                    self.blocked = True
                    break
                raise
            total += sent
            self.size -= sent
            self.passed += sent
            if faults.left is not None:
                faults.left -= sent
            if faults.rate is not None:
                self.next_send = now + sent / faults.rate
            if sent == len(chunk):
                self.chunks.popleft()
            else:
                self.chunks[0] = (ready, chunk[sent:])
        return total

    def shut_down(self) -> None:
        """Tell the sink that nothing more comes."""
        self.chunks.clear()
        self.size = 0
        self.read_all = self.shut = True
        try:
            self.sink.shutdown(socket.SHUT_WR)
        except OSError as error:
            if error.errno != errno.ENOTCONN:
                raise


class ProxiedConnection:
    """A connection through the proxy. The methods may be called from any thread."""

    def __init__(
        self, proxy: FaultProxy, client: socket.socket, target: socket.socket, number: int
    ) -> None:
        self._proxy = proxy
        self._client = client
        self._target = target
        self._connecting = True
        self._is_half = False
        #: Counts from 0 in the order of acceptance.
        self.number = number
        #: Whether the proxy still holds the client's socket.
        self.is_open = True
        self._up = _Flow(client, target, proxy._faults["up"].copy())
        self._down = _Flow(target, client, proxy._faults["down"].copy())

    @property
    def bytes_up(self) -> int:
        """Bytes of the client that the target was given."""
        return self._up.passed

    @property
    def bytes_down(self) -> int:
        """Bytes of the target that the client was given; a client may be faster than the count."""
        return self._down.passed

    def reset(self) -> None:
        """Send an RST to both sides."""
        self._proxy._run(lambda: self._end(reset=True))

    def close(self) -> None:
        """Send a FIN to both sides; what is still held back is dropped."""
        self._proxy._run(lambda: self._end(reset=False))

    def shut(self, direction: Literal["up", "down"]) -> None:
        """Send a FIN in one direction; what is still held back in it is dropped."""

        def work() -> None:
            if self.is_open and not self._flow(direction).shut:
                self._flow(direction).shut_down()

        self._change(work)

    def half_open(self) -> None:
        """End the target's side; the client's stays open, is not read and is told nothing."""

        def work() -> None:
            self._hold_all()
            self._is_half = True
            self._connecting = False
            self._proxy._drop(self._target)

        self._change(work)

    def black_hole(self, direction: Direction = "both") -> None:
        """Forward nothing and read nothing, nor notice the end of a side, until `restore`."""
        self._set(direction, held=True)

    def drip(self, rate: float, direction: Direction = "both") -> None:
        """Forward so many bytes a second."""
        _check_positive("rate", rate)
        self._set(direction, rate=float(rate))

    def delay(self, milliseconds: float, direction: Direction = "both") -> None:
        """Forward what is read from now on so much later, in order."""
        self._set(direction, delay=milliseconds / 1000)

    def cut_after(
        self, size: int, direction: Literal["up", "down"] = "down", ending: Ending = "reset"
    ) -> None:
        """Forward exactly so many bytes more in a direction, then end the connection."""
        self._set(direction, left=size, ending=ending)

    def restore(self) -> None:
        """Forward again as if nothing had been; what was kept back in black holes follows."""
        self._set("both", held=False, rate=None, delay=0.0, left=None)

    def _flow(self, direction: Direction) -> _Flow:
        return self._up if direction == "up" else self._down

    def _set(self, direction: Direction, **faults: object) -> None:
        self._change(lambda: self._apply(direction, faults))

    def _change(self, work: Callable[[], None]) -> None:
        def both() -> None:
            work()
            self._proxy._step(self)

        self._proxy._run(both)

    def _apply(self, direction: Direction, faults: dict[str, object]) -> None:
        if self._is_half:  # for ever
            return
        for name in _directions(direction):
            flow = self._flow(name)
            for fault, value in faults.items():
                setattr(flow.faults, fault, value)
            if "rate" in faults:
                flow.next_send = 0.0

    def _hold_all(self) -> None:
        self._up.faults.held = self._down.faults.held = True

    def _end(self, *, reset: bool) -> None:
        if self.is_open:
            self.is_open = False
            for sock in (self._client, self._target):
                self._proxy._drop(sock, reset=reset)
            self._proxy._open.pop(self, None)

    def _wants(self, sock: socket.socket) -> int:
        if self._connecting:
            return selectors.EVENT_WRITE if sock is self._target else 0
        reads, writes = (self._up, self._down) if sock is self._client else (self._down, self._up)
        return (selectors.EVENT_READ if reads.reads() else 0) | (
            selectors.EVENT_WRITE if writes.blocked else 0
        )

    def _wake(self) -> float | None:
        if self._connecting:
            return None
        times = [at for at in (self._up.wake(), self._down.wake()) if at is not None]
        return min(times, default=None)


class FaultProxy:
    """Forwards connections to a target, with faults on demand.

    One thread does all the work. The methods may be called from any thread; they return when what
    they ask for is done. As a context manager it resets what is open at the end.
    """

    def __init__(self, target_host: str, target_port: int) -> None:
        self._target = (target_host, target_port)
        self._faults = {"up": _Faults(), "down": _Faults()}
        self._open: dict[ProxiedConnection, None] = {}
        self._all: list[ProxiedConnection] = []
        self._selector = selectors.DefaultSelector()
        self._commands: queue.SimpleQueue[tuple[Callable[[], object], queue.SimpleQueue[object]]]
        self._commands = queue.SimpleQueue()
        self._waker, self._woken = socket.socketpair()
        self._woken.setblocking(False)
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._listening = False
        #: Where clients connect to.
        self.host = "127.0.0.1"
        self._listener = bound_socket(self.host, 0)
        self.port: int = self._listener.getsockname()[1]
        self._listen()
        self._is_running = True
        self._closing = threading.Lock()
        self._thread = threading.Thread(target=self._work, name="fault-proxy")
        self._thread.start()

    @property
    def accepted(self) -> int:
        """How many connections were accepted so far."""
        return len(self._all)

    @property
    def connections(self) -> list[ProxiedConnection]:
        """Those that are open, oldest first."""
        return [connection for connection in self._all.copy() if connection.is_open]

    @property
    def all_connections(self) -> list[ProxiedConnection]:
        """All that were accepted, in order."""
        return self._all.copy()

    @property
    def bytes_up(self) -> int:
        """Bytes of all clients that the target was given."""
        return sum(connection.bytes_up for connection in self._all.copy())

    @property
    def bytes_down(self) -> int:
        """Bytes of the target that all clients were given."""
        return sum(connection.bytes_down for connection in self._all.copy())

    def reset(self) -> None:
        """Send an RST to both sides of what is open. See `cut_after(0)` for what is to come."""
        self._run(lambda: self._end_all(reset=True))

    def close_connections(self) -> None:
        """Send a FIN to both sides of what is open."""
        self._run(lambda: self._end_all(reset=False))

    def half_open(self) -> None:
        """End the target's side of what is open; the clients are told nothing."""
        for connection in self.connections:
            connection.half_open()

    def black_hole(self, direction: Direction = "both") -> None:
        """Accept, but forward nothing, until `restore`."""
        self._set(direction, held=True)

    def drip(self, rate: float, direction: Direction = "both") -> None:
        """Forward so many bytes a second in each connection."""
        _check_positive("rate", rate)
        self._set(direction, rate=float(rate))

    def delay(self, milliseconds: float, direction: Direction = "both") -> None:
        """Forward what is read from now on so much later, in order."""
        self._set(direction, delay=milliseconds / 1000)

    def cut_after(
        self, size: int, direction: Literal["up", "down"] = "down", ending: Ending = "reset"
    ) -> None:
        """Forward exactly so many bytes of each connection more in a direction, then end it."""
        self._set(direction, left=size, ending=ending)

    def refuse(self) -> None:
        """Refuse connects; what is open stays."""

        def work() -> None:
            if self._listening:
                self._selector.unregister(self._listener)
                self._listener.close()
                # Bound, not listening: the port stays ours, and connects are refused.
                self._listener = bound_socket(self.host, self.port)
                self._listening = False

        self._run(work)

    def accept(self) -> None:
        """End `refuse`; other faults stay."""
        self._run(self._listen)

    def restore(self) -> None:
        """End all faults of the proxy and its connections; accept again."""
        self._set("both", held=False, rate=None, delay=0.0, left=None)
        self.accept()

    def close(self) -> None:
        """Reset what is open and end the thread."""
        with self._closing:
            if not self._is_running:
                return
            self.reset()
            self._is_running = False
            self._waker.send(b"x")
            self._thread.join(_PATIENCE)
            assert not self._thread.is_alive(), "the proxy's thread does not end"
            self._listener.close()
            self._selector.close()
            self._waker.close()
            self._woken.close()

    def __enter__(self) -> FaultProxy:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # What follows runs on the proxy's thread, but for _run and _set.

    def _run(self, work: Callable[[], object]) -> None:
        """Have the thread do something and wait for that; its error is raised here."""
        assert self._is_running, "the proxy is closed"
        done: queue.SimpleQueue[object] = queue.SimpleQueue()
        self._commands.put((work, done))
        self._waker.send(b"x")
        error = done.get(timeout=_PATIENCE)
        if isinstance(error, BaseException):
            raise error

    def _set(self, direction: Direction, **faults: object) -> None:
        def work() -> None:
            for name in _directions(direction):
                for fault, value in faults.items():
                    setattr(self._faults[name], fault, value)
            for connection in [*self._open]:
                connection._apply(direction, faults)
                self._step(connection)

        self._run(work)

    def _end_all(self, *, reset: bool) -> None:
        for connection in [*self._open]:
            connection._end(reset=reset)

    def _listen(self) -> None:
        if self._listening:
            return
        self._listener.listen(1024)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._listening = True

    def _work(self) -> None:
        while self._is_running:
            wakes = [at for connection in self._open if (at := connection._wake()) is not None]
            timeout = max(0.0, min(wakes) - time.monotonic()) if wakes else None
            for key, events in self._selector.select(timeout):
                if key.fileobj is self._woken:
                    self._woken.recv(65536)
                elif key.fileobj is self._listener:
                    self._accept()
                elif key.data.is_open:
                    self._serve(key.data, key.fileobj, events)
            now = time.monotonic()
            for connection in [*self._open]:
                if (at := connection._wake()) is not None and at <= now:
                    self._step(connection)
            while not self._commands.empty():
                work, done = self._commands.get()
                try:
                    work()
                except Exception as error:  # noqa: BLE001
                    done.put(error)
                else:
                    done.put(None)

    def _accept(self) -> None:
        try:
            client, _ = self._listener.accept()
        except OSError:  # it went again
            return
        family = socket.AF_INET6 if ":" in self._target[0] else socket.AF_INET
        target = socket.socket(family, socket.SOCK_STREAM)
        for sock in (client, target):
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = ProxiedConnection(self, client, target, len(self._all))
        self._all.append(connection)
        self._open[connection] = None
        if target.connect_ex(self._target) not in {0, errno.EINPROGRESS}:
            connection._end(reset=True)
        self._step(connection)

    def _serve(self, connection: ProxiedConnection, sock: object, events: int) -> None:
        try:
            if connection._connecting:
                connection._target.getpeername()  # OSError where the target refused
                connection._connecting = False
            elif events & selectors.EVENT_READ:
                is_client = sock is connection._client
                flow = connection._up if is_client else connection._down
                if flow.reads():
                    flow.receive(time.monotonic())
        except BlockingIOError:
            pass
        except OSError:
            connection._end(reset=True)
        self._step(connection)

    def _step(self, connection: ProxiedConnection) -> None:
        """Send what may go, end what is to end, and tell the selector what is awaited."""
        if not connection.is_open:
            return
        flows = (connection._up, connection._down)
        try:
            for flow in flows:
                if not connection._connecting and not flow.shut:
                    flow.send(time.monotonic())
        except OSError:
            connection._end(reset=True)
            return
        for flow in flows:
            if flow.faults.left == 0 and not flow.faults.held:
                if flow.faults.ending == "black_hole":
                    connection._hold_all()
                else:
                    connection._end(reset=flow.faults.ending == "reset")
                    return
        if all(flow.shut for flow in flows):
            connection._end(reset=False)
            return
        for sock in (connection._client, connection._target):
            self._await(sock, connection)

    def _await(self, sock: socket.socket, connection: ProxiedConnection) -> None:
        if sock.fileno() < 0:
            return
        wanted = connection._wants(sock)
        try:
            key = self._selector.get_key(sock)
        except KeyError:
            if wanted:
                self._selector.register(sock, wanted, connection)
            return
        if not wanted:
            self._selector.unregister(sock)
        elif wanted != key.events:
            self._selector.modify(sock, wanted, connection)

    def _drop(self, sock: socket.socket, *, reset: bool = False) -> None:
        if sock.fileno() < 0:
            return
        try:
            self._selector.unregister(sock)
        except KeyError:
            pass
        if reset:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        else:
            _drain(sock)
        sock.close()


def _drain(sock: socket.socket) -> None:
    """Read what is there: closing a socket with something unread would send an RST, not a FIN."""
    try:
        while sock.recv(65536):
            pass
    except OSError:
        pass


def _directions(direction: Direction) -> tuple[Literal["up", "down"], ...]:
    return ("up", "down") if direction == "both" else (direction,)


def _check_positive(name: str, value: float) -> None:
    if not value > 0:
        raise ValueError(f"{name}: must be above 0, not {value!r}")
