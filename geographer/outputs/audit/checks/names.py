"""Scenes, places and names that files of several subsets carry: hints, since a name proves nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from geographer.outputs.audit.checks.pairs import ReadSamples
from geographer.outputs.audit.names import find_place, find_scene, is_telling_stem, sort_subsets
from geographer.outputs.audit.report import AuditCheck, AuditFinding, Severity, Verdict, show_path

_MAX_EXAMPLES: Final = 3


def check_names(read: ReadSamples, findings: list[AuditFinding]) -> AuditCheck:
    """Add a hint for each scene, place (tile, row and column) or telling name that several subsets have."""
    if not read.has_split:
        return AuditCheck(
            "scenes and names", Verdict.NOT_CHECKED, "no split was found: there are no subsets to compare"
        )
    before = len(findings)
    kinds: dict[str, Callable[[str], str | None]] = {
        "same scene in several subsets": find_scene,
        "same place by name in several subsets": find_place,
        "same name in several subsets": lambda stem: stem if is_telling_stem(stem) else None,
    }
    counts = [_add_shared(read, findings, kind, find_key) for kind, find_key in kinds.items()]
    if not any(counts):
        text = "no name of a file in the folder names a scene or a tile: nothing to compare"
        return AuditCheck("scenes and names", Verdict.NOT_CHECKED, text)
    hints = findings[before:]
    if not hints:
        return AuditCheck(
            "scenes and names",
            Verdict.HOLDS,
            f"no scene that names of files give ({counts[0]:,} images) is in two subsets",
        )
    text = f"{len(hints):,} scenes, places or names are in several subsets by the names of files: a hint, no proof"
    return AuditCheck("scenes and names", Verdict.FAILS, text, tuple(finding.subject for finding in hints[:3]))


def _add_shared(
    read: ReadSamples, findings: list[AuditFinding], kind: str, find_key: Callable[[str], str | None]
) -> int:
    """Add a hint for each key that several subsets have, and return the number of samples with a key."""
    by_key: dict[str, list[int]] = {}
    for number, sample in enumerate(read.samples):
        stem = sample.path.rpartition("/")[2].rpartition(".")[0]
        if read.subset[number] >= 0 and (key := find_key(stem)):
            by_key.setdefault(key, []).append(number)
    for key, members in sorted(by_key.items()):
        counts: dict[str, int] = {}
        for number in members:
            name = read.names[int(read.subset[number])]
            counts[name] = counts.get(name, 0) + 1
        paths = {read.samples[number].path for number in members}
        if len(counts) > 1 and len(paths) > 1:
            shown = {show_path(name): counts[name] for name in sort_subsets(counts)}
            detail = ", ".join(f"{count:,} in {name}" for name, count in shown.items())
            examples = [show_path(path) for path in sorted(paths)[:_MAX_EXAMPLES]]
            findings.append(AuditFinding(kind, Severity.HINT, key, detail, {"subsets": shown, "examples": examples}))
    return sum(map(len, by_key.values()))
