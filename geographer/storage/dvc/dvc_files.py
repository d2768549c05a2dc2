"""The `.dvc` file of a folder, as `dvc add` would write it, from checksums that are known already."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from geographer.base.atomic_files import write_atomic
from geographer.base.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dvc.repo import Repo

Entry = tuple[str, str, int]
"""A file of a tracked folder: its path relative to that folder, with `/`; its MD5; its size in bytes."""

PATIENCE_S = 60.0
"""How long another DVC command may hold the repository's lock before we give up, in seconds."""


@contextmanager
def locked(repo: Repo) -> Iterator[None]:
    """Waits for DVC's repository lock and holds it; DVC then reads settings and ignored files anew.

    Raises:
        StorageError: another command has held it for `PATIENCE_S`.
    """
    from dvc.lock import LockError
    from dvc.repo import lock_repo

    deadline = time.monotonic() + PATIENCE_S
    with ExitStack() as stack:
        while True:
            try:
                stack.enter_context(lock_repo(repo))  # tries every 0.5 s, for 3 s
                break
            except LockError as held:
                if time.monotonic() >= deadline:
                    raise StorageError(
                        f"another DVC command has held the lock of '{repo.root_dir}' for {PATIENCE_S:.0f} s: "
                        "let it end, then run this again"
                    ) from held
        yield


def write_dvc_file(repo: Repo, folder: Path, address: str, entries: Sequence[Entry]) -> None:
    """Writes the `.dvc` file beside `folder`, and the folder's line in the `.gitignore` there.

    Call it with the repository `locked`. What a person added to the `.dvc` file (`desc`, comments) stays.

    Args:
        repo: the DVC repository.
        folder: the tracked folder, absolute; it need not exist.
        address: what the cache keeps the `listing` of `entries` under, ending in `.dir`.
        entries: the folder's whole content, in any order.

    Raises:
        dvc.exceptions.DvcException: Git tracks the folder or ignores its `.dvc` file, or that is damaged.
        StorageError: the disk is full or can't be written.
    """
    from dvc.stage.serialize import to_single_stage_file
    from dvc.utils.serialize import dumps_yaml
    from dvc_data.hashfile.hash_info import HashInfo
    from dvc_data.hashfile.meta import Meta

    folder.parent.mkdir(parents=True, exist_ok=True)
    dvc_file = Path(f"{folder}.dvc")
    names = {"fname": str(dvc_file), "wdir": str(folder.parent), "outs": [folder.name]}
    stage = repo.stage.create(single_stage=True, validate=False, force=True, **names)
    (out,) = stage.outs
    out.hash_info = HashInfo("md5", address)
    out.meta = Meta(size=sum(size for _, _, size in entries), nfiles=len(entries), isdir=True)
    out.ignore()
    write_atomic(dvc_file, dumps_yaml(to_single_stage_file(stage)).encode())
    repo.scm_context.track_file(str(dvc_file))


def remove_dvc_file(repo: Repo, folder: Path) -> None:
    """Removes the `.dvc` file beside `folder` and its line in `.gitignore`; the folder's files stay."""
    Path(f"{folder}.dvc").unlink(missing_ok=True)
    repo.scm_context.ignore_remove(str(folder))


def listing(entries: Sequence[Entry]) -> bytes:
    """The bytes of a folder's listing, as `dvc_data.hashfile.tree.Tree` has them, without its objects."""
    quoted = json.JSONEncoder().encode
    rows = (f'{{"md5": "{md5}", "relpath": {quoted(path)}}}' for path, md5, _ in sorted(entries))
    return f"[{', '.join(rows)}]".encode()
