"""Opening handshakes that fail, and some that do not (RFC 6455 section 4.1)."""

from __future__ import annotations

from .case import ABSENT, Case, Differs, do
from .expected import ended, raised
from .outcomes import ROOT, Outcome
from .scripted_server import DEFLATE, Step, answer, drain, echo_close, shake, until_end

OFFERED = {"subprotocols": ["chat", "superchat"]}


def http(status: str, *lines: str, body: str = "") -> Step:
    """Return the step of a server that answers with HTTP."""
    return answer("\r\n".join([f"HTTP/1.1 {status}", *lines, "", body]))


def protocol(*names: str) -> list[str]:
    """Return a header for each subprotocol."""
    return [f"Sec-WebSocket-Protocol: {name}" for name in names]


def refused(status: int, phrase: str, body: bytes = b"") -> Outcome:
    """Return the outcome of an answer that is not 101."""
    response = (status, phrase, body)
    return raised(
        "connect", "InvalidStatus", "InvalidHandshake", "InvalidStatus", ROOT, response=response
    )


#: The opening handshake is fine, and the connection is closed in order.
OPENED = {"connect": ABSENT, **ended(1000, saw=[("close", 1000, ""), "EOF"])}
TOO_MUCH = raised("connect", "SecurityError", "InvalidHandshake", "SecurityError", ROOT)
WIDER_BOUNDS = (
    "The bounds for the head of the server's answer are 64 KiB and 256 headers; those of "
    "websockets are 8 KiB a line and 128 headers."
)

REFUSALS = [
    Case("401", [http("401 Unauthorized", "WWW-Authenticate: Basic", "Content-Length: 0")]),
    Case("404", [http("404 Not Found", "Content-Length: 9", body="not here\n")]),
    Case("500 with a body", [http("500 Oh", "Content-Length: 12", body="broken today")]),
    Case("500 with a body that TCP ends", [http("500 Oh", body="broken today")]),
    Case(
        "500 with a body in chunks",
        [http("500 Oh", "Transfer-Encoding: chunked", body="6\r\nbroken\r\n0\r\n\r\n")],
    ),
    Case(
        "404 with a body that is cut",
        [http("404 Gone", "Content-Length: 90", body="not")],
        differs=Differs(
            "A refusal whose body is cut off is still that refusal: InvalidStatus, with as much "
            "of the body as came.",
            refused(404, "Gone", b"not"),
        ),
    ),
    Case("200", [http("200 OK", "Content-Length: 2", body="hi")]),
    Case("204", [http("204 No Content")]),
    Case("403 without a phrase", [answer("HTTP/1.1 403 \r\nContent-Length: 0\r\n\r\n")]),
    Case("301 without Location", [http("301 Moved", "Content-Length: 0")]),
    Case("418 with a phrase that is not ASCII", [http("418 Té", "Content-Length: 0")]),
    Case(
        "302 with Location, same server",
        [[http("302 Found", "Location: /other", "Content-Length: 0")], [shake(), echo_close]],
        [do("look", "request.path")],
    ),
    Case(
        "302 with Location, other scheme",
        # A port that no client may choose, so nobody listens there.
        [http("302 Found", "Location: http://127.0.0.1:1/", "Content-Length: 0")],
        differs=Differs(
            "Redirects to http:// and https:// are followed as ws:// and wss://, as browsers do:"
            " servers and their proxies name the scheme that they know.",
            raised("connect", "ConnectionRefusedError", "ConnectionError", "OSError", errno=111),
        ),
    ),
]

NOT_HTTP = [
    Case("garbage", [answer("\x00\x01garbage\r\n\r\n")]),
    Case("another protocol", [answer("SSH-2.0-OpenSSH_9.6\r\n")]),
    Case("HTTP/1.0", [shake(status="HTTP/1.0 101 Switching Protocols"), until_end]),
    Case("a status that is no number", [shake(status="HTTP/1.1 abc Switching"), until_end]),
    Case(
        "a status line without a phrase",
        [shake(status="HTTP/1.1 101"), echo_close],
        differs=Differs(
            "A status line may end after the status: the phrase says nothing, and servers leave "
            "it out together with the space before it (RFC 9112 section 4 allows the former).",
            OPENED,
        ),
    ),
    Case("a header without a colon", [shake("no colon here"), until_end]),
    Case("a header with a space before the colon", [shake("X : y"), until_end]),
    *(
        Case(name, script, differs=Differs(WIDER_BOUNDS, OPENED))
        for name, script in {
            "a long status line": [shake(status="HTTP/1.1 101 " + "x" * 10_000), echo_close],
            "a long header": [shake("X-Long: " + "x" * 10_000), echo_close],
            "many headers": [shake(*(f"X-{n}: y" for n in range(200))), echo_close],
        }.items()
    ),
    *(
        Case(
            name,
            script,
            rough_end=True,
            differs=Differs(
                "An answer above the bounds raises SecurityError itself, not an InvalidMessage "
                "whose cause it is.",
                TOO_MUCH,
            ),
        )
        for name, script in {
            "a header that is too long": [shake("X-Long: " + "x" * 70_000), drain],
            "too many headers": [shake(*(f"X-{n}: y" for n in range(300))), drain],
        }.items()
    ),
    Case(
        "a status line that is too long",
        [shake(status="HTTP/1.1 101 " + "x" * 70_000), drain],
        rough_end=True,
    ),
]

WRONG_101 = [
    Case("no Upgrade", [shake(upgrade=None), until_end]),
    Case("another Upgrade", [shake(upgrade="h2c"), until_end]),
    Case("two Upgrades", [shake(upgrade="websocket, h2c"), until_end]),
    Case("no Connection", [shake(connection=None), until_end]),
    Case("another Connection", [shake(connection="close"), until_end]),
    Case("no Sec-WebSocket-Accept", [shake(accept=None), until_end]),
    Case("a wrong Sec-WebSocket-Accept", [shake(accept="d3Jvbmc="), until_end]),
    Case("an empty Sec-WebSocket-Accept", [shake(accept=""), until_end]),
    Case("a subprotocol without offers", [shake(*protocol("chat")), until_end]),
    Case("another subprotocol", [shake(*protocol("other")), until_end], options=OFFERED),
    Case("two subprotocols", [shake(*protocol("chat", "superchat")), until_end], options=OFFERED),
    Case("an extension without offers", [shake(DEFLATE), until_end]),
    *(
        Case(
            f"the extension {extension}",
            [shake(f"Sec-WebSocket-Extensions: {extension}"), until_end],
            options={"compression": "deflate"},
        )
        for extension in (
            "x-other",
            "permessage-deflate; unknown",
            "permessage-deflate; server_max_window_bits=7",
            "permessage-deflate, permessage-deflate",
        )
    ),
]

FINE = [
    Case(
        "a subprotocol of those offered",
        [shake(*protocol("superchat")), echo_close],
        [do("look", "subprotocol")],
        options=OFFERED,
    ),
    Case("no subprotocol", [shake(), echo_close], [do("look", "subprotocol")], options=OFFERED),
    Case(
        "headers in other case, Connection with more",
        [shake(upgrade="WebSocket", connection="keep-alive, upgrade"), echo_close],
        [do("look", "response.status_code"), do("look", "response.reason_phrase")],
    ),
    Case(
        "a header that is not ASCII",
        [shake("X-Test: Té"), echo_close],
        [do("header_of_response", "X-Test")],
    ),
    Case(
        "what request and response say",
        [shake("X-Test: yes"), echo_close],
        [do("look", "request.path"), do("header_of_response", "x-test")],
        uri="ws://127.0.0.1:{port}/a/b?c=d%20e",
    ),
]

NO_ANSWER = [
    Case("open_timeout", [drain], options={"open_timeout": 0.15}, rough_end=True),
    Case(
        "open_timeout in the middle of the answer",
        [answer("HTTP/1.1 101 Switch"), drain],
        options={"open_timeout": 0.15},
        rough_end=True,
    ),
    Case("connection refused", [], uri="ws://127.0.0.1:{closed port}/"),
]


def bad_uri(uri: str) -> Outcome:
    """Return the outcome of a URI that is not one."""
    return raised("connect", "InvalidURI", "InvalidURI", "ValueError", ROOT, uri=uri)


BAD_URIS = [
    *(
        Case(
            f"the URI {uri!r}",
            [],
            uri=uri,
            differs=Differs(
                "InvalidURI is a ValueError too.",
                bad_uri(uri.replace("{port}", "PORT")),
            ),
        )
        for uri in (
            "",
            "ws://",
            "ws:///path",
            "ws://:80",
            "http://127.0.0.1:{port}/",
            "127.0.0.1:{port}",
            "//127.0.0.1:{port}/",
            "ws:127.0.0.1",
            "ws://127.0.0.1:{port}/#fragment",
        )
    ),
    *(
        Case(
            f"the URI {uri!r}",
            [],
            uri=uri,
            differs=Differs(
                "Whatever is wrong with a URI raises InvalidURI; a wrong port or bracket is only "
                "a ValueError with websockets.",
                bad_uri(uri),
            ),
        )
        for uri in (
            "ws://127.0.0.1:port/",
            "ws://127.0.0.1:65536/",
            "ws://127.0.0.1:-1/",
            "ws://[::1/",
        )
    ),
    Case(
        "a URI with a user but no password",
        [],
        uri="ws://user@127.0.0.1:{port}/",
        differs=Differs(
            "User and password never show in an exception, so neither in its uri.",
            bad_uri("ws://127.0.0.1:PORT/"),
        ),
    ),
]

CASES = REFUSALS + NOT_HTTP + WRONG_101 + FINE + NO_ANSWER + BAD_URIS
