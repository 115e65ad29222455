"""The native core. The only module that imports it."""

from __future__ import annotations

try:
    from wspool._core import (
        AsyncPullConnection,
        Column,
        Connection,
        Endpoint,
        EndpointPool,
        FieldSet,
        JudgeTicket,
        LoopbackServer,
        Message,
        Pong,
        PrepareTicket,
        PullConnection,
        ReadyList,
        RecordBatch,
        RecordPicker,
        RecordStream,
        TLSContext,
        __version__,
        is_payload,
        make_certificates,
        process_generation,
        set_error_translator,
        set_event_maker,
    )
except ImportError as error:
    raise ImportError(
        "wspool's native core (wspool._core) could not be loaded: it was not compiled for this "
        "Python, or a library that it needs is missing. Install wspool with "
        "'pip install .' or from a wheel for this Python version, and do not import it from its "
        f"source folder. ({error})",
        name="wspool._core",
    ) from error

from wspool.events import event_of
from wspool.exceptions import from_native

__all__ = [
    "AsyncPullConnection",
    "Column",
    "Connection",
    "Endpoint",
    "EndpointPool",
    "FieldSet",
    "JudgeTicket",
    "LoopbackServer",
    "Message",
    "Pong",
    "PrepareTicket",
    "PullConnection",
    "ReadyList",
    "RecordBatch",
    "RecordPicker",
    "RecordStream",
    "TLSContext",
    "__version__",
    "is_payload",
    "make_certificates",
    "process_generation",
]

set_error_translator(from_native)
set_event_maker(event_of)
