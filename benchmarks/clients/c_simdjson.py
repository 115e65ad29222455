"""The limit of making columns, run; in a verified run the digest of the rows that it prints."""

from __future__ import annotations

import json
import subprocess
import sys
from urllib.parse import urlsplit

from benchmarks import limits
from benchmarks.schemas import Digest
from benchmarks.spec import Spec


def _row(line: str) -> tuple[object, ...]:
    symbol, *values = line.split()
    if len(values) == 2:
        return symbol, int(values[0]), int(values[1])
    price, quantity, time, number, maker = values
    return symbol, float(price), float(quantity), int(time), int(number), maker == "1"


def main() -> None:
    """Run the program; print its result."""
    spec = Spec.from_json(sys.argv[1])
    where = urlsplit(spec.uri)
    arguments = [where.hostname, where.port, "-", spec.connections, spec.schema, int(spec.verify)]
    command = [str(limits.program("c-simdjson")), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(done.stderr or f"exit status {done.returncode}")
    result = json.loads(done.stdout)
    if spec.verify:
        digest = Digest()
        digest.add_all(map(_row, done.stderr.splitlines()))
        result = digest.summary(result["count"])
    print(json.dumps(result))


if __name__ == "__main__":
    main()
