"""Archives are unpacked whole, or refused with nothing written anywhere else."""

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

import pytest

from geographer.base.errors import CorruptError, GeographerError, StorageError, UsageError
from geographer.readers.unpack import Limits, unpack
from tests.sample_products import tar_of, zip_of


@pytest.fixture
def arrived(tmp_path: Path) -> Path:
    folder = tmp_path / "arrived"
    folder.mkdir()
    return folder


def files_in(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refused(arrived: Path, error: type[GeographerError] = CorruptError, limits: Limits | None = None) -> str:
    """What is said; nothing but what arrived is there afterwards."""
    before = files_in(arrived.parent)
    with pytest.raises(error) as raised:
        unpack(arrived, arrived.parent / "into", limits)
    assert files_in(arrived.parent) == before
    assert not (arrived.parent / "into").exists()
    return str(raised.value)


def test_a_zip_becomes_a_folder_of_its_own_name(arrived: Path, tmp_path: Path) -> None:
    zip_of(arrived / "scene.zip", {"a/b.txt": b"b", "c.txt": b"c"})
    (arrived / "meta.xml").write_bytes(b"<x/>")

    unpack(arrived, tmp_path / "into")

    assert files_in(tmp_path / "into") == {"scene.zip/a/b.txt": b"b", "scene.zip/c.txt": b"c", "meta.xml": b"<x/>"}


@pytest.mark.parametrize(("name", "mode"), [("s.tar", "w:"), ("s.tar.gz", "w:gz"), ("s.tgz", "w:gz"), ("s.tar.bz2", "w:bz2"), ("s.tar.xz", "w:xz")])  # fmt: skip
def test_tars_are_unpacked_however_they_are_compressed(arrived: Path, tmp_path: Path, name: str, mode: str) -> None:
    content = os.urandom(5000)
    tar_of(arrived / name, {"./folder/a.bin": content, "empty": b""}, mode)

    unpack(arrived, tmp_path / "into")

    assert files_in(tmp_path / "into") == {f"{name}/folder/a.bin": content, f"{name}/empty": b""}


def test_archives_are_known_by_their_content_where_the_name_says_nothing(arrived: Path, tmp_path: Path) -> None:
    zip_of(arrived / "$value", {"a": b"1"})
    tar_of(arrived / "S2A_N02.04", {"b": b"2"}, "w:gz")
    (arrived / "table.csv.gz").write_bytes(gzip.compress(b"x,y"))
    zip_of(arrived / "place.kmz", {"doc.kml": b"<kml/>"})

    unpack(arrived, tmp_path / "into")

    found = files_in(tmp_path / "into")
    assert sorted(found) == ["$value/a", "S2A_N02.04/b", "place.kmz", "table.csv.gz"]


def test_what_is_no_archive_is_linked(arrived: Path, tmp_path: Path) -> None:
    (arrived / "deep").mkdir()
    (arrived / "deep" / "scene.tif").write_bytes(b"II*\0")

    unpack(arrived, tmp_path / "into")

    assert (tmp_path / "into" / "deep" / "scene.tif").samefile(arrived / "deep" / "scene.tif")


def test_it_is_copied_where_it_cannot_be_linked(arrived: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def other_disk(*_: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    (arrived / "scene.tif").write_bytes(b"II*\0")
    monkeypatch.setattr(os, "link", other_disk)

    unpack(arrived, tmp_path / "into")

    assert files_in(tmp_path / "into") == {"scene.tif": b"II*\0"}


def test_archives_in_archives_are_unpacked_one_level_deep(arrived: Path, tmp_path: Path) -> None:
    deepest = zip_of(tmp_path / "deepest.zip", {"x": b"x"}).read_bytes()
    inner = zip_of(tmp_path / "inner.zip", {"deepest.zip": deepest, "y": b"y"}).read_bytes()
    zip_of(arrived / "outer.zip", {"inner.zip": inner})

    unpack(arrived, tmp_path / "into")

    assert files_in(tmp_path / "into") == {
        "outer.zip/inner.zip/deepest.zip": deepest,
        "outer.zip/inner.zip/y": b"y",
    }


@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "/tmp/evil", "..\\evil", "C:\\evil", "a/..", "//evil"])
def test_no_path_of_a_zip_leads_out(arrived: Path, name: str) -> None:
    zip_of(arrived / "bad.zip", {"good": b"1", name: b"2"})
    assert "leads out" in refused(arrived)


@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "/tmp/evil"])
def test_no_path_of_a_tar_leads_out(arrived: Path, name: str) -> None:
    tar_of(arrived / "bad.tar.gz", {"good": b"1", name: b"2"}, "w:gz")
    said = refused(arrived)
    assert "leads out" in said
    assert name in said


def header(name: str, kind: bytes, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_a_tar_are_refused(arrived: Path, kind: bytes) -> None:
    tar_of(arrived / "bad.tar", [(header("odd", kind, "/etc"), b""), (header("odd/passwd", tarfile.REGTYPE), b"x")])
    assert "'odd' is a link, a device" in refused(arrived)


def test_links_in_a_zip_are_refused(arrived: Path) -> None:
    link = zipfile.ZipInfo("link")
    link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(arrived / "bad.zip", "w") as packed:
        packed.writestr(link, "/etc/passwd")
    assert "'link' is a link or a device" in refused(arrived)


def test_a_link_among_the_files_is_refused(arrived: Path) -> None:
    (arrived / "scene.tif").symlink_to("/etc/passwd")
    with pytest.raises(CorruptError, match="link or device"):
        unpack(arrived, arrived.parent / "into")


@pytest.mark.parametrize("names", [("a", "a"), ("A.txt", "a.TXT"), ("a", "a/b"), ("a/b", "a"), ("\u00e9", "e\u0301")])
def test_names_that_come_twice_are_refused(arrived: Path, names: tuple[str, str]) -> None:
    tar_of(arrived / "bad.tar", [(tarfile.TarInfo(name), b"1") for name in names])
    refused(arrived)


@pytest.mark.parametrize("name", ["a\nb", "a\x1b[2Jb", "x" * 300, "d/" * 600 + "x"])
def test_names_that_are_no_names_are_refused(arrived: Path, name: str) -> None:
    zip_of(arrived / "bad.zip", {name: b"1"})
    said = refused(arrived)
    assert "\n" not in said
    assert "\x1b" not in said


def test_a_bomb_by_ratio_is_refused(arrived: Path) -> None:
    zip_of(arrived / "bomb.zip", {"zeros": bytes(3_000_000)})
    assert "bomb" in refused(arrived, limits=Limits(always_bytes=100_000))


def test_what_packs_well_is_let_through_while_it_is_small(arrived: Path, tmp_path: Path) -> None:
    zip_of(arrived / "sea.zip", {"zeros": bytes(3_000_000)})
    unpack(arrived, tmp_path / "into")
    assert len(files_in(tmp_path / "into")["sea.zip/zeros"]) == 3_000_000


@pytest.mark.parametrize("mode", ["w:gz", "w:bz2", "w:xz"])
def test_a_bomb_of_a_tar_is_refused(arrived: Path, mode: str) -> None:
    tar_of(arrived / "bomb.tar", {"zeros": bytes(3_000_000)}, mode)
    assert "'zeros'" in refused(arrived, limits=Limits(always_bytes=100_000))


def test_a_tar_that_goes_on_after_its_end_is_refused(arrived: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as packed:
        packed.addfile(tarfile.TarInfo("a"))
    (arrived / "bomb.tar.gz").write_bytes(gzip.compress(buffer.getvalue() + bytes(40_000_000)))
    assert "bomb" in refused(arrived, limits=Limits(always_bytes=100_000, most_members=10))


def test_bombs_count_together(arrived: Path) -> None:
    for number in range(3):
        zip_of(arrived / f"{number}.zip", {"zeros": bytes(400_000)})
    refused(arrived, limits=Limits(always_bytes=1_000_000))


def test_a_nested_bomb_is_refused(arrived: Path, tmp_path: Path) -> None:
    inner = zip_of(tmp_path / "inner.zip", {"zeros": bytes(3_000_000)}).read_bytes()
    zip_of(arrived / "outer.zip", {"inner.zip": inner})
    assert "bomb" in refused_nested(arrived)


def refused_nested(arrived: Path) -> str:
    with pytest.raises(CorruptError) as raised:
        unpack(arrived, arrived.parent / "into", Limits(always_bytes=100_000))
    assert not (arrived.parent / "into").exists()
    return str(raised.value)


def test_a_zip_that_lies_about_its_sizes_is_refused(arrived: Path) -> None:
    path = zip_of(arrived / "liar.zip", {"zeros": bytes(3_000_000)})
    content = path.read_bytes().replace(struct.pack("<I", 3_000_000), struct.pack("<I", 10))
    path.write_bytes(content)
    assert "damaged" in refused(arrived)


def test_a_zip_whose_members_share_their_bytes_does_not_get_past_the_limit(arrived: Path) -> None:
    """The directory lists one member's data many times."""
    path = zip_of(arrived / "overlap.zip", {"zeros": bytes(200_000)})
    with zipfile.ZipFile(path, "a") as packed:
        for number in range(20):
            again = zipfile.ZipInfo(f"copy{number}")
            one = packed.getinfo("zeros")
            again.header_offset, again.CRC, again.compress_size = one.header_offset, one.CRC, one.compress_size
            again.file_size, again.compress_type = one.file_size, one.compress_type
            packed.filelist.append(again)
        packed._didModify = True
    refused(arrived, limits=Limits(always_bytes=1_000_000))


def test_thousands_of_members_are_refused(arrived: Path) -> None:
    zip_of(arrived / "many.zip", {str(number): b"" for number in range(2000)})
    assert "1,999" in refused(arrived, limits=Limits(most_members=1999))


def test_a_tar_of_thousands_of_members_is_refused(arrived: Path) -> None:
    tar_of(arrived / "many.tar", {str(number): b"" for number in range(200)})
    assert "150" in refused(arrived, limits=Limits(most_members=150))


def test_a_header_that_says_it_has_gigabytes_is_not_read(arrived: Path) -> None:
    long = tarfile.TarInfo("x")
    long.type, long.size = tarfile.XHDTYPE, 6 << 30
    (arrived / "bad.tar").write_bytes(long.tobuf() + bytes(1024))
    assert "larger than headers are" in refused(arrived)


def test_a_sparse_file_is_refused(arrived: Path) -> None:
    sparse = tarfile.TarInfo("holes")
    sparse.type = tarfile.GNUTYPE_SPARSE
    raw = bytearray(sparse.tobuf(tarfile.GNU_FORMAT))
    raw[483:495] = b"00000001000\0"
    raw[148:156] = b"        "
    raw[148:156] = b"%06o\0 " % sum(raw)
    (arrived / "bad.tar").write_bytes(bytes(raw) + bytes(1024))
    assert "a sparse file" in refused(arrived)


def test_an_encrypted_zip_is_told_as_that(arrived: Path) -> None:
    path = zip_of(arrived / "locked.zip", {"a": b"secret"})
    content = bytearray(path.read_bytes())
    content[6] |= 1
    content[content.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(content)
    assert "is encrypted (its member" in refused(arrived, UsageError)


def test_a_method_that_is_not_understood_is_told_as_that(arrived: Path) -> None:
    path = zip_of(arrived / "odd.zip", {"a": b"secret"})
    content = bytearray(path.read_bytes())
    content[8:10] = struct.pack("<H", 9)
    at = content.index(b"PK\1\2")
    content[at + 10 : at + 12] = struct.pack("<H", 9)
    path.write_bytes(content)
    assert "isn't understood" in refused(arrived, UsageError)


@pytest.mark.parametrize("name", ["s.zip", "s.tar", "s.tar.gz", "s.tar.bz2", "s.tar.xz"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.95])
def test_an_archive_that_is_cut_off_is_damaged(arrived: Path, name: str, share: float) -> None:
    members = {f"{number}.bin": os.urandom(3000) for number in range(5)}
    if name == "s.zip":
        path = zip_of(arrived / name, members)
    else:
        path = tar_of(arrived / name, members, f"w:{name.split('.')[2] if name.count('.') == 2 else ''}")
    content = path.read_bytes()
    # The last blocks of a plain tar are filling.
    whole = len(content) if name != "s.tar" else 5 * (512 + 3072) + 512
    path.write_bytes(content[: int(whole * share)])
    assert "damaged" in refused(arrived)


@pytest.mark.parametrize("name", ["s.zip", "s.tar.gz", "s.tar.bz2", "s.tar.xz"])
def test_a_flipped_bit_is_damage(arrived: Path, name: str) -> None:
    members = {"a.bin": os.urandom(3000)}
    path = zip_of(arrived / name, members) if name == "s.zip" else tar_of(arrived / name, members, f"w:{name[6:]}")
    content = bytearray(path.read_bytes())
    content[1500] ^= 4
    path.write_bytes(content)
    assert "damaged" in refused(arrived)


def test_a_damaged_header_is_not_taken_for_the_end_of_a_tar(arrived: Path) -> None:
    path = tar_of(arrived / "s.tar", {"a": b"1" * 512, "b": b"2" * 512, "c": b"3"})
    content = bytearray(path.read_bytes())
    content[1024 + 3] ^= 1
    path.write_bytes(content)
    assert "damaged" in refused(arrived)


def test_a_file_that_only_calls_itself_an_archive_is_damaged(arrived: Path) -> None:
    (arrived / "scene.zip").write_bytes(b"<html>Sign in</html>")
    assert "damaged" in refused(arrived)


def test_a_full_disk_is_told_and_leaves_nothing(arrived: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import geographer.readers.unpack as module

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    zip_of(arrived / "a.zip", {"a": b"1"})
    monkeypatch.setattr(module._Unpacking, "room", full)
    assert "full" in refused(arrived, StorageError)


def test_a_folder_with_something_in_it_is_left_alone(arrived: Path, tmp_path: Path) -> None:
    (tmp_path / "into").mkdir()
    (tmp_path / "into" / "mine").write_bytes(b"1")
    with pytest.raises(UsageError, match="not empty"):
        unpack(arrived, tmp_path / "into")
    assert files_in(tmp_path / "into") == {"mine": b"1"}
