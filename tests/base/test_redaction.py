"""What must never be read in a log: passwords, tokens and signatures of URLs."""

from __future__ import annotations

import duckdb
import pytest

from geographer import Dataset
from geographer.base.redaction import redact_urls
from tests.sample_history import FIRST, write_features


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("https://ada:s3cret@example.org/a.tif", "https://example.org/a.tif"),
        ("https://ada:p@ss@example.org/a.tif", "https://example.org/a.tif"),
        ("s3://KEY:SECRET@bucket/a", "s3://bucket/a"),
        ("https://example.org/a.tif?X-Amz-Signature=abc&b=c", "https://example.org/a.tif"),
        ("https://example.org?sig=abc", "https://example.org"),
        ("https://example.org/a.tif#access_token=abc", "https://example.org/a.tif"),
        ("add 'https://a:b@c.org/d?e=f' --json", "add 'https://c.org/d' --json"),
        ("HTTPS://a:b@c.org/d?e=f and ftp://x@y.org", "HTTPS://c.org/d and ftp://y.org"),
        ("/vsicurl/https://a:b@c.org/d.tif?sig=e", "/vsicurl/https://c.org/d.tif"),
    ],
)
def test_user_password_and_query_are_taken_out_of_a_url(text, kept):
    assert redact_urls(text) == kept


@pytest.mark.parametrize(
    "text",
    [
        "https://example.org/tiles/33/a@2x.tif",
        "who? ada@example.org",
        "C:/data/what?.tif",
        "/data/a#b.tif",
        "depth > 2 AND name <> 'a?b'",
    ],
)
def test_what_is_no_secret_stays(text):
    assert redact_urls(text) == text


def test_secrets_are_found_however_deep_and_other_values_stay():
    url = "https://a:b@c.org/d?e=f"
    assert redact_urls({"request": {"paths": [url, ("x", url)]}, "n": 7, "none": None, "t": True}) == {
        "request": {"paths": ["https://c.org/d", ["x", "https://c.org/d"]]},
        "n": 7,
        "none": None,
        "t": True,
    }


def test_neither_payload_nor_command_line_nor_message_brings_a_secret_into_the_log(dataset, tmp_path):
    url = "https://ada:s3cret@example.org/scene.tif?signature=t0ken"
    command = f"geographer add features first.geojson --where \"name <> '{url}'\""
    opened = Dataset.open(dataset.root, command=command)
    first = write_features(tmp_path / "first.geojson", FIRST)
    asked = {"crs": "EPSG:32633", "where": f"name <> '{url}'", "on_error": "skip", "idempotency_key": "k"}
    recorded = opened.add_features(first, message=f"from {url}", **asked)
    event = opened.show()
    assert event.message == "from https://example.org/scene.tif"
    assert event.command == command.replace(url, "https://example.org/scene.tif")
    assert event.payload["request"]["where"] == "name <> 'https://example.org/scene.tif'"
    with duckdb.connect(str(dataset.root / ".geographer" / "log.duckdb"), read_only=True) as connection:
        for (table,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall():
            rows = connection.execute(f"SELECT t::VARCHAR FROM {table} AS t").fetchall()
            assert not [row for (row,) in rows if "s3cret" in row or "t0ken" in row]
    assert opened.add_features(first, message="again", **asked) == recorded._replace(changed=False)
