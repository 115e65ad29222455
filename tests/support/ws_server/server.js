// A server on `ws`, with its default settings: no compression, unless the path starts with /deflate.
//
// usage: node server.js [CERTIFICATE KEY]
//
// Prints {"plain": PORT, "tls": PORT or null} and serves until its standard input ends. The paths
// are those of ../servers/websockets_server.py.
"use strict";

const fs = require("node:fs");
const http = require("node:http");
const https = require("node:https");
const { WebSocketServer } = require("ws");

const handleProtocols = (offered) =>
  ["chat.v2", "chat.v1"].find((name) => offered.has(name)) ?? false;
const plainServer = new WebSocketServer({ noServer: true, handleProtocols });
const deflateServer = new WebSocketServer({
  noServer: true,
  handleProtocols,
  perMessageDeflate: true,
});

function sendFragmented(connection, data, size, binary) {
  for (let start = 0; start < data.length; start += size) {
    const fin = start + size >= data.length;
    connection.send(data.subarray(start, start + size), { binary, fin });
  }
  if (data.length === 0) connection.send(data, { binary });
}

function behave(connection, request, url, path) {
  connection.on("error", () => {});
  if (path === "/echo") {
    connection.on("message", (data, binary) => connection.send(data, { binary }));
  } else if (path === "/fragments") {
    const size = Number(url.searchParams.get("size"));
    connection.on("message", (data, binary) => sendFragmented(connection, data, size, binary));
  } else if (path === "/close") {
    const code = Number(url.searchParams.get("code"));
    connection.close(code, url.searchParams.get("reason") ?? "");
  } else if (path === "/ping") {
    connection.on("pong", (payload) => connection.send(`answered ${payload}`));
    connection.ping("are you there?");
  } else if (path === "/request") {
    const headers = [];
    for (let i = 0; i < request.rawHeaders.length; i += 2) {
      headers.push([request.rawHeaders[i].toLowerCase(), request.rawHeaders[i + 1]]);
    }
    connection.send(JSON.stringify({ path: request.url, headers }));
  }
}

function upgrade(request, socket, head) {
  const url = new URL(request.url, "ws://localhost");
  const deflate = url.pathname.startsWith("/deflate/");
  const path = deflate ? url.pathname.slice("/deflate".length) : url.pathname;
  if (path === "/forbidden") {
    socket.end(
      "HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\nContent-Length: 12\r\n" +
        "Connection: close\r\n\r\nnot for you\n",
    );
    return;
  }
  const server = deflate ? deflateServer : plainServer;
  server.handleUpgrade(request, socket, head, (connection) =>
    behave(connection, request, url, path),
  );
}

const servers = { plain: http.createServer() };
const [certificate, key] = process.argv.slice(2);
if (certificate) {
  servers.tls = https.createServer({ cert: fs.readFileSync(certificate), key: fs.readFileSync(key) });
}
const ports = { plain: null, tls: null };
let waiting = Object.keys(servers).length;
for (const [name, server] of Object.entries(servers)) {
  server.on("upgrade", upgrade);
  server.listen(0, "127.0.0.1", () => {
    ports[name] = server.address().port;
    waiting -= 1;
    if (waiting === 0) console.log(JSON.stringify(ports));
  });
}
process.stdin.on("end", () => process.exit(0));
process.stdin.resume();
