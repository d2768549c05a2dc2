"""Build the patch between two revisions, from the rows of the log."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from geographer.base.errors import ConflictError, quote_names
from geographer.diff.changes import OBJECT_KINDS, Sides, stage_versions
from geographer.diff.patch.model import (
    FORMAT,
    VERSION,
    ColumnSides,
    Order,
    Patch,
    PatchChange,
    PatchColumns,
    PatchHeader,
    PatchRevision,
    make_patch,
)
from geographer.diff.patch.revision_values import (
    KEYED_KINDS,
    ObjectKey,
    ObjectVersion,
    fetch_logged_versions,
    list_columns,
    read_recipe_versions,
)
from geographer.storage.database.connection import run_script
from geographer.storage.log.read import read_event
from geographer.storage.queries.revision import Revision

_FOLDER: Final = Path(__file__).parent
_KINDS: Final = ("class", "feature", "raster", "label", "label_object", "split")
_UNREADABLE: Final = (
    "SELECT DISTINCT object FROM state.unreadable_row WHERE object IS NOT NULL AND valid_from <= $position "
    "AND valid_to > $position ORDER BY object"
)


class RevisionContent(NamedTuple):
    """What a patch says about a revision beside its rows: digests, columns, recipes with inputs and removals."""

    header: PatchRevision
    feature_columns: tuple[tuple[str, str], ...]
    raster_columns: tuple[tuple[str, str], ...]
    versions: dict[ObjectKey, ObjectVersion]


def build_patch(revision: Revision, sides: Sides) -> Patch:
    """Return the patch that leads from the revision at `sides.old` to that at `sides.new`, in either direction in time.

    `revision` is an open one at or after both, whose state is read.

    Raises:
        ConflictError: One of them has rows that cannot be read, which a patch cannot carry.
    """
    old, new = (_read_content(revision, position) for position in sides)
    columns = PatchColumns(
        ColumnSides(old.feature_columns, new.feature_columns), ColumnSides(old.raster_columns, new.raster_columns)
    )
    dataset = read_event(revision.connection, 1).digest
    header = PatchHeader(FORMAT, VERSION, dataset, old.header, new.header, columns)
    changes = [*iter_row_changes(revision, sides), *_iter_other_changes(old.versions, new.versions)]
    return make_patch(header, changes)


def _read_content(revision: Revision, position: int) -> RevisionContent:
    if unreadable := [name for (name,) in revision.fetch_rows(_UNREADABLE, {"position": position})]:
        raise ConflictError(
            f"revision @{position} has rows that cannot be read, of {quote_names(unreadable)}. End them first with "
            "geographer remove unreadable; a later revision is without them."
        )
    with open_position(revision, position) as opened:
        digests = PatchRevision(
            read_event(revision.connection, position).digest, opened.compute_content_digest(), position
        )
        feature_columns, raster_columns = (list_columns(opened, subject) for subject in KEYED_KINDS)
        return RevisionContent(digests, feature_columns, raster_columns, read_recipe_versions(opened))


@contextmanager
def open_position(revision: Revision, position: int) -> Iterator[Revision]:
    """Let the connection of a revision show another one."""
    try:
        yield Revision(revision.connection, position)
    finally:
        Revision(revision.connection, revision.position)


def iter_row_changes(revision: Revision, sides: Sides) -> Iterator[PatchChange]:
    """Yield the changes of objects that have rows in the log; those of edges follow from them."""
    for kind in _KINDS:
        keys = f"{kind}_key" if kind in KEYED_KINDS else "NULL AS value"
        stage_versions(revision.connection, OBJECT_KINDS[kind]._replace(columns=keys), sides)
        if not revision.fetch_rows(f"FROM old_side_{kind} SELECT 1 UNION ALL FROM new_side_{kind} SELECT 1 LIMIT 1"):  # noqa: S608
            continue
        old, new = (fetch_logged_versions(revision, kind, f"{side}_side_{kind}") for side in ("old", "new"))
        orders = _fetch_orders(revision, kind, sides) if kind in KEYED_KINDS else {}
        for key in old.keys() | new.keys():
            old_order, new_order = orders.get(key[0], (None, None))
            values = old.get(key), new.get(key)
            yield PatchChange(
                f"{kind}_change", key, *values, old_order if values[0] else None, new_order if values[1] else None
            )


def _fetch_orders(revision: Revision, subject: str, sides: Sides) -> dict[str, tuple[Order | None, Order | None]]:
    connection, values = revision.connection, {"old": sides.old, "new": sides.new}
    run_script(connection, (_FOLDER / "moved_objects.sql").read_text().format(subject=subject), values)
    if not revision.fetch_rows(f"FROM moved_{subject} LIMIT 1"):
        return {}
    query = (_FOLDER / "added_order.sql").read_text().format(subject=subject)
    rows = revision.fetch_rows(query, values)
    return {id: (_make_order(old), _make_order(new)) for id, old, new in rows}


def _make_order(pair: list[int | None]) -> Order | None:
    position, place = pair
    return None if position is None or place is None else (position, place)


def _iter_other_changes(
    old: dict[ObjectKey, ObjectVersion], new: dict[ObjectKey, ObjectVersion]
) -> Iterator[PatchChange]:
    for table, key in old.keys() | new.keys():
        (old_values, old_order), (new_values, new_order) = (
            side.get((table, key)) or (None, None) for side in (old, new)
        )
        yield PatchChange(table, key, old_values, new_values, old_order, new_order)
