"""An installed wheel, and nothing else, exchanges a message over TLS that verifies."""

import importlib.metadata
import queue
import sys
from pathlib import Path

import wspool
import wspool.testing


def check_echo() -> None:
    """Send a text over TLS, trusting the server's authority; without that trust, fail."""
    received: queue.Queue[str] = queue.Queue()
    with wspool.testing.echo(tls=True) as server, wspool.EndpointPool(size=1) as pool:
        endpoint = pool.get_endpoint(0)
        connection = endpoint.create_new_connection(
            server.uri,
            on_message=lambda _, message: received.put(message.text),
            ssl=wspool.TLS(ca_file=server.ca_file),
        )
        assert connection.opened.result(20) is wspool.Status.OPENED, connection.error
        connection.send("Grüße")
        assert received.get(timeout=20) == "Grüße"
        connection.close()
        connection.wait_closed(timeout=20)

        stranger = endpoint.create_new_connection(server.uri)
        assert stranger.opened.result(20) is wspool.Status.FAILED, "trusted without a reason"


def check_self_contained() -> None:
    """No simdjson but the wheel's own was loaded, and the wheel asks for no other package."""
    home = Path(wspool.__file__).resolve().parent.parent
    maps = Path("/proc/self/maps").read_text(encoding="utf-8")
    loaded = {line.split(maxsplit=5)[5].strip() for line in maps.splitlines() if "/" in line}
    strangers = [path for path in loaded if "simdjson" in path and home not in Path(path).parents]
    assert not strangers, strangers
    assert not [
        requirement
        for requirement in importlib.metadata.requires("wspool") or []
        if "extra ==" not in requirement
    ]


if __name__ == "__main__":
    check_echo()
    check_self_contained()
    print(f"wspool {importlib.metadata.version('wspool')} on {sys.version.split()[0]}: good")
