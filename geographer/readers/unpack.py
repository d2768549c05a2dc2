"""Unpacks what arrived: no member's path leaves the folder, and nothing grows past what is allowed."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import re
import secrets
import shutil
import stat
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final

from geographer.base.atomic_files import translate_os_errors
from geographer.base.errors import CorruptError, UsageError

MOST_BYTES: Final = 64 << 30
"""What a product may unpack to. The largest that archives hand over, radar scenes, have 10 GB."""
MOST_TIMES: Final = 100
"""How many times its archives' size a product may unpack to. Imagery packs 2 to 10 times; masks and seas more."""
ALWAYS_BYTES: Final = 1 << 30
"""What any product may unpack to: a tile of sea or of one class packs a thousand times, and does no harm."""
MOST_MEMBERS: Final = 100_000
"""How many files and folders a product may have. Old Sentinel-2 products of many tiles have a few thousand."""
MOST_NESTED: Final = 1
"""How deep archives in archives are unpacked: some providers wrap their zip in another. Deeper ones are left."""

_LONGEST_PART = 255
_LONGEST_PATH = 1024
_LARGEST_HEADER = 1 << 20
_HEADERS_A_MEMBER = 1 << 12
_BLOCK: Final = 1 << 20
_ZIP_SIGNATURES = (b"PK\3\4", b"PK\5\6", b"PK\7\10")
_NO_ARCHIVES = {".kmz", ".npz", ".qgz", ".xlsx", ".docx", ".pptx", ".odt", ".ods", ".odp", ".epub", ".jar", ".whl"}
"""Formats that are a zip inside, and are used as they are."""
_TAR_NAME: Final = re.compile(r"\.(tar|tgz|tbz|tbz2|txz|tar\.(gz|bz2|xz))$", re.IGNORECASE)
_OPENERS: dict[bytes, Callable[[IO[bytes]], Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}
_DAMAGE = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError)


@dataclass(slots=True)
class Limits:
    """What unpacking may make of a product, all its archives together."""

    most_bytes: int = MOST_BYTES
    most_times: int = MOST_TIMES
    always_bytes: int = ALWAYS_BYTES
    most_members: int = MOST_MEMBERS
    most_nested: int = MOST_NESTED


def unpack(folder: Path, into: Path, limits: Limits | None = None) -> None:
    """Make `into` hold the files of `folder`: archives unpacked, all others linked, or copied where that can't be.

    A file keeps its path. An archive (zip, or tar, plain or compressed by gzip, bzip2 or xz; by its content, unless its
    name says that it is one) becomes a folder of its own name, so that no two of them get in each other's way:
    `x/scene.zip` is `x/scene.zip/…`. Archives in archives are unpacked one level deep. Only files and folders come out:
    owners, modes and times don't.

    Args:
        folder: What arrived; it is not changed.
        into: A folder that is not there, or empty. After an error it is not there.
        limits: Other than the module's own.

    Raises:
        CorruptError: an archive is damaged, or has a member that is refused: its path leads out of the folder, it is a
            link, a device or a sparse file, its name comes twice (also in upper and lower case), or it goes past the
            limits. It names the archive and the member.
        UsageError: an archive is encrypted, or packed in a way that isn't understood here.
        StorageError: the disk is full or can't be written.
    """
    with translate_os_errors(into):
        into.mkdir(parents=True, exist_ok=True)
        if any(into.iterdir()):
            raise UsageError(f"folder '{into}' is not empty: unpack into one that is")
        try:
            _Unpacking(folder, into, limits or Limits()).run()
        except BaseException:
            shutil.rmtree(into, ignore_errors=True)
            raise


def link_or_copy(source: Path, destination: Path) -> None:
    """Make `destination` the same file as `source`, or a copy on file systems and disks where it can't be.

    Raises:
        OSError: as the file system has it.
    """
    try:
        os.link(source, destination)
    except OSError:
        shutil.copyfile(source, destination)


@dataclass(slots=True)
class _Unpacking:
    """One product's; what was written so far counts over all its archives."""

    folder: Path
    into: Path
    limits: Limits
    bytes_left: int = 0
    members_left: int = 0

    def run(self) -> None:
        files = sorted(path for path in self.folder.rglob("*") if not path.is_dir() or path.is_symlink())
        for path in files:
            if path.is_symlink() or not path.is_file():
                raise CorruptError(f"'{path}' arrived as no plain file but a link or device: fetch the product again")
        archives = {path for path in files if _is_archive(path)}
        packed = sum(path.stat().st_size for path in archives)
        self.bytes_left = min(self.limits.most_bytes, max(self.limits.always_bytes, self.limits.most_times * packed))
        self.members_left = self.limits.most_members
        for path in files:
            target = self.into / path.relative_to(self.folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            if path in archives:
                self._archive(path, target, self.limits.most_nested, path)
            else:
                link_or_copy(path, target)

    def _archive(self, path: Path, target: Path, nested: int, called: Path) -> None:
        target.mkdir()
        with path.open("rb") as file, _damage_of(called):
            (_Zip if _is_zip(file) or _ends_as_zip(file, called) else _Tar)(called, target, self).run(file)
        if nested:
            self._nested(target, nested - 1)

    def _nested(self, folder: Path, nested: int) -> None:
        for path in sorted(found for found in folder.rglob("*") if found.is_file()):
            if _is_archive(path):
                packed = path.rename(path.with_name(f".geographer-{secrets.token_hex(8)}"))
                self._archive(packed, path, nested, path)
                packed.unlink()

    def member(self, archive: Path, name: str) -> None:
        self.members_left -= 1
        if self.members_left < 0:
            raise _refused(archive, name, f"is one more than the {self.limits.most_members:,} files that are allowed")

    def room(self, archive: Path, name: str, size: int) -> None:
        """Take `size` bytes of what is allowed."""
        self.declared(archive, name, size)
        self.bytes_left -= size

    def declared(self, archive: Path, name: str, size: int) -> None:
        if size > self.bytes_left:
            raise _refused(archive, name, "makes it unpack to far more than it should: it may be a bomb")


@dataclass(slots=True)
class _Members:
    """The members of one archive, and where they go."""

    archive: Path
    target: Path
    unpacking: _Unpacking
    taken: dict[str, bool] = field(default_factory=dict)
    """Whether a path, as a file system that ignores case has it, is a folder's."""

    def place(self, name: str, *, folder: bool) -> Path:
        """Where a member goes, once it is known to be inside, and to come once."""
        self.unpacking.member(self.archive, name)
        parts = self._parts(name)
        keys = [unicodedata.normalize("NFC", "/".join(parts[:end])).casefold() for end in range(1, len(parts) + 1)]
        if not keys:
            if not folder:
                raise self.refused(name, "has no name")
            return self.target
        if not all(self.taken.setdefault(key, True) for key in keys[:-1]):
            raise self.refused(name, "lies in what is a file")
        if keys[-1] in self.taken and not (folder and self.taken[keys[-1]]):
            raise self.refused(name, "comes twice, or differs from another only in case")
        self.taken[keys[-1]] = folder
        return self.target.joinpath(*parts)

    def _parts(self, name: str) -> list[str]:
        """The parts of a member's path; some zips made on Windows part them by backslashes."""
        path = name.replace("\\", "/")
        parts = [part for part in PurePosixPath(path).parts if part != "."]
        if path.startswith("/") or re.match(r"[A-Za-z]:", path) or ".." in parts:
            raise self.refused(name, "leads out of its folder")
        if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in path):
            raise self.refused(name, "has a name with letters that names don't have")
        if len(path.encode()) > _LONGEST_PATH or any(len(part.encode()) > _LONGEST_PART for part in parts):
            raise self.refused(name[:60] + "…", "has too long a name")
        return parts

    def write(self, name: str, source: IO[bytes], place: Path) -> None:
        """Write what `source` really holds, whatever its size was declared to be."""
        place.parent.mkdir(parents=True, exist_ok=True)
        with place.open("xb") as file:
            while block := source.read(_BLOCK):
                self.unpacking.room(self.archive, name, len(block))
                file.write(block)

    def refused(self, name: str, why: str) -> CorruptError:
        return _refused(self.archive, name, why)


class _Zip(_Members):
    """All of a zip's members are looked at before the first is written."""

    def run(self, file: IO[bytes]) -> None:
        with zipfile.ZipFile(file) as packed:
            places = [(info, self.place(info.filename, folder=info.is_dir())) for info in packed.infolist()]
            for info, _ in places:
                self._check(info)
            if places:
                largest = max(places, key=lambda one: one[0].file_size)[0].filename
                self.unpacking.declared(self.archive, largest, sum(info.file_size for info, _ in places))
            for info, place in places:
                if info.is_dir():
                    place.mkdir(parents=True, exist_ok=True)
                else:
                    self._write(packed, info, place)

    def _check(self, info: zipfile.ZipInfo) -> None:
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise self.refused(info.filename, "is a link or a device")
        if info.flag_bits & 0x1:
            message = f"archive '{self.archive}' is encrypted (its member {info.filename!r} is)"
            raise UsageError(f"{message}: unpack it by hand, and add what is in it")

    def _write(self, packed: zipfile.ZipFile, info: zipfile.ZipInfo, place: Path) -> None:
        try:
            source = packed.open(info)
        except (NotImplementedError, RuntimeError) as error:
            message = (
                f"member {info.filename!r} of archive '{self.archive}' is packed in a way that isn't understood here"
            )
            raise UsageError(f"{message} ({error}): unpack it by hand, and add what is in it") from error
        with source:
            self.write(info.filename, source, place)


class _Tar(_Members):
    """A tar's members are looked at as they come: it has no list of them."""

    def run(self, file: IO[bytes]) -> None:
        stream = _Bounded(_decompressed(file), self)
        with tarfile.TarFile(fileobj=stream, mode="r", tarinfo=_Header) as packed:
            for member in packed:
                self._check(member)
                place = self.place(member.name, folder=member.isdir())
                source = None if member.isdir() else packed.extractfile(member)
                if source is None:
                    place.mkdir(parents=True, exist_ok=True)
                else:
                    self.write(member.name, source, place)
        stream.drain()

    def _check(self, member: tarfile.TarInfo) -> None:
        if member.issparse() or not (member.isreg() or member.isdir()):
            raise self.refused(member.name, "is a link, a device or a sparse file")
        self.unpacking.declared(self.archive, member.name, member.size)


class _Header(tarfile.TarInfo):
    """A header that tells damage; `tarfile` alone takes it for the end, and what comes after is lost without a word."""

    @classmethod
    def fromtarfile(cls, packed: tarfile.TarFile) -> _Header:
        try:
            return super().fromtarfile(packed)
        except tarfile.HeaderError as error:
            if type(error).__name__ == "EOFHeaderError":
                raise
            raise tarfile.ReadError(f"{error}, at byte {packed.offset:,}") from error


class _Bounded(io.RawIOBase):
    """The bytes of a tar, decompressed: no more of them than is allowed, and never many at once.

    `tarfile` reads headers whole, and a header can say that it has gigabytes.
    """

    def __init__(self, stream: IO[bytes], members: _Members) -> None:
        self._stream, self._members = stream, members
        allowed = members.unpacking
        self._most = allowed.bytes_left + _HEADERS_A_MEMBER * allowed.members_left + _LARGEST_HEADER

    def read(self, size: int = -1, /) -> bytes:
        if size < 0 or size > _LARGEST_HEADER:
            raise self._members.refused("a header", "says that it is larger than headers are")
        if self._stream.tell() > self._most:
            raise self._members.refused("its end", "is nowhere near: it may be a bomb")
        return self._stream.read(size)

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def drain(self) -> None:
        """Read on to the end, where gzip, bzip2 and xz have their checksums."""
        while self.read(_LARGEST_HEADER):
            pass


@contextmanager
def _damage_of(archive: Path) -> Iterator[None]:
    try:
        yield
    except _DAMAGE as error:
        raise CorruptError(f"archive '{archive}' is damaged: fetch it again ({error})") from error
    except OSError as error:
        # bzip2 and gzip report damage as an OSError, which has no number then.
        if error.errno is not None:
            raise
        raise CorruptError(f"archive '{archive}' is damaged: fetch it again ({error})") from error


def _refused(archive: Path, name: str, why: str) -> CorruptError:
    return CorruptError(f"archive '{archive}' is not unpacked: its member {name!r} {why}; get it from elsewhere")


def _is_archive(path: Path) -> bool:
    """Whether it is to be unpacked, by its name or else by how it begins."""
    if path.suffix.lower() == ".zip" or _TAR_NAME.search(path.name):
        return True
    if path.suffix.lower() in _NO_ARCHIVES:
        return False
    with path.open("rb") as file:
        return _is_zip(file) or _is_tar(file)


def _is_zip(file: IO[bytes]) -> bool:
    file.seek(0)
    start = file.read(4)
    file.seek(0)
    return start in _ZIP_SIGNATURES


def _ends_as_zip(file: IO[bytes], called: Path) -> bool:
    """Whether a file that is called a zip is one that has something before it."""
    ends = called.suffix.lower() == ".zip" and zipfile.is_zipfile(file)
    file.seek(0)
    return ends


def _is_tar(file: IO[bytes]) -> bool:
    """Whether it begins with the header of a tar, once decompressed; without its name, that needs the mark `ustar`."""
    try:
        return _decompressed(file).read(512)[257:262] == b"ustar"
    except (OSError, *_DAMAGE):
        return False


def _decompressed(file: IO[bytes]) -> IO[bytes]:
    file.seek(0)
    start = file.read(6)
    file.seek(0)
    for signature, opened in _OPENERS.items():
        if start.startswith(signature):
            stream: IO[bytes] = opened(file)
            return stream
    return file
