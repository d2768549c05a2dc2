"""Label recipes: options and files of each kind, the table of objects, and updates that equal new labels."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner

from geographer import Dataset
from geographer.base.errors import NotFoundError, PluginError, UsageError
from geographer.cli import geographer_command
from geographer.storage.database.connection import Database
from geographer.storage.events import CommitInfo
from geographer.storage.events.payload import parse_payload
from geographer.storage.events.row_tables import make_row_table
from geographer.storage.request import Change
from geographer.storage.state.update import rebuild_state
from tests.operations.label.label_dataset import (
    FEATURES,
    KINDS,
    LATER_FEATURES,
    CountingMaker,
    InvalidMaker,
    UnversionedMaker,
    add_features,
    read_mosaic,
    read_pixels,
)
from tests.sample_history import square_geometry, write_scenes
from tests.storage.log import digest_oracle as oracle
from tests.test_schemas import find_faults

MAKER = "tests.operations.label.label_dataset:CountingMaker"


@pytest.fixture
def dataset(dataset_template: Path, open_copy: Callable[[Path], Dataset]) -> Dataset:
    """A scene in 16 chips, without labels."""
    return open_copy(dataset_template)


@pytest.fixture
def labelled_dataset(labelled_template: Path, open_copy: Callable[[Path], Dataset]) -> Dataset:
    return open_copy(labelled_template)


def draw_squares(*squares: tuple[int, tuple[int, int, int]]) -> np.ndarray:
    """A scene on which each (value, (column, row, side)) is drawn over the last."""
    pixels = np.zeros((64, 64), int)
    for value, (column, row, side) in squares:
        pixels[row : row + side, column : column + side] = value
    return pixels


QUARRY, POND, ISLAND, FAR = (10, 10, 24), (4, 4, 20), (14, 14, 4), (40, 44, 9)


def read_mask(dataset: Dataset, **options: Any) -> np.ndarray:
    """The mask of all chips, without the feature stream."""
    dataset.remove_features(["stream"])
    dataset.label_masks("m", collection="grid", **options)
    return read_mosaic(dataset, "m")[0]


# --- masks --------------------------------------------------------------------------------------------------------


def test_mask_applies_overlap_and_ignore(dataset: Dataset):
    pixels = read_mask(
        dataset, overlap="smallest-on-top", ignore=77, ignore_where="depth BETWEEN 2.5 AND 4 OR depth = 30"
    )
    expected = draw_squares((2, QUARRY), (1, POND), (0, ISLAND), (77, FAR))
    expected[10, 50], expected[50, 30] = 77, 1
    assert np.array_equal(pixels, expected)
    event = dataset.log(1)[0]
    assert event.payload["smaller than a pixel"] == 1
    assert event.payload["software"]["shapely"]
    assert event.payload["recipe"]["parameters"] == {
        "collection": "grid",
        "width": None,
        "overlap": "smallest-on-top",
        "all_touched": False,
        "ignore": 77,
        "ignore_where": "depth BETWEEN 2.5 AND 4 OR depth = 30",
    }


def test_mask_draws_newest_on_top(dataset: Dataset, tmp_path: Path):
    dataset.remove_features(["old quarry"])
    add_features(dataset, tmp_path / "again.geojson", {name: FEATURES[name] for name in ("old quarry",)})
    pixels = read_mask(dataset, overlap="newest")
    expected = draw_squares((1, POND), (1, FAR), (2, QUARRY), (0, ISLAND))
    expected[10, 50], expected[50, 30] = 2, 1
    assert np.array_equal(pixels, expected)


def test_invalid_pixels_get_ignore_value(dataset: Dataset):
    with rasterio.open(dataset.root / "rasters/grid/a_c0_r0.tif") as chip:
        array, profile = chip.read(), chip.profile
    array[:, 5:9, 1:4] = 0
    profile["nodata"] = 0
    with rasterio.open(dataset.root / "holed.tif", "w", **profile) as chip:
        chip.write(array)
    dataset.add_rasters(dataset.root / "holed.tif", collection="holed")
    dataset.label_masks("plain", collection="holed")
    dataset.label_masks("ignoring", collection="holed", ignore=9)
    expected = read_pixels(dataset.root / "labels/plain/holed/holed.tif")
    expected[0, 5:9, 1:4] = 9
    assert np.array_equal(read_pixels(dataset.root / "labels/ignoring/holed/holed.tif"), expected)


def test_padding_gets_ignore_value(dataset: Dataset):
    dataset.cut_grid("padded", size=40, edge="pad", pad_value=9)
    dataset.label_masks("mask", collection="padded", ignore=99)
    with rasterio.open(dataset.root / "labels/mask/padded/a_c40_r40.tif") as mask:
        ignored = mask.read(1) == 99
    assert ignored[24:].all()
    assert ignored[:, 24:].all()
    assert not ignored[:24, :24].any()


def test_ignore_above_255_makes_masks_uint16(dataset: Dataset):
    assert dataset.label_masks("m", collection="grid", ignore=1000).summary["dtype"] == "uint16"
    assert read_mosaic(dataset, "m").dtype == "uint16"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ignore": 2}, "2 is the value of class 'quarry'"),
        ({"ignore": 0}, "invalid --ignore 0. Use a number from 1 to 65535"),
        ({"ignore": 65_536}, "invalid --ignore 65536. Use a number from 1 to 65535"),
        ({"ignore_where": "depth > 1"}, "Pass --ignore VALUE"),
        ({"width": "0px"}, "invalid width '0px'"),
        ({"width": "3 km"}, "invalid width '3 km'"),
        ({"width": -2}, "invalid width '-2'"),
        ({"ignore": 9, "ignore_where": "depth = 'deep'"}, "cannot evaluate --ignore-where"),
    ],
)
def test_mask_rejects_invalid_options(dataset: Dataset, options, message: str):
    head = dataset.log(1)
    with pytest.raises(UsageError, match=message):
        dataset.label_masks("m", collection="grid", **options)
    assert dataset.log(1) == head
    assert not (dataset.root / "labels").exists()


def test_new_class_skips_ignore_value(dataset: Dataset):
    dataset.label_masks("m", collection="grid", ignore=3)
    dataset.add_classes(["track", "road"])
    values = dict(zip(dataset.classes()["class"].to_pylist(), dataset.classes()["value"].to_pylist(), strict=True))
    assert (values["track"], values["road"]) == (4, 5)
    dataset.update()
    with pytest.raises(UsageError, match="5 is the value of class 'road'"):
        dataset.label_masks("n", collection="grid", ignore=5)


def test_line_width_reaches_neighbouring_chip(dataset: Dataset, tmp_path: Path):
    """The line lies in the chips below row 16; at a width of 6 pixels it covers three rows of the chips above."""
    line = {"type": "LineString", "coordinates": [[500_000 + 10 * x, 5_200_000 - 10 * 16.2] for x in (40.5, 60.5)]}
    add_features(dataset, tmp_path / "line.geojson", {"line": ("quarry", line, {})})
    assert {row["raster_id"] for row in dataset.edges(feature="line").to_pylist()} == {
        *("grid/a_c32_r16", "grid/a_c48_r16", "a"),
    }
    dataset.label_masks("wide", collection="grid", width=6)
    dataset.label_masks("whole", collection="source", width=6)
    assert np.array_equal(read_mosaic(dataset, "wide"), read_pixels(dataset.root / "labels/whole/source/a.tif"))
    assert (read_mosaic(dataset, "wide")[0, 13:16, 41:60] == 2).all()
    dataset.remove_features(["line"])
    dataset.update()
    assert np.array_equal(read_mosaic(dataset, "wide"), read_pixels(dataset.root / "labels/whole/source/a.tif"))
    assert (read_mosaic(dataset, "wide")[0, 13:16, 53:60] == 0).all()


# --- probabilities ------------------------------------------------------------------------------------------------


def test_probabilities_come_from_columns_or_class(dataset: Dataset):
    dataset.remove_features(["stream"])
    dataset.label_probabilities("soft", collection="grid", background_band=True)
    rest, pond, quarry = read_mosaic(dataset, "soft")
    assert (rest[30, 30], pond[30, 30], quarry[30, 30]) == (0, 0.25, 0.75)
    assert (rest[5, 5], pond[5, 5], quarry[5, 5]) == (0, 1, 0)
    assert (rest[12, 12], pond[12, 12], quarry[12, 12]) == (0, 0.625, 0.375)
    assert (rest[45, 45], pond[45, 45], quarry[45, 45]) == (0.5, 0.5, 0)
    assert (rest[15, 15], pond[15, 15], quarry[15, 15]) == (1, 0, 0)
    assert (rest[10, 50], pond[10, 50], quarry[10, 50]) == (0, 0, 1)
    assert dataset.log(1)[0].payload["bands"] == ["land", "pond", "quarry"]


def test_probabilities_without_columns_are_named(dataset: Dataset, caplog: pytest.LogCaptureFixture):
    dataset.label_probabilities("soft", collection="grid", dry_run=True)
    assert not caplog.messages
    dataset.add_features(dataset.features().arrow.select(["feature_id", "class", "geometry"]), replace=True)
    caplog.clear()
    dataset.label_probabilities("soft", collection="grid", dry_run=True)
    columns = "'prob_of_class_pond', 'prob_of_class_quarry'"
    assert caplog.messages == [f"no feature has a value in the columns {columns}: each counts as certain of its class"]


def test_probabilities_accept_other_columns(dataset: Dataset, tmp_path: Path):
    add_features(
        dataset, tmp_path / "f.geojson", {"x": ("pond", square_geometry(60, 60, 3), {"wet": 0.25, 'it\'s "odd"': 0.5})}
    )
    columns = {"pond": "wet", "quarry": 'it\'s "odd"'}
    dataset.label_probabilities("soft", collection="grid", columns=columns, combine="max")
    assert read_mosaic(dataset, "soft")[:, 61, 61].tolist() == [0.25, 0.5]
    assert read_mosaic(dataset, "soft")[:, 30, 30].tolist() == [0, 1]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"prob_of_class_pond": 1.5}, "'bad' has pond 1.5"),
        ({"prob_of_class_pond": -0.1}, "'bad' has pond -0.1"),
        ({"prob_of_class_pond": 0.7, "prob_of_class_quarry": 0.4}, "'bad' has pond 0.7, quarry 0.4"),
        ({"prob_of_class_pond": "much"}, "'bad' has pond much"),
    ],
)
def test_invalid_probabilities_name_feature(dataset: Dataset, tmp_path: Path, columns, message: str):
    add_features(dataset, tmp_path / "bad.geojson", {"bad": ("pond", square_geometry(1, 1, 3), columns)})
    with pytest.raises(UsageError, match=message):
        dataset.label_probabilities("soft", collection="grid")


def test_probabilities_tolerate_rounded_sum(dataset: Dataset, tmp_path: Path):
    columns = {"prob_of_class_pond": 0.6666667, "prob_of_class_quarry": 0.3333334}
    add_features(dataset, tmp_path / "f.geojson", {"f": ("pond", square_geometry(56, 1, 3), columns)})
    dataset.label_probabilities("soft", collection="grid", background_band=True)
    assert read_mosaic(dataset, "soft")[0, 2, 57] == 0


def test_probabilities_reject_unknown_class_or_column(dataset: Dataset):
    with pytest.raises(
        NotFoundError, match=r"class 'land' with a value above 0 not found\. The classes are 'pond', 'quarry'"
    ):
        dataset.label_probabilities("soft", collection="grid", columns={"land": "depth"})
    with pytest.raises(NotFoundError, match="column 'wet' of features not found"):
        dataset.label_probabilities("soft", collection="grid", columns={"pond": "wet"})


# --- objects ------------------------------------------------------------------------------------------------------


def test_instance_rows_equal_pixels(labelled_dataset: Dataset):
    for label in labelled_dataset.labels(where="label = 'things'").to_pylist():
        (pixels,) = read_pixels(labelled_dataset.root / label["path"])
        objects = labelled_dataset.objects(where="label = 'things'", raster=label["raster_id"]).to_pylist()
        values, counts = np.unique(pixels[pixels > 0], return_counts=True)
        assert [row["instance"] for row in objects] == values.tolist() == list(range(1, len(values) + 1))
        assert [row["pixels"] for row in objects] == counts.tolist()
        ids = [row["feature_id"] for row in objects]
        assert ids == sorted(ids, key=sorted(FEATURES).index)


def test_objects_can_be_queried(labelled_dataset: Dataset):
    rows = labelled_dataset.objects(feature="far pond", where="label = 'boxes'").to_pylist()
    assert {row["raster_id"]: row["visible"] for row in rows} == pytest.approx(
        {"grid/a_c32_r32": 8 * 4 / 81, "grid/a_c32_r48": 8 * 5 / 81}
    )
    assert rows[0]["box"] == [8, 12, 16, 16]
    assert rows[0]["corners"] == [[8, 12], [16, 12], [16, 16], [8, 16]]
    line = json.loads(labelled_dataset.format_json_lines("objects", feature="far pond", where="label = 'boxes'")[0])
    assert (line["box"], line["class"], line["instance"]) == ([8, 12, 16, 16], "pond", None)
    assert labelled_dataset.sql("SELECT count(*) AS n FROM objects").to_pylist()[0]["n"] == len(
        labelled_dataset.objects()
    )
    assert len(labelled_dataset.objects(at=1)) == 0


def test_objects_are_part_of_state(labelled_dataset: Dataset):
    before, rows, head = (
        labelled_dataset.content_digest(),
        labelled_dataset.objects().to_pylist(),
        labelled_dataset.log(1)[0].position,
    )
    labelled_dataset.remove_features(["well"])
    without_well = labelled_dataset.content_digest()
    labelled_dataset.update()
    changes = labelled_dataset.diff(head).table.to_pylist()
    removed = {row["id"] for row in changes if row["object"] == "label object" and row["change"] == "removed"}
    assert removed == {"things/grid/a_c48_r0/well", "boxes/grid/a_c48_r0/well"}
    assert labelled_dataset.objects(at=head).to_pylist() == rows
    assert labelled_dataset.content_digest(head) == before
    assert labelled_dataset.content_digest() != without_well
    after = labelled_dataset.objects().to_pylist()
    rebuild_state(Database(labelled_dataset.root / ".geographer"))
    assert (labelled_dataset.objects().to_pylist(), labelled_dataset.objects(at=head).to_pylist()) == (after, rows)
    assert labelled_dataset.verify() == []
    log = labelled_dataset.root / ".geographer" / "log.duckdb"
    assert oracle.read_log(log)[1]["label_object_change"]
    assert oracle.find_faults(log) == []


def test_removed_raster_removes_labels_and_objects(labelled_dataset: Dataset):
    labelled_dataset.remove_rasters(["grid/a_c32_r48"])
    assert "grid/a_c32_r48" not in labelled_dataset.labels()["raster_id"].to_pylist()
    assert "grid/a_c32_r48" not in labelled_dataset.objects()["raster_id"].to_pylist()
    assert not list((labelled_dataset.root / "labels").rglob("a_c32_r48.*"))
    assert labelled_dataset.verify() == []


def test_checkout_writes_objects_and_box_files(labelled_dataset: Dataset, tmp_path: Path):
    import pyarrow.parquet as pq

    labelled_dataset.checkout(to=tmp_path / "out")
    written = pq.read_table(tmp_path / "out/tables/objects.parquet")
    assert written.to_pylist() == labelled_dataset.objects().arrow.to_pylist()
    path = "labels/boxes/grid/a_c32_r32.json"
    assert (tmp_path / "out" / path).read_bytes() == (labelled_dataset.root / path).read_bytes()


def test_objects_keep_integer_ids(empty_dataset: Path, open_copy, tmp_path: Path):
    dataset = open_copy(empty_dataset)
    add_features(
        dataset,
        tmp_path / "f.geojson",
        {7: ("pond", square_geometry(2, 2, 4), {}), 12: ("pond", square_geometry(20, 2, 4), {})},
    )
    dataset.add_rasters(write_scenes(tmp_path / "scenes", "a"))
    dataset.label_instances("things", collection="source")
    assert dataset.objects()["feature_id"].to_pylist() == [12, 7]
    assert dataset.objects(feature=7)["instance"].to_pylist() == [2]


# --- custom -------------------------------------------------------------------------------------------------------


def test_label_maker_draws_and_is_recorded(labelled_dataset: Dataset):
    count, depth = read_mosaic(labelled_dataset, "own")
    assert (count[12, 12], count[45, 45], depth[30, 30]) == (2, 2, 22.5)
    payload = next(
        event.payload for event in labelled_dataset.log() if event.payload.get("recipe", {}).get("name") == "own"
    )
    assert payload["maker"] == {"class": MAKER, "version": "1"}
    assert payload["recipe"]["parameters"]["options"] == {"scale": 2.5}
    with rasterio.open(labelled_dataset.root / "labels/own/grid/a_c0_r0.tif") as label:
        assert label.descriptions == ("count", "depth")


def test_new_maker_version_rebuilds_all_labels(labelled_dataset: Dataset, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(CountingMaker, "version", "2")
    monkeypatch.setattr(CountingMaker, "bands", ("number", "depth"))
    changed = [result for result in labelled_dataset.update() if result.changed]
    assert [(result.summary["recipe"]["name"], result.summary["labels"]) for result in changed] == [("own", 16)]


def test_label_maker_is_found_by_entry_point(dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    site = tmp_path / "site"
    (site / "deep_labels-4.2.dist-info").mkdir(parents=True)
    (site / "deep_labels-4.2.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: deep-labels\nVersion: 4.2\n")
    (site / "deep_labels-4.2.dist-info/entry_points.txt").write_text("[geographer.labels]\ndeep = deep_labels:Deep\n")
    (site / "deep_labels.py").write_text(
        "from tests.operations.label.label_dataset import UnversionedMaker\n\nclass Deep(UnversionedMaker): ...\n"
    )
    monkeypatch.syspath_prepend(site)
    arguments = ["-C", str(dataset.root), "label", "own", "d", "--collection", "grid", "--maker", "deep", "--json"]
    result = CliRunner().invoke(geographer_command, [*arguments, "--workers", "1"], catch_exceptions=False)
    assert json.loads(result.stdout)["maker"] == {"class": "deep_labels:Deep", "version": "4.2"}
    assert not read_mosaic(dataset, "d").any()


@pytest.mark.parametrize(
    ("maker", "options", "error", "message"),
    [
        ("absent", {}, NotFoundError, "label maker 'absent' not found"),
        ("absent:Absent", {}, PluginError, "label maker 'absent:Absent' not found"),
        ("tests.operations.label.label_dataset:Absent", {}, PluginError, "cannot be imported .AttributeError: "),
        ("json:JSONDecoder", {}, UsageError, "is not a label maker. Give it a method draw"),
        (UnversionedMaker, {}, UsageError, "has no version to record"),
        (CountingMaker, {"colour": 1}, UsageError, "does not accept the options"),
        (InvalidMaker, {}, UsageError, r"drew float64 of shape \(3, 2\) for raster 'grid/a_c0_r0'"),
    ],
)
def test_invalid_label_maker_is_rejected(dataset: Dataset, maker, options, error, message: str):
    head = dataset.log(1)
    with pytest.raises(error, match=message):
        dataset.label_custom("d", collection="grid", maker=maker, options=options)
    assert dataset.log(1) == head


def test_unimportable_label_maker_is_rejected(dataset: Dataset):
    class LocalMaker(CountingMaker):
        pass

    with pytest.raises(UsageError, match="cannot be imported again"):
        dataset.label_custom("d", collection="grid", maker=LocalMaker)


# --- the command line ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "kind", "parameters"),
    [
        (
            "mask --overlap newest --all-touched --ignore 9 --ignore-where true --width 5m",
            "label mask",
            {"overlap": "newest", "all_touched": True, "ignore": 9, "ignore_where": "true", "width": "5m"},
        ),
        (
            "probabilities --probability pond=depth --background-band --combine max",
            "label soft",
            {"columns": {"pond": "depth"}, "background_band": True, "combine": "max", "width": None},
        ),
        ("soft", "label soft", {"columns": {}, "background_band": False, "combine": "mean", "width": None}),
        ("instances --overlap newest --width 3", "label instances", {"overlap": "newest", "width": "3px"}),
        ("multilabel", "label multilabel", {"width": None}),
        ("boxes --min-visible 0.5", "label boxes", {"min_visible": 0.5, "width": "1px"}),
        (
            f"custom --maker {MAKER} --option scale=2 --option b=x",
            "label own",
            {"maker": MAKER, "options": {"scale": 2, "b": "x"}, "width": None},
        ),
    ],
)
def test_commands_pass_options_to_recipe(
    dataset: Dataset, arguments: str, kind: str, parameters: dict[str, Any], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(CountingMaker, "__init__", lambda self, scale=1, b="": None)
    if "depth" in arguments:
        dataset.remove_features(["old quarry", "pond", "far pond", "well"])
    command, *options = arguments.split()
    shared = ["--collection", "grid", "--workers", "1", "--dry-run", "--json"]
    command_line = ["-C", str(dataset.root), "label", command, "x", *options, *shared]
    result = CliRunner().invoke(geographer_command, command_line, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    recipe = json.loads(result.stdout)["recipe"]
    assert recipe == {"name": "x", "kind": kind, "parameters": {"collection": "grid", **parameters}}


@pytest.mark.parametrize("pair", ["scale", "=2", "scale=", "a=1 a=2"])
def test_option_must_be_key_value(dataset: Dataset, pair: str):
    options = [argument for value in pair.split() for argument in ("--option", value)]
    command = ["-C", str(dataset.root), "label", "own", "x", "--collection", "grid", "--maker", "y", *options]
    result = CliRunner().invoke(geographer_command, command)
    assert result.exit_code == 2
    assert "Use KEY=VALUE, each name once" in result.output


def test_objects_command_prints_json(labelled_dataset: Dataset):
    result = CliRunner().invoke(
        geographer_command, ["-C", str(labelled_dataset.root), "objects", "--feature", "well", "--json"]
    )
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(line["label"], line["instance"], line["visible"]) for line in lines] == [
        ("boxes", None, 1.0),
        ("things", 1, None),
    ]
    assert list(lines[0]) == [
        *("label", "raster_id", "feature_id", "class", "instance", "pixels", "box", "corners", "visible"),
    ]


# --- updates ------------------------------------------------------------------------------------------------------


def read_label(dataset: Dataset, label: str) -> tuple[dict[str, bytes], list[dict[str, Any]]]:
    """The files of a label by raster id, and the rows of its objects without the label's name."""
    files = {
        row["raster_id"]: (dataset.root / row["path"]).read_bytes()
        for row in dataset.labels(where=f"label = '{label}'").to_pylist()
    }
    objects = dataset.objects(where=f"label = '{label}'").to_pylist()
    return files, [{name: value for name, value in row.items() if name != "label"} for row in objects]


def edit_dataset(dataset: Dataset, folder: Path) -> None:
    """Add a class and features, remove and move features, replace a scene and add one."""
    folder.mkdir()
    dataset.add_classes(["track"])
    add_features(dataset, folder / "later.geojson", LATER_FEATURES)
    dataset.remove_features(["pond", "well", "far pond"])
    add_features(dataset, folder / "back.geojson", {"pond": ("quarry", square_geometry(30, 0, 6), {"depth": 9.0})})
    dataset.remove_rasters(["grid/a_c0_r16", "a"])
    dataset.add_rasters(write_scenes(folder, "a", "b", seed=5))


def test_updated_labels_equal_new_labels(labelled_dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    before = {name: read_label(labelled_dataset, name) for name in KINDS}
    edit_dataset(labelled_dataset, tmp_path / "edit_dataset")
    labelled_dataset.update(workers=2)
    for name, (method, options) in KINDS.items():
        getattr(labelled_dataset, method)(f"{name}-new", collection="grid", **options)
        updated = read_label(labelled_dataset, name)
        assert updated == read_label(labelled_dataset, f"{name}-new"), name
        assert updated[0].keys() - before[name][0].keys(), name
        assert updated[0] != before[name][0]
    phases: list[str] = []
    monkeypatch.setattr(labelled_dataset._unit_of_work, "progress", lambda phase, results, total: phases.append(phase))
    assert not any(result.changed for result in labelled_dataset.update())
    assert phases == []
    assert labelled_dataset.verify() == []
    assert [fault for event in labelled_dataset.log() for fault in find_faults(event.to_dict())] == []


def test_update_does_not_record_unchanged_labels(labelled_dataset: Dataset, tmp_path: Path):
    add_features(
        labelled_dataset,
        tmp_path / "more.geojson",
        {"hidden": ("pond", square_geometry(5, 5, 2), {"prob_of_class_pond": 1.0})},
    )
    results = {result.summary["recipe"]["name"]: result for result in labelled_dataset.update() if result.changed}
    assert results.keys() == {"things", "boxes", "own"}
    assert results["boxes"].summary["labels"] == 1


def record_event(dataset: Dataset, kind: str, payload: dict[str, Any], **rows: Any) -> None:
    """Record an event with these rows, which no command of these tests records."""
    tables = {table: make_row_table(table, columns) for table, columns in rows.items()}
    unit_of_work = dataset._unit_of_work
    change = Change(parse_payload(kind, 1, payload), tables)
    unit_of_work._record_change(change, {}, CommitInfo("tester"), unit_of_work.prepare_head(None))


def test_update_follows_class_changes(dataset: Dataset):
    dataset.remove_features(["stream"])
    dataset.label_masks("mask", collection="grid")
    dataset.label_multilabel("multi", collection="grid")
    before = read_label(dataset, "mask")[0]
    values = {"change": ["changed"], "class": ["pond"], "value": [5]}
    record_event(dataset, "classes_added", {"classes": ["pond"]}, class_change=values)
    dataset.update()
    expected = draw_squares((2, QUARRY), (5, POND), (5, FAR), (0, ISLAND))
    expected[10, 50], expected[50, 30] = 2, 5
    assert np.array_equal(read_mosaic(dataset, "mask")[0], expected)
    alone = draw_squares((1, QUARRY), (0, ISLAND))
    alone[10, 50] = 1
    assert np.array_equal(read_mosaic(dataset, "multi"), np.stack([alone, expected == 5]))
    after = read_label(dataset, "mask")[0]
    assert {name for name in before if before[name] != after[name]} < before.keys()

    removed = {"change": ["removed"], "class": ["quarry"], "value": [2]}
    record_event(dataset, "classes_added", {"classes": ["quarry"]}, class_change=removed)
    dataset.update()
    expected = draw_squares((5, POND), (5, FAR), (0, ISLAND))
    expected[50, 30] = 5
    assert np.array_equal(read_mosaic(dataset, "mask")[0], expected)
    assert np.array_equal(read_mosaic(dataset, "multi"), (expected == 5)[np.newaxis])


def test_changed_feature_keeps_drawing_order(dataset: Dataset, tmp_path: Path):
    dataset.remove_features(["stream", "well", "puddle", "island"])
    add_features(dataset, tmp_path / "lid.geojson", {"lid": ("quarry", square_geometry(5, 5, 3), {})})
    dataset.label_masks("mask", collection="grid", overlap="newest")
    dataset.label_instances("things", collection="grid", overlap="newest")
    with dataset._unit_of_work.database.open_connection(log="r") as connection:
        (row,) = connection.execute(
            "SELECT id_is_integer, geometry, crs, properties FROM log.feature_change WHERE feature_id = 'pond'"
        ).fetchall()
    columns = ("id_is_integer", "geometry", "crs", "properties")
    values = {"change": ["changed"], "feature_id": ["pond"], "class": ["quarry"]}
    payload = {"request": {}, "features": 1}
    record_event(
        dataset,
        *("features_removed", payload),
        feature_change=values | {name: [value] for name, value in zip(columns, row, strict=True)},
    )
    with dataset._unit_of_work.open_revision() as view:
        order = dict(view.fetch_rows("SELECT feature_id, added FROM feature_order"))
        rasters = dict(view.fetch_rows("SELECT raster_id, added FROM raster_order"))
    assert (order["pond"] >> 32, order["lid"] >> 32) == (2, 6)
    assert (rasters["a"] >> 32, rasters["grid/a_c0_r0"] >> 32) == (3, 4)
    dataset.update()
    expected = draw_squares((2, QUARRY), (2, POND), (1, FAR), (2, (5, 5, 3)))
    assert np.array_equal(read_mosaic(dataset, "mask")[0], expected)
    rows = dataset.objects(raster="grid/a_c0_r0").to_pylist()
    assert [(row["feature_id"], row["class"], row["instance"]) for row in rows] == [
        ("pond", "quarry", 1),
        ("lid", "quarry", 2),
    ]


def test_update_removes_labels_of_removed_raster(dataset: Dataset):
    dataset.label_instances("things", collection="source")
    assert set(dataset.objects()["raster_id"].to_pylist()) == {"a"}
    payload = {"request": {"ids": ["a"]}, "rasters": 1, "labels": 0, "splits": 0}
    record_event(dataset, "rasters_removed", payload, raster_change={"change": ["removed"], "raster_id": ["a"]})
    (result,) = (result for result in dataset.update() if result.changed and result.kind == "labels_made")
    assert (result.summary["retired"], result.summary["labels"]) == (1, 0)
    assert (len(dataset.labels()), len(dataset.objects())) == (0, 0)
    assert not (dataset.root / "labels").exists()
    assert not any(result.changed for result in dataset.update())
    assert dataset.verify() == []
