"""Envelope: a difference as one JSON object of a documented format, and as GeoJSON; see schemas/diff.v1.json."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from itertools import islice
from math import isfinite
from typing import TYPE_CHECKING, Any, Final

import msgspec

from geographer.diff.changes import ObjectChange
from geographer.diff.difference import Diff, RevisionName, format_id
from geographer.diff.flags.flag import Flag
from geographer.diff.pixels import FileChange

if TYPE_CHECKING:
    from geographer.rasters.compare import BandChange

DIFF_FORMAT: Final = "geographer.diff"
DIFF_VERSION: Final = 1

_CHIP: Final = "chip"


def make_envelope(
    diff: Diff, sections: Collection[str] = ("counts", "flags", "objects"), limit: int | None = None
) -> dict[str, Any]:
    """Return a difference as JSON; `limit` is the largest number of objects to list.

    What `sections` lacks (flags, objects) is null.

    Coordinates are longitude/latitude, areas m², distances metres; times are in UTC. Positions are those of events.
    """
    objects = (
        [_format_object(diff, item) for item in islice(diff.iter_objects(), limit)] if "objects" in sections else None
    )
    return {
        "format": DIFF_FORMAT,
        "version": DIFF_VERSION,
        "from": _format_revision(diff.old),
        "to": _format_revision(diff.new),
        "reviews": [
            {name: review[name] for name in ("position", "author", "verdict", "message")} for review in diff.reviews
        ],
        "renamings": [
            {"subject": item.subject, "from": item.old_name, "to": item.name, "event": item.position}
            for item in diff.renamings
        ],
        "counts": [count._asdict() for count in diff.group_counts],
        "class_changes": [{"from": old, "to": new, "number": n} for (old, new), n in _sort_counts(diff.class_changes)],
        "moves": [
            {"split": name, "from": old, "to": new, "number": n} for (name, old, new), n in _sort_counts(diff.moves)
        ],
        "flags": [_format_flag(flag) for flag in diff.flags] if "flags" in sections else None,
        "pixels": [_format_file(file) for file in diff.files],
        "truncated": objects is not None and len(objects) < sum(map(len, diff.changes.values())),
        "changes": objects,
    }


def iter_geojson_features(diff: Diff) -> Iterator[dict[str, Any]]:
    """Yield a GeoJSON feature for each side of each changed feature, raster and chip; `side` is `old` or `new`."""
    import shapely

    footprints = {} if diff.footprints is None else {row["raster_id"]: row for row in diff.footprints.to_pylist()}
    for item in diff.iter_objects():
        if item.kind == "feature":
            sides = diff.geometry_by_id.get(item.keys[0], (None, None))
        elif item.kind == "raster" and item.keys[0] in footprints:
            row = footprints[item.keys[0]]
            sides = (row["old_footprint"], row["new_footprint"])
        else:
            continue
        name = _name_kind(item)
        for side, values, wkb in zip(("old", "new"), (item.old, item.new), sides, strict=True):
            if values is None or wkb is None:
                continue
            head = {
                "object": name,
                "id": item.keys[0],
                "side": side,
                "change": item.change,
                "event": item.position or None,
            }
            yield {
                "type": "Feature",
                "id": f"{name}/{item.keys[0]}/{side}",
                "geometry": json.loads(shapely.to_geojson(shapely.from_wkb(wkb))),
                "properties": {**head, **_format_values(values)},
            }


def _format_object(diff: Diff, item: ObjectChange) -> dict[str, Any]:
    sides = zip(("old", "new"), (item.old, item.new), strict=True)
    result = {
        "object": _name_kind(item),
        "id": format_id(item.kind, item.keys),
        "keys": list(item.keys),
        "change": item.change,
        "event": item.position or None,
        **{side: None if values is None else _format_values(values) for side, values in sides},
    }
    if item.kind == "feature":
        _add_geometries(diff, item, result)
    return result


def _add_geometries(diff: Diff, item: ObjectChange, result: dict[str, Any]) -> None:
    import shapely

    feature_id = item.keys[0]
    for side, wkb in zip(("old", "new"), diff.geometry_by_id.get(feature_id, (None, None)), strict=True):
        if result[side] is not None and wkb is not None:
            result[side]["geometry"] = json.loads(shapely.to_geojson(shapely.from_wkb(wkb)))
    if measures := diff.measures_by_id.get(feature_id):
        result["measures"] = measures


def _name_kind(item: ObjectChange) -> str:
    if item.kind == "raster":
        return "raster" if (item.new or item.old or {}).get("parent_id") is None else _CHIP
    return item.kind.replace("_", " ")


def _format_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values as JSON; `properties` and recipes' parameters, which are JSON texts, as objects."""
    result: dict[str, Any] = msgspec.to_builtins(dict(values))
    for name in ("properties", "parameters", "transform"):
        if isinstance(result.get(name), str):
            result[name] = json.loads(result[name])
    return result


def _format_revision(revision: RevisionName) -> dict[str, Any]:
    return {**revision._asdict(), "tags": list(revision.tags)}


def _format_flag(flag: Flag) -> dict[str, Any]:
    return {
        "object": flag.object,
        "ids": list(flag.ids),
        "number": flag.number,
        "event": flag.position or None,
        "score": round(flag.score, 6),
        "reasons": [{"code": item.code, "text": item.text, "score": round(item.score, 6)} for item in flag.reasons],
        "related": list(flag.related),
    }


def _format_file(file: FileChange) -> dict[str, Any]:
    result: dict[str, Any] = {
        "object": file.kind,
        "id": file.id,
        "event": file.position or None,
        "problem": file.problem,
    }
    if file.change is not None:
        change = file.change._asdict()
        result |= {**change, "bands": [_format_band(band) for band in file.change.bands]}
    if file.values is not None:
        rows = sorted(file.values.items())
        result["values"] = [{"band": band, "from": old, "to": new, "pixels": n} for (band, old, new), n in rows]
    return result


def _format_band(band: BandChange) -> dict[str, Any]:
    """Return the values of a band; JSON has no infinite numbers."""
    values = band._asdict()
    return {name: None if isinstance(value, float) and not isfinite(value) else value for name, value in values.items()}


def _sort_counts(counts: Mapping[Any, int]) -> list[tuple[Any, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], tuple(map(str, item[0]))))
