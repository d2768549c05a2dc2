"""Names by kind and prefix, compared with the tables of the dataset; and what a search does where it can read nothing."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from geographer import Dataset
from geographer.outputs.completion.names import MAX_NAMES, TABLE_COLUMNS, NameSearch
from geographer.outputs.samples.table import _COLUMNS as SAMPLE_COLUMNS
from geographer.outputs.samples.table import _GEOREFERENCE as SAMPLE_GEOREFERENCE
from tests.reliability.oracles import hash_tree
from tests.sample_history import SampleHistory

HOLD_LOCK = """
import fcntl, sys
files = [open(path, "r+b") for path in sys.argv[1:]]
for file in files:
    fcntl.lockf(file, fcntl.LOCK_EX)
print("locked", flush=True)
sys.stdin.read()
"""
HOSTILE_IDS = ["100%", "100_", "1000", "it's", 'q"uote', "new\nline", "<img src=x onerror=alert(1)>", "é", "x" * 200]


@pytest.fixture(scope="module")
def hostile_dataset(empty_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """A dataset with ids that need care, and more features than a search returns."""
    folder = tmp_path_factory.mktemp("hostile")
    ids = HOSTILE_IDS + [f"many{number:04}" for number in range(2 * MAX_NAMES)]
    features = [
        {"type": "Feature", "properties": {"id": name}, "geometry": {"type": "Point", "coordinates": [place / 1000, 5]}}
        for place, name in enumerate(ids)
    ]
    (folder / "features.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    dataset = Dataset.open(shutil.copytree(empty_dataset, folder / "dataset"))
    dataset.add_features(folder / "features.geojson", id="id", as_class="pond")
    return dataset


def test_names_equal_the_tables(sample_history: SampleHistory):
    dataset, search = Dataset.open(sample_history.root), NameSearch(sample_history.root)
    features, rasters = dataset.features()["feature_id"].to_pylist(), dataset.rasters()
    expected = {
        "feature": features,
        "raster": rasters["raster_id"].to_pylist(),
        "collection": rasters["collection"].to_pylist(),
        "class": dataset.classes()["class"].to_pylist(),
        "label": dataset.labels()["label"].to_pylist(),
        "split": dataset.splits()["split"].to_pylist(),
        "part": filter(None, dataset.splits()["part"].to_pylist()),
        "tag": dataset.tags()["tag"].to_pylist(),
        "branch": [branch.name for branch in dataset.list_branches()],
        "head digest": [dataset.status()["digest"]],
        "attribute": dataset.read_attributes(),
        "author": ["Ada"],
    }
    for kind, names in expected.items():
        assert search.find_names([kind]) == sorted(set(names)), kind
    positions = range(1, dataset.status()["position"] + 1)
    assert search.find_names(["position"]) == sorted(f"@{position}" for position in positions)


def test_names_of_earlier_revisions(sample_history: SampleHistory):
    dataset, search = Dataset.open(sample_history.root), NameSearch(sample_history.root)
    with duckdb.connect(sample_history.root / ".geographer" / "log.duckdb", read_only=True) as log:
        for kind, table in (("feature", dataset.features()), ("raster", dataset.rasters())):
            query = f"SELECT DISTINCT {kind}_id FROM {kind}_change JOIN chain USING (event_key) WHERE branch = 'main'"
            every = {name for (name,) in log.execute(query).fetchall()}
            assert search._replace(is_any_revision=True).find_names([kind]) == sorted(every)
            assert search.find_names([f"removed {kind}"]) == sorted(every - {*table[f"{kind}_id"].to_pylist()})


def test_columns_equal_the_tables(sample_history: SampleHistory):
    dataset, search = Dataset.open(sample_history.root), NameSearch(sample_history.root)
    counts = {"raster_count", "intersecting_raster_count"}
    for table in {*TABLE_COLUMNS} - {"samples"}:
        columns = {*getattr(dataset, table)().column_names}
        assert {*search.find_columns(table)} - counts == columns - counts, table
    assert search.find_columns("samples") == [*SAMPLE_COLUMNS, *SAMPLE_GEOREFERENCE]


def test_prefixes_are_literal(hostile_dataset: Dataset):
    search = NameSearch(hostile_dataset.root)
    for name in HOSTILE_IDS:
        assert search.find_names(["feature"], name) == [name]
    assert search.find_names(["feature"], "100") == ["100%", "1000", "100_"]
    assert search.find_names(["feature"], "' OR 1=1 --") == []


def test_long_lists_keep_the_common_prefix(hostile_dataset: Dataset):
    names = NameSearch(hostile_dataset.root).find_names(["feature"], "m")
    assert names == [f"many{number:04}" for number in (*range(MAX_NAMES), 2 * MAX_NAMES - 1)]


def test_remotes_and_roots(tmp_path: Path, empty_dataset: Path):
    root = shutil.copytree(empty_dataset, tmp_path / "dataset")
    (root / ".dvc" / "config").write_text("[core]\n    remote = lab\n['remote \"lab\"']\n    url = /data/lab\n")
    (root / ".dvc" / "config.local").write_text("['remote \"lake\"']\n    url = /data/lake\n")
    (root / ".geographer" / "roots.json").write_text('{"roots": {"landsat": "/data"}}')
    search = NameSearch(root / "rasters" if (root / "rasters").is_dir() else root)
    assert search.find_names(["remote"], "la") == ["lab", "lake"]
    assert search.find_names(["root"]) == ["landsat"]
    (root / ".geographer" / "roots.json").write_text("[")
    assert search.find_names(["root"]) == []


def test_unreadable_datasets_have_no_names(tmp_path: Path, sample_history: SampleHistory):
    assert NameSearch(tmp_path).find_names(["feature"]) == []
    assert NameSearch(tmp_path / "missing").find_names(["feature"]) == []
    assert NameSearch(Path("a\0b")).find_names(["feature"]) == []
    root = shutil.copytree(sample_history.root, tmp_path / "dataset")
    (root / ".geographer" / "state.duckdb").write_bytes(b"damaged")
    assert NameSearch(root).find_names(["feature", "tag"]) == []
    assert NameSearch(root).find_names(["branch"]) != []
    (root / ".geographer" / "state.duckdb").unlink()
    before = hash_tree(root)
    assert NameSearch(root).find_names(["feature", "branch"]) != []
    assert hash_tree(root) == before


def test_locked_datasets_have_no_names(tmp_path: Path, sample_history: SampleHistory):
    root = shutil.copytree(sample_history.root, tmp_path / "dataset")
    files = [str(root / ".geographer" / f"{name}.duckdb") for name in ("log", "state")]
    command = [sys.executable, "-S", "-c", HOLD_LOCK, *files]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        assert NameSearch(root).find_names(["feature", "branch"]) == []
        holder.communicate()
    assert NameSearch(root).find_names(["feature", "branch"]) != []
