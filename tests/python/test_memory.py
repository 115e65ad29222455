"""What comes compressed costs no more memory than `max_size` allows."""

import json
import socket
import subprocess
import sys
import threading
import zlib

import pytest
from tests.support.pull_servers import PATIENCE, accept_key

INFLATED = 2**30
MOST_GROWTH = 8 * 2**20

READ_SYNC = """
ws = wspool.connect(uri)
before = settled()
try:
    ws.recv()
except wspool.ConnectionClosedError as error:
    print(json.dumps([error.sent.code, type(error.__cause__).__name__, peak() - before]))
"""
READ_AIO = """
async def main():
    ws = await wspool.aio.connect(uri)
    before = settled()
    try:
        await ws.recv()
    except wspool.ConnectionClosedError as error:
        print(json.dumps([error.sent.code, type(error.__cause__).__name__, peak() - before]))

asyncio.run(main())
"""
PRELUDE = """
import asyncio, json, re, sys
import wspool

uri = sys.argv[1]

def kilobytes(name):
    with open("/proc/self/status") as status:
        return int(re.search(rf"{name}:\\s+(\\d+) kB", status.read())[1])

def settled():
    # Resident memory now; the peak counts anew from here.
    with open("/proc/self/clear_refs", "w") as refs:
        refs.write("5")
    return kilobytes("VmRSS") * 1024

def peak():
    return kilobytes("VmHWM") * 1024
"""


@pytest.fixture(scope="module")
def bomb():
    """One frame of about a megabyte that inflates to a gigabyte."""
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    zeros = bytes(2**20)
    payload = b"".join(deflater.compress(zeros) for _ in range(INFLATED // len(zeros)))
    payload += deflater.flush(zlib.Z_SYNC_FLUSH)[:-4]
    assert 0.9 * 2**20 < len(payload) < 1.2 * 2**20
    return b"\xc2\x7f" + len(payload).to_bytes(8, "big") + payload


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/status")
@pytest.mark.parametrize("code", [READ_SYNC, READ_AIO], ids=["sync", "aio"])
def test_a_gigabyte_in_a_megabyte(bomb, code):
    """It ends with 1009 at the default max_size, and costs less than 8 MB."""

    def serve():
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(PATIENCE)
            request = b""
            while not request.endswith(b"\r\n\r\n"):
                request += connection.recv(4096)
            key = request.split(b"Sec-WebSocket-Key: ")[1].split(b"\r\n")[0].decode()
            connection.sendall(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                b"Connection: Upgrade\r\nSec-WebSocket-Extensions: permessage-deflate\r\n"
                b"Sec-WebSocket-Accept: " + accept_key(key).encode() + b"\r\n\r\n"
            )
            connection.sendall(bomb)
            while connection.recv(4096):
                pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)
        thread = threading.Thread(target=serve)
        thread.start()
        uri = f"ws://127.0.0.1:{listener.getsockname()[1]}"
        result = subprocess.run(
            [sys.executable, "-c", PRELUDE + code, uri],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        thread.join(PATIENCE)
    assert result.stderr == ""
    close_code, cause, growth = json.loads(result.stdout)
    print(f"memory grew by {growth / 2**20:.1f} MB")
    assert (close_code, cause) == (1009, "PayloadTooBig")
    assert growth < MOST_GROWTH
