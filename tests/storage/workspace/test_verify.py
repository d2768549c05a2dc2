"""Verify finds tampering with the log, by plain DuckDB, and with bytes of files."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pytest
import rasterio
from rasterio.errors import NotGeoreferencedWarning
from rasterio.shutil import copy as copy_raster

from geographer import Dataset
from geographer.base.errors import ConflictError, UsageError
from geographer.storage.database.connection import SETTINGS, find_spatial_extension, load_spatial
from geographer.storage.queries.revision import Revision
from geographer.storage.state.digest import compute_state_digest
from geographer.storage.state.update import is_state_unaltered
from tests.reliability.forging import remove_history
from tests.sample_history import HEAD, V1, delete_object, find_cached_file, flip_bit_of_file, read_contents
from tests.sample_rasters import make_pixels, write_scene
from tests.storage.log import digest_oracle as oracle
from tests.storage.state.test_unreadable import append_row

CHIP = "rasters/around/a_q1.tif"
MASK = "labels/mask/around/a_q1.tif"
OLD_SCENE = "rasters/source/b.tif"
OTHER_LOCK = ("other lock file", "geographer.lock", None)
WRONG_LOCK = ("wrong lock file", "geographer.lock", HEAD)


@pytest.fixture(scope="module")
def copied_dataset(sample_history, tmp_path_factory):
    """A copy of the sample dataset, opened once."""
    return Dataset.open(shutil.copytree(sample_history.root, tmp_path_factory.mktemp("verify") / "dataset"))


@pytest.fixture
def dataset(sample_history, copied_dataset):
    """A dataset that a test may damage; it is restored afterwards."""
    yield copied_dataset
    for folder in (copied_dataset.root / ".geographer" / "staging").iterdir():
        shutil.rmtree(folder)
    before, after = read_contents(sample_history.root), read_contents(copied_dataset.root)
    for path in after.keys() - before.keys():
        (copied_dataset.root / path).unlink()
    for path, content in before.items():
        if after.get(path) != content:
            (copied_dataset.root / path).unlink(missing_ok=True)
            (copied_dataset.root / path).parent.mkdir(parents=True, exist_ok=True)
            (copied_dataset.root / path).write_bytes(content)


@pytest.fixture
def root(dataset):
    return dataset.root


def read_recorded_contents(root):
    """Read every file except the state, which is derived."""
    return {path: content for path, content in read_contents(root).items() if "/state.duckdb" not in path}


def log_path(root):
    return root / ".geographer" / "log.duckdb"


@contextmanager
def open_log(root):
    """Yield a plain DuckDB connection to the log's file."""
    with duckdb.connect(str(log_path(root))) as connection:
        yield connection


def list_findings(dataset, revision=None, **options):
    """Run verify and return kind, subject and position of each finding."""
    findings = dataset.verify(revision, **options)
    return [(finding.kind, finding.subject, finding.position) for finding in findings]


# In this log, the key of an event is its position.


def rehash_event(root, position):
    """Set the digest of an edited event to that of its present content."""
    event = oracle.read_log(log_path(root))[0][position - 1]
    with open_log(root) as connection:
        connection.execute(
            "UPDATE event SET digest = ? WHERE event_key = ?", [oracle.compute_event_digest(event), position]
        )


# --- an intact dataset ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("revision", [None, "v1", "@1", "@8", "v2"])
def test_verify_finds_no_fault(root, copied_dataset, sample_history, revision):
    before = read_contents(sample_history.root / ".geographer")
    assert list_findings(copied_dataset, revision) == []
    assert read_contents(sample_history.root / ".geographer") == before


def test_verify_accepts_expected_digests(copied_dataset):
    tag = next(tag for tag in copied_dataset.tags().to_pylist() if tag["tag"] == "v1")
    head = copied_dataset.log()[-1].digest
    for digest in (tag["digest"], tag["content_digest"]):
        for expected in (digest, digest[:6], digest[:20]):
            assert list_findings(copied_dataset, "v1", expect=expected) == []
    assert list_findings(copied_dataset, expect=head) == list_findings(copied_dataset, expect=tag["digest"]) == []
    assert list_findings(copied_dataset, "v1", expect=head) == [("digest not found", head, None)]


@pytest.mark.parametrize("name", ["digest", "content_digest", "merkle_root"])
@pytest.mark.parametrize("revision", [None, "v1"])
def test_verify_says_what_matched(copied_dataset, name, revision):
    tag = next(tag for tag in copied_dataset.tags().to_pylist() if tag["tag"] == "v1")
    noun = {"digest": "event digest", "content_digest": "content digest", "merkle_root": "Merkle root"}[name]
    result = copied_dataset.verify(revision, expect=tag[name][:12])
    assert not result
    assert result.report.matches[-1] == f"the expected digest is the {noun} of @{V1} (v1)"


def test_verify_recognises_content_of_untagged_revision(copied_dataset):
    digest = copied_dataset.content_digest("@5")
    assert copied_dataset.verify(expect=digest).report.matches[1:] == [
        "the expected digest is the content digest of @5"
    ]
    (finding,) = copied_dataset.verify("v2", expect=digest)
    assert (finding.kind, finding.subject) == ("digest not found", digest)
    assert finding.detail.startswith(f"it is no digest of the revision @{HEAD - 1} ")
    assert finding.detail.endswith("It is the content digest of @5")


def test_verify_names_what_it_compared(copied_dataset):
    (finding,) = copied_dataset.verify(expect="0" * 64)
    assert finding.detail.startswith(
        f"no event up to @{HEAD} {copied_dataset.show().digest} has it, and it is neither "
    )
    assert f"of @{HEAD} (HEAD), @{V1} (v1), @{HEAD - 1} (v2), @" in finding.detail


@pytest.mark.parametrize("expected", ["", "abc12", "v1", "ABCDEF", "0" * 65])
def test_verify_rejects_invalid_digest(copied_dataset, expected):
    with pytest.raises(UsageError, match="invalid digest"):
        copied_dataset.verify(expect=expected)


# --- the log: events ----------------------------------------------------------------------------------------------

EDITS = {
    "event_id": "01900000-0000-7000-8000-000000000000",
    "version": 99,
    "recorded_at": "2020-01-01T00:00:00.000000Z",
    "author": "Eve",
    "message": "nothing happened",
    "command": "geographer cut grid",
    "idempotency_key": "key",
    "format": 1,
    "generation": 7,
}


@pytest.mark.parametrize("field", EDITS)
def test_verify_finds_edited_field(dataset, root, field):
    with open_log(root) as connection:
        connection.execute(f"UPDATE event SET {field} = ? WHERE event_key = 6", [EDITS[field]])
    broken = {"generation": [("broken chain", "@6 chips_cut", 6), ("broken chain", "@7 labels_made", 7)]}
    unknown = [("unknown event", "@6 chips_cut", 6)] if field == "version" else []
    assert list_findings(dataset) == [("edited event", "@6 chips_cut", 6), *broken.get(field, []), *unknown]


def test_verify_finds_edited_payload(dataset, root):
    with open_log(root) as connection:
        connection.execute(
            "UPDATE event SET payload = replace(payload, '[32,32,\"px\"]', '[64,32,\"px\"]') WHERE event_key = 6"
        )
    assert list_findings(dataset) == [("edited event", "@6 chips_cut", 6)]


def test_verify_finds_ambiguous_payload(dataset, root):
    """Of two members of one name, Python reads the last and DuckDB the first."""
    forged = {"tag": "v1", "position": 3, "digest": "0" * 64, "content_digest": "0" * 64}
    with open_log(root) as connection:
        connection.execute(
            "UPDATE event SET payload = '{\"tag\":' || ? || ',' || payload[2:] WHERE event_key = 9",
            [json.dumps(forged)],
        )
    assert oracle.find_faults(log_path(root)) == []
    assert list_findings(dataset) == [("edited event", "@9 revision_tagged", 9)]


@pytest.mark.parametrize("payload", ["", "{", '{"a":NaN}', '{"tag": {}}'])
def test_verify_finds_invalid_json_payload(dataset, root, payload):
    with open_log(root) as connection:
        connection.execute("UPDATE event SET payload = ? WHERE event_key = ?", [payload, HEAD])
    assert list_findings(dataset)[0] == ("edited event", f"@{HEAD} revision_tagged", HEAD)


def test_verify_finds_edited_kind(dataset, root):
    with open_log(root) as connection:
        connection.execute("UPDATE event SET kind = 'chips_burnt' WHERE event_key = 6")
    assert list_findings(dataset) == [("edited event", "@6 chips_burnt", 6), ("unknown event", "@6 chips_burnt", 6)]


def test_verify_finds_edited_digest(dataset, root):
    with open_log(root) as connection:
        connection.execute("UPDATE event SET digest = repeat('0', 64) WHERE event_key = 6")
    assert list_findings(dataset) == [("edited event", "@6 chips_cut", 6), ("broken chain", "@7 labels_made", 7)]


def test_verify_finds_edited_rehashed_event(dataset, root):
    with open_log(root) as connection:
        connection.execute("UPDATE event SET author = 'Eve' WHERE event_key = 6")
    rehash_event(root, 6)
    assert list_findings(dataset) == [("broken chain", "@7 labels_made", 7)]


def test_verify_finds_rehashed_last_event(dataset, root):
    digest = dataset.log()[-1].digest
    with open_log(root) as connection:
        connection.execute("UPDATE event SET author = 'Eve' WHERE event_key = ?", [HEAD])
    rehash_event(root, HEAD)
    # The state of the other log is derived again; lock file and history still have the true event.
    assert list_findings(dataset) == [("state of another log", "state.duckdb", None), OTHER_LOCK]
    assert list_findings(dataset) == [OTHER_LOCK]
    before = read_recorded_contents(root)
    opened = Dataset.open(root)
    with pytest.raises(ConflictError, match=f"the log was at {digest[:12]} .*log.duckdb was altered or replaced"):
        opened.add_classes(["dock"])
    assert list_findings(opened, repair=True) == [OTHER_LOCK]
    assert read_recorded_contents(root) == before
    remove_history(root)
    assert list_findings(dataset) == []
    assert list_findings(dataset, expect=digest) == [("digest not found", digest, None)]


@pytest.mark.parametrize("tables", [("event", "class_change", "chain"), ("event", "class_change"), ("event",)])
def test_verify_finds_deleted_event(dataset, root, tables):
    with open_log(root) as connection:
        for table in tables:
            connection.execute(f"DELETE FROM {table} WHERE event_key = 12")
    assert list_findings(dataset) == [
        ("dropped event", "@12", 12),
        ("broken chain", "@13 features_added", 13),
        *([("wrong tag", "v2", HEAD)] if "class_change" in tables else [("rows without event", "key 12", None)]),
        *([WRONG_LOCK] if "class_change" in tables else []),
    ]


def test_history_rebuilds_damaged_log(dataset, root, tmp_path):
    digest = dataset.log()[-1].digest
    with open_log(root) as connection:
        for table in ("event", "class_change", "chain"):
            connection.execute(f"DELETE FROM {table} WHERE event_key = 12")
    (finding,) = [finding for finding in dataset.verify() if finding.kind == "wrong lock file"]
    assert "move .geographer/log.duckdb to another folder" in finding.remedy
    log_path(root).rename(tmp_path / "log.duckdb")
    rebuilt = Dataset.open(root)
    assert (rebuilt.verify(), rebuilt.log()[-1].digest) == ([], digest)


def test_verify_finds_event_out_of_chain(dataset, root):
    with open_log(root) as connection:
        connection.execute("DELETE FROM chain WHERE event_key = 12")
    digest = oracle.read_digest(log_path(root), 12)[:12]
    assert list_findings(dataset) == [
        ("dropped event", "@12", 12),
        ("broken chain", "@13 features_added", 13),
        ("inserted event", f"@{digest} classes_added", None),
        ("wrong tag", "v2", HEAD),
        WRONG_LOCK,
    ]


def test_verify_finds_closed_gap(dataset, root):
    with open_log(root) as connection:
        for table in ("event", "chain", "class_change"):
            connection.execute(f"DELETE FROM {table} WHERE event_key IN (12, ?)", [HEAD])
        for position in range(13, HEAD):
            connection.execute("UPDATE chain SET position = ? WHERE event_key = ?", [position - 1, position])
    findings = list_findings(dataset)
    assert findings[0] == ("broken chain", "@12 features_added", 12)
    assert ("truncated log", f"@{HEAD - 1}", HEAD - 1) in findings


def test_verify_finds_deleted_last_event(dataset, root):
    digest = dataset.log()[-1].digest
    with open_log(root) as connection:
        for table in ("event", "chain"):
            connection.execute(f"DELETE FROM {table} WHERE event_key = ?", [HEAD])
    assert list_findings(dataset) == [("truncated log", f"@{HEAD}", HEAD), OTHER_LOCK]
    remove_history(root)
    assert list_findings(dataset) == [("truncated log", f"@{HEAD}", HEAD)]
    (root / ".geographer" / "state.duckdb").unlink()
    assert list_findings(dataset) == []
    findings = dataset.verify(expect=digest)
    assert [(finding.kind, finding.subject) for finding in findings] == [("digest not found", digest)]
    assert f"no event up to @{HEAD - 1}" in findings[0].detail


def test_next_command_restores_deleted_last_events(dataset, root, caplog):
    """The events are back, from the history folder, with the digests that the lock file names."""
    before = oracle.read_log(log_path(root))
    with open_log(root) as connection:
        for (table,) in connection.execute(
            "SELECT table_name FROM duckdb_columns() WHERE column_name = 'event_key'"
        ).fetchall():
            connection.execute(f"DELETE FROM {table} WHERE event_key >= 20")
    opened = Dataset.open(root)
    assert caplog.messages == ["the log had lost its last 6 events, and has taken them in again from history/"]
    assert oracle.read_log(log_path(root)) == before
    assert list_findings(opened) == []


def test_next_command_keeps_rows_without_event(dataset, root):
    with open_log(root) as connection:
        for table in ("event", "chain"):
            connection.execute(f"DELETE FROM {table} WHERE event_key >= 20")
    before = read_recorded_contents(root)
    opened = Dataset.open(root)
    assert ("truncated log", "@20", 20) in list_findings(opened, repair=True)
    with pytest.raises(ConflictError, match=r"the log has rows in '.*' whose event was deleted"):
        opened.add_classes(["dock"])
    assert read_recorded_contents(root) == before


def test_verify_finds_reordered_events(dataset, root):
    with open_log(root) as connection:
        for source, target in ((10, 0), (12, 10), (0, 12)):
            connection.execute("UPDATE chain SET position = ? WHERE position = ?", [target, source])
    assert list_findings(dataset) == [
        ("broken chain", "@10 classes_added", 10),
        ("broken chain", "@11 rasters_removed", 11),
        ("broken chain", "@12 features_removed", 12),
        ("broken chain", "@13 features_added", 13),
    ]


def test_verify_finds_exchanged_rows(dataset, root):
    """The keys of two events are exchanged, so that each has the other's rows."""
    with open_log(root) as connection:
        for table in ("event", "chain"):
            for source, target in ((10, 0), (12, 10), (0, 12)):
                connection.execute(f"UPDATE {table} SET event_key = ? WHERE event_key = ?", [target, source])
    assert list_findings(dataset) == [
        ("altered rows", "@12 classes_added", 12),
        ("altered rows", "@10 features_removed", 10),
    ]


def test_verify_finds_inserted_event(dataset, root):
    with open_log(root) as connection:
        for position in range(HEAD, 9, -1):
            connection.execute("UPDATE chain SET position = ? WHERE event_key = ?", [position + 1, position])
        connection.execute(
            "INSERT INTO event SELECT * REPLACE (99 AS event_key, [digest] AS parents, 10 AS generation, "
            "repeat('0', 64) AS digest) FROM event WHERE event_key = 9"
        )
        connection.execute("INSERT INTO chain VALUES ('main', 10, 99)")
    event = oracle.read_log(log_path(root))[0][9]
    with open_log(root) as connection:
        digest = oracle.compute_event_digest(event)
        connection.execute("UPDATE event SET digest = ? WHERE event_key = 99", [digest])
    assert list_findings(dataset) == [
        ("broken chain", "@11 features_removed", 11),
        ("state of another log", "state.duckdb", None),
    ]


# --- the log: rows ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "position", "column", "value", "subject"),
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
def test_verify_finds_edited_row(dataset, root, table, position, column, value, subject):
    with open_log(root) as connection:
        connection.execute(f"UPDATE {table} SET {column} = ? WHERE event_key = ? AND ordinal = 0", [value, position])
    ((kind, found, since),) = list_findings(dataset)
    assert (kind, re.sub(r"/.*/first.geojson", "FILE", found), since) == ("edited row", subject, position)


@pytest.mark.parametrize(
    ("table", "position", "column", "value"),
    [("feature_change", 2, "geometry", b"\x01\x01\x00\x00\x00" + b"\x00" * 16), ("split_change", 8, "part", None)],
)
def test_verify_finds_edited_row_with_forged_digests(dataset, root, table, position, column, value):
    """The digests of the row, of its event's rows and of the event are computed again, one after the other."""
    kind = oracle.read_log(log_path(root))[0][position - 1]["kind"]
    next_kind = oracle.read_log(log_path(root))[0][position]["kind"]
    with open_log(root) as connection:
        connection.execute(f"UPDATE {table} SET {column} = ? WHERE event_key = ? AND ordinal = 0", [value, position])
    row = next(
        row for row in oracle.read_log(log_path(root))[1][table] if (row["position"], row["ordinal"]) == (position, 0)
    )
    with open_log(root) as connection:
        connection.execute(
            f"UPDATE {table} SET row_digest = ? WHERE event_key = ? AND ordinal = 0",
            [oracle.compute_row_digest(row), position],
        )
    assert ("altered rows", f"@{position} {kind}", position) == list_findings(dataset)[0]

    rows = oracle.read_log(log_path(root))[1]
    with open_log(root) as connection:
        connection.execute(
            "UPDATE event SET rows_digest = ? WHERE event_key = ?",
            [oracle.compute_rows_digest(rows, position), position],
        )
    assert list_findings(dataset)[0] == ("edited event", f"@{position} {kind}", position)

    rehash_event(root, position)
    assert list_findings(dataset)[0] == ("broken chain", f"@{position + 1} {next_kind}", position + 1)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE feature_change SET change = 'added' WHERE event_key = 10 AND ordinal = 0",
        "UPDATE feature_change SET ordinal = 1 - ordinal WHERE event_key = 10",
        "DELETE FROM feature_change WHERE event_key = 10 AND ordinal = 1",
        "INSERT INTO feature_change SELECT * REPLACE (2 AS ordinal) FROM feature_change WHERE event_key = 10 LIMIT 1",
        "INSERT INTO class_change SELECT * REPLACE (10 AS event_key) FROM class_change WHERE event_key = 12",
    ],
)
def test_verify_finds_altered_rows(dataset, root, change):
    with open_log(root) as connection:
        connection.execute(change)
    assert list_findings(dataset)[0] == ("altered rows", "@10 features_removed", 10)


def test_verify_finds_rows_without_event(dataset, root):
    with open_log(root) as connection:
        connection.execute(
            "INSERT INTO class_change SELECT * REPLACE (99 AS event_key) FROM class_change WHERE event_key = 12"
        )
    assert list_findings(dataset) == [("rows without event", "key 99", None)]


# --- rasters and labels -------------------------------------------------------------------------------------------


def test_verify_finds_missing_raster(dataset, root):
    (root / CHIP).unlink()
    (finding,) = dataset.verify()
    assert (finding.kind, finding.subject, finding.position) == ("missing raster", CHIP, 5)
    assert finding.detail == "raster 'around/a_q1' is missing in the workspace; its features are q1, w1"
    assert finding.to_dict() == {
        "what": "missing raster",
        "which": CHIP,
        "since": 5,
        "detail": finding.detail,
    }


def test_verify_finds_altered_raster(dataset, root):
    import os

    before = (root / CHIP).stat()
    flip_bit_of_file(root / CHIP)
    os.utime(root / CHIP, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert list_findings(dataset) == [("altered raster", CHIP, 5)]


def test_verify_finds_flipped_bit(dataset, root):
    scene = "rasters/source/a.tif"
    flip_bit_of_file(find_cached_file(root, scene, HEAD))
    (finding,) = dataset.verify()
    assert (finding.kind, finding.subject, finding.position) == ("altered raster", scene, 3)
    assert finding.detail == "raster 'a' is altered in DVC's cache; its features are p1, p2, q1, w1"


def test_verify_finds_damaged_label(dataset, root):
    flip_bit_of_file(root / MASK)
    assert list_findings(dataset) == [("altered label", MASK, 18)]
    (root / MASK).unlink()
    (finding,) = dataset.verify()
    assert (finding.kind, finding.subject, finding.position) == ("missing label", MASK, 18)
    assert finding.detail.startswith("label 'mask' of raster 'around/a_q1' is missing in the workspace")


def test_verify_with_incomplete_cache(dataset, root):
    delete_object(root, CHIP, HEAD)
    assert list_findings(dataset) == []
    (root / CHIP).unlink()
    assert list_findings(dataset) == [("missing raster", CHIP, 5)] * 2
    locations = [finding.detail.partition(";")[0] for finding in dataset.verify()]
    assert [location.rpartition("missing ")[2] for location in locations] == [
        "in the workspace",
        "in DVC's cache and remote",
    ]


def test_verify_fetches_from_remote(dataset, root, tmp_path):
    remote = tmp_path / "remote"
    shutil.copytree(root / ".dvc" / "cache", remote)
    (root / ".dvc" / "config.local").write_text(f"[core]\n    remote = r\n['remote \"r\"']\n    url = {remote}\n")
    missing = delete_object(root, OLD_SCENE, V1)
    assert list_findings(dataset, "v1") == []
    assert missing.is_file()
    missing.unlink()
    flip_bit_of_file(remote / missing.relative_to(root / ".dvc" / "cache"))
    assert list_findings(dataset, "v1") == [("altered raster", OLD_SCENE, 3)]
    assert not missing.exists()


def test_verify_older_revision(dataset, root):
    flip_bit_of_file(find_cached_file(root, OLD_SCENE, V1))
    assert list_findings(dataset) == []
    (finding,) = dataset.verify("v1")
    assert (finding.kind, finding.subject, finding.position) == ("altered raster", OLD_SCENE, 3)
    assert "raster 'b' is altered in DVC's cache; its features are q2" in finding.detail


def test_verify_finds_missing_object_of_tag(dataset, root):
    """Nothing of the head lacks: only v1 has the old scene."""
    delete_object(root, OLD_SCENE, V1)
    (finding,) = dataset.verify()
    assert (finding.kind, finding.subject, finding.position) == ("missing raster", OLD_SCENE, 3)
    assert finding.detail == "raster 'b' is missing in DVC's cache and remote; its features are q2"


def test_verify_asks_remote_for_objects_of_tag(dataset, root, tmp_path):
    remote = tmp_path / "remote"
    shutil.copytree(root / ".dvc" / "cache", remote)
    (root / ".dvc" / "config.local").write_text(f"[core]\n    remote = r\n['remote \"r\"']\n    url = {remote}\n")
    missing = delete_object(root, OLD_SCENE, V1)
    assert list_findings(dataset) == []
    assert not missing.exists()
    (remote / missing.relative_to(root / ".dvc" / "cache")).unlink()
    assert list_findings(dataset) == [("missing raster", OLD_SCENE, 3)]


def test_verify_all_hashes_objects_of_tags(dataset, root):
    flip_bit_of_file(find_cached_file(root, OLD_SCENE, V1))
    result = dataset.verify()
    assert result == []
    assert result.report.checked["present_objects"] == 10
    assert any("10 objects of v1, v2," in text and "--all hashes" in text for text in result.report.not_checked)
    assert list_findings(dataset, all_tags=True) == [("altered raster", OLD_SCENE, 3)]


def test_verify_reports_what_it_looked_at(copied_dataset):
    report = copied_dataset.verify(all_tags=True).report
    assert report.revisions == [f"@{HEAD} (HEAD)", f"@{HEAD - 1} (v2)", f"@{V1} (v1)"]
    assert report.matches == ["content digest and Merkle root of tags v1, v2"]
    assert report.not_checked == []
    counts = {"workspace_files": 27, "cached_objects": 37, "referenced_files": 1, "dvc_files": 7}
    assert report.checked == {"events": HEAD, "rows": 79, **counts}
    report = copied_dataset.verify("v1").report
    assert (report.revisions, report.matches) == ([f"@{V1} (v1)"], ["content digest of tag v1"])
    assert report.checked["workspace_files"] == 6
    assert f"files of the workspace, at @{HEAD} (HEAD), that @{V1} (v1) lacks" in report.not_checked


def test_verify_of_revision_reads_shared_workspace_files(dataset, root):
    shared = "rasters/source/a.tif"
    flip_bit_of_file(root / shared)
    assert list_findings(dataset, "v1") == [("altered raster", shared, 3)]
    later = "rasters/source/c.tif"
    flip_bit_of_file(root / later)
    assert list_findings(dataset, "v1") == [("altered raster", shared, 3)]
    assert list_findings(dataset) == [("altered raster", shared, 3), ("altered raster", later, 14)]


def test_verify_with_older_checkout_reads_whole_workspace(dataset, root):
    dataset.checkout("v1")
    flip_bit_of_file(root / OLD_SCENE)
    assert list_findings(dataset) == [("altered raster", OLD_SCENE, 3)]


def test_verify_without_marker_compares_with_head(dataset, root):
    (root / ".geographer" / "workspace.json").write_text("{")
    result = dataset.verify()
    assert result == []
    assert f"which revision the workspace shows: it was compared with @{HEAD} (HEAD)" in result.report.not_checked
    flip_bit_of_file(root / CHIP)
    assert list_findings(dataset) == [("altered raster", CHIP, 5)]


def test_verify_finds_wrong_tag(dataset, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(Revision, "compute_content_digest", lambda _revision: "0" * 64)
        patch.setattr(Revision, "compute_merkle_root", lambda _revision: "1" * 64)
        dataset.tag("v3", "v1")
    tagged = ("wrong tag", "v3", HEAD + 1)
    (finding,) = dataset.verify()
    assert (finding.kind, finding.subject, finding.position) == tagged
    assert finding.detail.startswith(f"it records the content digest {'0' * 64}, and the content of @{V1} has ")
    assert list_findings(dataset, "v1") == [tagged]
    assert list_findings(dataset, "v2") == []
    assert list_findings(dataset, all_tags=True) == [tagged, tagged]


def test_verify_finds_unreadable_rows(dataset):
    database = dataset._unit_of_work.database
    append_row(database, "raster_change", {"path": "../outside.tif"})
    append_row(database, "label_change", {"md5": None})
    (path, checksums, lock) = dataset.verify()
    stale = ("stale lock file", "geographer.lock", HEAD)
    assert lock[:3] == stale
    assert path[:4] == ("unreadable row", "raster r", HEAD + 1, "a part of the path is empty, '.' or '..'")
    assert checksums[:3] == ("unreadable row", "label mask/r", HEAD + 2)
    assert "remove unreadable" in path.remedy
    assert list_findings(dataset, "v2") == [stale]


# --- referenced rasters -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("damage", "kind"), [(flip_bit_of_file, "altered raster"), (Path.unlink, "missing raster")])
def test_verify_finds_damaged_referenced_raster(dataset, root, damage, kind):
    damage(root / "archive" / "d.tif")
    (finding,) = dataset.verify()
    assert (finding.kind, finding.subject, finding.position) == (kind, "archive/d.tif", 15)
    assert "where it was referenced" in finding.detail


PLAIN = {"driver": "GTiff", "width": 8, "height": 8, "count": 1, "dtype": "uint8"}
WORLD_FILES = {"wld": "10\n0\n0\n-10\n500000\n5200000\n", "moved": "10\n0\n0\n-10\n500010\n5200000\n"}


@pytest.fixture
def referenced(dataset, tmp_path):
    """The folder of a mosaic with two sources, and of a raster whose transform is in a world file, both referenced."""
    folder = tmp_path / "references"
    folder.mkdir()
    write_scene(folder / "part.tif", make_pixels(1, 8, 8, "uint8"), transform=(10, 0, 500_000, 0, -10, 5_200_000))
    copy_raster(folder / "part.tif", folder / "mosaic.vrt", driver="VRT")
    with pytest.warns(NotGeoreferencedWarning), rasterio.open(folder / "plain.tif", "w", **PLAIN) as file:
        file.write(make_pixels(1, 8, 8, "uint8", seed=2))
    (folder / "plain.tfw").write_text(WORLD_FILES["wld"])
    dataset.add_rasters([folder / "mosaic.vrt"], mode="reference", collection="mosaics")
    dataset.add_rasters([folder / "plain.tif"], mode="reference", collection="plain", crs="EPSG:32633")
    return folder


def test_verify_finds_changed_second_file(dataset, referenced):
    statistics = '<Metadata><MDI key="STATISTICS_MEAN">5</MDI></Metadata>'
    content = f'<PAMDataset><PAMRasterBand band="1">{statistics}</PAMRasterBand></PAMDataset>'
    (referenced / "plain.tif.aux.xml").write_text(content)
    assert list_findings(dataset) == [], "statistics beside a raster are not a part of it"
    part, world_file = referenced / "part.tif", referenced / "plain.tfw"
    for path, edit, name in (
        (part, flip_bit_of_file, "mosaic"),
        (part, Path.unlink, "mosaic"),
        (world_file, lambda path: path.write_text(WORLD_FILES["moved"]), "plain"),
        (world_file, Path.unlink, "plain"),
    ):
        before = path.read_bytes()
        edit(path)
        (finding,) = dataset.verify()
        assert finding.kind == "altered raster"
        assert finding.detail.startswith(f"raster '{name}' is altered where it was referenced")
        path.write_bytes(before)


def test_verify_ignores_altered_state(dataset, root):
    """Only the state has the checksums of the altered file, so verify must read the log."""
    flip_bit_of_file(root / CHIP)
    flip_bit_of_file(find_cached_file(root, CHIP, HEAD))
    values = [oracle.sha256((root / CHIP).read_bytes()), CHIP]
    with duckdb.connect(str(root / ".geographer" / "state.duckdb")) as connection:
        connection.execute("UPDATE raster SET sha256 = ? WHERE path = ?", values)
    assert list_findings(dataset) == [("edited state", "state.duckdb", None), *[("altered raster", CHIP, 5)] * 2]


STATE_EDITS = [
    "UPDATE feature SET class = 'quarry' WHERE feature_id = 'p2'",
    "UPDATE feature SET geometry = (SELECT geometry FROM feature WHERE feature_id = 'q1') WHERE feature_id = 'p2'",
    "UPDATE raster SET valid_to = 20 WHERE raster_id = 'a'",
    "UPDATE feature SET valid_to = valid_to + 1 WHERE feature_id = 'q2'",
    "UPDATE feature SET valid_to = 9223372036854775807 WHERE feature_id = 'q2'",
    "DELETE FROM edge WHERE rowid = 0",
    "INSERT INTO label FROM label LIMIT 1",
    "UPDATE tag SET tagged_position = 7",
    "UPDATE recipe SET parameters = '{}' WHERE name = 'grid'",
    "DELETE FROM recipe_record",
    "UPDATE user_column SET type = 'VARCHAR'",
    "UPDATE event SET keeps_row_order = true WHERE position = 2",
    "INSERT INTO class SELECT * REPLACE (0 AS valid_from, 9223372036854775807 AS valid_to) FROM class LIMIT 1",
    "INSERT INTO edge SELECT * REPLACE (-5 AS valid_from) FROM edge LIMIT 1",
    "INSERT INTO tag SELECT * REPLACE (0 AS position) FROM tag LIMIT 1",
    "INSERT INTO event SELECT * REPLACE (NULL AS position) FROM event LIMIT 1",
    "ALTER TABLE class RENAME TO klass",
]


def edit_state(root, edit):
    with duckdb.connect(str(root / ".geographer" / "state.duckdb")) as connection:
        connection.execute(f"LOAD '{find_spatial_extension()}'")
        connection.execute(edit)


@pytest.mark.parametrize("edit", STATE_EDITS)
def test_state_edit_is_found(dataset, root, edit):
    """What `verify` asks, for every table."""
    edit_state(root, edit)
    assert not is_state_unaltered(dataset._unit_of_work.database)


@pytest.mark.parametrize("edit", [STATE_EDITS[0], STATE_EDITS[-1]])
def test_verify_finds_edited_state(dataset, root, edit):
    edit_state(root, edit)
    assert list_findings(dataset) == [("edited state", "state.duckdb", None)]
    assert list_findings(dataset, repair=True) == []
    assert is_state_unaltered(dataset._unit_of_work.database)


def test_verify_all_finds_state_with_forged_digest(dataset, root):
    with duckdb.connect(config=SETTINGS) as connection:
        load_spatial(connection)
        connection.execute(f"ATTACH '{root / '.geographer' / 'state.duckdb'}' AS state")
        connection.execute("UPDATE state.feature SET class = 'quarry' WHERE feature_id = 'p2'")
        connection.execute("UPDATE state.meta SET state_digest = ?::HUGEINT", [str(compute_state_digest(connection))])
    assert list_findings(dataset) == []
    assert list_findings(dataset, all_tags=True) == [("edited state", "state.duckdb", None)]
    assert list_findings(dataset, all_tags=True) == []


# --- .dvc files ---------------------------------------------------------------------------------------------------

DVC_FILE = "rasters/around.dvc"


def find_listing(root):
    """Return the path in the cache of the list of files that `DVC_FILE` names."""
    address = re.search(r"md5: (\w\w)(\w+\.dir)", (root / DVC_FILE).read_text())
    assert address
    return root / ".dvc" / "cache" / "files" / "md5" / address[1] / address[2]


def replace_in_dvc_file(root, pattern, text):
    (root / DVC_FILE).write_text(re.sub(pattern, text, (root / DVC_FILE).read_text(), count=1))


DVC_EDITS = [
    (lambda root: replace_in_dvc_file(root, "md5: [0-9a-f]{6}", "md5: 000000"), "its MD5 is not as recorded"),
    (lambda root: replace_in_dvc_file(root, "size: ", "size: 1"), "its size is not as recorded"),
    (lambda root: replace_in_dvc_file(root, "nfiles: ", "nfiles: 1"), "its number of files is not as recorded"),
    (lambda root: replace_in_dvc_file(root, "path: around", "path: ../x"), "its path is not as recorded"),
    (lambda root: (root / DVC_FILE).write_text("outs: 5"), "it cannot be read"),
    (lambda root: (root / DVC_FILE).unlink(), "it is missing"),
    (lambda root: find_listing(root).unlink(), "the list of its files is missing in DVC's cache"),
    (lambda root: flip_bit_of_file(find_listing(root)), "the list of its files is altered in DVC's cache"),
]


@pytest.mark.parametrize(("edit", "detail"), DVC_EDITS, ids=[detail for _, detail in DVC_EDITS])
def test_verify_finds_wrong_dvc_file(dataset, root, edit, detail):
    before = (root / DVC_FILE).read_bytes()
    edit(root)
    (finding,) = dataset.verify()
    assert (finding.kind, finding.subject, finding.position) == ("wrong .dvc file", DVC_FILE, None)
    assert finding.detail.startswith(detail)
    assert list_findings(dataset, repair=True) == []
    assert (root / DVC_FILE).read_bytes() == before
    assert hashlib.md5(find_listing(root).read_bytes()).hexdigest() == find_listing(root).parent.name + find_listing(
        root
    ).name.removesuffix(".dir")


def test_repair_removes_dvc_file_of_older_revision(dataset, root):
    stale = root / "rasters" / "gone.dvc"
    stale.write_text((root / DVC_FILE).read_text().replace("path: around", "path: gone"))
    assert list_findings(dataset) == [("wrong .dvc file", "rasters/gone.dvc", None)]
    assert list_findings(dataset, repair=True) == []
    assert not stale.exists()


def test_repair_keeps_what_another_log_recorded(dataset, root):
    """A colleague's chip came by git pull and dvc pull, and the log does not know it."""
    added = root / "rasters" / "around" / "new.tif"
    added.write_bytes(b"hers")
    listing = json.loads(find_listing(root).read_bytes())
    listing.append({"md5": hashlib.md5(b"hers").hexdigest(), "relpath": "new.tif"})
    write_listing(root, listing)
    hers = (root / DVC_FILE).read_bytes()
    expected = [("unrecorded .dvc file", DVC_FILE, None), ("unrecorded file", "rasters/around/new.tif", None)]
    (root / "rasters" / "around" / "mine.tif").write_bytes(b"an orphan")
    assert list_findings(dataset) == [*expected, ("orphan file", "rasters/around/mine.tif", None)]
    result = dataset.verify(repair=True)
    assert [finding[:3] for finding in result] == expected
    assert result.list_remedies() == [result[0].remedy]
    assert "Get the newer" in result[0].remedy
    assert ((root / DVC_FILE).read_bytes(), added.read_bytes()) == (hers, b"hers")


def write_listing(root, listing):
    """Let `DVC_FILE` name this list of files, which lies in the cache."""
    content = json.dumps(listing).encode()
    address = f"{hashlib.md5(content).hexdigest()}.dir"
    target = root / ".dvc" / "cache" / "files" / "md5" / address[:2] / address[2:]
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(content)
    replace_in_dvc_file(root, r"md5: \w+\.dir", f"md5: {address}")


def test_repair_keeps_what_another_log_removed(dataset, root, monkeypatch):
    """A colleague's `.dvc` file came by git pull: it lacks a chip that the log has."""
    monkeypatch.setattr("geographer.storage.workspace.verify.is_in_git", lambda _root: True)
    write_listing(root, json.loads(find_listing(root).read_bytes())[1:])
    hers = (root / DVC_FILE).read_bytes()
    assert list_findings(dataset, repair=True) == [("unrecorded .dvc file", DVC_FILE, None)]
    assert (root / DVC_FILE).read_bytes() == hers


# --- orphans and repair -------------------------------------------------------------------------------------------


def write_orphans(root):
    """Write files that no event recorded, as crashes and users leave them; return their paths."""
    files = {
        "labels/mask/around/a_q2.tif": b"a mask of a chip that was removed",
        "rasters/around/.geographer-0123456789abcdef": b"a draft",
        "rasters/around/b_p9.tif": b"a chip that no event knows",
        "rasters/notes.txt": b"a note",
    }
    for path, content in files.items():
        (root / path).write_bytes(content)
    staging = root / ".geographer" / "staging" / "0123456789abcdef0123456789abcdef"
    staging.mkdir(parents=True)
    (staging / "chip.tif").write_bytes(b"half a chip")
    return [*files, staging.relative_to(root).as_posix()]


def test_verify_finds_orphans(dataset, root):
    assert list_findings(dataset) == []
    orphans = write_orphans(root)
    before = read_contents(root)
    assert list_findings(dataset) == [("orphan file", path, None) for path in orphans]
    assert read_contents(root) == before


def test_repair_deletes_only_orphans(dataset, root):
    before = read_contents(root)
    log = (log_path(root).stat().st_mtime_ns, log_path(root).stat().st_ino)
    orphans = write_orphans(root)
    assert list_findings(dataset, repair=True) == []
    after = read_contents(root)
    assert not [path for path in orphans if (root / path).exists()]
    assert (log_path(root).stat().st_mtime_ns, log_path(root).stat().st_ino) == log
    state = [".geographer/state.duckdb", ".geographer/state.duckdb.stamp"]
    assert after.keys() - {path for path in after if path.startswith(".dvc/tmp")} == before.keys() - {
        path for path in before if path.startswith(".dvc/tmp")
    }
    assert [path for path in before if not path.startswith(".dvc/tmp") and after[path] != before[path]] in (
        [],
        state,
    )
    assert list_findings(dataset) == []


def test_repair_rebuilds_state(dataset, root):
    labels = dataset.labels().to_pylist()
    with duckdb.connect(str(root / ".geographer" / "state.duckdb")) as connection:
        connection.execute("DELETE FROM label")
    assert list_findings(dataset, repair=True) == []
    assert dataset.labels().to_pylist() == labels


def test_repair_reports_damaged_rasters(dataset, root):
    orphans = write_orphans(root)
    flip_bit_of_file(root / CHIP)
    assert list_findings(dataset, repair=True) == [("altered raster", CHIP, 5)]
    assert not [path for path in orphans if (root / path).exists()]


@pytest.mark.parametrize("digest", [None, "0" * 64])
def test_repair_keeps_orphans_of_faulty_log(dataset, root, digest):
    """Files whose events were deleted from the log must not be deleted as orphans."""
    if digest is None:
        with open_log(root) as connection:
            connection.execute("DELETE FROM raster_change WHERE event_key = 5")
    orphans = write_orphans(root)
    before = read_contents(root)
    findings = list_findings(dataset, repair=True, expect=digest)
    assert findings[0][0] == ("altered rows" if digest is None else "digest not found")
    assert {("orphan file", path, None) for path in orphans} <= set(findings)
    assert read_contents(root).keys() >= before.keys()


def test_orphans_depend_on_workspace_revision(dataset, root):
    dataset.checkout("v1")
    assert list_findings(dataset) == list_findings(dataset, "v1") == []
    (root / "rasters/source/c.tif").write_bytes(b"known to the head, not to v1")
    assert list_findings(dataset) == [("orphan file", "rasters/source/c.tif", None)]
