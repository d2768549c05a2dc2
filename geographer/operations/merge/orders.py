"""Places in the order of addition: which merged objects do not come where their rows would put them."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from geographer.base.canonical_json import parse_canonical_json
from geographer.diff.patch.build import open_position
from geographer.storage.database.connection import run_script
from geographer.storage.events.row_tables import make_row_table
from geographer.storage.queries.revision import Revision

if TYPE_CHECKING:
    import pyarrow as pa

_FOLDER: Final = Path(__file__).parent
_NO_TABLE: Final = (
    "(SELECT NULL::INTEGER AS event_key, '' AS change, '' AS subject, '' AS object_id, '' AS generation, "
    "'' AS digest, '' AS place LIMIT 0)"
)
_HAS_TABLE: Final = "SELECT 1 FROM duckdb_tables() WHERE database_name = 'log' AND table_name = 'object_order'"
_PATCHES: Final = (
    "SELECT side, position, payload FROM side_event JOIN (SELECT event_key, payload FROM log.event) USING (event_key) "
    "WHERE kind = 'patch_applied'"
)
_GIVEN: Final = (
    "CREATE OR REPLACE TEMP TABLE given_place AS SELECT unnest($side::VARCHAR[]) AS side, "
    "unnest($position::BIGINT[]) AS position, unnest($subject::VARCHAR[]) AS subject, "
    "unnest($object_id::VARCHAR[]) AS object_id, unnest($generation::BIGINT[]) AS generation, "
    "unnest($place::BIGINT[]) AS place"
)


def find_given_orders(revision: Revision) -> str:
    """Return the relation with the places that merges recorded; without a merge, the log has no such table."""
    return "log.object_order" if revision.fetch_rows(_HAS_TABLE) else _NO_TABLE


def make_order_rows(
    revision: Revision, common: int, subjects: Sequence[str], class_places: Mapping[str, tuple[int, str]]
) -> "pa.Table | None":
    """Return the rows of `object_order` that give classes and objects of `subjects` their places; None: none."""
    classes = sorted(class_places.items())
    rows = [("class", name, str(generation), digest, "0") for name, (generation, digest) in classes]
    if subjects:
        _stage_given_places(revision)
    given = find_given_orders(revision)
    for subject in subjects:
        script = (_FOLDER / "orders.sql").read_text().format(subject=subject, given=given)
        run_script(revision.connection, script)
        places = dict(revision.fetch_rows("SELECT id, place FROM new_order ORDER BY id"))
        missing = [object_id for object_id, place in places.items() if place is None]
        places |= _read_common_places(revision, common, subject, missing)
        for object_id, place in places.items():
            if place is not None:
                numbers = (str(place["generation"]), place["digest"], str(place["place"]))
                rows.append((subject, object_id, *numbers))
    if not rows:
        return None
    names = ("subject", "object_id", "generation", "digest", "place")
    return make_row_table("object_order", dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)))


def _read_common_places(revision: Revision, common: int, subject: str, ids: list[str]) -> dict[str, Mapping[str, Any]]:
    """Return the places of objects at the common position."""
    if not ids:
        return {}
    query = (
        f"SELECT {subject}_id, added >> 32, added_by, added & 4294967295 FROM {subject}_order "  # noqa: S608
        f"WHERE {subject}_id IN (SELECT unnest($ids::VARCHAR[]))"
    )
    with open_position(revision, common) as opened:
        rows = opened.fetch_rows(query, {"ids": ids})
    return {id: {"generation": generation, "digest": digest, "place": place} for id, generation, digest, place in rows}


def _stage_given_places(revision: Revision) -> None:
    """Create `given_place`: the places that applied patches gave to objects."""
    rows = [
        row
        for side, position, payload in revision.fetch_rows(_PATCHES)
        for row in _iter_places(side, position, payload)
    ]
    names = ("side", "position", "subject", "object_id", "generation", "place")
    columns = [list(column) for column in zip(*rows, strict=True)] or [[] for _ in names]
    revision.connection.execute(_GIVEN, dict(zip(names, columns, strict=True)))


def _iter_places(side: str, position: int, payload: str) -> Iterator[tuple[str, int, str, str, int, int]]:
    for subject, orders in parse_canonical_json(payload)["order"].items():
        for object_id, (generation, place) in orders.items():
            yield side, position, subject, object_id, generation, place
