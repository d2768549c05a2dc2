"""`cut custom`: chips of windows that a user-defined cutter selects."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final

from geographer.base.errors import UsageError, quote_objects
from geographer.base.parameters import Parameter, join_schema
from geographer.base.plugins import PluginKind, PluginRef, plugin_version
from geographer.base.values import Window
from geographer.operations.cut.base import CutRecipe, PlanningContext, WindowPlan
from geographer.operations.cut.events import CutterRun, make_payload_rules
from geographer.operations.cut.windows.chip_names import make_grid_chip_name
from geographer.operations.cut.windows.chips import Chip
from geographer.planning.shared_parameters import OPTIONS, SIZE, TEXT, FeatureSelection, SizeSpec

if TYPE_CHECKING:
    import pyarrow as pa

CUTTERS: Final = PluginKind("cutter", "geographer.cutters", "geographer.Cutter")

_FEATURES: Final = Path(__file__).with_name("features_to_cut.sql")
_CONTAINED: Final = (
    "SELECT feature_id, raster_id, ST_XMin(geometry) AS pmin_col, ST_YMin(geometry) AS pmin_row, "
    "ST_XMax(geometry) AS pmax_col, ST_YMax(geometry) AS pmax_row "
    "FROM feature_in_pixels WHERE contains ORDER BY rank, raster_id"
)
_CUTTER_SCHEMA: Final = join_schema({"cutter": TEXT | {"minLength": 1}, "version": TEXT}, ["cutter", "version"])


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
        self, features: "pa.Table", rasters: "pa.Table", contained: "pa.Table", *, seed: int
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


_CUTTER_HELP: Final = "An entry point of geographer.cutters, or module:Class."
_CUTTER: Final = Parameter(_CUTTER_HELP, "NAME", convert=CUTTERS.parse_plugin, schema=_CUTTER_SCHEMA)
_SIZE: Final = SIZE._replace(help="Size passed to the cutter, in pixels or metres.", default="none")
_OPTIONS: Final = OPTIONS._replace(help="An option of the cutter; the value is JSON or text.", flags="-O --option")


class CutCustom(CutRecipe, kw_only=True, frozen=True):
    """Cut the windows that your subclass of geographer.Cutter chooses.

    With a pad value, they may exceed the raster's border.
    """

    kind: ClassVar[str] = "cut own"
    payload_rules: ClassVar[Mapping[str, Any]] = make_payload_rules("features", "cutter")
    example: ClassVar[str] = "cut custom corners --cutter my_module:Corners -O inset=2"

    cutter: Annotated[type[Cutter] | str | PluginRef, _CUTTER]
    size: Annotated[SizeSpec, _SIZE] = "512"
    options: Annotated[Mapping[str, Any], _OPTIONS] = {}
    where: FeatureSelection = None

    @property
    def allows_padding(self) -> bool:
        """See `CutRecipe.allows_padding`; requires a `pad_value`."""
        return self.pad_value is not None

    @property
    def uses_seed(self) -> bool:
        """See `CutRecipe.uses_seed`; a cutter may use it."""
        return True

    def plan_windows(self, context: PlanningContext) -> WindowPlan:
        """Call the cutter and validate the windows that it returns."""
        reference = CUTTERS.parse_plugin(self.cutter)
        cutter_class = reference.require_plugin()
        cutter: Cutter = CUTTERS.make_instance(cutter_class, reference.name, Cutter, self.options)
        context.stage_features_in_pixels(self.where)
        features = context.revision.fetch_arrow(_FEATURES.read_text())
        contained = context.revision.fetch_arrow(_CONTAINED)
        items = cutter.windows(features, context.rasters, contained, seed=self.seed)
        raster_windows = sorted({_parse_raster_window(reference.name, item) for item in items or ()})
        if unknown := {raster_id for raster_id, _ in raster_windows} - context.raster_by_id.keys():
            raise UsageError(
                f"cutter '{reference.name}' returned the unknown {quote_objects('raster', sorted(unknown))}. Return "
                "ids of the table `rasters`."
            )
        chips = [
            # Two windows may start at the same pixel, so the name includes the size.
            Chip(f"{make_grid_chip_name(id, window.col, window.row)}~{window.width}x{window.height}", id, None, window)
            for id, window in raster_windows
            if context.accepts_window(id, window)
        ]
        run = CutterRun(reference.name, plugin_version(cutter_class))
        return WindowPlan(chips, features=len(features), cutter=run)


def _parse_raster_window(cutter: str, item: Any) -> tuple[str, Window]:
    try:
        raster_id, raw_window = item
        sides = getattr(raw_window, "flatten", lambda: tuple(raw_window))()
        window = Window(*map(int, sides))
    except (TypeError, ValueError) as error:
        raise UsageError(f"cutter '{cutter}' returned {item!r}. Return pairs of a raster id and a window.") from error
    if tuple(sides) != window:
        raise UsageError(f"cutter '{cutter}' returned {item!r}. Return windows of whole pixels.")
    return str(raster_id), window
