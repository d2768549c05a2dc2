"""Store files by checksum in DVC's cache, and restore them from the cache or the remote.

All files are hashed here, on their way in and out: DVC itself does not check what its cache or remote holds.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import cached_property, partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Protocol, Self

from geographer.base.atomic_files import (
    TEMPORARY_FILES,
    FileDamage,
    add_line,
    check_file,
    temporary_sibling,
    translate_os_errors,
    write_atomic,
)
from geographer.base.errors import ConflictError, CorruptError, NotFoundError, StorageError, UsageError
from geographer.base.executors.executor import Workers
from geographer.base.progress import ProgressCallback, ignore_progress, iter_with_progress
from geographer.base.values import Checksums
from geographer.storage.author import complete_environment
from geographer.storage.database.dataset_folder import GEOGRAPHER_FOLDER
from geographer.storage.dvc.dvc_check import delete_damaged_dvc_file, find_dvc_file_damage, read_dvc_file, read_listing
from geographer.storage.dvc.dvc_files import (
    FolderEntry,
    compute_address,
    encode_listing,
    hold_dvc_lock,
    remove_dvc_file,
    write_dvc_file,
)
from geographer.storage.dvc.hash_files import find_damages
from geographer.storage.dvc.repository import open_repository
from geographer.storage.dvc.retained import RetainedObjects, is_object_name, join_object_path

if TYPE_CHECKING:
    from dvc.repo import Repo

    from geographer.storage.dvc.remote import Remote


class _ObjectDb(Protocol):
    """The methods of DVC's local object database that are used here."""

    cache_types: list[str]

    def oid_to_path(self, oid: str, /) -> str: ...
    def makedirs(self, path: str, /) -> None: ...
    def protect(self, path: Path, /) -> None: ...


class Store:
    """The files of the dataset in the folder `root`, which is a DVC repository, with or without Git.

    A file's address is its MD5, as in DVC; its content is checked by SHA-256. DVC is imported by the first method that
    needs it. Close the store, or use it as a context manager; it opens again when needed.
    """

    place = "in the cache"
    remedy = "Run dvc pull if a remote has the files, and geographer verify to list all damage."

    def __init__(
        self,
        root: Path,
        progress: ProgressCallback = ignore_progress,
        check_fetch: Callable[[Sequence[str]], None] | None = None,
    ) -> None:
        """Use the dataset in the folder `root`.

        `check_fetch` is called with the MD5s that are to be fetched because a command needs them, and raises an error
        if that was not asked for; see `allow_fetch`.
        """
        self.root = root.resolve()
        self.progress = progress
        self._check_fetch = check_fetch
        complete_environment()

    @classmethod
    def init_repository(cls, root: Path, *, scm: bool = True) -> Store:
        """Make `root` a DVC repository unless it is one.

        In a Git work tree, unless `scm` is false, `.dvc/config` and `.dvcignore` are staged, as DVC does. A new
        repository has DVC's analytics switched off.

        Raises:
            ConflictError: Git ignores `root`, so DVC cannot track files there.
        """
        store = cls(root)
        store.root.mkdir(parents=True, exist_ok=True)
        if (store.root / ".dvc").is_dir():
            store._write_dvcignore()
        else:
            store._create_repository(with_git=scm and is_in_git(store.root))
        return store

    def close(self) -> None:
        """Close DVC's database and Git's files."""
        for name in ("_object_db", "_cache_folder", "retained_objects"):
            self.__dict__.pop(name, None)
        if repo := self.__dict__.pop("_dvc_repo", None):
            repo.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def cache_path(self, md5: str) -> Path:
        """Return the path of the file with that MD5 in the cache, whether or not it exists.

        `CorruptError` if it is not an MD5, or one with `.dir`.
        """
        return Path(join_object_path(self._cache_folder, md5))

    def find_cache_folder(self) -> str:
        """Return the folder of the cache's files: relative to the workspace if it is inside, and with `/`."""
        folder = self._cache_folder
        return (folder.relative_to(self.root) if folder.is_relative_to(self.root) else folder).as_posix()

    def add_to_gitignore(self, path: str) -> None:
        """Add `path`, relative to the workspace, to the `.gitignore` in its folder."""
        with hold_dvc_lock(self._dvc_repo), self._dvc_repo.scm_context(quiet=True) as scm:
            scm.ignore(str(self.root / path))

    def add_files(self, files: Sequence[tuple[Path, Checksums]], *, move: bool = False) -> None:
        """Add files with these checksums to the cache atomically; altered files in the cache are replaced.

        With `move`, geographer wrote and hashed the files: they are renamed, or copied from another file system.
        Otherwise they are cloned or copied, and the copy is hashed, because the user may have changed them since.

        Raises:
            NotFoundError, ConflictError: a file does not exist, or no longer has its checksums.
            StorageError: the disk is full or cannot be written.
        """
        link_types = ["reflink"]
        for path, sums in iter_with_progress(files, "files stored", self.progress):
            target = self._prepare_object_path(sums.md5)
            with translate_os_errors(target):
                if move and self._move_into_cache(path, sums, target):
                    continue
                if check_file(target, sums):
                    self._copy_into_cache(path, sums, target, link_types)
                if move:
                    path.unlink()

    def restore_files(
        self, files: Sequence[tuple[Checksums, Path]], *, trusted_md5s: Collection[str] = (), link: bool = False
    ) -> list[tuple[Path, Checksums, FileDamage]]:
        """Write files from the cache, or from DVC's default remote, to their destinations, replacing existing files.

        Each file is written next to its destination, hashed (SHA-256) unless this process has just added it
        (`trusted_md5s`), and renamed only if it is correct. Files are cloned, copied or linked as `cache.type` says;
        with `link`, they are hard links into the cache, or else symbolic links; files that cannot be linked are copied.
        Return the files that could not be written, each with its damage.

        Raises:
            StorageError: a destination cannot be written, or the remote cannot be reached.
        """
        link_types = ["hardlink", "symlink"] if link else list(self._object_db.cache_types)
        damages = [
            self._write_workspace_file(sums, path, link_types, is_trusted=sums.md5 in trusted_md5s)
            for sums, path in iter_with_progress(files, "files restored", self.progress)
        ]
        missing = [index for index, damage in enumerate(damages) if damage == "missing"]
        not_fetched = self.fetch_files([files[index][0].md5 for index in missing])
        for index in missing:
            sums, path = files[index]
            damages[index] = not_fetched.get(sums.md5) or self._write_workspace_file(sums, path, link_types)
        return [(path, sums, damage) for (sums, path), damage in zip(files, damages, strict=True) if damage]

    def check_files(self, checksums: Sequence[Checksums], workers: Workers = 1) -> dict[str, FileDamage]:
        """Hash (SHA-256) the cache's copies, or else retained ones, and return the damaged by MD5; fetch nothing."""
        files = [(self.find_object(sums.md5), sums) for sums in checksums]
        damages = find_damages(files, workers, self.root, "objects checked", self.progress)
        return {sums.md5: damage for sums, damage in zip(checksums, damages, strict=True) if damage}

    def fetch_files(self, md5s: Sequence[str], remote: Remote | None = None) -> dict[str, FileDamage]:
        """Download the files that the cache lacks, hashing each, from `remote` or else DVC's default remote.

        Retained objects are put back into the cache instead. Returned are the files still not in the cache, by MD5:
        `missing` if the remote lacks them or there is none, `altered` if it has other bytes.

        Raises:
            NotFoundError: a partial clone lacks one of them on purpose, and no remote is given.
            StorageError: the remote cannot be reached, or does not store by checksum; files that came are kept.
            UsageError: the remote's settings are invalid, or its package is not installed.
        """
        missing = [md5 for md5 in dict.fromkeys(md5s) if not self.cache_path(md5).is_file()]
        missing = [md5 for md5 in missing if not self._restore_retained(md5)]
        if not missing:
            return {}
        if remote is None:
            if self._check_fetch:
                self._check_fetch(missing)
            with self._open_default_remote() as opened:
                return self._fetch_missing(missing, opened) if opened else dict.fromkeys(missing, "missing")
        return self._fetch_missing(missing, remote)

    def require_fetchable(self, md5s: Iterable[str]) -> None:
        """Raise `NotFoundError` if a partial clone lacks one of the files on purpose, before anything is written."""
        if self._check_fetch:
            self._check_fetch(self.list_missing_objects(md5s))

    @contextmanager
    def allow_fetch(self) -> Iterator[None]:
        """Let the block fetch files without asking `check_fetch`: its caller has selected them."""
        check, self._check_fetch = self._check_fetch, None
        try:
            yield
        finally:
            self._check_fetch = check

    def copy_objects(self, source: Store, md5s: Sequence[str]) -> dict[str, FileDamage]:
        """Copy objects from the cache of another repository, hashing each, or from that one's remote.

        Returned are those that could not be copied: `missing` or `altered` there. `StorageError` if the disk is full.
        """
        source.fetch_files(md5s)
        damages: dict[str, FileDamage] = {}
        for md5 in dict.fromkeys(md5s):
            with temporary_sibling(self._prepare_object_path(md5)) as temporary:
                path = source.find_object(md5)
                with translate_os_errors(temporary):
                    if path.is_file():
                        link_or_copy(path, temporary, ["reflink"])
                if damage := self._verify_and_add(md5, temporary):
                    damages[md5] = damage
        return damages

    def find_missing_objects(self, md5s: Iterable[str]) -> list[str]:
        """Return the objects that neither the cache nor DVC's default remote has, and that are not retained.

        Nothing is downloaded or hashed. `StorageError` if the remote cannot be reached.
        """
        missing = self.list_missing_objects(md5s)
        if not missing:
            return []
        with self._open_default_remote() as remote:
            still_missing = remote.find_missing(missing) if remote else missing
        return [md5 for md5 in missing if md5 in still_missing]

    def list_missing_objects(self, md5s: Iterable[str]) -> list[str]:
        """Return the objects that are neither in the cache nor retained; nothing is hashed."""
        # Called for each object of a revision: os.path is ten times as fast as Path.
        paths = {md5: join_object_path(self._cache_folder, md5) for md5 in md5s}
        missing = [md5 for md5, path in paths.items() if not os.path.isfile(path)]  # noqa: PTH113
        return [md5 for md5 in missing if not self.find_object(md5).is_file()]

    @contextmanager
    def hold_lock(self) -> Iterator[None]:
        """Hold DVC's repository lock: no command of DVC runs meanwhile; `StorageError` if one runs for too long."""
        with hold_dvc_lock(self._dvc_repo):
            yield

    def retain_objects(self, md5s: Iterable[str]) -> list[str]:
        """Link objects of the cache beside it, so that `dvc gc` does not delete them; see `retained.py`.

        Return those that the file system cannot link. Objects that the cache lacks are skipped.
        """
        return self.retained_objects.link_objects(md5s)

    def delete_objects(self, md5s: Iterable[str]) -> None:
        """Delete objects from the cache and from the retained ones; those that are not there are skipped."""
        self.retained_objects.delete_objects(md5s)

    def find_dvc_file_damage(self, folder: str, entries: Sequence[FolderEntry]) -> str | None:
        """Return how the `.dvc` file of a folder, or its listing in the cache, differs from its files, `entries`."""
        return find_dvc_file_damage(self.root / f"{folder}.dvc", entries, self.cache_path)

    def list_tracked_files(self, dvc_file: str) -> dict[str, str] | None:
        """Return the files that a `.dvc` file names, with their MD5s; None if it or its listing is not valid.

        Paths are relative to the workspace. A listing that the cache lacks is fetched from the remote.
        """
        try:
            output = read_dvc_file(self.root / dvc_file)
        except CorruptError:
            return None
        path = (PurePosixPath(dvc_file).parent / output.name).as_posix()
        if not output.address.endswith(".dir"):
            return {path: output.address}
        with suppress(StorageError, UsageError):
            self.fetch_files([output.address])
        listing = read_listing(self.cache_path(output.address), output.address)
        if listing is None or not all(_is_listed_file(name, md5) for name, md5 in listing.items()):
            return None
        return {f"{path}/{name}": md5 for name, md5 in listing.items()}

    def write_listing(self, address: str, listing: bytes) -> None:
        """Put the listing of a folder, named `address`, into the cache; see `dvc_files.encode_listing`."""
        write_atomic(self._prepare_object_path(address), listing, self._object_db.protect)

    def add_remote(self, name: str, url: str) -> None:
        """Make a URL the default remote of the repository, under this name."""
        with self._dvc_repo.config.edit() as settings:
            settings["remote"][name] = {"url": url}
            settings["core"]["remote"] = name
        self.close()

    def track_folder(self, folder: str, entries: Sequence[FolderEntry]) -> None:
        """Track a folder as `dvc add` does, but without reading its files.

        Writes `FOLDER.dvc`, also over a damaged one, the folder's listing in the cache, and its line in the
        `.gitignore` of its parent. `folder` is relative to the workspace, with `/`; `entries` is its whole content,
        without which it is no longer tracked.

        Raises:
            ConflictError: Git tracks the folder's files or ignores its `.dvc` file.
            StorageError: another command held the lock for too long, or the disk cannot be written.
        """
        from dvc.exceptions import DvcException

        try:
            with (
                translate_os_errors(self.root / f"{folder}.dvc"),
                hold_dvc_lock(self._dvc_repo),
                self._dvc_repo.scm_context(quiet=True),
            ):
                if entries:
                    delete_damaged_dvc_file(self.root / f"{folder}.dvc")
                    listing = encode_listing(entries)
                    address = compute_address(listing)
                    self.write_listing(address, listing)
                    write_dvc_file(self._dvc_repo, self.root / folder, address, entries)
                else:
                    remove_dvc_file(self._dvc_repo, self.root / folder)
        except DvcException as error:
            raise ConflictError(f"DVC cannot track '{folder}': {error}") from error

    def save_dvc_state(self, files: Sequence[tuple[Path, Checksums]]) -> None:
        """Save the MD5s of new workspace files in DVC's state database, so that `dvc status` need not hash them."""
        from dvc_data.hashfile.hash_info import HashInfo

        items = [(str(path.absolute()), HashInfo("md5", sums.md5), None) for path, sums in files]
        self._dvc_repo.state.save_many(items, self._dvc_repo.fs)
        self._dvc_repo.state.close()

    @cached_property
    def _dvc_repo(self) -> Repo:
        from dvc.config import ConfigError

        if not (self.root / ".dvc").is_dir():
            raise NotFoundError(
                f"'{self.root}' is not a DVC repository: it has no folder .dvc. Restore that folder, or run geographer "
                "init there first if there is no dataset yet."
            )
        try:
            return open_repository(self.root)
        except (ConfigError, UnicodeDecodeError) as error:
            raise UsageError(f"DVC cannot read the configuration of '{self.root}': {error}") from error
        except OSError as error:
            raise StorageError(f"DVC cannot work in '{self.root}': {error}. Repair that file or folder.") from error

    @cached_property
    def retained_objects(self) -> RetainedObjects:
        """The retained objects, and all objects of this machine."""
        return RetainedObjects(self._cache_folder)

    @cached_property
    def _cache_folder(self) -> Path:
        """DVC's folder of objects."""
        return Path(self._object_db.oid_to_path("00" * 16)).parents[1]

    @cached_property
    def _object_db(self) -> _ObjectDb:
        object_db: _ObjectDb = self._dvc_repo.cache.local
        return object_db

    def _create_repository(self, *, with_git: bool) -> None:
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
                scm.track_file([repo.config.files["repo"], str(self._write_dvcignore())])
        except InitError as error:
            raise ConflictError(f"DVC cannot create a repository in '{self.root}': {error}") from error

    def _write_dvcignore(self) -> Path:
        dvcignore = self.root / ".dvcignore"
        for pattern in (GEOGRAPHER_FOLDER, TEMPORARY_FILES):
            add_line(dvcignore, pattern)
        return dvcignore

    def _prepare_object_path(self, md5: str) -> Path:
        target = self.cache_path(md5)
        if not target.parent.is_dir():
            with translate_os_errors(target):
                self._object_db.makedirs(str(target.parent))
        return target

    def find_object(self, md5: str) -> Path:
        """Return the path of an object in the cache, or else that of the retained one, if there is one."""
        path = self.cache_path(md5)
        return path if path.is_file() else self.retained_objects.find_object(md5) or path

    def _restore_retained(self, md5: str) -> bool:
        with translate_os_errors(self.cache_path(md5)):
            return self.retained_objects.restore_object(md5)

    def _move_into_cache(self, path: Path, sums: Checksums, target: Path) -> bool:
        """Rename a new file into the cache; return false if it is on another file system."""
        with _translate_missing(path):
            _require_unchanged(path, path.stat().st_size == sums.size)
        self._object_db.protect(path)
        try:
            path.replace(target)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            return False
        return True

    def _copy_into_cache(self, path: Path, sums: Checksums, target: Path, link_types: list[str]) -> None:
        with temporary_sibling(target) as temporary:
            with _translate_missing(path):
                link_or_copy(path, temporary, link_types)
            _require_unchanged(path, check_file(temporary, sums) is None)
            self._object_db.protect(temporary)
            temporary.replace(target)

    def _write_workspace_file(
        self, sums: Checksums, path: Path, link_types: list[str], *, is_trusted: bool = False
    ) -> FileDamage | None:
        with translate_os_errors(path), temporary_sibling(path) as temporary:
            try:
                link_or_copy(self.cache_path(sums.md5), temporary, link_types)
            except FileNotFoundError:
                return "missing"
            is_intact = is_trusted and temporary.stat().st_size == sums.size
            if not is_intact and (damage := check_file(temporary, sums, check_digest=not is_trusted)):
                return damage
            temporary.replace(path)
        return None

    @contextmanager
    def _open_default_remote(self) -> Iterator[Remote | None]:
        """Open DVC's default remote, as it is configured now; None if there is none."""
        try:
            from geographer.storage.dvc.remote import open_remote

            remote = open_remote(self.root)
        except NotFoundError:
            yield None
            return
        with remote:
            yield remote

    def _fetch_missing(self, missing: Sequence[str], remote: Remote) -> dict[str, FileDamage]:
        with ExitStack() as stack:
            paths = {md5: stack.enter_context(temporary_sibling(self._prepare_object_path(md5))) for md5 in missing}
            error = remote.download_objects(paths, self.progress)
            damages = {md5: damage for md5, path in paths.items() if (damage := self._verify_and_add(md5, path))}
        if error:
            raise remote.make_error(error) from error
        return damages

    def _verify_and_add(self, md5: str, path: Path) -> FileDamage | None:
        with translate_os_errors(path):
            try:
                with path.open("rb", buffering=0) as file:
                    if hashlib.file_digest(file, _make_md5).hexdigest() != md5.removesuffix(".dir"):
                        return "altered"
            except FileNotFoundError:
                return "missing"
            self._object_db.protect(path)
            path.replace(self.cache_path(md5))
        return None


_make_md5 = partial(hashlib.md5, usedforsecurity=False)


def _is_listed_file(name: str, md5: str) -> bool:
    """Return whether an entry of a listing, which may come from strangers, is an object's and inside the folder."""
    is_inside = not PurePosixPath(name).is_absolute() and ".." not in PurePosixPath(name).parts
    return is_inside and is_object_name(md5)


def is_in_git(folder: Path) -> bool:
    """Return whether a folder is in a work tree of Git."""
    from dvc.scm import SCM, SCMError

    try:
        SCM(str(folder)).close()
    except SCMError:
        return False
    return True


@contextmanager
def _translate_missing(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise NotFoundError(f"file '{path}' was deleted while it was added. Restore it and add it again.") from error


def _require_unchanged(path: Path, is_unchanged: bool) -> None:
    if not is_unchanged:
        raise ConflictError(f"'{path}' changed while it was added. Add it again when no program writes to it.")


_UNSUPPORTED_LINK = {
    *(errno.EPERM, errno.ENOTSUP, errno.EXDEV, errno.ENOTTY, errno.ENOSYS),
    *(errno.EINVAL, errno.EAGAIN, errno.EMLINK),
}


def link_or_copy(source: Path, target: Path, link_types: list[str]) -> None:
    """Clone, link or copy a file by the first of `link_types` that works; remove unsupported types from the list.

    `link_types` are DVC's (`reflink`, `hardlink`, `symlink`, `copy`). If none works, the file is copied. Other errors
    of the file system are raised as `OSError`; `FileNotFoundError` if `source` does not exist.
    """
    from dvc_objects.fs import system

    while link_types and link_types[0] != "copy":
        try:
            getattr(system, link_types[0])(source, target)
        except OSError as error:
            if error.errno not in _UNSUPPORTED_LINK:
                raise
            del link_types[0]
        else:
            return
    shutil.copyfile(source, target)
