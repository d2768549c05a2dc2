"""Check the splits of a revision for leaks; this module imports the algorithms only where a split has several parts."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Final

from geographer.base.errors import ConflictError
from geographer.planning.split_constraints.declared import list_declared_constraints

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
    for (split,) in revision.fetch_rows(_SPLITS):
        if names is not None and split not in names:
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
