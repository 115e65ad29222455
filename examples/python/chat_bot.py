"""A chat bot by callbacks: it answers commands, and the main thread only waits.

    python examples/python/chat_bot.py [URI]

The room is any server that sends JSON such as {"from": "ann", "text": "!time"}. Without a URI the
bot starts a room of its own, in which some people say something, and leaves with the last of them.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import sys
import threading
from collections.abc import Callable

import wspool
import wspool.testing

SAID = [
    {"from": "ann", "text": "hello everybody"},
    {"from": "ann", "text": "!help"},
    {"from": "bob", "text": "!time"},
    {"from": "bob", "text": "!sum 1 2 39"},
    {"from": "ann", "text": "!sum one two"},
    {"from": "eve", "text": "!nonsense"},
    {"from": "bob", "text": "!bye"},
]


def tell_time(arguments: list[str]) -> str:
    """Answer !time."""
    return dt.datetime.now(dt.timezone.utc).strftime("it is %H:%M:%S UTC")


def add(arguments: list[str]) -> str:
    """Answer !sum; raises ValueError for what is no number."""
    return f"that makes {sum(map(int, arguments))}"


COMMANDS: dict[str, Callable[[list[str]], str]] = {"!time": tell_time, "!sum": add}


class Bot:
    """The callbacks of one connection. They never overlap, so there is no lock."""

    def __init__(self) -> None:
        self.answers = 0
        self.failure: Exception | None = None

    def on_open(self, connection: wspool.Connection) -> None:
        """Greet the room."""
        print(f"in the room {connection.uri}", flush=True)
        connection.send(json.dumps({"from": "bot", "text": "I know !help"}))

    def on_message(self, connection: wspool.Connection, message: wspool.Message) -> None:
        """Answer what begins with an exclamation mark."""
        said = str(message.at("/text"))  # parses no more than it must
        speaker = message.at("/from")
        print(f"{speaker:>5}: {said}", flush=True)
        if speaker == "bot" or not said.startswith("!"):
            return
        command, *arguments = said.split()
        if command == "!bye":
            connection.close(1000, "bye")
        elif command == "!help":
            self.answer(connection, f"try {', '.join([*COMMANDS, '!bye'])}")
        elif command in COMMANDS:
            self.answer(connection, COMMANDS[command](arguments))
        else:
            self.answer(connection, f"I do not know {command}")

    def answer(self, connection: wspool.Connection, text: str) -> None:
        """Send a line to the room."""
        self.answers += 1
        print(f"  bot: {text}", flush=True)
        connection.send(json.dumps({"from": "bot", "text": text}))

    def on_error(self, connection: wspool.Connection, exception: BaseException) -> None:
        """Go on after an exception in a callback, such as a sum of words."""
        self.answer(connection, f"I could not do that: {exception}")

    def on_close(self, connection: wspool.Connection, code: int, reason: str) -> None:
        """Say how it ended."""
        print(f"left with {code} {reason}".rstrip(), flush=True)

    def on_fail(self, connection: wspool.Connection, error: Exception) -> None:
        """Say why there is no connection."""
        self.failure = error
        print(f"could not get in: {error}", flush=True)


def main() -> int:
    """Join the room that is named, or one of our own."""
    with contextlib.ExitStack() as stack:
        if len(sys.argv) > 1:
            uri = sys.argv[1]
        else:
            # Begins with the bot's greeting.
            room = wspool.testing.replay(
                [json.dumps(line) for line in SAID], rate=5, start="message", close_after=False
            )
            uri = stack.enter_context(room).uri
        bot = Bot()
        connection = (
            wspool.EndpointPool.instance()
            .get_endpoint()
            .create_new_connection(
                uri,
                on_open=bot.on_open,
                on_message=bot.on_message,
                on_close=bot.on_close,
                on_fail=bot.on_fail,
                on_error=bot.on_error,
            )
        )
        connection.wait_closed()  # Ctrl-C ends it
    print(f"{bot.answers} answers, {threading.active_count()} thread(s) of Python's own")
    return 1 if bot.failure else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
