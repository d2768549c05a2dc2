"""Images of different subsets whose pixels are nearly equal: turned, mirrored, shifted, brighter, compressed."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from geographer.base.text import format_count
from geographer.outputs.audit.checks.duplicates import make_pair_check
from geographer.outputs.audit.checks.pairs import ReadSamples
from geographer.outputs.audit.leaks import LeakTable
from geographer.outputs.audit.report import AuditCheck, Verdict

NAME: Final = "near duplicate"
_MIN_SIDE: Final = 8


def describe_pixels(pixels: Any, valid: Any) -> Any:
    """Return the descriptor of an image, shape (bands, rows, columns); None if it has under 8 rows or columns.

    `valid` says which pixels are valid, shape (rows, columns); None: all that are finite.
    """
    from geographer.algorithms.near_duplicates.descriptor import describe_image

    if min(pixels.shape[1:]) < _MIN_SIDE or pixels.dtype.kind not in "buif":
        return None
    return describe_image(pixels, valid)


def check_near_duplicates(read: ReadSamples, leaks: LeakTable, *, is_wanted: bool) -> AuditCheck:
    """Add the pairs of nearly equal images to `leaks`."""
    from geographer.algorithms.near_duplicates.descriptor import ImageDescriptors
    from geographer.algorithms.near_duplicates.find import find_near_duplicates

    if not is_wanted:
        return AuditCheck(NAME, Verdict.NOT_CHECKED, "--no-near-duplicates was given")
    if not read.has_split:
        return AuditCheck(NAME, Verdict.NOT_CHECKED, "no split was found: there are no subsets to compare")
    numbers = np.array(
        [n for n, fact in enumerate(read.facts) if fact.description is not None and not fact.is_constant],
        dtype=np.int64,
    )
    compared = read.subset[numbers]
    if len(np.unique(compared[compared >= 0])) < 2:
        return AuditCheck(
            NAME, Verdict.NOT_CHECKED, "fewer than two subsets have images of 8x8 pixels or more that can be read"
        )
    matches = find_near_duplicates(ImageDescriptors.from_rows([read.facts[n].description for n in numbers]), compared)
    pairs = numbers[matches.pairs]
    is_other = np.array([read.samples[a].path != read.samples[b].path for a, b in pairs], dtype=np.bool_)
    leaks.add_pairs(NAME, pairs[is_other], matches.score[is_other])
    check = make_pair_check(
        NAME, leaks, "no two subsets have images with nearly equal pixels", "with nearly equal pixels in two subsets"
    )
    plain = len(matches.not_comparable) + int((read.subset >= 0).sum()) - int((compared >= 0).sum())
    note = f"; {format_count(plain, 'image')} with too little texture or unread could not be compared" if plain else ""
    return check._replace(explanation=check.explanation + note)
