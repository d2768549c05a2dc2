"""Patches of random histories: applied, undone and joined, they give the revisions that they lead to."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from geographer import Dataset
from geographer.base.errors import ConflictError, NotFoundError
from geographer.diff.patch import concat_patches, encode_patch, invert_patch, read_patch
from tests.diff.patch_cases import read_content
from tests.sample_history import point_geometry, square_geometry, write_features, write_scenes

EXAMPLES = 20 if settings().max_examples > 100 else 2
"""A history takes about two seconds."""
CLASSES = ("pond", "quarry", "water")
IDS = tuple("abcdef")


class Step(NamedTuple):
    """A change of the dataset: which one, and two numbers that vary it."""

    action: str
    first: int
    second: int


ACTIONS = (
    "features",
    "remove features",
    "cut",
    "replace",
    "label",
    "split",
    "rasters",
    "remove chip",
    "classes",
    "update",
)
STEPS = st.lists(
    st.builds(Step, st.sampled_from(ACTIONS), st.integers(0, 5), st.integers(0, 40)), min_size=4, max_size=9
)


class History:
    """A dataset with random events, and a copy of its folder at each revision."""

    def __init__(self, folder: Path, template: Path) -> None:
        self.folder = folder
        self.dataset = Dataset.open(shutil.copytree(template, folder / "dataset"))
        self.copies: dict[int, Path] = {}
        self.keep_copy()

    def keep_copy(self) -> None:
        position = self.dataset.log(1)[0].position
        self.copies[position] = self.folder / f"at {position}"
        shutil.copytree(self.dataset.root, self.copies[position], dirs_exist_ok=True)

    def run_step(self, step: Step) -> None:
        """Change the dataset; what does not apply to its present state changes nothing."""
        dataset, first, second = self.dataset, step.first, step.second
        ids = [row["feature_id"] for row in dataset.features().to_pylist()]
        chips = [row["raster_id"] for row in dataset.chips().to_pylist()]
        recipes = {row[0] for row in self.list_recipes()}
        if step.action == "features":
            shape = square_geometry(second, first * 8, 5) if second % 2 else point_geometry(second + 0.5, first * 8.5)
            features = {IDS[first]: (CLASSES[second % 3], shape), "g": ("pond", point_geometry(second + 0.5, 3.5))}
            dataset.add_features(write_features(self.folder / "f.geojson", features), crs="EPSG:32633", replace=True)
        elif step.action == "remove features" and ids:
            dataset.remove_features([ids[second % len(ids)]])
        elif step.action == "cut" and "around" not in recipes:
            dataset.cut_around_features("around", size=8 + first)
        elif step.action == "replace" and "around" in recipes:
            dataset.cut_around_features("around", size=8 + first, bands=[1 + second % 2], replace=True)
        elif step.action == "label" and "mask" not in recipes and chips:
            dataset.label_masks("mask", collection="around")
        elif step.action == "split" and "parts" not in recipes and chips:
            dataset.split("parts", collection="around", parts={"train": 0.5, "test": 0.5})
        elif step.action == "rasters":
            dataset.add_rasters(write_scenes(self.folder / "scenes", "a", seed=second), replace=True)
        elif step.action == "remove chip" and chips:
            dataset.remove_rasters([chips[second % len(chips)]])
        elif step.action == "classes":
            dataset.add_classes([f"class {second}"])
        elif step.action == "update":
            dataset.update(on_conflict="exclude")

    def list_recipes(self) -> list[tuple[str]]:
        with self.dataset._unit_of_work.open_revision() as revision:
            return [(name,) for (name,) in revision.fetch_rows("SELECT name FROM recipes")]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("properties")
    dataset = Dataset.init(folder / "dataset", background="water", scm=False)
    features = {"a": ("pond", point_geometry(10.5, 10.5)), "b": ("quarry", square_geometry(40, 30, 6))}
    dataset.add_features(write_features(folder / "features.geojson", features), crs="EPSG:32633")
    dataset.add_rasters(write_scenes(folder / "scenes", "a"))
    return dataset.root


@pytest.fixture
def make_folder() -> Iterator[list[Path]]:
    folders: list[Path] = []
    yield folders
    for folder in folders:
        shutil.rmtree(folder)


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=STEPS, choice=st.integers(0, 999))
def test_patches_between_any_revisions(template: Path, make_folder: list[Path], steps: list[Step], choice: int) -> None:
    make_folder.append(Path(tempfile.mkdtemp(prefix="geographer-patch-")))
    history = History(make_folder[-1], template)
    for step in (Step("cut", 0, 0), *steps):
        try:
            history.run_step(step)
        except (ConflictError, NotFoundError):
            continue
        history.keep_copy()
    dataset = history.dataset
    positions = sorted(history.copies)
    a, b = (positions[number % len(positions)] for number in (choice, choice // 7))
    head = positions[-1]
    expected = {position: read_content(dataset, position) for position in (a, b, head)}
    paths = [history.folder / f"{name}.patch" for name in ("head-a", "a-b", "head-b")]
    for path, sides in zip(paths, ((head, a), (a, b), (head, b)), strict=True):
        dataset.write_patch(*sides, path)
    to_a, to_b, both = map(read_patch, paths)
    assert encode_patch(concat_patches(to_a, to_b)) == encode_patch(both)
    assert concat_patches(to_a, invert_patch(to_a)).changes == ()
    dataset.apply_patch(paths[0])
    assert read_content(dataset) == expected[a]
    dataset.apply_patch(paths[1])
    assert read_content(dataset) == expected[b]
    assert not dataset.apply_patch(paths[1]).changed
    reference = Dataset.open(history.copies[b])
    try:
        reference.update(on_conflict="exclude")
    except (ConflictError, NotFoundError):
        return
    dataset.update(on_conflict="exclude")
    assert read_content(dataset)["lines"] == read_content(reference)["lines"]
