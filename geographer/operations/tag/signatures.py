"""Sign a statement about a tag, and have the signature time-stamped by an authority or from its response in a file."""

import time
from base64 import b64encode
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from geographer.archives.http_errors import to_source_error
from geographer.base.errors import NotFoundError, SourceError, UsageError
from geographer.base.redaction import redact_text
from geographer.base.retry import RetryPolicy
from geographer.base.signatures.private_keys import Signer
from geographer.base.signatures.public_keys import SignatureError
from geographer.base.signatures.signature import Signature
from geographer.base.signatures.time_stamps import MAX_RESPONSE_BYTES, make_time_stamp_request, read_stamped_time
from geographer.storage.events.signed_tag import (
    NAMESPACE,
    SignedTag,
    TagStatement,
    TimeStamp,
)

RETRY_POLICY: Final = RetryPolicy()
_TIMEOUT_S: Final = 30.0
_MAX_BODY_S: Final = 60.0
_QUERY_TYPE: Final = "application/timestamp-query"


def is_url(authority: str) -> bool:
    """Return whether a time stamp is asked for at an address, and not read from a file."""
    return authority.lower().startswith(("http://", "https://"))


def sign_statement(signer: Signer, statement: TagStatement) -> Signature:
    """Return the signature over a statement; `UsageError` if the program that signs fails."""
    signature = signer.sign_message(statement.encode_statement(), NAMESPACE)
    try:
        signature.verify_message(statement.encode_statement(), NAMESPACE)
    except SignatureError as error:
        raise UsageError(f"the signature that was made does not hold: {error}. Use another key.") from error
    _require_recordable(signature.signature)
    return signature


def stamp_signature(authority: str, signed: Sequence[SignedTag], retry: RetryPolicy | None = None) -> SignedTag:
    """Return the first of some signatures that a time stamp fits, with the time stamp.

    `authority` is the URL of an authority, which is asked for one of the first signature, or a file with its response.

    Raises:
        NotFoundError: there is no such file.
        UsageError: the response in the file fits none of the signatures.
        SourceError: the authority does not answer, or refuses.
    """
    if is_url(authority):
        first = signed[0]
        return first._replace(time_stamp=_request_time_stamp(authority, first.stamped_bytes, retry or RETRY_POLICY))
    content = _read_response_file(authority)
    errors = []
    for candidate in signed:
        try:
            return candidate._replace(time_stamp=_make_time_stamp(content, candidate.stamped_bytes, None))
        except SignatureError as error:
            errors.append(str(error))
    raise UsageError(
        f"'{authority}' is no time stamp of a signature of this tag: {errors[-1]}. Write a request with "
        "--timestamp-request FILE, and let the authority answer it."
    )


def _request_time_stamp(url: str, message: bytes, retry: RetryPolicy) -> TimeStamp:
    """Ask an authority for a time stamp over HTTP, as RFC 3161, section 3.4, describes."""
    request, subject = make_time_stamp_request(message), f"'{redact_text(url)}'"
    content = retry.call_with_retry(lambda: _post_request(url, request.content, subject))
    try:
        return _make_time_stamp(content, message, request.nonce)
    except SignatureError as error:
        raise SourceError(f"{subject}: the response cannot be used: {error}. Use another authority.") from error


def _post_request(url: str, content: bytes, subject: str) -> bytes:
    import requests

    try:
        with requests.post(
            url, data=content, headers={"Content-Type": _QUERY_TYPE}, timeout=_TIMEOUT_S, stream=True
        ) as response:
            if response.status_code != requests.codes.ok:
                raise requests.HTTPError(response=response)
            return _read_body(response, subject)
    except SourceError:
        raise
    except Exception as error:
        found = to_source_error(error, subject, redact_text, "put them into ~/.netrc")
        message = str(found).replace("the archive", "the authority")
        raise type(found)(message, retryable=found.retryable, retry_after=found.retry_after) from error


def _read_body(response: Any, subject: str) -> bytes:
    """Return the body of a response, cut off where it is too large; `SourceError` if it arrives too slowly."""
    body, deadline = bytearray(), time.monotonic() + _MAX_BODY_S
    for block in response.iter_content(1):
        body += block
        if len(body) > MAX_RESPONSE_BYTES:
            break
        if time.monotonic() > deadline:
            raise SourceError(f"{subject}: the authority did not answer within {_MAX_BODY_S:.0f} s. Use another one.")
    return bytes(body)


def _read_response_file(path: str) -> bytes:
    try:
        with Path(path).expanduser().open("rb") as file:
            return file.read(MAX_RESPONSE_BYTES + 1)
    except FileNotFoundError as error:
        raise NotFoundError(
            f"no time stamp '{path}'. Use the URL of an authority, or its response in a file."
        ) from error
    except OSError as error:
        raise UsageError(f"cannot read the time stamp '{path}' ({error.strerror}). Use another file.") from error


def _make_time_stamp(content: bytes, message: bytes, nonce: int | None) -> TimeStamp:
    """Return the time stamp as the log keeps it; `SignatureError` if the response does not fit."""
    if len(content) > MAX_RESPONSE_BYTES:
        raise SignatureError(f"it has more than {MAX_RESPONSE_BYTES:,} bytes")
    stated = read_stamped_time(content, message, nonce)
    stamp = TimeStamp(b64encode(content).decode(), _format_time(stated))
    _require_recordable(stamp.response)
    return stamp


def _format_time(stated: datetime) -> str:
    return f"{stated.replace(tzinfo=None).isoformat()}Z"


def _require_recordable(text: str) -> None:
    """Raise `UsageError` if the log would not keep a text as it is: base64 can look like a credential by chance."""
    if redact_text(text) != text:
        raise UsageError("the signature looks like a credential by chance. Use another key or authority, or try again.")
