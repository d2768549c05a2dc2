"""The events of additions: features, rasters, labels, footprints, classes, and a directory of GeoGrapher 1.0."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Final, Literal, Self

import msgspec
from msgspec import UNSET, Meta, UnsetType

from geographer.planning.class_values import ClassNames
from geographer.planning.label_files import LABEL_SOURCE
from geographer.planning.recipe_events import RecipeEvent
from geographer.planning.upcasters import upcast_feature_ids
from geographer.planning.user_columns import ColumnsEvent, ImportEvent
from geographer.storage.events.payload import (
    Adjective,
    Columns,
    Count,
    Counted,
    Digest,
    EventPayload,
    Listed,
    Name,
    Reasons,
    RecipeRecord,
    Setting,
)

LABEL_SOURCE_TABLES: Final = ((LABEL_SOURCE, "label raster_id", "path sha256 size"),)
_REPLACEMENTS: Final = ("added", "changed", "unchanged")


class ReplacingEvent(ColumnsEvent, kw_only=True, frozen=True):
    """An addition; with `replace`, it counts the objects that were added, changed and equal."""

    is_optional: ClassVar[bool] = True
    schema_rules: ClassVar[Mapping[str, Any]] = {
        "dependentRequired": {name: [other for other in _REPLACEMENTS if other != name] for name in _REPLACEMENTS}
    }

    added: Annotated[Count | UnsetType, Adjective("added")] = UNSET
    changed: Annotated[Count | UnsetType, Adjective("changed")] = UNSET
    unchanged: Annotated[Count | UnsetType, Adjective("unchanged")] = UNSET

    def count_replacements(self, added: int, changed: int, unchanged: int) -> Self:
        """Return the event with these counts."""
        return msgspec.structs.replace(self, added=added, changed=changed, unchanged=unchanged)


class FeatureIds(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the ids of features come from.

    They are those of a `column` (None: 'feature_id' or 'id', as version 1 did not say which), the feature ids (FID) of
    the layer, or made from the content, i.e. the geometry.
    """

    source: Literal["column", "fid", "content"]
    column: Annotated[str, Meta(min_length=1)] | None

    def format_phrase(self) -> str:
        """Return what the one-line summary says: nothing about the ids of a column."""
        return {"column": "", "fid": "ids from the layer's FID", "content": "ids from the geometry"}[self.source]


class FeaturesAddedV1(ReplacingEvent, kw_only=True, frozen=True):
    """Features were added, before events recorded where ids come from."""

    kind: ClassVar[str] = "features_added"
    subject: ClassVar[str] = "feature"
    tables: ClassVar[tuple[str, ...]] = ("feature_change", "class_change", "skipped_input")

    source: str
    columns: Columns
    features: Annotated[Count, Counted("feature")]
    skipped: Annotated[Count, Adjective("skipped")]
    classes: Annotated[ClassNames, Listed("class")]
    crs: Annotated[str, Meta(min_length=1), Setting("CRS")]

    def to_current_version(self) -> "FeaturesAdded":
        """See `EventPayload.to_current_version`."""
        return msgspec.convert(upcast_feature_ids(self.to_json()), FeaturesAdded)


class FeaturesAdded(FeaturesAddedV1, kw_only=True, frozen=True):
    """Features were added; with `replace`, those of known ids changed."""

    kind: ClassVar[str] = "features_added"
    version: ClassVar[int] = 2

    ids: FeatureIds

    def to_current_version(self) -> "FeaturesAdded":
        """See `EventPayload.to_current_version`."""
        return self

    def iter_phrases(self) -> Iterator[str]:
        """See `EventPayload.iter_phrases`."""
        yield from super().iter_phrases()
        yield self.ids.format_phrase()


class FeaturesSynced(ColumnsEvent, kw_only=True, frozen=True):
    """The features became those of a file: some were added, changed or removed."""

    kind: ClassVar[str] = "features_synced"
    subject: ClassVar[str] = "feature"
    tables: ClassVar[tuple[str, ...]] = ("feature_change", "class_change", "skipped_input")
    is_optional: ClassVar[bool] = True
    schema_rules: ClassVar[Mapping[str, Any]] = {"properties": {"request": {"required": ["sync"]}}}

    source: str
    columns: Columns
    added: Annotated[Count, Adjective("added")]
    changed: Annotated[Count, Adjective("changed")]
    removed: Annotated[Count, Adjective("removed")]
    unchanged: Annotated[Count, Adjective("unchanged")]
    skipped: Annotated[Count, Adjective("skipped")]
    classes: Annotated[ClassNames, Listed("class")]
    crs: Annotated[str, Meta(min_length=1), Setting("CRS")]
    ids: FeatureIds

    def iter_phrases(self) -> Iterator[str]:
        """See `EventPayload.iter_phrases`."""
        yield from super().iter_phrases()
        yield self.ids.format_phrase()


class AnnotationsImported(ColumnsEvent, kw_only=True, frozen=True):
    """Annotations in pixel coordinates became features: some were added, changed or removed."""

    kind: ClassVar[str] = "annotations_imported"
    subject: ClassVar[str] = "feature"
    tables: ClassVar[tuple[str, ...]] = ("feature_change", "class_change", "skipped_input")
    is_optional: ClassVar[bool] = True

    source: str
    format: Annotated[Literal["coco", "yolo", "label-studio", "cvat"], Setting("format")]
    sha256: Digest
    images: Annotated[Count, Counted("image")]
    columns: Columns
    added: Annotated[Count, Adjective("added")]
    changed: Annotated[Count, Adjective("changed")]
    removed: Annotated[Count, Adjective("removed")]
    unchanged: Annotated[Count, Adjective("unchanged")]
    skipped: Annotated[Count, Adjective("skipped")]
    classes: Annotated[ClassNames, Listed("class")]
    crs: list[Annotated[str, Meta(min_length=1)]]


class RastersAddedV1(ReplacingEvent, kw_only=True, frozen=True):
    """Rasters were added to a collection; with `replace`, those of known ids changed."""

    kind: ClassVar[str] = "rasters_added"
    subject: ClassVar[str] = "raster"
    tables: ClassVar[tuple[str, ...]] = ("raster_change", "skipped_input")
    writes_pixels: ClassVar[bool] = True

    columns: Columns
    rasters: Annotated[Count, Counted("raster")]
    skipped: Annotated[Count, Adjective("skipped")]
    collection: Annotated[Name, Setting("collection")]

    def to_current_version(self) -> "RastersAdded":
        """See `EventPayload.to_current_version`."""
        return msgspec.convert(self.to_json(), RastersAdded)


class RastersAdded(RastersAddedV1, kw_only=True, frozen=True):
    """Rasters were added, some of them at URLs; other additions record version 1, which older versions read."""

    kind: ClassVar[str] = "rasters_added"
    version: ClassVar[int] = 2

    def to_current_version(self) -> "RastersAdded":
        """See `EventPayload.to_current_version`."""
        return self


class LabelsAdded(RecipeEvent, kw_only=True, frozen=True):
    """Label files of users became labels; or labels whose rasters left or got another grid were retired.

    `unlabelled` are the rasters of the collection that have no label still.
    """

    kind: ClassVar[str] = "labels_added"
    tables: ClassVar[tuple[str, ...]] = ("label_change", "skipped_input", LABEL_SOURCE)
    row_tables: ClassVar[tuple[tuple[str, str, str], ...]] = LABEL_SOURCE_TABLES
    writes_pixels: ClassVar[bool] = True

    labels: Annotated[Count, Counted("label")]
    unchanged: Annotated[Count, Adjective("unchanged")]
    skipped: Annotated[Count, Adjective("skipped")]
    retired: Annotated[Count, Adjective("retired")]
    unlabelled: Annotated[Count, Counted("raster", "without a label")]


class RastersTakenIn(EventPayload, kw_only=True, frozen=True):
    """Rasters that were recorded in place are stored in DVC, with the same bytes."""

    kind: ClassVar[str] = "rasters_taken_in"
    tables: ClassVar[tuple[str, ...]] = ("raster_change",)
    writes_pixels: ClassVar[bool] = True
    is_optional: ClassVar[bool] = True

    rasters: Annotated[Count, Counted("raster")]


class CatalogueAddedV1(ColumnsEvent, kw_only=True, frozen=True):
    """Footprints without pixels were added, before requests named a layer and an encoding."""

    kind: ClassVar[str] = "catalogue_added"
    subject: ClassVar[str] = "raster"
    tables: ClassVar[tuple[str, ...]] = ("raster_change",)
    is_optional: ClassVar[bool] = True

    source: str
    columns: Columns
    rasters: Annotated[Count, Counted("raster")]
    collection: Annotated[Literal["catalogue"], Setting("collection")]

    def to_current_version(self) -> "CatalogueAdded":
        """See `EventPayload.to_current_version`."""
        return msgspec.convert(self.to_json(), CatalogueAdded)


class CatalogueAdded(CatalogueAddedV1, kw_only=True, frozen=True):
    """Footprints without pixels were added."""

    kind: ClassVar[str] = "catalogue_added"
    version: ClassVar[int] = 2


class ClassesAdded(EventPayload, kw_only=True, frozen=True):
    """Classes were added after the existing ones."""

    kind: ClassVar[str] = "classes_added"
    tables: ClassVar[tuple[str, ...]] = ("class_change",)

    classes: Annotated[ClassNames, Meta(min_length=1), Listed("class")]


class EdgeCounts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The number of edges of the old graph and of the new one, and of the pairs that differ."""

    before: Count
    after: Count
    different: Count


class GeographerImportedV1(ImportEvent, kw_only=True, frozen=True):
    """A data directory of GeoGrapher 1.0 was imported, before labels were; `footprints` are rasters without a file."""

    kind: ClassVar[str] = "geographer_imported"
    tables: ClassVar[tuple[str, ...]] = ("class_change", "feature_change", "raster_change", "skipped_input")
    writes_pixels: ClassVar[bool] = True
    is_optional: ClassVar[bool] = True

    source: str
    classes: Annotated[ClassNames, Listed("class")]
    features: Annotated[Count, Counted("feature")]
    rasters: Annotated[Count, Counted("raster")]
    footprints: Annotated[Count, Counted("footprint", "without pixels")]
    skipped: Annotated[Count, Adjective("skipped")]
    left_aside_labels: Annotated[Count, Counted("label", "not imported")]
    left_aside_files: Annotated[Count, Counted("file", "not imported")]
    warnings: list[str]
    edges: EdgeCounts
    differences: Reasons
    crs: Annotated[str, Setting("CRS")]
    collection: Annotated[Name, Setting("collection")]

    def to_current_version(self) -> "GeographerImported":
        """See `EventPayload.to_current_version`."""
        return msgspec.convert({**self.to_json(), "labels": 0}, GeographerImported)


class GeographerImported(GeographerImportedV1, kw_only=True, frozen=True):
    """A data directory of GeoGrapher 1.0 was imported; `recipe` is that of its labels, if there are any.

    `context_classes` are those of features that were no task classes there.
    """

    kind: ClassVar[str] = "geographer_imported"
    version: ClassVar[int] = 2
    tables: ClassVar[tuple[str, ...]] = (*GeographerImportedV1.tables, "label_change", LABEL_SOURCE)
    declares_context: ClassVar[bool] = True

    labels: Annotated[Count, Counted("label")]
    recipe: RecipeRecord | UnsetType = UNSET
    context_classes: Annotated[ClassNames | UnsetType, Listed("context class")] = UNSET

    def to_current_version(self) -> "GeographerImported":
        """See `EventPayload.to_current_version`."""
        return self

    def iter_recipes(self) -> Iterator[RecipeRecord]:
        """See `EventPayload.iter_recipes`."""
        yield from () if self.recipe is UNSET else (self.recipe,)
