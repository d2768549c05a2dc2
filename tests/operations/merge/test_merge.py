"""Importing another dataset: what comes, what equal ids mean, what is left out, what is refused."""

import json
import shutil
import sys

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner

from geographer import Dataset
from geographer.base.errors import ConflictError, CorruptError, NotFoundError, UsageError
from geographer.cli import cli
from geographer.planning.selection import Selector
from tests.sample_history import alter, cached, contents, point, square, write_features, write_scenes
from tests.sample_rasters import pixels, write_scene

TABLES = ("features", "edges", "chips", "labels", "objects", "classes")


@pytest.fixture(scope="module")
def theirs(story):
    return Dataset.open(story.root)


def fresh(folder, **options):
    return Dataset.init(folder, scm=False, **options)


def add(dataset, folder, features):
    folder.mkdir(exist_ok=True)
    path = write_features(folder / f"{len(list(folder.iterdir()))}.geojson", features)
    return dataset.add_features(path, crs="EPSG:32633")


def table(dataset, name, **wanted):
    return dataset.table(name, **wanted).arrow.to_pylist()


def rows(dataset, name, **wanted):
    """The rows of a table, whatever their order: within an import they lie by id, as recipes take them."""
    return sorted(table(dataset, name, **wanted), key=repr)


ONE = {"p1": ("pond", point(10.5, 10.5)), "q1": ("quarry", square(40, 40, 6))}
OTHER = {"p1": ("pond", point(10.5, 10.5)), "q1": ("quarry", square(20, 45, 6)), "q2": ("quarry", point(55, 9))}


def made(folder, *, seed=1, features=ONE, size=16):
    """A dataset of one scene with the features in it, its chips, their masks, and a split."""
    dataset = fresh(folder, background="water")
    inputs = folder.with_name(f"{folder.name} inputs")
    add(dataset, inputs, features)
    dataset.add_rasters(write_scenes(inputs / "scenes", "a", seed=seed))
    dataset.cut_around_features("chips", size=size)
    dataset.label_masks("mask", collection="chips")
    dataset.split("parts", collection="chips", parts={"train": 0.5, "test": 0.5})
    return dataset


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Puts a dataset as `made` makes it into a folder; each is made once, and copied."""
    templates = tmp_path_factory.mktemp("templates")

    def copied(folder, **options):
        template = templates / f"{sorted(options)} {len(options.get('features', ONE))}"
        if not template.exists():
            made(template, **options)
        return Dataset.open(shutil.copytree(template, folder))

    return copied


def test_into_an_empty_dataset_everything_comes_but_splits(dataset, story, theirs):
    recorded = dataset.import_dataset(story.root, message="merged")
    assert recorded.position == 2
    for name in TABLES:
        assert rows(dataset, name) == rows(theirs, name), name
    assert {row["raster_id"]: row["sha256"] for row in table(dataset, "rasters")} == {
        row["raster_id"]: row["sha256"] for row in table(theirs, "rasters")
    }
    assert contents(dataset.root / "rasters") == contents(story.root / "rasters")
    assert contents(dataset.root / "labels") == contents(story.root / "labels")
    assert not table(dataset, "splits")
    assert not dataset.verify()


def test_the_payload_notes_the_history_that_was_taken(dataset, story, theirs):
    dataset.import_dataset(story.root, at="v1")
    event, head = theirs.show("v1"), theirs.show()
    noted = dataset.show().payload["history"]
    tagged = next(tag for tag in table(theirs, "tags") if tag["tag"] == "v1")
    assert event.position == tagged["position"]
    assert noted == {
        "revision": "v1",
        "position": tagged["position"],
        "digest": tagged["digest"],
        "content_digest": tagged["content_digest"],
        "events": tagged["position"],
        "head": {"position": head.position, "digest": head.digest},
    }
    for name in TABLES:
        assert rows(dataset, name) == rows(theirs, name, at="v1"), name
    assert contents(dataset.root / "rasters" / "around") == contents(story.at_v1 / "rasters" / "around")


def test_what_came_needs_no_update_but_the_split(dataset, story, theirs):
    dataset.import_dataset(story.root)
    assert dataset.status()["recipes"] == theirs.status()["recipes"]
    assert [run.summary["recipe"]["name"] for run in dataset.update() if run.changed] == ["parts"]


def test_the_rebuilt_projection_is_the_same(dataset, story):
    dataset.import_dataset(story.root)
    before = [table(dataset, name) for name in (*TABLES, "rasters")]
    recipes = dataset.status()["recipes"]
    (dataset.root / ".geographer" / "state.duckdb").unlink()
    again = Dataset.open(dataset.root)
    assert [table(again, name) for name in (*TABLES, "rasters")] == before
    assert again.status()["recipes"] == recipes


def test_equal_ids_with_equal_content_are_one_object(dataset, story):
    dataset.import_dataset(story.root)
    again = dataset.import_dataset(story.root)
    assert not again.changed
    assert (again.summary["features"], again.summary["rasters"]) == (0, 0)
    assert again.summary["equal"] == len(table(dataset, "features")) + len(table(dataset, "rasters"))
    assert again.summary["left_out_labels"] == 0


@pytest.fixture
def two(small, tmp_path):
    """Two datasets that agree about the feature p1, and not about q1 and the raster a; with chips of both."""
    return small(tmp_path / "one"), small(tmp_path / "two", seed=5, features=OTHER)


def test_equal_ids_with_other_content_are_refused(two):
    one, other = two
    before = contents(one.root / "rasters"), one.show().digest
    with pytest.raises(ConflictError, match=r"feature 'q1': both datasets have that id.*--on-equal-id ours or theirs"):
        one.import_dataset(other.root)
    assert (contents(one.root / "rasters"), one.show().digest) == before


def test_ours_stay_and_chips_of_their_raster_are_left_out(two):
    one, other = two
    before = contents(one.root / "rasters")
    summary = one.import_dataset(other.root, on_equal_id="ours").summary
    assert contents(one.root / "rasters") == before
    assert [row["feature_id"] for row in table(one, "features")] == ["p1", "q1", "q2"]
    # q1, the raster a, and the chips around p1 and q1 are other; the chip around q2 is of their raster a.
    counts = ("features", "rasters", "equal", "kept_as_ours", "replaced_by_theirs", "left_out_chips", "labels")
    assert [summary[name] for name in counts] == [1, 0, 1, 4, 0, 1, 0]
    one.update(on_conflict="move")
    assert {row["raster_id"] for row in table(one, "chips")} == {"chips/a_p1", "chips/a_q1", "chips/a_q2"}
    assert not one.verify()


def test_theirs_replace_ours(two):
    one, other = two
    summary = one.import_dataset(other.root, on_equal_id="theirs").summary
    assert (summary["features"], summary["rasters"], summary["equal"], summary["replaced_by_theirs"]) == (2, 4, 1, 4)
    assert table(one, "features") == table(other, "features")
    assert contents(one.root / "rasters") == contents(other.root / "rasters")
    assert table(one, "edges") == table(other, "edges")
    one.update(on_conflict="move")
    assert contents(one.root / "labels") == contents(other.root / "labels")
    assert not one.verify()


def test_a_prefix_gives_all_of_theirs_other_ids(two):
    one, other = two
    summary = one.import_dataset(other.root, prefix="x-").summary
    assert (summary["features"], summary["rasters"], summary["equal"]) == (3, 4, 0)
    assert {row["feature_id"] for row in table(one, "features")} == {"p1", "q1", "x-p1", "x-q1", "x-q2"}
    chips = {row["raster_id"]: row for row in table(one, "chips") if row["raster_id"].startswith("chips/x-")}
    windows = {row["raster_id"]: (row["col"], row["row"]) for row in table(other, "chips")}
    assert {name: row["parent_id"] for name, row in chips.items()} == dict.fromkeys(
        ("chips/x-a_p1", "chips/x-a_q1", "chips/x-a_q2"), "x-a"
    )
    assert {name.replace("x-", ""): (row["col"], row["row"]) for name, row in chips.items()} == windows
    for path, content in contents(other.root / "rasters").items():
        if path.endswith(".tif"):
            folder, _, name = path.rpartition("/")
            assert (one.root / "rasters" / folder / f"x-{name}").read_bytes() == content
    # Of ours, only p1 lies on a chip of theirs: the one around the same place.
    masks = {row["raster_id"] for row in table(one, "labels") if "/x-" in row["raster_id"]}
    assert masks == {"chips/x-a_q1", "chips/x-a_q2"}
    assert not one.verify()


def test_whole_numbers_stay_so_without_a_prefix_and_become_text_with_one(tmp_path):
    other = fresh(tmp_path / "other")
    other.add_features(write_features(tmp_path / "text.geojson", {7: ("pond", point(1, 1))}), crs="EPSG:32633")
    plain, prefixed = fresh(tmp_path / "plain"), fresh(tmp_path / "prefixed")
    plain.import_dataset(other.root)
    prefixed.import_dataset(other.root, prefix="n")
    assert plain.features()["feature_id"].to_pylist() == [7]
    assert prefixed.features()["feature_id"].to_pylist() == ["n7"]


def burned(path):
    with rasterio.open(path) as raster:
        return raster.read(1)


def test_masks_come_unless_a_feature_of_ours_lies_on_their_raster(small, tmp_path):
    other = small(tmp_path / "other")
    far, near = fresh(tmp_path / "far", background="water"), fresh(tmp_path / "near", background="water")
    add(far, tmp_path / "far inputs", {"mine": ("pond", point(500, 500))})
    # It reaches over the scene's edge, so that it gets no chip of its own.
    add(near, tmp_path / "near inputs", {"mine": ("quarry", square(-4, 9, 8))})
    assert far.import_dataset(other.root).summary["labels"] == 2
    assert contents(far.root / "labels") == contents(other.root / "labels")
    summary = near.import_dataset(other.root).summary
    assert summary["classes"] == ["pond"]
    assert (summary["labels"], summary["left_out_labels"]) == (0, 2)
    assert "values of the classes differ" in summary["warnings"][0]
    near.update()
    path = next(row["path"] for row in table(near, "labels") if row["raster_id"] == "chips/a_p1")
    chip = next(row for row in table(near, "chips") if row["raster_id"] == "chips/a_p1")
    # Quarry is class 1 here, pond 2; `mine` covers the scene's first four columns in rows 9 to 16, p1 a pixel.
    scene = np.zeros((64, 64), np.uint8)
    scene[9:17, :4] = 1
    scene[10, 10] = 2
    expected = scene[chip["row"] : chip["row"] + 16, chip["col"] : chip["col"] + 16]
    assert (burned(near.root / path) == expected).all()


def test_a_mask_under_a_feature_of_ours_is_made_again(small, tmp_path):
    other, near = small(tmp_path / "other"), fresh(tmp_path / "near", background="water")
    add(near, tmp_path / "inputs", {"mine": ("pond", square(-4, 9, 8)), "b": ("quarry", point(900, 900))})
    summary = near.import_dataset(other.root).summary
    assert (summary["labels"], summary["left_out_labels"]) == (1, 1)
    assert [row["raster_id"] for row in table(near, "labels")] == ["chips/a_q1"]
    near.update()
    path = next(row["path"] for row in table(near, "labels") if row["raster_id"] == "chips/a_p1")
    chip = next(row for row in table(near, "chips") if row["raster_id"] == "chips/a_p1")
    # `mine` covers the scene's first four columns in eight rows, all of them the chip's; p1 is a pixel.
    assert burned(near.root / path).sum() == 8 * (4 - chip["col"]) + 1


def test_a_mask_that_is_out_of_date_there_is_left_out(small, tmp_path):
    other = small(tmp_path / "other")
    add(other, tmp_path / "late", {"late": ("pond", square(9, 9, 2))})
    into = fresh(tmp_path / "into")
    assert into.import_dataset(other.root).summary["left_out_labels"] == 1
    assert [row["raster_id"] for row in table(into, "labels")] == ["chips/a_q1"]


LABELS = ("boxes", "instances", "mask", "multilabel", "soft")


def labelled(dataset):
    """Labels of all kinds for its chips, beside the masks that it has."""
    dataset.label_boxes("boxes", collection="chips")
    dataset.label_instances("instances", collection="chips")
    dataset.label_multilabel("multilabel", collection="chips")
    dataset.label_soft("soft", collection="chips")
    return dataset


@pytest.fixture(scope="module")
def many(small, tmp_path_factory):
    """A dataset with labels of five kinds for each of two chips; not to be changed."""
    return labelled(small(tmp_path_factory.mktemp("many") / "many"))


def labels_of(dataset):
    """Each chip that has it, by label."""
    found = {}
    for row in table(dataset, "labels"):
        found.setdefault(row["label"], []).append(row["raster_id"])
    return found


def changes(dataset):
    """The recipes whose update changed something, but for splits."""
    runs = dataset.update(on_conflict="move")
    return [run.summary["recipe"]["name"] for run in runs if run.changed and run.kind != "split_assigned"]


def test_labels_of_all_kinds_come_with_what_they_list(many, dataset):
    summary = dataset.import_dataset(many.root).summary
    assert (summary["labels"], summary["left_out_labels"]) == (10, 0)
    assert contents(dataset.root / "labels") == contents(many.root / "labels")
    assert table(dataset, "objects") == table(many, "objects")
    assert {row["label"] for row in table(dataset, "objects")} == {"boxes", "instances"}
    assert not changes(dataset)
    assert not dataset.verify()


def test_with_a_prefix_labels_come_but_those_that_name_ids(many, dataset):
    summary = dataset.import_dataset(many.root, prefix="x-").summary
    assert (summary["labels"], summary["left_out_labels"]) == (8, 2)
    here, there = ([row for row in table(one, "objects") if row["label"] == "instances"] for one in (dataset, many))
    moved = [
        {**row, "feature_id": f"x-{row['feature_id']}", "raster_id": row["raster_id"].replace("/", "/x-")}
        for row in there
    ]
    assert here == moved


def test_labels_with_a_band_for_each_class_are_made_again_where_there_are_more(many, tmp_path):
    into = fresh(tmp_path / "into", background="water", classes=["pond", "quarry", "rock"])
    into.import_dataset(many.root)
    assert labels_of(into) == {label: ["chips/a_p1", "chips/a_q1"] for label in ("boxes", "instances", "mask")}
    assert changes(into) == ["multilabel", "soft"]
    with rasterio.open(into.root / "labels/multilabel/chips/a_p1.tif") as label:
        assert label.descriptions == ("pond", "quarry", "rock")
    assert not changes(into)


def test_a_class_that_comes_after_an_import_gives_imported_labels_its_band(many, dataset):
    dataset.import_dataset(many.root)
    dataset.add_classes(["rock"])
    assert changes(dataset) == ["multilabel", "soft"]
    with rasterio.open(dataset.root / "labels/soft/chips/a_q1.tif") as label:
        assert label.count == 3


def test_a_label_is_left_out_where_a_feature_of_ours_beside_it_would_be_drawn_on_it(small, tmp_path):
    other, near = small(tmp_path / "other"), fresh(tmp_path / "near", background="water", classes=["pond", "quarry"])
    other.label_masks("wide", collection="chips", width="12px")
    # The chip around p1 ends before the scene's column 20.
    add(near, tmp_path / "inputs", {"mine": ("pond", point(23.5, 10.5))})
    near.import_dataset(other.root)
    assert labels_of(near) == {"mask": ["chips/a_p1", "chips/a_q1"], "wide": ["chips/a_q1"]}


def test_labels_that_go_by_the_order_of_addition_are_made_again_where_that_is_another(small, dataset, tmp_path):
    late = {"a0": ("pond", square(-4, 9, 8))}
    other = small(tmp_path / "other")
    # It reaches over the scene's edge, so that it gets no chip of its own, and into the chip around p1.
    add(other, tmp_path / "late", late)
    other.update(on_conflict="move")
    other.label_instances("instances", collection="chips")
    other.label_masks("newest", collection="chips", overlap="newest")
    # a0 was added there after p1. An import keeps that, unless both are here already, added at once.
    dataset.import_dataset(other.root)
    assert labels_of(dataset) == labels_of(other)
    assert not changes(dataset)
    into = fresh(tmp_path / "into", background="water", classes=["pond", "quarry"])
    add(into, tmp_path / "inputs", {**late, "p1": ONE["p1"]})
    summary = into.import_dataset(other.root).summary
    kept = ["chips/a_q1"]
    assert labels_of(into) == {"instances": kept, "mask": ["chips/a_p1", *kept], "newest": kept}
    assert summary["left_out_labels"] == 2
    assert "could come out otherwise here" in summary["warnings"][0]
    assert changes(into) == ["instances", "newest"]
    assert labels_of(into) == labels_of(other)


def test_masks_that_ignore_by_an_expression_are_made_again(small, dataset, tmp_path):
    other = small(tmp_path / "other")
    other.label_masks("doubt", collection="chips", ignore=9, ignore_where="depth > 1")
    assert dataset.import_dataset(other.root).summary["left_out_labels"] == 2
    assert changes(dataset) == ["doubt"]
    assert contents(dataset.root / "labels") == contents(other.root / "labels")


def inputs_of(dataset, recipe):
    """What the log holds as inputs of a recipe: subject and id."""
    with dataset._recorder.at() as revision:
        return revision.rows(
            "SELECT subject, object_id FROM log.recipe_input WHERE recipe = $recipe ORDER BY ALL", {"recipe": recipe}
        )


def test_boxes_come_with_their_recipe_and_are_cut_from_rasters_that_come_later(dataset, tmp_path):
    other = fresh(tmp_path / "other")
    other.add_rasters(write_scenes(tmp_path / "scenes", "a"))
    boxes = write_features(tmp_path / "boxes.geojson", {"in": ("", square(4, 5, 8)), "off": ("", square(70, 5, 8))})
    other.cut_boxes("given", boxes, crs="EPSG:32633")
    summary = dataset.import_dataset(other.root, prefix="x-", rename={"given": "drawn"}).summary
    assert [recipe["name"] for recipe in summary["recipes"]] == ["drawn"]
    assert inputs_of(dataset, "drawn") == [("box", "in"), ("box", "off")]
    assert not changes(dataset)
    dataset.add_rasters(write_scenes(tmp_path / "more", "b", beside=1))
    assert changes(dataset) == ["drawn"]
    # The second scene begins 48 pixels east of the first.
    windows = {row["raster_id"]: (row["col"], row["row"], row["width"]) for row in table(dataset, "chips")}
    assert windows == {"drawn/x-a_in": (4, 5, 8), "drawn/b_off": (22, 5, 8)}
    third = fresh(tmp_path / "third")
    third.import_dataset(dataset.root)
    assert inputs_of(third, "drawn") == [("box", "in"), ("box", "off")]
    assert not changes(third)


@pytest.fixture
def chosen(tmp_path, monkeypatch):
    """Makes a dataset whose chips are around what a selector chose that can't be imported any more: all ponds."""
    (tmp_path / "gone_selectors.py").write_text(
        "def some(features):\n"
        "    return [row['feature_id'] for row in features.to_pylist() if row['class'] == 'pond']\n\n"
        "def first(rasters):\n    return [rasters.to_pylist()[0]['raster_id']]\n"
    )

    def made(name, features, scene, beside):
        dataset = fresh(tmp_path / name)
        add(dataset, tmp_path / f"{name} inputs", features)
        dataset.add_rasters(write_scenes(tmp_path / f"{name} scenes", scene, beside=beside))
        with monkeypatch.context() as patch:
            patch.syspath_prepend(tmp_path)
            where, rasters_where = (Selector.of(f"gone_selectors:{one}") for one in ("some", "first"))
            dataset.cut_around_features("chips", size=8, where=where, rasters_where=rasters_where)
        del sys.modules["gone_selectors"]
        assert where.load("geographer.selectors") is None
        return dataset

    return made


PONDS = {"p": ("pond", point(10.5, 10.5)), "q": ("quarry", point(30.5, 30.5))}


def test_what_selectors_chose_comes_and_counts_where_they_can_not_be_imported(chosen, dataset, tmp_path):
    other = chosen("other", PONDS, "a", 0)
    dataset.import_dataset(other.root)
    assert inputs_of(dataset, "chips") == [("feature", "p"), ("raster", "a")]
    assert not changes(dataset)
    assert [row["raster_id"] for row in table(dataset, "chips")] == ["chips/a_p"]
    prefixed = fresh(tmp_path / "prefixed")
    prefixed.import_dataset(other.root, prefix="x-")
    assert inputs_of(prefixed, "chips") == [("feature", "x-p"), ("raster", "x-a")]


def test_a_choice_of_nothing_is_one_too(chosen, dataset):
    other = chosen("other", {"q": ("quarry", point(30.5, 30.5))}, "a", 0)
    dataset.import_dataset(other.root)
    assert inputs_of(dataset, "chips") == [("raster", "a")]
    assert not changes(dataset)


def test_where_a_recipe_joins_both_choices_count(chosen):
    one = chosen("one", PONDS, "a", 0)
    two = chosen("two", {"p2": ("pond", point(100.5, 10.5)), "q": PONDS["q"]}, "b", 1)
    summary = one.import_dataset(two.root).summary
    assert summary["recipes"] == []
    assert not changes(one)
    assert [row["raster_id"] for row in table(one, "chips")] == ["chips/a_p", "chips/b_p2"]
    assert not one.import_dataset(two.root).changed


def test_recipes_of_the_same_name_must_be_the_same(small, tmp_path):
    one, other = small(tmp_path / "one"), small(tmp_path / "other", size=24)
    with pytest.raises(ConflictError, match=r"recipe 'chips' has other parameters here.*--rename chips=NEW"):
        one.import_dataset(other.root)
    one.import_dataset(other.root, rename={"chips": "wide", "mask": "wide-mask", "parts": "wide-parts"})
    assert one.status()["recipes"] == [
        *("chips (cut around)", "mask (label mask)", "parts (split)"),
        *("wide (cut around)", "wide-mask (label mask)", "wide-parts (split)"),
    ]
    chips = {row["raster_id"]: (row["parent_id"], row["width"]) for row in table(one, "chips")}
    assert chips == {
        **dict.fromkeys(("chips/a_p1", "chips/a_q1"), ("a", 16)),
        **dict.fromkeys(("wide/a_p1", "wide/a_q1"), ("a", 24)),
    }
    assert contents(one.root / "rasters" / "wide") == contents(other.root / "rasters" / "chips")
    assert contents(one.root / "labels" / "wide-mask" / "wide") == contents(other.root / "labels" / "mask" / "chips")
    assert [run.changed for run in one.update()] == [False, False, False, False, False, True]


def test_a_recipe_that_is_the_same_joins(small, tmp_path):
    one, other = small(tmp_path / "one"), small(tmp_path / "other")
    add(other, tmp_path / "more", {"w": ("water", point(30, 30))})
    other.update(on_conflict="move")
    summary = one.import_dataset(other.root).summary
    assert (summary["features"], summary["rasters"], summary["equal"], summary["recipes"]) == (1, 1, 5, [])
    assert {row["raster_id"] for row in table(one, "chips")} == {"chips/a_p1", "chips/a_q1", "chips/a_w"}


def test_a_collection_and_a_recipe_of_one_name_are_refused(small, tmp_path):
    one, other = small(tmp_path / "one"), fresh(tmp_path / "other")
    other.add_rasters(write_scenes(tmp_path / "b", "b"), collection="chips")
    with pytest.raises(ConflictError, match="'chips' is a recipe's collection on one side"):
        one.import_dataset(other.root)
    one.import_dataset(other.root, rename={"chips": "scenes"})
    assert (one.root / "rasters" / "scenes" / "b.tif").is_file()


def test_footprints_and_referenced_rasters_come_as_they_are(dataset, tmp_path):
    other = fresh(tmp_path / "other")
    inside = write_scenes(other.root / "archive", "r")
    other.add_rasters(inside, mode="reference")
    dataset.import_dataset(other.root)
    assert table(dataset, "rasters")[0]["path"] == inside[0].resolve().as_posix()
    assert not dataset.verify()


def test_a_background_on_one_side_only_is_refused(tmp_path):
    one, other = fresh(tmp_path / "one", classes=["water"]), fresh(tmp_path / "other", background="water")
    with pytest.raises(ConflictError, match="'water' is the background on one side"):
        one.import_dataset(other.root)


def test_new_classes_get_the_next_values(tmp_path):
    one, other = (
        fresh(tmp_path / "one", classes=["track"]),
        fresh(tmp_path / "other", background="sea", classes=["ball"]),
    )
    one.import_dataset(other.root)
    assert {row["class"]: row["value"] for row in table(one, "classes")} == {"sea": 0, "track": 1, "ball": 2}


def test_the_workspace_file_stands_in_for_a_damaged_cache(small, dataset, tmp_path):
    other = small(tmp_path / "other")
    path = "rasters/source/a.tif"
    wanted = (other.root / path).read_bytes()
    alter(cached(other.root, path, 99))
    (other.root / path).unlink()
    (other.root / path).write_bytes(wanted)
    dataset.import_dataset(other.root)
    assert (dataset.root / path).read_bytes() == wanted


def test_altered_bytes_are_refused_and_nothing_changes(small, dataset, tmp_path):
    other = small(tmp_path / "other")
    for path in (cached(other.root, "rasters/source/a.tif", 99), other.root / "rasters/source/a.tif"):
        path.unlink()
        write_scene(path, pixels(2, 64, 64, "uint8", seed=9))
    with pytest.raises(CorruptError, match="bytes of raster 'a' are missing or altered"):
        dataset.import_dataset(other.root)
    assert dataset.status()["position"] == 1
    assert not (dataset.root / "rasters").exists()


def test_a_file_in_the_way_is_refused(small, dataset, tmp_path):
    other = small(tmp_path / "other")
    (dataset.root / "rasters" / "source").mkdir(parents=True)
    (dataset.root / "rasters" / "source" / "a.tif").write_text("mine")
    with pytest.raises(ConflictError, match=r"another file lies at 'rasters/source/a\.tif'"):
        dataset.import_dataset(other.root)
    assert (dataset.root / "rasters" / "source" / "a.tif").read_text() == "mine"


def test_what_can_not_be_meant_is_refused(dataset, story, tmp_path):
    with pytest.raises(UsageError, match="is this dataset"):
        dataset.import_dataset(dataset.root)
    with pytest.raises(NotFoundError, match="no dataset in"):
        dataset.import_dataset(tmp_path / "nowhere")
    with pytest.raises(NotFoundError, match="no revision 'v9'"):
        dataset.import_dataset(story.root, at="v9")
    with pytest.raises(NotFoundError, match="no recipe or collection 'chip' to rename"):
        dataset.import_dataset(story.root, rename={"chip": "chips"})
    with pytest.raises(UsageError, match="can't name a prefix"):
        dataset.import_dataset(story.root, prefix="a/b")
    with pytest.raises(UsageError, match="'grid' to two recipes"):
        dataset.import_dataset(story.root, rename={"around": "grid"})


def test_the_command_plans_merges_and_repeats(dataset, story):
    def run(*arguments):
        result = CliRunner().invoke(cli, ["-C", str(dataset.root), "import", "dataset", str(story.root), *arguments])
        assert result.exit_code == 0, result.output
        return result.stdout

    assert "nothing was changed" in run("--dry-run")
    first = json.loads(run("--json", "--idempotency-key", "k", "--rename", "grid=cells", "--at", "v1", "--prefix", "s"))
    again = json.loads(run("--json", "--idempotency-key", "k", "--rename", "grid=cells", "--at", "v1", "--prefix", "s"))
    assert (first["changed"], again["changed"], first["digest"]) == (True, False, again["digest"])
    assert [recipe["name"] for recipe in first["recipes"]] == ["around", "cells", "mask", "parts"]
    wrong = CliRunner().invoke(cli, ["-C", str(dataset.root), "import", "dataset", str(story.root), "--rename", "x"])
    assert wrong.exit_code == 2
