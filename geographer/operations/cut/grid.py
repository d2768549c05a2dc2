"""`cut grid`: chips that tile rasters."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final, Literal

from geographer.base.errors import UsageError
from geographer.operations.cut.base import CutRecipe, Ground, Wanted, counted
from geographer.operations.cut.windows.grid import Edge
from geographer.planning.selection import SelectionSpec

_SHOWN: Final = Path(__file__).with_name("features_in_pixels.sql")


@dataclass(frozen=True, slots=True, kw_only=True)
class CutGrid(CutRecipe):
    """Chips that tile each raster of the collection from its upper left; all, or those that hold a selected feature."""

    kind: ClassVar[str] = "cut grid"

    overlap: int = 0
    edge: Edge = "shift"
    cells: Literal["all", "with-features"] = "all"
    where: SelectionSpec = None

    @property
    def padded(self) -> bool:
        """See `Cutting.padded`."""
        return self.edge == "pad"

    def windows(self, ground: Ground) -> Wanted:
        """See `planning.grid.plan_grid`."""
        from geographer.operations.cut.windows.grid import plan_grid

        if self.cells == "all" and self.where is not None:
            raise UsageError("--where selects features, and --cells all asks for none: pass --cells with-features")
        counts, shapes = {}, None
        if self.cells == "with-features":
            counts = {"features": len(ground.select_features(self.where))}
            shapes = ground.revision.fetch_arrow(_SHOWN.read_text(), {"collection": self.source})
        planned = plan_grid(ground.rasters, overlap=self.overlap, edge=self.edge, shapes=shapes, fits=ground.fits)
        return Wanted(planned.chips, {**counts, "unmet": counted(planned.uncut["reason"].to_pylist())})
