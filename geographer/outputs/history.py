"""History: the events of one feature or raster."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from geographer.base.errors import NotFoundError
from geographer.storage.queries.revision import Revision

_HISTORY: Final = Path(__file__).with_name("history.sql")


def read_history(revision: Revision, object_id: str) -> list[dict[str, Any]]:
    """Return the events that touched a feature or raster, oldest first, with changes; `NotFoundError` if none did."""
    rows = revision.fetch_arrow(_HISTORY.read_text(), {"id": object_id}).to_pylist()
    if not rows:
        raise NotFoundError(
            f"no feature or raster '{object_id}' in any revision. See geographer features and geographer rasters."
        )
    return list(rows)
