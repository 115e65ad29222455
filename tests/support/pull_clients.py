"""Both APIs with the same face: an asyncio connection whose methods run its event loop."""

import asyncio
import contextlib
import gc
import inspect

import wspool
import wspool.aio

LOOPS = ("asyncio", "uvloop")


def new_loop(kind):
    """Return a new event loop of asyncio or uvloop."""
    if kind == "asyncio":
        return asyncio.new_event_loop()
    import uvloop

    return uvloop.new_event_loop()


class Loop:
    """An event loop that must end with nothing left over and nothing complained of."""

    def __init__(self, kind):
        self.loop = new_loop(kind)
        self.complaints = []
        self.loop.set_exception_handler(lambda _, context: self.complaints.append(context))

    def run(self, awaitable, timeout=60):
        """Run the loop until something is done."""

        async def bounded():
            return await asyncio.wait_for(awaitable, timeout)

        return self.loop.run_until_complete(bounded())

    def close(self):
        """Close the loop."""
        left = asyncio.all_tasks(self.loop)
        for task in left:
            task.cancel()
        if left:
            self.loop.run_until_complete(asyncio.wait(left, timeout=5))
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()
        gc.collect()
        assert not left, left
        assert not self.complaints, self.complaints


@contextlib.contextmanager
def running(kind):
    """Yields a function that runs a coroutine on a loop of that kind."""
    loop = Loop(kind)
    try:
        yield loop.run
    finally:
        loop.close()


class BlockingClient:
    """The blocking API."""

    def connect(self, uri, **options):
        """Connect."""
        return wspool.connect(uri, **options)

    def close(self):
        """Nothing is left to end."""


class DrivenClient:
    """The asyncio API; its loop runs only while a method of a connection waits."""

    def __init__(self, kind):
        self.loop = Loop(kind)

    def connect(self, uri, **options):
        """Connect."""

        async def opening():
            return await wspool.aio.connect(uri, **options)

        return Driven(self.loop, self.loop.run(opening()))

    def close(self):
        """Close the loop."""
        self.loop.close()


class Driven:
    """An asyncio connection with the methods of a blocking one."""

    def __init__(self, loop, connection):
        self.loop = loop
        self.connection = connection

    def __getattr__(self, name):
        value = getattr(self.connection, name)
        if not inspect.iscoroutinefunction(value):
            return value
        return lambda *args, **options: self.loop.run(value(*args, **options))

    def __enter__(self):
        return self

    def __exit__(self, *raised):
        self.loop.run(self.connection.__aexit__(*raised))

    def __iter__(self):
        while True:
            try:
                yield self.loop.run(self.connection.__anext__())
            except StopAsyncIteration:
                return

    def recv_streaming(self, decode=None):
        """Receive in fragments."""
        fragments = self.connection.recv_streaming(decode)

        async def following():
            return await fragments.__anext__()

        try:
            while True:
                try:
                    yield self.loop.run(following())
                except StopAsyncIteration:
                    return
        finally:
            self.loop.run(fragments.aclose())

    def ping(self, data=None):
        """Send a ping."""
        return DrivenPong(self.loop, self.loop.run(self.connection.ping(data)))


class DrivenPong:
    """The answer to a ping."""

    def __init__(self, loop, future):
        self.loop = loop
        self.future = future

    def done(self):
        """Tell whether it has come."""
        return self.future.done()

    def result(self, timeout):
        """Wait for it."""
        return self.loop.run(asyncio.shield(self.future), timeout)


def client_of(kind):
    """Return a client: of "sync", or of "asyncio" or "uvloop"."""
    return BlockingClient() if kind == "sync" else DrivenClient(kind)
