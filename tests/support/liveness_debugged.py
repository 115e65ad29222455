"""A client that stops at a breakpoint in its handler, in the debugger of the standard library.

usage: liveness_debugged.py CLIENT URI

CLIENT is a name in liveness_clients.py. Once the debugger is told to go on, and the connection has
ended, the last line printed is {"how": TEXT, "numbers": [...], "report": {...} or null}.
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.support.liveness_clients import OURS, PEERS, Consumer

consumer = Consumer(block=breakpoint)
how = {**OURS, **PEERS}[sys.argv[1]](sys.argv[2], consumer)
print()
print(json.dumps({"how": how, "numbers": consumer.numbers, "report": consumer.report}))
