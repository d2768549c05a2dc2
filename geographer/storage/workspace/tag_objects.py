"""Objects of tags: retain them on this machine, and tell which ones neither this machine nor a remote keeps."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from geographer.base.text import format_count
from geographer.storage.database.connection import run_script
from geographer.storage.dvc.cache_folder import find_cache_folder
from geographer.storage.dvc.retained import RetainedObjects
from geographer.storage.history.folder import HistoryFolder
from geographer.storage.history.published import read_known_remotes
from geographer.storage.log.ancestry import has_merge
from geographer.storage.log.branches import find_chain_of, read_branch
from geographer.storage.queries.revision import Revision
from geographer.storage.workspace.chain_objects import list_chain_objects
from geographer.storage.workspace.paths import FILES_SQL
from geographer.storage.workspace.required_objects import (
    RequiredObjects,
    list_required_files,
    list_retained_positions,
)
from geographer.storage.workspace.withdrawn_files import list_withdrawn_md5s

_TAG_USAGE_SQL: Final = Path(__file__).with_name("tag_usage.sql")
_TAGS: Final = (
    "SELECT tag, tagged_position FROM state.tag WHERE position <= $at AND tagged_position <= $at ORDER BY position"
)
_MERGED_TAGS: Final = "SELECT tag, digest FROM state.tag WHERE position <= $at AND tagged_position IS NULL ORDER BY tag"

logger = logging.getLogger(__name__)


class TagUsage(NamedTuple):
    """What the data files of a tag take, and what keeps them.

    Attributes:
        tag: The tag.
        position: The position of its revision.
        files: The number of its files.
        bytes: Their size.
        own_bytes: The size of those that neither the head nor another tag needs.
        missing: The MD5s of those that this machine lacks.
        unprotected: The MD5s of those that are not retained, and that no remote is known to have: `dvc gc -w` may
            delete them.
    """

    tag: str
    position: int
    files: int
    bytes: int
    own_bytes: int
    missing: list[str]
    unprotected: list[str]


class _TagFiles(NamedTuple):
    """A tag with its position and its files: MD5, size, and whether neither the head nor another tag has the file."""

    tag: str
    position: int
    files: list[tuple[str, int, bool]]


def list_published_files(revision: Revision, root: Path) -> set[str]:
    """Return the MD5s of the data files that remotes are known to have, without asking them.

    These are the files that the head of a remote said to be there, when this machine last fetched from it or pushed to
    it. `revision` is the head of the dataset in `root`.
    """
    positions, files, connection = set[int](), set[str](), revision.plain_connection
    own, is_merged = read_branch(connection), has_merge(connection)
    for known in read_known_remotes(root).values():
        published, place = known.published, find_chain_of(connection, known.published.head)
        if place is not None and (is_merged or place.branch != own):
            files.update(list_chain_objects(connection, *place, published.revisions).files)
        elif place == (own, published.position):
            positions.update(list_retained_positions(revision, published.revisions, published.position))
    return files.union(list_required_files(revision, positions)) if positions else files


def retain_revision(root: Path, name: str, required: RequiredObjects, published: Collection[str]) -> None:
    """Retain the objects of a revision, and warn if some could be lost: they cannot be linked, and no remote has them.

    `root` is the dataset's folder. Objects that this machine lacks are skipped: a remote has them.
    """
    retained = _open_retained_objects(root)
    failed = retained.link_objects(required.object_sizes)
    if unprotected := [md5 for md5 in failed if md5 in required.files and md5 not in published]:
        logger.warning(
            "%s of %s %s only in DVC's cache, which dvc gc empties: the file system of '%s' allows no links, and no "
            "remote is known to have them. Run geographer push.",
            *(format_count(len(unprotected), "file"), name, "is" if len(unprotected) == 1 else "are"),
            retained.folder.parents[1],
        )


def list_tag_usage(revision: Revision, root: Path, published: Collection[str]) -> list[TagUsage]:
    """Return what the data files of each tag take, and what keeps them, by position.

    Args:
        revision: The head.
        root: The dataset's folder.
        published: The MD5s of the files that remotes are known to have, such as those of `list_published_files`.
    """
    objects = _open_retained_objects(root)
    present, retained = objects.list_objects(), objects.list_retained()
    withdrawn = list_withdrawn_md5s(revision)
    usages = []
    for tag, position, files in (*_iter_tag_files(revision), *_iter_merged_tag_files(revision)):
        rows = [row for row in files if row[0] not in withdrawn]
        missing = [md5 for md5, *_ in rows if md5 not in present]
        unprotected = [md5 for md5, *_ in rows if md5 not in retained and md5 not in published]
        sizes = (sum(size for _, size, _ in rows), sum(size for _, size, is_own in rows if is_own))
        usages.append(TagUsage(tag, position, len(rows), *sizes, missing, unprotected))
    return usages


def _iter_tag_files(revision: Revision) -> Iterator[_TagFiles]:
    """Yield the tags of the chain, by position, each with its files."""
    revision.plain_connection.execute(FILES_SQL.read_text())
    run_script(revision.plain_connection, _TAG_USAGE_SQL.read_text(), {"at": revision.position})
    for tag, position in revision.fetch_rows(_TAGS, {"at": revision.position}):
        rows = revision.fetch_rows("SELECT md5, size, is_own FROM tag_file WHERE tag = $tag ORDER BY md5", {"tag": tag})
        yield _TagFiles(tag, position, rows)


def _iter_merged_tag_files(revision: Revision) -> Iterator[_TagFiles]:
    """Yield the tags that came by merges from other chains, by name, each with its position there and its files."""
    found: dict[str, tuple[int, dict[str, int]]] = {}
    for tag, digest in revision.fetch_rows(_MERGED_TAGS, {"at": revision.position}):
        if (place := find_chain_of(revision.plain_connection, digest)) is not None:
            found[tag] = place.position, list_chain_objects(revision.plain_connection, *place, "current").files
    if not found:
        return
    own = list_retained_positions(revision, "tags")
    users = Counter(list_required_files(revision, own).keys())
    users.update(md5 for _, files in found.values() for md5 in files)
    for tag, (position, files) in found.items():
        yield _TagFiles(tag, position, [(md5, size, users[md5] == 1) for md5, size in sorted(files.items())])


def _open_retained_objects(root: Path) -> RetainedObjects:
    """Return the retained objects of a dataset, without importing DVC while its settings are as before."""
    return RetainedObjects(Path(find_cache_folder(root, HistoryFolder(root).read_memory().cache).folder))
