"""Read the log: positions of revisions, and events of the chain; what a newer version wrote is refused."""

from __future__ import annotations

import json

import duckdb
import numpy as np
import pytest

from geographer.base.errors import NotFoundError, UnsupportedVersionError, UsageError
from geographer.operations.add.events import ClassesAdded
from geographer.storage.database.connection import Database
from geographer.storage.events import EMPTY_LOG_HEAD, CommitInfo
from geographer.storage.log.append import append_event, create_log
from geographer.storage.log.read import (
    find_event_by_key,
    read_event,
    read_events_between,
    read_head,
    require_supported_log,
    resolve_revision,
)
from geographer.storage.log.upgrade import open_database
from geographer.storage.state.update import update_state

DIGESTS = {
    1: "abc123" + "0" * 58,
    2: "abc124" + "1" * 58,
    3: "abc124" + "2" * 58,
    4: "20261123" + "3" * 56,
    5: "fedcba" + "4" * 58,
}
TIMES = {
    1: "2026-03-01T23:59:59.999999Z",
    2: "2026-03-02T00:00:00.000000Z",
    3: "2026-03-02T12:30:00.500000Z",
    4: "2026-03-02T12:30:00.500001Z",
    5: "2026-03-04T08:00:00.000000Z",
}
TAGS = {3: ("v1", 1), 5: ("early", 2)}
OTHER_DIGESTS = {position: f"0ff{position}" * 16 for position in range(1, 9)}
"""The events of a second branch in the same tables."""
OTHER_TAG = {"tag": {"tag": "theirs", "position": 1, "digest": "0ff1" * 16, "content_digest": "c" * 64}}


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    created = Database(tmp_path_factory.mktemp("log"))
    create_log(created)
    with duckdb.connect(str(created.file_path("log"))) as connection:
        for position, digest in DIGESTS.items():
            payload: dict[str, object] = {}
            kind = "classes_added"
            if position in TAGS:
                kind, (name, tagged) = "revision_tagged", TAGS[position]
                # The digest counts, not the position.
                payload = {"tag": {"tag": name, "position": 4, "digest": DIGESTS[tagged], "content_digest": "c" * 64}}
            key = 2 * position
            insert_event(connection, key, kind, TIMES[position], f"key {position}", payload, digest)
            connection.execute("INSERT INTO chain VALUES ('main', ?, ?)", [position, key])
        for position, digest in OTHER_DIGESTS.items():
            key = 2 * position - 1
            insert_event(connection, key, "revision_tagged", TIMES[5], "other key", OTHER_TAG, digest)
            connection.execute("INSERT INTO chain VALUES ('other', ?, ?)", [position, key])
    return created


def insert_event(connection, key, kind, time, idempotency_key, payload, digest, event_format=2, version=1):
    connection.execute(
        "INSERT INTO event VALUES (?, ?, 'id', ?, ?, ?, 'Ada', '', '', ?, ?, '', [], 1, ?)",
        [key, event_format, kind, version, time, idempotency_key, json.dumps(payload), digest],
    )


@pytest.fixture
def connection(database):
    with database.open_connection(log="r") as created:
        yield created


@pytest.mark.parametrize(
    ("revision", "position"),
    [
        (None, 5),
        ("HEAD", 5),
        ("HEAD~0", 5),
        ("HEAD~", 4),
        ("HEAD~1", 4),
        ("HEAD~4", 1),
        ("HEAD~2~1", 2),
        ("@1", 1),
        ("@5", 5),
        ("@5~3", 2),
        (1, 1),
        (5, 5),
        ("v1", 1),
        ("early", 2),
        ("early~1", 1),
        ("abc123", 1),
        ("abc1241", 2),
        ("abc1242", 3),
        (DIGESTS[3], 3),
        ("fedcba~2", 3),
        ("20261123", 4),
        ("2026-03-01", 1),
        ("2026-03-02", 4),
        ("20260302", 4),
        ("2026-03-03", 4),
        ("2030-01-01", 5),
        ("2026-03-02T00:00:00", 2),
        ("2026-03-02T12:30:00.500000", 3),
        ("2026-03-02T12:30:00.500Z", 3),
        ("2026-03-02 13:30:00.5+01:00", 3),
        ("2026-03-02T01:00+02:00~0", 0),
        ("2026-W10-1", 4),
        (np.int64(3), 3),
        (np.str_("HEAD~1"), 4),
    ],
)
def test_resolve_revision(connection, revision, position):
    if position:
        assert resolve_revision(connection, revision) == position
    else:
        with pytest.raises(NotFoundError):
            resolve_revision(connection, revision)


@pytest.mark.parametrize(
    "revision",
    [
        "@0",
        "@6",
        0,
        6,
        -1,
        "HEAD~5",
        "v1~1",
        "@",
        "@x",
        "v2",
        "abc12",
        "00ff00",
        "0ff10ff1",
        "theirs",
        "2026-02-30",
        "0000-01-01",
        "9999-12-31T23:59:59-23:59",
        "0001-01-01T00:00+23:00",
        "",
        "~1",
        "\0",
        "\udcff",
        "x" * 10_000,
        "HEAD" + "~1" * 2000,
        "HEAD~" + "9" * 5000,
        "@" + "9" * 5000,
        2**70,
    ],
)
def test_resolve_unknown_revision(connection, revision):
    with pytest.raises(NotFoundError, match=r"geographer (log|merge)|The log has events @1 to @5"):
        resolve_revision(connection, revision)


@pytest.mark.parametrize("revision", [1.0, True, [1], b"HEAD", np.array([1])])
def test_resolve_revision_of_other_type(connection, revision):
    with pytest.raises(UsageError, match="invalid revision"):
        resolve_revision(connection, revision)


def test_resolve_date_before_log(connection):
    with pytest.raises(NotFoundError, match="the log begins later"):
        resolve_revision(connection, "2026-02-28")


def test_resolve_ambiguous_digest_prefix(connection):
    with pytest.raises(UsageError, match=r"'abc124' matches 2 events. Use more characters"):
        resolve_revision(connection, "abc124")


def test_read_events_between_positions(connection):
    def read_positions(**bounds):
        return [event.position for event in read_events_between(connection, **bounds)]

    assert read_positions() == [1, 2, 3, 4, 5]
    assert read_positions(after=2) == [3, 4, 5]
    assert read_positions(after=1, up_to=3) == [2, 3]
    assert read_positions(last=2) == [4, 5]
    assert read_positions(last=0) == read_positions(after=5) == []


def test_read_event_by_position_or_key(connection):
    assert read_event(connection, 3).payload["tag"]["tag"] == "v1"
    assert find_event_by_key(connection, "key 3") == read_event(connection, 3)
    assert find_event_by_key(connection, "key 9") is None
    assert find_event_by_key(connection, "other key") is None
    assert find_event_by_key(connection, None) is None
    with pytest.raises(NotFoundError, match="no event at @9"):
        read_event(connection, 9)


def test_resolve_tag_of_unknown_event(tmp_path):
    database = Database(tmp_path)
    create_log(database)
    with database.open_connection(log="w") as connection:
        connection.execute("USE log")
        insert_event(connection, 1, "revision_tagged", TIMES[1], None, OTHER_TAG, DIGESTS[1])
        connection.execute("INSERT INTO chain VALUES ('main', 1, 1)")
        connection.execute("USE memory")
        with pytest.raises(NotFoundError, match=r"tag 'theirs' names the event 0ff1.*, which the log lacks"):
            resolve_revision(connection, "theirs")


@pytest.mark.parametrize(
    ("event_format", "kind", "version", "writer"),
    [
        (3, "classes_added", 1, "9.1.0"),
        (2, "classes_added", 2, "9.1.0"),
        (2, "pixels_dreamt", 1, "9.1.0"),
        (2, "pixels_dreamt", 1, None),
    ],
)
def test_event_of_newer_version_is_refused(tmp_path, event_format, kind, version, writer):
    database = Database(tmp_path)
    create_log(database)
    payload = {"software": {"geographer": writer}} if writer else {}
    with duckdb.connect(str(database.file_path("log"))) as connection:
        insert_event(connection, 1, kind, TIMES[1], None, payload, DIGESTS[1], event_format, version)
        connection.execute("INSERT INTO chain VALUES ('main', 1, 1)")
    expected = (
        rf"event @1 was written by geographer {writer or 'of a later version'} as '{kind}' version {version} in format "
        rf"{event_format}, .* Upgrade geographer\.$"
    )
    with database.open_connection(log="r") as connection:
        assert read_head(connection).position == 1
        if event_format == 2:
            assert read_events_between(connection)[0].kind == kind
        else:
            with pytest.raises(UnsupportedVersionError, match=expected):
                read_events_between(connection)
    with pytest.raises(UnsupportedVersionError, match=expected):
        update_state(database)


def test_log_of_newer_format_is_refused(tmp_path):
    database = Database(tmp_path)
    create_log(database)
    with duckdb.connect(str(database.file_path("log"))) as connection:
        connection.execute("UPDATE meta SET format = 3, written_by = '9.1.0'")
    expected = (
        r"^this dataset was written by geographer 9\.1\.0 with log format 3; this version reads up to format 2\. "
        r"Upgrade geographer\.$"
    )
    with pytest.raises(UnsupportedVersionError, match=expected):
        open_database(tmp_path)
    with database.open_connection(log="r") as connection, pytest.raises(UnsupportedVersionError, match=expected):
        require_supported_log(connection)
    with pytest.raises(UnsupportedVersionError, match=expected):
        append_event(database, ClassesAdded(classes=["x"]), {}, CommitInfo("Ada"), EMPTY_LOG_HEAD)


def test_empty_log_has_no_head(tmp_path):
    database = Database(tmp_path)
    create_log(database)
    with database.open_connection(log="r") as connection:
        assert read_head(connection) == EMPTY_LOG_HEAD
        with pytest.raises(NotFoundError):
            resolve_revision(connection, "@1")
