"""Connections that break off, in every state (RFC 6455 section 7.1.7)."""

from __future__ import annotations

from .case import Case, Differs, do
from .expected import raised, returned
from .frames import TEXT, frame, more, text
from .scripted_server import (
    echo_close,
    finish,
    read_request,
    read_some,
    read_until,
    reset,
    send,
    shake,
    vanish,
    wait_for,
)

HEAD = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"

OPENING = [
    Case("server ends TCP instead of an answer", [read_request, finish]),
    Case(
        "server resets instead of an answer",
        [read_request, reset],
        differs=Differs(
            "What the network does is an OSError, also during the opening handshake.",
            raised("connect", "ConnectionResetError", "ConnectionError", "OSError", errno=104),
        ),
    ),
    Case("server ends TCP in the status line", [read_request, send(HEAD[:12]), finish]),
    Case("server ends TCP in the middle of the answer", [read_request, send(HEAD), finish]),
]

# What arrives of a message before the connection ends.
BEGINNINGS = {
    "after the opening handshake": b"",
    "in a frame header": frame(TEXT, b"x" * 300)[:1],
    "in the length of a frame": frame(TEXT, b"x" * 300)[:3],
    "in a payload": frame(TEXT, b"x" * 300)[:100],
    "in a fragmented message": text("half", fin=False),
    "in a later fragment": text("half", fin=False) + more(b"x" * 300)[:50],
    "in a close frame": b"\x88\x05\x03",
}

OPEN = [
    *(
        Case(
            f"server ends TCP {where}",
            [shake(), send(begun), finish],
            [do("recv"), do("recv"), do("send", "x")],
        )
        for where, begun in BEGINNINGS.items()
    ),
    *(
        Case(
            f"server resets {where}",
            [shake(), send(begun), wait_for("opened"), reset],
            [do("tell", "opened"), do("recv"), do("recv"), do("send", "x")],
        )
        for where, begun in BEGINNINGS.items()
    ),
    Case(
        "messages before the server ends TCP",
        [shake(), send(text("a"), text("b")), finish],
        [do("recv"), do("recv"), do("recv"), do("recv")],
    ),
    Case(
        "messages before the server resets",
        [shake(), send(text("a"), text("b")), read_until("ping"), wait_for("go"), reset],
        [do("ping_pong"), do("tell", "go"), do("recv"), do("recv"), do("recv")],
    ),
    Case(
        "iteration when the server ends TCP",
        [shake(), send(text("a"), text("b")), finish],
        [do("iterate")],
    ),
    Case(
        "server ends TCP after a message of the client",
        [shake(), read_until("text"), finish],
        [do("send", "hello"), do("recv")],
    ),
    Case(
        "server resets after a message of the client",
        [shake(), read_until("text"), reset],
        [do("send", "hello"), do("recv")],
    ),
    Case(
        "server resets in the middle of a message of the client",
        [shake(), read_some, reset],
        [do("send", b"x" * 32_000_000), do("recv"), do("send", "x")],
        any_cause=True,
        differs=Differs(
            "send() returns once the message has been taken over, and a native thread writes it: "
            "the next call tells of a connection that breaks meanwhile.",
            returned("1 send"),
        ),
    ),
    Case(
        "server resets after the client's close frame",
        [shake(), read_until("close"), reset],
        [do("close", 4000, "ours"), do("recv")],
    ),
    Case(
        "server vanishes after the client's close frame",
        [shake(), read_until("close"), vanish],
        [do("close", 4000, "ours"), do("recv")],
    ),
    Case(
        "server resets while a ping is on its way",
        [shake(), read_until("ping", pongs=False), reset],
        [do("ping", b"data"), do("pong_of", 0, 0.2), do("recv")],
        differs=Differs(
            "The exception of a ping names the same cause as any other.",
            aio={"2 pong_of.cause": "ConnectionResetError"},
        ),
    ),
    Case(
        "leaving the block after the server ended TCP",
        [shake(), finish],
        [do("recv_within", 2)],
    ),
    Case(
        "leaving the block on an exception after the server ended TCP",
        [shake(), finish],
        [do("recv_within", 2), do("fail")],
    ),
    Case(
        "close after the server ended TCP",
        [shake(), finish],
        [do("recv"), do("close", 4000), do("close", 1000), do("recv"), do("ping"), do("pong")],
    ),
    Case(
        "ping, pong and send after the client closed",
        [shake(), echo_close],
        [do("close"), do("ping"), do("pong"), do("send", "x"), do("send", ["a", "b"])],
    ),
]

CASES = OPENING + OPEN
