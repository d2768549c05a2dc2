"""Objects on the ground that images of several subsets show, where a layout says so with certainty."""

from __future__ import annotations

from geographer.outputs.audit.checks.duplicates import make_pair_check
from geographer.outputs.audit.checks.pairs import ReadSamples, pair_groups
from geographer.outputs.audit.leaks import LeakTable
from geographer.outputs.audit.report import AuditCheck, Verdict

NAME = "shared object"


def check_objects(read: ReadSamples, leaks: LeakTable) -> AuditCheck:
    """Add the pairs of samples that show the same object to `leaks`."""
    if not any(sample.objects for sample in read.samples):
        return AuditCheck(NAME, Verdict.NOT_CHECKED, "the layout does not say which objects the images show")
    if not read.has_split:
        return AuditCheck(NAME, Verdict.NOT_CHECKED, "no split was found: there are no subsets to compare")
    members: dict[str, list[int]] = {}
    for number, sample in enumerate(read.samples):
        for name in sample.objects:
            members.setdefault(name, []).append(number)
    leaks.add_pairs(NAME, pair_groups((members[name] for name in sorted(members)), read.subset))
    holds = f"none of the {len(members):,} objects is in two subsets"
    return make_pair_check(NAME, leaks, holds, "of images in two subsets show the same object")
