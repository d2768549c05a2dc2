"""`cut around`: chips around features."""

import logging
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final, Literal

import msgspec

from geographer.base.errors import UsageError
from geographer.base.parameters import Parameter, to_json_value
from geographer.base.values import Size
from geographer.operations.cut.base import CutRecipe, PlanningContext, WindowPlan
from geographer.operations.cut.events import make_payload_rules
from geographer.planning.shared_parameters import SIZE, FeatureSelection, SizeSpec, parse_size

logger = logging.getLogger(__name__)

_SCALE: Final = 1.2
_MIN_SIZE: Final = "32"
PlacementMode = Literal["centered", "random", "variable"]
BorderPolicy = Literal["shift", "pad", "skip"]


class CutAround(CutRecipe, kw_only=True, frozen=True):
    """Cut chips around features.

    A feature that enough chips of the recipe contain already gets none, so clusters are not over-represented. A feature
    larger than a chip gets the smallest grid of chips that contains it. Features are processed in the order in which
    they were added, so later features do not move existing chips.
    """

    kind: ClassVar[str] = "cut around"
    payload_rules: ClassVar[Mapping[str, Any]] = make_payload_rules("features")
    example: ClassVar[str] = "cut around chips --size 512 --where \"class = 'lake'\""

    size: Annotated[SizeSpec | None, SIZE._replace(default="required, except with --mode variable")] = None
    mode: Annotated[
        PlacementMode,
        Parameter("Where the feature lies in its chip; 'variable' chips have their feature's size times --scale."),
    ] = "centered"
    scale: Annotated[
        float, Parameter("Size of a variable chip, in sizes of its feature.", "FACTOR", minimum=0, is_above=True)
    ] = _SCALE
    min_size: Annotated[
        SizeSpec, SIZE._replace(help="Smallest size of a variable chip, in pixels or metres.", default="none", key=None)
    ] = _MIN_SIZE
    target_count: Annotated[
        int, Parameter("How many chips, of different rasters, must contain each feature.", "COUNT", minimum=1)
    ] = 1
    where: FeatureSelection = None
    at_border: Annotated[
        BorderPolicy, Parameter("At the raster's border: shift the chip inside, pad it with nodata, or skip it.")
    ] = "shift"

    def __post_init__(self) -> None:
        is_variable = self.mode == "variable"
        if is_variable == (self.size is not None):
            cause = "--size has no meaning with --mode variable" if is_variable else f"--mode {self.mode} needs --size"
            raise UsageError(f"{cause}. Pass --size, or --mode variable with --scale and --min-size.")
        super().__post_init__()
        if not is_variable:
            self._warn_of_unused_sizes()
            msgspec.structs.force_setattr(self, "scale", 1.0)

    def _warn_of_unused_sizes(self) -> None:
        """Log options of variable chips; those of a recorded recipe have no effect, either."""
        if self.scale not in (1.0, _SCALE):
            logger.warning("--scale has no effect without --mode variable.")
        if parse_size(self.min_size) != parse_size(_MIN_SIZE):
            logger.warning("--min-size has no effect without --mode variable.")

    @classmethod
    def from_parameters(cls, name: str, parameters: Mapping[str, Any]) -> "CutAround":
        """See `Recipe.from_parameters`: the log records the smallest size of variable chips as their size."""
        if parameters["mode"] == "variable":
            parameters = {"min_size": parameters["size"], **{k: v for k, v in parameters.items() if k != "size"}}
        return super().from_parameters(name, parameters)

    @property
    def chip_size(self) -> Size:
        """See `CutRecipe.chip_size`."""
        return parse_size(self.size or self.min_size)

    def list_recorded_parameters(self) -> dict[str, Any]:
        """See `Request.list_recorded_parameters`."""
        return {**super().list_recorded_parameters(), "size": to_json_value(self.chip_size)}

    def plan_windows(self, context: PlanningContext) -> WindowPlan:
        """See `windows.around.plan_around`. Where rasters are in random order, each feature has its own order."""
        from geographer.operations.cut.windows.around import plan_around

        tables = context.fetch_pair_tables(self.where)
        return WindowPlan(*plan_around(*tables, self, context.accepts_window), features=len(tables[2]))
