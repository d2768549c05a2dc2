"""A digest kept elsewhere, against logs that were edited and agree with themselves: all digests were computed again."""

from __future__ import annotations

import shutil

import pytest

from geographer import Dataset
from tests.reliability.forging import edit_database, edit_table, recompute_log, remove_history

KEPT = 5
"""The position of the tagged revision, of which all digests are kept elsewhere."""

EDITS = {
    "edited row": ["UPDATE class_change SET value = 9 WHERE class = 'reed'"],
    "edited message": ["UPDATE event SET message = 'other' WHERE event_key = 3"],
    "edited time": ["UPDATE event SET recorded_at = '2020-01-01T00:00:00.000000Z' WHERE event_key = 3"],
    "edited first event": ["UPDATE event SET author = 'Eve' WHERE event_key = 1"],
    "dropped row": ["DELETE FROM class_change WHERE class = 'reed'"],
    "dropped event": [
        "DELETE FROM event WHERE event_key = 3",
        "DELETE FROM class_change WHERE event_key = 3",
        "DELETE FROM chain WHERE event_key = 3",
        "UPDATE chain SET position = position - 1 WHERE position > 3",
        "UPDATE event SET generation = generation - 1 WHERE event_key > 3",
        """UPDATE event SET payload = replace(payload, '"position":5', '"position":4')""",
    ],
    "inserted event": [
        "UPDATE chain SET position = position + 1 WHERE position > 3",
        "UPDATE event SET generation = generation + 1 WHERE event_key > 3",
        "INSERT INTO event SELECT * REPLACE (99 AS event_key, 4 AS generation, sha256('x') AS digest) FROM event WHERE event_key = 3",
        "INSERT INTO chain VALUES ('main', 4, 99)",
        "INSERT INTO class_change BY NAME SELECT * REPLACE (99 AS event_key, 'quay' AS class, 9 AS value) FROM class_change WHERE event_key = 3",
    ],
    "exchanged events": [
        "UPDATE chain SET position = CASE position WHEN 3 THEN 4 ELSE 3 END WHERE position IN (3, 4)",
        "UPDATE event SET generation = CASE generation WHEN 3 THEN 4 ELSE 3 END WHERE generation IN (3, 4)",
    ],
    "dropped last events": [
        "DELETE FROM event WHERE event_key > 4",
        "DELETE FROM class_change WHERE event_key > 4",
        "DELETE FROM chain WHERE event_key > 4",
    ],
}
KEEPS_CONTENT = {"edited message", "edited time", "edited first event", "exchanged events"}
"""The edits after which the content is the same; so are its digests."""
SHORT_CASES = EDITS.keys() - {"edited row", "edited message"}
"""The edits that are compared with two of the four digests only."""


@pytest.fixture(scope="module")
def opened(empty_dataset, tmp_path_factory):
    dataset = Dataset.open(shutil.copytree(empty_dataset, tmp_path_factory.mktemp("expected") / "dataset"))
    for name in ("pond", "reed", "lake", "moor"):
        dataset.add_classes([name], message=f"add {name}")
    dataset.tag("v1")
    dataset.add_classes(["fen"])
    shutil.copytree(dataset.root, dataset.root.with_name("template"))
    return dataset


@pytest.fixture(scope="module")
def kept(opened):
    """The digests of the tagged revision."""
    (tag,) = opened.tags().to_pylist()
    assert tag["position"] == KEPT
    return {name: tag[name] for name in ("digest", "log_root", "content_digest", "merkle_root")}


def edit_log(opened, edit):
    """Replace the dataset by one with an edited log, all digests computed again, without what kept the log as it was."""
    shutil.rmtree(opened.root)
    shutil.copytree(opened.root.with_name("template"), opened.root)
    with edit_database(opened.root / ".geographer" / "log.duckdb") as connection:
        for statement in EDITS[edit]:
            edit_table(connection, statement.split()[1 if statement.startswith("UPDATE") else 2], statement)
        recompute_log(connection)
    remove_history(opened.root)
    (opened.root / ".geographer" / "state.duckdb").unlink()
    return Dataset.open(opened.root)


@pytest.mark.parametrize("edit", EDITS)
def test_kept_digests_find_rewritten_log(opened, kept, edit):
    """All digests of the log are computed again, so that the log agrees with itself."""
    forged = edit_log(opened, edit)
    names = ("digest", "merkle_root") if edit in SHORT_CASES else tuple(kept)
    found = {name: [finding.kind for finding in forged.verify(expect=kept[name])] for name in names}
    history, content = ["digest not found"], [] if edit in KEEPS_CONTENT else ["digest not found"]
    expected = {"digest": history, "log_root": history, "content_digest": content, "merkle_root": content}
    assert found == {name: expected[name] for name in names}


def test_tag_that_was_moved_is_found(opened, kept):
    """The log has the kept event, but the tag names a later one."""
    shutil.rmtree(opened.root)
    shutil.copytree(opened.root.with_name("template"), opened.root)
    moved = Dataset.open(opened.root)
    moved.tag("v2", "HEAD")
    for digest in kept.values():
        (finding,) = moved.verify("v2", expect=digest)
        assert finding.kind == "digest not found"
        assert f"@{KEPT} (v1)" in finding.detail
    assert not moved.verify("v1", expect=kept["log_root"])


@pytest.mark.parametrize(
    ("statement", "finding"),
    [
        ("ALTER TABLE class_change ADD COLUMN note VARCHAR", ("unexpected column", "class_change note")),
        ("CREATE TABLE more AS SELECT 1 AS number", ("unexpected table", "more")),
        ("UPDATE meta SET format = 1", ("edited table", "meta")),
    ],
)
def test_verify_finds_what_no_digest_covers(opened, statement, finding):
    shutil.rmtree(opened.root)
    shutil.copytree(opened.root.with_name("template"), opened.root)
    with edit_database(opened.root / ".geographer" / "log.duckdb") as connection:
        connection.execute(statement)
    assert [(found.kind, found.subject) for found in Dataset.open(opened.root).verify()] == [finding]


def test_shortened_digest_is_mentioned(opened, kept):
    shutil.rmtree(opened.root)
    shutil.copytree(opened.root.with_name("template"), opened.root)
    dataset = Dataset.open(opened.root)
    note = "the last 52 of the 64 digits of the expected digest: the first ones of another digest can be equal"
    assert note in dataset.verify(expect=kept["digest"][:12]).report.not_checked
    assert note not in dataset.verify(expect=kept["digest"]).report.not_checked
    assert dataset.verify(expect=kept["log_root"]).report.matches[-1] == (
        f"the expected digest is the log root of @{KEPT} (v1)"
    )


def test_digests_of_merged_history_are_found(opened, kept):
    """A colleague kept the digests of a tag; then its branch was merged into another one."""
    shutil.rmtree(opened.root)
    shutil.copytree(opened.root.with_name("template"), opened.root)
    dataset = Dataset.open(opened.root)
    dataset.create_branch("survey", "v1")
    dataset.switch_branch("survey")
    dataset.add_classes(["bog"])
    dataset.tag("v2")
    digests = dataset.tags().to_pylist()[-1]
    dataset.switch_branch("main")
    assert [finding.kind for finding in dataset.verify(expect=digests["digest"])] == ["digest not found"]
    dataset.merge_branch("survey")
    for name in kept:
        result = dataset.verify(expect=digests[name])
        assert not result
        assert result.report.matches[-1].endswith(f" of @{KEPT + 1} (v2) of a merged history")
    assert [finding.kind for finding in dataset.verify(expect="0" * 64)] == ["digest not found"]
