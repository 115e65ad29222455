"""The code in docs/ runs as it stands there, its tables are complete, and its messages are real.

A comment before a block says what is special about it:

    <!-- docs-test: compile: REASON -->  only compiled and type-checked
    <!-- docs-test: proxy: KIND -->      proxy.example is a real proxy: http, https or socks5h
"""

import ast
import contextlib
import importlib.util
import inspect
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.proxies import http_proxy, https_proxy, socks_proxy

import wspool
import wspool.testing

from .same_as_websockets.table import CASES

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
EXAMPLES = ROOT / "examples" / "python"
PAGES = sorted(DOCS.rglob("*.md"))
BLOCK = re.compile(r"(?m)^(?:<!-- docs-test: (.*?) -->\n)?```python\n((?s:.*?))^```$")
TEXT_URI = re.compile(r"(wss?)://((?:[\w:]+@)?)[\w.-]+:8765")
PROXY_URI = re.compile(r"(\w+)://((?:[\w:]+@)?)proxy\.example:\d+")
PROXIES = {
    "http": lambda: http_proxy("user", "secret"),
    "https": https_proxy,
    "socks5h": socks_proxy,
}
WIDTH = 120


def read(page):
    return page.read_text(encoding="utf-8")


def blocks():
    """Every Python block with its directive, for pytest."""
    for page in PAGES:
        text = read(page)
        for match in BLOCK.finditer(text):
            line = text[: match.start(2)].count("\n")
            name = f"{page.relative_to(DOCS)}:{line}"
            yield pytest.param(match[1] or "", match[2], id=name)


BLOCKS = list(blocks())


def run(*command, **options):
    return subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        **options,
    )


# --- the blocks ---


def test_most_blocks_run():
    """Few blocks are only compiled, and each says why."""
    directives = [block.values[0] for block in BLOCKS]
    assert len(BLOCKS) > 30
    assert sum(directive.startswith("compile") for directive in directives) <= 3
    for directive in filter(None, directives):
        assert re.fullmatch(r"compile: .{10,}|proxy: (http|https|socks5h)", directive)


@contextlib.contextmanager
def proxied(directive, code, folder):
    """Put a real proxy in the place of the one in the code, and check that it was used."""
    if not directive.startswith("proxy: "):
        yield code
        return
    with PROXIES[directive.removeprefix("proxy: ")]() as proxy:
        if proxy.ca_file:
            shutil.copy(proxy.ca_file, folder / "proxy-ca.pem")
        yield PROXY_URI.sub(rf"\g<1>://\g<2>{proxy.host}:{proxy.port}", code)
        assert proxy.requests


@pytest.mark.parametrize(("directive", "code"), BLOCKS)
def test_block(directive, code, tmp_path):
    """It ends with status 0 and nothing on stderr, warnings being errors."""
    compile(code, "block", "exec")
    if directive.startswith("compile"):
        return
    with wspool.testing.echo(tls=True, subprotocols=["chat"]) as server:
        shutil.copy(server.ca_file, tmp_path / "ca.pem")
        here = rf"\1://\2localhost:{server.port}"
        code = code.replace("127.0.0.1:8765", f"127.0.0.1:{server.port}")
        with proxied(directive, TEXT_URI.sub(here, code), tmp_path) as code:
            (tmp_path / "block.py").write_text(code, encoding="utf-8")
            result = run(
                sys.executable,
                *("-W", "error", "block.py"),
                cwd=tmp_path,
                env={"SSL_CERT_FILE": server.ca_file, "PYTHONUTF8": "1"},
            )
        records = server.connections
    assert result.stderr == ""
    assert result.returncode == 0
    if re.search(r"wspool(\.aio)?\.connect\(\s*\"wss://", code):
        assert records
        assert [record.error for record in records] == [""] * len(records)


@pytest.mark.skipif(not importlib.util.find_spec("mypy"), reason="mypy is not installed")
def test_blocks_and_examples_have_right_types(tmp_path):
    """`mypy --strict` finds nothing in the blocks and in the examples."""
    for number, block in enumerate(BLOCKS):
        code = block.values[1]
        (tmp_path / f"block_{number}.py").write_text(f"# {block.id}\n{code}", encoding="utf-8")
    config = tmp_path / "mypy.ini"
    untyped = "[mypy-pyarrow.*]\nignore_missing_imports = True\n"
    config.write_text(f"[mypy]\nstrict = True\n{untyped}")
    result = run(
        *(sys.executable, "-m", "mypy", "--config-file", config),
        *("--cache-dir", tmp_path / "cache"),
        *sorted(tmp_path.glob("block_*.py")),
        *sorted(EXAMPLES.glob("*.py")),
        cwd=tmp_path,
    )
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.skipif(not shutil.which("openssl"), reason="there is no openssl")
def test_private_ca(tmp_path):
    """The commands of the page make certificates that work, and the first block trusts them."""
    text = read(DOCS / "how-to" / "private-ca.md")
    commands = re.search(r"(?ms)^```sh\n(.*?)^```$", text)[1]
    made = run("sh", "-euc", commands, cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    files = (tmp_path / "server.pem", tmp_path / "server.key")
    with wspool.testing.echo(tls=files) as server:
        tls = wspool.TLS(ca_file=tmp_path / "ca.pem")
        with wspool.connect(server.uri, ssl=tls, server_hostname="feeds.example") as ws:
            ws.send("Hello")
            assert ws.recv() == "Hello"
        with pytest.raises(OSError, match="hostname mismatch"):
            wspool.connect(server.uri, ssl=tls, server_hostname="other.example")


# --- the text ---


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_page(page):
    """Lines are short, exact headings and rows of tables aside, and links lead somewhere."""
    text = read(page)
    if page.name != "architecture.md":
        long = [line for line in text.splitlines() if len(line) > WIDTH]
        assert [line for line in long if not line.startswith(("### `", "| "))] == []
    for target in re.findall(r"\]\(([^)#:]+\.md)", text):
        assert (page.parent / target).exists(), target


def test_differences_are_those_of_the_cases():
    """The page has the reason of each case that differs, and no other."""
    reasons = {" ".join(case.differs.reason.split()) for case in CASES if case.differs is not None}
    page = read(DOCS / "migrate" / "differences.md").partition("## The list")[2]
    items = re.findall(r"(?ms)^- (.*?)(?=^- |^#|\Z)", page)
    assert {" ".join(item.split()) for item in items} == reasons


def rows(page, heading):
    """The first cells of the table below a heading, without backticks."""
    section = re.search(rf"(?ms)^## {re.escape(heading)}$(.*?)(?=^## |\Z)", read(page))[1]
    return re.findall(r"(?m)^\| `?(\w+)`? \|", section)[1:]


def test_table_of_websockets_arguments_is_complete():
    """Each argument of websockets' `connect`, blocking and asyncio, has a row, and no other."""
    sync = pytest.importorskip("websockets.sync.client", minversion=None)
    aio = pytest.importorskip("websockets.asyncio.client")
    theirs = {*inspect.signature(sync.connect).parameters}
    theirs |= {*inspect.signature(aio.connect.__init__).parameters} - {"self"}
    named = rows(DOCS / "migrate" / "websockets.md", "Arguments of connect")
    assert len(named) == len(set(named))
    assert theirs <= set(named)


def test_table_of_websockets_methods_is_complete():
    """Each documented method and attribute of websockets' connections has a row."""
    sync = pytest.importorskip("websockets.sync.client")
    aio = pytest.importorskip("websockets.asyncio.client")
    named = set(rows(DOCS / "migrate" / "websockets.md", "Methods and attributes of a connection"))
    internal = """
        acknowledge_pings close_exc close_socket connection_lost connection_made data_received
        drain eof_received handshake keepalive maybe_raise_legacy_warning pause_writing
        process_event recv_bufsize recv_events resume_writing send_context send_data
        set_connection_exc start_keepalive terminate_pending_pings
    """
    for kind in (sync.ClientConnection, aio.ClientConnection):
        theirs = {name for name in dir(kind) if not name.startswith("_")}
        assert theirs - set(internal.split()) <= named
    assert {"id", "logger", "latency", "request", "response"} <= named


def test_table_of_websockets_exceptions_is_complete():
    """Each exception of websockets has a row, and "same" is the same name here."""
    theirs = pytest.importorskip("websockets.exceptions").__all__
    page = DOCS / "migrate" / "websockets.md"
    named = rows(page, "Exceptions")
    assert set(theirs) <= set(named)
    for name in re.findall(r"(?m)^\| `([A-Z]\w+)` \| same \|", read(page)):
        assert name in wspool.__all__


def test_names_of_options_are_right():
    """What the tables call the same is an option here, or a name of a connection."""
    page = DOCS / "migrate" / "websockets.md"
    options = wspool.ConnectionOptions.__annotations__.keys() | {"uri"}
    section = re.search(r"(?ms)^## Arguments of connect$(.*?)^## ", read(page))[1]
    assert set(re.findall(r"(?m)^\| `(\w+)` \| same", section)) <= options
    section = re.search(r"(?ms)^## Methods and attributes.*?$(.*?)^## ", read(page))[1]
    for name in re.findall(r"(?m)^\| `(\w+)` \| same", section):
        assert hasattr(wspool.sync.ClientConnection, name), name
        assert hasattr(wspool.aio.ClientConnection, name), name


def test_life_of_a_feed(tmp_path):
    """The picture is drawn of a run in which a feed was lost, and replaced without a gap."""
    pytest.importorskip("matplotlib")
    result = run(sys.executable, "-W", "error", DOCS / "feed_life.py", tmp_path / "life.svg")
    assert result.returncode == 0, result.stderr
    kinds = re.findall(r"(?m)^(Opened|Gap|Closed)\(", result.stdout)
    assert kinds == ["Opened", "Closed", "Gap", "Opened", "Closed", "Opened", "Closed"]
    assert (tmp_path / "life.svg").stat().st_size > 10_000


# --- the FAQ ---


def headings():
    return re.findall(r"(?m)^### `(.*)`$", read(DOCS / "faq.md"))


@pytest.fixture(scope="module")
def provoked():
    """What Python prints for each of the mistakes."""
    result = run(sys.executable, DOCS / "provoke_messages.py")
    assert result.returncode == 0, result.stderr
    return ast.literal_eval(result.stdout)


@pytest.mark.parametrize("heading", headings())
def test_message_of_the_faq(heading, provoked):
    """Somebody who does the wrong thing reads exactly this."""
    pattern = ".*".join(re.escape(part) for part in heading.split("..."))
    assert any(re.fullmatch(pattern, message) for message in provoked), "\n".join(provoked)


# --- the examples ---

RUNS = {
    "blocking_client.py": "Hello",
    "asyncio_client.py": "Hello",
    "many_feeds.py": "messages",
    "reconnecting_feed.py": "2 gaps were told",
    "redundant_feed.py": " 0 missing, 0 gaps",
    "chat_bot.py": "bot",
}


def test_each_new_example_is_run():
    """A new example comes with a run below; demo.py has tests of its own."""
    assert {path.name for path in EXAMPLES.glob("*.py")} - {"demo.py"} >= set(RUNS)


@pytest.mark.parametrize("name", RUNS)
def test_example(name):
    """It runs without arguments, says something, and ends with 0."""
    result = run(sys.executable, "-W", "error", EXAMPLES / name)
    assert result.stderr == ""
    assert result.returncode == 0, result.stdout
    assert RUNS[name] in result.stdout


@pytest.mark.parametrize("name", ["blocking_client.py", "asyncio_client.py"])
def test_example_with_uri(name):
    """It takes the URI of another server."""
    with wspool.testing.echo() as server:
        result = run(sys.executable, "-W", "error", EXAMPLES / name, server.uri)
        assert result.returncode == 0, result.stdout + result.stderr
        assert server.connections[0].close_code_received == 1000
