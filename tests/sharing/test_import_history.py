"""Import of a dataset that began as a copy: its events are checked, its files are hashed, and both are merged."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from geographer import Dataset
from geographer.base.errors import CorruptError
from geographer.cli import geographer_command
from tests.sample_history import point_geometry, write_features, write_scenes
from tests.sample_team import copy_team, long_form
from tests.storage.log.digest_oracle import read_log


@pytest.fixture(scope="module")
def diverged_team(team_template, tmp_path_factory):
    """Two copies that changed apart; the other one has a tag whose raster it has removed since."""
    team = copy_team(team_template, tmp_path_factory.mktemp("copies") / "team")
    theirs = Dataset.open(team.copy_ada("theirs"))
    Dataset.open(team.ada).add_classes(["reed"])
    theirs.add_rasters(write_scenes(team.folder, "c", "d", offset=2, seed=5))
    theirs.tag("with-c")
    theirs.remove_rasters(["c"])
    return team


@pytest.fixture
def team(diverged_team, tmp_path):
    """A copy of the team with diverged datasets."""
    return copy_team(diverged_team, tmp_path / "team")


@pytest.fixture
def copies(team):
    """Our dataset and the other one."""
    return Dataset.open(team.ada), Dataset.open(team.folder / "theirs")


def run_import(dataset, *arguments):
    runner = CliRunner()
    return runner.invoke(geographer_command, ["-C", str(dataset.root), "import", "dataset", *arguments])


def list_digests(dataset):
    with dataset._unit_of_work.database.open_connection(log="r") as connection:
        return {digest for (digest,) in connection.execute("SELECT digest FROM log.event").fetchall()}


def test_common_history_is_merged(copies, team):
    """The events of both are kept, with the tag and its files; a dry run changes nothing, a second import neither."""
    ours, theirs = copies
    before = read_log(ours.root / ".geographer/log.duckdb")
    planned = run_import(ours, str(theirs.root), "--dry-run")
    assert (
        planned.output == f"would merge 3 events of '{theirs.root}', which has a common history; nothing was changed\n"
    )
    assert read_log(ours.root / ".geographer/log.duckdb") == before
    theirs_digests = list_digests(theirs)
    result = ours.import_dataset(theirs.root)
    assert (result.kind, result.position) == ("branch_merged", 7)
    assert theirs_digests <= list_digests(ours)
    assert {row["raster_id"] for row in ours.rasters().to_pylist()} == {"a", "b", "d", "around/a_p1", "around/a_q1"}
    assert (ours.root / "rasters/source/d.tif").exists()
    ours.checkout("with-c", to=team.folder / "with-c")
    assert (team.folder / "with-c/rasters/source/c.tif").exists()
    assert [branch.name for branch in ours.list_branches()] == ["main", "origin/main"]
    assert not ours.import_dataset(theirs.root).changed
    assert ours.verify() == []


@long_form
def test_older_revision_moves_the_branch_forward(copies, team):
    _, theirs = copies
    ours = team.clone("ours")
    done = run_import(ours, str(theirs.root), "--at", "HEAD~2")
    assert "moved forward to" in done.output
    assert Dataset.open(ours.root).show().digest == theirs.show("HEAD~2").digest
    assert Dataset.open(ours.root).verify() == []


@long_form
def test_conflicts_are_left_to_resolve(copies, team):
    """What both changed is a conflict; with `--on-equal-id`, the objects are imported as those of another dataset."""
    ours, theirs = copies
    for dataset, column in ((ours, 12), (theirs, 14)):
        path = write_features(team.folder / f"{column}.geojson", {"p1": ("pond", point_geometry(column + 0.5, 10.5))})
        dataset.add_features(path, crs="EPSG:32633", replace=True)
    other = Dataset.open(team.folder / "ada")
    assert other.import_dataset(theirs.root, on_equal_id="theirs", dry_run=True).kind == "dataset_imported"
    done = run_import(ours, str(theirs.root))
    assert (done.exit_code, "conflict 1: feature 'p1', geometry" in done.output) == (4, True)


def test_altered_history_is_refused(copies):
    """Events and files of the other folder are checked like those of a remote; nothing of them is taken in."""
    ours, theirs = copies
    before = list_digests(ours)
    (raster,) = theirs.rasters(where="raster_id = 'd'").to_pylist()
    path = theirs.root / ".dvc/cache/files/md5" / raster["md5"][:2] / raster["md5"][2:]
    content = path.read_bytes()
    for cached in (theirs.root / ".dvc/cache").rglob(raster["md5"][2:]):
        cached.chmod(0o644)
        cached.write_bytes(content[:-1])
    with pytest.raises(CorruptError, match="missing or altered in"):
        ours.import_dataset(theirs.root)
    for cached in (theirs.root / ".dvc/cache").rglob(raster["md5"][2:]):
        cached.write_bytes(content)
    with theirs._unit_of_work.database.open_connection(log="w") as connection:
        connection.execute("UPDATE log.raster_change SET bands = 9 WHERE raster_id = 'd'")
    with pytest.raises(CorruptError, match="do not match its digest"):
        Dataset.open(ours.root.parent / "ada").import_dataset(theirs.root)
    assert Dataset.open(ours.root).show().position == 6
    assert list_digests(Dataset.open(ours.root)) == before
