"""Make a `ChipIndex` of the rows to train on; only the process that opens a dataset needs this module."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from geographer.base.errors import NotFoundError, UsageError, quote_names
from geographer.outputs.samples.table import name_label_columns
from geographer.outputs.samples.training_rows import TrainingLabel, TrainingRows
from geographer.rasters.read_chips import describe_label_file
from geographer.torch.chip_index import (
    NO_COMPONENT,
    ChipIndex,
    FileColumns,
    Ints,
    LabelColumns,
    ObjectArrays,
    ShownClasses,
)
from geographer.torch.text_column import TextColumn

_EARLIEST, _LATEST = -9_223_372_036.854775, 9_223_372_036.854775
"""What torchgeo has for an unknown time: the first and last nanosecond that fit 64 bits, in seconds since 1970."""


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
        for key in label.sample_keys:
            if key in filled:
                raise UsageError(f"{filled[key]} and label '{label.name}' both give '{key}'. Name one: labels='NAME'.")
            filled[key] = f"label '{label.name}'"


def _make_object_columns(rows: TrainingRows, name: str) -> ObjectArrays:
    objects = rows.objects.filter(pc.equal(rows.objects["label"], name))
    chips = pc.index_in(objects["raster_id"], value_set=rows.samples["raster_id"].combine_chunks())
    objects = objects.filter(chips.is_valid()).append_column("chip", chips.drop_null())
    objects = objects.take(pc.sort_indices(objects, [("chip", "ascending"), ("instance", "ascending")]))
    counts = np.bincount(objects["chip"].to_numpy(), minlength=len(rows.samples))
    no_box = [float("nan")] * 4
    boxes = [box or no_box for box in objects["box"].to_pylist()]
    return ObjectArrays(
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
