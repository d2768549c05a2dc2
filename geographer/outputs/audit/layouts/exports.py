"""Folders that `export` wrote: their format, which of their files are samples, and whether their manifest agrees."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from geographer.base.text import format_count
from geographer.outputs.audit.checks.files import make_count_check
from geographer.outputs.audit.release.contents import read_json_file
from geographer.outputs.audit.report import AuditCheck, AuditFinding, Severity
from geographer.outputs.audit.samples import Layout
from geographer.outputs.manifest import MANIFEST, REVISION_FILE, read_manifest, verify_folder

_MISMATCH: Final = "checksum mismatch"
_UNLISTED: Final = frozenset({"file in no subset"})


def find_export_format(folder: Path) -> str | None:
    """Return the format of a folder that `export` wrote; None if it is none.

    Its `revision.json` says so. A folder with the tables of a release is a release, whatever that file says.
    """
    if not (folder / MANIFEST).is_file() or (folder / "tables" / "rasters.parquet").exists():
        return None
    revision = read_json_file(folder / REVISION_FILE)
    export = revision.get("export") if isinstance(revision, dict) else None
    name = export.get("format") if isinstance(export, dict) else None
    return name if isinstance(name, str) else None


def describe_export(layout: Layout, format: str) -> Layout:
    """Return the layout of an export, named after its format.

    The lists of an export name all of its samples: other images are labels.
    """
    if not layout.samples:
        note = f"audit cannot read images of the format {format}: export the samples as folder, and audit that"
        return Layout(f"an export as {format}", notes=[note])
    layout.name = f"an export as {format}: {layout.name}"
    if layout.has_split:
        layout.samples = [sample for sample in layout.samples if sample.subset is not None]
        layout.findings = [finding for finding in layout.findings if finding.kind not in _UNLISTED]
    return layout


def check_manifest(folder: Path, findings: list[AuditFinding]) -> AuditCheck:
    """Compare every file of an export with its manifest, and add a finding for each that differs."""
    faults = verify_folder(folder)
    findings += [
        AuditFinding(_MISMATCH, Severity.FAULT, fault.subject, f"{fault.kind}: {fault.detail}") for fault in faults
    ]
    checked = format_count(len(read_manifest(folder).digests), "file")
    holds = f"{checked} have the checksum in {MANIFEST}"
    return make_count_check("checksums", {_MISMATCH}, findings, holds, f"differences from the {checked} in {MANIFEST}")
