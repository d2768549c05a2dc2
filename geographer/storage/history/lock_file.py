"""Lock file: the small text `geographer.lock`, which Git keeps: the dataset, and the head of its branch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from geographer.base.atomic_files import write_atomic
from geographer.base.errors import ConflictError, CorruptError, StorageError, UnsupportedVersionError, UsageError
from geographer.storage.database.dataset_folder import LOCK_FILE
from geographer.storage.events.payload import Digest, Name
from geographer.storage.log.branches import validate_branch_name

SEGMENT_SUFFIX: Final = ".parquet"
"""The suffix of the segments in the history folder."""
LOCK_FORMAT: Final = 1
"""The format of new lock files; this version reads it."""

TAKE_OURS: Final = (
    f"Take your side (git checkout --ours -- {LOCK_FILE} '*.dvc'; geographer checkout HEAD), then run geographer fetch "
    "and geographer merge origin/main (the branch of the remote), and commit."
)
"""What to do when Git has left the markers of a conflict in lock or `.dvc` files."""

_MARKER: Final = b"<<<<<<< "
_MAX_BYTES: Final = 1 << 16


class Lock(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a lock file says; `schemas/lock.v1.json` describes it.

    Attributes:
        format: The format of the lock file.
        dataset: The digest of the dataset's first event, which identifies the dataset.
        branch: The branch whose head this is.
        head: The digest of the branch's last event.
        content_digest: The content digest of the revision that this event made.
    """

    format: Annotated[int, Meta(ge=1)]
    dataset: Digest
    branch: Name
    head: Digest
    content_digest: Digest


def encode_lock(lock: Lock) -> bytes:
    """Return the text of a lock file: JSON with one field on each line."""
    return msgspec.json.format(msgspec.json.encode(lock), indent=2) + b"\n"


def parse_lock(content: bytes, name: str) -> Lock:
    """Parse the text of a lock file, or of a published head.

    Raises:
        ConflictError: it has a conflict of a Git merge.
        UnsupportedVersionError: a newer version of geographer wrote it.
        CorruptError: it is something else.
    """
    if _MARKER in content:
        raise ConflictError(
            f"'{name}' has a conflict of a Git merge: two histories meet. Both are kept. {TAKE_OURS} geographer "
            "git-setup lets Git do the first step."
        )
    try:
        file_format = msgspec.json.decode(content, type=_LockFormat).format
        if file_format > LOCK_FORMAT:
            raise UnsupportedVersionError(
                f"a newer version of geographer wrote '{name}' in format {file_format}. Upgrade geographer."
            )
        lock = msgspec.json.decode(content, type=Lock)
        validate_branch_name(lock.branch)
    except (msgspec.MsgspecError, UnicodeDecodeError, UsageError) as error:
        raise CorruptError(
            f"'{name}' is damaged: {error}. Get it back with git checkout {name}, or delete it: the next command that "
            "changes the dataset writes it again."
        ) from error
    return lock


def read_lock(root: Path) -> Lock | None:
    """Read the lock file of the dataset in `root`; None if it is missing. Errors are those of `parse_lock`."""
    path = root / LOCK_FILE
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageError(f"cannot read '{path}': {error.strerror}. Make it readable.") from error
    return parse_lock(content, LOCK_FILE)


def write_lock(root: Path, lock: Lock) -> None:
    """Write the lock file atomically; `StorageError` if the disk is full or cannot be written."""
    write_atomic(root / LOCK_FILE, encode_lock(lock))


class _LockFormat(msgspec.Struct, frozen=True):
    format: int
