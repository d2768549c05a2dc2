"""The files of a worker that does not see the client's disk: inputs come from the store once, outputs go there."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from collections import OrderedDict, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

from geographer.base.executors.object_store import ObjectStore

CACHE_BYTES: Final = 20 << 30
"""How much a worker keeps of the inputs that it has fetched; the least recently used go first."""


class FetchedInput(NamedTuple):
    """An input of a task: its path as the function names it, its absolute path on the client, and its MD5."""

    path: str
    absolute: str
    md5: str


class InputCache:
    """Inputs that a worker process has fetched, by MD5, in a folder of its own; several threads may use it."""

    def __init__(self, folder: Path, limit: int = CACHE_BYTES) -> None:
        """Use a folder, of which files take at most `limit` bytes, or what one task needs if that is more."""
        self._folder, self._limit = folder, limit
        self._sizes: OrderedDict[str, int] = OrderedDict()
        self._lock = threading.Lock()
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def link_input(self, md5: str, store: ObjectStore, target: Path) -> None:
        """Give the object the path `target`, which keeps it if the cache drops it; fetch it unless it is there."""
        with self._lock:
            lock = self._locks[md5]
        with lock:
            path = self._folder / md5
            if md5 not in self._sizes:
                self._fetch_object(md5, store, path)
            target.parent.mkdir(parents=True, exist_ok=True)
            link_or_copy(path, target)
        with self._lock:
            self._sizes[md5] = target.stat().st_size
            self._sizes.move_to_end(md5)
            self._drop_oldest()

    def clear_inputs(self) -> None:
        """Drop all inputs that no task uses."""
        with self._lock:
            for md5 in list(self._sizes):
                self._drop_input(md5)

    def _fetch_object(self, md5: str, store: ObjectStore, path: Path) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".part")
        try:
            store.get_objects([(md5, temporary)])
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)

    def _drop_oldest(self) -> None:
        while len(self._sizes) > 1 and sum(self._sizes.values()) > self._limit:
            self._drop_input(next(iter(self._sizes)))

    def _drop_input(self, md5: str) -> None:
        lock = self._locks[md5]
        if lock.acquire(blocking=False):
            try:
                del self._sizes[md5]
                (self._folder / md5).unlink(missing_ok=True)
            finally:
                lock.release()
        else:
            self._sizes.move_to_end(md5)


class TaskFolder:
    """A folder with the files of one task, each at the client's absolute path below it.

    So a raster has its sidecar files beside it, and the relative sources of a VRT are where it expects them.
    """

    def __init__(self, folder: Path, inputs: Sequence[FetchedInput], outputs: Sequence[str]) -> None:
        self.folder = folder
        self._located = {file.path: self._place_file(file.absolute) for file in inputs}
        self._located |= {path: self._place_file(os.path.abspath(path)) for path in outputs}  # noqa: PTH100
        for path in outputs:
            self._located[path].parent.mkdir(parents=True, exist_ok=True)

    def locate_file(self, path: Path) -> Path:
        """Return where a file of the task is; a path that is not a file of the client is the worker's own."""
        return self._located.get(str(path), path)

    def fetch_inputs(self, inputs: Sequence[FetchedInput], cache: InputCache, store: ObjectStore) -> None:
        """Give each input its path."""
        for file in inputs:
            cache.link_input(file.md5, store, self._located[file.path])

    def restore_paths(self, text: str) -> str:
        """Return a message with the client's paths in place of those in this folder."""
        return text.replace(str(self.folder), "")

    def _place_file(self, absolute: str) -> Path:
        return self.folder / absolute.lstrip("/\\").replace(":", "")


@contextmanager
def make_task_folder(parent: Path, inputs: Sequence[FetchedInput], outputs: Sequence[str]) -> Iterator[TaskFolder]:
    """Make the folder of a task below `parent`, and delete it afterwards."""
    parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="task-", dir=parent))
    try:
        yield TaskFolder(folder, inputs, outputs)
    finally:
        with suppress(OSError):
            shutil.rmtree(folder)


def link_or_copy(source: Path, target: Path) -> None:
    """Make `target` a hard link of `source`, or a copy where the file system has no links."""
    try:
        target.hardlink_to(source)
    except FileExistsError:
        pass
    except OSError:
        shutil.copyfile(source, target)
