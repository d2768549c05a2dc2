"""Context classes: classes whose features belong to the dataset and its graph, but that labels do not draw."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from geographer.planning.declarations import read_declarations
from geographer.storage.events.payload import list_payload_classes

if TYPE_CHECKING:
    import duckdb

    from geographer.storage.queries.revision import Revision

_RENAMED: Final = (
    "SELECT position, old_name, name FROM state.renaming WHERE subject = 'class' AND position <= $position "
    "ORDER BY position"
)


class ContextClasses(NamedTuple):
    """The names of the context classes, and the positions at which classes became context classes or ceased to be."""

    names: frozenset[str]
    changed_at: Mapping[str, int]


def read_context_classes(connection: duckdb.DuckDBPyConnection, position: int) -> ContextClasses:
    """Return the context classes at a position, under the names that they have there.

    Later events replace earlier ones, class by class; those of merged branches count, in the order of generation.
    """
    kinds = sorted({payload_class.kind for payload_class in list_payload_classes() if payload_class.declares_context})
    is_context: dict[str, bool] = {}
    changed_at: dict[str, int] = {}
    declarations = read_declarations(connection, kinds, position)
    if not declarations:
        return ContextClasses(frozenset(), {})
    renamings = connection.execute(_RENAMED, {"position": position}).fetchall()
    steps: list[tuple[int, int, Any]] = [(at, 0, (old_name, name)) for at, old_name, name in renamings]
    steps += [(item.position, 1, item.payload) for item in declarations]
    for at, _, step in sorted(steps, key=lambda item: item[:2]):
        if isinstance(step, tuple):
            old_name, name = step
            if old_name in is_context:
                is_context[name], changed_at[name] = is_context.pop(old_name), changed_at.pop(old_name)
            continue
        for key, value in (("context_classes", True), ("learned_classes", False)):
            for name in step.get(key, ()):
                if is_context.get(name, False) != value:
                    changed_at[name] = at
                is_context[name] = value
    return ContextClasses(frozenset(name for name, value in is_context.items() if value), changed_at)


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
