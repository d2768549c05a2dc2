"""Manifest: an exported folder is verified by it alone, with geographer and with sha256sum."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess

import pytest

from geographer import Dataset
from geographer.base.errors import ConflictError, CorruptError, UsageError
from geographer.outputs.manifest import encode_manifest, find_exported_folder, read_manifest, verify_folder
from tests.cli.runner import run_command
from tests.sample_history import V1, flip_bit_of_file

CHIP = "rasters/around/a_q1.tif"


@pytest.fixture(scope="module")
def exported(sample_history, tmp_path_factory):
    """A folder with the files and tables of v1."""
    folder = tmp_path_factory.mktemp("exported") / "v1"
    Dataset.open(sample_history.root).checkout("v1", to=folder)
    return folder


@pytest.fixture
def folder(exported, tmp_path):
    """A copy of the exported folder that a test may damage."""
    return shutil.copytree(exported, tmp_path / "v1")


def list_findings(folder, expect=None):
    return [(finding.kind, finding.subject) for finding in verify_folder(folder, expect=expect)]


def check_sums(folder):
    """Return whether `sha256sum` accepts the folder."""
    return subprocess.run(["sha256sum", "--check", "--strict", "--quiet", "MANIFEST"], cwd=folder).returncode == 0


def read_tag(sample_history):
    return next(tag for tag in Dataset.open(sample_history.root).tags().to_pylist() if tag["tag"] == "v1")


def test_manifest_lists_every_file(folder, sample_history):
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    expected = {
        name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items() if name != "MANIFEST"
    }
    assert read_manifest(folder).digests == expected
    assert check_sums(folder)
    tag = read_tag(sample_history)
    revision = json.loads((folder / "revision.json").read_text())
    assert {name: revision[name] for name in ("position", "digest", "content_digest", "merkle_root", "tags")} == {
        **{name: tag[name] for name in ("position", "digest", "content_digest", "merkle_root")},
        "tags": ["v1"],
    }
    assert revision["dataset"] == Dataset.open(sample_history.root).show(1).digest


DAMAGES = {
    "altered": (lambda folder: flip_bit_of_file(folder / CHIP), [("altered file", CHIP)]),
    "missing": (lambda folder: (folder / CHIP).unlink(), [("missing file", CHIP)]),
    "extra": (lambda folder: (folder / "rasters" / "more.tif").write_bytes(b""), [("extra file", "rasters/more.tif")]),
    "table": (
        lambda folder: flip_bit_of_file(folder / "tables/edges.parquet"),
        [("altered file", "tables/edges.parquet")],
    ),
    "revision": (lambda folder: flip_bit_of_file(folder / "revision.json"), [("altered file", "revision.json")]),
    "folder": (lambda folder: replace_by_folder(folder / CHIP), [("missing file", CHIP)]),
}


def replace_by_folder(path):
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("damage", DAMAGES)
def test_verify_folder_finds_damage(folder, damage):
    assert list_findings(folder) == []
    edit, expected = DAMAGES[damage]
    edit(folder)
    assert list_findings(folder) == expected
    assert check_sums(folder) == (damage == "extra")


def test_verify_folder_does_not_leave_it(folder):
    """The lines lead to files that exist, with the right checksums."""
    outside = folder.parent / "outside.tif"
    outside.write_bytes(b"outside")
    digest = hashlib.sha256(b"outside").hexdigest()
    lines = [f"{digest}  {path}" for path in ("../outside.tif", str(outside), "rasters/../../outside.tif")]
    with (folder / "MANIFEST").open("a") as file:
        file.write("\n".join([*lines, "no digest", ""]))
    assert list_findings(folder) == [("invalid manifest", line) for line in [*lines, "no digest"]]


@pytest.mark.parametrize("path", [CHIP, "rasters/around"])
def test_verify_folder_follows_no_links(folder, path):
    target = folder.parent / "outside"
    (folder / path).rename(target)
    (folder / path).symlink_to(target)
    assert ("altered file", CHIP) in list_findings(folder)


def test_verify_folder_recognises_digests(folder, sample_history):
    tag = read_tag(sample_history)
    nouns = {"digest": "event digest", "content_digest": "content digest", "merkle_root": "Merkle root"}
    for name, noun in nouns.items():
        result = verify_folder(folder, expect=tag[name][:20])
        assert result == []
        assert result.report.matches == [f"the expected digest is the {noun} of @{V1}"]
        assert any("MANIFEST itself" in text for text in result.report.not_checked)
    own = hashlib.sha256((folder / "MANIFEST").read_bytes()).hexdigest()
    result = verify_folder(folder, expect=own)
    assert result == []
    assert not any("MANIFEST itself" in text for text in result.report.not_checked)
    assert list_findings(folder, "0" * 64) == [("digest not found", "0" * 64)]
    with pytest.raises(UsageError, match="invalid digest"):
        verify_folder(folder, expect="v1")


def test_odd_names_are_escaped_as_sha256sum_does(tmp_path):
    names = ["a b.tif", "back\\slash", "new\nline", "ü", " leading", "\\n"]
    for name in names:
        (tmp_path / name).write_bytes(name.encode())
    digests = {name: hashlib.sha256(name.encode()).hexdigest() for name in names}
    (tmp_path / "MANIFEST").write_bytes(encode_manifest(digests))
    assert read_manifest(tmp_path) == (digests, [])
    assert check_sums(tmp_path)


@pytest.mark.parametrize("line", ["\\" + "0" * 64 + "  a\\x", "\\" + "0" * 64 + "  a\\", "0" * 64 + "  a//b", "0" * 64])
def test_invalid_lines_are_reported(tmp_path, line):
    (tmp_path / "MANIFEST").write_text(f"{line}\n")
    assert read_manifest(tmp_path) == ({}, [line])


def test_command_verifies_exported_folder(folder, monkeypatch):
    assert run_command(folder, "verify").startswith(f"verified @{V1} ")
    assert run_command(folder / "rasters", "verify") == run_command(folder, "verify")
    summary = json.loads(run_command(folder, "verify", "--json"))
    assert (summary["findings"], summary["position"]) == (0, V1)
    with pytest.raises(UsageError, match="is a checkout without a log"):
        run_command(folder, "verify", "v1")
    flip_bit_of_file(folder / CHIP)
    with pytest.raises(CorruptError, match=r"1 finding: .*geographer checkout REV --to DIR"):
        run_command(folder, "verify")


def test_dataset_takes_precedence_over_manifest(sample_history, folder, tmp_path):
    root = shutil.copytree(sample_history.at_v1, tmp_path / "dataset")
    shutil.copy(folder / "MANIFEST", root)
    assert find_exported_folder(root) is None
    assert "events" in run_command(root, "verify")
    # Nearer than the dataset.
    inside = shutil.copytree(folder, root / "exported")
    assert find_exported_folder(inside) == inside
    assert find_exported_folder(tmp_path) is None


def test_checkout_again_updates_manifest(sample_history, folder):
    dataset = Dataset.open(sample_history.root)
    before = read_manifest(folder).digests
    dataset.checkout("v2", to=folder)
    assert list_findings(folder) == []
    assert read_manifest(folder).digests.keys() - before.keys()
    assert before.keys() - read_manifest(folder).digests.keys()
    dataset.checkout("v1", to=folder)
    assert read_manifest(folder).digests == before


def test_checkout_continues_in_moved_folder(sample_history, folder):
    moved = folder.rename(folder.parent / "elsewhere")
    assert Dataset.open(sample_history.root).checkout("v1", to=moved).written == 0


def test_checkout_keeps_files_of_the_user(sample_history, folder):
    (folder / "rasters" / "source" / "c.tif").write_bytes(b"mine, at a path of v2")
    before = (folder / "MANIFEST").read_bytes()
    with pytest.raises(ConflictError, match=r"'rasters/source/c.tif' .* would be overwritten"):
        Dataset.open(sample_history.root).checkout("v2", to=folder)
    assert (folder / "MANIFEST").read_bytes() == before
    assert list_findings(folder) == [("extra file", "rasters/source/c.tif")]


def test_checkout_deletes_nothing_outside(sample_history, folder):
    outside = folder.parent / "outside.tif"
    outside.write_bytes(b"precious")
    digest = hashlib.sha256(b"precious").hexdigest()
    with (folder / "MANIFEST").open("a") as file:
        file.write(f"{digest}  ../outside.tif\n")
    with pytest.raises(ConflictError, match="not an earlier checkout"):
        Dataset.open(sample_history.root).checkout("v2", to=folder)
    assert outside.read_bytes() == b"precious"
