"""The command plot: files, what it prints, and wrong input."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from geographer.base.errors import GeographerError
from geographer.cli import geographer_command
from tests.cli.runner import run_command
from tests.sample_history import SampleHistory


@pytest.mark.parametrize("kind", ["chips", "classes", "splits"])
def test_plots_are_written(sample_history: SampleHistory, tmp_path, kind: str) -> None:
    path = tmp_path / f"{kind}.svg"
    printed = json.loads(run_command(sample_history.root, "plot", kind, "-o", str(path), "--json"))
    assert path.read_text().startswith("<svg")
    assert printed.keys() == {"path", "text", "notes", "columns", "rows"}
    assert printed["rows"]
    assert all(len(row) == len(printed["columns"]) for row in printed["rows"])


def test_options_reach_the_plots(sample_history: SampleHistory, tmp_path) -> None:
    path = str(tmp_path / "plot.png")
    options = ["--subset", "train", "--labels", "none", "--limit", "2", "--columns", "2"]
    text = run_command(sample_history.root, "plot", "chips", *options, "--at", "v1", "-o", path, "--dpi", "30")
    assert text.startswith(f"'{path}': Contact sheet of")
    assert "without labels" in text
    text = run_command(sample_history.root, "plot", "map", "--where", "class = 'pond'", "--class", "quarry", "-o", path)
    assert "Map of 0 features" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["map", "-o", "map.pdf"], "unknown suffix '.pdf'"),
        (["map", "-o", "rasters/map.png"], "keeps its own files"),
        (["chips", "none", "-o", "x.png"], "no raster 'none'"),
        (["classes", "--labels", "none", "-o", "x.png"], "no label 'none'"),
        (["splits", "--split", "none", "-o", "x.png"], "no split 'none'"),
        (["timeline", "--at", "@99", "-o", "x.png"], "99"),
    ],
)
def test_wrong_input_is_named(sample_history: SampleHistory, monkeypatch, arguments, message: str) -> None:
    monkeypatch.chdir(sample_history.root)
    result = CliRunner().invoke(geographer_command, ["-C", str(sample_history.root), "plot", *arguments])
    assert isinstance(result.exception, GeographerError)
    assert message in str(result.exception)
