"""Flags of features: those of another class, and added ones that do not fit the other added ones."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from geographer.base.text import format_count
from geographer.diff.flags.flag import MIN_SAMPLE, CandidateGroup, FlagCandidate, Reason, compute_limit, split_rows

if TYPE_CHECKING:
    from geographer.storage.queries.revision import Revision

_ADDED: Final = Path(__file__).with_name("added_features.sql")
_CLASS_SCORE: Final = 2.0
_MAX_OUTLIERS: Final = 10
_SIZE_FACTOR: Final = 20.0
_OUTLIER_SCORE: Final = 0.9
_MIN_DISTANCE_DEG: Final = 1.0
_DISTANCE_FACTOR: Final = 10.0


def find_class_flips(features: pa.Table) -> Iterator[CandidateGroup]:
    """Yield the features of another class; the rarer a change from one class to another, the higher its score.

    Args:
        features: The changes of features, as `fetch_changes` returns them.
    """
    table = features.filter(pc.equal(features["change"], "changed"))
    old, new = (pc.struct_field(table[side], "class") for side in ("old", "new"))
    names = pa.table({**{name: table[name] for name in ("feature_id", "position")}, "before": old, "after": new})
    for pair, flips in split_rows(names.filter(pc.not_equal(old, new)), ("before", "after")):
        score = _CLASS_SCORE + float(np.log10(len(features) / len(flips)))
        text = f"class {pair['before']} → {pair['after']}"
        ids, positions = flips["feature_id"].combine_chunks(), flips["position"].to_numpy()
        make = partial(_make_flip, ids, positions, Reason("class", text, score, text))
        yield CandidateGroup("feature", "class", ids, positions, np.full(len(ids), score), make)


def _make_flip(ids: pa.Array, positions: Any, reason: Reason, index: int) -> FlagCandidate:
    feature_id = ids[index].as_py()
    return FlagCandidate("feature", feature_id, f"feature {feature_id}", int(positions[index]), reason)


def find_added_outliers(revision: Revision) -> Iterator[FlagCandidate]:
    """Yield the added features that are far larger, smaller or farther away than the other added ones, at most ten."""
    table = revision.fetch_arrow(_ADDED.read_text())
    if len(table) < MIN_SAMPLE:
        return
    found = sorted([*_find_unusual_sizes(table), *_find_remote(table)], key=lambda candidate: -candidate.reason.score)
    yield from found[:_MAX_OUTLIERS]


def _find_unusual_sizes(table: pa.Table) -> Iterator[FlagCandidate]:
    areas = table["area"].to_numpy()
    for name in sorted(pc.unique(table["class"]).to_pylist()):
        is_named = pc.equal(table["class"], name).to_numpy()
        rows = np.flatnonzero(is_named & (areas > 0))
        if len(rows) < MIN_SAMPLE:
            continue
        sizes = np.log(areas[rows])
        deviations = np.abs(sizes - np.median(sizes))
        limit = compute_limit(deviations, float(np.log(_SIZE_FACTOR)))
        for index in _select_highest(deviations, limit):
            factor = np.exp(deviations[index])
            word = "larger" if sizes[index] > np.median(sizes) else "smaller"
            text = f"added {name} {factor:,.0f} times {word} than the median of {format_count(len(rows), 'added one')}"
            yield _make_outlier(table, rows[index], text, deviations[index] / limit, f"added, {word} than the others")


def _find_remote(table: pa.Table) -> Iterator[FlagCandidate]:
    x, y = table["x"].to_numpy(), table["y"].to_numpy()
    # Longitudes around the first one: a dataset may lie on both sides of the antimeridian.
    x = (x - x[0] + 180) % 360 - 180
    distances = np.hypot((x - np.median(x)) * np.cos(np.radians(np.median(y))), y - np.median(y))
    limit = max(_MIN_DISTANCE_DEG, _DISTANCE_FACTOR * float(np.quantile(distances, 0.9)))
    for index in _select_highest(distances, limit):
        text = f"added {distances[index]:.1f} degrees away from the middle of the others"
        yield _make_outlier(table, index, text, distances[index] / limit, "added, far from the others")


def _select_highest(values: Any, limit: float) -> Any:
    """Return the indices of the highest values above a limit, as many as are shown, in their own order."""
    above = np.flatnonzero(values > limit)
    return np.sort(above[np.argsort(-values[above], kind="stable")[:_MAX_OUTLIERS]])


def _make_outlier(table: pa.Table, index: Any, text: str, excess: float, alike: str) -> FlagCandidate:
    row = table.slice(int(index), 1).to_pylist()[0]
    reason = Reason("outlier", text, _OUTLIER_SCORE * float(1 - 1 / (1 + excess)), alike)
    return FlagCandidate(
        "feature", row["feature_id"], f"feature {row['feature_id']} ({row['class']})", row["position"], reason
    )
