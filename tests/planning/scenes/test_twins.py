"""Twins: two processings of one acquisition, of which the newest counts."""

from __future__ import annotations

import pytest

from geographer.planning.scenes.twins import acquisition_of, older_twins

L2A = {"datatake": "GS2A_20230101T101011_039000_N05.09", "tile": "32TPT", "processing_level": "L2A"}


def test_two_processings_of_one_acquisition_are_twins_and_the_newer_baseline_counts():
    old = {**L2A, "processing_baseline": "05.09", "processed": "2024-01-01T00:00:00"}
    new = {
        **L2A,
        "datatake": "GS2A_20230101T101011_039000_N05.10",
        "processing_baseline": "05.10",
        "processed": "2023-06-01",
    }

    assert acquisition_of(old) == acquisition_of(new)
    assert older_twins([("a", new), ("b", old)]) == {1}
    assert older_twins([("b", old), ("a", new)]) == {0}


@pytest.mark.parametrize(
    ("older", "newer"),
    [("02.14", "05.00"), ("N0214", "N0500"), ("N0509", "05.10"), ("04.00", "N0510"), ("5.9", "5.91")],
)
def test_baselines_are_ordered_in_every_spelling(older, newer):
    told = [("x", {**L2A, "processing_baseline": newer}), ("y", {**L2A, "processing_baseline": older})]

    assert older_twins(told) == {1}


def test_with_one_baseline_the_later_processing_counts_and_then_the_last_id():
    early, late = {**L2A, "processed": "2023-01-02T00:00:00"}, {**L2A, "processed": "2023-03-02T00:00:00"}

    assert older_twins([("a", late), ("b", early)]) == {1}
    assert older_twins([("b", early), ("a", early)]) == {1}


@pytest.mark.parametrize(
    "other", [{"tile": "32TQT"}, {"processing_level": "L1C"}, {"datatake": "GS2B_20230106T101011_01_N05.09"}]
)
def test_other_tiles_levels_and_datatakes_are_no_twins(other):
    assert older_twins([("a", L2A), ("b", {**L2A, **other})]) == set()


def test_what_tells_no_datatake_has_no_twin():
    assert acquisition_of({"tile": "32TPT"}) is None
    assert older_twins([("a", {}), ("b", {})]) == set()
