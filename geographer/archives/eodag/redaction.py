"""What eodag is given to log in with, so that none of it gets into a text of ours."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import permutations
from typing import Any, Final
from urllib.parse import quote, quote_plus

from geographer.base.redaction import redact_urls

_SHORTEST: Final = 4
"""A shorter value can't be told from a part of any word; nobody's password has so few characters."""

_SECRET: Final = re.compile(
    r"(?:^|_)(?:pass(?:word|wd|phrase)?|secret|token|api_?key|access_?key(?:_id)?|credentials?|username|login|key)$",
    re.IGNORECASE,
)
_PAIRS: Final = re.compile(
    r"(?P<name>\b[\w.-]*(?:sig|signature|token|secret|password|passwd|credential|apikey|api_key|authorization)[\w.-]*)"
    r"(?P<between>[\"']?\s*[=:]\s*[\"']?)(?:(?:Bearer|Basic)\s+)?[^\s&\"',;}]+",
    re.IGNORECASE,
)
_HIDDEN: Final = "***"


class Clean:
    """Takes out of a text what is secret: known values, in the ways they are written, and what looks like one."""

    def __init__(self, values: Iterable[str]) -> None:
        written = {form for value in values if len(value) >= _SHORTEST for form in _forms(value)}
        self._written = sorted(written, key=len, reverse=True)

    def __call__(self, text: str) -> str:
        """`text` without anything secret, and without the user, query and fragment of its URLs."""
        for written in self._written:
            text = text.replace(written, _HIDDEN)
        return _PAIRS.sub(rf"\g<name>\g<between>{_HIDDEN}", str(redact_urls(text)))


def known(configurations: Iterable[Any], given: Any) -> set[str]:
    """Every value that eodag may log in with.

    Args:
        configurations: Of eodag's providers.
        given: What the person's own configuration file holds.
    """
    found = {value for one in configurations for value in _credentials(one)}
    found.update(_under_names(given))
    for name, value in os.environ.items():
        if name.startswith("EODAG_") and (_SECRET.search(name) or "CREDENTIALS" in name):
            found.add(value)
        if name in {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"}:
            found.add(value)
    return found


def _credentials(configuration: Any) -> Iterator[str]:
    """The credentials of a provider's plugins, and `user:password` as it is sent."""
    for plugin in list(vars(configuration).values()):
        credentials = getattr(plugin, "credentials", None)
        if isinstance(credentials, Mapping):
            values = [str(value) for value in credentials.values() if isinstance(value, str | int) and value]
            yield from values
            for pair in permutations(values, 2):
                yield base64.b64encode(":".join(pair).encode()).decode()


def _under_names(given: Any, inside: bool = False) -> Iterator[str]:
    if isinstance(given, Mapping):
        for name, value in given.items():
            yield from _under_names(value, inside or bool(_SECRET.search(str(name))))
    elif isinstance(given, list):
        for value in given:
            yield from _under_names(value, inside)
    elif inside and isinstance(given, str | int) and given:
        yield str(given)


def _forms(value: str) -> set[str]:
    return {value, quote(value, safe=""), quote(value), quote_plus(value), base64.b64encode(value.encode()).decode()}
