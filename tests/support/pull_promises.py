"""What the blocking and the asyncio API promise alike; test_sync and test_aio run it.

The fixture `client` connects: see pull_clients.
"""

import array
import contextlib
import gc
import http
import math
import queue
import socket
import ssl
import threading
import warnings

import pytest
import websockets.exceptions

import wspool
import wspool.testing
from wspool import EndpointPool, Status

from .pull_servers import (
    BINARY,
    CLOSE,
    PATIENCE,
    PING,
    PONG,
    Frames,
    echo,
    finish,
    fragments,
    frame,
    frame_server,
    sending,
    wait_until,
    websockets_server,
)

MESSAGES = ["text \u20ac", b"\x00\xff", "", b"", "x" * 70_000, b"y" * 70_000]


def equal(got, expected):
    """Compare without pytest's explanation of large values."""
    return type(got) is type(expected) and got == expected


def arrived(connection, count):
    """Wait until so many messages have been queued."""
    wait_until(lambda: connection.statistics.messages_received >= count)


class TestConnect:
    def test_success(self, client):
        """The connection is open, with its handshake at hand, and says so."""
        with websockets_server(echo) as uri, client.connect(uri + "/path?query") as ws:
            assert ws.status is Status.OPENED
            assert ws.request.path == "/path?query"
            assert ws.response.status_code == 101
            assert ws.remote_address == ("127.0.0.1", int(uri.rpartition(":")[2]))
            assert ws.close_code is None
            assert ws.error is None
            text = repr(getattr(ws, "connection", ws))
            assert "ClientConnection" in text
            assert ws.uri in text
            assert "OPENED" in text

    def test_refused(self, client):
        """A port on which nobody listens."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        with pytest.raises(ConnectionRefusedError):
            client.connect(f"ws://127.0.0.1:{port}")

    def test_wrong_status(self, client):
        """A refusal has the server's answer."""

        def refuse(connection, request):
            return connection.respond(http.HTTPStatus.FORBIDDEN, "not for you\n")

        with websockets_server(echo, process_request=refuse) as uri:
            with pytest.raises(wspool.InvalidStatus) as raised:
                client.connect(uri)
        assert raised.value.response.status_code == 403
        assert raised.value.response.body == b"not for you\n"
        assert "content-type" in raised.value.response.headers

    def test_open_timeout(self, client):
        """A server that never answers."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            with pytest.raises(TimeoutError):
                client.connect(f"ws://127.0.0.1:{listener.getsockname()[1]}", open_timeout=0.05)

    @pytest.mark.parametrize("uri", ["http://127.0.0.1/", "ws://", "127.0.0.1", "ws://h:port/"])
    def test_invalid_uri(self, client, uri):
        """What is no WebSocket URI is refused."""
        with pytest.raises(wspool.InvalidURI):
            client.connect(uri)

    def test_options(self, client):
        """Options are checked, and the text names them."""
        with pytest.raises(TypeError, match="opn_timeout.*open_timeout"):
            client.connect("ws://127.0.0.1", opn_timeout=1)
        with pytest.raises(TypeError, match="max_size"):
            client.connect("ws://127.0.0.1", max_size="large")
        with pytest.raises(ValueError, match="overflow"):
            client.connect("ws://127.0.0.1", overflow="explode")
        with pytest.raises(TypeError, match="pool"):
            client.connect("ws://127.0.0.1", pool="mine")

    def test_private_authority(self, client):
        """A server of a private authority is trusted only by whom that is told."""
        with wspool.testing.echo(tls=True) as server:
            with client.connect(server.uri, ssl=wspool.TLS(ca_file=server.ca_file)) as ws:
                ws.send("secret")
                assert ws.recv(PATIENCE) == "secret"
            with client.connect(
                server.uri, ssl=ssl.create_default_context(cafile=server.ca_file)
            ) as ws:
                ws.send("secret")
                assert ws.recv(PATIENCE) == "secret"
            with wspool.testing.echo(tls=True) as other:
                with pytest.raises(ssl.SSLCertVerificationError):
                    client.connect(server.uri, ssl=wspool.TLS(ca_file=other.ca_file))
            with pytest.raises(ssl.SSLCertVerificationError):
                client.connect(server.uri)

    def test_pool(self, client):
        """It runs on an endpoint of the pool that is given."""
        with websockets_server(echo) as uri, EndpointPool(2) as pool:
            with client.connect(uri, pool=pool) as first, client.connect(uri, pool=pool) as second:
                assert {first.endpoint, second.endpoint} == set(pool)
        with pytest.raises(wspool.PoolClosed):
            client.connect(uri, pool=pool)


class TestRecv:
    def test_kinds_and_order(self, client):
        """Messages come in order, text as str and binary as bytes, empty ones as well."""
        with websockets_server(sending(*MESSAGES)) as uri, client.connect(uri) as ws:
            for message in MESSAGES:
                assert equal(ws.recv(PATIENCE), message)

    def test_decode(self, client):
        """With decode True everything is str, with False bytes."""
        sent = ["\u20ac", "\u20ac".encode()]
        with websockets_server(sending(*sent * 4)) as uri, client.connect(uri) as ws:
            assert [ws.recv(decode=True) for _ in sent] == ["\u20ac"] * 2
            assert [ws.recv(decode=False) for _ in sent] == ["\u20ac".encode()] * 2
            assert [ws.recv(decode=None) for _ in sent] == sent
            assert [ws.recv(None, True) for _ in sent] == ["\u20ac"] * 2

    def test_not_utf_8(self, client):
        """A binary message that is not UTF-8 raises, and the connection goes on."""
        with websockets_server(sending(b"\xff", "after")) as uri, client.connect(uri) as ws:
            with pytest.raises(UnicodeDecodeError):
                ws.recv(decode=True)
            assert ws.recv(decode=True) == "after"

    @pytest.mark.parametrize("timeout", [0, 0.0, 0.01, -1, -math.inf])
    def test_timeout(self, client, timeout):
        """After the timeout TimeoutError is raised; nothing is lost by it."""
        with websockets_server(echo) as uri, client.connect(uri) as ws:
            for _ in range(5):
                with pytest.raises(TimeoutError):
                    ws.recv(timeout)
            for number in range(5):
                ws.send(f"{number}")
            assert [ws.recv(math.inf) for _ in range(5)] == ["0", "1", "2", "3", "4"]

    def test_zero_takes_what_is_there(self, client):
        """With timeout 0 queued messages are handed out."""
        with websockets_server(sending("a", "b")) as uri, client.connect(uri) as ws:
            arrived(ws, 2)
            assert [ws.recv(timeout=0), ws.recv(timeout=-1)] == ["a", "b"]

    @pytest.mark.parametrize("timeout", [True, False, math.nan, "1"])
    def test_bad_timeout(self, client, timeout):
        """What is no number of seconds is refused."""
        with websockets_server(sending()) as uri, client.connect(uri) as ws:
            with pytest.raises(TypeError):
                ws.recv(timeout)
            with pytest.raises(TypeError):
                ws.recv_many(timeout=timeout)

    @pytest.mark.parametrize("timeout", [True, math.nan, "1"])
    def test_bad_timeout_with_messages(self, client, timeout):
        """It is refused as well where nothing need be waited for, and costs no message."""
        with websockets_server(sending("a", "b")) as uri, client.connect(uri) as ws:
            arrived(ws, 2)
            with pytest.raises(TypeError):
                ws.recv(timeout)
            with pytest.raises(TypeError):
                ws.recv_many(timeout=timeout)
            assert ws.recv_many() == ["a", "b"]

    @pytest.mark.parametrize(
        ("close", "kind"),
        [
            ((1000, "done"), wspool.ConnectionClosedOK),
            ((1001, ""), wspool.ConnectionClosedOK),
            ((1011, "broken"), wspool.ConnectionClosedError),
            ((4000, "own"), wspool.ConnectionClosedError),
        ],
    )
    def test_after_the_close(self, client, close, kind):
        """What came before the close is handed out after it; then it raises again and again."""
        with websockets_server(sending("a", "b", "c", close=close)) as uri:
            with client.connect(uri) as ws:
                ws.wait_closed()
                assert ws.recv() == "a"
                assert ws.recv_many(1) == ["b"]
                assert ws.recv(timeout=0) == "c"
                for receive in (
                    ws.recv,
                    ws.recv_many,
                    lambda: ws.recv(timeout=0),
                    lambda: ws.recv_many(timeout=-1),
                    lambda: next(ws.recv_streaming()),
                    ws.recv,
                ):
                    with pytest.raises(wspool.ConnectionClosed) as raised:
                        receive()
                    assert type(raised.value) is kind
                    assert (raised.value.rcvd.code, raised.value.rcvd.reason) == close
                assert (ws.close_code, ws.close_reason) == close

    def test_lost(self, client):
        """A connection that is lost raises ConnectionClosedError, after its messages."""

        def behave(sock):
            sock.sendall(frame(b"a") + frame(b"half of a message", fin=False))

        with frame_server(behave) as uri, client.connect(uri) as ws:
            assert ws.recv(PATIENCE) == "a"
            for _ in range(2):
                with pytest.raises(wspool.ConnectionClosedError) as raised:
                    ws.recv(PATIENCE)
            assert raised.value.rcvd is None
            assert ws.close_code == 1006

    def test_fragments(self, client):
        """A message in fragments is handed out as a whole; characters may be cut."""
        text = "a\u00e9\u20ac\U0001f600" * 300
        pieces = [bytes([byte]) for byte in text.encode()]
        data = fragments(pieces) + fragments([b"", b"", b""]) + fragments([b"\xff"] * 9, BINARY)

        def behave(sock):
            sock.sendall(data + frame(b"whole"))
            finish(sock)

        with frame_server(behave) as uri, client.connect(uri) as ws:
            got = [ws.recv(PATIENCE) for _ in range(4)]
            assert got == [text, "", b"\xff" * 9, "whole"]

    def test_many_fragments(self, client):
        """Of a message in more fragments than are kept apart nothing is lost."""
        pieces = [b"%d," % i for i in range(10_000)]

        def behave(sock):
            sock.sendall(fragments(pieces) + fragments(pieces, BINARY) + frame(b"after"))
            finish(sock)

        with frame_server(behave) as uri, client.connect(uri) as ws:
            whole = b"".join(pieces)
            assert equal(ws.recv(PATIENCE), whole.decode())
            assert equal(ws.recv(PATIENCE), whole)
            assert ws.recv(PATIENCE) == "after"

    def test_large(self, client):
        """Messages of 16 MB pass with max_size=None, and 1009 ends a connection without."""
        text = "0123456789abcde\n" * 2**20
        with websockets_server(sending(text, text.encode())) as uri:
            with client.connect(uri, max_size=None) as ws:
                assert equal(ws.recv(PATIENCE), text)
                assert equal(ws.recv(PATIENCE), text.encode())
            with client.connect(uri) as ws:
                with pytest.raises(wspool.ConnectionClosedError) as raised:
                    ws.recv(PATIENCE)
                assert raised.value.sent.code == 1009
                assert isinstance(raised.value.__cause__, wspool.PayloadTooBig)


class TestRecvMany:
    def test_all_that_is_queued(self, client):
        """It takes all that is there, in order, and never waits for more."""
        with websockets_server(sending(*MESSAGES)) as uri, client.connect(uri) as ws:
            arrived(ws, len(MESSAGES))
            assert equal(ws.recv_many(), MESSAGES)

    def test_at_least_one(self, client):
        """It waits for the first message."""
        release = threading.Event()

        def handler(connection):
            assert release.wait(PATIENCE)
            connection.send("late")

        with websockets_server(handler) as uri, client.connect(uri) as ws:
            with pytest.raises(TimeoutError):
                ws.recv_many(timeout=0.01)
            with pytest.raises(TimeoutError):
                ws.recv_many(timeout=0)
            threading.Timer(0.05, release.set).start()
            assert ws.recv_many(timeout=PATIENCE) == ["late"]

    def test_max_messages(self, client):
        """It takes no more than it is told to."""
        with websockets_server(sending(*"abcde")) as uri, client.connect(uri) as ws:
            arrived(ws, 5)
            assert ws.recv_many(2) == ["a", "b"]
            assert ws.recv_many(max_messages=1, timeout=0) == ["c"]
            assert ws.recv_many(100) == ["d", "e"]
            for wrong in (0, -1):
                with pytest.raises(ValueError, match="max_messages"):
                    ws.recv_many(wrong, timeout=0)
            with pytest.raises(TypeError):
                ws.recv_many("2", timeout=0)

    def test_decode(self, client):
        """With decode True everything is str, with False bytes."""
        sent = ["\u20ac", "\u20ac".encode()]
        with websockets_server(sending(*sent * 3)) as uri, client.connect(uri) as ws:
            arrived(ws, 6)
            assert ws.recv_many(2, decode=True) == ["\u20ac"] * 2
            assert ws.recv_many(2, decode=False) == ["\u20ac".encode()] * 2
            assert ws.recv_many(2) == sent

    def test_not_utf_8(self, client):
        """A message that cannot be decoded costs only itself."""
        with websockets_server(sending("a", b"b", b"\xff", "c")) as uri:
            with client.connect(uri) as ws:
                arrived(ws, 4)
                got, errors = [], 0
                while len(got) < 3:
                    try:
                        got += ws.recv_many(timeout=0, decode=True)
                    except UnicodeDecodeError:
                        errors += 1
                    except TimeoutError:
                        break
                assert got == ["a", "b", "c"]
                assert errors == 1

    def test_order_over_many_calls(self, client):
        """Nothing is lost, doubled or swapped over many calls."""
        numbers = [str(i) for i in range(30_000)]
        with wspool.testing.replay(numbers) as server, client.connect(server.uri) as ws:
            got = []
            with pytest.raises(wspool.ConnectionClosedOK):
                while True:
                    messages = ws.recv_many(len(got) % 700 + 1, timeout=PATIENCE)
                    assert messages
                    got += messages
            assert equal(got, numbers)


class TestIteration:
    @pytest.mark.parametrize("code", [1000, 1001])
    def test_ends(self, client, code):
        """An end in order ends the iteration."""
        with websockets_server(sending("a", b"b", close=(code, ""))) as uri:
            with client.connect(uri) as ws:
                assert list(ws) == ["a", b"b"]
                assert list(ws) == []

    @pytest.mark.parametrize("code", [1002, 1011, 1012, 4000])
    def test_raises(self, client, code):
        """Another end raises, after the messages."""
        with websockets_server(sending("a", close=(code, "why"))) as uri:
            with client.connect(uri) as ws:
                got = []
                for _ in range(2):
                    with pytest.raises(wspool.ConnectionClosedError) as raised:
                        for message in ws:
                            got.append(message)
                    assert raised.value.rcvd == wspool.Close(code, "why")
                assert got == ["a"]

    def test_break(self, client):
        """After leaving the loop the next message is had by any means."""
        with websockets_server(sending(*"abcdef", close=(1000, ""))) as uri:
            with client.connect(uri) as ws:
                for message in ws:
                    assert message == "a"
                    break
                assert ws.recv(PATIENCE) == "b"
                got = []
                for message in ws:
                    got.append(message)
                    if message == "d":
                        break
                assert got == ["c", "d"]
                assert next(ws.recv_streaming()) == "e"
                assert list(ws) == ["f"]


class TestStreaming:
    def test_as_they_come(self, client):
        """The first fragment is handed out before the server has sent the last."""
        steps = queue.SimpleQueue()

        def handler(connection):
            connection.send(iter(lambda: steps.get(timeout=PATIENCE), None))
            connection.send("next")
            connection.recv()

        with websockets_server(handler) as uri, client.connect(uri) as ws:
            steps.put("one")
            stream = ws.recv_streaming()
            assert next(stream) == "one"
            steps.put("two")
            assert next(stream) == "two"
            steps.put(None)
            assert list(stream) == [""]
            assert ws.recv(PATIENCE) == "next"

    def test_characters_are_not_cut(self, client):
        """Text comes in whole characters, wherever the server cuts it."""
        text = "a\u00e9\u20ac\U0001f600" * 20
        pieces = [bytes([byte]) for byte in text.encode()]

        def behave(sock):
            sock.sendall(fragments(pieces) * 3 + fragments(pieces, BINARY) * 2)
            finish(sock)

        with frame_server(behave) as uri, client.connect(uri) as ws:
            for decode in (None, True):
                got = list(ws.recv_streaming(decode))
                assert all(isinstance(piece, str) for piece in got)
                assert "".join(got) == text
            assert list(ws.recv_streaming(decode=False)) == pieces
            assert list(ws.recv_streaming()) == pieces
            assert "".join(ws.recv_streaming(decode=True)) == text

    def test_not_utf_8(self, client):
        """Binary fragments that are not UTF-8 raise, and the connection goes on."""

        def behave(sock):
            sock.sendall(fragments([b"a", b"\xff", b"b"], BINARY) + frame(b"after"))
            finish(sock)

        with frame_server(behave) as uri, client.connect(uri) as ws:
            stream = ws.recv_streaming(decode=True)
            assert next(stream) == "a"
            with pytest.raises(UnicodeDecodeError):
                next(stream)
            assert ws.recv(PATIENCE) == "after"

    def test_closed_early(self, client):
        """Closing the iterator skips the rest; the next message comes next."""
        release = threading.Event()

        def handler(connection):
            for number in range(3):
                connection.send(parts(number))
                connection.send(f"after {number}")
            connection.recv()

        def parts(number):
            yield f"first {number}"
            assert release.wait(PATIENCE)
            yield "rest"

        with websockets_server(handler) as uri, client.connect(uri) as ws:
            for number in range(3):
                stream = ws.recv_streaming()
                assert next(stream) == f"first {number}"
                stream.close()
                release.set()
                assert ws.recv(PATIENCE) == f"after {number}"

    @pytest.mark.parametrize("receive", ["recv", "recv_many"])
    def test_skipped_rest_is_no_message(self, client, receive):
        """When only the skipped rest of a message has come there is nothing to take."""
        release, sent = threading.Event(), threading.Event()

        def handler(connection):
            connection.send(parts())
            sent.set()
            connection.recv()
            connection.send("after")

        def parts():
            yield "first"
            assert release.wait(PATIENCE)
            yield "rest"

        with websockets_server(handler) as uri, client.connect(uri) as ws:
            stream = ws.recv_streaming()
            assert next(stream) == "first"
            stream.close()
            release.set()
            assert sent.wait(PATIENCE)
            arrived(ws, 1)
            for timeout in (0, 0.05):
                with pytest.raises(TimeoutError):
                    getattr(ws, receive)(timeout=timeout)
            ws.send("go on")
            assert getattr(ws, receive)(timeout=PATIENCE) in ("after", ["after"])

    def test_skipped_rest_before_the_end(self, client):
        """When the skipped rest is the last that came, the end is told."""

        def behave(sock):
            sock.sendall(fragments([b"a", b"b", b"c"]) + frame(b"\x03\xe8", CLOSE))
            finish(sock)

        with frame_server(behave) as uri, client.connect(uri) as ws:
            stream = ws.recv_streaming()
            assert next(stream) == "a"
            stream.close()
            ws.wait_closed()
            with pytest.raises(wspool.ConnectionClosedOK):
                ws.recv_many()
            assert list(ws) == []

    def test_messages_that_wait(self, client):
        """Messages that came before come as they were sent, whole or in fragments."""

        def behave(sock):
            sock.sendall(frame(b"whole") + fragments([b"a", b"b", b"c"]) + frame(b"\x00", BINARY))
            finish(sock)

        with frame_server(behave) as uri, client.connect(uri) as ws:
            arrived(ws, 3)
            assert list(ws.recv_streaming()) == ["whole"]
            assert list(ws.recv_streaming()) == ["a", "b", "c"]
            assert list(ws.recv_streaming()) == [b"\x00"]

    def test_not_begun(self, client):
        """An iterator that is never begun takes nothing."""
        with websockets_server(sending("a", "b")) as uri, client.connect(uri) as ws:
            ws.recv_streaming().close()
            arrived(ws, 2)
            assert ws.recv_many() == ["a", "b"]

    def test_lost(self, client):
        """A connection lost in the middle raises, after the fragments that came."""

        def behave(sock):
            sock.sendall(frame(b"a", fin=False) + frame(b"b", 0, fin=False))

        with frame_server(behave) as uri, client.connect(uri) as ws:
            stream = ws.recv_streaming()
            assert [next(stream), next(stream)] == ["a", "b"]
            with pytest.raises(wspool.ConnectionClosedError):
                next(stream)
            with pytest.raises(wspool.ConnectionClosedError):
                ws.recv()

    def test_large(self, client):
        """A message of 5 MB in 3,000 fragments comes in these."""
        size = 5_000_000 // 3000
        pieces = [bytes([i % 251]) * size for i in range(3000)]

        def behave(sock):
            sock.sendall(fragments(pieces, BINARY))
            finish(sock)

        with frame_server(behave) as uri, client.connect(uri, max_size=None) as ws:
            assert equal(list(ws.recv_streaming()), pieces)

    def test_many_wait(self, client):
        """Of fragments that wait above a bound those that follow are joined."""
        pieces = [b"%d," % i for i in range(20_000)]

        def behave(sock):
            sock.sendall(fragments(pieces) + frame(b"after"))
            finish(sock)

        with frame_server(behave) as uri, client.connect(uri) as ws:
            arrived(ws, 2)
            got = list(ws.recv_streaming())
            assert equal("".join(got), b"".join(pieces).decode())
            assert 4096 <= len(got) < 4200
            assert got[:3] == ["0,", "1,", "2,"]
            assert ws.recv(PATIENCE) == "after"

    def test_recv_meanwhile(self, client):
        """While an iterator is at work nothing else receives."""

        def behave(sock):
            sock.sendall(fragments([b"a", b"b"]) + frame(b"c"))
            finish(sock)

        with frame_server(behave) as uri, client.connect(uri) as ws:
            stream = ws.recv_streaming()
            assert next(stream) == "a"
            for receive in (ws.recv, ws.recv_many, lambda: next(ws.recv_streaming())):
                with pytest.raises(wspool.ConcurrencyError):
                    receive()
            with pytest.raises(wspool.ConcurrencyError):
                next(iter(ws))
            assert list(stream) == ["b"]
            assert ws.recv(PATIENCE) == "c"


@pytest.fixture
def records():
    """A server that records what each message came as; yields its URI and the messages.

    A message is a list of its fragments; the end is (code, reason).
    """
    messages = queue.SimpleQueue()

    def handler(connection):
        try:
            while True:
                messages.put(list(connection.recv_streaming()))
        except websockets.exceptions.ConnectionClosed as closed:
            messages.put((closed.rcvd and closed.rcvd.code, closed.rcvd and closed.rcvd.reason))

    with websockets_server(handler) as uri:
        yield uri, lambda: messages.get(timeout=PATIENCE)


class TestSend:
    @pytest.mark.parametrize(
        ("message", "text", "expected"),
        [
            ("text \u20ac", None, "text \u20ac"),
            ("", None, ""),
            (b"\x00\xff", None, b"\x00\xff"),
            (b"", None, b""),
            (bytearray(b"array"), None, b"array"),
            (memoryview(b"_view_")[1:5], None, b"view"),
            (memoryview(array.array("H", [0x4141, 0x4242])), None, b"AABB"),
            (b"as text \xe2\x82\xac", True, "as text \u20ac"),
            ("as binary \u20ac", False, b"as binary \xe2\x82\xac"),
            ("as text", True, "as text"),
            (bytearray(b"as binary"), False, b"as binary"),
            ("x" * 2**20, None, "x" * 2**20),
        ],
    )
    def test_kinds(self, client, records, message, text, expected):
        """str goes as text, bytes-like as binary, unless told otherwise; in one frame."""
        uri, next_message = records
        with client.connect(uri, compression=None) as ws:
            ws.send(message, text)
            ws.send(message, text=text)
            assert equal(next_message(), [expected])
            assert equal(next_message(), [expected])

    @pytest.mark.parametrize(
        ("message", "expected"),
        [(array.array("B", b"abc"), b"abc"), (array.array("B"), b"")],
    )
    def test_other_buffers(self, client, records, message, expected):
        """Whatever has the buffer protocol is bytes-like, also where it is iterable."""
        uri, next_message = records
        with client.connect(uri) as ws:
            ws.send(message)
            ws.send("after")
            assert next_message() == [expected]
            assert next_message() == ["after"]

    def test_other_buffers_as_fragments(self, client, records):
        """Fragments may be of any bytes-like type as well."""
        uri, next_message = records
        with client.connect(uri) as ws:
            ws.send([b"a", bytearray(b"b"), memoryview(b"c"), array.array("B", b"d")])
            assert next_message() == [b"a", b"b", b"c", b"d", b""]

    def test_not_contiguous(self, client, records):
        """A view with gaps is sent without them."""
        uri, next_message = records
        with client.connect(uri) as ws:
            ws.send(memoryview(b"abcdef")[::2])
            assert next_message() == [b"ace"]

    @pytest.mark.parametrize("message", [b"\xff", bytearray(b"\xc3"), b"\xed\xa0\x80"])
    def test_not_utf_8(self, client, records, message):
        """Bytes sent as text must be UTF-8."""
        uri, next_message = records
        with client.connect(uri) as ws:
            with pytest.raises(ValueError, match="UTF-8"):
                ws.send(message, text=True)
            ws.send(message, text=False)
            assert next_message() == [bytes(message)]

    def test_lone_surrogate(self, client, records):
        """A str that has no UTF-8 is refused."""
        uri, next_message = records
        with client.connect(uri) as ws:
            with pytest.raises(UnicodeEncodeError):
                ws.send("\ud800")
            ws.send("after")
            assert next_message() == ["after"]

    @pytest.mark.parametrize(
        "message", [{"a": 1}, 1, None, object(), 1.5, [1], ["a", 2][1:], [None], [["a"]]]
    )
    def test_wrong_type(self, client, records, message):
        """What is no message is refused, and the connection goes on."""
        uri, next_message = records
        with client.connect(uri) as ws:
            with pytest.raises(TypeError):
                ws.send(message)
            ws.send("after")
            assert next_message() == ["after"]

    @pytest.mark.parametrize(
        ("items", "text", "expected"),
        [
            (["a", "\u20ac", "c"], None, ["a", "\u20ac", "c", ""]),
            ([b"a", bytearray(b"b"), memoryview(b"c")], None, [b"a", b"b", b"c", b""]),
            (["one"], None, ["one", ""]),
            (["", ""], None, ["", "", ""]),
            ([b"a", b"b"], True, ["a", "b", ""]),
            (["a", "b"], False, [b"a", b"b", b""]),
            ([b"\xe2\x82", b"\xac"], True, ["", "\u20ac", ""]),
        ],
    )
    def test_fragments(self, client, records, items, text, expected):
        """The items of an iterable go as fragments."""
        uri, next_message = records
        with client.connect(uri) as ws:
            for message in (items, tuple(items), iter(items), (item for item in items)):
                ws.send(message, text)
                assert next_message() == expected

    def test_fragments_as_they_come(self, client, records):
        """A fragment goes out before the next one is asked for."""
        got = queue.SimpleQueue()

        def handler(connection):
            for fragment in connection.recv_streaming():
                got.put(fragment)

        def items():
            yield "first"
            assert got.get(timeout=PATIENCE) == "first"
            yield "second"

        with websockets_server(handler) as uri, client.connect(uri) as ws:
            ws.send(items())
            assert got.get(timeout=PATIENCE) == "second"

    def test_nothing(self, client, records):
        """An empty iterable sends nothing."""
        uri, next_message = records
        with client.connect(uri) as ws:
            ws.send([])
            ws.send(iter(()))
            ws.send("after")
            assert next_message() == ["after"]

    @pytest.mark.parametrize("items", [["a", b"b"], [b"a", "b"], ["a", 1], [b"a", None]])
    def test_mixed(self, client, records, items):
        """Fragments that do not fit to the first raise, and end the connection with 1011."""
        uri, next_message = records
        with client.connect(uri) as ws:
            with pytest.raises(TypeError):
                ws.send(items)
            assert next_message()[0] == 1011
            with pytest.raises(wspool.ConnectionClosedError):
                ws.recv(PATIENCE)

    def test_exception_of_the_iterable(self, client, records):
        """What the iterable raises comes through, and ends the connection with 1011."""
        uri, next_message = records

        def items(count):
            yield from "ab"[:count]
            raise ZeroDivisionError

        with client.connect(uri) as ws:
            with pytest.raises(ZeroDivisionError):
                ws.send(items(0))  # nothing has been sent
            ws.send("goes on")
            assert next_message() == ["goes on"]
            with pytest.raises(ZeroDivisionError):
                ws.send(items(2))
            assert next_message()[0] == 1011

    @pytest.mark.parametrize("items", [["a", "\ud800"], [b"a", 5]])
    def test_bad_fragment(self, client, records, items):
        """A fragment that cannot be sent ends the connection with 1011."""
        uri, next_message = records
        with client.connect(uri) as ws:
            with pytest.raises((ValueError, TypeError)):
                ws.send(items)
            assert next_message()[0] == 1011

    def test_text_that_ends_in_a_character(self, client, records):
        """Fragments sent as text must be UTF-8 together."""
        uri, next_message = records
        with client.connect(uri) as ws:
            with pytest.raises(ValueError, match="UTF-8"):
                ws.send([b"\xe2\x82"], text=True)
            assert next_message()[0] == 1011

    def test_while_closing(self, client):
        """Sending on a connection that is closing or closed raises."""
        with websockets_server(sending(close=(1001, "bye"))) as uri, client.connect(uri) as ws:
            ws.wait_closed()
            for message in ("a", b"b", ["c"]):
                with pytest.raises(wspool.ConnectionClosedOK) as raised:
                    ws.send(message)
                assert raised.value.rcvd == wspool.Close(1001, "bye")


class TestPing:
    @pytest.mark.parametrize("data", [None, "text \u20ac", b"", b"\xff" * 125, bytearray(b"x")])
    def test_round_trip(self, client, data):
        """The answer is the round-trip time, which latency has as well."""
        with websockets_server(echo) as uri, client.connect(uri) as ws:
            assert ws.latency == 0
            pong = ws.ping(data)
            round_trip = pong.result(PATIENCE)
            assert pong.done()
            assert isinstance(round_trip, float)
            assert 0 < round_trip < PATIENCE
            assert ws.latency == round_trip
            assert pong.result(0.001) == round_trip

    def test_many(self, client):
        """Many pings at once are answered, each one."""
        with websockets_server(echo) as uri, client.connect(uri) as ws:
            pongs = [ws.ping() for _ in range(200)]
            assert all(pong.result(PATIENCE) > 0 for pong in pongs)

    def test_comes_after_messages(self, client):
        """When the answer is told, the messages that came before it can be taken."""
        data = b"".join(frame(b"%d" % i) for i in range(100))

        def behave(sock):
            for opcode, _, payload in Frames(sock):
                if opcode == PING:
                    sock.sendall(data + frame(payload, PONG))
                elif opcode == CLOSE:
                    sock.sendall(frame(payload, CLOSE))
                    return

        with frame_server(behave) as uri, client.connect(uri) as ws:
            early = 0
            for _ in range(300):
                ws.ping().result(PATIENCE)
                left = 100
                with contextlib.suppress(TimeoutError):
                    left -= len(ws.recv_many(timeout=0))
                early += left > 0
                while left:
                    left -= len(ws.recv_many(timeout=PATIENCE))
            assert early == 0

    def test_same_data(self, client):
        """A second ping with the data of one that is under way is refused."""
        release = threading.Event()

        def behave(sock):
            assert release.wait(PATIENCE)
            finish(sock)

        with frame_server(behave) as uri, client.connect(uri) as ws:
            pong = ws.ping("same")
            with pytest.raises(wspool.ConcurrencyError):
                ws.ping(b"same")
            other = ws.ping("other")
            release.set()
            assert pong.result(PATIENCE) > 0
            assert other.result(PATIENCE) > 0
            assert ws.ping("same").result(PATIENCE) > 0

    def test_bad_data(self, client):
        """Data is checked."""
        with websockets_server(echo) as uri, client.connect(uri) as ws:
            for send in (ws.ping, ws.pong):
                with pytest.raises(ValueError, match="125"):
                    send(b"x" * 126)
                with pytest.raises(ValueError, match="125"):
                    send("\u20ac" * 42)
                with pytest.raises(TypeError):
                    send(1)
            ws.ping().result(PATIENCE)

    def test_after_the_close(self, client):
        """On a connection that has ended it raises."""
        with websockets_server(sending(close=(1000, ""))) as uri, client.connect(uri) as ws:
            ws.wait_closed()
            for send in (ws.ping, ws.pong):
                for _ in range(2):
                    with pytest.raises(wspool.ConnectionClosedOK):
                        send(b"x")

    @pytest.mark.parametrize("waits", [True, False])
    def test_never_answered(self, client, waits):
        """A server that dies before the answer ends the wait; nobody need wait."""

        def behave(sock):
            opcode, _, _ = Frames(sock).read()
            assert opcode == PING

        with frame_server(behave) as uri, client.connect(uri) as ws:
            pong = ws.ping()
            if waits:
                with pytest.raises(wspool.ConnectionClosed):
                    pong.result(PATIENCE)
                assert pong.done()
            ws.wait_closed()
            del pong
            gc.collect()

    def test_pong(self, client):
        """A pong is sent as it is told."""
        got = queue.SimpleQueue()

        def behave(sock):
            frames = Frames(sock)
            got.put(frames.read())
            got.put(frames.read())
            finish(sock, frames)

        with frame_server(behave) as uri, client.connect(uri) as ws:
            ws.pong()
            ws.pong("here I am")
            assert got.get(timeout=PATIENCE) == (10, True, b"")
            assert got.get(timeout=PATIENCE) == (10, True, b"here I am")


class TestClose:
    def test_codes(self, client, records):
        """The server gets code and reason."""
        uri, next_message = records
        for code in (1000, 1001, 1002, 1003, *range(1007, 1015), 3000, 4999):
            with client.connect(uri) as ws:
                ws.close(code, f"because of {code}")
                assert next_message() == (code, f"because of {code}")
                assert ws.status is Status.CLOSED
                assert ws.close_code == code

    def test_again(self, client):
        """Closing what has ended does nothing."""
        with websockets_server(echo) as uri, client.connect(uri) as ws:
            ws.close(3001, "first")
            ws.close(3002, "second")
            ws.close()
            assert ws.close_code == 3001
            ws.wait_closed()

    def test_bad_arguments(self, client):
        """Code and reason are checked, and the connection goes on."""
        with websockets_server(echo) as uri, client.connect(uri) as ws:
            for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, -1):
                with pytest.raises(ValueError, match="code"):
                    ws.close(code)
            for code in ("1000", None, 1000.0, True):
                with pytest.raises(TypeError, match="code"):
                    ws.close(code)
            with pytest.raises(ValueError, match="reason"):
                ws.close(1000, "x" * 124)
            with pytest.raises(ValueError, match="reason"):
                ws.close(1000, "\u20ac" * 42)
            with pytest.raises(TypeError, match="reason"):
                ws.close(1000, b"x")
            with pytest.raises(UnicodeEncodeError):
                ws.close(1000, "\ud800")
            ws.send("still here")
            assert ws.recv(PATIENCE) == "still here"
            ws.close(1000, "x" * 123)
            assert ws.close_reason == "x" * 123

    def test_messages_remain(self, client):
        """What came before can be received after close()."""
        with websockets_server(sending("a", "b")) as uri, client.connect(uri) as ws:
            arrived(ws, 2)
            ws.close()
            assert ws.recv() == "a"
            assert list(ws) == ["b"]
            with pytest.raises(wspool.ConnectionClosedOK):
                ws.recv()

    def test_close_timeout(self, client):
        """A peer that never answers is waited for no longer than close_timeout."""
        with wspool.testing.sink(silent=True) as server:
            with client.connect(server.uri, close_timeout=0.1) as ws:
                ws.close()
                assert ws.status is Status.CLOSED
                assert ws.close_code == 1006
                with pytest.raises(wspool.ConnectionClosedError) as raised:
                    ws.recv()
                assert raised.value.sent.code == 1000

    def test_left(self, client, records):
        """Leaving the block closes with 1000."""
        uri, next_message = records
        with client.connect(uri):
            pass
        assert next_message() == (1000, "")

    def test_left_by_an_exception(self, client, records):
        """Leaving the block by an exception closes with 1011."""
        uri, next_message = records
        with pytest.raises(ZeroDivisionError), client.connect(uri):
            raise ZeroDivisionError
        assert next_message() == (1011, "")

    def test_left_after_the_server_died(self, client):
        """A server that has died troubles nobody who leaves the block."""
        with frame_server(lambda sock: None) as uri:
            with client.connect(uri) as ws:
                ws.wait_closed()
            with client.connect(uri):
                pass
            with pytest.raises(ZeroDivisionError), client.connect(uri):
                raise ZeroDivisionError

    def test_use_after_close(self, client):
        """What a connection tells remains, and what it cannot do any more is a clear error."""
        with websockets_server(echo) as uri:
            with client.connect(uri) as ws:
                ws.send("a")
                assert ws.recv(PATIENCE) == "a"
        assert "CLOSED" in repr(getattr(ws, "connection", ws))
        assert ws.status is Status.CLOSED
        assert (ws.close_code, ws.close_reason) == (1000, "")
        assert ws.response.status_code == 101
        assert ws.statistics.messages_received == 1
        assert (ws.dropped, ws.last_gap, ws.buffered_amount) == (0, 0, 0)
        for use in (
            lambda: ws.send("b"),
            lambda: ws.send(["b"]),
            ws.ping,
            ws.pong,
            ws.recv,
            ws.recv_many,
            lambda: next(ws.recv_streaming()),
        ):
            with pytest.raises(wspool.ConnectionClosedOK):
                use()
        ws.abort()
        ws.close()
        ws.wait_closed()

    def test_abort(self, client):
        """abort() ends it without a closing handshake."""
        with wspool.testing.echo() as server, client.connect(server.uri) as ws:
            ws.abort()
            ws.wait_closed()
            assert ws.close_code == 1006
            with pytest.raises(wspool.ConnectionClosedError):
                ws.recv()
            assert server.wait_idle(PATIENCE)
            assert server.connections[0].close_code_received is None


class TestLife:
    def test_dropped(self, client):
        """A connection that is dropped unclosed warns, and ends."""
        with wspool.testing.echo() as server:
            ws = client.connect(server.uri)
            with pytest.warns(ResourceWarning, match="unclosed connection.*OPENED"):
                del ws
            assert server.wait_idle(PATIENCE)

    def test_dropped_with_warnings_as_errors(self, client, monkeypatch):
        """Where warnings are errors, the one about a dropped connection is not lost."""
        unraisable = []
        monkeypatch.setattr("sys.unraisablehook", unraisable.append)
        with wspool.testing.echo() as server:
            ws = client.connect(server.uri)
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                del ws
                gc.collect()
            assert server.wait_idle(PATIENCE)
        kinds = [event.exc_type for event in unraisable]
        unraisable.clear()
        assert kinds == [ResourceWarning]

    def test_no_warning(self, client):
        """Closed, aborted, ended and failed connections do not warn."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            with websockets_server(sending(close=(1000, ""))) as uri:
                ws = client.connect(uri)
                ws.wait_closed()
                del ws
            with wspool.testing.echo() as server:
                ws = client.connect(server.uri)
                ws.close()
                del ws
                for _ in range(20):
                    ws = client.connect(server.uri)
                    ws.abort()
                    del ws
            with pytest.raises(ConnectionRefusedError):
                client.connect(server.uri)
            gc.collect()
        assert [str(warning.message) for warning in caught] == []

    def test_endpoint(self, client):
        """Its endpoint has it among its connections as long as it is open."""
        with websockets_server(echo) as uri, EndpointPool(1) as pool:
            with client.connect(uri, pool=pool) as first, client.connect(uri, pool=pool) as second:
                listed = set(pool[0].connections)
                assert listed == {getattr(ws, "connection", ws) for ws in (first, second)}
                first.close()
                assert pool[0].connections == [getattr(second, "connection", second)]
            assert pool[0].connections == []

    def test_pool_closes(self, client, records):
        """Closing the pool ends its connections in order."""
        uri, next_message = records
        with EndpointPool(1) as pool:
            ws = client.connect(uri, pool=pool)
            pool.close()
            with pytest.raises(wspool.ConnectionClosedOK):
                ws.recv(PATIENCE)
        assert next_message()[0] == 1001
        ws.close()

    def test_wait_closed(self, client):
        """It waits for the end, and takes no message."""
        with websockets_server(sending("a", close=(1000, ""))) as uri, client.connect(uri) as ws:
            ws.wait_closed()
            assert ws.status is Status.CLOSED
            assert ws.recv() == "a"
