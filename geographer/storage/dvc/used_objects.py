"""Used objects: what the `.dvc` files and `dvc.lock` of the workspace, and of all Git commits, need of the cache."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from geographer.base.errors import ConflictError
from geographer.storage.dvc.dvc_check import read_listing
from geographer.storage.dvc.repository import open_repository
from geographer.storage.dvc.store import Store

if TYPE_CHECKING:
    from dvc.repo import Repo

_HASH_NAME = "md5"


class TrackedOutput(NamedTuple):
    """A file or folder that DVC tracks: its path in the repository, with `/`, and the address of its object.

    `commit` is the Git commit whose files say so; None: those of the workspace.
    """

    path: str
    address: str
    commit: str | None


def list_tracked_outputs(store: Store) -> set[TrackedOutput]:
    """Return what DVC tracks in the workspace and in all Git commits, those of experiments included.

    `ConflictError` if DVC cannot read the files of the workspace or of a commit: it is not known what they need.
    """
    from dvc.exceptions import DvcException
    from dvc.scm import SCMError

    outputs: set[TrackedOutput] = set()
    commit: str | None = None
    with open_repository(store.root) as repo:
        try:
            for commit in _iter_commits(repo):
                outputs |= set(_list_outputs(repo, commit))
        except (DvcException, SCMError) as error:
            place = f"of the Git commit {commit[:12]}" if commit else "of the workspace"
            raise ConflictError(
                f"DVC cannot read the .dvc files {place}, so what they need is not known: {error}. Nothing was deleted."
            ) from error
    return outputs


def expand_output(store: Store, address: str) -> set[str]:
    """Return the objects of a tracked file, or of a folder: its listing and, if this machine has that, its files."""
    if not address.endswith(".dir"):
        return {address}
    listing = read_listing(store.find_object(address), address) or {}
    return {address, *listing.values()}


def _iter_commits(repo: Repo) -> Iterator[str | None]:
    """Let `repo` show the workspace (None), then each Git commit."""
    from dvc.scm import NoSCM

    if isinstance(repo.scm, NoSCM):
        yield None
        return
    for name in repo.brancher(all_commits=True, all_experiments=True, sha_only=True):
        yield None if name in ("", "workspace") else name


def _list_outputs(repo: Repo, commit: str | None) -> Iterator[TrackedOutput]:
    for out in repo.index.outs:
        if out.use_cache and out.hash_info and out.hash_name == _HASH_NAME:
            path = repo.fs.relpath(out.fs_path, repo.root_dir).replace("\\", "/")
            yield TrackedOutput(path, str(out.hash_info.value), commit)
