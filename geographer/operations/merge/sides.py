"""Sides of a merge: both parents and their last common events, as chains after the events that all share."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from geographer.storage.database.connection import register_table, run_script
from geographer.storage.events.payload import list_payload_classes
from geographer.storage.log.ancestry import read_ancestry
from geographer.storage.queries.revision import Revision

if TYPE_CHECKING:
    import duckdb

FIRST, SECOND = "first", "second"
"""The names of the sides that are parents: rows of the event say what changes for the first one."""

_FOLDER: Final = Path(__file__).parent


class MergeSides(NamedTuple):
    """The revisions that are compared, by the digests of their last events.

    Attributes:
        first: The one whose change the event records.
        second: The other one.
        bases: Those that the changes of both are measured from: their last common events.
        ours: The side, `FIRST` or `SECOND`, whose value stays where both changed the same differently.
        common: The position up to which the first-parent chains of all of them agree.
    """

    first: str
    second: str
    bases: tuple[str, ...]
    ours: str
    common: int

    @property
    def their_side(self) -> str:
        """The side that is not ours."""
        return SECOND if self.ours == FIRST else FIRST

    @property
    def base_names(self) -> tuple[str, ...]:
        """The names of the bases as sides."""
        return tuple(f"base{index}" for index in range(len(self.bases)))


def stage_sides(revision: Revision, first: str, second: str, bases: Sequence[str], *, ours: str) -> MergeSides:
    """Create the tables `side_name` and `side_event`: the events of each side after the common ones.

    The revision must be one of the chain of `first` or of `second`.
    """
    ancestry = read_ancestry(revision.connection)
    chains = [ancestry.list_chain(digest) for digest in (first, second, *bases)]
    common = count_common_events(chains)
    sides = MergeSides(first, second, tuple(bases), ours, common)
    names = (FIRST, SECOND, *sides.base_names)
    _stage_events(
        revision.connection, {name: chain[common:] for name, chain in zip(names, chains, strict=True)}, common
    )
    return sides


def count_common_events(chains: Iterable[Sequence[str]]) -> int:
    """Return how many events, from the first on, chains have in common."""
    shortest, *others = sorted(chains, key=len)
    low, high = 0, len(shortest)
    while low < high:
        # Chains with the same event at a position agree up to there.
        middle = (low + high + 1) // 2
        if all(chain[middle - 1] == shortest[middle - 1] for chain in others):
            low = middle
        else:
            high = middle - 1
    return low


def _stage_events(connection: "duckdb.DuckDBPyConnection", chains: dict[str, list[str]], common: int) -> None:
    import pyarrow as pa

    rows = [
        (side, common + index, digest) for side, chain in chains.items() for index, digest in enumerate(chain, start=1)
    ]
    columns = [list(column) for column in zip(*rows, strict=True)] or [[], [], []]
    schema = pa.schema({"side": pa.string(), "position": pa.int64(), "digest": pa.string()})
    ordered = [cls.kind for cls in list_payload_classes() if cls.keeps_row_order]
    with register_table(connection, "side_digest", pa.table(columns, schema=schema)):
        values = {"sides": list(chains), "ordered_kinds": ordered}
        run_script(connection, (_FOLDER / "side_events.sql").read_text(), values)
