"""The README of an export: what it is, of which revision, how to read and check it; its first lines are YAML."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from geographer.outputs.exports.export import Export
from geographer.outputs.exports.exporter import Exporter
from geographer.planning.description import read_description

_COUNTS = """
    SELECT coalesce(part, 'all') AS part, count(*) AS samples, count(DISTINCT parent_id) AS scenes FROM export_sample
    GROUP BY ALL ORDER BY part
"""
_CLASS_COUNTS = """
    SELECT class, count(DISTINCT number) FROM (SELECT number, unnest(classes) AS class FROM export_sample)
    GROUP BY class
"""


def write_card(export: Export, exporter: Exporter, facts: Mapping[str, Any]) -> str:
    """Return the README of an export.

    Args:
        export: The samples.
        exporter: The format.
        facts: What `revision.json` says.
    """
    described = read_description(export.revision)
    title = described.find_text("title") or "Dataset"
    header: dict[str, Any] = {"pretty_name": title, "license": described.find_text("licence").lower() or "unknown"}
    header |= {"tags": ["remote-sensing", "geographer"], "size_categories": [_name_size(export.count)]}
    header |= exporter.describe_header(export)
    parts = "\n".join(f"| {part} | {samples:,} | {scenes:,} |" for part, samples, scenes in _read_rows(export, _COUNTS))
    counts = dict(_read_rows(export, _CLASS_COUNTS))
    classes = "\n".join(f"| {item.value} | {item.name} | {counts.get(item.name, 0):,} |" for item in export.classes)
    layout = "\n".join(f"- `{path}`: {text}" for path, text in _list_files(exporter).items())
    code = f"\nRead it:\n\n```python\n{exporter.usage.strip()}\n```\n" if exporter.usage else ""
    summary = described.find_text("summary")
    introduction = f"{summary}\n\n" if summary else ""
    origin = f"samples of revision @{facts['position']} as {exporter.title}"
    return f"""---
{yaml.safe_dump(dict(sorted(header.items())), allow_unicode=True, sort_keys=False).strip()}
---

# {title}

{introduction}{export.count:,} {origin}, written by `geographer export {exporter.format}`.

| subset | samples | scenes |
|---|---|---|
{parts}

| value | class | samples that show it |
|---|---|---|
{classes}

## Files

{layout}
{code}
## Where it comes from

`sha256sum --check MANIFEST` compares every file with the manifest, and so does `geographer verify` here.

| digest | value |
|---|---|
| dataset (its first event) | `{facts["dataset"]}` |
| event digest (the history) | `{facts["digest"]}` |
| content digest (the data) | `{facts["content_digest"]}` |
"""


def _list_files(exporter: Exporter) -> dict[str, str]:
    tables = {
        "classes.csv": "the classes with their values",
        "splits.csv": "the samples with subset, ids, CRS and transform",
    }
    common = {
        "revision.json": "the revision with its digests, and what was exported",
        "MANIFEST": "the SHA-256 of every file",
    }
    return {**exporter.layout, **(tables if exporter.has_tables else {}), **common}


def _read_rows(export: Export, query: str) -> list[tuple[Any, ...]]:
    return export.revision.fetch_rows(query)


def _name_size(count: int) -> str:
    """Return the category of sizes that a number belongs to, as the Hugging Face Hub names them."""
    limits = {1_000: "n<1K", 10_000: "1K<n<10K", 100_000: "10K<n<100K", 1_000_000: "100K<n<1M"}
    return next((name for limit, name in limits.items() if count < limit), "1M<n<10M")
