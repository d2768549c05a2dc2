"""Reverted events: the content of before, whatever the kind of the event; later changes of the same stay conflicts."""

from __future__ import annotations

import shutil

import pytest

from geographer import Dataset
from geographer.base.errors import ConflictError, UsageError
from geographer.operations.apply.checks import check_content
from geographer.operations.merge.events import EventReverted
from geographer.operations.merge.revert import plan_revert
from tests.operations.merge.forked_dataset import add_features, read_content
from tests.sample_history import HEAD, square_geometry

LASTING = {"dataset_initialised", "revision_tagged"}


def test_revert_of_each_event_gives_content_of_before(sample_history):
    """Of each event of the sample history, at the revision that it made."""
    work = Dataset.open(sample_history.root)._unit_of_work
    kinds = set()
    for position in range(1, HEAD + 1):
        with work.open_revision(position) as revision:
            kind = revision.fetch_value("SELECT kind FROM chain_event WHERE position = $at", {"at": position})
            if kind in LASTING:
                with pytest.raises(UsageError, match="cannot revert"):
                    plan_revert(revision, f"@{position}")
                continue
            before = read_digest(work, position - 1)
        with work.open_revision(position) as revision:
            plan = plan_revert(revision, f"@{position}")
            check_content(revision, plan.rows, before)
            kinds.add(kind)
            assert isinstance(plan.event, EventReverted)
            assert plan.event.reverted.kind == kind
    assert len(kinds) > 9


def read_digest(work, position):
    with work.open_revision(position) as revision:
        return revision.compute_content_digest()


def test_revert_of_revert_restores(base, tmp_path):
    dataset = Dataset.open(shutil.copytree(base, tmp_path / "dataset", symlinks=True))
    start = read_content(dataset)
    add_features(dataset, tmp_path, {"p1": ("reed", square_geometry(9, 9, 7))}, replace=True, depth=1, note="moved")
    changed = read_content(dataset)
    dataset.revert_event("HEAD")
    assert {**read_content(dataset), "order": None} == {**start, "order": None}
    dataset.revert_event("HEAD")
    assert read_content(dataset) == changed
    dataset.cut_grid("grid", size=(32, 32))
    with_grid = read_content(dataset)
    dataset.revert_event("HEAD")
    assert {**read_content(dataset), "removals": None} == {**changed, "removals": None}
    dataset.revert_event("HEAD")
    assert read_content(dataset)["rasters"] == with_grid["rasters"]


def test_revert_keeps_later_changes_or_refuses(base, tmp_path):
    dataset = Dataset.open(shutil.copytree(base, tmp_path / "dataset", symlinks=True))
    add_features(dataset, tmp_path, {"p1": ("pond", square_geometry(9, 9, 7))}, replace=True, depth=1)
    add_features(dataset, tmp_path, {"p1": ("pond", square_geometry(9, 9, 7))}, replace=True, depth=5)
    add_features(dataset, tmp_path, {"p2": ("pond", square_geometry(39, 39, 7))}, replace=True, depth=1)
    add_features(dataset, tmp_path, {"p2": ("pond", square_geometry(38, 38, 7))}, replace=True, depth=1)
    head = dataset._unit_of_work.read_head()
    with pytest.raises(ConflictError, match=r"geometry of feature 'p2' was changed on both sides"):
        dataset.revert_event("HEAD~1")
    assert dataset._unit_of_work.read_head() == head
    dataset.revert_event("HEAD~3")
    rows = {row["feature_id"]: row for row in dataset.features().to_pylist()}
    assert rows["p1"]["depth"] == 5


def test_revert_of_declarations_names_the_command(tmp_path):
    """No row has them, so a comparison of revisions does not see them."""
    dataset = Dataset.init(tmp_path / "dataset", classes=["pond"], scm=False)
    dataset.set_attributes({"sensor": "S2"})
    dataset.set_context_classes("pond")
    dataset.describe(title="ponds")
    for position, command in ((2, "attributes set"), (3, "classes context"), (4, "describe")):
        with pytest.raises(UsageError, match=rf"cannot revert @{position}: .* geographer {command}"):
            dataset.revert_event(position)
    dataset.add_classes(["cloud"], context=True)
    assert dataset.revert_event("HEAD").changed
    assert [row["class"] for row in dataset.classes().to_pylist()] == ["pond"]
    assert len(dataset.log()) == 6
