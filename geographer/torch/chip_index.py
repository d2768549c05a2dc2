"""What a dataset knows of its chips, as arrays: files, ids, times, components, classes, and objects in labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from geographer.base.errors import NotFoundError, UsageError, quote_names
from geographer.outputs.samples.table import name_label_columns
from geographer.outputs.samples.training_rows import TrainingLabel, TrainingRows
from geographer.rasters.read_chips import ChipPath, describe_label_file
from geographer.torch.text_column import TextColumn

Ints = NDArray[np.int64]

BACKGROUND: Final = "background"
"""The name of value 0 if no class has it."""
NO_COMPONENT: Final = -1
_KEYS: Final = {
    "mask": ("mask",),
    "multilabel": ("mask",),
    "probabilities": ("mask",),
    "custom": ("mask",),
    "instances": ("mask", "bbox_xyxy", "label"),
    "boxes": ("bbox_xyxy", "label"),
}
"""The keys of a sample that a label fills, by what it holds."""
_EARLIEST, _LATEST = -9_223_372_036.854775, 9_223_372_036.854775
"""What torchgeo has for an unknown time: the first and last nanosecond that fit 64 bits, in seconds since 1970."""


class FileColumns:
    """A file for each chip: paths, checksums, and whether sidecar files are read."""

    def __init__(
        self, paths: Iterable[str], contents: Iterable[str], with_sidecars: Sequence[bool] | None = None
    ) -> None:
        self._paths, self._contents = TextColumn(paths), TextColumn(contents)
        self._with_sidecars = np.array(with_sidecars, np.bool_) if with_sidecars and any(with_sidecars) else None

    def __getitem__(self, index: int) -> ChipPath:
        with_sidecars = self._with_sidecars is not None and bool(self._with_sidecars[index])
        return ChipPath(self._paths[index], self._contents[index], with_sidecars)


class ObjectColumns(NamedTuple):
    """The objects in a label: those of chip `i` are rows `starts[i]` to `starts[i + 1]`.

    `values` are the stored values of their classes, `numbers` those in a label of instances (else 0), and `boxes` the
    corners x0, y0, x1, y1 in pixels (NaN for instances), shape (objects, 4).
    """

    starts: Ints
    values: Ints
    numbers: Ints
    boxes: NDArray[np.float32]
    feature_ids: TextColumn

    def find_rows(self, index: int) -> slice:
        """Return the rows of a chip."""
        return slice(int(self.starts[index]), int(self.starts[index + 1]))


class LabelColumns(NamedTuple):
    """A label of all chips: what it holds, its files (None for boxes), and its objects (None for others)."""

    name: str
    kind: str
    ignore: int | None
    files: FileColumns | None
    objects: ObjectColumns | None

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of a sample that it fills."""
        return _KEYS[self.kind]


class ShownClasses(NamedTuple):
    """The classes of the features that chips show: chip `i` shows `values[starts[i]:starts[i + 1]]`."""

    starts: Ints
    values: Ints


class ChipIndex(NamedTuple):
    """What a dataset knows of its chips, in order of id.

    Attributes:
        raster_ids: The ids of the chips.
        feature_ids: The ids of the features that they were cut for; empty for none.
        crs: Each CRS, as text, and `crs_numbers` which one a chip has.
        crs_numbers: See `crs`.
        times: When a chip begins and ends to show the ground, in seconds since 1970, shape (chips, 2).
        components: The components of the split; `NO_COMPONENT` without one.
        images: The files of the chips.
        labels: The labels.
        classes: The classes with their values.
        chip_values: The value of the class of each chip; None if it is not needed.
        shown: The classes of the features that the chips show.
    """

    raster_ids: TextColumn
    feature_ids: TextColumn
    crs: list[str]
    crs_numbers: Ints
    times: NDArray[np.float64]
    components: Ints
    images: FileColumns
    labels: tuple[LabelColumns, ...]
    classes: Mapping[str, int]
    chip_values: Ints | None
    shown: ShownClasses


def make_chip_index(rows: TrainingRows, *, class_label: bool | None) -> ChipIndex:
    """Arrange rows as arrays; `class_label` says whether the class of the chip is needed: see `ReadingOptions`.

    Raises:
        NotFoundError: there are no samples.
        UsageError: two labels fill the same key, a chip lacks a label, or its class is not known.
    """
    samples = rows.samples
    ids = samples["raster_id"].to_pylist()
    if not ids:
        raise NotFoundError("no samples: the selection has no raster with pixels. See geographer samples.")
    labels = tuple(_make_label_columns(rows, label) for label in rows.labels)
    _require_distinct_keys(labels, class_label=bool(class_label))
    crs = pc.dictionary_encode(samples["crs"].combine_chunks())
    with_class = not labels if class_label is None else class_label
    return ChipIndex(
        raster_ids=TextColumn(ids),
        feature_ids=TextColumn(samples["feature_id"].to_pylist()),
        crs=crs.dictionary.to_pylist(),
        crs_numbers=crs.indices.to_numpy(zero_copy_only=False).astype(np.int64),
        times=_make_times(samples["acquired"]),
        components=pc.fill_null(samples["component"], NO_COMPONENT).to_numpy().astype(np.int64),
        images=FileColumns(
            samples["path"].to_pylist(),
            samples["sha256"].to_pylist(),
            [raster_id in rows.with_sidecars for raster_id in ids] if rows.with_sidecars else None,
        ),
        labels=labels,
        classes=dict(rows.classes),
        chip_values=_find_chip_values(samples, rows.classes) if with_class else None,
        shown=_make_shown_classes(samples, rows.classes),
    )


def _make_label_columns(rows: TrainingRows, label: TrainingLabel) -> LabelColumns:
    path, checksum = name_label_columns(label.name)
    ids, paths = rows.samples["raster_id"].to_pylist(), rows.samples[path].to_pylist()
    if missing := [raster_id for raster_id, found in zip(ids, paths, strict=True) if not found]:
        raise UsageError(
            f"{len(missing):,} of {len(paths):,} rasters have no label '{label.name}': {quote_names(missing, 3)}. Make "
            "them with geographer update, name other labels, or pass labels=[] for none."
        )
    kind = label.kind or _infer_kind(rows, label.name, paths[0])
    objects = _make_object_columns(rows, label.name) if kind in ("boxes", "instances") else None
    if kind == "boxes":
        return LabelColumns(label.name, kind, None, None, objects)
    if paths[0].endswith(".json"):
        raise UsageError(f"label '{label.name}' is not a raster. Name other labels, or pass labels=[] for none.")
    files = FileColumns(paths, rows.samples[checksum].to_pylist())
    return LabelColumns(label.name, kind, label.ignore, files, objects)


def _infer_kind(rows: TrainingRows, name: str, path: str) -> str:
    """Return what a label holds whose recipe is not known, by its first file and its objects."""
    objects = rows.objects.filter(pc.equal(rows.objects["label"], name))
    if len(objects):
        return "boxes" if path.endswith(".json") else "instances"
    if path.endswith(".json"):
        return "boxes"
    bands, dtype = describe_label_file(path)
    return "probabilities" if dtype.startswith("float") else "mask" if bands == 1 else "multilabel"


def _require_distinct_keys(labels: Sequence[LabelColumns], *, class_label: bool) -> None:
    filled = {"label": "the class of the chip"} if class_label else {}
    for label in labels:
        for key in label.keys:
            if key in filled:
                raise UsageError(f"{filled[key]} and label '{label.name}' both give '{key}'. Name one: labels='NAME'.")
            filled[key] = f"label '{label.name}'"


def _make_object_columns(rows: TrainingRows, name: str) -> ObjectColumns:
    objects = rows.objects.filter(pc.equal(rows.objects["label"], name))
    chips = pc.index_in(objects["raster_id"], value_set=rows.samples["raster_id"].combine_chunks())
    objects = objects.filter(chips.is_valid()).append_column("chip", chips.drop_null())
    objects = objects.take(pc.sort_indices(objects, [("chip", "ascending"), ("instance", "ascending")]))
    counts = np.bincount(objects["chip"].to_numpy(), minlength=len(rows.samples))
    no_box = [float("nan")] * 4
    boxes = [box or no_box for box in objects["box"].to_pylist()]
    return ObjectColumns(
        starts=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        values=_look_up_values(objects["class"].to_pylist(), rows.classes, f"label '{name}'"),
        numbers=pc.fill_null(objects["instance"], 0).to_numpy().astype(np.int64),
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        feature_ids=TextColumn(objects["feature_id"].to_pylist()),
    )


def _look_up_values(names: Sequence[Any], classes: Mapping[str, int], noun: str) -> Ints:
    if unknown := sorted({str(name) for name in names if name not in classes}):
        raise UsageError(f"{noun} has objects of {quote_names(unknown)}, which are no classes. Run geographer update.")
    return np.array([classes[name] for name in names], np.int64)


def _make_times(acquired: pa.ChunkedArray) -> NDArray[np.float64]:
    seconds = acquired.cast(pa.timestamp("us")).cast(pa.int64()).to_numpy().astype(np.float64) / 1e6
    is_known = acquired.is_valid().to_numpy()
    return np.column_stack([np.where(is_known, seconds, unknown) for unknown in (_EARLIEST, _LATEST)])


def _find_chip_values(samples: pa.Table, classes: Mapping[str, int]) -> Ints:
    """Return the value of the class of each chip: of the feature that it was cut for, else the only one that it shows.

    A chip that shows no feature is background. `UsageError` if one shows several classes.
    """
    names, ambiguous = [], []
    for raster_id, name, shown in zip(
        *(samples[column].to_pylist() for column in ("raster_id", "class", "classes")), strict=True
    ):
        if name is None and len(shown) > 1:
            ambiguous.append(raster_id)
        names.append(name or (shown or [None])[0])
    if ambiguous:
        raise UsageError(
            f"{len(ambiguous):,} of {len(names):,} rasters show several classes and were cut for no feature: "
            f"{quote_names(ambiguous, 3)}. Pass class_label=False, or name a label with labels='NAME'."
        )
    return np.array([0 if name is None else classes[name] for name in names], np.int64)


def _make_shown_classes(samples: pa.Table, classes: Mapping[str, int]) -> ShownClasses:
    shown = samples["classes"].combine_chunks()
    lengths = pc.list_value_length(shown).to_numpy(zero_copy_only=False)
    names = shown.flatten().to_pylist()
    return ShownClasses(
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        np.array([classes[name] for name in names], np.int64),
    )
