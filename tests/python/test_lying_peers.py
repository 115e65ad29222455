"""A peer that lies, breaks off, floods or drips: what it may cost, and what the user is told.

Every server here is a raw socket. While it misbehaves, another connection on the same endpoint
goes on talking, and must not notice.
"""

import contextlib
import gc
import os
import socket
import ssl
import sys
import threading
import time
import weakref
import zlib

import pytest
from tests.support.lying_server import (
    APIS,
    DEFLATE,
    SWITCH,
    UPGRADE,
    Gone,
    LyingServer,
    Neighbour,
    User,
    after_handshake,
    ending,
    grows_at_most,
    sends,
    server_tls,
    shakes,
)
from tests.support.pull_servers import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PATIENCE,
    PING,
    PONG,
    TEXT,
    frame,
    wait_until,
)

import wspool
import wspool.testing

MIB = 2**20
EMPTY = b"\x00\x00\x00\xff\xff"  # a stored block of nothing (RFC 1951 section 3.2.4)
#: What a connection may cost at the default bounds, with room for the interpreter's own needs.
GENEROUS = 64 * MIB


@pytest.fixture(scope="module")
def pool():
    """A pool of one endpoint, so that all share it."""
    with wspool.EndpointPool(1) as pool:
        yield pool


@pytest.fixture(scope="module")
def talking(pool):
    """The connection that must not notice, through all tests."""
    with wspool.testing.echo() as server:
        neighbour = Neighbour(server.uri, pool)
        yield neighbour
        neighbour.close()


@pytest.fixture
def neighbour(talking):
    """Says whose fault it was if it did."""
    yield talking
    talking.check()


@pytest.fixture(params=APIS)
def user(request, pool, neighbour):
    """Each of the APIs."""
    user = User(request.param, pool)
    yield user
    user.close()


@pytest.fixture
def sync_user(pool, neighbour):
    """The blocking API only, where another would show nothing new."""
    user = User("sync", pool)
    yield user
    user.close()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """A folder with ca.pem, cert.pem and key.pem for localhost."""
    folder = tmp_path_factory.mktemp("certificates")
    wspool.testing.make_certificates(folder)
    return folder


@pytest.fixture
def trust(certificates):
    """A client's TLS settings that trust the server."""
    return wspool.TLS(ca_file=certificates / "ca.pem")


def deflated(payload, level=9, end=zlib.Z_SYNC_FLUSH):
    """Return a payload compressed as RFC 7692 section 7.2.1 says, without context."""
    compressor = zlib.compressobj(level, zlib.DEFLATED, -15)
    data = compressor.compress(payload) + compressor.flush(end)
    return data[:-4] if end == zlib.Z_SYNC_FLUSH else data


def close(code, reason=b""):
    return frame(code.to_bytes(2, "big") + reason, CLOSE)


def refused(user, behave, code, cause, *, messages=(), **options):
    """The peer is told the code, the user the exception and its cause, and nothing is delivered
    that came after the lie."""
    with LyingServer(behave) as server:
        got, closed = user.ending(server, **options)
        assert server.close_seen()[0] == code
    assert got == list(messages)
    assert type(closed) is wspool.ConnectionClosedError
    assert closed.rcvd is None
    assert closed.sent.code == code
    assert closed.sent.reason == server.closes[0][1] != ""
    assert type(closed.__cause__) is cause
    assert closed.code == 1006  # RFC 6455 section 7.1.5
    assert closed.rcvd_then_sent is None
    return closed


GOOD = frame(b"good")


# --- frames that are not allowed ------------------------------------------------------------------

BAD_FRAMES = {
    "masked": b"\x81\x81maskx",
    "RSV1 without deflate": frame(b"x", rsv1=True),
    "RSV2": b"\xa1\x01x",
    "RSV3": b"\x91\x01x",
    "opcode 3": frame(b"x", 3),
    "opcode 15": frame(b"x", 15),
    "length in 16 bits too many": b"\x81\x7e\x00\x7d" + b"x" * 125,
    "length in 64 bits too many": b"\x82\x7f" + (65535).to_bytes(8, "big"),
    "length of 2**63": b"\x82\x7f" + (2**63).to_bytes(8, "big"),
    "length of 2**64 - 1": b"\x82\x7f" + (2**64 - 1).to_bytes(8, "big"),
    "fragmented ping": frame(b"x", PING, fin=False),
    "ping of 126 bytes": frame(b"x" * 126, PING),
    "continuation of nothing": frame(b"x", CONTINUATION),
    "text inside a text": frame(b"x", fin=False) + frame(b"x"),
    "close payload of 1 byte": frame(b"\x03", CLOSE),
    "close frame of 126 bytes": close(1000, b"x" * 124),
    "close code 0": close(0),
    "close code 999": close(999),
    "close code 1005": close(1005),
    "close code 1006": close(1006),
    "close code 1015": close(1015),
    "close code 2999": close(2999),
    "close code 5000": close(5000),
}


@pytest.mark.parametrize("bad", BAD_FRAMES.values(), ids=BAD_FRAMES)
def test_frame_that_is_not_allowed(user, bad):
    """RFC 6455 section 5: 1002, after what was good before it."""
    behave = sends(GOOD, bad, frame(b"behind"))
    refused(user, behave, 1002, wspool.ProtocolError, messages=["good"], compression=None)


BAD_TEXTS = {
    "split across fragments, cut off": [b"\xf0\x9f", b"", b"\x9a"],
    "split across fragments, wrong byte": [b"a\xf0\x9f", b"x", b""],
    "ended inside a character": [b"caf\xc3"],
    "a surrogate across fragments": [b"\xed", b"\xa0", b"\x80"],
}


@pytest.mark.parametrize("deflate", [False, True], ids=["plain", "deflated"])
@pytest.mark.parametrize("pieces", BAD_TEXTS.values(), ids=BAD_TEXTS)
def test_bad_utf8(user, pieces, deflate):
    """RFC 6455 section 8.1: 1007, across fragments and behind inflating as well."""
    last = len(pieces) - 1
    if deflate:
        compressor = zlib.compressobj(wbits=-15)
        pieces = [
            compressor.compress(piece) + compressor.flush(zlib.Z_SYNC_FLUSH) for piece in pieces
        ]
        pieces[-1] = pieces[-1][:-4]
    frames = [
        frame(piece, CONTINUATION if i else TEXT, fin=i == last, rsv1=deflate and i == 0)
        for i, piece in enumerate(pieces)
    ]
    behave = sends(GOOD, *frames, deflate=deflate)
    refused(user, behave, 1007, wspool.ProtocolError, messages=["good"])


def test_close_reason_that_is_not_utf8(user):
    refused(user, sends(close(1000, b"caf\xc3")), 1007, wspool.ProtocolError)


# --- sizes and inflating --------------------------------------------------------------------------

HUGE = (2**63 - 1).to_bytes(8, "big")


@pytest.mark.parametrize(
    "bad",
    [
        b"\x82\x7f" + HUGE,
        frame(b"x", BINARY, fin=False) + b"\x80\x7f" + HUGE,
        frame(b"x" * 100, BINARY, fin=False) + frame(b"x", CONTINUATION),
    ],
    ids=["one frame", "a continuation, where the sum overflows", "the sum"],
)
def test_announced_length_cannot_get_around_max_size(user, bad):
    """websocketpp's sum wrapped around. Refused by the header alone, before any of it comes."""
    with grows_at_most(GENEROUS):
        refused(user, sends(bad), 1009, wspool.PayloadTooBig, max_size=100)


@pytest.mark.parametrize("length", [HUGE, (64 * MIB).to_bytes(8, "big")], ids=["2**63-1", "64 MiB"])
def test_deflated_length_that_no_message_needs(user, length):
    """What deflate makes larger than the message can be is not worth waiting for."""
    bad = b"\xc2\x7f" + length
    refused(user, sends(bad, deflate=True), 1009, wspool.PayloadTooBig, max_size=MIB)


@pytest.fixture(scope="module")
def bomb():
    """A payload of 256 KB that inflates to 256 MiB."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = b"".join(compressor.compress(bytes(MIB)) for _ in range(256))
    return (data + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]


@pytest.mark.parametrize("pieces", [1, 7, 2000])
def test_bomb(user, bomb, pieces):
    """A message that inflates to 256 MiB ends at max_size, in one frame and in fragments."""
    size = len(bomb) // pieces + 1
    cut = [bomb[at : at + size] for at in range(0, len(bomb), size)]
    frames = [
        frame(piece, CONTINUATION if i else BINARY, fin=i == len(cut) - 1, rsv1=i == 0)
        for i, piece in enumerate(cut)
    ]
    with grows_at_most(GENEROUS):
        refused(user, sends(*frames, deflate=True), 1009, wspool.PayloadTooBig)


def test_many_bombs(user):
    """Messages just below max_size, a thousandth on the wire: one read brings hundreds.

    They must not be inflated before there is room for them.
    """
    number = 300
    all_sent = threading.Event()

    def behave(peer):
        peer.send(frame(deflated(bytes(MIB)), BINARY, rsv1=True) * number)
        all_sent.set()
        peer.send(close(1000))
        peer.until(CLOSE)

    if user.api == "callbacks":
        user.client.take = len
    with LyingServer(after_handshake(behave, f"Sec-WebSocket-Extensions: {DEFLATE}")) as server:
        with grows_at_most(GENEROUS):
            ws = user.open(server)
            assert all_sent.wait(PATIENCE)
            if user.api != "callbacks":
                wait_until(lambda: ws.statistics.messages_received)
                assert ws.statistics.messages_received < 40
            sizes = []
            with pytest.raises(wspool.ConnectionClosedOK):
                while True:
                    message = ws.recv(timeout=PATIENCE)
                    sizes.append(message if isinstance(message, int) else len(message))
    assert sizes == [MIB] * number


def test_messages_after_a_block_with_bfinal(user):
    """RFC 7692 section 7.2.3.4: they are right, and may refer to what came before it."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    compressor.compress(b"before, ")
    final = compressor.flush(zlib.Z_FINISH) + b"\x00"
    referring = zlib.compressobj(9, zlib.DEFLATED, -15, zdict=b"before, ")
    after = (referring.compress(b"before, and after") + referring.flush(zlib.Z_SYNC_FLUSH))[:-4]
    whole = [frame(payload, rsv1=True) for payload in (final, after, deflated(b"more"))]
    with LyingServer(sends(*whole, frame(b"plain"), close(1000), deflate=True)) as server:
        messages, closed = user.ending(server)
    assert messages == ["before, ", "before, and after", "more", "plain"]
    assert type(closed) is wspool.ConnectionClosedOK


def test_endless_blocks_with_bfinal(sync_user):
    """Two bytes each end a deflate stream: they must not cost much more than other blocks."""
    window = os.urandom(40_000)
    first = frame(deflated(window), BINARY, rsv1=True)
    took = []
    for blocks in (EMPTY * (2**19 // 5), b"\x03\x00" * 2**18):
        frames = [first, *[frame(blocks + b"\x00", BINARY, rsv1=True)] * 64, close(1000)]
        with LyingServer(sends(*frames, deflate=True)) as server:
            began = time.monotonic()
            messages, closed = sync_user.ending(server)
            took.append(time.monotonic() - began)
        assert messages == [window, *[b""] * 64]
        assert type(closed) is wspool.ConnectionClosedOK
    print(f"{took[0]:.2f} s for blocks that go on, {took[1]:.2f} s for blocks that end")
    assert took[1] < 10 * took[0] + 3


CORRUPT = {
    "a block type that does not exist": b"\x07",
    "garbage": b"\xff\xff\xff\xff garbage",
    "a distance before the beginning": b"\x63\x00\x42\x00",
    "a stored block that contradicts itself": b"\x00\x05\x00\x00\x00hello",
}


@pytest.mark.parametrize("payload", CORRUPT.values(), ids=CORRUPT)
def test_corrupt_deflate_data(user, payload):
    """The connection fails with a code and a reason; nothing of the message is delivered."""
    behave = sends(GOOD, frame(payload, rsv1=True), deflate=True)
    refused(user, behave, 1002, wspool.ProtocolError, messages=["good"])


@pytest.mark.parametrize(
    "bad",
    [
        frame(deflated(b"hello")[:3], fin=False, rsv1=True)
        + frame(deflated(b"hello")[3:], CONTINUATION, rsv1=True),
        frame(b"hel", fin=False) + frame(b"lo", CONTINUATION, rsv1=True),
        frame(b"x", PING, rsv1=True),
        close(1000).replace(b"\x88", b"\xc8"),
    ],
    ids=["continuation", "continuation of a plain message", "ping", "close"],
)
def test_rsv1_where_it_may_not_stand(user, bad):
    """RFC 7692 section 6: only in a message's first frame."""
    refused(user, sends(bad, deflate=True), 1002, wspool.ProtocolError)


def test_str_and_bytes_are_compressed_alike_and_continuations_have_no_rsv1(sync_user):
    """What we send: websocketpp did it for str only, and set RSV1 in every fragment."""
    seen = []

    def behave(peer):
        for opcode, rsv1, payload in peer.frames():
            seen.append((opcode, rsv1, len(payload) < 100))
            if opcode == CLOSE:
                peer.send(frame(payload, CLOSE))
                return

    behaves = after_handshake(behave, f"Sec-WebSocket-Extensions: {DEFLATE}")
    with LyingServer(behaves) as server:
        ws = sync_user.open(server)
        ws.send("x" * 1000)
        ws.send(b"x" * 1000)
        ws.send(["x" * 1000, "y"])
        ws.close()
    assert seen[:2] == [(TEXT, True, True), (BINARY, True, True)]
    assert seen[2][0] == TEXT
    assert all(opcode == CONTINUATION and not rsv1 for opcode, rsv1, _ in seen[3:-1])
    assert seen[-1] == (CLOSE, False, True)


# --- fragments ------------------------------------------------------------------------------------


@pytest.mark.parametrize("piece", [b"", EMPTY], ids=["plain", "deflated"])
def test_endless_empty_fragments(user, piece):
    """Of one message: two bytes each for the peer, and nothing of it ever ends."""
    deflate = piece != b""

    def behave(peer):
        peer.send(frame(b"good"), frame(piece, fin=False, rsv1=deflate))
        peer.flood(frame(piece, CONTINUATION, fin=False) * 10_000)

    behaves = after_handshake(behave, *([f"Sec-WebSocket-Extensions: {DEFLATE}"] * deflate))
    with grows_at_most(GENEROUS):
        refused(user, behaves, 1008, wspool.ProtocolError, messages=["good"])


def test_endless_empty_fragments_of_a_streamed_message(sync_user):
    """A consumer that takes fragments as they come is told, too."""

    def behave(peer):
        peer.send(frame(b"begin", fin=False))
        peer.flood(frame(b"", CONTINUATION, fin=False) * 10_000)

    with LyingServer(after_handshake(behave)) as server, grows_at_most(GENEROUS):
        ws = sync_user.open(server)
        with pytest.raises(wspool.ConnectionClosedError) as raised:
            assert "".join(ws.recv_streaming()) == "begin"
        assert server.close_seen()[0] == raised.value.sent.code == 1008


def test_empty_fragments_of_a_good_peer(user):
    """A few are allowed, and what is said in between makes them few."""
    pieces = [frame(b"", fin=False), *[frame(b"", CONTINUATION, fin=False) * 30_000] * 2]
    pieces += [frame(b"x", CONTINUATION, fin=False), *pieces[1:], frame(b"y", CONTINUATION)]
    with LyingServer(sends(*pieces, close(1000))) as server:
        messages, closed = user.ending(server)
    assert messages == ["xy"]
    assert type(closed) is wspool.ConnectionClosedOK


def test_endless_fragments_of_one_byte(user):
    """They end at max_size, and cost no more than that."""

    def behave(peer):
        peer.send(frame(b"x", fin=False))
        peer.flood(frame(b"x", CONTINUATION, fin=False) * 10_000)

    with grows_at_most(GENEROUS):
        refused(user, after_handshake(behave), 1009, wspool.PayloadTooBig)


# --- the opening handshake ------------------------------------------------------------------------


def not_opened(user, behave, kind, match=None, **options):
    """It fails with that exception; `on_open` is not called, and no socket is left."""
    with LyingServer(behave) as server:
        with pytest.raises(kind, match=match) as raised:
            user.open(server, **options)
        wait_until(lambda: server.ended)
    return raised.value


LIES = {
    "unknown extension": (["Sec-WebSocket-Extensions: x-unknown"], wspool.NegotiationError),
    "extension and another": (
        [f"Sec-WebSocket-Extensions: {DEFLATE}, x-unknown"],
        wspool.NegotiationError,
    ),
    "extension twice": ([f"Sec-WebSocket-Extensions: {DEFLATE}"] * 2, wspool.NegotiationError),
    "parameter twice": (
        [f"Sec-WebSocket-Extensions: {DEFLATE}" + "; server_max_window_bits=9" * 2],
        wspool.NegotiationError,
    ),
    "parameter unknown": (
        [f"Sec-WebSocket-Extensions: {DEFLATE}; level=9"],
        wspool.NegotiationError,
    ),
    "window of 16": (
        [f"Sec-WebSocket-Extensions: {DEFLATE}; server_max_window_bits=16"],
        wspool.NegotiationError,
    ),
    "subprotocol not offered": (["Sec-WebSocket-Protocol: chat"], wspool.NegotiationError),
    "two subprotocols": (["Sec-WebSocket-Protocol: a"] * 2, wspool.InvalidHeader),
    "folded header": (["X: y", " folded"], wspool.InvalidMessage),
    "header without colon": (["no colon"], wspool.InvalidMessage),
    "NUL in a header": (["X: a\0b"], wspool.InvalidMessage),
    "CR in a header": (["X: a\rSec-WebSocket-Protocol: b"], wspool.InvalidMessage),
    "space before the colon": (["X : y"], wspool.InvalidMessage),
}


@pytest.mark.parametrize(("lines", "kind"), LIES.values(), ids=LIES)
def test_answer_that_was_not_asked_for(user, lines, kind):
    """RFC 6455 section 4.1, RFC 9112 section 5: only the failure is told, once."""
    not_opened(user, shakes(*lines), kind, subprotocols=["a"])


def test_extension_without_an_offer(user):
    lie = shakes(f"Sec-WebSocket-Extensions: {DEFLATE}")
    not_opened(user, lie, wspool.NegotiationError, compression=None)


@pytest.mark.parametrize(
    ("upgrade", "accept", "name"),
    [
        (UPGRADE, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "Sec-WebSocket-Accept"),
        (UPGRADE, "", "Sec-WebSocket-Accept"),
        (b"Upgrade: notwebsocket\r\nConnection: Upgrade\r\n", None, "Upgrade"),
        (b"Upgrade: websocket, h2c\r\nConnection: Upgrade\r\n", None, "Upgrade"),
        (b"Connection: Upgrade\r\n", None, "Upgrade"),
        (b"Upgrade: websocket\r\nConnection: NotUpgrade\r\n", None, "Connection"),
        (b"Upgrade: websocket\r\nConnection: close\r\n", None, "Connection"),
    ],
)
def test_wrong_upgrade(user, upgrade, accept, name):
    """RFC 6455 section 4.1: tokens are compared as wholes."""
    lie = shakes(upgrade=upgrade, accept=accept)
    assert not_opened(user, lie, wspool.InvalidHeader).name == name


@pytest.mark.parametrize("status", [b"HTTP/1.1 101\r\n", b"HTTP/1.1 101 \r\n"])
def test_no_reason_phrase(user, status):
    """RFC 9112 section 4 allows it, and some servers send none."""

    def behave(peer):
        peer.send(status + peer.accept() + b"\r\n" + GOOD + close(1000))
        peer.until(CLOSE)

    with LyingServer(behave) as server:
        ws = user.open(server)
        assert ws.response.reason_phrase == ""
        assert ending(ws)[0] == ["good"]


def test_frames_in_the_segment_of_the_answer(user):
    """Good ones are delivered, a bad one behind them fails the connection."""

    def behave(peer):
        peer.send(SWITCH + peer.accept() + b"\r\n" + GOOD + b"\x83\x00")
        peer.until(CLOSE)

    refused(user, behave, 1002, wspool.ProtocolError, messages=["good"])


@pytest.mark.parametrize(
    "head",
    [b"SSH-2.0-x\r\n", b"HTTP/1.0 101 x\r\n\r\n", b"HTTP/1.1 99 x\r\n\r\n", b"\x16\x03\x01", b"\0"],
)
def test_not_http(user, head):
    """Refused at once, and not when open_timeout has passed."""

    def behave(peer):
        peer.read_request()
        peer.send(head)
        peer.flood(b"x" * 4096)

    not_opened(user, behave, wspool.InvalidMessage, open_timeout=None)


def endless(head, chunk):
    """Return what answers with a head, then sends one chunk for ever."""

    def behave(peer):
        peer.read_request()
        peer.send(head)
        peer.flood(chunk)

    return behave


TOO_MUCH = {
    "headers without end": (SWITCH, b"X: y\r\n" * 1000),
    "one header line without end": (SWITCH + b"X: ", b"x" * 65536),
    "a status line without end": (b"HTTP/1.1 101 ", b"x" * 65536),
    "interim answers without end": (b"", b"HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n" * 100),
    "bare interim answers without end": (b"", b"HTTP/1.1 100\r\n\r\n" * 1000),
}


@pytest.mark.parametrize(("head", "chunk"), TOO_MUCH.values(), ids=TOO_MUCH)
def test_head_without_end(user, head, chunk):
    """Bounds on number and size of headers; they, and not a deadline, end it."""
    with grows_at_most(GENEROUS):
        not_opened(user, endless(head, chunk), wspool.SecurityError, open_timeout=None)


@pytest.mark.parametrize(("number", "works"), [(253, True), (254, False)])
def test_number_of_headers(user, number, works):
    """256 with the three that must be."""
    lines = [f"X-{i}: y" for i in range(number)]
    if not works:
        not_opened(user, shakes(*lines), wspool.SecurityError, "too many headers")
        return
    with LyingServer(shakes(*lines)) as server:
        assert len(user.open(server).response.headers.get_all("X-1")) == 1


def test_large_headers(user):
    """websocketpp stopped at 16,000 bytes, a bound of its compilation."""
    with LyingServer(shakes("X: " + "x" * 50_000)) as server:
        assert user.open(server).response.headers["X"] == "x" * 50_000


def test_some_interim_answers(user):
    """RFC 9110 section 15.2: they are passed over."""

    def behave(peer):
        accept = peer.accept()
        peer.send(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" * 10)
        peer.send(SWITCH + accept + b"\r\n", GOOD, close(1000))
        peer.until(CLOSE)

    with LyingServer(behave) as server:
        ws = user.open(server)
        assert "Link" not in ws.response.headers
        assert ending(ws)[0] == ["good"]


ENDLESS_BODIES = {
    "without length": (b"HTTP/1.1 503 Busy\r\n\r\n", b"x" * 65536),
    "of a great length": (
        b"HTTP/1.1 503 Busy\r\nContent-Length: 4611686018427387904\r\n\r\n",
        b"x" * 65536,
    ),
    "in chunks": (
        b"HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"8000\r\n" + b"x" * 0x8000 + b"\r\n",
    ),
    "in chunks of one byte": (
        b"HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"1\r\nx\r\n" * 1000,
    ),
}


@pytest.mark.parametrize(("head", "chunk"), ENDLESS_BODIES.values(), ids=ENDLESS_BODIES)
def test_refusal_with_an_endless_body(user, head, chunk):
    """The refusal is told, with the beginning of the body."""
    with grows_at_most(GENEROUS):
        error = not_opened(user, endless(head, chunk), wspool.InvalidStatus, open_timeout=None)
    assert error.response.status_code == 503
    assert 0 < len(error.response.body) <= 65536
    assert set(error.response.body) == {ord("x")}


def test_refusal_in_several_segments(user):
    """The body is whole, though its parts come one after another; 401 is told, not followed."""

    def behave(peer):
        peer.read_request()
        peer.send(b"HTTP/1.1 401 Who\r\nWWW-Authenticate: Basic\r\nContent-Length: 20000\r\n\r\n")
        for _ in range(20):
            peer.send(b"x" * 1000)
        for _ in peer.frames():
            pass

    error = not_opened(user, behave, wspool.InvalidStatus)
    assert error.response.status_code == 401
    assert error.response.body == b"x" * 20000


def test_redirects_without_end(user):
    """The eleventh is one too many."""

    def behave(peer):
        peer.read_request()
        peer.send(b"HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n")

    with LyingServer(behave) as server:
        with pytest.raises(wspool.SecurityError, match="redirect"):
            user.open(server)
        assert len(server.requests) == 11


def drips(head, chunk):
    """Return what answers the request with a head, then drips."""

    def behave(peer):
        peer.read_request()
        peer.send(head)
        peer.drip(chunk)

    return behave


DRIPS = {
    "status line": (b"", b"HTTP/1.1 101 Switching Protocols\r\n"),
    "headers": (SWITCH, b"X: y\r\n" * 1000),
    "interim answers": (b"", b"HTTP/1.1 100 C\r\n\r\n"),
    "body of a refusal": (b"HTTP/1.1 503 Busy\r\n\r\n", b"x"),
}


@pytest.mark.parametrize(("head", "chunk"), DRIPS.values(), ids=DRIPS)
def test_handshake_that_drips(user, head, chunk):
    """What comes byte by byte is no progress: open_timeout is for all of it."""
    not_opened(user, drips(head, chunk), TimeoutError, "did not open within", open_timeout=0.5)


def test_tls_handshake_that_drips(user, trust):
    """Also a TLS record of which a byte comes now and then."""

    def behave(peer):
        peer.drip(b"\x16\x03\x03\x40\x00" + bytes(0x4000))

    with LyingServer(behave) as server:
        uri = f"wss://127.0.0.1:{server.port}"
        with pytest.raises(TimeoutError, match="did not open within"):
            user.open(uri, ssl=trust, open_timeout=0.5)


def test_tls_handshake_of_garbage(user, trust):
    def behave(peer):
        peer.sock.recv(4096)
        peer.flood(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with LyingServer(behave) as server:
        with pytest.raises(ssl.SSLError):
            user.open(f"wss://127.0.0.1:{server.port}", ssl=trust, open_timeout=None)


# --- URIs and what goes into the request ----------------------------------------------------------


def request_for(user, uri_of, *, host="127.0.0.1", **options):
    """Return the head of the request that a URI makes."""
    with LyingServer(shakes(), host=host) as server:
        user.open(uri_of(server), **options)
        return server.requests[0].split("\r\n")


def test_uri_is_read_right(sync_user):
    """A query without a path, and a scheme in upper case; Host can be overridden."""
    lines = request_for(sync_user, lambda server: f"WS://127.0.0.1:{server.port}?x")
    assert lines[0] == "GET /?x HTTP/1.1"
    lines = request_for(
        sync_user, lambda server: server.uri, additional_headers={"Host": "other.example"}
    )
    assert [line for line in lines if line.lower().startswith("host:")] == ["Host: other.example"]


def test_ipv6_host_keeps_its_brackets(sync_user):
    """websocketpp lost them (#601)."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    (host,) = (
        line
        for line in request_for(sync_user, lambda server: server.uri, host="::1")
        if line.startswith("Host:")
    )
    assert host.startswith("Host: [::1]:")


@pytest.mark.parametrize(
    "uri",
    ["ws://h:80abc", "ws://h/#fragment", "ws://h/a\r\nX: y", "ws://h:99999", "ws://[::1", "ws://"],
)
def test_uri_that_is_none(sync_user, uri):
    """Nothing of it is connected to."""
    with pytest.raises(wspool.InvalidURI):
        sync_user.open(uri)


@pytest.mark.parametrize(
    "options",
    [
        {"additional_headers": {"X": "a\r\nY: b"}},
        {"additional_headers": {"X\r\nY": "a"}},
        {"additional_headers": {"X": "a\0"}},
        {"user_agent_header": "a\nb"},
        {"origin": "a\r\nb"},
        {"subprotocols": ["a\r\nb"]},
    ],
)
def test_header_injection(sync_user, options):
    """Line breaks are refused at the call: the server sees no connection."""
    with LyingServer(shakes()) as server:
        with pytest.raises(ValueError, match=next(iter(options))):
            sync_user.open(server, **options)
        assert server.ended == 0
        assert server.requests == []


# --- TLS and look-up ------------------------------------------------------------------------------


def test_certificates_are_verified_by_default(user, certificates, tmp_path):
    """Neither an unknown authority nor another name is accepted unless asked for."""
    with LyingServer(shakes(), tls=server_tls(certificates)) as server:
        with pytest.raises(ssl.SSLCertVerificationError):
            user.open(server)
    wspool.testing.make_certificates(tmp_path, hosts=["other.example"])
    other = wspool.TLS(ca_file=tmp_path / "ca.pem")
    with LyingServer(shakes(), tls=server_tls(tmp_path)) as server:
        with pytest.raises(ssl.SSLCertVerificationError):
            user.open(server, ssl=other)
        user.open(server, ssl=other, server_hostname="other.example")


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_close_notify_omitted(user, certificates, trust, version):
    """After the closing handshake it is not missed: an end in order stays one."""
    tls = server_tls(certificates, maximum_version=ssl.TLSVersion[version])

    def behave(peer):
        peer.send(GOOD, close(1000, b"bye"))
        peer.until(CLOSE)
        # Python's close() sends no close_notify, only TCP's FIN.

    with LyingServer(after_handshake(behave), tls=tls) as server:
        messages, closed = user.ending(server, ssl=trust)
    assert messages == ["good"]
    assert type(closed) is wspool.ConnectionClosedOK
    assert (closed.rcvd.code, closed.rcvd.reason, closed.sent.code) == (1000, "bye", 1000)


def test_close_notify_omitted_without_a_close_frame(user, certificates, trust):
    """That is an end that anybody on the way could have made."""
    with LyingServer(
        after_handshake(lambda peer: peer.send(GOOD)), tls=server_tls(certificates)
    ) as server:
        messages, closed = user.ending(server, ssl=trust)
    assert messages == ["good"]
    assert type(closed) is wspool.ConnectionClosedError
    assert (closed.rcvd, closed.code) == (None, 1006)
    assert closed.__cause__ is not None


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/fd")
def test_no_descriptor_is_left(sync_user, certificates, trust):
    """Of servers that answer neither the close frame nor close_notify."""
    gc.collect()
    with LyingServer(
        after_handshake(lambda peer: peer.hold()), tls=server_tls(certificates)
    ) as server:
        before = len(os.listdir("/proc/self/fd"))
        connections = [sync_user.open(server, ssl=trust, close_timeout=0.2) for _ in range(5)]
        for ws in connections:
            ws.close()
        server.over.set()
        wait_until(lambda: server.ended == 5)
        wait_until(lambda: len(os.listdir("/proc/self/fd")) <= before)


def test_a_look_up_that_fails_leaves_others_alone(pool, neighbour):
    """websocketpp's endpoint had one resolver: its time-out ended every look-up."""
    with LyingServer(shakes()) as server:
        failing = [
            pool[0].create_new_connection(f"ws://no-such-{i}.invalid", open_timeout=0.05)
            for i in range(4)
        ]
        works = pool[0].create_new_connection(f"ws://localhost:{server.port}")
        assert works.opened.result(PATIENCE) is wspool.Status.OPENED
        for connection in failing:
            assert connection.opened.result(PATIENCE) is wspool.Status.FAILED
            assert isinstance(connection.error, OSError)
        works.abort()


# --- the end --------------------------------------------------------------------------------------


def closing(user, ws):
    """Begin the closing handshake, and return the exception that tells of the end."""
    ws.close()
    return ending(ws)[1]


def test_close_that_is_never_answered(user):
    """At close_timeout it ends, and the user is told that no close frame came."""
    with LyingServer(after_handshake(lambda peer: peer.hold())) as server:
        closed = closing(user, user.open(server, close_timeout=0.5))
    assert type(closed) is wspool.ConnectionClosedError
    assert (closed.rcvd, closed.sent.code, closed.code) == (None, 1000, 1006)
    assert type(closed.__cause__) is TimeoutError


@pytest.mark.parametrize("since", ["before it", "after it"])
@pytest.mark.parametrize(
    "chunk", [frame(b"x" * 16384, BINARY), frame(b"", PONG) * 1000], ids=["messages", "pongs"]
)
def test_data_without_end_and_our_close(user, chunk, since):
    """It is read for the peer's close frame, up to close_timeout; what it costs is bounded."""

    def behave(peer):
        if since == "after it":
            peer.until(CLOSE)
        peer.flood(chunk, reads=False)

    if user.api == "callbacks":
        user.client.take = len
    with LyingServer(after_handshake(behave)) as server:
        with grows_at_most(2 * GENEROUS):
            ws = user.open(server, close_timeout=0.5)
            wait_until(lambda: since == "after it" or server.flooded > 10)
            closed = closing(user, ws)
        wait_until(lambda: server.ended)
        assert server.flooded
    assert type(closed) is wspool.ConnectionClosedError
    assert (closed.rcvd, closed.sent.code, closed.code) == (None, 1000, 1006)
    assert type(closed.__cause__) is TimeoutError


def test_fragments_without_end_after_our_close(user):
    """They end at max_size as ever; there is no second close frame to say so."""

    def behave(peer):
        peer.until(CLOSE)
        peer.send(frame(b"x" * 1024, BINARY, fin=False))
        peer.flood(frame(b"x" * 1024, CONTINUATION, fin=False), reads=False)

    with LyingServer(after_handshake(behave)) as server:
        with grows_at_most(GENEROUS):
            closed = closing(user, user.open(server))
        wait_until(lambda: server.ended)
        assert server.closes == [(1000, "")]
    assert type(closed) is wspool.ConnectionClosedError
    assert (closed.rcvd, closed.sent.code, closed.code) == (None, 1000, 1006)
    assert type(closed.__cause__) is wspool.PayloadTooBig


@pytest.mark.parametrize("tls", [False, True], ids=["ws", "wss"])
@pytest.mark.parametrize("floods", [False, True], ids=["silent", "sending on"])
def test_close_frame_and_no_end_of_tcp(user, certificates, trust, floods, tls):
    """The peer closes and keeps TCP open: we answer, and end it ourselves."""

    def behave(peer):
        peer.send(GOOD, close(4000, b"bye"), frame(b"behind"))
        while floods:
            peer.send(frame(b"x" * 16384, BINARY))
        for _ in peer.frames():
            pass

    options = {"ssl": trust} if tls else {}
    with LyingServer(
        after_handshake(behave), tls=server_tls(certificates) if tls else None
    ) as server:
        messages, closed = user.ending(server, close_timeout=0.5, **options)
        wait_until(lambda: server.ended)
        assert floods or server.closes == [(4000, "bye")]
    assert messages == ["good"]
    assert type(closed) is wspool.ConnectionClosedError
    assert (closed.rcvd.code, closed.sent.code, closed.rcvd_then_sent) == (4000, 4000, True)
    assert type(closed.__cause__) is TimeoutError
    assert "did not end TCP" in str(closed.__cause__)


def test_close_that_is_answered_without_the_end_of_tcp(user):
    """Our close frame is answered, and then nothing more comes."""

    def behave(peer):
        payload = peer.until(CLOSE)
        peer.send(frame(payload, CLOSE))
        peer.hold()

    with LyingServer(after_handshake(behave)) as server:
        # Long enough for the answer on a slow machine: that it is missed is not what is tested.
        closed = closing(user, user.open(server, close_timeout=1))
    assert type(closed) is wspool.ConnectionClosedOK
    assert (closed.rcvd.code, closed.sent.code, closed.rcvd_then_sent) == (1000, 1000, False)


def test_failure_while_the_peer_sends_without_end(user):
    """It is told 1002, and what it sends on is thrown away."""

    def behave(peer):
        peer.send(b"\x83\x00")
        peer.flood(frame(b"x" * 16384, BINARY))

    with grows_at_most(GENEROUS):
        refused(user, after_handshake(behave), 1002, wspool.ProtocolError)


OPENING = {
    "at once": b"",
    "in the status line": b"HTTP/1.1 1",
    "in a header": SWITCH + b"Upgr",
    "in the body of a refusal": b"HTTP/1.1 503 Busy\r\nContent-Length: 99\r\n\r\nx",
}


@pytest.mark.parametrize("how", ["RST", "FIN"])
@pytest.mark.parametrize("head", OPENING.values(), ids=OPENING)
def test_broken_off_in_the_handshake(user, head, how):
    """An OSError, or an InvalidHandshake that says what was missing."""

    def behave(peer):
        peer.read_request()
        peer.send(head)
        if how == "RST":
            peer.reset()

    error = not_opened(user, behave, (OSError, wspool.InvalidHandshake))
    if how == "FIN":
        wanted = wspool.InvalidStatus if b"503" in head else wspool.InvalidMessage
        assert type(error) is wanted


MIDDLES = {
    "between frames": b"",
    "in a header": b"\x82\x7f\x00",
    "in a small payload": b"\x82\x05x",
    "in a large payload": frame(b"x" * 50_000, BINARY)[:9000],
    "between fragments": frame(b"x", BINARY, fin=False),
    "in a deflated message": frame(deflated(b"x" * 5000), BINARY, fin=False, rsv1=True),
    "in a character": frame(b"\xf0\x9f", fin=False),
}


@pytest.mark.parametrize("how", ["RST", "FIN"])
@pytest.mark.parametrize("middle", MIDDLES.values(), ids=MIDDLES)
def test_broken_off_in_the_middle(user, middle, how):
    """1006, and nothing of what was not whole."""

    def behave(peer):
        peer.send(GOOD)
        peer.until(TEXT)  # so that the RST overtakes nothing good
        peer.send(middle)
        if how == "RST":
            peer.reset()

    with LyingServer(after_handshake(behave, f"Sec-WebSocket-Extensions: {DEFLATE}")) as server:
        ws = user.open(server)
        assert ws.recv() == "good"
        ws.send("go on")
        messages, closed = ending(ws)
    assert messages == []
    assert type(closed) is wspool.ConnectionClosedError
    assert (closed.rcvd, closed.sent, closed.code) == (None, None, 1006)
    assert type(closed.__cause__) is (ConnectionResetError if how == "RST" else EOFError)


def test_reset_instead_of_an_answer_to_our_close(user):
    def behave(peer):
        peer.until(CLOSE)
        peer.reset()

    with LyingServer(after_handshake(behave)) as server:
        closed = closing(user, user.open(server))
    assert type(closed) is wspool.ConnectionClosedError
    assert (closed.rcvd, closed.sent.code, closed.code) == (None, 1000, 1006)
    assert isinstance(closed.__cause__, OSError)


# --- floods ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("payload", [b"", b"x" * 125], ids=["empty", "125 bytes"])
def test_pings_as_fast_as_the_wire(user, payload):
    """From a peer that does not read: answers stop being made; when it reads, they are made."""
    ready = threading.Event()
    pongs = []

    def behave(peer):
        with contextlib.suppress(Gone):
            peer.flood(frame(payload, PING) * 1000, 1000, reads=False)
        ready.set()
        peer.send(frame(b"last", PING), frame(b"ask"))
        for opcode, _, got in peer.frames():
            if opcode == PONG:
                pongs.append(got)
                if got == b"last":
                    peer.send(frame(b"answered"))
            elif opcode == TEXT:
                peer.send(frame(b"last", PING))
            elif opcode == CLOSE:
                peer.send(frame(got, CLOSE))
                return

    with LyingServer(after_handshake(behave)) as server:
        with grows_at_most(GENEROUS):
            ws = user.open(server, close_timeout=PATIENCE)
            assert ready.wait(2 * PATIENCE)
            assert ws.recv() == "ask"
            # What was not answered then is not; what is asked now is.
            ws.send("ask again")
            assert ws.recv() == "answered"
        ws.close()
        assert ending(ws)[1].rcvd.code == 1000
        assert server.closes
    assert pongs[0] == payload
    assert pongs[-1] == b"last"


def test_pongs_as_fast_as_the_wire(user):
    """Nobody asked for them; they are passed over."""

    def behave(peer):
        peer.flood(frame(b"x" * 100, PONG) * 1000, 500)
        peer.send(GOOD, close(1000))
        peer.until(CLOSE)

    with LyingServer(after_handshake(behave)) as server, grows_at_most(GENEROUS):
        assert user.ending(server)[0] == ["good"]


def test_pings_that_a_talking_peer_never_answers(sync_user):
    """It is alive, so keepalive lets it live."""

    def behave(peer):
        for opcode, _, payload in peer.frames():
            if opcode == PING:
                peer.send(frame(b"x"))
            if opcode == CLOSE:
                peer.send(frame(payload, CLOSE))
                return

    with LyingServer(after_handshake(behave)) as server:
        ws = sync_user.open(server, ping_interval=0.01, ping_timeout=0.5)
        for _ in range(5):
            assert ws.recv(timeout=PATIENCE) == "x"
        assert ws.status is wspool.Status.OPENED
        assert ws.latency == 0
        ws.close()


def test_what_is_remembered_of_unanswered_pings(sync_user):
    """Of 200 the first is forgotten, so that its answer says nothing; a recent one's counts."""
    seen = []

    def behave(peer):
        for opcode, _, payload in peer.frames():
            if opcode == PING:
                seen.append(payload)
                if len(seen) == 200:
                    peer.send(frame(seen[0], PONG), frame(b"of the first"))
            elif opcode == TEXT:
                peer.send(frame(seen[-1], PONG), frame(b"of the last"))
            elif opcode == CLOSE:
                peer.send(frame(payload, CLOSE))
                return

    with LyingServer(after_handshake(behave)) as server:
        ws = sync_user.open(server, ping_interval=0.01, ping_timeout=None)
        assert ws.recv(timeout=PATIENCE) == "of the first"
        assert (ws.latency, ws.stats.round_trips.count) == (0, 0)
        ws.send("and now?")
        assert ws.recv(timeout=PATIENCE) == "of the last"
        assert ws.latency > 0
        assert ws.stats.round_trips.count == 1
        ws.close()


def test_messages_for_a_consumer_that_stalls(user):
    """The peer is as fast as it can; reading pauses, so TCP pushes back on it."""
    go_on = threading.Event()
    sent = []

    def behave(peer):
        while not go_on.is_set():
            sent.append(16384)
            peer.flood(frame(b"x" * 16384, BINARY), 1)
        peer.send(close(1000))
        peer.until(CLOSE)

    if user.api == "callbacks":

        def take(message):
            assert go_on.wait(PATIENCE)
            return len(message)

        user.client.take = take
    with LyingServer(after_handshake(behave)) as server:
        with grows_at_most(GENEROUS):
            ws = user.open(server)
            wait_until(lambda: ws.statistics.pauses)
            assert ws.statistics.messages_received < 1500  # 1,024 are 16 MiB
        go_on.set()
        messages, closed = ending(ws)
    assert [m if isinstance(m, int) else len(m) for m in messages] == sent
    assert type(closed) is wspool.ConnectionClosedOK


# --- the life of a connection ---------------------------------------------------------------------


def test_exception_in_a_handler_leaves_the_connection_working(pool, neighbour):
    """In websocketpp it escaped run() and left the connection open and deaf."""
    heard, errors = [], []

    def on_message(_, message):
        heard.append(message.text)
        if message == "bad":
            raise ZeroDivisionError

    with LyingServer(sends(frame(b"bad"), GOOD, close(1000))) as server:
        connection = pool[0].create_new_connection(
            server.uri, on_message=on_message, on_error=lambda _, error: errors.append(type(error))
        )
        connection.wait_closed(PATIENCE)
    assert heard == ["bad", "good"]
    assert errors == [ZeroDivisionError]
    assert connection.close_code == 1000


def test_ping_timer_ends_with_the_connection(user):
    """No ping behind the close frame, and nothing keeps the connection."""
    behind = []

    def behave(peer):
        payload = peer.until(CLOSE)
        peer.send(frame(payload, CLOSE))
        behind.extend(peer.frames())

    with LyingServer(after_handshake(behave)) as server:
        ws = user.open(server, ping_interval=0.01, ping_timeout=0.01)
        closing(user, ws)
        wait_until(lambda: server.ended)
        gone = weakref.ref(getattr(ws, "connection", ws))
        user.connections.clear()
        del ws

        def collected():
            gc.collect()
            return gone() is None

        wait_until(collected)
    assert behind == []


@pytest.mark.parametrize("how", ["FIN", "RST", "abort"])
def test_end_while_reading_is_paused(sync_user, how):
    """A paused connection is still there, ends, and reads on once and not twice."""
    number = 3000

    def behave(peer):
        peer.send(*[frame(b"%d" % i) for i in range(number)])
        if how == "abort":
            peer.hold()
        if how == "RST":
            peer.until(TEXT)
            peer.reset()

    with LyingServer(after_handshake(behave)) as server:
        ws = sync_user.open(server, max_queue=16)
        wait_until(lambda: ws.statistics.pauses)
        if how == "abort":
            ws.abort()
        messages, closed = [], None
        while closed is None:
            try:
                messages.append(ws.recv(timeout=PATIENCE))
                if how == "RST" and len(messages) == number:
                    ws.send("all")
            except wspool.ConnectionClosed as error:
                closed = error
    assert messages == [str(i) for i in range(len(messages))]
    assert len(messages) == number or how == "abort"
    assert (closed.rcvd, closed.code) == (None, 1006)


def test_send_queue_is_bounded(sync_user, pool, neighbour):
    """A peer that does not read: send waits, or refuses where it may not wait."""
    errors, amounts = [], []
    full = threading.Event()
    limit = 4 * MIB

    def on_open(connection):
        try:
            while True:
                connection.send(b"x" * 65536)
                amounts.append(connection.buffered_amount)
        except wspool.BufferFull as error:
            errors.append(error)
        full.set()

    with LyingServer(after_handshake(lambda peer: peer.hold())) as server:
        with grows_at_most(GENEROUS):
            connection = pool[0].create_new_connection(
                server.uri, on_open=on_open, write_limit=limit
            )
            assert full.wait(PATIENCE)
            assert errors
            assert limit - 2 * 65536 < max(amounts) <= limit + 65536

            ws = sync_user.open(server, write_limit=limit)
            ended = []

            def send():
                with pytest.raises(wspool.ConnectionClosedError):
                    while True:
                        ws.send(b"x" * 65536)
                ended.append(1)

            sender = threading.Thread(target=send)
            sender.start()
            wait_until(lambda: ws.buffered_amount > limit - 65536)
            assert ws.buffered_amount <= limit + 65536
            ws.abort()
            sender.join(PATIENCE)
            assert ended
        connection.abort()
        connection.wait_closed(PATIENCE)


def test_unsent_data_is_told(sync_user):
    """The peer breaks off before all was sent: that is no end in order."""

    def behave(peer):
        peer.server.reset.wait(PATIENCE)
        peer.reset()

    server = LyingServer(after_handshake(behave))
    server.reset = threading.Event()
    with server:
        ws = sync_user.open(server)
        while ws.buffered_amount < 65536:
            ws.send(b"x" * 65536)
        server.reset.set()
        closed = ending(ws)[1]
    assert type(closed) is wspool.ConnectionClosedError
    assert (closed.rcvd, closed.sent, closed.code) == (None, None, 1006)
    # The system tells of the RST once. If writing heard it, reading finds an end like any other.
    assert isinstance(closed.__cause__, (OSError, EOFError))
    assert ws.buffered_amount == 0


def test_pool_ends_with_peers_that_hold():
    """Closing a pool calls the last callbacks, whatever the peers do; nothing outlives it."""
    closes = []

    def behave(peer):
        if len(peer.server.requests) % 2:
            peer.flood(frame(b"x" * 1000), reads=False)
        peer.hold()

    with LyingServer(after_handshake(behave)) as server:
        pool = wspool.EndpointPool(1)
        connections = [
            pool[0].create_new_connection(
                server.uri, on_close=lambda *_: closes.append(1), close_timeout=PATIENCE
            )
            for _ in range(4)
        ]
        for connection in connections:
            assert connection.opened.result(PATIENCE) is wspool.Status.OPENED
        assert pool.close(timeout=0.2)
        assert closes == [1] * 4
        assert {connection.status for connection in connections} == {wspool.Status.CLOSED}
        with pytest.raises(wspool.ConnectionClosedError):
            connections[0].send("x")
