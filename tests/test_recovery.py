"""A dataset found again from nothing but a folder: its rasters and an export of its features."""

from __future__ import annotations

import shutil
from pathlib import Path

from click.testing import CliRunner

from geographer import Dataset
from geographer.cli import cli


def run(root: Path, *arguments: str) -> None:
    result = CliRunner().invoke(cli, ["-C", str(root), *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output


def edges(root: Path, collection: str) -> set[tuple[str, str, str]]:
    """With rasters by the stems of their files: a chip's id had its recipe's name before it."""
    dataset = Dataset.open(root)
    stems = {
        row["raster_id"]: Path(row["path"]).stem
        for row in dataset.rasters(where=f"collection = '{collection}'").to_pylist()
    }
    rows = dataset.edges().to_pylist()
    return {(row["feature_id"], stems[row["raster_id"]], row["relation"]) for row in rows if row["raster_id"] in stems}


def test_rasters_and_a_geojson_of_the_features_are_enough_for_the_same_edges(story, tmp_path):
    found, again = tmp_path / "found", tmp_path / "again"
    shutil.copytree(story.at_v1 / "rasters", found / "rasters")
    run(story.at_v1, "features", "--format", "geojson", "-o", str(found / "features.geojson"))
    run(tmp_path, "init", str(again), "--background", "water", "--no-scm")
    run(again, "add", "features", str(found / "features.geojson"))
    for collection in ("source", "around"):
        run(
            again,
            "add",
            "rasters",
            str(found / "rasters"),
            "--pattern",
            f"{collection}/*.tif",
            "--collection",
            collection,
        )
        assert edges(again, collection) == edges(story.at_v1, collection) != set()
    assert Dataset.open(again).verify() == []
    was, now = (Dataset.open(root).features().to_pylist() for root in (story.at_v1, again))
    assert [(row["feature_id"], row["class"], row["depth"]) for row in now] == [
        (row["feature_id"], row["class"], row["depth"]) for row in was
    ]
    pixels = [
        dict(zip(table["md5"].to_pylist(), table["pixel_digest"].to_pylist(), strict=True))
        for table in (
            Dataset.open(root).rasters(where="collection <> 'catalogue' AND collection <> 'grid'")
            for root in (story.at_v1, again)
        )
    ]
    assert pixels[0] == pixels[1]
