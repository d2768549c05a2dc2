"""The manifest of an exported folder: the SHA-256 of every file, as `sha256sum` writes it; and how to verify by it."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from geographer.storage.database.dataset_folder import GEOGRAPHER_FOLDER
from geographer.storage.log.check import Finding
from geographer.storage.workspace.expected_digest import require_digest
from geographer.storage.workspace.verify_report import Remedy, VerifyReport, VerifyResult

MANIFEST: Final = "MANIFEST"
"""The name of the manifest: one line for each other file."""
REVISION_FILE: Final = "revision.json"
"""The name of the file that says which revision a folder holds."""

_LINE: Final = re.compile(r"(\\?)([0-9a-f]{64}) [ *](.+)")
_ESCAPES: Final = {"\\": "\\\\", "\n": "\\n", "\r": "\\r"}
_ESCAPE_TABLE: Final = str.maketrans(_ESCAPES)
_DIGESTS: Final = {"digest": "event digest", "content_digest": "content digest", "merkle_root": "Merkle root"}
"""The digests in `REVISION_FILE`, and their names."""


class Manifest(NamedTuple):
    """The SHA-256 of each file by its path, and the lines that cannot be read or lead out of the folder."""

    digests: dict[str, str]
    invalid_lines: list[str]


def compute_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    with path.open("rb", buffering=0) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def encode_manifest(digests: Mapping[str, str]) -> bytes:
    """Return the lines of a manifest; `sha256sum -c` reads them. A name with a backslash or line break is escaped."""
    lines = []
    for path, digest in sorted(digests.items()):
        escaped = path.translate(_ESCAPE_TABLE)
        marker = "\\" if escaped != path else ""
        lines.append(f"{marker}{digest}  {escaped}\n")
    return "".join(lines).encode()


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest in a folder."""
    text = (folder / MANIFEST).read_bytes().decode(errors="surrogateescape")
    digests, invalid_lines = {}, []
    for line in text.split("\n")[: -1 if text.endswith("\n") else None]:
        match = _LINE.fullmatch(line)
        path = _unescape_path(match[3]) if match and match[1] else match[3] if match else ""
        if match and _is_inside(path) and path not in digests:
            digests[path] = match[2]
        else:
            invalid_lines.append(line)
    return Manifest(digests, invalid_lines)


def find_exported_folder(path: Path) -> Path | None:
    """Return `path` or the nearest folder above it that an export wrote; None if a dataset is at least as near."""
    full_path = path.resolve()
    for folder in (full_path, *full_path.parents):
        if (folder / GEOGRAPHER_FOLDER / "log.duckdb").is_file():
            return None
        if (folder / MANIFEST).is_file() and REVISION_FILE.encode() in (folder / MANIFEST).read_bytes():
            return folder
    return None


def verify_folder(folder: Path, *, expect: str | None = None) -> VerifyResult:
    """Hash every file of an exported folder and compare it with the manifest there; no dataset is needed.

    `expect` is a digest kept elsewhere, or its beginning: of the event, the content or the Merkle root of the revision,
    or the SHA-256 of the manifest.

    Raises:
        UsageError: `expect` is not a digest.
    """
    if expect is not None:
        require_digest(expect)
    folder = folder.resolve()
    manifest = read_manifest(folder)
    findings = [
        Finding(
            "invalid manifest", line, None, "the line is not valid, or its path leads out of the folder", Remedy.EXPORT
        )
        for line in manifest.invalid_lines
    ]
    findings += _check_files(folder, manifest.digests)
    revision = {} if findings else _read_revision(folder)
    known = {f"{noun} of @{revision.get('position')}": str(revision.get(name)) for name, noun in _DIGESTS.items()}
    known[f"SHA-256 of {MANIFEST}"] = manifest_digest = compute_sha256(folder / MANIFEST)
    matches = [
        f"the expected digest is the {noun}" for noun, digest in known.items() if digest.startswith(expect or "-")
    ]
    if expect and not matches:
        detail = f"neither {REVISION_FILE} has it, nor is it the SHA-256 of {MANIFEST}"
        findings.append(Finding("digest not found", expect, None, detail, Remedy.EXPORT))
    not_checked = [f"the digests in {REVISION_FILE}: to compute them needs the dataset"]
    if f"the expected digest is the SHA-256 of {MANIFEST}" not in matches:
        not_checked.append(
            f"{MANIFEST} itself: its SHA-256 is {manifest_digest}; pass the one that you kept as --expect"
        )
    report = VerifyReport(revision, {"files": len(manifest.digests)}, [], matches, not_checked)
    return VerifyResult(findings, report)


def _check_files(folder: Path, digests: Mapping[str, str]) -> Iterator[Finding]:
    for path, expected in digests.items():
        if damage := _find_damage(folder, path, expected):
            yield Finding(f"{damage.partition(' ')[0]} file", path, None, f"it is {damage}", Remedy.EXPORT)
    for path in _iter_files(folder):
        if path not in digests and path != MANIFEST:
            yield Finding("extra file", path, None, "the manifest does not list it", Remedy.EXPORT)


def _find_damage(folder: Path, path: str, expected: str) -> str | None:
    """Return how a file differs from the manifest. A symbolic link is not followed: it may lead elsewhere."""
    file = folder / path
    if any((folder / part).is_symlink() for part in (path, *map(str, Path(path).parents))):
        return "altered to a symbolic link, or behind one"
    try:
        if not file.is_file():
            return "missing"
        return None if compute_sha256(file) == expected else "altered"
    except FileNotFoundError:
        return "missing"


def _iter_files(folder: Path) -> Iterator[str]:
    """Yield the paths of all files and symbolic links in a folder, with `/`."""
    for parent, folders, names in os.walk(folder):
        folders.sort()
        links = [name for name in folders if Path(parent, name).is_symlink()]
        yield from (Path(parent, name).relative_to(folder).as_posix() for name in sorted([*names, *links]))


def _read_revision(folder: Path) -> dict[str, Any]:
    """Read what the folder says about its revision; nothing if the file is not as an export writes it."""
    try:
        content = json.loads((folder / REVISION_FILE).read_bytes())
    except (OSError, ValueError):
        return {}
    names = ("position", "tags", *_DIGESTS)
    return {name: content[name] for name in names if name in content} if isinstance(content, dict) else {}


def _is_inside(path: str) -> bool:
    """Return whether a path of a manifest is a relative one that stays in the folder, and can name a file."""
    return "\0" not in path and {"", ".", ".."}.isdisjoint(path.split("/"))


def _unescape_path(text: str) -> str:
    """Return the path that `sha256sum` wrote with escapes; the empty path if another character follows a backslash."""
    letters = {escaped[1]: letter for letter, escaped in _ESCAPES.items()}
    parts = re.findall(r"\\(.?)|([^\\]+)", text, re.DOTALL)
    if any(not plain and code not in letters for code, plain in parts):
        return ""
    return "".join(plain or letters[code] for code, plain in parts)
