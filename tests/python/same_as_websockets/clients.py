"""Runs a case on one of the four clients: two libraries, each blocking and with asyncio."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .aio_client import AioClient
from .case import Case
from .certificates import contexts
from .outcomes import Outcome, what_server_saw
from .scripted_server import ScriptedServer
from .sync_client import SyncClient


def run_case(case: Case, connect: Callable[..., Any], api: str) -> Outcome:
    """Run a case on one client; return what happened."""
    with ScriptedServer(*case.scripts, tls=contexts()[0] if case.tls else None) as server:
        uri = case.uri.replace("{port}", str(server.port))
        uri = uri.replace("{closed port}", str(server.closed_port))
        kind = SyncClient if api == "sync" else AioClient
        client = kind(case, server.signals)
        client.run(connect, uri)
    outcome = client.outcome
    for key, value in outcome.items():
        if isinstance(value, str):
            outcome[key] = value.replace(f":{server.port}", ":PORT")
    outcome["server saw"] = what_server_saw(
        server.saw, own_words=case.own_words, rough_end=case.rough_end
    )
    return outcome
