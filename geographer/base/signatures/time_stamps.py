"""Time stamps of RFC 3161: a request for the SHA-256 of some bytes, and what an authority's response proves."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from geographer.base.errors import NotFoundError, UsageError
from geographer.base.signatures.public_keys import SignatureError

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

_SHA256: Final = "2.16.840.1.101.3.4.2.1"
_CERTIFICATE: Final = re.compile(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
_CERTIFICATES: Final = 0xA0
_LONG_LENGTH: Final = 0x80
MAX_RESPONSE_BYTES: Final = 1 << 17


class _Element(NamedTuple):
    """An element of DER: its tag, where it starts, and where its content starts and ends."""

    tag: int
    start: int
    content: tuple[int, int]


class TimeStampRequest(NamedTuple):
    """A request: its bytes (DER, a file `.tsq`), and the number that the response must repeat."""

    content: bytes
    nonce: int | None


def make_time_stamp_request(message: bytes) -> TimeStampRequest:
    """Return the request for a time stamp of the SHA-256 of a message, with the authority's certificate."""
    from rfc3161_client import HashAlgorithm, TimestampRequestBuilder

    request = TimestampRequestBuilder().data(message).hash_algorithm(HashAlgorithm.SHA256).build()
    return TimeStampRequest(request.as_bytes(), request.nonce)


def read_stamped_time(response: bytes, message: bytes, nonce: int | None = None) -> datetime:
    """Return the time, in UTC, that a response states for a message; who signed it is not checked.

    Raises:
        SignatureError: the response is not one, refuses the stamp, or is for another message or request.
    """
    parsed = _parse_response(response)
    if parsed.tst_info.message_imprint.hash_algorithm.dotted_string != _SHA256:
        raise SignatureError("it is for another hash than SHA-256")
    if parsed.tst_info.message_imprint.message != hashlib.sha256(message).digest():
        raise SignatureError("it is for other bytes")
    if nonce is not None and parsed.tst_info.nonce != nonce:
        raise SignatureError("it answers another request")
    time: datetime = parsed.tst_info.gen_time
    return time.replace(tzinfo=time.tzinfo or UTC).astimezone(UTC)


def verify_time_stamp(response: bytes, message: bytes, certificates: Sequence[Certificate]) -> None:
    """Raise `SignatureError` unless a chain of certificates leads from a response for a message to a trusted one."""
    from rfc3161_client import VerificationError, VerifierBuilder

    read_stamped_time(response, message)
    roots = [certificate for certificate in certificates if certificate.subject == certificate.issuer]
    others = [certificate for certificate in certificates if certificate not in roots]
    verifier = VerifierBuilder(roots=roots or list(certificates), intermediates=others if roots else []).build()
    try:
        verifier.verify_message(_parse_response(response), message)
    except (VerificationError, ValueError) as error:
        # The words of OpenSSL name places in its source.
        reason = "" if "ErrorStack" in str(error) else f": {str(error).removesuffix('.')}"
        raise SignatureError(f"no trusted certificate vouches for it{reason}") from error


def read_certificates(path: Path) -> list[Certificate]:
    """Return the certificates of a file in PEM or DER.

    Raises:
        NotFoundError: there is no such file.
        UsageError: it has no certificate.
    """
    from cryptography.x509 import load_der_x509_certificate, load_pem_x509_certificate

    advice = "Use a file of the authority's root certificate in PEM."
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise NotFoundError(f"no file '{path}' with certificates. {advice}") from error
    except OSError as error:
        raise UsageError(f"cannot read certificates from '{path}' ({error.strerror}). {advice}") from error
    try:
        blocks = _CERTIFICATE.findall(content)
        return [load_pem_x509_certificate(block) for block in blocks] or [load_der_x509_certificate(content)]
    except ValueError as error:
        raise UsageError(f"'{path}' has no certificate that can be read. {advice}") from error


def _sort_certificates(response: bytes) -> bytes:
    """Return a response with its certificates in the order of DER, which `openssl ts -chain` and others do not keep.

    The order says nothing, and no signature covers it; but the parser refuses another one.
    """
    try:
        (whole,) = _list_elements(response, (0, len(response)))
        token = _list_elements(response, whole.content)[1]
        (signed_data,) = _list_elements(response, _list_elements(response, token.content)[1].content)
        found = [part for part in _list_elements(response, signed_data.content) if part.tag == _CERTIFICATES]
        start, end = found[0].content
        certificates = [response[part.start : part.content[1]] for part in _list_elements(response, (start, end))]
    except (ValueError, IndexError):
        return response
    return response[:start] + b"".join(sorted(certificates)) + response[end:]


def _list_elements(data: bytes, place: tuple[int, int]) -> list[_Element]:
    """Return the elements of DER between two places; ValueError or IndexError if they are cut off."""
    elements, (start, end) = [], place
    while start < end:
        length, first = data[start + 1], start + 2
        if length & _LONG_LENGTH:
            digits = length & ~_LONG_LENGTH
            length, first = int.from_bytes(data[first : first + digits], "big"), first + digits
        if first + length > end:
            raise ValueError("an element is cut off")
        elements.append(_Element(data[start], start, (first, first + length)))
        start = first + length
    return elements


def _parse_response(content: bytes) -> Any:
    from rfc3161_client import PKIStatus, decode_timestamp_response

    try:
        parsed = decode_timestamp_response(_sort_certificates(content))
        if parsed.status not in (PKIStatus.GRANTED, PKIStatus.GRANTED_WITH_MODS):
            reason = ", ".join(parsed.status_string) or f"status {parsed.status}"
            raise SignatureError(f"the authority refused the stamp: {reason}")
        _ = parsed.tst_info
    except ValueError as error:
        raise SignatureError("it is not a response of a time-stamping authority") from error
    return parsed
