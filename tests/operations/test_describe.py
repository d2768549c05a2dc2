"""Descriptions of a dataset: recorded field by field, checked, and read from the log wherever the tag is."""

import pytest

from geographer import Dataset
from geographer.base.errors import UsageError
from geographer.operations.describe import parse_creator


@pytest.fixture
def dataset(tmp_path):
    return Dataset.init(tmp_path / "dataset", classes=["pond"], scm=False)


def test_later_descriptions_replace_fields(dataset):
    dataset.describe(title="Ponds", intent="counting", creators=["Ada Lovelace <0000-0002-1825-0097> (UoL)", "Bob"])
    dataset.describe(title="Ponds of Tyrol", intent="")
    assert dataset.read_description() == {
        "title": "Ponds of Tyrol",
        "creators": [
            {"name": "Ada Lovelace", "orcid": "0000-0002-1825-0097", "affiliation": "UoL"},
            {"name": "Bob"},
        ],
    }
    assert dataset.log()[-1].kind == "dataset_described"


def test_description_of_a_merged_branch_counts(dataset):
    dataset.create_branch("survey")
    dataset.switch_branch("survey")
    dataset.describe(ethics="none")
    dataset.switch_branch("main")
    dataset.describe(intent="counting")
    assert dataset.read_description() == {"intent": "counting"}
    dataset.merge_branch("survey")
    assert dataset.read_description() == {"intent": "counting", "ethics": "none"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "nothing to describe"),
        ({"creators": ["Ada <0000-0002-1825-0098>"]}, "check digit"),
        ({"creators": ["<>"]}, "invalid --creator"),
        ({"source_licences": {"nowhere": "CC0-1.0"}}, "no collection 'nowhere'"),
        ({"url": "https://ada:secret@example.org/ponds"}, "credential"),
    ],
)
def test_bad_descriptions_change_nothing(dataset, arguments, message):
    with pytest.raises(UsageError, match=message):
        dataset.describe(**arguments)
    assert len(dataset.log()) == 1


def test_creator_has_optional_parts():
    assert parse_creator("Ada (School (Physics))").affiliation == "School (Physics)"
