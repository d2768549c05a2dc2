"""Base of all label recipes: stage outdated labels, make them, and retire those whose rasters left the collection."""

import json
import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import groupby, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal, NamedTuple, get_args

import msgspec

from geographer.base.canonical_json import canonical_json
from geographer.base.errors import UsageError
from geographer.base.parameters import Parameter
from geographer.base.values import Grid, LineWidth, Transform, Window, parse_line_width, validate_name
from geographer.operations.label.events import LabelsMade, Note
from geographer.operations.label.tasks import LabelResult, LabelTask, VisibleObject
from geographer.planning.collections import require_pixels
from geographer.planning.context_classes import read_context_classes, stage_context_classes
from geographer.planning.label_files import make_label_path
from geographer.planning.recipe import Recipe
from geographer.planning.shared_parameters import NAME_SCHEMA
from geographer.planning.up_to_date_labels import LabelSettings, UpToDateLabels, read_last_settings
from geographer.storage.database.connection import run_script
from geographer.storage.events.row_tables import ROW_TABLES, make_row_table
from geographer.storage.queries.renamings import stage_renamings
from geographer.storage.queries.revision import Revision
from geographer.storage.request import BuildContext, Change, PlanContext, PlannedFile, PlannedFiles
from geographer.storage.state.update import MACROS
from geographer.storage.workspace.paths import require_new_path
from geographer.storage.workspace.source_rasters import ReplacingFile, SourceRasters

if TYPE_CHECKING:
    import pyarrow as pa

logger = logging.getLogger(__name__)

_FOLDER: Final = Path(__file__).parent
_LARGE: Final = 1_000
"""The number of vertices from which rasters share the geometry of an object."""
_NO_FEATURE_DRAWING: Final = (
    "SELECT NULL::VARCHAR AS feature_id, NULL::BOOLEAN AS ignored, NULL::DOUBLE[] AS probabilities WHERE false"
)
_RASTERS_WITH_PIXELS: Final = "SELECT 1 FROM current_raster WHERE collection = $name AND storage <> 'catalogue' LIMIT 1"
_RECORDED_OBJECTS: Final = """
    SELECT raster_id, feature_id, class, instance, pixels, box, corners, visible FROM current_label_object
    WHERE label = $name AND raster_id IN (FROM outdated_label SELECT raster_id UNION ALL FROM removed_raster)
    ORDER BY raster_id, feature_id
"""

WIDTH: Final = Parameter(
    "Width of lines and points, in pixels or metres; metres are converted at the middle of the raster.",
    *("3px|5m", "the pixels that lines and points lie in"),
    convert=lambda width: str(parse_line_width(width)),
    schema={"type": ["string", "null"], "pattern": "^[0-9.e+-]+(px|m)$"},
)


class OutdatedLabel(NamedTuple):
    """A row of `outdated_label`: a raster to label, and the path and checksum of its label if there is one."""

    raster_key: int
    raster_id: str
    path: str
    crs: str
    transform: Sequence[float]
    width: int
    height: int
    valid_window: Sequence[int] | None
    label_path: str | None
    label_sha256: str | None


class LabelRecipe(Recipe, kw_only=True, frozen=True):
    """A recipe that makes a label file for each raster of a collection, on the raster's grid.

    Attributes:
        renderer: `module:function` in `rendering` that makes labels: called with a list of `LabelTask`, the recipe and
            its settings in a worker process, it writes the files and yields a `LabelResult` for each.
        noun: What events and messages call the labels.
        file_suffix: The suffix of files; they lie in `labels/<name>/<collection>/` and have the names of their rasters.
        needs_classes: Whether there must be a class with a value above 0.
        needs_properties: Whether labels depend on user columns of the features that are drawn.
        lists_objects: Whether labels number or list their objects.
        names_features: Whether labels contain feature ids.
    """

    event: ClassVar[type[LabelsMade]] = LabelsMade
    renderer: ClassVar[str]
    noun: ClassVar[Literal["masks", "labels"]] = "labels"
    file_suffix: ClassVar[str] = ".tif"
    needs_classes: ClassVar[bool] = True
    needs_properties: ClassVar[bool] = False
    lists_objects: ClassVar[bool] = False
    names_features: ClassVar[bool] = False

    collection: Annotated[str, Parameter("The collection of rasters to label.", "NAME", schema=NAME_SCHEMA)]
    width: Annotated[str | float | None, WIDTH] = None

    @property
    def line_width(self) -> LineWidth | None:
        """The width of lines and points; None: lines cover the pixels along them, points the pixel they lie in."""
        return None if self.width is None else parse_line_width(self.width)

    @property
    def reads_pixels(self) -> bool:
        """Whether labels depend on the pixels of rasters."""
        return False

    @property
    def depends_on_order(self) -> bool:
        """Whether labels depend on the order of addition: they number or list objects, or it breaks ties."""
        return self.lists_objects

    def determine_settings(self, revision: Revision) -> LabelSettings:
        """Return the settings of the labels; raise `NotFoundError` or `UsageError` if labels cannot be made."""
        return LabelSettings()

    def stage_feature_columns(self, revision: Revision) -> None:
        """Stage what drawing needs to know of features besides their class; see `stage_feature_drawing`."""
        stage_feature_drawing(revision, _NO_FEATURE_DRAWING)

    def make_plan(self, revision: Revision, context: PlanContext) -> "LabelPlan":
        """Plan the labels that are missing or outdated, and the removal of labels whose raster left the collection.

        Raises:
            NotFoundError: the collection does not exist.
            UsageError: the collection is a catalogue, there is no class to draw, or see `determine_settings`.
        """
        validate_name("label", self.name)
        if not revision.fetch_rows(_RASTERS_WITH_PIXELS, {"name": self.collection}):
            logger.warning("collection '%s' has no raster to label; update makes labels of later ones", self.collection)
        return LabelPlan(self, revision, context.root, self.stage_outdated_labels(revision))

    def stage_outdated_labels(self, revision: Revision) -> LabelSettings:
        """Create `outdated_label`, `removed_raster`, `feature_drawing` and what `drawn_features.sql` makes.

        Return the settings. If they or the parameters changed, all labels are outdated. See `make_plan` for errors.
        """
        require_pixels(revision, self.collection)
        stage_renamings(revision)
        stage_context_classes(revision)
        settings, no_settings = self.determine_settings(revision), LabelSettings()
        last_settings = read_last_settings(revision, self.name)
        amount, unit = self.line_width or (None, None)
        parameters = {
            "name": self.name,
            "collection": self.collection,
            "rebuild_all": last_settings not in (no_settings, settings) or self.is_changed(revision),
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

    def find_up_to_date_labels(self, revision: Revision) -> UpToDateLabels | None:
        """See `LabelSource`."""
        settings, order = self.stage_outdated_labels(revision), {"name": self.name, "by_order": self.depends_on_order}
        label_query, order_query = (_FOLDER / "up_to_date_labels.sql", _FOLDER / "object_order_on_labels.sql")
        labels = revision.fetch_arrow(label_query.read_text(), {**order, "by_name": self.names_features})
        return UpToDateLabels(labels, revision.fetch_arrow(order_query.read_text(), order), {self.name: settings})


class LabelPlan:
    """The labels to make, the objects to draw on them, and the labels to retire."""

    def __init__(self, recipe: LabelRecipe, revision: Revision, root: Path, settings: LabelSettings) -> None:
        """Read the temporary tables that `LabelRecipe.stage_outdated_labels` created."""
        self.recipe, self._settings = recipe, settings
        self._outdated = [OutdatedLabel(*row) for row in revision.fetch_rows("FROM outdated_label ORDER BY raster_id")]
        self._retired = [row[0] for row in revision.fetch_rows("FROM removed_raster ORDER BY raster_id")]
        for path in {self._make_path(row) for row in self._outdated} - {row.label_path for row in self._outdated}:
            require_new_path(path)
        rasters_to_read = [row.raster_id for row in self._outdated] if recipe.reads_pixels else []
        self._sources = SourceRasters(revision, root, rasters_to_read)
        self._objects_to_draw = _read_objects(revision, with_properties=recipe.needs_properties)
        self._recorded_objects = _group_by_raster(revision.fetch_rows(_RECORDED_OBJECTS, {"name": recipe.name}))
        shared = {recipe.noun: len(self._outdated), **msgspec.structs.asdict(settings)}
        self.event = LabelsMade(recipe=recipe.to_record(), retired=len(self._retired), **shared)

    @property
    def is_empty(self) -> bool:
        """Whether every raster has an up-to-date label and no label is to be retired."""
        return not self._outdated and not self._retired

    def build_outputs(self, context: BuildContext) -> Change:
        """Make the labels in the staging folder; record only those whose path or bytes changed."""
        from geographer.operations.label.rendering.render import render_labels

        self._sources.require_intact()
        results: list[tuple[OutdatedLabel, LabelResult]] = []
        count, noun = len(self._outdated), self.recipe.noun
        workers = context.make_executor(count)
        labels = render_labels(self._iter_tasks(context), self.recipe, self._settings, workers=workers)
        for pair in zip(self._outdated, labels, strict=True):
            results.append(pair)
            context.progress(f"{noun} made", len(results), count)
        self._sources.require_unchanged()
        changed = [
            (outdated, label)
            for outdated, label in results
            if (outdated.label_path, outdated.label_sha256) != (self._make_path(outdated), label.checksums.sha256)
        ]
        noted = {note: {id for _, label in results for id in label.notes.get(note, ())} for note in get_args(Note)}
        counts = {noun: len(changed), **{note: len(ids) for note, ids in noted.items() if ids}}
        rows = {
            "label_change": list(self._iter_label_rows(changed)),
            "label_object_change": list(self._iter_object_rows(results)),
        }
        tables = {name: _make_table(name, table_rows) for name, table_rows in rows.items() if table_rows}
        files = [(Path(label.destination), label.checksums) for _, label in changed]
        return Change(msgspec.structs.replace(self.event, **counts), tables, files, move_files=True)

    def list_files(self) -> PlannedFiles:
        """See `ReplayablePlan.list_files`."""
        name, sources = self.recipe.name, self._sources.raster_by_id
        made = []
        for row in self._outdated:
            source_ids = (row.raster_id,) if row.raster_id in sources else ()
            made.append(PlannedFile(name, row.raster_id, source_ids=source_ids, is_new=row.label_sha256 is None))
        return PlannedFiles(made, [(name, raster_id) for raster_id in self._retired])

    def select_files(self, raster_ids: Collection[str]) -> None:
        """See `ReplayablePlan.select_files`."""
        self._outdated = [row for row in self._outdated if row.raster_id in raster_ids]
        self._sources.select_rasters(raster_ids)

    def replace_sources(self, files: Mapping[str, ReplacingFile]) -> None:
        """See `ReplayablePlan.replace_sources`."""
        self._sources.replace_files(files)

    def _iter_tasks(self, context: BuildContext) -> Iterator[LabelTask]:
        for index, outdated in enumerate(self._outdated):
            objects = (
                VisibleObject(id, name, value, wkb, ignored, tuple(values or ()), text and json.loads(text))
                for id, name, value, wkb, ignored, values, text in self._objects_to_draw.get(outdated.raster_id, ())
            )
            source = self._sources.raster_by_id.get(outdated.raster_id)
            yield LabelTask(
                raster_id=outdated.raster_id,
                grid=Grid(outdated.crs, Transform(*outdated.transform), outdated.width, outdated.height),
                objects=tuple(objects),
                destination=str(context.staging / f"{index}{self.recipe.file_suffix}"),
                raster_path=str(source.path) if source else "",
                with_sidecars=source is not None and source.is_referenced,
                valid_window=None if outdated.valid_window is None else Window(*outdated.valid_window),
            )

    def _make_path(self, outdated: OutdatedLabel) -> str:
        recipe = self.recipe
        return make_label_path(recipe.name, recipe.collection, outdated.raster_id, recipe.file_suffix)

    def _iter_label_rows(self, changed: list[tuple[OutdatedLabel, LabelResult]]) -> Iterator[tuple[object, ...]]:
        name = self.recipe.name
        for outdated, label in changed:
            change = "added" if outdated.label_sha256 is None else "changed"
            yield (change, name, outdated.raster_id, self._make_path(outdated), *label.checksums, label.pixel_digest)
        yield from (("removed", name, raster_id) for raster_id in self._retired)

    def _iter_object_rows(self, results: list[tuple[OutdatedLabel, LabelResult]]) -> Iterator[tuple[object, ...]]:
        """Yield rows for the objects that labels list now and did not before, list otherwise, or no longer list."""
        objects = {outdated.raster_id: label.objects for outdated, label in results}
        for raster_id in (*objects, *self._retired):
            key = (self.recipe.name, raster_id)
            before = {row[0]: _to_log_row(row) for row in self._recorded_objects.get(raster_id, ())}
            after = {row[0]: _to_log_row(row) for row in objects.get(raster_id, ())}
            for feature_id, row in after.items():
                if before.get(feature_id) != row:
                    yield ("changed" if feature_id in before else "added", *key, *row)
            yield from (("removed", *key, feature_id) for feature_id in before if feature_id not in after)


def stage_feature_drawing(revision: Revision, query: str) -> None:
    """Create the temporary table `feature_drawing` from a query: `feature_id`, `ignored` and `probabilities`."""
    revision.connection.execute(f"CREATE OR REPLACE TEMP TABLE feature_drawing AS {query}")


def list_band_classes(revision: Revision) -> list[str]:
    """Return the classes that are drawn, in order of value, which is above 0: the bands of labels with one a class."""
    context = read_context_classes(revision.connection, revision.position).names
    rows = revision.fetch_rows("SELECT class FROM classes WHERE value > 0 ORDER BY value")
    return [name for (name,) in rows if name not in context]


def _read_objects(revision: Revision, *, with_properties: bool) -> dict[str, list[tuple[Any, ...]]]:
    """Read the objects to draw by raster; rasters share the WKB of an object with many vertices."""
    parameters = {"with_properties": with_properties, "large": _LARGE}
    rows = revision.fetch_rows((_FOLDER / "objects_to_draw.sql").read_text(), parameters)
    keys: dict[tuple[str, bool | None], set[int]] = {}
    for *_, feature_key, crs, splits in (row for row in rows if row[4] is None):
        keys.setdefault((crs, splits), set()).add(feature_key)
    shared = {}
    for (crs, splits), feature_keys in keys.items():
        large = {"feature_keys": sorted(feature_keys), "to_crs": crs, "splits": splits}
        for feature_key, wkb in revision.fetch_rows((_FOLDER / "large_objects.sql").read_text(), large):
            shared[feature_key, crs, splits] = wkb
    objects = []
    for *values, feature_key, crs, splits in rows:
        wkb = shared[feature_key, crs, splits] if values[4] is None else values[4]
        if wkb is not None:
            objects.append((*values[:4], wkb, *values[5:]))
    return _group_by_raster(objects)


def _group_by_raster(rows: list[tuple[Any, ...]]) -> dict[str, list[tuple[Any, ...]]]:
    """Group rows, which are in order of their first column, the raster id, and drop it from the rows."""
    return {raster_id: [row[1:] for row in group] for raster_id, group in groupby(rows, key=lambda row: row[0])}


def _make_table(name: str, rows: Iterable[tuple[object, ...]]) -> "pa.Table":
    """Return rows, i.e. the change and the columns of a row table, as that table; columns that a row lacks are null."""
    columns = (list(values) for values in zip_longest(*rows))
    return make_row_table(name, dict(zip(("change", *ROW_TABLES[name]), columns, strict=False)))


def _to_log_row(row: tuple[object, ...]) -> tuple[object, ...]:
    """Return the fields of a `LabelledObject` as the log records them: box, corners and visible fraction as JSON."""
    return (*row[:4], *(None if measure is None else canonical_json(measure) for measure in row[4:]))
