"""Grow a partial clone: fetch the files that it is to take from now on and lacks, and show them."""

from __future__ import annotations

from typing import NamedTuple

from geographer.base.errors import UsageError
from geographer.sharing.fetch import FetchedObjects, fetch_objects
from geographer.storage.dvc.remote import Remote
from geographer.storage.unit_of_work import UnitOfWork
from geographer.storage.workspace.partial.selected_files import resolve_selection
from geographer.storage.workspace.partial.selection import (
    FileSelection,
    PartialClone,
    read_partial_clone,
    write_partial_clone,
)
from geographer.storage.workspace.required_objects import RevisionSelection


class Growth(NamedTuple):
    """What a partial clone is to take beside what it takes: one more selection, or all files."""

    selection: FileSelection | None = None
    all_files: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether nothing is added."""
        return not self.all_files and self.selection is None


def grow_clone(work: UnitOfWork, remote: Remote, growth: Growth, revisions: RevisionSelection) -> FetchedObjects:
    """Fetch what a partial clone lacks of what it is to take, then record that it takes it, and show it.

    Interrupted, it leaves the selection as it was, and keeps the files that came.

    Raises:
        UsageError: the clone takes all files already, or a selection is given with `all_files`.
        Other errors are those of `resolve_selection` and `fetch_objects`.
    """
    grown = _add_selection(work, growth)
    head = work.read_head().position
    fetched = fetch_objects(work, remote, work.branch_name, head, revisions, grown)
    write_partial_clone(work.root, grown)
    marker = work.read_marker()
    work.checkout_workspace(marker.position or head, is_requested=marker.is_requested)
    return fetched


def _add_selection(work: UnitOfWork, growth: Growth) -> PartialClone | None:
    """Return what the clone is to take; None: all files."""
    if growth.all_files and growth.selection is not None:
        raise UsageError("--all takes all files. Leave out the other conditions, or --all.")
    if growth.all_files or growth.selection is None:
        return None
    clone = read_partial_clone(work.root)
    if clone is None:
        raise UsageError(
            "this clone takes all files, so no condition can add any. Run geographer fetch without conditions."
        )
    with work.open_revision() as head:
        return clone.add_selection(resolve_selection(head, growth.selection))
