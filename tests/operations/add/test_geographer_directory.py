"""Import GeoGrapher 1.0 directories: imported objects, differences between the graphs, and rejected input."""

import json

import pyproj
import pytest
import shapely
from click.testing import CliRunner

from geographer import Dataset
from geographer.base.errors import ConflictError, CorruptError, NotFoundError, UsageError
from geographer.cli import geographer_command
from tests.old_library import Objects, make_graph, write_directory, write_graph
from tests.sample_rasters import make_pixels, write_scene

box = shapely.box
# North of 60° and at the edge of its zone, where a raster differs much from its box in degrees.
FAR = (1000.0, 0.0, 200_000.0, 0.0, -1000.0, 6_900_000.0)
LONLAT = (1 / 1024, 0.0, 10.0, 0.0, -1 / 1024, 50.0)
ROTATED = (1 / 1024, 1 / 2048, 30.0, 1 / 2048, -1 / 1024, 50.0)
ZONE_ONE = (100.0, 0.0, 298_000.0, 0.0, -100.0, 6_000_000.0)


def list_corners(transform, side=64):
    """Return the corners of a raster of `side` pixels in its CRS."""
    a, b, c, d, e, f = transform
    return [(a * x + b * y + c, d * x + e * y + f) for x, y in ((0, 0), (0, side), (side, side), (side, 0))]


def to_lonlat(points, crs):
    transformer = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    return [transformer.transform(*point) for point in points]


def write_raster(folder, name, transform, crs, side=64):
    """Write a raster file of a directory; return its footprint with straight edges in degrees."""
    write_scene(folder / "rasters" / name, make_pixels(1, side, side, "uint8"), transform=transform, crs=crs)
    return shapely.Polygon(to_lonlat(list_corners(transform, side), crs))


def make_square(crs, x, y, side):
    return shapely.Polygon(to_lonlat([(x, y), (x, y + side), (x + side, y + side), (x + side, y)], crs))


def list_rows(table):
    return [tuple(row.values()) for row in table.to_pylist()]


VECTORS: Objects = {
    3: ({"type": "quarry", "depth": 1.5, "name": "a"}, box(10.01, 49.96, 10.02, 49.97)),
    1: ({"type": "pond", "depth": None, "name": "b"}, box(20.1, 50.1, 20.2, 50.2)),
    2: ({"type": "water", "depth": 2.5, "name": "c"}, box(20.9, 50.1, 21.1, 50.2)),
}
RASTERS: Objects = {
    "scene.tif": ({"orig_crs_epsg_code": 4326, "raster_processed?": True}, box(10, 50 - 64 / 1024, 10 + 64 / 1024, 50)),
    "S2A.SAFE": ({"orig_crs_epsg_code": 32633, "raster_processed?": False}, box(20, 50, 21, 51)),
}


@pytest.fixture
def directory(tmp_path):
    """A directory with one raster file, one footprint, two labels and an unlisted raster file."""
    folder = write_directory(tmp_path / "old", VECTORS, RASTERS, background="water")
    write_raster(folder, "scene.tif", LONLAT, "EPSG:4326")
    write_raster(folder, "unlisted.tif", LONLAT, "EPSG:4326")
    (folder / "labels").mkdir()
    for name in ("scene.tif", "gone.tif"):
        (folder / "labels" / name).write_bytes(b"a label")
    return folder


def test_import_adds_everything_in_one_event(dataset, directory):
    result = dataset.import_geographer(directory, message="moved")
    assert result.position == 2
    assert dataset.sql("SELECT class, value FROM classes").to_pylist() == [
        {"class": "water", "value": 0},
        {"class": "pond", "value": 1},
        {"class": "quarry", "value": 2},
    ]
    features = dataset.features()
    assert features.column_names == ["feature_id", "class", "geometry", "depth", "name"]
    assert features["feature_id"].to_pylist() == [3, 1, 2]
    assert features["class"].to_pylist() == ["quarry", "pond", "water"]
    assert features["depth"].to_pylist() == [1.5, None, 2.5]
    shapes = shapely.from_wkb(features["geometry"].to_pylist())
    assert all(shapely.equals_exact(shape, VECTORS[i][1]) for shape, i in zip(shapes, (3, 1, 2), strict=True))
    rasters = {row["raster_id"]: row for row in dataset.rasters().to_pylist()}
    assert rasters["scene"]["path"] == "rasters/source/scene.tif"
    assert (dataset.root / "rasters/source/scene.tif").read_bytes() == (
        directory / "rasters" / "scene.tif"
    ).read_bytes()
    assert (rasters["S2A.SAFE"]["collection"], rasters["S2A.SAFE"]["path"]) == ("catalogue", None)
    user_columns = {
        name: (row["raster_name"], row["orig_crs_epsg_code"], row["raster_processed?"]) for name, row in rasters.items()
    }
    assert user_columns == {"scene": ("scene.tif", 4326, True), "S2A.SAFE": ("S2A.SAFE", 32633, False)}
    edges = dataset.edges().to_pylist()
    assert {(row["feature_id"], row["raster_id"]): row["relation"] for row in edges} == {
        (3, "scene"): "contains",
        (1, "S2A.SAFE"): "contains",
        (2, "S2A.SAFE"): "intersects",
    }
    assert not dataset.verify()


def test_summary_counts_imported_and_ignored(dataset, directory):
    summary = dataset.import_geographer(directory).summary
    counts = ("features", "rasters", "footprints", "skipped", "left_aside_labels", "left_aside_files")
    assert [summary[name] for name in counts] == [3, 1, 1, 0, 2, 1]
    assert summary["edges"] == {"before": 3, "after": 3, "different": 0}
    assert summary["differences"] == {}
    assert "label" in summary["warnings"][0]
    assert "unlisted.tif" in summary["warnings"][1]
    assert dataset.show().payload["edges"] == summary["edges"]


def test_imported_dataset_can_be_cut_and_labelled(dataset, directory):
    dataset.import_geographer(directory)
    dataset.cut_around_features("chips", size=32)
    dataset.label_masks("mask", collection="chips")
    assert dataset.chips()["parent_id"].to_pylist() == ["scene"]
    assert len(dataset.labels()) == 1


def test_import_takes_most_probable_class(dataset, tmp_path):
    probabilities = {"x": (0.2, 0.8), "y": (0.5, 0.5), "z": (None, 0.1)}
    vectors = {
        name: ({"prob_of_class_quarry": b, "prob_of_class_pond": a}, box(i, 0, i + 1, 1))
        for i, (name, (a, b)) in enumerate(probabilities.items())
    }
    dataset.import_geographer(write_directory(tmp_path / "old", vectors, {}))
    features = dataset.features().to_pylist()
    assert [(row["feature_id"], row["class"]) for row in features] == [("x", "quarry"), ("y", "pond"), ("z", "quarry")]
    assert [row["prob_of_class_pond"] for row in features] == [0.2, 0.5, None]


def test_import_without_class_column(dataset, tmp_path):
    vectors = {"x": ({"kind": "small"}, box(0, 0, 1, 1))}
    several_classes = write_directory(tmp_path / "many", vectors, {}, classes=("small", "large"))
    with pytest.raises(UsageError, match="has no column 'type' or prob_of_class_"):
        dataset.import_geographer(several_classes)
    assert dataset.import_geographer(several_classes, as_class="large", dry_run=True).summary["features"] == 1
    dataset.import_geographer(several_classes, class_="kind")
    single_class = write_directory(tmp_path / "one", {"y": ({}, box(0, 0, 1, 1))}, {}, classes=("object",))
    dataset.import_geographer(single_class)
    assert dataset.features()["class"].to_pylist() == ["small", "object"]
    assert dataset.sql("SELECT value FROM classes")["value"].to_pylist() == [1, 2, 3]


def test_import_keeps_projected_coordinates(dataset, tmp_path):
    vectors = {"x": ({"type": "pond"}, box(500_000, 5_000_000, 500_100, 5_000_100))}
    rasters: Objects = {"r": ({}, box(500_000, 5_000_000, 501_000, 5_001_000))}
    directory = write_directory(tmp_path / "old", vectors, rasters, crs="urn:ogc:def:crs:EPSG::32633")
    assert dataset.import_geographer(directory).summary["edges"] == {"before": 1, "after": 1, "different": 0}
    assert dataset.edges()["relation"].to_pylist() == ["contains"]


def test_empty_directory_adds_only_classes(dataset, tmp_path):
    summary = dataset.import_geographer(write_directory(tmp_path / "old", {}, {})).summary
    assert (summary["features"], summary["rasters"], summary["classes"]) == (0, 0, ["pond", "quarry"])


def import_and_compare(dataset, folder, vectors, rasters, edges=None, **options):
    """Import a directory; return the differences from its graph by feature and raster, after checking the summary."""
    write_graph(folder, make_graph(vectors, rasters) if edges is None else edges, vectors, rasters)
    summary = dataset.import_geographer(folder, **options).summary
    actual = list_rows(dataset.compare_geographer(folder))
    assert summary["edges"]["different"] == len(actual) == sum(summary["differences"].values())
    assert {row[4] for row in actual} == set(summary["differences"])
    return {row[:2]: row[2:] for row in actual}


def make_raster_folder(tmp_path):
    """Make a directory's raster folder; footprints are computed from the files, so the connector is written later."""
    (tmp_path / "old" / "rasters").mkdir(parents=True)
    return tmp_path / "old"


def write_connector(folder, vectors, rasters):
    """Write the connector of a directory that has its raster files."""
    write_directory(folder.with_name("connector only"), vectors, rasters)
    folder.with_name("connector only").joinpath("connector").rename(folder / "connector")


def test_old_footprint_box_in_degrees(dataset, tmp_path):
    folder = make_raster_folder(tmp_path)
    outline = write_raster(folder, "far.tif", FAR, "EPSG:32633")
    envelope = shapely.envelope(outline)
    # The corner of the box that is farthest from the raster.
    corner = max(shapely.get_coordinates(envelope), key=lambda point: outline.distance(shapely.Point(point)))
    outside = shapely.box(*corner, *(corner + 0.001 * (shapely.get_coordinates(envelope.centroid)[0] - corner)))
    crossing = make_square("EPSG:32633", 199_900, 6_880_000, 500)
    inside = make_square("EPSG:32633", 230_000, 6_870_000, 500)
    shapes = {"outside": outside, "crossing": crossing, "inside": inside}
    vectors = {name: ({"type": "pond"}, shape) for name, shape in shapes.items()}
    rasters: Objects = {"far.tif": ({}, envelope)}
    write_connector(folder, vectors, rasters)
    reason = (
        "the old footprint was the box around the raster in the connector's CRS: the raster's own CRS says otherwise"
    )
    assert import_and_compare(dataset, folder, vectors, rasters) == {
        ("outside", "far"): ("contains", None, reason),
        ("crossing", "far"): ("contains", "intersects", reason),
    }


def test_old_footprint_with_straight_edges(dataset, tmp_path):
    folder = make_raster_folder(tmp_path)
    outline = write_raster(folder, "far.tif", FAR, "EPSG:32633")
    vectors = {"edge": ({"type": "pond"}, make_square("EPSG:32633", 232_000, 6_899_975, 20))}
    rasters: Objects = {"far.tif": ({}, outline)}
    write_connector(folder, vectors, rasters)
    (difference,) = import_and_compare(dataset, folder, vectors, rasters).values()
    assert difference[:2] == (None, "contains")
    assert difference[2].startswith("the old footprint had straight edges in the connector's CRS")


def test_features_at_raster_border(dataset, tmp_path):
    folder = make_raster_folder(tmp_path)
    write_raster(folder, "a.tif", LONLAT, "EPSG:4326")
    side = 64 / 1024
    vectors = {
        "beside": ({"type": "pond"}, box(10 + side, 49.95, 10 + side + 0.01, 49.96)),
        "within": ({"type": "pond"}, box(10 + side - 1 / 1024, 49.95, 10 + side, 49.96)),
    }
    rasters: Objects = {"a.tif": ({}, box(10, 50 - side, 10 + side - 1e-9, 50))}
    write_connector(folder, vectors, rasters)
    assert import_and_compare(dataset, folder, vectors, rasters) == {
        ("beside", "a"): (None, "intersects", "the feature only touches the border of the raster"),
        ("within", "a"): (
            "intersects",
            "contains",
            "the feature reaches the border of the raster, and does not cross it",
        ),
    }


def test_old_footprint_box_of_rotated_raster(dataset, tmp_path):
    folder = make_raster_folder(tmp_path)
    outline = write_raster(folder, "t.tif", ROTATED, "EPSG:4326")
    x, y, *_ = outline.bounds
    vectors = {"corner": ({"type": "pond"}, box(x, y, x + 0.001, y + 0.001))}
    rasters: Objects = {"t.tif": ({}, shapely.envelope(outline))}
    write_connector(folder, vectors, rasters)
    reason = "the old footprint was the box around a turned raster"
    assert import_and_compare(dataset, folder, vectors, rasters) == {("corner", "t"): ("contains", None, reason)}


def test_old_footprint_across_antimeridian(dataset, tmp_path):
    folder = make_raster_folder(tmp_path)
    points = shapely.get_coordinates(write_raster(folder, "z.tif", ZONE_ONE, "EPSG:32601", side=128))
    assert points[:, 0].min() < -179
    assert points[:, 0].max() > 179
    envelope = box(*points.min(axis=0), *points.max(axis=0))
    middle = (points[:, 1].min() + points[:, 1].max()) / 2
    vectors = {"greenwich": ({"type": "pond"}, box(0, middle, 0.001, middle + 0.001))}
    rasters: Objects = {"z.tif": ({}, envelope)}
    write_connector(folder, vectors, rasters)
    reason = "the old footprint reaches around the globe: the raster crosses the antimeridian"
    assert import_and_compare(dataset, folder, vectors, rasters) == {("greenwich", "z"): ("contains", None, reason)}


def test_raster_file_elsewhere_is_reported(dataset, tmp_path):
    folder = make_raster_folder(tmp_path)
    write_raster(folder, "a.tif", LONLAT, "EPSG:4326")
    vectors = {"x": ({"type": "pond"}, box(12.01, 49.95, 12.02, 49.96))}
    rasters: Objects = {"a.tif": ({}, box(12, 49.9, 12.1, 50))}
    write_connector(folder, vectors, rasters)
    reason = "rasters.geojson has the raster in another place than its file"
    assert import_and_compare(dataset, folder, vectors, rasters) == {("x", "a"): ("contains", None, reason)}


def test_outdated_graph_differs_from_wrong_footprints(dataset, tmp_path):
    bow_tie = shapely.Polygon([(20.3, 50.3), (20.4, 50.4), (20.4, 50.3), (20.3, 50.4)])
    vectors = {**VECTORS, 4: ({"type": "pond"}, bow_tie)}
    rasters: Objects = {"S2A.SAFE": RASTERS["S2A.SAFE"]}
    folder = write_directory(tmp_path / "old", vectors, rasters, {}, background="water")
    edges = {
        (2, "S2A.SAFE"): "contains",
        (3, "S2A.SAFE"): "intersects",
        (4, "S2A.SAFE"): "contains",
        (99, "S2A.SAFE"): "contains",
        (1, "gone.tif"): "intersects",
    }
    assert import_and_compare(dataset, folder, vectors, rasters, edges, on_error="skip") == {
        ("1", "S2A.SAFE"): (None, "contains", "the old graph was out of date: its own footprint says otherwise"),
        ("2", "S2A.SAFE"): (
            "contains",
            "intersects",
            "the old graph was out of date: its own footprint says otherwise",
        ),
        ("3", "S2A.SAFE"): ("intersects", None, "the old graph was out of date: its own footprint says otherwise"),
        ("4", "S2A.SAFE"): ("contains", None, "the feature is not here: it was left out, or removed"),
        ("99", "S2A.SAFE"): ("contains", None, "the feature is unknown: graph.json has it, vectors.geojson has not"),
        ("1", "gone.tif"): ("intersects", None, "the raster is unknown: graph.json has it, rasters.geojson has not"),
    }
    dataset.remove_rasters(["S2A.SAFE"])
    differences = list_rows(dataset.compare_geographer(folder))
    assert ("2", "S2A.SAFE", "contains", None, "the raster is not here: it was left out, or removed") in differences


def test_contradictory_graph_is_reported(dataset, directory):
    path = directory / "connector" / "graph.json"
    graph = json.loads(path.read_text())
    graph["rasters"]["S2A.SAFE"]["1"] = "intersects"
    path.write_text(json.dumps(graph))
    dataset.import_geographer(directory)
    reason = "the old graph contradicts itself: from the raster's side it says otherwise"
    assert list_rows(dataset.compare_geographer(directory)) == [("1", "S2A.SAFE", "contains", "contains", reason)]


def test_new_classes_get_next_values(tmp_path, directory):
    dataset = Dataset.init(tmp_path / "dataset", classes=["track", "quarry"], scm=False)
    dataset.import_geographer(directory, collection="old")
    values = {row["class"]: row["value"] for row in dataset.sql("SELECT class, value FROM classes").to_pylist()}
    assert values == {"water": 0, "track": 1, "quarry": 2, "pond": 3}
    assert dataset.rasters(where="collection = 'old'")["raster_id"].to_pylist() == ["scene"]


def break_directory(directory, damage):
    if damage == "lacks a file":
        (directory / "connector" / "graph.json").unlink()
    elif damage == "broken JSON":
        (directory / "connector" / "graph.json").write_text("{")
    elif damage == "no CRS":
        write_scene(directory / "rasters" / "scene.tif", make_pixels(1, 8, 8), crs=None)
    elif damage == "damaged":
        path = directory / "rasters" / "scene.tif"
        path.write_bytes(path.read_bytes()[:700])
    elif damage == "equal ids":
        text = (directory / "connector" / "rasters.geojson").read_text()
        (directory / "connector" / "rasters.geojson").write_text(text.replace("S2A.SAFE", "scene.jp2"))
    elif damage == "unknown class":
        text = (directory / "connector" / "vectors.geojson").read_text()
        (directory / "connector" / "vectors.geojson").write_text(text.replace('"pond"', "null"))


@pytest.mark.parametrize(
    ("damage", "error", "message"),
    [
        ("lacks a file", NotFoundError, "graph.json"),
        ("broken JSON", CorruptError, "graph.json"),
        ("no CRS", UsageError, "no CRS"),
        ("damaged", CorruptError, "scene.tif"),
        ("equal ids", ConflictError, "'scene.jp2', 'scene.tif'"),
        ("unknown class", UsageError, "'1' of '.*' has no class"),
    ],
)
def test_invalid_directory_changes_nothing(dataset, directory, damage, error, message):
    break_directory(directory, damage)
    with pytest.raises(error, match=message):
        dataset.import_geographer(directory)
    assert dataset.status()["position"] == 1
    assert not (dataset.root / "rasters").exists()
    assert not list((dataset.root / ".geographer" / "staging").glob("*"))


def test_second_import_is_rejected(dataset, directory):
    dataset.import_geographer(directory, idempotency_key="k")
    assert not dataset.import_geographer(directory, idempotency_key="k").changed
    for on_error, subject in (("fail", "feature"), ("skip", "raster")):
        message = f"{subject}s? .* (is|are) in the dataset already.*nothing to do.*new dataset"
        with pytest.raises(ConflictError, match=message):
            dataset.import_geographer(directory, on_error=on_error)
    with pytest.raises(NotFoundError, match=r"is not a data directory of GeoGrapher 1.0"):
        dataset.import_geographer(directory / "rasters")


def test_background_in_one_dataset_is_rejected(tmp_path, directory):
    dataset = Dataset.init(tmp_path / "dataset", classes=["water"], scm=False)
    with pytest.raises(ConflictError, match="'water' is the background in only one"):
        dataset.import_geographer(directory)


def run_command(dataset, *arguments):
    result = CliRunner().invoke(
        geographer_command, ["-C", str(dataset.root), *map(str, arguments)], catch_exceptions=False
    )
    assert result.exit_code == 0, result.output
    return result.stdout.splitlines()


def test_command_prints_differing_edges(dataset, directory):
    write_graph(directory, {(1, "S2A.SAFE"): "contains"})
    planned = run_command(dataset, "import", "geographer", directory, "--dry-run")
    assert "nothing was changed" in planned[0]
    assert planned[1] == "edges: 1 in the old graph, 3 here, 2 differ"
    first, *edges = map(json.loads, run_command(dataset, "import", "geographer", directory, "--json"))
    assert (first["position"], first["edges"]["different"]) == (2, 2)
    reason = "the old graph was out of date: its own footprint says otherwise"
    assert edges == [
        {"object": "edge", "feature_id": "2", "raster_id": "S2A.SAFE", "was": None, "now": "intersects", "why": reason},
        {"object": "edge", "feature_id": "3", "raster_id": "scene", "was": None, "now": "contains", "why": reason},
    ]
