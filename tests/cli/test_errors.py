"""Bad input: the error names the thing and the next step, ends with its family's code, and the log has not moved."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import numpy as np
import pytest
import rasterio

from geographer import Dataset
from geographer.base.errors import GeographerError
from geographer.cli import cli, output
from tests.sample_history import write_scenes
from tests.sample_rasters import pixels, write_scene

USAGE, NOT_FOUND, CONFLICT, CORRUPT, STORAGE = 2, 3, 4, 5, 6


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset with classes, two features, a raster, chips and a split."""
    folder = tmp_path_factory.mktemp("errors")
    dataset = Dataset.init(folder / "dataset", classes=["pond"], scm=False)
    dataset.add_features(features(folder / "first.geojson", {"a": [15.001, 46.95], "b": [15.004, 46.948]}))
    dataset.add_rasters(write_scenes(folder / "scenes", "scene"))
    dataset.cut_around_features("chips", size=16)
    dataset.split("parts", collection="chips", parts={"train": 0.5, "test": 0.5})
    dataset.tag("v1")
    return dataset.root


@pytest.fixture
def root(template: Path, tmp_path: Path) -> Path:
    return shutil.copytree(template, tmp_path / "dataset")


def features(path: Path, points: dict[str, list[float] | None], **extra: object) -> Path:
    members = [
        {
            "type": "Feature",
            "properties": {"id": name, "class": "pond", **extra},
            "geometry": {"type": "Point", "coordinates": where} if where else None,
        }
        for name, where in points.items()
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": members}))
    return path


def polygon(path: Path, ring: list[list[float]]) -> Path:
    geometry = {"type": "Polygon", "coordinates": [ring]}
    member = {"type": "Feature", "properties": {"id": "x", "class": "pond"}, "geometry": geometry}
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [member]}))
    return path


def state(root: Path) -> tuple[str, list[str]]:
    """The head, and every file of the dataset's data folders."""
    files = [path for folder in ("rasters", "labels", ".geographer/staging") for path in (root / folder).rglob("*")]
    return Dataset.open(root).show().digest, sorted(str(path) for path in files)


def refused(root: Path, *arguments: str) -> tuple[int, str]:
    """Run a command that must fail; answer its exit code and message, having seen that nothing changed."""
    before = state(root)
    try:
        cli.main(["-C", str(root), *map(str, arguments)], standalone_mode=False)
    except GeographerError as error:
        code, message = error.exit_code, str(error)
    except click.ClickException as error:
        code, message = error.exit_code, error.format_message()
    else:
        pytest.fail(f"{arguments} was not refused")
    assert state(root) == before
    return code, message


def test_files_that_are_not_there(root, tmp_path):
    for what in (["features"], ["rasters"], ["catalogue"]):
        code, message = refused(root, "add", *what, tmp_path / "nowhere.tif")
        assert code == NOT_FOUND
        assert "nowhere.tif" in message


def test_what_is_no_raster(root, tmp_path):
    (tmp_path / "notes.tif").write_text("not a raster")
    code, message = refused(root, "add", "rasters", tmp_path / "notes.tif")
    assert code == USAGE
    assert "notes.tif" in message


def test_a_truncated_raster(root, tmp_path):
    path = write_scene(tmp_path / "torn.tif", pixels(3, 200, 200))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    code, message = refused(root, "add", "rasters", path)
    assert code == CORRUPT
    assert "torn.tif" in message


def test_a_raster_without_crs_says_how_to_give_one(root, tmp_path):
    path = write_scene(tmp_path / "bare.tif", pixels(1, 32, 32), crs=None)
    code, message = refused(root, "add", "rasters", path)
    assert code == USAGE
    assert "bare" in message
    assert "--crs" in message


def test_a_raster_that_claims_degrees_and_holds_metres(root, tmp_path):
    path = write_scene(tmp_path / "metres.tif", pixels(1, 32, 32), crs="EPSG:4326")
    code, message = refused(root, "add", "rasters", path)
    assert code == USAGE
    assert "metres.tif" in message
    assert "--crs" in message


@pytest.mark.parametrize(
    ("points", "reason"),
    [
        ({"x": None}, "no geometry"),
        ({"x": [191.0, 10.0], "y": [1.0, 2.0], "z": [1.0, 3.0]}, "out of range"),
        ({"x": [1.0, 2.0], "y": [1.0, 95.0], "z": [1.0, 3.0]}, "out of range"),
    ],
)
def test_geometries_that_can_not_be(root, tmp_path, points, reason):
    path = features(tmp_path / "bad.geojson", points)
    code, message = refused(root, "add", "features", path)
    assert code == USAGE
    assert reason in message
    assert "--on-error skip" in message


def test_an_invalid_polygon_is_named_and_skipped_on_request_with_its_reason(root, tmp_path):
    path = polygon(tmp_path / "bow.geojson", [[0, 0], [1, 1], [1, 0], [0, 1], [0, 0]])
    code, message = refused(root, "add", "features", path)
    assert code == USAGE
    assert "'x'" in message
    assert "invalid" in message
    result = Dataset.open(root).add_features(path, on_error="skip")
    assert result.summary["skipped"] == 1
    assert result.summary["features"] == 0


def test_a_file_that_claims_degrees_and_holds_metres(root, tmp_path):
    path = features(tmp_path / "metres.geojson", {"x": [500_000.0, 5_200_000.0], "y": [500_010.0, 5_200_000.0]})
    code, message = refused(root, "add", "features", path, "--on-error", "skip")
    assert code == USAGE
    assert "metres.geojson" in message
    assert "--crs" in message


def test_ids_that_stand_twice_in_the_file_or_are_known(root, tmp_path):
    path = features(tmp_path / "one.geojson", {"a": [1.0, 2.0]})
    code, message = refused(root, "add", "features", path)
    assert code == CONFLICT
    assert "'a'" in message
    content = json.loads(features(tmp_path / "two.geojson", {"n": [1.0, 2.0]}).read_text())
    content["features"] *= 2
    (tmp_path / "two.geojson").write_text(json.dumps(content))
    code, message = refused(root, "add", "features", tmp_path / "two.geojson")
    assert code == CONFLICT
    assert "twice" in message
    code, message = refused(root, "add", "rasters", write_scenes(tmp_path / "again", "scene")[0])
    assert code == CONFLICT
    assert "'scene'" in message


@pytest.mark.parametrize(
    ("arguments", "code", "named"),
    [
        (["features", "--where", "depth > 2"], NOT_FOUND, "depth"),
        (["features", "--at", "v9"], NOT_FOUND, "v9"),
        (["features", "--at", "@99"], NOT_FOUND, "@99"),
        (["edges", "--feature", "nobody"], NOT_FOUND, "nobody"),
        (["rasters", "--raster", "nothing"], NOT_FOUND, "nothing"),
        (["history", "nobody"], NOT_FOUND, "nobody"),
        (["remove", "features", "a", "nobody"], NOT_FOUND, "nobody"),
        (["remove", "rasters", "nothing"], NOT_FOUND, "nothing"),
        (["cut", "around", "n", "--size", "8", "--from", "elsewhere"], NOT_FOUND, "elsewhere"),
        (["cut", "around", "n", "--size", "eight"], USAGE, "eight"),
        (["cut", "around", "n", "--size", "8", "--bands", "9"], USAGE, "9"),
        (["cut", "around", "chips", "--size", "8"], CONFLICT, "chips"),
        (["cut", "grid", "source", "--size", "8"], CONFLICT, "source"),
        (["cut", "around", "a/b", "--size", "8"], USAGE, "a/b"),
        (["label", "mask", "m", "--collection", "elsewhere"], NOT_FOUND, "elsewhere"),
        (["split", "s", "--collection", "chips", "--parts", "train=x"], USAGE, "train=x"),
        (["split", "s", "--collection", "elsewhere", "--parts", "train=1"], NOT_FOUND, "elsewhere"),
        (["tag", "v1"], CONFLICT, "v1"),
        (["tag", "v2", "v9"], NOT_FOUND, "v9"),
        (["tag", "HEAD"], USAGE, "HEAD"),
        (["diff", "v1", "v9"], NOT_FOUND, "v9"),
        (["checkout", "v9"], NOT_FOUND, "v9"),
        (["add", "classes", "pond"], CONFLICT, "pond"),
        (["features", "--format", "parquet"], USAGE, "--output"),
        (["edges", "--format", "geojson"], USAGE, "geometry"),
        (["sql", "DROP TABLE features"], USAGE, "SELECT"),
        (["sql", "SELECT * FROM read_csv('/etc/passwd')"], USAGE, "can't be run"),
        (["sql", "SELECT 1; SELECT 2"], USAGE, "one SELECT"),
        (["features", "--where", "feature_id IN (SELECT 'a')"], USAGE, "subquery"),
        (["features", "--where", "true) OR (true"], USAGE, "--where"),
        (["features", "--where", "1=1) GROUP BY (1"], USAGE, "--where"),
    ],
)  # fmt: skip
def test_what_is_unknown_or_can_not_be(root, arguments, code, named):
    found, message = refused(root, *arguments)
    assert (found, named in message) == (code, True), message


def test_a_class_that_the_dataset_does_not_have(root, tmp_path):
    path = tmp_path / "lakes.geojson"
    text = features(path, {"n": [1.0, 2.0]}).read_text().replace('"pond"', '"lake"')
    path.write_text(text)
    code, message = refused(root, "add", "features", path)
    assert code == NOT_FOUND
    assert "'lake'" in message
    assert "add classes" in message
    code, message = refused(root, "add", "features", path, "--class", "kind")
    assert code == NOT_FOUND
    assert "'kind'" in message


def test_a_folder_without_a_dataset(tmp_path):
    with pytest.raises(GeographerError, match="geographer init") as error:
        cli.main(["-C", str(tmp_path), "status"], standalone_mode=False)
    assert error.value.exit_code == NOT_FOUND


def limited(arguments: list[str], largest_file: int) -> subprocess.CompletedProcess[str]:
    """The command in a process that may write no file larger than that, as on a disk that is full."""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))

    return subprocess.run(
        [sys.executable, "-m", "geographer", *arguments], capture_output=True, text=True, preexec_fn=limit, check=False
    )


def test_a_disk_that_fills_while_rasters_are_stored(root, tmp_path):
    big = write_scene(tmp_path / "big.tif", pixels(4, 900, 900))
    before = state(root)
    run = limited(["-C", str(root), "add", "rasters", str(big)], 2_000_000)
    assert run.returncode == STORAGE, run.stderr
    assert "Traceback" not in run.stderr
    assert state(root) == before
    assert Dataset.open(root).verify() == []


def test_ctrl_c_in_the_middle_of_a_cut_registers_nothing_and_the_same_command_finishes(root, tmp_path):
    with rasterio.open(
        tmp_path / "large.tif", "w", driver="GTiff", width=4000, height=4000, count=2, dtype="uint16", crs="EPSG:32633",
        transform=rasterio.Affine(10, 0, 500_000, 0, -10, 5_300_000),
    ) as raster:  # fmt: skip
        raster.write(np.random.default_rng(1).integers(0, 4000, (2, 4000, 4000)).astype("uint16"))
    dataset = Dataset.open(root)
    dataset.add_rasters(tmp_path / "large.tif", collection="large", mode="reference")
    before = state(root)
    command = [
        sys.executable,
        "-m",
        "geographer",
        "-C",
        str(root),
        "cut",
        "grid",
        "tiles",
        "--size",
        "125",
        "--from",
        "large",
    ]
    process = subprocess.Popen([*command, "--workers", "1"], stderr=subprocess.PIPE, text=True, start_new_session=True)
    staging = root / ".geographer" / "staging"
    while not any(staging.rglob("*.tif")) and process.poll() is None:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130, told
    assert "Traceback" not in told
    assert state(root) == before
    assert dataset.verify() == []
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert len(dataset.chips(where="parent_id = 'large'")) == 32 * 32
    assert dataset.verify() == []


def test_an_interruption_that_a_library_swallowed_is_raised_at_the_next_progress():
    output.interrupted.set()
    try:
        with pytest.raises(KeyboardInterrupt):
            output.show_progress("chips cut", 1, 2)
    finally:
        output.interrupted.clear()
