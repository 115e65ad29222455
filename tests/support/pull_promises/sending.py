"""What both APIs promise of send."""

import array
import queue

import pytest
import websockets.exceptions
from tests.support.pull_servers import (
    PATIENCE,
    sending,
    websockets_server,
)

import wspool
import wspool.testing

from .common import equal


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
