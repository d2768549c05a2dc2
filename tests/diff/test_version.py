"""Version numbers: the level of random mutations, against their own knowledge and the log; numbers of tags."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from geographer import Dataset
from geographer.base.errors import ConflictError, UsageError
from geographer.diff.version import MAX_NUMBER, VersionNumber, classify_change
from geographer.operations.split.events import PartSummary, SplitAssigned
from geographer.operations.tag.request import TagRevision
from geographer.storage.events import CommitInfo
from geographer.storage.events.payload import RecipeRecord
from geographer.storage.events.row_tables import make_row_table
from geographer.storage.log.append import append_event
from tests.cli.runner import read_rows, run_command
from tests.diff.mutations import LogOracle, Mutation, find_wrong_levels, iter_expected, make_mutations
from tests.sample_history import HEAD, V1, SampleHistory, point_geometry, write_features
from tests.storage.state.test_unreadable import LABEL, RASTER, append_row, read_current_head

COUNT = int(os.environ.get("GEOGRAPHER_MUTATIONS", "0"))
"""How many mutations to make: at least one of each kind."""
SPLIT_ASSIGNED = SplitAssigned(
    recipe=RecipeRecord("parts", "split", {}),
    assigned=1,
    left_out=0,
    moved=0,
    components=1,
    largest=1.0,
    deviation=0.0,
    class_deviation=None,
    parts={"train": PartSummary(1, 1.0, 1.0, {})},
    method="none",
    cost=0.0,
    bound=0.0,
    proven=True,
    warnings=[],
)
ORDER = ("PATCH", "MINOR", "MAJOR")


@pytest.fixture(scope="module")
def mutated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, list[Mutation]]:
    return make_mutations(tmp_path_factory.mktemp("mutations"), COUNT, seed=1)


def test_mutations_have_the_right_levels(mutated):
    dataset, mutations = mutated
    assert len(mutations) >= max(COUNT, 28)
    assert find_wrong_levels(dataset, iter_expected(mutations)) == []


def require_same_levels(dataset: Dataset, pairs: list[tuple[int, int]]) -> None:
    """Compare levels with those of the log's rows, and require that equal content has no reasons."""
    oracle = LogOracle(dataset.root)
    assert find_wrong_levels(dataset, ((*pair, oracle.find_level(*pair)) for pair in pairs)) == []
    with dataset._unit_of_work.open_revision() as revision:
        for before, after in pairs[:20]:
            change = classify_change(revision, before, after)
            objects = [reason for reason in change.reasons if reason.object != "file"]
            is_equal = oracle.is_equal(before, after)
            assert (objects == []) == is_equal, (before, after)
            assert change.level == max((reason.level for reason in change.reasons), key=ORDER.index, default="PATCH")
            assert all(min(before, after) < example.position <= max(before, after) for example in change.examples)


def test_levels_of_any_two_revisions_follow_the_log(mutated, sample_history: SampleHistory):
    rng = random.Random(3)
    for dataset in (mutated[0], Dataset.open(sample_history.root)):
        last = dataset.log(1)[0].position
        require_same_levels(dataset, [(rng.randint(1, last), rng.randint(1, last)) for _ in range(60)])


def append_split(dataset: Dataset, change: str, part: str | None) -> None:
    row: dict[str, list[Any]] = {"change": [change], "split": ["parts"], "raster_id": ["r"], "part": [part]}
    database = dataset._unit_of_work.database
    rows = {"split_change": make_row_table("split_change", row)}
    append_event(database, SPLIT_ASSIGNED, rows, CommitInfo("Ada"), read_current_head(database))


def test_levels_of_rows_that_commands_seldom_write(dataset: Dataset):
    """Unreadable rows, which the content digest covers; places in a split; files that move with their bytes."""
    database = dataset._unit_of_work.database
    append_row(database, "feature_change", {})
    append_row(database, "feature_change", {"change": "changed", "crs": "nowhere"})
    append_row(database, "feature_change", {"change": "changed", "crs": "EPSG:4326"})
    append_row(database, "feature_change", {"feature_id": "g", "crs": "nowhere"})
    append_row(database, "feature_change", {"feature_id": "g", "change": "removed", "crs": None})
    append_row(database, "raster_change", {})
    append_row(database, "raster_change", {"change": "changed", "path": "rasters/source/moved.tif"})
    append_row(database, "raster_change", {"change": "changed", "nodata": "7"})
    append_row(database, "label_change", {})
    append_row(database, "label_change", {"change": "changed", "path": "labels/mask/source/moved.tif"})
    append_row(database, "label_change", {"change": "changed", "sha256": "e" * 64})
    for change, part in (
        ("added", None),
        ("changed", "train"),
        ("changed", "test"),
        ("changed", None),
        ("removed", None),
    ):
        append_split(dataset, change, part)
    assert (RASTER["raster_id"], LABEL["label"]) == ("r", "mask")
    levels = [2, 3, 3, 2, 3, 2, 1, 3, 2, 1, 3, 2, 2, 3, 3, 3]
    expected = [(position, position + 1, ORDER[level - 1]) for position, level in enumerate(levels, 1)]
    assert find_wrong_levels(dataset, expected) == []
    last = len(levels) + 1
    pairs = [(before, after) for before in range(1, last + 1) for after in range(1, last + 1)]
    require_same_levels(dataset, random.Random(4).sample(pairs, 80))
    with dataset._unit_of_work.open_revision() as revision:
        assert [reason.format_text() for reason in classify_change(revision, 7, 8).reasons] == ["1 raster relocated"]
        (moved,) = classify_change(revision, 14, 15).examples
        assert moved.format_text() == "split assignment 'parts/r' was moved @15: part 'train' → 'test'"


def add_feature(dataset: Dataset, name: str, column: float = 1.5, *, replace: bool = False) -> None:
    path = dataset.root.parent / "features.geojson"
    write_features(path, {name: ("pond", point_geometry(column, 2.5))})
    dataset.add_features(path, crs="EPSG:32633", replace=replace)


def test_tag_gets_the_number_that_follows_from_the_data(dataset: Dataset):
    add_feature(dataset, "p1")
    assert dataset.compute_version().to_json() == {
        **{"level": None, "next": "1.0.0", "from": None, "to": {"position": 2}, "reasons": [], "examples": []}
    }
    assert dataset.tag("v1", version="auto", dry_run=True).summary["tag"]["version"] == "1.0.0"
    numbers = [dataset.tag("v1", version="auto").summary["tag"]["version"]]
    dataset.tag("unnumbered")
    numbers.append(dataset.tag("v1.1", version="auto").summary["tag"]["version"])
    add_feature(dataset, "p2")
    numbers.append(dataset.tag("v1.2", version="auto").summary["tag"]["version"])
    dataset.remove_features(["p1"])
    numbers.append(dataset.tag("v1.3", version="auto").summary["tag"]["version"])
    assert numbers == ["1.0.0", "1.0.1", "1.1.0", "2.0.0"]
    by_tag = {row["tag"]: row["version"] for row in dataset.tags().to_pylist()}
    assert by_tag == {"unnumbered": None, **dict(zip(("v1", "v1.1", "v1.2", "v1.3"), numbers, strict=True))}
    request = dataset.show().payload["request"]
    assert request == {"tag": "v1.3", "revision": None, "version": "auto"}


def test_number_that_contradicts_the_data_is_refused(dataset: Dataset, monkeypatch: pytest.MonkeyPatch):
    add_feature(dataset, "p1")
    dataset.tag("v1", version="1.2.0")
    with pytest.raises(ConflictError, match=r"not above that of tag 'v1' \(version 1.2.0, @2\)\. Use 1\.2\.1 or"):
        dataset.tag("v2", version="1.2.0")
    with pytest.raises(
        ConflictError, match=r"1\.3\.0 contradicts.*no data changed\. That is a PATCH change: use 1\.2\.1"
    ):
        dataset.tag("v2", version="1.3.0")
    add_feature(dataset, "p2")
    with pytest.raises(
        ConflictError,
        match=r"nothing was edited or removed, only added: 1 feature added \(feature 'p2' was added @4\).*use 1\.3\.0",
    ):
        dataset.tag("v2", version="2.0.0")
    add_feature(dataset, "p1", 7.5, replace=True)
    with pytest.raises(
        ConflictError, match=r"feature 'p1' was changed @5: geometry\. That is a MAJOR change: use 2\.0\.0"
    ):
        dataset.tag("v2", version="1.3.0")
    head = dataset.log(1)[0]
    with pytest.raises(ConflictError, match=r"contradicts the data"):
        dataset.tag("v2", version="1.2.1", dry_run=True)
    assert dataset.log(1)[0] == head
    assert dataset.tag("v2", version="3.0.0").summary["tag"]["version"] == "3.0.0"
    monkeypatch.setattr("geographer.operations.tag.request.read_event", lambda *_: head._replace(digest="ab" * 32))
    dataset.tag("lost", version="auto")
    base = dataset.compute_version().base
    assert base is not None
    assert base.tag == "v2"


def test_number_fits_between_those_of_other_revisions(dataset: Dataset):
    for name in ("p1", "p2", "p3"):
        add_feature(dataset, name)
    dataset.tag("last", version="1.0.1")
    dataset.tag("first", "@2", version="1.0.0")
    with pytest.raises(
        ConflictError, match=r"1\.1\.0 of @3 would not be below 1\.0\.1, that of tag 'last' of the later"
    ):
        dataset.tag("middle", "@3", version="auto")
    dataset.tag("middle", "@3")
    assert dataset.compute_version(None, "@3").to_json()["from"] == {"tag": "first", "version": "1.0.0", "position": 2}


@pytest.mark.parametrize(
    "version",
    [
        "",
        "1.0",
        "v1.0.0",
        "01.2.3",
        "1.0.0-rc1",
        "1.0.0\n",
        "1.-1.0",
        f"{10**9}.0.0",
        "٣.0.0",
        1,
        1.5,
        True,
        b"1.0.0",
        ("1", 0),
    ],
)
def test_invalid_number_is_refused(version: Any):
    with pytest.raises(UsageError, match=r"invalid (--)?version"):
        TagRevision("v1", version=version)


def test_largest_number_has_no_successor():
    number = VersionNumber.from_text(f"1.0.{MAX_NUMBER}")
    assert str(number.raise_level("MINOR")) == "1.1.0"
    with pytest.raises(ConflictError, match="no version number after"):
        number.raise_level("PATCH")


def test_version_command(sample_history: SampleHistory, tmp_path: Path):
    root = shutil.copytree(sample_history.root, tmp_path / "dataset")
    assert run_command(root, "version", "@20", "@24") == (
        "MINOR\nfrom @20 to @24:\n  MINOR  2 chips added\n  MINOR  2 labels added\n  MINOR  3 label objects added\n"
        "  chip 'cover/a_c4_r4' was added @21\n  label 'bounds/cover/a_c4_r4' was added @23\n"
        "  label object 'bounds/cover/a_c4_r4/p1' was added @23\n"
    )
    assert (
        run_command(root, "version")
        == f"PATCH: no tag has a version number: the first is 1.0.0\nfrom tag 'v2' @24 to @{HEAD}, the data are the same\n"
    )
    run_command(root, "tag", "one", "v1", "--version", "1.0.0")
    lines = run_command(root, "version").splitlines()
    assert lines[:3] == [
        "MAJOR: the next version after 1.0.0 is 2.0.0",
        f"from tag 'one' @{V1} to @{HEAD + 1}:",
        "  MAJOR  1 feature changed",
    ]
    assert lines[-3] == "  feature 'p1' was changed @13: geometry"
    (found,) = read_rows(root, "version", "HEAD", "v1")
    assert (found["level"], found["next"], found["to"]) == ("MAJOR", None, {"position": V1})
    assert {"level": "MAJOR", "object": "class", "change": "removed", "count": 1} in found["reasons"]
    assert "version 1.0.1" in run_command(root, "tag", "two", "one", "--version", "auto")
    assert [row["version"] for row in read_rows(root, "tags")] == ["1.0.0", "1.0.1", None, None]
