"""`wspool top`, in a pipe and at a terminal."""

import os
import re
import signal
import subprocess
import sys
import time

import pexpect
import pytest
from tests.support import terminal

import wspool.testing
from wspool.cli.table import sparkline

WSPOOL = [sys.executable, "-W", "error", "-m", "wspool", "top"]
SECONDS = 20
ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if "proxy" not in name.lower()},
    "TERM": "xterm-256color",
    "PYTHONUTF8": "1",
}
ENVIRONMENT.pop("COLUMNS", None)
ENVIRONMENT.pop("LINES", None)
DOWN = "ws://127.0.0.1:1/down"


def run(*arguments, **options):
    """Run `wspool top` to its end, in pipes."""
    return subprocess.run(
        [*WSPOOL, *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        **{"env": ENVIRONMENT, **options},
    )


def table(text):
    """The rows of a table of plain text by their names, each a mapping from heading to cell."""
    heading, *lines = [re.split(r"\s{2,}", line) for line in text.splitlines()]
    return {line[0]: dict(zip(heading, line, strict=False)) for line in lines}


def at_a_terminal(*arguments, width=150, height=30, term="xterm-256color"):
    """Start `wspool top` in a pseudo terminal."""
    return terminal.at_a_terminal(
        [*WSPOOL, *arguments], {**ENVIRONMENT, "TERM": term}, width=width, height=height
    )


def ended(child):
    """What a child in a terminal still printed, without control sequences, and its exit code."""
    text, code = terminal.ended(child)
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text), code


@pytest.fixture
def feed():
    """A server that sends 500 messages of 100 bytes a second."""
    with wspool.testing.replay(["x" * 100] * 50, repeat=None, rate=500) as server:
        yield server


class TestOnce:
    def test_rates(self, feed):
        """A line for each feed, and their sum."""
        with wspool.testing.sink() as silent:
            done = run("--once", "--interval", 2, feed.uri + "/a", silent.uri)
        assert (done.returncode, done.stderr) == (0, "")
        rows = table(done.stdout)
        assert list(rows) == [feed.uri + "/a", silent.uri + "/", "2 feeds"]
        busy, idle, total = rows.values()
        assert busy["state"] == idle["state"] == "open"
        assert total["state"] == "2 open"
        rate = float(busy["msg/s"])
        assert float(busy["MB/s"]) == pytest.approx(rate * 100 / 1e6, abs=0.001)
        assert float(busy["wire MB/s"]) >= float(busy["MB/s"])
        assert (busy["gen"], busy["reconn"], busy["queue"], busy["drops"]) == ("1", "0", "0", "0")
        assert float(busy["p50 ms"]) <= float(busy["p99 ms"])
        assert busy["last"].endswith(" s")
        assert (idle["msg/s"], idle["last"]) == ("0", "-")
        for server in (feed, silent):
            assert server.wait_idle(SECONDS)
            assert [one.close_code_received for one in server.connections] == [1001]
        # Two of the seconds that the server was sending for, however many messages that were.
        sent = feed.connections[0].messages_sent
        assert sent / 4 < 2 * rate < 1.02 * sent

    def test_unreachable_host(self, feed):
        """It is in the table, with the reason."""
        done = run("--once", feed.uri, DOWN)
        assert (done.returncode, done.stderr) == (3, "")
        row = table(done.stdout)[DOWN]
        assert (row["state"], row["gen"]) == ("connecting", "0")
        assert row["reason"] == "cannot connect to 127.0.0.1 port 1: Connection refused"
        assert table(done.stdout)["2 feeds"]["state"] == "1 open"

    def test_what_trying_again_does_not_mend(self):
        """Such a feed has failed."""
        with wspool.testing.echo(tls=True) as server:
            done = run("--once", server.uri)
        row = table(done.stdout)[server.uri + "/"]
        assert (done.returncode, row["state"]) == (3, "failed")
        assert "certificate" in row["reason"]

    def test_tls(self):
        """With the authority, or without looking who it is; other feeds may be plain."""
        with wspool.testing.echo(tls=True) as server, wspool.testing.sink() as plain:
            done = run("--once", "--ca-file", server.ca_file, server.uri, plain.uri)
            assert (done.returncode, done.stderr) == (0, "")
            done = run("--once", "--insecure", server.uri)
            assert done.returncode == 0
            assert done.stderr.startswith("wspool: warning: --insecure")

    def test_subscriptions_and_headers(self):
        """They are sent, in order."""
        with wspool.testing.replay(["x"], start="message") as server:
            run(
                "--once",
                "--subscribe",
                "one",
                "--subscribe",
                "two",
                "--header",
                "X-A: b",
                server.uri,
            )
            (record,) = server.connections
        assert record.messages_received == 2
        assert record.payload_bytes_received == 6

    def test_file(self, feed, tmp_path):
        """@file has a URI a line."""
        name = tmp_path / "feeds.txt"
        # Some editors put a byte order mark before it.
        name.write_text(f"{feed.uri}/a\n\n # ours\n  {feed.uri}/b\n", encoding="utf-8-sig")
        done = run("--once", f"@{name}", feed.uri + "/c", "--endpoints", 1)
        rows = list(table(done.stdout))
        assert rows == [f"{feed.uri}/{letter}" for letter in "abc"] + ["3 feeds"]

    def test_no_secrets(self, feed):
        """Neither user and password nor the query are shown; rows are told apart."""
        uri = feed.uri.replace("//", "//user:secret@")
        done = run("--once", uri + "/?token=secret1", uri + "/?token=secret2")
        assert "secret" not in done.stdout
        assert list(table(done.stdout))[:2] == [f"{feed.uri}/?...", f"{feed.uri}/?... #2"]

    def test_proxy(self, feed):
        """What goes by a proxy that is not there says so; none goes directly."""
        done = run("--once", "--proxy", "http://127.0.0.1:1", feed.uri)
        assert done.returncode == 3
        assert "127.0.0.1 port 1" in table(done.stdout)[feed.uri + "/"]["reason"]
        environment = {**ENVIRONMENT, "all_proxy": "http://127.0.0.1:1", "no_proxy": ""}
        assert run("--once", feed.uri, env=environment).returncode == 3
        assert run("--once", "--proxy", "none", feed.uri, env=environment).returncode == 0

    @pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
    def test_other_encodings(self, feed, encoding):
        """Plain text is plain."""
        environment = {**ENVIRONMENT, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
        done = run("--once", "--interval", 0.2, feed.uri, env=environment)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.isascii()


class TestUsage:
    @pytest.mark.parametrize(
        ("arguments", "text"),
        [
            ([], "the following arguments are required: URI"),
            (["http://localhost/"], "http://localhost/"),
            (["ws://user:secret@ho st/"], "ws://ho st/"),
            (["@nowhere.txt"], "nowhere.txt: No such file or directory"),
            (["@/dev/null"], "there is no URI to watch"),
            (["--interval", "0", DOWN], "must be at least 0.05"),
            (["--interval", "inf", DOWN], "must be at most 86400"),
            (["--endpoints", "0", DOWN], "must be at least 1"),
            (["--endpoints", "5000", DOWN], "size must be in 1..4096"),
            (["--header", "x", DOWN], "must be 'Name: value'"),
            (["--insecure", DOWN], "--ca-file and --insecure need a wss:// URI"),
            (["--ca-file", "nowhere.pem", "wss://localhost/"], "nowhere.pem"),
            (["--proxy", "ftp://x", DOWN], "proxy must begin with one of http://"),
        ],
    )
    def test_mistake(self, arguments, text, tmp_path):
        """It is said in one line, and ends with 2."""
        done = run("--once", *arguments, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("wspool: error: ")
        assert text in done.stderr
        assert done.stderr.count("\n") == 1
        assert "secret" not in done.stderr

    def test_mistake_in_a_file(self, tmp_path):
        """File and line are named."""
        name = tmp_path / "feeds.txt"
        name.write_text(f"{DOWN}\nhttp://localhost/\n")
        done = run(f"@{name}")
        assert done.returncode == 2
        assert f"{name}:2: " in done.stderr

    def test_without_rich(self):
        """The error says what to install."""
        program = (
            "import sys; sys.modules['rich'] = None\n"
            f"from wspool.cli import main; sys.exit(main(['top', '{DOWN}']))"
        )
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=False
        )
        assert done.returncode == 2
        assert done.stderr == "wspool: error: wspool top needs rich: pip install 'wspool[top]'\n"


class TestPipe:
    def test_a_table_each_interval(self, feed):
        """Where nobody looks at a terminal; SIGINT ends it with a summary."""
        with subprocess.Popen(
            [*WSPOOL, "--interval", "0.2", feed.uri],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT,
        ) as process:
            lines = [process.stdout.readline() for _ in range(8)]
            process.send_signal(signal.SIGINT)
            rest, errors = process.communicate(timeout=SECONDS)
        assert lines[0] == lines[4]
        assert lines[3] == lines[7] == "\n"
        assert "\x1b" not in "".join(lines)
        assert (process.returncode, errors) == (0, "")
        assert re.search(r"1 feed, 1 open: [\d,]+ messages in [\d.]+ s, ", rest.splitlines()[-1])


class TestTerminal:
    @pytest.mark.parametrize("how", ["q", "Q", "\x03"])
    def test_quits_with_a_summary(self, feed, how):
        """By q or Ctrl-C; the last table stays."""
        with at_a_terminal("--interval", 0.2, feed.uri, DOWN) as child:
            child.expect("q or Ctrl-C quits")
            child.expect("Connection refused")
            child.expect("█")
            child.send(how)
            text, code = ended(child)
        assert code == 0
        assert "2 feeds, 1 open: " in text.splitlines()[-1]
        assert " failed attempts, 0 drops, ping p50 " in text.splitlines()[-1]
        assert feed.wait_idle(SECONDS)
        assert [one.close_code_received for one in feed.connections] == [1001]

    def test_terminal_is_put_in_order(self, feed):
        """The cursor is shown, the other screen left, and keys are echoed again."""
        with at_a_terminal("--interval", 0.1, feed.uri) as child:
            child.expect("q or Ctrl-C quits")
            child.send("q")
            child.expect(pexpect.EOF)
            assert "\x1b[?1049l" in child.before
            assert "\x1b[?25h" in child.before

    def test_terminated(self, feed):
        """SIGTERM ends it in order, too."""
        with at_a_terminal("--interval", 0.1, feed.uri) as child:
            child.expect("q or Ctrl-C quits")
            child.kill(signal.SIGTERM)
            child.expect(pexpect.EOF)
            child.wait()
            assert "\x1b[?1049l" in child.before
            assert child.exitstatus == 143
        assert feed.wait_idle(SECONDS)
        assert [one.close_code_received for one in feed.connections] == [1001]

    def test_reconnects(self, feed):
        """A lost feed is shown as lost, with the reason, and comes back."""
        with at_a_terminal("--interval", 0.05, feed.uri) as child:
            child.expect("1 open")
            feed.close_connections(1012, "restart")
            child.expect(r"lost")
            child.expect("1 open")
            child.expect("q or Ctrl-C quits")
            child.send("q")
            text, code = ended(child)
        assert code == 0
        assert "1 reconnects" in text

    @pytest.mark.parametrize("width", [40, 80, 100, 120, 200])
    def test_width(self, feed, width):
        """What matters most is there, however narrow it is; no line is broken."""
        with at_a_terminal("--interval", 0.1, feed.uri, DOWN, width=width) as child:
            child.expect("q or Ctrl-C quits")
            time.sleep(0.3)
            child.send("q")
            text, code = ended(child)
        assert code == 0
        *_, last = text.split("feed ")
        lines = ("feed " + last).splitlines()
        assert "state" in lines[0]
        assert "msg/s" in lines[0]
        assert ("p99 ms" in lines[0]) == (width >= 80)
        assert ("lately" in lines[0]) == (width >= 130)
        assert all(len(line) <= width for line in lines[:-1] if "feeds, " not in line)

    def test_more_feeds_than_lines(self, feed):
        """Those in trouble are shown first, and how many more there are."""
        uris = [f"{feed.uri}/{number}" for number in range(40)]
        with at_a_terminal("--interval", 0.2, *uris, DOWN, height=15, width=100) as child:
            child.expect("40 open")
            child.expect(r"(?s)feed .*?/down .*?and 3\d more.*?41 feeds.*?Connection refused")
            child.send("q")
            _, code = ended(child)
        assert code == 0

    def test_dumb_terminal(self, feed):
        """Without cursor movements there are tables of plain text."""
        with at_a_terminal("--interval", 0.1, feed.uri, term="dumb") as child:
            child.expect("1 open")
            child.expect("1 open")
            child.send("\x03")
            child.expect("1 feed, 1 open: ")
            child.expect(pexpect.EOF)
            child.wait()
        assert child.exitstatus == 0


def test_sparkline():
    """The highest bar is the greatest value; zero is the lowest."""
    assert sparkline([]) == ""
    assert sparkline([0, 0]) == "▁▁"
    assert sparkline([0, 1, 2, 4, 8]) == "▁▂▃▅█"
