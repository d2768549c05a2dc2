"""Remembered removals: the rasters that users removed by id, and that recipes leave out until they are restored."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from geographer.storage.database.connection import run_script
from geographer.storage.events.payload import list_payload_classes
from geographer.storage.queries.revision import Revision

_REMEMBERED: Final = Path(__file__).with_name("remembered_removals.sql")


def stage_remembered_removals(revision: Revision) -> None:
    """Create the temporary table `remembered_removal`: the rasters that users removed, and that recipes leave out.

    Only removals by id count; a chip that its recipe retired, or that went with its recipe, is made again.
    """
    classes = list_payload_classes()
    kinds = [cls.kind for cls in classes if cls.is_remembered]
    listing_kinds = [cls.kind for cls in classes if cls.lists_removals]
    run_script(revision.connection, _REMEMBERED.read_text(), {"kinds": kinds, "listing_kinds": listing_kinds})
