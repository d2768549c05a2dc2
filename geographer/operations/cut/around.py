"""`cut around`: chips around features."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

from geographer.operations.cut.base import RANDOM, CutRecipe, Ground, Wanted, counted
from geographer.operations.cut.windows.positions import AtBorder, Mode
from geographer.planning.selection import SelectionSpec

CONTAINED: Final = Path(__file__).with_name("contained.sql")


@dataclass(frozen=True, slots=True, kw_only=True)
class CutAround(CutRecipe):
    """Chips around features: each selected feature is contained by `target_count` of them, where rasters allow.

    `size` is the least size where `mode` is 'variable'.
    """

    kind: ClassVar[str] = "cut around"

    mode: Mode = "centered"
    scale: float = 1.0
    target_count: int = 1
    at_border: AtBorder = "shift"
    where: SelectionSpec = None

    @property
    def padded(self) -> bool:
        """See `Cutting.padded`."""
        return self.at_border == "pad"

    def windows(self, ground: Ground) -> Wanted:
        """See `planning.around.plan_around`."""
        from geographer.operations.cut.windows.around import Around, plan_around

        selected = ground.select_features(self.where)
        planned = plan_around(
            ground.revision.fetch_arrow(CONTAINED.read_text(), {"collection": self.source}),
            ground.rasters,
            selected,
            Around(
                mode=self.mode,
                scale=self.scale,
                seed=self.seed,
                target_count=self.target_count,
                at_border=self.at_border,
                shuffled=self.order_by == RANDOM,
            ),
            ground.fits,
        )
        return Wanted(planned.chips, {"features": len(selected), "unmet": counted(planned.unmet["reason"].to_pylist())})
