"""Redaction: remove credentials, signed queries and fragments from URLs before anything is logged."""

from __future__ import annotations

import re
from typing import Any, Final

_USER: Final = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*://)[^/?#\s'\"]*@", re.IGNORECASE)
_QUERY: Final = re.compile(r"(?P<url>[a-z][a-z0-9+.-]*://[^\s?#'\"]+)[?#][^\s'\"]*", re.IGNORECASE)


def redact_urls(value: Any) -> Any:
    """Return `value` without user names, passwords, queries and fragments in the URLs of all its texts, nested too."""
    if isinstance(value, str):
        return _QUERY.sub(r"\g<url>", _USER.sub(r"\g<scheme>", value))
    if isinstance(value, dict):
        return {key: redact_urls(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [redact_urls(inner) for inner in value]
    return value
