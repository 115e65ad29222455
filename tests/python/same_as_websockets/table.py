"""All cases, in the order of the topics."""

from __future__ import annotations

from . import (
    cases_breaking,
    cases_closing,
    cases_messages,
    cases_opening,
    cases_pings,
    cases_tls,
    cases_violations,
)

__all__ = ["CASES"]

CASES = [
    case
    for topic in (
        cases_opening,
        cases_closing,
        cases_breaking,
        cases_violations,
        cases_messages,
        cases_pings,
        cases_tls,
    )
    for case in topic.CASES
]
