"""The command line, as a shell and as somebody at a terminal use it."""

import contextlib
import os
import re
import shlex
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path

import pytest
from tests.support import terminal
from tests.support.terminal import ended
from websockets.sync.server import serve

import wspool
import wspool.cli
import wspool.testing
from wspool.cli.arguments import make_parser
from wspool.cli.output import plain, redact

WSPOOL = [sys.executable, "-m", "wspool"]
SECONDS = 20
ENVIRONMENT = {**os.environ, "TERM": "xterm", "PYTHONWARNINGS": "error", "COLUMNS": "80"}


def run(*arguments, stdin="", text=True):
    """Run `wspool` to its end, in pipes."""
    return subprocess.run(
        [*WSPOOL, *map(str, arguments)],
        input=stdin,
        capture_output=True,
        text=text,
        timeout=SECONDS,
        env=ENVIRONMENT,
        check=False,
    )


@contextlib.contextmanager
def started(*arguments, **options):
    """Start `wspool` in pipes; what is still running at the end is killed."""
    options = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, **options}
    with subprocess.Popen(
        [*WSPOOL, *map(str, arguments)],
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
        **options,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def outcome(process):
    """Exit code and standard error of a process that is about to end."""
    errors = process.communicate(timeout=SECONDS)[1]
    return process.returncode, errors


def at_a_terminal(*arguments, term="xterm"):
    """Start `wspool connect` in a pseudo terminal of 80 columns."""
    return terminal.at_a_terminal(
        [*WSPOOL, "connect", *arguments], {**ENVIRONMENT, "TERM": term}, width=80
    )


@pytest.fixture
def echo():
    with wspool.testing.echo() as server:
        yield server


def only_record(server):
    assert server.wait_idle(SECONDS)
    (record,) = server.connections
    return record


@contextlib.contextmanager
def peer(handler, **options):
    """A server of the websockets library, whose handler is a function of the connection."""
    with serve(handler, "127.0.0.1", 0, **options) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}/"
        finally:
            server.shutdown()
            thread.join()


@contextlib.contextmanager
def answering(answer):
    """A server that gives one HTTP answer to whoever connects."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer_once():
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

        thread = threading.Thread(target=answer_once)
        thread.start()
        yield f"ws://127.0.0.1:{listener.getsockname()[1]}/"
        thread.join()


class TestPipe:
    def test_lines_are_messages(self, echo):
        """Lines go out as text messages, messages come in as lines, and the close is proper."""
        done = run("connect", echo.uri, stdin="one\n\ntwo\nthree")
        assert (done.returncode, done.stdout, done.stderr) == (0, "one\n\ntwo\nthree\n", "")
        assert only_record(echo).close_code_received == 1000

    def test_many_lines(self, echo):
        """Nothing is lost, however late the answers come."""
        lines = "".join(f"{number}\n" for number in range(50_000))
        assert run("connect", echo.uri, stdin=lines).stdout == lines

    def test_empty_input(self, echo):
        """At the end of the input the connection is closed, before any message as well."""
        done = run("connect", echo.uri)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

    def test_no_descriptors(self, echo):
        """Closed standard streams are no input and no output."""
        command = f"{shlex.join(WSPOOL)} connect {echo.uri} <&- >&- 2>&-"
        assert subprocess.run(command, shell=True, timeout=SECONDS, check=False).returncode == 0

    def test_answers_in_time(self, echo):
        """A line is sent when it comes, not when the input ends."""
        with started("connect", echo.uri) as process:
            for line in ("one\n", "two\n"):
                process.stdin.write(line)
                process.stdin.flush()
                assert process.stdout.readline() == line
            assert outcome(process) == (0, "")

    def test_count(self, echo):
        """-n waits for so many messages beyond the end of the input."""

        def late(ws):
            assert ws.recv() == "go"
            for number in range(9):
                ws.send(str(number))
            with contextlib.suppress(Exception):
                ws.recv()

        with peer(late) as uri:
            done = run("connect", "-n", 3, uri, stdin="go\n")
        assert (done.returncode, done.stdout, done.stderr) == (0, "0\n1\n2\n", "")

    def test_count_not_reached(self):
        """A connection that ends before is an error, however properly it ends."""
        with wspool.testing.replay(["one", "two"]) as server:
            done = run("connect", "-n", 3, server.uri)
        assert (done.returncode, done.stdout) == (1, "one\ntwo\n")
        assert done.stderr == "closed: 1000 (OK)\nwspool: error: 2 of 3 messages came\n"

    def test_count_of_an_endless_feed(self):
        """It ends at once, whatever else is on its way."""
        with wspool.testing.replay(["x" * 100], repeat=None) as server:
            done = run("connect", "-l", "-n", 1000, server.uri)
            assert only_record(server).close_code_received == 1000
        assert (done.returncode, done.stdout, done.stderr) == (0, ("x" * 100 + "\n") * 1000, "")

    def test_listen(self):
        """--listen takes no notice of the input and ends when the server closes."""
        with wspool.testing.replay([f"m{number}" for number in range(3000)]) as server:
            done = run("connect", "--listen", server.uri, stdin="ignored\n")
            assert only_record(server).messages_received == 0
        assert done.stdout.split() == [f"m{number}" for number in range(3000)]
        assert (done.returncode, done.stderr) == (0, "closed: 1000 (OK)\n")

    def test_input_that_is_not_utf_8(self, echo):
        """What came before is sent; then it ends with an error."""
        done = run("connect", echo.uri, stdin=b"fine\n\xff\nnever\n", text=False)
        assert (done.returncode, done.stdout) == (2, b"fine\n")
        assert done.stderr == b"wspool: error: the input has a line that is not UTF-8\n"

    def test_input_that_cannot_be_read(self, echo, tmp_path):
        """It is an error, and the server gets a close frame."""
        with (
            open(tmp_path / "output", "w") as file,
            started("connect", echo.uri, stdin=file) as process,
        ):
            process.wait(SECONDS)
            errors = process.stderr.read()
        assert process.returncode == 2
        assert errors == "wspool: error: cannot read the input: Bad file descriptor\n"
        assert only_record(echo).close_code_received == 1000

    def test_output_that_cannot_be_written(self, echo):
        """A full disk is an error."""
        with open("/dev/full", "w") as full, started("connect", echo.uri, stdout=full) as process:
            process.stdin.write("hello\n")
            process.stdin.flush()
            process.wait(SECONDS)
            errors = process.stderr.read()
        assert process.returncode == 1
        assert errors == "wspool: error: cannot write the messages: No space left on device\n"
        assert only_record(echo).close_code_received == 1000

    def test_reader_that_goes(self):
        """`| head -1` ends it quietly, and the server gets a close frame."""
        with wspool.testing.replay(["x" * 100], repeat=None) as server:
            command = f"{shlex.join(WSPOOL)} connect -l {server.uri} | head -1"
            done = subprocess.run(
                command, shell=True, capture_output=True, text=True, timeout=SECONDS, check=False
            )
            assert only_record(server).close_code_received == 1000
        assert (done.stdout, done.stderr) == ("x" * 100 + "\n", "")

    def test_reader_that_goes_while_nothing_comes(self, echo):
        """Nobody has to send a message first."""
        with started("connect", echo.uri) as process:
            assert echo.wait_connections(1, SECONDS)
            process.stdout.close()
            process.wait(SECONDS)
            assert (process.returncode, process.stderr.read()) == (0, "")
        assert only_record(echo).close_code_received == 1000

    @pytest.mark.parametrize(
        ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["INT", "TERM"]
    )
    def test_signal(self, echo, number, code):
        """It says goodbye with 1001."""
        with started("connect", echo.uri) as process:
            process.stdin.write("ready\n")
            process.stdin.flush()
            assert process.stdout.readline() == "ready\n"
            process.send_signal(number)
            process.wait(SECONDS)
            assert (process.returncode, process.stderr.read()) == (code, "")
        assert only_record(echo).close_code_received == 1001

    def test_second_signal(self):
        """Who does not want to wait for a peer that does not answer presses Ctrl-C again."""
        with wspool.testing.sink(silent=True) as server:
            with started("connect", "-n", 1, server.uri, stdin=subprocess.DEVNULL) as process:
                assert server.wait_connections(1, SECONDS)
                began = time.monotonic()
                while process.poll() is None and time.monotonic() - began < 8:
                    process.send_signal(signal.SIGINT)
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(0.5)
                assert time.monotonic() - began < 8  # the close timeout is 10 s
                assert process.returncode in {130, -signal.SIGINT}


class TestMessages:
    def test_json(self):
        """--json indents, and leaves numbers, escapes and everything else as it came."""
        text = r'{"a":[1.10,{},[]],"b":{"c":"\u00e9,{\"","b":1e400},"b":null}'
        shown = r"""{
  "a": [
    1.10,
    {},
    []
  ],
  "b": {
    "c": "\u00e9,{\"",
    "b": 1e400
  },
  "b": null
}
"""
        with wspool.testing.replay([text, "{not JSON}", "12"]) as server:
            assert run("connect", "-l", "--json", server.uri).stdout == shown + "{not JSON}\n12\n"

    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            ([], bytes(range(256))),
            (["--binary", "raw"], bytes(range(256))),
            (["--binary", "hex"], bytes(range(256)).hex().encode() + b"\n"),
            (["--binary", "base64"], b"AAECAwQF"),
        ],
        ids=["default", "raw", "hex", "base64"],
    )
    def test_binary(self, options, expected):
        """Binary messages go to a file as they are, or as asked."""
        with wspool.testing.replay([bytes(range(256))]) as server:
            done = run("connect", "-l", *options, server.uri, text=False, stdin=b"")
        assert done.stdout.startswith(expected)
        assert options[1:] == ["base64"] or done.stdout == expected

    def test_terminal_gets_no_control_characters(self):
        """Whoever sends a message cannot play with the terminal of who reads it."""
        arguments = make_parser().parse_args(["connect", "ws://host/"])
        assert plain("a\x1b[2J\tb\nc\x9b", arguments, True) == b"a\\x1b[2J        b\nc\\x9b\n"
        assert plain(b"\x00\x01", arguments, True) == b"(2 bytes) 00 01\n"
        assert plain(bytes(99), arguments, True) == b"(99 bytes) " + b"00 " * 16 + b"...\n"

    def test_what_is_sent_of_the_options(self):
        """Headers, origin and subprotocols reach the server."""
        with wspool.testing.echo(subprotocols=["b"]) as server:
            done = run(
                *("connect", "--header", "X-One: 1: 1", "--header", "X-Two:2", "--no-compress"),
                *("--origin", "https://here", "--subprotocol", "a", "--subprotocol", "b"),
                *("--timeout", 5, "--ping-interval", "none", "--max-size", "none", server.uri),
            )
            assert (done.returncode, done.stderr) == (0, "")
            record = only_record(server)
        assert record.subprotocol == "b"
        assert {("X-One", "1: 1"), ("X-Two", "2"), ("Origin", "https://here")} <= {*record.headers}
        assert "Sec-WebSocket-Extensions" not in dict(record.headers)


class TestEnd:
    @pytest.mark.parametrize(
        ("code", "reason", "exit_code", "said"),
        [
            (1000, "", 0, "closed: 1000 (OK)\n"),
            (1001, "bye", 0, "closed: 1001 (going away) bye\n"),
            (1005, "", 0, "closed: 1005 (no status received [internal])\n"),
            (1011, "oops", 1, "closed: 1011 (internal error) oops\n"),
            (4000, "a\nb\x1b", 1, "closed: 4000 (private use) a\\x0ab\\x1b\n"),
        ],
    )
    def test_server_closes(self, echo, code, reason, exit_code, said):
        """How a server closes is told, and decides the exit code."""
        with started("connect", echo.uri) as process:
            assert echo.wait_connections(1, SECONDS)
            echo.close_connections(code, reason)
            process.wait(SECONDS)
            assert (process.returncode, process.stderr.read()) == (exit_code, said)

    def test_connection_lost(self, echo):
        """A connection that breaks is an error."""
        with started("connect", echo.uri) as process:
            assert echo.wait_connections(1, SECONDS)
            echo.abort_connections()
            process.wait(SECONDS)
            errors = process.stderr.read()
        assert process.returncode == 1
        assert errors.startswith("closed: no close frame received or sent: connection lost")

    def test_message_too_big(self, echo):
        """So is a message above --max-size."""
        done = run("connect", "--max-size", 10, "-n", 1, echo.uri, stdin="x" * 11)
        assert done.returncode == 1
        assert done.stderr.startswith("closed: ")
        assert "exceeds limit of 10 bytes" in done.stderr

    def test_quiet(self, echo):
        """--quiet leaves out what is not an error."""
        with started("connect", "-q", echo.uri) as process:
            assert echo.wait_connections(1, SECONDS)
            echo.close_connections(1000)
            assert outcome(process) == (0, "")


class TestNoConnection:
    def failed(self, *arguments):
        done = run("connect", *arguments)
        assert (done.returncode, done.stdout) == (3, "")
        assert re.fullmatch(r"wspool: error: .+\n", done.stderr)
        return done.stderr

    def test_refused(self):
        """Nobody listens: one line, without user, password and query."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            address = f"127.0.0.1:{listener.getsockname()[1]}"
        said = self.failed(f"ws://ada:secret@{address}/path?token=secret")
        assert said.count("://") == 1
        assert said.startswith(f"wspool: error: ws://{address}/path?...: cannot connect to ")
        assert "Connection refused" in said
        assert "secret" not in said

    def test_no_such_host(self):
        assert "nowhere.invalid" in self.failed("ws://nowhere.invalid/")

    def test_rejected(self):
        answer = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"
        with answering(answer) as uri:
            assert "HTTP 401" in self.failed(uri)

    def test_not_http(self):
        with answering(b"SSH-2.0-OpenSSH_9.2\r\n") as uri:
            self.failed(uri)

    def test_certificate(self):
        """A certificate that nobody vouches for is refused, unless it need not be checked."""
        with wspool.testing.echo(tls=True) as server:
            assert "certificate verify failed" in self.failed(server.uri)
            done = run("connect", "--insecure", server.uri, stdin="hello\n")
        assert (done.returncode, done.stdout) == (0, "hello\n")
        assert re.fullmatch("wspool: warning: --insecure: .+\n", done.stderr)

    def test_timeout(self):
        """--timeout bounds the waiting for a server that says nothing."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            began = time.monotonic()
            uri = f"ws://127.0.0.1:{listener.getsockname()[1]}/"
            assert "did not open within 0.2 s" in self.failed("--timeout", 0.2, uri)
            assert time.monotonic() - began < 8


class TestUsage:
    @pytest.mark.parametrize(
        "arguments",
        [
            [],
            ["ws://ada:secret@host/"],
            ["connect"],
            ["connect", "http://ada:secret@host/"],
            ["connect", "ws://ada:secret/@host/?secret"],
            ["connect", "ws://host/", "ws://ada:secret@host/?secret"],
            ["connect", "--header", "Authorization secret", "ws://host/"],
            ["connect", "--header", "Two Words: secret", "ws://host/"],
            ["connect", "--header", "Line: secret\nBreak: secret", "ws://host/"],
            ["connect", "--subprotocol", "two words", "ws://host/"],
            ["connect", "--binary", "octal", "ws://host/"],
            ["connect", "--timeout", "0", "ws://host/"],
            ["connect", "--timeout", "soon", "ws://host/"],
            ["connect", "--timeout", "nan", "ws://host/"],
            ["connect", "-n", "0", "ws://host/"],
            ["connect", "--max-size", "-1", "ws://host/"],
            ["connect", "--ca-file", "nowhere.pem", "wss://host/"],
            ["connect", "--ca-file", "/dev/null", "wss://host/"],
            ["connect", "--insecure", "ws://host/"],
            ["connect", "--insecure", "--ca-file", "nowhere.pem", "wss://host/"],
            ["echo", "--port", "70000"],
            ["echo", "--host", "nobody"],
            ["demo", "--connections", "0"],
        ],
        ids=" ".join,
    )
    def test_wrong(self, arguments, capfd):
        """One line that says what is wrong, and 2."""
        try:
            code = wspool.cli.main(arguments)
        except SystemExit as stop:
            code = stop.code
        out, err = capfd.readouterr()
        assert (code, out) == (2, "")
        assert re.fullmatch(r"wspool: error: .+\n", err)
        assert "secret" not in err

    def test_redact(self):
        """An @ in a path is no user."""
        assert redact("wss://a:b@host:1/ws/x@y") == "wss://host:1/ws/x@y"
        assert redact("no ws://host/?key=1 here") == "no ws://host/?... here"

    def test_version(self):
        done = run("--version")
        assert (done.returncode, done.stdout) == (0, f"wspool {wspool.__version__}\n")


def examples():
    """Every example of every help text."""
    for command in ([], ["connect"], ["echo"], ["demo"]):
        text = run(*command, "--help").stdout
        listed = text.partition("\nexamples:\n")[2].partition("\n\n")[0]
        yield from listed.splitlines()


class TestHelp:
    def test_examples_are_parsed(self):
        """All examples are commands that the parser takes."""
        found = list(examples())
        assert len(found) >= 10
        for example in found:
            words = shlex.split(example.rpartition("| ")[2].partition(" > ")[0])
            assert words[0] == "wspool"
            make_parser().parse_args(words[1:])

    def test_examples_run(self, echo, tmp_path):
        """Those that talk to an echo server do."""
        ran = 0
        for example in examples():
            if "connect" in example and "8765" in example:
                command = example.replace("ws://localhost:8765", echo.uri)
                command = re.sub(r"\bwspool connect", f"{shlex.join(WSPOOL)} connect", command)
                done = subprocess.run(
                    command,
                    shell=True,
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    timeout=SECONDS,
                    check=False,
                )
                assert (done.returncode, done.stderr) == (0, b""), example
                ran += 1
        assert ran >= 4


class TestTerminal:
    def test_conversation(self, echo):
        """Prompt, message, answer; Ctrl-D closes with 1000."""
        with at_a_terminal(echo.uri) as child:
            child.expect_exact(f"connected to {echo.uri}/\r\n")
            child.expect("> ")
            for text in ("hello", "Grüße"):
                child.sendline(text)
                child.expect_exact(f"< {text}")
            child.sendeof()
            rest, code = ended(child)
        assert "closed: 1000 (OK)" in rest
        assert code == 0
        assert only_record(echo).close_code_received == 1000

    def test_typed_text_survives_a_message(self, echo):
        """A message that comes while a line is typed neither ends nor changes that line."""
        stop = threading.Event()

        def interrupt(ws):
            assert ws.recv() == "ready"
            stop.wait(SECONDS)
            ws.send("interruption")
            ws.send(ws.recv())

        with peer(interrupt) as uri, at_a_terminal(uri) as child:
            child.expect("> ")
            child.sendline("ready")
            child.expect("> ")
            child.send("half a ")
            child.expect_exact("half a ")
            stop.set()
            child.expect_exact("< interruption")
            child.sendline("line")
            child.expect_exact("< half a line")
            assert "closed: 1000 (OK)" in ended(child)[0]

    def test_interrupt(self, echo):
        """Ctrl-C closes with 1001, and 130 is the exit code, whatever was typed."""
        with at_a_terminal(echo.uri) as child:
            child.expect("> ")
            child.send("half a ")
            child.expect_exact("half a ")
            child.sendintr()
            rest, code = ended(child)
        assert "Traceback" not in rest
        assert code == 130
        assert only_record(echo).close_code_received == 1001

    @pytest.mark.parametrize(("close_code", "code"), [(1000, 0), (1011, 1)])
    def test_server_closes(self, echo, close_code, code):
        """It ends without another key, and says how."""
        with at_a_terminal(echo.uri) as child:
            child.expect("> ")
            child.send("half a ")
            child.expect_exact("half a ")
            echo.close_connections(close_code, "enough")
            child.expect(rf"\r\nclosed: {close_code} \([\w ]+\) enough\r\n")
            assert ended(child)[1] == code

    def test_count(self, echo):
        """-n ends it in a terminal, too; JSON is indented behind the mark."""
        with at_a_terminal("-n", 1, "--json", echo.uri) as child:
            child.expect("> ")
            child.sendline('{"a":1}')
            child.expect_exact("< {\r\n")
            child.expect_exact('    "a": 1\r\n')
            assert ended(child)[1] == 0
        assert only_record(echo).close_code_received == 1000

    def test_dumb_terminal(self, echo):
        """Without cursor movements the typed text is printed again."""
        with at_a_terminal(echo.uri, term="dumb") as child:
            child.expect("> ")
            child.sendline("hello")
            child.expect_exact("\r\n< hello\r\n> ")
            assert "\x1b7" not in child.before
            child.sendeof()
            assert ended(child)[1] == 0

    def test_quiet(self, echo):
        """--quiet has neither prompt nor notes."""
        with at_a_terminal("--quiet", echo.uri) as child:
            child.sendline("hello")
            child.expect_exact("hello\r\n")
            child.expect_exact("hello\r\n")
            child.sendeof()
            rest, code = ended(child)
        assert "> " not in rest
        assert (code, "closed" in rest) == (0, False)


@pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")
class TestScreen:
    """What a terminal shows in the end; tmux is the terminal."""

    @pytest.fixture
    def tmux(self):
        name = f"wspool-{uuid.uuid4().hex[:8]}"

        def tmux(*words):
            done = subprocess.run(
                ["tmux", "-L", name, "-f", "/dev/null", *words],
                capture_output=True,
                text=True,
                timeout=SECONDS,
                env={**ENVIRONMENT, "LC_ALL": "C.UTF-8"},
                check=False,
            )
            return done.stdout

        yield tmux
        path = tmux("display-message", "-p", "#{socket_path}").strip()
        tmux("kill-server")
        if path:
            Path(path).unlink(missing_ok=True)

    def start(self, tmux, uri, columns=40, rows=12):
        command = shlex.join([*WSPOOL, "connect", uri])
        size = ["-x", str(columns), "-y", str(rows)]
        tmux("-u", "new-session", "-d", *size, f"sh -c {shlex.quote(command + '; cat')}")

    def shows(self, tmux, *wanted):
        """Wait until the last lines of the screen are these."""
        deadline = time.monotonic() + SECONDS
        lines = []
        while time.monotonic() < deadline:
            lines = tmux("capture-pane", "-p").rstrip("\n").split("\n")
            if lines[-len(wanted) :] == list(wanted):
                return
            time.sleep(0.02)
        pytest.fail(f"the screen shows {lines}")

    def test_messages_above_the_prompt(self, tmux):
        """In the middle of the screen, at its bottom, above a long line, and taller than it."""
        go_on = threading.Event()
        long = "x" * 50

        def talk(ws):
            assert ws.recv() == "ready"
            for text in ("one", long, "1\n2\n3\n4", "\n".join(f"row {n}" for n in range(30))):
                assert go_on.wait(SECONDS)
                go_on.clear()
                ws.send(text)
            ws.send(ws.recv())
            ws.recv()

        with peer(talk) as uri:
            self.start(tmux, uri)
            self.shows(tmux, f"connected to {uri}", ">")
            tmux("send-keys", "ready", "Enter")
            self.shows(tmux, "> ready", ">")
            tmux("send-keys", "-l", "typed")
            self.shows(tmux, "> ready", "> typed")
            go_on.set()
            self.shows(tmux, "> ready", "< one", "> typed")
            tmux("send-keys", "-l", " and " + "more " * 7)
            typed = ["> typed and more more more more more mor", "e more"]
            self.shows(tmux, "< one", *typed)
            go_on.set()
            self.shows(tmux, "< one", "< " + "x" * 38, "x" * 12, *typed)
            go_on.set()
            self.shows(tmux, "x" * 12, "< 1", "  2", "  3", "  4", *typed)
            go_on.set()
            self.shows(tmux, *(f"  row {n}" for n in range(20, 30)), *typed)
            tmux("send-keys", "BSpace", "!", "Enter")
            self.shows(tmux, *typed[:1], "e more!", "< typed and more more more more more mor",
                       "e more!", ">")  # fmt: skip
            tmux("send-keys", "C-d")
            self.shows(tmux, ">", "closed: 1000 (OK)")


class TestEcho:
    def test_plain(self):
        """It says where it listens, serves, and says on SIGTERM what it served."""
        with started("echo") as server:
            (uri,) = re.findall(
                r"listening on (ws://127\.0\.0\.1:\d+/)\n", server.stdout.readline()
            )
            assert run("connect", uri, stdin="one\ntwo\n").stdout == "one\ntwo\n"
            server.terminate()
            output, errors = server.communicate(timeout=SECONDS)
        assert (server.returncode, errors) == (0, "")
        assert output == "served 1 connections, 2 messages, 6 bytes\n"

    @pytest.mark.parametrize("kept", [False, True], ids=["throw_away", "directory"])
    def test_tls(self, kept, tmp_path):
        """The line that it gives to try works, and Ctrl-C ends it."""
        options = ["--directory", tmp_path / "new folder"] if kept else ["--tls"]
        with started("echo", *options) as server:
            assert re.match(r"listening on wss://localhost:\d+/\n", server.stdout.readline())
            ca_file = server.stdout.readline().partition(": ")[2].rstrip("\n")
            line = server.stdout.readline().partition("try: wspool ")[2]
            done = run(*shlex.split(line), stdin="hello\n")
            assert (done.returncode, done.stdout, done.stderr) == (0, "hello\n", "")
            server.send_signal(signal.SIGINT)
            assert outcome(server) == (0, "")
        assert os.path.exists(ca_file) == kept

    def test_directory_is_used_again(self, tmp_path):
        """Certificates that are there are not overwritten; a part of them is an error."""
        wspool.testing.make_certificates(tmp_path)
        before = (tmp_path / "ca.pem").read_text()
        with started("echo", "--tls", "--directory", tmp_path) as server:
            port = int(re.search(r":(\d+)/", server.stdout.readline())[1])
            context = ssl.create_default_context(cafile=tmp_path / "ca.pem")
            with socket.create_connection(("127.0.0.1", port), SECONDS) as plain_socket:
                context.wrap_socket(plain_socket, server_hostname="localhost").close()
        assert (tmp_path / "ca.pem").read_text() == before
        (tmp_path / "key.pem").unlink()
        done = run("echo", "--directory", tmp_path)
        assert done.returncode == 2
        assert "lacks key.pem" in done.stderr

    def test_port_in_use(self, echo):
        done = run("echo", "--port", echo.port)
        assert (done.returncode, done.stdout) == (3, "")
        assert re.fullmatch("wspool: error: cannot listen on .+\n", done.stderr)


class TestDemo:
    def test_short(self):
        """It needs no source tree."""
        done = run("demo", "--connections", 2, "--messages", 100)
        assert done.returncode == 0, done.stdout + done.stderr
        assert re.search(r"lost +0\n", done.stdout)
        assert re.search(r"CRC-32 match +2\n", done.stdout)
        assert "All parts did what they should." in done.stdout

    def test_missing_examples(self, tmp_path):
        """C++ examples that are asked for and not there are a failure."""
        done = run("demo", "--connections", 1, "--messages", 1, "--examples", tmp_path)
        assert done.returncode == 1
        assert "A part FAILED" in done.stdout
