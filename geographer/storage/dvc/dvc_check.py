"""Check `.dvc` files: compare one with the files that a folder should have, and list the files that it names."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from geographer.base.errors import CorruptError
from geographer.storage.dvc.dvc_files import FolderEntry, compute_address, encode_listing

_ADDRESS: Final = re.compile(r"[0-9a-f]{32}(\.dir)?")
_PLAIN_DVC_FILE: Final = re.compile(
    r"outs:\n- md5: ([0-9a-f]{32}\.dir)\n  size: (0|[1-9][0-9]*)\n  nfiles: (0|[1-9][0-9]*)\n  hash: md5\n"
    r"  path: ([A-Za-z][A-Za-z0-9_-]*)\n"
)
"""The form in which DVC writes the `.dvc` file of a folder, which is read without importing DVC (half a second)."""
_NOUNS: Final = {"name": "path", "address": "MD5", "size": "size", "file_count": "number of files"}
"""What messages call the fields of a `.dvc` file's output."""


class DvcOutput(NamedTuple):
    """What a `.dvc` file tracks: a file or folder beside it, by the MD5 of the file or of the folder's listing."""

    name: str
    address: str
    size: object = None
    file_count: object = None


def iter_dvc_files(root: Path, folder: str) -> Iterator[str]:
    """Yield the paths of the `.dvc` files below `folder`, relative to `root`; symbolic links are not followed."""
    if (root / folder).is_symlink():
        return
    for parent, folders, names in os.walk(root / folder):
        folders.sort()
        yield from (Path(parent, name).relative_to(root).as_posix() for name in sorted(names) if name.endswith(".dvc"))


def read_dvc_file(path: Path) -> DvcOutput:
    """Read a `.dvc` file; `CorruptError` if it is not one, or tracks more than one file or folder."""
    try:
        plain = _PLAIN_DVC_FILE.fullmatch(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        plain = None
    if plain:
        address, size, file_count, name = plain.groups()
        return DvcOutput(name, address, int(size), int(file_count))
    from dvc.exceptions import DvcException
    from dvc.utils.serialize import load_yaml

    try:
        (output,) = load_yaml(str(path))["outs"]
        if not _ADDRESS.fullmatch(output["md5"]):
            raise ValueError("its MD5 is invalid")
        return DvcOutput(str(output["path"]), str(output["md5"]), output.get("size"), output.get("nfiles"))
    except (DvcException, OSError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise CorruptError(f"'{path}' is not a .dvc file of one folder: {error}") from error


def delete_damaged_dvc_file(path: Path) -> None:
    """Delete a file that is not a `.dvc` file of one folder: DVC refuses to write over it."""
    try:
        if path.is_file():
            read_dvc_file(path)
    except CorruptError:
        path.unlink()


def find_dvc_file_damage(path: Path, entries: Sequence[FolderEntry], cache_path: Callable[[str], Path]) -> str | None:
    """Return how the `.dvc` file at `path`, or its listing in the cache, differs from the `entries` of its folder."""
    listing = encode_listing(entries)
    address = compute_address(listing)
    expected = DvcOutput(path.name.removesuffix(".dvc"), address, sum(size for _, _, size in entries), len(entries))
    if not path.is_file():
        return "it is missing"
    try:
        output = read_dvc_file(path)
    except CorruptError:
        return "it cannot be read"
    if output != expected:
        names = [name for name, value in expected._asdict().items() if getattr(output, name) != value]
        return (
            f"its {' and '.join(_NOUNS[name] for name in names)} {'is' if len(names) == 1 else 'are'} not as recorded"
        )
    cached = cache_path(address)
    if not cached.is_file():
        return "the list of its files is missing in DVC's cache"
    return None if cached.read_bytes() == listing else "the list of its files is altered in DVC's cache"


def read_listing(path: Path, address: str) -> dict[str, str] | None:
    """Read the listing of a folder: path to MD5. None if it is missing, or not what its `address` names."""
    try:
        content = path.read_bytes()
        if not address.startswith(hashlib.md5(content, usedforsecurity=False).hexdigest()):
            return None
        return {str(row["relpath"]): str(row["md5"]) for row in json.loads(content)}
    except (OSError, ValueError, KeyError, TypeError):
        return None
