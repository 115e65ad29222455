"""What the promises share."""

from tests.support.pull_servers import wait_until

MESSAGES = ["text \u20ac", b"\x00\xff", "", b"", "x" * 70_000, b"y" * 70_000]


def equal(got, expected):
    """Compare without pytest's explanation of large values."""
    return type(got) is type(expected) and got == expected


def arrived(connection, count):
    """Wait until so many messages have been queued."""
    wait_until(lambda: connection.statistics.messages_received >= count)
