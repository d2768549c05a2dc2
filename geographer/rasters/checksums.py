"""Checksums of a file: its size, MD5 and SHA-256."""

import hashlib
from pathlib import Path

from geographer.base.values import Checksums


def compute_checksums(path: Path) -> Checksums:
    """Compute the size in bytes, MD5 and SHA-256 of the file at `path`, in one pass over blocks of 1 MiB."""
    md5, sha256, size = hashlib.md5(usedforsecurity=False), hashlib.sha256(), 0
    with path.open("rb", buffering=0) as file:
        while block := file.read(1 << 20):
            md5.update(block)
            sha256.update(block)
            size += len(block)
    return Checksums(size, md5.hexdigest(), sha256.hexdigest())


def compute_content_checksums(content: bytes) -> Checksums:
    """Compute the checksums of a file's `content` in memory."""
    md5, sha256 = hashlib.md5(content, usedforsecurity=False), hashlib.sha256(content)
    return Checksums(len(content), md5.hexdigest(), sha256.hexdigest())
