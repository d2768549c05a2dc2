"""Signed tags: the statement that a signature of a tag covers, the signature, and the time stamp of both."""

from base64 import b64decode
from collections.abc import Sequence
from typing import Annotated, Final, NamedTuple

import msgspec
from msgspec import Meta

from geographer.base.canonical_json import canonical_json
from geographer.base.signatures.signature import Signature
from geographer.storage.events.payload import Digest, Name

NAMESPACE: Final = "geographer"
"""The namespace of SSH signatures of tags: a signature for another one, such as `git`, does not hold."""

STATEMENT_KIND: Final = "geographer tag 1"


class TagStatement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a signature of a tag covers: the name, the revision, and all digests of it.

    Attributes:
        tag: The name.
        position: The position of the tagged event.
        digest: The digest of that event.
        content_digest: The content digest of the revision.
        merkle_root: The Merkle root of the revision.
        version: The version number; None if the revision has none.
        log_root: The root of the Merkle tree over the digests of the chain up to that event.
        dataset: The digest of the first event, which identifies the dataset.
    """

    tag: Name
    position: Annotated[int, Meta(ge=1, le=2**53 - 1)]
    digest: Digest
    content_digest: Digest
    merkle_root: Digest
    version: str | None
    log_root: Digest
    dataset: Digest

    def encode_statement(self) -> bytes:
        """Return the bytes that are signed: canonical JSON (RFC 8785) of the fields and the kind of the statement."""
        return canonical_json({"statement": STATEMENT_KIND, **msgspec.structs.asdict(self)}).encode()


class TimeStamp(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A time stamp of RFC 3161: the authority's response (DER in base64), and the time that it states, in UTC."""

    response: Annotated[str, Meta(min_length=1, pattern="^[A-Za-z0-9+/]+={0,2}$")]
    time: Annotated[str, Meta(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z$")]

    def decode_response(self) -> bytes:
        """Return the bytes of the response; ValueError if the text is not base64."""
        return b64decode(self.response, validate=True)


class SignedTag(NamedTuple):
    """A statement about a tag with a signature, and a time stamp of both, if there is one."""

    statement: TagStatement
    signature: Signature
    time_stamp: TimeStamp | None

    @property
    def stamped_bytes(self) -> bytes:
        """What a time stamp covers: the signed bytes, a newline, and the text of the signature."""
        return list_stamped_bytes(self.statement, self.signature)

    def to_json(self) -> dict[str, object]:
        """Return the statement and the signature as JSON, with the time stamp if there is one."""
        parts = {"statement": {"statement": STATEMENT_KIND, **msgspec.structs.asdict(self.statement)}}
        parts["signature"] = msgspec.structs.asdict(self.signature)
        return parts | ({"time_stamp": msgspec.structs.asdict(self.time_stamp)} if self.time_stamp else {})


def list_stamped_bytes(statement: TagStatement, signature: Signature) -> bytes:
    """Return what a time stamp of a signature covers: the signed bytes, a newline, and the text of the signature."""
    return statement.encode_statement() + b"\n" + signature.signature.encode()


def make_signature_files(signed_tags: Sequence[SignedTag]) -> dict[str, bytes]:
    """Return files with which `openssl` or `ssh-keygen` alone check the signatures of tags, by their names.

    Each signature has a statement (`.json`), the signature (`.sig`), its public key (`.pub`), and if it has a time
    stamp, the stamped bytes (`.stamped`) and the authority's response (`.tsr`).
    """
    files: dict[str, bytes] = {}
    counts: dict[str, int] = {}
    for signed in signed_tags:
        tag, signature = signed.statement.tag, signed.signature
        counts[tag] = counts.get(tag, 0) + 1
        name = f"{tag}.{counts[tag]}"
        is_plain = signature.format == "ed25519"
        files[f"{name}.json"] = signed.statement.encode_statement()
        files[f"{name}.sig"] = b64decode(signature.signature) if is_plain else signature.signature.encode()
        files[f"{name}.pub"] = signature.public_key.encode() + (b"" if is_plain else b"\n")
        if signed.time_stamp:
            files[f"{name}.stamped"] = signed.stamped_bytes
            files[f"{name}.tsr"] = signed.time_stamp.decode_response()
    return files
