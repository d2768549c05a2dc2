"""Hash files: compare many with their recorded checksums, on several cores, or on machines that see the same disk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from geographer.base.atomic_files import FileDamage, check_file
from geographer.base.executors.executor import Workers
from geographer.base.progress import ProgressCallback
from geographer.base.values import Checksums
from geographer.storage.dvc.dataset_executor import make_local_executor

_BATCH: Final = 64
BYTES_OF_ONE: Final = 8 << 20
"""Hashing as many bytes costs as much as a small file, when it is decided whether processes are worth their start."""
_NamedFile = tuple[str, Checksums]


def find_damages(
    files: Sequence[tuple[Path, Checksums]], workers: Workers, root: Path, noun: str, progress: ProgressCallback
) -> Iterator[FileDamage | None]:
    """Hash (SHA-256) files, and yield the damage of each, or None, in their order.

    Args:
        files: Paths with recorded checksums.
        workers: Who hashes; workers of a cluster only if they see the disk, since a file is not worth its transfer.
        root: The dataset's folder.
        noun: What `progress` says of the files, such as `files checked`.
        progress: Called with the noun, the number of files done, and their total.

    Raises:
        StorageError: a file cannot be read.
    """
    size = sum(checksums.size for _, checksums in files)
    executor = make_local_executor(workers, root, count=max(len(files), size // BYTES_OF_ONE))
    length = max(1, min(_BATCH, -(-len(files) // executor.slots)))
    named = [(str(path), checksums) for path, checksums in files]
    batches = [named[start : start + length] for start in range(0, len(named), length)]
    for number, damage in enumerate(executor.run(_check_batch, batches), 1):
        yield damage
        progress(noun, number, len(files))


def _check_batch(files: Sequence[_NamedFile]) -> Iterator[FileDamage | None]:
    return (check_file(Path(path), checksums) for path, checksums in files)
