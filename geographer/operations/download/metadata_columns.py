"""Columns of the rasters table that describe the downloaded product, and the ids of downloaded rasters."""

from __future__ import annotations

import hashlib
import json
import re
from math import isfinite
from typing import TYPE_CHECKING, Any, Final

from numpy import generic

from geographer.base.canonical_json import canonical_json
from geographer.operations.download.deduplicate import make_acquisition_key
from geographer.planning.user_columns import RESERVED_COLUMNS, deduplicate_column_names, infer_column_type

if TYPE_CHECKING:
    from collections.abc import Sequence

    from geographer.archives.base import Product
    from geographer.archives.download_pool import FetchedProduct
    from geographer.operations.download.convert import ConversionResult
    from geographer.operations.download.search import SelectedScene

METADATA_COLUMNS: Final = {
    **dict.fromkeys(("provider", "product_collection", "product_id", "acquisition", "licence"), "VARCHAR"),
    **dict.fromkeys(("platform", "tile", "datatake"), "VARCHAR"),
    **dict.fromkeys(("processing_level", "processing_baseline", "processed"), "VARCHAR"),
    **dict.fromkeys(("relative_orbit", "absolute_orbit", "search", "arrived_bytes"), "BIGINT"),
    **dict.fromkeys(("arrived_sha256", "reader", "reading"), "VARCHAR"),
    "cloud_cover": "DOUBLE",
}
"""Columns that downloads fill if the values are known, with their SQL types."""

_UNSAFE: Final = re.compile(r"[^\w.-]+")
_MAX_ID_LENGTH: Final = 150
"""Maximum length of a raster id; leaves room for suffixes within the limits of file systems."""


def collect_metadata(fetched: FetchedProduct, scene: SelectedScene, result: ConversionResult) -> dict[str, Any]:
    """Return the columns that describe a product; properties from the archive override those from the files."""
    product = fetched.product
    properties = {**result.properties, **product.properties}
    columns = {
        "provider": product.provider,
        "product_collection": product.collection,
        "product_id": product.product_id,
        "acquisition": make_acquisition_key(properties),
        "cloud_cover": properties.get("cloud_cover") if product.cloud_cover is None else product.cloud_cover,
        "licence": product.licence,
        "search": scene.search_index,
        "arrived_bytes": fetched.total_bytes,
        "arrived_sha256": fetched.digest,
        "reader": result.reader,
        "reading": canonical_json(result.notes),
    }
    columns |= {name: value for name, value in properties.items() if name not in columns}
    json_values = {name: _to_json_value(value) for name, value in columns.items()}
    return {name: value for name, value in json_values.items() if value is not None}


def _to_json_value(value: Any) -> str | int | float | bool | None:
    """Return a text, number or boolean unchanged, other values as text, and None for infinity and NaN."""
    if isinstance(value, generic):
        value = value.item()
    if isinstance(value, float) and not isfinite(value):
        return None
    return value if value is None or isinstance(value, str | int | float) else str(value)


def make_user_columns(metadata: Sequence[dict[str, Any]]) -> tuple[dict[str, str], list[str]]:
    """Return the SQL types of all columns of all rasters, and each raster's values as JSON text."""
    # `METADATA_COLUMNS` come first, so that a source's `Product_ID` cannot take the name of `product_id`.
    names = deduplicate_column_names([*METADATA_COLUMNS, *(name for row in metadata for name in row)], RESERVED_COLUMNS)
    rows = [{names[name]: value for name, value in row.items()} for row in metadata]
    used_names = dict.fromkeys(name for row in rows for name in row)
    columns = {name: infer_column_type([row[name] for row in rows if name in row]) for name in used_names}
    return columns, [json.dumps(row, ensure_ascii=False, sort_keys=True) for row in rows]


def assign_raster_ids(
    scenes: Sequence[SelectedScene], used_ids: set[str], collection: str
) -> dict[tuple[str, str, str], str]:
    """Return an unused raster id for each product, by `make_product_key`: the product's id, safe as a file name."""
    raster_ids: dict[tuple[str, str, str], str] = {}
    used = set(used_ids)
    for scene in scenes:
        key = make_product_key(scene.product)
        plain = _UNSAFE.sub("_", scene.product.product_id.removesuffix(".SAFE")).strip(".")[:_MAX_ID_LENGTH] or "raster"
        digest = hashlib.sha256("\n".join(key).encode()).hexdigest()[:8]
        candidates = (plain, f"{plain}.{collection}", f"{plain}.{digest}", f"{plain}.{collection}.{digest}")
        raster_ids[key] = next(candidate for candidate in candidates if candidate not in used)
        used.add(raster_ids[key])
    return raster_ids


def make_product_key(product: Product) -> tuple[str, str, str]:
    """Return the key that identifies a product: provider, collection, product id."""
    return product.provider, product.collection, product.product_id
