"""The event of download recipes."""

from collections.abc import Iterator
from typing import Annotated, ClassVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from geographer.base.text import format_count
from geographer.planning.recipe_events import SelectingEvent, format_bound, format_reasons
from geographer.storage.events.payload import Columns, Count, Counted, Fraction, Name, UserColumn


class SceneCover(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The selected scenes beside the proven lower bound; `gap` is the largest fraction that could be spared."""

    scenes: Count
    bound: Count
    gap: Fraction


class ArchiveSearch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A search: its box (west, south, east, north, in degrees), time range, and the pages and products returned."""

    box: Annotated[list[float], Meta(min_length=4, max_length=4)]
    pages: Count
    found: Count
    start: str | UnsetType = UNSET
    end: str | UnsetType = UNSET


class Replacement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A product that failed, why, and the products fetched instead; `uncovered` of its features none of them shows."""

    product: str
    reason: str
    replaced_by: list[str]
    uncovered: Count


class RastersDownloadedV1(SelectingEvent, kw_only=True, frozen=True):
    """A download recipe ran, before failed products could be replaced; `failed` also counts those that are ordered."""

    kind: ClassVar[str] = "rasters_downloaded"
    tables: ClassVar[tuple[str, ...]] = ("raster_change", "skipped_input", "recipe_input")
    writes_pixels: ClassVar[bool] = True

    collection: Name
    rasters: Annotated[Count, Counted("raster")]
    failed: Annotated[Count, Counted("product", "failed")]
    features: Annotated[Count, Counted("feature")]
    missing: Annotated[Count, Counted("feature", "without enough rasters")]
    candidates: Annotated[Count, Counted("candidate scene")]
    cover: SceneCover
    bytes: Count | None
    short: Annotated[int, Meta(ge=1)] | UnsetType = UNSET
    searches: list[ArchiveSearch]
    columns: Columns

    def to_current_version(self) -> "RastersDownloaded":
        """See `EventPayload.to_current_version`."""
        return msgspec.convert(self.to_json(), RastersDownloaded)

    @property
    def is_incomplete(self) -> bool:
        """See `EventPayload.is_incomplete`."""
        return self.failed > 0

    def iter_user_columns(self) -> Iterator[UserColumn]:
        """See `EventPayload.iter_user_columns`."""
        for name, column_type in self.columns.items():
            yield UserColumn("raster", name, column_type)

    def iter_phrases(self) -> Iterator[str]:
        """See `EventPayload.iter_phrases`."""
        yield from super().iter_phrases()
        if self.cover.scenes:
            yield format_bound(self.cover.scenes, "scene", "selected", self.cover.bound)
        yield f"{self.bytes / 1e6:,.1f} MB" if self.bytes else ""
        yield format_reasons(self.unmet)
        if self.short is not UNSET:
            yield f"{format_count(self.short, 'feature')} not contained by the scenes fetched for them"
        if len(self.collection) < 40:
            yield f"collection {self.collection}"


class RastersDownloaded(RastersDownloadedV1, kw_only=True, frozen=True):
    """A download recipe ran: scenes of an archive became rasters; `short` features lack the scenes fetched for them.

    `ordered` products are offline, and fetched by a later run. `replacements` are the failed products for which others
    were looked for.
    """

    kind: ClassVar[str] = "rasters_downloaded"
    version: ClassVar[int] = 2

    ordered: Annotated[int, Meta(ge=1)] | UnsetType = UNSET
    replacements: Annotated[list[Replacement], Meta(min_length=1)] | UnsetType = UNSET

    @property
    def n_replaced(self) -> int:
        """The number of failed products whose features others show."""
        return sum(not replacement.uncovered for replacement in self.replacements or ())

    @property
    def is_incomplete(self) -> bool:
        """See `EventPayload.is_incomplete`."""
        return self.failed > self.n_replaced or self.ordered is not UNSET

    def to_current_version(self) -> "RastersDownloaded":
        """See `EventPayload.to_current_version`."""
        return self

    def iter_phrases(self) -> Iterator[str]:
        """See `EventPayload.iter_phrases`."""
        yield from super().iter_phrases()
        if self.ordered is not UNSET:
            yield f"{format_count(self.ordered, 'product')} ordered"
        if self.n_replaced:
            yield f"{format_count(self.n_replaced, 'failed product')} replaced by others"
