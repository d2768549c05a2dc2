"""Selectors of one's own: what they choose, what is kept of them, and what happens where they are not there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from geographer import Dataset, Table
from geographer.base.errors import GeographerError, NotFoundError
from tests import REPOSITORY
from tests.operations.pond_dataset import POINTS, around, chips, gather, windows


def eastern(features: Table) -> list[str]:
    """The points of ids that were longest ago in the alphabet."""
    return [row["feature_id"] for row in features.to_pylist() if row["feature_id"] in ("alone", "both")]


eastern.version = 3


def last(rasters: Table) -> set[str]:
    return {max(row["raster_id"] for row in rasters.to_pylist())}


def kept(dataset: Dataset, subject: str) -> list[tuple[int, list[str]]]:
    """What the log says was chosen, event by event."""
    query = (
        "SELECT position, list(object_id ORDER BY object_id) FROM log.recipe_input "
        f"WHERE subject = '{subject}' GROUP BY position ORDER BY position"
    )
    with dataset._recorder.open_revision() as revision:
        return revision.fetch_rows(query)


def test_functions_choose_features_and_rasters_and_the_log_keeps_whom(gathered: Dataset) -> None:
    recorded = gathered.cut_around_features("around", size=8, where=eastern, rasters_where=last)
    assert {(around(chip), chip["parent_id"]) for chip in chips(gathered)} == {("alone", "b"), ("both", "b")}
    parameters = recorded.summary["recipe"]["parameters"]
    assert parameters["where"] == {"selector": "tests.operations.test_selection:eastern", "version": "3"}
    assert parameters["rasters_where"]["selector"] == "tests.operations.test_selection:last"
    told = recorded.summary["selectors"]
    assert {subject: (one["chosen"], one["ran"]) for subject, one in told.items()} == {
        "feature": (2, True),
        "raster": (1, True),
    }
    assert kept(gathered, "feature") == [(recorded.position, ["alone", "both"])]
    assert kept(gathered, "raster") == [(recorded.position, ["b"])]
    assert recorded.summary["features"] == 2
    assert not gathered.cut_around_features("around", size=8, where=eastern, rasters_where=last).changed


@pytest.mark.parametrize("verb", ["grid", "cover"])
def test_every_cut_takes_a_function(gathered: Dataset, verb: str) -> None:
    options = {"cells": "with-features"} if verb == "grid" else {}
    getattr(gathered, f"cut_{verb}")("some", size=8, where=eastern, rasters_where=last, **options)
    x, y = (POINTS["alone"][0] - 48, POINTS["alone"][1])
    assert any(col <= x < col + 8 and row <= y < row + 8 for _, col, row, *_ in windows(gathered, "some"))
    assert {window[0] for window in windows(gathered, "some")} == {"b"}
    assert len(windows(gathered, "some")) == 2


def strangers(_: Table) -> list[str]:
    return ["alone", "nobody"]


def nothing(_: Table) -> None:
    return None


def short(_: Table) -> list[bool]:
    return [True]


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (strangers, "chose 'nobody', which is no feature of the dataset"),
        (nothing, "answered None: let it answer ids, or a mask"),
        (short, "answered a mask of 1 for 14 rows"),
        (lambda features: features["feature_id"], "has no name by which it is found again"),
        (
            "@tests.operations.test_selection:nobody",
            "no 'tests.operations.test_selection:nobody' among the entry points",
        ),
    ],
)
def test_a_selector_that_can_not_be_is_told(gathered: Dataset, wrong, told: str) -> None:
    head = gathered.log(1)
    with pytest.raises(GeographerError, match=told):
        gathered.cut_around_features("around", size=8, where=wrong)
    assert gathered.log(1) == head


def first_and_last(features: Table) -> list[bool]:
    """A mask."""
    ids = features["feature_id"].to_pylist()
    return [name in (min(ids), max(ids)) for name in ids]


def test_a_selector_may_be_named_and_may_answer_a_mask(gathered: Dataset) -> None:
    gathered.cut_around_features("around", size=8, where="@tests.operations.test_selection:first_and_last")
    ids = gathered.features()["feature_id"].to_pylist()
    assert kept(gathered, "feature")[-1][1] == sorted([min(ids), max(ids)])
    assert not gathered.cut_around_features("around", size=8, where=first_and_last).changed


SELECTORS = """
def odd(features):
    return [row["feature_id"] for row in features.to_pylist() if row["feature_id"].endswith(("1", "3", "5"))]


def none(features):
    return []
"""


def elsewhere(dataset: Dataset, call: str) -> subprocess.CompletedProcess[str]:
    """Call a method in a process that has none of our modules."""
    script = (
        f"from geographer import Dataset; print([one.changed for one in Dataset.open({str(dataset.root)!r}).{call}])"
    )
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


def test_where_a_selector_is_not_there_what_it_chose_last_counts(
    gathered: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_selectors.py").write_text(dedent(SELECTORS))
    monkeypatch.syspath_prepend(tmp_path)
    import my_selectors

    gathered.cut_around_features("around", size=4, where=my_selectors.odd)
    gathered.cut_around_features("empty", size=4, where=my_selectors.none)
    assert {around(chip) for chip in chips(gathered)} <= {"p1", "p3", "p5"}
    gather(gathered, tmp_path / "inputs", {"n3": (9.5, 55.5), "n4": (19.5, 55.5)})
    gathered.remove_features(["p1"])
    run = elsewhere(gathered, "update()")
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == "[True, False]"
    assert not any(around(chip) == "n3" for chip in chips(gathered))
    last_run = [event for event in gathered.log() if event.kind == "chips_cut"][-1]
    assert last_run.payload["selectors"]["feature"]["ran"] is False
    gathered.update()
    assert any(around(chip) == "n3" for chip in chips(gathered))
    assert gathered.log(1)[0].payload["selectors"]["feature"] == {
        **{"selector": "my_selectors:odd", "version": "", "chosen": 3, "ran": True}
    }


def test_a_selector_that_is_nowhere_is_told(gathered: Dataset) -> None:
    from geographer.planning.selection import Selector

    with pytest.raises(NotFoundError, match="no 'gone:odd' among the entry points"):
        Selector.of("gone:odd")
    with pytest.raises(NotFoundError, match="'gone:odd' can't be imported"):
        gathered.cut_around_features("around", size=4, where=Selector("gone:odd", ""))
