"""Audit a release: what it says of itself, in order; then the leakage of its split is looked for as in any dataset."""

from __future__ import annotations

from collections.abc import Iterator

from geographer.base.text import format_count
from geographer.outputs.audit.release.certificates import check_certificates
from geographer.outputs.audit.release.contents import ReleaseContents
from geographer.outputs.audit.release.documents import check_documents
from geographer.outputs.audit.release.history import check_history, rebuild_history
from geographer.outputs.audit.release.licences import check_licences
from geographer.outputs.audit.release.signatures import check_signatures
from geographer.outputs.audit.release.tables import check_files
from geographer.outputs.audit.report import AuditCheck, AuditFinding, Severity, Verdict
from geographer.outputs.manifest import MANIFEST, compute_sha256, verify_folder


def check_release(contents: ReleaseContents, findings: list[AuditFinding]) -> Iterator[AuditCheck]:
    """Yield the checks of what a release says of itself, and add what differs to `findings`."""
    yield _check_manifest(contents, findings)
    yield check_files(contents, findings)
    with rebuild_history(contents) as history:
        yield from check_history(contents, history, findings)
        yield from check_documents(contents, findings)
        yield check_certificates(contents, history, findings)
        yield check_signatures(contents, history.revision, findings)
        yield check_licences(contents, history.revision, findings)


def _check_manifest(contents: ReleaseContents, findings: list[AuditFinding]) -> AuditCheck:
    result = verify_folder(contents.folder)
    count = format_count(len(contents.manifest.digests), "file")
    if not result:
        own = compute_sha256(contents.folder / MANIFEST)
        text = f"{count} have the SHA-256 in MANIFEST, whose own is {own}: compare it with one that you know"
        return AuditCheck("manifest", Verdict.HOLDS, text)
    for finding in result:
        detail = f"{finding.kind}: {finding.detail}"
        findings.append(AuditFinding("failed check", Severity.FAULT, finding.subject, detail))
    examples = tuple(f"{finding.subject}: {finding.detail}" for finding in result)
    return AuditCheck("manifest", Verdict.FAILS, f"{len(result):,} differences in {count}", examples[:3])
