"""The folder of a release: its manifest, revision.json and tables, and how they are read without trust."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from geographer.base.errors import UsageError, quote_names
from geographer.base.text import format_count
from geographer.outputs.audit.report import FAILED_CHECK, SHOWN_EXAMPLES, AuditCheck, AuditFinding, Severity, Verdict
from geographer.outputs.manifest import MANIFEST, REVISION_FILE, Manifest, compute_sha256, read_manifest

if TYPE_CHECKING:
    import pyarrow as pa

MAX_JSON_BYTES: Final = 1 << 30
_DIGEST_NAMES: Final = ("digest", "content_digest", "merkle_root")


def is_release(folder: Path) -> bool:
    """Return whether a folder is a release, or one that `checkout --to` wrote."""
    is_exported = (folder / MANIFEST).is_file() or (folder / "history").is_dir()
    return is_exported and (folder / REVISION_FILE).is_file()


def require_unpacked(folder: Path) -> None:
    """Raise `UsageError` if a release lies there as a deposit has it: with archives for folders."""
    archives = sorted(path.name for path in folder.glob("*.zip"))
    if archives and not (folder / "tables").is_dir():
        raise UsageError(f"the release in '{folder}' is packed. Unpack its archives there: {quote_names(archives)}.")


@dataclass(frozen=True)
class ReleaseContents:
    """A release on disk.

    Attributes:
        folder: The folder.
        manifest: The SHA-256 of each file, as the manifest says; of the files themselves, if there is none.
        revision: The content of revision.json; empty if it is damaged.
    """

    folder: Path
    manifest: Manifest
    revision: Mapping[str, Any]

    @classmethod
    def read_folder(cls, folder: Path) -> ReleaseContents:
        """Read the manifest and revision.json of a folder; without a manifest, its files are hashed."""
        revision = read_json_file(folder / REVISION_FILE)
        manifest = read_manifest(folder) if (folder / MANIFEST).is_file() else _hash_files(folder)
        return cls(folder, manifest, revision if isinstance(revision, dict) else {})

    @property
    def tag(self) -> str | None:
        """A tag of the revision."""
        tags = self.revision.get("tags")
        return next((tag for tag in tags if isinstance(tag, str)), None) if isinstance(tags, list) else None

    @property
    def tagged_position(self) -> int | None:
        """The position of the revision."""
        position = self.revision.get("position")
        return position if isinstance(position, int) and position > 0 else None

    def find_digest(self, name: str) -> str | None:
        """Return a digest of revision.json: `digest`, `content_digest` or `merkle_root`."""
        value = self.revision.get(name)
        return value if name in _DIGEST_NAMES and isinstance(value, str) else None

    def has_path(self, path: str) -> bool:
        """Return whether the manifest lists a file."""
        return path in self.manifest.digests

    def read_table(self, name: str, columns: list[str] | None = None) -> pa.Table | None:
        """Read a table; None if it is missing, damaged, or lacks a column."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            return pq.ParquetFile(self.folder / "tables" / f"{name}.parquet").read(columns)
        except (OSError, pa.ArrowException, KeyError, ValueError):
            return None

    @cached_property
    def rasters(self) -> list[dict[str, Any]]:
        """The rows of the table of rasters, without footprints; none if it cannot be read."""
        table = self.read_table("rasters")
        if table is None or not {"raster_id", "path", "sha256"} <= set(table.column_names):
            return []
        kept = [name for name in table.column_names if name not in ("footprint", "geometry")]
        rows: list[dict[str, Any]] = table.select(kept).to_pylist()
        return rows


def _hash_files(folder: Path) -> Manifest:
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return Manifest({path: compute_sha256(file) for path, file in sorted(files.items())}, [])


def read_json_file(path: Path) -> Any:
    """Return the content of a JSON file; None if it is missing or damaged."""
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            return None
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None


def make_check(name: str, faults: list[str], holds: str, findings: list[AuditFinding]) -> AuditCheck:
    """Return a check that fails if there are faults, each of which becomes a finding."""
    if not faults:
        return AuditCheck(name, Verdict.HOLDS, holds)
    findings += [AuditFinding(FAILED_CHECK, Severity.FAULT, name, fault) for fault in faults]
    rest = "; --json has all" if len(faults) > SHOWN_EXAMPLES else ""
    text = f"{format_count(len(faults), 'difference')}{rest}"
    return AuditCheck(name, Verdict.FAILS, text, tuple(faults[:SHOWN_EXAMPLES]))
