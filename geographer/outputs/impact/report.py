"""Report: the impact of a change on a subset, as a JSON object; `schemas/impact.v1.json` describes it."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from geographer.base.html import render_object
from geographer.outputs.impact.scores import Scores
from geographer.outputs.impact.statistics import BandStatisticsChange, StatisticsChange
from geographer.outputs.impact.subset import SubsetChange

FORMAT: Final = "geographer.impact"
VERSION: Final = 1


class ComparedRevision(NamedTuple):
    """A revision: its position, the digest of its event, and the number of chips that the subset has there."""

    position: int
    digest: str
    chips: int


class Impact(NamedTuple):
    """What differs in a subset between two revisions, and what that does to statistics and scores.

    Attributes:
        before: The first revision.
        after: The second revision.
        split: The split, and its part `subset`.
        subset: The part.
        truth: The only label that counts for the common subset; None: all labels.
        change: The chips, labels and class values that differ.
        common: The ids of the common subset, sorted: in the subset at both revisions, with equal pixels, labels and
            class values.
        statistics: Mean and standard deviation of the part that models are trained on.
        scores: What predictions score; None without predictions.
    """

    before: ComparedRevision
    after: ComparedRevision
    split: str
    subset: str
    truth: str | None
    change: SubsetChange
    common: list[str]
    statistics: StatisticsChange
    scores: Scores | None

    def _repr_html_(self) -> str:
        return render_object(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the impact as a JSON object, which `schemas/impact.v1.json` describes."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "from": self.before._asdict(),
            "to": self.after._asdict(),
            "split": self.split,
            "subset": self.subset,
            "truth": self.truth,
            "kept": len(self.change.list_kept()),
            "common": len(self.common),
            "counts": self.change.count_changes(),
            "changes": [row._asdict() for row in self.change.list_changes()],
            "classes": [{"class": row.name, "from": row.from_value, "to": row.to_value} for row in self.change.classes],
            "statistics": {
                "part": self.statistics.part,
                "state": self.statistics.state,
                "bands": [_format_band(row) for row in self.statistics.bands],
            },
            "scores": None if self.scores is None else _format_scores(self.scores),
        }


def _format_band(row: BandStatisticsChange) -> dict[str, Any]:
    differences = {"mean": row.mean_difference, "standard_deviation": row.deviation_difference}
    return {"band": row.band, "from": row.before._asdict(), "to": row.after._asdict(), "difference": differences}


def _format_scores(scores: Scores) -> dict[str, Any]:
    metrics = [_rename_keys(metric._asdict()) for metric in scores.metrics]
    return {**scores._asdict(), "metrics": metrics}


def _rename_keys(values: dict[str, Any]) -> dict[str, Any]:
    """Return the values under the names of JSON: `from` and `to`."""
    return {name.replace("before", "from").replace("after", "to"): value for name, value in values.items()}
