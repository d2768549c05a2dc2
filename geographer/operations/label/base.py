"""Label recipes: stage outdated labels, make them and build the event; the base class of all kinds of labels."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import groupby, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from geographer.base.canonical_json import canonical_json
from geographer.base.errors import UsageError
from geographer.base.values import Grid, LineWidth, Transform, Window, parse_line_width, validate_name
from geographer.planning.recipe import BuildContext, BuildResult, RunOptions, fields_to_json, recipe_to_json
from geographer.storage.database.connection import run_script
from geographer.storage.events import EventDraft
from geographer.storage.log.row_tables import ROW_TABLES, make_row_table
from geographer.storage.state.update import MACROS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from geographer.operations.label.rendering.render import LabelledObject, LabelRenderer, LabelResult, LabelTask
    from geographer.storage.queries.revision import Revision

_FOLDER: Final = Path(__file__).parent
_LAST_SETTINGS: Final = _FOLDER / "last_label_settings.sql"
_OBJECTS_TO_DRAW: Final = _FOLDER / "objects_to_draw.sql"
_NO_FEATURE_DRAWING: Final = (
    "SELECT NULL::VARCHAR AS feature_id, NULL::BOOLEAN AS ignored, NULL::DOUBLE[] AS probabilities WHERE false"
)
_RECORDED_OBJECTS: Final = """
    SELECT raster_id, feature_id, class, instance, pixels, box, corners, visible FROM current_label_object
    WHERE label = $name AND raster_id IN (FROM outdated_label SELECT raster_id UNION ALL FROM removed_raster)
    ORDER BY raster_id, feature_id
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelRecipe:
    """A recipe that makes one label file for each raster of a collection, on the raster's grid.

    `width` is the width of lines and points, e.g. `3px` or `5m`. None: a line covers the pixels along its path, a point
    covers the pixel that contains it. `noun` names the labels in the event's payload and in messages.
    `needs_properties`: the renderer reads the user columns of features.
    """

    kind: ClassVar[str]
    event: ClassVar[str] = "labels_made"
    noun: ClassVar[str] = "labels"
    file_suffix: ClassVar[str] = ".tif"
    needs_classes: ClassVar[bool] = True
    needs_properties: ClassVar[bool] = False

    name: str
    collection: str
    width: str | None = None

    def to_parameters(self) -> dict[str, Any]:
        """Return all fields except the name, as JSON."""
        return fields_to_json(self)

    def determine_settings(self, revision: Revision) -> dict[str, Any]:
        """Return the settings that all labels of this recipe share at this revision, as JSON.

        The event records them (e.g. dtype, band names, version of the label maker). If they change, every label is
        rebuilt.

        Raises:
            UsageError: the labels cannot be made at this revision.
        """
        return {}

    def stage_feature_columns(self, revision: Revision) -> None:
        """Stage what the renderer needs to know of features besides their class; see `stage_feature_drawing`."""
        stage_feature_drawing(revision, _NO_FEATURE_DRAWING)

    def make_renderer(self, settings: dict[str, Any]) -> LabelRenderer:
        """Return the renderer that draws the labels."""
        raise NotImplementedError

    def parse_width(self) -> LineWidth | None:
        """Return the width of lines and points."""
        return None if self.width is None else parse_line_width(self.width)

    def make_plan(self, revision: Revision, run: RunOptions) -> LabelPlan:
        """Plan the labels that are missing or outdated, and the removal of labels whose raster left the collection.

        Raises:
            NotFoundError: the collection does not exist.
            UsageError: the collection is a catalogue, there is no class to draw, or see `determine_settings`.
        """
        validate_name("label", self.name)
        return LabelPlan(self, revision, self.stage_outdated_labels(revision))

    def stage_outdated_labels(self, revision: Revision) -> dict[str, Any]:
        """Create `outdated_label`, `removed_raster`, `feature_drawing` and what `drawn_features.sql` makes.

        Return the settings; see `determine_settings`.

        Raises:
            NotFoundError, UsageError: see `make_plan`.
        """
        revision.require_pixels(self.collection)
        settings = self.determine_settings(revision)
        last = json.loads(revision.fetch_value(_LAST_SETTINGS.read_text(), {"name": self.name}) or "{}")
        amount, unit = self.parse_width() or (None, None)
        parameters = {
            "name": self.name,
            "collection": self.collection,
            "rebuild_all": bool(last) and any(last.get(key) != value for key, value in settings.items()),
            "amount": amount,
            "unit": unit,
        }
        for script in (MACROS, _FOLDER / "drawn_features.sql", _FOLDER / "rasters_to_label.sql"):
            run_script(revision.connection, script.read_text(), parameters)
        is_outdated = bool(revision.fetch_rows("FROM outdated_label LIMIT 1"))
        if self.needs_classes and is_outdated and not list_band_classes(revision):
            raise UsageError(
                "the dataset has no class with a value above 0. Add features, or classes with geographer add classes."
            )
        self.stage_feature_columns(revision)
        return settings


class LabelPlan:
    """The labels to make, the objects to draw on them, and the labels to remove."""

    def __init__(self, recipe: LabelRecipe, revision: Revision, settings: dict[str, Any]) -> None:
        """Read the temporary tables that `LabelRecipe.stage_outdated_labels` created."""
        self.recipe, self._settings = recipe, settings
        self._rasters = revision.fetch_arrow("FROM outdated_label ORDER BY raster_id").to_pylist()
        self._removed_ids = [row[0] for row in revision.fetch_rows("FROM removed_raster ORDER BY raster_id")]
        parameters = {"with_properties": recipe.needs_properties}
        self._objects_to_draw = _group_by_raster(revision.fetch_rows(_OBJECTS_TO_DRAW.read_text(), parameters))
        self._recorded_objects = _group_by_raster(revision.fetch_rows(_RECORDED_OBJECTS, {"name": recipe.name}))
        self.summary_fields = {recipe.noun: len(self._rasters), **settings, "retired": len(self._removed_ids)}

    @property
    def is_empty(self) -> bool:
        """Whether every raster has an up-to-date label and no label is to be removed."""
        return not self._rasters and not self._removed_ids

    def build_outputs(self, context: BuildContext) -> BuildResult:
        """Make the labels in the staging folder; record only those whose path or bytes changed."""
        from geographer.operations.label.rendering.render import render_labels

        labels: list[LabelResult] = []
        count = len(self._rasters)
        renderer = self.recipe.make_renderer(self._settings)
        for label in render_labels(self._iter_tasks(context), renderer, workers=context.count_workers(count)):
            labels.append(label)
            context.progress(f"{self.recipe.noun} made", len(labels), count)
        changed = [
            (raster, label)
            for raster, label in zip(self._rasters, labels, strict=True)
            if (raster["label_path"], raster["label_sha256"]) != (self._label_path(raster), label.checksums.sha256)
        ]
        payload = {
            "recipe": recipe_to_json(self.recipe),
            **self.summary_fields,
            self.recipe.noun: len(changed),
            **_count_notes(labels),
        }
        rows = {"label_change": self._list_label_rows(changed), "label_object_change": self._list_object_rows(labels)}
        tables = {name: _make_table(name, table_rows) for name, table_rows in rows.items() if table_rows}
        files = [(Path(label.destination), label.checksums) for _, label in changed]
        return BuildResult(EventDraft(self.recipe.event, payload, tables), files)

    def _iter_tasks(self, context: BuildContext) -> Iterator[LabelTask]:
        from geographer.operations.label.rendering.pixel_geometries import VisibleObject
        from geographer.operations.label.rendering.render import LabelTask

        for index, raster in enumerate(self._rasters):
            rows = self._objects_to_draw.get(raster["raster_id"], ())
            objects = [
                VisibleObject(id, name, value, bytes(wkb), ignored, tuple(values or ()), text and json.loads(text))
                for id, name, value, wkb, ignored, values, text in rows
            ]
            # The extent of a chip's parent raster in the chip's pixels.
            width, height = raster["parent_width"], raster["parent_height"]
            window = None if width is None else Window(-raster["col"], -raster["row"], width, height)
            yield LabelTask(
                raster_id=raster["raster_id"],
                grid=Grid(raster["crs"], Transform(*raster["transform"]), raster["width"], raster["height"]),
                objects=tuple(objects),
                destination=str(context.staging / f"{index}{self.recipe.file_suffix}"),
                raster_path=str(context.root / raster["path"]),
                valid_window=window,
            )

    def _label_path(self, raster: dict[str, Any]) -> str:
        stem = Path(raster["path"]).stem
        return f"labels/{self.recipe.name}/{self.recipe.collection}/{stem}{self.recipe.file_suffix}"

    def _list_label_rows(self, changed: list[tuple[dict[str, Any], LabelResult]]) -> list[tuple[Any, ...]]:
        name = self.recipe.name
        rows: list[tuple[Any, ...]] = []
        for raster, label in changed:
            change = "added" if raster["label_sha256"] is None else "changed"
            path = self._label_path(raster)
            rows.append((change, name, raster["raster_id"], path, *label.checksums, label.pixel_digest))
        return rows + [("removed", name, raster_id) for raster_id in self._removed_ids]

    def _list_object_rows(self, labels: list[LabelResult]) -> list[tuple[Any, ...]]:
        """Return rows for the objects that labels list now and did not before, list otherwise, or no longer list."""
        name = self.recipe.name
        objects = {raster["raster_id"]: label.objects for raster, label in zip(self._rasters, labels, strict=True)}
        rows: list[tuple[Any, ...]] = []
        for raster_id in (*objects, *self._removed_ids):
            before = {row[0]: _to_log_row(row) for row in self._recorded_objects.get(raster_id, ())}
            after = {item.feature_id: _to_log_row(item) for item in objects.get(raster_id, ())}
            rows += [
                ("changed" if feature_id in before else "added", name, raster_id, *row)
                for feature_id, row in after.items()
                if before.get(feature_id) != row
            ]
            rows += [("removed", name, raster_id, feature_id) for feature_id in before if feature_id not in after]
        return rows


def stage_feature_drawing(revision: Revision, query: str) -> None:
    """Create the temporary table `feature_drawing` from a query: `feature_id`, `ignored` and `probabilities`."""
    revision.connection.execute(f"CREATE OR REPLACE TEMP TABLE feature_drawing AS {query}")


def list_band_classes(revision: Revision) -> list[str]:
    """Return the classes whose value is above 0 in order of value: the bands of labels with one band a class."""
    return [row[0] for row in revision.fetch_rows("SELECT class FROM classes WHERE value > 0 ORDER BY value")]


def _group_by_raster(rows: list[tuple[Any, ...]]) -> dict[str, list[tuple[Any, ...]]]:
    """Group rows, which are in order of their first column, the raster id, and drop it from the rows."""
    return {raster_id: [row[1:] for row in group] for raster_id, group in groupby(rows, key=lambda row: row[0])}


def _make_table(name: str, rows: list[tuple[Any, ...]]) -> Any:
    """Return rows, i.e. the change and the columns of a row table, as that table; columns that a row lacks are null."""
    columns = (list(values) for values in zip_longest(*rows))
    return make_row_table(name, dict(zip(("change", *ROW_TABLES[name]), columns, strict=False)))


def _to_log_row(row: tuple[Any, ...] | LabelledObject) -> tuple[Any, ...]:
    """Return an object as the log records it: box, corners and visible fraction as JSON text."""
    feature_id, class_name, instance, pixels, *measures = row
    texts = [None if measure is None else canonical_json(_to_json_numbers(measure)) for measure in measures]
    return (feature_id, class_name, instance, pixels, *texts)


def _to_json_numbers(value: Any) -> Any:
    """Return numbers as floats and sequences as lists."""
    return [_to_json_numbers(item) for item in value] if isinstance(value, list | tuple) else float(value)


def _count_notes(labels: list[LabelResult]) -> dict[str, int]:
    """Return for each note, e.g. 'hidden', the number of features that it applies to on any label."""
    feature_ids: dict[str, set[str]] = {}
    for label in labels:
        for note, ids in label.notes.items():
            feature_ids.setdefault(note, set()).update(ids)
    return {note: len(ids) for note, ids in feature_ids.items() if ids}
