"""Who is measured."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from . import limits
from .scenarios import Scenario
from .spec import Spec


@dataclass(frozen=True)
class Client:
    """One way to use a library, or a limit."""

    name: str
    kind: Literal["ours", "peer", "limit"]
    command: Callable[[Spec], list[str]]
    """What runs a spec in a process of its own."""
    requires: tuple[str, ...] = ()
    """Modules that must be installed."""
    source: str = ""
    """Of a limit: what is compiled."""
    not_for: tuple[str, ...] = ()
    """Works and scenarios that it does not know, or that say nothing of it."""
    records: bool = False
    """It makes columns of JSON, and does nothing else."""

    def does(self, scenario: Scenario) -> bool:
        if scenario.only and self.name not in scenario.only:
            return False
        if self.records != (scenario.work == "records"):
            return False
        return not {scenario.work, scenario.name} & set(self.not_for)

    def unavailable(self) -> str | None:
        """Return why it cannot run here; None if it can. Compiles a limit."""
        missing = [name for name in self.requires if importlib.util.find_spec(name) is None]
        if missing:
            return f"not installed: {', '.join(missing)}"
        return limits.build(self.name, self.source) if self.source else None


def _python(module: str) -> Callable[[Spec], list[str]]:
    return lambda spec: [sys.executable, "-m", f"benchmarks.clients.{module}", spec.to_json()]


def _native(name: str) -> Callable[[Spec], list[str]]:
    def command(spec: Spec) -> list[str]:
        where = urlsplit(spec.uri)
        arguments: list[object] = [where.hostname, where.port, spec.ca_file or "-"]
        if spec.work == "receive":
            arguments += [spec.connections]
        else:
            arguments += [spec.count, spec.size]
        program: Path = limits.program(name)
        return [str(program), *map(str, arguments), str(int(spec.verify))]

    return command


def _records_peer(name: str, receives: str, decodes: str) -> Client:
    requires = (receives, "uvloop", decodes, "numpy")
    return Client(name, "peer", _python(name.replace("-", "_")), requires, records=True)


_UVLOOP = ("wspool", "uvloop")
_NUMPY = ("wspool", "numpy")
#: What a limit of receiving does not do.
_RECEIVES = ("send", "echo", "idle", "deflate-text", "busy-python")
_PULLS_ONLY = ("send", "echo", "idle")  # these are as with iteration

CLIENTS = [
    Client("wspool-callback", "ours", _python("wspool_callback"), ("wspool",)),
    Client(
        "wspool-callback-data",
        "ours",
        _python("wspool_callback_data"),
        ("wspool",),
        not_for=(*_PULLS_ONLY, "busy-python"),
    ),
    Client(
        "wspool-recv-many", "ours", _python("wspool_recv_many"), ("wspool",), not_for=_PULLS_ONLY
    ),
    Client("wspool-iter", "ours", _python("wspool_iter"), ("wspool",)),
    Client("wspool-aio", "ours", _python("wspool_aio"), ("wspool",)),
    Client("wspool-aio-uvloop", "ours", _python("wspool_aio_uvloop"), _UVLOOP),
    Client(
        "picows",
        "peer",
        _python("picows_core"),
        ("picows", "uvloop"),
        not_for=("deflate-text",),
    ),
    Client("picows-websockets", "peer", _python("picows_websockets"), ("picows", "uvloop")),
    Client("websockets", "peer", _python("websockets_asyncio"), ("websockets", "uvloop")),
    Client("websockets-sync", "peer", _python("websockets_sync"), ("websockets",)),
    Client("aiohttp", "peer", _python("aiohttp_client"), ("aiohttp", "uvloop")),
    Client(
        "websocket-client",
        "peer",
        _python("websocket_client"),
        ("websocket",),
        not_for=("deflate-text",),
    ),
    Client("c-recv", "limit", _native("c-recv"), source="recv_walk.c", not_for=_RECEIVES),
    Client("c-memcpy", "limit", _native("c-memcpy"), source="recv_walk.c", not_for=_RECEIVES),
    Client(
        "beast",
        "limit",
        _native("beast"),
        source="beast_echo.cpp",
        not_for=("receive", "send", "idle"),
    ),
    # JSON to columns.
    Client("wspool-stream", "ours", _python("wspool_stream"), _NUMPY, records=True),
    Client("wspool-batch", "ours", _python("wspool_batch"), _NUMPY, records=True),
    _records_peer("picows-msgspec", "picows", "msgspec"),
    _records_peer("picows-orjson", "picows", "orjson"),
    _records_peer("picows-pysimdjson", "picows", "simdjson"),
    _records_peer("websockets-orjson", "websockets", "orjson"),
    Client(
        "c-simdjson",
        "limit",
        _python("c_simdjson"),
        source="simdjson_records.cpp",
        not_for=("trades-busy",),
        records=True,
    ),
]
