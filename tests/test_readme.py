"""The README tells the truth: its walk is run, line by line, and prints what it shows; its commands exist."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from geographer import Dataset
from geographer.archives.eodag import EodagSource
from geographer.demo.glaciers import example_data
from tests import REPOSITORY
from tests.folder_source import shelve
from tests.sample_history import point, write_features

README = (REPOSITORY / "README.md").read_text()
PATH = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def commands_with_output() -> list[tuple[str, list[str]]]:
    found: list[tuple[str, list[str]]] = []
    for line in "".join(blocks("console")).splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        else:
            found[-1][1].append(line)
    return found


def masked(lines: list[str]) -> list[str]:
    """Digests, times and places differ from run to run."""
    text = "\n".join(line.rstrip() for line in lines)
    text = re.sub(r"\b[0-9a-f]{8,64}\b", "#", text)
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "TIME", text)
    return re.sub(r"'[^'\s]*/glaciers'", "'/…/glaciers'", text).splitlines()


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[tuple[str, list[str], list[str]]]]:
    """The folder in which the walk was run, and for each command what the README shows and what it printed."""
    start = tmp_path_factory.mktemp("walk")
    environment = {
        **os.environ,
        "PATH": PATH,
        "DATA": str(example_data()),
        "GEOGRAPHER_AUTHOR": "Ada",
        "HOME": str(start),
        "DVC_NO_ANALYTICS": "1",
    }
    folder, told = start, []
    for command, shown in commands_with_output():
        if command.startswith("cd "):
            folder = folder / command[3:]
            continue
        run = subprocess.run(
            ["bash", "-o", "pipefail", "-c", command],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        printed = (run.stdout + run.stderr).replace(str(example_data()), "$DATA").splitlines()
        told.append((command, shown, printed))
    return start, told


def test_each_command_of_the_walk_prints_what_the_readme_shows(walk):
    for command, shown, printed in walk[1]:
        assert masked(printed) == masked(shown), command


def test_the_walk_has_all_steps_of_the_workflow():
    walked = " ".join(command for command, _ in commands_with_output())
    for step in ("init", "add features", "add rasters", "cut around", "label mask", "split", "tag", "update", "diff"):
        assert f"geographer {step}" in walked
    for step in ("log", "checkout", "splits --at", "sql", "verify"):
        assert f"geographer {step}" in walked


def test_the_python_snippet_runs_where_the_walk_ended(walk):
    (snippet,) = blocks("python")
    run = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "-c", snippet],
        cwd=walk[0],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr


def test_the_download_can_be_asked_for_as_it_stands(tmp_path):
    (snippet,) = [block for block in blocks("bash") if block.startswith("geographer download")]
    shelve(tmp_path / "shelf", "one")
    features = write_features(tmp_path / "features.geojson", {"a": ("pond", point(5, 5))})
    Dataset.init(tmp_path / "dataset", scm=False).add_features(features, crs="EPSG:32633")
    elsewhere = ["--source", "tests.folder_source:Shelf", "--source-option", f"folder={tmp_path / 'shelf'}", "--plan"]
    words = [*shlex.split(snippet.replace("\\\n", "")), *elsewhere]
    run = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=tmp_path / "dataset",
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines()[1].split()[:2] == ["one", "cop_dataspace"]


def test_the_archive_that_is_named_is_one_that_eodag_knows():
    assert EodagSource(provider="cop_dataspace", collection="S2_MSI_L2A").provider == "cop_dataspace"


def test_the_reference_names_every_command():
    from geographer.cli import _COMMANDS

    reference = README[README.index("## Reference") :]
    for command in _COMMANDS:
        assert f"`{command}" in reference or command == "demo", command


def test_the_two_commands_stand_where_ci_finds_them():
    assert "<!-- the test command -->\n```bash\npython3 -m venv" in README
    assert "<!-- the demo command -->\n```bash\npython3 -m venv" in README
    assert ".ci/check" in blocks("bash")[1]


def test_the_lock_pins_exact_versions_and_no_address():
    lines = [line for line in (REPOSITORY / "requirements.lock").read_text().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!_-]+", line) for line in lines)
    pinned = {line.partition("==")[0].lower() for line in lines}
    assert {"duckdb", "dvc", "rasterio", "numpy", "shapely", "earthpy", "matplotlib"} <= pinned
