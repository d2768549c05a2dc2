"""Atomic files: write to a temporary file in the target's folder, then rename it."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from geographer.base.errors import StorageError
from geographer.base.values import Checksums

FileDamage = Literal["missing", "altered"]
Protect = Callable[[Path], None]

TEMPORARY_FILES = ".geographer-*"
"""The pattern of temporary files' names; a killed process may leave such files behind."""


@contextmanager
def temporary_sibling(target: Path, suffix: str = "") -> Iterator[Path]:
    """Yield a temporary path in the folder of `target`, which is created; remove the file if it was not renamed.

    `suffix` is that of its name, for libraries that look at it.
    """
    # Called for each file: a failing mkdir takes longer than looking.
    if not target.parent.is_dir():
        target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".geographer-{secrets.token_hex(8)}{suffix}")
    try:
        yield temporary
    finally:
        # Needed after a rename too: renaming one hard link of a file to another is a no-op that keeps both.
        temporary.unlink(missing_ok=True)


@contextmanager
def translate_os_errors(path: Path) -> Iterator[None]:
    """Raise an `OSError` of the block as a `StorageError` that names `path`; a full disk has a separate message."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageError(f"the disk of '{path}' is full. Free some space and run the command again.") from error
        raise StorageError(f"cannot write '{path}': {error.strerror or error}") from error


def write_atomic(target: Path, content: bytes, protect: Protect | None = None) -> None:
    """Write `content` to `target` atomically, or raise `StorageError`; a file with equal content is not touched.

    A device or a pipe, such as /dev/null, is written to: a file must not replace it.
    """
    with translate_os_errors(target):
        if target.exists() and not target.is_file():
            with target.open("wb") as file:
                file.write(content)
            return
        if target.is_file() and target.read_bytes() == content:
            return
        with temporary_sibling(target) as temporary:
            temporary.write_bytes(content)
            if protect:
                protect(temporary)
            temporary.replace(target)


def write_new_file(target: Path, content: bytes) -> None:
    """Write `content` to a path in a staging folder, where a partial file has no reader; `StorageError` if that fails.

    After an error, no file is left. A file that is there already is replaced atomically.
    """
    with translate_os_errors(target):
        try:
            file = open(target, "xb", buffering=0)  # noqa: PTH123, SIM115
        except FileNotFoundError as error:
            raise StorageError(f"cannot write '{target}': its folder does not exist.") from error
        except FileExistsError:
            write_atomic(target, content)
            return
        try:
            with file:
                rest = memoryview(content)
                while rest:
                    rest = rest[file.write(rest) :]
        except BaseException:
            target.unlink(missing_ok=True)
            raise


def add_line(path: Path, line: str) -> None:
    """Append `line` to a text file unless it has that line; create the file if missing."""
    text = path.read_bytes().decode(errors="surrogateescape") if path.is_file() else ""
    if line not in text.splitlines():
        gap = "" if text.endswith("\n") or not text else "\n"
        write_atomic(path, f"{text}{gap}{line}\n".encode(errors="surrogateescape"))


def check_file(path: Path, checksums: Checksums, *, check_digest: bool = True) -> FileDamage | None:
    """Compare a file with its recorded size and, if `check_digest`, its SHA-256; return the damage or None.

    `StorageError` if it is there and cannot be read.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            # Opening a named pipe would wait for ever, and a device has no end.
            return "missing"
        with path.open("rb", buffering=0) as file:
            is_intact = os.fstat(file.fileno()).st_size == checksums.size
            if is_intact and check_digest:
                is_intact = hashlib.file_digest(file, "sha256").hexdigest() == checksums.sha256
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return "missing"
    except OSError as error:
        if error.errno == errno.ELOOP:
            return "missing"
        raise StorageError(f"cannot read '{path}': {error.strerror}. Make it readable, or replace the disk.") from error
    return None if is_intact else "altered"
