"""nginx as a reverse proxy for WebSockets in front of a server of ours.

with nginx_front(server_port) as nginx:
    ...  # connect to nginx.uri
    nginx.reload()
"""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.support.processes import Daemon, find_program, free_ports

#: Seconds; machines that run tests are slow.
_PATIENCE = 30


class NginxFront:
    """nginx in front of a port of loopback: it forwards all requests, upgrades among them."""

    def __init__(
        self,
        upstream: int,
        folder: Path,
        *,
        tls: bool = False,
        read_timeout: str = "60s",
        shutdown_timeout: str | None = None,
    ) -> None:
        """Start it.

        Args:
            upstream: port of the server.
            folder: for its files; with `tls` cert.pem and key.pem are there already.
            tls: listen for TLS, too, at `tls_port`.
            read_timeout: nginx ends a connection in which the server is silent for so long.
            shutdown_timeout: how long old connections live on after `reload`; None is for ever.
        """
        self.upstream = upstream
        self.folder = folder
        self.read_timeout = read_timeout
        self.shutdown_timeout = shutdown_timeout
        self._program = find_program("nginx", "nginx-light")
        self._log = folder / "nginx.log"
        for _ in range(5):  # a port may be taken between being found free and being used
            ports = free_ports(2 if tls else 1)
            self.port: int = ports[0]
            self.tls_port: int | None = ports[1] if tls else None
            if self._try_start():
                return
            self._daemon.stop()
        raise AssertionError(self.log)

    @property
    def uri(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    @property
    def tls_uri(self) -> str:
        """Trust whoever signed cert.pem."""
        return f"wss://localhost:{self.tls_port}"

    @property
    def log(self) -> str:
        """What it has complained of and noticed."""
        return self._log.read_text(errors="replace")

    @property
    def requests(self) -> list[str]:
        """STATUS PATH of each request that is over, upgraded ones at the end of the connection."""
        return (self.folder / "access.log").read_text().splitlines()

    def start(self) -> None:
        """Start it again after `stop`, on the same ports."""
        assert self._try_start(), self.log

    def stop(self) -> None:
        """End it with all its connections; connects are refused then."""
        self._daemon.stop()

    def restart(self) -> None:
        """Stop and start."""
        self.stop()
        self.start()

    def reload(self, upstream: int | None = None) -> None:
        """Have it read its settings anew, with another upstream if one is given.

        When this returns, new connections are served by a new worker. Old ones stay, until the
        shutdown timeout.
        """
        self.upstream = self.upstream if upstream is None else upstream
        self._configure()
        workers = self._count_workers()
        self._daemon.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + _PATIENCE
        while not self._is_reloaded(workers):
            assert time.monotonic() < deadline, self.log
            time.sleep(0.01)

    def _is_reloaded(self, workers: int) -> bool:
        # The old worker is told to go after the new one was begun.
        begun = self.log.split("start worker process ")
        return len(begun) > workers + 1 and "gracefully shutting down" in begun[-1]

    def _count_workers(self) -> int:
        return self.log.count("start worker process ")

    def _try_start(self) -> bool:
        self._configure()
        command = [self._program, "-p", str(self.folder), "-e", str(self._log)]
        command += ["-c", str(self._config)]
        self._daemon = Daemon(command, self.folder / "nginx.out")
        ports = [port for port in (self.port, self.tls_port) if port is not None]
        return self._daemon.wait_listening(*(("127.0.0.1", port) for port in ports))

    @property
    def _config(self) -> Path:
        return self.folder / "nginx.conf"

    def _configure(self) -> None:
        folder = self.folder
        # Its workers must read what root's tests wrote.
        user = "user root root;" if os.geteuid() == 0 else ""
        timeout = self.shutdown_timeout
        shutdown = "" if timeout is None else f"worker_shutdown_timeout {timeout};"
        tls = (
            ""
            if self.tls_port is None
            else f"""
                    listen 127.0.0.1:{self.tls_port} ssl;
                    ssl_certificate {folder}/cert.pem;
                    ssl_certificate_key {folder}/key.pem;"""
        )
        self._config.write_text(
            f"""
            daemon off;
            worker_processes 1;
            {user} {shutdown}
            pid {folder}/nginx.pid;
            error_log {folder}/nginx.log notice;
            events {{ worker_connections 1024; }}
            http {{
                log_format short '$status $request_uri';
                access_log {folder}/access.log short;
                client_body_temp_path {folder}/client_body;
                proxy_temp_path {folder}/proxy;
                fastcgi_temp_path {folder}/fastcgi;
                uwsgi_temp_path {folder}/uwsgi;
                scgi_temp_path {folder}/scgi;
                server {{
                    listen 127.0.0.1:{self.port};{tls}
                    location / {{
                        proxy_pass http://127.0.0.1:{self.upstream};
                        proxy_http_version 1.1;
                        proxy_set_header Host $http_host;
                        proxy_set_header Upgrade $http_upgrade;
                        proxy_set_header Connection "upgrade";
                        proxy_read_timeout {self.read_timeout};
                    }}
                }}
            }}
            """
        )


@contextlib.contextmanager
def nginx_front(
    upstream: int,
    folder: Path | None = None,
    *,
    tls: bool = False,
    read_timeout: str = "60s",
    shutdown_timeout: str | None = None,
) -> Iterator[NginxFront]:
    """Run an `NginxFront`; without a folder, in one that goes at the end."""
    with contextlib.ExitStack() as stack:
        if folder is None:
            name = stack.enter_context(tempfile.TemporaryDirectory(prefix="wspool-nginx-"))
            folder = Path(name)
        front = NginxFront(
            upstream,
            folder,
            tls=tls,
            read_timeout=read_timeout,
            shutdown_timeout=shutdown_timeout,
        )
        stack.callback(front.stop)
        yield front
