"""The commands that list tables: keys, formats, revisions, and filters by ids."""

from __future__ import annotations

import json

import geopandas
import pytest

from geographer import Dataset
from geographer.cli import main
from tests.cli.runner import read_rows, run_command

KEYS = {
    "features": ["feature_id", "class", "geometry"],
    "rasters": [
        *("raster_id", "collection", "path", "crs", "width", "height", "md5", "sha256", "pixel_digest", "footprint"),
    ],
    "edges": ["feature_id", "raster_id", "relation"],
    "chips": ["raster_id", "parent_id", "col", "row", "width", "height"],
    "labels": ["label", "raster_id", "path", "md5"],
    "splits": ["split", "raster_id", "part"],
    "tags": ["tag", "position", "digest", "content_digest"],
    "log": ["position", "kind", "recorded_at", "author", "message", "digest"],
}


@pytest.mark.parametrize("command", KEYS)
def test_json_lines_have_table_columns(sample_history, command):
    rows = read_rows(sample_history.root, command)
    assert rows
    for row in rows:
        assert list(row)[: len(KEYS[command])] == KEYS[command]


@pytest.mark.parametrize("command", ["features", "rasters"])
def test_geometries_as_geojson_and_geoparquet(sample_history, tmp_path, command):
    path = tmp_path / "out.parquet"
    run_command(sample_history.root, command, "--format", "parquet", "-o", str(path))
    collection = json.loads(run_command(sample_history.root, command, "--format", "geojson"))
    frame = geopandas.read_parquet(path)
    assert len(collection["features"]) == len(frame) == len(read_rows(sample_history.root, command))
    assert frame.crs.to_epsg() in (4326, None) or "CRS84" in str(frame.crs)
    assert all(feature["geometry"]["type"] for feature in collection["features"])


def test_output_suffix_chooses_the_format(sample_history, tmp_path):
    for suffix in ("txt", "jsonl", "geojson"):
        run_command(sample_history.root, "features", "-o", str(tmp_path / f"out.{suffix}"))
    assert (tmp_path / "out.txt").read_text().startswith("feature_id")
    assert json.loads((tmp_path / "out.jsonl").read_text().splitlines()[0])["feature_id"]
    assert json.loads((tmp_path / "out.geojson").read_text())["type"] == "FeatureCollection"


def test_revision_names_are_equivalent(sample_history):
    dataset = Dataset.open(sample_history.root)
    position = dataset.tags()["position"][0].as_py()
    steps_back = len(dataset.log()) - position
    revisions = ["v1", f"@{position}", f"HEAD~{steps_back}", dataset.show("v1").digest[:12]]
    outputs = {run_command(sample_history.root, "edges", "--json", "--at", revision) for revision in revisions}
    assert len(outputs) == 1
    assert outputs != {run_command(sample_history.root, "edges", "--json")}


def test_ids_from_options_file_and_stdin(sample_history, tmp_path):
    edges = read_rows(sample_history.root, "edges")
    ids = sorted({row["feature_id"] for row in edges})[:2]
    expected = [row for row in edges if row["feature_id"] in ids]
    assert read_rows(sample_history.root, "edges", "--feature", ids[0], "--feature", ids[1]) == expected
    id_file = tmp_path / "ids.txt"
    id_file.write_text("\n".join([*ids, "", ids[0]]) + "\n")
    assert read_rows(sample_history.root, "edges", "--features-from", str(id_file)) == expected
    piped = ("edges", "--features-from", "-", "--feature", ids[0])
    assert read_rows(sample_history.root, *piped, stdin=f"{ids[1]}\n") == expected
    assert read_rows(sample_history.root, "edges", "--features-from", "-", stdin="") == []
    raster_ids = sorted({row["raster_id"] for row in edges})[:2]
    features = read_rows(sample_history.root, "features", "--rasters-from", "-", stdin="\n".join(raster_ids))
    assert {row["feature_id"] for row in features} == {
        row["feature_id"] for row in edges if row["raster_id"] in raster_ids
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--feature", "p1", "--feature", "missing"], "no feature 'missing'"),
        (["--rasters-from", "nowhere.txt"], "no such file: 'nowhere.txt'"),
    ],
)
def test_missing_ids_and_files_are_named(sample_history, capsys, arguments, message):
    with pytest.raises(SystemExit) as exit_info:
        main(["-C", str(sample_history.root), "edges", *arguments])
    assert exit_info.value.code == 3
    assert message in capsys.readouterr().err


def test_components_equal_those_of_python(sample_history):
    dataset = Dataset.open(sample_history.root)
    options = ["--collection", "around", "--by", "object", "--buffer", "50", "--where", "class = 'pond'", "--at", "v1"]
    expected = dataset.components("around", by="object", buffer=50, where="class = 'pond'", at="v1").to_pylist()
    assert read_rows(sample_history.root, "components", *options) == expected
    assert run_command(sample_history.root, "components").splitlines()[0].split() == ["raster_id", "component"]


def test_sql_prints_a_table(sample_history):
    lines = run_command(
        sample_history.root, "sql", "SELECT class, count(*) AS n FROM features GROUP BY class ORDER BY class"
    )
    assert lines.splitlines()[0].split() == ["class", "n"]


def test_text_output_is_readable(sample_history):
    assert "@" in run_command(sample_history.root, "log", "-n", "2")
    assert "position" in run_command(sample_history.root, "status")
    assert "payload" in run_command(sample_history.root, "show", "HEAD")
    assert "features" in run_command(sample_history.root, "diff", "@1", "HEAD")
    assert run_command(sample_history.root, "diff", "HEAD", "HEAD").splitlines()[1:] == ["no differences"]


ENDLESS = "WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n FROM t) SELECT count(*) FROM t"


@pytest.mark.parametrize("arguments", [[], ["--json"]])
def test_endless_sql_is_stopped(sample_history, capsys, arguments):
    with pytest.raises(SystemExit) as caught:
        main(["-C", str(sample_history.root), "sql", ENDLESS, "--timeout", "0.2", *arguments])
    assert caught.value.code == 2
    assert "ran for more than 0.2 s" in capsys.readouterr().err


def test_sql_prints_times_that_python_lacks(sample_history):
    text = run_command(sample_history.root, "sql", "SELECT DATE '20000-01-01' AS later, 1 AS n")
    assert text == "later        n\n20000-01-01  1\n"


def test_ids_file_in_another_encoding_is_refused(sample_history, capsys, tmp_path):
    (tmp_path / "ids.txt").write_bytes(b"caf\xe9\n")
    for file, message in (
        (tmp_path / "ids.txt", "is not UTF-8"),
        (tmp_path, "cannot read"),
        ("x" * 300, "cannot read"),
    ):
        with pytest.raises(SystemExit):
            main(["-C", str(sample_history.root), "features", "--features-from", str(file)])
        assert message in capsys.readouterr().err
