"""Reproduce: write a revision to a folder from the log and a remote alone, and compare it with what was recorded."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from geographer.base.atomic_files import FileDamage, check_file, temporary_sibling, translate_os_errors
from geographer.base.errors import CorruptError, NotFoundError
from geographer.base.html import render_object
from geographer.base.progress import ProgressCallback
from geographer.base.values import Checksums
from geographer.outputs.revision_folder import export_folder
from geographer.storage.dvc.remote import Remote, open_remote
from geographer.storage.queries.logged_content import LoggedContent
from geographer.storage.unit_of_work import UnitOfWork
from geographer.storage.workspace.roots import list_references
from geographer.storage.workspace.withdrawn_files import describe_withdrawn_files

_BATCH: Final = 256
"""How many objects are downloaded at once, before they are hashed."""


class ReproduceResult(NamedTuple):
    """What was written and compared.

    Attributes:
        position: The position of the revision.
        digest: The digest of its event.
        files: The number of files; each has its recorded size and SHA-256.
        content_digest: The content digest, computed from the log.
        matches: The tags that record this content digest.
        references: The rasters that are recorded in place, and so are not among the files.
        withdrawn: A line for each raster whose bytes were withdrawn, and so are not among the files.
        source: Where the bytes come from: `remote NAME`, or `cache`.
    """

    position: int
    digest: str
    files: int
    content_digest: str
    matches: list[str]
    references: list[str]
    source: str
    withdrawn: list[str]

    def _repr_html_(self) -> str:
        return render_object(self)


@contextmanager
def open_source_remote(root: Path, name: str | None) -> Iterator[Remote | None]:
    """Open a remote by name, or the default one; None if no name is given and there is no remote."""
    try:
        remote = open_remote(root, name)
    except NotFoundError:
        if name is not None:
            raise
        yield None
        return
    with remote:
        yield remote


def reproduce_revision(
    work: UnitOfWork, revision: str | int | None, folder: Path, remote: Remote | None
) -> ReproduceResult:
    """Write the files and tables of a revision to a folder, with a manifest; hash every file.

    The bytes come from `remote`, not from the workspace or the cache; without a remote, from the cache.

    Raises:
        CorruptError: a file cannot be restored, or a tag records another content digest.
        ConflictError: the folder has other content.
    """
    location = work.locate_revision(revision)
    position = location.position
    source = RemoteFiles(remote, work.progress) if remote else None
    with work.open_revision(location) as view:
        result = export_folder(view, work.file_store, folder, source)
        content = LoggedContent(view.connection).compute_digest("content digest", position)
        query = "SELECT tag, content_digest FROM state.tag WHERE digest = $digest ORDER BY tag"
        digest = view.fetch_value("SELECT digest FROM chain_event WHERE position = $at", {"at": position})
        tags = view.fetch_rows(query, {"digest": digest})
        references = [reference.raster_id for reference in list_references(view)]
    if wrong := [tag for tag, recorded in tags if recorded != content]:
        raise CorruptError(
            f"tag '{wrong[0]}' records another content digest than {content}, which the log gives. See geographer "
            "verify."
        )
    files, withdrawn = result.written + result.unchanged, describe_withdrawn_files(result.withdrawn)
    origin = f"remote '{remote.name}'" if remote else "cache"
    return ReproduceResult(position, digest, files, content, [tag for tag, _ in tags], references, origin, withdrawn)


class RemoteFiles:
    """Writes the files of a revision to a folder from a remote, without the cache."""

    remedy = "Run geographer push where the files are, or name another remote that has them."

    def __init__(self, remote: Remote, progress: ProgressCallback) -> None:
        self.place = f"on the remote '{remote.name}'"
        self._remote = remote
        self._progress = progress

    def restore_files(
        self, files: Sequence[tuple[Checksums, Path]], *, trusted_md5s: Collection[str] = (), link: bool = False
    ) -> list[tuple[Path, Checksums, FileDamage]]:
        """Download files to their destinations, hash them (SHA-256), and return those that could not be written."""
        damages: list[tuple[Path, Checksums, FileDamage]] = []
        paths: dict[Checksums, list[Path]] = {}
        for checksums, path in files:
            paths.setdefault(checksums, []).append(path)
        objects = list(paths.items())
        for start in range(0, len(objects), _BATCH):
            damages += self._restore_objects(objects[start : start + _BATCH])
            self._progress("files written", min(start + _BATCH, len(objects)), len(objects))
        return damages

    def _restore_objects(
        self, objects: Sequence[tuple[Checksums, list[Path]]]
    ) -> list[tuple[Path, Checksums, FileDamage]]:
        damages: list[tuple[Path, Checksums, FileDamage]] = []
        with ExitStack() as stack:
            temporary = [stack.enter_context(temporary_sibling(paths[0])) for _, paths in objects]
            sources = {checksums.md5: path for (checksums, _), path in zip(objects, temporary, strict=True)}
            if error := self._remote.download_objects(sources):
                raise self._remote.make_error(error) from error
            for (checksums, (first, *others)), source in zip(objects, temporary, strict=True):
                if damage := check_file(source, checksums):
                    damages += [(path, checksums, damage) for path in (first, *others)]
                    continue
                for path in others:
                    with translate_os_errors(path), temporary_sibling(path) as copy:
                        shutil.copyfile(source, copy)
                        copy.replace(path)
                with translate_os_errors(first):
                    source.replace(first)
        return damages
