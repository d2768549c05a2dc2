"""The event of split recipes."""

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta

from geographer.base.text import format_count
from geographer.planning.recipe_events import RecipeEvent
from geographer.storage.events.payload import Count, Counted, Fraction

Method = Literal["milp", "greedy", "none"]
"""How new components were assigned; none: there were none."""


class PartSummary(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A part: its rasters, the target fraction and the fraction reached, and the fractions of features of classes."""

    rasters: Count
    asked: Fraction
    got: Fraction
    classes: dict[str, Fraction]


class SplitAssigned(RecipeEvent, kw_only=True, frozen=True):
    """A split recipe ran: rasters without a part got one, or were left without; see `SplitReport` for the fractions."""

    kind: ClassVar[str] = "split_assigned"
    tables: ClassVar[tuple[str, ...]] = ("split_change",)
    libraries: ClassVar[tuple[str, ...]] = ("numpy", "scipy", "shapely")

    assigned: Annotated[Count, Counted("raster", "assigned")]
    left_out: Annotated[Count, Counted("raster", "left unassigned")] = msgspec.field(name="left out")
    moved: Annotated[Count, Counted("raster", "moved to another part")]
    components: Annotated[Count, Counted("component")]
    largest: Fraction
    deviation: Fraction
    class_deviation: Fraction | None
    parts: Annotated[dict[str, PartSummary], Meta(min_length=1)]
    method: Method
    cost: Annotated[float, Meta(ge=0)]
    bound: float
    proven: bool
    warnings: list[str]

    def iter_phrases(self) -> Iterator[str]:
        """See `EventPayload.iter_phrases`."""
        yield from super().iter_phrases()
        yield f"at most {self.deviation:.0%} off target"
        yield "; ".join(
            f"{name} {format_count(part.rasters, 'raster')} ({part.got:.0%}, target {part.asked:.0%})"
            for name, part in self.parts.items()
        )
