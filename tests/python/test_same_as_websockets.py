"""What a program sees is what it would see with websockets 17; where not, the table says why.

Each case is a script for a server and steps for a client. The same steps are run with
``websockets`` and with ``wspool``, blocking and with asyncio, and the outcomes compared.
"""

import pytest

from .same_as_websockets.clients import run_case
from .same_as_websockets.table import CASES

websockets = pytest.importorskip("websockets", minversion="17.0")


def connects(api):
    """Return `connect` of both libraries."""
    if api == "sync":
        import websockets.sync.client

        import wspool.sync

        return websockets.sync.client.connect, wspool.sync.connect
    import websockets.asyncio.client

    import wspool.aio

    return websockets.asyncio.client.connect, wspool.aio.connect


@pytest.mark.parametrize(
    ("case", "api"),
    [pytest.param(case, api, id=f"{case.name}-{api}") for case in CASES for api in case.apis],
)
def test_outcome_is_the_same(case, api):
    """The outcome with wspool is that with websockets, but for what the case lets differ."""
    theirs_connect, ours_connect = connects(api)
    theirs = run_case(case, theirs_connect, api)
    ours = run_case(case, ours_connect, api)
    expected = theirs
    if case.differs is not None and case.differs.stated(api):
        expected = case.differs.expected(theirs, api)
        assert expected != theirs, f"no difference any more: {case.differs.reason}"
    assert ours == expected


def test_names_of_cases_are_unique():
    """A name leads to one row of the table."""
    names = [case.name for case in CASES]
    assert len(names) == len(set(names))
