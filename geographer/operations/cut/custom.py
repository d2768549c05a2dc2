"""`cut custom`: chips of windows that a user-defined cutter selects."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from geographer.base.errors import UsageError, quote_objects
from geographer.base.plugins import PluginKind, PluginRef, plugin_version
from geographer.base.values import Window
from geographer.operations.cut.base import CutRecipe, PlanningContext, WindowPlan
from geographer.operations.cut.windows.chip_names import make_grid_chip_name
from geographer.operations.cut.windows.plan_tables import make_chips_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pyarrow as pa

    from geographer.planning.selection import SelectionSpec

CUTTERS: Final = PluginKind("cutter", "geographer.cutters", "geographer.Cutter")

_FEATURES: Final = Path(__file__).with_name("features_to_cut.sql")
_CONTAINED: Final = (
    "SELECT feature_id, raster_id, ST_XMin(geometry) AS pmin_col, ST_YMin(geometry) AS pmin_row, "
    "ST_XMax(geometry) AS pmax_col, ST_YMax(geometry) AS pmax_row "
    "FROM feature_in_pixels WHERE contains ORDER BY rank, raster_id"
)


class Cutter(ABC):
    """Base class of user-defined cutters.

    Pass the subclass, or name it by an entry point in `geographer.cutters` or as 'module:Class'. A cutter selects the
    windows of rasters that become chips; geographer reads, writes, hashes, records, updates and retires the chips. It
    must return the same windows for the same tables. Use `seed` for random choices.
    """

    def __init__(self, **options: Any) -> None:
        """Store the recipe's options (JSON values)."""
        self.options = options

    @abstractmethod
    def windows(
        self, features: pa.Table, rasters: pa.Table, contained: pa.Table, *, seed: int
    ) -> Iterable[tuple[str, Window]]:
        """Return the chips as pairs of a raster id and a window in pixels: `geographer.Window` or rasterio's `Window`.

        Args:
            features: The selected features in the order in which they were added, with all columns. `feature_id` is
                text; `geometry` is WKB in longitude/latitude.
            rasters: The rasters to cut from, by rank: `raster_id`, `width`, `height`, the transform `a` to `f`, `crs`,
                `bands`, `nodata`, and `chip_width`, `chip_height`: the recipe's size in pixels of the raster.
            contained: One row for each feature and each raster that contains it: `feature_id`, `raster_id`, and the
                feature's bounds in the raster's pixels, `pmin_col`, `pmin_row`, `pmax_col`, `pmax_row` (float64).
            seed: The recipe's seed.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class CutCustom(CutRecipe):
    """Cut chips of the windows that a `Cutter` returns."""

    kind: ClassVar[str] = "cut own"

    cutter: PluginRef
    options: Mapping[str, Any] = field(default_factory=dict)
    where: SelectionSpec = None

    @property
    def allows_padding(self) -> bool:
        """See `CutRecipe.allows_padding`; requires a `pad_value`."""
        return self.pad_value is not None

    def plan_windows(self, context: PlanningContext) -> WindowPlan:
        """Call the cutter and validate the windows that it returns."""
        cutter_class = self.cutter.require_plugin()
        cutter: Cutter = CUTTERS.make_instance(cutter_class, self.cutter.name, Cutter, self.options)
        context.stage_features_in_pixels(self.where)
        features = context.revision.fetch_arrow(_FEATURES.read_text())
        contained = context.revision.fetch_arrow(_CONTAINED)
        items = cutter.windows(features, context.rasters, contained, seed=self.seed)
        raster_windows = sorted({self._parse_raster_window(item) for item in items or ()})
        raster_ids = set(context.rasters["raster_id"].to_pylist())
        if unknown := {raster_id for raster_id, _ in raster_windows} - raster_ids:
            raise UsageError(
                f"cutter '{self.cutter.name}' returned the unknown "
                f"{quote_objects('raster', sorted(unknown))}. Return ids of "
                "the table `rasters`."
            )
        chips = []
        for raster_id, window in raster_windows:
            if context.accepts_window is None or context.accepts_window(raster_id, window):
                # Two windows may start at the same pixel, so the name includes the size.
                name = f"{make_grid_chip_name(raster_id, window.col, window.row)}~{window.width}x{window.height}"
                chips.append((name, raster_id, None, window))
        used_cutter = {"cutter": self.cutter.name, "version": plugin_version(cutter_class)}
        return WindowPlan(make_chips_table(chips), {"features": len(features), "unmet": {}, "cutter": used_cutter})

    def _parse_raster_window(self, item: Any) -> tuple[str, Window]:
        try:
            raster_id, raw_window = item
            sides = getattr(raw_window, "flatten", lambda: tuple(raw_window))()
            window = Window(*map(int, sides))
        except (TypeError, ValueError) as error:
            raise UsageError(
                f"cutter '{self.cutter.name}' returned {item!r}. Return pairs of a raster id and a window."
            ) from error
        if tuple(sides) != window:
            raise UsageError(f"cutter '{self.cutter.name}' returned {item!r}. Return windows of whole pixels.")
        return str(raster_id), window
