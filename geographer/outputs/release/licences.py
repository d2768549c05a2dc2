"""Licences by their SPDX identifiers, as the formats of a release want them."""

from __future__ import annotations

import re
from typing import Final

NO_LICENCE: Final = "LicenseRef-not-stated"
"""The licence of a release whose licence neither the authors nor the archives state."""

_SPDX_PAGE: Final = "https://spdx.org/licenses/"
_URLS: Final = (
    (re.compile(r"https?://spdx\.org/licenses/([^/]+?)(\.html|\.json)?/?"), r"\1"),
    (re.compile(r"https?://creativecommons\.org/licenses/([a-z-]+)/(\d\.\d)(/(deed|legalcode)[^/]*)?/?"), r"CC-\1-\2"),
    (re.compile(r"https?://creativecommons\.org/publicdomain/zero/1\.0(/(deed|legalcode)[^/]*)?/?"), "CC0-1.0"),
)
"""URLs of licences that SPDX lists, and their identifiers."""


def find_spdx_identifier(licence: str) -> str | None:
    """Return the identifier of a licence that SPDX lists, given so in any case or as URL; None for others."""
    from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

    text = licence.strip()
    for pattern, identifier in _URLS:
        if match := pattern.fullmatch(text):
            text = match.expand(identifier)
    try:
        expression = str(canonicalize_license_expression(text))
    except InvalidLicenseExpression:
        return None
    is_single = " " not in expression and not expression.startswith("LicenseRef-")
    return expression if is_single else None


def make_licence_url(licence: str) -> str:
    """Return the URL of a licence: that at SPDX if SPDX lists it; a URL or another text as it is."""
    identifier = None if "://" in licence else find_spdx_identifier(licence)
    return f"{_SPDX_PAGE}{identifier}" if identifier else licence
