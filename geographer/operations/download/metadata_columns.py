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
from geographer.base.values import MAX_FILE_NAME_BYTES
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
_MAX_PLAIN_ID_BYTES: Final = 150
_MAX_ID_BYTES: Final = MAX_FILE_NAME_BYTES - len(".unpacked")
"""The largest raster id, in UTF-8 bytes, and the part of it that comes from the product's id."""


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
    """Return an unused raster id for each product: the product's id, safe as a file name.

    Ids differ by more than case, because macOS takes such names for equal.
    """
    raster_ids: list[str] = []
    used = {raster_id.lower() for raster_id in used_ids}
    for product in products:
        safe = _UNSAFE.sub("_", product.product_id.removesuffix(".SAFE")).strip(".")
        plain = safe.encode()[:_MAX_PLAIN_ID_BYTES].decode(errors="ignore") or "raster"
        digest = hashlib.sha256("\n".join(make_product_key(product)).encode(errors="surrogatepass")).hexdigest()
        endings = ("", f".{collection}", f".{digest[:8]}", f".{collection}.{digest[:8]}", f".{digest}")
        candidates = [plain + ending for ending in endings if len((plain + ending).encode()) <= _MAX_ID_BYTES]
        raster_ids.append(next(candidate for candidate in candidates if candidate.lower() not in used))
        used.add(raster_ids[-1].lower())
    return raster_ids


def make_product_key(product: Product) -> ProductKey:
    """Return the key that identifies a product."""
    return product.provider, product.collection, product.product_id
