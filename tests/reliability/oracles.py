"""Read a dataset without the product's code: its log by plain DuckDB and docs/recompute_digests.py, its files by hashlib."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, Final, NamedTuple

import duckdb

from docs import recompute_digests

LOG, STATE, MARKER = (Path(".geographer") / name for name in ("log.duckdb", "state.duckdb", "workspace.json"))
DATA_FOLDERS: Final = ("rasters", "labels")
TABLES: Final = ("features", "rasters", "edges", "chips", "labels", "objects", "splits")


class History(NamedTuple):
    """A log: digests and kinds of the events in the order of the chain, content digest, digests that do not agree."""

    digests: list[str]
    kinds: list[str]
    content_digest: str
    mismatches: list[str]


def read_history(root: Path) -> History:
    """Read a copy of `log.duckdb` alone, without its write-ahead log: what a backup of that file would hold."""
    mismatches: list[str] = []

    def report(check: str, subject: str, recorded: object, recomputed: object) -> None:
        if recorded != recomputed:
            mismatches.append(f"{check} {subject}")

    with tempfile.TemporaryDirectory(prefix="geographer-backup-") as folder:
        copy = shutil.copy(root / LOG, folder)
        with duckdb.connect(copy, read_only=True) as connection:
            log = recompute_digests.read_log(connection, report)
    recompute_digests.check_log(log, report)
    content = recompute_digests.content_digest(recompute_digests.list_content_lines(log.changes, len(log.events)))
    digests, kinds = ([event[key] for event in log.events] for key in ("digest", "kind"))
    return History(digests, kinds, content, mismatches)


def hash_tree(folder: Path, *without: Path) -> dict[str, str]:
    """Return the SHA-256 of each file below a folder by relative path, of links that of their target; not `without`."""
    hashes = {}
    for parent, folders, files in os.walk(folder):
        base = Path(parent)
        links = [name for name in folders if (base / name).is_symlink()]
        folders[:] = [name for name in folders if name not in links and base / name not in without]
        hashes[f"{base.relative_to(folder)}/"] = ""
        for path in (base / name for name in (*files, *links)):
            content = bytes(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else b""
            hashes[str(path.relative_to(folder))] = hashlib.sha256(content).hexdigest()
    return hashes


def hash_data(root: Path) -> dict[str, str]:
    """Return the hashes of the dataset's rasters, labels and `.dvc` files."""
    return {f"{name}/{path}": digest for name in DATA_FOLDERS for path, digest in hash_tree(root / name).items()}


def read_answers(*revisions: str) -> list[Any]:
    """Ask the product, through its Python API in the current folder, what it answers about revisions.

    Runs in a child process. The answer for a path is the hash of the file.
    """
    from geographer import Dataset

    dataset = Dataset.open(".")
    answers: list[Any] = [dataset.content_digest(revision) for revision in revisions]
    for revision in revisions:
        for table in TABLES:
            rows = getattr(dataset, table)(at=revision).to_pylist()
            answers.append([{name: _follow_path(name, value) for name, value in row.items()} for row in rows])
    return json.loads(json.dumps(answers, default=str))


def _follow_path(column: str, value: Any) -> Any:
    path = Path(str(value))
    return hashlib.sha256(path.read_bytes()).hexdigest() if column == "path" and path.is_file() else value
