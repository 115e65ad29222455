"""Pings and pongs, asked for or for keepalive (RFC 6455 sections 5.5.2 and 5.5.3)."""

from __future__ import annotations

from typing import Any

from .case import Case, Differs, Do, do
from .expected import ended, raised, returned
from .frames import PING, PONG, close, frame, text
from .scripted_server import count_pings, echo_close, read_until, send, shake, until_end, wait_for


def sent(name: str, *steps: Do, **further: Any) -> Case:
    """Return the case of a client that sends something to a server that listens."""
    return Case(name, [shake(), echo_close], steps, **further)


VALUE_ERROR = (
    "A wrong argument of the caller is a ValueError that names it. ProtocolError is kept for what "
    "the peer does wrong."
)


def refused(key: str) -> Differs:
    """Return how control frames of more than 125 bytes are refused."""
    return Differs(VALUE_ERROR, raised(key, "ValueError", "ValueError"))


UNANSWERED = read_until("ping", pongs=False)

PINGS = [
    sent("ping and pong", do("ping"), do("pong_of", 0), do("latency_known")),
    sent(
        "ping with data",
        do("ping", "text"),
        do("ping", b"bytes"),
        do("ping", bytearray(b"longer one")),
    ),
    sent(
        "ping without data, with empty data",
        do("ping", b""),
        do("pong_of", 0),
        do("ping"),
        do("pong_of", 1),
    ),
    sent(
        "ping with too much data",
        do("ping", b"x" * 126),
        do("ping", b"x" * 125),
        do("pong_of", -1),
        differs=refused("1 ping"),
    ),
    sent("ping with an int", do("ping", 1), do("send", "next")),
    sent("pong", do("pong"), do("pong", "text"), do("pong", b"bytes")),
    sent(
        "pong with too much data",
        do("pong", b"x" * 126),
        do("send", "next"),
        differs=refused("1 pong"),
    ),
    sent(
        "pings and pongs keep their places among messages",
        *(
            step
            for number in range(10)
            for step in (
                do("ping", f"ping {number}"),
                do("send", f"{number}"),
                do("pong", f"pong {number}"),
            )
        ),
    ),
    sent("pong with None", do("pong", None), do("send", "next")),
    Case(
        "ping with data that another ping waits for",
        [shake(), UNANSWERED, wait_for("go"), send(frame(PONG, b"12345")), echo_close],
        [do("ping", b"12345"), do("ping", b"12345"), do("tell", "go"), do("pong_of", 0)],
    ),
    Case(
        "pong of a later ping",
        [shake(), UNANSWERED, UNANSWERED, send(frame(PONG, b"second")), echo_close],
        [do("ping", b"first."), do("ping", b"second"), do("pong_of", 0), do("pong_of", 1)],
    ),
    Case(
        "pong that nobody asked for",
        [shake(), send(frame(PONG, b"hello"), text("after")), echo_close],
        [do("recv"), do("look", "latency")],
    ),
    Case(
        "pings of the server",
        [shake(), send(frame(PING, b"one"), frame(PING, b""), text("after")), echo_close],
        [do("recv")],
    ),
    Case(
        "ping that the connection does not survive",
        [shake(), read_until("close", pongs=False), send(close(1000))],
        [do("ping", b"alone"), do("close"), do("pong_of", 0, 0.2)],
    ),
    Case(
        "ping that the connection does not survive, with an error",
        [shake(), read_until("ping", pongs=False), send(close(1011, "oh")), read_until("close")],
        [do("ping", b"alone"), do("pong_of", 0, 0.2)],
    ),
]

ENDED_BY_TIME = "The cause of the end says so: a TimeoutError. With websockets there is none."

FAST = {"ping_interval": 0.05, "ping_timeout": 0.1}

KEEPALIVE = [
    Case(
        "keepalive pings that are not answered",
        [shake(), read_until("close", pongs=False)],
        [do("recv"), do("send", "x")],
        options=FAST,
        own_words=True,
        differs=Differs(
            ENDED_BY_TIME, {"1 recv.cause": "TimeoutError", "2 send.cause": "TimeoutError"}
        ),
    ),
    Case(
        "keepalive pings that are not answered, but the close frame is",
        [shake(), read_until("close", pongs=False), send(close(1011))],
        [do("recv"), do("send", "x")],
        options=FAST,
        own_words=True,
        differs=Differs(
            ENDED_BY_TIME, {"1 recv.cause": "TimeoutError", "2 send.cause": "TimeoutError"}
        ),
    ),
    Case(
        "keepalive pings that nothing answers, not even TCP",
        [shake(), until_end],
        [do("recv")],
        options={**FAST, "close_timeout": 0.1},
        own_words=True,
        rough_end=True,
    ),
    Case(
        "keepalive pings that are answered",
        [shake(), count_pings(5), send(text("alive")), echo_close],
        [do("recv"), do("latency_known")],
        options={"ping_interval": 0.05, "ping_timeout": 3},
    ),
    Case(
        "keepalive pings answered by messages instead of pongs",
        [shake(), count_pings(3, instead=text("alive")), echo_close],
        [do("recv")] * 3,
        options={"ping_interval": 0.05, "ping_timeout": 0.2},
        own_words=True,
        differs=Differs(
            "Whatever comes from the server within ping_timeout shows that it lives; with "
            "websockets only the pong does, so that a busy connection may be given up.",
            {
                **returned(*(f"{number} recv" for number in (1, 2, 3)), value="alive"),
                **ended(1000, saw=[("ping", "any"), ("close", 1000, ""), "EOF"]),
            },
        ),
    ),
    Case(
        "keepalive without ping_timeout",
        [shake(), *[UNANSWERED] * 5, send(text("alive")), echo_close],
        [do("recv")],
        options={"ping_interval": 0.03, "ping_timeout": None},
    ),
]

CASES = PINGS + KEEPALIVE
