"""The stadiums' example: real positions, an archive that is what it says, and the story from first to last, told twice."""

import csv
import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import nbformat
import numpy as np
import pytest
import rasterio
import shapely
from filelock import FileLock
from nbclient import NotebookClient
from pyproj import Geod, Transformer

from geographer import Dataset
from tests import REPOSITORY

EXAMPLE = REPOSITORY / "examples" / "stadiums"
FIRST, MORE = EXAMPLE / "stadiums.csv", EXAMPLE / "more.csv"
NOTEBOOK = EXAMPLE / "stadiums.ipynb"
WGS84 = Geod(ellps="WGS84")


class Modules(NamedTuple):
    archive: ModuleType
    outlines: ModuleType
    server: ModuleType


@pytest.fixture(scope="module")
def example() -> Iterator[Modules]:
    """The example's own modules, which import each other as scripts in one folder do."""
    import importlib

    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(EXAMPLE))
        yield Modules(*map(importlib.import_module, Modules._fields))
        for name in Modules._fields:
            sys.modules.pop(name)


def rows(*files: Path) -> list[dict[str, str]]:
    return [row for file in files for row in csv.DictReader(file.read_text(encoding="utf-8").splitlines())]


def place(row: dict[str, str]) -> tuple[float, float]:
    return float(row["longitude"]), float(row["latitude"])


def metres(one: tuple[float, float], other: tuple[float, float]) -> float:
    return float(WGS84.inv(*one, *other)[2])


# The data


def test_there_are_sixty_stadiums_and_fifteen_more_of_several_classes():
    assert len(rows(FIRST)) >= 60
    assert len(rows(MORE)) == 15
    assert {row["class"] for row in rows(FIRST)} >= {"football", "cricket", "baseball", "rugby"}


def test_every_stadium_names_a_source_that_the_readme_names():
    told = (EXAMPLE / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^\| `([a-z-]+)` \|", told, flags=re.MULTILINE))
    assert {row["source"] for row in rows(FIRST, MORE)} == named


def test_no_stadium_is_there_twice(example):
    both = rows(FIRST, MORE)
    assert all(metres(place(one), place(other)) > 200 for one, other in combinations(both, 2))
    stadiums = example.outlines.stadiums(FIRST) + example.outlines.stadiums(MORE)
    assert len({stadium.identity for stadium in stadiums}) == len(both)


def test_the_stadiums_lie_in_clusters_and_each_near_its_city():
    members: dict[str, list[tuple[float, float]]] = {}
    for row in rows(FIRST, MORE):
        members.setdefault(row["city"], []).append(place(row))
    assert sum(len(there) >= 3 for there in members.values()) >= 8
    for there in members.values():
        middle = tuple(np.median(there, axis=0))
        assert max(metres(middle, one) for one in there) < 30_000


def test_a_square_has_the_side_of_its_class_on_the_ground(example):
    for stadium in example.outlines.stadiums(FIRST):
        ring = shapely.Polygon(example.outlines.feature(stadium)["geometry"]["coordinates"][0])
        lengths = [metres(*ends) for ends in zip(ring.exterior.coords[:-1], ring.exterior.coords[1:], strict=True)]
        assert lengths == pytest.approx([example.outlines.SIDES[stadium.kind]] * 4, abs=0.05)
        assert ring.centroid.coords[0] == pytest.approx((stadium.longitude, stadium.latitude), abs=1e-6)


# The archive


@pytest.fixture(scope="module")
def glasgow(example, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    """The archive of Glasgow's stadiums: its folder, and its items."""
    folder = tmp_path_factory.mktemp("glasgow")
    stadiums = [stadium for stadium in example.outlines.stadiums(FIRST) if stadium.city == "Glasgow"]
    return folder, example.archive.make(folder, stadiums)


def test_the_archive_is_the_same_to_the_byte_on_every_run(example, glasgow, tmp_path):
    stadiums = [stadium for stadium in example.outlines.stadiums(FIRST) if stadium.city == "Glasgow"]
    assert example.archive.make(tmp_path, stadiums) == glasgow[1]


def test_an_item_tells_the_truth_about_its_file(glasgow):
    folder, items = glasgow
    for item in items:
        asset, properties = item["assets"]["data"], item["properties"]
        content = (folder / asset["href"]).read_bytes()
        assert asset["file:size"] == len(content)
        assert asset["file:checksum"] == "1220" + hashlib.sha256(content).hexdigest()
        with rasterio.open(folder / asset["href"]) as raster:
            assert raster.crs.to_string() == properties["proj:code"]
            assert list(raster.transform)[:6] == properties["proj:transform"]
            assert list(raster.shape) == properties["proj:shape"]
            assert list(raster.descriptions) == ["B02", "B03", "B04", "B08"]
            pixels = raster.read()
        assert properties["s2:nodata_pixel_percentage"] == pytest.approx(
            (pixels == 0).all(axis=0).mean() * 100, abs=0.01
        )


def test_an_items_outline_holds_its_valid_pixels_and_no_others(glasgow):
    folder, items = glasgow
    aspects = {item["properties"]["s2:nodata_pixel_percentage"] > 0 for item in items}
    assert aspects == {True, False}
    for item in items:
        with rasterio.open(folder / item["assets"]["data"]["href"]) as raster:
            seen = raster.dataset_mask()[::16, ::16] > 0
            to_degrees = Transformer.from_crs(raster.crs, 4326, always_xy=True).transform
            (a, _, c), (_, e, f) = np.array(raster.transform)[:6].reshape(2, 3)
            x, y = np.meshgrid(
                c + a * (np.arange(0, raster.width, 16) + 0.5), f + e * (np.arange(0, raster.height, 16) + 0.5)
            )
        held = shapely.contains_xy(shapely.geometry.shape(item["geometry"]), *to_degrees(x, y))
        assert (held == seen).mean() > 0.999


def test_every_stadium_lies_wholly_in_some_tile(example):
    for stadium in example.outlines.stadiums(FIRST) + example.outlines.stadiums(MORE):
        ring = np.array(example.outlines.feature(stadium)["geometry"]["coordinates"][0])
        tiles = example.archive.tiles([stadium])
        (epsg,) = {tile.epsg for tile in tiles}
        x, y = Transformer.from_crs(4326, epsg, always_xy=True).transform(*ring.T)
        square = shapely.Polygon(np.column_stack([x, y]))
        assert any(shapely.box(*tile.bounds).contains(square) for tile in tiles), stadium.name


# The story


def once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """What `make` writes into a new folder; it does so once, however many processes run the tests."""
    base = factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    with FileLock(folder.with_suffix(".lock")):
        if not folder.exists():
            aside = folder.with_suffix(".part")
            aside.mkdir()
            make(aside)
            aside.rename(folder)
    return folder


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder that the story made, and what it told."""

    def tell(folder: Path) -> None:
        run = subprocess.run(
            [sys.executable, str(EXAMPLE / "run.py"), str(folder / "out")],
            env={**os.environ, "PYTHONPATH": str(EXAMPLE.parents[1])},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert run.returncode == 0, run.stdout + run.stderr
        (folder / "told.txt").write_text(run.stdout)

    folder = once(tmp_path_factory, "stadiums-told", tell)
    return folder / "out", (folder / "told.txt").read_text()


def counts(told: str) -> dict[str, list[int]]:
    """The table at the end: what each line says of stadiums, scenes and chips."""
    lines = re.findall(r"^(v\d, \w+(?: each)?) +(\d+) +(\d+) +(\d+)$", told, flags=re.MULTILINE)
    return {name: [int(count) for count in found] for name, *found in lines}


def test_the_story_tells_each_of_its_commands(story):
    commands = re.findall(r"^\$ geographer (.*)$", story[1], flags=re.MULTILINE)
    verbs = [command.split()[0] for command in commands]
    for verb in ("init", "add", "download", "cut", "label", "split", "tag", "update", "diff", "verify"):
        assert verb in verbs
    assert "all is as it was recorded" in story[1]


def test_the_readme_shows_what_it_came_to(story):
    assert counts((EXAMPLE / "README.md").read_text(encoding="utf-8")) == counts(story[1])


def test_fewer_scenes_and_chips_are_used_than_stadiums_there_are(story):
    told = counts(story[1])
    for tag, stadiums in (("v1", len(rows(FIRST))), ("v2", len(rows(FIRST, MORE)))):
        assert told[f"{tag}, one each"] == [stadiums] * 3
        there, scenes, chips = told[f"{tag}, used"]
        assert there == stadiums
        assert scenes < stadiums
        assert chips < stadiums


def test_what_is_told_is_what_the_dataset_holds_and_each_stadium_is_shown_by_a_scene_and_a_chip(story):
    dataset = Dataset.open(story[0] / "dataset")
    for tag in ("v1", "v2"):
        collections = dataset.rasters(at=tag)["collection"].to_pylist()
        shown = counts(story[1])[f"{tag}, used"]
        assert shown == [len(dataset.features(at=tag)), collections.count("source"), collections.count("chips")]
        for collection in ("source", "chips"):
            ids = set(dataset.rasters(at=tag, where=f"collection = '{collection}'")["raster_id"].to_pylist())
            containing = dataset.edges(at=tag, where="relation = 'contains'").to_pylist()
            held = {edge["feature_id"] for edge in containing if edge["raster_id"] in ids}
            assert held == set(dataset.features(at=tag)["feature_id"].to_pylist())


def test_no_cloudy_scene_and_no_older_processing_is_fetched(story):
    items = json.loads((story[0] / "archive" / "items.json").read_text())["features"]
    offered = {item["id"]: item for item in items}
    assert {item["properties"]["s2:processing_baseline"] for item in items} == {"05.10", "05.11"}
    fetched = Dataset.open(story[0] / "dataset").rasters(where="collection = 'source'").to_pylist()
    for raster in fetched:
        item = offered[raster["product_id"]]
        assert item["assets"]["data"]["file:checksum"] == "1220" + raster["sha256"]
        assert item["properties"]["eo:cloud_cover"] <= 20
        assert item["properties"]["s2:processing_baseline"] == "05.11"


def test_parts_of_the_split_are_25_km_apart(story):
    dataset = Dataset.open(story[0] / "dataset")
    part_of = {row["raster_id"]: row["part"] for row in dataset.splits().to_pylist() if row["part"]}
    chips = dataset.rasters(where="collection = 'chips'")
    outlines = dict(zip(chips["raster_id"].to_pylist(), shapely.from_wkb(chips["footprint"].to_pylist()), strict=True))
    assert set(part_of.values()) == {"train", "val", "test"}
    for one, other in combinations(part_of, 2):
        if part_of[one] != part_of[other] and outlines[one].distance(outlines[other]) < 1:
            corners = [outlines[chip].exterior.coords[:-1] for chip in (one, other)]
            assert min(metres(a, b) for a in corners[0][::8] for b in corners[1][::8]) > 25_000


def test_the_archive_is_small(story):
    assert sum(path.stat().st_size for path in (story[0] / "archive").iterdir()) < 60e6


# The notebook


@pytest.fixture(scope="module")
def told_again(tmp_path_factory: pytest.TempPathFactory) -> nbformat.NotebookNode:
    """The notebook, run from its first cell to its last."""

    def tell(folder: Path) -> None:
        notebook = nbformat.read(NOTEBOOK, as_version=4)
        for cell in code(notebook):
            cell.outputs, cell.execution_count = [], None
        where = {"metadata": {"path": str(EXAMPLE)}}
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("JUPYTER_PLATFORM_DIRS", "1")
            patch.setenv("PYTHONPATH", str(EXAMPLE.parents[1]))
            NotebookClient(notebook, timeout=300, kernel_name="python3", record_timing=False, resources=where).execute()
        nbformat.write(notebook, folder / "told.ipynb")

    return nbformat.read(once(tmp_path_factory, "stadiums-told-again", tell) / "told.ipynb", as_version=4)


def code(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def texts(notebook: nbformat.NotebookNode) -> list[str]:
    outputs = [output for cell in code(notebook) for output in cell.outputs]
    return [output.data["text/plain"] for output in outputs if output.output_type == "execute_result"]


def test_the_notebook_runs_from_first_to_last_and_tells_what_it_shows(told_again):
    assert [cell.execution_count for cell in code(told_again)] == list(range(1, len(code(told_again)) + 1))
    assert texts(told_again) == texts(nbformat.read(NOTEBOOK, as_version=4))


def test_the_notebook_is_kept_with_its_pictures_and_without_traces_of_a_machine():
    kept = NOTEBOOK.read_text(encoding="utf-8")
    assert kept.count('"image/png"') >= 6
    assert len(kept) < 1.5e6
    assert not re.search(r"/tmp|/home|/work|/root|127\.0\.0\.1|localhost", kept)
    nbformat.validate(nbformat.reads(kept, as_version=4))


def test_the_notebook_comes_to_the_same_as_the_commands(told_again, story):
    table = counts(story[1])
    (came_to,) = [text for text in texts(told_again) if text.startswith("{'v1': {'stadiums'")]
    numbers = [int(number) for number in re.findall(r": (\d+)", came_to)]
    assert numbers == table["v1, used"] + table["v2, used"]
    (content,) = re.findall(r"revision_tagged: 'v2' is .* content ([0-9a-f]{64})$", story[1], flags=re.MULTILINE)
    assert texts(told_again)[-1] == f"'{content}'"
