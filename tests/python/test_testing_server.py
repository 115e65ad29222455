"""The loopback server of wspool.testing, met by a client that others wrote."""

from __future__ import annotations

import contextlib
import gc
import gzip
import json
import mmap
import os
import socket
import ssl
import subprocess
import sys
import textwrap
import threading
import time
import zlib
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from wspool import testing

websockets = pytest.importorskip("websockets")
from websockets.exceptions import ConnectionClosed, ConnectionClosedOK  # noqa: E402
from websockets.sync.client import ClientConnection, connect  # noqa: E402

LIMIT = 20  # seconds; no wait here is longer


def open_client(
    server: testing.LoopbackServer, path: str = "", **options: Any
) -> contextlib.AbstractContextManager[ClientConnection]:
    """Connect without compression, and without any deadline or size limit of the client's own."""
    if server.ca_file is not None:
        options.setdefault("ssl", ssl.create_default_context(cafile=server.ca_file))
    options = {
        "compression": None,
        "max_size": None,
        "open_timeout": LIMIT,
        "close_timeout": LIMIT,
        "ping_interval": None,
        "proxy": None,
    } | options
    connection: contextlib.AbstractContextManager[ClientConnection] = connect(
        server.uri + path, **options
    )
    return connection


def receive_all(client: ClientConnection) -> list[str | bytes]:
    """Receive until the server's normal close."""
    messages = []
    try:
        while True:
            messages.append(client.recv(timeout=LIMIT))
    except ConnectionClosedOK:
        return messages


def as_bytes(message: str | bytes) -> bytes:
    return message.encode() if isinstance(message, str) else message


def checksum(messages: list[Any]) -> int:
    return zlib.crc32(b"".join(as_bytes(message) for message in messages))


def raw_client(server: testing.LoopbackServer, *header_lines: str) -> socket.socket:
    """Open a WebSocket by hand, to send what no library sends."""
    lines = header_lines or (
        "GET /raw HTTP/1.1",
        "Host: localhost",
        "Upgrade: websocket",
        "Connection: keep-alive, Upgrade",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
    )
    client = socket.create_connection(("127.0.0.1", server.port), timeout=LIMIT)
    client.sendall("\r\n".join((*lines, "", "")).encode())
    return client


def read_to_end(client: socket.socket) -> bytes:
    chunks = []
    while chunk := client.recv(65536):
        chunks.append(chunk)
    return b"".join(chunks)


def masked(first: int, payload: bytes) -> bytes:
    """A client's frame with a mask of zeros, for payloads up to 125 bytes."""
    return bytes((first, 0x80 | len(payload))) + b"\0\0\0\0" + payload


@pytest.fixture(params=[False, True], ids=["plain", "tls"])
def tls(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def echo_server(tls: bool) -> Iterator[testing.LoopbackServer]:
    with testing.echo(tls=tls) as server:
        yield server


class TestEcho:
    """Echo mode."""

    @pytest.mark.parametrize(
        "message",
        ["", "text", "Grüße, \N{SNOWMAN} \N{ROCKET}", b"", b"\x00\xff", "x" * 125, "x" * 126],
    )
    def test_returns_the_message(
        self, echo_server: testing.LoopbackServer, message: str | bytes
    ) -> None:
        """A message comes back as sent, with its type."""
        with open_client(echo_server) as client:
            client.send(message)
            assert client.recv(timeout=LIMIT) == message

    @pytest.mark.parametrize("size", [65_535, 65_536, 1_000_003, 16 * 2**20])
    def test_returns_large_messages(self, echo_server: testing.LoopbackServer, size: int) -> None:
        """Lengths around the header's widths, and larger than every buffer."""
        message = os.urandom(1009) * (size // 1009 + 1)
        message = message[:size]
        with open_client(echo_server) as client:
            client.send(message)
            assert client.recv(timeout=LIMIT) == message

    def test_returns_fragments_one_for_one(self, echo_server: testing.LoopbackServer) -> None:
        """Fragments are echoed as they came, and count as one message."""
        pieces = ["one ", "", "two ", "three"]
        with open_client(echo_server) as client:
            client.send(iter(pieces))
            streamed = list(client.recv_streaming())
        assert b"".join(map(as_bytes, streamed)) == "".join(pieces).encode()
        assert len([piece for piece in streamed if piece]) == 3
        assert echo_server.wait_idle(LIMIT)
        assert echo_server.connections[0].messages_received == 1

    def test_returns_a_batch_in_order(self, echo_server: testing.LoopbackServer) -> None:
        """Messages sent without waiting come back in order, and both checksums are right."""
        messages = [f"message {number} " + "x" * (number % 700) for number in range(2000)]
        with open_client(echo_server) as client:
            sender = threading.Thread(target=lambda: deque(map(client.send, messages), maxlen=0))
            sender.start()
            received = [client.recv(timeout=LIMIT) for _ in messages]
            sender.join(LIMIT)
        assert received == messages
        assert echo_server.wait_idle(LIMIT)
        (record,) = echo_server.connections
        assert record.messages_sent == record.messages_received == len(messages)
        assert record.crc32_sent == record.crc32_received == checksum(messages)
        assert record.payload_bytes_sent == sum(map(len, messages))

    def test_omits_the_checksum_when_told(self) -> None:
        """Without checksums the record says None, not 0."""
        with testing.echo(checksum=False) as server, open_client(server) as client:
            client.send("x")
            client.recv(timeout=LIMIT)
            assert server.connections[0].crc32_received is None

    def test_serves_many_connections(self, echo_server: testing.LoopbackServer) -> None:
        """Connections don't get each other's messages."""
        with contextlib.ExitStack() as stack:
            clients = [
                stack.enter_context(open_client(echo_server, f"/{number}")) for number in range(20)
            ]
            for number, client in enumerate(clients):
                client.send(str(number))
            received = [client.recv(timeout=LIMIT) for client in clients]
        assert received == [str(number) for number in range(20)]
        assert echo_server.wait_idle(LIMIT)
        assert [record.path for record in echo_server.connections] == [f"/{n}" for n in range(20)]

    def test_survives_a_client_that_does_not_read(self) -> None:
        """Echoes nobody reads stop the reading; the memory stays bounded and others go on."""
        with testing.echo() as server:
            greedy = raw_client(server)
            greedy.settimeout(0.2)
            frame = bytes((0x82, 0xFF)) + (2**20).to_bytes(8, "big") + bytes(4) + bytes(2**20)
            with pytest.raises(TimeoutError):
                for _ in range(500):
                    greedy.sendall(frame)
            with open_client(server) as client:
                client.send("still there")
                assert client.recv(timeout=LIMIT) == "still there"
            greedy.close()


class TestReplay:
    """Replay mode."""

    messages: tuple[str | bytes, ...] = ("one", b"\x02\x02", "", "four " * 60)

    @pytest.mark.parametrize("records", ["full", "message"])
    @pytest.mark.parametrize("repeat", [1, 2, 3000])
    def test_sends_what_it_says(self, tls: bool, repeat: int, records: Any) -> None:
        """All messages arrive in order, then a normal close; the record agrees."""
        with testing.replay(self.messages, repeat=repeat, tls=tls, records=records) as server:
            with open_client(server) as client:
                received = receive_all(client)
            assert received == list(self.messages) * repeat
            assert server.wait_idle(LIMIT)
            (record,) = server.connections
            assert record.messages_sent == len(received)
            assert record.payload_bytes_sent == sum(len(as_bytes(each)) for each in received)
            assert record.crc32_sent == checksum(received)
            assert (record.close_code_sent, record.close_code_received) == (1000, 1000)
            assert record.error == ""

    def test_waits_for_the_first_message(self, tls: bool) -> None:
        """start="message" sends nothing before the client's first data message."""
        with testing.replay(["feed"], start="message", tls=tls) as server:
            with open_client(server) as client:
                client.ping().wait(LIMIT)
                assert server.connections[0].messages_sent == 0
                client.send("go")
                assert receive_all(client) == ["feed"]
            assert server.connections[0].messages_received == 1

    def test_repeats_until_the_client_goes(self, tls: bool) -> None:
        """repeat=None goes on; the client's close ends it with the code it sent."""
        with testing.replay(["tick"] * 10, repeat=None, rate=20_000, tls=tls) as server:
            with open_client(server, max_queue=None) as client:
                for _ in range(1000):
                    assert client.recv(timeout=LIMIT) == "tick"
                client.close(4000)
            assert server.wait_idle(LIMIT)
            record = server.connections[0]
            assert record.messages_sent >= 1000
            assert record.payload_bytes_sent == 4 * record.messages_sent
            assert (record.close_code_sent, record.close_code_received) == (4000, 4000)

    def test_counts_part_of_a_cycle(self) -> None:
        """The checksum is right wherever in the list a connection ends."""
        messages = [str(number) * (number % 50) for number in range(977)]
        with testing.replay(messages, repeat=None, rate=20_000) as server:
            with open_client(server, max_queue=None) as client:
                for _ in range(1500):
                    client.recv(timeout=LIMIT)
            assert server.wait_idle(LIMIT)
            record = server.connections[0]
            sent = (messages * (record.messages_sent // len(messages) + 1))[: record.messages_sent]
            assert record.messages_sent >= 1500
            assert record.crc32_sent == checksum(sent)

    def test_keeps_the_rate(self) -> None:
        """The last of 101 messages at 200 a second cannot come before half a second."""
        with testing.replay(["tick"] * 101, rate=200) as server:
            with open_client(server) as client:
                start = time.monotonic()
                assert len(receive_all(client)) == 101
                assert 0.45 <= time.monotonic() - start < LIMIT

    def test_fragments(self, tls: bool) -> None:
        """fragment=N cuts messages into frames of N bytes, even inside a character."""
        text = "Grüße " * 50
        with testing.replay([text, b"12345", ""], fragment=7, tls=tls) as server:
            with open_client(server) as client:
                assert len(list(client.recv_streaming())) > 40
                assert receive_all(client) == [b"12345", ""]
            assert server.connections[0].crc32_sent == checksum([text, b"12345"])

    def test_interleaves_pings(self, tls: bool) -> None:
        """ping_every=N sends a ping after each N messages; the client answers each."""
        with testing.replay(["tick"] * 7, repeat=10, ping_every=4, tls=tls) as server:
            with open_client(server) as client:
                assert len(receive_all(client)) == 70
            assert server.wait_idle(LIMIT)
            assert server.connections[0].pings_sent == 17
            assert server.connections[0].pongs_received == 17

    def test_answers_pings_amid_fragments(self) -> None:
        """A pong goes between two frames of a message and harms neither."""
        with testing.replay(["x" * 100_000], repeat=200, fragment=1000) as server:
            with open_client(server) as client:
                pongs = [client.ping(str(number).encode()) for number in range(20)]
                assert len(receive_all(client)) == 200
                assert all(pong.wait(LIMIT) for pong in pongs)
            assert server.connections[0].pings_received == 20

    def test_stays_open_when_told(self) -> None:
        """close_after=False leaves the connection to the client."""
        with testing.replay(["a", "b"], close_after=False) as server:
            with open_client(server) as client:
                assert [client.recv(timeout=LIMIT) for _ in range(2)] == ["a", "b"]
                assert server.wait_messages(sent=2, timeout=LIMIT)
                client.ping().wait(LIMIT)
                assert not server.connections[0].finished
                assert server.connections[0].close_code_sent is None

    def test_waits_for_a_slow_reader(self, tls: bool) -> None:
        """Far more than the socket holds is neither lost nor sent ahead of the client."""
        message = "x" * 10_000
        with testing.replay([message], repeat=5000, start="message", tls=tls) as server:
            with open_client(server, max_queue=1) as client:
                client.send("go")
                assert server.wait_messages(sent=1, timeout=LIMIT)
                assert server.connections[0].messages_sent < 5000
                assert sum(len(each) for each in receive_all(client)) == 5000 * len(message)


class TestHandshake:
    """Opening handshake and what is recorded of it."""

    def test_records_path_and_headers(self, echo_server: testing.LoopbackServer) -> None:
        """The record has the request as the client sent it."""
        headers = {"X-Feed": "depth", "Authorization": "Bearer é"}
        with open_client(echo_server, "/a/b?c=%20d", additional_headers=headers):
            (record,) = echo_server.connections
        assert record.path == "/a/b?c=%20d"
        assert ("X-Feed", "depth") in record.headers
        assert record.opened

    def test_selects_the_first_subprotocol_offered(self, tls: bool) -> None:
        """The client's order decides; without a common one none is selected."""
        with testing.echo(subprotocols=["v1", "v2"], tls=tls) as server:
            with open_client(server, subprotocols=["v9", "v2", "v1"]) as client:
                assert client.subprotocol == "v2"
            with open_client(server, subprotocols=["v9"]) as client:
                assert client.subprotocol is None
            assert [record.subprotocol for record in server.connections] == ["v2", None]

    def test_verifies_with_its_ca(self, tls: bool) -> None:
        """The throw-away certificate passes the strictest check, by name and by address."""
        with testing.echo(tls=True) as server:
            context = ssl.create_default_context(cafile=server.ca_file)
            context.verify_flags |= ssl.VERIFY_X509_STRICT
            for name in ("localhost", "127.0.0.1", "::1"):
                with socket.create_connection(("127.0.0.1", server.port), LIMIT) as plain:
                    context.wrap_socket(plain, server_hostname=name).close()
            with (
                socket.create_connection(("127.0.0.1", server.port), LIMIT) as plain,
                pytest.raises(ssl.SSLCertVerificationError),
            ):
                context.wrap_socket(plain, server_hostname="example.org")

    def test_is_not_trusted_without_its_ca(self) -> None:
        """A client that doesn't trust the authority fails, and the record says so."""
        with testing.echo(tls=True) as server:
            with (
                pytest.raises(ssl.SSLCertVerificationError),
                open_client(server, ssl=ssl.create_default_context()),
            ):
                pass
            assert server.wait_idle(LIMIT)
            assert not server.connections[0].opened
            assert server.connections[0].error

    def test_takes_certificates_of_the_caller(self, tmp_path: Path) -> None:
        """A pair of files; here for another host, which the client must notice."""
        testing.make_certificates(tmp_path, hosts=["example.org"])
        with testing.echo(tls=(tmp_path / "cert.pem", tmp_path / "key.pem")) as server:
            context = ssl.create_default_context(cafile=tmp_path / "ca.pem")
            with (
                pytest.raises(ssl.SSLCertVerificationError),
                open_client(server, ssl=context),
            ):
                pass
            with open_client(server, ssl=context, server_hostname="example.org") as client:
                client.send("x")
                assert client.recv(timeout=LIMIT) == "x"

    def test_makes_expired_certificates(self, tmp_path: Path) -> None:
        """not_after in the past is a certificate that a client must refuse."""
        testing.make_certificates(tmp_path, not_before=-200, not_after=-100)
        with (
            testing.echo(tls=(tmp_path / "cert.pem", tmp_path / "key.pem")) as server,
            pytest.raises(ssl.SSLCertVerificationError, match="expired"),
            open_client(server, ssl=ssl.create_default_context(cafile=tmp_path / "ca.pem")),
        ):
            pass

    @pytest.mark.parametrize(
        ("lines", "status"),
        [
            (["GET / HTTP/1.1", "Host: x"], b"426"),
            (["POST / HTTP/1.1", "Host: x"], b"400"),
            (["nonsense"], b"400"),
            (["GET / HTTP/1.1", "Host: x", "X: " + "y" * 20_000], b"431"),
            (
                ["GET / HTTP/1.1", "Host: x", "Upgrade: websocket", "Connection: upgrade"]
                + ["Sec-WebSocket-Version: 8", "Sec-WebSocket-Key: " + "A" * 24],
                b"426",
            ),
            (
                ["GET / HTTP/1.1", "Host: x", "Upgrade: websocket", "Connection: upgrade"]
                + ["Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: short"],
                b"400",
            ),
        ],
    )
    def test_refuses_what_is_no_upgrade(self, lines: list[str], status: bytes) -> None:
        """Another request gets its HTTP status and the end of the connection."""
        with testing.echo() as server, raw_client(server, *lines) as client:
            assert read_to_end(client).startswith(b"HTTP/1.1 " + status)
            client.close()
            assert server.wait_idle(LIMIT)
            assert server.connections[0].error.startswith("handshake refused")


class TestProtocol:
    """What a client must not send."""

    @pytest.mark.parametrize(
        ("frames", "code"),
        [
            (b"\x81\x01x", 1002),  # not masked
            (masked(0xC1, b"x"), 1002),  # reserved bit
            (masked(0x83, b"x"), 1002),  # unknown opcode
            (masked(0x09, b"x"), 1002),  # fragmented ping
            (masked(0x80, b"x"), 1002),  # continuation of nothing
            (masked(0x01, b"x") + masked(0x81, b"y"), 1002),  # message within a message
            (b"\x81\xfe\x00\x05" + bytes(9), 1002),  # length not in its shortest form
            (masked(0x88, b"\x03"), 1002),  # half a close code
            (masked(0x88, b"\x03\xed"), 1002),  # 1005 on the wire
            (masked(0x88, b"\x03\xe8\xff"), 1007),  # reason is not UTF-8
            (masked(0x81, b"\xed\xa0\x80"), 1007),  # surrogate
            (masked(0x81, b"12345678\xc3"), 1007),  # ends inside a character
            (masked(0x01, b"\xe2\x82") + masked(0x80, b"x"), 1007),  # across fragments
            (masked(0x82, b"x" * 101), 1009),  # above max_size
            (masked(0x02, b"x" * 60) + masked(0x80, b"x" * 60), 1009),  # together above it
            (b"\x82\xff" + b"\xff" * 8 + bytes(4), 1009),  # length of 2**64 - 1
        ],
    )
    def test_fails_the_connection(self, frames: bytes, code: int) -> None:
        """The close code is the one of RFC 6455 section 7.4.1; another client is not harmed."""
        with testing.sink(max_size=100) as server, open_client(server) as other:
            with raw_client(server) as client:
                client.sendall(frames)
                answer = read_to_end(client)
            closing = answer.partition(b"\r\n\r\n")[2]
            assert closing[0] == 0x88
            assert int.from_bytes(closing[2:4], "big") == code
            assert other.ping().wait(LIMIT)
            assert server.connections[1].close_code_sent == code

    def test_takes_frames_byte_by_byte(self) -> None:
        """Header and payload may come in any pieces."""
        frames = masked(0x81, b"hello") + masked(0x89, b"p") + masked(0x88, b"\x03\xe8")
        with testing.echo() as server, raw_client(server) as client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in frames:
                client.sendall(bytes((byte,)))
            answer = read_to_end(client).partition(b"\r\n\r\n")[2]
        assert answer == b"\x81\x05hello\x8a\x01p\x88\x02\x03\xe8"


class TestClosing:
    """Closing handshakes, aborts and the end of the server."""

    @pytest.mark.parametrize("code", [1000, 1001, 1003, 1011, 3000, 4999])
    def test_answers_the_code(self, echo_server: testing.LoopbackServer, code: int) -> None:
        """The client's code comes back."""
        with open_client(echo_server) as client:
            client.close(code, "done")
        assert client.protocol.close_rcvd is not None
        assert client.protocol.close_rcvd.code == code
        assert echo_server.wait_idle(LIMIT)
        assert echo_server.connections[0].close_code_received == code

    def test_closes_connections(self, echo_server: testing.LoopbackServer) -> None:
        """close_connections sends code and reason, and the server goes on."""
        with open_client(echo_server) as client:
            echo_server.close_connections(4001, "Grüße")
            with pytest.raises(ConnectionClosed) as closed:
                client.recv(timeout=LIMIT)
            assert closed.value.rcvd is not None
            assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4001, "Grüße")
        assert echo_server.wait_idle(LIMIT)
        with open_client(echo_server) as client:
            client.send("again")
            assert client.recv(timeout=LIMIT) == "again"

    def test_closes_amid_a_replay(self, tls: bool) -> None:
        """The close frame comes between two frames, after whole messages only."""
        with testing.replay(["x" * 5000], repeat=None, tls=tls) as server:
            with open_client(server) as client:
                client.recv(timeout=LIMIT)
                server.close_connections(1000)
                assert set(receive_all(client)) == {"x" * 5000}

    def test_aborts_connections(self, echo_server: testing.LoopbackServer) -> None:
        """abort_connections is a reset: no close frame, no orderly end."""
        with open_client(echo_server) as client:
            echo_server.abort_connections()
            with pytest.raises(ConnectionClosed) as closed:
                client.recv(timeout=LIMIT)
            assert closed.value.rcvd is None
            # On TLS the websockets library shows a reset as the stream's end.
            cause = EOFError if echo_server.ca_file else ConnectionResetError
            assert isinstance(closed.value.__cause__, cause)
        assert echo_server.wait_idle(LIMIT)
        assert echo_server.connections[0].error == "aborted by the server"

    def test_sends_pings(self, echo_server: testing.LoopbackServer) -> None:
        """send_ping reaches open connections, and the pong is counted."""
        with open_client(echo_server) as client:
            echo_server.send_ping(b"are you there")
            client.send("x")
            client.recv(timeout=LIMIT)
            client.ping().wait(LIMIT)
        assert echo_server.wait_idle(LIMIT)
        assert echo_server.connections[0].pings_sent == 1
        assert echo_server.connections[0].pongs_received == 1

    def test_silent_sink_answers_nothing(self) -> None:
        """A silent sink still reads, but leaves ping and close without an answer."""
        with testing.sink(silent=True) as server:
            with open_client(server, close_timeout=0.2) as client:
                pong = client.ping()
                client.send("counted")
                assert server.wait_messages(received=1, timeout=LIMIT)
                assert not pong.is_set()
            assert server.wait_idle(LIMIT)
            record = server.connections[0]
            assert (record.close_code_received, record.close_code_sent) == (1000, None)

    def test_sink_counts(self, tls: bool) -> None:
        """A sink counts and sends nothing back."""
        messages = ["a" * number for number in range(300)]
        with testing.sink(tls=tls) as server:
            with open_client(server) as client:
                for message in messages:
                    client.send(message)
                assert server.wait_messages(received=300, timeout=LIMIT)
            record = server.connections[0]
            assert record.crc32_received == checksum(messages)
            assert record.messages_sent == 0

    def test_close_tells_the_clients(self, echo_server: testing.LoopbackServer) -> None:
        """close is a 1001 for the clients, and then nobody listens."""
        with open_client(echo_server) as client:
            closer = threading.Thread(target=echo_server.close, args=(LIMIT,))
            closer.start()
            with pytest.raises(ConnectionClosedOK) as closed:
                client.recv(timeout=LIMIT)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1001
            closer.join(LIMIT)
            assert not closer.is_alive()
        assert not echo_server.running
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", echo_server.port), LIMIT)

    @pytest.mark.parametrize("mode", ["echo", "replay"])
    def test_close_is_bounded(self, mode: str) -> None:
        """Clients that answer nothing, or are in the middle of a replay, don't hold it up."""
        server = testing.echo() if mode == "echo" else testing.replay(["x" * 999], repeat=None)
        clients = [raw_client(server) for _ in range(20)]
        half_open = socket.create_connection(("127.0.0.1", server.port), LIMIT)
        assert server.wait_connections(20, LIMIT)
        start = time.monotonic()
        server.close(0.2)
        assert time.monotonic() - start < 2
        assert all(record.finished for record in server.connections)
        server.close()
        for client in (*clients, half_open):
            client.close()

    def test_methods_after_close_are_harmless(self) -> None:
        """What the server counted stays readable; what would act does nothing."""
        with testing.echo(tls=True) as server:
            ca_file = server.ca_file
            with open_client(server) as client:
                client.send("x")
                client.recv(timeout=LIMIT)
        assert ca_file is not None
        assert not Path(ca_file).exists()
        server.send_ping()
        server.close_connections()
        server.abort_connections()
        assert server.wait_idle(0)
        assert server.connections[0].messages_received == 1
        assert "closed" in repr(server)

    def test_a_forgotten_server_ends(self) -> None:
        """Collecting the object closes the server and its connections."""
        server = testing.echo()
        port = server.port
        with open_client(server) as client:
            del server
            gc.collect()
            with pytest.raises(ConnectionClosed):
                client.recv(timeout=LIMIT)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), LIMIT)


class TestProcess:
    """Interpreter exit, signals, fork."""

    @staticmethod
    def run(code: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code)],
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )

    def test_interpreter_exit_with_a_running_server(self) -> None:
        """Exit ends it: with a replay running, a TLS server, and a waiting daemon thread."""
        done = self.run("""
            import os, socket, threading
            from wspool import testing
            server = testing.replay(["x" * 100], repeat=None)
            secure = testing.echo(tls=True)
            client = socket.create_connection(("127.0.0.1", server.port))
            client.sendall(b"GET / HTTP/1.1\\r\\nHost: x\\r\\nUpgrade: websocket\\r\\n"
                           b"Connection: Upgrade\\r\\nSec-WebSocket-Version: 13\\r\\n"
                           b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\\r\\n\\r\\n")
            assert server.wait_messages(sent=1, timeout=10)
            threading.Thread(target=server.wait_idle, args=(None,), daemon=True).start()
            print(os.path.dirname(secure.ca_file))
            """)
        assert (done.returncode, done.stderr) == (0, "")
        assert not Path(done.stdout.strip()).exists()

    def test_a_signal_ends_a_wait(self) -> None:
        """Ctrl-C is noticed by a wait on the main thread."""
        done = self.run("""
            import signal, threading, time
            from wspool import testing
            server = testing.echo()
            threading.Timer(0.2, signal.raise_signal, (signal.SIGINT,)).start()
            start = time.monotonic()
            try:
                server.wait_connections(1, None)
            except KeyboardInterrupt:
                print(time.monotonic() - start < 1)
            """)
        assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "True", "")

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
    def test_a_forked_child_leaves_it_alone(self) -> None:
        """The child's copy does nothing, its exit is clean, and the parent's server goes on."""
        done = self.run("""
            import os, socket
            from wspool import testing
            server = testing.echo(tls=True)
            pid = os.fork()
            if pid == 0:
                server.send_ping()
                assert not server.running
                assert server.connections == []
                assert not server.wait_idle(0)
                server.close()
                raise SystemExit(7)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
            assert server.running and os.path.exists(server.ca_file)
            socket.create_connection(("127.0.0.1", server.port)).close()
            """)
        assert (done.returncode, done.stderr) == (0, "")

    def test_serves_while_python_is_busy(self, tmp_path: Path) -> None:
        """The server needs no GIL: it serves another process while this one never lets go."""
        flag = tmp_path / "done"
        flag.write_bytes(b"\0")
        code = """if True:
            import sys
            from websockets.sync.client import connect
            with connect(sys.argv[1], proxy=None) as client:
                for _ in range(100):
                    client.send("x")
                    client.recv(timeout=20)
            with open(sys.argv[2], "r+b") as flag:
                flag.write(b"1")
            """
        with (
            testing.echo() as server,
            flag.open("r+b") as file,
            mmap.mmap(file.fileno(), 1) as done,
            subprocess.Popen([sys.executable, "-c", code, server.uri, str(flag)]) as client,
        ):
            interval = sys.getswitchinterval()
            sys.setswitchinterval(1000)  # no other thread gets the GIL while this one computes
            try:
                deadline = time.monotonic() + LIMIT
                while done[0] == 0 and time.monotonic() < deadline:
                    pass
                assert done[0] == ord("1")
            finally:
                sys.setswitchinterval(interval)
                client.kill()


class TestArguments:
    """Bad input is a clear error at the call."""

    @pytest.mark.parametrize(
        ("options", "name"),
        [
            ({"repeat": 0}, "repeat"),
            ({"repeat": -1}, "repeat"),
            ({"rate": 0}, "rate"),
            ({"rate": float("nan")}, "rate"),
            ({"rate": 2e9}, "rate"),
            ({"start": "later"}, "start"),
            ({"records": "half"}, "records"),
            ({"fragment": 0}, "fragment"),
            ({"ping_every": -3}, "ping_every"),
            ({"max_size": 0}, "max_size"),
            ({"port": 70_000}, "port"),
            ({"host": "not an address"}, "host"),
            ({"subprotocols": "chat"}, "subprotocols"),
            ({"subprotocols": ["a b"]}, "subprotocols"),
            ({"tls": ("/nonexistent/cert.pem", "/nonexistent/key.pem")}, "tls"),
        ],
    )
    def test_names_the_argument(self, options: dict[str, Any], name: str) -> None:
        """A ValueError whose text begins with the argument's name."""
        with pytest.raises(ValueError, match=rf"^{name}\b"):
            testing.replay(["x"], **options)

    def test_refuses_no_messages(self) -> None:
        with pytest.raises(ValueError, match="^messages"):
            testing.replay([])

    @pytest.mark.parametrize("messages", ["one text", b"bytes", ["fine", 3]])
    def test_refuses_what_is_no_list_of_messages(self, messages: Any) -> None:
        with pytest.raises(TypeError, match="^messages"):
            testing.replay(messages)

    def test_refuses_a_key_of_another_certificate(self, tmp_path: Path) -> None:
        (tmp_path / "other").mkdir()
        testing.make_certificates(tmp_path)
        testing.make_certificates(tmp_path / "other")
        with pytest.raises(ValueError, match="^key_file"):
            testing.echo(tls=(tmp_path / "cert.pem", tmp_path / "other" / "key.pem"))

    def test_makes_no_certificates_where_it_cannot(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="^directory.*nowhere"):
            testing.make_certificates(tmp_path / "nowhere")
        with pytest.raises(ValueError, match="^hosts"):
            testing.make_certificates(tmp_path, hosts=[])

    def test_says_that_a_port_is_taken(self) -> None:
        with testing.echo() as server, pytest.raises(OSError, match=str(server.port)):
            testing.echo(port=server.port)

    def test_refuses_bad_timeouts_and_control_frames(self) -> None:
        with testing.echo() as server:
            with pytest.raises(ValueError, match="^timeout"):
                server.wait_idle(-1)
            with pytest.raises(ValueError, match="^timeout"):
                server.close(float("nan"))
            with pytest.raises(ValueError, match="^payload"):
                server.send_ping(b"x" * 126)
            with pytest.raises(ValueError, match="^code"):
                server.close_connections(-1)
            with pytest.raises(ValueError, match="^reason"):
                server.close_connections(1000, "x" * 124)
            assert "total=0" in repr(server)


class TestMarketData:
    """The generator and the captures."""

    def test_is_the_same_for_a_seed(self) -> None:
        assert testing.market_data(500, 3) == testing.market_data(500, 3)
        assert testing.market_data(500, 3) != testing.market_data(500, 4)
        assert testing.market_data(0) == []

    def test_has_every_shape_at_real_sizes(self) -> None:
        """All kinds appear; sizes are those of the captures, snapshots left out."""
        messages = testing.market_data(4000)
        kinds = set()
        for message in messages:
            data = json.loads(message)
            if isinstance(data, list):
                kinds.add("kraken")
                assert data[2] == "book-1000"
            elif "stream" in data:
                kinds.add(data["data"]["e"])
            elif "topic" in data:
                kinds.add(data["topic"].split(".")[0])
            else:
                kinds.add(data.get("type") or data["table"])
        assert kinds == {
            *("aggTrade", "depthUpdate", "bookTicker", "l2update", "match", "ticker"),
            *("kraken", "orderBookL2", "orderBookL2_25", "trade"),
        }
        sizes = sorted(map(len, messages))
        assert sizes[0] >= 80
        assert 100 <= sizes[len(sizes) // 2] <= 300
        assert sizes[-1] <= 5000

    def test_refuses_a_negative_count(self) -> None:
        with pytest.raises(ValueError, match="^count"):
            testing.market_data(-1)

    def test_loads_captures(self, tmp_path: Path) -> None:
        """Files in the order of their names, messages without the arrival time."""
        with gzip.open(tmp_path / "b.tsv.gz", "wt") as file:
            file.write('2.5\t{"b":"x\\ty"}\n')
        with gzip.open(tmp_path / "a.tsv.gz", "wt") as file:
            file.write('1.5\t{"a":1}\n1.6\t[2]\n')
        assert testing.load_captures(tmp_path) == ['{"a":1}', "[2]", '{"b":"x\\ty"}']
        with gzip.open(tmp_path / "c.tsv.gz", "wt") as file:
            file.write("no time\n")
        with pytest.raises(ValueError, match=r"^c\.tsv\.gz, line 1"):
            testing.load_captures(tmp_path)
        with pytest.raises(FileNotFoundError):
            testing.load_captures(tmp_path / "nowhere")
