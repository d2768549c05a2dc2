"""Map exceptions of HTTP, FTP and S3 libraries to `SourceError`: retryable or not, how long to wait, which message.

The messages are written here, because those of the libraries quote URLs and response bodies, which may hold tokens.
"""

from __future__ import annotations

import errno
import ftplib
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from http.client import responses
from typing import Any, Final, NamedTuple
from urllib.error import HTTPError

from geographer.base.errors import SourceError

_RETRYABLE_STATUSES: Final = frozenset({408, 423, 425, 429})
_PERMANENT_SERVER_STATUSES: Final = frozenset({501, 505, 511})
_FIRST_SERVER_STATUS: Final = 500
_UNREACHABLE_ERRNOS: Final = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN})
_MAX_EXCERPT: Final = 200
"""Maximum number of characters quoted from a response body."""


class HttpResponseInfo(NamedTuple):
    """An HTTP response: `status`, `retry_after` in seconds, and the beginning of a text body."""

    status: int
    retry_after: float | None = None
    body_excerpt: str = ""


def _find_response(error: BaseException) -> HttpResponseInfo | None:
    """Return the HTTP response that an exception or one of its causes refers to, or None."""
    status_only: HttpResponseInfo | None = None
    for cause in iter_causes(error):
        if isinstance(cause, HTTPError):
            return HttpResponseInfo(cause.code, parse_retry_after(dict(cause.headers)))
        response = getattr(cause, "response", None)
        if response is not None and isinstance(getattr(response, "status_code", None), int):
            return HttpResponseInfo(response.status_code, parse_retry_after(response.headers), _read_excerpt(response))
        if isinstance(response, Mapping):
            metadata = response.get("ResponseMetadata") or {}
            if isinstance(metadata.get("HTTPStatusCode"), int):
                headers = metadata.get("HTTPHeaders") or {}
                return HttpResponseInfo(metadata["HTTPStatusCode"], parse_retry_after(headers))
        status = getattr(cause, "status_code", None)
        if isinstance(status, int) and not isinstance(status, bool) and status_only is None:
            status_only = HttpResponseInfo(int(status))
    return status_only


def to_source_error(
    error: BaseException, subject: str, redact: Callable[[str], str], credentials_hint: str
) -> SourceError:
    """Return the `SourceError` to raise in place of `error`.

    Args:
        error: An exception of an HTTP, FTP or S3 library, or one that it caused.
        subject: What was requested, such as "product 'x'"; begins the message.
        redact: Removes secrets from a text.
        credentials_hint: Where to put credentials, as an imperative sentence without its full stop.
    """
    response = _find_response(error)
    if response is not None and response.status >= HTTPStatus.BAD_REQUEST:
        return make_status_error(response, subject, redact, credentials_hint)
    reason, retryable = _classify_errors(list(iter_causes(error)))
    return SourceError(f"{subject}: {reason}", retryable=retryable)


def make_status_error(
    response: HttpResponseInfo, subject: str, redact: Callable[[str], str], credentials_hint: str
) -> SourceError:
    """Return the error for an HTTP status other than the expected one; arguments as for `to_source_error`."""
    is_server_error = response.status >= _FIRST_SERVER_STATUS and response.status not in _PERMANENT_SERVER_STATUSES
    if response.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        detail = f". Credentials are missing or wrong: {credentials_hint}."
    elif response.status in {HTTPStatus.NOT_FOUND, HTTPStatus.GONE}:
        detail = ": nothing is at this address. Check the address, or search again."
    else:
        excerpt = redact(response.body_excerpt)
        detail = f": {excerpt}" if excerpt else ""
    status = f"{response.status} ({responses[response.status]})" if response.status in responses else response.status
    return SourceError(
        f"{subject}: the archive answered {status}{detail}",
        retryable=response.status in _RETRYABLE_STATUSES or is_server_error,
        retry_after=response.retry_after,
    )


def parse_retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that the `Retry-After` header asks to wait (a number or a date, RFC 9110), or None."""
    text = headers.get("Retry-After") or headers.get("retry-after") or ""
    with suppress(ValueError):
        return max(float(text), 0.0)
    try:
        retry_time = parsedate_to_datetime(text)
    except ValueError:
        return None
    retry_time = retry_time if retry_time.tzinfo else retry_time.replace(tzinfo=UTC)
    return max((retry_time - datetime.now(UTC)).total_seconds(), 0.0)


def iter_causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception, then its causes and the exceptions in its arguments, each once."""
    seen: set[int] = set()
    pending: list[BaseException | None] = [error]
    while pending:
        cause = pending.pop(0)
        if cause is None or id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        nested = [inner for inner in (*cause.args, getattr(cause, "reason", None)) if isinstance(inner, BaseException)]
        pending += [*nested, cause.__cause__, cause.__context__]


def _read_excerpt(response: Any) -> str:
    """Return the beginning of a plain-text or JSON body; other media types are not quoted."""
    media_type = str(response.headers.get("Content-Type", "")).partition(";")[0]
    if media_type not in {"text/plain", "application/json", "application/problem+json"}:
        return ""
    try:
        return " ".join(str(response.text).split())[:_MAX_EXCERPT]
    except Exception:  # The connection broke, or the body was consumed elsewhere.
        return ""


def _is_unreachable(error: BaseException) -> bool:
    """Return whether the host is unknown, has no route, or refuses connections."""
    if isinstance(error, ConnectionRefusedError | socket.gaierror):
        return True
    return isinstance(error, OSError) and error.errno in _UNREACHABLE_ERRNOS


def _classify_errors(errors: list[BaseException]) -> tuple[str, bool]:
    """Return why a response is missing or incomplete, and whether a retry may succeed."""
    names = {kind.__name__ for error in errors for kind in type(error).__mro__}
    if any(isinstance(error, ssl.SSLCertVerificationError) for error in errors):
        return "its TLS certificate cannot be verified. Check the CA certificates of this machine.", False
    if any(_is_unreachable(error) for error in errors) or "NameResolutionError" in names:
        return "the archive cannot be reached", True
    if any(isinstance(error, TimeoutError) for error in errors) or names & {"Timeout", "TimeOutError", "TimeoutError"}:
        return "the archive did not answer in time", True
    if names & {"IncompleteRead", "ChunkedEncodingError"}:
        return "the connection closed before all bytes arrived", True
    if names & {"JSONDecodeError", "XMLSyntaxError"}:
        return "the archive's response cannot be parsed", True
    if any(isinstance(error, ftplib.error_perm) for error in errors):
        return "the archive rejected the request", False
    closed = (ConnectionError, EOFError, ftplib.Error, ssl.SSLError)
    if any(isinstance(error, closed) for error in errors) or names & {"ConnectionError", "ProtocolError", "RetryError"}:
        return "the connection was closed", True
    return f"the request failed ({type(errors[0]).__name__})", False
