"""The event of split recipes."""

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from geographer.base.text import format_count
from geographer.planning.recipe_events import RecipeEvent
from geographer.storage.events.payload import Count, Counted, Digest, Fraction

MethodV1 = Literal["milp", "greedy", "none"]
"""How new components were assigned before splits could match an area; none: there were none."""
Method = Literal["milp", "greedy", "none", "knndm"]
"""How new components were assigned; none: there were none; knndm: by matching distances in an area."""


class PartSummary(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A part: its rasters, the target fraction and the fraction reached, and the fractions of features of classes."""

    rasters: Count
    asked: Fraction
    got: Fraction
    classes: dict[str, Fraction]


class FoundPair(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Two rasters with nearly the same pixels, by id, and their pixel digests."""

    a: str
    b: str
    digests: Annotated[list[Digest], Meta(min_length=2, max_length=2)]


class FoundDuplicates(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The near-duplicates among rasters.

    `compared` is the SHA-256 of the sorted pixel digests, one per line, of the rasters that were compared, and
    `not_comparable` the number of those with too little texture.
    """

    compared: Digest
    pairs: list[FoundPair]
    not_comparable: Count


class AreaMatch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How well the parts match the distances in a prediction area; both values are Wasserstein's W in metres.

    `distance` is that of the parts, `random_distance` that of random parts.
    """

    distance: Annotated[float, Meta(ge=0)]
    random_distance: Annotated[float, Meta(ge=0)]


class SplitAssignedV1(RecipeEvent, kw_only=True, frozen=True):
    """A split recipe ran, before splits could match an area."""

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
    method: MethodV1
    cost: Annotated[float, Meta(ge=0)]
    bound: float
    proven: bool
    warnings: list[str]

    def to_current_version(self) -> "SplitAssigned":
        """See `EventPayload.to_current_version`."""
        return msgspec.convert(self.to_json(), SplitAssigned)

    def iter_phrases(self) -> Iterator[str]:
        """See `EventPayload.iter_phrases`."""
        yield from super().iter_phrases()
        yield f"at most {self.deviation:.0%} off target"
        yield "; ".join(
            f"{name} {format_count(part.rasters, 'raster')} ({part.got:.0%}, target {part.asked:.0%})"
            for name, part in self.parts.items()
        )


class SplitAssigned(SplitAssignedV1, kw_only=True, frozen=True):
    """A split recipe ran: rasters without a part got one, or were left without; see `SplitReport` for the fractions."""

    kind: ClassVar[str] = "split_assigned"
    version: ClassVar[int] = 2

    method: Method  # type: ignore[assignment]
    area_match: AreaMatch | UnsetType = UNSET
    near_duplicates: FoundDuplicates | UnsetType = UNSET

    @property
    def is_empty(self) -> bool:
        """See `EventPayload.is_empty`: near-duplicates are recorded if other pixels were compared than before."""
        return self.near_duplicates is UNSET

    def to_current_version(self) -> "SplitAssigned":
        """See `EventPayload.to_current_version`."""
        return self

    def iter_phrases(self) -> Iterator[str]:
        """See `EventPayload.iter_phrases`."""
        yield from super().iter_phrases()
        if isinstance(self.area_match, AreaMatch):
            match = self.area_match
            yield f"W {match.distance:,.0f} m to the area, random {match.random_distance:,.0f} m"
        if isinstance(self.near_duplicates, FoundDuplicates):
            yield f"{format_count(len(self.near_duplicates.pairs), 'pair')} of near-duplicates"
