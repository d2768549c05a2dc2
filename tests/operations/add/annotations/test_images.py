"""Images: which raster an image shows, by ids and paths."""

from __future__ import annotations

from typing import Any

import pytest

from geographer.base.errors import ConflictError, NotFoundError, UsageError
from geographer.operations.add.annotations.images import match_images
from geographer.operations.add.annotations.shapes import AnnotatedImage

RASTERS = {
    "scene": "rasters/source/scene.tif",
    "S2A.v1": "rasters/source/S2A.v1.tif",
    "left/a": "rasters/left/a.tif",
    "right/a": "rasters/right/a.tif",
    "left/scene": "rasters/left/scene.tif",
    "lake": "/data/north/lake_2020.jp2",
}


class Rasters:
    """A revision with rasters of 80 x 64 pixels."""

    def fetch_rows(self, query: str, _parameters: Any = None) -> list[tuple[Any, ...]]:
        if "DISTINCT collection" in query:
            return [("left",), ("right",)]
        if _parameters and _parameters["collection"] == "nowhere":
            return []
        return [(name, path, "EPSG:32633", 80, 64, [1, 0, 0, 0, -1, 0]) for name, path in RASTERS.items()]


def match_names(*names, is_relative=False, collection=None):
    revision: Any = Rasters()
    images = [name if isinstance(name, AnnotatedImage) else AnnotatedImage(name) for name in names]
    return {
        index: raster.raster_id
        for index, raster in match_images(revision, images, collection, is_relative=is_relative).items()
    }


@pytest.mark.parametrize(
    ("name", "raster"),
    [
        ("scene.png", "scene"),
        ("images/scene.tif", "scene"),
        ("left/scene.png", "left/scene"),
        ("images/left/a.png", "left/a"),
        ("rasters/right/a.tif", "right/a"),
        ("S2A.v1", "S2A.v1"),
        ("S2A.v1.png", "S2A.v1"),
        ("train/lake_2020.jpg", "lake"),
        ("north/lake_2020", "lake"),
        ("x\\left\\a.png", "left/a"),
        ("upload/3/0a1b2c3d-scene.png", "scene"),
        ("scenes.png", None),
        ("", None),
    ],
)
def test_image_shows_raster(name, raster):
    assert match_names(name) == ({} if raster is None else {0: raster})


def test_ambiguous_image_names_rasters():
    with pytest.raises(ConflictError, match=r"the image 'a.png' may be raster 'left/a', 'right/a'.*--collection"):
        match_names("a.png")
    with pytest.raises(ConflictError, match=r"'scene.png', 'x/scene.jpg' both show raster 'scene'"):
        match_names("scene.png", "x/scene.jpg")
    with pytest.raises(NotFoundError, match=r"no collection 'nowhere'.* Its collections: 'left', 'right'"):
        match_names("a.png", collection="nowhere")


def test_image_has_size_of_raster():
    assert match_names(AnnotatedImage("scene", 80, 64)) == {0: "scene"}
    for size in ((1, 1), (40, 32), (160, 128), (53, 43)):
        assert match_names(AnnotatedImage("scene", *size), is_relative=True) == {0: "scene"}
        with pytest.raises(UsageError, match=f"{size[0]} x {size[1]} pixels, and raster 'scene' 80 x 64"):
            match_names(AnnotatedImage("scene", *size))
    for size in ((64, 80), (0, 0), (-80, -64)):
        with pytest.raises(UsageError, match="do not show the same"):
            match_names(AnnotatedImage("scene", *size), is_relative=True)
