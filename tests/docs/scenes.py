"""The folders in which the snippets of documents are run: with the files and the dataset that each document supposes."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from geographer import Dataset
from tests import REPOSITORY
from tests.docs.document_runner import DocumentRunner
from tests.sample_history import point_geometry, write_features, write_scenes
from tests.sample_masks import write_mask
from tests.sample_rasters import make_pixels, write_scene
from tests.sample_team import copy_team, run_git
from tests.shared_folders import copy_once
from tests.torch.training_dataset import create_training_dataset

IDENTITY = {"NAME": "Ada", "EMAIL": "ada@example.org"}

Scene = Callable[[Path, pytest.FixtureRequest], DocumentRunner]


def prepare_tutorial(folder: Path, _request: pytest.FixtureRequest | None = None) -> DocumentRunner:
    """Start in a folder that has the script which writes the input."""
    shutil.copy(REPOSITORY / "docs" / "tutorials" / "make_ponds.py", folder)
    people = {f"GIT_{role}_{field}": value for role in ("AUTHOR", "COMMITTER") for field, value in IDENTITY.items()}
    return DocumentRunner(folder, people)


def continue_first_tutorial(folder: Path, request: pytest.FixtureRequest) -> DocumentRunner:
    """Start where the tutorial for one person ended."""
    subprocess.run(["cp", "-a", f"{request.getfixturevalue('first_tutorial').folder}/.", str(folder)], check=True)
    return DocumentRunner(folder)


def prepare_sample_history(folder: Path, request: pytest.FixtureRequest) -> DocumentRunner:
    """Start in a copy of the dataset with every kind of event, beside a copy as of tag v1."""
    history = request.getfixturevalue("sample_history")
    root = Path(shutil.copytree(history.root, folder / "ponds", symlinks=True))
    subprocess.run(["cp", "-a", str(root), str(folder / "copy")], check=True)
    return DocumentRunner(folder, start="ponds")


def prepare_patches(folder: Path, request: pytest.FixtureRequest) -> DocumentRunner:
    """Make a copy of the dataset that is at tag v1."""
    runner = prepare_sample_history(folder, request)
    copy = Dataset.open(folder / "copy")
    copy.create_branch("early", "v1")
    copy.switch_branch("early")
    runner.folder = folder
    return runner


def prepare_annotations(folder: Path, _request: pytest.FixtureRequest) -> DocumentRunner:
    """Make chips of a scene, and the files of annotations that the document names."""
    dataset = Dataset.init(folder / "dataset", classes=["house", "ship"], scm=False)
    dataset.add_rasters(write_scene(folder / "scene.tif", make_pixels(4, 64, 64)))
    dataset.cut_grid("chips", size=64)
    box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [8, 5, 6, 7.5]}
    images = [{"id": 1, "file_name": "scene_c0_r0.png", "width": 64, "height": 64}]
    categories = [{"id": 1, "name": "building"}]
    content = {"images": images, "categories": categories, "annotations": [box]}
    (dataset.root / "instances.json").write_text(json.dumps(content))
    labels = dataset.root / "ships" / "labels"
    labels.mkdir(parents=True)
    (labels.parent / "data.yaml").write_text("names: [ship]\n")
    (labels / "scene.txt").write_text("0 0.5 0.5 0.125 0.25\n")
    runner = DocumentRunner(folder, start="dataset")
    runner.names["dataset"] = dataset
    return runner


def prepare_masks(folder: Path, _request: pytest.FixtureRequest) -> DocumentRunner:
    """Make a dataset of lakes with a scene that has a mask."""
    dataset = Dataset.init(folder / "dataset", classes=["lake", "quarry"], scm=False)
    dataset.add_features(
        write_features(folder / "lakes.geojson", {"a": ("lake", point_geometry(9, 9))}), crs="EPSG:32633"
    )
    dataset.add_rasters(write_scenes(folder, "scene"))
    (dataset.root / "masks").mkdir()
    write_mask(dataset.root / "masks" / "scene_mask.tif")
    return DocumentRunner(folder, start="dataset")


def prepare_log(folder: Path, _request: pytest.FixtureRequest) -> DocumentRunner:
    """Make a dataset of three events, beside the folder of the documents."""
    dataset = Dataset.init(folder / "glaciers", classes=["glacier"], scm=False)
    points = {name: ("glacier", point_geometry(row, row)) for row, name in enumerate("abc")}
    dataset.add_features(write_features(folder / "points.geojson", points), crs="EPSG:32633")
    dataset.add_rasters(write_scenes(folder / "scenes", "scene"))
    (folder / "docs").symlink_to(REPOSITORY / "docs")
    return DocumentRunner(folder)


def prepare_training(folder: Path, request: pytest.FixtureRequest) -> DocumentRunner:
    """Start in a copy of the dataset to train on."""
    factory = request.getfixturevalue("tmp_path_factory")
    shutil.copytree(
        copy_once(factory, "training", create_training_dataset) / "dataset", folder / "ponds", symlinks=True
    )
    runner = DocumentRunner(folder, start="ponds")
    runner.names["dataset"] = Dataset.open(folder / "ponds")
    return runner


def prepare_git_server(folder: Path, request: pytest.FixtureRequest) -> DocumentRunner:
    """Serve a team's Git repository at the address that the document names."""
    team = copy_team(request.getfixturevalue("team_template"), folder / "team")
    run_git(folder, "clone", "--quiet", "--bare", str(team.ada), str(team.folder / "glaciers.git"))
    address = {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{team.folder}/.insteadOf",
        "GIT_CONFIG_VALUE_0": "https://example.org/",
    }
    return DocumentRunner(team.folder, address)


SCENES: dict[str, Scene] = {
    "docs/annotations.md": prepare_annotations,
    "docs/log-format.md": prepare_log,
    "docs/patch-format.md": prepare_patches,
    "docs/plots.md": prepare_training,
    "docs/reference.md": prepare_masks,
    "docs/sharing.md": prepare_git_server,
    "docs/statistics.md": prepare_training,
    "docs/tutorials/from-torchgeo.md": continue_first_tutorial,
    "docs/tutorials/reviewer.md": continue_first_tutorial,
    "docs/tutorials/team.md": prepare_tutorial,
}
