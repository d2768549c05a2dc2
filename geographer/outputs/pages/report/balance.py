"""Balance: the features of each class in the parts of each split, and the objects and pixels that labels list."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, NamedTuple

from geographer.outputs.pages.report.report_table import Column, ReportTable, make_table
from geographer.outputs.release import sentences
from geographer.outputs.release.facts import ReleaseFacts
from geographer.storage.queries.revision import Revision

_OBJECTS: Final = Path(__file__).with_name("labelled_objects.sql")
LEFT_OUT: Final = "left out"
NO_PART: Final = "no part"


class Balance(NamedTuple):
    """The class balance in words, and as tables: of all features, and of each split."""

    sentence: str
    classes: ReportTable
    splits: list[ReportTable]
    objects: list[ReportTable]


def read_balance(revision: Revision, facts: ReleaseFacts, splits: list[str]) -> Balance:
    """Return the class balance of the revision in all features, and in the parts of these splits."""
    total = facts.features or 1
    rows = [
        (item.name, item.value, item.features, f"{item.features / total:.1%}", item.unseen) for item in facts.classes
    ]
    columns = [
        *(Column("Class"), Column("Value", "number"), Column("Features", "number"), Column("Share", "number")),
        Column("In no raster", "number"),
    ]
    chosen: list[str | None] = [*splits]
    objects = [_tabulate_objects(revision, split) for split in chosen or [None]]
    return Balance(
        sentences.describe_balance(facts),
        make_table("Features by class", columns, rows, "geographer classes"),
        [_tabulate_split(facts, split) for split in splits],
        [table for table in objects if table.rows],
    )


def _tabulate_split(facts: ReleaseFacts, split: str) -> ReportTable:
    """Return the features of each class in each part: of features that lie on several rasters, each part counts one."""
    parts = [part for part in facts.parts if part.split == split]
    names = [item.name for item in facts.classes if any(item.name in part.classes for part in parts)]
    rows: list[tuple[Any, ...]] = [("rasters", *(part.rasters for part in parts))]
    rows += [("features shown", *(part.features for part in parts))]
    rows += [(f"class {name}", *(part.classes.get(name, 0) for part in parts)) for name in names]
    columns = [Column("Count"), *(Column(part.part or LEFT_OUT, "number") for part in parts)]
    return make_table(f"Split '{split}': rasters, and the features that they show by class", columns, rows)


def _tabulate_objects(revision: Revision, split: str | None) -> ReportTable:
    """Return the objects that labels list, and their pixels where instance labels count them."""
    rows = revision.fetch_rows(_OBJECTS.read_text(), {"split": split})
    cells = [(label, name, part or NO_PART, objects, pixels) for label, name, part, objects, pixels in rows]
    columns = [
        *(Column("Label"), Column("Class"), Column("Part"), Column("Objects", "number")),
        Column("Pixels", "number"),
    ]
    where = f" in the parts of split '{split}'" if split else ""
    return make_table(f"Objects that labels list{where}", columns, cells, "geographer objects")
