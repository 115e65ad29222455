"""Closing in order, by either side (RFC 6455 sections 5.5.1, 7.1 and 7.4)."""

from __future__ import annotations

from .case import Case, Differs, do
from .expected import closed, ended, raised, returned
from .frames import binary, close, text
from .scripted_server import (
    echo_close,
    finish,
    read_until,
    send,
    shake,
    tell,
    until_end,
    vanish,
    wait_for,
)

VALUE_ERROR = (
    "A wrong argument of the caller is a ValueError that names it. ProtocolError is kept for what "
    "the peer does wrong."
)
TYPE_ERROR = (
    "A wrong type is a TypeError, and the connection stays open; websockets drops the connection "
    "without a close frame and raises nothing."
)

RECEIVABLE = [*range(1000, 1004), *range(1007, 1015), 3000, 3999, 4000, 4999]
UMLAUTS = "Größe 宇宙 🚀"

SERVER_CLOSES = [
    *(
        Case(
            f"server closes with {code}",
            [shake(), send(text("last"), close(code, "why")), read_until("close")],
            [do("recv"), do("recv"), do("recv")],
        )
        for code in RECEIVABLE
    ),
    *(
        Case(
            f"iteration, server closes with {code}",
            [shake(), send(text("a"), text("b"), close(code)), read_until("close")],
            [do("iterate"), do("recv")],
        )
        for code in (1000, 1001, None, 1011, 4000)
    ),
    Case(
        "server closes without a code",
        [shake(), send(close()), read_until("close")],
        [do("recv"), do("send", "x")],
    ),
    Case(
        "server closes with a reason that is not ASCII",
        [shake(), send(close(4001, UMLAUTS)), read_until("close")],
        [do("recv")],
    ),
    Case(
        "server closes with the longest reason",
        [shake(), send(close(4001, "r" * 123)), read_until("close")],
        [do("recv")],
    ),
    Case(
        "server sends a close frame and ends TCP without waiting",
        [shake(), send(text("last"), close(1001, "bye")), finish],
        [do("recv"), do("recv")],
    ),
    Case(
        "server sends a close frame and vanishes",
        [shake(), send(text("last"), close(1001, "bye")), vanish],
        [do("recv"), do("recv")],
        any_cause=True,
    ),
    Case(
        "server sends a message after its close frame",
        [shake(), send(close(1000), text("too late")), read_until("close")],
        [do("recv"), do("recv")],
    ),
    Case(
        "server closes in the middle of a fragmented message",
        [shake(), send(text("half", fin=False), close(1000)), read_until("close")],
        [do("recv")],
        own_words=True,
        differs=Differs(
            "A close frame between two fragments is answered like any other, as Autobahn's case "
            "7.1.5 wants it: a control frame may stand there (RFC 6455 section 5.4).",
            {
                **closed(
                    "1 recv",
                    rcvd=(1000, ""),
                    sent=(1000, ""),
                    rcvd_then_sent=True,
                    own_words=True,
                ),
                "server saw": [("close", 1000, ""), "EOF"],
            },
        ),
    ),
    Case(
        "server sends two close frames",
        [shake(), send(close(4001, "first"), close(4002, "second")), read_until("close")],
        [do("recv")],
    ),
    Case(
        "recv waits when the server closes",
        [shake(), wait_for("waiting"), send(close(1001, "bye")), read_until("close")],
        [do("at_once", do("recv"), do("tell", "waiting")), do("recv")],
    ),
    Case(
        "server keeps TCP open after the close frames",
        [shake(), send(close(1000, "bye")), read_until("close"), until_end],
        [do("recv_within", 0.4), do("close"), do("recv")],
        options={"close_timeout": 0.1},
        rough_end=True,
        differs=Differs(
            "close_timeout holds for every close, also for one that the server began and while "
            "nobody calls close(): recv() ends then. With websockets it waits for the server.",
            closed(
                "1 recv_within",
                "3 recv",
                rcvd=(1000, "bye"),
                sent=(1000, "bye"),
                rcvd_then_sent=True,
            ),
        ),
    ),
]

STILL_OPEN = {
    **raised("1 close", "TypeError", "TypeError"),
    **returned("2 send"),
    **ended(1000, saw=[("text", b"x"), ("close", 1000, ""), "EOF or RST"]),
}

CLIENT_CLOSES = [
    *(
        Case(
            f"client closes with {code}",
            [shake(), echo_close],
            [do("close", code, "done"), do("recv"), do("send", "x")],
        )
        for code in RECEIVABLE
    ),
    *(
        Case(
            f"client wants to close with {code}",
            [shake(), echo_close],
            [do("close", code), do("look", "close_code"), do("close")],
            differs=Differs(VALUE_ERROR, raised("1 close", "ValueError", "ValueError")),
        )
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65536, -1)
    ),
    Case("leaving the block closes with 1000", [shake(), echo_close]),
    Case(
        "leaving the block on an exception closes with 1011",
        [shake(), echo_close],
        [do("fail")],
    ),
    Case(
        "leaving the block because the task is cancelled closes with 1011",
        [shake(), echo_close],
        [do("cancel_task")],
        apis=("aio",),
    ),
    Case(
        "client closes with defaults",
        [shake(), echo_close],
        [do("look", "close_code"), do("look", "close_reason"), do("close"), do("recv")],
    ),
    Case(
        "client closes with a reason that is not ASCII",
        [shake(), echo_close],
        [do("close", 4000, UMLAUTS), do("recv")],
    ),
    Case(
        "client closes with the longest reason",
        [shake(), echo_close],
        [do("close", 4000, "r" * 123), do("recv")],
    ),
    Case(
        "client wants to close with a reason that is too long",
        [shake(), echo_close],
        [do("close", 4000, "r" * 124), do("close", 4000, "ü" * 62), do("close", 4001, "short")],
        differs=Differs(
            VALUE_ERROR,
            {
                **raised("1 close", "ValueError", "ValueError"),
                **raised("2 close", "ValueError", "ValueError"),
            },
        ),
    ),
    Case(
        "client wants to close with a code that is a str",
        [shake(), echo_close],
        [do("close", "1000"), do("send", "x")],
        rough_end=True,
        differs=Differs(TYPE_ERROR, STILL_OPEN),
    ),
    Case(
        "client wants to close with a reason that is bytes",
        [shake(), echo_close],
        [do("close", 1000, b"why"), do("send", "x")],
        rough_end=True,
        differs=Differs(TYPE_ERROR, STILL_OPEN),
    ),
    Case(
        "client closes twice",
        [shake(), echo_close],
        [do("close", 4000, "first"), do("close", 4001, "second"), do("recv")],
    ),
    Case(
        "client closes after the server did",
        [shake(), send(close(4000, "theirs")), read_until("close")],
        [do("recv"), do("close", 4001, "ours"), do("recv")],
    ),
    Case(
        "server answers with another code",
        [shake(), read_until("close"), send(close(4001, "theirs"))],
        [do("close", 4000, "ours"), do("recv")],
    ),
    Case(
        "server answers without a code",
        [shake(), read_until("close"), send(close())],
        [do("close", 1000), do("recv")],
    ),
    Case(
        "both close at once",
        [shake(), wait_for("go"), send(close(4001, "theirs")), read_until("close")],
        [do("at_once", do("recv"), do("tell", "go")), do("close", 4000, "ours"), do("recv")],
    ),
    Case(
        "server ends TCP instead of answering the close frame",
        [shake(), read_until("close")],
        [do("close", 4000, "ours"), do("recv")],
    ),
    Case(
        "server never answers the close frame",
        [shake(), until_end],
        [do("close", 1000, "ours"), do("recv"), do("close")],
        options={"close_timeout": 0.3},
        rough_end=True,
    ),
    Case(
        "server answers the close frame and keeps TCP open",
        [shake(), echo_close, until_end],
        [do("close", 1000, "ours"), do("recv")],
        options={"close_timeout": 0.3},
        rough_end=True,
        differs=Differs(
            "An end in order (ConnectionClosedOK) has no cause, even if TCP ended late.",
            {"2 recv.cause": None},
        ),
    ),
    Case(
        "leaving the block when the server never answers the close frame",
        [shake(), until_end],
        options={"close_timeout": 0.3},
        rough_end=True,
    ),
    Case(
        "recv waits when the client closes",
        [shake(), echo_close],
        [do("at_once", do("recv"), do("close", 1000)), do("recv")],
    ),
    *(
        Case(
            f"{step} while the client closes",
            [
                shake(),
                read_until("close"),
                tell("now"),
                wait_for("go on"),
                send(close(4001, "theirs")),
            ],
            [do("at_once", do("close"), do("meanwhile", step)), do("recv")],
        )
        for step in (do("send", "x"), do("ping"), do("recv"), do("close", 4002))
    ),
    Case(
        "messages between the client's close frame and the server's",
        [shake(), read_until("close"), send(text("a"), text("b"), close(1000))],
        [do("close"), do("recv"), do("recv"), do("recv")],
    ),
    Case(
        "messages that wait when the client closes",
        [shake(), send(text("a"), text("b")), echo_close],
        [do("ping_pong"), do("close"), do("recv"), do("recv"), do("recv"), do("recv")],
    ),
    Case(
        "messages that wait when the server closes",
        [shake(), send(text("a"), text("b"), close(1001)), read_until("close"), tell("closed")],
        [do("wait_for", "closed"), do("send", "x"), do("recv"), do("recv"), do("recv")],
    ),
    Case(
        "half a message waits when the client closes",
        [shake(), send(text("half", fin=False)), echo_close],
        [do("ping_pong"), do("close"), do("recv")],
        differs=Differs(
            "An end in order (ConnectionClosedOK) has no cause, even if half a message was lost.",
            {"3 recv.cause": None},
        ),
    ),
    Case(
        "close while nobody reads and the queue is full",
        [shake(), send(*[binary(b"x" * 300_000)] * 5), tell("sent"), echo_close],
        [do("wait_for", "sent"), do("close"), *[do("recv_size")] * 5],
        options={"max_queue": 2, "close_timeout": 0.3},
        rough_end=True,
        differs=Differs(
            "Closing goes on while nobody reads: what does not fit into the queue is dropped, the "
            "server's close frame is read. With websockets it is never reached. And max_queue is "
            "where reading stops, not what it may pass.",
            {
                **closed(
                    *(f"{number} recv_size" for number in (5, 6, 7)),
                    rcvd=(1000, ""),
                    sent=(1000, ""),
                    rcvd_then_sent=False,
                ),
                **ended(1000),
            },
        ),
    ),
    Case(
        "wait_closed after the server closed",
        [shake(), send(close(1000)), read_until("close")],
        [do("wait_closed"), do("look", "close_code"), do("look", "close_reason")],
    ),
    Case(
        "wait_closed with a timeout",
        [shake(), echo_close],
        [do("wait_closed", timeout=0.05), do("close"), do("wait_closed", timeout=2)],
        apis=("sync",),
    ),
]

CASES = SERVER_CLOSES + CLIENT_CLOSES
