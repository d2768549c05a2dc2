"""Verify finds tampering with the log, by plain DuckDB, and with bytes of files."""

from __future__ import annotations

import json
import shutil
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pytest

from geographer import Dataset
from geographer.base.errors import UsageError
from geographer.storage.database.connection import find_spatial_extension
from tests.sample_history import HEAD, V1, find_cached_file, flip_bit_of_file, read_contents
from tests.storage.log import digest_oracle as oracle

CHIP = "rasters/around/a_q1.tif"
MASK = "labels/mask/around/a_q1.tif"
OLD_SCENE = "rasters/source/b.tif"


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
    # A later event's digest is not in v1; the content digest of v1 is not that of the head.
    assert list_findings(copied_dataset, "v1", expect=head) == [("truncated or rewritten log", head, None)]
    assert list_findings(copied_dataset, expect=tag["content_digest"]) == [
        ("truncated or rewritten log", tag["content_digest"], None)
    ]


@pytest.mark.parametrize("expected", ["", "abc12", "v1", "ABCDEF", "0" * 65])
def test_verify_rejects_invalid_digest(copied_dataset, expected):
    with pytest.raises(UsageError, match="invalid digest"):
        copied_dataset.verify(expect=expected)


# --- the log: events ----------------------------------------------------------------------------------------------

EDITS = {
    "event_id": "01900000-0000-7000-8000-000000000000",
    "version": 2,
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
    assert list_findings(dataset) == []
    assert list_findings(dataset, expect=digest) == [("truncated or rewritten log", digest, None)]


@pytest.mark.parametrize("tables", [("event", "class_change", "chain"), ("event", "class_change"), ("event",)])
def test_verify_finds_deleted_event(dataset, root, tables):
    with open_log(root) as connection:
        for table in tables:
            connection.execute(f"DELETE FROM {table} WHERE event_key = 12")
    assert list_findings(dataset) == [
        ("dropped event", "@12", 12),
        ("broken chain", "@13 features_added", 13),
        *([] if "class_change" in tables else [("rows without event", "key 12", None)]),
    ]


def test_verify_finds_event_out_of_chain(dataset, root):
    with open_log(root) as connection:
        connection.execute("DELETE FROM chain WHERE event_key = 12")
    digest = oracle.read_digest(log_path(root), 12)[:12]
    assert list_findings(dataset) == [
        ("dropped event", "@12", 12),
        ("broken chain", "@13 features_added", 13),
        ("inserted event", f"@{digest} classes_added", None),
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
    assert list_findings(dataset) == [("truncated log", f"@{HEAD}", HEAD)]
    (root / ".geographer" / "state.duckdb").unlink()
    assert list_findings(dataset) == []
    findings = dataset.verify(expect=digest)
    assert [(finding.kind, finding.subject) for finding in findings] == [("truncated or rewritten log", digest)]
    assert f"the log ends at @{HEAD - 1}" in findings[0].detail


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
    assert list_findings(dataset) == [("broken chain", "@11 features_removed", 11)]


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
def test_verify_finds_edited_row(dataset, root, sample_history, table, position, column, value, subject):
    subject = subject.replace("FILE", str(sample_history.inputs / "first.geojson"))
    kind = oracle.read_log(log_path(root))[0][position - 1]["kind"]
    next_kind = oracle.read_log(log_path(root))[0][position]["kind"]
    with open_log(root) as connection:
        connection.execute(f"UPDATE {table} SET {column} = ? WHERE event_key = ? AND ordinal = 0", [value, position])
    assert list_findings(dataset) == [("edited row", subject, position)]

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
    assert list_findings(dataset) == [("altered rows", "@10 features_removed", 10)]


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
    find_cached_file(root, CHIP, HEAD).unlink()
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
    missing = find_cached_file(root, OLD_SCENE, V1)
    missing.unlink()
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


@pytest.mark.parametrize(("damage", "kind"), [(flip_bit_of_file, "altered raster"), (Path.unlink, "missing raster")])
def test_verify_finds_damaged_referenced_raster(dataset, root, damage, kind):
    damage(root / "archive" / "d.tif")
    (finding,) = dataset.verify()
    assert (finding.kind, finding.subject, finding.position) == (kind, "archive/d.tif", 15)
    assert "where it was referenced" in finding.detail


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
]


@pytest.mark.parametrize("edit", STATE_EDITS)
def test_verify_finds_edited_state(dataset, root, edit):
    with duckdb.connect(str(root / ".geographer" / "state.duckdb")) as connection:
        connection.execute(f"LOAD '{find_spatial_extension()}'")
        connection.execute(edit)
    assert list_findings(dataset) == [("edited state", "state.duckdb", None)]
    assert list_findings(dataset, repair=True) == []
    assert list_findings(dataset) == []


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
    state = ".geographer/state.duckdb"
    assert after.keys() - {path for path in after if path.startswith(".dvc/tmp")} == before.keys() - {
        path for path in before if path.startswith(".dvc/tmp")
    }
    assert [path for path in before if not path.startswith(".dvc/tmp") and after[path] != before[path]] in (
        [],
        [state],
    )
    assert list_findings(dataset) == []


def test_repair_rebuilds_state(dataset, root):
    labels = dataset.labels().to_pylist()
    with duckdb.connect(str(root / ".geographer" / "state.duckdb")) as connection:
        connection.execute("DELETE FROM label")
    assert dataset.labels().to_pylist() == []
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
    assert findings[0][0] == ("altered rows" if digest is None else "truncated or rewritten log")
    assert {("orphan file", path, None) for path in orphans} <= set(findings)
    assert read_contents(root).keys() >= before.keys()


def test_orphans_depend_on_workspace_revision(dataset, root):
    dataset.checkout("v1")
    assert list_findings(dataset) == list_findings(dataset, "v1") == []
    (root / "rasters/source/c.tif").write_bytes(b"known to the head, not to v1")
    assert list_findings(dataset) == [("orphan file", "rasters/source/c.tif", None)]
