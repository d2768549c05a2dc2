"""The leakage certificates of a release against its revision, and against its split computed again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from geographer.outputs.audit.release.contents import ReleaseContents, make_check, read_json_file
from geographer.outputs.audit.report import AuditCheck, AuditFinding, Verdict
from geographer.storage.queries.revision import Revision


def check_certificates(
    contents: ReleaseContents, revision: Revision | None, findings: list[AuditFinding]
) -> AuditCheck:
    """Compare each certificate with the digests of the revision and with the parts of its split."""
    paths = sorted((contents.folder / "certificates").glob("*.json"))
    if not paths:
        return AuditCheck("certificates", Verdict.NOT_CHECKED, "the release has no leakage certificate")
    faults = []
    for path in paths:
        content = read_json_file(path)
        name = f"certificates/{path.name}"
        if not isinstance(content, dict):
            faults.append(f"{name} is not a JSON object")
            continue
        faults += [f"{name} {fault}" for fault in _compare_certificate(contents, content)]
    return make_check(
        "certificates", faults, f"{len(paths):,} certificates are of this revision and its splits", findings
    )


def _compare_certificate(contents: ReleaseContents, content: dict[str, Any]) -> Iterator[str]:
    for key in ("digest", "content_digest", "position"):
        if key in content and content[key] != contents.revision.get(key):
            yield f"is of another revision: its {key} is {content[key]}"
    counts = _count_parts(contents, str(content.get("split")))
    subsets = content.get("subsets")
    stated = (
        {name: value for name, value in subsets.items() if isinstance(value, int)} if isinstance(subsets, dict) else {}
    )
    if stated and stated != counts:
        yield f"states the subsets {stated}, and the table of splits has {counts}"


def _count_parts(contents: ReleaseContents, split: str) -> dict[str, int]:
    table = contents.read_table("splits", ["split", "part"])
    counts: dict[str, int] = {}
    for row in [] if table is None else table.to_pylist():
        if row["split"] == split and row["part"] is not None:
            counts[row["part"]] = counts.get(row["part"], 0) + 1
    return counts
