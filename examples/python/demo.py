"""What `make demo` shows: `wspool demo` with what is built and lies around in the source tree.

python examples/python/demo.py [--connections 50] [--examples DIR] [--captures DIR]
"""

from __future__ import annotations

import sys
from pathlib import Path

from wspool import demo

ROOT = Path(__file__).resolve().parents[2]

if __name__ == "__main__":
    examples = ROOT / "build" / "cpp" / "examples" / "cpp"
    captures = ROOT.parent / "shared" / "data"
    arguments = ["--examples", str(examples), "--captures", str(captures), *sys.argv[1:]]
    sys.exit(demo.main(arguments))
