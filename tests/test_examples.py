"""The examples are reproducible to the byte: their pipelines, run anew, leave `dvc.lock` as it is."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import REPOSITORY

TOOLS = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])


@pytest.fixture(scope="module")
def reproduced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The glaciers example, reproduced in a copy of the repository's DVC project."""
    root = tmp_path_factory.mktemp("repository")
    (root / ".dvc").mkdir()
    shutil.copy(REPOSITORY / ".dvc" / "config", root / ".dvc" / "config")
    shutil.copytree(REPOSITORY / "examples", root / "examples", ignore=shutil.ignore_patterns("build"))
    environment = {**os.environ, "PATH": TOOLS, "HOME": str(root), "DVC_NO_ANALYTICS": "1"}
    subprocess.run(["git", "init", "-q"], cwd=root, check=True, env=environment)
    run = subprocess.run(
        [sys.executable, "-m", "dvc", "repro", "--force"],
        cwd=root / "examples" / "glaciers",
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return root / "examples" / "glaciers"


def test_the_glaciers_pipeline_makes_what_its_lock_says(reproduced):
    assert (reproduced / "dvc.lock").read_text() == (REPOSITORY / "examples" / "glaciers" / "dvc.lock").read_text()


def test_the_glaciers_example_ends_with_a_picture_and_a_report(reproduced):
    assert (reproduced / "build" / "map.png").read_bytes().startswith(b"\x89PNG")
    assert "content_digest" in (reproduced / "build" / "report.json").read_text()
    assert (reproduced / "build" / "v1" / "tables" / "features.parquet").exists()


def test_the_repository_is_a_dvc_repository_without_analytics():
    config = (REPOSITORY / ".dvc" / "config").read_text()
    assert "analytics = false" in config
