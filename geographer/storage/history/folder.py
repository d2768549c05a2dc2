"""History folder: bring `history/`, its `.dvc` file and the lock file up to the head of the log.

Each step is atomic, and the lock file comes last: after a crash, the log is right, and the next command catches up.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from itertools import takewhile
from pathlib import Path
from typing import Annotated, Final, NamedTuple

import duckdb
import msgspec
from msgspec import Meta

from geographer.base.atomic_files import add_line, temporary_sibling, translate_os_errors, write_atomic
from geographer.base.errors import ConflictError, CorruptError, StorageError, UnsupportedVersionError
from geographer.storage.database.connection import Database, open_cursor, set_branch
from geographer.storage.database.dataset_folder import GEOGRAPHER_FOLDER, LOCK_FILE, require_real_folder
from geographer.storage.dvc.cache_folder import KnownCacheFolder, find_cache_folder
from geographer.storage.dvc.dvc_files import FolderEntry, compute_address, compute_md5, encode_dvc_file, encode_listing
from geographer.storage.events import Head
from geographer.storage.history.lock_file import LOCK_FORMAT, SEGMENT_SUFFIX, Lock, read_lock, write_lock
from geographer.storage.log.ancestry import has_merge, read_ancestry
from geographer.storage.log.branches import find_chain_of
from geographer.storage.log.chain import create_chain_views
from geographer.storage.log.read import read_event, read_head

logger = logging.getLogger(__name__)

HISTORY_FOLDER: Final = "history"
HISTORY_DVC_FILE: Final = f"{HISTORY_FOLDER}.dvc"
_READ_ONLY: Final = 0o444
_FILE_NAME: Final = re.compile(rf"[0-9a-f]{{64}}{re.escape(SEGMENT_SUFFIX)}")
_LOCK_TIMEOUT_S: Final = 60.0
_MAX_DIGESTS: Final = 32
_CONTENT_TABLES: Final = tuple(
    f"{name}_change" for name in ("class", "feature", "raster", "label", "label_object", "split")
)
"""The row tables that the content digest covers."""


class SegmentFile(msgspec.Struct, frozen=True):
    """A segment in the history folder: its name, the positions of its events, its MD5 and its size in bytes.

    `is_shared` is true if it has events of another branch, too, after the last one.
    """

    name: str
    first: int
    last: int
    md5: str
    size: int
    is_shared: bool = False

    @property
    def file_name(self) -> str:
        """The name of its file."""
        return f"{self.name}{SEGMENT_SUFFIX}"


class HistoryMemory(msgspec.Struct, frozen=True):
    """What the last command left.

    Attributes:
        head: The digest of the head that the folder and the lock file have.
        branch: Its branch.
        position: Its position; 0: not known, because the files came from elsewhere.
        content_digest: The content digest in the lock file; empty: not known.
        segments: The segments of the events up to the head.
        statuses: The status of the lock file, the `.dvc` file and the folder.
        checked_files: The MD5s of segment files whose rows were compared with the digests of their events, each with
            the status of the file.
        cache: The folder of DVC's cache.
        content_digests: The content digests of the heads that the lock file last had, by the heads' digests: `switch`
            goes back and forth between them.
    """

    head: str = ""
    branch: str = ""
    position: Annotated[int, Meta(ge=0)] = 0
    content_digest: str = ""
    segments: list[SegmentFile] = []
    statuses: dict[str, str] = {}
    checked_files: dict[str, str] = {}
    cache: KnownCacheFolder | None = None
    content_digests: dict[str, str] = {}


class _ReadFile(NamedTuple):
    """A segment's file, and the digests of its events."""

    path: Path
    digests: list[str]


class _Segments(NamedTuple):
    """The segments of all events, the oldest first, and the files whose events they hold, too."""

    current: list[SegmentFile]
    obsolete_files: set[str]


class HistoryFolder:
    """The history folder, its `.dvc` file and the lock file of the dataset in `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / HISTORY_FOLDER
        self._memory_path = root / GEOGRAPHER_FOLDER / "history.json"

    def read_memory(self) -> HistoryMemory:
        """Read what the last command left; nothing if that is missing or damaged."""
        try:
            return msgspec.json.decode(self._memory_path.read_bytes(), type=HistoryMemory)
        except (OSError, ValueError, msgspec.MsgspecError):
            return HistoryMemory()

    def is_unchanged(self, memory: HistoryMemory) -> bool:
        """Return whether lock file, `.dvc` file and folder have the status that the last command left."""
        return bool(memory.statuses) and memory.statuses == self._read_statuses()

    def list_segment_paths(self) -> list[Path]:
        """Return the files of segments in the folder, by name."""
        with suppress(OSError):
            return sorted(path for path in self.folder.iterdir() if _FILE_NAME.fullmatch(path.name) and path.is_file())
        return []

    def add_file(self, source: Path, name: str) -> None:
        """Put a segment into the folder, as a hard link to an object of the cache where that is possible."""
        with translate_os_errors(self.folder):
            require_real_folder(self.folder)
            self.folder.mkdir(exist_ok=True)
        _link_object(source, self.folder / name)

    def forget_files(self) -> None:
        """Forget what the last command left: the next one looks at every file."""
        self._memory_path.unlink(missing_ok=True)

    def write_head(self, database: Database, compute_content_digest: Callable[[int], str]) -> None:
        """Bring segments, `.dvc` file and lock file up to the head of the log, at the cost of what is new.

        `compute_content_digest` returns the content digest of the revision at a position. Segments that hold events
        which the log lacks are kept. Nothing is done if all is as the last command left it.

        Raises:
            ConflictError: something else than a folder is in its place.
            StorageError: the disk is full or cannot be written; the next command catches up.
        """
        memory = self.read_memory()
        with database.open_connection(log="r") as connection:
            head = read_head(connection)
        is_known = (memory.head, memory.branch) == (head.digest, database.branch)
        if is_known and memory.content_digest and self.is_unchanged(memory):
            return
        with self.hold_lock():
            self._write_head(database, compute_content_digest)

    def _write_head(self, database: Database, compute_content_digest: Callable[[int], str]) -> None:
        memory = self.read_memory()
        with database.open_connection(log="r") as connection:
            head = read_head(connection)
            create_chain_views(connection)
            if not self._is_own_lock(connection, memory):
                return
            with translate_os_errors(self.folder):
                require_real_folder(self.folder)
                self.folder.mkdir(exist_ok=True)
                cache = find_cache_folder(self.root, memory.cache)
                segments = self._write_segments(connection, head, memory)
                tracked = self._find_tracked_files(connection, head, database.branch, Path(cache.folder), memory)
            dataset = read_event(connection, 1).digest
            is_known = memory.content_digest and not _has_content(connection, memory, head)
        content_digest = memory.content_digests.get(head.digest, "") or (memory.content_digest if is_known else "")
        content_digest = content_digest or compute_content_digest(head.position)
        if tracked is None:
            self._track_segments(segments, Path(cache.folder), memory)
        for path, md5 in (tracked or {}).items():
            _link_object(path, Path(cache.folder) / md5[:2] / md5[2:])
        write_lock(self.root, Lock(LOCK_FORMAT, dataset, database.branch, head.digest, content_digest))
        checked = self._remember_files(memory, {segment.file_name: segment.md5 for segment in segments.current})
        self._write_memory(
            HistoryMemory(
                *(head.digest, database.branch, head.position, content_digest, segments.current),
                checked_files=checked,
                cache=cache,
                content_digests=_remember_digest(memory, head.digest, content_digest),
            )
        )

    def _find_tracked_files(
        self, connection: duckdb.DuckDBPyConnection, head: Head, branch: str, cache_folder: Path, memory: HistoryMemory
    ) -> dict[Path, str] | None:
        """Return the MD5s of the files that the `.dvc` file tracks, if it came by Git with the lock file of the head.

        None if it is to be written again: the lock file is at another event, or the files lack events, or differ. Else
        the `.dvc` file stays, so that a checkout of Git is not followed by a change that Git would show. Files that
        were joined to others since come back from the cache.
        """
        from geographer.storage.dvc.dvc_check import read_dvc_file, read_listing
        from geographer.storage.dvc.retained import is_object_name
        from geographer.storage.history.segments import read_segment_digests

        lock = read_lock(self.root)
        if lock is None or (lock.head, lock.branch) != (head.digest, branch):
            return None
        try:
            address = read_dvc_file(self.root / HISTORY_DVC_FILE).address
            listing = read_listing(cache_folder / address[:2] / address[2:], address) or {}
            digests: set[str] = set()
            for name, md5 in listing.items():
                if not (_FILE_NAME.fullmatch(name) and is_object_name(md5)):
                    return None
                path, stored = self.folder / name, cache_folder / md5[:2] / md5[2:]
                if not path.exists() and stored.is_file():
                    self.add_file(stored, name)
                if (_find_known_md5(path, memory) or compute_md5(path)) != md5:
                    return None
                digests.update(read_segment_digests(connection, path))
        except (CorruptError, UnsupportedVersionError, OSError):
            return None
        is_complete = read_ancestry(connection).list_ancestors([head.digest]) <= digests
        return {self.folder / name: md5 for name, md5 in listing.items()} if is_complete else None

    @contextmanager
    def hold_lock(self) -> Iterator[None]:
        """Let one process at a time write the folder; `StorageError` if another one does for over a minute."""
        from filelock import FileLock, Timeout

        try:
            with FileLock(self._memory_path.with_suffix(".lock"), timeout=_LOCK_TIMEOUT_S):
                yield
        except Timeout as error:
            raise StorageError(
                f"another command has written '{self.folder}' for {_LOCK_TIMEOUT_S:.0f} s. The event is recorded; the "
                "next command brings the history folder up to date."
            ) from error

    def track_files(self, cache_folder: Path) -> None:
        """Write the `.dvc` file for the files in the folder as they are; `cache_folder` has DVC's objects."""
        self._track_segments(_Segments([], set()), cache_folder, self.read_memory())

    def adopt_files(self, head: str) -> None:
        """Remember that lock file and folder, which came from elsewhere, are at the event `head` of the log.

        The content digest of that lock file is not relied on: the next change computes it.
        """
        memory = self.read_memory()
        kept = HistoryMemory(
            *(head, memory.branch),
            checked_files=memory.checked_files,
            cache=memory.cache,
            content_digests=memory.content_digests,
        )
        self._write_memory(kept)

    def _write_memory(self, memory: HistoryMemory) -> None:
        memory = msgspec.structs.replace(memory, statuses=self._read_statuses())
        write_atomic(self._memory_path, msgspec.json.encode(memory))

    def _read_statuses(self) -> dict[str, str]:
        statuses = {}
        for path in (self.root / LOCK_FILE, self.root / HISTORY_DVC_FILE, self.folder):
            with suppress(OSError):
                statuses[path.name] = _read_status(path)
        return statuses

    def _write_segments(self, connection: duckdb.DuckDBPyConnection, head: Head, memory: HistoryMemory) -> _Segments:
        """Write the segments of the events that no segment has, and join small ones."""
        from geographer.algorithms.compaction import find_run_to_join

        covered = _count_covered(memory.segments)
        is_known = covered == memory.position and memory.head == _read_digest(connection, covered)
        files: list[_ReadFile] | None = None
        if covered and is_known and self.is_unchanged(memory):
            segments, obsolete = [*memory.segments], set[str]()
        else:
            files = [*self._read_files(connection)]
            segments, obsolete = self._find_segments(connection, memory, files)
            covered = _count_covered(segments)
        if has_merge(connection, memory.position if is_known else 0):
            self._write_merged_events(connection, memory, files or [*self._read_files(connection)])
        if covered < head.position:
            segments.append(self._write_segment(connection, covered + 1, head.position))
        own = sum(1 for _ in takewhile(lambda segment: not segment.is_shared, reversed(segments)))
        while run := find_run_to_join([segment.size for segment in segments[len(segments) - own :]]):
            own -= run - 1
            joined = segments[-run:]
            segments[-run:] = [self._write_segment(connection, joined[0].first, joined[-1].last)]
            obsolete |= {segment.file_name for segment in joined}
        return _Segments(segments, obsolete)

    def _write_segment(self, connection: duckdb.DuckDBPyConnection, first: int, last: int) -> SegmentFile:
        from geographer.storage.history.segments import compute_segment_name, write_segment

        with temporary_sibling(self.folder / "segment") as temporary:
            name = compute_segment_name(write_segment(connection, first, last, temporary))
            segment = SegmentFile(name, first, last, compute_md5(temporary), temporary.stat().st_size)
            temporary.chmod(_READ_ONLY)
            temporary.replace(self.folder / segment.file_name)
        return segment

    def _is_own_lock(self, connection: duckdb.DuckDBPyConnection, memory: HistoryMemory) -> bool:
        """Return whether the lock file may be replaced; warn if Git has another one since the command began."""
        try:
            lock = read_lock(self.root)
        except (ConflictError, CorruptError) as error:
            logger.warning("the lock file is not replaced: %s", error)
            return False
        query = "SELECT 1 FROM chain_event WHERE digest = $1"
        if lock is None or lock.head == memory.head or connection.execute(query, [lock.head]).fetchone():
            return True
        logger.warning(
            "'%s' came to %s while the command ran, and is not replaced. The change is recorded; geographer status "
            "says how to go on.",
            *(LOCK_FILE, lock.head[:12]),
        )
        return False

    def _find_segments(
        self, connection: duckdb.DuckDBPyConnection, memory: HistoryMemory, files: Iterable[_ReadFile]
    ) -> _Segments:
        """Read the files in the folder; find those that hold the first events of the chain, without gaps.

        A file may have events of another branch after those. One whose rows do not match the digests of its events is
        not used, and its events are written again.
        """
        positions = dict(connection.execute("SELECT digest, position FROM chain_event").fetchall())
        found: dict[int, SegmentFile] = {}
        known: set[str] = set()
        for path, digests in files:
            places = [*takewhile(bool, (positions.get(digest, 0) for digest in digests))]
            if not places:
                continue
            if is_own := len(places) == len(digests):
                known.add(path.name)
            longest = found[places[0]].last if places[0] in found else 0
            is_run = places == [*range(places[0], places[0] + len(places))]
            if is_run and places[-1] > longest and (md5 := self._check_file(connection, path, digests, memory)):
                size = path.stat().st_size
                found[places[0]] = SegmentFile(path.stem, places[0], places[-1], md5, size, is_shared=not is_own)
        segments: list[SegmentFile] = []
        while segment := found.get(_count_covered(segments) + 1):
            segments.append(segment)
        return _Segments(segments, known - {segment.file_name for segment in segments})

    def _write_merged_events(
        self, connection: duckdb.DuckDBPyConnection, memory: HistoryMemory, files: Iterable[_ReadFile]
    ) -> None:
        """Write the events that were merged into the chain, and that no file has, to segments."""
        own = {digest for (digest,) in connection.execute("SELECT digest FROM chain_event").fetchall()}
        ancestry = read_ancestry(connection)
        missing = ancestry.list_ancestors(own) - own
        for path, digests in files:
            if missing.intersection(digests) and self._check_file(connection, path, digests, memory):
                missing.difference_update(digests)
        while missing:
            last = max(missing, key=lambda digest: (ancestry.nodes[digest].generation, digest))
            location = find_chain_of(connection, last)
            if location is None:
                raise CorruptError(f"the log has no chain with the merged event {last[:12]}. See geographer verify.")
            run = [*takewhile(missing.__contains__, reversed(ancestry.list_chain(last)))]
            with closing(open_cursor(connection)) as cursor:
                set_branch(cursor, location.branch)
                create_chain_views(cursor)
                self._write_segment(cursor, location.position - len(run) + 1, location.position)
            missing.difference_update(run)

    def _read_files(self, connection: duckdb.DuckDBPyConnection) -> Iterator[_ReadFile]:
        """Yield the readable segments in the folder, each with the digests of its events."""
        from geographer.storage.history.segments import read_segment_digests

        for path in self.list_segment_paths():
            with suppress(CorruptError, UnsupportedVersionError):
                yield _ReadFile(path, read_segment_digests(connection, path))

    def _check_file(
        self, connection: duckdb.DuckDBPyConnection, path: Path, digests: list[str], memory: HistoryMemory
    ) -> str | None:
        """Return the MD5 of a segment's file if its name and its rows match the digests of its events."""
        from geographer.storage.history.segments import compute_segment_name, has_recorded_rows

        if path.stem != compute_segment_name(digests):
            return None
        if md5 := _find_known_md5(path, memory):
            return md5
        return compute_md5(path) if has_recorded_rows(connection, path) else None

    def _remember_files(self, memory: HistoryMemory, md5s: Mapping[str, str]) -> dict[str, str]:
        """Return what is remembered of the files in the folder: those with these MD5s were checked, or are known."""
        checked: dict[str, str] = {}
        for path in self.list_segment_paths():
            if md5 := md5s.get(path.name) or _find_known_md5(path, memory):
                checked[path.name] = f"{md5} {_read_status(path)}"
        return checked

    def _track_segments(self, segments: _Segments, cache_folder: Path, memory: HistoryMemory) -> None:
        """Put the segments into DVC's cache, write the `.dvc` file, and delete the obsolete files.

        Files of events that the log lacks are those of others, and stay.
        """
        current = {segment.file_name: segment for segment in segments.current}
        obsolete = segments.obsolete_files - current.keys()
        entries: list[FolderEntry] = []
        for path in self.list_segment_paths():
            if path.name in obsolete:
                continue
            segment = current.get(path.name)
            md5 = segment.md5 if segment else _find_known_md5(path, memory) or compute_md5(path)
            size = path.stat().st_size
            entries.append((path.name, md5, size))
            _link_object(path, cache_folder / md5[:2] / md5[2:])
        listing = encode_listing(entries)
        address = compute_address(listing)
        _write_object(cache_folder / address[:2] / address[2:], listing)
        write_atomic(self.root / HISTORY_DVC_FILE, encode_dvc_file(HISTORY_FOLDER, address, entries))
        self._ignore_folder()
        for name in obsolete:
            (self.folder / name).unlink(missing_ok=True)

    def _ignore_folder(self) -> None:
        """Let Git ignore the folder, as it does the dataset's other folders."""
        gitignore = self.root / ".gitignore"
        if gitignore.is_file() and GEOGRAPHER_FOLDER in gitignore.read_text(encoding="utf-8", errors="replace"):
            add_line(gitignore, f"/{HISTORY_FOLDER}")


def _remember_digest(memory: HistoryMemory, head: str, content_digest: str) -> dict[str, str]:
    """Return the remembered content digests with that of a head as the last one, without the oldest ones."""
    known = {digest: content for digest, content in memory.content_digests.items() if digest != head}
    return dict([*known.items(), (head, content_digest)][-_MAX_DIGESTS:])


def _read_status(path: Path) -> str:
    info = path.stat()
    size = 0 if stat.S_ISDIR(info.st_mode) else info.st_size
    return f"{size} {info.st_mtime_ns} {info.st_ctime_ns} {info.st_ino}"


def _find_known_md5(path: Path, memory: HistoryMemory) -> str | None:
    """Return the MD5 of a file that was checked before, and whose status is the same since."""
    md5, _, status = memory.checked_files.get(path.name, "").partition(" ")
    return md5 if status and status == _read_status(path) else None


def _count_covered(segments: list[SegmentFile]) -> int:
    return segments[-1].last if segments else 0


def _read_digest(connection: duckdb.DuckDBPyConnection, position: int) -> str:
    row = connection.execute("SELECT digest FROM chain_event WHERE position = $1", [position]).fetchone()
    return str(row[0]) if row else ""


def _has_content(connection: duckdb.DuckDBPyConnection, memory: HistoryMemory, head: Head) -> bool:
    """Return whether events after the remembered head may have changed what the content digest covers."""
    from geographer.storage.history.segments import find_tables_with_rows

    if _read_digest(connection, memory.position) != memory.head:
        return True
    return bool(find_tables_with_rows(connection, _CONTENT_TABLES, memory.position + 1, head.position))


def _link_object(source: Path, target: Path) -> None:
    """Make a file an object of the cache, by a hard link where that is possible."""
    if target.exists() and (target.samefile(source) or compute_md5(target) == compute_md5(source)):
        return
    with translate_os_errors(target), temporary_sibling(target) as temporary:
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)
            temporary.chmod(_READ_ONLY)
        temporary.replace(target)


def _write_object(target: Path, content: bytes) -> None:
    write_atomic(target, content, lambda path: path.chmod(_READ_ONLY))
