"""Two hosts joined by a cable, in network namespaces of their own: loss, delay, dead links.

    with network(shaped=True) as net:
        server = net.server.start([sys.executable, "server.py"], tmp_path / "server.log")
        with net.client.inside():  # sockets and threads made here belong to that host
            pool = EndpointPool(1)
        ...  # connect to net.server.address
        net.shape(delay=100, loss=2)
        net.client.black_hole()

It needs root and iproute2; where that is missing the test is skipped: see `skip_for_want`.
What only a kernel may lack, netem and TUN, is a skip in any case. The cable is a veth pair, or, for
`shape` on a kernel without netem, two TUN devices between which a thread carries the packets.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import heapq
import itertools
import json
import os
import random
import re
import selectors
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

import pytest
from tests.support.processes import Daemon, find_program, skip_for_want

Medium: TypeAlias = Literal["veth", "tun"]

_CLONE_NEWNET = 0x40000000
_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
#: Packets that wait in one direction of the TUN cable; what is more is lost, as with netem.
_LIMIT = 1000

_numbers = itertools.count()


class Host:
    """One end of the cable: a namespace, or the machine itself."""

    def __init__(self, namespace: str | None, device: str, address: str, address6: str) -> None:
        #: Name of the namespace; None is the machine's own network.
        self.namespace = namespace
        #: Name of the network device, the host's end of the cable.
        self.device = device
        #: IPv4 and IPv6 address.
        self.address = address
        self.address6 = address6
        self._peer: Host
        self._cable: _Cable | None = None
        self._end = 0
        self._daemons: list[Daemon] = []

    def command(self, *command: str | os.PathLike[str]) -> list[str]:
        """Return a command line that runs a command on this host."""
        prefix = [] if self.namespace is None else ["ip", "netns", "exec", self.namespace]
        return [*prefix, *(os.fspath(part) for part in command)]

    def run(
        self, *command: str | os.PathLike[str], timeout: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run a command on this host to its end; its output is in the result."""
        return subprocess.run(
            self.command(*command), capture_output=True, text=True, check=False, timeout=timeout
        )

    def start(self, command: Sequence[str | os.PathLike[str]], log: Path, **options: Any) -> Daemon:
        """Start a program on this host that ends with the network at the latest."""
        daemon = Daemon(self.command(*command), log, **options)
        self._daemons.append(daemon)
        return daemon

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """Make sockets and threads that this thread makes in the block belong to this host."""
        if self.namespace is None:
            yield
            return
        with contextlib.ExitStack() as stack:
            before, after = (
                stack.enter_context(_opened(path))
                for path in ("/proc/thread-self/ns/net", f"/run/netns/{self.namespace}")
            )
            _enter(after)
            try:
                yield
            finally:
                _enter(before)

    def accepts(self, address: tuple[str, int], timeout: float = 5) -> bool:
        """Tell whether somebody listens there, as seen from here."""
        with self.inside(), contextlib.suppress(OSError):
            socket.create_connection(address, timeout).close()
            return True
        return False

    def down(self) -> None:
        """Take the link down: what is sent here fails at once, what comes is lost."""
        self._ip("link", "set", self.device, "down")

    def up(self) -> None:
        """Take the link up again."""
        self._ip("link", "set", self.device, "up")
        self._add_address6()

    def set_mtu(self, size: int) -> None:
        """Set the greatest size of packets that this host sends; from 1280 up for IPv6."""
        self._ip("link", "set", self.device, "mtu", str(size))

    def black_hole(self) -> None:
        """Lose without a trace all that this host sends, until `heal`."""
        if self._cable is not None:
            self._cable.lose(self._end, everything=True)
            return
        self._set_neighbour("02:00:00:00:de:ad", "permanent")  # a card that is not there

    def heal(self) -> None:
        """End `black_hole`."""
        if self._cable is not None:
            self._cable.lose(self._end, everything=False)
            return
        # Not forgotten but known at once: to ask for it anew may take seconds.
        (link,) = json.loads(self._peer._ip("-json", "link", "show", self._peer.device).stdout)
        self._set_neighbour(link["address"], "stale")

    def _set_neighbour(self, card: str, state: str) -> None:
        for address in (self._peer.address, self._peer.address6):
            where = ("lladdr", card, "dev", self.device, "nud", state)
            self._ip("neigh", "replace", address, *where)

    def cut_route(
        self, kind: Literal["blackhole", "unreachable", "prohibit"] = "blackhole"
    ) -> None:
        """Have no way to the other host: connects fail at once, open connections stall.

        With EINVAL, EHOSTUNREACH and EACCES.
        """
        for address in (self._peer.address, self._peer.address6):
            self._ip("route", "replace", kind, address)

    def restore_route(self) -> None:
        """End `cut_route`."""
        for kind in ("blackhole", "unreachable", "prohibit"):
            for address in (self._peer.address, self._peer.address6):
                self._ip("route", "del", kind, address, check=False)

    def shape(
        self,
        *,
        delay: float = 0,
        jitter: float = 0,
        loss: float = 0,
        reorder: float = 0,
        rate: float | None = None,
    ) -> None:
        """Change how what this host sends travels; the defaults undo all.

        Args:
            delay: milliseconds.
            jitter: milliseconds by which the delay differs at most, both ways; packets may
                overtake each other then.
            loss: percent of the packets that are lost.
            reorder: percent of the packets that are not delayed, so that they overtake others.
            rate: bytes a second.
        """
        if reorder and not delay:
            raise ValueError("reorder: needs a delay")
        if self._cable is not None:
            self._cable.shape(self._end, _Shape(delay, jitter, loss, reorder, rate))
            return
        options: list[str] = []
        if delay or jitter:
            options += ["delay", f"{delay}ms", f"{jitter}ms"]
        if reorder:
            options += ["reorder", f"{reorder}%"]
        if loss:
            options += ["loss", f"{loss}%"]
        if rate is not None:
            options += ["rate", f"{round(rate * 8)}bit"]
        self._tc("qdisc", "del", "dev", self.device, "root", check=False)
        if options:
            result = self._tc(
                *("qdisc", "add", "dev", self.device, "root", "netem"),
                *("limit", str(_LIMIT), *options),
                check=False,
            )
            if "unknown" in result.stderr:
                pytest.skip("this kernel has no netem; network(shaped=True) does without")
            assert result.returncode == 0, result.stderr

    def _tc(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return _run("tc", self.namespace, *arguments, check=check)

    def _ip(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return _run("ip", self.namespace, *arguments, check=check)

    def _configure(self) -> None:
        self._ip("addr", "add", f"{self.address}/30", "dev", self.device)
        if self.namespace is not None:
            self._ip("link", "set", "lo", "up")
        self.up()

    def _add_address6(self) -> None:
        # Taking the link down takes it away.
        self._ip("addr", "replace", f"{self.address6}/64", "dev", self.device, "nodad")

    def _stop(self) -> None:
        for daemon in self._daemons:
            daemon.stop()


class Network:
    """A client's host and a server's, and the cable between them."""

    def __init__(self, client: Host, server: Host, medium: Medium) -> None:
        self.client = client
        self.server = server
        #: What the cable is.
        self.medium = medium

    def shape(self, **options: Any) -> None:
        """Change how packets travel in both directions; see `Host.shape`."""
        for host in (self.client, self.server):
            host.shape(**options)

    def black_hole(self) -> None:
        """Lose without a trace what either sends, until `heal`."""
        for host in (self.client, self.server):
            host.black_hole()

    def heal(self) -> None:
        """End `black_hole` of both."""
        for host in (self.client, self.server):
            host.heal()

    def set_mtu(self, size: int) -> None:
        """Set the greatest size of packets in both directions."""
        for host in (self.client, self.server):
            host.set_mtu(size)


@contextlib.contextmanager
def network(
    *, shaped: bool = False, medium: Medium | None = None, client_is_root: bool = False
) -> Iterator[Network]:
    """Two hosts with a cable between them; all of it goes at the end.

    Args:
        shaped: `shape` will be used: TUN where the kernel has no netem.
        medium: of what the cable is made, if that matters.
        client_is_root: the client's host is this machine's own network, so that a client needs no
            namespace.
    """
    find_program("ip", "iproute2")
    find_program("tc", "iproute2")
    if os.geteuid() != 0:
        skip_for_want("network namespaces need root")
    _remove_left_over()
    chosen: Medium = medium or ("tun" if shaped and not _has_netem() else "veth")
    if chosen == "tun" and not os.path.exists("/dev/net/tun"):
        pytest.skip("there is no /dev/net/tun")
    number = next(_numbers)
    prefix = f"wspool-{os.getpid()}-{number}"
    subnet = f"198.18.{random.randrange(256)}.{4 * random.randrange(64)}".rpartition(".")
    base = int(subnet[2])
    subnet6 = f"fd00:{random.randrange(2**16):x}:{random.randrange(2**16):x}"
    names = (None if client_is_root else f"{prefix}-c", f"{prefix}-s")
    hosts = [
        Host(
            name,
            f"wsp{os.getpid() % 10**6}{letter}{number % 1000}",
            f"{subnet[0]}.{base + i}",
            f"{subnet6}::{i}",
        )
        for i, (name, letter) in enumerate(zip(names, "cs", strict=True), start=1)
    ]
    client, server = hosts
    client._peer, server._peer = server, client
    with contextlib.ExitStack() as stack:
        for host in hosts:
            if host.namespace is not None:
                result = _run("ip", None, "netns", "add", host.namespace, check=False)
                if result.returncode != 0:
                    skip_for_want(f"network namespaces are not permitted: {result.stderr.strip()}")
                stack.callback(_run, "ip", None, "netns", "del", host.namespace, check=False)
        if chosen == "tun":
            cable = _Cable([host.device for host in hosts])
            stack.callback(cable.close)
            for end, host in enumerate(hosts):
                host._cable, host._end = cable, end
                if host.namespace is not None:
                    _run("ip", None, "link", "set", host.device, "netns", host.namespace)
            cable.start()
        else:
            client._ip(
                *("link", "add", client.device, "type", "veth", "peer", "name", server.device),
                *("netns", str(server.namespace)),
            )
            # A socket that somebody keeps keeps the namespace, but not the cable.
            stack.callback(client._ip, "link", "del", client.device, check=False)
        for host in hosts:
            stack.callback(host._stop)
            host._configure()
        yield Network(client, server, chosen)


class _Shape:
    """How packets of one direction travel; see `Host.shape`."""

    def __init__(
        self,
        delay: float = 0,
        jitter: float = 0,
        loss: float = 0,
        reorder: float = 0,
        rate: float | None = None,
    ) -> None:
        self.delay = delay / 1000
        self.jitter = jitter / 1000
        self.loss = loss / 100
        self.reorder = reorder / 100
        self.rate = rate


class _Cable:
    """Two TUN devices and a thread that carries packets between them as shapes tell it."""

    def __init__(self, devices: Sequence[str]) -> None:
        self._files: list[int] = []
        for device in devices:
            file = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
            self._files.append(file)
            request = struct.pack("16sH22x", device.encode(), _IFF_TUN | _IFF_NO_PI)
            fcntl.ioctl(file, _TUNSETIFF, request)
        self._shapes = [_Shape(), _Shape()]
        self._lost = [False, False]
        self._waiting: list[list[tuple[float, int, bytes]]] = [[], []]
        self._free_at = [0.0, 0.0]
        self._order = itertools.count()
        self._random = random.Random(1)
        self._stop, self._stopped = socket.socketpair()
        self._thread = threading.Thread(target=self._work, name="cable", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def shape(self, end: int, shape: _Shape) -> None:
        self._shapes[end] = shape

    def lose(self, end: int, *, everything: bool) -> None:
        self._lost[end] = everything

    def close(self) -> None:
        self._stop.close()
        if self._thread.ident is not None:
            self._thread.join(30)
        self._stopped.close()
        for file in self._files:
            os.close(file)

    def _work(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._stopped, selectors.EVENT_READ)
            for end, file in enumerate(self._files):
                selector.register(file, selectors.EVENT_READ, end)
            while True:
                due = min((waiting[0][0] for waiting in self._waiting if waiting), default=None)
                timeout = None if due is None else max(0.0, due - time.monotonic())
                for key, _ in selector.select(timeout):
                    if key.fileobj is self._stopped:
                        return
                    self._take(key.data)
                for end in range(2):
                    self._deliver(end)

    def _take(self, end: int) -> None:
        for _ in range(64):
            try:
                packet = os.read(self._files[end], 65536)
            except OSError:  # nothing more, or the link is down
                return
            shape, waiting = self._shapes[end], self._waiting[end]
            if self._lost[end] or self._random.random() < shape.loss or len(waiting) >= _LIMIT:
                continue
            due = time.monotonic()
            if shape.rate is not None:
                due = self._free_at[end] = max(due, self._free_at[end]) + len(packet) / shape.rate
            if not self._random.random() < shape.reorder:
                due += max(0.0, shape.delay + self._random.uniform(-1, 1) * shape.jitter)
            heapq.heappush(waiting, (due, next(self._order), packet))

    def _deliver(self, end: int) -> None:
        waiting = self._waiting[end]
        now = time.monotonic()
        while waiting and waiting[0][0] <= now:
            _, _, packet = heapq.heappop(waiting)
            if not self._lost[end]:
                with contextlib.suppress(OSError):  # the link is down
                    os.write(self._files[1 - end], packet)


def _has_netem() -> bool:
    """Tell whether the kernel has netem."""
    name = f"wspool-{os.getpid()}-netem"
    if _run("ip", None, "netns", "add", name, check=False).returncode != 0:
        return False
    try:
        arguments = ("qdisc", "add", "dev", "lo", "root", "netem", "delay", "1ms")
        return _run("tc", name, *arguments, check=False).returncode == 0
    finally:
        _run("ip", None, "netns", "del", name, check=False)


def _remove_left_over() -> None:
    """Remove the namespaces of processes that were killed."""
    listed = _run("ip", None, "-json", "netns", "list", check=False).stdout
    for entry in json.loads(listed or "[]"):
        found = re.fullmatch(r"wspool-(\d+)-\w+(-[cs])?", entry["name"])
        if found and not os.path.exists(f"/proc/{found[1]}"):
            _run("ip", None, "netns", "del", entry["name"], check=False)


def _run(
    program: str, namespace: str | None, *arguments: str, check: bool = True
) -> subprocess.CompletedProcess[str]:
    where = [] if namespace is None else ["-n", namespace]
    result = subprocess.run(
        [find_program(program, "iproute2"), *where, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert not check or result.returncode == 0, f"{program} {arguments}: {result.stderr}"
    return result


@contextlib.contextmanager
def _opened(path: str) -> Iterator[int]:
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield file
    finally:
        os.close(file)


def _enter(file: int) -> None:
    """Put this thread into a network namespace (os.setns came with Python 3.12)."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(file, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")
