"""Events of additions, removals, class changes and imports: their summary line, user columns and recipes."""

from typing import Any

import msgspec
import pytest

from geographer.base.errors import CorruptError
from geographer.operations.add.events import CatalogueAdded, ClassesAdded, FeatureIds, FeaturesAdded, RastersAdded
from geographer.operations.classes.events import ClassesRemapped
from geographer.operations.import_dataset.events import DatasetImported, SourceHead, SourceHistory
from geographer.operations.remove.events import RastersRemoved, RecipeRemoved
from geographer.planning.recipe_events import ImportedRecipe
from geographer.planning.user_columns import ObjectColumns
from geographer.storage.events.payload import RecipeRecord, parse_payload

DIGEST = "0" * 64
RECIPE = ImportedRecipe("chips", "cut grid", {"size": [1, 1, "px"]}, {"dtype": "uint8"})
COUNTS = (
    *("features", "rasters", "labels", "equal", "kept_as_ours", "replaced_by_theirs"),
    *("left_out_chips", "left_out_labels", "left_out_splits"),
)
IMPORTED_COUNTS: dict[str, Any] = dict.fromkeys(COUNTS, 0) | {"features": 2, "equal": 1}
IMPORTED = DatasetImported(
    history=SourceHistory(None, 1, DIGEST, DIGEST, 1, SourceHead(1, DIGEST)),
    columns=ObjectColumns({"depth": "DOUBLE"}, {"cloud": "BIGINT"}),
    classes=["pond"],
    recipes=[RECIPE],
    warnings=[],
    **IMPORTED_COUNTS,
)
REMAPPED = ClassesRemapped(
    columns={"original_class": "VARCHAR", "prob_of_class_a": None},
    classes=["wet", "dry"],
    features=1,
    dropped=1,
    pruned=1,
    labels=1,
    splits=1,
    warnings=[],
)


COLUMN_IDS = FeatureIds("column", "id")


@pytest.mark.parametrize(
    ("event", "summary"),
    [
        (
            FeaturesAdded(source="a", columns={}, features=3, skipped=1, classes=["lake"], added=2, changed=1, unchanged=0, crs="EPSG:4326", ids=COLUMN_IDS),
            "2 added, 1 changed, 3 features, 1 skipped, class lake, CRS EPSG:4326",
        ),
        (FeaturesAdded(source="a", columns={}, features=1, skipped=0, classes=[], crs="W" * 40, ids=FeatureIds("fid", None)), "1 feature, ids from the layer's FID"),
        (RastersAdded(columns={}, rasters=0, skipped=2, collection="s2"), "2 skipped, collection s2"),
        (CatalogueAdded(source="a", columns={}, rasters=1, collection="catalogue"), "1 raster, collection catalogue"),
        (ClassesAdded(classes=["a", "b"]), "classes a, b"),
        (RastersRemoved(rasters=1, labels=0, splits=2), "1 raster, 2 split assignments"),
        (
            REMAPPED,
            "classes wet, dry, 1 feature, 1 feature removed with their class, 1 chip removed, 1 label, 1 split assignment",
        ),
        (IMPORTED, "class pond, recipe chips, 2 features, 1 object equal in both datasets"),
    ],
)  # fmt: skip
def test_summary_is_one_line(event, summary):
    assert event.format_summary() == summary


def test_user_columns_name_their_subject():
    added = RastersAdded(columns={"cloud": "DOUBLE"}, rasters=1, skipped=0, collection="s2")
    assert [*added.iter_user_columns()] == [("raster", "cloud", "DOUBLE")]
    expected = [("feature", "original_class", "VARCHAR"), ("feature", "prob_of_class_a", None)]
    assert [*REMAPPED.iter_user_columns()] == expected
    assert [*IMPORTED.iter_user_columns()] == [("feature", "depth", "DOUBLE"), ("raster", "cloud", "BIGINT")]


def test_unknown_column_type_is_rejected():
    content = {"columns": {"cloud": "BLOB"}, "rasters": 1, "skipped": 0, "collection": "s2"}
    with pytest.raises(CorruptError, match="BOOLEAN"):
        parse_payload("rasters_added", 1, content)


def test_import_with_recipes_only_is_recorded():
    assert [*IMPORTED.iter_recipes()] == [RecipeRecord("chips", "cut grid", {"size": [1, 1, "px"]})]
    assert not IMPORTED.is_empty
    assert msgspec.structs.replace(IMPORTED, recipes=[]).is_empty
    assert IMPORTED.to_json()["recipes"][0]["form"] == {"dtype": "uint8"}


def test_removed_recipe_is_named_by_the_request():
    removed = parse_payload("recipe_removed", 1, {"request": {"name": "chips"}, "rasters": 0, "labels": 0, "splits": 0})
    assert isinstance(removed, RecipeRemoved)
    assert removed.removed_recipe == "chips"
