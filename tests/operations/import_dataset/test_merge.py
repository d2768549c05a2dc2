"""Import another dataset: imported objects, equal ids, labels that are not imported, and rejected input."""

import json
import os
import shutil
import sys
from functools import cache
from tempfile import mkdtemp
from typing import Any

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner

from geographer import Dataset
from geographer.base.errors import ConflictError, CorruptError, NotFoundError, UsageError
from geographer.cli import geographer_command
from geographer.planning.selection import SELECTORS
from tests.operations.import_dataset.object_import import import_objects
from tests.sample_history import (
    find_cached_file,
    flip_bit_of_file,
    point_geometry,
    read_contents,
    square_geometry,
    write_features,
    write_scenes,
)
from tests.sample_rasters import make_pixels, write_scene

TABLES = ("features", "edges", "chips", "labels", "objects", "classes")


@pytest.fixture(scope="module")
def source(sample_history):
    return Dataset.open(sample_history.root)


@cache
def make_template(background, classes):
    """Make the folder of an empty dataset, to be copied."""
    return Dataset.init(
        mkdtemp(prefix="template", dir=os.environ["HOME"]), background=background, classes=classes, scm=False
    ).root


def make_empty_dataset(folder, *, background=None, classes=()):
    return Dataset.open(shutil.copytree(make_template(background, tuple(classes)), folder))


def add_features(dataset, folder, features):
    folder.mkdir(exist_ok=True)
    path = write_features(folder / f"{len(list(folder.iterdir()))}.geojson", features)
    return dataset.add_features(path, crs="EPSG:32633")


def read_rows(dataset, name, **filters):
    return dataset.read_table(name, **filters).arrow.to_pylist()


def read_sorted_rows(dataset, name, **filters):
    """Read a table in a defined order; an import orders objects of one event by id. Paths depend on the workspace."""
    rows = [{key: value for key, value in row.items() if key != "path"} for row in read_rows(dataset, name, **filters)]
    return sorted(rows, key=repr)


FEATURES = {"p1": ("pond", point_geometry(10.5, 10.5)), "q1": ("quarry", square_geometry(40, 40, 6))}
OTHER_FEATURES = {
    "p1": ("pond", point_geometry(10.5, 10.5)),
    "q1": ("quarry", square_geometry(20, 45, 6)),
    "q2": ("quarry", point_geometry(55, 9)),
}


def make_chip_dataset(folder, *, seed=1, features=FEATURES, size=16):
    """Make a dataset of one scene with features, chips, masks and a split."""
    dataset = make_empty_dataset(folder, background="water")
    inputs = folder.with_name(f"{folder.name} inputs")
    add_features(dataset, inputs, features)
    dataset.add_rasters(write_scenes(inputs / "scenes", "a", seed=seed))
    dataset.cut_around_features("chips", size=size)
    dataset.label_masks("mask", collection="chips")
    dataset.split("parts", collection="chips", parts={"train": 0.5, "test": 0.5})
    return dataset


@pytest.fixture(scope="module")
def copy_chip_dataset(tmp_path_factory):
    """Copy a dataset of `make_chip_dataset` to a folder; each is made once."""
    templates = tmp_path_factory.mktemp("templates")

    def copy_dataset(folder, **options):
        template = templates / f"{sorted(options)} {len(options.get('features', FEATURES))}"
        if not template.exists():
            make_chip_dataset(template, **options)
        return Dataset.open(shutil.copytree(template, folder))

    return copy_dataset


def test_empty_dataset_gets_everything_except_splits(dataset, sample_history, source):
    result = import_objects(dataset, sample_history.root, message="merged")
    assert result.position == 2
    for name in TABLES:
        assert read_sorted_rows(dataset, name) == read_sorted_rows(source, name), name
    assert {row["raster_id"]: row["sha256"] for row in read_rows(dataset, "rasters")} == {
        row["raster_id"]: row["sha256"] for row in read_rows(source, "rasters")
    }
    assert read_contents(dataset.root / "rasters") == read_contents(sample_history.root / "rasters")
    assert read_contents(dataset.root / "labels") == read_contents(sample_history.root / "labels")
    assert not read_rows(dataset, "splits")
    assert not dataset.verify()


def test_dropped_user_columns_are_not_imported(tmp_path):
    source, target = make_empty_dataset(tmp_path / "source"), make_empty_dataset(tmp_path / "target")
    path = write_features(tmp_path / "a.geojson", FEATURES)
    path.write_text(path.read_text().replace('"depth": 1.5', '"prob_of_class_quarry": 0.5'))
    source.add_features(path, crs="EPSG:32633")
    source.remap_classes({"quarry": None})
    import_objects(target, source.root)
    assert target.log()[-1].payload["columns"]["feature"] == {"name": "VARCHAR", "surveyed": "VARCHAR"}


def test_payload_records_imported_history(dataset, sample_history, source):
    import_objects(dataset, sample_history.root, at="v1")
    event, head = source.show("v1"), source.show()
    history = dataset.show().payload["history"]
    tagged = next(tag for tag in read_rows(source, "tags") if tag["tag"] == "v1")
    assert event.position == tagged["position"]
    assert history == {
        "revision": "v1",
        "position": tagged["position"],
        "digest": tagged["digest"],
        "content_digest": tagged["content_digest"],
        "events": tagged["position"],
        "head": {"position": head.position, "digest": head.digest},
    }
    for name in TABLES:
        assert read_sorted_rows(dataset, name) == read_sorted_rows(source, name, at="v1"), name
    assert read_contents(dataset.root / "rasters" / "around") == read_contents(
        sample_history.at_v1 / "rasters" / "around"
    )


def test_only_split_needs_update(dataset, sample_history, source):
    import_objects(dataset, sample_history.root)
    assert dataset.status()["recipes"] == source.status()["recipes"]
    assert [run.summary["recipe"]["name"] for run in dataset.update() if run.changed] == ["parts"]


def test_rebuilt_state_is_equal(dataset, sample_history):
    import_objects(dataset, sample_history.root)
    before = [read_rows(dataset, name) for name in (*TABLES, "rasters")]
    recipes = dataset.status()["recipes"]
    (dataset.root / ".geographer" / "state.duckdb").unlink()
    reopened = Dataset.open(dataset.root)
    assert [read_rows(reopened, name) for name in (*TABLES, "rasters")] == before
    assert reopened.status()["recipes"] == recipes


def test_equal_objects_are_merged(dataset, sample_history):
    import_objects(dataset, sample_history.root)
    reopened = import_objects(dataset, sample_history.root)
    assert not reopened.changed
    assert (reopened.summary["features"], reopened.summary["rasters"]) == (0, 0)
    assert reopened.summary["equal"] == len(read_rows(dataset, "features")) + len(read_rows(dataset, "rasters"))
    assert reopened.summary["left_out_labels"] == 0


@pytest.fixture
def two_datasets(copy_chip_dataset, tmp_path):
    """Two datasets with chips: p1 is equal; q1 and the raster a differ."""
    return copy_chip_dataset(tmp_path / "one"), copy_chip_dataset(tmp_path / "two", seed=5, features=OTHER_FEATURES)


def test_different_objects_are_rejected(two_datasets):
    target, source = two_datasets
    before = read_contents(target.root / "rasters"), target.show().digest
    with pytest.raises(ConflictError, match=r"feature 'q1' differs between the datasets.*--on-equal-id ours or theirs"):
        import_objects(target, source.root)
    assert (read_contents(target.root / "rasters"), target.show().digest) == before


def test_on_equal_id_ours_keeps_objects(two_datasets):
    target, source = two_datasets
    before = read_contents(target.root / "rasters")
    summary = import_objects(target, source.root, on_equal_id="ours").summary
    assert read_contents(target.root / "rasters") == before
    assert [row["feature_id"] for row in read_rows(target, "features")] == ["p1", "q1", "q2"]
    # q1, the raster a, and the chips around p1 and q1 differ; the chip around q2 was cut from the source's raster a.
    counts = ("features", "rasters", "equal", "kept_as_ours", "replaced_by_theirs", "left_out_chips", "labels")
    assert [summary[name] for name in counts] == [1, 0, 1, 4, 0, 1, 0]
    target.update(on_conflict="move")
    assert {row["raster_id"] for row in read_rows(target, "chips")} == {"chips/a_p1", "chips/a_q1", "chips/a_q2"}
    assert not target.verify()


def test_on_equal_id_theirs_replaces_objects(two_datasets):
    target, source = two_datasets
    summary = import_objects(target, source.root, on_equal_id="theirs").summary
    assert (summary["features"], summary["rasters"], summary["equal"], summary["replaced_by_theirs"]) == (2, 4, 1, 4)
    assert read_rows(target, "features") == read_rows(source, "features")
    assert read_contents(target.root / "rasters") == read_contents(source.root / "rasters")
    assert read_rows(target, "edges") == read_rows(source, "edges")
    target.update(on_conflict="move")
    assert read_contents(target.root / "labels") == read_contents(source.root / "labels")
    assert not target.verify()


def test_prefix_changes_all_source_ids(two_datasets):
    target, source = two_datasets
    summary = import_objects(target, source.root, prefix="x-").summary
    assert (summary["features"], summary["rasters"], summary["equal"]) == (3, 4, 0)
    assert {row["feature_id"] for row in read_rows(target, "features")} == {"p1", "q1", "x-p1", "x-q1", "x-q2"}
    chips = {row["raster_id"]: row for row in read_rows(target, "chips") if row["raster_id"].startswith("chips/x-")}
    windows = {row["raster_id"]: (row["col"], row["row"]) for row in read_rows(source, "chips")}
    assert {name: row["parent_id"] for name, row in chips.items()} == dict.fromkeys(
        ("chips/x-a_p1", "chips/x-a_q1", "chips/x-a_q2"), "x-a"
    )
    assert {name.replace("x-", ""): (row["col"], row["row"]) for name, row in chips.items()} == windows
    for path, content in read_contents(source.root / "rasters").items():
        if path.endswith(".tif"):
            folder, _, name = path.rpartition("/")
            assert (target.root / "rasters" / folder / f"x-{name}").read_bytes() == content
    # Only p1 of this dataset lies on an imported chip: the one around the same point.
    masks = {row["raster_id"] for row in read_rows(target, "labels") if "/x-" in row["raster_id"]}
    assert masks == {"chips/x-a_q1", "chips/x-a_q2"}
    assert not target.verify()


def test_prefix_turns_integer_ids_into_text(tmp_path):
    source = make_empty_dataset(tmp_path / "other")
    features: dict[Any, Any] = {7: ("pond", point_geometry(1, 1))}
    source.add_features(write_features(tmp_path / "integer ids.geojson", features), crs="EPSG:32633")
    plain, prefixed = make_empty_dataset(tmp_path / "plain"), make_empty_dataset(tmp_path / "prefixed")
    import_objects(plain, source.root)
    import_objects(prefixed, source.root, prefix="n")
    assert plain.features()["feature_id"].to_pylist() == [7]
    assert prefixed.features()["feature_id"].to_pylist() == ["n7"]


def read_mask(path):
    with rasterio.open(path) as raster:
        return raster.read(1)


def test_masks_with_other_feature_are_not_imported(copy_chip_dataset, tmp_path):
    source = copy_chip_dataset(tmp_path / "other")
    far, near = (
        make_empty_dataset(tmp_path / "far", background="water"),
        make_empty_dataset(tmp_path / "near", background="water"),
    )
    add_features(far, tmp_path / "far inputs", {"other": ("pond", point_geometry(500, 500))})
    # It crosses the scene's edge, so that it gets no chip.
    add_features(near, tmp_path / "near inputs", {"other": ("quarry", square_geometry(-4, 9, 8))})
    assert import_objects(far, source.root).summary["labels"] == 2
    assert read_contents(far.root / "labels") == read_contents(source.root / "labels")
    summary = import_objects(near, source.root).summary
    assert summary["classes"] == ["pond"]
    assert (summary["labels"], summary["left_out_labels"]) == (0, 2)
    assert "class values differ" in summary["warnings"][0]
    near.update()
    path = next(row["path"] for row in read_rows(near, "labels") if row["raster_id"] == "chips/a_p1")
    chip = next(row for row in read_rows(near, "chips") if row["raster_id"] == "chips/a_p1")
    # Quarry is class 1 here, pond 2; `other` covers the scene's first four columns in rows 9 to 16, p1 a pixel.
    scene = np.zeros((64, 64), np.uint8)
    scene[9:17, :4] = 1
    scene[10, 10] = 2
    expected = scene[chip["row"] : chip["row"] + 16, chip["col"] : chip["col"] + 16]
    assert (read_mask(near.root / path) == expected).all()


def test_mask_under_other_feature_is_remade(copy_chip_dataset, tmp_path):
    source, near = copy_chip_dataset(tmp_path / "other"), make_empty_dataset(tmp_path / "near", background="water")
    add_features(
        near,
        tmp_path / "inputs",
        {"other": ("pond", square_geometry(-4, 9, 8)), "b": ("quarry", point_geometry(900, 900))},
    )
    summary = import_objects(near, source.root).summary
    assert (summary["labels"], summary["left_out_labels"]) == (1, 1)
    assert [row["raster_id"] for row in read_rows(near, "labels")] == ["chips/a_q1"]
    near.update()
    path = next(row["path"] for row in read_rows(near, "labels") if row["raster_id"] == "chips/a_p1")
    chip = next(row for row in read_rows(near, "chips") if row["raster_id"] == "chips/a_p1")
    # `other` covers the scene's first four columns in eight rows, all of them the chip's; p1 is a pixel.
    assert read_mask(near.root / path).sum() == 8 * (4 - chip["col"]) + 1


def test_outdated_mask_is_not_imported(copy_chip_dataset, tmp_path):
    source = copy_chip_dataset(tmp_path / "other")
    add_features(source, tmp_path / "late", {"late": ("pond", square_geometry(9, 9, 2))})
    target = make_empty_dataset(tmp_path / "target")
    assert import_objects(target, source.root).summary["left_out_labels"] == 1
    assert [row["raster_id"] for row in read_rows(target, "labels")] == ["chips/a_q1"]


LABELS = ("boxes", "instances", "mask", "multilabel", "soft")


def add_labels(dataset):
    """Add labels of the other kinds for the chips."""
    dataset.label_boxes("boxes", collection="chips")
    dataset.label_instances("instances", collection="chips")
    dataset.label_multilabel("multilabel", collection="chips")
    dataset.label_probabilities("soft", collection="chips")
    return dataset


@pytest.fixture(scope="module")
def label_dataset(copy_chip_dataset, tmp_path_factory):
    """A dataset with labels of five kinds for each of two chips; tests must not change it."""
    return add_labels(copy_chip_dataset(tmp_path_factory.mktemp("many") / "many"))


def list_labels(dataset):
    """Return the chips with a label, by label."""
    chips_by_label: dict[str, list[str]] = {}
    for row in read_rows(dataset, "labels"):
        chips_by_label.setdefault(row["label"], []).append(row["raster_id"])
    return chips_by_label


def update_and_list_changes(dataset):
    """Update, and return the recipes that changed something, without splits."""
    runs = dataset.update(on_conflict="move")
    return [run.summary["recipe"]["name"] for run in runs if run.changed and run.kind != "split_assigned"]


def test_all_label_kinds_are_imported(label_dataset, dataset):
    summary = import_objects(dataset, label_dataset.root).summary
    assert (summary["labels"], summary["left_out_labels"]) == (10, 0)
    assert read_contents(dataset.root / "labels") == read_contents(label_dataset.root / "labels")
    assert read_rows(dataset, "objects") == read_rows(label_dataset, "objects")
    assert {row["label"] for row in read_rows(dataset, "objects")} == {"boxes", "instances"}
    assert not update_and_list_changes(dataset)
    assert not dataset.verify()


def test_prefix_excludes_labels_that_contain_ids(label_dataset, dataset):
    summary = import_objects(dataset, label_dataset.root, prefix="x-").summary
    assert (summary["labels"], summary["left_out_labels"]) == (8, 2)
    here, there = (
        [row for row in read_rows(merged, "objects") if row["label"] == "instances"]
        for merged in (dataset, label_dataset)
    )
    renamed = [
        {**row, "feature_id": f"x-{row['feature_id']}", "raster_id": row["raster_id"].replace("/", "/x-")}
        for row in there
    ]
    assert here == renamed


def test_additional_class_remakes_band_labels(label_dataset, tmp_path):
    target = make_empty_dataset(tmp_path / "target", background="water", classes=["pond", "quarry", "rock"])
    import_objects(target, label_dataset.root)
    assert list_labels(target) == {label: ["chips/a_p1", "chips/a_q1"] for label in ("boxes", "instances", "mask")}
    assert update_and_list_changes(target) == ["multilabel", "soft"]
    with rasterio.open(target.root / "labels/multilabel/chips/a_p1.tif") as label:
        assert label.descriptions == ("pond", "quarry", "rock")
    assert not update_and_list_changes(target)


def test_later_class_remakes_band_labels(label_dataset, dataset):
    import_objects(dataset, label_dataset.root)
    dataset.add_classes(["rock"])
    assert update_and_list_changes(dataset) == ["multilabel", "soft"]
    with rasterio.open(dataset.root / "labels/soft/chips/a_q1.tif") as label:
        assert label.count == 3


def test_wide_label_near_other_feature_is_remade(copy_chip_dataset, tmp_path):
    source, near = (
        copy_chip_dataset(tmp_path / "other"),
        make_empty_dataset(tmp_path / "near", background="water", classes=["pond", "quarry"]),
    )
    source.label_masks("wide", collection="chips", width="12px")
    # The chip around p1 ends before the scene's column 20.
    add_features(near, tmp_path / "inputs", {"other": ("pond", point_geometry(23.5, 10.5))})
    import_objects(near, source.root)
    assert list_labels(near) == {"mask": ["chips/a_p1", "chips/a_q1"], "wide": ["chips/a_q1"]}


def test_changed_feature_order_remakes_labels(copy_chip_dataset, dataset, tmp_path):
    late = {"a0": ("pond", square_geometry(-4, 9, 8))}
    source = copy_chip_dataset(tmp_path / "other")
    # It crosses the scene's edge, so that it gets no chip, and overlaps the chip around p1.
    add_features(source, tmp_path / "late", late)
    source.update(on_conflict="move")
    source.label_instances("instances", collection="chips")
    source.label_masks("newest", collection="chips", overlap="newest")
    # The source added a0 after p1. An import keeps this order, unless the target has both from one event.
    import_objects(dataset, source.root)
    assert list_labels(dataset) == list_labels(source)
    assert not update_and_list_changes(dataset)
    target = make_empty_dataset(tmp_path / "target", background="water", classes=["pond", "quarry"])
    add_features(target, tmp_path / "inputs", {**late, "p1": FEATURES["p1"]})
    summary = import_objects(target, source.root).summary
    unaffected = ["chips/a_q1"]
    assert list_labels(target) == {"instances": unaffected, "mask": ["chips/a_p1", *unaffected], "newest": unaffected}
    assert summary["left_out_labels"] == 2
    assert "would differ here" in summary["warnings"][0]
    assert update_and_list_changes(target) == ["instances", "newest"]
    assert list_labels(target) == list_labels(source)


def test_masks_with_sql_expression_are_remade(copy_chip_dataset, dataset, tmp_path):
    source = copy_chip_dataset(tmp_path / "other")
    source.label_masks("doubt", collection="chips", ignore=9, ignore_where="depth > 1")
    assert import_objects(dataset, source.root).summary["left_out_labels"] == 2
    assert update_and_list_changes(dataset) == ["doubt"]
    assert read_contents(dataset.root / "labels") == read_contents(source.root / "labels")


def read_inputs(dataset, recipe):
    """Read a recipe's inputs from the log: subject and id."""
    with dataset._unit_of_work.open_revision() as revision:
        return revision.fetch_rows(
            "SELECT subject, object_id FROM log.recipe_input WHERE recipe = $recipe ORDER BY ALL", {"recipe": recipe}
        )


def test_imported_boxes_cut_later_rasters(dataset, tmp_path):
    source = make_empty_dataset(tmp_path / "other")
    source.add_rasters(write_scenes(tmp_path / "scenes", "a"))
    boxes = write_features(
        tmp_path / "boxes.geojson", {"in": ("", square_geometry(4, 5, 8)), "off": ("", square_geometry(70, 5, 8))}
    )
    source.cut_boxes("drawn_there", boxes, crs="EPSG:32633")
    summary = import_objects(dataset, source.root, prefix="x-", rename={"drawn_there": "drawn"}).summary
    assert [recipe["name"] for recipe in summary["recipes"]] == ["drawn"]
    assert read_inputs(dataset, "drawn") == [("box", "in"), ("box", "off")]
    assert not update_and_list_changes(dataset)
    dataset.add_rasters(write_scenes(tmp_path / "more", "b", offset=1))
    assert update_and_list_changes(dataset) == ["drawn"]
    # The second scene begins 48 pixels east of the first.
    windows = {row["raster_id"]: (row["col"], row["row"], row["width"]) for row in read_rows(dataset, "chips")}
    assert windows == {"drawn/x-a_in": (4, 5, 8), "drawn/b_off": (22, 5, 8)}
    third = make_empty_dataset(tmp_path / "third")
    import_objects(third, dataset.root)
    assert read_inputs(third, "drawn") == [("box", "in"), ("box", "off")]
    assert not update_and_list_changes(third)


@pytest.fixture
def make_selector_dataset(tmp_path, monkeypatch):
    """Make a dataset with chips around the ponds, which a selector selected that cannot be imported any more."""
    (tmp_path / "gone_selectors.py").write_text(
        "def some(features):\n"
        "    return [row['feature_id'] for row in features.to_pylist() if row['class'] == 'pond']\n\n"
        "def first(rasters):\n    return [rasters.to_pylist()[0]['raster_id']]\n"
    )

    def make_dataset(name, features, scene, offset):
        dataset = make_empty_dataset(tmp_path / name)
        add_features(dataset, tmp_path / f"{name} inputs", features)
        dataset.add_rasters(write_scenes(tmp_path / f"{name} scenes", scene, offset=offset))
        with monkeypatch.context() as patch:
            patch.syspath_prepend(tmp_path)
            where, rasters_where = (SELECTORS.resolve_plugin(f"gone_selectors:{name}") for name in ("some", "first"))
            dataset.cut_around_features("chips", size=8, where=where, rasters_where=rasters_where)
        del sys.modules["gone_selectors"]
        assert where.load_plugin() is None
        return dataset

    return make_dataset


PONDS = {"p": ("pond", point_geometry(10.5, 10.5)), "q": ("quarry", point_geometry(30.5, 30.5))}


def test_selected_ids_replace_missing_selector(make_selector_dataset, dataset, tmp_path):
    source = make_selector_dataset("other", PONDS, "a", 0)
    import_objects(dataset, source.root)
    assert read_inputs(dataset, "chips") == [("feature", "p"), ("raster", "a")]
    assert not update_and_list_changes(dataset)
    assert [row["raster_id"] for row in read_rows(dataset, "chips")] == ["chips/a_p"]
    prefixed = make_empty_dataset(tmp_path / "prefixed")
    import_objects(prefixed, source.root, prefix="x-")
    assert read_inputs(prefixed, "chips") == [("feature", "x-p"), ("raster", "x-a")]


def test_empty_selection_is_imported(make_selector_dataset, dataset):
    source = make_selector_dataset("other", {"q": ("quarry", point_geometry(30.5, 30.5))}, "a", 0)
    import_objects(dataset, source.root)
    assert read_inputs(dataset, "chips") == [("raster", "a")]
    assert not update_and_list_changes(dataset)


def test_merged_recipe_unites_selections(make_selector_dataset):
    target = make_selector_dataset("one", PONDS, "a", 0)
    source = make_selector_dataset("other", {"p2": ("pond", point_geometry(100.5, 10.5)), "q": PONDS["q"]}, "b", 1)
    summary = import_objects(target, source.root).summary
    assert summary["recipes"] == []
    assert not update_and_list_changes(target)
    assert [row["raster_id"] for row in read_rows(target, "chips")] == ["chips/a_p", "chips/b_p2"]
    assert not import_objects(target, source.root).changed


def test_different_recipe_of_same_name_is_rejected(copy_chip_dataset, tmp_path):
    target, source = copy_chip_dataset(tmp_path / "one"), copy_chip_dataset(tmp_path / "other", size=24)
    with pytest.raises(ConflictError, match=r"recipe 'chips' has other parameters here.*--rename chips=NEW"):
        import_objects(target, source.root)
    import_objects(target, source.root, rename={"chips": "wide", "mask": "wide-mask", "parts": "wide-parts"})
    assert target.status()["recipes"] == [
        *("chips (cut around)", "mask (label mask)", "parts (split)"),
        *("wide (cut around)", "wide-mask (label mask)", "wide-parts (split)"),
    ]
    chips = {row["raster_id"]: (row["parent_id"], row["width"]) for row in read_rows(target, "chips")}
    assert chips == {
        **dict.fromkeys(("chips/a_p1", "chips/a_q1"), ("a", 16)),
        **dict.fromkeys(("wide/a_p1", "wide/a_q1"), ("a", 24)),
    }
    assert read_contents(target.root / "rasters" / "wide") == read_contents(source.root / "rasters" / "chips")
    assert read_contents(target.root / "labels" / "wide-mask" / "wide") == read_contents(
        source.root / "labels" / "mask" / "chips"
    )
    assert [run.changed for run in target.update()] == [False, False, False, False, False, True]


def test_equal_recipes_are_merged(copy_chip_dataset, tmp_path):
    target, source = copy_chip_dataset(tmp_path / "one"), copy_chip_dataset(tmp_path / "other")
    add_features(source, tmp_path / "more", {"w": ("water", point_geometry(30, 30))})
    source.update(on_conflict="move")
    summary = import_objects(target, source.root).summary
    assert (summary["features"], summary["rasters"], summary["equal"], summary["recipes"]) == (1, 1, 5, [])
    assert {row["raster_id"] for row in read_rows(target, "chips")} == {"chips/a_p1", "chips/a_q1", "chips/a_w"}


def test_collection_named_like_recipe_is_rejected(copy_chip_dataset, tmp_path):
    target, source = copy_chip_dataset(tmp_path / "one"), make_empty_dataset(tmp_path / "other")
    source.add_rasters(write_scenes(tmp_path / "b", "b"), collection="chips")
    with pytest.raises(ConflictError, match="collection 'chips' has chips of a recipe in one dataset"):
        import_objects(target, source.root)
    import_objects(target, source.root, rename={"chips": "scenes"})
    assert (target.root / "rasters" / "scenes" / "b.tif").is_file()


def test_referenced_rasters_stay_references(dataset, tmp_path):
    source = make_empty_dataset(tmp_path / "other")
    inside = write_scenes(source.root / "archive", "r")
    source.add_rasters(inside, mode="reference")
    import_objects(dataset, source.root)
    assert read_rows(dataset, "rasters")[0]["path"] == "{archive}/r.tif"
    assert dataset.list_roots()["folder"].to_pylist() == [str(source.root / "archive")]
    assert not dataset.verify()
    assert not import_objects(dataset, source.root).changed


def test_background_in_one_dataset_is_rejected(tmp_path):
    target, source = (
        make_empty_dataset(tmp_path / "one", classes=["water"]),
        make_empty_dataset(tmp_path / "other", background="water"),
    )
    with pytest.raises(ConflictError, match="'water' is the background in only one"):
        import_objects(target, source.root)


def test_new_classes_get_next_values(tmp_path):
    target, source = (
        make_empty_dataset(tmp_path / "one", classes=["track"]),
        make_empty_dataset(tmp_path / "other", background="sea", classes=["ball"]),
    )
    import_objects(target, source.root)
    assert {row["class"]: row["value"] for row in read_rows(target, "classes")} == {"sea": 0, "track": 1, "ball": 2}


def test_workspace_file_replaces_damaged_cache(copy_chip_dataset, dataset, tmp_path):
    source = copy_chip_dataset(tmp_path / "other")
    path = "rasters/source/a.tif"
    content = (source.root / path).read_bytes()
    flip_bit_of_file(find_cached_file(source.root, path, 99))
    (source.root / path).unlink()
    (source.root / path).write_bytes(content)
    import_objects(dataset, source.root)
    assert (dataset.root / path).read_bytes() == content


def test_altered_bytes_are_rejected(copy_chip_dataset, dataset, tmp_path):
    source = copy_chip_dataset(tmp_path / "other")
    for path in (find_cached_file(source.root, "rasters/source/a.tif", 99), source.root / "rasters/source/a.tif"):
        path.unlink()
        write_scene(path, make_pixels(2, 64, 64, "uint8", seed=9))
    with pytest.raises(CorruptError, match="files of raster 'a' are missing or altered"):
        import_objects(dataset, source.root)
    assert dataset.status()["position"] == 1
    assert not (dataset.root / "rasters").exists()


def test_unrecorded_file_is_not_overwritten(copy_chip_dataset, dataset, tmp_path):
    source = copy_chip_dataset(tmp_path / "other")
    (dataset.root / "rasters" / "source").mkdir(parents=True)
    (dataset.root / "rasters" / "source" / "a.tif").write_text("unrecorded")
    with pytest.raises(ConflictError, match=r"another file exists at 'rasters/source/a\.tif'"):
        import_objects(dataset, source.root)
    assert (dataset.root / "rasters" / "source" / "a.tif").read_text() == "unrecorded"


def test_invalid_options_are_rejected(dataset, sample_history, tmp_path):
    with pytest.raises(UsageError, match="is this dataset"):
        import_objects(dataset, dataset.root)
    with pytest.raises(NotFoundError, match="is not an existing folder"):
        import_objects(dataset, tmp_path / "nowhere")
    with pytest.raises(NotFoundError, match="no revision 'v9'"):
        import_objects(dataset, sample_history.root, at="v9")
    with pytest.raises(NotFoundError, match="no recipe or collection 'chip' to rename"):
        import_objects(dataset, sample_history.root, rename={"chip": "chips"})
    with pytest.raises(UsageError, match="invalid prefix name"):
        import_objects(dataset, sample_history.root, prefix="a/b")
    with pytest.raises(UsageError, match="several recipes or collections would have the name 'grid'"):
        import_objects(dataset, sample_history.root, rename={"around": "grid"})


def test_command_plans_merges_and_repeats(dataset, sample_history):
    def run(*arguments):
        result = CliRunner().invoke(
            geographer_command, ["-C", str(dataset.root), "import", "dataset", str(sample_history.root), *arguments]
        )
        assert result.exit_code == 0, result.output
        return result.stdout

    assert "nothing was changed" in run("--dry-run")
    first = json.loads(run("--json", "--idempotency-key", "k", "--rename", "grid=cells", "--at", "v1", "--prefix", "s"))
    reopened = json.loads(
        run("--json", "--idempotency-key", "k", "--rename", "grid=cells", "--at", "v1", "--prefix", "s")
    )
    assert (first["changed"], reopened["changed"], first["digest"]) == (True, False, reopened["digest"])
    assert [recipe["name"] for recipe in first["recipes"]] == ["around", "cells", "mask", "parts"]
    result = CliRunner().invoke(
        geographer_command, ["-C", str(dataset.root), "import", "dataset", str(sample_history.root), "--rename", "x"]
    )
    assert result.exit_code == 2
