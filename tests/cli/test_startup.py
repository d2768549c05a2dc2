"""How little the command line imports, and that plugins may import what they like."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from geographer import Dataset
from tests.sample_history import SampleHistory, point_geometry, write_features, write_scenes

PLUGIN = """
import pandas

def with_pandas(features):
    return pandas.Series(features["feature_id"].to_pylist()).tolist()

def with_geopandas(features):
    import geopandas
    points = geopandas.GeoSeries.from_wkb(features["geometry"].to_pylist())
    return points.notna().tolist()

def with_duckdb(features):
    import duckdb
    frame = pandas.DataFrame({"feature_id": features["feature_id"].to_pylist(), "seen": [pandas.NA]})
    query = "SELECT feature_id FROM frame WHERE seen IS NULL AND $nothing IS NULL"
    return duckdb.execute(query, {"nothing": pandas.NaT}).df()["feature_id"].tolist()
"""
LAZY_PLUGIN = """
def with_duckdb(features):
    import duckdb
    return duckdb.execute("SELECT unnest($ids) AS id", {"ids": features["feature_id"].to_pylist()}).df()["id"].tolist()
"""


def list_imports(*arguments: str) -> set[str]:
    """Return the top-level modules that a run of the command line imports."""
    script = (
        "import sys\nfrom geographer.cli import main\n"
        f"try:\n    main({list(arguments)!r})\nexcept SystemExit:\n    pass\n"
        "print('\\n'.join({name.partition('.')[0] for name in sys.modules}), file=sys.stderr)"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(run.stderr.split())


def test_help_imports_little():
    assert not list_imports("--help") & {"duckdb", "dvc", "rasterio", "shapely", "pyarrow", "numpy"}


@pytest.mark.parametrize("command", ["log -n 5", "status", "features", "history p1"])
def test_reading_imports_nothing_for_pixels(sample_history: SampleHistory, command: str):
    """The libraries are installed here: pandas too, which DuckDB imports for queries with parameters."""
    heavy = {"dvc", "eodag", "rasterio", "shapely", "pandas"}
    assert not list_imports("-C", str(sample_history.root), *command.split()) & heavy


def test_small_commands_import_little(sample_history: SampleHistory, tmp_path: Path):
    """Lists of names are printed, and small changes recorded, without Arrow and numpy, too."""
    heavy = {"dvc", "rasterio", "shapely", "pandas", "numpy", "scipy", "pyarrow", "asyncio"}
    root = str(shutil.copytree(sample_history.root, tmp_path / "dataset"))
    # The first command after a copy asks DVC for its settings.
    assert "pyarrow" not in list_imports("-C", root, "add", "classes", "sedge")
    for command in ("status", "features", "branch", "attributes set sensor=S2", "tag v9"):
        assert not list_imports("-C", root, *command.split()) & heavy


def test_event_classes_need_no_requests():
    """The loader finds every event class, in the modules of operations that define events."""
    script = (
        "from geographer.dataset import load_event_classes; from geographer.storage.events import payload\n"
        "load_event_classes(); found = {*payload._CLASSES}; import sys; heavy = {'numpy', 'scipy'} & {*sys.modules}\n"
        "import geographer.dataset.dataset; assert found == {*payload._CLASSES} and not heavy"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.fixture(scope="module")
def plugin_folder(empty_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two modules with selectors, and a dataset with a feature on a raster."""
    folder = tmp_path_factory.mktemp("plugins")
    (folder / "frames.py").write_text(PLUGIN)
    (folder / "lazy.py").write_text(LAZY_PLUGIN)
    dataset = Dataset.open(shutil.copytree(empty_dataset, folder / "dataset"))
    features = write_features(folder / "features.geojson", {"a": ("pond", point_geometry(5, 5))})
    dataset.add_features(features, crs="EPSG:32633")
    dataset.add_rasters(write_scenes(folder / "scenes", "scene"))
    return folder


@pytest.mark.parametrize(
    "selector", ["frames:with_pandas", "frames:with_geopandas", "frames:with_duckdb", "lazy:with_duckdb"]
)
def test_plugins_may_use_pandas(plugin_folder: Path, selector: str):
    command = ["cut", "around", "near", "--size", "16", "--where", f"@{selector}", "--dry-run", "--json"]
    run = subprocess.run(
        [sys.executable, "-m", "geographer", "-C", "dataset", *command],
        cwd=plugin_folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout)["chips"] == 1
