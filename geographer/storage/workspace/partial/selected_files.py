"""Selected files: what a partial clone takes of the files of a revision, closed under the graph."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Final, NamedTuple

import duckdb
import msgspec

from geographer.base.errors import GeographerError, NotFoundError, UsageError, quote_names
from geographer.storage.database.connection import open_cursor, run_script
from geographer.storage.database.sql_sandbox import translate_sql_errors
from geographer.storage.queries.empty_selection import describe_empty_selection
from geographer.storage.queries.revision import KEY_COLUMN, SORTED_VIEWS, Revision
from geographer.storage.workspace.partial.selection import FileSelection, PartialClone
from geographer.storage.workspace.paths import FILES_SQL

logger = logging.getLogger(__name__)

_FOLDER: Final = Path(__file__).parent
_RASTERS_SQL: Final = _FOLDER / "selected_rasters.sql"
_FILES_SQL: Final = _FOLDER / "selected_files.sql"
_COUNTS: Final = (
    "SELECT count(*) FILTER (is_selected), coalesce(sum(size) FILTER (is_selected), 0)::BIGINT, count(*), "
    "coalesce(sum(size), 0)::BIGINT "
    "FROM (SELECT size, md5 IN (SELECT md5 FROM selected_file) AS is_selected FROM files_at($at))"
)
_FILTER: Final = (
    f"CREATE OR REPLACE TEMP TABLE matching_feature AS SELECT {KEY_COLUMN} AS feature_key "  # noqa: S608
    f"FROM {SORTED_VIEWS['features'].source} WHERE "
)
_UNKNOWN_RASTERS: Final = (
    "SELECT id FROM (SELECT unnest($ids::VARCHAR[]) AS id) ANTI JOIN current_raster ON id = raster_id ORDER BY id"
)
_SUBSETS: Final = "SELECT DISTINCT split, part FROM current_split ORDER BY ALL"


class FileCounts(NamedTuple):
    """The numbers and bytes of files of a revision: of those that are selected, and of all."""

    selected_files: int
    selected_bytes: int
    files: int
    bytes: int

    def __str__(self) -> str:
        numbers = f"{self.selected_files:,} of {self.files:,} file{'' if self.files == 1 else 's'}"
        return f"{numbers}, {self.selected_bytes:,} of {self.bytes:,} bytes"


class FileEvaluator:
    """Evaluates what a partial clone takes, at any position of the chain that a connection reads.

    It uses a connection of its own, so that the views and temporary tables of `connection` stay as they are. The log
    and the state must be attached, with the spatial functions. Use it as a context manager.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, clone: PartialClone) -> None:
        self._connection = open_cursor(connection)
        self._clone = clone

    def __enter__(self) -> FileEvaluator:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def list_selected_md5s(self, position: int) -> set[str]:
        """Return the MD5s of the files that are selected at a position."""
        revision = self._stage_files(position)
        return {md5 for (md5,) in revision.fetch_rows("SELECT DISTINCT md5 FROM selected_file")}

    def count_files(self, position: int) -> FileCounts:
        """Return how many files of the revision at a position are selected, and how many there are."""
        revision = self._stage_files(position)
        revision.connection.execute(FILES_SQL.read_text())
        return FileCounts(*revision.fetch_rows(_COUNTS, {"at": position})[0])

    def _stage_files(self, position: int) -> Revision:
        """Make the temporary table `selected_file` (path, size, md5) of a revision."""
        revision = Revision(self._connection, position)
        self._connection.execute("CREATE OR REPLACE TEMP TABLE selected_raster (raster_id VARCHAR)")
        for selection in self._clone.selections:
            _stage_matching_features(revision, selection)
            run_script(self._connection, _RASTERS_SQL.read_text(), _make_parameters(selection))
        run_script(self._connection, _FILES_SQL.read_text())
        return revision


def resolve_selection(revision: Revision, selection: FileSelection) -> FileSelection:
    """Return a selection with the splits of its subsets, all of whose names the revision has.

    Raises:
        UsageError: the filter is not one SQL expression, or several splits have a part of the name of a subset.
        NotFoundError: the revision lacks a column of the filter, a collection, a subset or a raster.
    """
    with closing(open_cursor(revision.connection)) as connection:
        revision = Revision(connection, revision.position)
        if selection.where is not None:
            _select_features(revision, selection.where)
            _warn_of_empty_filter(revision, selection.where)
        collections = {name for (name,) in revision.fetch_rows("SELECT DISTINCT collection FROM current_raster")}
        if unknown := sorted({*(selection.collections or ())} - collections):
            names = f"{quote_names(unknown)} at @{revision.position}, only {quote_names(sorted(collections))}"
            raise NotFoundError(f"no collection {names}. Correct --collection.")
        rasters = revision.fetch_rows(_UNKNOWN_RASTERS, {"ids": [*(selection.rasters or ())]})
        if rasters:
            names = quote_names([name for (name,) in rasters])
            raise NotFoundError(f"no raster {names} at @{revision.position}. See geographer rasters.")
        if selection.subsets is not None:
            selection = msgspec.structs.replace(selection, subsets=_resolve_subsets(revision, selection.subsets))
    return selection


def _resolve_subsets(revision: Revision, subsets: Iterable[str]) -> tuple[str, ...]:
    known = revision.fetch_rows(_SUBSETS)
    resolved = []
    for subset in subsets:
        names = [f"{split}/{part}" for split, part in known if subset in (part, f"{split}/{part}")]
        if len(names) > 1:
            raise UsageError(f"several splits have a part '{subset}'. Pass --subset {names[0]}, or another of them.")
        if not names:
            raise NotFoundError(f"no subset '{subset}' at @{revision.position}. See geographer splits.")
        resolved += names
    return tuple(dict.fromkeys(resolved))


def _stage_matching_features(revision: Revision, selection: FileSelection) -> None:
    """Make the temporary table `matching_feature` of a filter.

    It is empty without one, and where the filter cannot be evaluated, as before its columns were added: a filter that
    one revision cannot evaluate must not keep a command from ending.
    """
    revision.connection.execute("CREATE OR REPLACE TEMP TABLE matching_feature (feature_key BIGINT)")
    if selection.where is None:
        return
    try:
        _select_features(revision, selection.where)
    except NotFoundError:
        return
    except GeographerError as error:
        logger.warning("this partial clone takes no file by its filter at @%s: %s", revision.position, error)


def _select_features(revision: Revision, where: str) -> None:
    with translate_sql_errors(where):
        revision.connection.execute(f"{_FILTER}{revision.validate_filter('features', where)}")


def _warn_of_empty_filter(revision: Revision, where: str) -> None:
    if not revision.fetch_rows("FROM matching_feature LIMIT 1"):
        text = describe_empty_selection(revision, "features", where)
        logger.warning("%s", text or "--where: there is no feature to choose.")


def _make_parameters(selection: FileSelection) -> dict[str, object]:
    west, south, east, north = selection.bbox or (None, None, None, None)
    lists = {"collections": selection.collections, "subsets": selection.subsets, "rasters": selection.rasters}
    return {
        **{"west": west, "south": south, "east": east, "north": north, "by_where": selection.where is not None},
        **{name: None if values is None else [*values] for name, values in lists.items()},
    }
