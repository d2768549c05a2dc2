"""What identifies a raster: the checksums of its file."""

from __future__ import annotations

import hashlib
from pathlib import Path

from geographer.base.values import Checksums

_BLOCK = 1 << 20


def compute_checksums(path: Path) -> Checksums:
    """The size in bytes, MD5 and SHA-256 of the file at `path`, from one read in blocks of 1 MiB.

    Raises:
        OSError: the file can't be read.
    """
    md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
    block = memoryview(bytearray(_BLOCK))
    size = 0
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(block):
            md5.update(block[:count])
            sha256.update(block[:count])
            size += count
    return Checksums(size, md5.hexdigest(), sha256.hexdigest())
