"""Names of chips: file stems made from ids that are unique, short and safe on every file system."""

import hashlib
from collections.abc import Collection, Sequence
from urllib.parse import quote

from geographer.operations.cut.windows.chips import Chip

_MAX_LENGTH, _DIGEST_LENGTH = 200, 32


def make_feature_chip_name(parent_id: str, feature_id: str, grid_cell: tuple[int, int] | None = None) -> str:
    """Return the file stem of the chip around a feature: `rmnp-rgb_G239`. Different ids give different names.

    Where several chips contain it together, `grid_cell` is the column and row of one of them: `rmnp-rgb_G239~1-0`.

    ASCII letters, digits, `.`, `-` and `_` are kept. Other characters are percent-encoded as UTF-8, and so are a dot or
    hyphen at the start of the parent (a hidden file, an option) and an underscore at its end. An underscore in the
    feature's id is doubled. So the last run of underscores with an odd length begins with the separator, and the name
    can be parsed. A name of more than 200 bytes is truncated, and ends in `~` (which is encoded in ids) and 32
    hexadecimal digits of the SHA-256 of the full name. Dots are kept: append an extension, as `Path.with_suffix` would
    replace a part of the name.
    """
    parent = _encode_leading_id(parent_id)
    if parent.endswith("_"):
        parent = parent[:-1] + "%5F"
    suffix = f"~{grid_cell[0]}-{grid_cell[1]}" if grid_cell else ""
    return _truncate_name(f"{parent}_{_encode_id(feature_id).replace('_', '__')}{suffix}")


def make_grid_chip_name(parent_id: str, col: int, row: int) -> str:
    """Return the file stem of the chip that begins at pixel `col`, `row` of its parent: `rmnp-rgb_c0_r256`."""
    return _truncate_name(f"{_encode_leading_id(parent_id)}_c{col}_r{row}")


def make_names_distinct(chips: Sequence[Chip], known_names: Collection[str]) -> list[Chip]:
    """Return the chips with names that differ by more than case, because macOS takes such names for equal.

    The first chip in order keeps its name; a later one gets a digest of its name, as a long name does. Chips keep their
    `known_names`, those that they have been cut under.
    """
    name_by_key = {name.lower(): name for name in known_names}
    result = []
    for chip in chips:
        distinct_name = _append_digest(chip.name)
        is_free = name_by_key.setdefault(chip.name.lower(), chip.name) == chip.name
        keeps_name = chip.name in known_names or (is_free and distinct_name not in known_names)
        result.append(chip if keeps_name else chip._replace(name=distinct_name))
    return result


def _encode_id(text: str) -> str:
    """Encode an id in ASCII letters, digits, `.`, `-`, `_` and `%`."""
    return quote(text, safe="").replace("~", "%7E")


def _encode_leading_id(text: str) -> str:
    encoded = _encode_id(text)
    return f"%{ord(encoded[0]):02X}{encoded[1:]}" if encoded.startswith((".", "-")) else encoded


def _truncate_name(name: str) -> str:
    """Return the name, or if it is too long, its beginning and a digest of all of it."""
    return name if len(name) <= _MAX_LENGTH else _append_digest(name)


def _append_digest(name: str) -> str:
    digest = hashlib.sha256(name.encode("ascii")).hexdigest()[:_DIGEST_LENGTH]
    return f"{name[: _MAX_LENGTH - _DIGEST_LENGTH - 1]}~{digest}"
