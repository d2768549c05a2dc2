"""Map exceptions of HTTP, FTP and S3 libraries to `SourceError`: retryable or not, how long to wait, which message.

The messages are written here, because those of the libraries quote URLs and response bodies, which may hold tokens.
"""

import errno
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from http.client import responses
from typing import Any, Final, NamedTuple
from urllib.error import HTTPError

from geographer.base.errors import AccessDeniedError, SourceError

_RETRYABLE_STATUSES: Final = frozenset({408, 423, 425, 429, *range(500, 600)}) - {501, 505, 511}
_LOGIN_STATUSES: Final = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
_DISK_ERRNOS: Final = frozenset(
    {errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EIO, errno.EMFILE, errno.EFBIG, getattr(errno, "EDQUOT", -1)}
)
_REASONS: Final = {
    "its TLS certificate cannot be verified. Check the CA certificates of this machine.": "SSLCertVerificationError",
    "the archive cannot be reached": (
        "ConnectionRefusedError gaierror NameResolutionError ENETUNREACH EHOSTUNREACH ENETDOWN EHOSTDOWN"
    ),
    "the archive did not answer in time": "Timeout TimeOutError TimeoutError",
    "the connection closed before all bytes arrived": "IncompleteRead ChunkedEncodingError",
    "the archive's response cannot be parsed": "JSONDecodeError XMLSyntaxError",
    "the archive rejected the request": "error_perm",
    "the connection was closed": (
        "ConnectionError ProtocolError RetryError EOFError SSLError error_reply error_temp error_proto"
    ),
}
"""Why a response is missing or incomplete, by the names of exception classes and errnos that tell so."""

_PERMANENT_ERRORS: Final = frozenset({"SSLCertVerificationError", "error_perm"})


class _ResponseInfo(NamedTuple):
    """An HTTP response: `status`, `retry_after` in seconds, and the beginning of a text body."""

    status: int
    retry_after: float | None = None
    body_excerpt: str = ""


def to_source_error(
    error: BaseException, subject: str, redact: Callable[[str], str], credentials_hint: str
) -> SourceError:
    """Return the `SourceError` to raise in place of `error`: an exception of a library, or one that it caused.

    `subject` is what was requested, and begins the message. `redact` removes secrets from a text. `credentials_hint`
    says where to put credentials, as an imperative sentence without its full stop.
    """
    response = _find_response(error)
    if response is None or response.status < HTTPStatus.BAD_REQUEST:
        reason, retryable = _classify_errors(list(iter_causes(error)))
        return SourceError(f"{subject}: {reason}", retryable=retryable)
    if response.status in _LOGIN_STATUSES:
        detail = f". Credentials are missing or wrong: {credentials_hint}."
    elif response.status in {HTTPStatus.NOT_FOUND, HTTPStatus.GONE}:
        detail = ": nothing is at this address. Check the address, or search again."
    else:
        detail = f": {redact(response.body_excerpt)}" if response.body_excerpt else ""
    phrase = f" ({responses[response.status]})" if response.status in responses else ""
    error_class = AccessDeniedError if response.status in _LOGIN_STATUSES else SourceError
    message = f"{subject}: the archive answered {response.status}{phrase}{detail}"
    retryable = response.status in _RETRYABLE_STATUSES
    return error_class(message, retryable=retryable, retry_after=response.retry_after)


def parse_retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that the `Retry-After` header asks to wait (a number or a date, RFC 9110), or None."""
    from urllib3.exceptions import InvalidHeader
    from urllib3.util import Retry

    try:
        return float(Retry().parse_retry_after(headers.get("Retry-After") or headers.get("retry-after") or ""))
    except InvalidHeader:
        return None


def iter_causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception, then its causes and the exceptions in its arguments, each once."""
    seen: set[int] = set()
    pending: list[object] = [error]
    while pending:
        cause = pending.pop(0)
        if isinstance(cause, BaseException) and id(cause) not in seen:
            seen.add(id(cause))
            yield cause
            pending += [*cause.args, getattr(cause, "reason", None), cause.__cause__, cause.__context__]


def is_disk_error(error: BaseException) -> bool:
    """Return whether an error is one of the local disk, not of the connection."""
    if not isinstance(error, OSError) or isinstance(error, ConnectionError | TimeoutError):
        return False
    return error.errno in _DISK_ERRNOS or (error.errno is not None and error.filename is not None)


def _find_response(error: BaseException) -> _ResponseInfo | None:
    status_only: _ResponseInfo | None = None
    for cause in iter_causes(error):
        if isinstance(cause, HTTPError):
            return _ResponseInfo(cause.code, parse_retry_after(dict(cause.headers)))
        response = getattr(cause, "response", None)
        if isinstance(response, Mapping):  # of botocore
            metadata = response.get("ResponseMetadata") or {}
            status, headers, excerpt = metadata.get("HTTPStatusCode"), metadata.get("HTTPHeaders") or {}, ""
        else:
            status, headers = getattr(response, "status_code", None), getattr(response, "headers", {})
            excerpt = _read_excerpt(response)
        if isinstance(status, int):
            return _ResponseInfo(status, parse_retry_after(headers), excerpt)
        status = getattr(cause, "status_code", None)
        if isinstance(status, int) and status_only is None:
            status_only = _ResponseInfo(status)
    return status_only


def _read_excerpt(response: Any) -> str:
    """Return the beginning of a plain-text or JSON body; other media types are not quoted."""
    try:
        media_type = str(response.headers.get("Content-Type", "")).partition(";")[0]
        is_quotable = media_type in {"text/plain", "application/json", "application/problem+json"}
        return " ".join(str(response.text).split())[:200] if is_quotable else ""
    except Exception:  # There is no response, the connection broke, or the body was consumed elsewhere.
        return ""


def _classify_errors(errors: list[BaseException]) -> tuple[str, bool]:
    names: set[str] = {kind.__name__ for error in errors for kind in type(error).__mro__}
    names |= {errno.errorcode.get(error.errno or 0, "") for error in errors if isinstance(error, OSError)}
    for reason, known_names in _REASONS.items():
        if names & set(known_names.split()):
            return reason, known_names not in _PERMANENT_ERRORS
    return f"the request failed ({type(errors[0]).__name__})", False
