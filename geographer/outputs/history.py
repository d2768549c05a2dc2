"""TODO."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from geographer.base.errors import NotFoundError

if TYPE_CHECKING:
    from geographer.storage.queries.revision import Revision

_FOLDER: Final = Path(__file__).parent


def read_history(revision: Revision, identity: str) -> list[dict[str, Any]]:
    """Every event that touched a feature or raster, oldest first.

    Raises:
        NotFoundError: no event ever did.
    """
    rows: list[dict[str, Any]] = revision.fetch_arrow(
        (_FOLDER / "history.sql").read_text(), {"id": identity}
    ).to_pylist()
    if not rows:
        raise NotFoundError(f"no feature or raster was ever called '{identity}': see geographer features, rasters")
    return rows
