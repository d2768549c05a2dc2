"""A release as its log gives it: the rasters and labels that it must have, and its documents, written again."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from geographer import __version__
from geographer.base.errors import GeographerError, UsageError
from geographer.base.text import format_count
from geographer.outputs.audit.release.contents import ReleaseContents, make_check, read_json_file
from geographer.outputs.audit.release.history import RebuiltHistory
from geographer.outputs.audit.report import AuditCheck, AuditFinding, Verdict
from geographer.outputs.manifest import MANIFEST, encode_manifest
from geographer.outputs.release.deposit import METADATA
from geographer.outputs.release.facts import read_facts
from geographer.outputs.release.layout import CERTIFICATES, CROISSANT
from geographer.outputs.release.write import Audience, fill_release
from geographer.storage.queries.revision import Revision
from geographer.storage.workspace.checkout import list_files, split_files
from geographer.storage.workspace.paths import find_path_fault
from geographer.storage.workspace.withdrawn_files import list_withdrawn_files

FILES: Final = "files from the log"
DOCUMENTS: Final = "documents from the log"
_PIXEL_FOLDERS: Final = ("rasters/", "labels/")
_COMPARED_BY_VALUE: Final = ("tables/", f"{CERTIFICATES}/")
"""Folders whose files other checks compare by their values."""


def check_expected(
    contents: ReleaseContents, history: RebuiltHistory, findings: list[AuditFinding]
) -> Iterator[AuditCheck]:
    """Compare rasters and labels with the log, then write every other file again from it and compare the bytes."""
    if history.revision is None:
        yield from (AuditCheck(name, Verdict.NOT_CHECKED, "the log could not be read") for name in (FILES, DOCUMENTS))
        return
    files = _list_expected_files(history.revision)
    faults = [*_compare_files(contents, files)]
    text = f"{format_count(len(files), 'file')} of rasters and labels are there, with the SHA-256 in the log"
    yield make_check(FILES, faults, text, findings)
    if faults:
        yield AuditCheck(DOCUMENTS, Verdict.NOT_CHECKED, "they state facts of rasters and labels, some of which differ")
    elif reason := _explain_other_writer(contents):
        yield AuditCheck(DOCUMENTS, Verdict.NOT_CHECKED, reason)
    else:
        yield _check_documents(contents, history, files, findings)


def _list_expected_files(revision: Revision) -> dict[str, str]:
    """Return the SHA-256 of each raster and label that a release of the revision has, by path."""
    restorable, _ = split_files(list_files(revision, revision.position), list_withdrawn_files(revision.connection))
    return {file.path: file.checksums.sha256 for file in restorable}


def _compare_files(contents: ReleaseContents, files: Mapping[str, str]) -> Iterator[str]:
    actual = contents.manifest.digests
    for path, digest in files.items():
        if path not in actual:
            yield f"{path} is missing: the log has it, and it was not withdrawn"
        elif actual[path] != digest:
            yield f"{path} was altered: its SHA-256 is {actual[path]}, and the log has {digest}"
    for path in sorted(actual.keys() - files.keys()):
        if path.startswith(_PIXEL_FOLDERS):
            yield f"{path} was added: the log does not have it"


def _explain_other_writer(contents: ReleaseContents) -> str | None:
    """Return why the bytes of documents cannot be compared; None if this machine would write the same."""
    if contents.tag is None or not contents.has_path(CROISSANT):
        return "the folder is no release, only what checkout --to writes"
    software = contents.revision.get("software")
    stated = software if isinstance(software, dict) else {}
    here = {"geographer": __version__, "duckdb": version("duckdb")}
    others = [f"{name} {stated.get(name)}, here {own}" for name, own in here.items() if stated.get(name) != own]
    return f"other versions wrote them: {', '.join(others)}. Install those to compare" if others else None


def _check_documents(
    contents: ReleaseContents, history: RebuiltHistory, files: Mapping[str, str], findings: list[AuditFinding]
) -> AuditCheck:
    with tempfile.TemporaryDirectory(prefix="geographer-audit-") as scratch:
        folder = Path(scratch)
        try:
            expected = _write_again(contents, history, files, folder)
        except (GeographerError, OSError) as error:
            return AuditCheck(DOCUMENTS, Verdict.NOT_CHECKED, f"they could not be written again: {error}")
    faults = [*_compare_documents(contents, expected)]
    compared = sum(1 for path in expected if not path.startswith((*_PIXEL_FOLDERS, *_COMPARED_BY_VALUE)))
    return make_check(DOCUMENTS, faults, f"{compared:,} other files are byte for byte what the log gives", findings)


def _write_again(
    contents: ReleaseContents, history: RebuiltHistory, files: Mapping[str, str], folder: Path
) -> dict[str, str]:
    """Write the release to a scratch folder, with links for rasters and labels; return the SHA-256 of each file."""
    assert history.revision is not None
    assert history.work is not None
    if faults := [fault for path in files if (fault := find_path_fault(path))]:
        raise UsageError(faults[0])
    for path in files:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).symlink_to((contents.folder / path).resolve())
    (folder / MANIFEST).write_bytes(encode_manifest(files))
    facts = read_facts(history.revision, str(contents.tag))
    certificates = {}
    for split in facts.list_splits():
        certificate = contents.folder / CERTIFICATES / f"{split}.json"
        if not certificate.is_file():
            raise UsageError(f"{CERTIFICATES}/{split}.json is missing")
        certificates[split] = certificate.read_bytes()
    audience = _find_audience(contents)
    written = fill_release(history.work, history.revision, facts, folder, certificates, audience)
    return {path: file.sha256 for path, file in written.items()}


def _find_audience(contents: ReleaseContents) -> Audience | None:
    """Return for whom a release was laid out: only some have absolute URLs, or metadata of a deposit."""
    if contents.has_path(METADATA):
        return "zenodo"
    content: Any = read_json_file(contents.folder / CROISSANT)
    items = content.get("distribution") if isinstance(content, dict) else None
    urls = [str(item.get("contentUrl")) for item in items if isinstance(item, dict)] if isinstance(items, list) else []
    return "neurips" if any(url.startswith(("http://", "https://")) for url in urls) else None


def _compare_documents(contents: ReleaseContents, expected: Mapping[str, str]) -> Iterator[str]:
    actual = contents.manifest.digests
    skipped = (*_PIXEL_FOLDERS, *_COMPARED_BY_VALUE)
    for path in sorted(expected.keys() | actual.keys()):
        if path.startswith(skipped) or actual.get(path) == expected.get(path):
            continue
        if path not in actual:
            yield f"{path} is missing"
        elif path not in expected:
            yield f"{path} was added: a release does not have it"
        else:
            yield f"{path} is not what the log gives"
