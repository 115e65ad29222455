"""Makes the mistakes that docs/faq.md is about, and prints what Python prints for each.

python docs/provoke_messages.py     # a list of str; tests/python/test_docs.py compares it
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gc
import hashlib
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import wspool
import wspool.aio
import wspool.testing

connect = wspool.connect
messages: list[str] = []


def provoke(mistake: Callable[[], object]) -> None:
    """Note the last line of the traceback, and that of each cause."""
    try:
        mistake()
    except Exception as error:
        one: BaseException | None = error
        while one is not None:
            messages.append("".join(traceback.format_exception_only(one)).strip())
            one = one.__cause__
    else:
        messages.append(f"nothing was raised in line {mistake.__code__.co_firstlineno}")


@contextlib.contextmanager
def answering(*lines: str, after: bytes = b"", hold: bool = True) -> Iterator[str]:
    """Be a server that gives one answer; yields its URI."""
    done = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            peer, _ = listener.accept()
            with peer, contextlib.suppress(OSError):
                request = b""
                while b"\r\n\r\n" not in request and (part := peer.recv(4096)):
                    request += part
                key = re.search(rb"(?i)sec-websocket-key: (\S+)", request)
                token = (key[1] if key else b"") + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
                accept = base64.b64encode(hashlib.sha1(token).digest()).decode()
                answer = "".join(f"{line}\r\n" for line in lines).replace("ACCEPT", accept)
                peer.sendall(answer.encode() + after)
                if hold:
                    done.wait(5)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"ws://127.0.0.1:{listener.getsockname()[1]}"
        done.set()
        thread.join()


SWITCHING = "HTTP/1.1 101 Switching Protocols"
UPGRADE = (SWITCHING, "Upgrade: websocket", "Connection: Upgrade")
OPEN = (*UPGRADE, "Sec-WebSocket-Accept: ACCEPT")


def connecting() -> None:
    """Connections that cannot be opened."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    provoke(lambda: connect(f"ws://127.0.0.1:{port}"))
    provoke(lambda: connect("ws://no-such-host.invalid"))
    answers: list[tuple[str, ...]] = [
        (f"HTTP/1.1 {status}", "Content-Length: 0", "")
        for status in ("200 OK", "401 Unauthorized", "403 Forbidden", "404 Not Found", "502 Bad")
    ]
    answers += [
        ("SSH-2.0-OpenSSH_9.6", ""),
        (SWITCHING, ""),
        (*UPGRADE, "Sec-WebSocket-Accept: wrong", ""),
        (*OPEN, "Sec-WebSocket-Protocol: chat", ""),
        (*OPEN, *["X: y"] * 300, ""),
    ]
    for answer in answers:
        with answering(*answer) as uri:
            provoke(lambda uri=uri: connect(uri))
    with answering(hold=False) as uri:
        provoke(lambda: connect(uri))
    with answering() as uri:
        provoke(lambda: connect(uri, open_timeout=0.2))
    for wrong in ("http://host", "localhost:8765", "ws://host/#part", "ws://user@host"):
        provoke(lambda wrong=wrong: connect(wrong))


def greeting(*answers: bytes) -> contextlib.AbstractContextManager[str]:
    """Be a SOCKS5 proxy that gives these answers, one for each thing that it is sent."""

    @contextlib.contextmanager
    def serve() -> Iterator[str]:
        with socket.create_server(("127.0.0.1", 0)) as listener:

            def work() -> None:
                peer, _ = listener.accept()
                with peer:
                    for answer in answers:
                        peer.recv(4096)
                        peer.sendall(answer)
                    peer.recv(4096)

            thread = threading.Thread(target=work)
            thread.start()
            yield f"socks5h://user:secret@127.0.0.1:{listener.getsockname()[1]}"
            thread.join()

    return serve()


def proxies() -> None:
    """Proxies that refuse, or are none."""
    server = "ws://127.0.0.1:1"
    for status in ("407 Proxy Authentication Required", "403 Forbidden", "502 Bad Gateway"):
        with answering(f"HTTP/1.1 {status}", "Content-Length: 0", "") as uri:
            provoke(lambda uri=uri: connect(server, proxy=uri.replace("ws", "http")))
    with answering("SSH-2.0-OpenSSH_9.6", "", "") as uri:
        provoke(lambda uri=uri: connect(server, proxy=uri.replace("ws", "http")))
    with answering(hold=False) as uri:
        provoke(lambda uri=uri: connect(server, proxy=uri.replace("ws", "http")))
    for answers in (
        [b"HTTP/1.1 400 Bad Request\r\n\r\n"],
        [b"\x05\x02", b"\x01\x01"],
        [b"\x05\x00", b"\x05\x05\x00\x01\x00\x00\x00\x00\x00\x00"],
    ):
        with greeting(*answers) as uri:
            provoke(lambda uri=uri: connect(server, proxy=uri))
    with greeting(b"\x05\xff") as uri:
        provoke(lambda uri=uri: connect(server, proxy=uri.replace("user:secret@", "")))


def tls() -> None:
    """Certificates that are refused."""
    import ssl

    with wspool.testing.echo(tls=True) as server, tempfile.TemporaryDirectory() as folder:
        trusted = wspool.TLS(ca_file=server.ca_file)
        provoke(lambda: connect(server.uri))
        provoke(lambda: connect(server.uri, ssl=trusted, server_hostname="other.example"))
        no_pem = Path(folder, "ca.der")
        no_pem.write_text("not a certificate")
        provoke(lambda: connect(server.uri, ssl=wspool.TLS(ca_file=no_pem)))
        provoke(lambda: connect("ws://localhost", ssl=trusted))
        context = ssl.create_default_context()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        provoke(lambda: connect(server.uri, ssl=context))
        wspool.testing.make_certificates(folder, not_before=-1000, not_after=-10)
        files = (Path(folder, "cert.pem"), Path(folder, "key.pem"))
        with wspool.testing.echo(tls=files) as expired:
            provoke(lambda: connect(expired.uri, ssl=wspool.TLS(ca_file=Path(folder, "ca.pem"))))


def receive_all(ws: Any) -> None:
    """Receive until that raises."""
    while True:
        ws.recv(timeout=5)


def ending(server: wspool.testing.LoopbackServer) -> None:
    """Connections that end."""
    ws = connect(server.uri)
    ws.close()
    provoke(ws.recv)
    for code, reason in ((1000, ""), (1012, "restart")):
        ws = connect(server.uri)
        server.close_connections(code, reason)
        provoke(ws.recv)
    ws = connect(server.uri)
    ws.abort()
    provoke(ws.recv)
    ws = connect(server.uri)
    ws.send("x" * (2**20 + 1))
    provoke(ws.recv)
    ws = connect(server.uri, max_queue=1, overflow="error")
    for _ in range(10):
        with contextlib.suppress(wspool.ConnectionClosed):
            ws.send("x")
    ws.wait_closed()
    provoke(lambda: receive_all(ws))
    ws = connect(server.uri)
    provoke(lambda: ws.send(["text", b"bytes"]))
    provoke(ws.recv)
    for frame in (b"\xff\x00", b"\x81\x01\xff"):
        with answering(*OPEN, "", after=frame) as uri:
            ws = connect(uri, close_timeout=0.2)
            provoke(ws.recv)
            ws.close()
    with wspool.testing.sink(silent=True) as silent:
        ws = connect(silent.uri, ping_interval=0.1, ping_timeout=0.2, close_timeout=0.2)
        provoke(ws.recv)
        ws = connect(silent.uri, close_timeout=0.2)
        ws.close()
        provoke(ws.recv)


def feeds() -> None:
    """Feeds that are away, or not acknowledged."""
    with wspool.testing.sink() as quiet:
        with connect(quiet.uri, idle_timeout=0.1) as ws:
            provoke(ws.recv)
        provoke(lambda: connect(quiet.uri, open_timeout=0.2, match="never"))
    with wspool.testing.replay(["tick"] * 100, close_after=False) as flood:
        provoke(lambda: connect(flood.uri, match="never", max_queue=10))
    with wspool.testing.echo() as killed:
        ws = connect(killed.uri, reconnect=wspool.Reconnect(initial_delay=30))
        killed.close(timeout=0)
        while ws.status is wspool.Status.OPENED:
            time.sleep(0.01)
        provoke(lambda: ws.send("x"))
        ws.close()
    provoke(lambda: wspool.Reconnect(initial_delay=90))


def arguments(server: wspool.testing.LoopbackServer) -> None:
    """Arguments that cannot be what they are."""
    wrong_options: list[dict[str, Any]] = [
        {"extra_headers": {}},
        {"ping_interval": 0},
        {"proxy": "localhost:3128"},
        {"proxy": "http://localhost:3128/x"},
        {"proxy": "http://localhost:99999"},
        {"proxy": False},
        {"reconnect": 5},
        {"subscriptions": [{"op": "subscribe"}]},
        {"redundancy": 2},
        {"dedup": "u"},
        {"ssl": False},
        {"subprotocols": "chat"},
    ]
    for options in wrong_options:
        provoke(lambda options=options: connect("ws://localhost", **options))
    endpoint = wspool.EndpointPool.instance().get_endpoint()
    provoke(lambda: endpoint.create_new_connection(server.uri, overflow="error"))
    with connect(server.uri) as ws:
        for message in (1, {"a": 1}):
            provoke(lambda message=message: ws.send(message))
        provoke(lambda: ws.close(1006))
        provoke(lambda: ws.recv(timeout=0.01))
        ws.send(b"\xff")
        provoke(lambda: ws.recv(decode=True))


def threads(server: wspool.testing.LoopbackServer) -> None:
    """Calls that exclude each other."""
    with connect(server.uri) as ws:
        receiving = threading.Thread(target=ws.recv)
        receiving.start()
        time.sleep(0.2)
        provoke(ws.recv)
        ws.send("x")
        receiving.join()
        began, go_on = threading.Event(), threading.Event()

        def fragments() -> Iterator[str]:
            yield "a"
            began.set()
            go_on.wait(5)

        sending = threading.Thread(target=lambda: ws.send(fragments()))
        sending.start()
        began.wait(5)
        provoke(lambda: ws.send("x"))
        go_on.set()
        sending.join()
    pool = wspool.EndpointPool(1)
    endpoint = pool.get_endpoint()
    tried = threading.Event()

    def flood(connection: wspool.Connection) -> None:
        for _ in range(1000):
            connection.send("x" * 100_000)

    def on_open(connection: wspool.Connection) -> None:
        provoke(connection.wait_closed)
        provoke(lambda: flood(connection))
        tried.set()

    with wspool.testing.sink(silent=True) as silent:
        connection = endpoint.create_new_connection(silent.uri, on_open=on_open, write_limit=1000)
        tried.wait(5)
        connection.abort()
        connection.wait_closed(5)
    with answering() as uri:
        connection = endpoint.create_new_connection(uri)
        provoke(lambda: connection.send("x"))
        connection.abort()
    provoke(lambda: endpoint.send_msg(99, "x"))
    pool.close()
    provoke(lambda: endpoint.create_new_connection(server.uri))


def loops(server: wspool.testing.LoopbackServer) -> None:
    """What goes wrong with asyncio, with fork, and on the way out."""

    async def opened() -> wspool.aio.ClientConnection:
        return await wspool.aio.connect(server.uri)

    async def receive(ws: Any) -> None:
        await ws.recv()

    ws = asyncio.run(opened())
    provoke(lambda: asyncio.run(receive(ws)))
    ws.abort()
    provoke(lambda: asyncio.run(receive(wspool.aio.connect(server.uri))))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResourceWarning)
        dropped: Any = connect(server.uri)
        del dropped
        gc.collect()
    messages.extend(f"{one.category.__name__}: {one.message}" for one in caught)
    with connect(server.uri) as kept:
        parent, child = os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # threads and fork(): yes
            process = os.fork()
        if process == 0:
            messages.clear()
            provoke(lambda: kept.send("x"))
            os.write(child, messages[0].encode())
            os._exit(0)
        os.waitpid(process, 0)
        messages.append(os.read(parent, 1000).decode())


def installation() -> None:
    """A package without its native part."""
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder, "wspool")
        package.mkdir()
        for path in Path(wspool.__file__).parent.glob("*.py"):
            (package / path.name).write_bytes(path.read_bytes())
        done = subprocess.run(
            [sys.executable, "-S", "-c", "import wspool"],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        messages.append(done.stderr.strip().splitlines()[-1])


def main() -> None:
    """Make all of the mistakes."""
    connecting()
    proxies()
    feeds()
    tls()
    with wspool.testing.echo() as server:
        ending(server)
        arguments(server)
        threads(server)
        loops(server)
    installation()
    print(messages)


if __name__ == "__main__":
    main()
