"""Partial clones: what a new one takes, which objects of a chain that are, and what `status` says of it."""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import Any, NamedTuple

from geographer.base.html import render_object
from geographer.storage.log.branches import Location
from geographer.storage.unit_of_work import UnitOfWork
from geographer.storage.workspace.chain_objects import ChainObjects, select_positions
from geographer.storage.workspace.partial.selected_files import FileCounts, FileEvaluator, resolve_selection
from geographer.storage.workspace.partial.selection import (
    FileSelection,
    PartialClone,
    make_partial_clone,
    read_partial_clone,
    write_partial_clone,
)
from geographer.storage.workspace.required_objects import RevisionSelection

logger = logging.getLogger(__name__)


class PartialStatus(NamedTuple):
    """What a partial clone takes.

    Attributes:
        selections: The conditions, as the command line takes them.
        counts: The numbers and bytes of the files of the head: of those that are selected, and of all.
    """

    selections: str
    counts: FileCounts

    def __str__(self) -> str:
        return f"{self.selections}: {self.counts}"

    def _repr_html_(self) -> str:
        return render_object(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the status as JSON."""
        return {"selections": self.selections, **self.counts._asdict()}


def begin_partial_clone(work: UnitOfWork, selection: FileSelection | None) -> None:
    """Record what a new clone takes; None: all. `resolve_selection` says which errors a selection raises."""
    clone = None
    if selection is not None:
        with work.open_revision() as head:
            clone = make_partial_clone(resolve_selection(head, selection))
            with FileEvaluator(head.connection, clone) as evaluator:
                if not evaluator.count_files(head.position).selected_files:
                    logger.warning("the conditions choose no file of @%s: %s", head.position, clone.format_selections())
    write_partial_clone(work.root, clone)


def select_objects(
    work: UnitOfWork, clone: PartialClone, needed: ChainObjects, head: Location, revisions: RevisionSelection
) -> ChainObjects:
    """Return the data files of revisions that a partial clone takes, and all listings."""
    with work.database.open_connection(log="r") as connection:
        positions = select_positions(connection, head, revisions)
    selected = set[str]()
    for chain, chosen in positions.items():
        selected |= _list_selected_md5s(work, clone, chain, chosen)
    return needed._replace(files={md5: size for md5, size in needed.files.items() if md5 in selected})


def read_partial_status(work: UnitOfWork) -> PartialStatus | None:
    """Return what a partial clone takes, with the numbers of files at the head; None if it takes all."""
    clone = read_partial_clone(work.root)
    if clone is None:
        return None
    with work.open_tables(spatial=True) as (connection, head), FileEvaluator(connection, clone) as evaluator:
        return PartialStatus(clone.format_selections(), evaluator.count_files(head))


def _list_selected_md5s(work: UnitOfWork, clone: PartialClone, chain: str, positions: Collection[int]) -> set[str]:
    # Another chain needs a state of its own.
    last = Location(chain, max(positions))
    if work.find_shared_position(work.branch_name, chain) >= last.position:
        last = last._replace(branch=work.branch_name)
    with work.open_tables(last, spatial=True) as (connection, _), FileEvaluator(connection, clone) as evaluator:
        return set[str]().union(*(evaluator.list_selected_md5s(position) for position in positions))
