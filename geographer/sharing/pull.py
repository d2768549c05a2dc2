"""Pull: fetch what others published, let the branch follow it, and show it in the workspace."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Final

from geographer.base.errors import ConflictError
from geographer.base.text import format_count
from geographer.sharing.branches import switch_branch
from geographer.sharing.fetch import FetchResult, fetch_branch, fetch_branches, retain_tags
from geographer.sharing.remote_history import adopt_segments
from geographer.storage.dvc.remote import Remote
from geographer.storage.events import Head
from geographer.storage.history.agreement import LockRelation
from geographer.storage.history.published import read_known_remotes
from geographer.storage.log.branches import Location
from geographer.storage.unit_of_work import UnitOfWork
from geographer.storage.workspace.required_objects import RevisionSelection

_ONE_THREAD_ROWS: Final = 1_000
_LARGE_TABLES: Final = ("feature_change", "raster_change", "label_object_change")


def pull_branch(
    work: UnitOfWork, remote: Remote, selection: RevisionSelection = "tags", branch: str | None = None
) -> FetchResult:
    """Fetch, let the branch in use follow the remote's branch of its name, and check the new head out.

    The events of the remote's other branches are fetched, too. With `branch`, only that branch is fetched, and used
    from then on, as `switch` does.

    Raises:
        ConflictError: both have events that the other one lacks, or the workspace shows an older revision on request.
        Other errors are those of `fetch_branch`. What was fetched stays.
    """
    agreement = work.compare_lock()
    if agreement.relation in (LockRelation.BEHIND, LockRelation.UNREADABLE):
        raise ConflictError(agreement.problem or agreement.relation)
    work.omit_lock_warning()
    head, result = work.read_head(), fetch_branches(work, remote, selection, branch)
    if branch is not None and branch != work.branch_name:
        switch_branch(work, branch)
        head, result = work.read_head(), fetch_branch(work, remote, selection, branch)
    return _follow_published(work, remote, result, head)


def describe_divergence(result: FetchResult) -> str:
    """Return what to do if both histories have events that the other one lacks."""
    mine, theirs = format_count(result.ahead, "event"), format_count(result.behind, "event")
    return (
        f"the histories have diverged: this log has {mine} that {result.branch} lacks, and {result.branch} has "
        f"{theirs} that this log lacks. Both are kept. Run geographer merge {result.branch}, then push."
    )


def _follow_published(work: UnitOfWork, remote: Remote, result: FetchResult, head: Head) -> FetchResult:
    """Let the branch in use, whose head `head` was compared, have the events of the fetched one, unless it has them."""
    marker = work.read_marker()
    if not result.behind:
        if work.compare_lock().problem is None and not marker.is_requested:
            work.prepare_head(None)
        return result
    if result.ahead:
        raise ConflictError(describe_divergence(result))
    if marker.is_requested:
        raise ConflictError(
            f"the workspace is at @{marker.position}, which was checked out. Run geographer checkout HEAD, then "
            "geographer pull again."
        )
    adopt_segments(work, remote, read_known_remotes(work.root)[result.branch].published)
    # Few rows are derived on one thread: more only cost CPU time.
    with work.database.use_one_thread() if _count_new_rows(work, result) <= _ONE_THREAD_ROWS else nullcontext():
        work.move_branch(Location(result.branch, result.position), head)
        retain_tags(work, work.prepare_head(None).position)
    return result._replace(updated=True)


def _count_new_rows(work: UnitOfWork, result: FetchResult) -> int:
    """Return the number of rasters and features that the last events of the fetched branch change."""
    chain = "SELECT event_key FROM log.chain WHERE branch = $branch AND position > $after"
    counts = " + ".join(f"(SELECT count(*) FROM log.{table} WHERE event_key IN ({chain}))" for table in _LARGE_TABLES)  # noqa: S608
    values = {"branch": result.branch, "after": result.position - result.behind}
    with work.database.open_connection(log="r") as connection:
        ((count,),) = connection.execute(f"SELECT {counts}", values).fetchall()
    return int(count)
