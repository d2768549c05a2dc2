"""What tests of sources stand on: an eodag without anybody's configuration, and an archive that gives trouble."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from geographer.base.retry import RetryPolicy
from tests.stac_servers import FaultyArchive, faulty_archive


@pytest.fixture(autouse=True)
def _no_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("EODAG", "AWS_", "NETRC"))]:
        monkeypatch.delenv(name)


@pytest.fixture
def archive() -> Iterator[FaultyArchive]:
    """An archive on loopback that does what the test tells it to."""
    with faulty_archive() as one:
        yield one


@pytest.fixture
def pauses() -> list[float]:
    """The pauses that `hasty` would have made."""
    return []


@pytest.fixture
def hasty(pauses: list[float]) -> RetryPolicy:
    """Three tries, and no sleep between them."""
    return RetryPolicy(tries=3, sleep=pauses.append, chance=lambda: 0.0)
