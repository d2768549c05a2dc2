"""What happened: an event is a fact in the past tense: parameters as a payload, objects as typed rows."""

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
"""Every kind of event and the schema version that is written today; `schemas/<kind>.v<version>.json` describes each."""


class Head(NamedTuple):
    """The last event of a log: its position (1, 2, 3 …; 0 when there is none) and its digest."""

    position: int
    digest: str


EMPTY_LOG_HEAD: Final = Head(0, "")


class CommitInfo(NamedTuple):
    """Who asked for a change, why, with which command line, and under which idempotency key."""

    author: str
    message: str = ""
    command: str = ""
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True)
class EventDraft:
    """An event that is planned and not yet appended.

    Attributes:
        kind: One of `KINDS`.
        payload: Small JSON: what was asked, and what came of it. Whole numbers below 2^53; no secrets.
        rows: For each log table that the event touches, its rows: an Arrow table, or the name of a relation in the
            engine's connection, with the columns `change` and those of `log.tables.TABLES`.
    """

    kind: str
    payload: dict[str, Any]
    rows: Mapping[str, pa.Table | str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Event:
    """One event of the log, as it stands there."""

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
        """What `digest` is taken over: everything but the digest itself."""
        return {
            "position": self.position,
            "event_id": self.event_id,
            "kind": self.kind,
            "version": self.version,
            "recorded_at": self.recorded_at,
            "author": self.author,
            "message": self.message,
            "command": self.command,
            "idempotency_key": self.idempotency_key,
            "payload": self.payload,
            "rows_digest": self.rows_digest,
            "parents": self.parents,
        }

    def to_dict(self) -> dict[str, Any]:
        """The whole event as JSON, as its schema describes it."""
        return {**self.hashed_fields(), "digest": self.digest}


class ChangeResult(NamedTuple):
    """What a command that changes the dataset answers: the new revision, and what it did.

    `position` and `digest` name the revision. `summary` holds the counts, as in the event's payload. `changed` is
    false when there was nothing to do, or when the idempotency key was known: then the revision is the one that stood.
    """

    position: int
    digest: str
    kind: str
    summary: dict[str, Any]
    changed: bool = True
