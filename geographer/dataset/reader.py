"""What can be done with a dataset without changing it: tables at any revision, the graph, history, files, proof."""

import html
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, TypedDict, Unpack

from geographer.base.progress import ProgressCallback, ignore_progress
from geographer.outputs.diff import Diff, compute_diff
from geographer.outputs.export import format_geojson_features, format_json_lines, format_query_json_lines, write_parquet
from geographer.outputs.history import read_history
from geographer.storage.database.dataset_folder import find_dataset_root
from geographer.storage.events import Event
from geographer.storage.log.read import read_event, read_events_between, resolve_revision
from geographer.storage.queries.read_tables import (
    Relation,
    TableFilter,
    find_related_ids,
    list_classes,
    read_table,
    run_user_query,
)
from geographer.storage.queries.table import Table
from geographer.storage.state.update import update_state
from geographer.storage.unit_of_work import UnitOfWork
from geographer.storage.workspace.checkout import CheckoutResult

if TYPE_CHECKING:
    import pyarrow as pa

    from geographer.storage.workspace.verify import Finding

RevisionSpec = str | int | None
"""A revision: a tag, a digest prefix, `@17`, `HEAD~2`, a date, a position; None is the head."""
Ids = str | int | Iterable[str | int]


class Filters(TypedDict, total=False):
    """Filters of rows; all that are given must hold.

    `where` is an SQL expression over the columns; `feature` and `raster` are one id or many (100,000 in one query);
    `relation` is 'contains' or 'intersects', of the rasters to the features.
    """

    where: str | None
    feature: Ids | None
    raster: Ids | None
    relation: Relation | None


class DatasetReader:
    """What can be done with a dataset without changing it: read it at any revision, check out files, verify."""

    def __init__(self, root: Path, *, command: str = "", progress: ProgressCallback = ignore_progress) -> None:
        """Use the dataset in the folder `root`; the log records `command` as the command line."""
        self.root = root
        self._unit_of_work = UnitOfWork(root, command=command, progress=progress)

    @classmethod
    def open(cls, path: str | Path = ".", *, command: str = "", progress: ProgressCallback = ignore_progress) -> Self:
        """Open the dataset in the folder `path`, or in the nearest folder above it; NotFoundError if there is none."""
        return cls(find_dataset_root(Path(path)), command=command, progress=progress)

    def features(self, at: RevisionSpec = None, **filters: Unpack[Filters]) -> Table:
        """Return the features with their geometry, selected by `Filters`."""
        return self.read_table("features", at, **filters)

    def rasters(self, at: RevisionSpec = None, **filters: Unpack[Filters]) -> Table:
        """Return the rasters with their footprint; selected as in `features`."""
        return self.read_table("rasters", at, **filters)

    def edges(self, at: RevisionSpec = None, **filters: Unpack[Filters]) -> Table:
        """Return which raster contains or intersects which feature, one row per pair; selected by filters."""
        return self.read_table("edges", at, **filters)

    def chips(self, at: RevisionSpec = None, **filters: Unpack[Filters]) -> Table:
        """Return the chips with their parents and their windows in the parents' pixels."""
        return self.read_table("chips", at, **filters)

    def labels(self, at: RevisionSpec = None, **filters: Unpack[Filters]) -> Table:
        """Return the labels of rasters; selected as in `features`."""
        return self.read_table("labels", at, **filters)

    def objects(self, at: RevisionSpec = None, **filters: Unpack[Filters]) -> Table:
        """Return the objects that instance and box labels list, one row per object and label.

        `instance` is the object's value in an instance label, and `pixels` its number of pixels. `box` (x0, y0, x1, y1)
        and `corners` (x, y) are in pixel coordinates of the raster: x is the column and y the row, both 0 at the outer
        corner of the first pixel. `visible` is the fraction of the object's area that lies on the raster. Columns that
        a kind of label does not have are null.
        """
        return self.read_table("objects", at, **filters)

    def splits(self, at: RevisionSpec = None, **filters: Unpack[Filters]) -> Table:
        """Return the part of each raster; null if a conflict excluded it. Selected as in `features`."""
        return self.read_table("splits", at, **filters)

    def tags(self, at: RevisionSpec = None) -> Table:
        """Return the tags with the position, digest and content digest of each."""
        return self.read_table("tags", at)

    def read_table(self, name: str, at: RevisionSpec = None, **filters: Unpack[Filters]) -> Table:
        """Return one of the tables of a revision as Arrow."""
        with self._unit_of_work.open_revision(at) as revision:
            return read_table(revision, name, _make_filter(filters))

    def format_json_lines(self, name: str, at: RevisionSpec = None, **filters: Unpack[Filters]) -> list[str]:
        """Return the rows of a table as JSON objects, geometry as GeoJSON."""
        with self._unit_of_work.open_revision(at) as revision:
            return format_json_lines(revision, name, _make_filter(filters))

    def format_geojson_features(self, name: str, at: RevisionSpec = None, **filters: Unpack[Filters]) -> list[str]:
        """Return the rows of `features` or `rasters` as GeoJSON features; UsageError if the table has no geometry."""
        with self._unit_of_work.open_revision(at) as revision:
            return format_geojson_features(revision, name, _make_filter(filters))

    def write_parquet(self, name: str, path: str | Path, at: RevisionSpec = None, **filters: Unpack[Filters]) -> None:
        """Write one of the tables as Parquet; as GeoParquet if it has a geometry."""
        with self._unit_of_work.open_revision(at) as revision:
            write_parquet(revision, name, _make_filter(filters), Path(path))

    def log(self, last: int | None = None) -> list[Event]:
        """Return the events, oldest first; only the `last` ones if given."""
        with self._unit_of_work.database.open_connection(log="r") as connection:
            return read_events_between(connection, last=last)

    def show(self, revision: RevisionSpec = None) -> Event:
        """Return the event that made a revision."""
        with self._unit_of_work.database.open_connection(log="r") as connection:
            return read_event(connection, resolve_revision(connection, revision))

    def history(self, identity: str | int) -> list[dict[str, Any]]:
        """Return every event that changed a feature or raster, oldest first; NotFoundError if none has that id."""
        with self._unit_of_work.open_revision() as revision:
            return read_history(revision, str(identity))

    def diff(self, a: RevisionSpec, b: RevisionSpec = None) -> Diff:
        """Return what was added, removed or changed between two revisions, object by object."""
        before, after = self._unit_of_work.resolve_revision(a), self._unit_of_work.resolve_revision(b)
        with self._unit_of_work.open_revision(max(before, after)) as revision:
            return compute_diff(revision, before, after)

    def sql(self, query: str, at: RevisionSpec = None) -> "pa.Table":
        """Run a read-only SELECT over the tables of a revision and return the result as Arrow.

        The tables are features, rasters, edges, chips, labels, objects, splits, events, tags and classes. UsageError if
        the query is not one SELECT, or DuckDB rejects it.
        """
        return run_user_query(self._unit_of_work.database, query, self._read_state_position(at))

    def sql_json_lines(self, query: str, at: RevisionSpec = None) -> list[str]:
        """Run a SELECT as `sql` does; return the rows as JSON objects, geometry as GeoJSON."""
        return format_query_json_lines(self._unit_of_work.database, query, self._read_state_position(at))

    def components(
        self,
        collection: str = "source",
        *,
        by: Literal["object", "overlap"] = "overlap",
        buffer: float = 0.0,
        where: str | None = None,
        at: RevisionSpec = None,
    ) -> Table:
        """Return the components of rasters that a split with the same arguments keeps together.

        Args:
            collection: The collection of the rasters.
            by: Connect rasters that show one 'object', or also those that 'overlap' in pixels.
            buffer: Also connect rasters within this geodesic distance in metres (WGS84).
            where: Only features for which this SQL expression is true count as objects.

        Returns:
            `raster_id` (text) and `component` (int64), ordered by `raster_id`; components are numbered from 0 by their
            smallest members.

        Raises:
            NotFoundError: the collection or a column does not exist.
            UsageError: the buffer is negative or not finite, or `where` is not one SQL expression.
        """
        from geographer.operations.split.groups import find_components

        with self._unit_of_work.open_revision(at) as revision:
            return Table(find_components(revision, collection, by=by, buffer=float(buffer), where=where))

    def classes(self, at: RevisionSpec = None) -> Table:
        """Return the classes by value: `class` (text), `value` (int32, 0 is background), `features` (int64)."""
        with self._unit_of_work.open_revision(at) as revision:
            return list_classes(revision)

    def compare_geographer(self, directory: str | Path, *, at: RevisionSpec = None) -> Table:
        """Return every edge on which a GeoGrapher 1.0 directory and this dataset disagree, with the reason.

        Only features and rasters that the directory names are compared. Errors are those of `import_geographer`.

        Returns:
            Text columns: feature_id, raster_id, was (`contains`, `intersects` or null: the relation in the old graph),
            now (the relation in this dataset), why.
        """
        from geographer.operations.add.geographer_directory import compare_edges, open_geographer_directory

        old = open_geographer_directory(Path(directory))
        with self._unit_of_work.open_revision(at) as revision:
            return Table(compare_edges(revision, old))

    def content_digest(self, at: RevisionSpec = None) -> str:
        """Return the digest of the state at a revision, independent of its history."""
        with self._unit_of_work.open_revision(at) as revision:
            return revision.compute_content_digest()

    def rasters_containing(self, features: Any, *, at: RevisionSpec = None) -> Any:
        """Return the ids of the rasters that contain a feature; for many features, a dictionary by feature."""
        return self._find_related_ids("feature", features, at, containing_only=True)

    def rasters_intersecting(self, features: Any, *, at: RevisionSpec = None) -> Any:
        """Return the ids of the rasters that contain or intersect a feature; one feature or many."""
        return self._find_related_ids("feature", features, at, containing_only=False)

    def features_contained_in(self, rasters: Any, *, at: RevisionSpec = None) -> Any:
        """Return the ids of the features that a raster contains; for many rasters, a dictionary by raster."""
        return self._find_related_ids("raster", rasters, at, containing_only=True)

    def features_intersecting(self, rasters: Any, *, at: RevisionSpec = None) -> Any:
        """Return the ids of the features that a raster contains or intersects; one raster or many."""
        return self._find_related_ids("raster", rasters, at, containing_only=False)

    def status(self) -> dict[str, Any]:
        """Return the head, the counts, classes, recipes and tags, and the position that the workspace shows."""
        head = self._unit_of_work.read_head()
        with self._unit_of_work.open_revision(head.position) as revision:
            counts = {name: revision.fetch_value(query) for name, query in _COUNT_QUERIES.items()}
            recipes = [f"{name} ({kind})" for name, kind in revision.fetch_rows("SELECT name, kind FROM recipes")]
            return {
                "root": str(self.root),
                "position": head.position,
                "digest": head.digest,
                "workspace": self._unit_of_work.workspace_position,
                **counts,
                "classes": [row[0] for row in revision.fetch_rows("SELECT class FROM classes ORDER BY value")],
                "recipes": recipes,
                "tags": [row[0] for row in revision.fetch_rows("SELECT tag FROM tags")],
            }

    def checkout(self, revision: RevisionSpec = None, *, to: str | Path | None = None) -> CheckoutResult:
        """Write the files of a revision to the workspace, or with its tables to the folder `to`, byte for byte.

        Raises:
            CorruptError: a file is missing or altered in cache and remote; the message names raster and features.
            ConflictError: the folder holds something else.
        """
        from geographer.outputs.export_folder import export_folder

        position = self._unit_of_work.resolve_revision(revision)
        if to is not None:
            with self._unit_of_work.open_revision(position) as revision_view:
                return export_folder(revision_view, self._unit_of_work.file_store, Path(to))
        head = self._unit_of_work.read_head().position
        return self._unit_of_work.checkout_workspace(position, is_requested=position != head)

    def verify(
        self, revision: RevisionSpec = None, *, expect: str | None = None, repair: bool = False
    ) -> "list[Finding]":
        """Read the whole log and every raster of a revision; return what differs from what was recorded.

        Args:
            revision: The revision whose files are checked.
            expect: A digest kept elsewhere, of an event or of the content; it reveals a truncated log.
            repair: Remove orphan files and rebuild the state; the log is never changed.
        """
        from geographer.storage.workspace.verify import verify_dataset

        work, position = self._unit_of_work, self._unit_of_work.resolve_revision(revision)
        update_state(work.database)
        shown = work.workspace_position
        return verify_dataset(
            work.database, work.file_store, position, workspace_position=shown, expected_digest=expect, repair=repair
        )

    def __repr__(self) -> str:
        status = self.status()
        return (
            f"Dataset('{self.root}', @{status['position']}: {status['features']:,} features, "
            f"{status['rasters']:,} rasters, {status['edges']:,} edges)"
        )

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th>{html.escape(name)}</th><td>{html.escape(_format_value(value))}</td></tr>"
            for name, value in self.status().items()
        )
        return f"<table>{rows}</table>"

    def _read_state_position(self, at: RevisionSpec) -> int:
        """Return the position of a revision after updating the state to it."""
        with self._unit_of_work.open_revision(at) as revision:
            return revision.position

    def _find_related_ids(
        self, subject: Literal["feature", "raster"], ids: Any, at: RevisionSpec, *, containing_only: bool
    ) -> Any:
        single = isinstance(ids, str | int)
        id_list = [ids] if single else list(ids)
        with self._unit_of_work.open_revision(at) as revision:
            related = find_related_ids(revision, subject, _ids_to_text(id_list), containing_only=containing_only)
        return related[str(ids)] if single else {value: related[str(value)] for value in id_list}


_COUNT_QUERIES = {
    "features": "SELECT count(*) FROM current_feature",
    "rasters": "SELECT count(*) FROM current_raster",
    "edges": "SELECT count(*) FROM current_edge",
    "chips": "SELECT count(*) FROM chips",
    "labels": "SELECT count(*) FROM current_label",
    "splits": "SELECT count(*) FROM current_split",
}


def _make_filter(filters: Filters) -> TableFilter:
    """Return the table filter of keyword arguments; one id or many, integers as text."""
    feature, raster = filters.get("feature"), filters.get("raster")
    unknown = filters.keys() - Filters.__annotations__.keys()
    if unknown:
        raise TypeError(f"unexpected keyword arguments: {', '.join(sorted(unknown))}")
    return TableFilter(
        where=filters.get("where"),
        feature=None if feature is None else _ids_to_text(feature),
        raster=None if raster is None else _ids_to_text(raster),
        relation=filters.get("relation"),
    )


def _ids_to_text(ids: Ids) -> list[str]:
    return [str(value) for value in ([ids] if isinstance(ids, str | int) else ids)]


def _format_value(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
