"""Test user-defined selectors: what they select, what the log records, and what happens if they are missing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from geographer import Dataset, Table
from geographer.base.errors import GeographerError, NotFoundError
from tests import REPOSITORY
from tests.operations.pond_dataset import POINTS, add_points, get_feature_id, list_chips, list_windows


def select_two_points(features: Table) -> list[str]:
    """Select two points by id."""
    return [row["feature_id"] for row in features.to_pylist() if row["feature_id"] in ("alone", "both")]


select_two_points.version = 3  # type: ignore[attr-defined]


def select_last_raster(rasters: Table) -> set[str]:
    return {max(row["raster_id"] for row in rasters.to_pylist())}


def read_recorded_ids(dataset: Dataset, subject: str) -> list[tuple[int, list[str]]]:
    """Return position and selected ids of each event, from the log."""
    query = (
        "SELECT position, list(object_id ORDER BY object_id) FROM chain_recipe_input "
        f"WHERE subject = '{subject}' GROUP BY position ORDER BY position"
    )
    with dataset._unit_of_work.open_revision() as revision:
        return revision.fetch_rows(query)


def test_functions_select_features_and_rasters(pond_dataset: Dataset) -> None:
    result = pond_dataset.cut_around_features(
        "around", size=8, where=select_two_points, rasters_where=select_last_raster
    )
    assert {(get_feature_id(chip), chip["parent_id"]) for chip in list_chips(pond_dataset)} == {
        ("alone", "b"),
        ("both", "b"),
    }
    parameters = result.summary["recipe"]["parameters"]
    assert parameters["where"] == {"selector": "tests.operations.test_selection:select_two_points", "version": "3"}
    assert parameters["rasters_where"]["selector"] == "tests.operations.test_selection:select_last_raster"
    selectors = result.summary["selectors"]
    assert {subject: (run["chosen"], run["ran"]) for subject, run in selectors.items()} == {
        "feature": (2, True),
        "raster": (1, True),
    }
    assert read_recorded_ids(pond_dataset, "feature") == [(result.position, ["alone", "both"])]
    assert read_recorded_ids(pond_dataset, "raster") == [(result.position, ["b"])]
    assert result.summary["features"] == 2
    assert not pond_dataset.cut_around_features(
        "around", size=8, where=select_two_points, rasters_where=select_last_raster
    ).changed


@pytest.mark.parametrize("kind", ["grid", "cover"])
def test_every_cut_takes_a_function(pond_dataset: Dataset, kind: str) -> None:
    options = {"cells": "with-features"} if kind == "grid" else {}
    getattr(pond_dataset, f"cut_{kind}")(
        "some", size=8, where=select_two_points, rasters_where=select_last_raster, **options
    )
    x, y = (POINTS["alone"][0] - 48, POINTS["alone"][1])
    assert any(col <= x < col + 8 and row <= y < row + 8 for _, col, row, *_ in list_windows(pond_dataset, "some"))
    assert {window[0] for window in list_windows(pond_dataset, "some")} == {"b"}
    assert len(list_windows(pond_dataset, "some")) == 2


def select_unknown(_: Table) -> list[str]:
    return ["alone", "missing"]


def return_none(_: Table) -> None:
    return None


def return_short_mask(_: Table) -> list[bool]:
    return [True]


@pytest.mark.parametrize(
    ("selector", "message"),
    [
        (select_unknown, "selected 'missing', but the dataset has no such feature"),
        (return_none, "returned None. Return ids, or a boolean for each row"),
        (return_short_mask, "returned a mask of length 1 for a table of length 14"),
        (lambda features: features["feature_id"], "has no name by which it can be imported again"),
        (
            "@tests.operations.test_selection:missing",
            "'tests.operations.test_selection:missing' cannot be imported .AttributeError: .* no attribute 'missing'",
        ),
    ],
)
def test_invalid_selector_is_rejected(pond_dataset: Dataset, selector, message: str) -> None:
    head = pond_dataset.log(1)
    with pytest.raises(GeographerError, match=message):
        pond_dataset.cut_around_features("around", size=8, where=selector)
    assert pond_dataset.log(1) == head


def mask_first_and_last(features: Table) -> list[bool]:
    """Return a mask."""
    ids = features["feature_id"].to_pylist()
    return [name in (min(ids), max(ids)) for name in ids]


def test_selector_can_be_named_and_return_mask(pond_dataset: Dataset) -> None:
    pond_dataset.cut_around_features("around", size=8, where="@tests.operations.test_selection:mask_first_and_last")
    ids = pond_dataset.features()["feature_id"].to_pylist()
    assert read_recorded_ids(pond_dataset, "feature")[-1][1] == sorted([min(ids), max(ids)])
    assert not pond_dataset.cut_around_features("around", size=8, where=mask_first_and_last).changed


SELECTORS = """
def select_odd(features):
    return [row["feature_id"] for row in features.to_pylist() if row["feature_id"].endswith(("1", "3", "5"))]


def select_none(features):
    return []
"""


def call_in_other_process(dataset: Dataset, call: str) -> subprocess.CompletedProcess[str]:
    """Call a method in a process that cannot import the tests' own modules."""
    script = f"from geographer import Dataset; print([result.changed for result in Dataset.open({str(dataset.root)!r}).{call}])"
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    root = str(REPOSITORY)
    return subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {root!r}); {script}"],
        cwd=dataset.root.parent,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_missing_selector_reuses_last_selection(
    pond_dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_selectors.py").write_text(dedent(SELECTORS))
    monkeypatch.syspath_prepend(tmp_path)
    import my_selectors  # type: ignore[import-not-found]

    pond_dataset.cut_around_features("around", size=4, where=my_selectors.select_odd)
    pond_dataset.cut_around_features("empty", size=4, where=my_selectors.select_none)
    assert {get_feature_id(chip) for chip in list_chips(pond_dataset)} <= {"p1", "p3", "p5"}
    add_points(pond_dataset, tmp_path / "inputs", {"n3": (9.5, 55.5), "n4": (19.5, 55.5)})
    pond_dataset.remove_features(["p1"])
    run = call_in_other_process(pond_dataset, "update()")
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == "[True, False]"
    assert not any(get_feature_id(chip) == "n3" for chip in list_chips(pond_dataset))
    last_run = [event for event in pond_dataset.log() if event.kind == "chips_cut"][-1]
    assert last_run.payload["selectors"]["feature"]["ran"] is False
    pond_dataset.update()
    assert any(get_feature_id(chip) == "n3" for chip in list_chips(pond_dataset))
    assert pond_dataset.log(1)[0].payload["selectors"]["feature"] == {
        **{"selector": "my_selectors:select_odd", "version": "", "chosen": 3, "ran": True}
    }


def test_unknown_selector_is_not_found(pond_dataset: Dataset) -> None:
    from geographer.base.plugins import PluginRef
    from geographer.planning.selection import SELECTORS as SELECTOR_KIND

    with pytest.raises(NotFoundError, match="selector 'gone:odd' not found"):
        SELECTOR_KIND.resolve_plugin("gone:odd")
    missing: Any = PluginRef(SELECTOR_KIND, "gone:odd", "")
    with pytest.raises(NotFoundError, match="selector 'gone:odd' not found"):
        pond_dataset.cut_around_features("around", size=4, where=missing)
