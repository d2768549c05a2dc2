"""Reviews: the verdicts on what differs between two revisions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from geographer.storage.queries.revision import Revision

if TYPE_CHECKING:
    import pyarrow as pa

_SQL: Final = Path(__file__).with_name("reviews.sql")


def read_reviews(revision: Revision, from_position: int | None = None, to_position: int | None = None) -> pa.Table:
    """Return the reviews that were recorded up to a revision, oldest first.

    Args:
        revision: The open revision; reviews are recorded after what they review, so it is the head as a rule.
        from_position: Only reviews of changes from the revision at this position.
        to_position: Only reviews of changes to the revision at this position.

    Returns:
        `position` of the review, `recorded_at` (UTC), `author`, `verdict` ('approve' or 'reject'), `from` and `to`
        (the positions of the reviewed revisions in this log, null if it lacks them), `from_digest`, `to_digest`,
        `message`.
    """
    positions = {"from_position": from_position, "to_position": to_position}
    return revision.fetch_arrow(_SQL.read_text(), positions)
