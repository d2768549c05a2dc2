"""Events: recorded changes, each with a payload (parameters and summary) and typed rows (the objects)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

KINDS: Final[Mapping[str, int]] = {
    "dataset_initialised": 1,
    "classes_added": 1,
    "classes_remapped": 1,
    "classes_hardened": 1,
    "features_added": 1,
    "features_removed": 1,
    "rasters_added": 1,
    "rasters_downloaded": 1,
    "catalogue_added": 1,
    "rasters_removed": 1,
    "geographer_imported": 1,
    "dataset_imported": 1,
    "chips_cut": 1,
    "labels_made": 1,
    "split_assigned": 1,
    "recipe_removed": 1,
    "revision_tagged": 1,
}
"""Every kind of event with the schema version that is written now; see `schemas/<kind>.v<version>.json`."""


class Head(NamedTuple):
    """The last event of a log: its position (1, 2, 3 …; 0 in an empty log) and its digest."""

    position: int
    digest: str


EMPTY_LOG_HEAD: Final = Head(0, "")


class CommitInfo(NamedTuple):
    """Who makes a change, why, with which command line, and under which idempotency key."""

    author: str
    message: str = ""
    command: str = ""
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True)
class EventDraft:
    """An event that is planned but not appended.

    Attributes:
        kind: One of `KINDS`.
        payload: Small JSON: the request and a summary. Integers are below 2^53; no secrets.
        rows: The event's rows by log table: an Arrow table, or the name of a relation in the database's connection,
            with the columns `change` and those of `ROW_TABLES`.
    """

    kind: str
    payload: dict[str, Any]
    rows: Mapping[str, pa.Table | str] = field(default_factory=dict)


class Event(NamedTuple):
    """One event of the log."""

    position: int
    event_id: str
    kind: str
    version: int
    recorded_at: str
    author: str
    message: str
    command: str
    idempotency_key: str | None
    payload: dict[str, Any]
    rows_digest: str
    parents: list[str]
    digest: str

    def hashed_fields(self) -> dict[str, Any]:
        """Return the fields that `digest` is computed from: all but the digest."""
        return {name: value for name, value in self.to_dict().items() if name != "digest"}

    def to_dict(self) -> dict[str, Any]:
        """Return the event as JSON, as its schema describes it."""
        return self._asdict()


class ChangeResult(NamedTuple):
    """The result of a change: the new revision (`position` and `digest`) and what changed.

    `summary` is the event's payload without the request. `changed` is false if there was nothing to do or the request
    was a repeated one; the revision is then the existing one.
    """

    position: int
    digest: str
    kind: str
    summary: dict[str, Any]
    changed: bool = True
