"""Unpack a downloaded product: extract archives (zip, tar), safe from path traversal and decompression bombs."""

import bz2
import gzip
import io
import lzma
import os
import re
import shutil
import stat
import struct
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final, NamedTuple, Self

from geographer.base.atomic_files import temporary_sibling, translate_os_errors
from geographer.base.errors import CorruptError, UsageError

MAX_BYTES: Final = 64 << 30
"""Limit of unpacked bytes of a product: the largest that archives deliver, radar scenes, have 10 GB."""
MAX_RATIO: Final = 100
"""Limit of unpacked bytes per packed byte. Imagery has a ratio of 2 to 10; masks and sea have more."""
MIN_ALLOWANCE: Final = 1 << 30
"""Bytes that are unpacked whatever the ratio: a tile of sea may have a ratio of a thousand, and is harmless."""
MAX_MEMBERS: Final = 100_000
"""Limit of files and folders of a product. Old Sentinel-2 products with many tiles have a few thousand."""

_MAX_NAME_BYTES, _MAX_PATH_BYTES = 255, 1024
_MAX_HEADER_BYTES, _HEADER_BYTES_PER_MEMBER = 1 << 20, 1 << 12
_BLOCK: Final = 1 << 20
_ZIP_SIGNATURES = (b"PK\3\4", b"PK\5\6", b"PK\7\10")
_ZIP_BASED_NAME: Final = re.compile(r"\.(kmz|npz|qgz|xlsx|docx|pptx|odt|ods|odp|epub|jar|whl)$", re.IGNORECASE)
"""Formats that are zip files inside, and are not unpacked."""
_TAR_NAME: Final = re.compile(r"\.(tar|tgz|tbz|tbz2|txz|tar\.(gz|bz2|xz))$", re.IGNORECASE)
_DECOMPRESSORS: dict[bytes, Callable[[IO[bytes]], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\0": lzma.open,
}
_DAMAGE_ERRORS = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, struct.error),
    *(EOFError, ValueError, OverflowError, NotImplementedError),
)


def unpack_product(folder: Path, into: Path) -> None:
    """Make `into` hold the files of `folder`: archives are extracted, other files linked, or copied if that fails.

    Each file keeps its path. An archive (zip, or tar, plain or compressed with gzip, bzip2 or xz; detected by content
    or by name) becomes a folder with the archive's name, so that two archives never collide. Archives in archives are
    extracted to one level: some providers wrap their zip in another. Owners, modes and times are not restored. `into`
    must not exist or be empty; it is removed after an error.

    Raises:
        CorruptError: an archive is damaged, or has a forbidden member: a path outside the folder, a link, device or
            sparse file, a duplicate name (ignoring case), or one beyond the limits.
        UsageError, StorageError: an archive is encrypted or has an unsupported compression; the disk cannot be written.
    """
    with translate_os_errors(into):
        into.mkdir(parents=True, exist_ok=True)
        if any(into.iterdir()):
            raise UsageError(f"folder '{into}' is not empty. Unpack into an empty one.")
        try:
            _unpack_files(folder, into)
        except BaseException:
            shutil.rmtree(into, ignore_errors=True)
            raise


def link_or_copy(source: Path, destination: Path) -> None:
    """Make `destination` a hard link to `source`, or a copy if the file system does not support that."""
    try:
        os.link(source, destination)
    except OSError:
        shutil.copyfile(source, destination)


@dataclass(slots=True)
class _Allowance:
    """What may still be unpacked; all archives of a product count together."""

    bytes_left: int
    members_left: int


def _unpack_files(folder: Path, into: Path) -> None:
    paths = sorted(path for path in folder.rglob("*") if not path.is_dir() or path.is_symlink())
    for path in paths:
        if path.is_symlink() or not path.is_file():
            raise CorruptError(f"'{path}' is not a regular file but a link or device. Download the product again.")
    archives = {path for path in paths if _is_archive(path)}
    packed_bytes = sum(path.stat().st_size for path in archives)
    allowance = _Allowance(min(MAX_BYTES, max(MIN_ALLOWANCE, MAX_RATIO * packed_bytes)), MAX_MEMBERS)
    for path in paths:
        target = into / path.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        if path not in archives:
            link_or_copy(path, target)
            continue
        _extract_archive(path, path, target, allowance)
        for nested in sorted(nested for nested in target.rglob("*") if nested.is_file() and _is_archive(nested)):
            with temporary_sibling(nested) as packed:
                nested.rename(packed)
                _extract_archive(packed, nested, nested, allowance)


def _extract_archive(path: Path, archive: Path, target: Path, allowance: _Allowance) -> None:
    """Extract the file at `path`, which messages call `archive`, to the new folder `target`."""
    target.mkdir()
    extractor = _MemberExtractor(archive, target, allowance)
    try:
        with path.open("rb") as file:
            # A file named .zip may have other bytes before the zip.
            is_prefixed_zip = archive.suffix.lower() == ".zip" and zipfile.is_zipfile(path)
            if file.peek(4)[:4] in _ZIP_SIGNATURES or is_prefixed_zip:
                extractor.extract_zip(file)
            else:
                extractor.extract_tar(file)
    except (*_DAMAGE_ERRORS, OSError) as error:
        # bzip2 and gzip report damage as an OSError without errno.
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise CorruptError(f"archive '{archive}' is damaged ({error}). Download the product again.") from error


class _Member(NamedTuple):
    """A file or folder in an archive; `problem` is why it cannot be extracted, or empty."""

    name: str
    is_folder: bool
    size: int
    problem: str
    open_file: Callable[[], IO[bytes] | None]


@dataclass(slots=True)
class _MemberExtractor:
    """Writes the members of one archive to the folder `target`."""

    archive: Path
    target: Path
    allowance: _Allowance
    is_folder: dict[str, bool] = field(default_factory=dict)
    """The paths of members so far, normalised as by a case-insensitive file system; True for folders."""

    def extract_zip(self, file: IO[bytes]) -> None:
        with zipfile.ZipFile(file) as zip_file:
            self._extract_members([self._describe_zip_member(zip_file, info) for info in zip_file.infolist()])

    def extract_tar(self, file: io.BufferedReader) -> None:
        """Extract a tar; members are checked one by one, since a tar has no list of them."""
        stream = _BoundedReader(_open_decompressed(file), self.archive, self.allowance)
        with tarfile.TarFile(fileobj=stream, mode="r", tarinfo=_StrictTarInfo) as tar:
            for info in tar:
                is_allowed = not info.issparse() and (info.isreg() or info.isdir())
                problem = self._find_path_problem(info) if is_allowed else "is a link, a device or a sparse file"
                open_file = partial(tar.extractfile, info)
                self._extract_members([_Member(info.name, info.isdir(), info.size, problem, open_file)])
        while stream.read(_MAX_HEADER_BYTES):
            pass  # The rest must be read: gzip, bzip2 and xz have their checksums at the end.

    def _find_path_problem(self, info: tarfile.TarInfo) -> str:
        """Return why Python's own filter rejects a member; `_make_member_path` also rejects what that would correct."""
        try:
            tarfile.data_filter(info, str(self.target))
        except tarfile.FilterError:
            return "has a path outside the folder"
        return ""

    def _describe_zip_member(self, zip_file: zipfile.ZipFile, info: zipfile.ZipInfo) -> _Member:
        def open_file() -> IO[bytes]:
            try:
                return zip_file.open(info)
            except (NotImplementedError, RuntimeError) as error:
                raise UsageError(
                    f"member {info.filename!r} of archive '{self.archive}' uses an unsupported compression ({error}). "
                    "Unpack it yourself and add the rasters in it."
                ) from error

        if info.flag_bits & 0x1:
            raise UsageError(
                f"archive '{self.archive}' is encrypted (member {info.filename!r}). Unpack it yourself and add the "
                "rasters in it."
            )
        is_allowed = stat.S_IFMT(info.external_attr >> 16) in (0, stat.S_IFREG, stat.S_IFDIR)
        problem = "" if is_allowed else "is a link or a device"
        return _Member(info.filename, info.is_dir(), info.file_size, problem, open_file)

    def _extract_members(self, members: list[_Member]) -> None:
        """Check all members, then write them."""
        paths = [self._make_member_path(member) for member in members]
        if members:
            largest = max(members, key=lambda member: member.size)
            self.check_size(largest.name, sum(member.size for member in members))
        for member, path in zip(members, paths, strict=True):
            source = None if member.is_folder else member.open_file()
            if source is None:
                path.mkdir(parents=True, exist_ok=True)
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            with source, path.open("xb") as file:
                while block := source.read(_BLOCK):
                    self.check_size(member.name, len(block))  # The size that the archive declares may be wrong.
                    self.allowance.bytes_left -= len(block)
                    file.write(block)

    def _make_member_path(self, member: _Member) -> Path:
        """Return the path of a member after checking that it is inside `target` and not a duplicate."""
        name = member.name
        if member.problem:
            raise self._make_error(name, member.problem)
        self.allowance.members_left -= 1
        if self.allowance.members_left < 0:
            raise self._make_error(name, f"exceeds the limit of {MAX_MEMBERS:,} files")
        parts = self._split_name(name)
        if not parts and not member.is_folder:
            raise self._make_error(name, "has no name")
        keys = [unicodedata.normalize("NFC", "/".join(parts[:end])).casefold() for end in range(len(parts) + 1)]
        if not all(self.is_folder.setdefault(key, True) for key in keys[:-1]):
            raise self._make_error(name, "is inside another member that is a file")
        if keys[-1] in self.is_folder and not (member.is_folder and self.is_folder[keys[-1]]):
            raise self._make_error(name, "is a duplicate, or differs from another member only in case")
        self.is_folder[keys[-1]] = member.is_folder
        return self.target.joinpath(*parts)

    def _split_name(self, name: str) -> list[str]:
        """Split a member's path and check its parts; some zips made on Windows use backslashes."""
        path = name.replace("\\", "/")
        parts = [part for part in PurePosixPath(path).parts if part != "."]
        if path.startswith("/") or re.match(r"[A-Za-z]:", path) or ".." in parts:
            raise self._make_error(name, "has a path outside the folder")
        if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in path):
            raise self._make_error(name, "has a control character in its name")
        if len(path.encode()) > _MAX_PATH_BYTES or any(len(part.encode()) > _MAX_NAME_BYTES for part in parts):
            raise self._make_error(name[:60] + "…", "has too long a name")
        return parts

    def check_size(self, name: str, size: int) -> None:
        if size > self.allowance.bytes_left:
            raise self._make_error(name, "exceeds the limit of unpacked bytes (decompression bomb?)")

    def _make_error(self, name: str, problem: str) -> CorruptError:
        return _make_unpack_error(self.archive, f"member {name!r} {problem}")


class _StrictTarInfo(tarfile.TarInfo):
    """Raises on a damaged header; `tarfile` would treat it as the end and silently drop the members after it."""

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(archive)
        except tarfile.HeaderError as error:
            if type(error).__name__ == "EOFHeaderError":
                raise
            raise tarfile.ReadError(f"{error}, at byte {archive.offset:,}") from error


class _BoundedReader(io.RawIOBase):
    """Reads a limited number of bytes of a decompressed tar, also by call: a header may claim to have gigabytes."""

    def __init__(self, stream: IO[bytes], archive: Path, allowance: _Allowance) -> None:
        self._stream, self._archive = stream, archive
        header_bytes = _HEADER_BYTES_PER_MEMBER * allowance.members_left + _MAX_HEADER_BYTES
        self._max_position = allowance.bytes_left + header_bytes

    def read(self, size: int = -1, /) -> bytes:
        if size < 0 or size > _MAX_HEADER_BYTES:
            raise _make_unpack_error(self._archive, "it has too large a header")
        if self._stream.tell() > self._max_position:
            raise _make_unpack_error(self._archive, "it exceeds the limit of unpacked bytes (decompression bomb?)")
        return self._stream.read(size)

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()


def _make_unpack_error(archive: Path, problem: str) -> CorruptError:
    return CorruptError(f"cannot unpack archive '{archive}': {problem}. Get the product from another source.")


def _is_archive(path: Path) -> bool:
    """Return whether a file is an archive to extract, by its name or else by its first bytes."""
    if path.suffix.lower() == ".zip" or _TAR_NAME.search(path.name):
        return True
    if _ZIP_BASED_NAME.search(path.name):
        return False
    with path.open("rb") as file:
        if file.peek(4)[:4] in _ZIP_SIGNATURES:
            return True
        try:
            return _open_decompressed(file).read(512)[257:262] == b"ustar"  # the mark of a tar header
        except (OSError, *_DAMAGE_ERRORS):
            return False


def _open_decompressed(file: io.BufferedReader) -> IO[bytes]:
    start = file.peek(6)
    return next((opener(file) for magic, opener in _DECOMPRESSORS.items() if start.startswith(magic)), file)
