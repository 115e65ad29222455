"""Makes docs/images/top.svg: what `wspool top` shows of servers of different kinds.

usage: python docs/top_picture.py [SECONDS]
"""

from __future__ import annotations

import io
import re
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console

import wspool
import wspool.testing
from wspool.cli.feeds import Feeds
from wspool.cli.table import make_table

PICTURE = Path(__file__).parent / "images" / "top.svg"
WIDTH = 150


def main(seconds: int) -> None:
    """Watch for so many seconds, and save what was to be seen at the end."""
    with ExitStack() as stack:

        def replay(size: int, rate: float) -> wspool.testing.LoopbackServer:
            server = wspool.testing.replay(["x" * size] * 100, repeat=None, rate=rate)
            return stack.enter_context(server)

        flaky = replay(400, 250)
        down = wspool.testing.sink()
        uris = [
            replay(150, 4000).uri + "/trades",
            replay(1500, 900).uri + "/books",
            flaky.uri + "/ticker",
            replay(60, 3).uri + "/slow",
            down.uri + "/down",
        ]
        down.close()
        pool = stack.enter_context(wspool.EndpointPool(2))
        feeds = Feeds(
            [
                pool.get_endpoint().create_new_connection(
                    uri, reconnect=wspool.Reconnect(), ping_interval=0.5
                )
                for uri in uris
            ]
        )
        rows, total = feeds.look()
        for second in range(seconds):
            time.sleep(1)
            rows, total = feeds.look()
            if second == seconds - 6:
                flaky.close_connections(1012, "restart")
        console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
        console.print(make_table(rows, total, console))
        picture = console.export_svg(title="wspool top", unique_id="top")
        # A page needs no font of another host; the widths of the texts are in the picture.
        picture = re.sub(r"(?s)\s*@font-face \{.*?\}", "", picture)
        PICTURE.write_text(picture, encoding="utf-8")
        print(f"wrote {PICTURE.name}, {len(picture):,} bytes")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
