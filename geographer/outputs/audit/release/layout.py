"""The rasters of a release's split as samples: with the objects that each shows, and their masks."""

from __future__ import annotations

from collections import Counter

from geographer.base.errors import NotFoundError, quote_names
from geographer.outputs.audit.release.contents import ReleaseContents
from geographer.outputs.audit.report import AuditFinding, Severity
from geographer.outputs.audit.samples import Layout, Sample


def read_release_layout(contents: ReleaseContents, split: str | None) -> Layout:
    """Return the rasters of a split as samples; of the split with the most rasters, if none is named.

    Raises:
        NotFoundError: The release has no split of this name.
    """
    layout = Layout("a release of geographer")
    table = contents.read_table("splits", ["split", "raster_id", "part"])
    rows = [] if table is None else table.to_pylist()
    counts = Counter(row["split"] for row in rows if row["part"] is not None)
    if split is not None and split not in counts:
        known = quote_names(sorted(counts)) or "none"
        raise NotFoundError(f"the release has no split '{split}', only {known}. Pass one of them as --split.")
    if not counts:
        layout.notes.append("the release has no split")
        return layout
    chosen = split or min(counts, key=lambda name: (-counts[name], name))
    layout.name = f"a release of geographer, split '{chosen}'"
    if others := sorted(counts.keys() - {chosen}):
        layout.notes.append(f"other splits were not looked at: {quote_names(others)}; pass --split NAME")
    _add_samples(contents, layout, {row["raster_id"]: row["part"] for row in rows if row["split"] == chosen})
    return layout


def _add_samples(contents: ReleaseContents, layout: Layout, parts: dict[str, str | None]) -> None:
    objects = _read_objects(contents, parts)
    labels, classes = _read_labels(contents), _read_classes(contents)
    for raster in sorted(contents.rasters, key=lambda row: str(row["raster_id"])):
        name, part = raster["raster_id"], parts.get(raster["raster_id"])
        if part is None:
            continue
        layout.declared.add(part)
        path = str(raster["path"])
        if not contents.has_path(path):
            detail = f"raster '{name}' of {part} has no file in the release (a footprint, a reference, or withdrawn)"
            layout.findings.append(AuditFinding("raster without file", Severity.HINT, str(name), detail))
            continue
        layout.samples.append(
            Sample(
                path,
                part,
                label_files=labels.get(name, ()),
                object_classes=tuple(sorted({classes[item] for item in objects.get(name, ()) if item in classes})),
                objects=frozenset(objects.get(name, ())),
                image_id=name,
            )
        )


def _read_objects(contents: ReleaseContents, parts: dict[str, str | None]) -> dict[str, list[str]]:
    """Return the features that each raster of the split shows."""
    table = contents.read_table("edges", ["feature_id", "raster_id"])
    objects: dict[str, list[str]] = {}
    for row in [] if table is None else table.to_pylist():
        if row["raster_id"] in parts:
            objects.setdefault(row["raster_id"], []).append(str(row["feature_id"]))
    return objects


def _read_classes(contents: ReleaseContents) -> dict[str, str]:
    """Return the class of each feature."""
    table = contents.read_table("features", ["feature_id", "class"])
    rows = [] if table is None else table.to_pylist()
    return {str(row["feature_id"]): row["class"] for row in rows if row["class"] is not None}


def _read_labels(contents: ReleaseContents) -> dict[str, tuple[str, ...]]:
    table = contents.read_table("labels", ["raster_id", "path"])
    labels: dict[str, tuple[str, ...]] = {}
    for row in [] if table is None else table.to_pylist():
        if contents.has_path(str(row["path"])):
            labels[row["raster_id"]] = (*labels.get(row["raster_id"], ()), str(row["path"]))
    return labels
