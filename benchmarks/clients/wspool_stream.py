"""wspool: a stream of record batches; each column is taken as a NumPy array."""

from __future__ import annotations

from typing import Any

import numpy as np  # noqa: F401  # before the clock runs: a batch imports it when first asked

import wspool
from benchmarks.measure import Meter, Result, main, tls_context
from benchmarks.schemas import SCHEMAS, Digest
from benchmarks.spec import Spec

from ._records import plain


def fields_of(schema: str) -> dict[str, wspool.Fields]:
    """Return a schema as wspool takes it."""
    return {
        name: wspool.Fields(columns, where=where)
        for name, (columns, where) in SCHEMAS[schema].items()
    }


def options_of(spec: Spec) -> dict[str, Any]:
    """Return the options of each connection."""
    options: dict[str, Any] = {"compression": None}
    if spec.ca_file is not None:
        options["ssl"] = tls_context(spec)
    return options


def verify(batch: wspool.RecordBatch, digest: Digest) -> None:
    """Add all rows to a digest."""
    columns = (plain(batch[name]) for name in batch.column_names[:-2])
    digest.add_columns(str(batch.name), columns)


def arrays_of(batch: wspool.RecordBatch) -> None:
    """Take every column but the category, whose array would be of Python objects."""
    if len(batch):
        for name in batch.column_names[1:-2]:
            batch[name]


def records(spec: Spec) -> Result:
    """Receive until every connection has been closed."""
    meter = Meter(spec)
    digest = Digest()
    uris = [spec.uri] * spec.connections
    with wspool.stream(uris, fields=fields_of(spec.schema), **options_of(spec)) as batches:
        meter.go()
        for connection in batches.connections:
            connection.send("go")
        for batch in batches:
            if spec.verify:
                verify(batch, digest)
            else:
                arrays_of(batch)
        meter.done()
        messages = batches.statistics.messages
    return digest.summary(messages) if spec.verify else meter.result(count=messages)


if __name__ == "__main__":
    main({"records": records})
