"""Export a revision to a folder: its files, byte for byte, its tables as Parquet, and a manifest to verify them by."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from geographer import __version__
from geographer.base.atomic_files import check_file, temporary_sibling, translate_os_errors, write_atomic
from geographer.base.errors import ConflictError, quote_names
from geographer.outputs.manifest import (
    MANIFEST,
    REVISION_FILE,
    Manifest,
    compute_sha256,
    encode_manifest,
    read_manifest,
)
from geographer.outputs.samples.sample_facts import SAMPLE_FACTS, read_sample_facts
from geographer.outputs.samples.training_rows import list_training_labels
from geographer.outputs.table_text import write_parquet
from geographer.storage.dvc.store import Store
from geographer.storage.queries.logged_content import LoggedContent
from geographer.storage.queries.revision import Revision
from geographer.storage.queries.selection import TableFilter
from geographer.storage.workspace.checkout import CheckoutResult, FileSource, list_files, restore_files, split_files
from geographer.storage.workspace.paths import (
    SafeFolder,
    find_path_fault,
    prepare_export_folder,
    require_distinct_paths,
)
from geographer.storage.workspace.withdrawn_files import list_withdrawn_files

EXPORTED_TABLES: Final = ("features", "rasters", "edges", "chips", "labels", "objects", "splits", "classes")
"""The tables that an exported folder has as Parquet files."""
_TAGS: Final = "SELECT DISTINCT tag FROM state.tag WHERE digest = $digest ORDER BY tag"


def export_folder(revision: Revision, store: Store, folder: Path, source: FileSource | None = None) -> CheckoutResult:
    """Write the files and tables of `revision` to a folder, with a manifest; correct files of an earlier one are kept.

    The manifest, `MANIFEST`, has the SHA-256 of every file in the form of `sha256sum`. `revision.json` says which
    revision it is. Withdrawn files are left out. If an export is interrupted, the manifest lists all files that may
    exist.

    The bytes come from `source`, or else from `store`.

    Raises:
        ConflictError: the folder has other content.
        CorruptError: a file cannot be restored.
        NotFoundError: a partial clone lacks a file on purpose, and there is no `source`.
    """
    withdrawn = list_withdrawn_files(revision.connection)
    restorable, left_out = split_files(list_files(revision, revision.position), withdrawn)
    if source is None:
        # Not of files that are there: the scratch folder of an audit has links to all, and no DVC repository.
        store.require_fetchable(file.checksums.md5 for file in restorable if not (folder / file.path).exists())
    target = prepare_export_folder(store.root, folder)
    require_distinct_paths(revision, target)
    exported = _read_earlier_manifest(target, folder)
    files = {file.path: file for file in restorable}
    manifest = {path: file.checksums.sha256 for path, file in files.items()}
    to_write = [file for path, file in files.items() if check_file(target / path, file.checksums)]
    if others := [file.path for file in to_write if file.path not in exported and (target / file.path).exists()]:
        raise ConflictError(f"{quote_names(others)} in '{folder}' would be overwritten. Move it away.")
    obsolete = [path for path in exported if path not in files and not find_path_fault(path)]
    write_atomic(target / MANIFEST, encode_manifest({**exported, **manifest}))
    restore_files(revision, source or store, target, to_write, (), ())
    safe_folder = SafeFolder(target)
    for path in obsolete:
        with translate_os_errors(target / path):
            safe_folder.require_inside(path).unlink(missing_ok=True)
    (target / "tables").mkdir(exist_ok=True)
    for table in EXPORTED_TABLES:
        manifest[f"tables/{table}.parquet"] = _write_table(revision, table, target / "tables" / f"{table}.parquet")
    facts_path = f"tables/{SAMPLE_FACTS}.parquet"
    manifest[facts_path] = _write_sample_facts(revision, target / facts_path)
    facts = {**describe_revision(revision), "labels": describe_labels(revision)}
    write_atomic(target / REVISION_FILE, json.dumps(facts, indent=2).encode() + b"\n")
    manifest[REVISION_FILE] = compute_sha256(target / REVISION_FILE)
    write_atomic(target / MANIFEST, encode_manifest(manifest))
    return CheckoutResult(len(to_write), len(obsolete), len(files) - len(to_write), left_out)


def _read_earlier_manifest(target: Path, folder: Path) -> dict[str, str]:
    """Read the files of an earlier export; none if the folder is empty, and `ConflictError` if it is something else."""
    if not any(target.iterdir()):
        return {}
    manifest = read_manifest(target) if (target / MANIFEST).is_file() else Manifest({}, ["no manifest"])
    if manifest.invalid_lines:
        raise ConflictError(f"'{folder}' is not empty, and not an earlier checkout. Choose another folder for --to.")
    return manifest.digests


def _write_table(revision: Revision, table: str, path: Path) -> str:
    """Write a table unless the file has it already, and return the SHA-256 of the file."""
    with temporary_sibling(path) as temporary:
        write_parquet(revision, table, TableFilter(), temporary)
        if not path.is_file() or path.read_bytes() != temporary.read_bytes():
            temporary.replace(path)
    return compute_sha256(path)


def _write_sample_facts(revision: Revision, path: Path) -> str:
    """Write what training needs besides the other tables, and return the SHA-256 of the file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    content = pa.BufferOutputStream()
    pq.write_table(read_sample_facts(revision), content)
    write_atomic(path, content.getvalue().to_pybytes())
    return compute_sha256(path)


def describe_labels(revision: Revision) -> dict[str, Any]:
    """Return what each label holds, and the value of its pixels to ignore, by name."""
    names = [name for (name,) in revision.fetch_rows("SELECT DISTINCT label FROM current_label ORDER BY label")]
    return {label.name: {"kind": label.kind, "ignore": label.ignore} for label in list_training_labels(revision, names)}


def describe_revision(revision: Revision) -> dict[str, Any]:
    """Return what `revision.json` says of a revision: position, digests, tags, software."""
    content = LoggedContent(revision.connection)
    query = "SELECT digest, recorded_at FROM chain_event WHERE position = $position"
    ((digest, recorded_at),) = revision.fetch_rows(query, {"position": revision.position})
    return {
        "format": 1,
        "dataset": revision.fetch_value(query, {"position": 1}),
        "position": revision.position,
        "digest": digest,
        "recorded_at": recorded_at,
        "tags": [tag for (tag,) in revision.fetch_rows(_TAGS, {"digest": digest})],
        "content_digest": content.compute_digest("content digest", revision.position),
        "merkle_root": content.compute_digest("Merkle root", revision.position),
        "software": {"geographer": __version__, "duckdb": version("duckdb")},
    }
