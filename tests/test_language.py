"""The language of the code: verb + object names, plain words, one name for one class, SQL files with a header."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import REPOSITORY

COMMAND_METHODS = (
    "init open tag checkout verify diff log show history features rasters edges chips labels objects splits components "
    "classes samples sql status update split download tags clone push pull reproduce"
)
OTHER_ONE_WORD_NAMES = "event search fetch read write draw windows run close main name"
ALLOWED_NAMES = frozenset(f"{COMMAND_METHODS} {OTHER_ONE_WORD_NAMES}".split())
"""The one-word names that functions and methods may have: those of Dataset that equal a command, those that users override
or call, and the verbs of input and output. The glossary explains each."""

OVERRIDDEN_NAMES = (
    "doctype emit fromtarfile seek tell readable seekable submit makedirs protect setup complete get prepare initialize "
    "invoke Popen"
)
LIBRARY_NAMES = frozenset(OVERRIDDEN_NAMES.split())
"""Methods that override a library's: multiprocessing.Process, io.RawIOBase, logging.Handler, TarInfo, TreeBuilder, Executor, LightningDataModule,
click's Group and ShellComplete, and DVC's file system."""

OLD_WORDS = re.compile(
    r"\b(told|brought|mend(ed|s|ing)?|anew|afresh|whoever|(a|another) person('s)?|be had|stands|gives? way|in the way|"
    r"of (one's|their|his) own|nobody|somebody|in vain|weld(s|ed|ing)?|hand(s|ed) over)\b",
    re.IGNORECASE,
)
KEPT_TEXTS = re.compile(r"afresh=|its id stands twice in the file|--afresh\b|\"afresh\"|'afresh'|`afresh`")
"""What old logs and scripts hold: the option `--afresh`, still accepted, and its key in a request."""


Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


_LEFT_OUT = {"compatibility", "__pycache__"}


def iter_files(*patterns: str) -> Iterator[Path]:
    for pattern in patterns:
        yield from sorted(path for path in REPOSITORY.glob(pattern) if not _LEFT_OUT & {*path.parts})


def iter_definitions(*kinds: type[Definition]) -> Iterator[tuple[str, Definition]]:
    for path in iter_files("geographer/**/*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, kinds):
                yield f"{path.relative_to(REPOSITORY)}:{node.lineno}", node


def list_function_names() -> list[tuple[str, str]]:
    nodes = iter_definitions(ast.FunctionDef, ast.AsyncFunctionDef)
    return [(place, node.name) for place, node in nodes if not node.name.startswith("__")]


def is_one_word(name: str) -> bool:
    return "_" not in name.strip("_")


def test_functions_are_named_verb_and_object() -> None:
    names = list_function_names()
    unexpected = [
        f"{place} {name}"
        for place, name in names
        if is_one_word(name) and name.strip("_") not in ALLOWED_NAMES | LIBRARY_NAMES
    ]
    assert not unexpected
    assert len(ALLOWED_NAMES) <= 40
    assert sum(is_one_word(name) for _, name in names) <= 0.3 * len(names)


def test_allowed_names_are_in_the_glossary() -> None:
    glossary = (REPOSITORY / "docs" / "glossary.md").read_text()
    assert [name for name in sorted(ALLOWED_NAMES) if f"`{name}`" not in glossary] == []


def test_no_old_words_in_code_and_documents() -> None:
    patterns = (
        "geographer/**/*.py",
        "geographer/**/*.sql",
        "tests/**/*.py",
        "docs/**/*.md",
        "docs/**/*.py",
        "examples/**/*.py",
        "*.md",
    )
    found = [
        f"{path.relative_to(REPOSITORY)}:{number} {line.strip()[:100]}"
        for path in iter_files(*patterns, "examples/**/*.md")
        if path.is_file() and path != Path(__file__)
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if OLD_WORDS.search(KEPT_TEXTS.sub("", line.replace("_", " ")))
    ]
    assert not found


def test_public_classes_have_distinct_names() -> None:
    names = Counter(node.name for _, node in iter_definitions(ast.ClassDef) if not node.name.startswith("_"))
    assert [name for name, count in names.items() if count > 1] == []


def list_sql_files() -> list[Path]:
    return list(iter_files("geographer/**/*.sql"))


def read_header(path: Path) -> tuple[str, str, str]:
    """The header of an SQL file: what it answers, needs and makes; and the statements below it as the third."""
    lines = path.read_text().splitlines()
    count = next(number for number, line in enumerate(lines) if not line.startswith("--"))
    header = " ".join(line.removeprefix("--").strip() for line in lines[:count])
    match = re.fullmatch(r".*?needs: (.*) · makes: (.*)", header)
    assert match
    return header, match[1], match[2]


@pytest.mark.parametrize("path", list_sql_files(), ids=lambda path: path.name)
def test_sql_headers_state_needs_and_results(path: Path) -> None:
    header, needs, makes = read_header(path)
    body = re.sub(r"--[^\n]*", "", path.read_text())
    created = re.findall(
        r"CREATE (?:OR REPLACE )?(?:TEMP(?:ORARY)? )?(?:TABLE|VIEW|MACRO)(?: IF NOT EXISTS)? \"?([\w.]+)", body
    )
    assert header.startswith(f"{path.name}: ")
    assert [name for name in created if not re.search(rf"\b{re.escape(name)}\b", makes)] == []
    assert [name for name in re.findall(r"\$[a-z]\w*", body) if not re.search(re.escape(name) + r"\b", needs)] == []
    tables = set(re.findall(r"\b(?:log|state)\.\w+", body)).difference(re.findall(r"INSERT INTO (\S+)", body), created)
    assert [name for name in sorted(tables) if path.parent.name == "state" and name not in needs + makes] == []
    assert [name for name in re.findall(r"getvariable\('(\w+)'\)", body) if name not in needs] == []


def test_a_temporary_table_has_one_shape() -> None:
    """A temporary table is created in one place only, so that all who read it know its columns."""
    places: dict[str, set[str]] = {}
    for path in iter_files("geographer/**/*.py", "geographer/**/*.sql"):
        for name in re.findall(r"CREATE OR REPLACE TEMP TABLE (\w+)", path.read_text()):
            places.setdefault(name, set()).add(path.name)
    assert {name: files for name, files in places.items() if len(files) > 1} == {}
