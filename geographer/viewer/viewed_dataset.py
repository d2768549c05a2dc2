"""Viewed dataset: one chain of a dataset, read by one thread at a time; no file is locked between two reads."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any, Final

from geographer.base.errors import NotFoundError, UsageError
from geographer.base.text import quote_start
from geographer.dataset.filters import RevisionSpec
from geographer.dataset.reader import DatasetReader
from geographer.outputs.history import read_history
from geographer.storage.database.connection import Database
from geographer.storage.log.branches import Location
from geographer.storage.log.read import read_event, read_events_between
from geographer.storage.queries.revision import Revision

if TYPE_CHECKING:
    import pyarrow as pa

    from geographer.outputs.pictures.chip_pictures import ChipPicture, PictureOptions
    from geographer.sharing.branches import Branch
    from geographer.storage.events import Event

_CHIPS: Final = "SELECT raster_id FROM current_raster WHERE parent_id = $id ORDER BY raster_key LIMIT $limit"
_SQL: Final = Path(__file__).parent / "sql"
_LABELS: Final = "SELECT label FROM current_label WHERE raster_id = $id ORDER BY label"
_SUBSETS: Final = "SELECT split, part FROM current_split WHERE raster_id = $id ORDER BY split"
_STORAGE: Final = "SELECT storage, parent_id FROM current_raster WHERE raster_id = $id"
_SPLIT_RECIPE: Final = "SELECT parameters FROM recipes WHERE name = $name AND kind = 'split'"


class ViewedDataset(DatasetReader):
    """A dataset that is open for viewing: the chain of one revision, read by one thread at a time.

    DuckDB's locks are those of a process: if one thread closed a file that another one reads, other processes could
    write it. So the methods here wait for each other.
    """

    def __init__(self, root: Path, **options: Any) -> None:
        super().__init__(root, **options)
        self._reading = RLock()
        self.chain = self._unit_of_work.branch_name
        """The chain that is shown: a branch, or what was fetched of a remote's one."""

    def choose_revision(self, at: RevisionSpec) -> int:
        """Show the chain of a revision, and return its position."""
        with self._reading:
            self.chain, position = self._unit_of_work.locate_revision(at)
        return position

    def open_chain(self, name: str) -> ViewedDataset:
        """Return the dataset with another chain: a branch, or a fetched one; threads wait for each other at both.

        Raises:
            NotFoundError: the log has no such branch.
        """
        names = [branch.name for branch in self.list_chains()]
        if name not in names:
            raise NotFoundError(f"no branch '{quote_start(name)}'. The branches are {', '.join(names[:20])}.")
        other = ViewedDataset(self.root, progress=self._unit_of_work.progress)
        other._reading, other.chain = self._reading, name
        return other

    def list_chains(self) -> list[Branch]:
        """Return the branches by name, then the fetched ones."""
        from geographer.sharing.branches import list_branches

        with self._reading:
            return list_branches(self._unit_of_work)

    def open_map_source(self) -> Database:
        """Return the database of the chain, whose state is up to date."""
        with self._reading, self._unit_of_work.open_revision(self._unit_of_work.locate_head(self.chain)):
            return self._unit_of_work.open_database_of(self.chain)

    @contextmanager
    def wait_for_turn(self) -> Iterator[None]:
        """Let no other thread read the dataset's files during the block."""
        with self._reading:
            yield

    def read_chain_head(self) -> Event:
        """Return the last event of the chain, which other commands may have moved."""
        with self._reading:
            database = self._unit_of_work.open_database_of(self.chain)
            position = self._unit_of_work.locate_head(self.chain).position
            with database.open_connection(log="r") as connection:
                return read_event(connection, position)

    def read_event_at(self, position: int) -> Event:
        """Return the event at a position of the chain."""
        with self._reading, self._unit_of_work.open_database_of(self.chain).open_connection(log="r") as connection:
            return read_event(connection, position)

    def list_events(self, first: int, last: int) -> list[Event]:
        """Return the events of the chain from a position to another one, oldest first."""
        with self._reading, self._unit_of_work.open_database_of(self.chain).open_connection(log="r") as connection:
            return read_events_between(connection, up_to=last, last=last - first + 1)

    @contextmanager
    def open_position(self, position: int) -> Iterator[Revision]:
        """Open the revision at a position of the chain; other threads wait."""
        with self._reading, self._unit_of_work.open_revision(Location(self.chain, position)) as revision:
            yield revision

    def name_position(self, position: int) -> RevisionSpec:
        """Return how the methods of `DatasetReader` name a position of the chain."""
        if self.chain == self._unit_of_work.branch_name:
            return position
        return self.read_event_at(position).digest

    def read_storage(self, position: int, raster_id: str) -> str:
        """Return how a raster is stored: 'dvc', 'reference' or 'catalogue'; `NotFoundError` if there is none."""
        with self.open_position(position) as revision:
            storage = revision.fetch_value(_STORAGE, {"id": raster_id})
        if storage is None:
            raise NotFoundError(f"no raster '{quote_start(raster_id)}' at @{position}. See geographer rasters.")
        return str(storage)

    def read_pictures(self, position: int, raster_ids: list[str], options: PictureOptions) -> list[ChipPicture]:
        """Return pictures of rasters at a position; nothing is fetched unless the options say so."""
        from geographer.outputs.pictures.chip_pictures import read_chip_pictures

        with self.open_position(position) as revision:
            return [*read_chip_pictures(revision, self.root, self._unit_of_work.file_store, raster_ids, options)]

    def read_components(self, position: int, split: str) -> pa.Table:
        """Return the component of each raster that a split assigns, as its recipe groups them: `id`, `component`.

        Raises:
            NotFoundError: the revision has no recipe of such a split.
        """
        import pyarrow as pa

        from geographer.planning.split_constraints.groups import list_components

        with self.open_position(position) as revision:
            text = revision.fetch_value(_SPLIT_RECIPE, {"name": split})
            if text is None:
                raise NotFoundError(f"no recipe of a split '{split}' at @{position}. See geographer status.")
            parameters = json.loads(text)
            components = list_components(revision, parameters["collection"], parameters)
        ids, numbers = pa.array(components, pa.string()), pa.array(components.values(), pa.int64())
        return pa.table({"id": ids, "component": numbers})

    def read_object(self, position: int, subject: str, identity: str) -> dict[str, Any]:
        """Return the columns of a feature or raster, its geometry as GeoJSON; `NotFoundError` if there is none."""
        values: dict[str, Any] = {"feature_id" if subject == "feature" else "raster_id": identity}
        with self._reading:
            try:
                lines = self.format_json_lines(f"{subject}s", self.name_position(position), **values)
            except UsageError:  # The ids of all features are integers, and this one is not.
                lines = []
        if not lines:
            name = quote_start(identity)
            raise NotFoundError(f"no {subject} '{name}' at @{position}. Choose a revision that has it.")
        row: dict[str, Any] = json.loads(lines[0])
        return row

    def list_history(self, subject: str, identity: str) -> list[dict[str, Any]]:
        """Return the events of the chain that touched a feature or raster, oldest first; see `read_history`."""
        with self._reading, self._unit_of_work.open_tables(self._unit_of_work.locate_head(self.chain)) as (tables, _):
            return read_history(tables, f"{subject}:{identity}")

    def list_relations(self, position: int, subject: str, identity: str, limit: int) -> Mapping[str, Any]:
        """Return what a feature or raster is related to: at most `limit` of each, and whether there are more."""
        with self.open_position(position) as revision:
            values = {"id": identity, "limit": limit + 1}
            if subject == "feature":
                return {"rasters": _list_rows(revision, (_SQL / "related_rasters.sql").read_text(), values)}
            related = {
                "features": _list_rows(revision, (_SQL / "related_features.sql").read_text(), values),
                "chips": _list_rows(revision, _CHIPS, values),
            }
            one = {"id": identity}
            storage, parent = revision.fetch_rows(_STORAGE, one)[0]
            labels = [name for (name,) in revision.fetch_rows(_LABELS, one)]
            subsets = dict(revision.fetch_rows(_SUBSETS, one))
            return {**related, "labels": labels, "subsets": subsets, "storage": storage, "parent": parent}


def _list_rows(revision: Revision, query: str, values: dict[str, Any]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = revision.fetch_arrow(query, values).to_pylist()
    return rows
