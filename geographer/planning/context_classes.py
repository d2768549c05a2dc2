"""Context classes: classes whose features belong to the dataset and its graph, but that labels do not draw."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from geographer.planning.context_replay import ClassEvent, replay_events
from geographer.planning.declarations import read_declarations
from geographer.storage.events.payload import list_payload_classes, parse_payload
from geographer.storage.log.ancestry import Ancestry, read_ancestry

if TYPE_CHECKING:
    import duckdb

    from geographer.storage.queries.revision import Revision

_CLASS_ROWS: Final = Path(__file__).with_name("class_rows.sql")


class ContextClasses(NamedTuple):
    """The names of the context classes, and the positions at which classes became context classes or ceased to be."""

    names: frozenset[str]
    changed_at: Mapping[str, int]


def read_context_classes(connection: duckdb.DuckDBPyConnection, position: int) -> ContextClasses:
    """Return the context classes at a position, under the names that they have there.

    Later events replace earlier ones, class by class; those of merged branches count, in the order of generation. The
    flag of a class follows its name, and ends with the class.
    """
    kinds = sorted({payload_class.kind for payload_class in list_payload_classes() if payload_class.declares_context})
    if not read_declarations(connection, kinds, position):
        return ContextClasses(frozenset(), {})
    ancestry: list[Ancestry] = []

    def is_ancestor(digest: str, of: str) -> bool:
        if not ancestry:
            ancestry.append(read_ancestry(connection))
        return ancestry[0].is_ancestor(digest, of)

    replay = replay_events(_read_class_events(connection, kinds, position), is_ancestor)
    return ContextClasses(frozenset(name for name, value in replay.flags.items() if value), replay.changed_at)


def _read_class_events(
    connection: duckdb.DuckDBPyConnection, context_kinds: Sequence[str], position: int
) -> Iterator[ClassEvent]:
    """Yield the events that declare classes as context, remove them, or give them other names."""
    moving = [payload_class.kind for payload_class in list_payload_classes() if payload_class.moves_classes]
    kinds = {*context_kinds, *moving}
    rows: dict[str, dict[str, set[str]]] = {}
    for digest, kind, change, name in connection.execute(_CLASS_ROWS.read_text(), {"kinds": moving}).fetchall():
        rows.setdefault(digest, {}).setdefault(change, set()).add(name)
        kinds.add(kind)
    for item in read_declarations(connection, sorted(kinds), position):
        changes = (frozenset(rows.get(item.digest, {}).get(change, ())) for change in ("added", "removed", "changed"))
        yield ClassEvent(item, parse_payload(item.kind, item.version, item.payload), *changes)


def stage_context_classes(revision: Revision) -> frozenset[str]:
    """Create the temporary table `context_class` (`class`, `is_context`, `changed_at`); return the context classes."""
    classes = read_context_classes(revision.connection, revision.position)
    rows = {"names": [*classes.changed_at], "positions": [*classes.changed_at.values()]}
    rows["flags"] = [name in classes.names for name in classes.changed_at]
    revision.connection.execute(
        "CREATE OR REPLACE TEMP TABLE context_class AS SELECT unnest($names::VARCHAR[]) AS class, "
        "unnest($flags::BOOLEAN[]) AS is_context, unnest($positions::BIGINT[]) AS changed_at",
        rows,
    )
    return classes.names
