"""Declarations: what events without rows say of the dataset, those of merged branches as well, in one order."""

import json
from typing import Any, NamedTuple

from geographer.storage.log.ancestry import locate_merged_events
from geographer.storage.queries.revision import Revision


class Declaration(NamedTuple):
    """A payload, and the position in the chain of its event, or of the merge that has it."""

    position: int
    payload: dict[str, Any]


def read_declarations(revision: Revision, kind: str, up_to: int | None = None) -> list[Declaration]:
    """Return the events of a kind up to a position (None: up to the head), in the order of their generation.

    The order is the same on both sides of a merge, so a later declaration replaces an earlier one everywhere.
    """
    query = "SELECT digest, payload::VARCHAR, generation FROM log.event WHERE kind = $kind"
    rows = revision.fetch_rows(query, {"kind": kind})
    if not rows:
        return []
    chain_query = "SELECT digest, position FROM chain_event WHERE kind = $kind"
    positions = dict(revision.fetch_rows(chain_query, {"kind": kind}))
    if not positions.keys() >= {digest for digest, *_ in rows}:
        positions |= locate_merged_events(revision.connection)
    ordered = sorted(rows, key=lambda row: (row[2], row[0]))
    found = [Declaration(positions[digest], json.loads(text)) for digest, text, _ in ordered if digest in positions]
    return [item for item in found if up_to is None or item.position <= up_to]
