"""How little the command line imports, and that plugins may import what they like."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from geographer import Dataset
from tests.sample_history import point_geometry, write_features, write_scenes

PLUGIN = """
import pandas

def choose_all(features):
    return pandas.Series(features["feature_id"].to_pylist()).tolist()
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


def test_log_imports_nothing_for_pixels(sample_history):
    heavy = {"dvc", "eodag", "rasterio", "shapely", "pandas"}
    assert not list_imports("-C", str(sample_history.root), "log", "-n", "5") & heavy


def test_plugins_may_import_pandas(dataset: Dataset, tmp_path: Path):
    (tmp_path / "pandas_plugin.py").write_text(PLUGIN)
    dataset.add_features(
        write_features(tmp_path / "features.geojson", {"a": ("pond", point_geometry(5, 5))}), crs="EPSG:32633"
    )
    dataset.add_rasters(write_scenes(tmp_path / "scenes", "scene"))
    command = ["cut", "around", "near", "--size", "16", "--where", "@pandas_plugin:choose_all", "--workers", "1"]
    run = subprocess.run(
        [sys.executable, "-m", "geographer", "-C", str(dataset.root), *command],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert len(dataset.chips()) == 1
