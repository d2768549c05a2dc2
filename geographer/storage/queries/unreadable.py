"""Unreadable rows of a revision: what it cannot show, and how to go on without it."""

from __future__ import annotations

import logging
from typing import Final

from geographer.base.text import format_count
from geographer.storage.queries.revision import Revision

_SHOWN_ROWS: Final = 3

logger = logging.getLogger(__name__)


def warn_of_unreadable_rows(revision: Revision) -> None:
    """Log a warning that names the objects that the revision cannot show, if there are any."""
    query = (
        "SELECT position, table_name, object, problem, count(*) OVER () FROM current_unreadable_row "
        "ORDER BY position, table_name, ordinal LIMIT $limit"
    )
    rows = revision.fetch_rows(query, {"limit": _SHOWN_ROWS})
    if not rows:
        return
    names = [
        f"{format_subject(table)} '{name or ''}' of @{position} ({problem})"
        for position, table, name, problem, _ in rows
    ]
    count = rows[0][-1]
    others = f" and {count - len(rows):,} more" if count > len(rows) else ""
    logger.warning(
        "@%d cannot show %s of the log: %s%s. Run geographer remove unreadable to leave them out of later revisions.",
        *(revision.position, format_count(count, "row"), ", ".join(names), others),
    )


def format_subject(table: str) -> str:
    """Return what a row of a row table is about, in words: `label object`."""
    return table.removesuffix("_change").replace("_", " ")
