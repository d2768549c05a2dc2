"""Label recipes: each kind's options and files, the table of objects, and updates that equal what comes from nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner

from geographer import Dataset
from geographer.base.errors import NotFoundError, UsageError
from geographer.cli import cli
from geographer.storage.database.connection import Database
from geographer.storage.events import EventDraft
from geographer.storage.log.row_tables import make_row_table
from geographer.storage.state.update import rebuild_state
from geographer.storage.unit_of_work import Change
from tests.operations.label.label_dataset import LATER, OBJECTS, Counted, Flat, Unversioned, begin, gather, mosaic, read
from tests.sample_history import square, write_scenes
from tests.storage.log import digest_oracle as oracle
from tests.test_schemas import faults

KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "mask": ("label_masks", {}),
    "by-size": ("label_masks", {"overlap": "smallest-on-top", "ignore": 255, "ignore_where": "depth > 8.5"}),
    "wide": ("label_masks", {"overlap": "newest", "width": "45m", "all_touched": True}),
    "soft": ("label_soft", {"background_band": True, "width": 3}),
    "things": ("label_instances", {"width": "2px"}),
    "multi": ("label_multilabel", {}),
    "boxes": ("label_boxes", {"min_visible": 0.25}),
    "own": ("label_own", {"maker": Counted, "options": {"scale": 2.5}}),
}


@pytest.fixture(scope="module")
def begun_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return begin(tmp_path_factory.mktemp("kinds")).root


@pytest.fixture(scope="module")
def labelled_once(begun_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The chips with labels of every kind."""
    dataset = Dataset.open(shutil.copytree(begun_once, tmp_path_factory.mktemp("kinds") / "labelled"))
    for name, (method, wanted) in KINDS.items():
        getattr(dataset, method)(name, collection="grid", **wanted)
    return dataset.root


@pytest.fixture
def dataset(begun_once: Path, begun: Callable[[Path], Dataset]) -> Dataset:
    """A scene in 16 chips, without labels."""
    return begun(begun_once)


@pytest.fixture
def labelled(labelled_once: Path, begun: Callable[[Path], Dataset]) -> Dataset:
    return begun(labelled_once)


def filled(*squares: tuple[int, tuple[int, int, int]]) -> np.ndarray:
    """A scene after each (value, (column, row, side)) was drawn over the last."""
    found = np.zeros((64, 64), int)
    for value, (column, row, side) in squares:
        found[row : row + side, column : column + side] = value
    return found


QUARRY, POND, ISLAND, FAR = (10, 10, 24), (4, 4, 20), (14, 14, 4), (40, 44, 9)


def mask_of(dataset: Dataset, **wanted: Any) -> np.ndarray:
    """The mask of all chips, without the stream, which has a test of its own."""
    dataset.remove_features(["stream"])
    dataset.label_masks("m", collection="grid", **wanted)
    return mosaic(dataset, "m")[0]


# --- masks --------------------------------------------------------------------------------------------------------


def test_a_mask_s_rule_ignored_features_and_small_objects(dataset: Dataset):
    found = mask_of(dataset, overlap="smallest-on-top", ignore=77, ignore_where="depth BETWEEN 2.5 AND 4 OR depth = 30")
    due = filled((2, QUARRY), (1, POND), (0, ISLAND), (77, FAR))
    due[10, 50], due[50, 30] = 77, 1
    assert np.array_equal(found, due)
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


def test_the_newest_feature_lies_on_top_and_one_that_was_added_again_is_new(dataset: Dataset, tmp_path: Path):
    dataset.remove_features(["old quarry"])
    gather(dataset, tmp_path / "again.geojson", {name: OBJECTS[name] for name in ("old quarry",)})
    found = mask_of(dataset, overlap="newest")
    due = filled((1, POND), (1, FAR), (2, QUARRY), (0, ISLAND))
    due[10, 50], due[50, 30] = 2, 1
    assert np.array_equal(found, due)


def test_pixels_without_valid_data_take_the_ignore_value(dataset: Dataset):
    with rasterio.open(dataset.root / "rasters/grid/a_c0_r0.tif") as chip:
        array, profile = chip.read(), chip.profile
    array[:, 5:9, 1:4] = 0
    profile["nodata"] = 0
    with rasterio.open(dataset.root / "holed.tif", "w", **profile) as chip:
        chip.write(array)
    dataset.add_rasters(dataset.root / "holed.tif", collection="holed")
    dataset.label_masks("plain", collection="holed")
    dataset.label_masks("ignoring", collection="holed", ignore=9)
    due = read(dataset.root / "labels/plain/holed/holed.tif")
    due[0, 5:9, 1:4] = 9
    assert np.array_equal(read(dataset.root / "labels/ignoring/holed/holed.tif"), due)


def test_padding_takes_the_ignore_value_as_pixels_without_valid_data_do(dataset: Dataset):
    dataset.cut_grid("padded", size=40, edge="pad", pad_value=9)
    dataset.label_masks("mask", collection="padded", ignore=99)
    with rasterio.open(dataset.root / "labels/mask/padded/a_c40_r40.tif") as mask:
        ignored = mask.read(1) == 99
    assert ignored[24:].all()
    assert ignored[:, 24:].all()
    assert not ignored[:24, :24].any()


def test_an_ignore_value_above_a_byte_makes_masks_uint16(dataset: Dataset):
    assert dataset.label_masks("m", collection="grid", ignore=1000).summary["dtype"] == "uint16"
    assert mosaic(dataset, "m").dtype == "uint16"


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"ignore": 2}, "2 is the value of class 'quarry'"),
        ({"ignore": 0}, "0 can't mark"),
        ({"ignore": 65_536}, "65536 can't mark"),
        ({"ignore_where": "depth > 1"}, "pass --ignore"),
        ({"width": "0px"}, "'0px' is no width"),
        ({"width": "3 km"}, "'3 km' is no width"),
        ({"width": -2}, "'-2' is no width"),
        ({"ignore": 9, "ignore_where": "depth = 'deep'"}, "can't be evaluated"),
    ],
)
def test_options_of_masks_that_can_t_be_are_refused_and_nothing_is_recorded(dataset: Dataset, wanted, said: str):
    head = dataset.log(1)
    with pytest.raises(UsageError, match=said):
        dataset.label_masks("m", collection="grid", **wanted)
    assert dataset.log(1) == head
    assert not (dataset.root / "labels").exists()


def test_a_class_that_takes_the_ignore_value_stops_the_update_and_says_so(dataset: Dataset):
    dataset.label_masks("m", collection="grid", ignore=3)
    dataset.add_classes(["track"])
    with pytest.raises(UsageError, match="3 is the value of class 'track'"):
        dataset.update()


def test_a_line_beside_a_chip_reaches_into_it_by_half_its_width(dataset: Dataset, tmp_path: Path):
    """The line lies in the chips from row 16 on; at 6 pixels, it fills three rows of those above."""
    line = {"type": "LineString", "coordinates": [[500_000 + 10 * x, 5_200_000 - 10 * 16.2] for x in (40.5, 60.5)]}
    gather(dataset, tmp_path / "line.geojson", {"line": ("quarry", line, {})})
    assert {row["raster_id"] for row in dataset.edges(feature="line").to_pylist()} == {
        *("grid/a_c32_r16", "grid/a_c48_r16", "a"),
    }
    dataset.label_masks("wide", collection="grid", width=6)
    dataset.label_masks("whole", collection="source", width=6)
    assert np.array_equal(mosaic(dataset, "wide"), read(dataset.root / "labels/whole/source/a.tif"))
    assert (mosaic(dataset, "wide")[0, 13:16, 41:60] == 2).all()
    dataset.remove_features(["line"])
    dataset.update()
    assert np.array_equal(mosaic(dataset, "wide"), read(dataset.root / "labels/whole/source/a.tif"))
    assert (mosaic(dataset, "wide")[0, 13:16, 53:60] == 0).all()


# --- soft labels --------------------------------------------------------------------------------------------------


def test_probabilities_come_from_the_features_columns_and_without_them_from_their_class(dataset: Dataset):
    dataset.remove_features(["stream"])
    dataset.label_soft("soft", collection="grid", background_band=True)
    rest, pond, quarry = mosaic(dataset, "soft")
    assert (rest[30, 30], pond[30, 30], quarry[30, 30]) == (0, 0.25, 0.75)
    assert (rest[5, 5], pond[5, 5], quarry[5, 5]) == (0, 1, 0)
    assert (rest[12, 12], pond[12, 12], quarry[12, 12]) == (0, 0.625, 0.375)
    assert (rest[45, 45], pond[45, 45], quarry[45, 45]) == (0.5, 0.5, 0)
    assert (rest[15, 15], pond[15, 15], quarry[15, 15]) == (1, 0, 0)
    assert (rest[10, 50], pond[10, 50], quarry[10, 50]) == (0, 0, 1)
    assert dataset.log(1)[0].payload["bands"] == ["land", "pond", "quarry"]


def test_a_class_can_have_its_probability_in_another_column(dataset: Dataset, tmp_path: Path):
    gather(dataset, tmp_path / "f.geojson", {"x": ("pond", square(60, 60, 3), {"wet": 0.25, 'it\'s "odd"': 0.5})})
    columns = {"pond": "wet", "quarry": 'it\'s "odd"'}
    dataset.label_soft("soft", collection="grid", columns=columns, combine="max")
    assert mosaic(dataset, "soft")[:, 61, 61].tolist() == [0.25, 0.5]
    assert mosaic(dataset, "soft")[:, 30, 30].tolist() == [0, 1]


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ({"prob_of_class_pond": 1.5}, "'bad' has pond 1.5"),
        ({"prob_of_class_pond": -0.1}, "'bad' has pond -0.1"),
        ({"prob_of_class_pond": 0.7, "prob_of_class_quarry": 0.4}, "'bad' has pond 0.7, quarry 0.4"),
        ({"prob_of_class_pond": "much"}, "'bad' has pond much"),
    ],
)
def test_what_is_no_probability_is_refused_by_the_feature_s_name(dataset: Dataset, tmp_path: Path, own, said: str):
    gather(dataset, tmp_path / "bad.geojson", {"bad": ("pond", square(1, 1, 3), own)})
    with pytest.raises(UsageError, match=said):
        dataset.label_soft("soft", collection="grid")


def test_sums_may_miss_one_by_a_rounding_error(dataset: Dataset, tmp_path: Path):
    own = {"prob_of_class_pond": 0.6666667, "prob_of_class_quarry": 0.3333334}
    gather(dataset, tmp_path / "f.geojson", {"f": ("pond", square(56, 1, 3), own)})
    dataset.label_soft("soft", collection="grid", background_band=True)
    assert mosaic(dataset, "soft")[0, 2, 57] == 0


def test_a_class_or_column_that_is_not_there_is_named(dataset: Dataset):
    with pytest.raises(NotFoundError, match="no class 'land' with a value above 0: there are 'pond', 'quarry'"):
        dataset.label_soft("soft", collection="grid", columns={"land": "depth"})
    with pytest.raises(NotFoundError, match="no column 'wet'"):
        dataset.label_soft("soft", collection="grid", columns={"pond": "wet"})


# --- objects ------------------------------------------------------------------------------------------------------


def test_the_table_of_instances_says_which_pixels_are_whose(labelled: Dataset):
    for label in labelled.labels(where="label = 'things'").to_pylist():
        (pixels,) = read(labelled.root / label["path"])
        objects = labelled.objects(where="label = 'things'", raster=label["raster_id"]).to_pylist()
        values, counts = np.unique(pixels[pixels > 0], return_counts=True)
        assert [one["instance"] for one in objects] == values.tolist() == list(range(1, len(values) + 1))
        assert [one["pixels"] for one in objects] == counts.tolist()
        ids = [one["feature_id"] for one in objects]
        assert ids == sorted(ids, key=sorted(OBJECTS).index)


def test_objects_are_read_by_feature_in_sql_as_json_and_at_any_revision(labelled: Dataset):
    rows = labelled.objects(feature="far pond", where="label = 'boxes'").to_pylist()
    assert {row["raster_id"]: row["visible"] for row in rows} == pytest.approx(
        {"grid/a_c32_r32": 8 * 4 / 81, "grid/a_c32_r48": 8 * 5 / 81}
    )
    assert rows[0]["box"] == [8, 12, 16, 16]
    assert rows[0]["corners"] == [[8, 12], [16, 12], [16, 16], [8, 16]]
    line = json.loads(labelled.json_lines("objects", feature="far pond", where="label = 'boxes'")[0])
    assert (line["box"], line["class"], line["instance"]) == ([8, 12, 16, 16], "pond", None)
    assert labelled.sql("SELECT count(*) AS n FROM objects").to_pylist()[0]["n"] == len(labelled.objects())
    assert len(labelled.objects(at=1)) == 0


def test_objects_are_part_of_the_content_digest_the_difference_and_a_rebuilt_projection(labelled: Dataset):
    before, rows, head = labelled.content_digest(), labelled.objects().to_pylist(), labelled.log(1)[0].position
    labelled.remove_features(["well"])
    without = labelled.content_digest()
    labelled.update()
    told = labelled.diff(head).table.to_pylist()
    gone = {one["id"] for one in told if one["object"] == "label object" and one["change"] == "removed"}
    assert gone == {"things/grid/a_c48_r0/well", "boxes/grid/a_c48_r0/well"}
    assert labelled.objects(at=head).to_pylist() == rows
    assert labelled.content_digest(head) == before
    assert labelled.content_digest() != without
    now = labelled.objects().to_pylist()
    rebuild_state(Database(labelled.root / ".geographer"))
    assert (labelled.objects().to_pylist(), labelled.objects(at=head).to_pylist()) == (now, rows)
    assert labelled.verify() == []
    log = labelled.root / ".geographer" / "log.duckdb"
    assert oracle.read_log(log)[1]["label_object_change"]
    assert oracle.faults(log) == []


def test_a_removed_raster_takes_its_labels_and_objects_along(labelled: Dataset):
    labelled.remove_rasters(["grid/a_c32_r48"])
    assert "grid/a_c32_r48" not in labelled.labels()["raster_id"].to_pylist()
    assert "grid/a_c32_r48" not in labelled.objects()["raster_id"].to_pylist()
    assert not list((labelled.root / "labels").rglob("a_c32_r48.*"))
    assert labelled.verify() == []


def test_a_checkout_writes_the_objects_and_the_box_files(labelled: Dataset, tmp_path: Path):
    import pyarrow.parquet as pq

    labelled.checkout(to=tmp_path / "out")
    written = pq.read_table(tmp_path / "out/tables/objects.parquet")
    assert written.to_pylist() == labelled.objects().arrow.to_pylist()
    path = "labels/boxes/grid/a_c32_r32.json"
    assert (tmp_path / "out" / path).read_bytes() == (labelled.root / path).read_bytes()


def test_integer_ids_stay_integers_among_the_objects(empty_dataset: Path, begun, tmp_path: Path):
    dataset = begun(empty_dataset)
    gather(dataset, tmp_path / "f.geojson", {7: ("pond", square(2, 2, 4), {}), 12: ("pond", square(20, 2, 4), {})})
    dataset.add_rasters(write_scenes(tmp_path / "scenes", "a"))
    dataset.label_instances("things", collection="source")
    assert dataset.objects()["feature_id"].to_pylist() == [12, 7]
    assert dataset.objects(feature=7)["instance"].to_pylist() == [2]


# --- one's own ----------------------------------------------------------------------------------------------------


def test_one_s_own_label_maker_draws_what_it_is_told_and_is_recorded_with_its_version(labelled: Dataset):
    count, depth = mosaic(labelled, "own")
    assert (count[12, 12], count[45, 45], depth[30, 30]) == (2, 2, 22.5)
    payload = next(event.payload for event in labelled.log() if event.payload.get("recipe", {}).get("name") == "own")
    assert payload["maker"] == {"class": "tests.operations.label.label_dataset:Counted", "version": "1"}
    assert payload["recipe"]["parameters"]["options"] == {"scale": 2.5}
    with rasterio.open(labelled.root / "labels/own/grid/a_c0_r0.tif") as label:
        assert label.descriptions == ("count", "depth")


def test_another_version_of_a_maker_makes_all_labels_anew(labelled: Dataset, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Counted, "version", "2")
    monkeypatch.setattr(Counted, "bands", ("number", "depth"))
    changed = [recorded for recorded in labelled.update() if recorded.changed]
    assert [(one.summary["recipe"]["name"], one.summary["labels"]) for one in changed] == [("own", 16)]


def test_a_maker_is_found_by_entry_point_with_the_version_of_its_distribution(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    site = tmp_path / "site"
    (site / "deep_labels-4.2.dist-info").mkdir(parents=True)
    (site / "deep_labels-4.2.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: deep-labels\nVersion: 4.2\n")
    (site / "deep_labels-4.2.dist-info/entry_points.txt").write_text("[geographer.labels]\ndeep = deep_labels:Deep\n")
    (site / "deep_labels.py").write_text(
        "from tests.operations.label.label_dataset import Unversioned\n\nclass Deep(Unversioned): ...\n"
    )
    monkeypatch.syspath_prepend(site)
    arguments = ["-C", str(dataset.root), "label", "own", "d", "--collection", "grid", "--maker", "deep", "--json"]
    result = CliRunner().invoke(cli, [*arguments, "--workers", "1"], catch_exceptions=False)
    assert json.loads(result.stdout)["maker"] == {"class": "deep_labels:Deep", "version": "4.2"}
    assert not mosaic(dataset, "d").any()


@pytest.mark.parametrize(
    ("maker", "options", "error", "said"),
    [
        ("nobody", {}, NotFoundError, "no label maker 'nobody' is installed"),
        ("tests.operations.label.label_dataset:Nobody", {}, UsageError, "can't be imported"),
        ("json:JSONDecoder", {}, UsageError, "needs a method draw"),
        (Unversioned, {}, UsageError, "has no version to record"),
        (Counted, {"colour": 1}, UsageError, "doesn't take the options"),
        (Flat, {}, UsageError, r"drew float64 of shape \(3, 2\) for raster 'grid/a_c0_r0'"),
    ],
)
def test_a_maker_that_can_t_be_used_is_refused(dataset: Dataset, maker, options, error, said: str):
    head = dataset.log(1)
    with pytest.raises(error, match=said):
        dataset.label_own("d", collection="grid", maker=maker, options=options)
    assert dataset.log(1) == head


def test_a_class_that_no_update_could_import_is_refused(dataset: Dataset):
    class Here(Counted):
        pass

    with pytest.raises(UsageError, match="can't be imported later"):
        dataset.label_own("d", collection="grid", maker=Here)


# --- the command line ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "parameters"),
    [
        (
            [
                "mask",
                "--overlap",
                "newest",
                "--all-touched",
                "--ignore",
                "9",
                "--ignore-where",
                "true",
                "--width",
                "5m",
            ],
            *({"overlap": "newest", "all_touched": True, "ignore": 9, "ignore_where": "true", "width": "5m"},),
        ),
        (
            ["soft", "--probability", "pond=depth", "--background-band", "--combine", "max"],
            {"columns": {"pond": "depth"}, "background_band": True, "combine": "max", "width": None},
        ),
        (["instances", "--overlap", "newest", "--width", "3"], {"overlap": "newest", "width": "3px"}),
        (["multilabel"], {"width": None}),
        (["boxes", "--min-visible", "0.5"], {"min_visible": 0.5, "width": "1px"}),
        (
            [
                "own",
                "--maker",
                "tests.operations.label.label_dataset:Counted",
                "--option",
                "scale=2",
                "--option",
                "b=x",
            ],
            *(
                {
                    "maker": "tests.operations.label.label_dataset:Counted",
                    "options": {"scale": 2, "b": "x"},
                    "width": None,
                },
            ),
        ),
    ],
)
def test_commands_hand_over_their_options(
    dataset: Dataset, arguments: list[str], parameters: dict[str, Any], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(Counted, "__init__", lambda self, scale=1, b="": None)
    if "depth" in str(arguments):
        dataset.remove_features(["old quarry", "pond", "far pond", "well"])
    shared = ["--collection", "grid", "--workers", "1", "--dry-run", "--json"]
    command = ["-C", str(dataset.root), "label", arguments[0], "x", *arguments[1:], *shared]
    result = CliRunner().invoke(cli, command, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    recipe = json.loads(result.stdout)["recipe"]
    assert recipe == {"name": "x", "kind": f"label {arguments[0]}", "parameters": {"collection": "grid", **parameters}}


@pytest.mark.parametrize("pair", ["scale", "=2", "scale=", "a=1 a=2"])
def test_options_that_are_no_pairs_are_refused(dataset: Dataset, pair: str):
    options = [part for one in pair.split() for part in ("--option", one)]
    command = ["-C", str(dataset.root), "label", "own", "x", "--collection", "grid", "--maker", "y", *options]
    result = CliRunner().invoke(cli, command)
    assert result.exit_code == 2
    assert "give --option KEY=VALUE, each once" in result.output


def test_objects_are_a_command(labelled: Dataset):
    result = CliRunner().invoke(cli, ["-C", str(labelled.root), "objects", "--feature", "well", "--json"])
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(line["label"], line["instance"], line["visible"]) for line in lines] == [
        ("boxes", None, 1.0),
        ("things", 1, None),
    ]
    assert list(lines[0]) == [
        *("label", "raster_id", "feature_id", "class", "instance", "pixels", "box", "corners", "visible"),
    ]


# --- updates ------------------------------------------------------------------------------------------------------


def outcome(dataset: Dataset, label: str) -> tuple[dict[str, bytes], list[dict[str, Any]]]:
    """The files of a label by the raster, and the objects that it lists, without its name."""
    files = {
        row["raster_id"]: (dataset.root / row["path"]).read_bytes()
        for row in dataset.labels(where=f"label = '{label}'").to_pylist()
    }
    objects = dataset.objects(where=f"label = '{label}'").to_pylist()
    return files, [{name: value for name, value in one.items() if name != "label"} for one in objects]


def edit(dataset: Dataset, folder: Path) -> None:
    """Features added (among them a class) and removed, one of them back elsewhere; a scene replaced, and one added."""
    folder.mkdir()
    dataset.add_classes(["track"])
    gather(dataset, folder / "later.geojson", LATER)
    dataset.remove_features(["pond", "well", "far pond"])
    gather(dataset, folder / "back.geojson", {"pond": ("quarry", square(30, 0, 6), {"depth": 9.0})})
    dataset.remove_rasters(["grid/a_c0_r16", "a"])
    dataset.add_rasters(write_scenes(folder, "a", "b", seed=5))


def test_labels_brought_up_to_date_equal_file_for_file_those_made_from_nothing(
    labelled: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    before = {name: outcome(labelled, name) for name in KINDS}
    edit(labelled, tmp_path / "edit")
    labelled.update(workers=2)
    for name, (method, wanted) in KINDS.items():
        getattr(labelled, method)(f"{name}-afresh", collection="grid", **wanted)
        updated = outcome(labelled, name)
        assert updated == outcome(labelled, f"{name}-afresh"), name
        assert updated[0].keys() - before[name][0].keys(), name
        assert updated[0] != before[name][0]
    made: list[str] = []
    monkeypatch.setattr(labelled, "_progress", lambda what, done, of: made.append(what))
    assert not any(recorded.changed for recorded in labelled.update())
    assert made == []
    assert labelled.verify() == []
    assert [fault for event in labelled.log() for fault in faults(event.to_dict())] == []


def test_labels_that_come_out_as_they_were_are_not_recorded_again(labelled: Dataset, tmp_path: Path):
    gather(labelled, tmp_path / "more.geojson", {"hidden": ("pond", square(5, 5, 2), {"prob_of_class_pond": 1.0})})
    done = {one.summary["recipe"]["name"]: one for one in labelled.update() if one.changed}
    assert done.keys() == {"things", "boxes", "own"}
    assert done["boxes"].summary["labels"] == 1


def recorded(dataset: Dataset, kind: str, payload: dict[str, Any], **rows: dict[str, list[Any]]) -> None:
    """An event of which no command of these tests makes one: its rows as they are given."""
    tables = {table: make_row_table(table, columns) for table, columns in rows.items()}
    recorder = dataset._recorder
    recorder.record_change(
        Change(EventDraft(kind, payload, tables)), dataset._signature("", None, None), recorder.prepare_head(None)
    )


def test_classes_that_take_another_value_or_go_change_the_labels_of_what_shows_them(dataset: Dataset):
    dataset.remove_features(["stream"])
    dataset.label_masks("mask", collection="grid")
    dataset.label_multilabel("multi", collection="grid")
    before = outcome(dataset, "mask")[0]
    values = {"change": ["changed"], "class": ["pond"], "value": [5]}
    recorded(dataset, "classes_added", {"request": {"names": []}, "classes": []}, class_change=values)
    dataset.update()
    due = filled((2, QUARRY), (5, POND), (5, FAR), (0, ISLAND))
    due[10, 50], due[50, 30] = 2, 5
    assert np.array_equal(mosaic(dataset, "mask")[0], due)
    alone = filled((1, QUARRY), (0, ISLAND))
    alone[10, 50] = 1
    assert np.array_equal(mosaic(dataset, "multi"), np.stack([alone, due == 5]))
    after = outcome(dataset, "mask")[0]
    assert {name for name in before if before[name] != after[name]} < before.keys()

    gone = {"change": ["removed"], "class": ["quarry"], "value": [2]}
    recorded(dataset, "classes_added", {"request": {"names": []}, "classes": []}, class_change=gone)
    dataset.update()
    due = filled((5, POND), (5, FAR), (0, ISLAND))
    due[50, 30] = 5
    assert np.array_equal(mosaic(dataset, "mask")[0], due)
    assert np.array_equal(mosaic(dataset, "multi"), (due == 5)[np.newaxis])


def test_a_feature_that_is_changed_keeps_its_place_in_the_order(dataset: Dataset, tmp_path: Path):
    dataset.remove_features(["stream", "well", "puddle", "island"])
    gather(dataset, tmp_path / "lid.geojson", {"lid": ("quarry", square(5, 5, 3), {})})
    dataset.label_masks("mask", collection="grid", overlap="newest")
    dataset.label_instances("things", collection="grid", overlap="newest")
    with dataset._recorder.database.open_connection(log="r") as connection:
        (row,) = connection.execute(
            "SELECT id_is_integer, geometry, crs, properties FROM log.feature_change WHERE feature_id = 'pond'"
        ).fetchall()
    columns = ("id_is_integer", "geometry", "crs", "properties")
    values = {"change": ["changed"], "feature_id": ["pond"], "class": ["quarry"]}
    payload = {"request": {}, "features": 1}
    recorded(
        dataset,
        *("features_removed", payload),
        feature_change=values | {name: [value] for name, value in zip(columns, row, strict=True)},
    )
    with dataset._recorder.open_revision() as view:
        order = dict(view.fetch_rows("SELECT feature_id, added FROM feature_order"))
        rasters = dict(view.fetch_rows("SELECT raster_id, added FROM raster_order"))
    assert (order["pond"] >> 32, order["lid"] >> 32) == (2, 6)
    assert (rasters["a"] >> 32, rasters["grid/a_c0_r0"] >> 32) == (3, 4)
    dataset.update()
    due = filled((2, QUARRY), (2, POND), (1, FAR), (2, (5, 5, 3)))
    assert np.array_equal(mosaic(dataset, "mask")[0], due)
    rows = dataset.objects(raster="grid/a_c0_r0").to_pylist()
    assert [(row["feature_id"], row["class"], row["instance"]) for row in rows] == [
        ("pond", "quarry", 1),
        ("lid", "quarry", 2),
    ]


def test_a_label_and_its_objects_go_when_its_raster_has_left_the_collection(dataset: Dataset):
    """Whatever made it leave."""
    dataset.label_instances("things", collection="source")
    assert set(dataset.objects()["raster_id"].to_pylist()) == {"a"}
    payload = {"request": {"ids": ["a"]}, "rasters": 1, "labels": 0, "splits": 0}
    recorded(dataset, "rasters_removed", payload, raster_change={"change": ["removed"], "raster_id": ["a"]})
    (retiring,) = (one for one in dataset.update() if one.changed and one.kind == "labels_made")
    assert (retiring.summary["retired"], retiring.summary["labels"]) == (1, 0)
    assert (len(dataset.labels()), len(dataset.objects())) == (0, 0)
    assert not (dataset.root / "labels").exists()
    assert not any(one.changed for one in dataset.update())
    assert dataset.verify() == []
