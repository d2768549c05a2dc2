"""The glaciers example is reproducible to the byte: running its pipeline again leaves `dvc.lock` as it is."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import REPOSITORY

PATH = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])


@pytest.fixture(scope="module")
def reproduced_example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run the pipeline in a copy of the repository's DVC project, and return the folder of the example."""
    root = tmp_path_factory.mktemp("repository")
    (root / ".dvc").mkdir()
    shutil.copy(REPOSITORY / ".dvc" / "config", root / ".dvc" / "config")
    shutil.copytree(REPOSITORY / "examples", root / "examples", ignore=shutil.ignore_patterns("build"))
    environment = {**os.environ, "PATH": PATH, "HOME": str(root), "DVC_NO_ANALYTICS": "1"}
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


def test_glaciers_pipeline_matches_its_lock(reproduced_example):
    expected = (REPOSITORY / "examples" / "glaciers" / "dvc.lock").read_text()
    assert (reproduced_example / "dvc.lock").read_text() == expected


def test_glaciers_example_makes_map_and_report(reproduced_example):
    build = reproduced_example / "build"
    assert (build / "map.png").read_bytes().startswith(b"\x89PNG")
    assert "content_digest" in (build / "report.json").read_text()
    assert (build / "v1" / "tables" / "features.parquet").exists()


def test_dvc_repository_sends_no_analytics():
    config = (REPOSITORY / ".dvc" / "config").read_text()
    assert "analytics = false" in config
