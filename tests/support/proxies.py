"""Real proxies on loopback: tinyproxy (HTTP CONNECT), microsocks (SOCKS5), stunnel (TLS).

    with http_proxy(user="me", password="secret") as proxy:
        ...  # connect through proxy.uri
        assert proxy.requests == [f"127.0.0.1:{port}"]

A test that wants a program that is missing is skipped.
"""

from __future__ import annotations

import contextlib
import re
import signal
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.certificates import make_certificates
from tests.support.processes import Daemon, find_program, start_listening


@dataclass
class Proxy:
    """A running proxy."""

    scheme: str
    port: int
    #: What a client must trust, if it speaks TLS with the proxy.
    ca_file: str | None
    _daemon: Daemon
    _start: Callable[[int], Daemon]
    #: Whose log tells the requests; not the same as _daemon behind TLS.
    _log: Callable[[], str]
    _request: re.Pattern[str]

    @property
    def host(self) -> str:
        """Where it listens, as in its certificate."""
        return "localhost" if self.ca_file else "127.0.0.1"

    @property
    def uri(self) -> str:
        """The proxy's URI without credentials."""
        return f"{self.scheme}://{self.host}:{self.port}"

    def uri_of(self, user: str, password: str) -> str:
        """Return its URI with credentials, which must need no quoting."""
        return f"{self.scheme}://{user}:{password}@{self.host}:{self.port}"

    @property
    def log(self) -> str:
        """What the proxy itself has logged so far."""
        return self._log()

    @property
    def requests(self) -> list[str]:
        """HOST:PORT of each connection asked for, in order.

        An HTTP proxy's are there as soon as it has read them, also those that it refuses; a SOCKS
        proxy's when it has connected.
        """
        return self._request.findall(self.log)

    def stop(self) -> None:
        """End it, and with it all connections; connects are refused then."""
        # Asked kindly, stunnel waits for its connections to end.
        self._daemon.stop(signal.SIGKILL if self.scheme == "https" else signal.SIGTERM)

    def start(self) -> None:
        """Start it again after `stop`, on the same port."""
        self._daemon = self._start(self.port)
        assert self._daemon.wait_listening(("127.0.0.1", self.port)), self._daemon.log


@contextlib.contextmanager
def http_proxy(user: str | None = None, password: str = "") -> Iterator[Proxy]:
    """An HTTP proxy, by tinyproxy, that connects to any port; with a user it wants Basic auth."""
    program = find_program("tinyproxy", "tinyproxy-bin")
    with _folder() as folder:
        lines = ["Listen 127.0.0.1", "Allow 127.0.0.1", "MaxClients 500", "LogLevel Info"]
        lines += ["Timeout 3600"]
        if user is not None:
            lines.append(f"BasicAuth {user} {password}")

        def start(port: int) -> Daemon:
            config = folder / "tinyproxy.conf"
            config.write_text("\n".join([*lines, f"Port {port}", ""]))
            return Daemon([program, "-d", "-c", config], folder / "tinyproxy.log")

        pattern = r"Request \(file descriptor \d+\): [A-Z]+ (?:\w+://)?([^\s/]+)"
        with _running("http", start, folder / "tinyproxy.log", pattern) as proxy:
            yield proxy


@contextlib.contextmanager
def socks_proxy(user: str | None = None, password: str = "") -> Iterator[Proxy]:
    """A SOCKS5 proxy, by microsocks; with a user it wants user and password."""
    program = find_program("microsocks", "microsocks")
    with _folder() as folder:
        credentials = [] if user is None else ["-u", user, "-P", password]

        def start(port: int) -> Daemon:
            command = [program, "-i", "127.0.0.1", "-p", str(port), *credentials]
            return Daemon(command, folder / "microsocks.log")

        pattern = r"client\[\d+\] \S+: connected to (\S+?:\d+)"
        with _running("socks5", start, folder / "microsocks.log", pattern) as proxy:
            yield proxy


@contextlib.contextmanager
def https_proxy(user: str | None = None, password: str = "") -> Iterator[Proxy]:
    """An HTTP proxy with which one speaks TLS: stunnel in front of tinyproxy."""
    program = find_program("stunnel4", "stunnel4")
    with http_proxy(user, password) as inner, _folder() as folder:
        ca_file = make_certificates(folder)

        def start(port: int) -> Daemon:
            config = folder / "stunnel.conf"
            config.write_text(
                "foreground = yes\npid =\nsyslog = no\ndebug = info\n"
                f"cert = {folder}/cert.pem\nkey = {folder}/key.pem\n"
                f"[proxy]\naccept = 127.0.0.1:{port}\nconnect = 127.0.0.1:{inner.port}\n"
            )
            return Daemon([program, config], folder / "stunnel.log")

        with _running("https", start, folder / "stunnel.log", "", ca_file) as proxy:
            proxy._log, proxy._request = inner._log, inner._request
            yield proxy


@contextlib.contextmanager
def _running(
    scheme: str,
    start: Callable[[int], Daemon],
    log: Path,
    pattern: str,
    ca_file: str | None = None,
) -> Iterator[Proxy]:
    daemon, port = start_listening(start)
    proxy = Proxy(
        scheme,
        port,
        ca_file,
        daemon,
        start,
        lambda: log.read_text(errors="replace"),
        re.compile(pattern),
    )
    try:
        yield proxy
    finally:
        proxy.stop()


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="wspool-proxy-") as name:
        yield Path(name)
