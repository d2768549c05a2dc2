"""Compare a file that was made again with the recorded one: the same bytes, the same pixels, or what differs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from geographer.base.errors import GeographerError
from geographer.base.text import format_count

Result = Literal["identical bytes", "identical pixels", "different", "not made"]

_MAX_VALUES: Final = 5
_MAX_TAGS: Final = 3


class FileDifference(msgspec.Struct, frozen=True, omit_defaults=True):
    """What differs between a recorded file and the same file made again.

    Attributes:
        metadata: What differs beside the values of pixels, by name, each with the recorded and the new value.
        pixels: The number of pixels of a band.
        changed_pixels: How many of them differ in any band.
        max_difference: The largest absolute difference; None if it is not a number.
        mean_difference: The mean absolute difference over all pixels.
        bands: The largest absolute difference of each band.
        first_pixel: Column, row (both from 0) and band (from 1) of the first pixel that differs.
        worst_pixel: Those of the first pixel with the largest difference.
        classes: For labels: how many pixels changed from one class to another, most first.
        objects: For labels with objects: how many entries of the list of objects differ.
        members: For labels in JSON: the members that differ.
    """

    metadata: dict[str, list[Any]] = {}
    pixels: int | None = None
    changed_pixels: int | None = None
    max_difference: float | None = None
    mean_difference: float | None = None
    bands: list[float | None] = []
    first_pixel: list[int] = []
    worst_pixel: list[int] = []
    classes: list[list[Any]] = []
    objects: int = 0
    members: list[str] = []

    def to_dict(self) -> dict[str, Any]:
        """Return the fields that are set, for JSON."""
        result: dict[str, Any] = msgspec.to_builtins(self)
        return result

    def list_phrases(self) -> list[str]:
        """Return what differs, for people."""
        phrases = []
        if self.metadata:
            shown = [_format_values(name, *values) for name, values in self.metadata.items()]
            phrases.append(f"other {'; '.join(shown)}")
        if self.changed_pixels is not None and self.pixels is not None:
            phrases.append(
                f"{self.changed_pixels:,} of {format_count(self.pixels, 'pixel')} differ{self._format_places()}"
            )
        if self.classes:
            shown = [f"{old} → {new}: {format_count(count, 'pixel')}" for old, new, count in self.classes[:_MAX_VALUES]]
            phrases.append("classes " + ", ".join(shown) + (" …" if len(self.classes) > _MAX_VALUES else ""))
        if self.objects:
            phrases.append(f"{format_count(self.objects, 'object')} in its list differ")
        if self.members:
            phrases.append(f"other {', '.join(self.members[:_MAX_VALUES])}")
        return phrases

    def _format_places(self) -> str:
        by = "" if self.max_difference is None else f" by at most {self.max_difference:g}"
        if self.worst_pixel:
            column, row, band = self.worst_pixel
            by += f" (column {column}, row {row}, band {band})"
        if self.first_pixel and self.first_pixel != self.worst_pixel:
            column, row, band = self.first_pixel
            by += f", first at column {column}, row {row}, band {band}"
        return by


def _format_values(name: str, old: Any, new: Any) -> str:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        names = sorted(key for key in {*old, *new} if old.get(key) != new.get(key))
        if len(names) == 1 and isinstance(old.get(names[0]), Mapping | None) and isinstance(new.get(names[0]), Mapping):
            return _format_values(name, old.get(names[0]) or {}, new[names[0]])
        return f"{name} ({', '.join(names[:_MAX_TAGS])}{' …' if len(names) > _MAX_TAGS else ''})"
    before, after = str(old), str(new)
    return f"{name} ({before} → {after})" if len(before) + len(after) < 60 else name


def compare_files(
    recorded: Path, remade: Path, *, has_same_pixels: bool, classes: Mapping[int, str] | None = None
) -> tuple[Result, FileDifference]:
    """Compare two files with different bytes.

    Args:
        recorded: The recorded file.
        remade: The file that was made again.
        has_same_pixels: Whether their pixel digests are equal.
        classes: For labels, the names of classes by value.

    Raises:
        CorruptError: a file cannot be read.
    """
    if recorded.suffix == ".json" or remade.suffix == ".json":
        return "different", FileDifference(members=list_other_members(recorded, remade))
    from geographer.rasters.differences import compare_pixels, list_metadata_differences

    metadata = {name: [*values] for name, values in list_metadata_differences(recorded, remade).items()}
    if has_same_pixels:
        return "identical pixels", FileDifference(metadata=metadata)
    found = compare_pixels(recorded, remade)
    if found is None:
        return "different", FileDifference(metadata=metadata)
    names = classes or {}
    changes = [[names.get(old, old), names.get(new, new), count] for (old, new), count in found.values.items()]
    return "different", FileDifference(
        metadata=metadata,
        pixels=found.pixels,
        changed_pixels=found.changed,
        max_difference=found.max_difference,
        mean_difference=found.mean_difference,
        bands=[*found.bands],
        first_pixel=[*(found.first or ())],
        worst_pixel=[*(found.worst or ())],
        classes=changes if classes is not None else [],
    )


def list_other_members(recorded: Path, remade: Path) -> list[str]:
    """Return the members of two JSON objects that differ; those of `objects` by their ids or places."""
    try:
        old, new = (json.loads(path.read_bytes()) for path in (recorded, remade))
    except (OSError, ValueError):
        return ["content"]
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return ["content"]
    return sorted(name for name in {*old, *new} if old.get(name) != new.get(name))


def describe_error(error: GeographerError) -> str:
    """Return the message of an error, for a file that could not be made or compared."""
    return str(error).rstrip(".")
