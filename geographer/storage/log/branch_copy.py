"""Branch copy: the log with a fetched branch in place of the dataset's own, so that its revisions can be read."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from geographer.storage.database.connection import Database
from geographer.storage.log.chain import BRANCH

_DIVERGED: Final = (
    "SELECT branch FROM log.chain AS other WHERE branch <> $own "
    "AND event_key NOT IN (SELECT event_key FROM log.chain WHERE branch = $own) GROUP BY branch ORDER BY branch"
)


def find_diverged_branch(database: Database, revision: str | int | None) -> tuple[str, str] | None:
    """Return the fetched branch that a revision such as `origin/main~2` is on, and its name there, such as `HEAD~2`.

    None if the revision does not name a branch, or one that has no event which this dataset's own branch lacks.
    """
    if not isinstance(revision, str):
        return None
    name, separator, steps = revision.partition("~")
    with database.open_connection(log="r") as connection:
        branches = [branch for (branch,) in connection.execute(_DIVERGED, {"own": BRANCH}).fetchall()]
    return (name, f"HEAD{separator}{steps}") if name in branches else None


def copy_branch(database: Database, branch: str, folder: Path) -> Database:
    """Copy the log to a folder, with a branch as the dataset's own; the state there is derived when it is read."""
    folder.mkdir(parents=True, exist_ok=True)
    copy = Database(folder)
    with database.open_connection(log="r"):
        for suffix in ("", ".wal"):
            source = Path(f"{database.file_path('log')}{suffix}")
            if source.exists():
                shutil.copyfile(source, f"{copy.file_path('log')}{suffix}")
    with copy.open_connection(log="w") as connection:
        connection.execute("DELETE FROM log.chain WHERE branch = $own", {"own": BRANCH})
        names = {"own": BRANCH, "branch": branch}
        connection.execute("UPDATE log.chain SET branch = $own WHERE branch = $branch", names)
    return copy
