"""Check the splits of a revision for leaks; this module imports the algorithms only where a split may leak."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Final

from geographer.base.errors import ConflictError
from geographer.planning.split_constraints.declared import DeclaredConstraints, list_declared_constraints
from geographer.planning.split_constraints.staged_rasters import is_surely_sound

if TYPE_CHECKING:
    from geographer.planning.split_constraints.leaks import SplitLeak
    from geographer.storage.queries.revision import Revision

_SPLITS: Final = (
    "SELECT split FROM current_split WHERE part IS NOT NULL GROUP BY split HAVING min(part) <> max(part) ORDER BY ALL"
)


def iter_split_leaks(revision: Revision, names: Collection[str] | None = None) -> Iterator[SplitLeak]:
    """Yield each split of a revision, or of `names`, that leaks, with the smallest remedy, in order of name.

    See `find_split_leaks`.
    """
    splits = [split for (split,) in revision.fetch_rows(_SPLITS) if names is None or split in names]
    declared = list_declared_constraints(revision) if splits else {}
    for split in splits:
        if is_surely_sound(revision, split, declared.get(split, DeclaredConstraints())):
            continue
        from geographer.planning.split_constraints.leaks import find_split_leaks

        leak = find_split_leaks(revision, split)
        if leak.groups:
            yield leak


def require_leak_free(revision: Revision, names: Collection[str] | None = None) -> None:
    """Raise `ConflictError` if a split of a revision, or one of `names`, leaks.

    It names two rasters, what connects them and the remedy.
    """
    for leak in iter_split_leaks(revision, names):
        from geographer.planning.split_constraints.leaks import describe_leak

        raise ConflictError(describe_leak(leak, has_recipe=leak.split in list_declared_constraints(revision)))
