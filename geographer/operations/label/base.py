"""What all label recipes share: which labels are missing or stale, what is drawn on them, and the event's rows."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from geographer.base.canonical_json import canonical_json
from geographer.base.errors import UsageError
from geographer.base.values import Checksums, Grid, LineWidth, Transform, Window, parse_line_width, validate_name
from geographer.planning.recipe import BuildContext, BuildResult, RunOptions, recipe_to_json
from geographer.storage.database.connection import run_script
from geographer.storage.events import EventDraft
from geographer.storage.log.row_tables import TABLES, make_row_table
from geographer.storage.state.update import MACROS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from geographer.operations.label.rendering.pixel_geometries import Shown
    from geographer.operations.label.rendering.render import Drawing, LabelMade, LabelOrder, Listed
    from geographer.storage.queries.revision import Revision

_FOLDER: Final = Path(__file__).parent
_LAST: Final = _FOLDER / "last_label_settings.sql"
_NOTHING_TO_DRAW: Final = (
    "SELECT (SELECT count(*) FROM classes WHERE value > 0) = 0 AND (SELECT count(*) FROM raster_to_label) > 0"
)
_NOTHING_ELSE: Final = """
    CREATE OR REPLACE TEMP TABLE feature_extra (feature_id VARCHAR, ignored BOOLEAN, probabilities DOUBLE[])
"""
_KNOWN_OBJECTS: Final = """
    SELECT raster_id, feature_id, class, instance, pixels, box, corners, visible FROM label_object_now
    WHERE label = $name AND raster_id IN (FROM raster_to_label SELECT raster_id UNION ALL FROM raster_that_left)
    ORDER BY raster_id, feature_id
"""
_OBJECT: Final = TABLES["label_object_change"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelRecipe:
    """A label recipe: a file for each raster of a collection, on the raster's own grid.

    `width`, as `3px` or `5m`, is how wide lines and points are drawn; None: a line as the pixels along it, a point as
    the one that it lies in.
    """

    kind: ClassVar[str]
    event: ClassVar[str] = "labels_made"
    what: ClassVar[str] = "labels"
    suffix: ClassVar[str] = ".tif"
    needs_classes: ClassVar[bool] = True
    needs_properties: ClassVar[bool] = False

    name: str
    collection: str
    width: str | None = None

    def to_parameters(self) -> dict[str, Any]:
        """Every field but the name, as JSON."""
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name != "name"}

    def form(self, revision: Revision) -> dict[str, Any]:
        """What all labels of the recipe have in common at this revision, as JSON: when it changes, all are made anew.

        Raises:
            UsageError: they can't be made of this revision.
        """
        return {}

    def extra(self, revision: Revision) -> None:
        """Make the temporary table `feature_extra`, with what the kind wants to know of features."""
        revision.connection.execute(_NOTHING_ELSE)

    def drawing(self, form: dict[str, Any]) -> Drawing:
        """How a label is drawn."""
        raise NotImplementedError

    def drawn_width(self) -> LineWidth | None:
        """How wide lines and points are drawn."""
        return None if self.width is None else parse_line_width(self.width)

    def make_plan(self, revision: Revision, run: RunOptions) -> LabelPlan:
        """The rasters without a label, and those whose label no longer shows what they show.

        Raises:
            NotFoundError: no such collection.
            UsageError: its rasters are a catalogue, there is no class, or as `form` has it.
        """
        validate_name("label", self.name)
        return LabelPlan(self, revision, self.look_up(revision))

    def look_up(self, revision: Revision) -> dict[str, Any]:
        """The form, and as temporary tables which labels are to be made or retired; raises as `plan`."""
        revision.require_pixels(self.collection)
        form = self.form(revision)
        last = json.loads(revision.fetch_value(_LAST.read_text(), {"name": self.name}) or "{}")
        reformed = bool(last) and any(last.get(key) != value for key, value in form.items())
        self._look_up(revision, reformed)
        return form

    def _look_up(self, revision: Revision, reformed: bool) -> None:
        """Create the temporary tables of labels to make and to retire, which `features_on_rasters.sql` reads."""
        width = self.drawn_width()
        run_script(revision.connection, MACROS.read_text())
        values = {
            "name": self.name,
            "collection": self.collection,
            "afresh": reformed,
            "amount": width.amount if width else None,
            "unit": width.unit if width else None,
        }
        for script in ("feature_digests.sql", "rasters_to_label.sql"):
            run_script(revision.connection, (_FOLDER / script).read_text(), values)
        if self.needs_classes and revision.fetch_value(_NOTHING_TO_DRAW):
            raise UsageError("the dataset has no class to burn: add features, or geographer add classes")
        self.extra(revision)


class LabelPlan:
    """The labels to make, with what they show, and those to retire."""

    def __init__(self, recipe: LabelRecipe, revision: Revision, form: dict[str, Any]) -> None:
        """Read what has to be made from the temporary tables."""
        self.recipe, self._form = recipe, form
        self._rasters = revision.fetch_arrow("FROM raster_to_label ORDER BY raster_id").to_pylist()
        self._left = [row[0] for row in revision.fetch_rows("FROM raster_that_left ORDER BY raster_id")]
        shapes = (_FOLDER / "features_on_rasters.sql").read_text()
        self._shown = _by_raster(revision.fetch_rows(shapes, {"with_properties": recipe.needs_properties}))
        self._listed = _by_raster(revision.fetch_rows(_KNOWN_OBJECTS, {"name": recipe.name}))
        self.summary = {recipe.what: len(self._rasters), **form, "retired": len(self._left)}

    @property
    def is_empty(self) -> bool:
        """Whether every raster has its label, and no other has one."""
        return not self._rasters and not self._left

    def build_outputs(self, workshop: BuildContext) -> BuildResult:
        """Make the labels in the staging folder; those that come out as they were are left as they are."""
        from geographer.operations.label.rendering.render import burn

        made: list[LabelMade] = []
        count = len(self._rasters)
        drawing = self.recipe.drawing(self._form)
        for label in burn(self._orders(workshop), drawing, workers=workshop.count_workers(count)):
            made.append(label)
            workshop.progress(f"{self.recipe.what} made", len(made), count)
        new = [pair for pair in zip(self._rasters, made, strict=True) if self._differs(*pair)]
        payload = {"recipe": recipe_to_json(self.recipe), **self.summary, self.recipe.what: len(new), **_told(made)}
        rows = {"label_change": self._label_rows(new), "label_object_change": self._object_rows(made)}
        files = [(Path(label.destination), label.checksums) for _, label in new]
        return BuildResult(
            EventDraft("labels_made", payload, {table: one for table, one in rows.items() if len(one)}), files
        )

    def _orders(self, workshop: BuildContext) -> Iterator[LabelOrder]:
        from geographer.operations.label.rendering.pixel_geometries import Shown
        from geographer.operations.label.rendering.render import LabelOrder

        for number, raster in enumerate(self._rasters):
            yield LabelOrder(
                raster_id=raster["raster_id"],
                grid=Grid(raster["crs"], Transform(*raster["transform"]), raster["width"], raster["height"]),
                shown=tuple(_shown(Shown, row) for row in self._shown.get(raster["raster_id"], ())),
                destination=str(workshop.staging / f"{number}{self.recipe.suffix}"),
                raster=str(workshop.root / raster["path"]),
                inside=_inside(raster),
            )

    def _differs(self, raster: dict[str, Any], label: LabelMade) -> bool:
        return (raster["known_path"], raster["known_sha256"]) != (self._path(raster), label.checksums.sha256)

    def _path(self, raster: dict[str, Any]) -> str:
        stem = Path(raster["path"]).stem
        return f"labels/{self.recipe.name}/{self.recipe.collection}/{stem}{self.recipe.suffix}"

    def _label_rows(self, made: list[tuple[dict[str, Any], LabelMade]]) -> Any:
        sums: list[Checksums] = [label.checksums for _, label in made]
        nothing = [None] * len(self._left)
        return make_row_table(
            "label_change",
            {
                "change": ["added" if raster["known_sha256"] is None else "changed" for raster, _ in made]
                + ["removed"] * len(self._left),
                "label": [self.recipe.name] * (len(made) + len(self._left)),
                "raster_id": [raster["raster_id"] for raster, _ in made] + self._left,
                "path": [self._path(raster) for raster, _ in made] + nothing,
                "size": [one.size for one in sums] + nothing,
                "md5": [one.md5 for one in sums] + nothing,
                "sha256": [one.sha256 for one in sums] + nothing,
                "pixel_digest": [label.pixel_digest for _, label in made] + nothing,
            },
        )

    def _object_rows(self, made: list[LabelMade]) -> Any:
        """What the labels list that they did not list before, and what they no longer do."""
        rows: list[tuple[Any, ...]] = []
        for raster, label in zip(self._rasters, made, strict=True):
            raster_id = raster["raster_id"]
            known = {row[0]: _written(row) for row in self._listed.get(raster_id, ())}
            new = {one.feature_id: _written(one) for one in label.listed}
            rows += [
                ("changed" if one in known else "added", raster_id, *new[one])
                for one in new
                if known.get(one) != new[one]
            ]
            rows += [_gone(raster_id, one) for one in known if one not in new]
        rows += [_gone(raster_id, row[0]) for raster_id in self._left for row in self._listed.get(raster_id, ())]
        columns = dict(zip(("change", *_OBJECT[1:]), zip(*rows, strict=True), strict=True)) if rows else {"change": ()}
        values = {name: list(column) for name, column in columns.items()}
        return make_row_table("label_object_change", {**values, "label": [self.recipe.name] * len(rows)})


def band_classes(revision: Revision) -> list[str]:
    """The classes whose value is above 0, in order of value: the bands of labels that have one for each class."""
    return [row[0] for row in revision.fetch_rows("SELECT class FROM classes WHERE value > 0 ORDER BY value")]


def _by_raster(rows: list[tuple[Any, ...]]) -> dict[str, list[tuple[Any, ...]]]:
    """The rows without their first column, by that."""
    found: dict[str, list[tuple[Any, ...]]] = {}
    for raster_id, *row in rows:
        found.setdefault(raster_id, []).append(tuple(row))
    return found


def _shown(shown: type[Shown], row: tuple[Any, ...]) -> Shown:
    feature_id, class_name, value, wkb, ignored, probabilities, properties = row
    return shown(
        feature_id,
        class_name,
        value,
        bytes(wkb),
        ignored,
        None if probabilities is None else tuple(probabilities),
        None if properties is None else json.loads(properties),
    )


def _written(row: tuple[Any, ...] | Listed) -> tuple[Any, ...]:
    """An object as the log has it: what may have fractions is JSON text."""
    feature_id, class_name, instance, pixels, *fractions = row
    texts = [None if one is None else canonical_json(_plain(one)) for one in fractions]
    return (feature_id, class_name, instance, pixels, *texts)


def _plain(value: Any) -> Any:
    """Numbers as floats, sequences as lists."""
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else float(value)


def _gone(raster_id: str, feature_id: str) -> tuple[Any, ...]:
    return ("removed", raster_id, feature_id, *[None] * (len(_OBJECT) - 3))


def _told(made: list[LabelMade]) -> dict[str, int]:
    """How many features what a person should hear of is true of, on any raster."""
    features: dict[str, set[str]] = {}
    for label in made:
        for what, ids in label.told.items():
            features.setdefault(what, set()).update(ids)
    return {what: len(ids) for what, ids in features.items() if ids}


def _inside(raster: dict[str, Any]) -> Window | None:
    """Where the raster that a chip was cut from lies in the chip's pixels."""
    if raster["parent_width"] is None:
        return None
    return Window(-raster["col"], -raster["row"], raster["parent_width"], raster["parent_height"])
