"""Tags: what they record, and tags of version 1."""

import shutil
from pathlib import Path

import pytest

from docs.recompute_digests import merkle_root
from geographer import Dataset
from geographer.base.errors import ConflictError, CorruptError, NotFoundError, UsageError
from geographer.operations.tag.request import TagRevision
from geographer.storage.events.payload import parse_payload


@pytest.fixture
def dataset(empty_dataset: Path, tmp_path: Path) -> Dataset:
    dataset = Dataset.open(shutil.copytree(empty_dataset, tmp_path / "dataset"))
    dataset.add_classes(["pond"])
    dataset.add_classes(["reed"])
    return dataset


def test_tag_records_digests_of_its_revision(dataset):
    result = dataset.tag("v1", 2)
    tag, event = result.summary["tag"], dataset.show(2)
    assert (tag["tag"], tag["position"], tag["digest"]) == ("v1", 2, event.digest)
    assert tag["content_digest"] == dataset.content_digest(2) != dataset.content_digest()
    with dataset._unit_of_work.open_revision(2) as revision:
        assert tag["merkle_root"] == revision.compute_merkle_root()
    assert dataset.show().payload["request"] == {"tag": "v1", "revision": "2"}
    assert (tag["version"], tag["dataset"]) == (None, dataset.show(1).digest)
    assert tag["log_root"] == merkle_root([dataset.show(1).digest, event.digest])
    assert dataset.show().version == 4


def test_tag_of_an_altered_state_is_refused(dataset, monkeypatch):
    monkeypatch.setattr("geographer.operations.tag.request.is_attached_state_unaltered", lambda connection: False)
    with pytest.raises(CorruptError, match="a tag would record a wrong digest"):
        dataset.tag("v1")


def test_tag_without_revision_names_the_head(dataset):
    result = dataset.tag("v1", idempotency_key="key")
    assert result.summary["tag"]["position"] == 3
    assert not dataset.tag("v1", idempotency_key="key").changed
    with pytest.raises(ConflictError, match="tag 'v1' exists"):
        dataset.tag("v1", "HEAD~2")
    with pytest.raises(NotFoundError, match="no revision '@9'"):
        dataset.tag("v2", "@9")


@pytest.mark.parametrize(
    "name", ["HEAD", "headline", "abc123", "a/b", "", "2026-01-01", "2026-W01-1", "2026-01-01T10", "@3"]
)
def test_ambiguous_tag_is_rejected(name):
    with pytest.raises(UsageError, match="invalid tag"):
        TagRevision(name)


@pytest.mark.parametrize(
    ("version", "recorded"),
    [
        *((1, {}), (2, {"merkle_root": "cd" * 32}), (2, {"merkle_root": None})),
        (3, {"merkle_root": "cd" * 32, "version": "1.0.0"}),
    ],
)
def test_tags_of_older_versions_lack_values(version, recorded):
    digest = "ab" * 32
    tag = {"tag": "v1", "position": 1, "digest": digest, "content_digest": digest, **recorded}
    payload = parse_payload(
        "revision_tagged", version, {"request": {"tag": "v1", "revision": None}, "tag": tag, "software": {}}
    )
    assert payload.to_json()["tag"] == {"merkle_root": None, "version": None, "log_root": None, "dataset": None, **tag}
    assert payload.version == 4
    number = ", version 1.0.0" if version == 3 else ""
    assert payload.format_summary() == f"'v1' is @1 {digest}, content {digest}{number}"
