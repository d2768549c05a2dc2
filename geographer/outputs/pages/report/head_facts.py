"""Head facts: what the log says at its head of earlier revisions: tags, their signatures, reviews."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from geographer.diff.reviews import read_reviews
from geographer.storage.queries.revision import Revision
from geographer.storage.queries.tag_signatures import RecordedSignature, read_tag_signatures

_TAGS: Final = (
    "SELECT tag, version, position, strftime(recorded_at, '%Y-%m-%d'), author, message, digest FROM tags "
    "ORDER BY position DESC NULLS LAST, recorded_at DESC, tag"
)


class TagRow(NamedTuple):
    """A tag: `position` is that of its revision, None if the tag came by a merge; `date` that of its event."""

    tag: str
    version: str | None
    position: int | None
    date: str
    author: str
    message: str
    digest: str


class HeadFacts(NamedTuple):
    """The tags, newest first, their signatures, and the reviews as dictionaries; see `read_reviews`."""

    tags: list[TagRow]
    signatures: list[RecordedSignature]
    reviews: list[dict[str, Any]]

    def list_tags_until(self, position: int) -> list[tuple[str, int]]:
        """Return the tags of the revisions up to this one with their positions, ascending."""
        places = [(row.tag, row.position) for row in self.tags if row.position is not None and row.position <= position]
        return sorted(places, key=lambda place: (place[1], place[0]))


def read_head_facts(head: Revision) -> HeadFacts:
    """Read what the head of a chain says of earlier revisions."""
    tags = [TagRow(*row) for row in head.fetch_rows(_TAGS)]
    return HeadFacts(tags, read_tag_signatures(head.connection, head.position), read_reviews(head).to_pylist())
