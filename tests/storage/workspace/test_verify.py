"""Verify against real tampering: done with plain DuckDB on the log, and byte by byte on files."""

from __future__ import annotations

import json
import shutil
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pytest

from geographer import Dataset
from geographer.base.errors import UsageError
from tests.sample_history import HEAD, V1, alter, cached, contents
from tests.storage.log import digest_oracle as oracle

CHIP = "rasters/around/a_q1.tif"
MASK = "labels/mask/around/a_q1.tif"
OLD_SCENE = "rasters/source/b.tif"


@pytest.fixture(scope="module")
def copied(story, tmp_path_factory):
    """A copy of the story's dataset, opened once."""
    return Dataset.open(shutil.copytree(story.root, tmp_path_factory.mktemp("verify") / "dataset"))


@pytest.fixture
def damaged(story, copied):
    """A dataset for a test to damage; it is mended afterwards."""
    yield copied
    for left in (copied.root / ".geographer" / "staging").iterdir():
        shutil.rmtree(left)
    before, after = contents(story.root), contents(copied.root)
    for path in after.keys() - before.keys():
        (copied.root / path).unlink()
    for path, content in before.items():
        if after.get(path) != content:
            (copied.root / path).unlink(missing_ok=True)
            (copied.root / path).parent.mkdir(parents=True, exist_ok=True)
            (copied.root / path).write_bytes(content)


@pytest.fixture
def root(damaged):
    """Its folder."""
    return damaged.root


def log_of(root):
    return root / ".geographer" / "log.duckdb"


@contextmanager
def tampering(root):
    """A plain connection to the log's file."""
    with duckdb.connect(str(log_of(root))) as connection:
        yield connection


def found(dataset, revision=None, **options):
    """What is found, without its details."""
    findings = dataset.verify(revision, **options)
    return [(finding.what, finding.which, finding.since) for finding in findings]


def sealed(root, position):
    """Give an event, after its content was changed, the digest that the content has."""
    event = oracle.read_log(log_of(root))[0][position - 1]
    with tampering(root) as connection:
        connection.execute("UPDATE event SET digest = ? WHERE position = ?", [oracle.event_digest(event), position])


# --- a sound dataset ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("revision", [None, "v1", "@1", "@8", "v2"])
def test_nothing_is_found_where_nothing_was_altered(root, copied, story, revision):
    before = contents(story.root / ".geographer")
    assert found(copied, revision) == []
    assert contents(story.root / ".geographer") == before


def test_a_digest_that_was_kept_elsewhere_is_found_whole_or_in_part_and_of_event_or_content(copied):
    tag = next(tag for tag in copied.tags().to_pylist() if tag["tag"] == "v1")
    head = copied.log()[-1].digest
    for digest in (tag["digest"], tag["content_digest"]):
        for expected in (digest, digest[:6], digest[:20]):
            assert found(copied, "v1", expect=expected) == []
    assert found(copied, expect=head) == found(copied, expect=tag["digest"]) == []
    # Neither what came later nor the content of another revision is in v1, or at the head.
    assert found(copied, "v1", expect=head) == [("truncated or rewritten log", head, None)]
    assert found(copied, expect=tag["content_digest"]) == [("truncated or rewritten log", tag["content_digest"], None)]


@pytest.mark.parametrize("expected", ["", "abc12", "v1", "ABCDEF", "0" * 65])
def test_what_is_no_digest_is_refused_and_not_taken_for_one(copied, expected):
    with pytest.raises(UsageError, match="no digest"):
        copied.verify(expect=expected)


# --- the log: events ----------------------------------------------------------------------------------------------

EDITS = {
    "event_id": "01900000-0000-7000-8000-000000000000",
    "version": 2,
    "recorded_at": "2020-01-01T00:00:00.000000Z",
    "author": "Eve",
    "message": "nothing happened",
    "command": "geographer cut grid",
    "idempotency_key": "key",
}


@pytest.mark.parametrize("field", EDITS)
def test_an_edited_field_of_an_event_is_found(damaged, root, field):
    with tampering(root) as connection:
        connection.execute(f"UPDATE event SET {field} = ? WHERE position = 6", [EDITS[field]])
    assert found(damaged) == [("edited event", "@6 chips_cut", 6)]


def test_an_edited_payload_is_found(damaged, root):
    with tampering(root) as connection:
        connection.execute(
            "UPDATE event SET payload = replace(payload, '[32,32,\"px\"]', '[64,32,\"px\"]') WHERE position = 6"
        )
    assert found(damaged) == [("edited event", "@6 chips_cut", 6)]


def test_a_payload_that_says_the_same_to_python_and_something_else_to_sql_is_found(damaged, root):
    """Of two members of one name Python takes the last, and DuckDB the first."""
    forged = {"tag": "v1", "position": 3, "digest": "0" * 64, "content_digest": "0" * 64}
    with tampering(root) as connection:
        connection.execute(
            "UPDATE event SET payload = '{\"tag\":' || ? || ',' || payload[2:] WHERE position = 9", [json.dumps(forged)]
        )
    assert oracle.faults(log_of(root)) == []
    assert found(damaged) == [("edited event", "@9 revision_tagged", 9)]


@pytest.mark.parametrize("payload", ["", "{", '{"a":NaN}', '{"tag": {}}'])
def test_a_payload_that_is_not_even_json_is_found_and_nothing_breaks(damaged, root, payload):
    with tampering(root) as connection:
        connection.execute("UPDATE event SET payload = ? WHERE position = ?", [payload, HEAD])
    assert found(damaged)[0] == ("edited event", f"@{HEAD} revision_tagged", HEAD)


def test_an_edited_kind_is_found(damaged, root):
    with tampering(root) as connection:
        connection.execute("UPDATE event SET kind = 'chips_burnt' WHERE position = 6")
    assert found(damaged) == [("edited event", "@6 chips_burnt", 6), ("unknown event", "@6 chips_burnt", 6)]


def test_an_edited_digest_is_found_in_its_event_and_breaks_the_chain(damaged, root):
    with tampering(root) as connection:
        connection.execute("UPDATE event SET digest = repeat('0', 64) WHERE position = 6")
    assert found(damaged) == [("edited event", "@6 chips_cut", 6), ("broken chain", "@7 labels_made", 7)]


def test_an_event_that_is_edited_and_sealed_anew_breaks_the_chain(damaged, root):
    with tampering(root) as connection:
        connection.execute("UPDATE event SET author = 'Eve' WHERE position = 6")
    sealed(root, 6)
    assert found(damaged) == [("broken chain", "@7 labels_made", 7)]


def test_the_last_event_edited_and_sealed_anew_is_found_by_its_digest_kept_elsewhere(damaged, root):
    kept = damaged.log()[-1].digest
    with tampering(root) as connection:
        connection.execute("UPDATE event SET author = 'Eve' WHERE position = ?", [HEAD])
    sealed(root, HEAD)
    assert found(damaged) == []
    assert found(damaged, expect=kept) == [("truncated or rewritten log", kept, None)]


@pytest.mark.parametrize("with_rows", [True, False])
def test_a_deleted_event_is_found(damaged, root, with_rows):
    with tampering(root) as connection:
        connection.execute("DELETE FROM event WHERE position = 12")
        if with_rows:
            connection.execute("DELETE FROM class_change WHERE position = 12")
    assert found(damaged) == [
        ("dropped event", "@12", 12),
        ("broken chain", "@13 features_added", 13),
        *([] if with_rows else [("rows without event", "@12", 12)]),
    ]


def test_a_deleted_event_whose_gap_is_closed_is_found(damaged, root):
    with tampering(root) as connection:
        connection.execute("DELETE FROM event WHERE position IN (12, ?)", [HEAD])
        connection.execute("DELETE FROM class_change WHERE position = 12")
        for position in range(13, HEAD):
            for table in ("event", *oracle.ROW_TABLES):
                connection.execute(f"UPDATE {table} SET position = ? WHERE position = ?", [position - 1, position])
    findings = found(damaged)
    assert ("edited event", "@12 features_added", 12) in findings
    assert ("broken chain", "@12 features_added", 12) in findings
    assert ("truncated log", f"@{HEAD - 1}", HEAD - 1) in findings


def test_a_deleted_last_event_is_found_by_its_digest_kept_elsewhere(damaged, root):
    kept = damaged.log()[-1].digest
    with tampering(root) as connection:
        connection.execute("DELETE FROM event WHERE position = ?", [HEAD])
    assert found(damaged) == [("truncated log", f"@{HEAD}", HEAD)]
    (root / ".geographer" / "state.duckdb").unlink()
    assert found(damaged) == []
    findings = damaged.verify(expect=kept)
    assert [(finding.what, finding.which) for finding in findings] == [("truncated or rewritten log", kept)]
    assert f"the log ends at @{HEAD - 1}" in findings[0].detail


def test_events_in_another_order_are_found(damaged, root):
    with tampering(root) as connection:
        for frm, to in ((10, 0), (12, 10), (0, 12)):
            for table in ("event", *oracle.ROW_TABLES):
                connection.execute(f"UPDATE {table} SET position = ? WHERE position = ?", [to, frm])
    assert found(damaged) == [
        ("edited event", "@10 classes_added", 10),
        ("broken chain", "@10 classes_added", 10),
        ("broken chain", "@11 rasters_removed", 11),
        ("edited event", "@12 features_removed", 12),
        ("broken chain", "@12 features_removed", 12),
        ("broken chain", "@13 features_added", 13),
    ]


def test_an_inserted_event_is_found_though_it_is_sealed(damaged, root):
    with tampering(root) as connection:
        for position in range(HEAD, 9, -1):
            for table in ("event", *oracle.ROW_TABLES):
                connection.execute(f"UPDATE {table} SET position = ? WHERE position = ?", [position + 1, position])
        connection.execute("INSERT INTO event SELECT * REPLACE (10 AS position) FROM event WHERE position = 9")
        connection.execute(
            "UPDATE event SET parents = (SELECT [digest] FROM event WHERE position = 9) WHERE position = 10"
        )
    sealed(root, 10)
    findings = found(damaged)
    assert findings[0] == ("edited event", "@11 features_removed", 11)
    assert findings[1] == ("broken chain", "@11 features_removed", 11)
    assert {what for what, _, _ in findings} >= {"edited event", "broken chain"}


# --- the log: rows ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "position", "column", "value", "which"),
    [
        ("feature_change", 2, "class", "quarry", "feature p1"),
        ("feature_change", 2, "geometry", b"\x01\x01\x00\x00\x00" + b"\x00" * 16, "feature p1"),
        ("raster_change", 5, "pixel_digest", "0" * 64, "raster around/a_p1"),
        ("label_change", 7, "size", 7, "label mask/around/a_p1"),
        ("split_change", 8, "part", None, "split parts/around/a_p1"),
        ("class_change", 1, "value", 7, "class water"),
        ("skipped_input", 2, "reason", "", "skipped FILE/bent"),
    ],
)
def test_an_edited_row_is_found_by_name_and_still_when_its_digests_are_made_to_fit(
    damaged, root, story, table, position, column, value, which
):

    which = which.replace("FILE", str(story.inputs / "first.geojson"))
    kind = oracle.read_log(log_of(root))[0][position - 1]["kind"]
    after = oracle.read_log(log_of(root))[0][position]["kind"]
    with tampering(root) as connection:
        connection.execute(f"UPDATE {table} SET {column} = ? WHERE position = ? AND ordinal = 0", [value, position])
    assert found(damaged) == [("edited row", which, position)]

    row = next(
        row for row in oracle.read_log(log_of(root))[1][table] if (row["position"], row["ordinal"]) == (position, 0)
    )
    with tampering(root) as connection:
        connection.execute(
            f"UPDATE {table} SET row_digest = ? WHERE position = ? AND ordinal = 0", [oracle.row_digest(row), position]
        )
    assert ("altered rows", f"@{position} {kind}", position) == found(damaged)[0]

    rows = oracle.read_log(log_of(root))[1]
    with tampering(root) as connection:
        connection.execute(
            "UPDATE event SET rows_digest = ? WHERE position = ?", [oracle.rows_digest(rows, position), position]
        )
    assert found(damaged)[0] == ("edited event", f"@{position} {kind}", position)

    sealed(root, position)
    assert found(damaged)[0] == ("broken chain", f"@{position + 1} {after}", position + 1)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE feature_change SET change = 'added' WHERE position = 10 AND ordinal = 0",
        "UPDATE feature_change SET ordinal = 1 - ordinal WHERE position = 10",
        "DELETE FROM feature_change WHERE position = 10 AND ordinal = 1",
        "INSERT INTO feature_change SELECT * REPLACE (2 AS ordinal) FROM feature_change WHERE position = 10 LIMIT 1",
        "INSERT INTO class_change SELECT * REPLACE (10 AS position) FROM class_change WHERE position = 12",
    ],
)
def test_rows_that_are_added_removed_reordered_or_turned_over_are_found(damaged, root, change):
    with tampering(root) as connection:
        connection.execute(change)
    assert found(damaged) == [("altered rows", "@10 features_removed", 10)]


def test_rows_of_no_event_are_found(damaged, root):
    with tampering(root) as connection:
        connection.execute(
            "INSERT INTO class_change SELECT * REPLACE (99 AS position) FROM class_change WHERE position = 12"
        )
    assert found(damaged) == [("rows without event", "@99", 99)]


# --- rasters and labels -------------------------------------------------------------------------------------------


def test_a_raster_that_is_missing_from_the_workspace_is_found_with_the_features_that_it_shows(damaged, root):
    (root / CHIP).unlink()
    (finding,) = damaged.verify()
    assert (finding.what, finding.which, finding.since) == ("missing raster", CHIP, 5)
    assert finding.detail == "raster 'around/a_q1' is missing in the workspace; it shows the features q1, w1"
    assert finding.as_json() == {
        "what": "missing raster",
        "which": CHIP,
        "since": 5,
        "detail": finding.detail,
    }


def test_a_raster_that_is_altered_in_the_workspace_is_found_though_size_and_time_are_as_they_were(damaged, root):
    import os

    before = (root / CHIP).stat()
    alter(root / CHIP)
    os.utime(root / CHIP, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert found(damaged) == [("altered raster", CHIP, 5)]


def test_one_bit_turned_over_in_the_cache_is_found_and_names_raster_and_features(damaged, root):
    scene = "rasters/source/a.tif"
    alter(cached(root, scene, HEAD))
    (finding,) = damaged.verify()
    assert (finding.what, finding.which, finding.since) == ("altered raster", scene, 3)
    assert finding.detail == "raster 'a' is altered in DVC's cache; it shows the features p1, p2, q1, w1"


def test_a_label_that_is_altered_or_missing_is_found(damaged, root):
    alter(root / MASK)
    assert found(damaged) == [("altered label", MASK, 18)]
    (root / MASK).unlink()
    (finding,) = damaged.verify()
    assert (finding.what, finding.which, finding.since) == ("missing label", MASK, 18)
    assert finding.detail.startswith("label 'mask' of raster 'around/a_q1' is missing in the workspace")


def test_what_the_cache_lacks_is_no_loss_while_the_workspace_has_it_and_is_one_when_it_has_not(damaged, root):
    cached(root, CHIP, HEAD).unlink()
    assert found(damaged) == []
    (root / CHIP).unlink()
    assert found(damaged) == [("missing raster", CHIP, 5)] * 2
    places = [finding.detail.partition(";")[0] for finding in damaged.verify()]
    assert [place.rpartition("missing ")[2] for place in places] == ["in the workspace", "in DVC's cache and remote"]


def test_what_the_cache_lacks_and_the_remote_has_is_fetched_and_is_no_loss(damaged, root, tmp_path):
    remote = tmp_path / "remote"
    shutil.copytree(root / ".dvc" / "cache", remote)
    (root / ".dvc" / "config.local").write_text(f"[core]\n    remote = r\n['remote \"r\"']\n    url = {remote}\n")
    missing = cached(root, OLD_SCENE, V1)
    missing.unlink()
    assert found(damaged, "v1") == []
    assert missing.is_file()
    missing.unlink()
    alter(remote / missing.relative_to(root / ".dvc" / "cache"))
    assert found(damaged, "v1") == [("altered raster", OLD_SCENE, 3)]
    assert not missing.exists()


def test_an_older_revision_is_verified_from_the_cache(damaged, root):
    alter(cached(root, OLD_SCENE, V1))
    assert found(damaged) == []
    (finding,) = damaged.verify("v1")
    assert (finding.what, finding.which, finding.since) == ("altered raster", OLD_SCENE, 3)
    assert "raster 'b' is altered in DVC's cache; it shows the features q2" in finding.detail


@pytest.mark.parametrize(("harm", "what"), [(alter, "altered raster"), (Path.unlink, "missing raster")])
def test_a_referenced_raster_that_is_altered_or_missing_is_found(damaged, root, harm, what):
    harm(root / "archive" / "d.tif")
    (finding,) = damaged.verify()
    assert (finding.what, finding.which, finding.since) == (what, "archive/d.tif", 15)
    assert "where it was referenced" in finding.detail


def test_whoever_alters_a_raster_and_the_projection_too_is_found(damaged, root):
    """The projection would have us expect what now lies there; the log does not."""
    alter(root / CHIP)
    alter(cached(root, CHIP, HEAD))
    sums = [oracle.sha256((root / CHIP).read_bytes()), CHIP]
    with duckdb.connect(str(root / ".geographer" / "state.duckdb")) as connection:
        connection.execute("UPDATE raster SET sha256 = ? WHERE path = ?", sums)
    assert found(damaged) == [("altered raster", CHIP, 5)] * 2


# --- orphans and repair -------------------------------------------------------------------------------------------


def litter(root):
    """Files that no event knows, as crashes and people leave them."""
    left = {
        "labels/mask/around/a_q2.tif": b"a mask of a chip that was removed",
        "rasters/around/.geographer-0123456789abcdef": b"a draft",
        "rasters/around/b_p9.tif": b"a chip that no event knows",
        "rasters/notes.txt": b"a note",
    }
    for path, content in left.items():
        (root / path).write_bytes(content)
    staging = root / ".geographer" / "staging" / "0123456789abcdef0123456789abcdef"
    staging.mkdir(parents=True)
    (staging / "chip.tif").write_bytes(b"half a chip")
    return [*left, staging.relative_to(root).as_posix()]


def test_files_that_no_event_knows_are_found_and_left_alone(damaged, root):
    left = litter(root)
    before = contents(root)
    assert found(damaged) == [("orphan file", path, None) for path in left]
    assert contents(root) == before


def test_repair_removes_what_no_event_knows_and_nothing_else_and_leaves_the_log_as_it_was(damaged, root):
    before = contents(root)
    log = (log_of(root).stat().st_mtime_ns, log_of(root).stat().st_ino)
    left = litter(root)
    assert found(damaged, repair=True) == []
    after = contents(root)
    assert not [path for path in left if (root / path).exists()]
    assert (log_of(root).stat().st_mtime_ns, log_of(root).stat().st_ino) == log
    derived = ".geographer/state.duckdb"
    assert after.keys() - {path for path in after if path.startswith(".dvc/tmp")} == before.keys() - {
        path for path in before if path.startswith(".dvc/tmp")
    }
    assert [path for path in before if not path.startswith(".dvc/tmp") and after[path] != before[path]] in (
        [],
        [derived],
    )
    assert found(damaged) == []


def test_repair_rebuilds_a_spoilt_projection(damaged, root):
    known = damaged.labels().to_pylist()
    with duckdb.connect(str(root / ".geographer" / "state.duckdb")) as connection:
        connection.execute("DELETE FROM label")
    assert damaged.labels().to_pylist() == []
    assert found(damaged, repair=True) == []
    assert damaged.labels().to_pylist() == known


def test_repair_does_not_mend_rasters_and_still_tells_of_them(damaged, root):
    left = litter(root)
    alter(root / CHIP)
    assert found(damaged, repair=True) == [("altered raster", CHIP, 5)]
    assert not [path for path in left if (root / path).exists()]


@pytest.mark.parametrize("kept", [None, "0" * 64])
def test_repair_removes_nothing_while_the_log_is_not_sound(damaged, root, kept):
    """What somebody took out of the log must not be swept away as unknown to it."""
    if kept is None:
        with tampering(root) as connection:
            connection.execute("DELETE FROM raster_change WHERE position = 5")
    left = litter(root)
    before = contents(root)
    findings = found(damaged, repair=True, expect=kept)
    assert findings[0][0] == ("altered rows" if kept is None else "truncated or rewritten log")
    assert {("orphan file", path, None) for path in left} <= set(findings)
    assert contents(root).keys() >= before.keys()


def test_orphans_are_those_of_the_revision_that_the_workspace_shows(damaged, root):
    damaged.checkout("v1")
    assert found(damaged) == found(damaged, "v1") == []
    (root / "rasters/source/c.tif").write_bytes(b"known to the head, not to v1")
    assert found(damaged) == [("orphan file", "rasters/source/c.tif", None)]
