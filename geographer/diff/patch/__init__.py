"""Patch: the difference of two revisions as JSON lines, with both values of every object; see docs/patch-format.md.

- `model`           the parts of a patch
- `read`            read and check a patch
- `revision_values` what a revision has, as a patch writes it
- `build`           make the patch between two revisions
- `algebra`         invert and join patches
"""

from geographer.diff.patch.algebra import concat_patches, invert_patch
from geographer.diff.patch.build import build_patch
from geographer.diff.patch.model import Patch, PatchChange, PatchHeader, encode_patch, write_patch
from geographer.diff.patch.read import parse_patch, read_patch

__all__ = [
    "Patch",
    "PatchChange",
    "PatchHeader",
    "build_patch",
    "concat_patches",
    "encode_patch",
    "invert_patch",
    "parse_patch",
    "read_patch",
    "write_patch",
]
