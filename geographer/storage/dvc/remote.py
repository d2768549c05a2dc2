"""A remote of DVC: published heads, and objects by MD5. This is the only module that talks to remotes.

Published heads are the files `heads/BRANCH/1`, `2`, `3` … beside DVC's objects. A head is created exclusively and never
changed, so a branch only moves forward: of two pushers that create the same number, one succeeds.

Most remotes create a head with its content in one atomic step. Where a folder or server has no such step, a pusher
*claims* the number (an empty file, created exclusively), and then writes. A head that is not complete JSON belongs to
a pusher that was killed or is slow, so a later pusher skips it: it claims the next number, checks that the skipped head
is still incomplete, and only then writes its own. The slow pusher, after writing, checks that the next number is not
claimed. Each writes before it reads what the other writes, so at least one of them sees the other and fails: two
pushers never both succeed.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

from geographer.base.errors import (
    ConflictError,
    CorruptError,
    GeographerError,
    NotFoundError,
    StorageError,
    UsageError,
    quote_names,
)
from geographer.base.progress import ProgressCallback, ignore_progress
from geographer.base.redaction import redact_text
from geographer.storage.dvc.remote_files import BackendFiles, HttpFiles, S3Files, make_object_path
from geographer.storage.dvc.repository import open_repository
from geographer.storage.dvc.retained import is_object_name

if TYPE_CHECKING:
    from dvc.repo import Repo

    from geographer.base.executors.object_store import ObjectStore

HEADS_FOLDER: Final = "heads"
"""The folder of the published heads in a remote."""
_BRANCH: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_MAX_HEADS: Final = 1 << 40
_EXTRAS: Final = {"ssh": "ssh", "s3": "s3", "webdav": "webdav", "webdavs": "webdav"}
"""The extras of the distribution with the package that DVC needs for a type of remote."""


class PublishedHead(NamedTuple):
    """The newest complete head of a branch on a remote, and the last number that is taken.

    `number` is 0, and `content` empty, if no head is complete. The next push uses `last_number` + 1.
    """

    number: int
    content: bytes
    last_number: int


class Remote:
    """One of DVC's remotes; close it, or use it as a context manager.

    Methods raise `StorageError`, which names the remote, if it cannot be reached or fails.
    """

    def __init__(self, name: str, url: str, files: BackendFiles) -> None:
        self.name = name
        self.url = url
        self._files = files
        self._skipped_heads: dict[str, list[int]] = {}

    def close(self) -> None:
        """Close the connections."""
        self._files.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read_head(self, branch: str, known: int = 0) -> PublishedHead | None:
        """Return the newest head of a branch, or None if there is none after the number `known`.

        Needs no listing: one request if nothing is new, and O(log n) for n new heads. Heads that are not complete JSON
        are skipped: a pusher was killed while it wrote them.
        """
        with self._translate_errors():
            head, skipped = find_newest_head(lambda number: self._files.read_file(_head_path(branch, number)), known)
            self._skipped_heads[branch] = skipped
            return head

    def list_branches(self) -> list[str] | None:
        """Return the branches that have heads, by name; None for HTTP, which has no listings."""
        with self._translate_errors():
            names = self._files.list_names(HEADS_FOLDER)
        return None if names is None else sorted(filter(_BRANCH.fullmatch, names))

    def create_head(self, branch: str, number: int, content: bytes) -> bool:
        """Create a head, atomically; return False if that number exists, so another push was faster.

        `content` is a JSON object, of which every byte is needed for it to be complete.

        Raises:
            ConflictError: the head before `number` does not exist, as on a remote that was emptied.
            UsageError: the remote cannot create files exclusively, or can only be read.
        """
        with self._translate_errors():
            if number > 1 and self._files.read_file(_head_path(branch, number - 1)) is None:
                raise ConflictError(
                    f"the remote '{self.name}' no longer has head {number - 1} of branch '{branch}'. Check that its "
                    f"URL ({self.url}) is right, and fetch from it again."
                )
            return self._create_file(branch, number, content)

    def upload_objects(self, path_of_md5: Mapping[str, Path], progress: ProgressCallback = ignore_progress) -> None:
        """Upload objects, several at once; each is complete or absent in the remote, whenever this is killed."""
        errors = self._transfer_objects(self._files.put_files, path_of_md5, "objects uploaded", progress)
        for error in errors[:1]:
            raise self.make_error(error) from error

    def download_objects(
        self, path_of_md5: Mapping[str, Path], progress: ProgressCallback = ignore_progress
    ) -> Exception | None:
        """Download objects, several at once; the caller verifies them. Those that the remote lacks are skipped.

        Return another error, at which this stops, so that the caller can keep the objects that came before it raises
        `make_error`.
        """
        errors = self._transfer_objects(self._files.get_files, path_of_md5, "objects downloaded", progress)
        return next((error for error in errors if not isinstance(error, FileNotFoundError)), None)

    def find_missing(self, md5s: Iterable[str]) -> set[str]:
        """Return those of the objects that the remote lacks; nothing is hashed."""
        names = set(md5s)
        with self._translate_errors():
            return names - self._files.find_objects(names)

    def list_objects(self) -> set[str]:
        """Return the MD5s of all objects in the remote; those of folders end in `.dir`.

        `UsageError` for HTTP, which has no listings.
        """
        with self._translate_errors():
            return set(filter(is_object_name, self._files.list_objects()))

    def delete_objects(self, md5s: Iterable[str]) -> None:
        """Delete objects; those that are not there are skipped."""
        with self._translate_errors():
            self._files.delete_files(map(make_object_path, md5s))

    def open_object_store(self) -> ObjectStore:
        """Return the remote's objects as a store that a client shares with the workers of a cluster.

        `UsageError` for HTTP, which can only be read.
        """
        if isinstance(self._files, HttpFiles):
            raise UsageError(
                f"the remote '{self.name}' ({self.url}) can only be read, so workers cannot send files through it. "
                "Name another one, or a URL, in GEOGRAPHER_STORE."
            )
        from geographer.base.executors.object_store import ObjectStore

        with self._translate_errors():
            if self._files.filesystem.protocol == "local":
                return ObjectStore.open_url(Path(self._files.folder).absolute().as_uri())
            return ObjectStore(self._files.filesystem.fs, self._files.folder, self.url)

    def make_error(self, error: Exception) -> GeographerError:
        """Return the error that tells the user of a failure of the remote."""
        if isinstance(error, GeographerError):
            return error
        reason = str(error) or type(error).__name__
        return StorageError(
            f"DVC's remote '{self.name}' ({self.url}) failed: {reason}. Check the connection and the remote's settings "
            "(dvc remote list; dvc remote modify), then run the command again."
        )

    def _create_file(self, branch: str, number: int, content: bytes) -> bool:
        skipped = self._skipped_heads.get(branch, [])

        def is_current() -> bool:
            return not any(is_complete(self._files.read_file(_head_path(branch, other))) for other in skipped)

        path = _head_path(branch, number)
        if not (skipped and self._files.can_claim):
            is_created = self._files.create_file(path, content, is_current)
            if is_created is not None:
                # The answer of a request that succeeded may have been lost, and the request repeated.
                return is_created or self._files.read_file(path) == content
        # The two steps that the module's first lines explain.
        if not self._files.claim_file(path) or not is_current():
            return False
        self._files.write_file(path, content)
        return self._files.read_file(_head_path(branch, number + 1)) is None

    def _transfer_objects(
        self,
        transfer_files: Callable[[Mapping[str, Path], Callable[[], None], Callable[[Exception], None]], None],
        path_of_md5: Mapping[str, Path],
        phase: str,
        progress: ProgressCallback,
    ) -> list[Exception]:
        lock, errors, done = threading.Lock(), list[Exception](), 0

        def count_file() -> None:
            nonlocal done
            with lock:
                done += 1
                progress(phase, done, len(path_of_md5))

        files = {make_object_path(md5): path for md5, path in path_of_md5.items()}
        transfer_files(files, count_file, errors.append)
        for error in errors:
            if not _is_remote_failure(error):
                raise error
        return errors

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            if not _is_remote_failure(error):
                raise
            raise self.make_error(error) from error


def open_remote(root: Path, name: str | None = None) -> Remote:
    """Open one of DVC's remotes of the workspace `root`: the one of that name, or the default one.

    Raises:
        NotFoundError: there is no remote, no default one, or none of that name.
        UsageError: the remote's settings are invalid, or the package for its type of URL is not installed.
    """
    from dvc.config import ConfigError
    from dvc.exceptions import NotDvcRepoError

    try:
        repo = open_repository(root)
    except NotDvcRepoError as error:
        raise NotFoundError(f"'{root}' is not a DVC repository: it has no folder .dvc. Restore that folder.") from error
    except (ConfigError, UnicodeDecodeError) as error:
        raise UsageError(f"DVC cannot read the configuration of '{root}': {error}") from error
    except OSError as error:
        raise StorageError(f"DVC cannot work in '{root}': {error}. Repair that file or folder.") from error
    with repo:
        return _open_remote_of(repo, _resolve_name(repo, name))


def _resolve_name(repo: Repo, name: str | None) -> str:
    names = sorted(repo.config["remote"])
    name = name or repo.config["core"].get("remote")
    if name and name.lower() in names:
        return str(name)
    if not names:
        raise NotFoundError("DVC has no remote here. Add one: dvc remote add -d NAME URL-or-FOLDER")
    if name:
        raise NotFoundError(f"DVC has no remote '{name}', only {quote_names(names)}. Add it: dvc remote add {name} URL")
    raise NotFoundError(
        f"DVC has no default remote. Name one of {quote_names(names)}, or set the default: dvc remote default NAME"
    )


def _open_remote_of(repo: Repo, name: str) -> Remote:
    from dvc.data_cloud import Remote as DvcRemote
    from dvc.exceptions import DvcException
    from dvc.fs import ConfigError, RemoteMissingDepsError, get_cloud_fs

    url = redact_text(str(repo.config["remote"][name.lower()].get("url", "")))
    try:
        # As `repo.cloud.get_remote` does, but without DVC's index: two processes that open it at once can fail.
        filesystem_class, settings, folder = get_cloud_fs(repo.config, name=name)
        remote = DvcRemote(name, folder, filesystem_class(**settings), **settings, tmp_dir=repo.site_cache_dir)
        if remote.worktree or remote.fs.version_aware:
            raise UsageError(
                f"DVC's remote '{name}' keeps versions in the cloud (version_aware or worktree), not objects by MD5. "
                "Use another remote, or unset that: dvc remote modify --unset"
            )
        return Remote(name, url, _make_files(remote.odb, remote.path))
    except (ImportError, RemoteMissingDepsError) as error:
        extra = _EXTRAS.get(url.partition(":")[0])
        package = f"geographer-datasets[{extra}]" if extra else f"dvc[{url.partition(':')[0]}]"
        raise UsageError(f"DVC's remote '{name}' ({url}) needs a package: pip install '{package}'") from error
    except (DvcException, ConfigError, ValueError, TypeError, KeyError) as error:
        raise UsageError(f"the settings of DVC's remote '{name}' ({url}) are invalid: {error}") from error


def find_newest_head(read: Callable[[int], bytes | None], known: int = 0) -> tuple[PublishedHead | None, list[int]]:
    """Return the newest head after the number `known`, and the numbers after it, whose heads are incomplete.

    `read` returns a head's bytes, or None if there is no such number; numbers have no gaps. `CorruptError` if there are
    more than any branch has, as on a server that answers for every name.
    """
    contents: dict[int, bytes | None] = {}

    def read_once(number: int) -> bytes | None:
        if number not in contents:
            contents[number] = read(number)
        return contents[number]

    if read_once(known + 1) is None:
        return None, []
    last, step = known + 1, 1
    while read_once(last + step) is not None:
        last, step = last + step, step * 2
        if last > _MAX_HEADS:
            raise CorruptError("the remote answers for any number of a head, so it has none. Check its URL.")
    absent = last + step
    while absent - last > 1:
        middle = (last + absent) // 2
        if read_once(middle) is None:
            absent = middle
        else:
            last = middle
    number = last
    while number > 0 and not is_complete(read_once(number)):
        number -= 1
    content = (read_once(number) or b"") if number else b""
    return PublishedHead(number, content, last), list(range(number + 1, last + 1))


def is_complete(content: bytes | None) -> bool:
    """Return whether a head is a JSON object, so that none of its bytes is missing."""
    try:
        return content is not None and isinstance(json.loads(content), dict)
    except ValueError:
        return False


def _head_path(branch: str, number: int) -> str:
    if not _BRANCH.fullmatch(branch):
        raise UsageError(f"invalid branch name '{branch}'. Use letters, digits, '.', '_' and '-', e.g. main.")
    return f"{HEADS_FOLDER}/{branch}/{number}"


def _is_remote_failure(error: Exception) -> bool:
    """Return whether an error comes from the remote or its library: from other code than this package's."""
    if isinstance(error, GeographerError):
        return False
    traceback = error.__traceback__
    while traceback and traceback.tb_next:
        traceback = traceback.tb_next
    module = traceback.tb_frame.f_globals.get("__name__", "") if traceback else ""
    return isinstance(error, OSError) or module.partition(".")[0] != __name__.partition(".")[0]


def _make_files(object_db: Any, folder: str) -> BackendFiles:
    """Return the files of a remote for the type of its file system."""
    from geographer.storage.dvc.folder_files import FolderFiles
    from geographer.storage.dvc.ssh_files import SshFiles
    from geographer.storage.dvc.webdav_files import WebdavFiles

    classes: dict[str, type[BackendFiles]] = {
        **{"local": FolderFiles, "ssh": SshFiles, "s3": S3Files},
        **{"webdav": WebdavFiles, "webdavs": WebdavFiles, "http": HttpFiles, "https": HttpFiles},
    }
    return classes.get(object_db.fs.protocol, BackendFiles)(object_db, folder)
