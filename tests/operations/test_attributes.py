"""Attributes of a dataset: JSON values by name, versioned, merged, shown, and never credentials."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from geographer import Dataset
from geographer.base.errors import NotFoundError, UsageError
from geographer.cli import geographer_command
from tests.cli.runner import read_rows, run_command


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return Dataset.init(tmp_path / "dataset", classes=["pond"], scm=False)


def test_attributes_are_read_at_any_revision(dataset: Dataset) -> None:
    before = dataset.content_digest()
    values = {"sensor": "Sentinel-2", "resolution": 10.5, "bands": ["red", "nir"], "nested": {"a": [1, True]}}
    dataset.set_attributes(values)
    dataset.set_attributes({"resolution": np.float32(20), "tiled": False})
    dataset.remove_attributes(["bands", "nested"])
    states = [{}, values, values | {"resolution": 20, "tiled": False}]
    states.append({name: value for name, value in states[-1].items() if name not in ("bands", "nested")})
    for position, state in enumerate(states, 1):
        assert dataset.read_attributes(position) == state
    assert dataset.read_attributes() == states[-1]
    assert [*dataset.read_attributes()] == ["resolution", "sensor", "tiled"]
    assert dataset.content_digest() == before
    assert dataset.status()["attributes"] == ["resolution", "sensor", "tiled"]
    assert [event.kind for event in dataset.log()[1:]] == ["attributes_changed"] * 3


def test_equal_values_record_nothing(dataset: Dataset) -> None:
    dataset.set_attributes({"resolution": 10})
    result = dataset.set_attributes({"resolution": 10.0})
    assert not result.changed
    assert len(dataset.log()) == 2
    assert dataset.set_attributes({"resolution": 10, "sensor": "S2"}).summary["attributes"] == {"sensor": "S2"}
    dataset.set_attributes({"tiled": 1, "flags": [0]})
    dataset.set_attributes({"tiled": True, "flags": [False]})
    assert str(dataset.read_attributes()) == "{'flags': [False], 'resolution': 10, 'sensor': 'S2', 'tiled': True}"


def test_attributes_of_merged_branches_count(dataset: Dataset) -> None:
    dataset.set_attributes({"sensor": "S1", "place": "Tyrol"})
    dataset.create_branch("survey")
    dataset.switch_branch("survey")
    dataset.set_attributes({"resolution": 10})
    dataset.set_attributes({"sensor": "S2"})
    dataset.switch_branch("main")
    dataset.remove_attributes("place")
    assert dataset.read_attributes() == {"sensor": "S1"}
    dataset.merge_branch("survey")
    assert dataset.read_attributes() == {"resolution": 10, "sensor": "S2"}
    assert dataset.read_attributes("HEAD~1") == {"sensor": "S1"}


def test_attributes_on_command_line(dataset: Dataset) -> None:
    root = dataset.root
    run_command(root, "attributes", "set", "sensor=Sentinel-2", "resolution=10", 'bands=["red", "nir"]', "note=a=b")
    expected: dict[str, Any] = {"sensor": "Sentinel-2", "resolution": 10, "bands": ["red", "nir"], "note": "a=b"}
    assert read_rows(root, "attributes", "list") == [expected]
    assert '["red", "nir"]' in run_command(root, "attributes", "list")
    run_command(root, "attributes", "remove", "bands", "note")
    assert read_rows(root, "attributes", "list", "--at", "@2") == [expected]
    assert read_rows(root, "describe") == [{"attributes": {"sensor": "Sentinel-2", "resolution": 10}}]
    assert "attribute sensor" in run_command(root, "describe")
    assert "sensor" in run_command(root, "status")


def test_datasheet_lists_attributes(dataset: Dataset, tmp_path: Path) -> None:
    dataset.describe(intent="counting", ethics="none")
    dataset.tag("v0")
    dataset.set_attributes({"sensor": "a\n<b>", "bands": [1, 2]})
    dataset.tag("v1")
    for tag in ("v0", "v1"):
        dataset.write_release(tag, tmp_path / tag)
    text = (tmp_path / "v1" / "DATASHEET.md").read_text()
    assert "\n\n**Attributes**\n\n- bands: [1,2]\n- sensor: a &lt;b>\n\n**Sources**" in text
    assert "Attributes" not in (tmp_path / "v0" / "DATASHEET.md").read_text()
    assert [path.name for path in (tmp_path / "v1").rglob("attributes_changed.v1.json")]


SECRET = "hunter2sesame"


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({}, "no attribute to set"),
        ({"": 1}, "invalid name"),
        ({1: 1}, "invalid name"),
        ({"x" * 101: 1}, "invalid name"),
        ({"a": None}, "no value"),
        ({"a": float("nan")}, "JSON cannot hold"),
        ({"a": 2**53}, "JSON cannot hold"),
        ({"a": "\ud800"}, "JSON cannot hold"),
        ({"a": {1: 2}}, "JSON cannot hold"),
        ({"a": object()}, "JSON cannot hold"),
        ({"a": "x" * 70_000}, "70,002 characters"),
        ({"password": SECRET}, "credential"),
        ({"archive": {"api_key": SECRET}}, "credential"),
        ({"url": f"https://ada:{SECRET}@example.org/x"}, "credential"),
        ({"urls": [{"a": f"token={SECRET}"}]}, "credential"),
        (["sensor"], "NAME=VALUE"),
        (["a=1", "a=2"], "repeated"),
    ],
)
def test_bad_attributes_change_nothing(dataset: Dataset, attributes: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message) as raised:
        dataset.set_attributes(attributes)
    assert SECRET not in str(raised.value)
    assert len(dataset.log()) == 1


def test_deep_attributes_are_refused(dataset: Dataset) -> None:
    deep: list[Any] = []
    for _ in range(5_000):
        deep = [deep]
    with pytest.raises(UsageError, match="too many levels"):
        dataset.set_attributes({"a": deep})
    assert len(dataset.log()) == 1


def test_bad_commands_change_nothing(dataset: Dataset) -> None:
    with pytest.raises(NotFoundError, match=r"no attribute 'nothing'\. The attributes are: none yet"):
        dataset.remove_attributes("nothing")
    for words, code in (
        (["set"], 2),
        (["set", "a"], 2),
        (["set", "=1"], 2),
        (["set", "password=x"], 2),
        (["set", "a=null"], 2),
        (["set", f"a={'[' * 900}{']' * 900}"], 2),
        (["set", f"a={'[' * 10_000}"], 0),
        (["remove"], 2),
        (["remove", "b"], 3),
        (["list", "--at", "v9"], 3),
    ):
        result = CliRunner().invoke(geographer_command, ["-C", str(dataset.root), "attributes", *words])
        found = getattr(result.exception, "exit_code", result.exit_code) if result.exception else 0
        assert found == code, (words[:1], result.output, result.exception)
    assert json.loads(run_command(dataset.root, "attributes", "list", "--json"))["a"].startswith("[[")
