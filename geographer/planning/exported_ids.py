"""Exported ids: the text that leads an annotation from a tool back to a feature and the exported revision."""

import re
from typing import Final

HOLE_CLASS: Final = "(hole)"
"""The class of a polygon that is a hole of another one, in formats whose polygons have no holes."""
FEATURE_ATTRIBUTE: Final = "feature"
"""The name of the attribute that has the text."""
_EXPORTED_ID: Final = re.compile(r"(.+)@([0-9a-f]{16})", re.DOTALL)
SHOWN_DIGITS: Final = 16
"""How many digits of the digest the text has."""


def make_exported_id(feature_id: str, digest: str) -> str:
    """Return the text for a feature of the revision with this digest: `pond_1@3f2a9c0d1e4b5a67`."""
    return f"{feature_id}@{digest[:SHOWN_DIGITS]}"


def read_exported_id(text: str | None) -> tuple[str | None, str | None]:
    """Return the id of the feature, and the start of the revision's digest; None for what the text lacks."""
    if not text or not text.strip():
        return None, None
    match = _EXPORTED_ID.fullmatch(text.strip())
    return (match[1], match[2]) if match else (text.strip(), None)
