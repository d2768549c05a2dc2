"""Objects of tags: retain them on this machine, and tell which ones neither this machine nor a remote keeps."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import Final, NamedTuple

from geographer.base.text import format_count
from geographer.storage.dvc.store import Store
from geographer.storage.queries.revision import Revision
from geographer.storage.workspace.paths import FILES_SQL
from geographer.storage.workspace.required_objects import RequiredObjects, list_required_objects

_PUBLISHED_SQL: Final = Path(__file__).with_name("published_files.sql")
_TAGS: Final = (
    "SELECT tag, tagged_position FROM state.tag WHERE position <= $at AND tagged_position <= $at ORDER BY position"
)

logger = logging.getLogger(__name__)


class TagUsage(NamedTuple):
    """What the objects of a tag take on this machine, and what keeps them.

    Attributes:
        tag: The tag.
        position: The position of its revision.
        objects: The number of its objects: files, and listings of folders.
        bytes: Their size.
        own_bytes: The size of those that neither the head nor another tag needs.
        missing: The number of those that this machine lacks.
        unprotected: Its files that are not retained, and that no remote is known to have: `dvc gc -w` may delete them.
    """

    tag: str
    position: int
    objects: int
    bytes: int
    own_bytes: int
    missing: int
    unprotected: list[str]


def list_published_files(revision: Revision) -> set[str]:
    """Return the MD5s of the data files that remotes are known to have, without asking them.

    A remote has the files of the head that was last fetched from it or pushed to it, and those of the tags there.
    """
    revision.connection.execute(FILES_SQL.read_text())
    return {md5 for (md5,) in revision.fetch_rows(_PUBLISHED_SQL.read_text(), {"at": revision.position})}


def retain_revision(store: Store, name: str, required: RequiredObjects, published: Collection[str]) -> None:
    """Retain the objects of a revision, and warn if some could be lost: they cannot be linked, and no remote has them.

    Objects that this machine lacks are skipped: a remote has them.
    """
    failed = store.retain_objects(required.object_sizes)
    if unprotected := [md5 for md5 in failed if md5 in required.files and md5 not in published]:
        logger.warning(
            "%s of %s %s only in DVC's cache, which dvc gc empties: the file system of '%s' allows no links, and no "
            "remote is known to have them. Run geographer push.",
            *(format_count(len(unprotected), "file"), name, "is" if len(unprotected) == 1 else "are"),
            store.retained_objects.folder.parents[1],
        )


def list_tag_usage(revision: Revision, store: Store) -> list[TagUsage]:
    """Return what the objects of each tag take, and what keeps them; `revision` is the head."""
    tags = revision.fetch_rows(_TAGS, {"at": revision.position})
    positions = {position for _, position in tags} | {revision.position}
    required = {position: list_required_objects(revision, [position]) for position in positions}
    users = Counter(md5 for objects in required.values() for md5 in objects.object_sizes)
    shared = Counter(position for _, position in tags)
    published, retained = list_published_files(revision), store.retained_objects.list_retained()
    present = store.retained_objects.list_objects()
    usages = []
    for tag, position in tags:
        sizes = required[position].object_sizes
        is_only_user = shared[position] == 1 and position != revision.position
        own_bytes = sum(size for md5, size in sizes.items() if users[md5] == 1) if is_only_user else 0
        unprotected = [md5 for md5 in required[position].files if md5 not in retained and md5 not in published]
        missing = sum(md5 not in present for md5 in sizes)
        usages.append(TagUsage(tag, position, len(sizes), sum(sizes.values()), own_bytes, missing, unprotected))
    return usages
