"""A server that breaks the rules (RFC 6455 sections 5, 7.4.1 and 8.1; RFC 7692)."""

from __future__ import annotations

from typing import Any

from .case import Case, Differs, do
from .expected import BAD_TEXT, PROTOCOL_ERROR, closed, ended, raised
from .frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    binary,
    close,
    deflated,
    frame,
    more,
    text,
)
from .outcomes import Outcome
from .scripted_server import DEFLATE, echo_close, read_until, send, shake

BAD_FRAMES = {
    "RSV1": frame(TEXT, b"x", reserved=4),
    "RSV2": frame(TEXT, b"x", reserved=2),
    "RSV3": frame(TEXT, b"x", reserved=1),
    "RSV1 in a ping": frame(PING, b"x", reserved=4),
    "opcode 3": frame(3, b"x"),
    "opcode 11": frame(11, b"x"),
    "a masked frame": frame(TEXT, b"x", mask=b"mask"),
    "a fragmented ping": frame(PING, b"x", fin=False),
    "a fragmented close frame": frame(CLOSE, b"", fin=False),
    "a ping of 126 bytes": frame(PING, b"x" * 126),
    "a pong of 65,536 bytes": frame(PONG, b"x" * 65536),
    "a close frame of 1 byte": frame(CLOSE, b"\x03"),
    "a close frame of 126 bytes": close(1000, "r" * 124),
    "a continuation of nothing": more(b"x", fin=True),
    "a continuation of nothing that goes on": more(b"x"),
    "a continuation after a whole message": text("whole") + more(b"x", fin=True),
    "a text inside a text": text("half", fin=False) + text("other"),
    "a binary inside a text": text("half", fin=False) + binary(b"other"),
}
BAD_CLOSE_CODES = [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535]
BAD_TEXTS = {
    "a byte that never occurs": b"good \xff",
    "a surrogate": b"good \xed\xa0\x80",
    "an overlong character": b"good \xc0\xaf",
    "a character above U+10FFFF": b"good \xf4\x90\x80\x80",
    "half a character": b"good \xf0\x9f\x9a",
}


def violation(name: str, *chunks: bytes, head: tuple[str, ...] = (), **more_of_it: Any) -> Case:
    """Return the case of a server that sends something bad after a good message."""
    return Case(
        name,
        [shake(*head), send(text("good"), *chunks), read_until("close")],
        [do("recv"), do("recv"), do("recv"), do("send", "x")],
        own_words=True,
        **more_of_it,
    )


def refused(sent: tuple[int, str], *keys: str) -> Outcome:
    """Return the outcome of a violation that is answered with a close frame."""
    keys = keys or ("2 recv", "3 recv", "4 send")
    saw = [("close", *sent), "EOF"]
    return {**closed(*keys, sent=sent, cause="ProtocolError"), **ended(1006, saw=saw)}


NO_UNICODE_ERROR = Differs(
    "The cause is a ProtocolError, not a UnicodeDecodeError: text is checked natively, when it "
    "comes and not when it is received.",
    {f"{key}.cause": "ProtocolError" for key in ("2 recv", "3 recv", "4 send")},
)
CHECKED_WHEN_IT_COMES = (
    "A text message that is not UTF-8 fails the connection with 1007 when it comes (RFC 6455 "
    "section 8.1), no matter how it is received. websockets checks when it is received as str, "
    "and goes on meanwhile."
)

SMALL = {"max_size": 100}
COMPRESSION = {"compression": "deflate"}

FRAMES = [
    *(violation(f"server sends {what}", bad) for what, bad in BAD_FRAMES.items()),
    *(violation(f"server sends close code {code}", close(code)) for code in BAD_CLOSE_CODES),
    violation(
        "server sends a length in too many bytes",
        b"\x81\x7e\x00\x05hello" + close(1000),
        differs=Differs(
            "A length must be sent in as few bytes as possible (RFC 6455 section 5.2).",
            refused(PROTOCOL_ERROR),
        ),
    ),
    violation(
        "server sends a length above 2**63",
        b"\x82\x7f\xff\xff\xff\xff\xff\xff\xff\xff",
        differs=Differs(
            "The highest bit of a length must be 0 (RFC 6455 section 5.2), so this is no large "
            "message (1009) but a wrong frame (1002).",
            refused(PROTOCOL_ERROR),
        ),
    ),
    violation(
        "server sends a close reason that is not UTF-8",
        close(1000, b"\xff\xfe"),
        differs=NO_UNICODE_ERROR,
    ),
]

UTF8 = [
    *(
        violation(f"text with {what}", frame(TEXT, bad), differs=NO_UNICODE_ERROR)
        for what, bad in BAD_TEXTS.items()
    ),
    violation(
        "text with a wrong byte in its second fragment",
        text("good", fin=False),
        more(b"\xff", fin=True),
        differs=NO_UNICODE_ERROR,
    ),
    violation(
        "text that ends within a character of two fragments",
        frame(TEXT, b"\xf0\x9f", fin=False),
        more(b"\x9a", fin=True),
        differs=NO_UNICODE_ERROR,
    ),
    Case(
        "a character across fragments",
        [
            shake(),
            send(frame(TEXT, b"\xf0\x9f", fin=False), more(b"\x9a"), more(b"\x80!", fin=True)),
            send(close(1000)),
            read_until("close"),
        ],
        [do("recv"), do("recv")],
    ),
    Case(
        "bad UTF-8 received as bytes",
        [shake(), send(frame(TEXT, b"bad \xff"), close(1000)), read_until("close")],
        [do("recv", decode=False), do("recv")],
        own_words=True,
        differs=Differs(CHECKED_WHEN_IT_COMES, refused(BAD_TEXT, "1 recv", "2 recv")),
    ),
    Case(
        "binary that is not UTF-8 received as text",
        [shake(), send(frame(BINARY, b"bad \xff"), text("next")), echo_close],
        [do("recv", decode=True), do("recv"), do("close")],
        own_words=True,
        differs=Differs(
            "A binary message may be anything, so nobody broke the protocol: recv(decode=True) "
            "raises UnicodeDecodeError, and the connection stays open. websockets closes with "
            "1007.",
            {
                **raised("1 recv", "UnicodeDecodeError", "ValueError"),
                "2 recv": "returned 'next'",
                **ended(1000, saw=[("close", 1000, ""), "EOF"]),
            },
        ),
    ),
    Case(
        "messages after bad UTF-8",
        [shake(), send(frame(TEXT, b"bad \xff"), text("after"), close(1000)), read_until("close")],
        [do("recv"), do("recv"), do("recv")],
        own_words=True,
        differs=Differs(CHECKED_WHEN_IT_COMES, refused(BAD_TEXT, "1 recv", "2 recv", "3 recv")),
    ),
    Case(
        "bad UTF-8 while streaming",
        [
            shake(),
            send(text("good", fin=False), more(b"\xff"), more(b"", fin=True)),
            read_until("close"),
        ],
        [do("stream"), do("recv")],
        own_words=True,
        differs=Differs(
            f"{NO_UNICODE_ERROR.reason} And the iterator has ended: recv() says what recv() says "
            "of an ended connection, not ConcurrencyError.",
            refused(BAD_TEXT, "1 stream", "2 recv"),
        ),
    ),
]

TOO_BIG = [
    violation("message of max_size", text("x" * 100), close(1000), options=SMALL),
    violation("message above max_size", text("x" * 101), options=SMALL),
    violation("message above max_size, only announced", text("x" * 500)[:10], options=SMALL),
    violation(
        "message above max_size, announced in eight bytes",
        frame(BINARY, b"", announced=2**40),
        options=SMALL,
    ),
    violation(
        "message above max_size in fragments",
        text("x" * 60, fin=False),
        more(b"x" * 60, fin=True),
        options=SMALL,
    ),
    violation(
        "message above max_size in fragments, not ended",
        text("x" * 60, fin=False),
        more(b"x" * 41),
        options=SMALL,
    ),
    violation(
        "message above max_size, compressed",
        frame(TEXT, deflated(b"x" * 101), reserved=4),
        head=(DEFLATE,),
        options={**SMALL, **COMPRESSION},
    ),
    violation(
        "message far above max_size, compressed to little",
        frame(TEXT, deflated(b"x" * 5_000_000), reserved=4),
        head=(DEFLATE,),
        options=COMPRESSION,
    ),
    violation(
        "message above max_size, compressed, in fragments",
        frame(TEXT, deflated(b"x" * 500)[:3], reserved=4, fin=False),
        frame(CONTINUATION, deflated(b"x" * 500)[3:]),
        head=(DEFLATE,),
        options={**SMALL, **COMPRESSION},
    ),
    violation(
        "message of the default max_size and more",
        frame(BINARY, b"x" * (2**20 + 1)),
    ),
    Case(
        "no max_size",
        [shake(), send(frame(BINARY, b"x" * 3_000_000), close(1000)), read_until("close")],
        [do("recv_size"), do("recv")],
        options={"max_size": None},
    ),
]

COMPRESSED = [
    Case(
        "compressed messages",
        [
            shake(DEFLATE),
            send(frame(TEXT, deflated(b"hello"), reserved=4)),
            send(frame(BINARY, deflated(b"\x00\x01"), reserved=4)),
            send(text("not compressed"), close(1000)),
            read_until("close"),
        ],
        [do("recv"), do("recv"), do("recv"), do("recv")],
        options=COMPRESSION,
    ),
    Case(
        "compressed message in fragments",
        [
            shake(DEFLATE),
            send(frame(TEXT, deflated(b"hello")[:2], reserved=4, fin=False)),
            send(frame(CONTINUATION, deflated(b"hello")[2:]), close(1000)),
            read_until("close"),
        ],
        [do("recv"), do("recv")],
        options=COMPRESSION,
    ),
    violation(
        "compressed message that is no deflate",
        frame(TEXT, b"\xff\xff\xff\xff", reserved=4),
        head=(DEFLATE,),
        options=COMPRESSION,
    ),
    violation(
        "compressed message of bad UTF-8",
        frame(TEXT, deflated(b"\xff"), reserved=4),
        head=(DEFLATE,),
        options=COMPRESSION,
        differs=NO_UNICODE_ERROR,
    ),
    violation(
        "RSV1 in a continuation of a compressed message",
        frame(TEXT, deflated(b"hello")[:2], reserved=4, fin=False),
        frame(CONTINUATION, deflated(b"hello")[2:], reserved=4),
        head=(DEFLATE,),
        options=COMPRESSION,
    ),
    violation(
        "RSV1 in a ping, with compression",
        frame(PING, b"x", reserved=4),
        head=(DEFLATE,),
        options=COMPRESSION,
    ),
]

CASES = FRAMES + UTF8 + TOO_BIG + COMPRESSED
