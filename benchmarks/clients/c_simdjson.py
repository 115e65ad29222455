"""The limit of making columns, run; in a verified run the digest of the rows that it prints."""

from __future__ import annotations

import json
import subprocess
import sys
from urllib.parse import urlsplit

from benchmarks import limits
from benchmarks.schemas import Digest, Row
from benchmarks.spec import Spec


def _row(line: str) -> tuple[str, Row]:
    kind, symbol, first, second, when, number, flag = line.split()
    if kind == "books":
        return kind, (symbol, int(number), int(when))
    row = (symbol, float(first), float(second), int(when))
    return kind, (*row, int(number), flag == "1") if kind == "trades" else row


def main() -> None:
    """Run the program; print its result."""
    spec = Spec.from_json(sys.argv[1])
    where = urlsplit(spec.uri)
    arguments = [where.hostname, where.port, spec.connections, spec.schema, int(spec.verify)]
    command = [str(limits.program("c-simdjson")), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(done.stderr or f"exit status {done.returncode}")
    result = json.loads(done.stdout)
    if spec.verify:
        digest = Digest()
        for line in done.stderr.splitlines():
            digest.add(*_row(line))
        result = digest.summary(result["count"])
    print(json.dumps(result))


if __name__ == "__main__":
    main()
