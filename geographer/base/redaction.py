"""Redaction: remove credentials from texts before they are recorded, logged or printed.

A text can hold credentials as user and password of a URL (also without its scheme), as a signed query, as
`password=…`, `token: …` and the like, as an HTTP `Authorization`, and as a private key. Redacted text stays as it is
when it is redacted again.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import unquote_plus

from geographer.base.errors import UsageError

MASK: Final = "***"
"""What replaces a credential where the text around it would be unreadable without one."""

_MAX_NESTED_URLS: Final = 9
_CLOSING: Final = r"""["'`<>](?:[\])}>.,:;!?"'`]{0,9}(?:\s|$)|\s{0,9}[,:}\]])"""
"""A quote that closes what surrounds a run of characters; other quotes belong to the run."""
_CHARACTER: Final = rf"""(?:[^\s"'`<>]|(?!{_CLOSING})["'`<>])"""
_URL: Final = re.compile(
    rf"(?P<scheme>[a-z][a-z0-9+.-]{{0,30}}://|\b(?:https?|ftps?|s3|gs):/|/vsi\w+(?=[/?]))(?P<rest>{_CHARACTER}+)",
    re.IGNORECASE,
)
_ENCODED_URL: Final = re.compile(rf"[a-z][a-z0-9+.-]{{0,30}}%3a%2f%2f{_CHARACTER}+", re.IGNORECASE)
_PORT: Final = re.compile(r"(?:[\w-]+\.[\w.-]+|localhost|\[[0-9a-f:.]+\]):\d{1,5}(?:[/?#]|$)", re.IGNORECASE)
_USER_AND_HOST: Final = re.compile(
    rf"(?<![\w.@:%+-])(?!(?:e-?mail|mailto|contact|author|from|to|cc|by|acct|sips?|xmpp|doi|urn):)[a-z][\w.+%-]{{0,99}}:"
    rf"(?!//)(?:(?![,;]){_CHARACTER}){{1,120}}@(?=(?!(?:sha\d+|md5)\b)(?:[a-z][\w-]*|\d+\.\d+\.\d+\.\d+))",
    re.IGNORECASE,
)
_SECRET_PARAMETER: Final = re.compile(
    r"token|secret|passw|signature|credential|auth|session|cookie|(?:api|access|account|private|subscription)[-_]?key|"
    r"^(?:sig|sign|se|sas|key|pw|pwd|pass|userpwd|jwt|hmac|policy|awsaccesskeyid|googleaccessid|header\..*)$|^x-\w+-",
    re.IGNORECASE,
)
_NAME: Final = (
    r"pass(?:word|wd|phrase|code)|passwd|secret|token|credentials?|authorization|"
    r"(?:secret|private|access|account|api|auth|signing|encryption|subscription)[ _-]?key(?:[ _-]?id)?|"
    r"shared[ _-]?access[ _-]?signature|x-\w+-(?:signature|credential)"
)
_SECRET_NAME: Final = re.compile(rf"[\w.: -]*(?:{_NAME})\d*", re.IGNORECASE)
_NAMED_VALUE: Final = re.compile(
    rf"""(?P<name>(?<![\w.-])(?:[\w.-]*?(?:{_NAME})|(?:[\w.-]*[_.-])?pwd|(?:set-)?cookie)\d*"""
    rf"""\\?["'`]?\s{{0,9}}(?:=>|:=|==?|:)[^\S\n]{{0,9}}|(?<![\w.-])--[\w-]*?(?:{_NAME})[^\S\n]{{1,9}})"""
    rf"""(?P<value>(?:(?:Bearer|Basic|Digest|Token|ApiKey)\s+)?"""
    rf"""(?:"(?:\\.|[^"\\\n])*"|'(?:\\.|''|[^'\\\n])*'|{_CHARACTER}+))""",
    re.IGNORECASE,
)
_QUERY_VALUE: Final = re.compile(
    rf"(?P<name>[?&](?:sig|sign|sas|key|pw|pwd|pass|jwt|hmac|signature|token)=)(?:(?!&){_CHARACTER})+", re.IGNORECASE
)
_LOGIN_OPTION: Final = re.compile(r"(?P<name>(?<!\S)(?:-u|--user)[\s=]{1,9})\S+:\S+")
_REST_OF_HEADER: Final = re.compile(r"\b(?P<name>(?:proxy-)?authorization\s*[:=]\s*)[^\s\"'][^\n\"']*", re.IGNORECASE)
_HTTP_SCHEME: Final = re.compile(
    rf"\b(?P<scheme>Bearer|Basic)(?P<space>\s{{1,9}}|%20)(?P<value>{_CHARACTER}+)", re.IGNORECASE
)
_TOKEN_FORMAT: Final = re.compile(
    r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\Z)|"
    r"\b(?:gh[pousr]_\w{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|xox[abprs]-[\w-]{10,}|A[KS]IA[0-9A-Z]{16}|"
    r"AIza[\w-]{35}|eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]*)",
    re.DOTALL,
)


CREDENTIAL_HINT: Final = (
    r"(?i)://[^\s]*@|[a-z][^\s:@]*:[^\s]+@|(://|/vsi\w+[/?])[^\s]*([?&#;][^\s=&]*(token|secret|passw|signature|"
    r"credential|auth|session|cookie|key|sig|sign|se|sas|pw|pwd|pass|jwt|hmac|policy|keyid|accessid|x-\w+-\w+|header[.]\w+)=|%40|"
    r"%3a)|%3a%2f%2f|(bearer|basic)(\s|%20)|private key-----|gh[pousr]_|github_pat_|glpat-|xox[abprs]-|"
    r"A[KS]IA[0-9A-Z]|AIza|eyJ|(^|\s)-(u|-user)[\s=]|--[\w-]*(pass\w*|secret|token|key)\s|"
    r"(pass(word|wd|phrase|code)|pwd|secret|token|credentials?|authorization|cookie|key|key[ _-]?id|signature)"
    r"[\d\"'`\\]*\s*[:=]"
)
"""A regular expression, for Python and DuckDB, that matches every text with credentials; searching it is fast."""

_CREDENTIAL_HINT: Final = re.compile(CREDENTIAL_HINT)
_CELL_TOKEN: Final = re.compile(r"[0-9a-f]{1,16}|X")
"""The token of an S2 cell, which is no credential."""


def redact_text(text: str, *, keeps_queries: bool = False) -> str:
    """Return `text` without credentials. URLs lose their queries and fragments, too.

    With `keeps_queries`, URLs keep queries and fragments in which no parameter looks like a credential: data need them.
    """

    def redact_url(match: re.Match[str]) -> str:
        rest = _remove_user(match["rest"])
        path, mark, query = re.fullmatch(r"([^?#]*)([?#]?)(.*)", rest, re.DOTALL).groups()  # type: ignore[union-attr]
        kept = mark + query if keeps_queries and not _is_secret_query(query) else ""
        path = _URL.sub(redact_url, path) if path.count("://") < _MAX_NESTED_URLS else MASK
        return match["scheme"] + path + kept

    text = _QUERY_VALUE.sub(rf"\g<name>{MASK}", text)
    text = _URL.sub(redact_url, _ENCODED_URL.sub(_redact_encoded_url, _TOKEN_FORMAT.sub(MASK, text)))
    text = _USER_AND_HOST.sub(f"{MASK}@", _LOGIN_OPTION.sub(rf"\g<name>{MASK}", text))
    text = _REST_OF_HEADER.sub(rf"\g<name>{MASK}", text)
    return _HTTP_SCHEME.sub(_mask_http_value, _NAMED_VALUE.sub(_mask_named_value, text))


def redact_values(value: Any) -> Any:
    """Return `value` with all its texts redacted, those of keys and of nested values, too."""
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, dict):
        return {redact_values(key): redact_values(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [redact_values(inner) for inner in value]
    return value


def redact_column_value(name: str, value: str) -> str:
    """Return a text of the user column `name` without credentials; texts without any stay as they are."""
    if is_secret_name(name) and value and not (name.lower() == "token" and _CELL_TOKEN.fullmatch(value)):
        return MASK
    return redact_text(value, keeps_queries=True) if _CREDENTIAL_HINT.search(value) else value


def redact_argument(argument: str) -> str:
    """Return an argument of a command line without credentials; a password in it may have spaces."""
    match = re.match(r"(?:--[\w-]+=)?" + _NAMED_VALUE.pattern, argument, re.IGNORECASE)
    return argument[: match.start("value")] + MASK if match else redact_text(argument)


def has_credentials(text: str) -> bool:
    """Return whether a text holds a credential; harmless queries of URLs do not count."""
    return redact_text(text, keeps_queries=True) != text


def is_secret_name(name: str) -> bool:
    """Return whether values of this name, of an option or a column such as `password`, are credentials."""
    return _SECRET_NAME.fullmatch(name) is not None


def require_no_credentials(subject: str, names: Iterable[str]) -> None:
    """Raise `UsageError` if one of the names of a subject, such as 'class name', holds a credential."""
    for name in names:
        if _CREDENTIAL_HINT.search(name) and has_credentials(name):
            raise UsageError(
                f"the {subject} '{redact_text(name)}' holds a credential, which the log would keep. Use another name."
            )


def _redact_encoded_url(match: re.Match[str]) -> str:
    """Redact a URL that is percent-encoded as a whole; it is decoded if it holds credentials."""
    decoded = unquote_plus(match[0])
    return redact_text(decoded) if has_credentials(decoded) else match[0]


def _remove_user(rest: str) -> str:
    """Return a URL after its scheme without user and password; a password may have any characters, unencoded."""
    authority = re.match(r"[^/?#]*", rest)
    has_password = re.match(r"[^/?#@:]*:", rest) is not None and not _PORT.match(rest)
    if has_password and "@" in rest:
        return rest.rpartition("@")[2]
    end = authority.end() if authority else 0
    return rest[:end].rpartition("@")[2] + rest[end:]


def _is_secret_query(query: str) -> bool:
    for parameter in re.split(r"[?&#;]", query):
        name, _, value = map(unquote_plus, parameter.partition("="))
        if value and (_SECRET_PARAMETER.search(name) or has_credentials(value)):
            return True
    return False


def _mask_named_value(match: re.Match[str]) -> str:
    value = match["value"]
    quote = value[0] if value[0] in "\"'" and value[-1] == value[0] and len(value) > 1 else ""
    return match["name"] + (f"{quote}{MASK}{quote}" if value not in (quote * 2, MASK) else value)


def _mask_http_value(match: re.Match[str]) -> str:
    """Mask the value after `Bearer` or `Basic` unless it is an ordinary word or number."""
    value = match["value"]
    has_digit, has_mixed_case = re.search(r"\d", value), re.search(r"[a-z]", value) and re.search(r"[A-Z]", value[1:])
    if match["scheme"].lower() == "basic":
        is_secret = _is_basic_login(value) or (len(value) > 5 and has_mixed_case)
    else:
        is_secret = len(value) > 5 and bool(has_digit or has_mixed_case or len(value) > 20 or "=" in value)
    return f"{match['scheme']}{match['space']}{MASK}" if is_secret else match[0]


def _is_basic_login(value: str) -> bool:
    try:
        return b":" in b64decode(value, validate=True)
    except ValueError:
        return False
