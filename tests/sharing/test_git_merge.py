"""Git merges of two datasets, by real Git: the driver of `git-setup`, and the way without it.

The team example, which a test runs, merges with the driver, too.
"""

from __future__ import annotations

import subprocess

import pytest
from click.testing import CliRunner

from geographer import Dataset
from geographer.base.errors import ConflictError, NotFoundError
from geographer.cli import geographer_command
from geographer.sharing.git_merge import set_up_git
from tests.sample_history import read_contents, write_scenes
from tests.sample_team import Team, commit_all, long_form, run_git


def run_setup(folder, *arguments):
    done = CliRunner().invoke(geographer_command, ["-C", str(folder), "git-setup", *arguments])
    assert done.exit_code == 0, done.output
    return done.output


def merge_git(folder, commit):
    """Run `git merge`; return its exit code and what it prints."""
    command = ["git", "-c", "user.name=A", "-c", "user.email=a@example.org", "merge", "--no-edit", commit]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def diverge(team: Team, *, git_setup: bool = True) -> Dataset:
    """Let Ada and Bob change the dataset and publish or commit; Bob has Ada's commit as `hers`, but not her events."""
    if git_setup:
        run_setup(team.ada)
        commit_all(team.ada, "attributes")
    bob = team.copy_ada("bob")
    ada = Dataset.open(team.ada)
    ada.remove_rasters(["around/a_p1"])
    ada.add_rasters(write_scenes(team.folder, "c", offset=2, seed=5), collection="extra")
    ada.push()
    commit_all(team.ada, "hers")
    Dataset.open(bob).remove_rasters(["around/a_q1"])
    commit_all(bob, "his")
    run_git(bob, "fetch", "--quiet", str(team.ada), "main:hers")
    return Dataset.open(bob)


def finish_merge(bob: Dataset, revision: str) -> None:
    """Run the commands that the driver names, and require that workspace, lock, Git and log agree."""
    bob = Dataset.open(bob.root)
    bob.checkout("HEAD")
    bob.fetch()
    assert bob.merge_branch(revision).changed
    commit_all(bob.root, "merged")
    assert run_git(bob.root, "status", "--porcelain") == ""
    assert len(run_git(bob.root, "rev-list", "--parents", "-n1", "HEAD").split()) == 3
    assert bob.verify() == []
    names = {name for name in read_contents(bob.root / "rasters") if name.endswith(".tif")}
    assert names == {"source/a.tif", "source/b.tif", "extra/c.tif"}
    assert bob.push().changed


@long_form
def test_driver_keeps_our_side(team):
    """Git stops at the lock file without markers, names the commands, and has nothing of the other side in it."""
    bob = diverge(team)
    before = {name: (bob.root / name).read_bytes() for name in ("geographer.lock", "history.dvc")}
    code, text = merge_git(bob.root, "hers")
    assert code == 1
    digest = Dataset.open(team.ada).show().digest[:12]
    assert f"geographer checkout HEAD && geographer fetch && geographer merge {digest}" in text
    assert [line for line in text.splitlines() if "CONFLICT" in line] == [
        "CONFLICT (content): Merge conflict in geographer.lock"
    ]
    assert {name: (bob.root / name).read_bytes() for name in before} == before
    finish_merge(bob, "origin/main")
    Dataset.open(team.ada).pull()
    assert Dataset.open(team.ada).verify() == []


@long_form
def test_driver_keeps_our_side_in_other_direction(team):
    """Ada merges Bob's commit, whose events come by a branch of his."""
    bob = diverge(team)
    bob.create_branch("his")
    bob.push(branch="his")
    run_git(team.ada, "fetch", "--quiet", str(bob.root), "main:his")
    code, text = merge_git(team.ada, "his")
    assert (code, f"geographer merge {bob.show().digest[:12]}" in text) == (1, True)
    finish_merge(Dataset.open(team.ada), bob.show().digest[:12])


@long_form
def test_driver_takes_side_that_goes_on(team):
    """The log knows that one head leads to the other: Git takes that one's files, and commits."""
    run_setup(team.ada)
    commit_all(team.ada, "attributes")
    run_git(team.ada, "checkout", "--quiet", "-b", "newer")
    ada = Dataset.open(team.ada)
    ada.add_classes(["reed"])
    commit_all(team.ada, "6")
    ada.remove_rasters(["around/a_p1"])
    newest = commit_all(team.ada, "7")
    lock = (team.ada / "geographer.lock").read_bytes()
    run_git(team.ada, "checkout", "--quiet", "main")
    run_git(team.ada, "checkout", newest + "~1", "--", "geographer.lock", "history.dvc")
    (team.ada / "notes.txt").write_text("mine")
    older = commit_all(team.ada, "6 and notes")
    assert merge_git(team.ada, "newer")[0] == 0
    assert ((team.ada / "geographer.lock").read_bytes(), Dataset.open(team.ada).verify()) == (lock, [])
    run_git(team.ada, "checkout", "--quiet", "newer")
    assert merge_git(team.ada, older)[0] == 0
    assert ((team.ada / "geographer.lock").read_bytes(), Dataset.open(team.ada).verify()) == (lock, [])
    assert Dataset.open(team.ada).add_classes(["sand"]).position == 8


@long_form
def test_merge_without_driver_names_way_out(team):
    """Markers in lock and `.dvc` files: the commands that the error names lead to a merged dataset."""
    bob = diverge(team, git_setup=False)
    assert merge_git(bob.root, "hers")[0] == 1
    with pytest.raises(ConflictError, match=r"git checkout --ours -- geographer\.lock '\*\.dvc'; geographer checkout"):
        Dataset.open(bob.root).merge_branch("origin/main")
    run_git(bob.root, "checkout", "--ours", "--", "geographer.lock", "*.dvc")
    finish_merge(bob, "origin/main")


def test_setup_is_undone(team):
    """`--undo` leaves configuration and attributes as they were; the setup can be repeated."""
    (team.ada / ".gitattributes").write_text("*.txt text\n")
    config = run_git(team.ada, "config", "--local", "--list")
    assert "/geographer.lock merge=geographer" in run_setup(team.ada)
    once = (team.ada / ".gitattributes").read_text()
    run_setup(team.ada)
    assert (team.ada / ".gitattributes").read_text() == once
    attributes = run_git(team.ada, "check-attr", "merge", "rasters/around.dvc", "labels/m/around.dvc", "models.dvc")
    assert [line.rpartition(" ")[2] for line in attributes.splitlines()] == ["geographer", "geographer", "unspecified"]
    run_setup(team.ada, "--undo")
    assert (team.ada / ".gitattributes").read_text() == "*.txt text\n"
    assert run_git(team.ada, "config", "--local", "--list") == config


def test_setup_needs_git(dataset):
    with pytest.raises(NotFoundError, match="git init"):
        set_up_git(dataset.root)
