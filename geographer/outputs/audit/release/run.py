"""Audit a release: what it says of itself, in order; then the leakage of its split is looked for as in any dataset."""

from __future__ import annotations

from collections.abc import Iterator

from geographer.base.text import format_count
from geographer.outputs.audit.release.certificates import check_certificates
from geographer.outputs.audit.release.contents import ReleaseContents, make_check
from geographer.outputs.audit.release.documents import check_documents
from geographer.outputs.audit.release.expected import check_expected
from geographer.outputs.audit.release.history import check_history, rebuild_history
from geographer.outputs.audit.release.licences import check_licences
from geographer.outputs.audit.release.signatures import check_signatures
from geographer.outputs.audit.release.tables import check_files
from geographer.outputs.audit.report import FAILED_CHECK, AuditCheck, AuditFinding, Severity, Verdict
from geographer.outputs.manifest import MANIFEST, compute_sha256, verify_folder


def check_release(contents: ReleaseContents, findings: list[AuditFinding]) -> Iterator[AuditCheck]:
    """Yield the checks of what a release says of itself, and add what differs to `findings`."""
    yield _check_manifest(contents, findings)
    yield check_files(contents, findings)
    with rebuild_history(contents) as history:
        yield from check_history(contents, history, findings)
        yield from check_expected(contents, history, findings)
        yield from check_documents(contents, findings)
        yield check_certificates(contents, history, findings)
        yield check_signatures(contents, history.revision, findings)
        yield check_licences(contents, history.revision, findings)


def _check_manifest(contents: ReleaseContents, findings: list[AuditFinding]) -> AuditCheck:
    if not (contents.folder / MANIFEST).is_file():
        return make_check("manifest", ["MANIFEST is missing: the files were taken as they are"], "", findings)
    result = verify_folder(contents.folder)
    count = format_count(len(contents.manifest.digests), "file")
    if not result:
        own = compute_sha256(contents.folder / MANIFEST)
        text = f"{count} have the SHA-256 in MANIFEST, whose own is {own}: compare it with one that you know"
        return AuditCheck("manifest", Verdict.HOLDS, text)
    for finding in result:
        detail = f"{finding.kind}: {finding.detail}"
        findings.append(AuditFinding(FAILED_CHECK, Severity.FAULT, finding.subject, detail))
    examples = tuple(f"{finding.subject}: {finding.detail}" for finding in result)
    return AuditCheck("manifest", Verdict.FAILS, f"{format_count(len(result), 'difference')} in {count}", examples[:3])
