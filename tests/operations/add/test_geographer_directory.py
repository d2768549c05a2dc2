"""Importing a directory of the previous library: what comes, how its graph compares, what is refused."""

import json

import pyproj
import pytest
import shapely
from click.testing import CliRunner

from geographer import Dataset
from geographer.base.errors import ConflictError, CorruptError, NotFoundError, UsageError
from geographer.cli import cli
from tests.old_library import graph_of, write_graph, write_old
from tests.sample_rasters import pixels, write_scene

box = shapely.box
# North of 60°, at the edge of its zone: a box in degrees around a raster there reaches far beyond it.
FAR = (1000.0, 0.0, 200_000.0, 0.0, -1000.0, 6_900_000.0)
LONLAT = (1 / 1024, 0.0, 10.0, 0.0, -1 / 1024, 50.0)
TURNED = (1 / 1024, 1 / 2048, 30.0, 1 / 2048, -1 / 1024, 50.0)
ZONE_ONE = (100.0, 0.0, 298_000.0, 0.0, -100.0, 6_000_000.0)


def corners(transform, side=64):
    """The corners of a raster of `side` pixels in its CRS."""
    a, b, c, d, e, f = transform
    return [(a * x + b * y + c, d * x + e * y + f) for x, y in ((0, 0), (0, side), (side, side), (side, 0))]


def lonlat(points, crs):
    change = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    return [change.transform(*point) for point in points]


def scene(folder, name, transform, crs, side=64):
    """A raster file of a directory, and its footprint with straight edges in degrees."""
    write_scene(folder / "rasters" / name, pixels(1, side, side, "uint8"), transform=transform, crs=crs)
    return shapely.Polygon(lonlat(corners(transform, side), crs))


def square(crs, x, y, side):
    return shapely.Polygon(lonlat([(x, y), (x, y + side), (x + side, y + side), (x + side, y)], crs))


def rows(table):
    return [tuple(row.values()) for row in table.to_pylist()]


VECTORS = {
    3: ({"type": "quarry", "depth": 1.5, "name": "a"}, box(10.01, 49.96, 10.02, 49.97)),
    1: ({"type": "pond", "depth": None, "name": "b"}, box(20.1, 50.1, 20.2, 50.2)),
    2: ({"type": "water", "depth": 2.5, "name": "c"}, box(20.9, 50.1, 21.1, 50.2)),
}
RASTERS = {
    "scene.tif": ({"orig_crs_epsg_code": 4326, "raster_processed?": True}, box(10, 50 - 64 / 1024, 10 + 64 / 1024, 50)),
    "S2A.SAFE": ({"orig_crs_epsg_code": 32633, "raster_processed?": False}, box(20, 50, 21, 51)),
}


@pytest.fixture
def old(tmp_path):
    """A directory with one raster file and a footprint, two labels, and a file that a crash has left."""
    folder = write_old(tmp_path / "old", VECTORS, RASTERS, background="water")
    scene(folder, "scene.tif", LONLAT, "EPSG:4326")
    scene(folder, "left over.tif", LONLAT, "EPSG:4326")
    (folder / "labels").mkdir()
    for name in ("scene.tif", "gone.tif"):
        (folder / "labels" / name).write_bytes(b"a label")
    return folder


def test_classes_features_rasters_and_footprints_come_in_one_event(dataset, old):
    recorded = dataset.import_geographer(old, message="moved")
    assert recorded.position == 2
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
    assert (dataset.root / "rasters/source/scene.tif").read_bytes() == (old / "rasters" / "scene.tif").read_bytes()
    assert (rasters["S2A.SAFE"]["collection"], rasters["S2A.SAFE"]["path"]) == ("catalogue", None)
    own = {
        name: (row["raster_name"], row["orig_crs_epsg_code"], row["raster_processed?"]) for name, row in rasters.items()
    }
    assert own == {"scene": ("scene.tif", 4326, True), "S2A.SAFE": ("S2A.SAFE", 32633, False)}
    edges = dataset.edges().to_pylist()
    assert {(row["feature_id"], row["raster_id"]): row["relation"] for row in edges} == {
        (3, "scene"): "contains",
        (1, "S2A.SAFE"): "contains",
        (2, "S2A.SAFE"): "intersects",
    }
    assert not dataset.verify()


def test_the_summary_counts_what_came_and_what_was_left_aside(dataset, old):
    summary = dataset.import_geographer(old).summary
    counts = ("features", "rasters", "footprints", "skipped", "left_aside_labels", "left_aside_files")
    assert [summary[name] for name in counts] == [3, 1, 1, 0, 2, 1]
    assert summary["edges"] == {"before": 3, "after": 3, "different": 0}
    assert summary["differences"] == {}
    assert "label" in summary["warnings"][0]
    assert "left over.tif" in summary["warnings"][1]
    assert dataset.show().payload["edges"] == summary["edges"]


def test_the_imported_dataset_can_be_cut_and_labelled(dataset, old):
    dataset.import_geographer(old)
    dataset.cut_around_features("chips", size=32)
    dataset.label_masks("mask", collection="chips")
    assert dataset.chips()["parent_id"].to_pylist() == ["scene"]
    assert len(dataset.labels()) == 1


def test_of_soft_classes_the_most_probable_counts_and_the_first_where_two_are_equal(dataset, tmp_path):
    shares = {"x": (0.2, 0.8), "y": (0.5, 0.5), "z": (None, 0.1)}
    vectors = {
        name: ({"prob_of_class_quarry": b, "prob_of_class_pond": a}, box(i, 0, i + 1, 1))
        for i, (name, (a, b)) in enumerate(shares.items())
    }
    dataset.import_geographer(write_old(tmp_path / "old", vectors, {}))
    features = dataset.features().to_pylist()
    assert [(row["feature_id"], row["class"]) for row in features] == [("x", "quarry"), ("y", "pond"), ("z", "quarry")]
    assert [row["prob_of_class_pond"] for row in features] == [0.2, 0.5, None]


def test_without_a_column_of_classes_the_only_task_class_or_the_one_that_is_given_counts(dataset, tmp_path):
    vectors = {"x": ({"kind": "small"}, box(0, 0, 1, 1))}
    many = write_old(tmp_path / "many", vectors, {}, classes=("small", "large"))
    with pytest.raises(UsageError, match="neither a column 'type' nor prob_of_class_"):
        dataset.import_geographer(many)
    assert dataset.import_geographer(many, as_class="large", dry_run=True).summary["features"] == 1
    dataset.import_geographer(many, class_="kind")
    one = write_old(tmp_path / "one", {"y": ({}, box(0, 0, 1, 1))}, {}, classes=("object",))
    dataset.import_geographer(one)
    assert dataset.features()["class"].to_pylist() == ["small", "object"]
    assert dataset.sql("SELECT value FROM classes")["value"].to_pylist() == [1, 2, 3]


def test_coordinates_in_another_crs_stay_as_they_are(dataset, tmp_path):
    vectors = {"x": ({"type": "pond"}, box(500_000, 5_000_000, 500_100, 5_000_100))}
    rasters = {"r": ({}, box(500_000, 5_000_000, 501_000, 5_001_000))}
    old = write_old(tmp_path / "old", vectors, rasters, crs="urn:ogc:def:crs:EPSG::32633")
    assert dataset.import_geographer(old).summary["edges"] == {"before": 1, "after": 1, "different": 0}
    assert dataset.edges()["relation"].to_pylist() == ["contains"]


def test_an_empty_directory_is_an_event_of_classes_alone(dataset, tmp_path):
    summary = dataset.import_geographer(write_old(tmp_path / "old", {}, {})).summary
    assert (summary["features"], summary["rasters"], summary["classes"]) == (0, 0, ["pond", "quarry"])


def differing(dataset, folder, vectors, rasters, edges=None, **options):
    """What is said about a directory's graph, on importing and afterwards; the rows by feature and raster."""
    write_graph(folder, graph_of(vectors, rasters) if edges is None else edges, vectors, rasters)
    summary = dataset.import_geographer(folder, **options).summary
    found = rows(dataset.compare_geographer(folder))
    assert summary["edges"]["different"] == len(found) == sum(summary["differences"].values())
    assert {row[4] for row in found} == set(summary["differences"])
    return {row[:2]: row[2:] for row in found}


def begun(tmp_path):
    """A folder for raster files whose footprints are known only when they are written."""
    (tmp_path / "old" / "rasters").mkdir(parents=True)
    return tmp_path / "old"


def finished(folder, vectors, rasters):
    """The connector of a folder that has its raster files."""
    write_old(folder.with_name("connector only"), vectors, rasters)
    folder.with_name("connector only").joinpath("connector").rename(folder / "connector")


def test_a_box_in_degrees_holds_what_the_raster_does_not(dataset, tmp_path):
    folder = begun(tmp_path)
    outline = scene(folder, "far.tif", FAR, "EPSG:32633")
    envelope = shapely.envelope(outline)
    # The corner of the box that lies farthest from the raster.
    corner = max(shapely.get_coordinates(envelope), key=lambda place: outline.distance(shapely.Point(place)))
    outside = shapely.box(*corner, *(corner + 0.001 * (shapely.get_coordinates(envelope.centroid)[0] - corner)))
    crossing = square("EPSG:32633", 199_900, 6_880_000, 500)
    inside = square("EPSG:32633", 230_000, 6_870_000, 500)
    shapes = {"outside": outside, "crossing": crossing, "inside": inside}
    vectors = {name: ({"type": "pond"}, shape) for name, shape in shapes.items()}
    rasters = {"far.tif": ({}, envelope)}
    finished(folder, vectors, rasters)
    why = "the old footprint was the box around the raster in the connector's CRS: the raster's own CRS says otherwise"
    assert differing(dataset, folder, vectors, rasters) == {
        ("outside", "far"): ("contains", None, why),
        ("crossing", "far"): ("contains", "intersects", why),
    }


def test_an_edge_that_is_straight_in_metres_is_none_in_degrees(dataset, tmp_path):
    folder = begun(tmp_path)
    outline = scene(folder, "far.tif", FAR, "EPSG:32633")
    vectors = {"edge": ({"type": "pond"}, square("EPSG:32633", 232_000, 6_899_975, 20))}
    rasters = {"far.tif": ({}, outline)}
    finished(folder, vectors, rasters)
    (relations,) = differing(dataset, folder, vectors, rasters).values()
    assert relations[:2] == (None, "contains")
    assert relations[2].startswith("the old footprint had straight edges in the connector's CRS")


def test_rounding_decided_about_features_at_the_border(dataset, tmp_path):
    folder = begun(tmp_path)
    scene(folder, "a.tif", LONLAT, "EPSG:4326")
    side = 64 / 1024
    vectors = {
        "beside": ({"type": "pond"}, box(10 + side, 49.95, 10 + side + 0.01, 49.96)),
        "within": ({"type": "pond"}, box(10 + side - 1 / 1024, 49.95, 10 + side, 49.96)),
    }
    rasters = {"a.tif": ({}, box(10, 50 - side, 10 + side - 1e-9, 50))}
    finished(folder, vectors, rasters)
    assert differing(dataset, folder, vectors, rasters) == {
        ("beside", "a"): (None, "intersects", "the feature only touches the border of the raster"),
        ("within", "a"): (
            "intersects",
            "contains",
            "the feature reaches the border of the raster, and does not cross it",
        ),
    }


def test_a_turned_raster_is_less_than_the_box_around_it(dataset, tmp_path):
    folder = begun(tmp_path)
    outline = scene(folder, "t.tif", TURNED, "EPSG:4326")
    x, y, *_ = outline.bounds
    vectors = {"corner": ({"type": "pond"}, box(x, y, x + 0.001, y + 0.001))}
    rasters = {"t.tif": ({}, shapely.envelope(outline))}
    finished(folder, vectors, rasters)
    why = "the old footprint was the box around a turned raster"
    assert differing(dataset, folder, vectors, rasters) == {("corner", "t"): ("contains", None, why)}


def test_a_raster_across_the_antimeridian_does_not_reach_around_the_globe(dataset, tmp_path):
    folder = begun(tmp_path)
    places = shapely.get_coordinates(scene(folder, "z.tif", ZONE_ONE, "EPSG:32601", side=128))
    assert places[:, 0].min() < -179
    assert places[:, 0].max() > 179
    around = box(*places.min(axis=0), *places.max(axis=0))
    middle = (places[:, 1].min() + places[:, 1].max()) / 2
    vectors = {"greenwich": ({"type": "pond"}, box(0, middle, 0.001, middle + 0.001))}
    rasters = {"z.tif": ({}, around)}
    finished(folder, vectors, rasters)
    why = "the old footprint reaches around the globe: the raster crosses the antimeridian"
    assert differing(dataset, folder, vectors, rasters) == {("greenwich", "z"): ("contains", None, why)}


def test_a_file_that_lies_elsewhere_is_named(dataset, tmp_path):
    folder = begun(tmp_path)
    scene(folder, "a.tif", LONLAT, "EPSG:4326")
    vectors = {"x": ({"type": "pond"}, box(12.01, 49.95, 12.02, 49.96))}
    rasters = {"a.tif": ({}, box(12, 49.9, 12.1, 50))}
    finished(folder, vectors, rasters)
    why = "rasters.geojson has the raster in another place than its file"
    assert differing(dataset, folder, vectors, rasters) == {("x", "a"): ("contains", None, why)}


def test_what_the_old_graph_had_wrong_is_told_from_what_its_footprints_had_wrong(dataset, tmp_path):
    bow_tie = shapely.Polygon([(20.3, 50.3), (20.4, 50.4), (20.4, 50.3), (20.3, 50.4)])
    vectors = {**VECTORS, 4: ({"type": "pond"}, bow_tie)}
    rasters = {"S2A.SAFE": RASTERS["S2A.SAFE"]}
    folder = write_old(tmp_path / "old", vectors, rasters, {}, background="water")
    edges = {
        (2, "S2A.SAFE"): "contains",
        (3, "S2A.SAFE"): "intersects",
        (4, "S2A.SAFE"): "contains",
        (99, "S2A.SAFE"): "contains",
        (1, "gone.tif"): "intersects",
    }
    assert differing(dataset, folder, vectors, rasters, edges, on_error="skip") == {
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
    now = rows(dataset.compare_geographer(folder))
    assert ("2", "S2A.SAFE", "contains", None, "the raster is not here: it was left out, or removed") in now


def test_a_graph_that_says_otherwise_from_its_other_side_contradicts_itself(dataset, old):
    path = old / "connector" / "graph.json"
    graph = json.loads(path.read_text())
    graph["rasters"]["S2A.SAFE"]["1"] = "intersects"
    path.write_text(json.dumps(graph))
    dataset.import_geographer(old)
    why = "the old graph contradicts itself: from the raster's side it says otherwise"
    assert rows(dataset.compare_geographer(old)) == [("1", "S2A.SAFE", "contains", "contains", why)]


def test_into_a_dataset_with_classes_the_new_ones_get_the_next_values(tmp_path, old):
    dataset = Dataset.init(tmp_path / "dataset", classes=["track", "quarry"], scm=False)
    dataset.import_geographer(old, collection="old")
    values = {row["class"]: row["value"] for row in dataset.sql("SELECT class, value FROM classes").to_pylist()}
    assert values == {"water": 0, "track": 1, "quarry": 2, "pond": 3}
    assert dataset.rasters(where="collection = 'old'")["raster_id"].to_pylist() == ["scene"]


def broken(old, what):
    if what == "lacks a file":
        (old / "connector" / "graph.json").unlink()
    elif what == "broken JSON":
        (old / "connector" / "graph.json").write_text("{")
    elif what == "no CRS":
        write_scene(old / "rasters" / "scene.tif", pixels(1, 8, 8), crs=None)
    elif what == "damaged":
        path = old / "rasters" / "scene.tif"
        path.write_bytes(path.read_bytes()[:700])
    elif what == "twins":
        text = (old / "connector" / "rasters.geojson").read_text()
        (old / "connector" / "rasters.geojson").write_text(text.replace("S2A.SAFE", "scene.jp2"))
    elif what == "unknown class":
        text = (old / "connector" / "vectors.geojson").read_text()
        (old / "connector" / "vectors.geojson").write_text(text.replace('"pond"', "null"))


@pytest.mark.parametrize(
    ("what", "error", "named"),
    [
        ("lacks a file", NotFoundError, "graph.json"),
        ("broken JSON", CorruptError, "graph.json"),
        ("no CRS", UsageError, "no CRS"),
        ("damaged", CorruptError, "scene.tif"),
        ("twins", ConflictError, "'scene.jp2', 'scene.tif'"),
        ("unknown class", UsageError, "'1' has no class"),
    ],
)
def test_a_directory_that_can_not_be_imported_changes_nothing(dataset, old, what, error, named):
    broken(old, what)
    with pytest.raises(error, match=named):
        dataset.import_geographer(old)
    assert dataset.status()["position"] == 1
    assert not (dataset.root / "rasters").exists()
    assert not list((dataset.root / ".geographer" / "staging").glob("*"))


def test_what_is_here_already_is_refused(dataset, old):
    dataset.import_geographer(old, idempotency_key="k")
    assert not dataset.import_geographer(old, idempotency_key="k").changed
    with pytest.raises(ConflictError, match="in the dataset already"):
        dataset.import_geographer(old)
    with pytest.raises(NotFoundError, match="no data directory"):
        dataset.import_geographer(old / "rasters")


def test_a_background_on_one_side_only_is_refused(tmp_path, old):
    dataset = Dataset.init(tmp_path / "dataset", classes=["water"], scm=False)
    with pytest.raises(ConflictError, match="'water' is the background on one side"):
        dataset.import_geographer(old)


def run(dataset, *arguments):
    result = CliRunner().invoke(cli, ["-C", str(dataset.root), *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout.splitlines()


def test_the_command_prints_each_edge_that_differs(dataset, old):
    write_graph(old, {(1, "S2A.SAFE"): "contains"})
    planned = run(dataset, "import", "geographer", old, "--dry-run")
    assert "nothing was changed" in planned[0]
    assert planned[1] == "edges: 1 in the old graph, 3 here, 2 differ"
    first, *edges = map(json.loads, run(dataset, "import", "geographer", old, "--json"))
    assert (first["position"], first["edges"]["different"]) == (2, 2)
    why = "the old graph was out of date: its own footprint says otherwise"
    assert edges == [
        {"object": "edge", "feature_id": "2", "raster_id": "S2A.SAFE", "was": None, "now": "intersects", "why": why},
        {"object": "edge", "feature_id": "3", "raster_id": "scene", "was": None, "now": "contains", "why": why},
    ]
