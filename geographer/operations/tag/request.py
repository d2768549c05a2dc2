"""The request for a tag: give a revision a permanent name, sign it, and have the signature time-stamped."""

import logging
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, NamedTuple, Self

import msgspec

from geographer.base.errors import ConflictError, CorruptError, UsageError
from geographer.base.parameters import Parameter
from geographer.base.signatures.private_keys import Signer
from geographer.base.timestamps import is_date
from geographer.base.values import validate_name
from geographer.diff.version import AUTO, VERSION_PATTERN, VersionNumber, choose_version
from geographer.operations.tag.events import RevisionTagged, Tag, TagSigned, make_statement
from geographer.operations.tag.signatures import sign_statement, stamp_signature
from geographer.planning.shared_parameters import NAME, OPTIONAL_TEXT, TEXT
from geographer.planning.split_constraints.check import require_leak_free
from geographer.storage.database.connection import DEFAULT_BRANCH
from geographer.storage.events.payload import EventPayload
from geographer.storage.events.signed_tag import SignedTag, TagStatement
from geographer.storage.log.branches import has_branch
from geographer.storage.log.log_root import compute_log_root
from geographer.storage.log.read import read_event, resolve_revision
from geographer.storage.queries.open_conflicts import require_no_conflicts
from geographer.storage.queries.revision import Revision
from geographer.storage.queries.tag_signatures import read_tag_signatures
from geographer.storage.request import BuildContext, Change, PlanContext, Request, RevisionOpener
from geographer.storage.state.update import is_attached_state_unaltered
from geographer.storage.workspace.required_objects import RequiredObjects, list_required_objects
from geographer.storage.workspace.tag_objects import list_published_files, retain_revision
from geographer.storage.workspace.withdrawn_files import list_withdrawn_md5s

logger = logging.getLogger(__name__)


def check_tag(name: str) -> str:
    """Return the name of a tag; raise `UsageError` if it could be read as another name of a revision."""
    is_digest = all(letter in "0123456789abcdef" for letter in name.lower())
    if name and (is_digest or name.upper().startswith("HEAD") or is_date(name) or name == DEFAULT_BRANCH):
        raise UsageError(
            f"invalid tag '{name}': it could be a digest, a date, HEAD or a branch. Use a name such as v1."
        )
    validate_name("tag", name)
    return name


def check_version(version: str) -> str:
    """Return a version number as a user gives it, or 'auto'; raise `UsageError` for other texts."""
    return version if version == AUTO else str(VersionNumber.from_text(version))


def check_key(key: str | Path | Signer) -> str | Signer:
    """Return the path of a key as text, or a signer as it is; `UsageError` for an empty path."""
    if isinstance(key, Signer):
        return key
    if not str(key).strip():
        raise UsageError("--sign has no file. Name the file of a key.")
    return str(key)


def check_authority(authority: str | Path) -> str:
    """Return the URL of an authority or the file of its answer as text; `UsageError` if it is empty."""
    if not str(authority).strip():
        raise UsageError("--timestamp has no value. Use the URL of an authority, or a file with its answer.")
    return str(authority)


class TagPlan(NamedTuple):
    """A planned tag, the objects that its revision needs, and the MD5s of the files that remotes have.

    `signing` is what its signature and time stamp are made with; None: it gets none.
    """

    event: RevisionTagged
    required: RequiredObjects
    published: Collection[str]
    signing: "Signing | None"

    @property
    def is_empty(self) -> bool:
        """See `Plan.is_empty`."""
        return False

    def build_outputs(self, context: BuildContext, /) -> Change:
        """Sign, and retain the objects of the revision before the tag is set, so that `dvc gc` does not delete them."""
        event = self.event
        if self.signing:
            signed = self.signing.make_signed_tag()
            event = msgspec.structs.replace(event, signature=signed.signature, time_stamp=signed.time_stamp)
        if self.required.files:
            retain_revision(context.root, f"tag '{event.tag.tag}'", self.required, self.published)
        return Change(event)


class SignaturePlan(NamedTuple):
    """A planned signature of a tag that exists, or a planned time stamp of its signature."""

    event: TagSigned
    signing: "Signing"

    @property
    def is_empty(self) -> bool:
        """See `Plan.is_empty`."""
        return False

    def build_outputs(self, _context: BuildContext, /) -> Change:
        """Sign, or have the signature time-stamped."""
        signed = self.signing.make_signed_tag()
        return Change(TagSigned(tag=signed.statement, signature=signed.signature, time_stamp=signed.time_stamp))


class Signing(NamedTuple):
    """What a signature of a tag is made with.

    Attributes:
        statement: What is signed.
        signer: What signs it; None: a signature that the tag has gets a time stamp.
        signatures: These signatures, the one first that an authority is asked for.
        authority: The URL of a time-stamping authority, or the file of its response; None: no time stamp.
    """

    statement: TagStatement
    signer: Signer | None
    signatures: Sequence[SignedTag]
    authority: str | None

    def make_signed_tag(self) -> SignedTag:
        """Sign, and have the signature time-stamped; see `sign_statement` and `stamp_signature` for errors."""
        signed = list(self.signatures)
        if self.signer:
            signed = [SignedTag(self.statement, sign_statement(self.signer, self.statement), None)]
        return signed[0] if self.authority is None else stamp_signature(self.authority, signed)


class TagRevision(Request, frozen=True):
    """Give a revision (the head, if REV is omitted) a permanent name.

    A tag does not move. With --version, the revision gets a version number, too. It follows that of the last revision
    that has one: PATCH is raised if the data are the same, MINOR if data were only added, MAJOR if data were edited,
    removed, or moved between subsets. A number that contradicts the data is refused.

    With --sign, the tag and its digests are signed; if the tag exists, it gets a further signature. --timestamp has an
    authority prove when the signature existed. The log keeps both, and geographer verify --signature checks them.
    """

    event: ClassVar[type[RevisionTagged]] = RevisionTagged
    other_events: ClassVar[tuple[type[EventPayload], ...]] = (TagSigned,)
    example = "tag v1 -m 'as in the paper' --sign ~/.ssh/id_ed25519"

    name: Annotated[str, NAME._replace(help="The tag.", convert=check_tag, key="tag", kind="tag")]
    revision: Annotated[
        str | int | None, Parameter("The revision.", "[REV]", "the head", cli="argument", schema=OPTIONAL_TEXT)
    ] = None
    version: Annotated[
        str | None,
        Parameter(
            "The version number: X.Y.Z, or auto to compute it from the data.",
            *("auto|X.Y.Z", "none"),
            convert=check_version,
            records_default=False,
            schema={**TEXT, "pattern": f"^{AUTO}$|{VERSION_PATTERN}"},
        ),
    ] = None
    sign: Annotated[
        str | Path | Signer | None,
        Parameter(
            "Sign with the private key in this file: Ed25519 in PEM, or of OpenSSH; or with a key that an SSH agent or "
            "a FIDO token keeps, by its .pub file. The passphrase is that of GEOGRAPHER_KEY_PASSPHRASE, or asked for.",
            *("KEY", "none"),
            convert=check_key,
            key="signed_by",
            records_default=False,
            schema={**TEXT, "pattern": "^SHA256:"},
            since=4,
        ),
    ] = None
    timestamp: Annotated[
        str | None,
        Parameter(
            "Have the signature time-stamped (RFC 3161) by the authority at this URL, or take its answer from a file.",
            *("TSA", "none"),
            convert=check_authority,
            records_default=False,
            schema=TEXT,
            since=4,
        ),
    ] = None

    def list_recorded_parameters(self) -> dict[str, Any]:
        """See `Request.list_recorded_parameters`: of a key, only the fingerprint is recorded."""
        recorded = {"tag": self.name, "revision": None if self.revision is None else str(self.revision)}
        signed_by = self._loaded_signer.key_fingerprint if self._loaded_signer else None
        optional = {"version": self.version, "signed_by": signed_by, "timestamp": self.timestamp}
        return recorded | {name: value for name, value in optional.items() if value}

    @property
    def _loaded_signer(self) -> Signer | None:
        """What signs, after `resolve_inputs`."""
        return self.sign if isinstance(self.sign, Signer) else None

    def resolve_inputs(self, _open_revision: RevisionOpener, /) -> Self:
        """See `Request.resolve_inputs`: read the key, of which the request records the fingerprint."""
        if self.sign is None or isinstance(self.sign, Signer):
            return self
        return msgspec.structs.replace(self, sign=Signer(Path(self.sign).expanduser()))

    def make_plan(self, revision: Revision, context: PlanContext, /) -> "TagPlan | SignaturePlan":
        """Plan the tag, or the signature of a tag that exists.

        Raises:
            ConflictError: The tag exists, a split of the revision leaks, or the version number contradicts the data;
                the key has signed the tag before.
            NotFoundError: The revision does not exist.
            CorruptError: The state, from which the content digest is computed, was altered.
            UsageError: A time stamp is asked for without a signature.
        """
        if revision.fetch_value("SELECT 1 FROM tags WHERE tag = $name", {"name": self.name}):
            if self.sign is None and self.timestamp is None:
                raise ConflictError(f"tag '{self.name}' exists, and a tag does not move. Choose another name.")
            return self._plan_signature(revision)
        if has_branch(revision.plain_connection, self.name):
            raise ConflictError(f"a branch has the name '{self.name}'. Choose another name for the tag.")
        if self.timestamp is not None and self.sign is None:
            raise UsageError("a time stamp covers a signature, and the tag would have none. Add --sign KEY.")
        position = resolve_revision(revision.plain_connection, self.revision)
        require_derived_state(revision)
        tagged = revision.show_position(position)
        require_no_conflicts(tagged, "tagging")
        require_leak_free(tagged)
        version = choose_version(revision, position, self.version) if self.version else None
        if version is None and re.fullmatch(VERSION_PATTERN, self.name.removeprefix("v")):
            number = self.name.removeprefix("v")
            logger.warning("the data do not check the number in a tag's name. Pass --version %s to let them.", number)
        tag = make_tag(self.name, revision.show_position(position), version)
        signer = self._loaded_signer
        signing = Signing(make_statement(tag), signer, (), self.timestamp) if signer else None
        event = RevisionTagged(tag=tag, signature=signer.empty_signature if signer else None, time_stamp=None)
        required = list_required_objects(revision, [position], excluded_md5s=list_withdrawn_md5s(revision))
        return TagPlan(event, required, list_published_files(revision, context.root), signing)

    def _plan_signature(self, revision: Revision) -> SignaturePlan:
        """Plan a further signature of a tag that exists, or a time stamp of one that it has."""
        statement = self._read_statement(revision)
        recorded = [item.signed for item in read_tag_signatures(revision.plain_connection, revision.position)]
        known = [signed for signed in reversed(recorded) if signed.statement == statement]
        signer = self._loaded_signer
        own = [signed for signed in known if signer and signed.signature.key_fingerprint == signer.key_fingerprint]
        if own and signer and self.timestamp is None:
            raise ConflictError(f"the key {signer.key_fingerprint} has signed tag '{self.name}'. Use another key.")
        if signer and not own:
            event = TagSigned(tag=statement, signature=signer.empty_signature, time_stamp=None)
            return SignaturePlan(event, Signing(statement, signer, (), self.timestamp))
        signatures = sorted(own or known, key=lambda signed: _has_time_stamp(signed, recorded))
        if not signatures:
            raise UsageError(f"tag '{self.name}' has no signature, which a time stamp covers. Add --sign KEY.")
        event = TagSigned(tag=statement, signature=signatures[0].signature, time_stamp=None)
        return SignaturePlan(event, Signing(statement, None, signatures, self.timestamp))

    def _read_statement(self, revision: Revision) -> TagStatement:
        """Return the statement about a tag that exists; `ConflictError` if the request is about another revision."""
        query = "SELECT position, digest, content_digest, version FROM tags WHERE tag = $name"
        ((position, digest, content_digest, version),) = revision.fetch_rows(query, {"name": self.name})
        connection = revision.plain_connection
        is_other = self.revision is not None and resolve_revision(connection, self.revision) != position
        if is_other or self.version is not None:
            raise ConflictError(
                f"tag '{self.name}' is @{position}, and a tag does not move. Leave revision and version out."
            )
        if position is None or read_event(connection, position).digest != digest:
            raise ConflictError(
                f"tag '{self.name}' names an event of a merged history. Sign it where it was set, and merge that."
            )
        require_derived_state(revision)
        head = revision.position
        tag = make_tag(self.name, revision.show_position(position), version)
        revision.show_position(head)
        if tag.content_digest != content_digest:
            raise CorruptError(
                f"tag '{self.name}' records another content digest than its revision has. Run geographer verify."
            )
        return make_statement(tag)


def make_tag(name: str, tagged: Revision, version: str | None) -> Tag:
    """Return the tag of an open revision with all its digests."""
    connection, position = tagged.plain_connection, tagged.position
    return Tag(
        *(name, position, read_event(connection, position).digest),
        *(tagged.compute_content_digest(), tagged.compute_merkle_root(), version),
        *(compute_log_root(connection, position), read_event(connection, 1).digest),
    )


def require_derived_state(revision: Revision) -> None:
    """Raise `CorruptError` if the state, from which the digests of a tag are computed, was altered."""
    if not is_attached_state_unaltered(revision.plain_connection):
        raise CorruptError(
            "the state differs from what the log gave, so a tag would record a wrong digest. Run geographer verify "
            "--repair, which derives it from the log again."
        )


def _has_time_stamp(signed: SignedTag, recorded: Sequence[SignedTag]) -> bool:
    """Return whether a signature has a time stamp, perhaps in another event."""
    return any(other.signature == signed.signature and other.time_stamp for other in recorded)
