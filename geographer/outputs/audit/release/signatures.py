"""The signatures of a release's tag, as its log has them: each is verified with the key that it names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from geographer.base.errors import UsageError
from geographer.base.signatures.public_keys import SignatureError
from geographer.outputs.audit.release.contents import ReleaseContents, make_check
from geographer.outputs.audit.report import AuditCheck, AuditFinding, Verdict
from geographer.storage.queries.revision import Revision

if TYPE_CHECKING:
    from geographer.storage.events.signed_tag import SignedTag

NAME: Final = "signatures"
_LAST: Final = "SELECT max(position) FROM chain_event"


def check_signatures(contents: ReleaseContents, revision: Revision | None, findings: list[AuditFinding]) -> AuditCheck:
    """Verify every signature of the revision's tags; whose the keys are, only a reader can know."""
    from geographer.storage.queries.tag_signatures import read_tag_signatures

    if revision is None:
        return AuditCheck(NAME, Verdict.NOT_CHECKED, "the log could not be read, which has them")
    last = revision.fetch_value(_LAST) or revision.position
    recorded = [item.signed for item in read_tag_signatures(revision.connection, int(last))]
    own = [signed for signed in recorded if signed.statement.position == revision.position]
    if not own:
        return AuditCheck(NAME, Verdict.NOT_CHECKED, "the tag is not signed")
    faults = [fault for signed in own if (fault := _find_fault(contents, signed))]
    keys = sorted({signed.signature.key_fingerprint for signed in own} if not faults else ())
    text = f"{len(own):,} signatures hold, by {', '.join(keys)}; compare the keys with those that you know"
    return make_check(NAME, faults, text, findings)


def _find_fault(contents: ReleaseContents, signed: SignedTag) -> str | None:
    """Return why a signature does not hold, or is of other digests than those of the release; None if all is right."""
    from geographer.storage.events.signed_tag import NAMESPACE

    statement = signed.statement
    for name in ("digest", "content_digest", "merkle_root"):
        if getattr(statement, name) != contents.find_digest(name):
            return f"the signature of tag '{statement.tag}' is of another {name.replace('_', ' ')} than revision.json"
    try:
        signed.signature.verify_message(statement.encode_statement(), NAMESPACE)
    except (SignatureError, UsageError) as error:
        return f"the signature of tag '{statement.tag}' does not hold: {error}"
    return None
