"""The directive `schemas`: a section for each JSON Schema of a folder, with a table of its properties."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docutils import nodes  # type: ignore[import-untyped]
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

DEPTH = 6
"""Levels of nested properties that a table shows."""


class SchemaSections(SphinxDirective):
    """Describe the schemas in a folder, given relative to the page, whose names match a pattern."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the sections."""
        _, pattern = self.env.relfn2path(self.arguments[0])
        paths = sorted(Path(pattern).parent.glob(Path(pattern).name))
        if not paths:
            raise self.error(f"no schema matches '{self.arguments[0]}'")
        for path in paths:
            self.env.note_dependency(str(path))
        lines = [line for path in paths for line in describe_schema(path, self.config.repository_url)]
        return self.parse_text_to_nodes("\n".join(lines), allow_section_headings=True)


def describe_schema(path: Path, repository_url: str) -> Iterator[str]:
    """Yield the section of a schema as Markdown."""
    schema = json.loads(path.read_text())
    yield from (f"## {path.name}", "", escape_markdown(schema.get("description", schema.get("title", ""))), "")
    yield from (f"[{path.name} in the repository]({repository_url}/blob/main/schemas/{path.name})", "")
    rows = [*list_properties(schema, "", DEPTH)]
    if rows:
        yield from ("| property | type | description |", "|---|---|---|")
        yield from (f"| {name} | {kind} | {description} |" for name, kind, description in rows)
        yield ""


def list_properties(schema: dict[str, Any], prefix: str, depth: int) -> Iterator[tuple[str, str, str]]:
    """Yield the name, type and description of each property, nested ones after the one that holds them."""
    # A schema that extends another one leaves to it what is required.
    required = schema.get("properties", {}) if "$ref" in schema else schema.get("required", [])
    for name, declared in schema.get("properties", {}).items():
        if not isinstance(declared, dict):
            continue
        path = f"{prefix}{name}"
        need = "" if name in required else "optional. "
        yield f"`{path}`", describe_type(declared), escape_markdown(need + declared.get("description", ""))
        if depth > 1:
            yield from list_properties(declared, f"{path}.", depth - 1)
            yield from list_properties(declared.get("items") or {}, f"{path}[].", depth - 1)


def describe_type(declared: dict[str, Any]) -> str:
    """Return the type of a property in words: a JSON type, the values that it may have, or what it refers to."""
    if "const" in declared:
        return format_code(json.dumps(declared["const"]))
    if "enum" in declared:
        return " ".join(format_code(json.dumps(value)) for value in declared["enum"])
    if "$ref" in declared:
        return format_code(declared["$ref"].rpartition("/")[2])
    for choice in ("anyOf", "oneOf"):
        if choice in declared:
            return " or ".join(describe_type(option) for option in declared[choice])
    kind = declared.get("type", "any")
    return " or ".join(kind) if isinstance(kind, list) else str(kind)


def format_code(text: str) -> str:
    """Return text as code in a cell of a table."""
    return f"`{text.replace('|', chr(92) + '|')}`"


def escape_markdown(text: str) -> str:
    """Return text for a cell of a table: what is not in backticks is literal."""
    parts = re.split(r"(`[^`]*`)", text.replace("\n", " "))
    return "".join(
        part.replace("|", r"\|") if part.startswith("`") else re.sub(r"([\\*_<>|\[\]$])", r"\\\1", part)
        for part in parts
    )


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the directive to Sphinx."""
    app.add_directive("schemas", SchemaSections)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
