"""Output of `geographer download`: sentences, tables, JSON and exit codes."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from geographer import Dataset
from geographer.cli import main
from tests.folder_source import add_scene, list_fetched, list_orders, restore_scene, set_product_offline
from tests.sample_history import point_geometry, write_features


@pytest.fixture
def archive_folder(tmp_path: Path) -> Path:
    return tmp_path / "archive"


@pytest.fixture(scope="module")
def dataset_once(empty_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli-download")
    dataset = Dataset.open(shutil.copytree(empty_dataset, folder / "dataset"))
    features = {"a": ("pond", point_geometry(5, 5)), "b": ("pond", point_geometry(405, 5))}
    dataset.add_features(write_features(folder / "features.geojson", features), crs="EPSG:32633")
    return dataset.root


@pytest.fixture
def dataset(dataset_once: Path, tmp_path: Path) -> Dataset:
    """A dataset with two features."""
    return Dataset.open(shutil.copytree(dataset_once, tmp_path / "dataset"))


@pytest.fixture
def run(dataset: Dataset, monkeypatch: pytest.MonkeyPatch, capsys):
    """Return a function that runs `geographer …` on the dataset and returns exit code, stdout and stderr."""

    def run(*arguments: str):
        monkeypatch.setattr(sys, "argv", ["geographer", *arguments])
        with pytest.raises(SystemExit) as end:
            main(["-C", str(dataset.root), *arguments])
        captured = capsys.readouterr()
        return end.value.code, captured.out, captured.err

    return run


@pytest.fixture
def arguments(archive_folder: Path):
    return (
        "download",
        "scenes",
        "--source",
        "tests.folder_source:FolderSource",
        "--source-option",
        f"folder={archive_folder}",
    )


def test_download_prints_summary(run, arguments, archive_folder):
    add_scene(archive_folder, "one")
    add_scene(archive_folder, "two", column=400)

    code, out, _ = run(*arguments)

    assert code == 0
    assert "rasters_downloaded 'scenes': " in out
    assert "2 rasters" in out
    assert "2 scenes selected (the proven minimum)" in out


def test_plan_prints_table(run, arguments, archive_folder):
    add_scene(archive_folder, "one")
    add_scene(archive_folder, "two", column=400)

    code, out, _ = run(*arguments, "--plan")

    assert code == 0
    head, first, second, sentence = out.splitlines()
    assert head.split() == ["product_id", "provider", "acquired", "cloud_cover", "bytes", "shows", "cost"]
    assert first.split()[:4] == ["one", "folder", "2026-06-01T10:00:00", "5.0"]
    assert second.split()[0] == "two"
    assert sentence.startswith("would record rasters_downloaded 'scenes': ")
    assert sentence.endswith("; nothing was changed")
    assert list_fetched(archive_folder) == []


def test_plan_json_has_scenes_and_counts(run, arguments, archive_folder):
    add_scene(archive_folder, "one")

    _, out, _ = run(*arguments, "--plan", "--json")

    captured = json.loads(out)
    assert [scene["product_id"] for scene in captured["scenes"]] == ["one"]
    assert captured["missing"] == 2
    assert captured["unmet"] == {"no scene of the archive shows it": 1}


def test_failed_product_exits_6(run, arguments, archive_folder):
    add_scene(archive_folder, "good")
    add_scene(archive_folder, "gone", column=400, is_missing=True)

    code, out, err = run(*arguments, "--json")

    assert code == 6
    assert json.loads(out)["failed"] == 1
    assert run("update")[0] == 6
    restore_scene(archive_folder, "gone")
    code, out, err = run("update")
    assert (code, err) == (0, "")
    assert "1 raster" in out


def test_total_failure_is_an_error(run, arguments, archive_folder):
    add_scene(archive_folder, "gone", is_missing=True)

    code, out, err = run(*arguments)

    assert (code, out) == (6, "")
    assert err.startswith("Error: 1 product could not be downloaded or read ('gone': the product is missing")


def test_update_no_downloads(run, arguments, archive_folder):
    add_scene(archive_folder, "one")
    run(*arguments)
    add_scene(archive_folder, "two", column=400)

    code, _, _ = run("update", "--no-downloads")

    assert code == 0
    assert list_fetched(archive_folder) == ["one"]


@pytest.mark.parametrize(
    ("invalid_options", "code", "message"),
    [
        (("--max-cloud", "101"), 2, "--max-cloud"),
        (("--target-count", "0"), 2, "--target-count"),
        (("--query", "no-equals"), 2, "no-equals"),
        (("--start", "yesterday"), 2, "invalid time 'yesterday' for --start"),
        (("--source-option", "token=abc"), 2, "looks like a credential"),
        (("--reader", "no-such-reader"), 3, "no-such-reader"),
        (("--source", "no-such-source"), 3, "no-such-source"),
    ],
)
def test_invalid_options_are_named(run, arguments, archive_folder, invalid_options, code, message):
    add_scene(archive_folder, "one")

    exit_code, _, err = run(*arguments, *invalid_options)

    assert exit_code == code
    assert message in err
    assert list_fetched(archive_folder) == []


def test_terminal_shows_progress_bar(run, arguments, archive_folder, dataset):
    for number in range(2):
        add_scene(archive_folder, f"scene-{number}", column=400 * number)
    parent_end, child_end = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "geographer", "-C", str(dataset.root), *arguments],
        stdout=subprocess.DEVNULL,
        stderr=child_end,
    )
    os.close(child_end)
    captured = b""
    # Reading a terminal that is closed ends with an error.
    with contextlib.suppress(OSError):
        while piece := os.read(parent_end, 4096):
            captured += piece
    os.close(parent_end)

    assert process.wait() == 0, captured
    assert re.search(rb"\r\[#{12}\.{12}\] products, \d\.\d MB: 1 of 2", captured)
    assert captured.endswith(b"\r\x1b[K")


def test_pipe_shows_no_progress_bar(run, arguments, archive_folder):
    add_scene(archive_folder, "one")

    assert run(*arguments)[2] == ""


def test_ordered_products_exit_with_6(run, arguments, archive_folder):
    add_scene(archive_folder, "one")
    add_scene(archive_folder, "two", column=400)
    set_product_offline(archive_folder, "two")

    code, out, err = run(*arguments)

    assert (code, "1 raster, " in out, "1 product ordered" in out) == (6, True, True)
    assert "1 product is ordered ('two': in the archive's cellar). Run the command again in a few hours" in out + err
    assert run(*arguments)[0] == 6
    assert list_orders(archive_folder) == ["two"]
    set_product_offline(archive_folder, "two", offline=False)
    assert run("update")[0] == 0


def test_replaced_products_exit_with_0(run, arguments, archive_folder):
    for name, column, cloud_cover in (("gone", 0, 0.0), ("one", 0, 9.0), ("two", 400, 0.0)):
        add_scene(archive_folder, name, column=column, cloud_cover=cloud_cover, is_missing=name == "gone")

    code, out, err = run(*arguments, "--fall-back")

    assert (code, "1 failed product replaced by others" in out) == (0, True)
    assert "'gone' failed and was replaced by 'one'" in out + err
