"""Secrets never enter the log: credentials, signed queries and fragments are taken out of URLs before the append."""

from __future__ import annotations

import re
from typing import Any, Final

_USER: Final = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*://)[^/?#\s'\"]*@", re.IGNORECASE)
_QUERY: Final = re.compile(r"(?P<url>[a-z][a-z0-9+.-]*://[^\s?#'\"]+)[?#][^\s'\"]*", re.IGNORECASE)


def redact_urls(value: Any) -> Any:
    """`value` with user names, passwords, queries and fragments taken out of the URLs in its texts, however deep."""
    if isinstance(value, str):
        return _QUERY.sub(r"\g<url>", _USER.sub(r"\g<scheme>", value))
    if isinstance(value, dict):
        return {key: redact_urls(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [redact_urls(inner) for inner in value]
    return value
