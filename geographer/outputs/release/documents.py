"""The documents of a release for people and for programs: README.md, AGENTS.md, METHODS.md, DATASHEET.md.

Source of the datasheet's questions: T. Gebru et al., Datasheets for Datasets, https://arxiv.org/abs/1803.09010.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from geographer.base.canonical_json import canonical_json
from geographer.outputs.release import sentences
from geographer.outputs.release.citation import Creators, format_reference
from geographer.outputs.release.croissant import list_licences
from geographer.outputs.release.facts import CollectionFacts, ReleaseFacts
from geographer.outputs.release.layout import FILE_TEXTS, FOLDER_TEXTS

_NOT_DESCRIBED: Final = "Not described."
_EXAMPLE: Final = '''```python
import duckdb

query = """
    SELECT raster_id, rasters.path, labels.path AS label, part
    FROM 'tables/splits.parquet' JOIN 'tables/rasters.parquet' AS rasters USING (raster_id)
    LEFT JOIN 'tables/labels.parquet' AS labels USING (raster_id)
    WHERE part IS NOT NULL
"""
for raster_id, path, label, part in duckdb.sql(query).fetchall():
    print(part, path, label)
```
'''


def write_readme(facts: ReleaseFacts, names: Iterable[str], *, is_packed: bool) -> str:
    """Return README.md.

    Args:
        facts: The facts.
        names: The files and folders at the top of the release.
        is_packed: Whether archives hold the folders.
    """
    creators = Creators(facts)
    unpack = "First unpack the archives here: `for f in *.zip; do unzip -q $f && rm $f; done`. " if is_packed else ""
    texts = {**FILE_TEXTS} | {f"{name}/": text for name, text in FOLDER_TEXTS.items()}
    listed = "\n".join(f"| `{name}` | {texts[name]} |" for name in sorted(names) if name in texts)
    return _escape_html(f"""# {sentences.make_title(facts)}

{sentences.make_summary(facts)}

Version {facts.tag.version} (tag `{facts.tag.name}`), released {facts.tag.recorded_at[:10]}.
Licence: {creators.licence_name}.

## Check it

{unpack}`sha256sum --check MANIFEST` compares every file with the manifest. `geographer audit .` does that, too, and
computes the digests of the log and the leakage between the parts of the splits. The digests that a paper cites are:

| digest | value |
|---|---|
| event digest (the history) | `{facts.tag.digest}` |
| content digest (the data) | `{facts.tag.content_digest}` |
| Merkle root (single objects) | `{facts.tag.merkle_root or "not recorded by this tag"}` |

## What is here

| path | what |
|---|---|
{listed}

## Cite it

{format_reference(facts)}
""")


def write_agents(facts: ReleaseFacts) -> str:
    """Return AGENTS.md: how a program reads the release."""
    collections = "\n".join(
        f"- `rasters/{item.name}/`: {sentences.describe_collection(item)}" for item in facts.collections if item.files
    )
    labels = "\n".join(
        f"- `labels/{item.name}/{collection}/`: {sentences.describe_labels(item)}"
        for item in facts.labels
        for collection in item.collections
    )
    splits = "\n".join(f"- {sentences.describe_split(facts, name)}" for name in facts.list_splits())
    return _escape_html(f"""# How a program reads this release

- Paths are relative to this folder. Every file is in `MANIFEST`, a line `SHA-256  path` each.
- `revision.json` has the digests; `content_digest` identifies the data.
- Tables are GeoParquet in `tables/`. Geometries are longitude, latitude (EPSG:4326). Keys: `features.feature_id`,
  `rasters.raster_id`. `chips` is a subset of `rasters` with `parent_id` and the window `col`, `row`, `width`, `height`
  in pixels of the parent. `edges` says which raster `contains` or `intersects` which feature. `splits` has the part of
  each raster; a null part means left out.
- Row 0 is the upper one. Values of masks are those of `classes.value`.
- Use `splits` as it is: a new random split leaks between its parts where chips overlap.
- `croissant.json` describes the same in Croissant 1.1, `stac/catalog.json` in STAC 1.1.

## Rasters

{collections or "None."}

## Labels

{labels or "None."}

## Splits

{splits or "None."}

## Example

{_EXAMPLE}""")


def write_methods_document(facts: ReleaseFacts) -> str:
    """Return METHODS.md."""
    return _escape_html(f"# Methods\n\n{sentences.write_methods(facts)}\n")


def write_datasheet(facts: ReleaseFacts) -> str:
    """Return DATASHEET.md. Only intent and ethics are the authors' words; the rest is computed."""
    creators = Creators(facts)
    sources = "\n".join(_describe_source(facts, item) for item in facts.collections if item.is_source)
    limits = "\n".join(f"- {limit}" for limit in sentences.list_limits(facts)) or "- None that the data show."
    people = sentences.join_words([_name_creator(item) for item in creators.people])
    return _escape_html(f"""# Datasheet: {sentences.make_title(facts)}

## Motivation

**For what purpose was it made?** {facts.description.find_text("intent") or _NOT_DESCRIBED}

**Who made it?** {people}.

## Composition

{sentences.make_summary(facts)}
{_list_attributes(facts)}
**Sources**

{sources or "No rasters."}

**Class balance.** {sentences.describe_balance(facts)}

**Spatial bias.** {sentences.describe_spatial_bias(facts)}

**Missing data.** {sentences.describe_missing_data(facts)}

**Recommended splits.** {" ".join(sentences.describe_split(facts, name) for name in facts.list_splits()) or "None."}

**Known limits**

{limits}

**People, sensitive data, harm.** {facts.description.find_text("ethics") or _NOT_DESCRIBED}

## Collection process

{sentences.describe_collection_process(facts)}

## Preprocessing and labelling

{sentences.describe_sampling(facts)}

Made with {sentences.describe_software(facts)}.

## Uses

{facts.description.find_text("intent") or _NOT_DESCRIBED}

## Distribution

Licence: {creators.licence_name}. {f"Web page: {creators.described_url}." if creators.described_url else ""}

## Maintenance

The dataset is an append-only log. This is tag `{facts.tag.name}` of event {facts.tag.position}. Later tags keep it, and
`geographer diff` says what differs.
""")


def _escape_html(text: str) -> str:
    """Return Markdown in which words of the authors and names in the data are no HTML, which viewers would hide."""
    return re.sub(r"<(?=[A-Za-z/!?])", "&lt;", text)


def _list_attributes(facts: ReleaseFacts) -> str:
    """Return the attributes that users keep with the dataset as a paragraph; empty without any."""
    lines = []
    for name, value in facts.attributes.items():
        text = value if isinstance(value, str) else canonical_json(value)
        lines.append(f"- {' '.join(f'{name}: {text}'.split())}")
    return "\n".join(("", "**Attributes**", "", *lines, "")) if lines else ""


def _describe_source(facts: ReleaseFacts, item: CollectionFacts) -> str:
    licences = list_licences(item, facts.description.fields.get("source_licences", {}))
    return f"- {sentences.describe_collection(item)} Licence: {sentences.join_words(licences) or 'not stated'}."


def _name_creator(item: Mapping[str, str]) -> str:
    affiliation = f" ({item['affiliation']})" if "affiliation" in item else ""
    return item["name"] + affiliation
