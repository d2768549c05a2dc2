"""README.md and docs/reference.md are true: their snippets are run, and print what they show; their commands exist."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click
import pytest
from click.testing import CliRunner

from geographer import Dataset
from geographer.archives.eodag import EodagSource
from geographer.base.errors import GeographerError
from geographer.cli import geographer_command
from geographer.demo.glaciers import find_example_data
from tests import REPOSITORY
from tests.examples.script_runner import print_warnings
from tests.folder_source import add_scene
from tests.sample_history import point_geometry, write_features

README = (REPOSITORY / "README.md").read_text()
WORKFLOW, _, TRAINING = README.partition("## Train on it\n")
TRAINING, _, EVIDENCE_FOR_A_PAPER = TRAINING.partition("## Evidence for a paper\n")
"""The README until its section about training, that section, and the one about papers with what follows."""
EVIDENCE = (REPOSITORY / "docs" / "evidence.md").read_text()
EXPORTS = (REPOSITORY / "docs" / "exports.md").read_text()
REFERENCE = (REPOSITORY / "docs" / "reference.md").read_text()
PROVENANCE = (REPOSITORY / "docs" / "provenance.md").read_text()
PATH = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])


class Step(NamedTuple):
    """A command of the walk, the output that the document shows, and the lines that it printed."""

    command: str
    documented: list[str]
    printed: list[str]


class Walk(NamedTuple):
    """The folder in which the walk was run, that in which it went on with training, and its steps."""

    folder: Path
    training: Path
    steps: list[Step]


def find_blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def find_marked_block(marker: str) -> str:
    """Return the block of the README below a marker comment."""
    block = re.search(rf"<!-- {marker} -->\n```\w+\n(.*?)```", README, flags=re.DOTALL)
    assert block is not None, marker
    return block[1]


def read_console_commands(*texts: str) -> list[tuple[str, list[str]]]:
    """Return the commands of documents, each with the output that is shown."""
    commands: list[tuple[str, list[str]]] = []
    blocks = [block for text in texts for block in find_blocks(text, "console")]
    for line in "".join(blocks).splitlines():
        if line.startswith("$ "):
            commands.append((line[2:], []))
        else:
            commands[-1][1].append(line)
    return commands


def mask_variable_text(lines: list[str]) -> list[str]:
    """Replace digests, times and folders, which differ from run to run."""
    text = "\n".join(line.rstrip() for line in lines)
    text = re.sub(r"\b[0-9a-f]{8,64}\b", "#", text)
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "TIME", text)
    text = re.sub(r"\d{4}-\d\d-\d\d", "DATE", text)
    return re.sub(r"'[^'\s]*/glaciers'", "'/…/glaciers'", text).splitlines()


def run_bash(command: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": PATH, "DVC_NO_ANALYTICS": "1", **variables}
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def split_plain_command(command: str) -> list[str] | None:
    """Return the words after `geographer` of a command without a pipe or a redirection; None for other commands."""
    lexer = shlex.shlex(command.replace("$DATA", str(find_example_data())), posix=True, punctuation_chars="|&;<>")
    lexer.whitespace_split = True
    words = list(lexer)
    return words[1:] if words[0] == "geographer" and not any({*word} <= {*"|&;<>"} for word in words) else None


def run_step(command: str, folder: Path, home: Path) -> str:
    """Run a command of the walk and return what it prints.

    Those that a shell has to connect, and the first of the dataset, run in processes; the others in this one, because
    each process takes a CPU second to start.
    """
    words = split_plain_command(command)
    if words is None or words[0] == "init":
        run = run_bash(command, folder, DATA=str(find_example_data()), GEOGRAPHER_AUTHOR="Ada", HOME=str(home))
        return run.stdout + run.stderr
    with pytest.MonkeyPatch.context() as patch, print_warnings():
        patch.chdir(folder)
        result = CliRunner().invoke(geographer_command, words)
    if result.exception and not isinstance(result.exception, GeographerError | SystemExit):
        raise result.exception
    error = f"Error: {result.exception}\n" if isinstance(result.exception, GeographerError) else ""
    return result.stdout + result.stderr + error


def run_commands(folder: Path, home: Path, commands: list[tuple[str, list[str]]]) -> Iterator[Step]:
    """Run the commands of documents in a folder, or where they change to, and yield what they print."""
    for command, documented in commands:
        if command.startswith("cd "):
            folder = folder / command[3:]
            continue
        printed = run_step(command, folder, home).replace(str(find_example_data()), "$DATA").splitlines()
        yield Step(command, documented, printed)


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Walk:
    """Run the README's workflow, then the other documents, which go on from there: those about evidence in a copy."""
    start = tmp_path_factory.mktemp("walk")
    steps = [*run_commands(start, start, read_console_commands(WORKFLOW))]
    copy = Path(shutil.copytree(start, tmp_path_factory.mktemp("evidence") / "walk"))
    training = Path(shutil.copytree(start, tmp_path_factory.mktemp("training") / "walk"))
    steps += run_commands(training / "glaciers", training, read_console_commands(TRAINING, EXPORTS))
    steps += run_commands(start / "glaciers", start, read_console_commands(REFERENCE, PROVENANCE))
    steps += run_commands(copy / "glaciers", copy, read_console_commands(EVIDENCE_FOR_A_PAPER, EVIDENCE))
    return Walk(start, training, steps)


def test_walk_prints_what_is_shown(walk):
    for step in walk.steps:
        assert mask_variable_text(step.printed) == mask_variable_text(step.documented), step.command


def test_content_digests_are_those_shown(walk):
    """A content digest depends on the data only, so it is the same on every run."""
    for step in walk.steps:
        shown, printed = (re.findall(r"content ([0-9a-f]{64})", "\n".join(lines)) for lines in step[1:])
        assert printed == shown, step.command


def test_walk_covers_the_workflow():
    commands = " ".join(command for command, _ in read_console_commands(README))
    for step in ("init", "add features", "add rasters", "cut around", "label mask", "split", "tag", "update", "diff"):
        assert f"geographer {step}" in commands
    for step in ("log", "checkout", "splits --at", "sql", "verify"):
        assert f"geographer {step}" in commands


def test_python_snippet_runs_after_the_walk(walk):
    snippet = "".join(find_blocks(README, "python"))
    run = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "-c", snippet],
        cwd=walk.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of pycocotools
def test_exports_python_runs_after_the_walk(walk, monkeypatch):
    monkeypatch.chdir(walk.training / "glaciers")
    names: dict[str, list] = {}
    exec(compile("".join(find_blocks(EXPORTS, "python")), "docs/exports.md", "exec"), names)
    assert len(names["masks"]) > 0


def test_data_line_finds_the_example_data(tmp_path):
    run = run_bash(find_marked_block("the data folder") + 'echo "$DATA"', tmp_path)
    assert run.stdout == f"{find_example_data()}\n", run.stderr


def test_download_snippet_is_accepted(tmp_path):
    (snippet,) = [block for block in find_blocks(REFERENCE, "bash") if block.startswith("geographer download")]
    add_scene(tmp_path / "archive", "one")
    features = write_features(tmp_path / "features.geojson", {"a": ("pond", point_geometry(5, 5))})
    Dataset.init(tmp_path / "dataset", scm=False).add_features(features, crs="EPSG:32633")
    archive = ["--source", "tests.folder_source:FolderSource", "--source-option", f"folder={tmp_path / 'archive'}"]
    words = [*shlex.split(snippet.replace("\\\n", "")), *archive, "--plan"]
    run = run_bash(f"{sys.executable} -m {shlex.join(words)}", tmp_path / "dataset", PYTHONPATH=str(REPOSITORY))
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines()[1].split()[:2] == ["one", "cop_dataspace"]


def test_named_provider_is_known_to_eodag():
    assert EodagSource(provider="cop_dataspace", collection="S2_MSI_L2A").provider == "cop_dataspace"


def test_install_commands_name_the_distribution():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    commands = find_marked_block("the install commands").splitlines()
    assert f".venv/bin/pip install {project['name']}" in commands
    assert 'PATH="$PWD/.venv/bin:$PATH"' in commands
    assert commands[-1].split()[0] in project["scripts"]


def test_marked_commands_are_where_ci_finds_them():
    for marker in ("the demo command", "the test command"):
        assert find_marked_block(marker).startswith("python3 -m venv")
    assert ".ci/check" in find_marked_block("the test command")


def list_anchors(text: str) -> set[str]:
    """Return the anchors of the headings of a document, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_links_lead_to_files_and_headings():
    paths = [path for pattern in ("*.md", "docs/**/*.md", "examples/*/*.md") for path in REPOSITORY.glob(pattern)]
    assert len(paths) > 20
    for path in paths:
        for target, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)#?([^)\s]*)\)", path.read_text()):
            linked = path.parent / target if target else path
            assert linked.exists(), f"{path}: {target}"
            assert not anchor or anchor in list_anchors(linked.read_text()), f"{path}: {target}#{anchor}"


def test_reference_names_every_command():
    from geographer.cli import COMMANDS, load_command

    for name in COMMANDS:
        command = load_command(name)
        inner = command.commands.items() if isinstance(command, click.Group) else ()
        for words in [name, *(f"{name} {word}" for word, nested in inner if not nested.hidden)]:
            assert re.search(rf"`{words}\b", REFERENCE), words


def test_reference_names_only_existing_options():
    from geographer.cli import COMMANDS, geographer_command, load_command

    options = {"--help", *(flag for parameter in geographer_command.params for flag in parameter.opts)}
    for name in COMMANDS:
        command = load_command(name)
        context = click.Context(command)
        names = command.list_commands(context) if isinstance(command, click.Group) else []
        inner = [command.get_command(context, word) for word in names] if isinstance(command, click.Group) else []
        for nested in [*filter(None, inner)] or [command]:
            options |= {flag for parameter in nested.params for flag in (*parameter.opts, *parameter.secondary_opts)}
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", REFERENCE))
    assert named <= options


def test_lock_pins_exact_versions():
    lines = [line for line in (REPOSITORY / "requirements.lock").read_text().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!_-]+", line) for line in lines)
    pinned = {line.partition("==")[0].lower() for line in lines}
    assert {"duckdb", "dvc", "rasterio", "numpy", "shapely", "earthpy", "matplotlib"} <= pinned
