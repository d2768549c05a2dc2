"""Read-only copies: all that reads works without writing there, whatever state is there; changes are refused."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from geographer import Dataset
from tests import REPOSITORY
from tests.read_only import make_read_only, obey_file_modes
from tests.sample_history import SampleHistory

ARCHIVE = REPOSITORY / "tests" / "compatibility" / "dataset-0.1.0.tar.gz"
READ = """
import json, sys
from geographer import Dataset
from geographer.base.errors import GeographerError
dataset = Dataset.open(sys.argv[1])
print(json.dumps({
    "content": dataset.content_digest(),
    "features": len(dataset.features()),
    "old": len(dataset.features(at="@2")),
    "count": dataset.sql("SELECT count(*) AS n FROM edges").to_pylist()[0]["n"],
    "events": len(dataset.log()),
    "findings": [str(finding) for finding in dataset.verify()],
}))
for change in (lambda: dataset.add_classes(["never"]), lambda: dataset.checkout("@2")):
    try:
        change()
    except GeographerError as error:
        print(error.exit_code, error)
"""


def read_dataset(root: Path, tmp_path: Path) -> tuple[dict[str, object], list[str]]:
    """Read a dataset in a process to which file modes apply; return what it read, and the errors of its changes."""
    temporary = tmp_path / "temporary"
    temporary.mkdir(exist_ok=True)
    run = subprocess.run(
        [sys.executable, "-c", READ, str(root)],
        capture_output=True,
        text=True,
        check=False,
        cwd=REPOSITORY,
        preexec_fn=obey_file_modes,
        env={**os.environ, "TMPDIR": str(temporary)},
    )
    assert run.returncode == 0, run.stderr
    assert list(temporary.iterdir()) == []
    values, *errors = run.stdout.splitlines()
    return json.loads(values), errors


def list_files(root: Path) -> dict[str, int]:
    return {str(path): path.lstat().st_mtime_ns for path in root.rglob("*")}


@pytest.mark.parametrize("state", ["missing", "damaged"])
def test_read_only_copy_is_read(sample_history: SampleHistory, tmp_path, state):
    root = shutil.copytree(sample_history.root, tmp_path / "copy", symlinks=True)
    path = root / ".geographer" / "state.duckdb"
    path.write_bytes(b"")
    if state == "missing":
        path.unlink()
    with make_read_only(root):
        before = list_files(root)
        values, errors = read_dataset(root, tmp_path)
        assert list_files(root) == before
    assert [error[:1] for error in errors] == ["6", "6"]
    dataset = Dataset.open(sample_history.root)
    assert values == {
        "content": dataset.content_digest(),
        "features": len(dataset.features()),
        "old": len(dataset.features(at="@2")),
        "count": len(dataset.edges()),
        "events": len(dataset.log()),
        "findings": [],
    }


def test_read_only_log_of_old_version_is_read(tmp_path):
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    root = tmp_path / "ponds"
    with make_read_only(root):
        before = list_files(root)
        values, errors = read_dataset(root, tmp_path)
        assert list_files(root) == before
    assert (values["events"], values["findings"]) == (54, [])
    assert [error[:1] for error in errors] == ["6", "6"]
