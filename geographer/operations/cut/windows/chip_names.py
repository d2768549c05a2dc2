"""What chips are called: file stems made of ids, safe on every file system, short, and different."""

from __future__ import annotations

import hashlib
from urllib.parse import quote

_LONGEST_NAME, _DIGEST_LENGTH = 200, 32


def chip_name(parent_id: str, feature_id: str, part: tuple[int, int] | None = None) -> str:
    """The file stem of the chip around a feature: `rmnp-rgb_G239`; different for different ids.

    Where several chips hold a feature together, `part` is the column and row of one of them: `rmnp-rgb_G239~1-0`.

    Letters, digits, `.`, `-` and `_` of ASCII stay; other characters are percent-encoded as UTF-8, and so are
    a dot or hyphen at the parent's beginning (a hidden file, an option) and an underscore at its end. An
    underscore in the feature's id is doubled, so the last run of underscores with an odd length begins with
    the separator, and the name can be taken apart again. A name of more than 200 bytes is cut, and ends in
    `~` (encoded in ids) and 32 hexadecimal digits of the SHA-256 of the whole name.

    Ids that differ only in case have names that differ only in case. Dots stay: append an extension, as
    `Path.with_suffix` would replace a part of the name.
    """
    parent = _leading(parent_id)
    if parent.endswith("_"):
        parent = parent[:-1] + "%5F"
    place = f"~{part[0]}-{part[1]}" if part else ""
    return _shortened(f"{parent}_{_encoded(feature_id).replace('_', '__')}{place}")


def cell_name(parent_id: str, col: int, row: int) -> str:
    """The file stem of the chip whose upper-left pixel is at `col`, `row` of its parent: `rmnp-rgb_c0_r256`.

    Encoded and cut as `chip_name` does; different for each parent and position.
    """
    return _shortened(f"{_leading(parent_id)}_c{col}_r{row}")


def _encoded(text: str) -> str:
    """An id in ASCII letters, digits, `.`, `-`, `_` and `%`."""
    return quote(text, safe="").replace("~", "%7E")


def _leading(text: str) -> str:
    """The same for an id with which a name begins."""
    encoded = _encoded(text)
    return f"%{ord(encoded[0]):02X}{encoded[1:]}" if encoded.startswith((".", "-")) else encoded


def _shortened(name: str) -> str:
    """The name, or where it is too long its beginning and a digest of all of it."""
    if len(name) <= _LONGEST_NAME:
        return name
    digest = hashlib.sha256(name.encode("ascii")).hexdigest()[:_DIGEST_LENGTH]
    return f"{name[: _LONGEST_NAME - _DIGEST_LENGTH - 1]}~{digest}"
