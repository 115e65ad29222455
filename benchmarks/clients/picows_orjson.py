"""picows and orjson: whole documents as dicts, from the frame's memory."""

from __future__ import annotations

import orjson
from picows import WSFrame

from ._picows_records import run
from ._records import from_documents

if __name__ == "__main__":
    run(from_documents(orjson.loads), WSFrame.get_payload_as_memoryview)
