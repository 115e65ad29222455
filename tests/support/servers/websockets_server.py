"""A server on `websockets`, with its default settings but for the size limit.

usage: websockets_server.py [CERTIFICATE KEY]

Prints {"plain": PORT, "tls": PORT or null} and serves until its standard input ends. What a
connection does is in its path; the servers next to this one know the same paths:

    /echo                  sends every message back
    /fragments?size=N      sends every message back in frames of N bytes
    /close?code=N&reason=R starts the closing handshake at once
    /ping                  pings, and after the pong sends the text "answered" and its payload
    /request               sends path and headers of the request as JSON
    /forbidden             refuses the handshake with 403 and a body
"""

import asyncio
import contextlib
import json
import ssl
import sys
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

SUBPROTOCOLS = ["chat.v2", "chat.v1"]


async def handler(connection):
    with contextlib.suppress(ConnectionClosed):
        await behave(connection)


async def behave(connection):
    path = urlsplit(connection.request.path)
    query = {name: values[0] for name, values in parse_qs(path.query).items()}
    if path.path == "/echo":
        async for message in connection:
            await connection.send(message)
    elif path.path == "/fragments":
        size = int(query["size"])
        async for message in connection:
            await connection.send(
                [message[i : i + size] for i in range(0, len(message), size)] or message
            )
    elif path.path == "/close":
        await connection.close(int(query["code"]), query.get("reason", ""))
    elif path.path == "/ping":
        await (await connection.ping(b"are you there?"))
        await connection.send("answered are you there?")
        await connection.wait_closed()
    elif path.path == "/request":
        headers = [[name.lower(), value] for name, value in connection.request.headers.raw_items()]
        await connection.send(json.dumps({"path": connection.request.path, "headers": headers}))
        await connection.wait_closed()


def process_request(connection, request):
    if urlsplit(request.path).path == "/forbidden":
        return connection.respond(403, "not for you\n")
    return None


def select_subprotocol(connection, subprotocols):
    return next((name for name in SUBPROTOCOLS if name in subprotocols), None)


async def main():
    async with contextlib.AsyncExitStack() as stack:
        ports = {"plain": None, "tls": None}
        contexts = {"plain": None}
        if len(sys.argv) > 1:
            contexts["tls"] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            contexts["tls"].load_cert_chain(*sys.argv[1:])
        for name, context in contexts.items():
            server = await stack.enter_async_context(
                serve(
                    handler,
                    "127.0.0.1",
                    0,
                    ssl=context,
                    max_size=None,
                    subprotocols=SUBPROTOCOLS,
                    select_subprotocol=select_subprotocol,
                    process_request=process_request,
                )
            )
            ports[name] = server.sockets[0].getsockname()[1]
        print(json.dumps(ports), flush=True)
        await asyncio.to_thread(sys.stdin.read)


asyncio.run(main())
