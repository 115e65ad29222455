"""The same over TLS, where the end of a connection has more forms (RFC 8446 section 6.1)."""

from __future__ import annotations

import os
import socket
import ssl
from typing import Any

from .case import Case, Differs, Do, do
from .expected import raised
from .frames import close, text
from .scripted_server import (
    Peer,
    Step,
    drain,
    echo_close,
    read_until,
    reset,
    send,
    shake,
    shut,
    until_end,
    wait_for,
)

TRUSTS_NOBODY = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def secure(name: str, *script: Step, steps: tuple[Do, ...] = (), **further: Any) -> Case:
    """Return a case whose server speaks TLS."""
    return Case(
        name,
        script,
        steps,
        **{"tls": True, "rough_end": True, "uri": "wss://127.0.0.1:{port}/", **further},
    )


def no_tls_record(peer: Peer) -> None:
    """Send what is no TLS record that the client could read."""
    with socket.socket(fileno=os.dup(peer.socket.fileno())) as below:
        below.sendall(b"\x17\x03\x03\x00\x05hello")


CASES = [
    secure(
        "TLS: server closes",
        shake(),
        send(text("last"), close(1001, "bye")),
        read_until("close"),
        steps=(do("recv"), do("recv"), do("send", "x")),
    ),
    secure(
        "TLS: client closes",
        shake(),
        echo_close,
        steps=(do("send", "x" * 100_000), do("close", 4000, "ours"), do("recv")),
    ),
    secure(
        "TLS: server ends TLS and TCP without a close frame",
        shake(),
        send(text("last")),
        steps=(do("recv"), do("recv"), do("send", "x")),
    ),
    secure(
        "TLS: server ends TCP without ending TLS",
        shake(),
        send(text("last")),
        shut,
        drain,
        steps=(do("recv"), do("recv"), do("send", "x")),
    ),
    secure(
        "TLS: server ends TCP without ending TLS, after the close frames",
        shake(),
        echo_close,
        shut,
        drain,
        steps=(do("close", 1000, "ours"), do("recv")),
    ),
    secure(
        "TLS: server resets",
        shake(),
        wait_for("opened"),
        reset,
        steps=(do("tell", "opened"), do("recv"), do("send", "x")),
        any_cause=True,
    ),
    secure(
        "TLS: server sends no TLS record",
        shake(),
        wait_for("opened"),
        no_tls_record,
        drain,
        steps=(do("tell", "opened"), do("recv"), do("send", "x")),
    ),
    secure(
        "TLS: server never answers the close frame",
        shake(),
        until_end,
        steps=(do("close", 1000, "ours"), do("recv")),
        options={"close_timeout": 0.15},
    ),
    secure("TLS: certificate of an unknown authority", drain, options={"ssl": TRUSTS_NOBODY}),
    secure(
        "TLS: certificate of another host",
        drain,
        options={"server_hostname": "other.example"},
    ),
    secure(
        "TLS: server ends TCP in the TLS handshake",
        shut,
        drain,
        tls=False,
        differs=Differs(
            "Whatever ends the TLS handshake is an ssl.SSLError; of websockets' clients the one "
            "raises the subclass ssl.SSLEOFError, the other ConnectionResetError.",
            raised("connect", "SSLError", "OSError"),
        ),
    ),
    secure("TLS: server answers without TLS", send(b"HTTP/1.1 400 No\r\n\r\n"), drain, tls=False),
    secure(
        "TLS: open_timeout in the TLS handshake", drain, tls=False, options={"open_timeout": 0.15}
    ),
    secure(
        "TLS: an ssl option for a ws:// URI",
        drain,
        uri="ws://127.0.0.1:{port}/",
        options={"ssl": TRUSTS_NOBODY},
    ),
]
