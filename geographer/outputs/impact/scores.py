"""Scores: a metric of stored predictions at both revisions and on the common subset, with the terms of its change."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal, NamedTuple

from geographer.base.errors import NotFoundError, UsageError, quote_names
from geographer.outputs.impact.metric_change import ChipSets, MetricChange, decompose_change
from geographer.outputs.impact.predictions import compute_mean, find_arrays, read_scores
from geographer.outputs.impact.subset import PositionPair, SubsetChange
from geographer.storage.queries.revision import Revision
from geographer.storage.unit_of_work import UnitOfWork
from geographer.storage.workspace.chip_files import ChipFile, ChipFiles

_LABELS: Final = "SELECT DISTINCT label FROM current_label ORDER BY label"
_RECIPE: Final = (
    "SELECT kind, parameters FROM state.recipe WHERE name = $label AND valid_from <= getvariable('position') "
    "ORDER BY valid_from DESC LIMIT 1"
)
_MASK, _CUSTOM = "label mask", "label own"
TABLE_METRIC: Final = "mean"


class Scores(NamedTuple):
    """What predictions score.

    Attributes:
        predictions: The folder or file.
        kind: Whether it is a folder of `arrays` or a `table` of values.
        other_pixels: The number of chips in both revisions with other pixels: their predictions were made on the
            pixels of one revision only.
        other_truth: The number of chips in both revisions whose truth differs.
        metrics: Each metric.
    """

    predictions: str
    kind: Literal["arrays", "table"]
    other_pixels: int
    other_truth: int
    metrics: list[MetricChange]


class Truth(NamedTuple):
    """The label files of the subset at a revision, and the value that the label gives to pixels to ignore."""

    files: ChipFiles
    ignore: int | None


class _ChipGroups(NamedTuple):
    """The chips at both revisions, those in both, and the untouched ones."""

    before: list[str]
    after: list[str]
    kept: list[str]
    untouched: list[str]


def require_label(work: UnitOfWork, positions: PositionPair, label: str) -> None:
    """Raise `NotFoundError` unless one of the revisions has a label of that name."""
    labels: set[str] = set()
    for position in positions:
        with work.open_revision(position) as revision:
            labels |= {row[0] for row in revision.fetch_rows(_LABELS)}
    if label not in labels:
        raise NotFoundError(
            f"no label {label!r} at either revision. The labels are {quote_names(sorted(labels)) or 'none'}."
        )


def score_table(path: Path, change: SubsetChange, truth: str | None) -> Scores:
    """Return the mean of the values in a table of chips; see `read_scores` for the errors."""
    groups = _group_chips(change, truth)
    scores = read_scores(path, [chip.raster_id for chip in change.chips])
    before, kept, after, common = (
        compute_mean(scores[raster_id] for raster_id in ids)
        for ids in (groups.before, groups.kept, groups.after, groups.untouched)
    )
    metric = decompose_change(TABLE_METRIC, ChipSets(before, kept, kept, after, common, common))
    return _make_scores(path, "table", change, truth, [metric])


def score_arrays(
    work: UnitOfWork, positions: PositionPair, folder: Path, change: SubsetChange, truth: str, metrics: Sequence[str]
) -> Scores:
    """Return metrics of arrays of class values against the masks of the label `truth` at both revisions.

    Pixels where a mask has its recipe's ignore value are not counted, whatever was predicted there. All other values
    count, the background (0) as well.

    Raises:
        NotFoundError: a chip has no prediction or no such label; or see `ChipFiles.require_files`.
        UsageError: a prediction has another size than the mask, or the label has no class values.
    """
    from geographer.outputs.impact.confusion import METRICS, Confusion, count_confusion
    from geographer.rasters.class_values import read_class_values

    groups = _group_chips(change, truth)
    sides = zip(positions, (groups.before, groups.after), strict=True)
    truths = [_find_truth(work, position, truth, ids) for position, ids in sides]
    paths = find_arrays(folder, [chip.raster_id for chip in change.chips])
    files = [side.files.require_files(work.file_store) for side in truths]

    def count_chip(raster_id: str, mask: ChipFile, ignore: int | None) -> Confusion:
        expected = read_class_values(mask.path)
        rows, columns = expected.shape
        return count_confusion(expected, read_class_values(paths[raster_id], (rows, columns)), ignore)

    groups_by_id = {name: {*ids} for name, ids in groups._asdict().items()}
    sums: dict[str, Confusion] = {name: Counter() for name in ChipSets._fields}
    for number, raster_id in enumerate(paths, 1):
        counts: dict[tuple[str, int | None], Confusion] = {}  # Equal masks are read once.
        for side, all_of_side in enumerate(("before", "after")):
            if raster_id not in groups_by_id[all_of_side]:
                continue
            mask, ignore = files[side][raster_id], truths[side].ignore
            if (key := (mask.content, ignore)) not in counts:
                counts[key] = count_chip(raster_id, mask, ignore)
            sums[all_of_side].update(counts[key])
            for group, name in (("kept", f"kept_{all_of_side}"), ("untouched", f"common_{all_of_side}")):
                if raster_id in groups_by_id[group]:
                    sums[name].update(counts[key])
        work.progress("predictions read", number, len(paths))
    changes = [decompose_change(name, ChipSets(*map(METRICS[name], sums.values()))) for name in metrics]
    return _make_scores(folder, "arrays", change, truth, changes)


def _group_chips(change: SubsetChange, truth: str | None) -> _ChipGroups:
    before, after = change.list_chips(at_start=True), change.list_chips(at_start=False)
    return _ChipGroups(before, after, change.list_kept(), change.list_untouched(truth))


def _find_truth(work: UnitOfWork, position: int, label: str, raster_ids: Sequence[str]) -> Truth:
    with work.open_revision(position) as revision:
        return Truth(ChipFiles.list_labels(revision, label, raster_ids), _find_ignore_value(revision, label))


def _find_ignore_value(revision: Revision, label: str) -> int | None:
    """Return the value that a label's recipe gives to pixels to ignore; `UsageError` if it has no class values."""
    for kind, parameters in revision.fetch_rows(_RECIPE, {"label": label}):
        values = json.loads(parameters)
        if kind not in (_MASK, _CUSTOM) and values.get("form") != "mask":
            raise UsageError(f"label '{label}' ({kind}) has no class values. Name a mask with --truth.")
        ignore = values.get("ignore") if kind != _CUSTOM else None
        return None if ignore is None else int(ignore)
    return None


def _make_scores(
    path: Path, kind: Literal["arrays", "table"], change: SubsetChange, truth: str | None, metrics: list[MetricChange]
) -> Scores:
    other_truth = {row.raster_id for row in change.labels if truth in (None, row.label)}
    other_pixels = sum(chip.has_other_pixels for chip in change.chips)
    return Scores(str(path), kind, other_pixels, len(other_truth), metrics)
