"""The tables of a release against its files: each raster and label is there, with the bytes that the table records."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from geographer.base.text import format_count
from geographer.outputs.audit.release.contents import ReleaseContents, make_check
from geographer.outputs.audit.report import AuditCheck, AuditFinding, Verdict


def check_files(contents: ReleaseContents, findings: list[AuditFinding]) -> AuditCheck:
    """Compare the checksums in the table of rasters with the manifest's, and look for files that no table names."""
    name = "files of the tables"
    if not contents.rasters:
        return AuditCheck(name, Verdict.NOT_CHECKED, "tables/rasters.parquet is missing, damaged or has no rasters")
    faults = [*_compare_rasters(contents), *_compare_labels(contents)]
    stored = sum(1 for raster in contents.rasters if contents.has_path(str(raster["path"])))
    others = len(contents.rasters) - stored
    note = f"; {others:,} others have no file here (footprints, references, withdrawn)" if others else ""
    text = f"{format_count(stored, 'raster')} with the SHA-256 that the table records{note}"
    return make_check(name, faults, text, findings)


def _compare_rasters(contents: ReleaseContents) -> Iterator[str]:
    listed = set()
    for raster in contents.rasters:
        path = str(raster["path"])
        recorded = contents.manifest.digests.get(path)
        if raster["path"] is None or recorded is None:
            continue
        listed.add(path)
        if raster["sha256"] is not None and raster["sha256"] != recorded:
            yield f"{path}: the table records {raster['sha256']}, and MANIFEST {recorded}"
    for path in sorted(contents.manifest.digests):
        if PurePosixPath(path).parts[0] == "rasters" and path not in listed:
            yield f"{path}: no row of the table of rasters names it"


def _compare_labels(contents: ReleaseContents) -> Iterator[str]:
    table = contents.read_table("labels", ["path"])
    paths = set(table["path"].to_pylist()) if table is not None else set()
    for path in sorted(contents.manifest.digests):
        if PurePosixPath(path).parts[0] == "labels" and path not in paths:
            yield f"{path}: no row of the table of labels names it"
    for path in sorted(map(str, paths - contents.manifest.digests.keys() - {None})):
        yield f"{path}: the table of labels names it, and MANIFEST does not"
