"""`cut cover`: as few chips as can be."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal

import pyarrow as pa

from geographer.base.values import Window
from geographer.operations.cut.around import CONTAINED
from geographer.operations.cut.base import CutRecipe, Ground, Wanted, counted
from geographer.operations.cut.windows.plan_tables import CHIPS
from geographer.planning.selection import SelectionSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class CutCover(CutRecipe):
    """The fewest chips of one size such that every selected feature is contained `target_count` times.

    Chips that there are stay as long as they hold a selected feature, unless a run is `afresh`.
    """

    kind: ClassVar[str] = "cut cover"

    target_count: int = 1
    at_border: Literal["shift", "pad"] = "shift"
    where: SelectionSpec = None
    time_limit: float = 60.0

    @property
    def padded(self) -> bool:
        """See `Cutting.padded`."""
        return self.at_border == "pad"

    def windows(self, ground: Ground) -> Wanted:
        """See `planning.cover.plan_cover`. The counts say how near the chips come to the fewest that can be."""
        from geographer.operations.cut.windows.cover import holding, plan_cover

        selected = ground.select_features(self.where)
        candidates = ground.revision.fetch_arrow(CONTAINED.read_text(), {"collection": self.source})
        tables = candidates, ground.rasters, selected
        kept = self._kept(ground, [] if ground.run.afresh else holding(*tables, _windows(ground.existing)))
        cover = partial(
            plan_cover,
            *tables,
            times=self.target_count,
            at_border=self.at_border,
            seconds=self.time_limit,
            fits=ground.fits,
        )
        planned = cover(existing=_windows(kept))
        before = ground.revision.fetch_value(
            "SELECT count(*) FROM raster_now WHERE recipe = $name", {"name": self.name}
        )
        unchanged = len(kept) == before and not len(planned.chips)
        least = None if unchanged else cover().bound if len(kept) else planned.bound
        chips = pa.concat_tables([kept, planned.chips])
        counts = {
            "features": len(selected),
            "unmet": counted(planned.unmet["reason"].to_pylist()),
            "cover": {
                "chips": len(chips),
                "bound": least,
                "gap": _gap(len(chips), least),
                "kept": len(kept),
                "added": len(planned.chips),
                "added_bound": planned.bound,
            },
        }
        return Wanted(chips, counts)

    def _kept(self, ground: Ground, held: list[bool]) -> pa.Table:
        """The recipe's chips that hold a selected feature, as `planning.windows.CHIPS`."""
        prefix = f"{self.name}/"
        rows = [
            {**chip, "name": chip["chip_id"].removeprefix(prefix), "feature_id": None}
            for chip, holds in zip(ground.existing.to_pylist(), held, strict=False)
            if holds
        ]
        return pa.Table.from_pylist(rows, schema=CHIPS)


def _gap(chips: int, bound: int | None) -> float | None:
    """Which share of the chips a fresh cover might do without, at most; to six digits."""
    return None if bound is None else round(1 - bound / chips, 6) if chips else 0.0


def _windows(chips: pa.Table) -> list[tuple[str, Window]]:
    return [
        (chip["raster_id"], Window(chip["col"], chip["row"], chip["width"], chip["height"]))
        for chip in chips.to_pylist()
    ]
