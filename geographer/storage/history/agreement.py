"""Agreement: compare lock file, history folder and log; take over what others published, and say where they disagree.

The lock file and the history folder change without geographer when Git or DVC brings other versions of them. Nothing is
written while they disagree with the log: each disagreement names the command that goes on.
"""

from __future__ import annotations

import logging
import secrets
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Final, NamedTuple

from geographer.base.atomic_files import translate_os_errors
from geographer.base.errors import ConflictError, CorruptError, NotFoundError, UnsupportedVersionError
from geographer.base.text import format_count
from geographer.storage.database.connection import Database
from geographer.storage.database.dataset_folder import GEOGRAPHER_FOLDER, LOCK_FILE
from geographer.storage.events import EMPTY_LOG_HEAD, Head
from geographer.storage.history.folder import HistoryFolder
from geographer.storage.history.lock_file import Lock, read_lock
from geographer.storage.log.ancestry import read_ancestry
from geographer.storage.log.branches import create_chain, find_chain_of, read_chain_head
from geographer.storage.log.chain import CHAIN_EVENT
from geographer.storage.log.read import read_head

logger = logging.getLogger(__name__)

REBUILD_LOG: Final = (
    "To go on with the events of history/, move .geographer/log.duckdb to another folder: the next command rebuilds it "
    "from them."
)


class LockRelation(StrEnum):
    """How the lock file relates to the log."""

    NONE = "there is no lock file"
    SAME = "the lock file is at the log's head"
    CATCH_UP = "the last command was interrupted before it wrote the lock file"
    BEHIND = "the lock file is at an earlier revision of the log"
    UNKNOWN = "the lock file is at an event that neither the log nor the history folder has"
    DIVERGED = "the log and the lock file have different events after a common one"
    UNREADABLE = "the lock file cannot be used"


class Agreement(NamedTuple):
    """How the lock file relates to the log.

    Attributes:
        relation: The relation.
        position: The position of the lock file's head in the log, if the log has it.
        problem: What is wrong, and which command goes on; None if changes may be made.
    """

    relation: LockRelation
    position: int | None = None
    problem: str | None = None


def restore_log(root: Path) -> None:
    """Rebuild a missing log from the history folder, up to the lock file's head.

    Raises:
        NotFoundError: the history folder lacks events: dvc pull gets them.
        CorruptError, ConflictError: the lock file, a segment or the chain is not as it should be.
    """
    folder = root / GEOGRAPHER_FOLDER
    if (folder / "log.duckdb").exists() or (lock := read_lock(root)) is None:
        return
    paths = HistoryFolder(root).list_segment_paths()
    if not paths:
        raise NotFoundError(
            f"'{root}' is a clone of a dataset whose history is not here yet: {LOCK_FILE} is at {lock.head[:12]}. Run "
            "geographer pull, or dvc pull."
        )
    with translate_os_errors(folder):
        folder.mkdir(exist_ok=True)
    with HistoryFolder(root).hold_lock():
        # Another process may have built it meanwhile.
        if not (folder / "log.duckdb").exists():
            create_log_of_segments(folder, paths, lock)
            HistoryFolder(root).adopt_files(lock.head)


def create_log_of_segments(folder: Path, paths: list[Path], lock: Lock, *, position: int | None = None) -> None:
    """Write the events of segments up to the head of `lock` into a new log in `folder`; no log if a check fails.

    `position` is where the head is said to be, if that is known.
    """
    from geographer.storage.history.ingest import ingest_segments
    from geographer.storage.log.append import create_log

    folder.mkdir(parents=True, exist_ok=True)
    database = Database(folder)
    database.change_branch(lock.branch)
    target = database.file_path("log")
    temporary = database.use_file("log", target.with_name(f"log.duckdb.{secrets.token_hex(4)}"))
    try:
        create_log(database)
        ingest_segments(database, paths, lock.head, lock.dataset, lock.branch, position=position)
        temporary.replace(target)
    finally:
        for path in (temporary, temporary.with_name(f"{temporary.name}.wal")):
            path.unlink(missing_ok=True)


def follow_lock_branch(root: Path, database: Database, workspace_branch: str) -> None:
    """Use the branch of the lock file, which Git may have changed; without a lock file, that of the workspace.

    A branch that the log lacks is created: from an event of the log, or from the history folder. Where that fails, the
    branch in use stays, and `compare_lock` says what is wrong.
    """
    branch, lock = workspace_branch, None
    with suppress(ConflictError, CorruptError):
        lock = read_lock(root)
        branch = lock.branch if lock else workspace_branch
    if branch == database.branch:
        return
    with database.open_connection(log="r") as connection:
        has_branch = read_chain_head(connection, branch) != EMPTY_LOG_HEAD
    if has_branch or (lock is not None and database.is_writable and _create_lock_branch(root, database, lock)):
        database.change_branch(branch)


def _create_lock_branch(root: Path, database: Database, lock: Lock) -> bool:
    """Create the branch of the lock file, which the log lacks; return whether that was possible."""
    from geographer.storage.history.ingest import ingest_segments

    with database.open_connection(log="r") as connection:
        known = find_chain_of(connection, lock.head)
        is_of_dataset = find_chain_of(connection, lock.dataset) is not None
    try:
        if not is_of_dataset:
            return False
        if known is None:
            paths = HistoryFolder(root).list_segment_paths()
            ingest_segments(database, paths, lock.head, lock.dataset, lock.branch)
        else:
            with database.open_connection(log="w") as connection:
                create_chain(connection, lock.branch, known)
    except (NotFoundError, ConflictError, CorruptError) as error:
        logger.warning("the branch '%s' of %s cannot be used: %s", lock.branch, LOCK_FILE, error)
        return False
    return True


def compare_lock(root: Path, database: Database, *, can_write: bool = True) -> Agreement:
    """Compare the lock file with the log; first let the log follow the history folder, if that continues it."""
    folder = HistoryFolder(root)
    memory = folder.read_memory()
    is_unchanged = folder.is_unchanged(memory)
    with database.open_connection(log="r") as connection:
        head = read_head(connection)
        if is_unchanged and (memory.head, memory.branch) == (head.digest, database.branch):
            return Agreement(LockRelation.SAME, head.position)
        try:
            lock = read_lock(root)
        except (ConflictError, CorruptError) as error:
            return Agreement(LockRelation.UNREADABLE, problem=str(error))
        if lock is None:
            return Agreement(LockRelation.NONE)
        query = f"SELECT digest, position FROM {CHAIN_EVENT} WHERE position = 1 OR digest = $1"  # noqa: S608
        rows = dict(connection.execute(query, [lock.head]).fetchall())
    if lock.branch != database.branch:
        problem = (
            f"{LOCK_FILE} is of the branch '{lock.branch}', which this log lacks; the branch in use is "
            f"'{database.branch}'. Run geographer fetch or dvc pull, or put {LOCK_FILE} back with Git."
        )
        return Agreement(LockRelation.UNKNOWN, problem=problem)
    if lock.dataset not in rows:
        problem = (
            f"{LOCK_FILE} belongs to another dataset ({lock.dataset[:12]}) than .geographer/log.duckdb. Put the right "
            f"one of both back, e.g. with git checkout {LOCK_FILE}."
        )
        return Agreement(LockRelation.UNREADABLE, problem=problem)
    if position := rows.get(lock.head):
        return _describe_known_lock(head, position, is_ours=is_unchanged or memory.head == lock.head)
    if memory.head == lock.head and _has_merged(database, lock.head, head):
        return Agreement(LockRelation.CATCH_UP)
    if not can_write:
        return _describe_unknown_lock(lock, head)
    return _follow_history(folder, database, head, lock, is_ours=memory.head == lock.head)


def _has_merged(database: Database, digest: str, head: Head) -> bool:
    """Return whether an event leads to the head: a merge that follows a published head has it as its second parent."""
    with database.open_connection(log="r") as connection:
        ancestry = read_ancestry(connection)
    return {digest, head.digest} <= ancestry.nodes.keys() and ancestry.is_ancestor(digest, head.digest)


def _describe_known_lock(head: Head, position: int, *, is_ours: bool) -> Agreement:
    if position == head.position:
        return Agreement(LockRelation.SAME, position)
    if is_ours:
        return Agreement(LockRelation.CATCH_UP, position)
    problem = (
        f"{LOCK_FILE} is at @{position}, as in an earlier commit of Git, and the log's head is @{head.position}. Run "
        f"geographer checkout to show @{position}. To go on from the head, check out the newest commit with Git; if "
        "Git does not have it yet, run geographer checkout HEAD, which writes the lock file again."
    )
    return Agreement(LockRelation.BEHIND, position, problem)


def _follow_history(folder: HistoryFolder, database: Database, head: Head, lock: Lock, *, is_ours: bool) -> Agreement:
    """Take in the events up to the lock file's head; `is_ours` if the log had that head after the last command."""
    from geographer.storage.history.ingest import ingest_segments

    try:
        result = ingest_segments(database, folder.list_segment_paths(), lock.head, lock.dataset, database.branch)
    except NotFoundError:
        return _describe_unknown_lock(lock, head)
    except UnsupportedVersionError:
        raise
    except ConflictError:
        problem = _describe_altered_log(lock, head) if is_ours else _describe_other_history(lock, head)
        return Agreement(LockRelation.DIVERGED, problem=problem)
    except CorruptError as error:
        return Agreement(LockRelation.UNREADABLE, problem=str(error))
    folder.adopt_files(lock.head)
    if is_ours:
        count = format_count(result.position - head.position, "event")
        logger.warning("the log had lost its last %s, and has taken them in again from history/", count)
    return Agreement(LockRelation.SAME, result.position)


def _describe_altered_log(lock: Lock, head: Head) -> str:
    return (
        f"the log was at {lock.head[:12]} when the last command ended, as {LOCK_FILE} and history/ still are, and is "
        f"now at @{head.position} {head.digest[:12]}: .geographer/log.duckdb was altered or replaced. See geographer "
        f"verify. {REBUILD_LOG}"
    )


def _describe_other_history(lock: Lock, head: Head) -> str:
    return (
        f"{LOCK_FILE} is at {lock.head[:12]}, recorded on another machine, and this log has other events up to "
        f"@{head.position} {head.digest[:12]}. Both are kept. To go on, put your {LOCK_FILE} and .dvc files back with "
        "Git (git checkout --ours, or git checkout of your commit), run geographer checkout HEAD, then geographer "
        f"fetch and geographer merge origin/{lock.branch} (the branch of the remote)."
    )


def _describe_unknown_lock(lock: Lock, head: Head) -> Agreement:
    problem = (
        f"{LOCK_FILE} is at {lock.head[:12]}, recorded on another machine, and this log ends at @{head.position} "
        f"{head.digest[:12]}. The events between are not here: run geographer pull, or dvc pull."
    )
    return Agreement(LockRelation.UNKNOWN, problem=problem)
