"""Archives are unpacked completely, or rejected with nothing left on disk."""

from __future__ import annotations

import errno
import gzip
import io
import os
import stat
import struct
import tarfile
import zipfile
from pathlib import Path
from unittest import mock

import pytest

from geographer.base.errors import CorruptError, GeographerError, StorageError, UsageError
from geographer.readers import unpack
from geographer.readers.unpack import unpack_product
from tests.sample_products import write_tar, write_zip


@pytest.fixture
def product_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "downloaded"
    folder.mkdir()
    return folder


def read_files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def unpack_and_catch_error(product_folder: Path, error: type[GeographerError] = CorruptError, **limits: int) -> str:
    """Return the error's message under these limits, after checking that the files are as before."""
    before = read_files(product_folder.parent)
    with mock.patch.dict(vars(unpack), limits), pytest.raises(error) as error_info:
        unpack_product(product_folder, product_folder.parent / "into")
    assert read_files(product_folder.parent) == before
    assert not (product_folder.parent / "into").exists()
    return str(error_info.value)


def test_zip_becomes_folder_of_its_name(product_folder: Path, tmp_path: Path) -> None:
    write_zip(product_folder / "scene.zip", {"a/b.txt": b"b", "c.txt": b"c"})
    (product_folder / "meta.xml").write_bytes(b"<x/>")

    unpack_product(product_folder, tmp_path / "into")

    assert read_files(tmp_path / "into") == {"scene.zip/a/b.txt": b"b", "scene.zip/c.txt": b"c", "meta.xml": b"<x/>"}


@pytest.mark.parametrize(("name", "mode"), [("s.tar", "w:"), ("s.tar.gz", "w:gz"), ("s.tgz", "w:gz"), ("s.tar.bz2", "w:bz2"), ("s.tar.xz", "w:xz")])  # fmt: skip
def test_compressed_tars_are_unpacked(product_folder: Path, tmp_path: Path, name: str, mode: str) -> None:
    content = os.urandom(5000)
    write_tar(product_folder / name, {"./folder/a.bin": content, "empty": b""}, mode)

    unpack_product(product_folder, tmp_path / "into")

    assert read_files(tmp_path / "into") == {f"{name}/folder/a.bin": content, f"{name}/empty": b""}


def test_archives_are_detected_by_content(product_folder: Path, tmp_path: Path) -> None:
    write_zip(product_folder / "$value", {"a": b"1"})
    write_tar(product_folder / "S2A_N02.04", {"b": b"2"}, "w:gz")
    (product_folder / "table.csv.gz").write_bytes(gzip.compress(b"x,y"))
    write_zip(product_folder / "place.kmz", {"doc.kml": b"<kml/>"})

    unpack_product(product_folder, tmp_path / "into")

    assert sorted(read_files(tmp_path / "into")) == ["$value/a", "S2A_N02.04/b", "place.kmz", "table.csv.gz"]


def test_other_files_are_linked(product_folder: Path, tmp_path: Path) -> None:
    (product_folder / "deep").mkdir()
    (product_folder / "deep" / "scene.tif").write_bytes(b"II*\0")

    unpack_product(product_folder, tmp_path / "into")

    assert (tmp_path / "into" / "deep" / "scene.tif").samefile(product_folder / "deep" / "scene.tif")


def test_files_are_copied_if_links_fail(product_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail_across_disks(*_: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    (product_folder / "scene.tif").write_bytes(b"II*\0")
    monkeypatch.setattr(os, "link", fail_across_disks)

    unpack_product(product_folder, tmp_path / "into")

    assert read_files(tmp_path / "into") == {"scene.tif": b"II*\0"}


def test_nested_archives_are_unpacked_one_level(product_folder: Path, tmp_path: Path) -> None:
    deepest = write_zip(tmp_path / "deepest.zip", {"x": b"x"}).read_bytes()
    inner = write_zip(tmp_path / "inner.zip", {"deepest.zip": deepest, "y": b"y"}).read_bytes()
    write_zip(product_folder / "outer.zip", {"inner.zip": inner})

    unpack_product(product_folder, tmp_path / "into")

    assert read_files(tmp_path / "into") == {
        "outer.zip/inner.zip/deepest.zip": deepest,
        "outer.zip/inner.zip/y": b"y",
    }


@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "/tmp/evil", "..\\evil", "C:\\evil", "a/..", "//evil"])
def test_zip_path_traversal_is_rejected(product_folder: Path, name: str) -> None:
    write_zip(product_folder / "bad.zip", {"good": b"1", name: b"2"})
    assert "a path outside the folder" in unpack_and_catch_error(product_folder)


@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "/tmp/evil"])
def test_tar_path_traversal_is_rejected(product_folder: Path, name: str) -> None:
    write_tar(product_folder / "bad.tar.gz", {"good": b"1", name: b"2"}, "w:gz")
    message = unpack_and_catch_error(product_folder)
    assert "a path outside the folder" in message
    assert name in message


def make_header(name: str, kind: bytes, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_tar_are_rejected(product_folder: Path, kind: bytes) -> None:
    write_tar(
        product_folder / "bad.tar",
        [(make_header("odd", kind, "/etc"), b""), (make_header("odd/passwd", tarfile.REGTYPE), b"x")],
    )
    assert "'odd' is a link, a device" in unpack_and_catch_error(product_folder)


def test_links_in_zip_are_rejected(product_folder: Path) -> None:
    link = zipfile.ZipInfo("link")
    link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(product_folder / "bad.zip", "w") as packed:
        packed.writestr(link, "/etc/passwd")
    assert "'link' is a link or a device" in unpack_and_catch_error(product_folder)


def test_link_among_files_is_rejected(product_folder: Path) -> None:
    (product_folder / "scene.tif").symlink_to("/etc/passwd")
    with pytest.raises(CorruptError, match="link or device"):
        unpack_product(product_folder, product_folder.parent / "into")


@pytest.mark.parametrize("names", [("a", "a"), ("A.txt", "a.TXT"), ("a", "a/b"), ("a/b", "a"), ("\u00e9", "e\u0301")])
def test_duplicate_names_are_rejected(product_folder: Path, names: tuple[str, str]) -> None:
    write_tar(product_folder / "bad.tar", [(tarfile.TarInfo(name), b"1") for name in names])
    unpack_and_catch_error(product_folder)


@pytest.mark.parametrize("name", ["a\nb", "a\x1b[2Jb", "x" * 300, "d/" * 600 + "x"])
def test_invalid_names_are_rejected(product_folder: Path, name: str) -> None:
    write_zip(product_folder / "bad.zip", {name: b"1"})
    message = unpack_and_catch_error(product_folder)
    assert "\n" not in message
    assert "\x1b" not in message


def test_bomb_is_rejected_by_ratio(product_folder: Path) -> None:
    write_zip(product_folder / "bomb.zip", {"zeros": bytes(3_000_000)})
    assert "bomb" in unpack_and_catch_error(product_folder, MIN_ALLOWANCE=100_000)


def test_small_files_of_high_ratio_are_unpacked(product_folder: Path, tmp_path: Path) -> None:
    write_zip(product_folder / "sea.zip", {"zeros": bytes(3_000_000)})
    unpack_product(product_folder, tmp_path / "into")
    assert len(read_files(tmp_path / "into")["sea.zip/zeros"]) == 3_000_000


@pytest.mark.parametrize("mode", ["w:gz", "w:bz2", "w:xz"])
def test_tar_bomb_is_rejected(product_folder: Path, mode: str) -> None:
    write_tar(product_folder / "bomb.tar", {"zeros": bytes(3_000_000)}, mode)
    assert "'zeros'" in unpack_and_catch_error(product_folder, MIN_ALLOWANCE=100_000)


def test_tar_with_endless_padding_is_rejected(product_folder: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as packed:
        packed.addfile(tarfile.TarInfo("a"))
    (product_folder / "bomb.tar.gz").write_bytes(gzip.compress(buffer.getvalue() + bytes(40_000_000)))
    assert "bomb" in unpack_and_catch_error(product_folder, MIN_ALLOWANCE=100_000, MAX_MEMBERS=10)


def test_limits_count_all_archives_together(product_folder: Path) -> None:
    for number in range(3):
        write_zip(product_folder / f"{number}.zip", {"zeros": bytes(400_000)})
    unpack_and_catch_error(product_folder, MIN_ALLOWANCE=1_000_000)


def test_nested_bomb_is_rejected(product_folder: Path, tmp_path: Path) -> None:
    inner = write_zip(tmp_path / "inner.zip", {"zeros": bytes(3_000_000)}).read_bytes()
    write_zip(product_folder / "outer.zip", {"inner.zip": inner})
    assert "bomb" in unpack_nested_and_catch_error(product_folder)


def unpack_nested_and_catch_error(product_folder: Path) -> str:
    with mock.patch.object(unpack, "MIN_ALLOWANCE", 100_000), pytest.raises(CorruptError) as error_info:
        unpack_product(product_folder, product_folder.parent / "into")
    assert not (product_folder.parent / "into").exists()
    return str(error_info.value)


def test_zip_with_false_sizes_is_rejected(product_folder: Path) -> None:
    path = write_zip(product_folder / "liar.zip", {"zeros": bytes(3_000_000)})
    content = path.read_bytes().replace(struct.pack("<I", 3_000_000), struct.pack("<I", 10))
    path.write_bytes(content)
    assert "damaged" in unpack_and_catch_error(product_folder)


def test_zip_with_overlapping_members_is_rejected(product_folder: Path) -> None:
    """The zip's directory lists the data of one member many times."""
    path = write_zip(product_folder / "overlap.zip", {"zeros": bytes(200_000)})
    with zipfile.ZipFile(path, "a") as packed:
        for number in range(20):
            copy = zipfile.ZipInfo(f"copy{number}")
            member = packed.getinfo("zeros")
            copy.header_offset, copy.CRC, copy.compress_size = member.header_offset, member.CRC, member.compress_size
            copy.file_size, copy.compress_type = member.file_size, member.compress_type
            packed.filelist.append(copy)
        setattr(packed, "_didModify", True)  # noqa: B010 (mypy does not know the attribute)
    unpack_and_catch_error(product_folder, MIN_ALLOWANCE=1_000_000)


def test_zip_with_too_many_members_is_rejected(product_folder: Path) -> None:
    write_zip(product_folder / "many.zip", {str(number): b"" for number in range(2000)})
    assert "1,999" in unpack_and_catch_error(product_folder, MAX_MEMBERS=1999)


def test_tar_with_too_many_members_is_rejected(product_folder: Path) -> None:
    write_tar(product_folder / "many.tar", {str(number): b"" for number in range(200)})
    assert "150" in unpack_and_catch_error(product_folder, MAX_MEMBERS=150)


def test_oversized_header_is_not_read(product_folder: Path) -> None:
    oversized = tarfile.TarInfo("x")
    oversized.type, oversized.size = tarfile.XHDTYPE, 6 << 30
    (product_folder / "bad.tar").write_bytes(oversized.tobuf() + bytes(1024))
    assert "too large a header" in unpack_and_catch_error(product_folder)


def test_sparse_file_is_rejected(product_folder: Path) -> None:
    sparse = tarfile.TarInfo("holes")
    sparse.type = tarfile.GNUTYPE_SPARSE
    raw = bytearray(sparse.tobuf(tarfile.GNU_FORMAT))
    raw[483:495] = b"00000001000\0"
    raw[148:156] = b"        "
    raw[148:156] = b"%06o\0 " % sum(raw)
    (product_folder / "bad.tar").write_bytes(bytes(raw) + bytes(1024))
    assert "a sparse file" in unpack_and_catch_error(product_folder)


def test_encrypted_zip_is_reported(product_folder: Path) -> None:
    path = write_zip(product_folder / "locked.zip", {"a": b"secret"})
    content = bytearray(path.read_bytes())
    content[6] |= 1
    content[content.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(content)
    assert "is encrypted (member 'a')" in unpack_and_catch_error(product_folder, UsageError)


def test_unsupported_compression_is_reported(product_folder: Path) -> None:
    path = write_zip(product_folder / "odd.zip", {"a": b"secret"})
    content = bytearray(path.read_bytes())
    content[8:10] = struct.pack("<H", 9)
    start = content.index(b"PK\1\2")
    content[start + 10 : start + 12] = struct.pack("<H", 9)
    path.write_bytes(content)
    assert "unsupported compression" in unpack_and_catch_error(product_folder, UsageError)


@pytest.mark.parametrize("name", ["s.zip", "s.tar", "s.tar.gz", "s.tar.bz2", "s.tar.xz"])
@pytest.mark.parametrize("fraction", [0.0, 0.3, 0.6, 0.95])
def test_truncated_archive_is_damaged(product_folder: Path, name: str, fraction: float) -> None:
    members = {f"{number}.bin": os.urandom(3000) for number in range(5)}
    if name == "s.zip":
        path = write_zip(product_folder / name, members)
    else:
        path = write_tar(product_folder / name, members, f"w:{name.split('.')[2] if name.count('.') == 2 else ''}")
    content = path.read_bytes()
    # The last blocks of a plain tar are padding.
    complete_size = len(content) if name != "s.tar" else 5 * (512 + 3072) + 512
    path.write_bytes(content[: int(complete_size * fraction)])
    assert "damaged" in unpack_and_catch_error(product_folder)


@pytest.mark.parametrize("name", ["s.zip", "s.tar.gz", "s.tar.bz2", "s.tar.xz"])
def test_flipped_bit_is_damage(product_folder: Path, name: str) -> None:
    members = {"a.bin": os.urandom(3000)}
    path = (
        write_zip(product_folder / name, members)
        if name == "s.zip"
        else write_tar(product_folder / name, members, f"w:{name[6:]}")
    )
    content = bytearray(path.read_bytes())
    content[1500] ^= 4
    path.write_bytes(content)
    assert "damaged" in unpack_and_catch_error(product_folder)


def test_damaged_tar_header_is_reported(product_folder: Path) -> None:
    path = write_tar(product_folder / "s.tar", {"a": b"1" * 512, "b": b"2" * 512, "c": b"3"})
    content = bytearray(path.read_bytes())
    content[1024 + 3] ^= 1
    path.write_bytes(content)
    assert "damaged" in unpack_and_catch_error(product_folder)


def test_other_file_named_zip_is_damaged(product_folder: Path) -> None:
    (product_folder / "scene.zip").write_bytes(b"<html>Sign in</html>")
    assert "damaged" in unpack_and_catch_error(product_folder)


def test_full_disk_is_reported_without_leftovers(product_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def raise_disk_full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    write_zip(product_folder / "a.zip", {"a": b"1"})
    monkeypatch.setattr(unpack._MemberExtractor, "check_size", raise_disk_full)
    assert "full" in unpack_and_catch_error(product_folder, StorageError)


def test_folder_with_files_is_kept(product_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "into").mkdir()
    (tmp_path / "into" / "other").write_bytes(b"1")
    with pytest.raises(UsageError, match="not empty"):
        unpack_product(product_folder, tmp_path / "into")
    assert read_files(tmp_path / "into") == {"other": b"1"}
