"""Leakage certificates: each level against a brute-force oracle, the outside checker, and what a certificate leaves out."""

from __future__ import annotations

import json
import runpy
import shutil
import subprocess
import sys
from itertools import combinations

import numpy as np
import pytest
import shapely
from jsonschema import Draft202012Validator
from pyproj import Geod

from geographer import Dataset
from geographer.base.errors import ConflictError, NotFoundError, UsageError
from geographer.outputs.certificate import levels
from tests import REPOSITORY
from tests.cli.runner import run_command
from tests.sample_history import FIRST_FEATURES, NORTH, PIXEL, WEST, grid_coordinates, write_features, write_scenes
from tests.sample_rasters import write_scene
from tests.test_schemas import REGISTRY, SCHEMAS

SCRIPT = REPOSITORY / "examples" / "check_certificate.py"
PARTS = {"train": 0.5, "val": 0.25, "test": 0.25}


def make_texture(seed: int) -> np.ndarray:
    """Return a texture of 3 bands and 64 by 64 pixels with details of all sizes."""
    noise = np.random.default_rng(seed).normal(size=(64, 64))
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(64), np.fft.fftfreq(64)))
    smooth = np.real(np.fft.ifft2(np.fft.fft2(noise) / (0.02 + frequency)))
    pixels = 128 + 30 * smooth / smooth.std()
    return np.clip(pixels * np.array([1.0, 0.8, 0.6])[:, None, None], 1, 255).astype(np.uint8)


def write_tiles(folder, pixels_by_name, first=0):
    """Write tiles 10 km apart, from number `first` on."""
    folder.mkdir()
    return [
        write_scene(folder / f"{name}.tif", pixels, transform=(PIXEL, 0, WEST + 10_000 * number, 0, -PIXEL, NORTH))
        for number, (name, pixels) in enumerate(pixels_by_name.items(), first)
    ]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Two splits that leak: chips that overlap and show later features; tiles of which one is a turned copy."""
    folder = tmp_path_factory.mktemp("certificate")
    dataset = Dataset.init(folder / "dataset", scm=False)
    dataset.add_rasters(write_scenes(folder / "scenes", "a", "b"))
    dataset.cut_grid("grid", size=16, overlap=4)
    dataset.split("chips", collection="grid", parts=PARTS, by="object", seed=3)
    dataset.tag("apart")
    dataset.add_features(write_features(folder / "later.geojson", FIRST_FEATURES), crs="EPSG:32633", on_error="skip")
    textures = {str(number): make_texture(number) for number in range(6)}
    turned = np.rot90(textures["0"], 1, (1, 2))
    tiles = write_tiles(
        folder / "tiles", {**textures, "turned": np.roll(turned, 2, 2), "flat": np.full_like(turned, 9)}
    )
    dataset.add_rasters(tiles, collection="places")
    dataset.split("tiles", collection="places", parts={"train": 0.5, "test": 0.5}, seed=1)
    return dataset


@pytest.fixture(scope="module")
def exported(dataset):
    folder = dataset.root.parent / "exported"
    dataset.checkout("HEAD", to=folder)
    return folder


def read_members(dataset, split):
    """Return the rasters of a split: id to part, footprint, and the parent and window of chips."""
    parts = {row["raster_id"]: row["part"] for row in dataset.splits().to_pylist() if row["split"] == split}
    shapes = dataset.rasters().to_geopandas().set_index("raster_id")["footprint"]
    windows = {row["raster_id"]: row for row in dataset.chips().to_pylist()}
    return {name: (part, shapes[name], windows.get(name)) for name, part in parts.items() if part is not None}


def find_shared_pixels(members):
    """Return the pairs of different parts that share pixels of a parent, or ground."""
    found = set()
    for (a, (part, shape, window)), (b, (other_part, other_shape, other)) in combinations(sorted(members.items()), 2):
        if part == other_part:
            continue
        if window and other and window["parent_id"] == other["parent_id"]:
            boxes = [
                shapely.box(w["col"], w["row"], w["col"] + w["width"], w["row"] + w["height"]) for w in (window, other)
            ]
            shares = boxes[0].intersection(boxes[1]).area > 0
        else:
            shares = shape.intersection(other_shape).area > 1e-6 * min(shape.area, other_shape.area)
        if shares:
            found.add((a, b))
    return found


def measure_distance(a, b):
    """Return the distance of two footprints in metres, by the ellipsoid: of vertices, between which lines are short."""
    if a.intersects(b):
        return 0.0
    starts, ends = (shapely.get_coordinates(shape.segmentize(1e-3)) for shape in (a, b))
    i, j = (rows.ravel() for rows in np.mgrid[: len(starts), : len(ends)])
    return Geod(ellps="WGS84").inv(*starts[i].T, *ends[j].T)[2].min()


def list_pairs(level):
    return {(leak["a"], leak["b"]) for leak in level["leaks"]}


def require_valid(certificate):
    Draft202012Validator(SCHEMAS["certificate.v1.json"], registry=REGISTRY).validate(
        json.loads(certificate.encode_json())
    )


def test_only_selected_features_count(dataset, tmp_path):
    """An area that all chips lie in is shared; the certificate says by which expression it does not count."""
    copy = Dataset.open(shutil.copytree(dataset.root, tmp_path / "county"))
    west, north = grid_coordinates(-100, -100)
    east, south = grid_coordinates(400, 400)
    ring = [[west, north], [east, north], [east, south], [west, south], [west, north]]
    county = {"county": ("county", {"type": "Polygon", "coordinates": [ring]})}
    copy.add_features(write_features(tmp_path / "county.geojson", county), crs="EPSG:32633")
    before = dataset.certify_split("chips").to_dict()["levels"]["shared_objects"]
    everything = copy.certify_split("chips").to_dict()
    assert "where" not in everything["parameters"]
    assert "county" in {leak["feature"] for leak in everything["levels"]["shared_objects"]["leaks"]}
    selected = copy.certify_split("chips", where="class <> 'county'")
    require_valid(selected)
    found = selected.to_dict()
    assert found["parameters"]["where"] == "class <> 'county'"
    assert found["levels"]["shared_objects"] == before | {"left_out_shared_objects": 1}
    assert any("class <> 'county'" in line for line in selected.iter_lines())
    selected.write(tmp_path / "certificate.json")
    copy.checkout("HEAD", to=tmp_path / "folder")
    command = [sys.executable, SCRIPT, tmp_path / "certificate.json", tmp_path / "folder"]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    everything["parameters"]["where"] = "class <> 'county'"
    (tmp_path / "certificate.json").write_text(json.dumps(everything))
    assert subprocess.run([*map(str, command)], capture_output=True, check=False).returncode == 1


def test_levels_agree_with_oracle(dataset):
    """Objects, pixels and distances equal those of a brute-force comparison of all pairs."""
    certificate = dataset.certify_split("chips", buffer=50)
    require_valid(certificate)
    members, found = read_members(dataset, "chips"), certificate.to_dict()["levels"]
    parts_by_feature: dict[str, set[str]] = {}
    for row in dataset.edges().to_pylist():
        if row["raster_id"] in members:
            parts_by_feature.setdefault(row["feature_id"], set()).add(members[row["raster_id"]][0])
    shared = {feature for feature, parts in parts_by_feature.items() if len(parts) > 1}
    assert {leak["feature"] for leak in found["shared_objects"]["leaks"]} == shared != set()
    assert found["shared_objects"]["objects"] == len(parts_by_feature)
    assert list_pairs(found["shared_pixels"]) == find_shared_pixels(members) != set()
    for row in found["distance"]["subsets"]:
        sides = [
            [shape for part, shape, _ in members.values() if part == row[side]] for side in ("subset_a", "subset_b")
        ]
        expected = min(measure_distance(a, b) for a in sides[0] for b in sides[1])
        assert row["distance_m"] == pytest.approx(expected, rel=1e-5, abs=0.01)
    assert certificate.overall_verdict == "leaks"
    assert certificate.encode_json() == dataset.certify_split("chips", buffer=50).encode_json()


def test_distance_of_separate_subsets(dataset):
    """Tiles 10 km apart: the buffer decides, and the pairs within it are listed."""
    members = read_members(dataset, "tiles")
    near = dataset.certify_split("tiles", buffer=20_000).to_dict()["levels"]["distance"]
    pairs = [pair for pair in combinations(sorted(members), 2) if members[pair[0]][0] != members[pair[1]][0]]
    distances = {pair: measure_distance(*(members[name][1] for name in pair)) for pair in pairs}
    assert list_pairs(near) == {pair for pair, distance in distances.items() if distance <= 20_000}
    assert near["subsets"][0]["distance_m"] == pytest.approx(min(distances.values()), rel=1e-6)
    assert dataset.certify_split("tiles", buffer=5_000).overall_verdict == "holds"


def test_near_duplicates_are_found(dataset):
    """A turned and shifted copy of a tile leaks if it is in another subset; a tile of one colour cannot be compared."""
    parts = {name: part for name, (part, _, _) in read_members(dataset, "tiles").items()}
    assert parts["turned"] != parts["0"]
    certificate = dataset.certify_split("tiles", duplicates=True)
    require_valid(certificate)
    level = certificate.to_dict()["levels"]["near_duplicates"]
    assert list_pairs(level) == {("0", "turned")}
    assert level["not_comparable_ids"] == ["flat"]
    assert "nearly equal pixels" in "\n".join(certificate.iter_lines())
    assert dataset.certify_split("tiles").to_dict()["levels"]["near_duplicates"]["holds"] is None


def test_checker_confirms_and_refutes(dataset, exported, tmp_path):
    """The outside script accepts a certificate, and names each claim that was changed."""
    path = tmp_path / "certificate.json"
    dataset.certify_split("tiles", buffer=50).write(path)
    run = [sys.executable, str(SCRIPT), str(path), str(exported)]
    assert subprocess.run(run, capture_output=True, text=True, check=True).stdout.startswith("OK")
    check = runpy.run_path(str(SCRIPT))["check_certificate"]
    claim = json.loads(path.read_text())
    path.write_text(json.dumps({**claim, "digest": "0" * 64}))
    assert check(path, exported) == ["digest is not that of the folder"]
    claim["levels"]["distance"]["subsets"][0]["distance_m"] = 1.0
    path.write_text(json.dumps(claim))
    assert check(path, exported) == ["test and train are 9363.7 m apart"]
    claim = dataset.certify_split("chips", buffer=50).to_dict()
    path.write_text(json.dumps(claim))
    assert check(path, exported) == []
    for name in ("shared_objects", "shared_pixels"):
        level = {**claim["levels"][name], "holds": True, "shared_objects": 0, "pairs": 0, "leaks": []}
        path.write_text(json.dumps({**claim, "levels": {**claim["levels"], name: level}}))
        assert len(check(path, exported)) == 1


def test_certificate_is_of_the_revision(dataset):
    """At the tag, before features were added, no object is shared; the digests are those of the tag."""
    certificate = dataset.certify_split("chips", at="apart").to_dict()
    (tag,) = dataset.tags().to_pylist()
    assert [certificate[name] for name in ("digest", "content_digest")] == [tag["digest"], tag["content_digest"]]
    assert certificate["levels"]["shared_objects"]["holds"] is True
    assert certificate["levels"]["shared_pixels"]["holds"] is False


def test_lists_are_bounded(dataset, monkeypatch):
    monkeypatch.setattr(levels, "MAX_LEAKS", 2)
    monkeypatch.setattr("geographer.outputs.certificate.distance.MAX_MEASURED", 2)
    for name in ("objects", "pixels"):
        monkeypatch.setattr(f"geographer.outputs.certificate.{name}.MAX_LEAKS", 2)
    found = dataset.certify_split("chips", buffer=1000).to_dict()["levels"]
    for name in ("shared_objects", "shared_pixels", "distance"):
        assert len(found[name]["leaks"]) == 2
        assert found[name]["pairs"] > 2


def test_uncovered_rasters_are_named(dataset, tmp_path):
    """Rasters without a part, removed ones, and subsets without rasters are counted and named."""
    copy = Dataset.open(shutil.copytree(dataset.root, tmp_path / "dataset"))
    copy.add_rasters(write_tiles(tmp_path / "more", {"new": make_texture(9)}), collection="places")
    copy.remove_rasters([row["raster_id"] for row in copy.splits().to_pylist() if row["part"] == "val"])
    certificate = copy.certify_split("tiles").to_dict()
    assert certificate["not_covered"]["not in the split"] == {"total": 1, "ids": ["new"]}
    assert copy.certify_split("chips").to_dict()["empty_subsets"] == ["val"]
    copy.remove_rasters([row["raster_id"] for row in copy.splits().to_pylist() if row["part"] == "test"])
    alone = copy.certify_split("chips", duplicates=True)
    assert alone.overall_verdict == "nothing to compare"
    assert all(level["holds"] is None for level in alone.to_dict()["levels"].values())
    require_valid(alone)


def test_invalid_requests_are_refused(dataset):
    with pytest.raises(NotFoundError, match=r"no split 'folds' at .* The revision has: 'chips', 'tiles'"):
        dataset.certify_split("folds")
    with pytest.raises(UsageError, match="invalid buffer"):
        dataset.certify_split("chips", buffer=-1)


def test_command_prints_and_writes(dataset, tmp_path):
    path = tmp_path / "certificate.json"
    text = run_command(dataset.root, "certify", "--split", "tiles", "--buffer", "5000", "--to", str(path))
    assert "Verdict: the subsets share nothing" in text
    assert path.read_bytes() == dataset.certify_split("tiles", buffer=5000).encode_json()
    assert json.loads(run_command(dataset.root, "certify", "--split", "tiles", "--json"))["verdict"] == "holds"
    with pytest.raises(ConflictError, match="the subsets of split 'chips' leak"):
        run_command(dataset.root, "certify", "--split", "chips")
