"""The network of namespaces of the fault tests itself."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import queue
import socket
import subprocess
import sys
import threading
import time

import pytest
from tests.support.namespaces import network
from tests.support.pull_servers import PATIENCE, wait_until
from tests.support.recording_server import RecordingServer

import wspool

MEDIA = ("veth", "tun")


@contextlib.contextmanager
def echo_on(host):
    """Serve on a host, in a thread; yields the port."""
    with host.inside():
        listener = socket.create_server(("0.0.0.0", 0))
    threads = []

    def serve(sock):
        with sock, contextlib.suppress(OSError):
            while data := sock.recv(65536):
                sock.sendall(data)

    def accept():
        with contextlib.suppress(OSError):
            while True:
                sock, _ = listener.accept()
                sock.settimeout(PATIENCE)
                threads.append(threading.Thread(target=serve, args=(sock,), daemon=True))
                threads[-1].start()

    acceptor = threading.Thread(target=accept)
    acceptor.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        acceptor.join()
        for thread in threads:
            thread.join(PATIENCE)


def connected(net, port, timeout=PATIENCE):
    with net.client.inside():
        sock = socket.create_connection((net.server.address, port), timeout)
    sock.settimeout(PATIENCE)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def ask(sock, data=b"hello"):
    """Send and take back; returns how long it took."""
    begin = time.monotonic()
    sender = threading.Thread(target=sock.sendall, args=(data,))
    sender.start()
    got = b""
    while len(got) < len(data):
        more = sock.recv(2**18)
        assert more
        got += more
    sender.join()
    assert (got == data) is True
    return time.monotonic() - begin


def is_silent(sock, seconds=0.3):
    sock.settimeout(seconds)
    try:
        sock.recv(1)
    except TimeoutError:
        return True
    finally:
        sock.settimeout(PATIENCE)
    return False


@pytest.fixture(params=MEDIA)
def net(request):
    with network(medium=request.param) as net:
        yield net


def test_bytes_arrive(net):
    """Much goes both ways; loopback is not involved."""
    with echo_on(net.server) as port, connected(net, port) as sock:
        assert sock.getsockname()[0] == net.client.address
        ask(sock, bytes(range(256)) * 8192)
        assert not net.client.accepts(("127.0.0.1", port))


def test_ipv6(net):
    """It has IPv6 addresses, too."""
    with net.server.inside():
        listener = socket.create_server(("::", 0), family=socket.AF_INET6)
    with listener:
        assert net.client.accepts((net.server.address6, listener.getsockname()[1]))


def test_programs(net, tmp_path):
    """Programs run in the namespaces and end with the network."""
    server = net.server.start(
        [sys.executable, "-m", "http.server", "8000", "--bind", net.server.address],
        tmp_path / "log",
    )
    wait_until(lambda: net.client.accepts((net.server.address, 8000)))
    script = (
        f"import urllib.request as r; r.urlopen('http://{net.server.address}:8000/', timeout=9)"
    )
    result = net.client.run(sys.executable, "-c", script)
    assert result.returncode == 0, result.stderr
    net.server._stop()
    assert server.returncode is not None


def test_black_hole(net):
    """Nothing comes, and no error either; then all of it."""
    with echo_on(net.server) as port, connected(net, port) as sock:
        ask(sock)
        net.client.black_hole()
        sock.sendall(b"kept")
        assert is_silent(sock)
        with pytest.raises(TimeoutError):
            connected(net, port, timeout=0.3)
        net.heal()
        assert sock.recv(4) == b"kept"
        net.black_hole()
        sock.sendall(b"more")
        assert is_silent(sock)
        net.heal()
        assert sock.recv(4) == b"more"
        connected(net, port).close()


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("blackhole", errno.EINVAL),
        ("unreachable", errno.EHOSTUNREACH),
        ("prohibit", errno.EACCES),
    ],
)
def test_cut_route(net, kind, error):
    """Connects fail at once, what is open stalls, and goes on afterwards."""
    with echo_on(net.server) as port, connected(net, port) as sock:
        ask(sock)
        net.client.cut_route(kind)
        with pytest.raises(OSError, match=os.strerror(error)):
            connected(net, port)
        net.client.restore_route()
        ask(sock)


def test_link_down_and_up(net):
    """A cable that is pulled and put back."""
    with echo_on(net.server) as port, connected(net, port) as sock:
        ask(sock)
        net.client.down()
        with contextlib.suppress(OSError):
            sock.sendall(b"kept")
        assert is_silent(sock)
        net.client.up()
        assert net.client.accepts((net.server.address, port), PATIENCE)
        assert sock.recv(4) == b"kept"


def test_mtu(net):
    """Small packets carry much, too."""
    net.set_mtu(1280)
    with echo_on(net.server) as port, connected(net, port) as sock:
        ask(sock, b"x" * 1_000_000)
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG) < 1280


class TestShape:
    @pytest.fixture
    def net(self):
        with network(shaped=True) as net:
            yield net

    def test_delay(self, net):
        """Both ways; undone afterwards."""
        with echo_on(net.server) as port, connected(net, port) as sock:
            ask(sock)
            net.shape(delay=100)
            assert ask(sock) >= 0.2
            net.shape()
            assert min(ask(sock) for _ in range(20)) < 0.2

    def test_loss_and_reordering(self, net):
        """TCP hides it."""
        with echo_on(net.server) as port, connected(net, port) as sock:
            net.shape(delay=2, jitter=1, loss=2, reorder=10)
            ask(sock, bytes(range(256)) * 1024)

    def test_all_is_lost(self, net):
        """100 percent."""
        with echo_on(net.server) as port, connected(net, port) as sock:
            ask(sock)
            net.client.shape(loss=100)
            sock.sendall(b"kept")
            assert is_silent(sock)
            net.client.shape()
            assert sock.recv(4) == b"kept"

    def test_rate(self, net):
        """200 kB at 400 kB a second."""
        with echo_on(net.server) as port, connected(net, port) as sock:
            net.client.shape(rate=400_000)
            assert ask(sock, b"x" * 200_000) > 0.4


def test_client_in_the_root_namespace():
    """A client of this process reaches the server without further ado."""
    with network(client_is_root=True) as net, echo_on(net.server) as port:
        with socket.create_connection((net.server.address, port), PATIENCE) as sock:
            ask(sock)
            net.server.black_hole()
            sock.sendall(b"kept")
            assert is_silent(sock)
            net.heal()
            assert sock.recv(4) == b"kept"
        device, address = net.client.device, net.client.address
    assert device not in [name for _, name in socket.if_nameindex()]
    gone = os.strerror(errno.EADDRNOTAVAIL)
    with pytest.raises(OSError, match=gone), socket.create_server((address, 0)):
        pass


def test_threads_stay_inside():
    """What a thread that was started inside makes belongs to the host."""
    with network() as net, echo_on(net.server) as port:
        results = []

        def work():
            with socket.create_connection((net.server.address, port), PATIENCE) as sock:
                results.append(sock.getsockname()[0])

        with net.client.inside():
            thread = threading.Thread(target=work)
            thread.start()
        thread.join()
        assert results == [net.client.address]


@pytest.mark.parametrize("medium", MEDIA)
@pytest.mark.parametrize("client_is_root", [False, True])
def test_our_client(medium, client_is_root):
    """The threads of a pool that is made inside are on that host."""
    with network(medium=medium, client_is_root=client_is_root) as net:
        with net.server.inside():
            server = RecordingServer(host=net.server.address)
        with server:
            with net.client.inside():
                pool = wspool.EndpointPool(1)
            with pool:
                numbers = queue.SimpleQueue()
                connection = pool.get_endpoint().create_new_connection(
                    f"{server.uri}/feed/a",
                    on_message=lambda c, m: numbers.put(json.loads(m.text)["u"]),
                )
                assert connection.opened.result(PATIENCE) is wspool.Status.OPENED
                received = [numbers.get(timeout=PATIENCE) for _ in range(10)]
                assert received == [*range(received[0], received[0] + 10)]


def test_left_over_is_removed(repo_root):
    """What a killed process left goes when the next network is made."""
    with network():  # or skip
        pass
    script = (
        "from tests.support.namespaces import network\n"
        "with network() as net: print(net.server.namespace, flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=repo_root,
        text=True,
    ) as process:
        name = process.stdout.readline().strip()
        assert os.path.exists(f"/run/netns/{name}")
        process.kill()
    with network():
        assert not os.path.exists(f"/run/netns/{name}")
