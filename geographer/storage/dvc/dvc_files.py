"""Write the `.dvc` file of a folder as `dvc add` does, from known checksums, under DVC's repository lock."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from geographer.base.atomic_files import write_atomic
from geographer.base.polling import acquire_with_timeout

if TYPE_CHECKING:
    from dvc.repo import Repo

FolderEntry = tuple[str, str, int]
"""A file of a tracked folder: its path in that folder, with `/`; its MD5; its size in bytes."""

LOCK_TIMEOUT_S = 60.0
"""How long to wait for another DVC command to release the repository's lock, in seconds."""


@contextmanager
def hold_dvc_lock(repo: Repo) -> Iterator[None]:
    """Hold DVC's repository lock, or raise `StorageError`; DVC then reads settings and ignored files again."""
    from dvc.lock import LockError
    from dvc.repo import lock_repo

    with ExitStack() as stack:
        acquire_with_timeout(
            lambda: stack.enter_context(lock_repo(repo)),  # tries every 0.5 s, for 3 s
            lambda error: isinstance(error, LockError),
            LOCK_TIMEOUT_S,
            f"another DVC command has held the lock of '{repo.root_dir}' for {LOCK_TIMEOUT_S:.0f} s. "
            "Wait for it to end, then run the command again.",
        )
        yield


def write_dvc_file(repo: Repo, folder: Path, address: str, entries: Sequence[FolderEntry]) -> None:
    """Write the `.dvc` file next to `folder`, and the folder's line in `.gitignore`; the caller holds DVC's lock.

    Additions of a user to the `.dvc` file (`desc`, comments) are kept. The absolute `folder` need not exist. `address`
    is the name of its listing in the cache (see `encode_listing`), and `entries` is its whole content.

    Raises:
        dvc.exceptions.DvcException: Git tracks the folder or ignores its `.dvc` file, or that is damaged.
        StorageError: the disk is full or cannot be written.
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
    """Remove the `.dvc` file next to `folder` and its line in `.gitignore`; the folder's files stay."""
    Path(f"{folder}.dvc").unlink(missing_ok=True)
    repo.scm_context.ignore_remove(str(folder))


def encode_dvc_file(name: str, address: str, entries: Sequence[FolderEntry]) -> bytes:
    """Return the bytes of the `.dvc` file of a folder that only geographer writes to, as `dvc add` would write it."""
    size = sum(size for _, _, size in entries)
    lines = [f"- md5: {address}", f"  size: {size}", f"  nfiles: {len(entries)}", "  hash: md5", f"  path: {name}"]
    return "\n".join(["outs:", *lines, ""]).encode()


def compute_md5(path: Path) -> str:
    """Return the MD5 of a file, in hex: its name in the cache."""
    with path.open("rb", buffering=0) as file:
        return hashlib.file_digest(file, partial(hashlib.md5, usedforsecurity=False)).hexdigest()


def compute_address(listing: bytes) -> str:
    """Return the name of a folder's listing in the cache."""
    return f"{hashlib.md5(listing, usedforsecurity=False).hexdigest()}.dir"


def encode_listing(entries: Sequence[FolderEntry]) -> bytes:
    """Return the bytes of a folder's listing, as `dvc_data.hashfile.tree.Tree` writes them."""
    encode_text = json.JSONEncoder().encode
    rows = (f'{{"md5": "{md5}", "relpath": {encode_text(path)}}}' for path, md5, _ in sorted(entries))
    return f"[{', '.join(rows)}]".encode()
