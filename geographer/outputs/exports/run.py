"""Run one export: select the samples, let the format write its files, then the tables, the README and the manifest."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, NamedTuple

from geographer.base.errors import UsageError
from geographer.base.executors.executor import Workers
from geographer.base.html import render_object
from geographer.outputs.exports.card import write_card
from geographer.outputs.exports.export import Export
from geographer.outputs.exports.exporter import Exporter
from geographer.outputs.exports.folder import ExportFolder
from geographer.outputs.manifest import REVISION_FILE
from geographer.outputs.revision_folder import describe_revision
from geographer.outputs.samples.selection import SampleSelection, stage_samples
from geographer.outputs.table_text import format_rows
from geographer.storage.queries.revision import Revision
from geographer.storage.unit_of_work import UnitOfWork

_VERSION: Final = 1
"""The version of the layout of exports."""
_SPLITS: Final = """
    SELECT raster_id, stem AS name, part, collection, parent_id, feature_id, class, crs, transform, width, height,
           if(storage = 'virtual', NULL, sha256) AS sha256
    FROM export_sample ORDER BY number
"""
"""A virtual chip has no recorded file: its digest is that of the window, not of the image beside the table."""
_CLASSES: Final = "SELECT class, value FROM classes ORDER BY value, class"


class ExportResult(NamedTuple):
    """What was exported.

    Attributes:
        format: The format.
        position: The position of the revision.
        digest: The digest of its event.
        selection: Split, subsets, collection and labels, with the defaults that were chosen.
        options: The parameters of the format.
        samples: The number of samples.
        files: The number of files, without the manifest.
        written: The number of files that were not there yet.
        manifest: The SHA-256 of the manifest, which covers every file.
    """

    format: str
    position: int
    digest: str
    selection: dict[str, Any]
    options: dict[str, Any]
    samples: int
    files: int
    written: int
    manifest: str

    def _repr_html_(self) -> str:
        return render_object(self)


def run_export(
    work: UnitOfWork,
    revision: Revision,
    exporter: Exporter,
    selection: SampleSelection,
    folder: Path,
    workers: Workers = 1,
) -> ExportResult:
    """Write the samples of a revision to a folder in one format; equal samples give equal bytes with any workers.

    Raises:
        NotFoundError: there is no such split, part, collection or label.
        UsageError: the selection is not unique, the format cannot hold it, or a package that it needs is missing.
        ConflictError: the folder has other content.
        CorruptError: a file has other bytes than those recorded.
    """
    _require_packages(exporter)
    if selection.labels is None and not exporter.takes_all_labels:
        selection = selection._replace(labels=())
    chosen = stage_samples(revision, selection)
    if not revision.fetch_rows("FROM sample LIMIT 1"):
        raise UsageError("no sample is selected. Choose another split, subset or collection.")
    facts = describe_revision(revision)
    exported: dict[str, Any] = {
        "format": exporter.format,
        "version": _VERSION,
        "selection": _describe_selection(chosen),
    }
    exported["options"] = exporter.list_recorded_parameters()
    identity = {"digest": facts["digest"], "software": facts["software"]} | exported
    with ExportFolder(work.root, folder, identity) as target:
        export = Export(work, revision, chosen, target, workers)
        exporter.write_files(export)
        export.pictures.write_pictures()
        _write_common_files(export, exporter, facts | {"export": exported})
        manifest = target.finish_export()
    counts = (export.count, len(target.digests), target.written, manifest)
    return ExportResult(
        exporter.format, facts["position"], facts["digest"], exported["selection"], exported["options"], *counts
    )


def _require_packages(exporter: Exporter) -> None:
    packages = exporter.list_packages()
    if missing := [name for name in packages if find_spec(name) is None]:
        extra = packages[missing[0]]
        raise UsageError(
            f"the format {exporter.format} needs the package {missing[0]}. Run: pip install "
            f"'geographer-datasets[{extra}]'"
        )


def _describe_selection(selection: SampleSelection) -> dict[str, Any]:
    subsets = None if selection.subsets is None else sorted(selection.subsets)
    return {**selection._asdict(), "subsets": subsets, "labels": list(selection.labels or ())}


def _write_common_files(export: Export, exporter: Exporter, facts: Mapping[str, Any]) -> None:
    folder = export.folder
    if exporter.has_tables:
        for name, query in (("splits.csv", _SPLITS), ("classes.csv", _CLASSES)):
            lines = format_rows(export.revision.fetch_arrow(query), "csv")
            folder.write_bytes(name, "".join(f"{line}\n" for line in lines).encode())
    folder.write_bytes(REVISION_FILE, json.dumps(facts, indent=2, ensure_ascii=False).encode() + b"\n")
    folder.write_bytes("README.md", write_card(export, exporter, facts).encode())
