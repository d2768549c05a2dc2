"""Equal files and equal pixels in several subsets, the same file in two lists, and their labels that contradict."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from geographer.base.text import format_count
from geographer.outputs.audit.checks.pairs import ReadSamples, group_values, pair_groups
from geographer.outputs.audit.leaks import LeakTable
from geographer.outputs.audit.report import AuditCheck, AuditFinding, Severity, Verdict, show_path
from geographer.outputs.audit.samples import Sample
from geographer.rasters.images import read_label_digest

_MAX_PATHS = 20
_NO_SPLIT = "no split was found: there are no subsets to compare"


def check_duplicates(read: ReadSamples, leaks: LeakTable) -> Iterator[AuditCheck]:
    """Add the pairs of equal files and pixels to `leaks`; images of one colour are left out, since all are alike."""
    facts, samples = read.facts, read.samples
    keys: dict[str, list[str | None]] = {
        "same file": [sample.path for sample in samples],
        "identical file": [None if fact.is_constant else fact.sha256 for fact in facts],
        "identical pixels": [None if fact.is_constant else fact.pixel_digest for fact in facts],
    }
    texts = {
        "same file": ("no file is listed in two subsets", "listed in two subsets"),
        "identical file": ("no two subsets have files with equal bytes", "with equal bytes in two subsets"),
        "identical pixels": ("no two subsets have images with equal pixels", "with equal pixels in two subsets"),
    }
    for kind, values in keys.items():
        if not read.has_split:
            yield AuditCheck(kind, Verdict.NOT_CHECKED, _NO_SPLIT)
            continue
        pairs = pair_groups(group_values(values), read.subset)
        if kind == "identical file":
            pairs = pairs[[samples[a].path != samples[b].path for a, b in pairs]] if len(pairs) else pairs
        if kind == "identical pixels" and len(pairs):
            pairs = pairs[[facts[a].sha256 != facts[b].sha256 for a, b in pairs]]
        leaks.add_pairs(kind, pairs)
        if (reason := _explain_unread(read, kind)) and not len(pairs):
            yield AuditCheck(kind, Verdict.NOT_CHECKED, reason)
            continue
        yield make_pair_check(kind, leaks, *texts[kind], _describe_unread(read, kind))


def make_pair_check(kind: str, leaks: LeakTable, holds: str, fails: str, note: str = "") -> AuditCheck:
    """Return the check of a kind of leak after its pairs were added."""
    count = leaks.count_pairs(kind)
    if not count:
        return AuditCheck(kind, Verdict.HOLDS, holds + note)
    return AuditCheck(kind, Verdict.FAILS, f"{format_count(count, 'pair')} {fails}{note}", leaks.list_examples(kind))


def find_blank_images(read: ReadSamples) -> Iterator[AuditFinding]:
    """Yield images of which all pixels are equal: they are not compared."""
    paths = {s.path for s, fact in zip(read.samples, read.facts, strict=True) if fact.is_constant and fact.width}
    for path in sorted(paths):
        yield AuditFinding("blank image", Severity.NOTE, path, "all of its pixels are equal; it was not compared")


def find_repeated_images(read: ReadSamples) -> Iterator[AuditFinding]:
    """Yield groups of files with equal pixels that are in one subset, or in none: no leak, but counted twice."""
    values = [
        None if fact.is_constant or fact.pixel_digest is None else f"{code} {fact.pixel_digest}"
        for code, fact in zip(read.subset, read.facts, strict=True)
    ]
    for members in group_values(values):
        paths = sorted({show_path(read.samples[index].path) for index in members})
        if len(paths) > 1:
            subset = read.samples[members[0]].subset
            detail = f"{format_count(len(paths), 'file')} of {subset or 'no subset'} have these pixels"
            yield AuditFinding("repeated image", Severity.HINT, paths[0], detail, {"paths": paths[:_MAX_PATHS]})


def check_labels(read: ReadSamples, root: Path, findings: list[AuditFinding]) -> AuditCheck:
    """Find images with equal pixels and different classes, annotations or masks, in one subset or in several."""
    values = [None if fact.is_constant else fact.pixel_digest for fact in read.facts]
    labelled = sum(bool(s.class_name or s.label_files or s.annotations) for s in read.samples)
    if not labelled:
        return AuditCheck("labels of equal images", Verdict.NOT_CHECKED, "no classes, masks or annotations were found")
    before = len(findings)
    for members in group_values(values):
        chosen = [read.samples[index] for index in members]
        labels = [label for sample in chosen if (label := _describe_label(sample, root))]
        if len(set(labels)) > 1:
            paths = sorted({show_path(sample.path) for sample in chosen})
            fields = {"paths": paths[:_MAX_PATHS], "labels": sorted({label[:200] for label in labels})[:_MAX_PATHS]}
            detail = f"{format_count(len(paths), 'image')} with these pixels, and {len(set(labels))} different labels"
            findings.append(AuditFinding("contradicting labels", Severity.FAULT, paths[0], detail, fields))
    count = len(findings) - before
    if not count:
        return AuditCheck("labels of equal images", Verdict.HOLDS, "images with equal pixels have equal labels")
    examples = tuple(finding.subject for finding in findings[before:][:3])
    text = f"{format_count(count, 'group')} of equal images with different labels"
    return AuditCheck("labels of equal images", Verdict.FAILS, text, examples)


def _describe_label(sample: Sample, root: Path) -> str | None:
    if sample.class_name is not None:
        return f"class {sample.class_name}"
    if sample.annotations is not None:
        return f"annotations {sample.annotations}"
    digests: Sequence[str] = sorted(read_label_digest(Path(root, path)) or "" for path in sample.label_files)
    return f"masks {' '.join(digests)}" if digests else None


def _explain_unread(read: ReadSamples, kind: str) -> str | None:
    """Return why a kind cannot be checked: fewer than two subsets have images with what it compares."""
    if kind == "same file":
        return None
    field = "sha256" if kind == "identical file" else "pixel_digest"
    is_read = np.array(
        [getattr(f, field) is not None and not f.is_constant and not f.is_container for f in read.facts], dtype=np.bool_
    )
    if len(np.unique(read.subset[is_read & (read.subset >= 0)])) < 2:
        return "fewer than two subsets have images that can be read, are not of one colour and lie in a file each"
    return None


def _describe_unread(read: ReadSamples, kind: str) -> str:
    count = sum(fact.pixel_digest is None for fact in read.facts)
    return f"; {format_count(count, 'image')} could not be compared" if count and kind == "identical pixels" else ""
