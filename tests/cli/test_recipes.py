"""cut, label, split and update: options reach the recorded recipe, under current and old names."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from click.testing import CliRunner

from geographer import Dataset
from geographer.cli import geographer_command
from tests.cli.runner import read_rows, run_command

CUTS: list[tuple[list[str], dict[str, Any]]] = [
    (
        [
            *("around", "near", "--mode", "variable", "--scale", "2", "--min-size", "8"),
            *("--order-by", "random", "--seed", "3"),
        ],
        {"mode": "variable", "scale": 2, "size": [8, 8, "px"], "order_by": "random", "seed": 3, "where": None},
    ),
    (
        ["around", "two", "--size", "8", "--target-count", "2", "--at-border", "skip", "--where", "class = 'pond'"],
        {"mode": "centered", "scale": 1, "target_count": 2, "at_border": "skip", "where": "class = 'pond'"},
    ),
    (
        [
            *("grid", "tiles", "--size", "24x16", "--overlap", "4", "--edge", "drop", "--cells", "with-features"),
            *("--bands", "b=1", "--bands", "2,1", "--max-nodata", "0.5", "--rasters-where", "raster_id <> 'c'"),
        ],
        {
            **{"size": [24, 16, "px"], "overlap": 4, "edge": "drop", "cells": "with-features", "max_nodata": 0.5},
            **{"bands": [["b", [1]], ["*", [2, 1]]], "rasters_where": "raster_id <> 'c'"},
        },
    ),
    (
        ["boxes", "drawn", "BOXES", "--crs", "EPSG:32633", "--at-border", "pad", "--pad-value", "7"],
        {"at_border": "pad", "pad_value": 7, "target_count": 1},
    ),
    (
        ["cover", "few", "--size", "160m", "--time-limit", "5", "--at-border", "pad"],
        {"size": [160, 160, "m"], "time_limit": 5, "at_border": "pad"},
    ),
    (
        ["custom", "mine", "--cutter", "CUTTER", "--size", "8", "-O", "inset=2"],
        {"size": [8, 8, "px"], "cutter": {"cutter": "CUTTER", "version": "1.0"}, "options": {"inset": 2}},
    ),
]
CUTTER = "tests.sample_history:CornerCutter"


@pytest.mark.parametrize(("words", "parameters"), CUTS, ids=[words[1] for words, _ in CUTS])
def test_cut_records_its_options(root, sample_history, words, parameters):
    values = {"BOXES": str(sample_history.inputs / "boxes.geojson"), "CUTTER": CUTTER}
    (result,) = read_rows(root, "cut", *(values.get(word, word) for word in words))
    assert result["changed"]
    event = Dataset.open(root).show()
    recorded = event.payload["recipe"]["parameters"]
    if "cutter" in parameters:
        parameters = {**parameters, "cutter": {"cutter": CUTTER, "version": "1.0"}}
    assert {key: recorded[key] for key in parameters} == parameters
    assert event.payload["chips"] > 0


CUTTER_OPTIONS = ["--cutter", CUTTER, "--size", "8", "-O", "inset=2"]
LABEL_OPTIONS = ["--collection", "grid", "--workers", "1"]


@pytest.mark.parametrize(
    ("old_words", "words"),
    [
        (["cut", "own", "x", *CUTTER_OPTIONS], ["cut", "custom", "x", *CUTTER_OPTIONS]),
        (["label", "soft", "x", *LABEL_OPTIONS], ["label", "probabilities", "x", *LABEL_OPTIONS]),
        (["update", "--afresh"], ["update", "--rebuild-covers"]),
    ],
)
def test_old_names_plan_the_same(root, tmp_path, old_words, words):
    feature = {
        "type": "Feature",
        "properties": {"id": "s", "class": "pond", "prob_of_class_pond": 0.25},
        "geometry": {"type": "Point", "coordinates": [15.0, 47.0]},
    }
    path = tmp_path / "probabilities.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    run_command(root, "add", "features", str(path))
    first, second = (read_rows(root, *command, "--dry-run") for command in (old_words, words))
    assert first == second
    assert first


def test_old_names_record_the_same(root):
    """The recorded kind stays 'cut own', whichever name is typed, so a repeated command finds its recipe."""
    (first,) = read_rows(root, "cut", "own", "corners", *CUTTER_OPTIONS)
    (second,) = read_rows(root, "cut", "custom", "corners", *CUTTER_OPTIONS)
    assert first["recipe"] == second["recipe"]
    assert first["recipe"]["kind"] == "cut own"
    assert (first["changed"], second["changed"]) == (True, False)


def test_update_without_recipes_says_so(dataset: Dataset):
    assert run_command(dataset.root, "update").startswith("no recipes to run.")
    assert read_rows(dataset.root, "update") == []


@pytest.mark.parametrize("pair", ["scale", "=2", "scale=", "a=1 a=2"])
def test_invalid_pairs_are_refused(root, pair):
    options = [word for text in pair.split() for word in ("-O", text)]
    command = ["-C", str(root), "cut", "custom", "x", "--cutter", CUTTER, *options]
    result = CliRunner().invoke(geographer_command, command)
    assert result.exit_code == 2
    assert "Use KEY=VALUE, each name once." in result.output


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (["cut", "grid", "x"], "--size"),
        (["cut", "custom", "x"], "--cutter"),
        (["label", "mask", "x"], "--collection"),
        (["label", "custom", "x", "--collection", "source"], "--maker"),
        (["split", "x", "--parts", "a=1"], "--collection"),
    ],
)
def test_required_options_are_required(root, words, option):
    result = CliRunner().invoke(geographer_command, ["-C", str(root), *words])
    assert result.exit_code == 2
    assert f"Missing option '{option}'" in result.output


def test_components_of_a_dataset_with_recipes(root):
    """A process that only reads has not imported the classes of recipes."""
    Dataset.open(root).cut_grid("tiles", size=16)
    command = [sys.executable, "-m", "geographer", "-C", str(root), "components", "--collection", "tiles", "--json"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.count("\n") == len(Dataset.open(root).chips(where="starts_with(raster_id, 'tiles/')"))
