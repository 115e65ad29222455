"""wspool: the blocking API; messages in lists of all that is queued."""

from __future__ import annotations

from typing import Any

import wspool
from benchmarks.tally import Tally

from .wspool_iter import WspoolIteration


class WspoolRecvMany(WspoolIteration):
    """As by iteration, a list at a time."""

    def count(self, ws: Any) -> int:
        count = 0
        try:
            while True:
                count += len(ws.recv_many())
        except wspool.ConnectionClosedOK:
            return count

    def tally(self, ws: Any) -> Tally:
        tally = Tally()
        try:
            while True:
                for message in ws.recv_many():
                    tally.add(message)
        except wspool.ConnectionClosedOK:
            return tally


if __name__ == "__main__":
    WspoolRecvMany().main()
