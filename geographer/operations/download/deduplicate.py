"""Find older processings of an acquisition: archives keep several, of which only the newest is downloaded."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import shapely

from geographer.archives.base import Product
from geographer.archives.stac_items import normalise_baseline

_BASELINE: Final = re.compile(r"_N\.*\d[\d.]*\Z")
_MIN_SHARED_FRACTION: Final = 0.5


class ProductProcessing(NamedTuple):
    """A product: id, properties, and footprint (WKB, longitude/latitude) if known."""

    product_id: str
    properties: Mapping[str, Any]
    footprint: bytes | None = None


def make_acquisition_key(properties: Mapping[str, Any]) -> str | None:
    """Return `datatake/tile/level`, equal for all processings of an acquisition; None without datatake or tile."""
    datatake, tile = properties.get("datatake"), properties.get("tile")
    # A Sentinel-2 datatake id such as GS2A_20230101T101011_039000_N05.09 ends with the processing baseline.
    parts = (_BASELINE.sub("", str(datatake)), tile, properties.get("processing_level"))
    return "/".join(str(part) for part in parts if part) if datatake and tile else None


def find_replaced_products(
    products: Sequence[ProductProcessing | Product], existing: Sequence[ProductProcessing] = ()
) -> set[int]:
    """Return the indices of products that a newer processing among `products`, or any existing one, replaces.

    The newest has the highest processing baseline, then the latest processing time, then the last id. Two parts of one
    acquisition, which an archive splits where the satellite starts a new strip, hardly overlap and are both kept.
    """
    kept: defaultdict[str | None, list[ProductProcessing | Product]] = defaultdict(list)
    for other in existing:
        kept[make_acquisition_key(other.properties)].append(other)
    replaced: set[int] = set()
    for index in sorted(range(len(products)), key=lambda index: make_processing_rank(products[index]), reverse=True):
        product = products[index]
        key = make_acquisition_key(product.properties)
        if key is not None and any(has_same_ground(product, other) for other in kept[key]):
            replaced.add(index)
        else:
            kept[key].append(product)
    return replaced


def make_processing_rank(product: ProductProcessing | Product) -> tuple[str, str, str]:
    """Return a key that sorts the newest processing last; unknown baselines sort first."""
    major, _, minor = normalise_baseline(str(product.properties.get("processing_baseline", ""))).partition(".")
    rank = f"{major:0>4}.{minor:0<4}" if major.isdecimal() else ""
    return rank, str(product.properties.get("processed") or ""), product.product_id


def has_same_ground(product: ProductProcessing | Product, other: ProductProcessing | Product) -> bool:
    """Return whether two footprints share at least half of the smaller one; an unknown footprint overlaps all."""
    if product.footprint is None or other.footprint is None:
        return True
    first, second = (shapely.make_valid(shapely.from_wkb(wkb)) for wkb in (product.footprint, other.footprint))
    shared_area = shapely.intersection(first, second).area
    return bool(shared_area >= _MIN_SHARED_FRACTION * min(first.area, second.area))
