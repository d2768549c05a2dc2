"""Fixtures for archives: an environment without eodag configuration, and a faulty archive."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.stac_servers import FaultyArchive, serve_faulty_archive


@pytest.fixture(autouse=True)
def _clear_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("EODAG", "AWS_", "NETRC"))]:
        monkeypatch.delenv(name)


@pytest.fixture
def archive() -> Iterator[FaultyArchive]:
    """Serve a `FaultyArchive` on loopback."""
    with serve_faulty_archive() as served:
        yield served
