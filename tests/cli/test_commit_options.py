"""The options of every command that changes the dataset."""

from __future__ import annotations

import json

import pytest

from geographer import Dataset
from geographer.base.errors import ConflictError, UsageError
from geographer.operations.add.classes import AddClasses
from tests.cli.runner import read_rows, run_command

CHANGES = [
    ["add", "classes", "reed"],
    ["remove", "features", "q1"],
    ["cut", "grid", "cells", "--size", "16"],
    ["tag", "soon"],
]


@pytest.mark.parametrize("change", CHANGES, ids=" ".join)
def test_dry_run_changes_nothing(root, change):
    before = Dataset.open(root).show().digest
    assert run_command(root, *change, "--dry-run").startswith("would record ")
    assert "nothing was changed" in run_command(root, *change, "--dry-run")
    assert Dataset.open(root).show().digest == before


@pytest.mark.parametrize("change", CHANGES, ids=" ".join)
def test_repeated_key_changes_nothing(root, change):
    before = Dataset.open(root).show().digest
    options = ["-m", "because", "--author", "Grace", "--idempotency-key", "k1", "--expect-head", before[:12]]
    first, second = (read_rows(root, *change, *options)[0] for _ in range(2))
    assert (first["changed"], second["changed"]) == (True, False)
    event = Dataset.open(root).show()
    assert first["digest"] == second["digest"] == event.digest
    assert (event.message, event.author) == ("because", "Grace")


@pytest.mark.parametrize("key", ["", "  "])
def test_empty_key_is_refused(key):
    with pytest.raises(UsageError, match="invalid --idempotency-key"):
        AddClasses(["reed"], idempotency_key=key)


def test_unexpected_head_is_refused(root):
    before = Dataset.open(root).show().digest
    run_command(root, "add", "classes", "reed")
    with pytest.raises(ConflictError, match="not the expected"):
        run_command(root, "add", "classes", "moss", "--expect-head", before[:12])


def test_init_prints_the_first_event(tmp_path):
    (revision,) = read_rows(tmp_path, "init", "ponds", "--class", "pond", "--no-scm", "-m", "start")
    event = Dataset.open(tmp_path / "ponds").show()
    assert revision == {
        "position": 1,
        "digest": event.digest,
        "kind": "dataset_initialised",
        "changed": True,
        "root": str(tmp_path / "ponds"),
    }
    assert event.message == "start"


def test_init_dry_run_creates_nothing(tmp_path):
    assert "nothing was changed" in run_command(tmp_path, "init", "ponds", "--dry-run")
    assert json.dumps(sorted(path.name for path in tmp_path.iterdir())) == "[]"
