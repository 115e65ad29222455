"""Fixtures that more than one test module uses."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def repo_root() -> Path:
    """The top folder of the source tree."""
    return Path(__file__).resolve().parents[2]
