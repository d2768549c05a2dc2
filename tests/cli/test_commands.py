"""The commands: their keys, formats, revisions, shared options, and how little they import."""

import json
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import click
import geopandas
import pytest
from click.testing import CliRunner

from geographer import Dataset
from geographer.cli import _COMMANDS, cli

KEYS = {
    "features": ["feature_id", "class", "geometry"],
    "rasters": [
        *("raster_id", "collection", "path", "crs", "width", "height", "md5", "sha256", "pixel_digest", "footprint"),
    ],
    "edges": ["feature_id", "raster_id", "relation"],
    "chips": ["raster_id", "parent_id", "col", "row", "width", "height"],
    "labels": ["label", "raster_id", "path", "md5"],
    "splits": ["split", "raster_id", "part"],
    "tags": ["tag", "position", "digest", "content_digest"],
    "log": ["position", "kind", "recorded_at", "author", "message", "digest"],
}


@pytest.fixture
def root(story, tmp_path: Path) -> Path:
    return shutil.copytree(story.root, tmp_path / "dataset")


def run(root: Path, *arguments: str) -> str:
    result = CliRunner().invoke(cli, ["-C", str(root), *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.parametrize("command", KEYS)
def test_json_lines_have_the_keys_of_the_table(story, command):
    lines = run(story.root, command, "--json").splitlines()
    assert lines
    for line in lines:
        assert list(json.loads(line))[: len(KEYS[command])] == KEYS[command]


@pytest.mark.parametrize("command", ["features", "rasters"])
def test_geometries_come_as_geojson_and_geoparquet(story, tmp_path, command):
    written = tmp_path / "out.parquet"
    run(story.root, command, "--format", "parquet", "-o", str(written))
    collection = json.loads(run(story.root, command, "--format", "geojson"))
    frame = geopandas.read_parquet(written)
    assert len(collection["features"]) == len(frame) == len(run(story.root, command, "--json").splitlines())
    assert frame.crs.to_epsg() in (4326, None) or "CRS84" in str(frame.crs)
    assert all(feature["geometry"]["type"] for feature in collection["features"])


def test_every_way_to_name_a_revision_reads_the_same(story):
    dataset = Dataset.open(story.root)
    position = dataset.tags()["position"][0].as_py()
    back = len(dataset.log()) - position
    names = ["v1", f"@{position}", f"HEAD~{back}", dataset.show("v1").digest[:12]]
    answers = {run(story.root, "edges", "--json", "--at", name) for name in names}
    assert len(answers) == 1
    assert answers != {run(story.root, "edges", "--json")}


CHANGES = [
    ["add", "classes", "reed"],
    ["remove", "features", "q1"],
    ["cut", "grid", "cells", "--size", "16"],
    ["tag", "soon"],
]


@pytest.mark.parametrize("change", CHANGES, ids=" ".join)
def test_a_dry_run_changes_nothing_and_a_repeated_key_happens_once(root, change):
    before = Dataset.open(root).show().digest
    assert "nothing was changed" in run(root, *change, "--dry-run")
    assert Dataset.open(root).show().digest == before
    options = ["-m", "because", "--author", "Grace", "--idempotency-key", "k1", "--expect-head", before[:12]]
    first = json.loads(run(root, *change, *options, "--json"))
    again = json.loads(run(root, *change, *options, "--json"))
    assert (first["changed"], again["changed"]) == (True, False)
    assert first["digest"] == again["digest"] == Dataset.open(root).show().digest
    event = Dataset.open(root).show()
    assert (event.message, event.author) == ("because", "Grace")
    with pytest.raises(Exception, match="not the expected"):
        run(root, "add", "classes", "moss", "--expect-head", before[:12])


CUTS = [
    (
        [
            "around",
            "near",
            "--mode",
            "variable",
            "--scale",
            "2",
            "--min-size",
            "8",
            "--order-by",
            "random",
            "--seed",
            "3",
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
        ["own", "mine", "--cutter", "tests.sample_history:Corners", "--size", "8", "-O", "inset=2"],
        {
            "size": [8, 8, "px"],
            "cutter": {"cutter": "tests.sample_history:Corners", "version": "1.0"},
            "options": {"inset": 2},
        },
    ),
]


@pytest.mark.parametrize(("words", "parameters"), CUTS, ids=[words[1] for words, _ in CUTS])
def test_every_cut_passes_its_options_on(root, story, words, parameters):
    words = [str(story.inputs / "boxes.geojson") if word == "BOXES" else word for word in words]
    told = json.loads(run(root, "cut", *words, "--json"))
    assert told["changed"]
    event = Dataset.open(root).show()
    kept = event.payload["recipe"]["parameters"]
    assert {key: kept[key] for key in parameters} == parameters
    assert event.payload["chips"] > 0


def test_the_short_help_is_each_commands_own():
    for name, (module, short) in _COMMANDS.items():
        command = getattr(import_module(f"geographer.cli.{module}"), name)
        assert command.get_short_help_str(200).rstrip(".") == short.rstrip("."), name


def options_of(command: click.Command) -> list[click.Option]:
    found = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
    for inner in getattr(command, "commands", {}).values():
        found += options_of(inner)
    return found


def test_every_command_that_changes_takes_the_shared_options():
    shared = {"--message", "--author", "--idempotency-key", "--dry-run", "--json"}
    for name in ("add", "remove", "import", "cut", "label"):
        group = getattr(import_module(f"geographer.cli.{_COMMANDS[name][0]}"), name)
        for inner in group.commands.values():
            assert shared <= {flag for option in options_of(inner) for flag in option.opts}, inner.name
    for name in ("init", "split", "update", "tag"):
        command = getattr(import_module(f"geographer.cli.{_COMMANDS[name][0]}"), name)
        assert shared <= {flag for option in options_of(command) for flag in option.opts}, name


def imported(*arguments: str) -> set[str]:
    """The top-level modules that a run of the command line imports."""
    script = (
        "import sys\nfrom geographer.cli import main\n"
        f"try:\n    main({list(arguments)!r})\nexcept SystemExit:\n    pass\n"
        "print('\\n'.join({name.partition('.')[0] for name in sys.modules}), file=sys.stderr)"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(run.stderr.split())


def test_help_imports_little_and_the_log_none_of_what_pixels_need(story):
    assert not imported("--help") & {"duckdb", "dvc", "rasterio", "shapely", "pyarrow", "numpy"}
    assert not imported("-C", str(story.root), "log", "-n", "5") & {"dvc", "eodag", "rasterio", "shapely", "pandas"}


def test_words_for_people_are_not_json(story):
    assert "@" in run(story.root, "log", "-n", "2")
    assert "position" in run(story.root, "status")
    assert "payload" in run(story.root, "show", "HEAD")
    assert "added" in run(story.root, "diff", "@1")
