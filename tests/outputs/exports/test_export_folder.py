"""The folder of an export: it goes on after an interruption, replaces an earlier export, and refuses other content."""

from __future__ import annotations

import hashlib
import json
import subprocess

import pytest

from geographer.base.errors import ConflictError, CorruptError, UsageError
from geographer.outputs.exports.folder import JOURNAL, ExportFolder
from geographer.storage.workspace.chip_files import ChipFile
from tests.sample_history import read_contents


def fail(_file):
    raise RuntimeError("killed")


@pytest.fixture
def dataset_folder(tmp_path):
    (tmp_path / "dataset").mkdir()
    return tmp_path / "dataset"


def fill_folder(dataset_folder, target, identity, names):
    with ExportFolder(dataset_folder, target, identity) as folder:
        for name in names:
            folder.write_bytes(name, name.encode() * 100)
        folder.finish_export()
    return folder


def test_interrupted_export_goes_on(dataset_folder, tmp_path):
    target = tmp_path / "export"
    folder = ExportFolder(dataset_folder, target, {"format": "a"})
    folder.write_bytes("images/1", b"one")
    folder.write_bytes("images/2", b"two")
    with pytest.raises(RuntimeError):
        folder.write_file("images/3", fail)
    folder.close()
    assert {*read_contents(target)} == {JOURNAL, "images/1", "images/2"}
    (target / "images/2").write_bytes(b"altered")
    again = ExportFolder(dataset_folder, target, {"format": "a"})
    again.write_file("images/1", fail)
    again.write_bytes("images/2", b"two")
    again.write_bytes("images/3", b"three")
    again.finish_export()
    assert (again.written, again.unchanged) == (2, 1)
    assert {*read_contents(target)} == {"MANIFEST", "images/1", "images/2", "images/3"}
    assert (target / "images/2").read_bytes() == b"two"
    subprocess.run(["sha256sum", "--check", "--quiet", "--strict", "MANIFEST"], cwd=target, check=True)


def test_other_export_replaces_an_interrupted_one(dataset_folder, tmp_path):
    target = tmp_path / "export"
    folder = ExportFolder(dataset_folder, target, {"format": "a"})
    folder.write_bytes("images/1", b"one")
    folder.write_bytes("old/2", b"two")
    folder.close()
    other = ExportFolder(dataset_folder, target, {"format": "b"})
    other.write_bytes("images/1", b"uno")
    other.finish_export()
    assert {name: content for name, content in read_contents(target).items() if name != "MANIFEST"} == {
        "images/1": b"uno"
    }
    assert not (target / "old").exists()


def test_finished_export_is_kept_only_by_the_same_export(dataset_folder, tmp_path):
    target, identity = tmp_path / "export", {"digest": "d1", "software": {"geographer": "1"}, "format": "a"}

    def export(identity, write):
        facts = {key: identity[key] for key in ("digest", "software")} | {"export": {"format": identity["format"]}}
        with ExportFolder(dataset_folder, target, identity) as folder:
            folder.write_file("images/1", write)
            folder.write_bytes("images/2", b"two")
            folder.write_bytes("revision.json", json.dumps({"position": 3, **facts}).encode())
            folder.finish_export()
        return folder.written, folder.unchanged

    assert export(identity, lambda file: file.write(b"one")) == (3, 0)
    assert export(identity, fail) == (0, 3)
    (target / "images/2").write_bytes(b"altered")
    assert export(identity, fail) == (1, 2)
    for changes in ({"digest": "d2"}, {"software": {"geographer": "2"}}, {"format": "b"}):
        with pytest.raises(RuntimeError):
            export(identity | changes, fail)
    # An unfinished run of another export does not make the files of the finished one this one's.
    (target / "images/1").write_bytes(b"altered")
    with pytest.raises(RuntimeError):
        export(identity, fail)
    assert export(identity, lambda file: file.write(b"one"))[0] >= 1
    for text in ("{}", "[]", '{"digest": 1, "software": 2, "export": []}', "broken"):
        digest = hashlib.sha256(text.encode()).hexdigest()
        lines = [line for line in (target / "MANIFEST").read_text().splitlines() if "revision.json" not in line]
        (target / "MANIFEST").write_text("\n".join([*lines, f"{digest}  revision.json", ""]))
        (target / "revision.json").write_text(text)
        with pytest.raises(RuntimeError):
            export(identity, fail)


def test_journal_that_a_crash_cut_off_is_read(dataset_folder, tmp_path):
    target = tmp_path / "export"
    folder = ExportFolder(dataset_folder, target, {"format": "a"})
    folder.write_bytes("1", b"one")
    folder.close()
    with (target / JOURNAL).open("ab") as journal:
        journal.write(b'["2", "abc\n\xff\xfe{broken')
    again = ExportFolder(dataset_folder, target, {"format": "a"})
    again.write_file("1", fail)
    again.finish_export()
    assert again.unchanged == 1


@pytest.mark.parametrize("name", ["notes.txt", "MANIFEST"])
def test_folder_with_other_content_is_refused(dataset_folder, tmp_path, name):
    target = tmp_path / "export"
    target.mkdir()
    (target / name).write_text("mine")
    with pytest.raises(ConflictError, match="not an earlier export"):
        ExportFolder(dataset_folder, target, {})
    assert read_contents(target) == {name: b"mine"}


def test_own_folders_of_the_dataset_are_refused(dataset_folder):
    with pytest.raises(UsageError, match="the dataset is there"):
        ExportFolder(dataset_folder, dataset_folder / "rasters/x", {})


@pytest.mark.parametrize("path", ["../out", "a/../../out", "/out", "a//b", "", "a/\0"])
def test_paths_stay_in_the_folder(dataset_folder, tmp_path, path):
    folder = ExportFolder(dataset_folder, tmp_path / "export", {})
    with pytest.raises(ConflictError):
        folder.write_bytes(path, b"")
    folder.close()


def test_foreign_manifest_deletes_nothing_outside(dataset_folder, tmp_path):
    """A manifest that names files outside of the folder is not an earlier export's."""
    target, outside = tmp_path / "export", tmp_path / "precious"
    fill_folder(dataset_folder, target, {}, ["a"])
    outside.write_text("mine")
    with (target / "MANIFEST").open("a") as manifest:
        manifest.write(f"{'0' * 64}  ../precious\n")
    with pytest.raises(ConflictError):
        fill_folder(dataset_folder, target, {"other": 1}, ["b"])
    header = json.dumps({})
    (target / JOURNAL).write_text(f'{header}\n["../precious", "{"0" * 64}"]\n')
    fill_folder(dataset_folder, target, {"other": 1}, ["b"])
    assert outside.read_text() == "mine"


def test_symbolic_links_are_not_followed(dataset_folder, tmp_path):
    target, outside = tmp_path / "export", tmp_path / "outside"
    fill_folder(dataset_folder, target, {"format": "a"}, ["images/1"])
    outside.mkdir()
    (target / "images/1").unlink()
    (target / "images").rmdir()
    (target / "images").symlink_to(outside)
    with pytest.raises(ConflictError):
        fill_folder(dataset_folder, target, {"format": "a"}, ["images/1"])
    assert not any(outside.iterdir())


def test_two_files_of_one_path_are_refused(dataset_folder, tmp_path):
    folder = ExportFolder(dataset_folder, tmp_path / "export", {})
    folder.write_bytes("a", b"")
    with pytest.raises(ConflictError, match="two files"):
        folder.write_bytes("a", b"")
    folder.close()


def test_copied_file_must_have_the_recorded_bytes(dataset_folder, tmp_path):
    (tmp_path / "image").write_bytes(b"altered")
    folder = ExportFolder(dataset_folder, tmp_path / "export", {})
    with pytest.raises(CorruptError, match="changed while it was read"):
        folder.copy_file("image", ChipFile(tmp_path / "image", "0" * 64))
    folder.close()
    assert not (tmp_path / "export/image").exists()


def test_folder_of_a_library_takes_its_place(dataset_folder, tmp_path):
    def write(folder):
        (folder / "deep").mkdir()
        (folder / "deep/1").write_bytes(b"one")

    target = tmp_path / "export"
    for expected in ((1, 0), (0, 1)):
        folder = ExportFolder(dataset_folder, target, {})
        folder.write_folder("store", write)
        folder.finish_export()
        assert (folder.written, folder.unchanged) == expected
    assert {*read_contents(target)} == {"MANIFEST", "store/deep/1"}
