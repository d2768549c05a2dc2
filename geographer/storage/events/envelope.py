"""Envelope of an event: who changed what and when, chained by digests; and what a change returns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from geographer.base.errors import GeographerError
from geographer.base.html import render_fields, render_object
from geographer.storage.events.payload import EventPayload

if TYPE_CHECKING:
    import pyarrow as pa

EVENT_FORMAT: Final = 2
"""The format of new events and of the log that holds them; this version reads it and older ones."""


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


class Event(NamedTuple):
    """One event of the log.

    Attributes:
        position: Its place in the chain: 1, 2, 3 …
        parents: The digests of the events that it follows: one, or two for a merge; none for the first event.
        format: The version of this envelope; it decides which fields are hashed.
        generation: 1 + the largest of the parents'; of the first event, 1.
    """

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
    format: int
    generation: int

    def _repr_html_(self) -> str:
        return render_object(self)

    def hashed_fields(self) -> dict[str, Any]:
        """Return the fields that `digest` is computed from. Those of format 1 have the position (the generation)."""
        fields = self._asdict()
        del fields["digest"], fields["position"]
        if self.format == 1:
            del fields["format"]
            fields["position"] = fields.pop("generation")
        return fields

    def to_dict(self) -> dict[str, Any]:
        """Return the event as JSON, as `schemas/event.v<format>.json` describes it."""
        return {"position": self.position, **self.hashed_fields(), "digest": self.digest}


class ChangeResult(NamedTuple):
    """The result of a change: the new revision (`position` and `digest`) and what changed.

    `summary` is the event's payload without the request. `changed` is false if there was nothing to do or the request
    was a repeated one; the revision is then the existing one. `payload` has the summary as typed fields. `error` is the
    reason why `update` skipped a recipe. `would_change` is true if a dry run planned a change; `preview` is then what
    would change, object by object, if the request lists it. `logged_warnings` are those that were logged meanwhile,
    which the log of the dataset does not keep.
    """

    position: int
    digest: str
    kind: str
    summary: dict[str, Any]
    changed: bool = True
    payload: EventPayload | None = None
    error: GeographerError | None = None
    would_change: bool = False
    preview: pa.Table | None = None
    logged_warnings: Sequence[str] = ()

    def _repr_html_(self) -> str:
        fields = {"position": self.position, "digest": self.digest, "kind": self.kind, "changed": self.changed}
        if self.would_change:
            fields["would_change"] = True
        text = {"summary": self.payload.format_summary()} if self.payload else {}
        notes = {"warnings": self.summary.get("warnings", []), "error": self.error, "preview": self.preview}
        return render_fields("ChangeResult", {**fields, **text, **{key: note for key, note in notes.items() if note}})
