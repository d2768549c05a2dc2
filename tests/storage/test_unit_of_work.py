"""The unit of work: what a repeated request completes."""

from __future__ import annotations

from typing import Any

import pytest

from geographer import Dataset
from geographer.base.errors import ConflictError
from geographer.operations.add.classes import AddClasses
from geographer.operations.attributes import RemoveAttributes, SetAttributes
from geographer.operations.classes.context import SetContextClasses
from geographer.operations.create import CreateDataset
from geographer.operations.describe import DescribeDataset
from geographer.operations.record_export import RecordedExport, RecordedSelection, RecordExport
from geographer.storage.events.payload import load_payload_classes
from geographer.storage.request import Request
from geographer.storage.unit_of_work import UnitOfWork
from tests.sample_history import write_scenes


def test_repeated_request_completes_an_interrupted_command(dataset: Dataset, tmp_path, monkeypatch):
    """The first run is killed after its append: its answer and its files in the workspace are missing."""
    scenes = write_scenes(tmp_path / "inputs", "a")

    def die(*_arguments: object, **_options: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(UnitOfWork, "checkout_workspace", die)
        with pytest.raises(KeyboardInterrupt):
            dataset.add_rasters(scenes, idempotency_key="k")
    assert not (dataset.root / "rasters/source/a.tif").exists()
    result = Dataset.open(dataset.root).add_rasters(scenes, idempotency_key="k")
    assert (result.position, result.changed) == (2, False)
    assert (dataset.root / "rasters/source/a.tif").exists()
    assert (dataset.root / "rasters/source.dvc").exists()
    assert dataset.verify() == []


def make_export(samples: int) -> RecordedExport:
    selection = RecordedSelection(None, [], None, [])
    digests = {"digest": "0" * 64, "manifest": f"{samples:064x}"}
    return RecordedExport(format="npy", selection=selection, options={}, samples=samples, files=1, **digests)


WITHOUT_RECORD: dict[type[Request], list[dict[str, Any]]] = {
    SetAttributes: [{"attributes": {"sensor": 1}}, {"attributes": {"sensor": True}}],
    RemoveAttributes: [{"names": ["known"]}, {"names": ["known", "other"]}],
    SetContextClasses: [{"names": ["pond"]}, {"names": ["road"]}, {"names": ["nothing"]}],
    AddClasses: [{"names": ["reed"], "context": True}, {"names": ["moss"], "context": True}, {"names": ["reed"]}],
    DescribeDataset: [{"title": "ponds"}, {"title": "lakes"}],
    RecordExport: [{"export": make_export(1)}, {"export": make_export(2)}],
}
"""Parameters of requests whose events do not record them: of one request, and of other ones."""


def list_request_classes(base: type[Request] = Request) -> set[type[Request]]:
    classes = {base} | {inner for subclass in base.__subclasses__() for inner in list_request_classes(subclass)}
    return {cls for cls in classes if hasattr(cls, "event")}


def test_repeated_request_without_record_changes_nothing(tmp_path):
    load_payload_classes()
    found = {
        cls for cls in list_request_classes() if not all(event.has_request for event in (cls.event, *cls.other_events))
    }
    assert {cls for cls in found if cls.__module__.startswith("geographer.")} - {CreateDataset} == {*WITHOUT_RECORD}
    dataset = Dataset.init(tmp_path / "dataset", classes=["pond", "road"], scm=False)
    dataset.set_attributes({"known": 1, "other": 2})
    for key, (cls, (parameters, *others)) in enumerate(WITHOUT_RECORD.items()):
        first = dataset.run(cls(**parameters, idempotency_key=f"k{key}"))
        dataset.set_attributes({"step": key})
        assert first.changed, cls
        assert dataset.run(cls(**parameters, idempotency_key=f"k{key}")) == first._replace(changed=False)
        for other in others:
            with pytest.raises(ConflictError, match="used for another request"):
                dataset.run(cls(**other, idempotency_key=f"k{key}"))
    assert len(dataset.log()) == 2 + 2 * len(WITHOUT_RECORD)


def test_repeated_request_without_record_is_found_after_merge(tmp_path):
    dataset = Dataset.init(tmp_path / "dataset", classes=["pond"], scm=False)
    dataset.create_branch("survey")
    dataset.switch_branch("survey")
    dataset.set_attributes({"sensor": 1}, idempotency_key="k")
    dataset.switch_branch("main")
    dataset.add_classes(["reed"])
    dataset.merge_branch("survey")
    assert not dataset.set_attributes({"sensor": 1}, idempotency_key="k").changed
    assert dataset.set_attributes({"sensor": 2}, idempotency_key="k").changed
