"""The signatures of tags as a table, and requests for time stamps of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from geographer.base.atomic_files import write_atomic
from geographer.base.errors import NotFoundError
from geographer.base.signatures.time_stamps import make_time_stamp_request
from geographer.storage.events.signed_tag import SignedTag
from geographer.storage.queries.revision import Revision
from geographer.storage.queries.tag_signatures import read_tag_signatures

if TYPE_CHECKING:
    import pyarrow as pa


def make_signature_table(revision: Revision) -> pa.Table:
    """Return the recorded signatures of tags: see `DatasetReader.list_signatures`."""
    import pyarrow as pa

    rows = [
        {
            **{"tag": item.signed.statement.tag, "digest": item.signed.statement.digest},
            **{"key": item.signed.signature.key_fingerprint, "format": item.signed.signature.format},
            **{"author": item.author, "recorded_at": item.recorded_at},
            "time_stamp": item.signed.time_stamp and item.signed.time_stamp.time,
        }
        for item in read_tag_signatures(revision.plain_connection, revision.position)
    ]
    names = ("tag", "digest", "key", "format", "author", "recorded_at", "time_stamp")
    return pa.table({name: pa.array([row[name] for row in rows], pa.string()) for name in names})


def list_tag_signatures(revision: Revision, tag: str) -> list[SignedTag]:
    """Return the signatures of a tag as it is now, oldest first; `NotFoundError` if there is no such tag."""
    rows = revision.fetch_rows("SELECT digest FROM tags WHERE tag = $tag", {"tag": tag})
    if not rows:
        raise NotFoundError(f"no tag '{tag}'. See geographer tags.")
    recorded = [item.signed for item in read_tag_signatures(revision.plain_connection, revision.position)]
    return [item for item in recorded if (item.statement.tag, item.statement.digest) == (tag, rows[0][0])]


def write_time_stamp_request(revision: Revision, tag: str, path: Path) -> None:
    """Write a request for a time stamp of the last signature of a tag that has none, or else of the last one."""
    signed = list_tag_signatures(revision, tag)
    if not signed:
        raise NotFoundError(f"tag '{tag}' has no signature, which a time stamp covers. Sign it: tag {tag} --sign KEY.")
    stamped = {item.signature for item in signed if item.time_stamp}
    chosen = ([item for item in signed if item.signature not in stamped] or signed)[-1]
    write_atomic(path, make_time_stamp_request(chosen.stamped_bytes).content)
