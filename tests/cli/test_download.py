"""`geographer download` as a person sees it: its sentences, tables, JSON and exit codes."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from geographer import Dataset
from geographer.cli import main
from tests.folder_source import bring_back, fetched, shelve
from tests.sample_history import point, write_features


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    return tmp_path / "shelf"


@pytest.fixture
def run(dataset: Dataset, shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    """Runs `geographer …` on a dataset with two features: the exit code, stdout and stderr."""
    features = {"a": ("pond", point(5, 5)), "b": ("pond", point(405, 5))}
    dataset.add_features(write_features(tmp_path / "features.geojson", features), crs="EPSG:32633")

    def run(*arguments: str):
        monkeypatch.setattr(sys, "argv", ["geographer", *arguments])
        with pytest.raises(SystemExit) as end:
            main(["-C", str(dataset.root), *arguments])
        told = capsys.readouterr()
        return end.value.code, told.out, told.err

    return run


@pytest.fixture
def asked(shelf: Path):
    return ("download", "scenes", "--source", "tests.folder_source:Shelf", "--source-option", f"folder={shelf}")


def test_it_says_what_it_did(run, asked, shelf):
    shelve(shelf, "one")
    shelve(shelf, "two", column=400)

    code, out, _ = run(*asked)

    assert code == 0
    assert "rasters_downloaded 'scenes': " in out
    assert "2 rasters" in out
    assert "2 scenes chosen, the fewest that can be" in out


def test_a_plan_is_a_table_and_fetches_nothing(run, asked, shelf):
    shelve(shelf, "one")
    shelve(shelf, "two", column=400)

    code, out, _ = run(*asked, "--plan")

    assert code == 0
    head, first, second, sentence = out.splitlines()
    assert head.split() == ["product_id", "provider", "acquired", "cloud_cover", "bytes", "shows", "cost"]
    assert first.split()[:4] == ["one", "shelf", "2026-06-01T10:00:00", "5.0"]
    assert second.split()[0] == "two"
    assert sentence.startswith("would be rasters_downloaded 'scenes': ")
    assert sentence.endswith("; nothing was changed")
    assert fetched(shelf) == []


def test_a_plan_as_json_has_the_scenes_and_the_counts(run, asked, shelf):
    shelve(shelf, "one")

    _, out, _ = run(*asked, "--plan", "--json")

    told = json.loads(out)
    assert [scene["product_id"] for scene in told["scenes"]] == ["one"]
    assert told["missing"] == 2
    assert told["unmet"] == {"no scene of the archive shows it": 1}


def test_what_failed_is_named_and_makes_the_exit_code_6_until_it_is_there(run, asked, shelf):
    shelve(shelf, "good")
    shelve(shelf, "gone", column=400, missing=True)

    code, out, err = run(*asked, "--json")

    assert code == 6
    assert json.loads(out)["failed"] == 1
    assert run("update")[0] == 6
    bring_back(shelf, "gone")
    code, out, err = run("update")
    assert (code, err) == (0, "")
    assert "1 raster" in out


def test_without_a_single_product_it_is_an_error(run, asked, shelf):
    shelve(shelf, "gone", missing=True)

    code, out, err = run(*asked)

    assert (code, out) == (6, "")
    assert err.startswith("Error: 1 product could not be had ('gone': it has fallen off the shelf")


def test_update_may_leave_archives_alone(run, asked, shelf):
    shelve(shelf, "one")
    run(*asked)
    shelve(shelf, "two", column=400)

    code, _, _ = run("update", "--no-downloads")

    assert code == 0
    assert fetched(shelf) == ["one"]


@pytest.mark.parametrize(
    ("wrong", "code", "says"),
    [
        (("--max-cloud", "101"), 2, "--max-cloud"),
        (("--target-count", "0"), 2, "--target-count"),
        (("--query", "no-equals"), 2, "no-equals"),
        (("--start", "yesterday"), 2, "--start yesterday is no moment"),
        (("--source-option", "token=abc"), 2, "looks like a credential"),
        (("--reader", "no-such-reader"), 3, "no-such-reader"),
        (("--source", "no-such-source"), 3, "no-such-source"),
    ],
)
def test_wrong_options_are_named(run, asked, shelf, wrong, code, says):
    shelve(shelf, "one")

    ended, _, err = run(*asked, *wrong)

    assert ended == code
    assert says in err
    assert fetched(shelf) == []


def test_on_a_terminal_a_bar_tells_products_and_bytes(run, asked, shelf, dataset):
    for number in range(2):
        shelve(shelf, f"scene-{number}", column=400 * number)
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "geographer", "-C", str(dataset.root), *asked], stdout=subprocess.DEVNULL, stderr=theirs
    )
    os.close(theirs)
    told = b""
    # Reading a terminal that is closed ends with an error.
    with contextlib.suppress(OSError):
        while piece := os.read(ours, 4096):
            told += piece
    os.close(ours)

    assert process.wait() == 0, told
    assert re.search(rb"\r\[#{12}\.{12}\] products, \d\.\d MB: 1 of 2", told)
    assert told.endswith(b"\r\x1b[K")


def test_off_a_terminal_there_is_no_bar(run, asked, shelf):
    shelve(shelf, "one")

    assert run(*asked)[2] == ""
