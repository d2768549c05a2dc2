"""The page of a difference as a file: equal bytes, escaping, rows, limits, other datasets, nothing changed."""

from __future__ import annotations

import re
import shutil
import sys

import pytest

from geographer import Dataset
from geographer.base.errors import NotFoundError, UsageError
from geographer.cli import main
from geographer.outputs.pages.diff import build
from geographer.outputs.pages.diff.build import WrittenDiffPage
from geographer.outputs.pages.diff.rows import allocate_places
from tests.outputs.pages.diff_pages import HOSTILE_NAMES, create_hostile_dataset, read_data
from tests.sample_history import SampleHistory


@pytest.fixture(scope="module")
def dataset(sample_history: SampleHistory, tmp_path_factory) -> Dataset:
    return Dataset.open(shutil.copytree(sample_history.root, tmp_path_factory.mktemp("diff") / "dataset"))


@pytest.fixture(scope="module")
def written(dataset: Dataset) -> WrittenDiffPage:
    return dataset.write_diff_page("v1", "v2", dataset.root.parent / "page.html")


@pytest.fixture(scope="module")
def page(written: WrittenDiffPage) -> str:
    return written.path.read_text("utf-8")


@pytest.fixture(scope="module")
def hostile(tmp_path_factory) -> Dataset:
    folder = tmp_path_factory.mktemp("hostile")
    return create_hostile_dataset(folder / "<b>data", folder)


def test_equal_revisions_give_equal_bytes(dataset, written, tmp_path):
    again = dataset.write_diff_page("v1", "v2", tmp_path / "again.html")
    assert again.path.read_bytes() == written.path.read_bytes()
    assert again._replace(path=written.path) == written


def test_page_has_no_address(page):
    without_bokeh = page.replace(max(re.findall(r"<script>.*?</script>", page, re.DOTALL), key=len), "")
    assert "http://" not in without_bokeh
    assert "https://" not in without_bokeh
    assert not re.search(r'\b(?:src|href)="(?!data:|#)', without_bokeh)


def test_rows_are_the_objects_of_the_difference(dataset, page):
    diff = dataset.diff("v1", "v2", flags=True)
    rows = read_data(page, "diff-data")["rows"]
    expected = {
        (
            "chip" if item.kind == "raster" and (item.new or item.old)["parent_id"] else item.kind.replace("_", " "),
            "/".join(item.keys),
            item.change,
            item.position,
        )
        for item in diff.iter_objects()
        if item.kind != "edge"
    }
    assert {(row[0], row[1], row[2], row[6]) for row in rows} == expected
    assert len(rows) == len(expected)
    flagged = [index for index, row in enumerate(rows) if row[7]]
    assert flagged == list(range(len(flagged)))
    assert {rows[index][1] for index in flagged} >= {"p1", "b", "around/a_p1"}


def test_values_are_old_and_new(dataset, page):
    (row,) = (row for row in read_data(page, "diff-data")["rows"] if row[:2] == ["feature", "p1"])
    assert row[9][0][0] == "geometry"
    assert "area 0 → 900.72 m²" in row[9][0][1]
    (split,) = (row for row in read_data(page, "diff-data")["rows"] if row[:2] == ["split", "parts/around/a_p1"])
    assert split[5] == ["test", None]


def test_head_says_what_differs(page):
    for text in ("v1", "v2", "vanished from test of split parts", "no longer in test of split parts"):
        assert text in page


def test_chips_of_both_sides_are_their_own_bytes(dataset, page):
    data, rows = read_data(page, "chip-data"), read_data(page, "diff-data")["rows"]
    sides = dict(data["pairs"])
    places = {row[1]: row[8] for row in rows if row[0] == "chip"}
    changed = [row[1] for row in rows if row[0] == "chip" and row[2] == "changed" and row[8] in sides]
    assert changed
    for name in changed:
        old, new = sides[places[name]]
        assert old["image"] != new["image"]
    old, new = sides[places["around/a_p1"]]
    assert new is None
    assert set(old["overlays"]) == {"mask"}
    assert [places.get(name, place) for name, (place, _) in zip(data["names"], data["pairs"], strict=True)] == [*sides]


def test_changed_chips_come_before_added_ones(page):
    data, rows = read_data(page, "chip-data"), read_data(page, "diff-data")["rows"]
    flagged = {row[8] for row in rows if row[7]}
    pairs = [sides for place, sides in data["pairs"] if place not in flagged]
    assert pairs
    has_both = [None not in sides for sides in pairs]
    changed = [number for number, sides in enumerate(pairs) if None not in sides and sides[0] != sides[1]]
    alone = [number for number, both in enumerate(has_both) if not both]
    assert changed
    assert alone
    assert max(changed) < min(alone)


def test_chips_are_limited(dataset, tmp_path):
    written = dataset.write_diff_page("v1", "v2", tmp_path / "few.html", chips=3, limit=10)
    data = read_data(written.path.read_text("utf-8"), "chip-data")
    assert (written.chips, len(data["pairs"]), written.listed) == (3, 3, 10)
    assert written.chips_left_out > 0
    assert f"{written.chips_left_out:,} left out" in written.format_text()


def test_missing_pixels_are_said(sample_history, tmp_path):
    copy = shutil.copytree(sample_history.root, tmp_path / "copy")
    shutil.rmtree(copy / ".dvc" / "cache")
    shutil.rmtree(copy / "rasters")
    written = Dataset.open(copy).write_diff_page("v1", "v2", tmp_path / "page.html")
    data = read_data(written.path.read_text("utf-8"), "chip-data")
    problems = [side["problem"] for _, sides in data["pairs"] for side in sides if side and side["image"] is None]
    assert problems
    assert all(problems)
    images = [[side["image"] for side in sides if side] for _, sides in data["pairs"]]
    assert written.chips_without_pixels == sum(not any(side) for side in images) > 0
    assert "not on this machine" in written.format_text()


def test_flagged_objects_alone(dataset, tmp_path):
    written = dataset.write_diff_page("v1", "v2", tmp_path / "flags.html", flagged_only=True)
    rows = read_data(written.path.read_text("utf-8"), "diff-data")["rows"]
    assert rows
    assert all(row[7] for row in rows)


def test_conditions_apply(dataset, tmp_path):
    written = dataset.write_diff_page("v1", "v2", tmp_path / "ponds.html", only="features", class_="pond")
    rows = read_data(written.path.read_text("utf-8"), "diff-data")["rows"]
    assert {row[1] for row in rows} == {"p1", "p3"}


def test_nothing_differs(dataset, tmp_path):
    written = dataset.write_diff_page("v2", "v2", tmp_path / "none.html")
    assert written.is_empty
    assert "No differences." in written.path.read_text("utf-8")


def test_other_dataset(dataset, sample_history, tmp_path):
    written = dataset.write_diff_page("v1", "v1", tmp_path / "same.html", other=sample_history.at_v1)
    assert written.is_empty
    written = dataset.write_diff_page("v2", "v1", tmp_path / "other.html", other=sample_history.at_v1)
    assert written.listed > 20
    assert written.chips > 0


def test_hostile_names_are_text(hostile, tmp_path):
    page = hostile.write_diff_page(1, None, tmp_path / "page.html").path.read_text("utf-8")
    assert "<img src=x" not in page
    assert "<script>alert" not in page
    assert "<u>" not in page
    rows = read_data(page, "diff-data")["rows"]
    assert {row[1] for row in rows} >= {*HOSTILE_NAMES[1:], "west", "east"}


def test_map_crosses_the_antimeridian(hostile, tmp_path):
    page = hostile.write_diff_page(1, None, tmp_path / "page.html").path.read_text("utf-8")
    frame = read_data(page, "map-data")["frame"]
    width = (frame["bounds"][2] - frame["bounds"][0]) / 6_378_137 * 57.29578
    assert frame["west"] == 179.125
    assert width == pytest.approx(1.125, abs=0.01)


def test_many_objects_are_a_density(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(build, "MAX_OBJECTS", 20)
    monkeypatch.setattr(build, "LISTED_OBJECTS", 12)
    written = dataset.write_diff_page("v1", "v2", tmp_path / "page.html")
    page = written.path.read_text("utf-8")
    assert (written.objects, written.listed) == (41, 12)
    assert "More than 20 objects differ" in page
    densities = {key for key, _ in read_data(page, "map-data")["densities"]}
    assert densities >= {"density-features-added", "density-rasters-removed", "density-rasters-changed"}


@pytest.mark.parametrize(
    ("sizes", "limit", "expected"),
    [([5, 100, 100], 25, [5, 10, 10]), ([1, 2], 10, [1, 2]), ([], 3, []), ([4, 4], 0, [0, 0]), ([3, 3], 5, [2, 3])],
)
def test_places_are_shared(sizes, limit, expected):
    assert allocate_places(sizes, limit) == expected


def run_diff(dataset: Dataset, *arguments: str) -> int:
    """Run `geographer diff v1 v2` with more arguments, and return the exit code."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("excepthook", "unraisablehook"):
            patch.setattr(sys, name, getattr(sys, name))
        with pytest.raises(SystemExit) as exited:
            main(["-C", str(dataset.root), "diff", "v1", "v2", *arguments])
    assert isinstance(exited.value.code, int)
    return exited.value.code


def test_command_writes_the_page(dataset, tmp_path, capsys):
    assert run_diff(dataset, "--html", str(tmp_path / "page.html"), "--chips", "1", "--exit-code") == 1
    assert "41 objects, 5 flags" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--html", "x.html", "--json"], "exclude each other"),
        (["--html", "x.html", "--stat"], "Leave --stat out"),
        (["--chips", "3"], "Pass --html FILE"),
        (["--html", "x.html", "--chips", "-1"], "not in the range"),
        (["--html", "geographer.lock"], "keeps its own files"),
        (["--html", "rasters"], "is a folder"),
    ],
)
def test_bad_requests_write_nothing(dataset, monkeypatch, capsys, arguments, text):
    monkeypatch.chdir(dataset.root)
    before = (dataset.root / "geographer.lock").read_bytes()
    assert run_diff(dataset, *arguments) == 2
    assert text in capsys.readouterr().err
    assert not (dataset.root / "x.html").exists()
    assert (dataset.root / "geographer.lock").read_bytes() == before


@pytest.mark.parametrize(
    ("settings", "error"),
    [({"chips": -1}, UsageError), ({"limit": True}, UsageError), ({"class_": "nothing"}, NotFoundError)],
)
def test_bad_settings_are_errors(dataset, tmp_path, settings, error):
    with pytest.raises(error):
        dataset.write_diff_page("v1", "v2", tmp_path / "page.html", **settings)
    assert not (tmp_path / "page.html").exists()
