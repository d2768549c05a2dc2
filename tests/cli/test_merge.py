"""merge, conflicts, resolve and revert on the command line: messages, JSON and exit codes."""

from __future__ import annotations

import json
import shutil
from typing import NamedTuple

import pytest
from jsonschema import Draft202012Validator

from geographer import Dataset
from geographer.cli import main
from tests import REPOSITORY
from tests.sample_history import point_geometry, write_features


class Ended(NamedTuple):
    """What a command printed, and its exit code."""

    exit_code: int
    stdout: str
    stderr: str


@pytest.fixture
def run_cli(capsys, root):
    def run(*arguments):
        with pytest.raises(SystemExit) as ended:
            main(["-C", str(root), *arguments])
        return Ended(int(ended.value.code or 0), *capsys.readouterr())

    return run


@pytest.fixture(scope="module")
def root(empty_dataset, tmp_path_factory):
    """A dataset whose branches `main`, in use, and `topic` moved the same feature; the last test merges them."""
    tmp_path = tmp_path_factory.mktemp("merge")
    dataset = Dataset.open(shutil.copytree(empty_dataset, tmp_path / "dataset"))
    for branch, column in (("main", 5), ("topic", 10), ("main", 20)):
        if branch != dataset._unit_of_work.branch_name:
            if branch == "topic":
                dataset.create_branch(branch)
            dataset.switch_branch(branch)
        path = write_features(tmp_path / "p.geojson", {"p": ("pond", point_geometry(column, 5))})
        dataset.add_features(path, crs="EPSG:32633", replace=len(dataset.log()) > 1)
    return dataset.root


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["merge"], 2, "name a revision to merge, or pass --abort"),
        (["merge", "topic", "--abort"], 2, "name a revision to merge, or pass --abort"),
        (["merge", "--abort"], 3, "no merge to abort"),
        (["merge", "nowhere"], 3, "no revision 'nowhere'"),
        (["resolve", "1"], 2, "no value to take"),
        (["resolve", "1", "--take", "ours"], 3, "no open conflict '1'"),
        (["resolve", "--take", "ours"], 2, "pass --all"),
        (["resolve", "--all", "--take", "ours"], 3, "no conflict is open"),
        (["revert", "@1"], 2, "the first event"),
        (["revert", "topic"], 2, "the branch in use does not have it"),
    ],
)
def test_refusals_name_the_next_step(run_cli, arguments, code, message):
    result = run_cli(*arguments)
    assert (result.exit_code, message in result.stderr) == (code, True), result.stderr


def test_conflicts_are_reported_and_resolved(run_cli):
    schema = json.loads((REPOSITORY / "schemas" / "conflicts.v1.json").read_text())
    merged = run_cli("merge", "topic")
    assert merged.exit_code == 4
    assert "conflict 1: feature 'p', geometry" in merged.stderr
    (line,) = run_cli("conflicts", "--json").stdout.splitlines()
    Draft202012Validator(schema).validate(json.loads(line))
    assert "geometry" in run_cli("conflicts").stdout
    aborted = run_cli("merge", "--abort")
    assert (aborted.exit_code, aborted.stdout) == (0, "the merge was taken back; the head is @3\n")
    assert run_cli("merge", "topic", "--json").exit_code == 4
    resolved = run_cli("resolve", "--all", "--take", "theirs")
    assert (resolved.exit_code, "1 conflict, 1 feature" in resolved.stdout) == (0, True)
    assert run_cli("conflicts").stdout.count("\n") <= 1
    assert "already" in run_cli("merge", "topic").stdout
    reverted = run_cli("revert", "HEAD")
    assert "event_reverted: @5 conflicts_resolved, 1 feature" in reverted.stdout
