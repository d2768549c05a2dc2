"""Maps: what they count, where places are, and their limits; against shapely and numpy."""

from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
import shapely
from PIL import Image

from geographer import Dataset
from geographer.base.errors import NotFoundError, UsageError
from geographer.outputs.plots.geo_axes import find_map_extent, join_halves, shift_parts, split_geometries
from geographer.outputs.plots.map_content import MapFilter, MapLimits, read_map
from geographer.outputs.plots.small_map import draw_small_map


def list_numbers(plot) -> dict[tuple[str, str], int]:
    return {(what, name): number for what, name, number in plot.table.rows}


def test_map_counts_features_rasters_and_subsets(history: Dataset) -> None:
    numbers = list_numbers(history.plot.map())
    features = history.features().to_pylist()
    classes = {row["class"] for row in features}
    assert {name: number for (what, name), number in numbers.items() if what == "features"} == {
        name: sum(row["class"] == name for row in features) for name in classes
    }
    parts = history.splits().to_pylist()
    for part in ("train", "test"):
        assert numbers["samples of split 'parts' in", part] == sum(row["part"] == part for row in parts)
    members = {row["raster_id"] for row in parts}
    others = [row for row in history.rasters().to_pylist() if row["raster_id"] not in members]
    found = {name: number for (what, name), number in numbers.items() if what in ("rasters in", "chips in")}
    assert found == {
        name: sum(row["collection"] == name for row in others) for name in {r["collection"] for r in others}
    }


def test_filters_leave_out_features_and_rasters(history: Dataset) -> None:
    plot = history.plot.map(class_="pond", where="depth > 1", collection="grid")
    names = {*list_numbers(plot)}
    assert {name for what, name in names if what == "features"} == {"pond"}
    assert {name for what, name in names if what != "features"} == {"grid"}
    before = history.plot.map(at="v1")
    assert before.title.endswith("@8")


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ({"class_": "none"}, NotFoundError, "no class 'none'"),
        ({"collection": "none"}, NotFoundError, "no collection 'none'"),
        ({"split": "none"}, NotFoundError, "no split 'none'"),
        ({"where": "height > 1"}, NotFoundError, "height"),
        ({"where": "1; DROP"}, UsageError, "--where"),
        ({"at": "@99"}, NotFoundError, "99"),
    ],
)
def test_unknown_names_are_refused(history: Dataset, values, error, message) -> None:
    with pytest.raises(error, match=message):
        history.plot.map(**values)


def test_antimeridian_is_crossed_in_one_piece(hostile: Dataset) -> None:
    with hostile._unit_of_work.open_revision(None) as revision:
        extent = read_map(revision, MapFilter()).extent
    assert 178.8 < extent.west < 179
    assert 180.9 < extent.east < 181.1
    texts = "".join(ElementTree.fromstring(hostile.plot.map().to_svg()).itertext())
    assert "180.0°" in texts
    assert "179.5°W" in texts


def test_extent_begins_in_the_largest_gap() -> None:
    boxes = np.array([[170, 0, 179, 1], [-178, 0, -170, 1], [-100, 2, -99, 3]], float)
    extent = find_map_extent(boxes)
    assert extent.cut == 170
    assert extent.west < 170
    assert extent.east > 261
    assert find_map_extent(np.empty((0, 4))).west == -180
    one = find_map_extent(np.array([[7, 89.9, 7, 89.9]], float))
    assert one.north - one.south >= 0.0039
    assert np.isfinite(one.side_ratio)


def test_halves_of_an_area_at_the_antimeridian_are_joined() -> None:
    halves = shapely.MultiPolygon([shapely.box(179, 0, 180, 1), shapely.box(-180, 0, -178, 1)])
    shapes = np.array([halves, shapely.box(170, 0, 171, 1), shapely.Point(180, 5)], object)
    parts, owners = split_geometries(shapes)
    joined = join_halves(parts, shift_parts(parts, 100.0), owners)
    areas = joined[shapely.area(joined) > 0]
    assert sorted(shapely.area(areas).tolist()) == [1, 3]
    assert shapely.equals(areas, shapely.box(179, 0, 182, 1)).any()


def test_many_features_are_counted_in_cells(hostile: Dataset) -> None:
    with hostile._unit_of_work.open_revision(None) as revision:
        content = read_map(revision, MapFilter(), MapLimits(shapes=10, cells=40))
        boxes = revision.fetch_rows("SELECT ST_XMin(geometry), ST_YMin(geometry) FROM current_feature")
    assert content.features is None
    assert content.density is not None
    assert content.density.sum() == len(boxes) == 100
    extent = content.extent
    rows, columns = content.density.shape
    expected = np.zeros((rows, columns), int)
    for west, south in boxes:
        x = (west + 0.04 + 360) % 360 - extent.west
        y = south + 0.04 - extent.south
        expected[int(y / (extent.north - extent.south) * rows), int(x / (extent.east - extent.west) * columns)] += 1
    np.testing.assert_array_equal(content.density, expected)
    assert "their number in each cell" in content.notes[0]


def test_many_rasters_are_thinned_out(history: Dataset) -> None:
    with history._unit_of_work.open_revision(None) as revision:
        content = read_map(revision, MapFilter(), MapLimits(footprints=10))
    drawn = sum(len(item.ids) for item in content.footprints)
    assert 5 <= drawn <= 10 < sum(item.number for item in content.footprints)
    assert "is drawn" in content.notes[0]


def test_colours_of_features_lie_where_the_features_are(hostile: Dataset) -> None:
    with Image.open(io.BytesIO(hostile.plot.map(class_="class 50").to_png(80))) as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    is_blue = (pixels[..., 2] - pixels[..., 0] > 60) & (pixels[..., 2] > 120)
    rows, columns = np.nonzero(is_blue)
    middle = np.median(columns), np.median(rows)
    # A single square is in the middle of its map.
    assert is_blue.sum() > 50
    assert abs(middle[1] / pixels.shape[0] - 0.5) < 0.2


def test_empty_dataset_has_plots(dataset: Dataset) -> None:
    assert "no features and no rasters" in dataset.plot.map().to_svg()
    assert dataset.plot.map().to_html()
    assert dataset.plot.classes().table.rows == []
    assert len(dataset.plot.timeline().table.rows) == 1
    with pytest.raises(NotFoundError, match="no split at @1"):
        dataset.plot.splits()
    with pytest.raises(NotFoundError, match="no raster with pixels"):
        dataset.plot.chips()


def test_small_map_is_small_and_complete(history: Dataset, hostile: Dataset, dataset: Dataset) -> None:
    for source in (history, hostile):
        text = source._repr_html_()
        svg = ElementTree.fromstring(text[text.index("<svg") : text.index("</svg>") + 6])
        assert svg.get("role") == "img"
        assert len(text) < 60_000
        assert text.endswith("</table>")
        assert "<img" not in text
    assert dataset._repr_html_().startswith("<table>")


def test_small_map_joins_what_crosses_the_antimeridian(hostile: Dataset) -> None:
    with hostile._unit_of_work.open_revision(None) as revision:
        svg = ElementTree.fromstring(draw_small_map(revision))
    width = float(svg.get("width", ""))
    numbers = [
        float(x)
        for path in svg.iter("{http://www.w3.org/2000/svg}path")
        for x in re.findall(r"[ML]([\d.]+) ", path.get("d", ""))
    ]
    assert min(numbers) > 0
    assert max(numbers) < width
    assert max(numbers) - min(numbers) > 0.8 * width
