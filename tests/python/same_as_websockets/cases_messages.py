"""Sending and receiving on an open connection, and keepalive."""

from __future__ import annotations

from typing import Any

from .case import Case, Differs, Do, do
from .expected import closed, ended, raised, returned
from .frames import PING, PONG, binary, close, frame, more, text
from .scripted_server import (
    count_pings,
    echo_close,
    read_until,
    send,
    shake,
    tell,
    wait_for,
)

FRAGMENTS = (text("one ", fin=False), more(b"two "), more(b"three", fin=True))
CLOSED = (close(1000), read_until("close"))


BROKEN_OFF = (
    "An iterator of recv_streaming() that has ended, by an exception or because it was closed, "
    "lets others receive; with websockets ConcurrencyError is raised from then on."
)


def received(name: str, *chunks: bytes, steps: list[Do], **further: Any) -> Case:
    """Return the case of a server that sends something good and closes."""
    return Case(name, [shake(), send(*chunks, close(1000)), read_until("close")], steps, **further)


def sent(name: str, *steps: Do, **further: Any) -> Case:
    """Return the case of a client that sends something to a server that listens."""
    return Case(name, [shake(), echo_close], steps, **further)


RECEIVING = [
    received("recv text and binary", text("ä"), binary(b"\x00"), steps=[do("recv")] * 3),
    received("recv of empty messages", text(""), binary(b""), steps=[do("recv")] * 3),
    received(
        "recv with decode",
        *(text("ä"), binary("ö".encode()), text("x"), binary(b"y")),
        steps=[
            do("recv", decode=False),
            do("recv", decode=True),
            do("recv", decode=True),
            do("recv", decode=False),
        ],
    ),
    received(
        "recv with decode by position",
        text("ä"),
        binary("ö".encode()),
        steps=[do("wait_closed"), do("recv", False), do("recv", True)],
        apis=("aio",),
        differs=Differs(
            "recv(timeout=None, decode=None) is the same with both APIs, so the first positional"
            " argument is the timeout; a bool there is refused, not taken for a number.",
            {
                **raised("2 recv", "TypeError", "TypeError"),
                **raised("3 recv", "TypeError", "TypeError"),
            },
        ),
    ),
    received("recv of fragments", *FRAGMENTS, steps=[do("recv")] * 2),
    received(
        "recv of fragments around control frames",
        FRAGMENTS[0],
        frame(PING, b"hi"),
        FRAGMENTS[1],
        frame(PONG, b"ho"),
        FRAGMENTS[2],
        steps=[do("recv")] * 2,
    ),
    received(
        "recv of empty fragments", text("", fin=False), more(b"", fin=True), steps=[do("recv")]
    ),
    received("recv_streaming of a whole message", text("whole"), steps=[do("stream"), do("recv")]),
    received("recv_streaming of fragments", *FRAGMENTS, steps=[do("stream"), do("recv")]),
    received(
        "recv_streaming with decode=False",
        *FRAGMENTS,
        steps=[do("stream", decode=False), do("recv")],
    ),
    received(
        "recv_streaming with decode=True",
        binary("ä".encode()[:1], fin=False),
        more("ä".encode()[1:], fin=True),
        steps=[do("stream", decode=True), do("recv")],
    ),
    received(
        "recv_streaming of a character across fragments",
        frame(1, "ä".encode()[:1], fin=False),
        more("ä".encode()[1:], fin=True),
        steps=[do("stream"), do("recv")],
    ),
    received(
        "recv_streaming, broken off",
        *FRAGMENTS,
        steps=[do("stream", number=1), do("recv")],
        apis=("sync",),
        differs=Differs(
            BROKEN_OFF,
            closed("2 recv", rcvd=(1000, ""), sent=(1000, ""), rcvd_then_sent=True),
        ),
    ),
    received(
        "recv_streaming, broken off without closing the iterator",
        *FRAGMENTS,
        steps=[do("stream", number=1), do("recv")],
        apis=("aio",),
    ),
    received("recv inside recv_streaming", *FRAGMENTS, steps=[do("recv_while_streaming")]),
    received(
        "recv_streaming after the end",
        steps=[do("recv"), do("stream"), do("stream")],
        differs=Differs(
            BROKEN_OFF,
            closed("3 stream", rcvd=(1000, ""), sent=(1000, ""), rcvd_then_sent=True),
        ),
    ),
    Case(
        "recv_streaming hands out a fragment before the next one comes",
        [
            shake(),
            send(text("one", fin=False)),
            wait_for("first"),
            send(more(b"two", fin=True), close(1000)),
            read_until("close"),
        ],
        [do("stream", then="first"), do("recv")],
    ),
    Case(
        "server ends TCP while streaming",
        [shake(), send(*FRAGMENTS[:2])],
        [do("stream"), do("recv")],
        differs=Differs(BROKEN_OFF, closed("2 recv", cause="EOFError")),
    ),
    received(
        "iteration, broken off and gone on",
        *[text("a"), text("b"), text("c")],
        steps=[do("iterate", 1), do("recv"), do("iterate")],
    ),
    received(
        "many messages above max_queue",
        *(text(str(number)) for number in range(300)),
        steps=[do("iterate"), do("recv")],
        options={"max_queue": 4},
    ),
    Case(
        "recv with a timeout",
        [shake(), wait_for("go"), send(text("late")), echo_close],
        [do("recv_within", 0.05), do("tell", "go"), do("recv_within", 3)],
    ),
    Case(
        "recv with a timeout that is zero or below",
        [shake(), wait_for("go"), send(text("a"), text("b")), echo_close],
        [
            do("recv", timeout=0),
            do("recv", timeout=-1),
            do("tell", "go"),
            do("ping_pong"),
            do("recv", timeout=0),
            do("recv", timeout=-1),
            do("recv", timeout=0),
        ],
        apis=("sync",),
    ),
    Case(
        "recv with a timeout within a fragmented message",
        [shake(), send(*FRAGMENTS[:2]), wait_for("go"), send(FRAGMENTS[2]), echo_close],
        [do("recv_within", 0.05), do("tell", "go"), do("recv_within", 3)],
    ),
    Case(
        "recv with timeout=0 after the end",
        [shake(), send(text("a"), close(1000)), read_until("close")],
        [do("wait_closed"), do("recv", timeout=0), do("recv", timeout=0), do("recv", timeout=0)],
        apis=("sync",),
    ),
    Case(
        "recv with a timeout after the end",
        [shake(), send(text("a"), close(1000)), read_until("close")],
        [do("wait_closed"), do("recv_within", 1), do("recv_within", 1)],
    ),
    Case(
        "timeouts lose no message",
        [shake(), *[count_pings(1), send(text("a"), text("b"), text("c"))] * 3, echo_close],
        [step for _ in range(3) for step in (do("ping"), do("recv_in_slices", 3))],
    ),
    Case(
        "recv cancelled, then again",
        [shake(), wait_for("go"), send(text("late")), echo_close],
        [do("cancel_recv"), do("cancel_recv"), do("tell", "go"), do("recv")],
        apis=("aio",),
    ),
    Case(
        "recv cancelled within a fragmented message",
        [
            shake(),
            send(*FRAGMENTS[:2]),
            count_pings(1),
            wait_for("go"),
            send(FRAGMENTS[2]),
            echo_close,
        ],
        [do("ping_pong"), do("cancel_recv"), do("tell", "go"), do("recv")],
        apis=("aio",),
    ),
    Case(
        "recv and recv at once",
        [shake(), wait_for("go"), send(text("one")), echo_close],
        [do("at_once", do("recv"), do("recv"), then="go")],
    ),
    Case(
        "recv and recv_streaming at once",
        [shake(), wait_for("go"), send(text("one")), echo_close],
        [do("at_once", do("recv"), do("stream"), then="go")],
    ),
    Case(
        "recv and iteration at once",
        [shake(), wait_for("go"), send(text("one")), echo_close],
        [do("at_once", do("recv"), do("iterate", 1), then="go")],
    ),
]

SENDING = [
    sent("send str", do("send", "ä"), do("send", "")),
    sent(
        "send bytes-like",
        *(do("send", kind(b"\x00\xff")) for kind in (bytes, bytearray, memoryview)),
    ),
    sent("send a slice of a memoryview", do("send", memoryview(b"0123456789")[2:8:2])),
    sent("send with text", do("send", b"bytes", text=True), do("send", "str", text=False)),
    sent("send a long message", do("send", "x" * 70_000), do("send", b"y" * 200)),
    sent("send fragments of str", do("send", ["one", "two", "three"])),
    sent("send fragments of bytes", do("send", [b"one", bytearray(b"two"), memoryview(b"three")])),
    sent("send one fragment", do("send", ["one"]), do("send", "next")),
    sent("send no fragment", do("send", []), do("send", "next")),
    sent(
        "send fragments with text",
        do("send", [b"a", b"b"], text=True),
        do("send", ("a", "b"), text=False),
    ),
    sent("send the keys of a dict", do("send", {"a": 1, "b": 2}.keys())),
    sent("send a dict", do("send", {"a": 1}), do("send", "next")),
    sent("send an int", do("send", 1), do("send", "next")),
    sent("send None", do("send", None), do("send", "next")),
    sent(
        "send fragments of int",
        do("send", [1, 2]),
        do("send", "next"),
        own_words=True,
        differs=Differs(
            "Where no fragment could be sent the connection stays open.",
            {
                **returned("2 send"),
                **ended(1000, saw=[("text", b"next"), ("close", 1000, ""), "EOF"]),
            },
        ),
    ),
    sent(
        "send fragments of both kinds", do("send", ["a", b"b"]), do("send", "next"), own_words=True
    ),
    sent(
        "send a str that is not Unicode text",
        do("send", "\ud800"),
        do("send", "next"),
        rough_end=True,
        differs=Differs(
            "A str that has no UTF-8 raises UnicodeEncodeError, and the connection stays open; "
            "websockets drops it without a close frame.",
            {
                **raised("1 send", "UnicodeEncodeError", "ValueError"),
                **returned("2 send"),
                **ended(1000, saw=[("text", b"next"), ("close", 1000, ""), "EOF or RST"]),
            },
        ),
    ),
    sent(
        "send bytes that are not UTF-8 as text",
        do("send", b"\xff", text=True),
        do("send", "next"),
        differs=Differs(
            "Bytes sent as text are checked: a text message must be UTF-8 (RFC 6455 section 5.6), "
            "and the server would have to close with 1007.",
            {
                **raised("1 send", "ValueError", "ValueError"),
                "server saw": [("text", b"next"), ("close", 1000, ""), "EOF"],
            },
        ),
    ),
    sent(
        "send while another send is in the middle of its fragments",
        do("at_once", do("send_slowly"), do("meanwhile", do("send", "between"))),
        do("send", "next"),
    ),
    sent(
        "close while a send is in the middle of its fragments",
        do("at_once", do("send_slowly"), do("meanwhile", do("close"))),
        own_words=True,
    ),
    sent("send fragments of an asynchronous iterable", do("send_asynchronously"), apis=("aio",)),
    Case(
        "send while the server closes",
        [shake(), send(close(1001, "bye")), read_until("close"), tell("closed")],
        [do("wait_for", "closed"), do("send", "x"), do("send", b"x"), do("send", ["x"])],
    ),
]

CASES = RECEIVING + SENDING
