"""The stadiums example: its positions, its generated archive, the commands of `run.py`, and the notebook."""

import csv
import hashlib
import importlib
import json
import os
import re
import sys
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import nbformat
import numpy as np
import pytest
import rasterio
import shapely
from nbclient import NotebookClient
from pyproj import Geod, Transformer

from geographer import Dataset
from tests import REPOSITORY
from tests.examples.script_runner import run_script
from tests.shared_folders import create_once

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
    """Import the example's modules, which import each other like scripts in one folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(EXAMPLE))
        yield Modules(*map(importlib.import_module, Modules._fields))
        for name in Modules._fields:
            sys.modules.pop(name)


def read_rows(*files: Path) -> list[dict[str, str]]:
    return [row for file in files for row in csv.DictReader(file.read_text(encoding="utf-8").splitlines())]


def read_position(row: dict[str, str]) -> tuple[float, float]:
    return float(row["longitude"]), float(row["latitude"])


def measure_distance(start: tuple[float, float], end: tuple[float, float]) -> float:
    """Return the geodesic distance of two positions (longitude, latitude) in metres."""
    return float(WGS84.inv(*start, *end)[2])


# The data


def test_data_has_enough_stadiums_and_classes():
    assert len(read_rows(FIRST)) >= 60
    assert len(read_rows(MORE)) == 15
    assert {row["class"] for row in read_rows(FIRST)} >= {"football", "cricket", "baseball", "rugby"}


def test_readme_documents_every_source():
    readme = (EXAMPLE / "README.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"^\| `([a-z-]+)` \|", readme, flags=re.MULTILINE))
    assert {row["source"] for row in read_rows(FIRST, MORE)} == documented


def test_stadiums_are_distinct(example):
    all_rows = read_rows(FIRST, MORE)
    assert all(
        measure_distance(read_position(row), read_position(other_row)) > 200
        for row, other_row in combinations(all_rows, 2)
    )
    stadiums = example.outlines.read_stadiums(FIRST) + example.outlines.read_stadiums(MORE)
    assert len({stadium.stadium_id for stadium in stadiums}) == len(all_rows)


def test_stadiums_are_clustered_by_city():
    members: dict[str, list[tuple[float, float]]] = {}
    for row in read_rows(FIRST, MORE):
        members.setdefault(row["city"], []).append(read_position(row))
    assert sum(len(positions) >= 3 for positions in members.values()) >= 8
    for positions in members.values():
        centre = tuple(np.median(positions, axis=0))
        assert max(measure_distance(centre, position) for position in positions) < 30_000


def test_square_has_class_size(example):
    for stadium in example.outlines.read_stadiums(FIRST):
        ring = shapely.Polygon(example.outlines.make_feature(stadium)["geometry"]["coordinates"][0])
        lengths = [
            measure_distance(*ends) for ends in zip(ring.exterior.coords[:-1], ring.exterior.coords[1:], strict=True)
        ]
        assert lengths == pytest.approx([example.outlines.SIDES[stadium.class_name]] * 4, abs=0.05)
        assert ring.centroid.coords[0] == pytest.approx((stadium.longitude, stadium.latitude), abs=1e-6)


# The archive


@pytest.fixture(scope="module")
def glasgow(example, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    """Create the archive of Glasgow's stadiums; return its folder and items."""
    folder = tmp_path_factory.mktemp("glasgow")
    stadiums = [stadium for stadium in example.outlines.read_stadiums(FIRST) if stadium.city == "Glasgow"]
    return folder, example.archive.make_archive(folder, stadiums)


def test_archive_is_deterministic(example, glasgow, tmp_path):
    stadiums = [stadium for stadium in example.outlines.read_stadiums(FIRST) if stadium.city == "Glasgow"]
    assert example.archive.make_archive(tmp_path, stadiums) == glasgow[1]


def test_item_matches_its_file(glasgow):
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


def test_item_geometry_matches_valid_pixels(glasgow):
    folder, items = glasgow
    aspects = {item["properties"]["s2:nodata_pixel_percentage"] > 0 for item in items}
    assert aspects == {True, False}
    for item in items:
        with rasterio.open(folder / item["assets"]["data"]["href"]) as raster:
            is_valid = raster.dataset_mask()[::16, ::16] > 0
            to_degrees = Transformer.from_crs(raster.crs, 4326, always_xy=True).transform
            (a, _, c), (_, e, f) = np.array(raster.transform)[:6].reshape(2, 3)
            x, y = np.meshgrid(
                c + a * (np.arange(0, raster.width, 16) + 0.5), f + e * (np.arange(0, raster.height, 16) + 0.5)
            )
        is_inside = shapely.contains_xy(shapely.geometry.shape(item["geometry"]), *to_degrees(x, y))
        assert (is_inside == is_valid).mean() > 0.999


def test_every_stadium_fits_in_tile(example):
    for stadium in example.outlines.read_stadiums(FIRST) + example.outlines.read_stadiums(MORE):
        ring = np.array(example.outlines.make_feature(stadium)["geometry"]["coordinates"][0])
        tiles = example.archive.find_tiles([stadium])
        (epsg,) = {tile.epsg for tile in tiles}
        x, y = Transformer.from_crs(4326, epsg, always_xy=True).transform(*ring.T)
        square = shapely.Polygon(np.column_stack([x, y]))
        assert any(shapely.box(*tile.tile_bounds).contains(square) for tile in tiles), stadium.name


# The commands


@pytest.fixture(scope="module")
def example_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Run `run.py`; return its output folder and what it printed."""

    def build(folder: Path) -> None:
        (folder / "output.txt").write_text(run_script(EXAMPLE, folder / "out"))

    folder = create_once(tmp_path_factory, "stadiums-run", build)
    return folder / "out", (folder / "output.txt").read_text()


def parse_counts(output: str) -> dict[str, list[int]]:
    """Return the numbers of stadiums, scenes and chips in each line of the final table."""
    lines = re.findall(r"^(v\d, \w+(?: each)?) +(\d+) +(\d+) +(\d+)$", output, flags=re.MULTILINE)
    return {name: [int(count) for count in values] for name, *values in lines}


def test_example_prints_every_command(example_run):
    commands = re.findall(r"^\$ geographer (.*)$", example_run[1], flags=re.MULTILINE)
    verbs = [command.split()[0] for command in commands]
    for verb in ("init", "add", "download", "cut", "label", "split", "tag", "update", "diff", "verify"):
        assert verb in verbs
    assert "the log and the files of @13 (HEAD) are as recorded" in example_run[1]


def test_readme_shows_final_counts(example_run):
    assert parse_counts((EXAMPLE / "README.md").read_text(encoding="utf-8")) == parse_counts(example_run[1])


def mask_variable_text(text: str) -> str:
    """Replace digests, whole or shortened, times, folders and ports, which differ from run to run."""
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "TIME", text).replace("$URL", "http://127.0.0.1:0")
    text = re.sub(r"'/[^']*/out/", "'/…/out/", re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:0", text))
    return re.sub(r"\b[0-9a-f]{12,64}\b…?", "#", text)


def test_readme_shows_printed_commands(example_run):
    (block,) = re.findall(r"```console\n(.*?)```", (EXAMPLE / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    printed = [re.sub(r" +", " ", line) for line in mask_variable_text(example_run[1]).splitlines()]
    shown = [re.sub(r" +", " ", line) for line in mask_variable_text(block).splitlines() if line != "…"]
    assert [line for line in shown if line.rstrip() not in printed] == []


def test_fewer_scenes_and_chips_than_stadiums(example_run):
    counts = parse_counts(example_run[1])
    for tag, stadiums in (("v1", len(read_rows(FIRST))), ("v2", len(read_rows(FIRST, MORE)))):
        assert counts[f"{tag}, one each"] == [stadiums] * 3
        n_stadiums, scenes, chips = counts[f"{tag}, used"]
        assert n_stadiums == stadiums
        assert scenes < stadiums
        assert chips < stadiums


def test_printed_counts_match_dataset(example_run):
    dataset = Dataset.open(example_run[0] / "dataset")
    for tag in ("v1", "v2"):
        collections = dataset.rasters(at=tag)["collection"].to_pylist()
        expected = parse_counts(example_run[1])[f"{tag}, used"]
        assert expected == [len(dataset.features(at=tag)), collections.count("source"), collections.count("chips")]
        for collection in ("source", "chips"):
            ids = set(dataset.rasters(at=tag, where=f"collection = '{collection}'")["raster_id"].to_pylist())
            containing = dataset.edges(at=tag, where="relation = 'contains'").to_pylist()
            contained_ids = {edge["feature_id"] for edge in containing if edge["raster_id"] in ids}
            assert contained_ids == set(dataset.features(at=tag)["feature_id"].to_pylist())


def test_cloudy_and_older_scenes_are_skipped(example_run):
    items = json.loads((example_run[0] / "archive" / "items.json").read_text())["features"]
    items_by_id = {item["id"]: item for item in items}
    assert {item["properties"]["s2:processing_baseline"] for item in items} == {"05.10", "05.11"}
    rasters = Dataset.open(example_run[0] / "dataset").rasters(where="collection = 'source'").to_pylist()
    for raster in rasters:
        item = items_by_id[raster["product_id"]]
        assert item["assets"]["data"]["file:checksum"] == "1220" + raster["sha256"]
        assert item["properties"]["eo:cloud_cover"] <= 20
        assert item["properties"]["s2:processing_baseline"] == "05.11"


def test_split_parts_are_25_km_apart(example_run):
    dataset = Dataset.open(example_run[0] / "dataset")
    part_of = {row["raster_id"]: row["part"] for row in dataset.splits().to_pylist() if row["part"]}
    chips = dataset.rasters(where="collection = 'chips'")
    outlines = dict(zip(chips["raster_id"].to_pylist(), shapely.from_wkb(chips["footprint"].to_pylist()), strict=True))
    assert set(part_of.values()) == {"train", "val", "test"}
    for chip, other_chip in combinations(part_of, 2):
        if part_of[chip] != part_of[other_chip] and outlines[chip].distance(outlines[other_chip]) < 1:
            corners = [outlines[raster_id].exterior.coords[:-1] for raster_id in (chip, other_chip)]
            assert min(measure_distance(a, b) for a in corners[0][::8] for b in corners[1][::8]) > 25_000


def test_archive_is_small(example_run):
    assert sum(path.stat().st_size for path in (example_run[0] / "archive").iterdir()) < 60e6


# The notebook


STARTUP = """
import json, shutil
from pathlib import Path
import archive

def copy_archive(folder, stadiums):
    shutil.copytree({made!r}, folder)
    return json.loads((Path(folder) / "items.json").read_text())["features"]

archive.make_archive = copy_archive
"""
"""Run by the notebook's kernel before the first cell: making the archive again takes six CPU seconds."""


@pytest.fixture(scope="module")
def executed_notebook(example_run: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory) -> nbformat.NotebookNode:
    """Run all cells of the notebook, with the archive that the script made from the same stadiums."""

    def build(folder: Path) -> None:
        startup = folder / "ipython" / "profile_default" / "startup" / "copy_archive.py"
        startup.parent.mkdir(parents=True)
        startup.write_text(STARTUP.format(made=str(example_run[0] / "archive")))
        notebook = nbformat.read(NOTEBOOK, as_version=4)
        for cell in list_code_cells(notebook):
            cell.outputs, cell.execution_count = [], None
        resources = {"metadata": {"path": str(EXAMPLE)}}
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("JUPYTER_PLATFORM_DIRS", "1")
            patch.setenv("IPYTHONDIR", str(folder / "ipython"))
            patch.setenv("PYTHONPATH", os.pathsep.join([str(EXAMPLE), str(EXAMPLE.parents[1])]))
            NotebookClient(
                notebook, timeout=300, kernel_name="python3", record_timing=False, resources=resources
            ).execute()
        nbformat.write(notebook, folder / "executed.ipynb")

    return nbformat.read(create_once(tmp_path_factory, "stadiums-notebook", build) / "executed.ipynb", as_version=4)


def list_code_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def list_text_results(notebook: nbformat.NotebookNode) -> list[str]:
    outputs = [output for cell in list_code_cells(notebook) for output in cell.outputs]
    return [output.data["text/plain"] for output in outputs if output.output_type == "execute_result"]


def test_notebook_reproduces_its_outputs(executed_notebook):
    assert [cell.execution_count for cell in list_code_cells(executed_notebook)] == list(
        range(1, len(list_code_cells(executed_notebook)) + 1)
    )
    assert list_text_results(executed_notebook) == list_text_results(nbformat.read(NOTEBOOK, as_version=4))


def test_notebook_has_figures_and_no_paths():
    content_text = NOTEBOOK.read_text(encoding="utf-8")
    assert content_text.count('"image/png"') >= 6
    assert len(content_text) < 1.5e6
    assert not re.search(r"/tmp|/home|/work|/root|127\.0\.0\.1|localhost", content_text)
    nbformat.validate(nbformat.reads(content_text, as_version=4))


def test_notebook_and_commands_agree(executed_notebook, example_run):
    table = parse_counts(example_run[1])
    (result,) = [text for text in list_text_results(executed_notebook) if text.startswith("{'v1': {'stadiums'")]
    counts = [int(number) for number in re.findall(r": (\d+)", result)]
    assert counts == table["v1, used"] + table["v2, used"]
    (content,) = re.findall(r"revision_tagged: 'v2' is .* content ([0-9a-f]{64})$", example_run[1], flags=re.MULTILINE)
    assert list_text_results(executed_notebook)[-1] == f"'{content}'"
