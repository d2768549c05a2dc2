"""The request `Download`: what the log records of it, and what comes back from the log."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from geographer.base.errors import UsageError
from geographer.operations.download.recipe import Download
from geographer.planning.recipe import load_recipe

ALL_PARAMETERS: dict[str, Any] = {
    "provider": "local",
    "collection": "S2_MSI_L2A",
    "start": "2026-05-01",
    "end": "2026-06-01",
    "max_cloud": 30,
    "near": "2026-05-05",
    "query": {"orbit": 1, "levels": [1, 2.0]},
    "source": "alos",
    "source_options": {"url": "https://example.org/a"},
    "into": "scenes",
    "where": "class = 'lake'",
    "rasters_where": "cloud_cover < 5",
    "target_count": 3,
    "keep_reprocessed": True,
    "footprint": "bounds",
    "reader": "safe",
    "reader_options": {"offset": "record"},
    "bands": ["B02", "B03"],
    "resolution": 10.5,
    "time_limit": 12,
}


def test_parameters_are_recorded_by_their_keys():
    recorded = Download(name="s2", **ALL_PARAMETERS).to_json()

    assert recorded == {
        "name": "s2",
        "kind": "download",
        "parameters": {
            "archive": {"source": "alos", "version": ""},
            "provider": "local",
            "product_collection": "S2_MSI_L2A",
            "start": "2026-05-01",
            "end": "2026-06-01",
            "max_cloud": 30,
            "near": "2026-05-05",
            "query": {"orbit": 1, "levels": [1, 2]},
            "options": {"url": "https://example.org/a"},
            "into": "scenes",
            "where": "class = 'lake'",
            "rasters_where": "cloud_cover < 5",
            "target_count": 3,
            "union": False,
            "keep_twins": True,
            "footprint": "bounds",
            "reader": "safe",
            "bands": ["B02", "B03"],
            "resolution": 10.5,
            "reading": {"offset": "record"},
            "time_limit": 12,
        },
    }


@pytest.mark.parametrize("parameters", [{}, {"query": None, "bands": None}, {"bands": "B02"}, ALL_PARAMETERS])
def test_recorded_recipe_is_read_back(parameters):
    recipe = Download(name="s2", **parameters)

    recorded = load_recipe(recipe.to_record())

    assert recorded.has_same_parameters(recipe)
    assert recorded.to_json() == recipe.to_json()


@pytest.mark.parametrize("field", ["query", "source_options", "reader_options"])
def test_options_with_credentials_are_refused(field):
    options: dict[str, Any] = {field: {"nested": [{"Access-Token": "x"}]}}

    with pytest.raises(UsageError, match="looks like a credential"):
        Download(name="s2", **options)


def test_import_of_request_loads_no_large_library():
    code = (
        "import sys, geographer.operations.download.recipe; "
        "print({'numpy', 'pyarrow', 'shapely', 'rasterio', 'scipy', 'eodag', 'dvc'} & sys.modules.keys())"
    )

    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert process.stdout.strip() == "set()"
