"""Merge two heads from either side, and compare what is there after `update`."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from geographer import Dataset
from tests.merging.commands import run_command
from tests.merging.model import Tables
from tests.merging.observe import Observed, read_dataset
from tests.merging.steps import Clone, require_equal

COPY: Final = Path("mirror")


def check_mirror(clone: Clone, revision: str) -> None:
    """Merge a revision into copies of a clone from both sides; where both changed the same, one value counts in both.

    Covers and splits keep what is there, so they may differ.
    """
    heads = {"left": clone.branch, "right": revision}
    left = _merge_copy(clone, heads, "left", "right", "ours")
    right = _merge_copy(clone, heads, "right", "left", "theirs")
    what = f"{clone.name}: merge of {clone.branch} and {revision} from either side"
    require_equal(f"{what}: declared", left.declared, right.declared)
    require_equal(f"{what}: derived", select_symmetric(left), select_symmetric(right))
    if left.derived == right.derived:
        require_equal(f"{what}: content digest", left.content_digest, right.content_digest)


def _merge_copy(clone: Clone, heads: dict[str, str], ours: str, theirs: str, take: str) -> Observed:
    """Create two branches in a copy of a clone, merge one into the other, and update."""
    shutil.rmtree(COPY, ignore_errors=True)
    shutil.copytree(clone.name, COPY, symlinks=True)
    for name, revision in heads.items():
        Dataset.open(COPY).create_branch(name, revision)
    run_command(COPY, "switch", {"name": ours})
    run_command(COPY, "merge", {"revision": theirs, "on_conflict": take})
    run_command(COPY, "update", {})
    seen = read_dataset(Dataset.open(COPY))
    shutil.rmtree(COPY)
    return seen


def select_symmetric(seen: Observed) -> Tables:
    """Select what recipes make again: all chips but those of covers, and all labels."""
    recipes = {name for name, row in seen.declared["recipe"].items() if row["kind"] == "cut cover"}
    chips = {key: row for key, row in seen.derived["chip"].items() if row["recipe"] not in recipes}
    return {"chip": chips, "label": seen.derived["label"], "label_object": seen.derived["label_object"]}
