"""Training rows: the samples of a revision with checked files, the objects in their labels, classes and label kinds."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import pyarrow as pa

from geographer.outputs.samples.selection import SampleSelection
from geographer.outputs.samples.table import name_label_columns, read_samples
from geographer.storage.dvc.store import Store
from geographer.storage.queries.revision import Revision
from geographer.storage.workspace.chip_files import ChipFile, ChipFiles

LABEL_KINDS: Final = {
    "label mask": "mask",
    "label instances": "instances",
    "label multilabel": "multilabel",
    "label boxes": "boxes",
    "label soft": "probabilities",
    "label own": "custom",
}
"""What the labels of a recipe hold, by the kind that the log records; labels from users' files say it themselves."""
_LABEL_FILES: Final = "label files"
_RECIPES: Final = "SELECT name, kind, parameters FROM recipes WHERE name IN (SELECT unnest($labels::VARCHAR[]))"
_CLASSES: Final = "SELECT class, value FROM classes ORDER BY value"
_OBJECTS: Final = (
    "SELECT label, raster_id, feature_id, class, instance, box FROM current_label_object SEMI JOIN sample "
    "USING (raster_id) WHERE label IN (SELECT unnest($labels::VARCHAR[])) "
    "ORDER BY label, raster_id, instance, feature_id"
)


class TrainingLabel(NamedTuple):
    """A label: its name, what it holds (a value of `LABEL_KINDS`; None: unknown), and the value to ignore, if any."""

    name: str
    kind: str | None = None
    ignore: int | None = None


class TrainingRows(NamedTuple):
    """What to train on at a revision.

    Attributes:
        samples: See `Dataset.samples`; the files have their recorded bytes.
        labels: The labels of the samples.
        objects: The objects in labels of instances and boxes: `label`, `raster_id`, `feature_id`, `class`, `instance`,
            `box` (x0, y0, x1, y1 in pixels); ordered by label, raster and instance.
        classes: The classes with their values, by value.
        with_sidecars: The rasters that are read with sidecar files: only those recorded in place.
    """

    samples: pa.Table
    labels: Sequence[TrainingLabel]
    objects: pa.Table
    classes: Mapping[str, int]
    with_sidecars: frozenset[str] = frozenset()


def read_training_rows(revision: Revision, store: Store, selection: SampleSelection) -> TrainingRows:
    """Read the samples of a selection, compare their files with their checksums, and fetch those that are missing.

    Raises:
        NotFoundError, UsageError: see `stage_samples`; or the file of a raster was withdrawn.
        CorruptError: no file has the recorded bytes.
        StorageError: the remote cannot be reached.
    """
    samples, chosen = read_samples(revision, store.root, selection)
    names = [*(chosen.labels or ())]
    labels = list_training_labels(revision, names)
    objects = revision.fetch_arrow(_OBJECTS, {"labels": names})
    classes = dict(revision.fetch_rows(_CLASSES))
    ids = samples["raster_id"].to_pylist()
    images = ChipFiles.list_rasters(revision, store.root, ids).require_files(store)
    samples = _replace_paths(samples, "path", images)
    for label in labels:
        column, _ = name_label_columns(label.name)
        present = samples.filter(samples[column].is_valid())["raster_id"].to_pylist()
        if label.kind != "boxes" and present:
            files = ChipFiles.list_labels(revision, label.name, present).require_files(store)
            samples = _replace_paths(samples, column, files)
    with_sidecars = frozenset(raster_id for raster_id, file in images.items() if file.with_sidecars)
    return TrainingRows(samples, labels, objects, classes, with_sidecars)


def list_training_labels(revision: Revision, names: Iterable[str]) -> list[TrainingLabel]:
    """Return what the labels of these names hold."""
    wanted = [*names]
    rows = revision.fetch_rows(_RECIPES, {"labels": wanted})
    recipes = {name: (kind, json.loads(parameters)) for name, kind, parameters in rows}
    return [_describe_label(name, *recipes.get(name, ("", {}))) for name in wanted]


def _describe_label(name: str, recipe_kind: str, parameters: Mapping[str, Any]) -> TrainingLabel:
    kind = parameters.get("form") if recipe_kind == _LABEL_FILES else LABEL_KINDS.get(recipe_kind)
    return TrainingLabel(name, kind, parameters.get("ignore"))


def _replace_paths(samples: pa.Table, column: str, files: Mapping[str, ChipFile]) -> pa.Table:
    ids = samples["raster_id"].to_pylist()
    paths = [str(files[raster_id].path) if raster_id in files else None for raster_id in ids]
    return samples.set_column(samples.column_names.index(column), column, pa.array(paths, pa.string()))
