"""The events of removals and restorations; earlier revisions keep what is removed."""

from pathlib import Path
from typing import Annotated, ClassVar

from msgspec import UNSET

from geographer.planning.removed_rasters import REMOVAL_TABLES
from geographer.storage.events.payload import Count, Counted, EventPayload


class FeaturesRemoved(EventPayload, kw_only=True, frozen=True):
    """Features were removed."""

    kind: ClassVar[str] = "features_removed"
    tables: ClassVar[tuple[str, ...]] = ("feature_change",)

    features: Annotated[Count, Counted("feature")]


class RasterRemoval(EventPayload, kw_only=True, frozen=True):
    """Rasters were removed, with their labels and split assignments."""

    tables: ClassVar[tuple[str, ...]] = REMOVAL_TABLES

    rasters: Annotated[Count, Counted("raster")]
    labels: Annotated[Count, Counted("label")]
    splits: Annotated[Count, Counted("split assignment")]


class RastersRemoved(RasterRemoval, kw_only=True, frozen=True):
    """Rasters were removed by id."""

    kind: ClassVar[str] = "rasters_removed"
    is_remembered: ClassVar[bool] = True


class RastersWithdrawn(RasterRemoval, kw_only=True, frozen=True):
    """The bytes of rasters, and of all chips that were ever cut from them, are to be deleted; the digests stay."""

    kind: ClassVar[str] = "rasters_withdrawn"
    row_tables: ClassVar[tuple[tuple[str, str, str], ...]] = (("withdrawn_file", "md5", "raster_id path sha256 size"),)
    state_sql: ClassVar[Path | None] = Path(__file__).with_name("withdrawn_file.sql")
    is_remembered: ClassVar[bool] = True

    files: Annotated[Count, Counted("file", "withdrawn")]


class FeaturesRestored(EventPayload, kw_only=True, frozen=True):
    """Removed features are in the dataset again, as they were."""

    kind: ClassVar[str] = "features_restored"
    tables: ClassVar[tuple[str, ...]] = ("feature_change",)

    features: Annotated[Count, Counted("feature")]


class RastersRestored(EventPayload, kw_only=True, frozen=True):
    """Removed rasters are in the dataset again, as they were."""

    kind: ClassVar[str] = "rasters_restored"
    tables: ClassVar[tuple[str, ...]] = ("raster_change",)

    rasters: Annotated[Count, Counted("raster")]


class LabelsRemoved(EventPayload, kw_only=True, frozen=True):
    """All labels of a name were removed, those of chips, too; `ends_recipe`: they had been added as files."""

    kind: ClassVar[str] = "labels_removed"
    tables: ClassVar[tuple[str, ...]] = ("label_change", "label_object_change")

    labels: Annotated[Count, Counted("label")]
    ends_recipe: bool

    @property
    def removed_recipe(self) -> str | None:
        """See `EventPayload.removed_recipe`."""
        return str(self.request["name"]) if self.ends_recipe and self.request is not UNSET else None


class RecipeRemoved(RasterRemoval, kw_only=True, frozen=True):
    """A recipe was removed, with all that it made, unless that was to be kept."""

    kind: ClassVar[str] = "recipe_removed"

    @property
    def removed_recipe(self) -> str | None:
        """See `EventPayload.removed_recipe`."""
        return None if self.request is UNSET else str(self.request["name"])


class UnreadableRowsRemoved(EventPayload, kw_only=True, frozen=True):
    """Objects whose last row cannot be used got their version before it, or were removed."""

    kind: ClassVar[str] = "unreadable_rows_removed"
    tables: ClassVar[tuple[str, ...]] = (
        *("class_change", "feature_change", "raster_change", "label_change", "label_object_change", "split_change"),
    )
    is_optional: ClassVar[bool] = True
    ends_unnamed_rows: ClassVar[bool] = True

    rows: Annotated[Count, Counted("unreadable row")]
    restored: Annotated[Count, Counted("object", "restored to the version before")]

    @property
    def is_empty(self) -> bool:
        """See `EventPayload.is_empty`; rows without an id end without rows of the event."""
        return not self.rows
