"""The digests of a revision's content, compared with an oracle that was written from the specification alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from geographer.storage.database.connection import Database, memory_connection
from geographer.storage.queries import revision as revision_module
from geographer.storage.queries.revision import open_revision
from tests.sample_history import HEAD, V1
from tests.storage.log import digest_oracle as oracle

MERKLE_ROOT = Path(revision_module.__file__).with_name("merkle_root.sql").read_text()


@pytest.mark.parametrize("position", [1, 2, V1, HEAD])
def test_content_digests_follow_specification(sample_history, position):
    with open_revision(Database(sample_history.root / ".geographer"), position) as revision:
        lines = [line for (line,) in revision.fetch_rows("FROM content_line")]
        assert len(lines) == len(set(lines)) > 0
        assert revision.compute_content_digest() == oracle.sha256("".join(f"{line}\n" for line in sorted(lines)))
        assert revision.compute_merkle_root() == oracle.compute_merkle_root(lines)


@pytest.mark.parametrize("count", [*range(10), 15, 16, 17, 1000])
def test_merkle_root_of_any_size(count):
    lines = [f"feature {oracle.sha256(str(number))}" for number in range(count)]
    with memory_connection() as connection:
        connection.execute("CREATE OR REPLACE TEMP TABLE content_line AS SELECT unnest($1::VARCHAR[]) AS line", [lines])
        assert connection.execute(MERKLE_ROOT).fetchall() == [(oracle.compute_merkle_root(lines),)]
        connection.execute("DROP TABLE content_line")


def test_queries_create_the_views_that_they_name(sample_history):
    database = Database(sample_history.root / ".geographer")
    with open_revision(database, HEAD) as revision:
        views = "SELECT view_name FROM duckdb_views() WHERE temporary AND NOT internal ORDER BY ALL"
        functions = "SELECT count(*) FROM duckdb_functions() WHERE function_name = 'st_point'"
        connection = revision.plain_connection
        count = revision.fetch_value("SELECT count(*) FROM splits")
        assert connection.execute(views).fetchall() == [("current_split",), ("splits",)]
        assert connection.execute(functions).fetchall() == [(0,)]
        assert revision.connection.execute("SELECT count(*) FROM splits").fetchall() == [(count,)]
        created = {name for (name,) in connection.execute(views).fetchall()}
        assert {"features", "rasters", "edges", "chips", "labels", "objects", "tags", "chain_event"} <= created
        assert connection.execute("SELECT count(ST_AsText(geometry)) FROM features").fetchall() != [(0,)]


def test_revisions_on_one_connection_keep_their_columns(sample_history):
    """Each shows the user columns of its position, whichever was used last."""
    database = Database(sample_history.root / ".geographer")
    with open_revision(database, HEAD) as head:
        expected = {position: head.show_position(position).list_columns("features") for position in (2, HEAD)}
        for position in (HEAD, 2, HEAD):
            assert head.show_position(position).list_columns("features") == expected[position]
