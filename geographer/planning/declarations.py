"""Declarations: what events say of the whole dataset, those of merged branches as well, in one order."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from geographer.storage.log.ancestry import locate_merged_events
from geographer.storage.log.chain import CHAIN_EVENT

if TYPE_CHECKING:
    import duckdb

_EVENTS: Final = (
    "SELECT digest, generation, kind, version, len(parents) > 1, payload::VARCHAR FROM log.event "
    "WHERE list_contains($kinds::VARCHAR[], kind)"
)
_POSITIONS: Final = f"SELECT digest, position FROM {CHAIN_EVENT} WHERE list_contains($kinds::VARCHAR[], kind)"  # noqa: S608


class Declaration(NamedTuple):
    """A payload and its event; the position in the chain is that of the event, or of the merge that has it."""

    position: int
    payload: dict[str, Any]
    digest: str
    generation: int
    kind: str
    version: int
    is_merge: bool


def read_declarations(
    connection: "duckdb.DuckDBPyConnection", kinds: Sequence[str], up_to: int | None = None
) -> list[Declaration]:
    """Return the events of some kinds up to a position (None: up to the head), in the order of their generation.

    The order is the same on both sides of a merge, so a later declaration replaces an earlier one everywhere.
    """
    parameters = {"kinds": list(kinds)}
    rows = connection.execute(_EVENTS, parameters).fetchall()
    if not rows:
        return []
    positions = dict(connection.execute(_POSITIONS, parameters).fetchall())
    if not positions.keys() >= {digest for digest, *_ in rows}:
        positions |= locate_merged_events(connection)
    ordered = sorted(rows, key=lambda row: (row[1], row[0]))
    found = [
        Declaration(positions[digest], json.loads(text), digest, *event)
        for digest, *event, text in ordered
        if digest in positions
    ]
    return [item for item in found if up_to is None or item.position <= up_to]
