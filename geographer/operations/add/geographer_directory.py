"""Data directory of GeoGrapher 1.0: `attrs.json`, the vector and raster layers, the raster files, and the graph."""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from geographer.base.errors import ConflictError, CorruptError, NotFoundError, UsageError, quote_names
from geographer.base.input_paths import require_input_path
from geographer.base.text import is_unicode
from geographer.operations.add.raster_files import SUFFIXES
from geographer.planning.vectors.source import VectorSource, open_vector_source
from geographer.storage.database.connection import quote_identifier, register_table, run_script
from geographer.storage.queries.revision import Revision
from geographer.storage.state.update import MACROS

if TYPE_CHECKING:
    import pyarrow as pa

VECTORS: Final = "vectors.geojson"
RASTERS: Final = "rasters.geojson"
_EDGE_DIFFERENCES: Final = Path(__file__).with_name("edge_differences.sql")


@dataclass(frozen=True, slots=True)
class GeographerDirectory:
    """A data directory of GeoGrapher 1.0: the folder that holds `connector`, `rasters` and `labels`.

    `classes` are the task classes in order. `count_column` is the feature column in which it counted rasters.
    """

    path: Path
    classes: list[str]
    background: str | None
    count_column: str

    def connector_file(self, name: str) -> Path:
        """Return the path of a file of the connector."""
        return self.path / "connector" / name

    def raster_file(self, name: str) -> Path:
        """Return the path of a raster file, which may not exist."""
        return self.path / "rasters" / name

    def list_files(self, folder: str) -> list[str]:
        """Return the sorted relative paths of all files in `rasters` or `labels`."""
        inside = self.path / folder
        return sorted(path.relative_to(inside).as_posix() for path in inside.rglob("*") if path.is_file())

    def open_layer(self, revision: Revision, name: str) -> AbstractContextManager[VectorSource]:
        """Open `vectors.geojson` or `rasters.geojson` in the revision's connection."""
        return open_vector_source(revision.connection, self.connector_file(name), None)


def open_geographer_directory(path: Path) -> GeographerDirectory:
    """Read the attributes of the data directory at `path`.

    Raises:
        NotFoundError: A file of the connector is missing.
        CorruptError: `attrs.json` is not a JSON object.
    """
    require_input_path(path)
    files = ("attrs.json", VECTORS, RASTERS, "graph.json")
    if missing := [name for name in files if not (path / "connector" / name).is_file()]:
        raise NotFoundError(
            f"'{path}' is not a data directory of GeoGrapher 1.0: its connector lacks {quote_names(missing)}. "
            "Name the folder that holds 'connector' and 'rasters'."
        )
    attributes = _read_json_object(path / "connector" / "attrs.json")
    classes = attributes.get("task_vector_classes") or ["object"]
    count_column = attributes.get("raster_count_col_name") or "raster_count"
    background = attributes.get("background_class")
    texts = [*(classes if isinstance(classes, list) else [None]), count_column, background or ""]
    if not all(isinstance(text, str) and is_unicode(text) for text in texts):
        raise CorruptError(
            f"'{path / 'connector' / 'attrs.json'}' is damaged: task_vector_classes is not a list of texts, or "
            "raster_count_col_name or background_class is not a text. Restore the file, then import again."
        )
    return GeographerDirectory(path, classes, background, count_column)


@contextmanager
def open_raster_layer(revision: Revision, directory: GeographerDirectory) -> Iterator[VectorSource]:
    """Open `rasters.geojson` with two additional columns: `raster_id`, the id in this dataset, and `on_disk`.

    Raises:
        ConflictError: Two rasters would have the same id.
    """
    import pyarrow as pa

    with directory.open_layer(revision, RASTERS) as source:
        if "raster_name" not in source.columns:
            require_empty(revision, source, "raster_name")
            columns = "NULL::VARCHAR AS raster_name, NULL::VARCHAR AS raster_id, false AS on_disk"
            yield replace(source, relation=f"(SELECT *, {columns} FROM {source.relation} WHERE false)")  # noqa: S608
            return
        query = f"SELECT DISTINCT raster_name::VARCHAR FROM {source.relation} WHERE raster_name IS NOT NULL"  # noqa: S608
        ids = {name: _make_raster_id(directory, name) for (name,) in revision.fetch_rows(query)}
        counts = Counter(ids.values())
        if clashing := sorted(name for name, raster_id in ids.items() if counts[raster_id] > 1):
            names = f"rasters {quote_names(clashing)} have equal ids"
            raise ConflictError(f"{names}: an id is the stem of the file name. Rename all but one.")
        on_disk = [directory.raster_file(name).is_file() for name in ids]
        rasters = {"name": [*ids], "id": [*ids.values()], "on_disk": on_disk}
        schema = pa.schema({"name": pa.string(), "id": pa.string(), "on_disk": pa.bool_()})
        # A user column named raster_id would be ambiguous.
        selected = "layer.* RENAME (raster_id AS raster_id_)" if "raster_id" in source.columns else "layer.*"
        types = {("raster_id_" if name == "raster_id" else name): kind for name, kind in source.columns.items()}
        relation = (
            f"(SELECT {selected}, old_raster.id AS raster_id, on_disk FROM {source.relation} AS layer "  # noqa: S608
            "JOIN old_raster ON old_raster.name = raster_name::VARCHAR)"
        )
        with register_table(revision.connection, "old_raster", pa.table(rasters, schema)):
            yield replace(source, relation=relation, columns={**types, "raster_id": "VARCHAR"})


def _make_raster_id(directory: GeographerDirectory, name: str) -> str:
    """Return the stem of a raster's file name; GeoGrapher 1.0 identifies a raster by the whole name."""
    path = directory.raster_file(name)
    return path.stem if path.is_file() or path.suffix.lower() in SUFFIXES else name


def require_empty(revision: Revision, source: VectorSource, column: str) -> None:
    """Raise `UsageError` if a layer that lacks `column` has rows; GeoGrapher 1.0 writes empty layers without it."""
    if revision.fetch_value(f"SELECT count(*) FROM {source.relation}"):  # noqa: S608
        raise UsageError(f"'{source.name}' has no column '{column}'. Check that GeoGrapher 1.0 wrote it.")


def read_edges(directory: GeographerDirectory) -> "pa.Table":
    """Return the edges of `graph.json`: feature_id, raster_name, was, was_for_raster.

    The file lists each relation twice: `was` comes from the feature, `was_for_raster` from the raster. Raise
    `CorruptError` if it is not a graph of GeoGrapher 1.0.
    """
    import pyarrow as pa

    path = directory.connector_file("graph.json")
    graph = _read_json_object(path)
    try:
        by_feature = {(v, r): relation for v, rasters in graph["vectors"].items() for r, relation in rasters.items()}
        by_raster = {(v, r): relation for r, vectors in graph["rasters"].items() for v, relation in vectors.items()}
    except (KeyError, AttributeError) as error:
        raise CorruptError(f"'{path}' is not a graph of GeoGrapher 1.0: {error!r}. Restore the file.") from error
    pairs = dict.fromkeys([*by_feature, *by_raster])
    edges = [(*pair, by_feature.get(pair), by_raster.get(pair)) for pair in pairs]
    names = ("feature_id", "raster_name", "was", "was_for_raster")
    rows = [dict(zip(names, edge, strict=True)) for edge in edges]
    try:
        return pa.Table.from_pylist(rows, pa.schema(dict.fromkeys(names, pa.string())))
    except (pa.ArrowException, UnicodeError, TypeError) as error:
        raise CorruptError(f"'{path}' is not a graph of GeoGrapher 1.0: {error}. Restore the file.") from error


def _read_json_object(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError, OSError) as error:
        raise CorruptError(f"cannot read '{path}' as JSON: {error}. Restore the file, then import again.") from error
    if not isinstance(content, dict):
        raise CorruptError(f"'{path}' is not a JSON object. Restore the file, then import again.")
    return content


def compare_edges(revision: Revision, directory: GeographerDirectory) -> "pa.Table":
    """Return the pairs about which the directory's graph and the dataset differ. Only objects of the directory count.

    The columns are text: feature_id; raster_id; was, the old relation (`contains`, `intersects` or null); now, the
    relation at `revision`; why, the reason.
    """
    connection = revision.connection
    run_script(connection, MACROS.read_text())
    with register_table(connection, "old_edge", read_edges(directory)):
        with open_raster_layer(revision, directory) as rasters, directory.open_layer(revision, VECTORS) as vectors:
            feature_id = "vector_name::VARCHAR" if "vector_name" in vectors.columns else "NULL::VARCHAR"
            for table, ids, layer in (
                ("old_footprint", "raster_id, raster_name", rasters),
                ("old_vector", f"{feature_id} AS feature_id", vectors),
            ):
                connection.execute(
                    f"CREATE OR REPLACE TEMP TABLE {table} AS SELECT {ids}, $crs AS crs, "  # noqa: S608
                    f"ST_Force2D({quote_identifier(layer.geometry)}::GEOMETRY) AS geometry FROM {layer.relation}",
                    {"crs": layer.crs},
                )
        return revision.fetch_arrow(_EDGE_DIFFERENCES.read_text())
