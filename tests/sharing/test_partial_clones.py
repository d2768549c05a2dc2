"""Partial clones: closed under the graph, verified, grown by the difference, and able to add and push."""

from __future__ import annotations

from pathlib import Path

import pytest

from geographer import Dataset
from geographer.base.errors import (
    ConflictError,
    CorruptError,
    GeographerError,
    NotFoundError,
    UnsupportedVersionError,
    UsageError,
)
from geographer.sharing import grow as grow_module
from geographer.sharing.partial_clone import begin_partial_clone
from geographer.storage.dvc.remote import Remote
from geographer.storage.workspace.partial.selected_files import FileEvaluator, resolve_selection
from geographer.storage.workspace.partial.selection import make_partial_clone, make_selection
from tests.cli.runner import read_rows, run_command
from tests.sample_history import flip_bit_of_file, write_scenes
from tests.sample_team import Team, long_form, run_git
from tests.shared_folders import copy_once
from tests.sharing.partial_team import (
    HEAD,
    PONDS,
    V1,
    RevisionTables,
    Selection,
    copy_partial_team,
    create_partial_team,
    list_files,
    list_listed_paths,
    list_selected_paths,
    list_workspace_paths,
    read_tables,
)

SELECTIONS = [
    Selection({"where": PONDS}, lambda row: row["class"] == "pond"),
    Selection({"where": "class <> 'pond' AND feature_id > 'q1'"}, lambda row: row["feature_id"] in ("q2", "r1")),
    Selection({"collections": ["source"]}),
    Selection({"collections": ["grid", "around"]}),
    Selection({"subsets": ["parts/train"]}),
    Selection({"rasters": ["b", "around/a_q1"]}),
    Selection({"bbox": (180.0, 0.9, 180.0, 1.0)}),
    Selection({"bbox": (179.99, -17.0, -179.97, 0.75)}),
    Selection({"bbox": (-179.99, 0.0, -179.9, 1.0)}),
    Selection({"bbox": (179.0, -1.0, -179.0, 2.0), "where": "class = 'reef'"}, lambda row: row["class"] == "reef"),
    Selection({"bbox": (15.0, 46.9, 15.02, 46.96), "collections": ["source"], "subsets": ["parts/test"]}),
]
PARTIAL = SELECTIONS[0]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Team:
    """A team, and `bob`, a partial clone of the ponds; copy it before changing it."""

    def create_folder(folder: Path) -> None:
        team = create_partial_team(folder / "team")
        Dataset.clone(str(team.ada), team.folder / "bob", revisions="all", **PARTIAL.conditions)

    return Team(copy_once(tmp_path_factory, "partial_team", create_folder) / "team")


@pytest.fixture(scope="module")
def tables(template: Team) -> dict[int, RevisionTables]:
    """The tables of some revisions of the template, by position, for the oracle."""
    dataset = Dataset.open(template.ada)
    return {position: read_tables(dataset, position) for position in (7, V1, HEAD)}


@pytest.fixture(scope="module")
def shared_bob(template: Team) -> Dataset:
    """The partial clone of the template, which no test may change."""
    return Dataset.open(template.folder / "bob")


@pytest.fixture
def team(template: Team, tmp_path: Path) -> Team:
    return copy_partial_team(template, tmp_path / "team")


@pytest.fixture
def bob(team: Team) -> Dataset:
    return Dataset.open(team.folder / "bob")


def list_cached_md5s(root: Path) -> set[str]:
    """Return the objects in the cache of a dataset that are no listings and no segments."""
    objects = {path.parent.name + path.name for path in (root / ".dvc/cache/files/md5").rglob("*") if path.is_file()}
    return {md5 for md5 in objects if not md5.endswith(".dir")}


@pytest.fixture
def downloads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The MD5s of the objects that are downloaded from then on."""
    md5s: list[str] = []
    download = Remote.download_objects

    def count_objects(self, path_of_md5, *args):
        md5s.extend(path_of_md5)
        return download(self, path_of_md5, *args)

    monkeypatch.setattr(Remote, "download_objects", count_objects)
    return md5s


@pytest.mark.parametrize("selection", SELECTIONS, ids=lambda selection: " ".join(map(str, selection.conditions)))
def test_selected_files_equal_oracle(selection, template, tables):
    """At every revision, the files are those that plain Python and shapely select from the tables."""
    dataset = Dataset.open(template.ada)
    with dataset._unit_of_work.open_revision(f"@{V1}") as revision:
        parsed = make_selection(**selection.conditions)
        assert parsed is not None
        clone = make_partial_clone(resolve_selection(revision, parsed))
        with FileEvaluator(revision.connection, clone) as evaluator:
            selected = {position: evaluator.list_selected_md5s(position) for position in tables}
            counts = evaluator.count_files(V1)
    expected = {position: list_selected_paths(table, selection) for position, table in tables.items()}
    assert selected == {position: {*paths.values()} for position, paths in expected.items()}
    assert (counts.selected_files, counts.files) == (len(expected[V1]), len(list_files(tables[V1])))


def test_selections_of_tests_differ(tables):
    """The oracle takes some files and leaves others, so that equal sets mean something."""
    taken = [frozenset(list_selected_paths(tables[V1], selection)) for selection in SELECTIONS]
    assert all(0 < len(paths) < len(list_files(tables[V1])) for paths in taken)
    assert len({*taken}) >= len(SELECTIONS) - 2


def test_partial_clone_has_selected_files(template, tables):
    """The cache has the selected files of all revisions, the workspace those of the head; all else is as in a full one."""
    ada, bob = Dataset.open(template.ada), Dataset.open(template.folder / "bob")
    taken = {md5 for table in tables.values() for md5 in list_selected_paths(table, PARTIAL).values()}
    cached, files = list_cached_md5s(bob.root), list_files(tables[HEAD])
    assert {md5 for table in tables.values() for *_, md5 in list_files(table) if md5 in cached} == taken
    assert list_workspace_paths(bob.root) == {path for _, path, md5 in files if md5 in taken}
    assert (
        {*list_selected_paths(tables[HEAD], PARTIAL)} < list_workspace_paths(bob.root) < {path for _, path, _ in files}
    )
    assert bob.content_digest() == ada.content_digest()
    assert bob.rasters().to_pylist() == ada.rasters().to_pylist()
    assert list_listed_paths(bob.root) == list_listed_paths(template.ada) == list_workspace_paths(template.ada)
    assert run_git(bob.root, "status", "--porcelain") == ""


def test_verify_knows_absent_files(bob, team, downloads):
    """Absent files are counted and not missed; a selected one is, missing or altered; nothing else is fetched."""
    result = bob.verify(all_tags=True)
    names = list_listed_paths(bob.root) - list_workspace_paths(bob.root)
    assert result == []
    assert downloads == []
    assert result.report.absent >= len(names) > 0
    assert "absent on purpose" in " ".join(result.report.list_lines())
    assert "partial clone" in result.report.format_success()
    selected = bob.root / "rasters/source/c.tif"
    content = selected.read_bytes()
    selected.unlink()
    assert [finding.kind for finding in bob.verify()] == ["missing raster"]
    selected.write_bytes(content)
    flip_bit_of_file(selected)
    assert [finding.kind for finding in bob.verify()] == ["altered raster"]
    bob.checkout()
    assert bob.verify() == []


def test_verify_without_remote(bob, team):
    """What the remote was known to have is absent on purpose also when it cannot be reached."""
    team.remote.rename(team.folder / "away")
    assert bob.verify() == []


def test_checkout_brings_selection_of_revision(bob, tables):
    """The workspace shows what is selected at the revision, and what the cache has of it."""
    cached, shown = list_cached_md5s(bob.root), set()
    for position in (7, V1):
        bob.checkout(f"@{position}")
        paths = frozenset(list_workspace_paths(bob.root))
        assert {*list_selected_paths(tables[position], PARTIAL)} <= paths
        assert paths == {path for _, path, md5 in list_files(tables[position]) if md5 in cached}
        shown.add(paths)
    assert len(shown) == 2
    assert bob.verify("v1") == []
    assert bob.checkout("HEAD").absent == len(list_listed_paths(bob.root)) - len(list_workspace_paths(bob.root))


def test_absent_files_are_named(bob, team, tmp_path):
    """Commands that need an absent file name it and the next step, fetch nothing, and change nothing."""
    head, cached = bob.show().digest, list_cached_md5s(bob.root)
    commands = [
        lambda: bob.open_raster("b"),
        lambda: bob.compute_statistics(collection="around"),
        lambda: bob.checkout(to=tmp_path / "copy"),
        lambda: bob.cut_grid("tiles", source="source", size=(32, 32)),
        lambda: bob.export_samples("folder", tmp_path / "samples", split="parts"),
    ]
    for command in commands:
        with pytest.raises(NotFoundError, match=r"partial clone \(--where .*geographer fetch --raster"):
            command()
    assert (bob.show().digest, list_cached_md5s(bob.root)) == (head, cached)
    assert not (tmp_path / "copy").exists()
    assert bob.verify() == []


def test_rerun_says_which_source_is_absent(shared_bob):
    """What can be made again of what is here is compared, absent chips as well; the others say why not."""
    files = {item.raster_id: item for item in shared_bob.rerun_revision().files if item.label is None}
    assert {name for name, item in files.items() if item.result == "identical bytes"} >= {"around/a_p1", "around/c_q2"}
    assert "geographer fetch --raster sea" in files["grid/sea_c0_r0"].reason


def check_own_lost_file(bob, path):
    """A raster that was added here, is not selected, and was never pushed, is no absent file when it is lost."""
    (md5,) = (row["md5"] for row in bob.rasters().to_pylist() if row["path"] == path)
    copies = [bob.root / path, bob.root / ".dvc/cache/files/md5" / md5[:2] / md5[2:]]
    content = copies[0].read_bytes()
    for copy in copies:
        copy.unlink()
    assert {finding.kind for finding in bob.verify()} == {"missing raster"}
    for copy in copies:
        copy.write_bytes(content)


def test_partial_clone_adds_and_pushes(bob, team):
    """A full clone of what a partial clone pushed is whole: it has all old files, and the new ones."""
    bob.add_rasters(write_scenes(team.folder / "new", "d", offset=3, seed=9), collection="source")
    check_own_lost_file(bob, "rasters/source/d.tif")
    bob.tag("v2")
    before = {path.name for path in (team.remote / "files").rglob("*") if path.is_file()}
    result = bob.push()
    after = {path.name for path in (team.remote / "files").rglob("*") if path.is_file()}
    assert result.changed
    assert before <= after
    assert len(after - before) == result.objects
    assert list_listed_paths(bob.root) == list_listed_paths(team.ada) | {"rasters/source/d.tif"}
    full = team.clone("whole")
    assert full.verify(all_tags=True) == []
    assert list_workspace_paths(full.root) == list_listed_paths(bob.root)
    assert "rasters/source/d.tif" in list_workspace_paths(bob.root)


@long_form
def test_update_in_partial_clone(bob):
    """Recipes run for what is here: the new pond gets its chip, and the mask is made."""
    results = bob.update()
    assert [result.kind for result in results if result.changed]
    assert "rasters/around/c_p2.tif" in list_workspace_paths(bob.root)
    assert bob.verify() == []


def test_push_to_remote_without_files_is_refused(bob, team):
    """A published head promises its files, so an empty remote gets nothing from a partial clone."""
    (team.folder / "backup").mkdir()
    with bob._unit_of_work.file_store as store:
        store.add_remote("backup", str(team.folder / "backup"))
    with pytest.raises(ConflictError, match=r"absent on purpose.*geographer fetch --all"):
        bob.push("backup")
    assert [path for path in (team.folder / "backup").rglob("*") if path.is_file()] == []


def test_growth_fetches_difference(bob, team, tables, downloads):
    """Each growth downloads what the cache lacks, its bytes are counted, and --all makes the clone whole."""
    quarry = Selection({"where": "class = 'quarry'"}, lambda row: row["class"] == "quarry")
    selected = {at: list_selected_paths(tables[at], quarry) for at in (V1, HEAD)}
    expected = {md5 for paths in selected.values() for md5 in paths.values()} - list_cached_md5s(bob.root)
    result = bob.fetch(**quarry.conditions)
    assert sorted(downloads) == sorted(expected)
    objects = [team.remote / "files/md5" / md5[:2] / md5[2:] for md5 in expected]
    assert (result.objects, result.bytes) == (len(expected), sum(path.stat().st_size for path in objects))
    assert {*list_selected_paths(tables[HEAD], PARTIAL), *selected[HEAD]} <= list_workspace_paths(bob.root)
    downloads.clear()
    assert bob.fetch(**quarry.conditions).objects == 0
    rest = {md5 for at in (V1, HEAD) for *_, md5 in list_files(tables[at])} - list_cached_md5s(bob.root)
    assert bob.fetch(all_files=True).objects == len(rest) > 0
    assert sorted(downloads) == sorted(rest)
    assert list_workspace_paths(bob.root) == list_workspace_paths(team.ada)
    assert bob.sharing_status().partial is None
    assert bob.verify().report.to_dict().get("absent") is None
    with pytest.raises(UsageError, match="takes all files"):
        bob.fetch(rasters="a")


@long_form
def test_interrupted_growth_changes_no_selection(bob, monkeypatch):
    path = bob.root / ".geographer/partial.json"
    before = path.read_bytes()

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(grow_module, "write_partial_clone", stop)
        with pytest.raises(KeyboardInterrupt):
            bob.fetch(collections="source")
    assert path.read_bytes() == before
    assert bob.verify() == []
    assert bob.fetch(collections="source").objects == 0
    assert bob.verify() == []


def test_pull_takes_selection_of_new_revisions(bob, team, downloads):
    """Of what others pushed, only selected files come: here a scene with a pond, and none without."""
    ada = Dataset.open(team.ada)
    ada.add_rasters(
        [*write_scenes(team.folder / "new", "d", offset=2), *write_scenes(team.folder / "new", "e", offset=9)]
    )
    ada.push()
    before = list_cached_md5s(bob.root)
    bob.pull()
    table = read_tables(ada, ada.show().position)
    selected = list_selected_paths(table, PARTIAL)
    new = {md5 for *_, md5 in list_files(table)} - before
    assert new & {*downloads} == new & {*selected.values()} > set()
    assert new - {*selected.values()}
    assert {*selected} <= list_workspace_paths(bob.root)
    assert bob.verify() == []


@long_form
def test_merge_does_not_fetch_absent_files(bob, team, downloads):
    """Files of the other branch need not be here: that the remote has them is enough."""
    ada = Dataset.open(team.ada)
    ada.add_rasters(write_scenes(team.folder / "new", "d", offset=3, seed=9))
    ada.push()
    bob.add_classes(["reed"])
    bob.fetch()
    downloads.clear()
    assert bob.merge_branch("origin/main").changed
    assert downloads == []
    assert bob.verify() == []
    assert bob.push().changed
    assert team.clone("whole").verify() == []


@long_form
def test_gc_in_partial_clone(bob, team):
    """A garbage collection deletes nothing that this clone or the remote needs."""
    cached = list_cached_md5s(bob.root)
    assert bob.collect_garbage(revisions="all").deleted.objects == 0
    assert list_cached_md5s(bob.root) == cached
    files = {path for path in (team.remote / "files").rglob("*") if path.is_file()}
    bob.collect_garbage(remote="origin", revisions="all")
    assert {path for path in (team.remote / "files").rglob("*") if path.is_file()} == files
    bob.collect_garbage(remote="origin")
    assert team.clone("whole").verify(all_tags=True) == []
    assert bob.verify() == []


@long_form
def test_rename_moves_no_absent_file(bob):
    """Paths of absent files change in the `.dvc` files alone."""
    shown = {path.replace("rasters/source/", "rasters/scenes/") for path in list_workspace_paths(bob.root)}
    bob.rename_collection("source", "scenes")
    assert list_workspace_paths(bob.root) == shown
    assert {"rasters/scenes/a.tif", "rasters/scenes/b.tif"} <= list_listed_paths(bob.root)
    assert bob.verify() == []


def test_interrupted_clone_takes_its_selection(team, tables):
    """A clone with an unknown collection is unfinished; the corrected command goes on."""
    folder = team.folder / "carol"
    with pytest.raises(NotFoundError, match="no collection 'islnds'"):
        Dataset.clone(str(team.remote), folder, collections="islnds")
    clone = Dataset.clone(str(team.remote), folder, collections="islands", revisions="current")
    assert list_workspace_paths(folder) == {*list_selected_paths(tables[HEAD], Selection({"collections": ["islands"]}))}
    assert clone.verify() == []


def test_command_line_states_files_and_bytes(team, tables):
    text = run_command(team.folder, "clone", "ada", "dora", "--subset", "test", "--collection", "around")
    counts = read_rows(team.folder / "dora", "status")[0]["partial"]
    selection = Selection({"subsets": ["parts/test"], "collections": ["around"]})
    expected = list_selected_paths(tables[HEAD], selection)
    assert (counts["selected_files"], counts["files"]) == (len(expected), len(list_listed_paths(team.ada)))
    assert counts["selected_bytes"] == sum((team.ada / path).stat().st_size for path in expected)
    assert f"{counts['selected_files']} of {counts['files']} files, {counts['selected_bytes']:,} of" in text
    assert "--collection around --subset parts/test" in text
    fetched = run_command(team.folder / "dora", "fetch", "--raster", "b")
    size = (team.ada / "rasters/source/b.tif").stat().st_size
    assert f"{size:,} bytes of files fetched; partial clone: --collection around" in fetched


INVALID = [
    ({"bbox": "1,2,3"}, UsageError, "--bbox"),
    ({"bbox": (500_000, 5_200_000, 500_100, 5_200_100)}, UsageError, "degrees"),
    ({"bbox": "nan,0,1,1"}, UsageError, "--bbox"),
    ({"bbox": {}}, UsageError, "--bbox"),
    ({"where": ""}, UsageError, "--where"),
    ({"where": "true) OR (true"}, UsageError, "--where"),
    ({"where": "(SELECT true)"}, UsageError, "subquery"),
    ({"where": "random() < 0.5"}, UsageError, "varies"),
    ({"where": "depth > 1 AND nothing = 2"}, NotFoundError, "nothing"),
    ({"where": "class::INT > 1"}, UsageError, "cannot evaluate"),
    ({"collections": ["source", "lakes"]}, NotFoundError, "lakes"),
    ({"collections": 1.5}, UsageError, "--collection"),
    ({"collections": ["a\udc00"]}, UsageError, "--collection"),
    ({"subsets": "dev"}, NotFoundError, "dev"),
    ({"rasters": ["a", "z'; DROP"]}, NotFoundError, "DROP"),
    ({"rasters": [None]}, UsageError, "--raster"),
    ({"all_files": True, "rasters": "a"}, UsageError, "--all"),
]


@pytest.mark.parametrize(("conditions", "error", "text"), INVALID, ids=lambda value: str(value)[:40])
def test_invalid_conditions_change_nothing(conditions, error, text, shared_bob):
    bob = shared_bob
    path = bob.root / ".geographer/partial.json"
    before = path.read_bytes()
    with pytest.raises(error, match=text):
        bob.fetch(**conditions)
    assert path.read_bytes() == before


def test_empty_selection_is_warned_of(bob, caplog):
    begin_partial_clone(bob._unit_of_work, make_selection(bbox=(0, 0, 1, 1)))
    assert "choose no file of @13: --bbox 0,0,1,1" in caplog.text
    assert bob.sharing_status().partial.counts.selected_files == 0


def test_damaged_selection_is_named(bob):
    path = bob.root / ".geographer/partial.json"
    contents: dict[bytes, type[GeographerError]] = {
        b"": CorruptError,
        b"[" * 100_000: CorruptError,
        b'{"version": 1, "selections": []}': CorruptError,
    }
    contents |= {b'{"version": 1, "selections": [{"place": "x"}]}': CorruptError}
    contents |= {b'{"version": 2, "selections": {}}': UnsupportedVersionError}
    for content, error in contents.items():
        path.write_bytes(content)
        for command in (bob.checkout, bob.verify, bob.sharing_status, bob.fetch):
            with pytest.raises(error, match=r"partial"):
                command()
        assert path.read_bytes() == content
    bob.fetch(all_files=True)
    assert list_workspace_paths(bob.root) == list_listed_paths(bob.root)
