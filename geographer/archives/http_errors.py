"""What went wrong with an archive, told from an exception: whether it may pass, how long to wait, and in which words.

The texts are made here: those of libraries quote URLs and bodies, and with them tokens.
"""

from __future__ import annotations

import errno
import ftplib
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Final, NamedTuple
from urllib.error import HTTPError

from geographer.archives.base import SourceError

_PASSING: Final = frozenset({408, 423, 425, 429})
_LASTING: Final = frozenset({501, 505, 511})
_SERVER: Final = 500
_NO_WAY: Final = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN})
_MOST: Final = 200
"""Characters of an archive's own words that are repeated."""


class Answer(NamedTuple):
    """What an archive answered: the HTTP `status`, the seconds it asked to `wait`, and its own `words`."""

    status: int
    wait: float | None = None
    words: str = ""


def answer_in(error: BaseException) -> Answer | None:
    """The HTTP answer that an exception, or one that led to it, is about; None if there was none."""
    found: Answer | None = None
    for one in chain(error):
        if isinstance(one, HTTPError):
            return Answer(one.code, waiting(dict(one.headers)))
        response = getattr(one, "response", None)
        if response is not None and isinstance(getattr(response, "status_code", None), int):
            return Answer(response.status_code, waiting(response.headers), _words(response))
        if isinstance(response, Mapping):
            about = response.get("ResponseMetadata") or {}
            if isinstance(about.get("HTTPStatusCode"), int):
                return Answer(about["HTTPStatusCode"], waiting(about.get("HTTPHeaders") or {}))
        status = getattr(one, "status_code", None)
        if isinstance(status, int) and not isinstance(status, bool) and found is None:
            found = Answer(int(status))
    return found


def trouble(error: BaseException, what: str, clean: Callable[[str], str], credentials: str) -> SourceError:
    """The error to raise in place of `error`, which came up while doing `what` ("product 'x'" …).

    Args:
        error: An exception of a library for HTTP or FTP, or one that such an exception led to.
        what: What was asked for; the beginning of the text.
        clean: Takes what is secret out of a text.
        credentials: Where to put credentials, for the next step.
    """
    answer = answer_in(error)
    if answer is not None and answer.status >= HTTPStatus.BAD_REQUEST:
        return refused(answer, what, clean, credentials)
    reason, passing = _reason(list(chain(error)))
    return SourceError(f"{what}: {reason}", retryable=passing)


def refused(answer: Answer, what: str, clean: Callable[[str], str], credentials: str) -> SourceError:
    """The error for an HTTP answer that is not what was asked for."""
    passing = answer.status in _PASSING or (answer.status >= _SERVER and answer.status not in _LASTING)
    if answer.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        step = f": {credentials}"
    elif answer.status in {HTTPStatus.NOT_FOUND, HTTPStatus.GONE}:
        step = ": nothing is there (any more); see that the address is right, or search again"
    else:
        words = clean(answer.words)
        step = f": {words}" if words else ""
    return SourceError(
        f"{what}: the archive answered {_named(answer.status)}{step}", retryable=passing, retry_after=answer.wait
    )


def waiting(headers: Mapping[str, str]) -> float | None:
    """The seconds that `Retry-After` asks to wait (a number or a date, RFC 9110), or None."""
    text = headers.get("Retry-After") or headers.get("retry-after")
    if not text:
        return None
    try:
        return max(float(text), 0.0)
    except ValueError:
        pass
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max((moment - datetime.now(UTC)).total_seconds(), 0.0)


def chain(error: BaseException) -> Iterator[BaseException]:
    """An exception, and all that led to it or are told by it, each once."""
    seen: set[int] = set()
    waiting_ones: list[BaseException | None] = [error]
    while waiting_ones:
        one = waiting_ones.pop(0)
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        told = [inner for inner in (*one.args, getattr(one, "reason", None)) if isinstance(inner, BaseException)]
        waiting_ones += [*told, one.__cause__, one.__context__]


def _named(status: int) -> str:
    try:
        return f"{status} ({HTTPStatus(status).phrase})"
    except ValueError:
        return str(status)


def _words(response: Any) -> str:
    """The beginning of an answer's text, when it is one that a person may read."""
    kind = str(response.headers.get("Content-Type", "")).partition(";")[0]
    if kind not in {"text/plain", "application/json", "application/problem+json"}:
        return ""
    try:
        return " ".join(str(response.text).split())[:_MOST]
    except Exception:  # the body broke off, or was read by someone else
        return ""


def _unreached(error: BaseException) -> bool:
    """Whether nobody was there: no such host, no way to it, or nobody who listens."""
    absent = isinstance(error, ConnectionRefusedError | socket.gaierror)
    return absent or (isinstance(error, OSError) and error.errno in _NO_WAY)


def _reason(errors: list[BaseException]) -> tuple[str, bool]:
    """Why there was no answer, or half of one, and whether that may pass."""
    names = {kind.__name__ for error in errors for kind in type(error).__mro__}
    if any(isinstance(error, ssl.SSLCertVerificationError) for error in errors):
        return "its certificate can't be trusted: mend the certificates of this machine", False
    if any(_unreached(error) for error in errors) or "NameResolutionError" in names:
        return "the archive can't be reached", True
    if any(isinstance(error, TimeoutError) for error in errors) or names & {"Timeout", "TimeOutError", "TimeoutError"}:
        return "the archive did not answer in time", True
    if names & {"IncompleteRead", "ChunkedEncodingError"}:
        return "the connection broke off before all had arrived", True
    if names & {"JSONDecodeError", "XMLSyntaxError"}:
        return "what the archive answered can't be read", True
    if any(isinstance(error, ftplib.error_perm) for error in errors):
        return "the archive refused", False
    lost = (ConnectionError, EOFError, ftplib.Error, ssl.SSLError)
    if any(isinstance(error, lost) for error in errors) or names & {"ConnectionError", "ProtocolError", "RetryError"}:
        return "the connection broke off", True
    return f"it failed ({type(errors[0]).__name__})", False
