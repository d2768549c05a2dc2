"""The extensions of the documentation site: literal text, tables of schemas, links between files of the repository."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests import REPOSITORY

EXTENSIONS = REPOSITORY / "docs" / "extensions"
CONFIGURATION = f"""
import sys
sys.path.insert(0, {str(EXTENSIONS)!r})
extensions = ["myst_parser", "repository_links"]
myst_heading_anchors = 2
repository_url = "https://example.org/project"
repository_pages = {{"index": "README.md"}}
"""
FILES = {
    "README.md": "# Start\n\n[page](docs/page.md#part) [data](data/a.json) [folder](data) [readme](README.md#start)\n",
    "data/a.json": "{}",
    "docs/conf.py": CONFIGURATION,
    "docs/index.md": "```{include} ../README.md\n```\n\n```{toctree}\npage\n```\n",
    "docs/page.md": "# Page\n\n## Part\n\n[up](../README.md#start) [data](../data/a.json) [here](#part)\n\n```shellsession\na$ ls\n```\n",
}


def load_extension(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXTENSIONS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def build_project(folder: Path, **changes: str) -> subprocess.CompletedProcess[str]:
    """Build the pages of a small repository, with changed files."""
    for name, text in {**FILES, **changes}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", "docs", "out"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("such as '*_RGB.tif'", r"such as '\*_RGB.tif'"),
        ("the prefix prob_of_class_…", r"the prefix prob_of_class\_…"),
        ("`*` and ``a_``", "`*` and ``a_``"),
        ("class_: The column", "class_: The column"),
    ],
)
def test_docstrings_are_literal(text, expected):
    assert load_extension("plain_text").escape_markup(text) == expected


def test_examples_become_code():
    lines = ["| Example:", "|   geographer log", "|   python x.py", ""]
    load_extension("plain_text").show_example(None, None, lines)
    assert lines == [
        "",
        ".. rubric:: Example",
        "",
        ".. code-block:: console",
        "",
        "   $ geographer log",
        "   python x.py",
        "",
    ]


def test_schemas_become_tables():
    extension = load_extension("schema_pages")
    schema = {
        "properties": {
            "kind": {"enum": ["a", None]},
            "items": {"type": "array", "items": {"properties": {"id": {"$ref": "event.v1.json#/$defs/name"}}}},
            "value": {"anyOf": [{"type": ["integer", "null"]}, {"const": "a|b"}], "description": "As <b> | `c|d`."},
        },
        "required": ["kind"],
    }
    assert [*extension.list_properties(schema, "", 3)] == [
        ("`kind`", '`"a"` `null`', ""),
        ("`items`", "array", "optional. "),
        ("`items[].id`", "`name`", "optional. "),
        ("`value`", 'integer or null or `"a\\|b"`', r"optional. As \<b\> \| `c\|d`."),
    ]


def test_links_lead_to_pages_or_the_repository(tmp_path):
    done = build_project(tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    start, page = ((tmp_path / "out" / name).read_text() for name in ("index.html", "page.html"))
    for address in (
        "page.html#part",
        "https://example.org/project/blob/main/data/a.json",
        "https://example.org/project/tree/main/data",
    ):
        assert f'href="{address}"' in start
    assert 'href="index.html#start"' in page
    assert 'href="https://example.org/project/blob/main/data/a.json"' in page


def test_links_to_nothing_are_warnings(tmp_path):
    text = "# Page\n\n## Part\n\n[a](../data/b.json) [b](../README.md#end) [c](#nothing)\n"
    done = build_project(tmp_path, **{"docs/page.md": text})
    assert done.returncode == 1
    for target in ("../data/b.json", "end", "nothing"):
        assert f"'{target}'" in done.stderr
