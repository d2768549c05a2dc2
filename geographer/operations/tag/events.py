"""The events of tags: a revision got a name, and a tag got a signature."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Meta

from geographer.base.signatures.signature import Signature
from geographer.diff.version import VERSION_PATTERN
from geographer.planning.shared_parameters import TEXT
from geographer.planning.upcasters import upcast_tag
from geographer.storage.events.payload import Digest, EventPayload, Name
from geographer.storage.events.signed_tag import SignedTag, TagStatement, TimeStamp

_REQUIRED_ROOTS = {"properties": {"tag": {"properties": {"merkle_root": TEXT}}}}
_REQUIRED_DIGESTS = {"properties": {"tag": {"properties": dict.fromkeys(("merkle_root", "log_root", "dataset"), TEXT)}}}


class TagV1(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The name of a revision, the digest of its event, and that of its content."""

    tag: Name
    position: Annotated[int, Meta(ge=1)]
    digest: Digest
    content_digest: Digest


class TagV2(TagV1, frozen=True):
    """A tag with the Merkle root of the rows of the revision's content; None if version 1 recorded the tag."""

    merkle_root: Digest | None


class TagV3(TagV2, frozen=True):
    """A tag with the version number of the revision; None if it has none."""

    version: Annotated[str, Meta(pattern=VERSION_PATTERN)] | None


class Tag(TagV3, frozen=True):
    """A tag with the Merkle root of the log up to its revision, and the id of the dataset; older ones lack both."""

    log_root: Digest | None
    dataset: Digest | None


class RevisionTaggedV1(EventPayload, kw_only=True, frozen=True):
    """A revision got a permanent name, before tags had a Merkle root."""

    kind: ClassVar[str] = "revision_tagged"

    tag: TagV1

    def to_current_version(self) -> "RevisionTagged":
        """See `EventPayload.to_current_version`."""
        return msgspec.convert(upcast_tag(self.to_json()), RevisionTagged)


class RevisionTaggedV2(EventPayload, kw_only=True, frozen=True):
    """A revision got a permanent name, before tags had a version number."""

    kind: ClassVar[str] = "revision_tagged"
    version: ClassVar[int] = 2
    schema_rules: ClassVar[Mapping[str, Any]] = _REQUIRED_ROOTS

    tag: TagV2

    def to_current_version(self) -> "RevisionTagged":
        """See `EventPayload.to_current_version`."""
        return msgspec.convert(upcast_tag(self.to_json()), RevisionTagged)


class RevisionTaggedV3(EventPayload, kw_only=True, frozen=True):
    """A revision got a permanent name, and perhaps a version number, before tags had a log root."""

    kind: ClassVar[str] = "revision_tagged"
    version: ClassVar[int] = 3
    schema_rules: ClassVar[Mapping[str, Any]] = _REQUIRED_ROOTS

    tag: TagV3

    def to_current_version(self) -> "RevisionTagged":
        """See `EventPayload.to_current_version`."""
        return msgspec.convert(upcast_tag(self.to_json()), RevisionTagged)


class RevisionTagged(EventPayload, kw_only=True, frozen=True):
    """A revision got a permanent name, and perhaps a version number, a signature and a time stamp."""

    kind: ClassVar[str] = "revision_tagged"
    version: ClassVar[int] = 4
    schema_rules: ClassVar[Mapping[str, Any]] = _REQUIRED_DIGESTS
    signs_tags: ClassVar[bool] = True

    tag: Tag
    signature: Signature | None
    time_stamp: TimeStamp | None

    @property
    def recorded_tag(self) -> Tag:
        """See `EventPayload.recorded_tag`."""
        return self.tag

    def iter_signed_tags(self) -> Iterator[SignedTag]:
        """See `EventPayload.iter_signed_tags`."""
        if self.signature is not None:
            yield SignedTag(make_statement(self.tag), self.signature, self.time_stamp)

    def iter_phrases(self) -> Iterator[str]:
        """See `EventPayload.iter_phrases`."""
        tag = self.tag
        yield f"'{tag.tag}' is @{tag.position} {tag.digest}, content {tag.content_digest}"
        if tag.version:
            yield f"version {tag.version}"
        for signed in self.iter_signed_tags():
            yield from describe_signature(signed)


class TagSigned(EventPayload, kw_only=True, frozen=True):
    """A tag that was recorded before got a signature, or a signature of it a time stamp."""

    kind: ClassVar[str] = "tag_signed"
    signs_tags: ClassVar[bool] = True

    tag: TagStatement
    signature: Signature
    time_stamp: TimeStamp | None

    def iter_signed_tags(self) -> Iterator[SignedTag]:
        """See `EventPayload.iter_signed_tags`."""
        yield SignedTag(self.tag, self.signature, self.time_stamp)

    def iter_phrases(self) -> Iterator[str]:
        """See `EventPayload.iter_phrases`."""
        yield f"'{self.tag.tag}' is @{self.tag.position} {self.tag.digest}"
        yield from describe_signature(SignedTag(self.tag, self.signature, self.time_stamp))


def make_statement(tag: Tag) -> TagStatement:
    """Return what a signature of a tag covers; `ValidationError` if the tag lacks a digest."""
    return msgspec.convert(msgspec.structs.asdict(tag), TagStatement)


def describe_signature(signed: SignedTag) -> Iterator[str]:
    """Yield who signed a tag, and when the signature was time-stamped, as the event says."""
    yield f"signed by {signed.signature.key_fingerprint}"
    if signed.time_stamp:
        yield f"time-stamped {signed.time_stamp.time}"
