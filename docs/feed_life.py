"""Draws the life of a feed, as one run gave it: opened, lost, a gap, opened, handed over.

python docs/feed_life.py [PATH]     # default: docs/images/feed-life.svg
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import wspool
import wspool.testing

RATE = 20  # messages a second
REPLACE_AFTER = 2.5
LOST_AT, AWAY, END_AT = 1.6, 0.8, 7.4
COLORS = ("#2b6ca3", "#0b6e4f", "#8a5a00")



def record() -> tuple[list[tuple[float, int]], list[tuple[float, wspool.Event]]]:
    """Run a feed whose server is killed once; returns messages and events with Unix times."""
    messages: list[tuple[float, int]] = []
    events: list[tuple[float, wspool.Event]] = []

    def on_message(_: wspool.Connection, message: wspool.Message) -> None:
        messages.append((message.received_ns / 1e9, message.generation))

    def on_event(_: wspool.Connection, event: wspool.Event) -> None:
        when = event.until if isinstance(event, wspool.Gap) else event.time
        events.append((when.timestamp(), event))

    server = wspool.testing.replay(["tick"], repeat=None, rate=RATE)
    with wspool.EndpointPool(1) as pool:
        connection = pool[0].create_new_connection(
            server.uri,
            on_message=on_message,
            on_event=on_event,
            reconnect=wspool.Reconnect(initial_delay=0.1),
            replace_after=REPLACE_AFTER,
            proxy=None,
        )
        begun = time.monotonic()
        time.sleep(LOST_AT)
        server.close(timeout=0)
        time.sleep(AWAY)
        with wspool.testing.replay(["tick"], repeat=None, rate=RATE, port=server.port):
            while not any(
                isinstance(event, wspool.Opened) and event.generation == 3 for _, event in events
            ):
                time.sleep(0.01)
            time.sleep(max(1.0, begun + END_AT - time.monotonic()))
            connection.close()
            connection.wait_closed(10)
    return messages, events


def draw(messages: list[tuple[float, int]], events: list[tuple[float, wspool.Event]], path: Path) -> None:
    """Draw what was recorded: a lane for each connection."""
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["svg.fonttype"] = "none"
    mpl.rcParams["svg.hashsalt"] = "wspool"
    import matplotlib.pyplot as plt

    begin = min(when for when, _ in events)
    opened = {one.generation: at - begin for at, one in events if isinstance(one, wspool.Opened)}
    closed = {one.generation: at - begin for at, one in events if isinstance(one, wspool.Closed)}
    came: dict[int, list[float]] = {}
    for when, generation in messages:
        came.setdefault(generation, []).append(when - begin)
    figure, axes = plt.subplots(figsize=(9, 3.1), layout="constrained")
    note: dict[str, Any] = {"fontsize": 9, "va": "center"}
    for generation, times in came.items():
        color = COLORS[(generation - 1) % len(COLORS)]
        lane = -generation
        start = min(opened[generation], times[0])
        axes.barh(lane, closed[generation] - start, 0.34, start, color=color, alpha=0.18)
        axes.plot(times, [lane] * len(times), "|", color=color, markersize=10)
        axes.text(start, lane + 0.32, f"Opened, generation {generation}", color=color, **note)
        axes.text(closed[generation], lane - 0.32, "Closed", color=color, ha="right", **note)
    for _, event in events:
        if isinstance(event, wspool.Gap):
            since, until = event.since.timestamp() - begin, event.until.timestamp() - begin
            axes.axvspan(since, until, color="#c0392b", alpha=0.12, linewidth=0)
            text = f"Gap\n{event.seconds:.1f} s"
            axes.text((since + until) / 2, -2, text, color="#c0392b", ha="center", **note)
    axes.annotate(
        f"replaced after {REPLACE_AFTER:g} s:\nno gap",
        (opened[3], -2.5),
        (opened[3] + 0.5, -2.2),
        fontsize=9,
        va="center",
        arrowprops={"arrowstyle": "->", "color": "#555555"},
    )
    axes.set_yticks([-1, -2, -3], [f"connection {number}" for number in (1, 2, 3)])
    axes.set_ylim(-3.6, -0.5)
    axes.set_xlabel("seconds; each stroke is a message, when it was read")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    figure.savefig(path, dpi=110, metadata={"Date": None} if path.suffix == ".svg" else None)


def main() -> None:
    """Record and draw."""
    default = Path(__file__).parent / "images" / "feed-life.svg"
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    messages, events = record()
    for _, event in events:
        print(event)
    draw(messages, events, path)
    print(f"wrote {path.name}: {len(messages)} messages")


if __name__ == "__main__":
    main()
