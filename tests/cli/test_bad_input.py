"""Bad input, in bulk: each error names the thing and the next step, ends with its code, and nothing has moved."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import duckdb
import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from rasterio.errors import NotGeoreferencedWarning

from geographer import Dataset
from geographer.cli import main
from tests.cli.conftest import Run
from tests.rasters.scenes import pixels, write_scene
from tests.story import contents

USAGE, NOT_FOUND, CONFLICT, CORRUPT, STORAGE, INTERRUPTED = 2, 3, 4, 5, 6, 130


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of files that are not fit."""
    folder = tmp_path_factory.mktemp("bad")
    (folder / "notes.tif").write_text("not a raster")
    (folder / "notes.geojson").write_text("{")
    (folder / "empty.tif").write_bytes(b"")
    whole = write_scene(folder / "whole.tif", pixels(1, 64, 64)).read_bytes()
    (folder / "torn.tif").write_bytes(whole[: len(whole) // 2])
    (folder / "whole.tif").unlink()
    write_scene(folder / "bare.tif", pixels(1, 16, 16), crs=None)
    write_scene(folder / "degrees.tif", pixels(1, 16, 16), crs="EPSG:4326")
    with pytest.warns(NotGeoreferencedWarning):
        write_scene(folder / "adrift.tif", pixels(1, 16, 16), transform=(1, 0, 0, 0, 1, 0))
    write_scene(folder / "a.tif", pixels(1, 16, 16, seed=9))
    (folder / "nothing").mkdir()
    shapes = {
        "null": None,
        "void": shapely.Polygon(),
        "bow": shapely.Polygon([(0, 0), (1, 1), (1, 0), (0, 1)]),
        "far": shapely.Point(0, 91),
    }
    for name, shape in shapes.items():
        given = geopandas.GeoDataFrame({"id": ["x", "y", name]}, geometry=[shapely.Point(1, 1)] * 2 + [shape], crs=4326)
        given.assign(**{"class": "pond"}).to_parquet(folder / f"{name}.parquet")
    points = geopandas.GeoDataFrame({"id": ["n", "n"]}, geometry=[shapely.Point(1, 1)] * 2, crs=4326)
    points.assign(**{"class": "pond"}).to_parquet(folder / "twice.parquet")
    points.assign(id=["n", "p1"], **{"class": "pond"}).to_parquet(folder / "known.parquet")
    points.assign(id=["n", "m"], **{"class": ["pond", "tarn"]}).to_parquet(folder / "tarn.parquet")
    points.assign(id=["n", "m"]).set_crs(None, allow_override=True).to_parquet(folder / "no crs.parquet")
    metres = points.assign(id=["n", "m"], geometry=[shapely.Point(500_000, 5_200_000)] * 2)
    metres.to_parquet(folder / "metres.parquet")
    item = {"type": "Feature", "stac_version": "1.0.0", "id": "s", "properties": {}, "geometry": None}
    (folder / "item.json").write_text(json.dumps(item))
    return folder


@pytest.fixture(scope="module")
def root(story, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole story's dataset, declared to know its classes, with a recipe of each kind."""
    return shutil.copytree(story.root, tmp_path_factory.mktemp("shared") / "dataset")


def everything(root: Path) -> dict[str, bytes]:
    """All that a command could leave behind: files of data and DVC; the log and what the workspace shows."""
    kept = {
        path: content
        for path, content in contents(root).items()
        if not path.startswith(".dvc/tmp/") and not path.endswith(("state.duckdb", "log.duckdb", ".wal"))
    }
    return {**kept, "the head": Dataset.open(root).show().digest.encode()}


@pytest.fixture(scope="module")
def before(root: Path) -> dict[str, bytes]:
    return everything(root)


@pytest.fixture(autouse=True)
def _nothing_moves(root: Path, before: dict[str, bytes]) -> Iterator[None]:
    yield
    assert everything(root) == before


FILES = [
    ("add features nowhere.gpkg", NOT_FOUND, ["no such file", "nowhere.gpkg"]),
    ("add features notes.geojson", USAGE, ["notes.geojson", "can't be read as vector data"]),
    ("add features notes.tif", USAGE, ["notes.tif", "can't be read as vector data"]),
    ("add features nothing", USAGE, ["nothing", "can't be read as vector data"]),
    ("add features null.parquet", USAGE, ["'null'", "no geometry", "--on-error skip"]),
    ("add features void.parquet", USAGE, ["'void'", "empty", "--on-error skip"]),
    ("add features bow.parquet", USAGE, ["'bow'", "invalid", "make_valid", "--on-error skip"]),
    ("add features far.parquet", USAGE, ["'far'", "out of range", "--on-error skip"]),
    ("add features twice.parquet", CONFLICT, ["'n'", "stands twice in the file", "--on-error skip"]),
    ("add features known.parquet", CONFLICT, ["'p1'", "in the dataset already", "--on-error skip"]),
    ("add features metres.parquet", USAGE, ["metres.parquet", "longitude/latitude", "POINT (500000", "--crs"]),
    ("add features metres.parquet --on-error skip", USAGE, ["metres.parquet", "longitude/latitude", "--crs"]),
    ("add features metres.parquet --crs nonsense", USAGE, ["'nonsense'", "EPSG"]),
    ("add features twice.parquet --id nosuch", NOT_FOUND, ["'nosuch'", "it has id, class"]),
    ("add features twice.parquet --class nosuch", NOT_FOUND, ["'nosuch'", "it has id, class"]),
    ("add features twice.parquet --class id --as-class pond", USAGE, ["--class", "--as-class", "one of them"]),
    ("add features twice.parquet --where nosuch=1", NOT_FOUND, ["'nosuch'", "the columns are class, geometry, id"]),
    ("add features twice.parquet --where id>", USAGE, ["'id>'", "not an SQL expression"]),
    ("add rasters nowhere.tif", NOT_FOUND, ["no such file", "nowhere.tif"]),
    ("add rasters nothing", NOT_FOUND, ["no raster in folder", "nothing"]),
    ("add rasters notes.tif", USAGE, ["notes.tif", "not a raster", "convert it to GeoTIFF"]),
    ("add rasters empty.tif", USAGE, ["empty.tif", "not a raster but empty"]),
    ("add rasters torn.tif", CORRUPT, ["torn.tif", "damaged", "get it again"]),
    ("add rasters bare.tif", USAGE, ["bare.tif", "has no CRS", "--crs EPSG"]),
    ("add rasters bare.tif --crs nonsense", USAGE, ["'nonsense'", "EPSG"]),
    ("add rasters adrift.tif", USAGE, ["adrift.tif", "has no transform", "georeference it"]),
    ("add rasters degrees.tif", USAGE, ["degrees.tif", "claims EPSG:4326", "metres?", "--crs"]),
    ("add rasters a.tif", CONFLICT, ["'a'", "in the dataset already", "rename"]),
    ("add rasters bare.tif --collection around --crs EPSG:32633", CONFLICT, ["'around'", "--collection"]),
    ("add rasters bare.tif --collection a/b", USAGE, ["'a/b'", "use letters"]),
    ("add rasters bare.tif --crs EPSG:32633 --acquired WHEN", USAGE, ["bare.tif", "no tag 'WHEN'"]),
    ("add catalogue nowhere.json", NOT_FOUND, ["no such file", "nowhere.json"]),
    ("add catalogue item.json", USAGE, ["'s'", "no footprint"]),
    ("add catalogue metres.parquet --id class", NOT_FOUND, ["no column 'class'"]),
    ("add catalogue null.parquet", USAGE, ["null.parquet", "no polygon"]),
]


@pytest.mark.parametrize(("line", "code", "told"), FILES, ids=[line for line, *_ in FILES])
def test_files_that_are_not_fit(run: Run, root, bad, monkeypatch, line, code, told):
    monkeypatch.chdir(bad)
    ended = run(root, *line.split())
    assert (ended.code, ended.out) == (code, ""), ended.err
    assert ended.err.startswith("Error: ")
    for word in told:
        assert word in ended.err


WORDS = [
    (["nosuch"], USAGE, ["No such command 'nosuch'", "--help"]),
    (["status", "--nosuch"], USAGE, ["No such option '--nosuch'"]),
    (["init"], CONFLICT, ["is a dataset already", "choose another folder"]),
    (["add", "classes", "pond"], CONFLICT, ["'pond'", "is there already"]),
    (["add", "classes", "fen", "fen"], CONFLICT, ["'fen'", "stands twice"]),
    (["add", "classes", ""], USAGE, ["no name"]),
    (["add", "classes", "fen", "--expect-head", "abc123"], CONFLICT, ["the head is @", "not the expected abc123"]),
    (["add", "classes", "fen", "--idempotency-key", "scenes"], CONFLICT, ["'scenes'", "use a new key"]),
    (["remove", "features", "p1", "nobody"], NOT_FOUND, ["no feature 'nobody'", "geographer features"]),
    (["remove", "rasters", "nothing"], NOT_FOUND, ["no raster 'nothing'", "geographer rasters"]),
    (["features", "--at", "v9"], NOT_FOUND, ["no revision 'v9'", "geographer log"]),
    (["features", "--at", "@99"], NOT_FOUND, ["'@99'", "the log goes from @1"]),
    (["features", "--at", "HEAD~99"], NOT_FOUND, ["'HEAD~99'", "the log goes from @1"]),
    (["features", "--at", "1999-12-31"], NOT_FOUND, ["1999-12-31", "geographer log"]),
    (["features", "--at", "ffffffffff"], NOT_FOUND, ["'ffffffffff'", "geographer log"]),
    (["features", "--where", "height > 1"], NOT_FOUND, ["'height'", "the columns are class, depth"]),
    (["features", "--where", "depth > 'deep'"], USAGE, ["deep", "can't be evaluated"]),
    (["features", "--where", "depth IN (SELECT 1)"], USAGE, ["holds a subquery", "use one expression"]),
    (["features", "--where", "true) OR (true"], USAGE, ["not an SQL expression"]),
    (["features", "--where", "random() > 0.5"], USAGE, ["calls 'random'", "leave it out"]),
    (["features", "--feature", "nobody"], NOT_FOUND, ["no feature 'nobody'", "geographer features"]),
    (["edges", "--raster", "nothing"], NOT_FOUND, ["no raster 'nothing'", "geographer rasters"]),
    (["features", "--relation", "contains"], USAGE, ["--relation", "ask for edges"]),
    (["features", "--relation", "touches"], USAGE, ["'touches'", "contains"]),
    (["features", "--format", "parquet"], USAGE, ["--output FILE"]),
    (["edges", "--format", "geojson"], USAGE, ["edges", "no geometry", "--format json"]),
    (["features", "--json", "-o", "/nowhere/out.json"], STORAGE, ["/nowhere/out.json", "another --output"]),
    (["features", "--format", "parquet", "-o", "/nowhere/out.parquet"], STORAGE, ["/nowhere/out.parquet"]),
    (["log", "-n", "0"], USAGE, ["'-n'", "0 is not in the range"]),
    (["history", "nobody"], NOT_FOUND, ["'nobody'", "geographer features"]),
    (["show", "v9"], NOT_FOUND, ["no revision 'v9'"]),
    (["diff", "v1", "v9"], NOT_FOUND, ["no revision 'v9'"]),
    (["tag", "v1"], CONFLICT, ["tag 'v1'", "does not move", "choose another name"]),
    (["tag", "v3", "v9"], NOT_FOUND, ["no revision 'v9'"]),
    *((["tag", name], USAGE, ["can't name a tag"]) for name in ("HEAD", "head~2", "2020-01-01", "abc123", "@3", "a b", "")),
    (["checkout", "v9"], NOT_FOUND, ["no revision 'v9'"]),
    (["verify", "v9"], NOT_FOUND, ["no revision 'v9'"]),
    (["cut", "around", "x"], USAGE, ["Missing option '--size'"]),
    *(
        (["cut", "around", "x", "--size", size], USAGE, [f"'{size}' is no size", "512 or 640x480"])
        for size in ("0", "-3", "8x8x8", "1e3", "8x0", "²", "")
    ),
    *(
        (["cut", "grid", "x", "--size", "8", "--bands", bands], USAGE, [f"'{bands}' are no band numbers", "1,2,3"])
        for bands in ("a", "1,,2", "-1", "")
    ),
    (["cut", "grid", "x", "--size", "8", "--bands", "0"], USAGE, ["--bands 0", "have bands 1 to 2"]),
    (["cut", "grid", "x", "--size", "8", "--bands", "1,3"], USAGE, ["--bands 3", "have bands 1 to 2"]),
    (["cut", "grid", "x", "--size", "8", "--workers", "0"], USAGE, ["'--workers'", "0 is not in the range"]),
    (["cut", "around", "x", "--size", "8", "--target-count", "0"], USAGE, ["'--target-count'", "not in the range"]),
    (["cut", "around", "x", "--size", "8", "--where", "height > 1"], NOT_FOUND, ["'height'", "the columns are"]),
    (["cut", "around", "x", "--size", "8", "--where", "depth > 'deep'"], USAGE, ["deep", "can't be evaluated"]),
    (["cut", "around", "x", "--size", "8", "--from", "elsewhere"], NOT_FOUND, ["no collection 'elsewhere'", "source"]),
    (["cut", "around", "x", "--size", "8", "--from", "catalogue"], USAGE, ["'catalogue'", "without pixels"]),
    (["cut", "grid", "x", "--size", "8", "--at-border", "pad", "--pad-value", "999"], USAGE, ["999", "0 to 255"]),
    (["cut", "around", "a/b", "--size", "8"], USAGE, ["'a/b' can't name a recipe", "use letters"]),
    (["cut", "around", "source", "--size", "8"], CONFLICT, ["'source'", "another name"]),
    (["cut", "around", "around", "--size", "8"], CONFLICT, ["'around' is a cut around recipe", "another name"]),
    (["cut", "around", "grid", "--size", "8"], CONFLICT, ["'grid' is a cut grid recipe", "another name"]),
    (["cut", "around", "mask", "--size", "8"], CONFLICT, ["'mask' is a label mask recipe", "another name"]),
    (["label", "mask", "around", "--collection", "around"], CONFLICT, ["'around' is a cut around", "another name"]),
    (["label", "mask", "m"], USAGE, ["Missing option '--collection'"]),
    (["label", "mask", "m", "--collection", "elsewhere"], NOT_FOUND, ["no collection 'elsewhere'"]),
    (["label", "mask", "m", "--collection", "catalogue"], USAGE, ["'catalogue'", "without pixels"]),
    (["split", "s", "--collection", "grid"], USAGE, ["Missing option '--parts'"]),
    *(
        (["split", "s", "--collection", "grid", "--parts", parts], USAGE, ["is no part", "train=0.7,val=0.15,test=0.15"])
        for parts in ("", "train", "train=x", "train=0", "train=-1", "train=nan", "train=inf", "=1", "a=1,a=1", "a=1,")
    ),
    (["split", "s", "--collection", "elsewhere", "--parts", "a=1"], NOT_FOUND, ["no collection 'elsewhere'"]),
    (["split", "s", "--collection", "grid", "--parts", "a=1", "--buffer", "-1"], USAGE, ["'--buffer'", "x>=0"]),
    (["split", "parts", "--collection", "grid", "--parts", "a=1"], CONFLICT, ["'parts' is a split recipe", "another name"]),
    (["sql", ""], USAGE, ["one SELECT"]),
    (["sql", "SELEC 1"], USAGE, ["can't be read"]),
    (["sql", "SELECT 1; SELECT 2"], USAGE, ["one SELECT"]),
    (["sql", "SELECT 1", "--at", "v9"], NOT_FOUND, ["no revision 'v9'"]),
    (["sql", "SELECT * FROM nosuch"], USAGE, ["nosuch", "The tables are features"]),
    (["sql", "SELECT nosuch FROM features", "--json"], USAGE, ["nosuch", "The tables are features"]),
    *(
        (["sql", statement], USAGE, ["one SELECT", "commands only"])
        for statement in (
            "DELETE FROM features",
            "UPDATE log.event SET author = 'x'",
            "CREATE TABLE t AS SELECT 1",
            "COPY features TO 'out.csv'",
            "ATTACH 'other.duckdb'",
            "SET threads = 1",
            "INSTALL httpfs",
            "EXPLAIN SELECT 1",
            "CALL pragma_version()",
        )
    ),
    *(
        (["sql", f"SELECT * FROM {source}"], USAGE, ["can't be run"])
        for source in (
            "read_csv('/etc/passwd')",
            "read_text('/etc/hostname')",
            "'/etc/passwd'",
            "glob('/*')",
            "ST_Read('/etc/passwd')",
            "ST_Read_Meta('/etc/passwd')",
            "(SELECT getenv('HOME'))",
            "duckdb_secrets()",
            "query",
            "connection",
        )
    ),
]  # fmt: skip


@pytest.mark.parametrize(("line", "code", "told"), WORDS, ids=[" ".join(line) for line, *_ in WORDS])
def test_words_that_can_t_be_meant(run: Run, root, line, code, told):
    ended = run(root, *line)
    assert (ended.code, ended.out) == (code, ""), ended.err
    assert "Traceback" not in ended.err
    for word in told:
        assert word in ended.err


def test_folders_that_are_none(run: Run, tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path, tmp_path / "file", tmp_path / "nowhere"):
        ended = run(folder, "status")
        assert (ended.code, ended.out) == (NOT_FOUND, "")
        assert "geographer init" in ended.err
    ended = run(tmp_path, "init", "file/below", "--no-scm")
    assert ended.code == STORAGE
    assert "file" in ended.err
    ended = run(tmp_path, "init", "new", "--class", "a", "--class", "a", "--no-scm")
    assert (ended.code, "stands twice" in ended.err) == (USAGE, True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


def test_a_folder_that_holds_something_else_is_no_place_for_a_checkout(run: Run, root, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    ended = run(root, "checkout", "v1", "--to", tmp_path)
    assert (ended.code, "is not empty" in ended.err) == (CONFLICT, True)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_what_is_skipped_is_told_by_name_and_reason(run: Run, root, bad, tmp_path):
    copy = shutil.copytree(root, tmp_path / "dataset")
    assert run(copy, "add", "features", bad / "bow.parquet", "--on-error", "skip", "--json").code == 0
    assert run(copy, "add", "rasters", bad, "--on-error", "skip", "--mode", "reference").code == CONFLICT
    (bad / "a.tif").rename(bad / "fit.tif")
    try:
        ended = run(copy, "add", "rasters", bad, "--on-error", "skip", "--mode", "reference", "--json")
    finally:
        (bad / "fit.tif").rename(bad / "a.tif")
    told = json.loads(ended.out)
    assert (told["rasters"], told["skipped"]) == (1, 6)
    rows = run(copy, "sql", "SELECT name, reason FROM log.skipped_input ORDER BY position, ordinal", "--json").out
    reasons = {row["name"]: row["reason"] for row in map(json.loads, rows.splitlines())}
    assert set(reasons) >= {"bow", "notes.tif", "empty.tif", "torn.tif", "bare.tif", "adrift.tif", "degrees.tif"}
    assert "invalid" in reasons["bow"]
    assert "no CRS" in reasons["bare.tif"]


def limited(largest_file: int, *arguments: object) -> subprocess.CompletedProcess[str]:
    """The command in a process that can write no file larger than that: a disk that is full."""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))

    command = [sys.executable, "-m", "geographer", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, preexec_fn=limit, check=False)


@pytest.fixture
def roomy(dataset: Dataset, tmp_path: Path) -> Dataset:
    """A dataset with a raster that is larger than the disks of these tests."""
    noise = np.random.Generator(np.random.PCG64(1)).integers(0, 60_000, (3, 900, 900)).astype("uint16")
    write_scene(tmp_path / "large.tif", noise, compress=None)
    dataset.add_rasters(tmp_path / "large.tif", mode="reference")
    return dataset


def many(folder: Path) -> Path:
    """Features that take more room than there is."""
    count = 60_000
    places = np.random.Generator(np.random.PCG64(2)).uniform(-80, 80, (count, 2))
    notes = [f"{i * 7919 % 1_000_003:040}" for i in range(count)]
    given = geopandas.GeoDataFrame({"id": range(count), "note": notes}, geometry=shapely.points(places), crs=4326)
    given.to_parquet(folder / "many.parquet")
    return folder / "many.parquet"


def test_a_disk_that_fills_names_itself_and_the_same_command_succeeds_once_there_is_room(roomy, tmp_path):
    before = everything(roomy.root)
    copy = shutil.copy(tmp_path / "large.tif", tmp_path / "again.tif")
    commands: list[list[object]] = [
        ["add", "features", many(tmp_path)],
        ["add", "rasters", copy],
        ["cut", "grid", "tiles", "--size", "880", "--workers", "1"],
        ["cut", "grid", "tiles", "--size", "880", "--workers", "2"],
    ]
    for command in commands:
        ended = limited(2_000_000, "-C", roomy.root, *command)
        assert ended.returncode == STORAGE, (command, ended.stderr)
        assert "Traceback" not in ended.stderr
        assert "can't write" in ended.stderr or "could not be written" in ended.stderr
        assert everything(roomy.root) == before
    assert roomy.verify() == []
    for command in commands[:3]:
        ended = limited(2**40, "-C", roomy.root, *command)
        assert ended.returncode == 0, ended.stderr
    assert roomy.verify() == []
    assert len(roomy.log()) == 5


def test_errors_of_the_disk_that_nobody_expected_are_of_its_family(run: Run, root, monkeypatch):
    def full(_self: Dataset) -> None:
        raise OSError(28, "No space left on device", "some/file")

    monkeypatch.setattr(Dataset, "status", full)
    ended = run(root, "status")
    assert (ended.code, "some/file" in ended.err) == (STORAGE, True)


def test_other_errors_that_nobody_expected_keep_their_traceback(root, monkeypatch):
    def broken(_self: Dataset) -> None:
        raise IsADirectoryError(21, "Is a directory", "some/file")

    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])
    monkeypatch.setattr(Dataset, "status", broken)
    with pytest.raises(IsADirectoryError):
        main(["-C", str(root), "status"])


def interrupted_query() -> None:
    """Ctrl-C in the middle of a query, as DuckDB tells it."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    usual = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    try:
        duckdb.sql("SELECT sum(a.range * b.range) FROM range(10_000_000) AS a, range(1_000_000) AS b").fetchall()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, usual)


@pytest.mark.parametrize("inside", ["a query", "python"])
def test_ctrl_c_ends_with_its_code_wherever_it_comes(run: Run, root, monkeypatch, inside):
    def stopped(_self: Dataset) -> None:
        if inside == "python":
            raise KeyboardInterrupt
        interrupted_query()

    monkeypatch.setattr(Dataset, "status", stopped)
    ended = run(root, "status")
    assert (ended.code, ended.out) == (INTERRUPTED, "")
    assert "Interrupted: nothing half-made is recorded" in ended.err


def test_ctrl_c_stops_all_processes_of_a_cut_and_the_same_command_finishes_the_job(dataset, tmp_path):
    with rasterio.open(
        tmp_path / "large.tif",
        "w",
        driver="GTiff",
        width=3200,
        height=3200,
        count=1,
        dtype="uint16",
        crs="EPSG:32633",
        transform=rasterio.Affine(10, 0, 500_000, 0, -10, 5_300_000),
    ) as raster:
        raster.write(np.random.Generator(np.random.PCG64(1)).integers(0, 4000, (1, 3200, 3200)).astype("uint16"))
    dataset.add_rasters(tmp_path / "large.tif", mode="reference")
    before = everything(dataset.root)
    command = [sys.executable, "-m", "geographer", "-C", str(dataset.root), "cut", "grid", "tiles", "--size", "64"]
    process = subprocess.Popen([*command, "--workers", "2"], stderr=subprocess.PIPE, text=True, start_new_session=True)
    staging = dataset.root / ".geographer" / "staging"
    while process.poll() is None and not any(staging.rglob("*.tif")):
        signal.sigtimedwait([], 0.01)
    os.killpg(process.pid, signal.SIGINT)
    _, told = process.communicate(timeout=120)
    assert process.returncode == INTERRUPTED, told
    assert "Traceback" not in told
    assert everything(dataset.root) == before
    done = subprocess.run([*command, "--workers", "1"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(dataset.chips()) == 2500
    assert dataset.verify() == []


def test_a_reader_that_has_seen_enough_is_no_error(root):
    command = f"{sys.executable} -m geographer -C '{root}' sql 'SELECT range FROM range(200000)' --json | head -n 1"
    ended = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, '{"range":0}\n', "")
