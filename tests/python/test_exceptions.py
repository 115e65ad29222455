"""The tree of exceptions, and how native failures become them."""

import errno
import pickle
import socket
import ssl

import pytest
import websockets.exceptions
import websockets.frames

import wspool
from wspool import Close, Headers, Response, exceptions
from wspool.exceptions import from_native, redact_uri

RESPONSE = Response(403, "Forbidden", Headers([("Server", "x")]), b"no")

EXAMPLES = [
    wspool.WSPoolError("a sentence"),
    wspool.ConnectionClosed(None, None),
    wspool.ConnectionClosedOK(Close(1000, ""), Close(1000, ""), True),
    wspool.ConnectionClosedError(Close(1011, "boom"), None),
    wspool.InvalidURI("x", "no scheme"),
    wspool.InvalidHandshake("a sentence"),
    wspool.SecurityError("a sentence"),
    wspool.ProxyError("a sentence"),
    wspool.InvalidMessage("a sentence"),
    wspool.InvalidStatus(RESPONSE),
    wspool.InvalidHeader("Upgrade", "x"),
    wspool.InvalidUpgrade("Upgrade"),
    wspool.NegotiationError("a sentence"),
    wspool.ProtocolError("a sentence"),
    wspool.PayloadTooBig(5, 4),
    wspool.InvalidState("a sentence"),
    wspool.PoolClosed("a sentence"),
    wspool.BufferFull("a sentence"),
    wspool.QueueFull("a sentence"),
    wspool.ConcurrencyError("a sentence"),
    wspool.UnknownConnection(7),
    wspool.WrongProcess("a sentence"),
]


def test_examples_are_complete():
    """Every public exception is tried here."""
    assert {type(example).__name__ for example in EXAMPLES} == set(exceptions.__all__)


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
class TestEach:
    def test_root(self, error):
        """All have one root, and none hides Ctrl-C."""
        assert isinstance(error, wspool.WSPoolError)

    def test_str(self, error):
        """All say something."""
        assert str(error)

    def test_pickle(self, error):
        """All survive pickling, with their facts."""
        copy = pickle.loads(pickle.dumps(error))
        assert type(copy) is type(error)
        assert str(copy) == str(error)
        assert vars(copy) == vars(error)

    def test_is_in_the_tree(self, error):
        """The docstring of the module shows it below its base."""
        lines = (exceptions.__doc__ or "").splitlines()
        name = type(error).__name__
        place = next(i for i, line in enumerate(lines) if f"* ``{name}``" in line)
        indent = lines[place].index("*")
        base = type(error).__mro__[1].__name__
        if base == "Exception":
            assert indent == 0
            return
        above = next(line for line in reversed(lines[:place]) if line.index("*") < indent)
        assert f"``{base}``" in above


FRAMES = [None, (1000, ""), (1001, "bye"), (1005, ""), (1011, "boom"), (3000, "x"), (4999, "")]


@pytest.mark.parametrize("rcvd", FRAMES)
@pytest.mark.parametrize("sent", FRAMES)
@pytest.mark.parametrize("first", [True, False])
def test_connection_closed_reads_as_in_websockets(rcvd, sent, first):
    """ConnectionClosed says what that of `websockets` says."""
    order = first if rcvd and sent else None
    ours = wspool.ConnectionClosed(rcvd and Close(*rcvd), sent and Close(*sent), order)
    theirs = websockets.exceptions.ConnectionClosed(
        rcvd and websockets.frames.Close(*rcvd), sent and websockets.frames.Close(*sent), order
    )
    assert str(ours) == str(theirs)
    assert ours.code == (rcvd[0] if rcvd else 1006)
    assert ours.reason == (rcvd[1] if rcvd else "")


@pytest.mark.parametrize("code", [*range(1000, 1016), 2999, 3000, 3999, 4000, 4999, 5000])
def test_close_reads_as_in_websockets(code):
    """Close explains codes as `websockets` does."""
    for reason in ("", "why"):
        assert str(Close(code, reason)) == str(websockets.frames.Close(code, reason))


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (("InvalidURI", "u", "m"), ("InvalidURI", "u", "m")),
        (("InvalidHeader", "N", None), ("InvalidHeader", "N", None)),
        (("InvalidHeader", "N", ""), ("InvalidHeader", "N", "")),
        (("InvalidUpgrade", "N", "v"), ("InvalidUpgrade", "N", "v")),
        (("InvalidStatus", RESPONSE), ("InvalidStatus", RESPONSE)),
    ],
)
def test_texts_are_those_of_websockets(ours, theirs):
    """Where the facts are the same, so is the text."""
    ours, theirs = (
        getattr(module, name)(*args)
        for module, (name, *args) in ((wspool, ours), (websockets.exceptions, theirs))
    )
    assert str(ours) == str(theirs)


class Source:
    """A connection, as far as exceptions ask."""

    response = None
    max_size = 100

    def closed_exception(self):
        return wspool.ConnectionClosedOK(None, None)


class TestFromNative:
    @pytest.mark.parametrize(
        ("code", "kind"),
        [
            ("INVALID_ARGUMENT", ValueError),
            ("INVALID_URI", wspool.InvalidURI),
            ("INVALID_STATE", wspool.InvalidState),
            ("RESOLVE", socket.gaierror),
            ("CONNECT", ConnectionError),
            ("TLS", ssl.SSLError),
            ("TLS_VERIFY", ssl.SSLCertVerificationError),
            ("TIMEOUT", TimeoutError),
            ("HANDSHAKE", wspool.InvalidMessage),
            ("STATUS", wspool.InvalidHandshake),
            ("UPGRADE", wspool.InvalidHandshake),
            ("NEGOTIATION", wspool.NegotiationError),
            ("SECURITY", wspool.SecurityError),
            ("PROTOCOL", wspool.ProtocolError),
            ("BUFFER_FULL", wspool.BufferFull),
            ("QUEUE_FULL", wspool.QueueFull),
            ("CONCURRENCY", wspool.ConcurrencyError),
            ("CLOSED", ConnectionResetError),
            ("ABORTED", ConnectionAbortedError),
            ("WRONG_PROCESS", wspool.WrongProcess),
            ("A_NEW_ONE", wspool.WSPoolError),
        ],
    )
    def test_kind(self, code, kind):
        """Each code has its exception, which keeps the sentence."""
        error = from_native((code, "a sentence", 0, 0))
        assert type(error) is kind
        assert "a sentence" in str(error)

    @pytest.mark.parametrize(
        ("number", "kind"),
        [
            (errno.ECONNREFUSED, ConnectionRefusedError),
            (errno.ECONNRESET, ConnectionResetError),
            (errno.ENETUNREACH, OSError),
            (errno.EPIPE, BrokenPipeError),
        ],
    )
    def test_errno(self, number, kind):
        """The errno chooses the OSError."""
        error = from_native(("CONNECT", "a sentence", 0, number))
        assert type(error) is kind
        assert error.errno == number

    def test_of_a_connection(self):
        """The connection knows the facts."""
        source = Source()
        assert isinstance(from_native(("CLOSED", "", 0, 0), source), wspool.ConnectionClosedOK)
        too_big = from_native(("PAYLOAD_TOO_BIG", "", 0, 0), source)
        assert isinstance(too_big, wspool.PayloadTooBig)
        assert too_big.max_size == 100
        source.response = RESPONSE
        refused = from_native(("STATUS", "", 403, 0), source)
        assert isinstance(refused, wspool.InvalidStatus)
        assert refused.response is RESPONSE

    @pytest.mark.parametrize(
        ("headers", "kind", "name", "value"),
        [
            ([], wspool.InvalidUpgrade, "Upgrade", None),
            ([("Upgrade", "h2c")], wspool.InvalidUpgrade, "Upgrade", "h2c"),
            ([("upgrade", "WebSocket")], wspool.InvalidUpgrade, "Connection", None),
            (
                [("Upgrade", "websocket"), ("Connection", "close")],
                wspool.InvalidUpgrade,
                "Connection",
                "close",
            ),
            (
                [("Upgrade", "websocket"), ("Connection", "x, Upgrade")],
                wspool.InvalidHeader,
                "Sec-WebSocket-Accept",
                None,
            ),
            (
                [
                    ("Upgrade", "websocket"),
                    ("Connection", "Upgrade"),
                    ("Sec-WebSocket-Accept", "x"),
                ],
                wspool.InvalidHeader,
                "Sec-WebSocket-Accept",
                "x",
            ),
        ],
    )
    def test_upgrade(self, headers, kind, name, value):
        """A wrong answer of status 101 names the header."""
        source = Source()
        source.response = Response(101, "", Headers(headers))
        error = from_native(("UPGRADE", "", 101, 0), source)
        assert type(error) is kind
        assert (error.name, error.value) == (name, value)


@pytest.mark.parametrize(
    ("uri", "redacted"),
    [
        ("ws://host/path", "ws://host/path"),
        ("ws://user:secret@host/path", "ws://host/path"),
        ("wss://user@host", "wss://host"),
        ("ws://a:b@c@host/", "ws://host/"),
        ("ws://host/p?q=a@b", "ws://host/p?q=a@b"),
        ("nonsense", "nonsense"),
    ],
)
def test_redact_uri(uri, redacted):
    """User name and password leave the URI, and nothing else does."""
    assert redact_uri(uri) == redacted


class TestHeaders:
    HEADERS = Headers([("Set-Cookie", "a"), ("X", "1"), ("set-cookie", "b")])

    def test_mapping(self):
        """Names are case-insensitive."""
        assert self.HEADERS["SET-COOKIE"] == "a, b"
        assert self.HEADERS["x"] == "1"
        assert "x" in self.HEADERS
        assert 1 not in self.HEADERS
        assert self.HEADERS.get("none") is None
        assert list(self.HEADERS) == ["set-cookie", "x"]
        assert len(self.HEADERS) == 2
        with pytest.raises(KeyError):
            _ = self.HEADERS["none"]

    def test_several_values(self):
        """Values of one name are kept apart, and in order."""
        assert self.HEADERS.get_all("Set-Cookie") == ["a", "b"]
        assert self.HEADERS.get_all("none") == []
        assert list(self.HEADERS.raw_items()) == [
            ("Set-Cookie", "a"),
            ("X", "1"),
            ("set-cookie", "b"),
        ]

    def test_equality(self):
        """Equal are those with equal values."""
        assert Headers([("A", "1")]) == Headers([("a", "1")])
        assert Headers([("A", "1")]) != Headers([("a", "2")])
        assert pickle.loads(pickle.dumps(self.HEADERS)) == self.HEADERS

    def test_request_hides_values(self):
        """The repr of a request shows no credentials."""
        request = wspool.Request("/x", Headers([("Authorization", "Basic c2VjcmV0")]))
        assert "c2VjcmV0" not in repr(request)
