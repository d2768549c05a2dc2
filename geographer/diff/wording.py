"""Wording: what changed of an object, in words that the text of a difference and its page share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

HIDDEN_VALUES: Final = frozenset({"md5", "sha256", "pixel_digest", "size", "geometry", "id_is_integer", "transform"})
"""Values whose change other words tell, or that are of no use in text."""
_BYTES: Final = ("sha256", "pixel_digest")
_SAME_SHAPE_M: Final = 1e-6


def describe_geometry_change(measures: Mapping[str, float] | None) -> str:
    """Return how far two geometries of a feature differ: a text in parentheses; empty if it was not measured.

    `measures` are those of `Diff.measures_by_id`.
    """
    if measures is None:
        return ""
    if measures["hausdorff"] < _SAME_SHAPE_M:
        return "(same shape, written otherwise)"
    parts = [f"IoU {measures['iou']:.3f}"] if "iou" in measures else []
    if measures["old_area"] or measures["new_area"]:
        change = f" ({_format_percent(measures['area_ratio'] - 1)})" if "area_ratio" in measures else ""
        parts.append(f"area {measures['old_area']:,.5g} → {measures['new_area']:,.5g} m²{change}")
    parts.append(f"Hausdorff distance {measures['hausdorff']:,.3g} m, centroid moved {measures['shift']:,.3g} m")
    return f"({', '.join(parts)})"


def describe_byte_change(differences: Mapping[str, Any]) -> str | None:
    """Return what differs in a file; None if its bytes are equal.

    A pixel digest covers the georeference, too, which labels do not record. The digest of a virtual chip is that of
    its window, which says nothing about the pixels of a file. `differences` are those of `list_name_differences`.
    """
    if not any(name in differences for name in _BYTES) or "virtual" in differences.get("storage", ()):
        return None
    if "pixel_digest" not in differences:
        return "other bytes, equal pixels"
    return "other georeference or pixels" if "transform" in differences or "crs" in differences else "other pixels"


def describe_move(split: str, old: str | None, new: str | None, rasters: str) -> str:
    """Return that some rasters, such as `2 rasters`, left one subset of a split for another; None is no subset."""
    return f"split {split}: {rasters} from {old or 'excluded'} to {new or 'excluded'}"


def _format_percent(fraction: float) -> str:
    return f"{fraction:+.1%}".replace("-0.0%", "0.0%").replace("+0.0%", "0.0%")
