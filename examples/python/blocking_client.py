"""The blocking API: connect, send, receive, close; and what may go wrong.

    python examples/python/blocking_client.py [URI]

Without a URI it starts an echo server of its own.
"""

from __future__ import annotations

import contextlib
import sys

import wspool
import wspool.testing


def talk(uri: str) -> int:
    """Say hello, measure the round trip, and print what comes back."""
    print(f"connecting to {uri}", flush=True)
    try:
        with wspool.connect(uri, open_timeout=5) as ws:
            print(f"open: {ws.local_address} -> {ws.remote_address}")
            print(f"round trip of a ping: {ws.ping().result(timeout=5) * 1000:.2f} ms")
            for message in ("Hello", b"\x00\x01\x02", "Goodbye"):
                ws.send(message)
                print(f"sent {message!r}, received {ws.recv(timeout=5)!r}", flush=True)
        print(f"closed: {ws.close_code} {ws.close_reason}".rstrip())
    except wspool.InvalidHandshake as error:
        print(f"the server refused: {error}")
    except TimeoutError as error:  # before OSError: it is one
        print(f"too late: {error}")
    except OSError as error:
        print(f"no connection: {error}")
    except wspool.ConnectionClosed as error:
        print(f"the connection ended: {error}")
    else:
        return 0
    return 1


def main() -> int:
    """Talk to the server that is named, or to one of our own."""
    with contextlib.ExitStack() as stack:
        uri = sys.argv[1] if len(sys.argv) > 1 else stack.enter_context(wspool.testing.echo()).uri
        return talk(uri)


if __name__ == "__main__":
    sys.exit(main())
