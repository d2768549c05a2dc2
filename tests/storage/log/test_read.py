"""The log read back: which position a revision names, and which events stand there."""

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
def engine(tmp_path_factory):
    opened = Database(tmp_path_factory.mktemp("log"))
    create_log(opened)
    with duckdb.connect(str(opened.file_path("log"))) as connection:
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
    return opened


@pytest.fixture
def connection(engine):
    with engine.attached(log="r") as opened:
        yield opened


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
def test_a_revision_names_a_position(connection, revision, position):
    if position:
        assert resolve_revision(connection, revision) == position
    else:
        with pytest.raises(NotFoundError):
            resolve_revision(connection, revision)


@pytest.mark.parametrize(
    "revision", ["@0", "@6", 0, 6, -1, "HEAD~5", "v1~1", "@", "@x", "v2", "abc12", "00ff00", "2026-02-30", "", "~1"]
)
def test_a_name_of_nothing_is_not_found_and_the_message_says_what_would_be(connection, revision):
    with pytest.raises(NotFoundError, match=r"geographer log|the log goes from @1 to @5"):
        resolve_revision(connection, revision)


def test_a_date_before_the_log_began_says_so(connection):
    with pytest.raises(NotFoundError, match="the log begins later"):
        resolve_revision(connection, "2026-02-28")


def test_a_prefix_that_fits_two_digests_is_refused_and_not_guessed(connection):
    with pytest.raises(UsageError, match="'abc124' fits 2 events: give more of it"):
        resolve_revision(connection, "abc124")


def test_events_come_oldest_first_between_positions_or_only_the_last(connection):
    def positions(**bounds):
        return [event.position for event in read_events_between(connection, **bounds)]

    assert positions() == [1, 2, 3, 4, 5]
    assert positions(after=2) == [3, 4, 5]
    assert positions(after=1, up_to=3) == [2, 3]
    assert positions(last=2) == [4, 5]
    assert positions(last=0) == positions(after=5) == []


def test_one_event_is_found_by_its_position_or_its_key(connection):
    assert read_event(connection, 3).payload["tag"]["tag"] == "v1"
    assert find_event_by_key(connection, "key 3") == read_event(connection, 3)
    assert find_event_by_key(connection, "key 9") is None
    assert find_event_by_key(connection, None) is None
    with pytest.raises(NotFoundError, match="no event at @9"):
        read_event(connection, 9)


def test_tags_stand_from_the_event_that_set_them_and_in_the_order_of_their_names(connection):
    assert read_tags(connection, 2) == []
    assert [tag["tag"] for tag in read_tags(connection, 4)] == ["v1"]
    assert read_tags(connection, 5) == [
        {"tag": name, "position": at, "digest": DIGESTS[at], "content_digest": "c" * 64}
        for name, at in (("early", 2), ("v1", 1))
    ]


def test_a_log_without_events_has_no_head(tmp_path):
    engine = Database(tmp_path)
    create_log(engine)
    with engine.open_connection(log="r") as connection:
        assert read_head(connection) == EMPTY_LOG_HEAD
        with pytest.raises(NotFoundError):
            resolve_revision(connection, "@1")
