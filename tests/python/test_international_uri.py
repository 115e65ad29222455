"""URIs with characters outside ASCII: how they are encoded, and that they work."""

import socket
import subprocess
import sys
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.sync.server import serve

import wspool
from wspool.uri import to_ascii

ENCODED = [
    ("ws://example.org/a?b", "ws://example.org/a?b"),
    ("wss://münchen.example/straße?q=ü", "wss://xn--mnchen-3ya.example/stra%C3%9Fe?q=%C3%BC"),
    ("wss://MÜNCHEN.Example:8443", "wss://xn--mnchen-3ya.example:8443"),
    ("ws://faß.example/", "ws://xn--fa-hia.example/"),
    ("ws://例え\u3002テスト/", "ws://xn--r8jz45g.xn--zckzah/"),
    ("ws://ﬁ.example/", "ws://fi.example/"),
    ("ws://xn--mnchen-3ya.ü.example", "ws://xn--mnchen-3ya.xn--tda.example"),
    ("ws://127.0.0.1:9/ü", "ws://127.0.0.1:9/%C3%BC"),
    ("ws://[::1]:9/ü", "ws://[::1]:9/%C3%BC"),
    ("ws://h/%C3%A9é", "ws://h/%C3%A9%C3%A9"),
    ("ws://h?😀", "ws://h?%F0%9F%98%80"),
    ("ws://ü:pä@h/é", "ws://%C3%BC:p%C3%A4@h/%C3%A9"),
    ("ws://u:p@ü.example", "ws://u:p@xn--tda.example"),
    ("WS://h/ü:/@?x", "WS://h/%C3%BC:/@?x"),
]

REFUSED = [
    "\uff57\uff53://h/",
    "ü",
    "ws:ü",
    "ws://ü..example/",
    "ws://" + "ü" * 64 + ".example/",
    "ws://-ü.example/",
    "ws://h\uff0fü/",
    "ws://ü\uff20h/",
    "ws://ü\uff1a80/",
    "ws://ü x.example/",
    "ws://\u200b\u0300.example/",
    "ws://[::ü]/",
    "ws://h/\ud800",
    "ws://u:\ud800@h/",
    "ws://\ud800.example/",
    "http://ü.example/",
    "ws://ü.example:99999/",
    "ws://h:\uff18\uff10/",
    "ws://h/a b/ü",
    "ws://h/ü#ä",
]


class TestEncoding:
    @pytest.mark.parametrize(("uri", "encoded"), ENCODED)
    def test_good(self, uri, encoded):
        """The host is encoded by IDNA 2008 with UTS 46, the rest percent-encoded as UTF-8."""
        assert to_ascii(uri) == encoded
        assert to_ascii(encoded) == encoded

    @pytest.mark.parametrize("uri", REFUSED)
    def test_bad(self, uri):
        """What cannot be encoded is an InvalidURI with the URI as it was given."""
        endpoint = wspool.EndpointPool.instance().get_endpoint()
        with pytest.raises(wspool.InvalidURI) as raised:
            endpoint.create_new_connection(uri)
        assert raised.value.msg
        if "@" not in uri:
            assert raised.value.uri == uri

    @settings(deadline=None)
    @given(
        st.text(
            st.sampled_from("ab.-_:/@?#[]%1\u00fc\u00df\u200d\u0300\ud800\uff0f\u3002\u05d0\u0660")
        )
    )
    def test_any(self, text):
        """Whatever stands there, it is encoded or refused, and what is encoded stays as it is."""
        try:
            encoded = to_ascii(f"ws://{text}")
        except wspool.InvalidURI:
            return
        assert encoded.isascii()
        assert to_ascii(encoded) == encoded

    @pytest.mark.parametrize(
        "uri", ["ws://me:sécret@ü..example/", "ws://me:secret@h/ü#", "ws://me:secret@h/\ud800"]
    )
    def test_credentials_are_not_shown(self, uri):
        """User and password are in no error."""
        endpoint = wspool.EndpointPool.instance().get_endpoint()
        with pytest.raises(wspool.InvalidURI) as raised:
            endpoint.create_new_connection(uri)
        assert "cret" not in str(raised.value)


def test_reaches_the_server():
    """The server sees the encoded path and Host, and the connection tells the encoded URI."""
    seen = []

    def handler(connection):
        seen.append((connection.request.path, connection.request.headers["Host"]))
        connection.recv(10)

    with serve(handler, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        port = server.socket.getsockname()[1]
        endpoint = wspool.EndpointPool.instance().get_endpoint()
        # The mapping makes digits of these.
        connection = endpoint.create_new_connection(f"ws://①②⑦.0.0.1:{port}/straße?q=ü")
        assert connection.opened.result(10) is wspool.Status.OPENED, connection.error
        assert connection.uri == f"ws://127.0.0.1:{port}/stra%C3%9Fe?q=%C3%BC"
        connection.send("seen")
        connection.wait_closed(10)
        server.shutdown()
        thread.join()
    assert seen == [("/stra%C3%9Fe?q=%C3%BC", f"127.0.0.1:{port}")]


def test_name_is_looked_up_encoded():
    """What is looked up is the encoded name."""
    endpoint = wspool.EndpointPool.instance().get_endpoint()
    connection = endpoint.create_new_connection("ws://münchen.invalid/")
    assert connection.opened.result(20) is wspool.Status.FAILED
    assert isinstance(connection.error, socket.gaierror)
    assert "xn--mnchen-3ya.invalid" in str(connection.error)


def test_idna_is_imported_when_needed():
    """Programs with ASCII hosts do not pay for its tables."""
    code = (
        "import sys, wspool; from wspool.uri import to_ascii\n"
        "to_ascii('ws://h/ü'); assert 'idna' not in sys.modules\n"
        "to_ascii('ws://ü.example/'); assert 'idna' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
