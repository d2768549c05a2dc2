"""Compute the impact of a change: compare a subset, its statistics, and the scores of predictions."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from geographer.base.errors import CorruptError, NotFoundError, StorageError, UsageError
from geographer.base.text import is_unicode, quote_start
from geographer.outputs.impact.predictions import require_predictions
from geographer.outputs.impact.report import ComparedRevision, Impact
from geographer.outputs.impact.scores import TABLE_METRIC, require_label, score_arrays, score_table
from geographer.outputs.impact.statistics import StatisticsChange, plan_statistics
from geographer.outputs.impact.subset import PositionPair, compare_subset, find_split, list_parts, require_part
from geographer.storage.unit_of_work import UnitOfWork

logger = logging.getLogger(__name__)

ARRAY_METRICS: Final = ("accuracy", "mean-iou")
_TRAINING: Final = "train"
_DIGEST: Final = "SELECT digest FROM chain_event WHERE position = $position"


class ImpactOptions(NamedTuple):
    """What to compare; see `Dataset.compute_impact`."""

    split: str | None = None
    subset: str = "test"
    predictions: Path | None = None
    truth: str | None = None
    metrics: Sequence[str] | None = None
    statistics: bool | None = None
    statistics_of: str | None = None

    @classmethod
    def from_values(cls, **values: Any) -> ImpactOptions:
        """Validate the values; raise `UsageError` that names the first invalid one."""
        for name in ("split", "subset", "truth", "statistics_of"):
            value = values[name]
            is_optional = name != "subset"
            if not (value is None and is_optional) and not (isinstance(value, str) and value and is_unicode(value)):
                raise UsageError(f"invalid {name} {quote_start(repr(value))}. Use a name.")
        if not isinstance(values["statistics"], bool | None):
            raise UsageError(f"invalid statistics {values['statistics']!r}. Use True, False or None.")
        path = values["predictions"]
        if path is not None and not isinstance(path, str | Path):
            raise UsageError(f"invalid predictions {path!r}. Use the path of a folder or a table.")
        options = cls(**{**values, "predictions": None if path is None else require_predictions(path)})
        if options.statistics is False and options.statistics_of is not None:
            raise UsageError("statistics of a subset were asked for, and none at all. Leave one of both out.")
        return options if options.metrics is None else options._replace(metrics=options._list_metrics(options.metrics))

    def _list_metrics(self, metrics: Any) -> list[str]:
        """Return the requested metrics, each once; raise `UsageError` if the predictions do not have them."""
        if self.predictions is None:
            raise UsageError("metrics need predictions. Pass --predictions, too.")
        known = ARRAY_METRICS if self.predictions.is_dir() else (TABLE_METRIC,)
        requested = list(metrics) if isinstance(metrics, list | tuple) else [metrics]
        for metric in requested:
            if not isinstance(metric, str) or metric not in known:
                raise UsageError(f"unknown metric {metric!r} of these predictions. Use {' or '.join(known)}.")
        return list(dict.fromkeys(requested))


def compute_impact(work: UnitOfWork, positions: PositionPair, options: ImpactOptions) -> Impact:
    """Compare a subset at two positions; see `Dataset.compute_impact`."""
    predictions, truth = options.predictions, options.truth
    if predictions is not None and predictions.is_dir() and truth is None:
        raise UsageError("a folder of predictions needs the label to compare them with. Pass --truth LABEL.")
    with work.open_revision(max(positions)) as revision:
        split = find_split(revision, positions, options.split)
        require_part(revision, positions, split, options.subset)
        part = options.statistics_of
        if part is None:
            part = _TRAINING if _TRAINING in list_parts(revision, positions, split) else options.subset
        require_part(revision, positions, split, part)
        change = compare_subset(revision, positions, split, options.subset)
        digests = [revision.fetch_value(_DIGEST, {"position": position}) for position in positions]
    if truth is not None:
        require_label(work, positions, truth)
    scores = None
    if predictions is not None and (truth is None or not predictions.is_dir()):
        scores = score_table(predictions, change, truth)
    elif predictions is not None and truth is not None:
        scores = score_arrays(work, positions, predictions, change, truth, options.metrics or ARRAY_METRICS)
    statistics = _compute_statistics(work, positions, split, part, options.statistics)
    chips = len(change.list_chips(at_start=True)), len(change.list_chips(at_start=False))
    before, after = map(ComparedRevision, positions, digests, chips)
    common = change.list_untouched(truth)
    return Impact(before, after, split, options.subset, truth, change, common, statistics, scores)


def _compute_statistics(
    work: UnitOfWork, positions: PositionPair, split: str, part: str, wanted: bool | None
) -> StatisticsChange:
    """Return the statistics of a part; a warning says why there are none, unless they were asked for."""
    plan = plan_statistics(work, positions, split, part, wanted=wanted)
    try:
        return plan.compare_statistics(work)
    except (CorruptError, NotFoundError, StorageError) as error:
        if wanted:
            raise
        logger.warning("the statistics of '%s' are not computed, because files are missing: %s", part, error)
        return StatisticsChange(part, "not computed", [])
