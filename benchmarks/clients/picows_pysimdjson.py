"""picows and pysimdjson: one parser for all; only the members that are used become objects."""

from __future__ import annotations

import simdjson
from picows import WSFrame

from ._picows_records import run
from ._records import from_documents

if __name__ == "__main__":
    # It takes bytes sooner than a memoryview: with one it loses more than the copy costs.
    run(from_documents(simdjson.Parser().parse, simdjson.Object), WSFrame.get_payload_as_bytes)
