"""The tables of a dataset at any revision: read them, write them to files, query them by SQL."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, Unpack

from geographer.base.executors.executor import Workers, check_workers
from geographer.base.progress import ProgressCallback, show_notebook_progress
from geographer.base.resource_limits import read_resource_limits
from geographer.dataset.filters import (
    Filters,
    RevisionSpec,
    accept_filters,
    make_filter,
    make_table_method,
    select_rows,
)
from geographer.storage.database.dataset_folder import find_dataset_root
from geographer.storage.database.query_limits import DEFAULT_TIMEOUT_S
from geographer.storage.log.branches import Location, read_branch
from geographer.storage.queries.read_tables import (
    FileLocator,
    UserQuery,
    count_rows,
    list_classes,
    read_table,
    run_user_query,
    validate_query_parameters,
)
from geographer.storage.queries.revision import Revision
from geographer.storage.queries.selection import TableFilter
from geographer.storage.queries.table import Table, register_arrow_display
from geographer.storage.unit_of_work import UnitOfWork

if TYPE_CHECKING:
    import pyarrow as pa

    from geographer.outputs.table_text import SummaryRows

Parameters = Sequence[Any] | Mapping[str, Any] | None
"""Values of the parameters of an SQL query: in order for `?` and `$1`, by name for `$name`."""


class TableReader:
    """The tables of a dataset; `DatasetReader` has the other methods that read."""

    def __init__(self, root: Path, *, command: str = "", progress: ProgressCallback = show_notebook_progress) -> None:
        """Use the dataset in the folder `root`; the log records `command` as the command line."""
        self.root = root
        self._unit_of_work = UnitOfWork(root, command=command, progress=progress)

    @classmethod
    def open(
        cls,
        path: str | Path = ".",
        *,
        command: str = "",
        progress: ProgressCallback = show_notebook_progress,
        memory_limit: str | int | None = None,
        disk_limit: str | int | None = None,
        workers: Workers = None,
    ) -> Self:
        """Open the dataset in the folder `path`, or in the nearest folder above it.

        Args:
            path: The folder.
            command: The command line that the log records.
            progress: Shows the progress of long steps.
            memory_limit: The memory that this process may use, in bytes or such as `8GB`: what queries need above it is
                spilled to disk. Default: that of `GEOGRAPHER_MEMORY_LIMIT`, or 70 % of the memory of the machine or of
                its control group.
            disk_limit: The disk space for what is spilled. Default: that of `GEOGRAPHER_DISK_LIMIT`, or half of the
                free space.
            workers: Who joins the features and rasters of a large graph in parts: the address of a Dask scheduler, or a
                client of one. Default: that of `GEOGRAPHER_SCHEDULER`, or this process.

        Raises:
            NotFoundError: there is no dataset.
            UsageError: a limit is not a size, or too small, or the workers are invalid.
        """
        dataset = cls(find_dataset_root(Path(path)), command=command, progress=progress)
        if memory_limit is not None or disk_limit is not None:
            dataset._unit_of_work.database.set_limits(read_resource_limits(memory_limit, disk_limit))
        dataset._unit_of_work.database.workers = check_workers(workers)
        return dataset

    @accept_filters(select_rows)
    def read_table(self, name: str, at: RevisionSpec, table_filter: TableFilter) -> Table:
        """Return one of the tables of a revision as Arrow."""
        with self._open_tables(at) as revision:
            return read_table(revision, name, table_filter)

    features = make_table_method("features", "Return the features with their geometry.", select_rows, read_table)
    rasters = make_table_method("rasters", "Return the rasters with their footprint.", select_rows, read_table)
    edges = make_table_method(
        "edges", "Return which raster contains or intersects which feature, one row per pair.", select_rows, read_table
    )
    chips = make_table_method(
        "chips",
        "Return the chips with their parents and their windows in the parents' pixels.",
        select_rows,
        read_table,
    )
    labels = make_table_method("labels", "Return the labels of rasters.", select_rows, read_table)
    objects = make_table_method(
        "objects",
        """Return the objects that instance and box labels list, one row per object and label.

        `instance` is the object's value in an instance label, and `pixels` its number of pixels. `box` (x0, y0, x1, y1)
        and `corners` (x, y) are in pixel coordinates of the raster: x is the column and y the row, both 0 at the outer
        corner of the first pixel. `visible` is the fraction of the object's area that lies on the raster. Columns that
        a kind of label does not have are null.
        """,
        select_rows,
        read_table,
    )
    splits = make_table_method(
        "splits", "Return the part of each raster; null if a conflict excluded it.", select_rows, read_table
    )

    tags = make_table_method(
        "tags", "Return the tags with the position, digest and content digest of each.", select_rows, read_table
    )

    def classes(self, at: RevisionSpec = None) -> Table:
        """Return the classes by value: `class` (text), `value` (int32, 0 is background), `features` (int64).

        A last column `is_context` (bool) says that labels do not draw the class.
        """
        from geographer.planning.context_classes import read_context_classes

        with self._unit_of_work.open_revision(at) as revision:
            context = read_context_classes(revision.plain_connection, revision.position).names
            classes = list_classes(revision).arrow
            is_context = [name in context for name in classes["class"].to_pylist()]
            return Table(classes.append_column("is_context", [is_context]))

    @accept_filters(select_rows)
    def count_rows(self, name: str, at: RevisionSpec, table_filter: TableFilter) -> int:
        """Return the number of rows of a table, whatever `limit` is."""
        with self._unit_of_work.open_revision(at) as revision:
            return count_rows(revision, name, table_filter)

    @accept_filters(select_rows)
    def describe_empty_table(self, name: str, at: RevisionSpec, table_filter: TableFilter) -> str | None:
        """Return why no row of a table meets a filter with an SQL expression; None if some do, or there are none."""
        from geographer.storage.queries.empty_selection import describe_empty_selection

        where = table_filter.where
        with self._unit_of_work.open_revision(at) as revision:
            if where is None or count_rows(revision, name, table_filter):
                return None
            if count_rows(revision, name, TableFilter(where=where)):
                return "No row meets all conditions."
            return describe_empty_selection(revision, name, where)

    @accept_filters(select_rows)
    def format_json_lines(self, name: str, at: RevisionSpec, table_filter: TableFilter) -> list[str]:
        """Return the rows of a table as JSON objects, geometry as GeoJSON."""
        from geographer.outputs.table_text import format_json_lines

        with self._open_tables(at) as revision:
            return format_json_lines(revision, name, table_filter)

    @accept_filters(select_rows)
    def format_geojson_features(self, name: str, at: RevisionSpec, table_filter: TableFilter) -> list[str]:
        """Return the rows of `features` or `rasters` as GeoJSON features; UsageError if the table has no geometry."""
        from geographer.outputs.table_text import format_geojson_features

        with self._open_tables(at) as revision:
            return format_geojson_features(revision, name, table_filter)

    def format_lines(self, name: str, format: str, /, at: RevisionSpec = None, **filters: Any) -> list[str]:
        """Return the rows of a table as the lines of a file; `format` is 'csv', 'tsv', 'geojson' or 'json'.

        The other arguments, and what the formats hold, are those of `write_table`.
        """
        from geographer.outputs.table_files import choose_format, format_table_lines

        with self._open_tables(at) as revision:
            return format_table_lines(revision, name, make_filter(filters), choose_format(Path(), format))

    @accept_filters(select_rows)
    def read_summary(self, name: str, at: RevisionSpec, table_filter: TableFilter) -> "pa.Table | SummaryRows":
        """Return one of the tables with each geometry as a short text for people, such as `POLYGON 9 points 12.1,46.5`.

        The two numbers are longitude and latitude of the middle of its bounds, with four decimals.
        """
        from geographer.outputs.table_text import read_summary

        with self._open_tables(at) as revision:
            return read_summary(revision, name, table_filter)

    def write_table(
        self,
        name: str,
        path: str | Path,
        /,
        format: str | None = None,
        at: RevisionSpec = None,
        **filters: Any,
    ) -> None:
        """Write one of the tables to a file, which is replaced when the new one is complete.

        - CSV and TSV: UTF-8 with a header, RFC 4180; null is an empty field, an empty text is `""`, a geometry is WKT.
          Texts are written as they are: a spreadsheet may take one that begins with `=`, `+`, `-` or `@` for a formula,
          so import such columns as text.
        - GeoJSON and JSON: a FeatureCollection, or one object per line; null for infinity and NaN.
        - Parquet, with geometry as GeoParquet.
        - GeoPackage: one layer with the table's name. Features have the geometry as it was recorded, in their CRS if
          all of them have one. Its `fid` (`fid_`, if a column has that name) numbers the rows. SQLite has no NaN, which
          becomes null. A column of times with parts of milliseconds is text.

        In all other formats, geometry is in longitude/latitude (EPSG:4326).

        Args:
            name: The table.
            path: The file.
            format: 'csv', 'tsv', 'geojson', 'gpkg', 'json' or 'parquet'. Default: by the suffix of the file.
            at: The revision.
            filters: As in `features`. GeoJSON and GeoPackage have id and geometry, whatever `columns` are.

        Raises:
            ConflictError: another program has the GeoPackage open.
            StorageError: the file cannot be written.
            UsageError: the suffix or the format is unknown, or the table has no geometry and the format needs one.
        """
        self._write_table(name, Path(path), format, at, make_filter(filters))

    def write_parquet(self, name: str, path: str | Path, at: RevisionSpec = None, **filters: Unpack[Filters]) -> None:
        """Write one of the tables as Parquet; as GeoParquet if it has a geometry. See `write_table`."""
        self._write_table(name, Path(path), "parquet", at, make_filter({**filters}))

    def _write_table(
        self, name: str, path: Path, table_format: str | None, at: RevisionSpec, table_filter: TableFilter
    ) -> None:
        from geographer.outputs.table_files import choose_format, write_table_file

        chosen = choose_format(path, table_format)
        with self._open_tables(at) as revision:
            write_table_file(revision, name, table_filter, path, chosen)

    def sql(
        self,
        query: str,
        at: RevisionSpec = None,
        *,
        parameters: Parameters = None,
        timeout_s: float | None = DEFAULT_TIMEOUT_S,
    ) -> "pa.Table":
        """Run a read-only SELECT over the tables of a revision and return the result as Arrow.

        The tables are features, rasters, edges, chips, labels, objects, splits, events, tags and classes. While a query
        runs, nothing can be recorded, so it is stopped after `timeout_s` seconds; None: never.

        Args:
            query: The SELECT.
            at: The revision; None: the head.
            parameters: Values of `?` in order, as a list; or of `$name` by name, as a dictionary.
            timeout_s: The largest time in seconds; None: no limit.

        Raises:
            UsageError: the query is not one SELECT, lacks the value of a parameter, takes too long, or DuckDB rejects
                it.
        """
        register_arrow_display()
        return run_user_query(self.prepare_query(query, at, parameters=parameters, timeout_s=timeout_s))

    def sql_json_lines(
        self,
        query: str,
        at: RevisionSpec = None,
        *,
        parameters: Parameters = None,
        timeout_s: float | None = DEFAULT_TIMEOUT_S,
    ) -> list[str]:
        """Run a SELECT as `sql` does; return the rows as JSON objects, geometry as GeoJSON."""
        from geographer.outputs.table_text import format_query_json_lines

        return format_query_json_lines(self.prepare_query(query, at, parameters=parameters, timeout_s=timeout_s))

    def prepare_query(
        self,
        query: str,
        at: RevisionSpec = None,
        *,
        parameters: Parameters = None,
        timeout_s: float | None = DEFAULT_TIMEOUT_S,
        columns: Sequence[str] | None = None,
        limit: int | None = None,
    ) -> UserQuery:
        """Return a SELECT that can be run and written in several ways; see `sql`.

        Args:
            query, at, parameters, timeout_s: As in `sql`.
            columns: The columns of the result, in this order; None: all.
            limit: The largest number of rows; None: all.
        """
        location, locate_files = self._update_state_of(at), self._make_file_locator()
        database = self._unit_of_work.open_database_of(location.branch)
        values = validate_query_parameters(parameters)
        return UserQuery(database, query, location.position, locate_files, timeout_s, values, columns, limit)

    @contextmanager
    def _open_tables(self, at: RevisionSpec) -> Iterator[Revision]:
        """Open a revision whose paths of files lead to its bytes; see `Revision.locate_files`."""
        locate_files = self._make_file_locator()
        with self._unit_of_work.open_revision(at) as revision:
            locate_files(revision)
            yield revision

    def _make_file_locator(self) -> FileLocator:
        work, shown = self._unit_of_work, self._unit_of_work.workspace_position

        def locate_files(revision: Revision) -> None:
            # The workspace shows a revision of the branch in use; a path of another branch leads to DVC's cache.
            is_own = read_branch(revision.plain_connection) == work.branch_name
            revision.locate_files(shown if is_own else None, work.file_store.find_cache_folder)

        return locate_files

    def _update_state_of(self, at: RevisionSpec) -> Location:
        """Return where a revision is, after updating the state of its chain to it."""
        location = self._unit_of_work.locate_revision(at)
        with self._unit_of_work.open_revision(location):
            return location
