"""Viewer session: what the pages of one viewer share: map tables that follow the head, pictures, differences."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from threading import Lock, RLock
from typing import TYPE_CHECKING, Any, Final, TypeVar

from geographer.base.errors import GeographerError, NotFoundError
from geographer.storage.database.connection import interrupt_queries
from geographer.storage.events import Event
from geographer.viewer.map_tables import MapTables, open_map_database
from geographer.viewer.viewed_dataset import ViewedDataset

if TYPE_CHECKING:
    import pyarrow as pa

    from geographer.diff.difference import Diff
    from geographer.outputs.pictures.chip_pictures import ChipPicture

logger = logging.getLogger(__name__)

Value = TypeVar("Value")

_KEPT_PICTURES: Final = 200
_KEPT_DIFFS: Final = 4
_OLD_TABLES_S: Final = 10.0
"""So long requests that began earlier may read the tables before the last ones."""
_KEPT_CHAINS: Final = 3
"""So many other chains keep their map tables in memory."""
_NO_PIXELS: Final = "A footprint in a catalogue, without pixels."


class RecentValues:
    """Values by key, of which the most recently used ones are kept; each is made by one thread."""

    def __init__(self, size: int) -> None:
        self._size, self._values, self._lock = size, OrderedDict[Hashable, Any](), RLock()

    def read_value(self, key: Hashable, make_value: Callable[[], Value]) -> Value:
        """Return the value of a key, which `make_value` makes unless it is kept."""
        with self._lock:
            if key not in self._values:
                self._values[key] = make_value()
                if len(self._values) > self._size:
                    self._values.popitem(last=False)
            self._values.move_to_end(key)
            value: Value = self._values[key]
            return value


class ViewerSession:
    """One dataset that is viewed, from the position at which the page begins."""

    def __init__(self, dataset: ViewedDataset, position: int, *, begins_at_head: bool = False) -> None:
        self.dataset, self._start, self._begins_at_head = dataset, position, begins_at_head
        self._resources = ExitStack()
        self._building = Lock()
        self._number = 0
        self._tables: list[MapTables] = []
        self._head_digest, self._built_at = "", 0.0
        self._used_at = time.monotonic()
        self._copying: Future[None] | None = None
        self.replaced = False
        """Whether a merge replaced events that pages have shown: they must be loaded again."""
        self._pictures, self._diffs = RecentValues(_KEPT_PICTURES), RecentValues(_KEPT_DIFFS)
        self._others, self._choosing = OrderedDict[str, ViewerSession](), Lock()

    def close(self) -> None:
        """Free the memory and the temporary folder."""
        if self._copying is not None:
            interrupt_queries()
            wait([self._copying])
        for other in self._others.values():
            other.close()
        self._resources.close()

    def begin_reading(self) -> None:
        """Make the map tables in another thread, so that they are ready when a page asks."""
        if self._copying is None:
            pool = ThreadPoolExecutor(1, "geographer-copy")
            self._copying = pool.submit(warn_of_failed_start, self)
            pool.shutdown(wait=False)

    @property
    def start_position(self) -> int:
        """The position at which a page begins: that which was asked for, or the head."""
        return self.map_tables.head if self._begins_at_head else self._start

    def choose_chain(self, name: str) -> ViewerSession:
        """Return the session of a chain, by default of that at which the viewer began; a chosen one begins at its head.

        Raises:
            NotFoundError: the log has no such branch.
        """
        if not name or name == self.dataset.chain:
            return self
        with self._choosing:
            if name not in self._others:
                dataset = self.dataset.open_chain(name)
                self._others[name] = ViewerSession(dataset, dataset.read_chain_head().position, begins_at_head=True)
            self._others.move_to_end(name)
            self._close_oldest()
            self._others[name]._used_at = time.monotonic()
            return self._others[name]

    def _close_oldest(self) -> None:
        """Free the memory of the chain that was not used for the longest time, if no request reads it any more."""
        oldest = next(iter(self._others.values()))
        if len(self._others) > _KEPT_CHAINS and time.monotonic() > oldest._used_at + _OLD_TABLES_S:
            self._others.popitem(last=False)[1].close()

    @property
    def map_tables(self) -> MapTables:
        """The last map tables; the first call makes them, which takes a second for a million features."""
        if self._tables:
            return self._tables[-1]
        with self._building:
            if not self._tables:
                self._build_tables()
            return self._tables[-1]

    def follow_head(self) -> Event:
        """Return the head; if it has moved, make the map tables again, while other requests read the old ones."""
        head = self.dataset.read_chain_head()
        with self._building:
            if len(self._tables) > 1 and time.monotonic() > self._built_at + _OLD_TABLES_S:
                self._tables.pop(0).drop_tables()
            if self._tables and head.digest != self._head_digest:
                self._build_tables()
        return head

    def read_diff(self, since: int, at: int) -> Diff:
        """Return what differs between two positions, with flags; its objects can be shown on the map afterwards."""

        def compute_diff() -> Diff:
            dataset = self.dataset
            with dataset.wait_for_turn():
                return dataset.diff(dataset.name_position(since), dataset.name_position(at), flags=True)

        tables = self.map_tables
        for position in (since, at):
            tables.require_position(position)
        diff = self._diffs.read_value((self._head_digest, since, at), compute_diff)
        for subject, kind in (("features", "feature"), ("rasters", "raster")):
            tables.stage_table(("changes", subject, since, at), lambda kind=kind: _list_changed_keys(diff, kind))  # type: ignore[misc]
        return diff

    def prepare_diff(self, since: int, at: int) -> None:
        """Make what the map shows of a difference, unless it was made before."""
        if self.map_tables.find_staged(("changes", "rasters", since, at)) is None:
            self.read_diff(since, at)

    def stage_components(self, at: int, split: str) -> str:
        """Return the table of the components of a split's rasters; the map can show them afterwards."""
        tables = self.map_tables
        tables.require_position(at)
        return tables.stage_table(("components", at, split), lambda: self.dataset.read_components(at, split))

    def read_picture(self, at: int, raster_id: str) -> ChipPicture:
        """Return the picture of a raster with its labels, from the bytes that this machine has."""
        from geographer.outputs.pictures.chip_pictures import ChipPicture, PictureOptions

        def draw_picture() -> ChipPicture:
            if self.dataset.read_storage(at, raster_id) == "catalogue":
                return ChipPicture(raster_id, 0, 0, None, {}, {}, {}, _NO_PIXELS)
            pictures = self.dataset.read_pictures(at, [raster_id], PictureOptions())
            if not pictures:
                raise NotFoundError(f"no raster '{raster_id}' at @{at}.")
            return pictures[0]

        self.map_tables.require_position(at)
        return self._pictures.read_value((self._head_digest, at, raster_id), draw_picture)

    def _build_tables(self) -> None:
        with self.dataset.wait_for_turn():
            head = self.dataset.read_chain_head()
            if not self._tables:
                source = self.dataset.open_map_source()
                self._database = self._resources.enter_context(open_map_database(source))
            elif self._tables[-1].head > head.position or not self._has_same_events(head):
                self.replaced = True
            self.dataset.open_map_source()
            self._number += 1
            tables = MapTables(self._database, head.position, self._number, self.dataset.wait_for_turn)
            tables.fill_tables()
        self._tables.append(tables)
        self._head_digest, self._built_at = head.digest, time.monotonic()

    def _has_same_events(self, head: Event) -> bool:
        """Return whether the events that pages have shown are still in the chain."""
        old = self._tables[-1].head
        return old <= head.position and self.dataset.read_event_at(old).digest == self._head_digest


def _list_changed_keys(diff: Diff, kind: str) -> pa.Table:
    """Return `key` (of the new version, or of the old one of what was removed) and `change` of a kind's changes."""
    import pyarrow as pa
    import pyarrow.compute as pc

    table = diff.changes.get(kind)
    if table is None or not len(table):
        return pa.table({"key": pa.array([], pa.int64()), "change": pa.array([], pa.string())})
    sides = [pc.struct_field(table[side].combine_chunks(), f"{kind}_key") for side in ("new", "old")]
    return pa.table({"key": pc.coalesce(*sides), "change": table["change"]})


@contextmanager
def open_session(dataset: ViewedDataset, position: int, *, begins_at_head: bool = False) -> Iterator[ViewerSession]:
    """Yield a session; free what it holds at the end."""
    session = ViewerSession(dataset, position, begins_at_head=begins_at_head)
    try:
        yield session
    finally:
        session.close()


def warn_of_failed_start(session: ViewerSession) -> None:
    """Make the map tables before the first request; an error is logged, and raised again when a page asks."""
    try:
        session.map_tables  # noqa: B018
    except GeographerError as error:
        logger.warning("%s", error)
