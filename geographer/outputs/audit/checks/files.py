"""Files that are missing, unreadable or in no subset; boxes outside of images; subsets without images; classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from geographer.base.text import format_count
from geographer.outputs.audit.checks.pairs import ReadSamples
from geographer.outputs.audit.names import sort_subsets
from geographer.outputs.audit.report import AuditCheck, AuditFinding, Severity, Verdict, show_path
from geographer.outputs.audit.samples import Layout

_TOLERANCE_PX = 1.0


def find_unreadable(read: ReadSamples) -> Iterator[AuditFinding]:
    """Yield each file whose bytes or pixels cannot be read."""
    seen = set()
    for sample, fact in zip(read.samples, read.facts, strict=True):
        if fact.fault is not None and sample.path not in seen:
            seen.add(sample.path)
            yield AuditFinding("unreadable file", Severity.FAULT, sample.path, fact.fault)


def find_containers(read: ReadSamples) -> Iterator[AuditFinding]:
    """Yield each file that holds many images: they are not compared one by one."""
    for path in sorted({s.path for s, fact in zip(read.samples, read.facts, strict=True) if fact.is_container}):
        detail = "it holds many images, or arrays that cannot be read: they were not compared"
        yield AuditFinding("many images in one file", Severity.HINT, path, detail)


def find_outside_boxes(read: ReadSamples) -> Iterator[AuditFinding]:
    """Yield each image whose annotation boxes leave its real size, unless the layout has boxes in parts of it."""
    for sample, fact in zip(read.samples, read.facts, strict=True):
        extent = sample.box_extent
        if extent is None or fact.width is None or fact.height is None:
            continue
        low, high = min(extent.min_x, extent.min_y), (extent.max_x - fact.width, extent.max_y - fact.height)
        if low < -_TOLERANCE_PX or max(high) > _TOLERANCE_PX:
            detail = (
                f"its boxes reach from ({extent.min_x:g}, {extent.min_y:g}) to ({extent.max_x:g}, {extent.max_y:g}), "
                f"and the file has {fact.width}x{fact.height} pixels"
            )
            yield AuditFinding("box out of image", Severity.FAULT, sample.path, detail)


def find_empty_subsets(layout: Layout) -> Iterator[AuditFinding]:
    """Yield each subset that the layout names and that has no image."""
    filled = {sample.subset for sample in layout.samples}
    for name in sort_subsets(layout.declared - filled):
        yield AuditFinding("empty subset", Severity.FAULT, name, "no image of this subset was found")


def count_subsets(layout: Layout) -> dict[str, int]:
    """Count the samples of each subset."""
    counts = Counter(sample.subset for sample in layout.samples if sample.subset is not None)
    return {name: counts[name] for name in sort_subsets(counts)}


def count_classes(layout: Layout) -> dict[str, dict[str, int]]:
    """Count the images of each class in each subset: by the class of the image, or those of its annotations."""
    counts: dict[str, Counter[str]] = {}
    for sample in layout.samples:
        names = sample.object_classes if sample.class_name is None else (sample.class_name,)
        for name in names if sample.subset is not None else ():
            counts.setdefault(name, Counter())[str(sample.subset)] += 1
    return {name: {subset: counts[name][subset] for subset in sort_subsets(counts[name])} for name in sorted(counts)}


def check_classes(layout: Layout, findings: list[AuditFinding]) -> AuditCheck:
    """Compare the shares of classes between subsets; a class that a subset lacks is a hint."""
    classes, subsets = count_classes(layout), count_subsets(layout)
    if not classes or not subsets:
        return AuditCheck("classes", Verdict.NOT_CHECKED, "no classes were found")
    missing = 0
    for name, counts in classes.items():
        for subset in subsets:
            if not counts.get(subset):
                missing += 1
                total = sum(counts.values())
                detail = f"the subset {subset} has no image of this class, of {total:,} in all"
                fields = {"subset": show_path(subset)}
                findings.append(AuditFinding("class missing in subset", Severity.HINT, name, detail, fields))
    difference, name = max((_find_share_difference(counts, subsets), name) for name, counts in classes.items())
    text = (
        f"{format_count(len(classes), 'class')}; the share of '{show_path(name)}' differs most between subsets, "
        f"by {difference:.1%}"
    )
    if missing:
        return AuditCheck("classes", Verdict.FAILS, f"{text}; {missing:,} times a subset lacks a class")
    return AuditCheck("classes", Verdict.HOLDS, text)


def _find_share_difference(counts: dict[str, int], subsets: dict[str, int]) -> float:
    shares = [counts.get(subset, 0) / total for subset, total in subsets.items() if total]
    return max(shares) - min(shares)


def make_count_check(name: str, kinds: set[str], findings: list[AuditFinding], holds: str, fails: str) -> AuditCheck:
    """Return a check that fails if there are findings of these kinds."""
    chosen = [finding for finding in findings if finding.kind in kinds]
    if not chosen:
        return AuditCheck(name, Verdict.HOLDS, holds)
    return AuditCheck(name, Verdict.FAILS, f"{len(chosen):,} {fails}", tuple(finding.subject for finding in chosen[:3]))
