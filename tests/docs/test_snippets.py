"""Every snippet of the documents is run by a test, or says why it cannot be."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest

from tests import REPOSITORY
from tests.docs.document_runner import DocumentRunner, find_missing_lines, mask_variable_text
from tests.docs.scenes import SCENES, prepare_tutorial
from tests.docs.snippets import Snippet, iter_snippets, list_documents, list_snippets


class OtherTest(NamedTuple):
    """A test elsewhere that runs the snippets of a document in a language, or those that contain a text."""

    document: str
    languages: tuple[str, ...]
    test: str
    containing: str = ""

    def runs(self, snippet: Snippet) -> bool:
        is_named = snippet.document == self.document and snippet.language in self.languages
        return is_named and self.containing in snippet.text


FIRST_TUTORIAL = "docs/tutorials/one-person.md"
WALK = "tests/test_readme.py::test_walk_prints_what_is_shown"
TEAM = "tests/examples/test_team.py::test_document_shows_steps_as_printed"
OTHER_TESTS = (
    OtherTest("README.md", ("console",), WALK),
    OtherTest("README.md", ("python",), "tests/test_readme.py::test_python_snippet_runs_after_the_walk"),
    OtherTest("README.md", ("shellsession",), TEAM),
    OtherTest("README.md", ("bash",), "tests/test_readme.py::test_data_line_finds_the_example_data", "export DATA"),
    OtherTest(
        "README.md",
        ("bash",),
        "tests/test_readme.py::test_install_commands_name_the_distribution",
        "pip install geographer-datasets",
    ),
    OtherTest(
        "README.md",
        ("bash",),
        "tests/test_readme.py::test_marked_commands_are_where_ci_finds_them",
        "-c requirements.lock",
    ),
    OtherTest(
        "docs/annotations.md",
        ("console",),
        "tests/docs/test_annotations.py::test_documented_commands_print_what_they_show",
    ),
    OtherTest(
        "docs/branches.md", ("console",), "tests/docs/test_branches.py::test_documented_merge_prints_what_it_shows"
    ),
    OtherTest(
        "docs/diff.md", ("console", "python"), "tests/diff/test_difference.py::test_documentation_shows_real_output"
    ),
    OtherTest("docs/evidence.md", ("console",), WALK),
    OtherTest("docs/exports.md", ("console",), WALK),
    OtherTest(
        "docs/from-geographer.md",
        ("console", "python"),
        "tests/docs/test_from_geographer.py::test_documented_commands_print_what_they_show",
    ),
    OtherTest(
        "docs/log-format.md",
        ("console",),
        "tests/docs/test_log_format.py::test_worked_example_is_reproducible",
        "sha256sum",
    ),
    OtherTest("docs/impact.md", ("console",), "tests/outputs/test_impact.py::test_document_shows_what_is_printed"),
    OtherTest("docs/impact.md", ("python",), "tests/outputs/test_impact.py::test_document_snippet_runs"),
    OtherTest("docs/provenance.md", ("console",), WALK),
    OtherTest("docs/reference.md", ("console",), WALK),
    OtherTest(
        "docs/reference.md", ("bash",), "tests/test_readme.py::test_download_snippet_is_accepted", "geographer download"
    ),
    OtherTest("docs/sharing.md", ("shellsession",), TEAM),
    OtherTest(
        "docs/training.md",
        ("python",),
        "tests/torch/test_training_document.py::test_documented_python_prints_what_it_shows",
    ),
    OtherTest(
        FIRST_TUTORIAL, ("console", "python"), "tests/docs/test_snippets.py::test_first_tutorial_prints_what_is_shown"
    ),
    OtherTest(
        "examples/glaciers/README.md", ("bash",), "tests/test_examples.py::test_glaciers_pipeline_matches_its_lock"
    ),
    OtherTest(
        "examples/stadiums/README.md",
        ("console",),
        "tests/examples/test_stadiums.py::test_readme_shows_printed_commands",
    ),
    OtherTest(
        "examples/stadiums/README.md",
        ("bash",),
        "tests/examples/test_stadiums.py::test_readme_shows_final_counts",
        "run.py",
    ),
    OtherTest("examples/team/README.md", ("shellsession",), TEAM),
    OtherTest("examples/team/README.md", ("bash",), TEAM, "run.py"),
    OtherTest("docs/exports.md", ("python",), "tests/test_readme.py::test_exports_python_runs_after_the_walk"),
    OtherTest(
        "docs/log-format.md",
        ("sh",),
        "tests/operations/test_tag_signing.py::test_programs_accept_signatures",
        "-sigfile v1.sig",
    ),
    OtherTest(
        "docs/log-format.md",
        ("sh",),
        "tests/operations/test_tag_signing.py::test_programs_accept_signatures",
        "-s v1.sig",
    ),
    OtherTest(
        "docs/log-format.md",
        ("sh",),
        "tests/operations/test_tag_signing.py::test_authority_stamps_signature",
        "openssl ts",
    ),
)


def list_own_snippets(document: str) -> list[Snippet]:
    """Return the snippets of a document that neither another test runs nor a comment excludes."""
    return [
        snippet
        for snippet in list_snippets(document)
        if not snippet.reason and not any(test.runs(snippet) for test in OTHER_TESTS)
    ]


class FinishedTutorial(NamedTuple):
    """The folder in which a tutorial was run, and what it does not print as it shows, by snippet."""

    folder: Path
    problems: dict[str, list[str]]


def run_snippets(runner: DocumentRunner, snippets: list[Snippet]) -> dict[str, list[str]]:
    """Run snippets, and return what they do not print as shown."""
    problems = {str(snippet): runner.run_snippet(snippet) for snippet in snippets}
    return {snippet: lines for snippet, lines in problems.items() if lines}


@pytest.fixture(scope="module")
def first_tutorial(tmp_path_factory: pytest.TempPathFactory) -> FinishedTutorial:
    """Run the tutorial for one person, where others go on."""
    folder = tmp_path_factory.mktemp("tutorial")
    return FinishedTutorial(folder, run_snippets(prepare_tutorial(folder), list_snippets(FIRST_TUTORIAL)))


DOCUMENTS = [document for document in list_documents() if list_own_snippets(document)]


def test_every_snippet_has_a_scene():
    missing = [
        str(snippet) for document in DOCUMENTS for snippet in list_own_snippets(document) if document not in SCENES
    ]
    assert missing == [], "add a scene to tests/docs/scenes.py, or write <!-- not run: REASON --> above the snippet"
    assert [document for document in SCENES if document not in DOCUMENTS] == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_snippets_print_what_is_shown(document, tmp_path, request):
    assert run_snippets(SCENES[document](tmp_path, request), list_own_snippets(document)) == {}


def test_first_tutorial_prints_what_is_shown(first_tutorial):
    assert first_tutorial.problems == {}


@pytest.mark.parametrize("other", OTHER_TESTS, ids=lambda other: f"{other.document} {other.containing}")
def test_other_tests_exist(other):
    """Each named test is there, and has a snippet to run."""
    path, _, name = other.test.partition("::")
    assert re.search(rf"^def {name}\(", (REPOSITORY / path).read_text(), re.MULTILINE)
    assert any(other.runs(snippet) for snippet in list_snippets(other.document))


def test_reasons_say_why():
    reasons = [snippet.reason for document in list_documents() for snippet in list_snippets(document) if snippet.reason]
    assert all(len(reason.split()) > 4 for reason in reasons)


def test_snippets_are_found_with_their_reasons():
    text = "a\n<!-- not run: it needs a server -->\n```bash\nls\n```\n\n```text\nno\n```\n```console\n$ ls\n```\n"
    found = [(snippet.line, snippet.language, snippet.reason) for snippet in iter_snippets("x.md", text)]
    assert found == [(3, "bash", "it needs a server"), (10, "console", "")]


def test_differences_of_output_are_found():
    assert find_missing_lines(["a", "…", "c"], ["a", "b", "c"]) == []
    assert find_missing_lines(["a", "c"], ["a", "b", "c"]) == ["c", "printed: ['b', 'c']"]
    assert find_missing_lines(["a"], ["a", "b"]) == ["not shown: ['b']"]
    assert find_missing_lines(["…"], ["a"]) == [] == find_missing_lines([], [])
    assert mask_variable_text(["@3 0123456789ab of 2026-11-29 07:54:02 in '/tmp/x/ponds'"]) == [
        "@3 # of TIME in '/…/ponds'"
    ]
