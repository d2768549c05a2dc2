"""Redaction: credentials never reach the log, and texts without any stay as they are."""

from __future__ import annotations

import json
import re
from typing import Any

import duckdb
import pytest

from geographer import Dataset
from geographer.base.errors import GeographerError, UsageError
from geographer.base.redaction import (
    CREDENTIAL_HINT,
    has_credentials,
    is_secret_name,
    redact_argument,
    redact_column_value,
    redact_text,
    redact_values,
)
from tests.sample_history import FIRST_FEATURES, write_features

REDACTED = {
    "https://ada:s3cret@example.org/a.tif": "https://example.org/a.tif",
    "https://ada:p@ss@example.org/a.tif": "https://example.org/a.tif",
    "https://ada:a/b?c#d@example.org/a.tif": "https://example.org/a.tif",
    "https://ada:a'b\"c@example.org/a.tif": "https://example.org/a.tif",
    "https://ada:1234/b@example.org/a.tif": "https://example.org/a.tif",
    "https://:s3cret@example.org": "https://example.org",
    "https://s3cret@example.org/a.git": "https://example.org/a.git",
    "s3://KEY:SEC/RET@bucket/a": "s3://bucket/a",
    "https://example.org/a.tif?X-Amz-Signature=abc&b=c": "https://example.org/a.tif",
    "https://example.org?sig=abc": "https://example.org",
    "https://example.org/a?sig=a'bc": "https://example.org/a",
    "https://example.org/a.tif#access_token=abc": "https://example.org/a.tif",
    "https://example.org/a?u=https%3A%2F%2Fada%3As3cret%40b.org": "https://example.org/a",
    "https%3A%2F%2Fada%3As3cret%40b.org%2Fa": "https://b.org/a",
    '{"a": "https://example.org/a?sig=abc", "b": 2}': '{"a": "https://example.org/a", "b": 2}',
    "add 'https://a:b@c.org/d?key=f' --json": "add 'https://c.org/d' --json",
    "HTTPS://a:b@c.org/d?token=f and ftp://x@y.org": "HTTPS://c.org/d and ftp://y.org",
    "/vsicurl/https://a:b@c.org/d.tif?sig=e": "/vsicurl/https://c.org/d.tif",
    "/vsicurl/https:/a:b@c.org/d.tif": "/vsicurl/https:/c.org/d.tif",
    "/vsicurl?url=https://c.org/d.tif&userpwd=a:b": "/vsicurl",
    "https://a.org/https://b:c@d.org/e": "https://a.org/https://d.org/e",
    "see ada:s3cret@example.org/a": "see ***@example.org/a",
    "ada:s3/cret@host": "***@host",
    "password=s3cret and more": "password=*** and more",
    "passwd: s3cret": "passwd: ***",
    "pwd = s3cret": "pwd = ***",
    "db_pwd=s3cret": "db_pwd=***",
    "token: s3cret": "token: ***",
    "client_secret=s3cret": "client_secret=***",
    "clientSecret=s3cret": "clientSecret=***",
    "api_key=s3cret": "api_key=***",
    "x-api-key: s3cret": "x-api-key: ***",
    "AWS_SECRET_ACCESS_KEY=s3cret": "AWS_SECRET_ACCESS_KEY=***",
    "export PASSWORD='s3 cret' x": "export PASSWORD='***' x",
    '{"password": "s3 cret", "b": 1}': '{"password": "***", "b": 1}',
    r"{\"password\": \"s3cret\"}": r'{\"password\": ***"}',
    "--token s3cret -v": "--token *** -v",
    "curl -u ada:s3cret": "curl -u ***",
    "PG:host=h password=s3cret user=ada": "PG:host=h password=*** user=ada",
    "Authorization: Bearer s3cret": "Authorization: ***",
    "-H 'Authorization: Basic YTpi' x": "-H 'Authorization: ***' x",
    "Bearer s3cretsecret": "Bearer ***",
    "Basic YWRhOnMzY3JldA==": "Basic ***",
    "a\n-----BEGIN RSA PRIVATE KEY-----\nMII\n-----END RSA PRIVATE KEY-----\nb": "a\n***\nb",
    "-----BEGIN PRIVATE KEY-----\nMII": "***",
    "ghp_0123456789abcdefghij0123": "***",
}
KEPT = (
    "https://example.org/tiles/33/a@2x.tif",
    "http://example.org:8080/a@2x.tif",
    "who? ada@example.org",
    "Ada Lovelace <ada@example.org>, Bob <bob@c.org>",
    "mailto:ada@example.org",
    "contact: ada@example.org",
    "git@github.com:org/repository",
    "C:/data/what?.tif",
    "/data/a#b.tif",
    "depth > 2 AND name <> 'a?b'",
    "token ring lake",
    "Secret Lake, Token Creek",
    "key: value pairs",
    "max_tokens=512, tokenizer=wordpiece, secretary: Bob",
    "pass: descending",
    "12:30@noon",
    "2026-01-01T10:30:00@site",
    "EPSG:9000@2010.0",
    "python:3.11@sha256:abcdef",
    "Basic 512x512 chips of the ring Bearer glacier",
    "the authorization was given",
    "module:function",
    "***",
)


@pytest.mark.parametrize("text", REDACTED)
def test_redact_text_removes_credentials(text):
    redacted = redact_text(text)
    assert redacted == REDACTED[text]
    assert redact_text(redacted) == redacted
    assert re.search(CREDENTIAL_HINT, text)
    assert has_credentials(text)


@pytest.mark.parametrize("text", KEPT)
def test_redact_text_keeps_other_texts(text):
    assert redact_text(text) == text


def test_redact_text_of_data_keeps_harmless_queries():
    harmless = "https://example.org/w/index.php?title=Lake&id=5#top"
    assert redact_text(harmless) == "https://example.org/w/index.php"
    assert redact_text(harmless, keeps_queries=True) == harmless
    assert redact_text(f"{harmless}&access_token=a", keeps_queries=True) == "https://example.org/w/index.php"
    assert not has_credentials(harmless)


@pytest.mark.parametrize("text", ["a-" * 50_000, "'" * 50_000, "https://" * 5_000, "password" * 5_000, "a:" * 9_999])
def test_redact_text_takes_time_linear_in_the_text(text):
    assert redact_text(text) is not None


def test_redact_values_in_nested_values():
    url = "https://a:b@c.org/d?e=f"
    assert redact_values({"request": {"paths": [url, ("x", url)]}, "n": 7, "none": None, "t": True, url: 1}) == {
        "request": {"paths": ["https://c.org/d", ["x", "https://c.org/d"]]},
        "n": 7,
        "none": None,
        "t": True,
        "https://c.org/d": 1,
    }


def test_redact_argument_hides_a_password_with_spaces():
    assert redact_argument("--option=password=my s3cret") == "--option=password=***"
    assert redact_argument("area > 10") == "area > 10"


def test_redact_column_value_knows_names_of_secrets():
    assert redact_column_value("api_key", "s3cret") == redact_column_value("Password", "s3cret") == "***"
    assert redact_column_value("token", "s3cret") == "***"
    assert redact_column_value("token", "47a1cbd595522b39") == "47a1cbd595522b39"
    assert redact_column_value("name", "s3cret") == "s3cret"
    assert [name for name in ("secret_key", "key", "tokens", "pass", "author") if is_secret_name(name)] == [
        "secret_key"
    ]


def test_errors_hold_no_credentials():
    assert str(UsageError("no file 'https://a:b@c.org/d'")) == "no file 'https://c.org/d'"
    assert str(GeographerError("bad name \udcff")) == "bad name \\udcff"


def test_log_holds_no_secrets(dataset, tmp_path):
    url = "https://ada:s3cret@example.org/scene.tif?signature=t0ken"
    command = f"geographer add features first.geojson --where \"name <> '{url}'\""
    opened = Dataset.open(dataset.root, command=command)
    first = write_features(tmp_path / "first.geojson", FIRST_FEATURES)
    content = json.loads(first.read_text())
    for feature in content["features"]:
        feature["properties"] |= {"link": url, "password": "s3cret", "page": "https://example.org/?id=5"}
    first.write_text(json.dumps(content))
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
    read = opened.sql("SELECT DISTINCT link, password, page FROM features").to_pylist()
    assert [tuple(row.values()) for row in read] == [
        ("https://example.org/scene.tif", "***", "https://example.org/?id=5")
    ]
    assert opened.add_features(first, message="again", **options) == result._replace(changed=False)
