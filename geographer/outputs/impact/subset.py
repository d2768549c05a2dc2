"""Subset: the chips of one part of a split at two revisions, and what differs between them. No file is opened."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from geographer.base.errors import NotFoundError, UsageError, quote_names
from geographer.storage.queries.revision import Revision

_FOLDER: Final = Path(__file__).parent
_SPLITS: Final = (
    "SELECT DISTINCT split FROM state.split WHERE (valid_from <= $from_position AND valid_to > $from_position) "
    "OR (valid_from <= $to_position AND valid_to > $to_position) ORDER BY split"
)
_PARTS: Final = (
    "SELECT DISTINCT part FROM state.split WHERE split = $split AND part IS NOT NULL "
    "AND ((valid_from <= $from_position AND valid_to > $from_position) "
    "OR (valid_from <= $to_position AND valid_to > $to_position)) ORDER BY part"
)
_CHIPS: Final = (
    "SELECT raster_id, from_part, to_part, from_assigned, to_assigned, from_exists, to_exists, in_from, in_to, "
    "has_other_pixels, differs FROM subset_chip ORDER BY raster_id"
)

MOVES: Final = ("removed", "unassigned", "moved out", "added", "assigned", "moved in")
"""How a chip leaves a subset (3) or enters it (3). An unassigned one is a raster, but no longer in the split."""

CHANGES: Final = (
    *MOVES,
    *("pixels changed", "label added", "label removed", "label changed", "label objects changed"),
    "class values changed",
)
"""What can happen to a chip of a subset: it leaves or enters it, or it stays and differs."""


class PositionPair(NamedTuple):
    """The positions of the two revisions that are compared."""

    from_position: int
    to_position: int


class SubsetChip(NamedTuple):
    """A raster that is in the subset at one or both revisions.

    `has_other_pixels` says that it is in both with other pixels; `differs`, that it is not in both with equal bytes.
    """

    raster_id: str
    from_part: str | None
    to_part: str | None
    from_assigned: bool
    to_assigned: bool
    from_exists: bool
    to_exists: bool
    in_from: bool
    in_to: bool
    has_other_pixels: bool
    differs: bool


class SubsetLabel(NamedTuple):
    """A label that differs, of a chip that is in the subset at both revisions.

    `change` is None if the file is equal. `has_other_meaning` says that its values stand for other classes.
    """

    raster_id: str
    label: str
    change: str | None
    has_other_objects: bool
    has_other_meaning: bool


class ClassChange(NamedTuple):
    """A class whose value differs; None where there is no such class."""

    name: str
    from_value: int | None
    to_value: int | None


class ChipChange(NamedTuple):
    """One thing that happened to a chip: see `CHANGES`.

    `part` is the part that a chip was moved to or from, None if a conflict excluded it; `label` is the label that
    differs.
    """

    raster_id: str
    change: str
    part: str | None = None
    label: str | None = None


class SubsetChange(NamedTuple):
    """The chips of a subset at two revisions, and the labels and class values that differ."""

    chips: list[SubsetChip]
    labels: list[SubsetLabel]
    classes: list[ClassChange]

    def list_chips(self, *, at_start: bool) -> list[str]:
        """Return the ids of the chips in the subset at the first revision, or at the second."""
        return [chip.raster_id for chip in self.chips if (chip.in_from if at_start else chip.in_to)]

    def list_kept(self) -> list[str]:
        """Return the ids of the chips in the subset at both revisions."""
        return [chip.raster_id for chip in self.chips if chip.in_from and chip.in_to]

    def list_untouched(self, label: str | None) -> list[str]:
        """Return the kept chips whose pixels, labels and class values are equal; only `label` counts if given."""
        touched = {chip.raster_id for chip in self.chips if chip.has_other_pixels}
        touched |= {row.raster_id for row in self.labels if label in (None, row.label)}
        return [raster_id for raster_id in self.list_kept() if raster_id not in touched]

    def list_changes(self) -> list[ChipChange]:
        """Return what happened to each chip, in the order of `CHANGES`, then by id."""
        changes = [*self._iter_chip_changes(), *self._iter_label_changes()]
        return sorted(changes, key=lambda row: (CHANGES.index(row.change), row.raster_id, row.label or ""))

    def count_changes(self) -> dict[str, int]:
        """Return the number of chips by change."""
        counts = Counter(change for change, _ in {(row.change, row.raster_id) for row in self.list_changes()})
        return {change: counts[change] for change in CHANGES}

    def _iter_chip_changes(self) -> Iterator[ChipChange]:
        for chip in self.chips:
            if not chip.in_to:
                change = "moved out" if chip.to_assigned else "unassigned" if chip.to_exists else "removed"
                yield ChipChange(chip.raster_id, change, chip.to_part)
            elif not chip.in_from:
                change = "moved in" if chip.from_assigned else "assigned" if chip.from_exists else "added"
                yield ChipChange(chip.raster_id, change, chip.from_part)
            elif chip.has_other_pixels:
                yield ChipChange(chip.raster_id, "pixels changed")

    def _iter_label_changes(self) -> Iterator[ChipChange]:
        for row in self.labels:
            if row.change:
                yield ChipChange(row.raster_id, f"label {row.change}", label=row.label)
            if row.has_other_objects:
                yield ChipChange(row.raster_id, "label objects changed", label=row.label)
            if row.has_other_meaning:
                yield ChipChange(row.raster_id, "class values changed", label=row.label)


def find_split(revision: Revision, positions: PositionPair, name: str | None) -> str:
    """Return the name of the only split at the two positions, or `name` if there is such a split.

    Raises:
        NotFoundError: there is no split, or none of that name.
        UsageError: there are several, and no name is given.
    """
    splits = [row[0] for row in revision.fetch_rows(_SPLITS, positions._asdict())]
    if not splits:
        raise NotFoundError(f"no split at {_format_positions(positions)}. Make one with geographer split.")
    if name is None and len(splits) > 1:
        raise UsageError(f"the dataset has {len(splits)} splits: {quote_names(splits)}. Name one with --split.")
    if name is not None and name not in splits:
        raise NotFoundError(
            f"no split {name!r} at {_format_positions(positions)}. The splits are {quote_names(splits)}."
        )
    return name or splits[0]


def list_parts(revision: Revision, positions: PositionPair, split: str) -> list[str]:
    """Return the parts that a split has at either position."""
    return [row[0] for row in revision.fetch_rows(_PARTS, {"split": split, **positions._asdict()})]


def require_part(revision: Revision, positions: PositionPair, split: str, part: str) -> None:
    """Raise `NotFoundError` unless the split has the part at one of the positions."""
    parts = list_parts(revision, positions, split)
    if part not in parts:
        raise NotFoundError(
            f"no part {part!r} in split '{split}' at {_format_positions(positions)}. "
            f"The parts are {quote_names(parts) or 'none'}."
        )


def read_chips(revision: Revision, positions: PositionPair, split: str, part: str) -> list[SubsetChip]:
    """Return the rasters in a part of a split at one or both positions, by id."""
    parameters = {"split": split, "part": part, **positions._asdict()}
    revision.connection.execute((_FOLDER / "subset_chips.sql").read_text(), parameters)
    return [SubsetChip(*row) for row in revision.fetch_rows(_CHIPS)]


def compare_subset(revision: Revision, positions: PositionPair, split: str, part: str) -> SubsetChange:
    """Return the chips of a part of a split, and what differs between the two positions, which the state must have."""
    chips = read_chips(revision, positions, split, part)
    labels, classes = (_fetch_rows(revision, name, positions) for name in ("subset_labels.sql", "changed_classes.sql"))
    return SubsetChange(chips, [SubsetLabel(*row) for row in labels], [ClassChange(*row) for row in classes])


def _fetch_rows(revision: Revision, name: str, positions: PositionPair) -> list[tuple[Any, ...]]:
    return revision.fetch_rows((_FOLDER / name).read_text(), positions._asdict())


def _format_positions(positions: PositionPair) -> str:
    return f"@{positions.from_position} or @{positions.to_position}"
