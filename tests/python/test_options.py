"""The options of a connection: what is accepted, and what bad input gets."""

import functools
import logging
import math
import ssl
from pathlib import Path

import pytest

import wspool
from wspool import Options


async def coroutine_function():
    """What is awaited nowhere."""


class Awaited:
    """An object whose call makes a coroutine."""

    async def __call__(self):
        """Make it."""


GOOD = [
    ("additional_headers", None, ()),
    ("additional_headers", {"X-Key": "v"}, (("X-Key", "v"),)),
    ("additional_headers", [("A", "1"), ("A", "2")], (("A", "1"), ("A", "2"))),
    ("additional_headers", iter([["A", "gr\xfcn"]]), (("A", "gr\xfcn"),)),
    ("additional_headers", wspool.Headers([("A", "1"), ("a", "2")]), (("A", "1"), ("a", "2"))),
    ("user_agent_header", None, None),
    ("user_agent_header", "me/1.0", "me/1.0"),
    ("origin", None, None),
    ("origin", "https://example.org", "https://example.org"),
    ("subprotocols", None, ()),
    ("subprotocols", ["a", "b"], ("a", "b")),
    ("compression", None, None),
    ("compression", "deflate", "deflate"),
    ("compression", wspool.Deflate(level=9), wspool.Deflate(level=9)),
    ("ssl", None, None),
    ("ssl", True, None),
    ("server_hostname", None, None),
    ("server_hostname", "example.org", "example.org"),
    ("proxy", True, True),
    ("proxy", None, None),
    ("local_addr", None, None),
    ("local_addr", ("127.0.0.1", 0), ("127.0.0.1", 0)),
    ("unix_path", None, None),
    ("unix_path", "/run/a", "/run/a"),
    ("unix_path", Path("/run/a"), "/run/a"),
    ("open_timeout", None, None),
    ("open_timeout", 0.5, 0.5),
    ("ping_interval", 1, 1),
    ("ping_timeout", None, None),
    ("close_timeout", math.inf, 10 * 365 * 24 * 3600),
    ("max_size", None, None),
    ("max_size", 0, 0),
    ("max_size", 2**70, 2**63 - 1),
    ("max_queue", 16, (16, 4)),
    ("max_queue", (16, 8), (16, 8)),
    ("max_queue", (16, None), (16, 4)),
    ("max_queue", None, (None, None)),
    ("max_queue_bytes", None, None),
    ("max_queue_bytes", 1, 1),
    ("write_limit", 2**16, 2**16),
    ("write_limit", None, None),
]

BAD = [
    ("additional_headers", 1, TypeError),
    ("additional_headers", "A: b", TypeError),
    ("additional_headers", [1], TypeError),
    ("additional_headers", [("A",)], TypeError),
    ("additional_headers", {"A": 1}, TypeError),
    ("additional_headers", {1: "A"}, TypeError),
    ("additional_headers", {"A": "b\r\nC: d"}, ValueError),
    ("additional_headers", {"A": "b\n"}, ValueError),
    ("additional_headers", {"A": "b\0"}, ValueError),
    ("additional_headers", {"A": "\u20ac"}, ValueError),
    ("additional_headers", {"A B": "c"}, ValueError),
    ("additional_headers", {"A\r\n": "c"}, ValueError),
    ("additional_headers", {"": "c"}, ValueError),
    ("user_agent_header", 1, TypeError),
    ("user_agent_header", "x\r\ny", ValueError),
    ("origin", b"x", TypeError),
    ("origin", "x\n", ValueError),
    ("subprotocols", "chat", TypeError),
    ("subprotocols", 1, TypeError),
    ("subprotocols", [1], TypeError),
    ("subprotocols", ["a b"], ValueError),
    ("subprotocols", [""], ValueError),
    ("subprotocols", ["a", "a"], ValueError),
    ("compression", "gzip", ValueError),
    ("compression", True, ValueError),
    ("compression", wspool.Deflate, ValueError),
    ("ssl", False, TypeError),
    ("ssl", "x", TypeError),
    ("server_hostname", 1, TypeError),
    ("server_hostname", "", ValueError),
    ("server_hostname", "a b", ValueError),
    ("proxy", "ftp://proxy", ValueError),
    ("proxy", "http://proxy/path", ValueError),
    ("proxy", "http://", ValueError),
    ("proxy", "socks5://:x@proxy", ValueError),
    ("proxy", False, TypeError),
    ("proxy_ssl", "x", TypeError),
    ("idle_timeout", 0, ValueError),
    ("reconnect", 1, TypeError),
    ("subscriptions", {"op": "subscribe"}, TypeError),
    ("subscriptions", [1], TypeError),
    ("on_connect", 3, TypeError),
    ("match", "", ValueError),
    ("match", {}, ValueError),
    ("match", [1], TypeError),
    ("match", {1: 2}, TypeError),
    ("events", 1, TypeError),
    ("replace_after", -1, ValueError),
    ("redundancy", 0, ValueError),
    ("redundancy", "2", TypeError),
    ("dedup", "u", ValueError),
    ("dedup", [1], TypeError),
    ("local_addr", "127.0.0.1", TypeError),
    ("local_addr", ("127.0.0.1",), TypeError),
    ("local_addr", ("127.0.0.1", "0"), TypeError),
    ("local_addr", ("127.0.0.1", 65536), ValueError),
    ("unix_path", b"/run/a", TypeError),
    ("unix_path", "", ValueError),
    *[
        (name, value, kind)
        for name in ("open_timeout", "ping_interval", "ping_timeout", "close_timeout")
        for value, kind in [
            ("1", TypeError),
            (True, TypeError),
            (math.nan, ValueError),
            (0, ValueError),
            (-1, ValueError),
            (-math.inf, ValueError),
        ]
    ],
    ("max_size", "1", TypeError),
    ("max_size", 1.5, TypeError),
    ("max_size", True, TypeError),
    ("max_size", -1, ValueError),
    ("max_size", (1, 2), TypeError),
    ("max_queue", 0, ValueError),
    ("max_queue", 1.5, TypeError),
    ("max_queue", (1, 2, 3), ValueError),
    ("max_queue", (1, 2), ValueError),
    ("max_queue_bytes", 0, ValueError),
    ("write_limit", -5, ValueError),
    ("logger", "wspool", TypeError),
    *[
        (name, value, TypeError)
        for name in ("additional_headers", "on_connect", "subscriptions")
        for value in (coroutine_function, functools.partial(coroutine_function), Awaited())
    ],
]


class TestChecks:
    @pytest.mark.parametrize(("name", "value", "kept"), GOOD)
    def test_good(self, name, value, kept):
        """What an option may be is kept."""
        assert getattr(Options.from_kwargs(**{name: value}), name) == kept

    @pytest.mark.parametrize(("name", "value", "kind"), BAD)
    def test_bad(self, name, value, kind):
        """What it may not be is refused, and the text names it."""
        with pytest.raises(kind, match=name) as raised:
            Options.from_kwargs(**{name: value})
        assert type(raised.value) is kind

    @pytest.mark.parametrize(("name", "value", "kind"), BAD)
    def test_bad_at_the_call(self, name, value, kind):
        """create_new_connection refuses it as well, before anything is started."""
        endpoint = wspool.EndpointPool.instance().get_endpoint()
        before = len(endpoint.connections)
        with pytest.raises(kind, match=name):
            endpoint.create_new_connection("ws://127.0.0.1:1/", **{name: value})
        assert len(endpoint.connections) == before

    @pytest.mark.parametrize("name", ["fatal", "retry"])
    def test_coroutine_functions_do_not_judge(self, name):
        """A coroutine is true whatever it would say, so it is refused."""
        for value in (coroutine_function, Awaited()):
            with pytest.raises(TypeError, match=f"{name} must be an ordinary function"):
                wspool.Reconnect(**{name: value})
        assert getattr(wspool.Reconnect(**{name: ValueError}), name) is ValueError

    def test_unknown(self):
        """An unknown option is named, with one that was perhaps meant."""
        with pytest.raises(TypeError, match="'open_timeot'; did you mean 'open_timeout'"):
            Options.from_kwargs(open_timeot=1)
        with pytest.raises(TypeError, match="unknown option 'zzz'$"):
            Options.from_kwargs(zzz=1)

    def test_header_value_is_not_shown(self):
        """A bad header value, perhaps a secret, is not in the text."""
        with pytest.raises(ValueError, match="Authorization") as raised:
            Options.from_kwargs(additional_headers={"Authorization": "secret\n"})
        assert "secret" not in str(raised.value)

    def test_tls_for_plain(self):
        """TLS settings do not fit a ws:// URI."""
        options = Options.from_kwargs(ssl=wspool.TLS())
        assert options.for_uri("wss://x") is options
        for uri in ("ws://x", "WS://x"):
            with pytest.raises(ValueError, match="ssl is incompatible with a ws:// URI"):
                options.for_uri(uri)
        with pytest.raises(ValueError, match="server_hostname is incompatible"):
            Options.from_kwargs(server_hostname="x").for_uri("ws://x")


class TestDefaults:
    def test_are_those_of_websockets(self):
        """Deadlines and sizes are what users of `websockets` know."""
        options = Options.from_kwargs()
        assert (options.open_timeout, options.close_timeout) == (10, 10)
        assert (options.ping_interval, options.ping_timeout) == (20, 20)
        assert options.max_size == 2**20
        assert options.compression == "deflate"

    def test_user_agent(self):
        """The default User-Agent names Python and wspool with their versions."""
        agent = Options.from_kwargs().user_agent_header
        assert agent.startswith("Python/3.")
        assert agent.endswith(f" wspool/{wspool.__version__}")

    def test_every_option_is_checked(self):
        """Each field has a check, so from_kwargs takes each."""
        assert set(wspool.ConnectionOptions.__annotations__) == set(Options.__dataclass_fields__)

    def test_immutable(self):
        """Options do not change."""
        with pytest.raises(AttributeError):
            Options.from_kwargs().max_size = 1

    def test_repr_hides_headers(self):
        """Headers hold credentials, so they are not in the repr."""
        options = Options.from_kwargs(additional_headers={"Authorization": "secret"})
        assert "secret" not in repr(options)


class TestHeadersFunction:
    def test_is_kept(self):
        """A function is kept, and called only when a connection is made."""
        calls = []
        options = Options.from_kwargs(additional_headers=lambda: calls.append(1))
        assert calls == []
        assert options.to_native("ws://h/")[0]["additional_headers"] == []
        assert calls == [1]

    @pytest.mark.parametrize(
        "returned", [{"A": "1"}, [("A", "1")], wspool.Headers([("A", "1")]), iter([("A", "1")])]
    )
    def test_good(self, returned):
        """It may return what the option itself may be."""
        options = Options.from_kwargs(additional_headers=lambda: returned)
        assert options.to_native("ws://h/")[0]["additional_headers"] == [("A", b"1")]

    @pytest.mark.parametrize(("value", "kind"), [(v, k) for n, v, k in BAD if "headers" in n])
    def test_bad(self, value, kind):
        """What it may not return is refused at the call; a function is not called again."""
        endpoint = wspool.EndpointPool.instance().get_endpoint()
        before = len(endpoint.connections)
        for returned in (value, dict):
            with pytest.raises((kind, TypeError), match=r"additional_headers\(\)"):
                endpoint.create_new_connection(
                    "ws://127.0.0.1:1/", additional_headers=lambda returned=returned: returned
                )
        assert len(endpoint.connections) == before

    def test_raises(self):
        """What it raises, the caller gets as it is."""
        endpoint = wspool.EndpointPool.instance().get_endpoint()
        before = len(endpoint.connections)

        def headers():
            raise LookupError("no token today")

        with pytest.raises(LookupError, match="no token today"):
            endpoint.create_new_connection("ws://127.0.0.1:1/", additional_headers=headers)
        assert len(endpoint.connections) == before

    def test_repr(self):
        """Neither it nor what it returns is in the repr."""
        options = Options.from_kwargs(additional_headers=lambda: {"Authorization": "secret"})
        options.to_native("ws://h/")
        assert "secret" not in repr(options)
        assert "lambda" not in repr(options)


class TestNative:
    def test_durations(self):
        """Seconds become milliseconds, never zero, which means off."""
        native = Options.from_kwargs(
            open_timeout=1.5, close_timeout=1e-9, ping_interval=None, ping_timeout=math.inf
        ).to_native("ws://h/")[0]
        assert native["open_timeout"] == 1500
        assert native["close_timeout"] == 1
        assert native["ping_interval"] == 0
        assert 10**11 < native["ping_timeout"] < 10**12

    def test_sizes(self):
        """None is the largest size."""
        native = Options.from_kwargs(max_size=None, max_queue=(7, 3)).to_native("ws://h/")[0]
        assert native["max_size"] == 2**63 - 1
        assert native["max_queue"] == 7

    def test_tls_only_where_needed(self):
        """A plain connection costs no TLS context."""
        assert Options.from_kwargs().to_native("ws://h/")[0]["tls"] is None
        assert Options.from_kwargs().to_native("wss://h/")[0]["tls"] is not None

    def test_logger(self):
        """Loggers and adapters are taken; the default is the library's."""
        assert Options.from_kwargs().logger is logging.getLogger("wspool")
        adapter = logging.LoggerAdapter(logging.getLogger("x"), {})
        assert Options.from_kwargs(logger=adapter).logger is adapter

    def test_ssl_context(self):
        """An ssl.SSLContext is taken."""
        context = ssl.create_default_context()
        assert Options.from_kwargs(ssl=context).ssl is context
