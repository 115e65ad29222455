"""What the package exports, and how its modules hang together."""

import ast
import inspect
import logging
import re
import subprocess
import sys
from pathlib import Path

import pytest

import wspool

PACKAGE = Path(wspool.__file__).parent

PUBLIC = """
BufferFull Close CloseCode Closed ConcurrencyError Connection ConnectionClosed
ConnectionClosedError ConnectionClosedOK ConnectionOptions Deflate Endpoint EndpointPool Event
Fields
Gap Headers InvalidHandshake InvalidHeader InvalidMessage InvalidState InvalidStatus InvalidURI
InvalidUpgrade Message NegotiationError Opened Options PayloadTooBig PoolClosed ProtocolError
ProxyError QueueFull RecordBatch Reconnect RecordStatistics RecordStream Request Response
RoundTrips SecurityError Statistics Status StreamConnection TLS UnknownConnection WSPoolError
WrongProcess __version__ aio connect pick stream sync unix_connect
"""

SIGNATURES = {
    "EndpointPool.__init__": "(self, size=None)",
    "EndpointPool.instance": "()",
    "EndpointPool.max_index": "(self)",
    "EndpointPool.get_endpoint": "(self, index=None)",
    "EndpointPool.close": "(self, timeout=10)",
    "Endpoint.create_new_connection": "(self, uri, *, on_open=None, on_message=None, on_close=None,"
    " on_fail=None, on_error=None, on_event=None, fields=None, on_batch=None, on_record=None,"
    " on_unmatched=None, **options)",
    "Endpoint.send_msg": "(self, id, message, text=None)",
    "Endpoint.close": "(self, id, code=1000, reason='')",
    "Endpoint.disable_callbacks": "(self, id)",
    "Endpoint.close_all_connections": "(self, code=1001, reason='')",
    "Endpoint.wait_for_closing_all": "(self, timeout=None)",
    "Connection.send": "(self, /, message, text=None)",
    "Connection.ping": "(self, data=None)",
    "Connection.pong": "(self, data=b'')",
    "Connection.close": "(self, code=1000, reason='')",
    "Connection.wait_closed": "(self, timeout=None)",
    "Connection.abort": "(self)",
    "Fields.__init__": "(self, columns, *, where=None, rows=None)",
    "pick": "(data, fields, *, received_ns=None, connection=None)",
    "stream": "(uris, *, fields, batch_rows=4096, max_delay=0.1, order='arrival', max_batches=16,"
    " on_unmatched=None, pool=None, **options)",
    "RecordStream.next": "(self, timeout=None)",
    "RecordStream.close": "(self, code=1000, reason='')",
    "RecordBatch.to_pydict": "(self)",
    "aio.stream": "(uris, *, fields, batch_rows=4096, max_delay=0.1, order='arrival',"
    " max_batches=16, on_unmatched=None, pool=None, **options)",
    "aio.RecordStream.next": "(self)",
    "aio.RecordStream.close": "(self, code=1000, reason='')",
    "connect": "(uri, *, pool=None, **options)",
    "sync.connect": "(uri, *, pool=None, **options)",
    "sync.ClientConnection.recv": "(self, /, timeout=None, decode=None)",
    "sync.ClientConnection.recv_many": "(self, /, max_messages=None, timeout=None, decode=None)",
    "sync.ClientConnection.recv_streaming": "(self, decode=None)",
    "sync.ClientConnection.send": "(self, /, message, text=None)",
    "sync.ClientConnection.ping": "(self, data=None)",
    "sync.ClientConnection.pong": "(self, data=b'')",
    "sync.ClientConnection.close": "(self, code=1000, reason='')",
    "sync.ClientConnection.wait_closed": "(self, timeout=None)",
    "aio.connect": "(uri, *, pool=None, **options)",
    "aio.ClientConnection.recv": "(self, timeout=None, decode=None)",
    "aio.ClientConnection.recv_many": "(self, max_messages=None, timeout=None, decode=None)",
    "aio.ClientConnection.recv_streaming": "(self, decode=None)",
    "aio.ClientConnection.send": "(self, message, text=None)",
    "aio.ClientConnection.ping": "(self, data=None)",
    "aio.ClientConnection.pong": "(self, data=b'')",
    "aio.ClientConnection.close": "(self, code=1000, reason='')",
    "aio.ClientConnection.wait_closed": "(self)",
    "Message": "(payload, received_ns=0)",
    "Message.json": "(self, /)",
    "Message.at": "(self, pointer, /)",
}

ATTRIBUTES = {
    "Connection": "id uri endpoint status error opened request response subprotocol local_address"
    " remote_address latency close_code close_reason",
    "Endpoint": "connections",
    "Message": "text data is_text received_ns",
    "Status": "CONNECTING OPENED FAILED CLOSED CLOSING",
}


def test_exports():
    """The package exports what it should, and nothing else by `*`."""
    assert sorted(wspool.__all__) == sorted(PUBLIC.split())
    for name in wspool.__all__:
        assert hasattr(wspool, name)


@pytest.mark.parametrize("name", SIGNATURES)
def test_signature(name):
    """Signatures are those that users rely on."""
    thing = wspool
    for part in name.split("."):
        thing = getattr(thing, part)
    signature = inspect.signature(thing)
    plain = [p.replace(annotation=inspect.Parameter.empty) for p in signature.parameters.values()]
    assert str(inspect.Signature(plain)) == SIGNATURES[name]


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_attributes(name):
    """Attributes are those that users rely on."""
    for attribute in ATTRIBUTES[name].split():
        assert hasattr(getattr(wspool, name), attribute)


def test_version():
    """The version is that of the core."""
    assert re.fullmatch(r"\d+\.\d+\.\d+", wspool.__version__)


def test_docstrings():
    """Everything public is documented."""
    for name in wspool.__all__:
        thing = getattr(wspool, name)
        if not inspect.isclass(thing):
            continue
        assert inspect.getdoc(thing), name
        for member, value in vars(thing).items():
            if not member.startswith("_") and (callable(value) or isinstance(value, property)):
                assert inspect.getdoc(value), f"{name}.{member}"


def test_typed():
    """Type checkers are told that the package has types."""
    assert (PACKAGE / "py.typed").exists()
    assert (PACKAGE / "_core.pyi").exists()


def test_no_logging_set_up():
    """The library leaves logging to the program."""
    assert logging.getLogger("wspool").handlers == []


def imports_of(path):
    """Which modules of the package a module imports, also inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            if node.level == 1 and node.module:
                found.add(node.module.split(".")[0])
            elif node.level == 1 or node.module == "wspool":
                found.update(alias.name for alias in node.names)
            elif (node.module or "").startswith("wspool."):
                found.add(node.module.split(".")[1])
        elif isinstance(node, ast.Import):
            found.update(
                alias.name.split(".")[1] for alias in node.names if alias.name.startswith("wspool.")
            )
    return found


MODULES = {path.stem: path for path in PACKAGE.glob("*.py") if path.stem != "__init__"}


def test_one_module_imports_the_core():
    """Only native.py imports the compiled module."""
    importers = {name for name, path in MODULES.items() if "_core" in imports_of(path)}
    assert importers == {"native"}


#: Who may import whom; a TYPE_CHECKING import counts, except where two types name each other.
ORDER = [
    "exceptions",
    "events",
    "native",
    "compression",
    "tls",
    "uri",
    "fields",
    "reconnecting",
    "proxy",
    "options",
    "connection",
    "pool",
]


def test_imports_point_one_way():
    """Each module imports only those before it."""
    for place, name in enumerate(ORDER):
        upward = imports_of(MODULES[name]) & set(ORDER[place:])
        assert upward <= ({"pool"} if name == "connection" else set()), name


def test_missing_core_is_said_plainly(tmp_path):
    """Without the compiled module the import error says so."""
    package = tmp_path / "wspool"
    package.mkdir()
    for path in PACKAGE.glob("*.py"):
        (package / path.name).write_text(path.read_text())
    result = subprocess.run(
        [sys.executable, "-S", "-c", "import wspool"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 1
    assert "native core (wspool._core) could not be loaded" in result.stderr
    assert "pip install" in result.stderr
