"""Columns of the rasters table that describe the downloaded product, and the ids of downloaded rasters."""

import hashlib
import re
from collections.abc import Iterable, Mapping
from math import isfinite
from typing import Final

from numpy import generic

from geographer.archives.base import Product
from geographer.archives.download_pool import FetchedProduct
from geographer.base.canonical_json import canonical_json
from geographer.operations.download.deduplicate import make_acquisition_key

ColumnValues = dict[str, str | int | float | bool]
"""The values of a raster's columns, by name."""

ProductKey = tuple[str, str, str]
"""What identifies a product: provider, collection, product id."""

_TEXTS: Final = (
    "provider product_collection product_id acquisition licence platform tile datatake processing_level "
    "processing_baseline processed arrived_sha256 reader reading"
)
METADATA_COLUMNS: Final = {
    **dict.fromkeys(_TEXTS.split(), "VARCHAR"),
    **dict.fromkeys(("relative_orbit", "absolute_orbit", "search", "arrived_bytes"), "BIGINT"),
    "cloud_cover": "DOUBLE",
}
"""Columns that downloads fill if the values are known, with their SQL types."""

_UNSAFE: Final = re.compile(r"[^\w.-]+")
_MAX_ID_LENGTH: Final = 150
"""Maximum length of a raster id; leaves room for suffixes within the limits of file systems."""


def collect_metadata(
    fetched: FetchedProduct, search_index: int, reader: str, notes: Mapping[str, object], found: Mapping[str, object]
) -> ColumnValues:
    """Return the columns that describe a product; its properties override those found in the files."""
    product = fetched.product
    properties = {**found, **product.properties}
    columns = {
        "provider": product.provider,
        "product_collection": product.collection,
        "product_id": product.product_id,
        "acquisition": make_acquisition_key(properties),
        "cloud_cover": properties.get("cloud_cover") if product.cloud_cover is None else product.cloud_cover,
        "licence": product.licence,
        "search": search_index,
        "arrived_bytes": fetched.total_bytes,
        "arrived_sha256": fetched.digest,
        "reader": reader,
        "reading": canonical_json(notes),
    }
    json_values = {name: _to_json_value(value) for name, value in (columns | properties | columns).items()}
    return {name: value for name, value in json_values.items() if value is not None}


def _to_json_value(value: object) -> str | int | float | bool | None:
    """Return a text, number or boolean unchanged, other values as text, and None for infinity and NaN."""
    if isinstance(value, generic):
        value = value.item()
    if isinstance(value, float) and not isfinite(value):
        return None
    return value if value is None or isinstance(value, str | int | float) else str(value)


def assign_raster_ids(products: Iterable[Product], used_ids: set[str], collection: str) -> list[str]:
    """Return an unused raster id for each product: the product's id, safe as a file name."""
    raster_ids: list[str] = []
    used = set(used_ids)
    for product in products:
        plain = _UNSAFE.sub("_", product.product_id.removesuffix(".SAFE")).strip(".")[:_MAX_ID_LENGTH] or "raster"
        digest = hashlib.sha256("\n".join(make_product_key(product)).encode()).hexdigest()[:8]
        candidates = (plain, f"{plain}.{collection}", f"{plain}.{digest}", f"{plain}.{collection}.{digest}")
        raster_ids.append(next(candidate for candidate in candidates if candidate not in used))
        used.add(raster_ids[-1])
    return raster_ids


def make_product_key(product: Product) -> ProductKey:
    """Return the key that identifies a product."""
    return product.provider, product.collection, product.product_id
