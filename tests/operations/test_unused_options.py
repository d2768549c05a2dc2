"""Options that do nothing: a filter that selects nothing, or an option without effect beside the others, is reported."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from geographer import Dataset, UsageError
from geographer.cli import geographer_command
from tests.cli.runner import run_command
from tests.sample_history import SampleHistory, bow_tie_geometry, point_geometry, write_features

EMPTY = "class = 'zz'"
ADVICE = "is true for no feature. class is e.g. 'pond', 'quarry', 'water'."
FRACTIONS = {"a": 0.5, "b": 0.5}


@pytest.fixture(scope="module")
def dataset(sample_history: SampleHistory, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """The sample dataset; the tests only plan changes."""
    return Dataset.open(shutil.copytree(sample_history.root, tmp_path_factory.mktemp("unused") / "dataset"))


def list_warnings(result: Any) -> list[str]:
    return [*result.summary.get("warnings", ()), *result.logged_warnings]


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (lambda dataset: dataset.cut_around_features("x", size=8, where=EMPTY, dry_run=True), f"--where {EMPTY!r}"),
        (lambda dataset: dataset.cut_cover("x", size=8, where=EMPTY, dry_run=True), f"--where {EMPTY!r}"),
        (
            lambda dataset: dataset.cut_grid("x", size=8, cells="with-features", where=EMPTY, dry_run=True),
            f"--where {EMPTY!r}",
        ),
        (
            lambda dataset: dataset.split("x", collection="around", parts=FRACTIONS, where=EMPTY, dry_run=True),
            f"--where {EMPTY!r}",
        ),
        (
            lambda dataset: dataset.label_masks("x", collection="around", ignore=9, ignore_where=EMPTY, dry_run=True),
            f"--ignore-where {EMPTY!r}",
        ),
    ],
)
def test_filter_that_selects_nothing_is_reported(
    dataset: Dataset, plan: Callable[[Dataset], Any], message: str
) -> None:
    (warning,) = [text for text in list_warnings(plan(dataset)) if "where" in text]
    assert warning.startswith(message.replace("'class = 'zz''", "\"class = 'zz'\""))
    assert warning.endswith(ADVICE)


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (lambda dataset: dataset.cut_grid("x", size=8, rasters_where="raster_id = 'z'", dry_run=True), "is e.g. 'S2A'"),
        (
            lambda dataset: dataset.cut_grid("x", size=8, rasters_where="1 = 2", dry_run=True),
            "The columns are raster_id",
        ),
        (lambda dataset: dataset.cut_grid("x", size=8, pad_value=7, dry_run=True), "Pass --edge pad"),
        (lambda dataset: dataset.cut_around_features("x", size=8, pad_value=7, dry_run=True), "Pass --at-border pad"),
        (lambda dataset: dataset.cut_grid("x", size=8, seed=7, dry_run=True), "--seed has no effect"),
        (lambda dataset: dataset.cut_grid("x", size=100, dry_run=True), "no chip is planned (raster smaller"),
        (
            lambda dataset: dataset.split(
                "x", collection="archive", parts=FRACTIONS, where="class = 'pond'", dry_run=True
            ),
            "no raster of the collection shows a selected feature",
        ),
        (lambda dataset: dataset.label_masks("x", collection="empty", dry_run=True), "has no raster to label"),
        (lambda dataset: dataset.label_probabilities("x", collection="around", dry_run=True), "prob_of_class_pond"),
    ],
)
def test_option_without_effect_is_reported(dataset: Dataset, plan: Callable[[Dataset], Any], message: str) -> None:
    if message == "has no raster to label":
        dataset.cut_grid("empty", size=(64, 64), rasters_where="raster_id = 'z'")
    assert message in " ".join(list_warnings(plan(dataset)))


def test_effective_options_are_not_reported(dataset: Dataset) -> None:
    planned = [
        dataset.cut_grid("x", size=8, seed=7, order_by="random", edge="pad", pad_value=7, dry_run=True),
        dataset.cut_around_features("x", mode="variable", scale=2, min_size=8, dry_run=True),
        dataset.cut_around_features("x", size=8, where="class = 'pond'", dry_run=True),
    ]
    assert [list_warnings(result) for result in planned] == [[], [], []]


def test_sizes_of_variable_chips_are_reported(dataset: Dataset, caplog: pytest.LogCaptureFixture) -> None:
    dataset.cut_around_features("x", size=8, scale=2, min_size=4, dry_run=True)
    assert [record.getMessage() for record in caplog.records] == [
        "--scale has no effect without --mode variable.",
        "--min-size has no effect without --mode variable.",
    ]


def test_column_of_one_class_without_values_is_reported(dataset: Dataset, tmp_path: Path) -> None:
    path = write_features(tmp_path / "soft.geojson", {"s": ("pond", point_geometry(13, 12))})
    path.write_text(path.read_text().replace('"depth"', '"prob_of_class_pond": 0.25, "depth"'))
    copy = Dataset.open(shutil.copytree(dataset.root, tmp_path / "copy", symlinks=True))
    copy.add_features(path, crs="EPSG:32633")
    (warning,) = copy.label_probabilities("x", collection="around", dry_run=True).logged_warnings
    assert warning.startswith("no feature has a value in the columns 'prob_of_class_quarry', 'prob_of_class_quay': ")


def test_json_has_warnings(dataset: Dataset) -> None:
    line = run_command(dataset.root, "cut", "grid", "x", "--size", "8", "--seed", "7", "--dry-run", "--json")
    assert json.loads(line)["warnings"] == [
        "--seed has no effect, because no choice is random. Pass --order-by random, too."
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("features", "--where", EMPTY), f'--where "{EMPTY}" {ADVICE}'),
        (("labels", "--where", "label = 'zz'", "--json"), "label is e.g. 'bounds', 'mask'."),
        (("features", "--where", "class = 'pond'", "--raster", "d"), "No row meets all conditions."),
        (("features", "--where", "class = 'pond'"), ""),
    ],
)
def test_table_without_rows_says_why(dataset: Dataset, arguments: tuple[str, ...], message: str) -> None:
    result = CliRunner().invoke(geographer_command, ["-C", str(dataset.root), *arguments])
    assert result.exit_code == 0
    assert result.stderr.strip().endswith(message)
    assert bool(result.stderr) == bool(message)


@pytest.mark.parametrize(
    ("options", "warnings"),
    [
        (("--where", EMPTY), [f'--where "{EMPTY}" {ADVICE}']),
        (("--bbox", "0,0,1,1"), ["no feature or raster of either revision meets all conditions."]),
        (("--where", "class = 'pond'"), None),
    ],
)
def test_difference_reports_conditions_that_choose_nothing(
    dataset: Dataset, options: tuple[str, str], warnings: list[str] | None
) -> None:
    document = json.loads(run_command(dataset.root, "diff", "v1", "v2", "--json", *options))
    assert document.get("warnings") == warnings


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("diff", "v1", "v2", "--pixels", "--only", "classes"), "--pixels compares the files"),
    ],
)
def test_option_that_needs_another_is_refused(dataset: Dataset, arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(Exception, match=message):
        geographer_command.main(["-C", str(dataset.root), *arguments], standalone_mode=False)


def test_components_report_filter(dataset: Dataset, caplog: pytest.LogCaptureFixture) -> None:
    dataset.components("around", where=EMPTY)
    assert ADVICE in caplog.text


def test_addition_of_skipped_rasters_records_nothing(
    dataset: Dataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "text.tif").write_text("no raster")
    result = dataset.add_rasters(tmp_path / "text.tif", on_error="skip")
    assert (result.changed, len(result.logged_warnings)) == (False, 1)
    assert "'text.tif' skipped" in caplog.text


def test_update_reports_options_that_no_recipe_heeds(
    sample_history: SampleHistory, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dataset = Dataset.init(tmp_path / "new", scm=False)
    dataset.update(on_conflict="exclude", rebuild_covers=True)
    assert "no recipe is a split" in caplog.text
    assert "no recipe is a cut cover" in caplog.text


def test_selected_skipped_features_are_reported(dataset: Dataset, tmp_path: Path) -> None:
    path = write_features(tmp_path / "bent.geojson", {"bent": ("pond", bow_tie_geometry(30, 30))})
    result = dataset.add_features(path, crs="EPSG:32633", on_error="skip")
    assert not result.changed
    assert "skipped" in result.logged_warnings[0]
    with pytest.raises(UsageError):
        dataset.compute_impact("v1", "v2", statistics=False, statistics_of="train")
