"""Branches: the methods of `Dataset` that create, use and delete them."""

from typing import TYPE_CHECKING

from geographer.base.html import DisplayedList
from geographer.dataset.filters import RevisionSpec
from geographer.dataset.reader import DatasetReader

if TYPE_CHECKING:
    from geographer.sharing.branches import Branch


class BranchingDataset(DatasetReader):
    """A dataset with branches: lines of events that begin at a common one."""

    def list_branches(self) -> "list[Branch]":
        """Return the branches by name, then those of remotes as they were last fetched."""
        from geographer.sharing.branches import list_branches

        return DisplayedList(list_branches(self._unit_of_work))

    def create_branch(self, name: str, revision: RevisionSpec = None) -> "Branch":
        """Create a branch that ends at a revision; the branch in use stays.

        Args:
            name: Its name: up to 100 letters, digits, `_`, `-` and `.`.
            revision: A revision of any branch. Default: the head.

        Raises:
            UsageError: the name could mean another revision.
            ConflictError: a branch or a tag has that name.
            NotFoundError: the revision does not exist.
        """
        from geographer.sharing.branches import create_branch

        return create_branch(self._unit_of_work, name, revision)

    def delete_branch(self, name: str) -> None:
        """Delete a branch; its events stay in the log, and can be read by their digests.

        Raises:
            NotFoundError: there is no such branch.
            ConflictError: the branch is in use.
        """
        from geographer.sharing.branches import delete_branch

        delete_branch(self._unit_of_work, name)

    def switch_branch(self, name: str) -> "Branch":
        """Use another branch: its head is the head, and the lock file and the workspace are at it.

        Git is left alone; `describe_git_branch` says whether its commit has the lock file of another branch.

        Raises:
            NotFoundError: there is no such branch.
            ConflictError: the workspace shows an older revision on request, or something has changed beside the log.
        """
        from geographer.sharing.branches import switch_branch

        return switch_branch(self._unit_of_work, name)

    def describe_git_branch(self) -> str | None:
        """Return a sentence if Git's commit has the lock file of another branch than the one in use; None if not."""
        from geographer.sharing.branches import describe_git_branch

        return describe_git_branch(self._unit_of_work)
