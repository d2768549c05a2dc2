"""Review the difference of two revisions: record a verdict on it. The content of the dataset stays as it is."""

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import Meta

from geographer.base.errors import UsageError
from geographer.base.parameters import Parameter
from geographer.planning.shared_parameters import TEXT
from geographer.storage.events.payload import Digest, EventPayload
from geographer.storage.log.read import read_event, resolve_revision
from geographer.storage.queries.revision import Revision
from geographer.storage.request import Change, PlanContext, Request

Verdict = Literal["approve", "reject"]


class ReviewedRevision(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A revision that was reviewed: its position, and the digest of its event, which identifies it in every copy."""

    position: Annotated[int, Meta(ge=1, le=2**53 - 1)]
    digest: Digest


class Review(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The verdict on what differs between two revisions."""

    verdict: Verdict
    before: ReviewedRevision
    after: ReviewedRevision


class RevisionsReviewed(EventPayload, kw_only=True, frozen=True):
    """What differs between two revisions was reviewed; the message of the event is the reason of the verdict."""

    kind: ClassVar[str] = "revisions_reviewed"

    review: Review

    def iter_phrases(self) -> Iterator[str]:
        """See `EventPayload.iter_phrases`."""
        review = self.review
        yield f"{review.verdict} @{review.before.position} → @{review.after.position}"


class ReviewRevisions(Request, frozen=True):
    """Record a verdict on what differs between revisions A and B; it is kept as an event.

    The message, which is required, says why. The dataset's content stays as it is.
    """

    event: ClassVar[type[RevisionsReviewed]] = RevisionsReviewed
    example = "review v1 v2 --verdict approve -m 'all moved ponds are right'"

    a: Annotated[str | int, Parameter("The earlier revision.", "A", cli="argument", key="before", schema=TEXT)]
    b: Annotated[str | int, Parameter("The later revision.", "B", cli="argument", key="after", schema=TEXT)]
    verdict: Annotated[Verdict, Parameter("Whether the changes are right.")]

    def __post_init__(self) -> None:
        """Check the parameters; `UsageError` if the message is empty."""
        super().__post_init__()
        if not self.message.strip():
            raise UsageError("a review needs a message. Say why, for example: -m 'checked every moved pond'.")

    def list_recorded_parameters(self) -> dict[str, Any]:
        """See `Request.list_recorded_parameters`."""
        return {"before": str(self.a), "after": str(self.b), "verdict": self.verdict}

    def make_plan(self, revision: Revision, _context: PlanContext, /) -> Change:
        """Plan the event.

        Raises:
            NotFoundError: A revision does not exist.
            UsageError: The revisions are the same one.
        """
        before, after = (_read_revision(revision, name) for name in (self.a, self.b))
        if before == after:
            raise UsageError(f"both revisions are @{before.position}, so nothing differs. Name two revisions.")
        return Change(RevisionsReviewed(review=Review(self.verdict, before, after)))


def _read_revision(revision: Revision, name: str | int) -> ReviewedRevision:
    position = resolve_revision(revision.connection, name)
    return ReviewedRevision(position, read_event(revision.connection, position).digest)
