"""Edges that workers of a Dask cluster derive in parts are those that one query derives, with a shared disk and without."""

from __future__ import annotations

import numpy as np
import pytest
from shapely.geometry import box

from geographer.base.executors.dask_cluster import DaskExecutor
from geographer.base.resource_limits import PARTS_VARIABLE
from geographer.storage.state.update import rebuild_state
from tests.storage.state.test_edge_oracle import Log, Raster, features_about

RASTERS = [
    Raster("utm", "EPSG:32632", box(399960, 5090220, 509760, 5200020)),
    Raster("chip", "EPSG:32632", box(430000, 5120000, 432560, 5122560), parent="utm"),
    Raster("across the antimeridian", "EPSG:4326", box(170, -25, 190, -10)),
    Raster("north pole", "EPSG:3413", box(-400000, -300000, 500000, 350000)),
]


@pytest.fixture
def log(tmp_path):
    random = np.random.default_rng(5)
    features = [feature for raster in RASTERS for feature in features_about(raster, 12, random)]
    (tmp_path / "dataset").mkdir()
    log = Log(tmp_path / "dataset")
    log.append_change("added", features)
    log.append_change("added", RASTERS[1:])
    log.append_change("changed", features[::3])
    log.append_change("added", RASTERS[:1])
    rebuild_state(log.database)
    return log


@pytest.mark.parametrize("settings", ["shared_settings", "store_settings"])
def test_parts_on_cluster_equal_whole(log, client, request, monkeypatch, settings):
    expected = log.read_tables()
    executor = DaskExecutor(client, request.getfixturevalue(settings))
    log.database.make_executor = lambda _workers: executor
    monkeypatch.setenv(PARTS_VARIABLE, "12")
    rebuild_state(log.database)
    assert log.read_tables() == expected
    assert len(expected["edge"]) > 20
