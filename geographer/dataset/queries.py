"""What a dataset answers: its tables at any revision, its graph, its history, and how it shows itself."""

from __future__ import annotations

import html
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from geographer.outputs.export import format_geojson_features, format_json_lines, format_query_json_lines, write_parquet
from geographer.storage.log.read import read_event, read_events_between, resolve_revision
from geographer.storage.queries.table import Table
from geographer.storage.queries.tables import TableFilter, find_related_ids, read_table, run_user_query

if TYPE_CHECKING:
    import pyarrow as pa

    from geographer.outputs.diff import Diff
    from geographer.storage.events import Event
    from geographer.storage.unit_of_work import UnitOfWork

Rev = str | int | None
"""A revision: a tag, a digest prefix, `@17`, `HEAD~2`, a date, a position; None is the head."""


class Readings:
    """The reading half of `Dataset`: `root` is the dataset's folder; nothing here changes anything."""

    root: Path
    _recorder: UnitOfWork

    def features(self, at: Rev = None, **wanted: Any) -> Table:
        """Features with their geometry; `where`, `feature`, `raster`, `relation` narrow them down.

        `where` is a SQL expression over the columns; `feature` and `raster` are an id or many, 100,000 in one query;
        `relation` is 'contains' or 'intersects', of the rasters to the features.
        """
        return self.table("features", at, **wanted)

    def rasters(self, at: Rev = None, **wanted: Any) -> Table:
        """Rasters with their footprint; narrowed as `features`."""
        return self.table("rasters", at, **wanted)

    def edges(self, at: Rev = None, **wanted: Any) -> Table:
        """Which raster contains or intersects which feature: one row a pair; narrowed as `features`."""
        return self.table("edges", at, **wanted)

    def chips(self, at: Rev = None, **wanted: Any) -> Table:
        """Chips: their parents and windows in the parents' pixels."""
        return self.table("chips", at, **wanted)

    def labels(self, at: Rev = None, **wanted: Any) -> Table:
        """Labels of rasters; narrowed as `features`."""
        return self.table("labels", at, **wanted)

    def objects(self, at: Rev = None, **wanted: Any) -> Table:
        """What instance and box labels list: one row for each object of each label; narrowed as `features`.

        `instance` is the object's value in an instance label, and `pixels` how many pixels have it. `box` (x0, y0, x1,
        y1) and `corners` (x, y) are in pixel coordinates of the raster: x is the column and y the row, both 0 at the
        outer corner of the first pixel. `visible` is the share of the object's area that lies on the raster. What a
        kind of label doesn't tell is null.
        """
        return self.table("objects", at, **wanted)

    def splits(self, at: Rev = None, **wanted: Any) -> Table:
        """Which part each raster is assigned to; no part means left out by a decision. Narrowed as `features`."""
        return self.table("splits", at, **wanted)

    def tags(self, at: Rev = None) -> Table:
        """The tags with the position, digest and content digest of each."""
        return self.table("tags", at)

    def table(self, name: str, at: Rev = None, **wanted: Any) -> Table:
        """One of the tables of a revision, as Arrow."""
        with self._recorder.open_revision(at) as view:
            return read_table(view, name, _filter(wanted))

    def json_lines(self, name: str, at: Rev = None, **wanted: Any) -> list[str]:
        """One of the tables, each row as a JSON object with its geometry as GeoJSON."""
        with self._recorder.open_revision(at) as view:
            return format_json_lines(view, name, _filter(wanted))

    def geojson_features(self, name: str, at: Rev = None, **wanted: Any) -> list[str]:
        """Features or rasters, each row as a GeoJSON feature.

        Raises:
            UsageError: the table has no geometry.
        """
        with self._recorder.open_revision(at) as view:
            return format_geojson_features(view, name, _filter(wanted))

    def write_parquet(self, name: str, path: str | Path, at: Rev = None, **wanted: Any) -> None:
        """One of the tables as a Parquet file; GeoParquet where it has a geometry."""
        with self._recorder.open_revision(at) as view:
            write_parquet(view, name, _filter(wanted), Path(path))

    def log(self, last: int | None = None) -> list[Event]:
        """The events, oldest first; only the `last` of them when that is given."""
        with self._recorder.database.open_connection(log="r") as connection:
            return read_events_between(connection, last=last)

    def show(self, revision: Rev = None) -> Event:
        """The event that made a revision."""
        with self._recorder.database.open_connection(log="r") as connection:
            return read_event(connection, resolve_revision(connection, revision))

    def history(self, identity: str | int) -> list[dict[str, Any]]:
        """Every event that touched a feature or raster, oldest first.

        Raises:
            NotFoundError: no event ever did.
        """
        from geographer.outputs.history import read_history

        with self._recorder.open_revision() as view:
            return read_history(view, str(identity))

    def diff(self, a: Rev, b: Rev = None) -> Diff:
        """What was added, removed or changed between two revisions, object by object."""
        from geographer.outputs.diff import compute_diff

        before, after = self._recorder.resolve_revision(a), self._recorder.resolve_revision(b)
        with self._recorder.open_revision(max(before, after)) as view:
            return compute_diff(view, before, after)

    def sql(self, query: str, at: Rev = None) -> pa.Table:
        """The answer of a read-only SELECT over the tables of a revision.

        They are features, rasters, edges, chips, labels, objects, splits, events, tags and classes.

        Raises:
            UsageError: it is not one SELECT, or DuckDB refuses it.
        """
        return run_user_query(self._recorder.database, query, self._projected(at))

    def sql_json_lines(self, query: str, at: Rev = None) -> list[str]:
        """The same as JSON objects, one for each row, geometry as GeoJSON."""
        return format_query_json_lines(self._recorder.database, query, self._projected(at))

    def components(
        self,
        collection: str = "source",
        *,
        by: Literal["object", "overlap"] = "overlap",
        buffer: float = 0.0,
        where: str | None = None,
        at: Rev = None,
    ) -> Table:
        """The clusters of rasters that must stay together: those that a split with the same arguments never parts.

        Args:
            collection: Whose rasters.
            by: What binds them: that they show one 'object', or also that they 'overlap' in pixels.
            buffer: Or that they lie within so many metres of each other, geodesic on WGS84.
            where: Only the features for which this SQL expression is true count as objects.
            at: The revision.

        Returns:
            `raster_id` (text) and `component` (int64), in the order of `raster_id`; components are numbered from 0 by
            their smallest members.

        Raises:
            NotFoundError: no such collection or column.
            UsageError: the buffer is negative or not finite, or `where` is not one SQL expression.
        """
        from geographer.operations.split.groups import clusters

        with self._recorder.open_revision(at) as view:
            return Table(clusters(view, collection, by=by, buffer=float(buffer), where=where))

    def content_digest(self, at: Rev = None) -> str:
        """The identity of the state at a revision, whatever its history: cite it beside the event's digest."""
        with self._recorder.open_revision(at) as view:
            return view.compute_content_digest()

    def rasters_containing(self, features: Any, *, at: Rev = None) -> Any:
        """The rasters that contain a feature; for many features, a dictionary with each feature's."""
        return self._neighbours("feature", features, at, containing_only=True)

    def rasters_intersecting(self, features: Any, *, at: Rev = None) -> Any:
        """The rasters that intersect a feature, those that contain it included; one feature or many."""
        return self._neighbours("feature", features, at, containing_only=False)

    def features_contained_in(self, rasters: Any, *, at: Rev = None) -> Any:
        """The features that a raster contains; for many rasters, a dictionary with each raster's."""
        return self._neighbours("raster", rasters, at, containing_only=True)

    def features_intersecting(self, rasters: Any, *, at: Rev = None) -> Any:
        """The features that a raster intersects, those that it contains included; one raster or many."""
        return self._neighbours("raster", rasters, at, containing_only=False)

    def status(self) -> dict[str, Any]:
        """Where the dataset stands: head, counts, recipes, tags, and what the workspace shows."""
        head = self._recorder.read_head()
        with self._recorder.open_revision(head.position) as view:
            counts = {name: view.fetch_value(f"SELECT count(*) FROM {source}") for name, source in _COUNTED.items()}  # noqa: S608
            recipes = [f"{name} ({kind})" for name, kind in view.fetch_rows("SELECT name, kind FROM recipes")]
            return {
                "root": str(self.root),
                "position": head.position,
                "digest": head.digest,
                "workspace": self._recorder.workspace_position,
                **counts,
                "classes": [row[0] for row in view.fetch_rows("SELECT class FROM classes ORDER BY value")],
                "recipes": recipes,
                "tags": [row[0] for row in view.fetch_rows("SELECT tag FROM tags")],
            }

    def __repr__(self) -> str:
        status = self.status()
        return (
            f"Dataset('{self.root}', @{status['position']}: {status['features']:,} features, "
            f"{status['rasters']:,} rasters, {status['edges']:,} edges)"
        )

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th>{html.escape(name)}</th><td>{html.escape(_shown(value))}</td></tr>"
            for name, value in self.status().items()
        )
        return f"<table>{rows}</table>"

    def _projected(self, at: Rev) -> int:
        """The position of a revision that the projection has come to."""
        with self._recorder.open_revision(at) as view:
            return view.position

    def _neighbours(self, given: Literal["feature", "raster"], ids: Any, at: Rev, *, containing_only: bool) -> Any:
        single = isinstance(ids, str | int)
        asked = [ids] if single else list(ids)
        with self._recorder.open_revision(at) as view:
            found = find_related_ids(view, given, _texts(asked), containing_only=containing_only)
        return found[str(ids)] if single else {one: found[str(one)] for one in asked}


_COUNTED = {
    "features": "feature_now",
    "rasters": "raster_now",
    "edges": "edge_now",
    "chips": "chips",
    "labels": "label_now",
    "splits": "split_now",
}


def _filter(wanted: dict[str, Any]) -> TableFilter:
    """One id or many; ids may be whole numbers, and the graph knows them as text."""
    ids = {key: _texts(wanted[key]) for key in ("feature", "raster") if wanted.get(key) is not None}
    return TableFilter(**{**wanted, **ids})


def _texts(ids: Any) -> list[str]:
    return [str(one) for one in ([ids] if isinstance(ids, str | int) else ids)]


def _shown(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
