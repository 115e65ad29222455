"""The Python code in README.md runs as it stands there, against a server of ours."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import wspool.testing

README = Path(__file__).resolve().parents[2] / "README.md"
BLOCKS = re.findall(r"(?ms)^```python\n(.*?)^```$", README.read_text(encoding="utf-8"))
TEXT_URI = re.compile(r"wss?://[\w.-]+(?::\d+)?")
# What a block prints, by a word in it; the others print nothing.
OUTPUT = {"Hello, world!": "Hello, world!\n"}


def title(block):
    """Return the first line that is not an import, for the test's name."""
    lines = [line for line in block.splitlines() if line and not line.startswith("import ")]
    return re.sub(r"\W+", "-", lines[0])[:40]


def test_there_are_blocks():
    """The README has code, and the ten-line example is among it."""
    assert any("create_new_connection" in block for block in BLOCKS)


@pytest.mark.parametrize("block", [pytest.param(block, id=title(block)) for block in BLOCKS])
def test_block(block):
    """It runs, prints what it should, and ends with status 0 and nothing on stderr."""
    with wspool.testing.echo(tls=True) as server:
        result = subprocess.run(
            [sys.executable, "-W", "error", "-c", TEXT_URI.sub(server.uri, block)],
            env={**os.environ, "SSL_CERT_FILE": server.ca_file},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        connections = server.connections
    assert result.stderr == ""
    assert result.returncode == 0
    assert result.stdout == next((OUTPUT[word] for word in OUTPUT if word in block), "")
    if TEXT_URI.search(block):
        assert [(record.opened, record.error) for record in connections] == [(True, "")]
        assert connections[0].close_code_received == 1000
