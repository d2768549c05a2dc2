"""Recreate a dataset from its rasters and an export of its features."""

from __future__ import annotations

import shutil
from pathlib import Path

from click.testing import CliRunner

from geographer import Dataset
from geographer.cli import geographer_command


def run_command(root: Path, *arguments: str) -> None:
    result = CliRunner().invoke(geographer_command, ["-C", str(root), *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output


def read_edges(root: Path, collection: str) -> set[tuple[str, str, str]]:
    """Read the edges, with rasters by file stem: a chip's id also has its recipe's name."""
    dataset = Dataset.open(root)
    stems = {
        row["raster_id"]: Path(row["path"]).stem
        for row in dataset.rasters(where=f"collection = '{collection}'").to_pylist()
    }
    rows = dataset.edges().to_pylist()
    return {(row["feature_id"], stems[row["raster_id"]], row["relation"]) for row in rows if row["raster_id"] in stems}


def test_edges_recovered_from_rasters_and_geojson(sample_history, tmp_path):
    exported, recreated = tmp_path / "exported", tmp_path / "recreated"
    shutil.copytree(sample_history.at_v1 / "rasters", exported / "rasters")
    run_command(sample_history.at_v1, "features", "--format", "geojson", "-o", str(exported / "features.geojson"))
    run_command(tmp_path, "init", str(recreated), "--background", "water", "--no-scm")
    run_command(recreated, "add", "features", str(exported / "features.geojson"))
    for collection in ("source", "around"):
        run_command(
            recreated,
            "add",
            "rasters",
            str(exported / "rasters"),
            "--pattern",
            f"{collection}/*.tif",
            "--collection",
            collection,
        )
        assert read_edges(recreated, collection) == read_edges(sample_history.at_v1, collection) != set()
    assert Dataset.open(recreated).verify() == []
    expected, actual = (Dataset.open(root).features().to_pylist() for root in (sample_history.at_v1, recreated))
    assert [(row["feature_id"], row["class"], row["depth"]) for row in actual] == [
        (row["feature_id"], row["class"], row["depth"]) for row in expected
    ]
    pixels = [
        dict(zip(table["md5"].to_pylist(), table["pixel_digest"].to_pylist(), strict=True))
        for table in (
            Dataset.open(root).rasters(where="collection <> 'catalogue' AND collection <> 'grid'")
            for root in (sample_history.at_v1, recreated)
        )
    ]
    assert pixels[0] == pixels[1]
