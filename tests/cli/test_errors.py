"""Invalid input: the error names the thing and the next step, has the exit code of its class, and records nothing."""

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
from geographer.cli import geographer_command, main
from tests.sample_history import write_scenes
from tests.sample_rasters import make_pixels, write_scene

USAGE, NOT_FOUND, CONFLICT, CORRUPT, STORAGE = 2, 3, 4, 5, 6


@pytest.fixture(scope="module")
def error_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset with classes, two features, a raster, chips and a split."""
    folder = tmp_path_factory.mktemp("errors")
    dataset = Dataset.init(folder / "dataset", classes=["pond"], scm=False)
    dataset.add_features(write_points(folder / "first.geojson", {"a": [15.001, 46.95], "b": [15.004, 46.948]}))
    dataset.add_rasters(write_scenes(folder / "scenes", "scene"))
    dataset.cut_around_features("chips", size=16)
    dataset.split("parts", collection="chips", parts={"train": 0.5, "test": 0.5})
    dataset.tag("v1")
    return dataset.root


@pytest.fixture
def root(error_dataset: Path, tmp_path: Path) -> Path:
    return shutil.copytree(error_dataset, tmp_path / "dataset")


def write_points(path: Path, points: dict[str, list[float] | None], **extra: object) -> Path:
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


def write_polygon(path: Path, ring: list[list[float]]) -> Path:
    geometry = {"type": "Polygon", "coordinates": [ring]}
    member = {"type": "Feature", "properties": {"id": "x", "class": "pond"}, "geometry": geometry}
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [member]}))
    return path


def read_state(root: Path) -> tuple[str, list[str]]:
    """Return the digest of the head, and every file in the dataset's data folders."""
    files = [path for folder in ("rasters", "labels", ".geographer/staging") for path in (root / folder).rglob("*")]
    return Dataset.open(root).show().digest, sorted(str(path) for path in files)


def run_refused(root: Path, *arguments: object) -> tuple[int, str]:
    """Run a command that must fail and change nothing; return its exit code and message."""
    before = read_state(root)
    try:
        geographer_command.main(["-C", str(root), *map(str, arguments)], standalone_mode=False)
    except GeographerError as error:
        code, message = error.exit_code, str(error)
    except click.ClickException as error:
        code, message = error.exit_code, error.format_message()
    else:
        pytest.fail(f"{arguments} succeeded")
    assert read_state(root) == before
    return code, message


def test_missing_files_are_not_found(root, tmp_path):
    for noun in ("features", "rasters", "catalogue"):
        code, message = run_refused(root, "add", noun, tmp_path / "nowhere.tif")
        assert code == NOT_FOUND
        assert "nowhere.tif" in message


def test_text_file_is_no_raster(root, tmp_path):
    (tmp_path / "notes.tif").write_text("not a raster")
    code, message = run_refused(root, "add", "rasters", tmp_path / "notes.tif")
    assert code == USAGE
    assert "notes.tif" in message


def test_truncated_raster_is_corrupt(root, tmp_path):
    path = write_scene(tmp_path / "torn.tif", make_pixels(3, 200, 200))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    code, message = run_refused(root, "add", "rasters", path)
    assert code == CORRUPT
    assert "torn.tif" in message


def test_raster_without_crs_needs_option(root, tmp_path):
    path = write_scene(tmp_path / "bare.tif", make_pixels(1, 32, 32), crs=None)
    code, message = run_refused(root, "add", "rasters", path)
    assert code == USAGE
    assert "bare" in message
    assert "--crs" in message


def test_raster_with_implausible_crs(root, tmp_path):
    path = write_scene(tmp_path / "metres.tif", make_pixels(1, 32, 32), crs="EPSG:4326")
    code, message = run_refused(root, "add", "rasters", path)
    assert code == USAGE
    assert "metres.tif" in message
    assert "--crs" in message


@pytest.mark.parametrize(
    ("points", "reason"),
    [
        ({"x": None}, "no geometry"),
        ({"x": [391.0, 10.0], "y": [1.0, 2.0], "z": [1.0, 3.0]}, "out of range"),
        ({"x": [1.0, 2.0], "y": [1.0, 95.0], "z": [1.0, 3.0]}, "out of range"),
    ],
)
def test_unusable_geometries_are_refused(root, tmp_path, points, reason):
    path = write_points(tmp_path / "bad.geojson", points)
    code, message = run_refused(root, "add", "features", path)
    assert code == USAGE
    assert reason in message
    assert "--on-error skip" in message


def test_invalid_polygon_can_be_skipped(root, tmp_path):
    path = write_polygon(tmp_path / "bow.geojson", [[0, 0], [1, 1], [1, 0], [0, 1], [0, 0]])
    code, message = run_refused(root, "add", "features", path)
    assert code == USAGE
    assert "'x'" in message
    assert "invalid" in message
    result = Dataset.open(root).add_features(path, on_error="skip")
    assert result.summary["skipped"] == 1
    assert result.summary["features"] == 0


def test_features_with_implausible_crs(root, tmp_path):
    path = write_points(tmp_path / "metres.geojson", {"x": [500_000.0, 5_200_000.0], "y": [500_010.0, 5_200_000.0]})
    code, message = run_refused(root, "add", "features", path, "--on-error", "skip")
    assert code == USAGE
    assert "metres.geojson" in message
    assert "--crs" in message


def test_repeated_and_existing_ids_conflict(root, tmp_path):
    path = write_points(tmp_path / "one.geojson", {"a": [1.0, 2.0]})
    code, message = run_refused(root, "add", "features", path)
    assert code == CONFLICT
    assert "'a'" in message
    content = json.loads(write_points(tmp_path / "two.geojson", {"n": [1.0, 2.0]}).read_text())
    content["features"] *= 2
    (tmp_path / "two.geojson").write_text(json.dumps(content))
    code, message = run_refused(root, "add", "features", tmp_path / "two.geojson")
    assert code == CONFLICT
    assert "twice" in message
    code, message = run_refused(root, "add", "rasters", write_scenes(tmp_path / "again", "scene")[0])
    assert code == CONFLICT
    assert "'scene'" in message


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["features", "--where", "depth > 2"], NOT_FOUND, "depth"),
        (["features", "--at", "v9"], NOT_FOUND, "v9"),
        (["features", "--at", "@99"], NOT_FOUND, "@99"),
        (["edges", "--feature", "missing"], NOT_FOUND, "missing"),
        (["rasters", "--raster", "nothing"], NOT_FOUND, "nothing"),
        (["history", "missing"], NOT_FOUND, "missing"),
        (["remove", "features", "a", "missing"], NOT_FOUND, "missing"),
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
        (["sql", "SELECT * FROM read_csv('/etc/passwd')"], USAGE, "cannot call the table function 'read_csv'"),
        (["sql", "SELECT 1; SELECT 2"], USAGE, "one SELECT"),
        (["features", "--where", "feature_id IN (SELECT 'a')"], USAGE, "subquery"),
        (["features", "--where", "true) OR (true"], USAGE, "--where"),
        (["features", "--where", "1=1) GROUP BY (1"], USAGE, "--where"),
    ],
)  # fmt: skip
def test_unknown_names_and_invalid_options(root, arguments, code, text):
    exit_code, message = run_refused(root, *arguments)
    assert (exit_code, text in message) == (code, True), message


def test_unknown_class_is_not_found(root, tmp_path):
    path = tmp_path / "lakes.geojson"
    text = write_points(path, {"n": [1.0, 2.0]}).read_text().replace('"pond"', '"lake"')
    path.write_text(text)
    code, message = run_refused(root, "add", "features", path)
    assert code == NOT_FOUND
    assert "'lake'" in message
    assert "add classes" in message
    code, message = run_refused(root, "add", "features", path, "--class", "kind")
    assert code == NOT_FOUND
    assert "'kind'" in message


def test_folder_without_dataset_is_not_found(tmp_path):
    with pytest.raises(GeographerError, match="geographer init") as error:
        geographer_command.main(["-C", str(tmp_path), "status"], standalone_mode=False)
    assert error.value.exit_code == NOT_FOUND


def test_unexpected_error_keeps_its_traceback(root):
    script = (
        "from geographer.dataset.reader import DatasetReader\nfrom geographer.cli import main\n"
        "def fail(dataset):\n    raise ZeroDivisionError('unexpected')\n"
        f"DatasetReader.status = fail\nmain(['-C', {str(root)!r}, 'status'])"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert run.returncode == 70
    assert run.stderr.startswith("Traceback (most recent call last):\n")
    assert run.stderr.endswith("ZeroDivisionError: unexpected\n")


def run_with_file_limit(arguments: list[str], max_file_size: int) -> subprocess.CompletedProcess[str]:
    """Run a command in a process that cannot write files larger than `max_file_size` bytes, as on a full disk."""

    def set_limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (max_file_size, max_file_size))

    return subprocess.run(
        [sys.executable, "-m", "geographer", *arguments],
        capture_output=True,
        text=True,
        preexec_fn=set_limit,
        check=False,
    )


def test_full_disk_records_nothing(root, tmp_path):
    big = write_scene(tmp_path / "big.tif", make_pixels(4, 900, 900))
    before = read_state(root)
    run = run_with_file_limit(["-C", str(root), "add", "rasters", str(big)], 2_000_000)
    assert run.returncode == STORAGE, run.stderr
    assert "Traceback" not in run.stderr
    assert read_state(root) == before
    assert Dataset.open(root).verify() == []


def test_interrupted_cut_can_be_repeated(root, tmp_path):
    with rasterio.open(
        tmp_path / "large.tif", "w", driver="GTiff", width=2000, height=2000, count=2, dtype="uint16", crs="EPSG:32633",
        transform=rasterio.Affine(10, 0, 500_000, 0, -10, 5_300_000),
    ) as raster:  # fmt: skip
        raster.write(np.random.default_rng(1).integers(0, 4000, (2, 2000, 2000)).astype("uint16"))
    dataset = Dataset.open(root)
    dataset.add_rasters(tmp_path / "large.tif", collection="large", mode="reference")
    before = read_state(root)
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
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert stderr.endswith("run the same command again to continue.\n")
    assert "Traceback" not in stderr
    assert read_state(root) == before
    assert dataset.verify() == []
    repetition = subprocess.run(command, capture_output=True, text=True, check=False)
    assert repetition.returncode == 0, repetition.stderr
    assert len(dataset.chips(where="parent_id = 'large'")) == 16 * 16
    assert dataset.verify() == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["cut", "grid", "tiles", "--size", "https://ada:s3cret@example.org"],
        ["cut", "grid", "tiles", "--size", "16", "--rasters-where", "raster_id <> 'https://example.org/?sig=s3cret'"],
        ["cut", "custom", "own", "--cutter", "os:getcwd", "--option", "password=s3cret"],
        ["add", "classes", "token=s3cret"],
        ["add", "classes", "x", "--idempotency-key", "password=s3cret"],
        ["add", "rasters", "/vsicurl/https://ada:s3cret@example.org/a.tif"],
        ["classes", "remap", "pond=https://ada:s3cret@example.org"],
        ["features", "--at", "Bearer s3cretsecret"],
        ["features", "--where", "password = s3cret"],
        ["password=s3cret"],
    ],
)
def test_credentials_are_refused_and_not_printed(error_dataset, capsys, arguments):
    head = Dataset.open(error_dataset).show().digest
    with pytest.raises(SystemExit) as caught:
        main(["-C", str(error_dataset), *arguments])
    output = capsys.readouterr()
    assert caught.value.code in (USAGE, NOT_FOUND)
    assert "s3cret" not in output.out + output.err
    assert Dataset.open(error_dataset).show().digest == head


def test_command_line_is_recorded_without_credentials(root, monkeypatch):
    arguments = ["-C", str(root), "add", "classes", "mere", "-m", "password=my s3cret", "--author", "A <a@b.org>"]
    monkeypatch.setattr(sys, "argv", ["geographer", *arguments])
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    event = Dataset.open(root).show()
    assert caught.value.code == 0
    assert event.command.endswith("add classes mere -m 'password=***' --author 'A <a@b.org>'")
    assert (event.message, event.author) == ("password=*** s3cret", "A <a@b.org>")
