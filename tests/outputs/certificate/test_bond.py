"""Near-duplicates as a bond of splits: found by reading pixels, recorded, and heeded by later checks."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from jsonschema import Draft202012Validator

from geographer import Dataset
from geographer.base.errors import ConflictError
from geographer.planning.split_constraints.near_duplicates import REASON
from tests.cli.runner import read_rows
from tests.outputs.certificate.test_certificate import make_texture, write_tiles
from tests.test_schemas import REGISTRY

HALVES = {"train": 0.5, "test": 0.5}


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """Tiles far apart, of which one is a turned copy, in a split by ground that separates the two."""
    folder = tmp_path_factory.mktemp("bond")
    dataset = Dataset.init(folder / "dataset", scm=False)
    pixels = {str(number): make_texture(number) for number in range(5)}
    dataset.add_rasters(write_tiles(folder / "tiles", {**pixels, "turned": np.rot90(pixels["0"], 1, (1, 2))}))
    dataset.split("parts", collection="source", parts=HALVES, seed=1)
    return dataset.root


@pytest.fixture
def dataset(template, tmp_path):
    return Dataset.open(shutil.copytree(template, tmp_path / "dataset"))


def read_parts(dataset):
    return {row["raster_id"]: row["part"] for row in dataset.splits().to_pylist()}


def bind_pixels(dataset, **options):
    dataset.split("parts", collection="source", parts=HALVES, near_duplicates=True, replace=True, **options)


def test_bond_refuses_and_moves(dataset):
    """A split that separates near-duplicates is refused, or one of them moves; later checks know the pair."""
    before = read_parts(dataset)
    assert before["0"] != before["turned"]
    with pytest.raises(ConflictError, match=f"are connected by their {REASON}"):
        bind_pixels(dataset)
    bind_pixels(dataset, on_conflict="move")
    after = read_parts(dataset)
    assert after["0"] == after["turned"]
    payload = dataset.log(1)[0].payload
    schema = {"$ref": "split_assigned.v2.json#/properties/payload"}
    Draft202012Validator(schema, registry=REGISTRY).validate(payload)
    (pair,) = payload["near_duplicates"]["pairs"]
    assert (pair["a"], pair["b"]) == ("0", "turned")
    assert payload["recipe"]["parameters"]["near_duplicates"] is True
    dataset.tag("bound")
    assert dataset.certify_split("parts", duplicates=True).overall_verdict == "holds"


def test_update_finds_new_pairs(dataset, tmp_path):
    """A copy that is added later joins the part of its original; without new pixels nothing is read or recorded."""
    bind_pixels(dataset, on_conflict="move")
    head = len(dataset.log())
    dataset.update()
    assert len(dataset.log()) == head
    dataset.add_rasters(write_tiles(tmp_path / "more", {"copy": make_texture(3)[:, ::-1]}, first=9))
    dataset.update()
    parts = read_parts(dataset)
    assert parts["copy"] == parts["3"]
    components = {row["raster_id"]: row["component"] for row in dataset.components(near_duplicates=True).to_pylist()}
    assert components["copy"] == components["3"] != components["1"]
    assert components["0"] == components["turned"]
    rows = read_rows(dataset.root, "components", "--near-duplicates")
    assert {row["raster_id"]: row["component"] for row in rows} == components


def test_recorded_pairs_reveal_a_leak(dataset, tmp_path):
    """A split that is changed elsewhere leaks by the recorded pairs, without reading a pixel."""
    bind_pixels(dataset, on_conflict="move")
    for folder in ("rasters", ".dvc/cache/files"):
        shutil.rmtree(dataset.root / folder)
    with dataset._unit_of_work.open_revision() as revision:
        from geographer.planning.split_constraints.leaks import find_split_leaks

        assert find_split_leaks(revision, "parts").groups == []
        revision.connection.execute(
            "CREATE OR REPLACE TEMP VIEW current_split AS SELECT 'parts' AS split, raster_id, "
            "if(raster_id = 'turned', 'train', 'test') AS part FROM current_raster"
        )
        (group,) = find_split_leaks(revision, "parts").groups
        assert REASON in group.connected_by
    assert json.loads(json.dumps(dataset.explain_object("turned"), default=str))["sentences"]
