"""What the blocking and the asyncio API promise alike; test_sync and test_aio run it.

The fixture `client` connects: see pull_clients.
"""

from .connecting import TestConnect
from .ending import TestClose, TestLife
from .pinging import TestPing
from .receiving import TestIteration, TestRecv, TestRecvMany
from .sending import TestSend, records
from .streaming import TestStreaming

__all__ = [
    "TestClose",
    "TestConnect",
    "TestIteration",
    "TestLife",
    "TestPing",
    "TestRecv",
    "TestRecvMany",
    "TestSend",
    "TestStreaming",
    "records",
]
