"""Branches: list, create, delete and use the branches of a dataset, and compare the one in use with Git's commit."""

from __future__ import annotations

import subprocess
from typing import Any, NamedTuple

from geographer.base.errors import ConflictError, CorruptError, UsageError, quote_names
from geographer.base.html import render_object
from geographer.storage.branch_databases import BranchDatabases
from geographer.storage.database.connection import open_transaction
from geographer.storage.database.dataset_folder import LOCK_FILE
from geographer.storage.history.lock_file import parse_lock
from geographer.storage.log.branches import (
    create_chain,
    hide_chain,
    is_branch_name,
    read_chain_heads,
    validate_branch_name,
)
from geographer.storage.log.read import has_tag
from geographer.storage.unit_of_work import UnitOfWork

_WRITE_ERROR = "cannot write the log; the branches stay as they were: {}"


class Branch(NamedTuple):
    """A branch of the dataset, or a fetched one such as `origin/main`.

    Attributes:
        name: Its name.
        position: The position of its last event.
        digest: The digest of that event.
        in_use: Whether commands read it and append to it.
        fetched: Whether it is one of a remote, as it was when it was last fetched or pushed.
    """

    name: str
    position: int
    digest: str
    in_use: bool
    fetched: bool

    def _repr_html_(self) -> str:
        return render_object(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the branch as JSON."""
        return self._asdict()


def list_branches(work: UnitOfWork) -> list[Branch]:
    """Return the branches by name, then the fetched ones."""
    with work.database.open_connection(log="r") as connection:
        heads = read_chain_heads(connection)
    found = [
        Branch(name, *head, in_use=name == work.branch_name, fetched="/" in name)
        for name, head in heads.items()
        if "@" not in name
    ]
    return sorted(found, key=lambda branch: (branch.fetched, branch.name))


def create_branch(work: UnitOfWork, name: str, revision: str | int | None = None) -> Branch:
    """Create a branch that ends at a revision (None: the head of the branch in use), which may be of any branch.

    Raises:
        UsageError: the name could mean another revision.
        ConflictError: a branch or a tag has that name.
        NotFoundError: the revision does not exist.
    """
    validate_branch_name(name)
    work.prepare_head(None)
    with work.database.open_connection(log="r") as connection:
        if has_tag(connection, name):
            raise ConflictError(f"a tag has the name '{name}'. Choose another name.")
    location = work.locate_revision(revision)
    with work.database.open_connection(log="w") as connection, open_transaction(connection, _WRITE_ERROR):
        create_chain(connection, name, location)
    return next(branch for branch in list_branches(work) if branch.name == name)


def delete_branch(work: UnitOfWork, name: str) -> None:
    """Delete a branch; events that no other branch has stay in the log, and can be read by their digests.

    Raises:
        NotFoundError: there is no such branch.
        ConflictError: the branch is in use.
        UsageError: it is a fetched one.
    """
    if name == work.branch_name:
        raise ConflictError(f"the branch '{name}' is in use. Switch to another branch first: geographer switch NAME")
    if isinstance(name, str) and "/" in name and "@" not in name:
        raise UsageError(f"'{name}' is not a branch of this dataset, but of a remote. Only branches can be deleted.")
    work.prepare_head(None)
    with work.database.open_connection(log="w") as connection, open_transaction(connection, _WRITE_ERROR):
        hide_chain(connection, name)
    BranchDatabases(work.database).delete_states()


def switch_branch(work: UnitOfWork, name: str) -> Branch:
    """Use another branch: its head is the head, and the lock file and the workspace are at it. Git is left alone.

    A branch that only a remote has is created from there, as Git does.

    Raises:
        NotFoundError: there is no such branch.
        ConflictError: several remotes have such a branch; the workspace shows an older revision on request, or
            something has changed beside the log.
    """
    _create_from_fetched(work, name)
    work.switch_branch(name)
    return next(branch for branch in list_branches(work) if branch.in_use)


def _create_from_fetched(work: UnitOfWork, name: str) -> None:
    """Create a branch that the log has as `REMOTE/NAME` alone."""
    with work.database.open_connection(log="r") as connection:
        heads = read_chain_heads(connection)
    fetched = [chain for chain in heads if chain.endswith(f"/{name}") and "@" not in chain]
    if not isinstance(name, str) or name in heads or not fetched or not is_branch_name(name):
        return
    if len({heads[chain].digest for chain in fetched}) > 1:
        raise ConflictError(
            f"the remotes have different branches '{name}': {quote_names(fetched)}. Create yours from one of them: "
            f"geographer branch {name} {fetched[0]}"
        )
    create_branch(work, name, fetched[0])


def describe_git_branch(work: UnitOfWork) -> str | None:
    """Return a sentence if the lock file in Git's commit is of another branch than the one in use; None if not."""
    git = ["git", "-C", str(work.root)]
    try:
        shown = subprocess.run([*git, "show", f"HEAD:./{LOCK_FILE}"], capture_output=True, check=False)
        named = subprocess.run([*git, "branch", "--show-current"], capture_output=True, text=True, check=False)
        lock = parse_lock(shown.stdout, LOCK_FILE) if shown.returncode == 0 else None
    except (OSError, ConflictError, CorruptError, UnicodeDecodeError):
        return None
    if lock is None or lock.branch == work.branch_name:
        return None
    return (
        f"Git's branch '{named.stdout.strip() or 'HEAD'}' has {LOCK_FILE} of the branch '{lock.branch}', and the "
        f"branch in use is '{work.branch_name}'. Commit {LOCK_FILE} and the .dvc files on a branch of Git for "
        f"'{work.branch_name}', or go back with geographer switch {lock.branch}."
    )
