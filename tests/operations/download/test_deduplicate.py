"""Of several processings of one acquisition, the newest is kept."""

from __future__ import annotations

import pytest
import shapely

from geographer.operations.download.deduplicate import ProductProcessing, find_replaced_products, make_acquisition_key

L2A = {"datatake": "GS2A_20230101T101011_039000_N05.09", "tile": "32TPT", "processing_level": "L2A"}


def find_replaced(products):
    return find_replaced_products([ProductProcessing(*product) for product in products])


def test_higher_baseline_replaces_lower():
    old = {**L2A, "processing_baseline": "05.09", "processed": "2024-01-01T00:00:00"}
    new = {
        **L2A,
        "datatake": "GS2A_20230101T101011_039000_N05.10",
        "processing_baseline": "05.10",
        "processed": "2023-06-01",
    }

    assert make_acquisition_key(old) == make_acquisition_key(new)
    assert find_replaced([("a", new), ("b", old)]) == {1}
    assert find_replaced([("b", old), ("a", new)]) == {0}


@pytest.mark.parametrize(
    ("older", "newer"),
    [("02.14", "05.00"), ("N0214", "N0500"), ("N0509", "05.10"), ("04.00", "N0510"), ("5.9", "5.91")],
)
def test_baseline_spellings_are_ordered(older, newer):
    products = [("x", {**L2A, "processing_baseline": newer}), ("y", {**L2A, "processing_baseline": older})]

    assert find_replaced(products) == {1}


def test_equal_baselines_compare_time_and_id():
    early, late = {**L2A, "processed": "2023-01-02T00:00:00"}, {**L2A, "processed": "2023-03-02T00:00:00"}

    assert find_replaced([("a", late), ("b", early)]) == {1}
    assert find_replaced([("b", early), ("a", early)]) == {1}


@pytest.mark.parametrize(
    "other", [{"tile": "32TQT"}, {"processing_level": "L1C"}, {"datatake": "GS2B_20230106T101011_01_N05.09"}]
)
def test_other_acquisitions_are_kept(other):
    assert find_replaced([("a", L2A), ("b", {**L2A, **other})]) == set()


def test_product_without_datatake_is_kept():
    assert make_acquisition_key({"tile": "32TPT"}) is None
    assert find_replaced([("a", {}), ("b", {})]) == set()


def test_strips_of_acquisition_are_kept():
    west, east = (shapely.to_wkb(shapely.box(x, 0, x + 2, 2)) for x in (0, 1.9))
    older, newer = {**L2A, "processing_baseline": "05.09"}, {**L2A, "processing_baseline": "05.10"}

    assert find_replaced([("a", newer, west), ("b", newer, east)]) == set()
    assert find_replaced([("a", older, west), ("b", newer, west), ("c", older, east)]) == {0}


def test_existing_product_replaces_newer_processing():
    existing = ProductProcessing("a", {**L2A, "processing_baseline": "04.00"}, shapely.to_wkb(shapely.box(0, 0, 2, 2)))
    newer = ProductProcessing("b", {**L2A, "processing_baseline": "05.10"}, shapely.to_wkb(shapely.box(0, 0, 2, 2)))
    other = ProductProcessing("c", L2A, shapely.to_wkb(shapely.box(2, 0, 4, 2)))

    assert find_replaced_products([newer, other], [existing]) == {0}
