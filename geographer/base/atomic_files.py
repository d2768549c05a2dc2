"""Files put in place whole or not at all: written beside their place, checked there, then renamed."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from geographer.base.errors import StorageError

if TYPE_CHECKING:
    from geographer.base.values import Checksums

FileDamage = Literal["missing", "altered"]
Protect = Callable[[Path], None]

DRAFTS = ".geographer-*"
"""What the files are called that a killed process leaves behind."""

_NO_SPACE = {errno.ENOSPC, errno.EDQUOT}


@contextmanager
def temporary_sibling(target: Path) -> Iterator[Path]:
    """A path in the folder of `target`, which is made, to write to and rename from; removed if it is left."""
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".geographer-{secrets.token_hex(8)}")
    try:
        yield draft
    finally:
        # Also after a rename: between two hard links of one file it does nothing, and the draft stays.
        draft.unlink(missing_ok=True)


@contextmanager
def translate_os_errors(path: Path) -> Iterator[None]:
    """Turns an `OSError` into a `StorageError` that names `path`, and a full disk by that name."""
    try:
        yield
    except OSError as problem:
        if problem.errno in _NO_SPACE:
            raise StorageError(f"the disk of '{path}' is full: free some space, then run this again") from problem
        raise StorageError(f"can't write '{path}': {problem.strerror or problem}") from problem


def write_atomic(target: Path, content: bytes, protect: Protect | None = None) -> None:
    """Makes `content` the file at `target`; a file that is that already is not touched.

    Raises:
        StorageError: the disk is full or can't be written.
    """
    with translate_os_errors(target):
        if target.is_file() and target.read_bytes() == content:
            return
        with temporary_sibling(target) as draft:
            draft.write_bytes(content)
            if protect:
                protect(draft)
            draft.replace(target)


def add_line(path: Path, line: str) -> None:
    """Appends `line` to a text file, unless it is there; makes the file if need be."""
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    if line not in text.splitlines():
        gap = "" if text.endswith("\n") or not text else "\n"
        write_atomic(path, f"{text}{gap}{line}\n".encode())


def check_file(path: Path, sums: Checksums, *, hashed: bool = True) -> FileDamage | None:
    """What is wrong with the file at `path`, by its size in bytes and, if `hashed`, its SHA-256; or None."""
    try:
        with path.open("rb", buffering=0) as file:
            if os.fstat(file.fileno()).st_size != sums.size:
                return "altered"
            if hashed and hashlib.file_digest(file, "sha256").hexdigest() != sums.sha256:
                return "altered"
    except FileNotFoundError:
        return "missing"
    return None
