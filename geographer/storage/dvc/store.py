"""Raster bytes by checksum, in DVC's cache and remote; with `tracking`, the one module that knows DVC.

What goes in or out is hashed here, because DVC delivers what its cache or remote holds without looking.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import shutil
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self

from geographer.base.atomic_files import (
    DRAFTS,
    FileDamage,
    add_line,
    check_file,
    temporary_sibling,
    translate_os_errors,
    write_atomic,
)
from geographer.base.errors import ConflictError, NotFoundError, StorageError, UsageError
from geographer.storage.dvc.dvc_files import Entry, listing, locked, remove_dvc_file, write_dvc_file

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from dvc.repo import Repo

    from geographer.base.values import Checksums


class _Cache(Protocol):
    """What we use of DVC's local object database."""

    cache_types: list[str]

    def oid_to_path(self, oid: str, /) -> str: ...
    def makedirs(self, path: str, /) -> None: ...
    def protect(self, path: Path, /) -> None: ...


class Store:
    """The bytes of one dataset workspace: a DVC repository, with Git or without.

    A file's address is its MD5, as in DVC; what proves it is its SHA-256. DVC is imported by the first
    method that needs it. `close` it, or use it as a context manager; it opens again when needed.

    Attributes:
        root: the workspace's folder, absolute, symbolic links resolved.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()

    @classmethod
    def initialise(cls, root: Path, *, scm: bool = True) -> Store:
        """Makes `root` a DVC repository by DVC's own init, or takes the one that is there as it is.

        Uses Git when `root` lies in a Git work tree, at its top or below, unless `scm` is false; then, as DVC
        does, it stages `.dvc/config` and `.dvcignore`. A new repository has DVC's analytics off. No network.

        Raises:
            ConflictError: Git ignores `root`, so DVC can't keep its files there.
        """
        store = cls(root)
        store.root.mkdir(parents=True, exist_ok=True)
        if (store.root / ".dvc").is_dir():
            store._hide_from_dvc()
        else:
            store._create(with_git=scm and _in_git(store.root))
        return store

    def close(self) -> None:
        """Lets go of DVC's database and Git's files."""
        self.__dict__.pop("_cache", None)
        if repo := self.__dict__.pop("_repo", None):
            repo.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def path_of(self, md5: str) -> Path:
        """Where the cache keeps, or would keep, the file of that MD5."""
        return Path(self._cache.oid_to_path(md5))

    def ignore(self, path: str) -> None:
        """Has Git ignore `path`, relative to the workspace, by a line in the `.gitignore` beside it."""
        with locked(self._repo), self._repo.scm_context(quiet=True) as scm:
            scm.ignore(str(self.root / path))

    def ingest(self, files: Sequence[tuple[Path, Checksums]], *, move: bool = False) -> None:
        """Puts files into the cache, whole or not at all, also where it holds wrong bytes under their MD5.

        Args:
            files: each file with its checksums.
            move: the files are our own drafts, hashed when they were made: they are renamed into the cache
                (copied from another file system) and gone afterwards. Otherwise they are somebody's: they are
                cloned or copied, and the copy is hashed, since they may have changed in the meantime.

        Raises:
            NotFoundError: a file is not there.
            ConflictError: a file no longer has its checksums.
            StorageError: the disk is full or can't be written.
        """
        kinds = ["reflink"]
        for path, sums in files:
            target = self._room_for(sums.md5)
            with translate_os_errors(target):
                if move and self._rename_in(path, sums, target):
                    continue
                if check_file(target, sums):
                    self._copy_in(path, sums, target, kinds)
                if move:
                    path.unlink()

    def restore(
        self, wanted: Sequence[tuple[Checksums, Path]], *, trusted: Collection[str] = (), link: bool = False
    ) -> list[tuple[Path, Checksums, FileDamage]]:
        """Delivers files from the cache, and from DVC's default remote what the cache lacks.

        Each is written beside its destination, hashed there (SHA-256), and renamed into place only when it is
        right. Folders are made; a file that is there is replaced. Files are cloned, copied or linked as DVC's
        `cache.type` says, and copied where the file systems refuse that.

        Args:
            wanted: each file's checksums with its destination.
            trusted: MD5s that this process ingested a moment ago: delivered without hashing again.
            link: a hard link into the cache, or else a symbolic one, whatever `cache.type` says.

        Returns:
            What could not be delivered, and why; everything else has been.

        Raises:
            StorageError: a destination can't be written, or the remote can't be reached.
        """
        kinds = ["hardlink", "symlink"] if link else list(self._cache.cache_types)
        outcome = [self._deliver(sums, path, kinds, sure=sums.md5 in trusted) for sums, path in wanted]
        lacking = [i for i, damage in enumerate(outcome) if damage == "missing"]
        absent = self.fetch([wanted[i][0].md5 for i in lacking])
        for i in lacking:
            sums, path = wanted[i]
            outcome[i] = absent.get(sums.md5) or self._deliver(sums, path, kinds)
        return [(path, sums, damage) for (sums, path), damage in zip(wanted, outcome, strict=True) if damage]

    def check(self, wanted: Sequence[Checksums]) -> dict[str, FileDamage]:
        """Hashes (SHA-256) the cache's copy of each, and returns what is wrong by MD5; fetches nothing."""
        verdicts = {sums.md5: check_file(self.path_of(sums.md5), sums) for sums in wanted}
        return {md5: damage for md5, damage in verdicts.items() if damage}

    def fetch(self, md5s: Sequence[str]) -> dict[str, FileDamage]:
        """Brings what the cache lacks of `md5s` from DVC's default remote, as the config names it now.

        What arrives is hashed before it enters the cache: bytes that don't have their MD5 never get there.

        Returns:
            Those still not in the cache, by MD5: `missing` when the remote has none or there is no default
            remote, `altered` when it has wrong bytes.

        Raises:
            StorageError: the remote can't be reached, or keeps no files by checksum.
        """
        lacking = [md5 for md5 in md5s if not self.path_of(md5).is_file()]
        if not lacking:
            return {}
        with ExitStack() as stack:
            drafts = {md5: stack.enter_context(temporary_sibling(self._room_for(md5))) for md5 in lacking}
            problem = self._download(drafts)
            absent = {md5: damage for md5, draft in drafts.items() if (damage := self._admit(md5, draft))}
        if problem:
            raise StorageError(f"DVC's remote did not deliver: {problem}; mend it, then run this again") from problem
        return absent

    def track(self, folder: str, entries: Sequence[Entry]) -> None:
        """Tells DVC what a folder holds, as `dvc add` would, without reading it; waits for DVC's lock.

        Writes `FOLDER.dvc`, the folder's listing into the cache, and its line in the `.gitignore` beside it.

        Args:
            folder: like `rasters/source`, relative to the workspace, with `/`.
            entries: the folder's whole content. None at all: the folder is no longer tracked.

        Raises:
            ConflictError: Git tracks the folder's files or ignores its `.dvc` file, or that file is damaged.
            StorageError: the lock is held too long, or the disk can't be written.
        """
        from dvc.exceptions import DvcException

        try:
            with locked(self._repo), self._repo.scm_context(quiet=True):
                if entries:
                    address = self._keep(listing(entries), ".dir")
                    write_dvc_file(self._repo, self.root / folder, address, entries)
                else:
                    remove_dvc_file(self._repo, self.root / folder)
        except DvcException as refusal:
            raise ConflictError(f"DVC can't track '{folder}': {refusal}") from refusal

    def save_state(self, files: Sequence[tuple[Path, Checksums]]) -> None:
        """Tells DVC the MD5s of workspace files just delivered, so that `dvc status` needn't hash them."""
        from dvc_data.hashfile.hash_info import HashInfo

        items = [(str(path.absolute()), HashInfo("md5", sums.md5), None) for path, sums in files]
        self._repo.state.save_many(items, self._repo.fs)
        self._repo.state.close()

    @cached_property
    def _repo(self) -> Repo:
        from dvc.config import ConfigError
        from dvc.repo import Repo

        if not (self.root / ".dvc").is_dir():
            raise NotFoundError(f"'{self.root}' is not a DVC repository: run `geographer init` there first")
        try:
            return Repo(str(self.root))
        except ConfigError as refusal:
            raise UsageError(f"DVC can't read the settings of '{self.root}': {refusal}") from refusal

    @cached_property
    def _cache(self) -> _Cache:
        cache: _Cache = self._repo.cache.local
        return cache

    def _create(self, *, with_git: bool) -> None:
        from dvc.exceptions import InitError
        from dvc.logger import set_loggers_level
        from dvc.repo import Repo

        try:
            with (
                set_loggers_level(logging.ERROR),
                Repo.init(str(self.root), no_scm=not with_git, subdir=with_git) as repo,
                repo.scm_context(autostage=True) as scm,
            ):
                with repo.config.edit() as settings:
                    settings["core"]["analytics"] = False
                scm.track_file([repo.config.files["repo"], str(self._hide_from_dvc())])
        except InitError as refusal:
            raise ConflictError(f"DVC can't keep '{self.root}': {refusal}") from refusal

    def _hide_from_dvc(self) -> Path:
        dvcignore = self.root / ".dvcignore"
        for pattern in (".geographer", DRAFTS):
            add_line(dvcignore, pattern)
        return dvcignore

    def _room_for(self, md5: str) -> Path:
        target = self.path_of(md5)
        if not target.parent.is_dir():
            with translate_os_errors(target):
                self._cache.makedirs(str(target.parent))
        return target

    def _keep(self, content: bytes, suffix: str) -> str:
        address = _md5(content).hexdigest() + suffix
        write_atomic(self._room_for(address), content, self._cache.protect)
        return address

    def _rename_in(self, path: Path, sums: Checksums, target: Path) -> bool:
        """Makes a draft of ours the cache's object; false when it lies on another file system."""
        with _added(path):
            if path.stat().st_size != sums.size:
                raise _changed(path)
        self._cache.protect(path)
        try:
            path.replace(target)
        except OSError as refusal:
            if refusal.errno != errno.EXDEV:
                raise
            return False
        return True

    def _copy_in(self, path: Path, sums: Checksums, target: Path, kinds: list[str]) -> None:
        with temporary_sibling(target) as draft:
            with _added(path):
                place(path, draft, kinds)
            if check_file(draft, sums):
                raise _changed(path)
            self._cache.protect(draft)
            draft.replace(target)

    def _deliver(self, sums: Checksums, path: Path, kinds: list[str], *, sure: bool = False) -> FileDamage | None:
        with translate_os_errors(path), temporary_sibling(path) as draft:
            try:
                place(self.path_of(sums.md5), draft, kinds)
            except FileNotFoundError:
                return "missing"
            if damage := check_file(draft, sums, hashed=not sure):
                return damage
            draft.replace(path)
        return None

    def _download(self, drafts: dict[str, Path]) -> BaseException | None:
        """Copies what the remote has to the drafts; returns the first error but for files that it lacks."""
        from dvc.config import NoRemoteError
        from dvc.exceptions import DvcException
        from dvc.repo import Repo
        from dvc_objects.fs.generic import transfer
        from dvc_objects.fs.local import localfs

        problems: list[BaseException] = []

        def note(_source: str, _target: str, problem: BaseException) -> None:
            if not isinstance(problem, FileNotFoundError):
                problems.append(problem)

        try:
            with Repo(str(self.root)) as repo:
                remote = repo.cloud.get_remote_odb(command="fetch")
                sources = [remote.oid_to_path(md5) for md5 in drafts]
                transfer(remote.fs, sources, localfs, [str(draft) for draft in drafts.values()], on_error=note)
        except NoRemoteError:
            return None
        except (DvcException, ImportError, OSError) as problem:
            problems.append(problem)
        return problems[0] if problems else None

    def _admit(self, md5: str, draft: Path) -> FileDamage | None:
        with translate_os_errors(draft):
            try:
                with draft.open("rb", buffering=0) as file:
                    if hashlib.file_digest(file, _md5).hexdigest() != md5:
                        return "altered"
            except FileNotFoundError:
                return "missing"
            self._cache.protect(draft)
            draft.replace(self.path_of(md5))
        return None


def _md5(content: bytes = b"") -> hashlib._Hash:
    return hashlib.md5(content, usedforsecurity=False)


def _in_git(folder: Path) -> bool:
    from dvc.scm import SCM, SCMError

    try:
        SCM(str(folder)).close()
    except SCMError:
        return False
    return True


@contextmanager
def _added(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as gone:
        raise NotFoundError(f"no file '{path}' any more: bring it back, then add it again") from gone


def _changed(path: Path) -> ConflictError:
    return ConflictError(f"'{path}' changed while it was being added: add it again when nothing writes to it")


_REFUSALS = {
    *(errno.EPERM, errno.ENOTSUP, errno.EXDEV, errno.ENOTTY, errno.ENOSYS),
    *(errno.EINVAL, errno.EAGAIN, errno.EMLINK),
}


def place(source: Path, target: Path, kinds: list[str]) -> None:
    """Clones, links or copies by the first of `kinds` that works, and strikes those that are refused.

    `kinds` are DVC's (`reflink`, `hardlink`, `symlink`, `copy`); a copy is the last resort in any case.

    Raises:
        OSError: as the file system has it, `FileNotFoundError` without a source.
    """
    from dvc_objects.fs import system

    while kinds and kinds[0] != "copy":
        try:
            getattr(system, kinds[0])(source, target)
        except OSError as refusal:
            if refusal.errno not in _REFUSALS:
                raise
            del kinds[0]
        else:
            return
    shutil.copyfile(source, target)
