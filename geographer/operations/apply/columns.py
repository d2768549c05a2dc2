"""User columns of an applied patch: which ones to add, and which to drop first."""

from collections.abc import Mapping

from geographer.diff.patch.model import ColumnSides


def plan_columns(sides: ColumnSides, ours: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Return the columns to record with their types, and those to drop before, for a head with the columns `ours`.

    A column that changes its type is dropped and recorded again, unless the head changed it, too: then it gets a type
    that holds both.
    """
    old, new = dict(sides.old), dict(sides.new)
    changed = {name: kind for name, kind in new.items() if old.get(name) != kind and ours.get(name) != kind}
    retyped = [name for name in changed if name in ours and ours[name] == old.get(name)]
    dropped = [name for name in old if name not in new and name in ours]
    return changed, sorted(dropped + retyped)
