"""Read the log: positions of revisions, events, tags."""

from __future__ import annotations

import json

import duckdb
import pytest

from geographer.base.errors import NotFoundError, UsageError
from geographer.storage.database.connection import Database
from geographer.storage.events import EMPTY_LOG_HEAD
from geographer.storage.log.append import create_log
from geographer.storage.log.read import (
    find_event_by_key,
    read_event,
    read_events_between,
    read_head,
    read_tags,
    resolve_revision,
)

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
                tag = {"tag": name, "position": tagged, "digest": DIGESTS[tagged], "content_digest": "c" * 64}
                payload = {"tag": tag}
            connection.execute(
                "INSERT INTO event VALUES (?, 'id', ?, 1, ?, 'Ada', '', '', ?, ?, '', [], ?)",
                [position, kind, TIMES[position], f"key {position}", json.dumps(payload), digest],
            )
    return created


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
    ],
)
def test_resolve_revision(connection, revision, position):
    if position:
        assert resolve_revision(connection, revision) == position
    else:
        with pytest.raises(NotFoundError):
            resolve_revision(connection, revision)


@pytest.mark.parametrize(
    "revision", ["@0", "@6", 0, 6, -1, "HEAD~5", "v1~1", "@", "@x", "v2", "abc12", "00ff00", "2026-02-30", "", "~1"]
)
def test_resolve_unknown_revision(connection, revision):
    with pytest.raises(NotFoundError, match=r"geographer log|The log has events @1 to @5"):
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
    assert find_event_by_key(connection, None) is None
    with pytest.raises(NotFoundError, match="no event at @9"):
        read_event(connection, 9)


def test_read_tags_at_position(connection):
    assert read_tags(connection, 2) == []
    assert [tag["tag"] for tag in read_tags(connection, 4)] == ["v1"]
    assert read_tags(connection, 5) == [
        {"tag": name, "position": at, "digest": DIGESTS[at], "content_digest": "c" * 64}
        for name, at in (("early", 2), ("v1", 1))
    ]


def test_empty_log_has_no_head(tmp_path):
    database = Database(tmp_path)
    create_log(database)
    with database.open_connection(log="r") as connection:
        assert read_head(connection) == EMPTY_LOG_HEAD
        with pytest.raises(NotFoundError):
            resolve_revision(connection, "@1")
