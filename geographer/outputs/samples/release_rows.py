"""Training rows of a release, or of a folder that a checkout wrote: from its tables and files, without the log."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow as pa

from geographer.base.errors import CorruptError, NotFoundError, UsageError, quote_names
from geographer.outputs.manifest import REVISION_FILE, compute_sha256, find_exported_folder, read_manifest
from geographer.outputs.samples.sample_facts import SAMPLE_FACTS
from geographer.outputs.samples.selection import SampleSelection, choose_defaults, list_names
from geographer.outputs.samples.table import name_label_columns
from geographer.outputs.samples.training_rows import TrainingLabel, TrainingRows
from geographer.storage.database.connection import escape_literal, memory_connection, run_script

_TABLES: Final = ("features", "rasters", "edges", "chips", "labels", "objects", "splits", "classes")
_NO_FACTS: Final = (
    "SELECT NULL::VARCHAR AS raster_id, NULL::VARCHAR AS feature_id, NULL::VARCHAR AS split, NULL::BIGINT AS component "
    "WHERE false"
)
_SAMPLES: Final = Path(__file__).with_name("release_samples.sql")
_COLLECTIONS: Final = (
    "SELECT collection, raster_id IN (SELECT raster_id FROM chips) AS is_chip FROM rasters "
    "WHERE path IS NOT NULL GROUP BY ALL ORDER BY ALL"
)
_SPLITS: Final = (
    "SELECT DISTINCT split FROM splits WHERE raster_id IN "
    "(SELECT raster_id FROM rasters WHERE $collection IS NULL OR collection = $collection) ORDER BY split"
)
_PARTS: Final = "SELECT DISTINCT part FROM splits WHERE split = $split AND part IS NOT NULL ORDER BY part"
_LABELS: Final = "SELECT DISTINCT label FROM labels ORDER BY label"
_PRESENT_LABELS: Final = "SELECT DISTINCT label FROM labels SEMI JOIN release_sample USING (raster_id) ORDER BY label"
_LABEL_PATHS: Final = "SELECT raster_id, path FROM labels WHERE label = $label"
_OBJECTS: Final = (
    "SELECT label, raster_id, feature_id::VARCHAR AS feature_id, class, instance, box FROM objects "
    "SEMI JOIN release_sample USING (raster_id) WHERE label IN (SELECT unnest($labels::VARCHAR[])) "
    "ORDER BY label, raster_id, instance, feature_id"
)
_CLASSES: Final = "SELECT class, value FROM classes ORDER BY value"


def read_release_rows(folder: Path, selection: SampleSelection, *, verify: bool = True) -> TrainingRows:
    """Read the samples of a selection from an exported folder, and compare their files with its manifest.

    Args:
        folder: A folder that `release`, `checkout --to` or `reproduce` wrote.
        selection: Which rasters and labels to take, with the defaults of `Dataset.samples`.
        verify: Whether to hash the files.

    Raises:
        NotFoundError: it is no such folder; it lacks the file of a raster; or see `stage_samples`.
        UsageError: its folders are packed into archives; or see `stage_samples`.
        CorruptError: a file is missing or altered.
    """
    root = find_exported_folder(folder)
    if root is None:
        raise NotFoundError(
            f"'{folder}' is not a release or a checkout: it has no MANIFEST. Pass a folder that geographer release "
            "--to or checkout --to wrote."
        )
    files = _ExportedFiles(root)
    with files.open_tables() as connection:
        chosen = _choose_selection(connection, selection)
        parameters = {"split": chosen.split, "parts": chosen.subsets, "collection": chosen.collection}
        run_script(connection, _SAMPLES.read_text(), parameters)
        labels = files.describe_labels(_choose_labels(connection, chosen.labels))
        samples = connection.execute("FROM release_sample ORDER BY raster_id").to_arrow_table()
        for label in labels:
            found = dict(connection.execute(_LABEL_PATHS, {"label": label.name}).fetchall())
            samples = files.append_label(samples, label.name, found)
        objects = connection.execute(_OBJECTS, {"labels": [label.name for label in labels]}).to_arrow_table()
        classes = dict(connection.execute(_CLASSES).fetchall())
    for label in labels:
        samples = files.locate_files(
            samples, name_label_columns(label.name)[0], verify=verify and label.kind != "boxes"
        )
    return TrainingRows(files.locate_files(samples, "path", verify=verify), labels, objects, classes)


class _ExportedFiles:
    """The files of an exported folder, with the SHA-256 that its manifest has."""

    def __init__(self, root: Path) -> None:
        self._root = root
        manifest = read_manifest(root)
        if manifest.invalid_lines:
            raise CorruptError(f"the manifest of '{root}' is damaged. See geographer verify '{root}'.")
        self._digests = manifest.digests
        if not (root / "tables").is_dir():
            raise UsageError(f"'{root}' has no folder 'tables'. Unpack the archives of the release there first.")

    @contextmanager
    def open_tables(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Yield a connection with a view for each table; `CorruptError` if one is missing or altered."""
        paths = {name: f"tables/{name}.parquet" for name in (*_TABLES, SAMPLE_FACTS)}
        listed = {name: path for name, path in paths.items() if name in _TABLES or path in self._digests}
        self._require_intact([*listed.values(), REVISION_FILE])
        with memory_connection() as connection:
            for name in paths:
                path = escape_literal(str(self._root / paths[name]))
                source = f"SELECT * FROM read_parquet('{path}')" if name in listed else _NO_FACTS  # noqa: S608
                connection.execute(f"CREATE OR REPLACE TEMP VIEW {name} AS {source}")
            try:
                yield connection
            except duckdb.Error as error:
                raise CorruptError(f"the tables of '{self._root}' cannot be read: {error}") from error

    def describe_labels(self, names: Sequence[str]) -> list[TrainingLabel]:
        """Return what labels hold, as far as the folder says it; version 0.1 did not."""
        known = json.loads((self._root / REVISION_FILE).read_bytes()).get("labels", {})
        return [TrainingLabel(name, **known.get(name, {})) for name in names]

    def append_label(self, samples: pa.Table, name: str, paths: Mapping[str, str]) -> pa.Table:
        """Return the samples with the columns of a label, by its paths in the folder by raster; null where it lacks."""
        own = [paths.get(raster_id) for raster_id in samples["raster_id"].to_pylist()]
        columns = own, [None if path is None else self._digests.get(path) for path in own]
        for column, values in zip(name_label_columns(name), columns, strict=True):
            samples = samples.append_column(column, pa.array(values, pa.string()))
        return samples

    def locate_files(self, samples: pa.Table, column: str, *, verify: bool) -> pa.Table:
        """Return the samples with absolute paths in a column.

        Raises:
            NotFoundError: the folder was written without one of the files.
            CorruptError: a file is missing or altered.
        """
        paths = samples[column].to_pylist()
        wanted = [path for path in paths if path is not None]
        if left_out := [path for path in wanted if path not in self._digests]:
            raise NotFoundError(
                f"{len(left_out):,} files of the samples are not in '{self._root}', because they were withdrawn or are "
                f"recorded in place: {quote_names(left_out, 3)}. Choose other rasters."
            )
        if verify:
            self._require_intact(wanted)
        located = pa.array([None if path is None else str(self._root / path) for path in paths], pa.string())
        return samples.set_column(samples.column_names.index(column), column, located)

    def _require_intact(self, paths: Sequence[str]) -> None:
        with ThreadPoolExecutor() as threads:
            is_intact = [*threads.map(self._is_intact, paths)]
        damaged = [path for path, intact in zip(paths, is_intact, strict=True) if not intact]
        if damaged:
            raise CorruptError(
                f"{quote_names(damaged, 3)} in '{self._root}' are missing or altered. See geographer verify "
                f"'{self._root}'."
            )

    def _is_intact(self, path: str) -> bool:
        file = self._root / path
        return file.is_file() and compute_sha256(file) == self._digests.get(path)


def _choose_selection(connection: duckdb.DuckDBPyConnection, selection: SampleSelection) -> SampleSelection:
    """Return the selection with the defaults that `stage_samples` chooses; errors as there."""
    # A collection with both chips and other rasters comes twice, chips last.
    collections: dict[str, bool] = dict(connection.execute(_COLLECTIONS).fetchall())
    collection = selection.collection
    if collection is not None and collection not in collections:
        raise NotFoundError(f"no collection '{collection}' with pixels. {list_names('collections', [*collections])}")
    return choose_defaults(
        selection,
        list_splits=lambda name: _fetch_names(connection, _SPLITS, collection=name),
        list_parts=lambda split: _fetch_names(connection, _PARTS, split=split),
        choose_collection=lambda: _choose_collection(collections),
    )


def _choose_collection(collections: Mapping[str, bool]) -> str:
    """Return the only collection of chips, or without chips the only one of rasters."""
    names = [name for name, is_chip in collections.items() if is_chip] or [*collections]
    if len(names) != 1:
        raise UsageError(f"several collections fit: {quote_names(names)}. Name one, or a split.")
    return names[0]


def _choose_labels(connection: duckdb.DuckDBPyConnection, labels: Sequence[str] | None) -> list[str]:
    if labels is None:
        return _fetch_names(connection, _PRESENT_LABELS)
    known = _fetch_names(connection, _LABELS)
    if unknown := [name for name in labels if name not in known]:
        raise NotFoundError(f"no label {quote_names(unknown)}. {list_names('labels', known)}")
    return [*dict.fromkeys(labels)]


def _fetch_names(connection: duckdb.DuckDBPyConnection, query: str, **parameters: Any) -> list[str]:
    return [name for (name,) in connection.execute(query, parameters or None).fetchall()]
