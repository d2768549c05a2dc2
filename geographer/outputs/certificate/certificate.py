"""The certificate of a split: a JSON document with equal bytes for equal datasets, and the same in words."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from geographer.base.atomic_files import write_atomic
from geographer.base.html import render_fields
from geographer.base.text import format_count
from geographer.outputs.certificate.levels import Level
from geographer.outputs.certificate.rasters import CertifiedRasters

FORMAT: Final = 1
KIND: Final = "leakage certificate"
HOLDS: Final = "holds"
LEAKS: Final = "leaks"
NOTHING: Final = "nothing to compare"
LEVEL_TITLES: Final = {
    "shared_objects": "Shared objects",
    "shared_pixels": "Shared pixels",
    "distance": "Distance",
    "near_duplicates": "Near-duplicate pixels",
}
_MAX_SHOWN: Final = 5


class Certificate(NamedTuple):
    """What the subsets of a split share at a revision.

    Attributes:
        revision: `dataset`, `position`, `digest` and `content_digest`.
        split: The split's name.
        rasters: The rasters that it covers.
        levels: The results: shared objects, shared pixels, distance, near-duplicates.
        parameters: The buffer in metres, the limits of near-duplicates, and which features count, if not all.
    """

    revision: Mapping[str, Any]
    split: str
    rasters: CertifiedRasters
    levels: Sequence[Level]
    parameters: Mapping[str, Any]

    @property
    def overall_verdict(self) -> str:
        """Return 'leaks' if a level does not hold, 'nothing to compare' with fewer than two subsets, else 'holds'."""
        if any(level.holds is False for level in self.levels):
            return LEAKS
        return HOLDS if len(self.list_subsets()) > 1 else NOTHING

    def list_subsets(self) -> list[str]:
        """Return the names of the parts that have rasters."""
        return [name for name, count in self.rasters.count_parts().items() if count]

    def to_dict(self) -> dict[str, Any]:
        """Return the certificate as JSON values; its schema is `schemas/certificate.v1.json`."""
        return {
            "format": FORMAT,
            "kind": KIND,
            **self.revision,
            "split": self.split,
            "subsets": self.rasters.count_parts(),
            "empty_subsets": list(self.rasters.empty_parts),
            "not_covered": self.rasters.describe_left_out(),
            "parameters": dict(self.parameters),
            "levels": {level.name: level.to_dict() for level in self.levels},
            "verdict": self.overall_verdict,
        }

    def encode_json(self) -> bytes:
        """Return the certificate as a file: JSON in UTF-8 with sorted keys; it does not depend on machine or time."""
        return json.dumps(self.to_dict(), indent=1, sort_keys=True, ensure_ascii=False).encode() + b"\n"

    def write(self, path: str | Path) -> None:
        """Write the certificate to a file."""
        write_atomic(Path(path), self.encode_json())

    def iter_lines(self) -> Iterator[str]:
        """Yield the certificate as sentences."""
        subsets = ", ".join(f"{name} ({count:,})" for name, count in self.rasters.count_parts().items())
        yield (
            f"Leakage certificate of split '{self.split}' at @{self.revision['position']} "
            f"{self.revision['digest'][:12]}: {subsets or 'no subsets'}"
        )
        for name in self.rasters.empty_parts:
            yield f"  subset '{name}' is empty"
        for why, ids in sorted(self.rasters.left_out.items()):
            more = f" and {len(ids) - _MAX_SHOWN:,} more" if len(ids) > _MAX_SHOWN else ""
            count = format_count(len(ids), "raster")
            yield f"  {count} {LEFT_OUT_PHRASES.get(why, why)}: {', '.join(ids[:_MAX_SHOWN])}{more}"
        if where := self.parameters.get("where"):
            yield f"  only features for which this is true count as objects: {where}"
        for level in self.levels:
            yield from _iter_level_lines(level)
        yield f"Verdict: {_VERDICTS[self.overall_verdict]}"
        if unchecked := [LEVEL_TITLES[level.name].lower() for level in self.levels if level.holds is None]:
            yield f"Not checked: {', '.join(unchecked)}."

    def _repr_html_(self) -> str:
        levels = {level.name: {"holds": level.holds, "reason": level.reason, **level.counts} for level in self.levels}
        return render_fields(
            "Certificate", {"split": self.split, "verdict": self.overall_verdict, **self.revision, **levels}
        )


_VERDICTS: Final = {
    HOLDS: "the subsets share nothing on the levels that were checked.",
    LEAKS: "the subsets LEAK.",
    NOTHING: "there are no two subsets to compare.",
}
LEFT_OUT_PHRASES: Final = {
    "excluded": "left without a part by the split",
    "not in the split": "of its collection not in the split",
    "not in the revision": "of the split not in the revision",
    "without bytes": "without bytes (catalogue)",
    "reference": "recorded in place, not stored",
    "without ground": "without a place on the globe",
    "withdrawn": "whose bytes are withdrawn",
}


def _iter_level_lines(level: Level) -> Iterator[str]:
    answer = {True: "holds", False: "LEAKS", None: "not checked"}[level.holds]
    reason = f"; {level.reason}" if level.reason else ""
    yield f"{LEVEL_TITLES[level.name]}: {answer}{describe_counts(level.counts)}{reason}"
    for row in level.facts.get("subsets", ()):
        names = f"{row['subset_a']} and {row['subset_b']}"
        apart = f"are {row['distance_m']:,.1f} m apart at least" if row["distance_m"] else "touch"
        yield f"  {names} {apart}: {row['a']} and {row['b']}"
    for leak in level.leaks[:_MAX_SHOWN]:
        yield f"  {leak['a']} ({leak['subset_a']}) and {leak['b']} ({leak['subset_b']}){describe_share(leak)}"
    if (rest := level.counts.get("pairs", 0) - _MAX_SHOWN) > 0:
        yield f"  and {format_count(rest, 'more pair')}; --json lists them"


def describe_counts(counts: Mapping[str, int]) -> str:
    """Return the counts of a level in parentheses, after a blank; empty if it has none."""
    parts = []
    if "objects" in counts:
        parts.append(f"{counts['shared_objects']:,} of {format_count(counts['objects'], 'object')} in several subsets")
    if counts.get("left_out_shared_objects"):
        parts.append(f"{counts['left_out_shared_objects']:,} that do not count are, too")
    if "pairs" in counts:
        parts.append(f"{format_count(counts['pairs'], 'pair')} of rasters of different subsets")
    if counts.get("not_comparable"):
        parts.append(f"{format_count(counts['not_comparable'], 'raster')} with too little texture to compare")
    return f" ({', '.join(parts)})" if parts else ""


def describe_share(leak: Mapping[str, Any]) -> str:
    """Return what the two rasters of a leak share, after a blank."""
    if "feature" in leak:
        return f" both show feature '{leak['feature']}'"
    if "pixels" in leak:
        return f" share {format_count(leak['pixels'], 'pixel')}"
    if "ground_fraction" in leak:
        return f" share {leak['ground_fraction']:.2%} of the smaller one's ground"
    if "distance_m" in leak:
        return f" are {leak['distance_m']:,.1f} m apart"
    return " have equal pixels" if leak["identical"] else f" have nearly equal pixels (score {leak['score']})"
