"""Reviews: what they record and list, and what is refused."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from geographer import Dataset
from geographer.base.errors import NotFoundError, UsageError
from geographer.diff.reviews import read_reviews
from geographer.operations.review import ReviewRevisions
from tests.cli.runner import read_rows, run_command


@pytest.fixture
def dataset(empty_dataset: Path, tmp_path: Path) -> Dataset:
    dataset = Dataset.open(shutil.copytree(empty_dataset, tmp_path / "dataset"))
    dataset.add_classes(["pond"])
    dataset.add_classes(["reed"])
    return dataset


def test_review_records_both_revisions(dataset: Dataset):
    content = dataset.content_digest()
    result = dataset.review_revisions("@2", 3, verdict="approve", message="as agreed", author="Bo")
    before, after = ({"position": position, "digest": dataset.show(position).digest} for position in (2, 3))
    assert result.summary["review"] == {"verdict": "approve", "before": before, "after": after}
    event = dataset.show()
    assert (event.kind, event.message, event.author) == ("revisions_reviewed", "as agreed", "Bo")
    assert event.payload["request"] == {"before": "@2", "after": "3", "verdict": "approve"}
    assert dataset.content_digest() == content
    assert dataset.verify() == []


def test_reviews_of_a_pair_are_listed(dataset: Dataset):
    assert read_rows(dataset.root, "reviews") == []
    run_command(dataset.root, "review", "@2", "HEAD", "--verdict", "reject", "-m", "the wrong pond")
    dataset.review_revisions(1, 3, verdict="approve", message="all right")
    rows = read_rows(dataset.root, "reviews")
    columns = ("position", "author", "verdict", "from", "to", "message")
    assert [tuple(row[name] for name in columns) for row in rows] == [
        (4, "Ada", "reject", 2, 3, "the wrong pond"),
        (5, "Ada", "approve", 1, 3, "all right"),
    ]
    assert rows == [{**row, "recorded_at": str(row["recorded_at"])} for row in dataset.list_reviews().to_pylist()]
    with dataset._unit_of_work.open_revision() as revision:
        found = {
            pair: read_reviews(revision, *pair)["position"].to_pylist()
            for pair in ((2, 3), (3, 2), (1, None), (None, 3))
        }
    assert found == {(2, 3): [4], (3, 2): [], (1, None): [5], (None, 3): [4, 5]}
    with dataset._unit_of_work.open_revision(4) as revision:
        assert read_reviews(revision)["position"].to_pylist() == [4]


def test_review_of_an_event_that_the_log_lacks_names_no_position(dataset: Dataset, monkeypatch: pytest.MonkeyPatch):
    lost = dataset.show(2)._replace(digest="ab" * 32)
    monkeypatch.setattr("geographer.operations.review.read_event", lambda *_: lost)
    monkeypatch.setattr("geographer.operations.review.resolve_revision", lambda _, name: int(name))
    dataset.review_revisions(2, 3, verdict="reject", message="lost")
    (row,) = dataset.list_reviews().to_pylist()
    assert (row["from"], row["to"], row["from_digest"]) == (None, None, lost.digest)


@pytest.mark.parametrize("message", ["", " \n", None])
def test_review_needs_a_message(message: Any):
    with pytest.raises(UsageError, match="a review needs a message"):
        ReviewRevisions(1, 2, verdict="approve", message=message)


def test_unknown_revisions_are_refused(dataset: Dataset):
    for a, b, error, text in (
        (2, "@2", UsageError, "both revisions are @2"),
        (2, "@9", NotFoundError, "no revision '@9'"),
        ("", 2, NotFoundError, "no revision ''"),
        (10**30, 2, NotFoundError, "no revision"),
        ("\ud800", 2, UsageError, "cannot be recorded"),
    ):
        with pytest.raises(error, match=text):
            dataset.review_revisions(a, b, verdict="approve", message="why")
    assert len(dataset.log()) == 3


@pytest.mark.parametrize("revision", [True, 1.0, None, [1], b"v1"])
def test_revision_of_another_type_is_refused(revision: Any):
    with pytest.raises(UsageError, match="invalid --b"):
        ReviewRevisions(1, revision, verdict="approve", message="why")


@pytest.mark.parametrize("verdict", ["", "yes", None, 1, ["approve"]])
def test_invalid_verdict_is_refused(verdict: Any):
    with pytest.raises(UsageError, match="invalid --verdict"):
        ReviewRevisions(1, 2, verdict=verdict, message="why")
