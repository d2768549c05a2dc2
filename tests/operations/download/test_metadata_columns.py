"""Ids of downloaded rasters: safe as file names, and distinct."""

from __future__ import annotations

import shapely

from geographer.archives.base import Product
from geographer.operations.download.metadata_columns import assign_raster_ids


def make_products(*product_ids: str) -> list[Product]:
    footprint = shapely.box(0, 0, 1, 1).wkb
    return [Product("p", f"c{index}", product_id, footprint) for index, product_id in enumerate(product_ids)]


def test_raster_ids_are_safe_names():
    assert assign_raster_ids(make_products("S2A_X.SAFE", "a/b c", "..", "\udcff"), set(), "s2") == [
        "S2A_X",
        "a_b_c",
        "raster",
        "_",
    ]


def test_raster_ids_differ_by_more_than_case():
    first, second, third = assign_raster_ids(make_products("s2a", "S2A", "S2a"), {"s2A"}, "s2")
    assert first == "s2a.s2"
    assert len({first.lower(), second.lower(), third.lower(), "s2a"}) == 4


def test_long_raster_ids_fit_file_names():
    for letter in ("x", "ü", "\U00020000"):
        raster_ids = assign_raster_ids(make_products(*[letter * 300] * 5), set(), letter * 62)
        assert len(set(raster_ids)) == 5
        assert all(len(f"{raster_id}.unpacked".encode()) <= 255 for raster_id in raster_ids)
        assert all(raster_id.startswith(letter * 37) for raster_id in raster_ids)
