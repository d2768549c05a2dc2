"""The folder of a release: its manifest, revision.json and tables, and how they are read without trust."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from geographer.base.errors import UsageError, quote_names
from geographer.outputs.audit.report import AuditCheck, AuditFinding, Severity, Verdict
from geographer.outputs.manifest import MANIFEST, REVISION_FILE, Manifest, read_manifest

if TYPE_CHECKING:
    import pyarrow as pa

MAX_JSON_BYTES: Final = 1 << 30
_DIGEST_NAMES: Final = ("digest", "content_digest", "merkle_root")


def is_release(folder: Path) -> bool:
    """Return whether a folder is a release, or one that `checkout --to` wrote."""
    return (folder / MANIFEST).is_file() and (folder / REVISION_FILE).is_file()


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
        manifest: The SHA-256 of each file, as the manifest says.
        revision: The content of revision.json; empty if it is damaged.
    """

    folder: Path
    manifest: Manifest
    revision: Mapping[str, Any]

    @classmethod
    def read_folder(cls, folder: Path) -> ReleaseContents:
        """Read the manifest and revision.json of a folder."""
        revision = read_json_file(folder / REVISION_FILE)
        return cls(folder, read_manifest(folder), revision if isinstance(revision, dict) else {})

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
    findings += [AuditFinding("failed check", Severity.FAULT, name, fault) for fault in faults]
    return AuditCheck(name, Verdict.FAILS, f"{len(faults):,} differences", tuple(faults[:3]))
