"""The tools of the fault tests themselves."""

from __future__ import annotations

import base64
import contextlib
import os
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from tests.support.fault_proxy import FaultProxy
from tests.support.processes import Daemon, find_program
from tests.support.proxies import http_proxy, https_proxy, socks_proxy
from tests.support.pull_servers import PATIENCE, raw_server, wait_until

# --- FaultProxy ------------------------------------------------------------------------------


def port_of(uri):
    return int(uri.rpartition(":")[2])


def echo_bytes(sock):
    """Send back what comes, until the end."""
    while data := sock.recv(65536):
        sock.sendall(data)


@pytest.fixture
def accepted():
    """The sockets of the server's side, with what ended their service."""
    return []


@pytest.fixture
def proxy(accepted):
    """A proxy in front of a server that sends everything back."""

    def serve(sock):
        ending = []
        accepted.append(ending)
        try:
            echo_bytes(sock)
            ending.append("end")
        except ConnectionResetError:
            ending.append("reset")
            raise

    with contextlib.ExitStack() as stack:
        uri = stack.enter_context(raw_server(serve))
        yield stack.enter_context(FaultProxy("127.0.0.1", port_of(uri)))


@contextlib.contextmanager
def client_of(proxy):
    with socket.create_connection((proxy.host, proxy.port), timeout=PATIENCE) as sock:
        yield sock


def take(sock, size):
    """Return exactly so many bytes."""
    data = b""
    while len(data) < size:
        more = sock.recv(size - len(data))
        assert more, f"the end after {len(data)} of {size} bytes"
        data += more
    return data


def ask(sock, data=b"hello"):
    """Send and take back."""
    sock.sendall(data)
    assert take(sock, len(data)) == data


def is_silent(sock, seconds=0.2):
    """Tell that neither bytes nor an end come for a while."""
    sock.settimeout(seconds)
    try:
        sock.recv(1)
    except TimeoutError:
        return True
    finally:
        sock.settimeout(PATIENCE)
    return False


class TestForwarding:
    def test_bytes_both_ways(self, proxy):
        """All bytes arrive, and are counted."""
        data = bytes(range(256)) * 8192  # more than the proxy holds back at once
        with client_of(proxy) as sock:
            sender = threading.Thread(target=sock.sendall, args=(data,))
            sender.start()
            assert (take(sock, len(data)) == data) is True
            sender.join()
            (connection,) = proxy.connections
            wait_until(lambda: connection.bytes_down == len(data))  # it counts after it sends
            assert connection.bytes_up == len(data)
            assert (proxy.bytes_up, proxy.bytes_down) == (len(data), len(data))
        wait_until(lambda: proxy.connections == [])
        assert proxy.accepted == 1
        assert [c.number for c in proxy.all_connections] == [0]

    def test_end_of_one_side(self, proxy, accepted):
        """A FIN goes on, and the other direction still works."""
        with client_of(proxy) as sock:
            sock.sendall(b"last")
            sock.shutdown(socket.SHUT_WR)
            assert take(sock, 4) == b"last"
            assert sock.recv(1) == b""
        assert accepted == [["end"]]

    def test_target_refuses(self):
        """Without a target, the client is reset."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        with FaultProxy("127.0.0.1", port) as proxy:
            with pytest.raises(ConnectionResetError), client_of(proxy) as sock:
                sock.recv(1)

    def test_close_twice(self, proxy):
        """The end resets what is open; a second one does nothing."""
        with client_of(proxy) as sock:
            ask(sock)
            proxy.close()
            proxy.close()
            with pytest.raises(ConnectionResetError):
                sock.recv(1)


class TestFaults:
    def test_reset_all(self, proxy, accepted):
        """Both sides get an RST; new connections work."""
        with client_of(proxy) as one, client_of(proxy) as two:
            ask(one)
            ask(two)
            proxy.reset()
            for sock in (one, two):
                with pytest.raises(ConnectionResetError):
                    sock.recv(1)
            wait_until(lambda: accepted == [["reset"], ["reset"]])
            with client_of(proxy) as three:
                ask(three)

    def test_reset_one(self, proxy):
        """The other connection is not harmed."""
        with client_of(proxy) as one, client_of(proxy) as two:
            ask(one)
            ask(two)
            proxy.all_connections[0].reset()
            with pytest.raises(ConnectionResetError):
                one.recv(1)
            ask(two)

    def test_close_connections(self, proxy, accepted):
        """Both sides get a FIN."""
        with client_of(proxy) as sock:
            ask(sock)
            proxy.close_connections()
            assert sock.recv(1) == b""
        wait_until(lambda: accepted == [["end"]])

    def test_black_hole_heals(self, proxy):
        """Nothing passes; afterwards everything follows, nothing is lost."""
        with client_of(proxy) as one:
            ask(one)
            proxy.black_hole()
            one.sendall(b"kept")
            with client_of(proxy) as two:
                two.sendall(b"also")
                assert is_silent(one)
                assert is_silent(two)
                proxy.restore()
                assert take(one, 4) == b"kept"
                assert take(two, 4) == b"also"

    def test_black_hole_one_way(self, proxy):
        """Down only: what the client sends still arrives."""
        with client_of(proxy) as sock:
            ask(sock)
            (connection,) = proxy.connections
            connection.black_hole("down")
            sock.sendall(b"there")
            wait_until(lambda: connection.bytes_up == 10)
            assert is_silent(sock)
            connection.restore()
            assert take(sock, 5) == b"there"

    def test_black_hole_hides_the_end(self, proxy, accepted):
        """The end of a side is not noticed before it heals."""
        with client_of(proxy) as sock:
            ask(sock)
            proxy.black_hole()
        (connection,) = proxy.connections
        proxy.restore()
        wait_until(lambda: not connection.is_open)
        wait_until(lambda: accepted == [["end"]])

    def test_half_open(self, proxy, accepted):
        """The server's side ends, the client is not told, also after restore."""
        with client_of(proxy) as sock:
            ask(sock)
            proxy.half_open()
            wait_until(lambda: accepted == [["end"]])
            proxy.restore()
            sock.sendall(b"anyone?")
            assert is_silent(sock)
            assert len(proxy.connections) == 1

    def test_shut_one_direction(self, proxy, accepted):
        """Down: the client reads the end, the server still gets bytes."""
        with client_of(proxy) as sock:
            ask(sock)
            (connection,) = proxy.connections
            connection.shut("down")
            assert sock.recv(1) == b""
            sock.sendall(b"still")
            wait_until(lambda: connection.bytes_up == 10)
            assert accepted == [[]]

    def test_drip(self, proxy):
        """Twice 200 bytes at 1000 a second are not there before the time, and all come."""
        with client_of(proxy) as sock:
            ask(sock)
            proxy.drip(1000, "down")
            begin = time.monotonic()
            ask(sock, b"x" * 400)
            assert time.monotonic() - begin > 0.3
            proxy.restore()
            ask(sock, b"y" * 100_000)

    def test_delay_keeps_the_order(self, proxy):
        """What was sent under a longer delay is not overtaken."""
        with client_of(proxy) as sock:
            ask(sock)
            (connection,) = proxy.connections
            begin = time.monotonic()
            proxy.delay(200, "up")
            sock.sendall(b"first")
            wait_until(lambda: connection._up.size == 5 or connection.bytes_up == 10)
            proxy.restore()
            sock.sendall(b"second")
            assert take(sock, 11) == b"firstsecond"
            assert time.monotonic() - begin >= 0.2

    @pytest.mark.parametrize("ending", ["reset", "close", "black_hole"])
    def test_cut_after(self, proxy, ending):
        """Exactly so many bytes come, then the end."""
        with client_of(proxy) as sock:
            ask(sock)
            proxy.cut_after(7, ending=ending)
            sock.sendall(b"0123456789")
            assert take(sock, 7) == b"0123456"
            if ending == "reset":
                with pytest.raises(ConnectionResetError):
                    sock.recv(1)
            elif ending == "close":
                assert sock.recv(1) == b""
            else:
                assert is_silent(sock)
                proxy.restore()
                assert take(sock, 3) == b"789"

    def test_cut_new_connections(self, proxy):
        """Nothing at all: each connection is reset once accepted."""
        proxy.cut_after(0)
        for _ in range(3):
            with pytest.raises(ConnectionResetError), client_of(proxy) as sock:
                sock.recv(1)
        proxy.restore()
        with client_of(proxy) as sock:
            ask(sock)

    def test_refuse(self, proxy):
        """Connects are refused, what is open goes on; then the same port accepts again."""
        with client_of(proxy) as one:
            ask(one)
            for _ in range(2):
                proxy.refuse()
                proxy.refuse()
                with pytest.raises(ConnectionRefusedError):
                    socket.create_connection((proxy.host, proxy.port))
                ask(one)
                proxy.restore()
                with client_of(proxy) as two:
                    ask(two)

    def test_many_threads(self, proxy):
        """Faults from several threads at once, with connections that come and go."""
        stop = threading.Event()

        def disturb():
            while not stop.is_set():
                proxy.delay(1)
                proxy.black_hole()
                proxy.restore()
                proxy.reset()

        threads = [threading.Thread(target=disturb) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(50):
                with contextlib.suppress(ConnectionResetError, BrokenPipeError):
                    with client_of(proxy) as sock:
                        sock.sendall(b"x")
                        sock.recv(1)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        with client_of(proxy) as sock:
            ask(sock)


# --- proxies ---------------------------------------------------------------------------------


@pytest.fixture
def target():
    """HOST:PORT of a server that sends everything back."""
    with raw_server(echo_bytes) as uri:
        yield uri.removeprefix("ws://")


def http_connect(proxy, target, credentials=""):
    """Ask an HTTP proxy for a connection; returns the socket and the status."""
    sock = socket.create_connection(("127.0.0.1", proxy.port), timeout=PATIENCE)
    if proxy.ca_file:
        context = ssl.create_default_context(cafile=proxy.ca_file)
        sock = context.wrap_socket(sock, server_hostname=proxy.host)
    head = f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n"
    if credentials:
        encoded = base64.b64encode(credentials.encode()).decode()
        head += f"Proxy-Authorization: Basic {encoded}\r\n"
    sock.sendall(head.encode() + b"\r\n")
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        answer += take(sock, 1)
    return sock, int(answer.split()[1])


def socks_connect(proxy, target, credentials=None):
    """Ask a SOCKS5 proxy (RFC 1928, 1929); returns the socket and the reply, None if refused."""
    host, _, port = target.rpartition(":")
    sock = socket.create_connection(("127.0.0.1", proxy.port), timeout=PATIENCE)
    sock.sendall(bytes([5, 1, 0 if credentials is None else 2]))
    version, method = take(sock, 2)
    assert version == 5
    if method == 255:
        return sock, None
    if method == 2:
        user, password = (part.encode() for part in credentials)
        sock.sendall(b"\x01" + bytes([len(user)]) + user + bytes([len(password)]) + password)
        if take(sock, 2)[1] != 0:
            return sock, None
    name = host.encode()
    sock.sendall(b"\x05\x01\x00\x03" + bytes([len(name)]) + name + struct.pack("!H", int(port)))
    reply = take(sock, 10)[1]
    return sock, reply


class TestHTTPProxies:
    @pytest.mark.parametrize("start", [http_proxy, https_proxy])
    def test_connect(self, start, target):
        """It connects, and tells that it did."""
        with start() as proxy:
            assert proxy.requests == []
            sock, status = http_connect(proxy, target)
            with sock:
                assert status == 200
                ask(sock)
                assert proxy.requests == [target]

    @pytest.mark.parametrize("start", [http_proxy, https_proxy])
    def test_credentials(self, start, target):
        """Only with the right ones."""
        with start("bob", "secret") as proxy:
            for credentials, expected in (("", 407), ("bob:wrong", 401), ("bob:secret", 200)):
                sock, status = http_connect(proxy, target, credentials)
                with sock:
                    assert status == expected
            assert proxy.requests == [target] * 3

    def test_stop_and_start(self, target):
        """A proxy that goes takes its connections along, and comes back at the same port."""
        with http_proxy() as proxy:
            sock, _ = http_connect(proxy, target)
            with sock:
                ask(sock)
                proxy.stop()
                with contextlib.suppress(ConnectionResetError):
                    assert sock.recv(1) == b""
            with pytest.raises(ConnectionRefusedError):
                http_connect(proxy, target)
            proxy.start()
            sock, status = http_connect(proxy, target)
            with sock:
                assert status == 200

    @pytest.mark.parametrize("start", [http_proxy, https_proxy, socks_proxy])
    def test_curl(self, start, tmp_path):
        """Another client gets through each of them."""
        curl = find_program("curl", "curl")
        body = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"

        def answer(sock):
            sock.recv(65536)
            sock.sendall(body)

        with raw_server(answer) as uri, start("bob", "secret") as proxy:
            command = [curl, "-q", "-sS", "-m", str(PATIENCE), "-p", "--noproxy", ""]
            command += ["-x", proxy.uri_of("bob", "secret")]
            command += ["--proxy-cacert", proxy.ca_file] if proxy.ca_file else []
            result = subprocess.run(
                [*command, uri.replace("ws:", "http:")],
                capture_output=True,
                text=True,
                check=False,
                timeout=2 * PATIENCE,
            )
            assert (result.stdout, result.stderr) == ("hello", "")
            assert proxy.requests == [uri.removeprefix("ws://")]


class TestSocksProxy:
    @pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
    def test_connect(self, target, name):
        """It connects, also by name."""
        target = target.replace("127.0.0.1", name)
        with socks_proxy() as proxy:
            sock, reply = socks_connect(proxy, target)
            with sock:
                assert reply == 0
                ask(sock)
            assert proxy.requests == [target]

    def test_credentials(self, target):
        """Only with the right ones."""
        with socks_proxy("bob", "secret") as proxy:
            for credentials, expected in (
                (None, None),
                (("bob", "wrong"), None),
                (("bob", "secret"), 0),
            ):
                sock, reply = socks_connect(proxy, target, credentials)
                with sock:
                    assert reply == expected
            assert proxy.requests == [target]


# --- processes -------------------------------------------------------------------------------


class TestDaemon:
    def test_ends_with_its_starter(self, tmp_path):
        """Where the starter is killed, what it started ends."""
        script = (
            "import pathlib, sys; from tests.support.processes import Daemon\n"
            f"print(Daemon(['sleep', '1000'], pathlib.Path({str(tmp_path / 'log')!r})).pid)\n"
            "sys.stdout.flush(); sys.stdin.read()"
        )
        with subprocess.Popen(
            [sys.executable, "-c", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        ) as starter:
            pid = int(starter.stdout.readline())
            os.kill(pid, 0)
            starter.kill()
        wait_until(lambda: not is_running(pid))

    def test_tells_how_it_ended(self, tmp_path):
        """The exit code and what was written."""
        daemon = Daemon(["sh", "-c", "echo words; exit 3"], tmp_path / "log")
        wait_until(lambda: daemon.returncode is not None)
        assert (daemon.returncode, daemon.log) == (3, "words\n")
        daemon.stop()
        assert daemon.wait_listening(("127.0.0.1", 1)) is False

    def test_missing_program(self, monkeypatch):
        """The test is skipped, or fails if nothing is to be missing, and says what to install."""
        monkeypatch.delenv("WSPOOL_NO_SKIPS", raising=False)
        with pytest.raises(pytest.skip.Exception, match="Debian's package its-package"):
            find_program("no-such-program", "its-package")
        monkeypatch.setenv("WSPOOL_NO_SKIPS", "1")
        with pytest.raises(pytest.fail.Exception, match="Debian's package its-package"):
            find_program("no-such-program", "its-package")


def is_running(pid):
    with contextlib.suppress(ProcessLookupError, FileNotFoundError):
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
        return state != "Z"
    return False
