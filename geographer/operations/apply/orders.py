"""Order of addition after a patch: where the chain says what the places are, and which objects need another one."""

from bisect import bisect_left
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

from geographer.diff.patch.build import open_position
from geographer.diff.patch.model import Order, PatchChange, PatchHeader
from geographer.diff.patch.revision_values import ObjectKey
from geographer.operations.apply.events import ObjectOrders
from geographer.operations.apply.rows import Rows, make_sort_key
from geographer.storage.queries.revision import Revision

_FOLDER: Final = Path(__file__).parent
_SUBJECTS: Final = {"feature_change": "feature", "raster_change": "raster"}
_FIND_REVISION: Final = """
SELECT position, digest = $digest AS is_same_chain FROM chain_event
WHERE position <= getvariable('position') AND (digest = $digest OR (
    kind = 'patch_applied' AND (payload->>'$.patch.to.digest') = $digest
    AND (payload->>'$.moved') = 'false' AND (payload->>'$.left_out') = '0'
)) ORDER BY digest = $digest DESC, position DESC LIMIT 1
"""


class OrderReference(NamedTuple):
    """The revision of the head's chain whose order of addition the patched objects get.

    Attributes:
        position: Where the revision is.
        is_result: Whether it is the one that the patch leads to, not that from which it leads.
    """

    position: int
    is_result: bool


def find_order_reference(
    revision: Revision, header: PatchHeader, changes: Iterable[PatchChange]
) -> OrderReference | None:
    """Return the revision that gives places to the objects of a patch; None: nothing says what they are here.

    A patch that was applied exactly leads to a revision as well as the event that first made it. Places are positions
    of the chain in which the patch was made, so they are only valid up to a revision that both chains have; objects
    that are new to the revision from which the patch leads follow all others.
    """
    if found := revision.fetch_rows(_FIND_REVISION, {"digest": header.new.digest}):
        return OrderReference(found[0][0], is_result=True)
    for position, is_same_chain in revision.fetch_rows(_FIND_REVISION, {"digest": header.old.digest}):
        limit = position if is_same_chain else 0
        places = [change.new_order for change in changes if change.table in _SUBJECTS and change.new_order]
        if all(place[0] <= limit or place[0] > header.old.position for place in places):
            return OrderReference(position, is_result=False)
    return None


def make_orders(
    revision: Revision, reference: OrderReference, header: PatchHeader, changes: Iterable[PatchChange], rows: Rows
) -> tuple[ObjectOrders, dict[ObjectKey, Order]]:
    """Return the places that objects get, and those, as the patch has them, of present ones that are added again."""
    orders = {subject: _read_moved_orders(revision, reference.position, subject) for subject in _SUBJECTS.values()}
    added_again: dict[ObjectKey, Order] = {}
    removed = {key for key, row in rows.items() if row.values is None}
    if not reference.is_result:
        for table, key in removed:
            if table in _SUBJECTS:
                orders[_SUBJECTS[table]].pop(key[0], None)
        for change in changes:
            if change.table not in _SUBJECTS or change.new_order is None:
                continue
            own = orders[_SUBJECTS[change.table]]
            own.pop(change.key[0], None)
            if change.new_order[0] <= header.old.position:
                own[change.key[0]] = change.new_order
            elif change.old is not None:
                added_again[change[:2]] = change.new_order
    return ObjectOrders(orders["feature"], orders["raster"]), added_again


def _read_moved_orders(revision: Revision, position: int, subject: str) -> dict[str, Order]:
    """Return the places at a position of the objects that have another one, or none, at the head."""
    parts = (_FOLDER / "moved_orders.sql").read_text().format(subject=subject).split(";\n")
    if position == revision.position:
        return {}
    with open_position(revision, position):
        revision.connection.execute(parts[0])
    return {id: (at, place) for id, at, place in revision.fetch_rows(parts[1])}


def place_added_again(
    orders: ObjectOrders, added_again: dict[ObjectKey, Order], rows: Rows, position: int
) -> ObjectOrders:
    """Add the places of objects that were added again: among the new ones, whose places are those of their rows.

    `position` is that of the event with these rows.
    """
    added: dict[str, dict[str, Order]] = {"feature_change": {}, "raster_change": {}}
    places = {table: sorted(make_sort_key(key[1], rows[key]) for key in rows if key[0] == table) for table in added}
    for (table, key), order in added_again.items():
        added[table][key[0]] = (position, bisect_left(places[table], (True, order, key)))
    return ObjectOrders(orders.feature | added["feature_change"], orders.raster | added["raster_change"])
