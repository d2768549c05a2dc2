"""Search names by kind and prefix in the files as they are: nothing is derived, written or waited for."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from threading import Timer
from typing import Any, Final, NamedTuple

import duckdb

from geographer.base.errors import GeographerError
from geographer.storage.database.connection import connect_memory, escape_literal
from geographer.storage.database.dataset_folder import GEOGRAPHER_FOLDER, find_dataset_root

MAX_NAMES: Final = 100
"""How many names a search returns at most, besides the last one."""
_TIME_LIMIT_S: Final = 2.0
_FOLDER: Final = Path(__file__).parent
_REMOTE: Final = re.compile(r"""^\[\s*['"]?remote\s+"([^"]+)"['"]?\s*\]""", re.MULTILINE)


def _select_current(column: str, table: str, condition: str = "true") -> str:
    """Return SQL for the values of a column that are valid where the state is, each once unless it is an id."""
    distinct = "" if column.endswith("_id") else "DISTINCT"
    return (
        f"SELECT {distinct} {column} AS name FROM state.{table} "  # noqa: S608
        f"WHERE {condition} AND valid_to > (SELECT max(position) FROM state.meta)"
    )


_QUERIES: Final[Mapping[str, str]] = {
    "feature": _select_current("feature_id", "feature"),
    "raster": _select_current("raster_id", "raster"),
    "any feature": "SELECT DISTINCT feature_id AS name FROM state.feature",
    "any raster": "SELECT DISTINCT raster_id AS name FROM state.raster",
    "removed feature": (_FOLDER / "removed_features.sql").read_text(),
    "removed raster": (_FOLDER / "removed_rasters.sql").read_text(),
    "labelled raster": _select_current("raster_id", "label", "label = $parent"),
    "collection": _select_current("collection", "raster"),
    "class": _select_current("class", "class"),
    "label": _select_current("label", "label"),
    "split": _select_current("split", "split"),
    "part": _select_current("part", "split", "part IS NOT NULL"),
    "recipe": _select_current("name", "recipe"),
    "tag": "SELECT tag AS name FROM state.tag",
    "user column": (_FOLDER / "user_columns.sql").read_text(),
    "branch": r"SELECT DISTINCT branch AS name FROM log.chain WHERE NOT regexp_matches(branch, '[@/]')",
    "fetched branch": r"SELECT DISTINCT branch AS name FROM log.chain WHERE regexp_full_match(branch, '[^@]*/[^@]*')",
    "position": "SELECT DISTINCT '@' || position AS name FROM log.chain WHERE NOT contains(branch, '@')",
    "digest": "SELECT digest AS name FROM log.event",
    "author": "SELECT DISTINCT author AS name FROM log.event",
    "head digest": "SELECT head_digest AS name FROM state.meta",
    "attribute": (
        "SELECT DISTINCT unnest(json_keys(payload, '$.attributes')) AS name FROM log.event "
        "WHERE kind = 'attributes_changed'"
    ),
    "used root": (
        r"SELECT DISTINCT regexp_extract(path, '^\{([^{}/]+)\}/', 1) AS name FROM state.raster "
        r"WHERE storage = 'reference' AND starts_with(path, '{')"
    ),
}
"""The SQL that lists the names of each kind."""
_FILE_KINDS: Final = ("remote", "root")

TABLE_COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "features": ("feature_id", "class", "geometry", "raster_count", "intersecting_raster_count"),
    "rasters": (
        *("raster_id", "collection", "path", "crs", "width", "height", "md5", "sha256", "pixel_digest", "footprint"),
        "acquired",
    ),
    "edges": ("feature_id", "raster_id", "relation"),
    "chips": ("raster_id", "parent_id", "col", "row", "width", "height"),
    "labels": ("label", "raster_id", "path", "md5"),
    "objects": ("label", "raster_id", "feature_id", "class", "instance", "pixels", "box", "corners", "visible"),
    "splits": ("split", "raster_id", "part"),
    "samples": (
        *("raster_id", "collection", "part", "component", "parent_id", "feature_id", "class", "classes", "path"),
        *("sha256", "crs", "transform", "width", "height", "bands", "dtype", "nodata", "acquired", "footprint"),
    ),
}
"""The columns that each table has in every dataset; a test compares them with the tables."""


class NameSearch(NamedTuple):
    """A search in the dataset of a folder; without a dataset, and in files that cannot be read now, it finds nothing.

    Attributes:
        folder: The dataset's folder, or one inside it.
        is_any_revision: Whether ids of earlier revisions are names, too.
    """

    folder: Path
    is_any_revision: bool = False

    def find_names(self, kinds: Iterable[str], prefix: str = "", parent: str = "") -> list[str]:
        """Return the names of these kinds that begin with the prefix, in order.

        Beyond `MAX_NAMES` of a kind, these are the first ones and the last one: what they have in common at their
        beginning is what all have in common.

        Args:
            kinds: The keys of `_QUERIES`, 'remote' or 'root'.
            prefix: The beginning of the names; upper and lower case differ.
            parent: What the names belong to: the label of 'labelled raster', or 'feature' or 'raster' of 'user column'.
        """
        wanted = [*kinds]
        try:
            root = find_dataset_root(self.folder)
        except (GeographerError, OSError, ValueError):
            return []
        names = {name for name in _read_file_names(root, wanted) if name.startswith(prefix)}
        queries = [self._choose_query(kind) for kind in wanted if kind not in _FILE_KINDS]
        if "root" in wanted:
            queries.append(_QUERIES["used root"])
        if queries:
            with _open_files(root / GEOGRAPHER_FOLDER) as connection:
                for query in queries:
                    names |= _run_query(connection, query, {"prefix": prefix, "parent": parent})
        return sorted(names, key=str.encode)

    def find_columns(self, table: str, prefix: str = "") -> list[str]:
        """Return the names of columns of a table that begin with the prefix."""
        fixed = [name for name in TABLE_COLUMNS.get(table, ()) if name.startswith(prefix)]
        subject = {"features": "feature", "rasters": "raster"}.get(table)
        return fixed if subject is None else [*fixed, *self.find_names(["user column"], prefix, subject)]

    def _choose_query(self, kind: str) -> str:
        return _QUERIES.get(f"any {kind}" if self.is_any_revision else kind) or _QUERIES[kind]


@contextmanager
def _open_files(folder: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a connection with the state and the log to read; a file that another process writes is left out."""
    with closing(connect_memory()) as connection:
        connection.execute("SET threads = 1")
        for name in ("state", "log"):
            path = str(folder / f"{name}.duckdb")
            with suppress(duckdb.Error, UnicodeEncodeError):
                connection.execute(f"ATTACH '{escape_literal(path)}' AS {name} (READ_ONLY)")
        timer = Timer(_TIME_LIMIT_S, connection.interrupt)
        timer.daemon = True
        timer.start()
        try:
            yield connection
        finally:
            timer.cancel()


def _run_query(connection: duckdb.DuckDBPyConnection, query: str, values: Mapping[str, Any]) -> set[str]:
    """Return the names that a query lists; none if its file is missing, locked or damaged."""
    used = {name: value for name, value in values.items() if name == "prefix" or f"${name}" in query}
    matches = f"FROM ({query}) WHERE starts_with(name, $prefix)"
    try:
        first = connection.execute(f"SELECT name {matches} ORDER BY name LIMIT {MAX_NAMES}", used).fetchall()
        is_cut_off = len(first) == MAX_NAMES
        last = connection.execute(f"SELECT max(name) {matches}", used).fetchall() if is_cut_off else []
    except duckdb.Error:
        return set()
    return {name for (name,) in (*first, *last)}


def _read_file_names(root: Path, kinds: Iterable[str]) -> Iterator[str]:
    """Yield the names in DVC's configuration and in the file of the roots."""
    if "remote" in kinds:
        for file in ("config", "config.local"):
            with suppress(OSError, UnicodeDecodeError):
                yield from _REMOTE.findall((root / ".dvc" / file).read_text(encoding="utf-8"))
    if "root" in kinds:
        with suppress(OSError, ValueError, AttributeError):
            yield from json.loads((root / GEOGRAPHER_FOLDER / "roots.json").read_text())["roots"]
