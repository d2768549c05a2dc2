"""docs/log-format.md and docs/recompute_digests.py describe the digests of a real log, and detect altered values."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import duckdb
import pytest

from geographer import Dataset
from geographer.storage.log.upgrade import open_database
from tests import REPOSITORY

SCRIPT = REPOSITORY / "docs" / "recompute_digests.py"
DOCUMENT = REPOSITORY / "docs" / "log-format.md"


@pytest.fixture
def log(sample_history, tmp_path):
    """Return a copy of a log that holds every kind of event and two tags."""
    return Path(shutil.copy(sample_history.root / ".geographer" / "log.duckdb", tmp_path))


def run_script(*arguments):
    """Return the exit code and the lines that the script prints."""
    command = [sys.executable, "-I", str(SCRIPT), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.returncode, done.stdout.splitlines()


def alter(log, statement):
    """Run one statement on a log, behind the back of the chain. In this log, the key of an event is its position."""
    with duckdb.connect(str(log)) as connection:
        connection.execute(statement)


def mismatches(log):
    """Return the check and the subject of every mismatch, and require the exit code that goes with them."""
    code, lines = run_script(log, "--quiet")
    found = [tuple(line.split("  recorded ")[0].split(maxsplit=2)[1:]) for line in lines if line.startswith("MISMATCH")]
    assert code == (1 if found else 0)
    assert lines[-1].endswith(f", {len(found)} mismatches")
    return found


def test_script_confirms_real_log(log):
    code, lines = run_script(log)
    assert code == 0
    checks = [line.split()[1] for line in lines if line.startswith("ok ")]
    with duckdb.connect(str(log), read_only=True) as connection:
        tables = [row[0] for row in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()]
        counts = {table: connection.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0] for table in tables}
    events = counts.pop("event")
    assert (counts.pop("chain"), counts.pop("meta")) == (events, 1)
    assert all(counts.values())
    assert {check: checks.count(check) for check in sorted(set(checks))} == {
        "chain": 1,
        "content_digest": 2,
        "dataset": 2,
        "digest": events,
        "generation": events,
        "log_root": 2,
        "merkle_root": 2,
        "parents": events,
        "payload": events,
        "position": events,
        "row_digest": sum(counts.values()),
        "rows_digest": events,
        "tag": 2,
    }
    assert lines[-1] == f"{len(checks)} checks, 0 mismatches"


def test_script_imports_no_product_code():
    imports = re.findall(r"^(?:from|import) (\w+)", SCRIPT.read_text(), re.MULTILINE)
    third_party = {name for name in imports if name not in sys.stdlib_module_names}
    assert third_party == {"duckdb", "rfc8785"}


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        (
            """UPDATE event SET payload = replace(payload, '"features":4', '"features":5') WHERE event_key = 2""",
            [("digest", "@2")],
        ),
        (
            """UPDATE event SET payload = '{ ' || payload[2:] WHERE event_key = 2""",
            [("payload", "@2")],
        ),
        ("UPDATE event SET payload = 'no JSON' WHERE event_key = 2", [("payload", "@2")]),
        ("UPDATE event SET author = 'Eve' WHERE event_key = 3", [("digest", "@3")]),
        ("UPDATE event SET parents = ['0'] WHERE event_key = 4", [("parents", "@4"), ("digest", "@4")]),
        (
            "UPDATE feature_change SET class = 'quarry' WHERE event_key = 13 AND feature_id = 'p3'",
            [
                ("row_digest", "@13 feature_change 1"),
                ("rows_digest", "@13"),
                ("content_digest", "@25 tag v2 = @24"),
                ("merkle_root", "@25 tag v2 = @24"),
            ],
        ),
        (
            "UPDATE feature_change SET row_digest = sha256('') WHERE event_key = 2 AND ordinal = 0",
            [("row_digest", "@2 feature_change 0")],
        ),
        ("UPDATE split_change SET change = 'changed' WHERE event_key = 8 AND ordinal = 1", [("rows_digest", "@8")]),
        ("UPDATE skipped_input SET ordinal = 7", [("rows_digest", "@2")]),
        (
            "DELETE FROM split_change WHERE event_key = 8 AND raster_id = 'around/a_q1'",
            [
                ("rows_digest", "@8"),
                ("content_digest", "@9 tag v1 = @8"),
                ("merkle_root", "@9 tag v1 = @8"),
                ("content_digest", "@25 tag v2 = @24"),
                ("merkle_root", "@25 tag v2 = @24"),
            ],
        ),
        (
            "DELETE FROM event WHERE event_key = 12",
            [
                ("position", "@13"),
                ("parents", "@13"),
                ("generation", "@13"),
                ("rows_digest", "key 12"),
                ("content_digest", "@25 tag v2 = @24"),
                ("merkle_root", "@25 tag v2 = @24"),
                ("log_root", "@25 tag v2 = @24"),
            ],
        ),
        (
            "INSERT INTO class_change BY NAME SELECT 99 AS event_key, * EXCLUDE (event_key) FROM class_change LIMIT 1",
            [("rows_digest", "key 99")],
        ),
    ],
    ids=[
        "payload",
        "payload-spacing",
        "payload-not-json",
        "author",
        "parent",
        "row",
        "row-digest",
        "change",
        "ordinal",
        "row-deleted",
        "event-deleted",
        "row-without-event",
    ],
)
def test_script_reports_altered_value(log, statement, expected):
    alter(log, statement)
    assert mismatches(log) == expected


@pytest.mark.parametrize("name", ["content_digest", "merkle_root", "log_root"])
def test_script_reports_forged_tag(log, name):
    """A forger recomputes the digest of the last event; the digests that it records are still compared."""
    payload = f'replace(payload, \'"{name}":"\', \'"{name}":"0\')'
    alter(log, f"UPDATE event SET payload = {payload} WHERE event_key = 25")
    assert mismatches(log) == [("digest", "@25"), (name, "@25 tag v2 = @24")]


def test_script_compares_expected_digest(log):
    """A log without its last events has an intact chain: only a digest that was kept elsewhere shows the loss."""
    code, lines = run_script(log, "--at", 24, "--quiet")
    revision = next(line for line in lines if line.startswith("revision @24"))
    kept = re.findall(r"\b[0-9a-f]{64}\b", revision)
    digest = kept[0]
    assert (code, len(set(kept))) == (0, 4)
    assert [run_script(log, "--at", 24, "--expect", each, "--quiet")[0] for each in kept] == [0, 0, 0, 0]
    with duckdb.connect(str(log)) as connection:
        for (table,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall():
            if table != "meta":
                connection.execute(f"DELETE FROM {table} WHERE event_key > 20")
    assert mismatches(log) == []
    assert run_script(log, "--expect", digest, "--quiet")[0] == 1
    assert run_script(log, "--at", 24, "--quiet")[0] == 1


def test_script_reads_log_of_first_layout(tmp_path):
    with tarfile.open(REPOSITORY / "tests" / "compatibility" / "dataset-0.1.0.tar.gz") as archive:
        archive.extract("ponds/.geographer/log.duckdb", tmp_path, filter="data")
    log = tmp_path / "ponds" / ".geographer" / "log.duckdb"
    code, lines = run_script(log, "--quiet")
    assert (code, lines[-1].endswith(" 0 mismatches")) == (0, True)
    before = re.findall(r"\b[0-9a-f]{64}\b", lines[0])
    open_database(log.parent)
    code, lines = run_script(log, "--quiet")
    assert (code, re.findall(r"\b[0-9a-f]{64}\b", lines[0])) == (0, before)
    alter(log, "UPDATE event SET generation = 7 WHERE event_key = 6")
    assert mismatches(log) == [("generation", "@6"), ("digest", "@6"), ("generation", "@7")]


def test_script_checks_other_chains(log):
    copy = "INSERT INTO chain SELECT 'origin/main', position, event_key FROM chain WHERE branch = 'main'"
    alter(log, copy)
    assert mismatches(log) == []
    alter(log, "DELETE FROM chain WHERE branch = 'origin/main' AND position = 12")
    assert mismatches(log) == [(name, "origin/main @13") for name in ("position", "parents", "generation")]


@pytest.fixture
def history(sample_history, tmp_path):
    """Return a copy of a history folder, with the lock file beside it."""
    shutil.copy(sample_history.root / "geographer.lock", tmp_path)
    return shutil.copytree(sample_history.root / "history", tmp_path / "history")


def find_segment(history, table):
    """Return the first segment with rows of a table, or `event`."""
    for path in sorted(history.iterdir()):
        if duckdb.sql(f"SELECT 1 FROM '{path}' WHERE row_table = '{table}' LIMIT 1").fetchall():
            return path
    raise AssertionError(table)


def alter_segment(path, replacements):
    """Write a segment again with other values in some columns."""
    altered = path.with_suffix(".new")
    query = f"SELECT * REPLACE ({replacements}) FROM read_parquet('{path}')"
    with duckdb.connect() as connection:
        connection.execute(f"COPY ({query}) TO '{altered}' (FORMAT parquet, KV_METADATA {{geographer_segment: '1'}})")
    altered.replace(path)


def test_script_confirms_history_folder(history, log):
    code, lines = run_script(history, "--quiet")
    assert (code, len(lines)) == (0, 2)
    assert lines[-1].endswith(" 0 mismatches")
    assert lines[0] == run_script(log, "--quiet")[1][0]
    (history.parent / "geographer.lock").unlink()
    assert run_script(history, "--quiet")[1][0] == lines[0]


def test_documented_query_lists_events_of_segments(history, sample_history, tmp_path, monkeypatch):
    (query,) = re.findall(r"```sql\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    (tmp_path / "glaciers").symlink_to(history.parent)
    monkeypatch.chdir(tmp_path)
    rows = duckdb.sql(query).fetchall()
    expected = [(event.digest, event.kind, event.author) for event in Dataset.open(sample_history.root).log()]
    assert [row[:3] for row in rows] == expected


def test_script_reports_altered_segment_row(history):
    is_first = "row_table = 'feature_change' AND ordinal = 0"
    alter_segment(find_segment(history, "feature_change"), f"CASE WHEN {is_first} THEN 'x' ELSE class END AS class")
    found = {check for check, _ in mismatches(history)}
    assert found == {"rows_digest", "content_digest", "merkle_root"}


def test_script_reports_altered_segment_event(history):
    path = find_segment(history, "event")
    alter_segment(path, """replace(content, '"message":""', '"message":"x"') AS content""")
    found = mismatches(history)
    assert ("segment", path.name) in found
    assert "event" in {check for check, _ in found}


@pytest.mark.parametrize("field", ["dataset", "content_digest"])
def test_script_reports_altered_lock_file(history, field):
    path = history.parent / "geographer.lock"
    lock = json.loads(path.read_text())
    path.write_text(json.dumps({**lock, field: "0" * 64}))
    assert mismatches(history) == [(field, "geographer.lock")]


def test_script_checks_every_copy_of_an_event(history):
    path = find_segment(history, "feature_change")
    copy = Path(shutil.copy(path, history / f"{'0' * 64}.parquet"))
    alter_segment(copy, "upper(class) AS class")
    found = mismatches(history)
    assert ("segment", copy.name) in found
    assert any(check == "rows_digest" and subject.startswith(path.name) for check, subject in found)
    path.unlink()
    copy.unlink()
    assert "event" in {check for check, _ in mismatches(history)}


def test_script_rejects_newer_format(log):
    alter(log, "UPDATE meta SET format = 3, written_by = '9.1.0'")
    refused = subprocess.run([sys.executable, str(SCRIPT), str(log)], capture_output=True, text=True, check=False)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "geographer 9.1.0 wrote it in format 3" in refused.stderr


def test_script_computes_merkle_root(sample_history):
    dataset = Dataset.open(sample_history.root)
    with dataset._unit_of_work.open_revision("@24") as revision:
        expected = revision.compute_merkle_root()
    _, lines = run_script(sample_history.root / ".geographer" / "log.duckdb", "--at", 24, "--quiet")
    assert f"Merkle root {expected}" in "".join(lines)


def test_script_rejects_other_files(tmp_path):
    missing = subprocess.run(
        [sys.executable, str(SCRIPT), str(tmp_path / "log.duckdb")], capture_output=True, check=False
    )
    assert missing.returncode == 2
    other = tmp_path / "other.duckdb"
    alter(other, "CREATE TABLE event (position BIGINT)")
    refused = subprocess.run([sys.executable, str(SCRIPT), str(other)], capture_output=True, text=True, check=False)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "event" in refused.stderr


def test_document_lists_hashed_columns(log):
    """The document's tables name the columns of every table, in the order of the file."""
    document = DOCUMENT.read_text()
    with duckdb.connect(str(log), read_only=True) as connection:
        columns = connection.execute(
            "SELECT table_name, column_name, data_type FROM duckdb_columns() WHERE NOT internal "
            "ORDER BY table_name, column_index"
        ).fetchall()
    shared = {"event_key", "ordinal", "change", "row_digest"}
    for table in sorted({row[0] for row in columns}):
        section = document.split(f"### `{table}`\n")[1].split("\n#")[0]
        documented = re.findall(r"^\| `(\w+)` \| ([A-Z\[\]]+)", section, re.MULTILINE)
        skipped = set() if table in ("meta", "event", "chain") else shared
        assert documented == [(name, kind) for owner, name, kind in columns if owner == table and name not in skipped]


def test_worked_example_is_reproducible():
    """Every command of the document's examples prints what the document says."""
    blocks = re.findall(r"```console\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    examples = [block for block in blocks if "sha256sum" in block]
    assert len(examples) >= 4
    for example in examples:
        steps = re.findall(r"^\$ (.*?)\n((?:[^$\n].*\n)*)", example, re.MULTILINE)
        for command, output in steps:
            done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
            assert done.stdout == output


def test_example_digests_follow_each_other():
    """A digest that a step of the example uses was printed by an earlier step."""
    document = DOCUMENT.read_text()
    example = document.split("## Worked example")[1].split("\n## ")[0]
    printed = {hashlib.sha256(b"").hexdigest()}
    for line in example.splitlines():
        if line.startswith("$ "):
            assert set(re.findall(r"\b[0-9a-f]{64}\b", line)) <= printed
        elif re.fullmatch(r"[0-9a-f]{64}  -", line):
            printed.add(line[:64])
