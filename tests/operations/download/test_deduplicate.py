"""Twins: two processings of one acquisition, of which the newest counts."""

from __future__ import annotations

import pytest
import shapely

from geographer.operations.download.deduplicate import Processing, acquisition_of, twins_to_leave

L2A = {"datatake": "GS2A_20230101T101011_039000_N05.09", "tile": "32TPT", "processing_level": "L2A"}


def left(products):
    return twins_to_leave([Processing(*one) for one in products])


def test_two_processings_of_one_acquisition_are_twins_and_the_newer_baseline_counts():
    old = {**L2A, "processing_baseline": "05.09", "processed": "2024-01-01T00:00:00"}
    new = {
        **L2A,
        "datatake": "GS2A_20230101T101011_039000_N05.10",
        "processing_baseline": "05.10",
        "processed": "2023-06-01",
    }

    assert acquisition_of(old) == acquisition_of(new)
    assert left([("a", new), ("b", old)]) == {1}
    assert left([("b", old), ("a", new)]) == {0}


@pytest.mark.parametrize(
    ("older", "newer"),
    [("02.14", "05.00"), ("N0214", "N0500"), ("N0509", "05.10"), ("04.00", "N0510"), ("5.9", "5.91")],
)
def test_baselines_are_ordered_in_every_spelling(older, newer):
    told = [("x", {**L2A, "processing_baseline": newer}), ("y", {**L2A, "processing_baseline": older})]

    assert left(told) == {1}


def test_with_one_baseline_the_later_processing_counts_and_then_the_last_id():
    early, late = {**L2A, "processed": "2023-01-02T00:00:00"}, {**L2A, "processed": "2023-03-02T00:00:00"}

    assert left([("a", late), ("b", early)]) == {1}
    assert left([("b", early), ("a", early)]) == {1}


@pytest.mark.parametrize(
    "other", [{"tile": "32TQT"}, {"processing_level": "L1C"}, {"datatake": "GS2B_20230106T101011_01_N05.09"}]
)
def test_other_tiles_levels_and_datatakes_are_no_twins(other):
    assert left([("a", L2A), ("b", {**L2A, **other})]) == set()


def test_what_tells_no_datatake_has_no_twin():
    assert acquisition_of({"tile": "32TPT"}) is None
    assert left([("a", {}), ("b", {})]) == set()


def test_two_strips_of_one_acquisition_are_no_twins_and_each_has_its_own():
    west, east = (shapely.to_wkb(shapely.box(x, 0, x + 2, 2)) for x in (0, 1.9))
    older, newer = {**L2A, "processing_baseline": "05.09"}, {**L2A, "processing_baseline": "05.10"}

    assert left([("a", newer, west), ("b", newer, east)]) == set()
    assert left([("a", older, west), ("b", newer, west), ("c", older, east)]) == {0}


def test_a_processing_of_what_is_here_is_left_however_new_it_is():
    here = Processing("a", {**L2A, "processing_baseline": "04.00"}, shapely.to_wkb(shapely.box(0, 0, 2, 2)))
    newer = Processing("b", {**L2A, "processing_baseline": "05.10"}, shapely.to_wkb(shapely.box(0, 0, 2, 2)))
    other = Processing("c", L2A, shapely.to_wkb(shapely.box(2, 0, 4, 2)))

    assert twins_to_leave([newer, other], [here]) == {0}
