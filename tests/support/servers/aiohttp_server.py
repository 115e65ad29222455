"""A server on `aiohttp`, with its default settings but for the size limit.

usage: aiohttp_server.py [CERTIFICATE KEY]

Prints {"plain": PORT, "tls": PORT or null} and serves until its standard input ends. The paths are
those of websockets_server.py, without /fragments: aiohttp cannot send fragments.
"""

import asyncio
import json
import ssl
import sys

from aiohttp import WSMsgType, web


async def prepared(request, **options):
    connection = web.WebSocketResponse(max_msg_size=0, protocols=("chat.v2", "chat.v1"), **options)
    await connection.prepare(request)
    return connection


async def echo(request):
    connection = await prepared(request)
    async for message in connection:
        if message.type is WSMsgType.TEXT:
            await connection.send_str(message.data)
        elif message.type is WSMsgType.BINARY:
            await connection.send_bytes(message.data)
    return connection


async def close(request):
    connection = await prepared(request)
    reason = request.query.get("reason", "")
    await connection.close(code=int(request.query["code"]), message=reason.encode())
    return connection


async def ping(request):
    connection = await prepared(request, autoping=False)
    await connection.ping(b"are you there?")
    async for message in connection:
        if message.type is WSMsgType.PONG:
            await connection.send_str("answered " + bytes(message.data).decode())
    return connection


async def seen(request):
    connection = await prepared(request)
    headers = [[name.lower(), value] for name, value in request.headers.items()]
    await connection.send_str(json.dumps({"path": request.path_qs, "headers": headers}))
    async for _ in connection:
        pass
    return connection


async def forbidden(request):
    return web.Response(status=403, text="not for you\n")


async def main():
    application = web.Application()
    application.add_routes(
        [
            web.get("/echo", echo),
            web.get("/close", close),
            web.get("/ping", ping),
            web.get("/request", seen),
            web.get("/forbidden", forbidden),
        ]
    )
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)
    await runner.setup()
    ports = {"plain": None, "tls": None}
    contexts = {"plain": None}
    if len(sys.argv) > 1:
        contexts["tls"] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        contexts["tls"].load_cert_chain(*sys.argv[1:])
    for name, context in contexts.items():
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        ports[name] = runner.addresses[-1][1]
    print(json.dumps(ports), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


asyncio.run(main())
