"""The rasters that a certificate is about, and those that it does not cover."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from geographer.algorithms.connected_components import Ints
from geographer.base.errors import NotFoundError
from geographer.storage.queries.revision import Revision
from geographer.storage.workspace.withdrawn_files import list_withdrawn_files

_FOLDER: Final = Path(__file__).parent
_ASSIGNED: Final = "SELECT raster_id, part, part_number FROM certified_raster ORDER BY raster_index"
_RECIPE: Final = "SELECT parameters FROM recipes WHERE name = $split AND kind = 'split'"
_COLLECTION: Final = "SELECT parameters->>'collection' FROM recipes WHERE name = $split AND kind = 'split'"
_FILES: Final = (
    "SELECT raster_id, md5 FROM current_raster SEMI JOIN certified_raster USING (raster_key) ORDER BY raster_id"
)
MAX_NAMES: Final = 100
"""How many ids of rasters are listed for each reason."""


class CertifiedRasters(NamedTuple):
    """The rasters that a split gives a part, in order of id.

    Attributes:
        ids: Their ids.
        part: The numbers of their parts, shape (n,).
        parts: The names of the parts that have rasters, sorted.
        empty_parts: The parts of the split's recipe that have none.
        left_out: The ids of rasters that are not covered, or that have no bytes in DVC, by the reason.
    """

    ids: list[str]
    part: Ints
    parts: list[str]
    empty_parts: list[str]
    left_out: Mapping[str, list[str]]

    def count_parts(self) -> dict[str, int]:
        """Return the number of rasters of each part."""
        counts = np.bincount(self.part, minlength=len(self.parts))
        return dict(zip(self.parts, counts.tolist(), strict=True))

    def describe_left_out(self) -> dict[str, dict[str, Any]]:
        """Return the number of rasters and the first ids for each reason."""
        return {why: {"total": len(ids), "ids": ids[:MAX_NAMES]} for why, ids in sorted(self.left_out.items())}


def stage_certified_rasters(revision: Revision, split: str) -> CertifiedRasters:
    """Make the temp table `certified_raster`, and return its rasters.

    Raises:
        NotFoundError: the revision has no such split.
    """
    splits = [name for (name,) in revision.fetch_rows("SELECT DISTINCT split FROM current_split ORDER BY split")]
    recipe = revision.fetch_rows(_RECIPE, {"split": split})
    if split not in splits and not recipe:
        known = ", ".join(f"'{name}'" for name in splits) or "none"
        raise NotFoundError(f"no split '{split}' at @{revision.position}. The revision has: {known}.")
    revision.connection.execute((_FOLDER / "certified_rasters.sql").read_text(), {"split": split})
    rows = revision.fetch_rows(_ASSIGNED)
    parts = sorted({part for _, part, _ in rows})
    numbers = np.array([number for _, _, number in rows], np.int64)
    declared = {name for (text,) in recipe for name, _ in json.loads(text)["parts"]}
    ids = [raster_id for raster_id, _, _ in rows]
    return CertifiedRasters(ids, numbers, parts, sorted(declared - {*parts}), _list_left_out(revision, split))


def _list_left_out(revision: Revision, split: str) -> dict[str, list[str]]:
    collection = revision.fetch_value(_COLLECTION, {"split": split})
    query, left_out = (_FOLDER / "left_out.sql").read_text(), dict[str, list[str]]()
    for why, raster_id in revision.fetch_rows(query, {"split": split, "collection": collection}):
        left_out.setdefault(why, []).append(raster_id)
    withdrawn = list_withdrawn_files(revision.connection)
    if ids := [raster_id for raster_id, md5 in revision.fetch_rows(_FILES) if md5 in withdrawn]:
        left_out["withdrawn"] = ids
    return left_out
