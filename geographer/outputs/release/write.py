"""Write a release: the export of a tag, and beside it what a paper's reader needs to check, cite and load it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final, Literal, NamedTuple

from geographer.base.atomic_files import temporary_sibling, translate_os_errors, write_atomic
from geographer.base.errors import ConflictError, NotFoundError, UsageError
from geographer.base.html import render_object
from geographer.outputs.certificate.certify import certify_split
from geographer.outputs.certificate.objects import find_declared_filter
from geographer.outputs.manifest import MANIFEST, compute_sha256, encode_manifest, read_manifest
from geographer.outputs.release import documents
from geographer.outputs.release.band_names import read_band_names
from geographer.outputs.release.citation import Creators, write_bibtex, write_citation_file
from geographer.outputs.release.croissant import make_croissant
from geographer.outputs.release.deposit import METADATA, archive_folders, make_deposit_metadata
from geographer.outputs.release.facts import ReleaseFacts, read_facts
from geographer.outputs.release.layout import (
    AGENTS,
    BIBTEX,
    CERTIFICATES,
    CITATION,
    CROISSANT,
    DATASHEET,
    HISTORY,
    METHODS,
    PROVENANCE,
    README,
    RO_CRATE,
    SCHEMAS,
    SIGNATURES,
    FileFacts,
)
from geographer.outputs.release.licences import NO_LICENCE
from geographer.outputs.release.provenance import make_provenance
from geographer.outputs.release.ro_crate import make_ro_crate
from geographer.outputs.release.schemas import copy_schemas
from geographer.outputs.release.stac import write_catalogue
from geographer.outputs.revision_folder import EXPORTED_TABLES, export_folder
from geographer.storage.database.dataset_folder import LOCK_FILE
from geographer.storage.events.signed_tag import make_signature_files
from geographer.storage.history.lock_file import LOCK_FORMAT, Lock, encode_lock
from geographer.storage.history.runs import iter_runs, write_run
from geographer.storage.history.segments import SUFFIX, compute_segment_name, write_segment
from geographer.storage.log.ancestry import locate_merged_events
from geographer.storage.queries.logged_content import LoggedContent
from geographer.storage.queries.revision import Revision
from geographer.storage.queries.tag_signatures import read_tag_signatures
from geographer.storage.unit_of_work import UnitOfWork
from geographer.storage.workspace.paths import require_free_of_dataset

Audience = Literal["neurips", "zenodo"]
"""For whom a release is laid out."""

REQUIRED_FIELDS: Final = ("intent", "ethics")
"""What no measurement can tell: the authors describe it once."""


class ReleaseResult(NamedTuple):
    """What was written.

    Attributes:
        tag: The tag.
        version: Its version.
        files: The number of files, without the manifest.
        bytes: Their size.
        manifest: The SHA-256 of the manifest, which covers every file.
        warnings: What a reader would miss, such as a licence.
    """

    tag: str
    version: str
    files: int
    bytes: int
    manifest: str
    warnings: list[str]

    def _repr_html_(self) -> str:
        return render_object(self)


def write_release(work: UnitOfWork, tag: str, folder: Path, audience: Audience | None = None) -> ReleaseResult:
    """Write the release of a tag to a folder; equal logs give equal bytes.

    Raises:
        NotFoundError: there is no such tag.
        UsageError: intent or ethics are not described.
        ConflictError: the folder has other content.
        CorruptError: a file cannot be restored.
    """
    location = work.locate_revision(tag)
    with work.open_revision(location) as revision:
        facts = read_facts(revision, tag)
        if facts.tag.position != location.position:
            raise NotFoundError(f"'{tag}' is not a tag. geographer tags lists them.")
        _require_description(facts)
        certificates = {split: _certify_split(work, revision, split) for split in facts.list_splits()}
        with _open_staging(work.root, folder, audience) as staging:
            files = fill_release(work, revision, facts, staging, certificates, audience)
    size = sum(file.size for file in files.values())
    digest = compute_sha256(folder / MANIFEST)
    warnings = [*_iter_warnings(facts, audience)]
    return ReleaseResult(tag, facts.tag.version, len(files), size, digest, warnings)


def _certify_split(work: UnitOfWork, revision: Revision, split: str) -> bytes:
    """Return the certificate of a split; the objects that it declares count, and the certificate states which."""
    where = find_declared_filter(revision, split)
    return certify_split(work, revision, split, duplicates=True, where=where).encode_json()


def fill_release(
    work: UnitOfWork,
    revision: Revision,
    facts: ReleaseFacts,
    folder: Path,
    certificates: Mapping[str, bytes],
    audience: Audience | None,
) -> dict[str, FileFacts]:
    """Write all files of a release, with these certificates by split, and return them by path, without the manifest.

    Rasters and labels that the folder and its manifest have already are kept, and other files of an earlier release
    are removed.
    """
    earlier = read_manifest(folder).digests if (folder / MANIFEST).is_file() else {}
    with _use_one_thread(revision):
        export_folder(revision, work.file_store, folder)
        writer = _ReleaseWriter(revision, facts, folder)
        writer.write_all(certificates, audience)
    for file in [folder / path for path in sorted(earlier.keys() - writer.files.keys())]:
        with translate_os_errors(file):
            if file.parent.resolve().is_relative_to(folder.resolve()):
                file.unlink(missing_ok=True)
    return writer.files


def _require_description(facts: ReleaseFacts) -> None:
    missing = [name for name in REQUIRED_FIELDS if not facts.description.find_text(name)]
    if missing:
        options = " ".join(f"--{name} '…'" for name in missing)
        raise UsageError(
            f"the dataset does not say its {' and '.join(missing)}, which no measurement can tell. Describe it once: "
            f"geographer describe {options}"
        )


def _iter_warnings(facts: ReleaseFacts, audience: Audience | None) -> Iterator[str]:
    creators = Creators(facts)
    if creators.licence_name == NO_LICENCE:
        yield "no licence is stated, so others may not use the dataset: geographer describe --licence SPDX-ID"
    if audience == "neurips" and not creators.described_url:
        yield "Croissant needs the URL of the web page that hosts the dataset: geographer describe --url URL"


@contextmanager
def _open_staging(root: Path, folder: Path, audience: Audience | None) -> Iterator[Path]:
    """Yield the folder that the release is written to: a new one, which then becomes `folder`, so that none is partial.

    A folder that exists is yielded itself, and keeps what is right of an earlier release; a deposit is always new.
    """
    if audience != "zenodo" and os.path.lexists(folder):
        yield folder
        return
    require_free_of_dataset(root, folder)
    with translate_os_errors(folder):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
        if folder.exists() or folder.is_symlink():
            raise ConflictError(f"'{folder}' is not empty. Choose a new folder for --to.")
        staging = folder.with_name(f".geographer-{folder.name}")
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir(parents=True)
        try:
            yield staging
            staging.replace(folder)
        finally:
            shutil.rmtree(staging, ignore_errors=True)


@contextmanager
def _use_one_thread(revision: Revision) -> Iterator[None]:
    """Let DuckDB use one thread: the row groups of its Parquet files depend on their number."""
    threads = revision.fetch_value("SELECT current_setting('threads')")
    revision.connection.execute("SET threads = 1")
    try:
        yield
    finally:
        revision.connection.execute(f"SET threads = {int(threads)}")


class _ReleaseWriter:
    """Writes the files of a release beside those of the export, and remembers size and SHA-256 of each.

    Attributes:
        files: All files but the manifest, by path.
    """

    def __init__(self, revision: Revision, facts: ReleaseFacts, folder: Path) -> None:
        self._revision = revision
        self._facts = facts
        self._folder = folder
        self._bands = read_band_names(facts, folder)
        self._archives: dict[str, FileFacts] = {}
        last = revision.fetch_value("SELECT max(position) FROM chain_event")
        tag = facts.tag.name, facts.tag.digest
        self._signatures = [
            item
            for item in read_tag_signatures(revision.connection, last)
            if (item.signed.statement.tag, item.signed.statement.digest) == tag
        ]
        self.files = {path: self._measure_file(path, sha256) for path, sha256 in read_manifest(folder).digests.items()}

    def write_all(self, certificates: Mapping[str, bytes], audience: Audience | None) -> None:
        facts = self._facts
        for split, content in certificates.items():
            self._write_bytes(f"{CERTIFICATES}/{split}.json", content)
        self._write_history()
        self._write_signatures()
        self._write_text(LOCK_FILE, encode_lock(self._make_lock()).decode())
        self._write_folder(SCHEMAS, lambda: copy_schemas(facts, self._folder / SCHEMAS))
        self._write_folder("stac", lambda: write_catalogue(self._revision, facts, self._bands, self._folder))
        self._write_text(PROVENANCE, make_provenance(facts))
        if audience == "zenodo":
            self._archives = {path.name: self._measure_file(path.name) for path in archive_folders(self._folder)}
            self._write_text(METADATA, _encode_json({"metadata": make_deposit_metadata(facts)}))
        self._write_text(CROISSANT, _encode_json(self._make_croissant(audience)))
        self._write_text(METHODS, documents.write_methods_document(facts))
        self._write_text(DATASHEET, documents.write_datasheet(facts))
        self._write_text(CITATION, write_citation_file(facts))
        self._write_text(BIBTEX, write_bibtex(facts))
        self._write_text(AGENTS, documents.write_agents(facts))
        names = {path.partition("/")[0] + ("/" if "/" in path else "") for path in self.files}
        is_packed = bool(self._archives)
        self._write_text(
            README, documents.write_readme(facts, names | {README, RO_CRATE, MANIFEST}, is_packed=is_packed)
        )
        self._write_text(RO_CRATE, _encode_json(make_ro_crate(facts, self._list_shown_files())))
        manifest = {path: file.sha256 for path, file in self.files.items()}
        write_atomic(self._folder / MANIFEST, encode_manifest(manifest))

    def _list_shown_files(self) -> dict[str, FileFacts]:
        """Return the files as they lie in the folder: archives for folders, if there are archives."""
        if not self._archives:
            return self.files
        return {path: file for path, file in self.files.items() if "/" not in path} | self._archives

    def _measure_file(self, path: str, sha256: str | None = None) -> FileFacts:
        file = self._folder / path
        return FileFacts(file.stat().st_size, sha256 or compute_sha256(file))

    def _write_text(self, path: str, text: str) -> None:
        self._write_bytes(path, text.encode())

    def _write_bytes(self, path: str, content: bytes) -> None:
        (self._folder / path).parent.mkdir(exist_ok=True)
        write_atomic(self._folder / path, content)
        self.files[path] = FileFacts(len(content), hashlib.sha256(content).hexdigest())

    def _write_folder(self, name: str, write: Callable[[], None]) -> None:
        """Let `write` write the files of a folder, and measure them."""
        with translate_os_errors(self._folder / name):
            write()
            for path in sorted((self._folder / name).rglob("*")):
                if path.is_file():
                    relative = path.relative_to(self._folder).as_posix()
                    self.files[relative] = self._measure_file(relative)

    def _write_history(self) -> None:
        """Write the chain up to the tag and later descriptions as one segment, and what was merged as others."""
        connection, last = self._revision.connection, self._last_position
        (self._folder / HISTORY).mkdir(exist_ok=True)
        self._write_segment(lambda path: write_segment(connection, 1, last, path, is_sorted=True))
        merged = {digest for digest, position in locate_merged_events(connection).items() if position <= last}
        for run in iter_runs(connection, merged):
            self._write_segment(partial(write_run, connection, run, is_sorted=True))

    def _write_segment(self, write: Callable[[Path], list[str]]) -> None:
        """Let `write` write a segment, and name it by the digests of its events."""
        with temporary_sibling(self._folder / HISTORY / f"segment{SUFFIX}") as temporary:
            digests = write(temporary)
            name = f"{HISTORY}/{compute_segment_name(digests)}{SUFFIX}"
            temporary.replace(self._folder / name)
        self.files[name] = self._measure_file(name)

    def _write_signatures(self) -> None:
        """Write the signatures of the tag, so that `openssl` or `ssh-keygen` alone can check them."""
        for name, content in make_signature_files([item.signed for item in self._signatures]).items():
            self._write_bytes(f"{SIGNATURES}/{name}", content)

    @property
    def _last_position(self) -> int:
        """The position of the last event that the release needs: of the tag, its signatures or the description."""
        signed = (item.position or 0 for item in self._signatures)
        return max(self._facts.tag.event_position, self._facts.description.position, *signed)

    def _make_lock(self) -> Lock:
        query = "SELECT digest FROM chain_event WHERE position = $position"
        head = self._revision.fetch_value(query, {"position": self._last_position})
        content = LoggedContent(self._revision.connection).compute_digest("content digest", self._last_position)
        return Lock(LOCK_FORMAT, self._facts.dataset, "main", head, content)

    def _make_croissant(self, audience: Audience | None) -> Mapping[str, object]:
        columns = {table: self._revision.describe_columns(table) for table in EXPORTED_TABLES}
        url = Creators(self._facts).described_url.rstrip("/")
        base_url = f"{url}/" if audience == "neurips" and url else ""
        return make_croissant(self._facts, self.files, columns, self._bands, base_url, self._archives)


def _encode_json(document: Mapping[str, object]) -> str:
    return json.dumps(document, ensure_ascii=False, indent=2) + "\n"
