"""A `.dvc` file that is not that of the log is written again on request only, and never taken for ours."""

from __future__ import annotations

import re
import shutil

import pytest
from dvc.repo import Repo

from geographer import Dataset
from geographer.base.errors import ConflictError
from geographer.rasters.checksums import compute_checksums
from geographer.storage.dvc.store import Store
from tests.sample_history import HEAD, read_contents

CHIPS = "rasters/around.dvc"


@pytest.fixture(scope="module")
def copied_dataset(sample_history, tmp_path_factory):
    return Dataset.open(shutil.copytree(sample_history.root, tmp_path_factory.mktemp("folders") / "dataset"))


@pytest.fixture
def dataset(sample_history, copied_dataset):
    """A copy of the sample history, in the folder of a dataset that is opened once."""
    shutil.rmtree(copied_dataset.root)
    shutil.copytree(sample_history.root, copied_dataset.root)
    return copied_dataset


def read_tracking_files(root):
    return {path: content for path, content in read_contents(root).items() if path.endswith((".dvc", ".gitignore"))}


def read_status(root):
    with Repo(str(root)) as repo:
        return repo.status()


def track_as_colleague(root, folder, *, without="", name="new.tif"):
    """Track a folder as a colleague has it: with another file, or without one."""
    path = root / folder
    path.mkdir(parents=True, exist_ok=True)
    if without:
        (path / without).unlink()
    else:
        (path / name).write_bytes(b"hers")
    with Store(root) as store:
        store.track_folder(folder, [(file.name, compute_checksums(file).md5, 1) for file in path.iterdir()])


CHANGES = (
    lambda dataset: dataset.tag("v3"),
    lambda dataset: dataset.remove_recipe("around", dry_run=True),
)


@pytest.mark.parametrize("case", [(CHIPS, {}), (CHIPS, {"without": "a_q1.tif"}), ("rasters/hers.dvc", {})])
def test_dvc_file_of_colleague_is_not_overwritten(dataset, case):
    dvc_file, options = case
    track_as_colleague(dataset.root, dvc_file.removesuffix(".dvc"), **options)
    before = read_contents(dataset.root / "rasters")
    for change in CHANGES:
        with pytest.raises(ConflictError, match=rf"'{dvc_file}' lists other files .*geographer checkout HEAD"):
            change(dataset)
    assert dataset.log(last=1)[0].position == HEAD
    assert read_contents(dataset.root / "rasters") == before


def test_position_is_not_needed_to_know_a_dvc_file(dataset):
    (dataset.root / ".geographer" / "workspace.json").unlink()
    track_as_colleague(dataset.root, "rasters/around")
    with pytest.raises(ConflictError, match="lists other files"):
        dataset.tag("v3")


def test_dvc_file_of_earlier_revision_is_ours(dataset, sample_history):
    """As after git checkout of an earlier commit."""
    (dataset.root / CHIPS).write_bytes((sample_history.at_v1 / CHIPS).read_bytes())
    dataset.tag("v3")


def test_checkout_writes_our_dvc_files_and_keeps_hers(dataset, sample_history):
    before = read_tracking_files(dataset.root)
    track_as_colleague(dataset.root, "rasters/around")
    track_as_colleague(dataset.root, "rasters/hers")
    hers = (dataset.root / "rasters/hers.dvc").read_bytes()
    dataset.checkout("HEAD")
    assert read_tracking_files(dataset.root) == {**before, "rasters/hers.dvc": hers}
    assert (dataset.root / "rasters/around/new.tif").read_bytes() == b"hers"
    assert (dataset.root / "rasters/hers/new.tif").read_bytes() == b"hers"
    dataset.tag("v3")


def test_checkout_keeps_her_dvc_file_of_removed_folder(dataset):
    """The log had files in that folder, and has none now."""
    track_as_colleague(dataset.root, "rasters/corners")
    dataset.checkout("HEAD")
    assert (dataset.root / "rasters/corners.dvc").exists()


@pytest.mark.parametrize("damage", ["altered", "conflict", "missing", "listing"])
def test_checkout_repairs_dvc_file(dataset, damage):
    before = read_tracking_files(dataset.root)
    path = dataset.root / CHIPS
    text = path.read_text()
    if damage == "missing":
        path.unlink()
    elif damage == "listing":
        next((dataset.root / ".dvc/cache/files/md5").glob(f"*/{re.findall('md5: ..(.*)', text)[0]}")).unlink()
    else:
        conflict = f"<<<<<<< ours\n{text}=======\n{text}>>>>>>> theirs\n"
        altered = re.sub("md5: .{6}", "md5: 000000", text, count=1)
        path.write_text({"altered": altered, "conflict": conflict}[damage])
    dataset.checkout("HEAD")
    assert read_tracking_files(dataset.root) == before
    assert read_status(dataset.root) == {}


def test_next_command_completes_killed_removal(dataset, monkeypatch):
    """The files are deleted by then, and the `.dvc` files are not."""

    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Store, "track_folder", interrupt)
        with pytest.raises(KeyboardInterrupt):
            dataset.remove_recipe("around")
    assert (dataset.root / CHIPS).is_file()
    dataset.tag("v3")
    assert not list(dataset.root.glob("**/around*"))
    assert read_status(dataset.root) == {}
