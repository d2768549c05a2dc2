"""Redaction: passwords, tokens and signatures of URLs never reach the log."""

from __future__ import annotations

from typing import Any

import duckdb
import pytest

from geographer import Dataset
from geographer.base.redaction import redact_urls
from tests.sample_history import FIRST_FEATURES, write_features


@pytest.mark.parametrize(
    ("text", "redacted"),
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
def test_redact_urls_removes_user_password_and_query(text, redacted):
    assert redact_urls(text) == redacted


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
def test_redact_urls_keeps_other_texts(text):
    assert redact_urls(text) == text


def test_redact_urls_in_nested_values():
    url = "https://a:b@c.org/d?e=f"
    assert redact_urls({"request": {"paths": [url, ("x", url)]}, "n": 7, "none": None, "t": True}) == {
        "request": {"paths": ["https://c.org/d", ["x", "https://c.org/d"]]},
        "n": 7,
        "none": None,
        "t": True,
    }


def test_log_holds_no_secrets(dataset, tmp_path):
    url = "https://ada:s3cret@example.org/scene.tif?signature=t0ken"
    command = f"geographer add features first.geojson --where \"name <> '{url}'\""
    opened = Dataset.open(dataset.root, command=command)
    first = write_features(tmp_path / "first.geojson", FIRST_FEATURES)
    options: dict[str, Any] = {
        "crs": "EPSG:32633",
        "where": f"name <> '{url}'",
        "on_error": "skip",
        "idempotency_key": "k",
    }
    result = opened.add_features(first, message=f"from {url}", **options)
    event = opened.show()
    assert event.message == "from https://example.org/scene.tif"
    assert event.command == command.replace(url, "https://example.org/scene.tif")
    assert event.payload["request"]["where"] == "name <> 'https://example.org/scene.tif'"
    with duckdb.connect(str(dataset.root / ".geographer" / "log.duckdb"), read_only=True) as connection:
        for (table,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall():
            rows = connection.execute(f"SELECT t::VARCHAR FROM {table} AS t").fetchall()
            assert not [row for (row,) in rows if "s3cret" in row or "t0ken" in row]
    assert opened.add_features(first, message="again", **options) == result._replace(changed=False)
