"""Verify the signatures and time stamps of tags: whether they hold, who vouches for them, and what they say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from geographer.base.errors import UsageError
from geographer.base.signatures.public_keys import SignatureError
from geographer.base.signatures.time_stamps import read_certificates, read_stamped_time, verify_time_stamp
from geographer.base.signatures.trusted_keys import TrustedKey, read_trusted_keys
from geographer.storage.events.signed_tag import NAMESPACE, SignedTag
from geographer.storage.log.check import Finding
from geographer.storage.queries.tag_signatures import RecordedSignature
from geographer.storage.workspace.verify_report import Remedy, VerifyReport

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

_NO_KEYS: Final = "no trusted keys were given, so whose key it is was not checked"


class SignatureOptions(NamedTuple):
    """What is asked of the signatures of tags.

    Attributes:
        requires_signature: Whether each tag must have a signature that holds; with `keys`, one by a trusted key.
        keys: The trusted keys; None: whose key it is is not checked.
        requires_time_stamp: Whether each tag must have a signature with a time stamp that fits; with `certificates`, by
            an authority that one of them vouches for.
        certificates: The trusted certificates of authorities; None: who made a time stamp is not checked.
    """

    requires_signature: bool = False
    keys: Sequence[TrustedKey] | None = None
    requires_time_stamp: bool = False
    certificates: Sequence[Certificate] | None = None


def read_signature_options(signatures: str | Path | bool, time_stamps: str | Path | bool) -> SignatureOptions:
    """Return what is asked of signatures and time stamps: True, or a file of trusted keys or certificates.

    Raises:
        NotFoundError: there is no such file.
        UsageError: it has no key or certificate that can be read.
    """
    keys = None if isinstance(signatures, bool) else read_trusted_keys(Path(signatures).expanduser())
    certificates = None if isinstance(time_stamps, bool) else read_certificates(Path(time_stamps).expanduser())
    return SignatureOptions(signatures is not False, keys, time_stamps is not False, certificates)


class TagFacts(NamedTuple):
    """What the log gives for a tag, which the statement of a signature must equal; `position` is that of its event."""

    position: int
    statement: Mapping[str, Any]


class SignatureVerifier:
    """Verifies the signatures of the selected tags against what the log gives for each; fills a report."""

    def __init__(self, options: SignatureOptions, report: VerifyReport) -> None:
        self._options = options
        self._report = report
        self._signed: set[str] = set()
        self._untrusted: dict[str, list[str]] = {}
        self._stamped: set[str] = set()
        self._matches: dict[tuple[str, str], str] = {}

    def check_tags(self, tags: Mapping[str, TagFacts], recorded: Sequence[RecordedSignature]) -> Iterator[Finding]:
        """Yield the signatures and time stamps that do not hold, then the tags that lack one which was asked for."""
        for item in recorded:
            facts = tags.get(item.signed.statement.tag)
            if facts is None:
                continue
            if item.signed.statement.digest != facts.statement["digest"]:
                self._report.not_checked.append(
                    f"a signature of tag '{item.signed.statement.tag}' of another revision than the tag has now: "
                    f"{item.signed.statement.digest}"
                )
                continue
            yield from self._check_signature(item, facts)
        self._report.matches += self._matches.values()
        yield from self._find_unsigned(tags)
        for tag, keys in self._untrusted.items():
            if tag in self._signed:
                self._report.not_checked += [f"a further signature of {tag}, by {text}" for text in dict.fromkeys(keys)]

    def _check_signature(self, item: RecordedSignature, facts: TagFacts) -> Iterator[Finding]:
        signed, tag = item.signed, item.signed.statement.tag
        try:
            key = f"key {signed.signature.key_fingerprint}"
            signed.signature.verify_message(signed.statement.encode_statement(), NAMESPACE)
        except (SignatureError, UsageError) as error:
            yield self._make_finding("wrong signature", item, f"the signature does not hold: {error}", Remedy.SIGNATURE)
            return
        stated = msgspec.structs.asdict(signed.statement)
        if wrong := [name for name, value in facts.statement.items() if stated[name] != value]:
            detail = f"{key} signed another {', '.join(wrong)} than the log gives"
            yield self._make_finding("wrong signature", item, detail, Remedy.SIGNATURE)
            return
        time, finding = self._check_time_stamp(item)
        if finding:
            yield finding
        text, trusted = self._describe_key(signed, time or _parse_time(item.recorded_at))
        if trusted is False:
            self._untrusted.setdefault(tag, []).append(f"{key}, {text}")
            return
        self._signed.add(tag)
        if time or (tag, signed.signature.signature) not in self._matches:
            stamp = f", before {time:%Y-%m-%d %H:%M:%S} UTC by its time stamp" if time else ""
            self._matches[tag, signed.signature.signature] = f"signature of {tag} by {text}{stamp}"

    def _describe_key(self, signed: SignedTag, time: datetime) -> tuple[str, bool | None]:
        """Return whose key made a signature, in words, and whether it is trusted; None: no trusted keys were given."""
        fingerprint = signed.signature.key_fingerprint
        if self._options.keys is None:
            return f"key {fingerprint}; {_NO_KEYS}", None
        same = [key for key in self._options.keys if key.blob == signed.signature.key_blob]
        restrictions = [(key, key.find_restriction(NAMESPACE, time)) for key in same]
        if names := [key.names for key, restriction in restrictions if restriction is None]:
            return f"{names[0]}, key {fingerprint}", True
        if restrictions:
            key, restriction = restrictions[0]
            return f"which is that of {key.names} and {restriction}", False
        return "which is not among the trusted keys", False

    def _check_time_stamp(self, item: RecordedSignature) -> tuple[datetime | None, Finding | None]:
        """Return the time of a time stamp that a trusted certificate vouches for; or a finding if it does not fit."""
        signed = item.signed
        if signed.time_stamp is None:
            return None, None
        try:
            response = signed.time_stamp.decode_response()
            time = read_stamped_time(response, signed.stamped_bytes)
            if time != _parse_time(signed.time_stamp.time):
                raise SignatureError(f"it states {time.isoformat()}, and the event says {signed.time_stamp.time}")
            if self._options.certificates is not None:
                verify_time_stamp(response, signed.stamped_bytes, self._options.certificates)
        except (SignatureError, ValueError) as error:
            detail = f"the time stamp does not hold: {error}"
            return None, self._make_finding("wrong time stamp", item, detail, Remedy.TIME_STAMP)
        self._stamped.add(signed.statement.tag)
        if self._options.certificates is not None:
            return time, None
        self._report.not_checked.append(
            f"who made the time stamp of {signed.statement.tag}, {signed.time_stamp.time}: pass the certificate of the "
            "authority as --timestamp FILE"
        )
        return None, None

    def _find_unsigned(self, tags: Mapping[str, TagFacts]) -> Iterator[Finding]:
        """Yield the tags without what was asked for."""
        options = self._options
        for tag, facts in tags.items():
            if options.requires_signature and tag not in self._signed:
                detail = "it has no signature by a trusted key" if options.keys else "it has no signature that holds"
                signers = list(dict.fromkeys(self._untrusted.get(tag, ())))
                others = f"; it was signed by {' and by '.join(signers)}" if signers else ""
                remedy = Remedy.KEY if signers else Remedy.UNSIGNED
                yield Finding("unsigned tag", tag, facts.position, f"{detail}{others}", remedy)
            if options.requires_time_stamp and tag not in self._stamped:
                detail = "none of its signatures has a time stamp that holds"
                yield Finding("tag without time stamp", tag, facts.position, detail, Remedy.UNSTAMPED)

    def _make_finding(self, kind: str, item: RecordedSignature, detail: str, remedy: str) -> Finding:
        place = f" (event {item.event_digest[:12]} by {item.author})"
        return Finding(kind, item.signed.statement.tag, item.position, f"{detail}{place}", remedy)


def _parse_time(text: str) -> datetime:
    """Return a recorded time, `YYYY-MM-DDTHH:MM:SS…Z`, in UTC; that of another text is the first possible one."""
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        return datetime.min.replace(tzinfo=UTC)
