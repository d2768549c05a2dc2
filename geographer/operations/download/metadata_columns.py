"""What the log keeps of where a raster came from, and what it is called."""

from __future__ import annotations

import hashlib
import json
import re
from math import isfinite
from typing import TYPE_CHECKING, Any, Final

from numpy import generic

from geographer.base.canonical_json import canonical_json
from geographer.operations.download.deduplicate import acquisition_of
from geographer.planning.user_columns import RESERVED_COLUMNS, common_column_type, deduplicate_column_names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from geographer.archives.base import Product
    from geographer.archives.download_pool import Fetched
    from geographer.operations.download.convert import Read
    from geographer.operations.download.search import Scene

COLUMNS: Final = {
    **dict.fromkeys(("provider", "product_collection", "product_id", "acquisition", "licence"), "VARCHAR"),
    **dict.fromkeys(("platform", "tile", "datatake"), "VARCHAR"),
    **dict.fromkeys(("processing_level", "processing_baseline", "processed"), "VARCHAR"),
    **dict.fromkeys(("relative_orbit", "absolute_orbit", "search", "arrived_bytes"), "BIGINT"),
    **dict.fromkeys(("arrived_sha256", "reader", "reading"), "VARCHAR"),
    "cloud_cover": "DOUBLE",
}
"""The columns that downloads fill, as far as they can, with their types."""

_UNFIT: Final = re.compile(r"[^\w.-]+")
_LONGEST: Final = 150
"""Characters of a raster's id: with what is put behind it, a file system takes it as a name."""


def origin_of(fetched: Fetched, scene: Scene, read: Read) -> dict[str, Any]:
    """Where a raster came from, as columns of its own: what the archive states counts before what the files say."""
    product = fetched.product
    facts = {**read.facts, **product.properties}
    cloud_cover = product.cloud_cover if product.cloud_cover is not None else facts.get("cloud_cover")
    ours = {
        "provider": product.provider,
        "product_collection": product.collection,
        "product_id": product.product_id,
        "acquisition": acquisition_of(facts),
        "cloud_cover": cloud_cover,
        "licence": product.licence,
        "search": scene.search,
        "arrived_bytes": fetched.total,
        "arrived_sha256": fetched.digest,
        "reader": read.reader,
        "reading": canonical_json(read.notes),
    }
    told = {**ours, **{name: value for name, value in facts.items() if name not in ours}}
    return {name: kept for name, value in told.items() if (kept := _kept(value)) is not None}


def _kept(value: Any) -> str | int | float | bool | None:
    """A text, a number or a truth value as JSON knows it; of anything else its text; nothing where it is not finite."""
    if isinstance(value, generic):
        value = value.item()
    if isinstance(value, float) and not isfinite(value):
        return None
    return value if value is None or isinstance(value, str | int | float) else str(value)


def own_columns(origins: Sequence[dict[str, Any]]) -> tuple[dict[str, str], list[str]]:
    """The columns with their types, and each raster's values as JSON text."""
    # Ours first: a source's `Product_ID` must not take the name by which a product is known again.
    names = deduplicate_column_names([*COLUMNS, *(name for one in origins for name in one)], RESERVED_COLUMNS)
    renamed = [{names[name]: value for name, value in one.items()} for one in origins]
    given = dict.fromkeys(name for one in renamed for name in one)
    columns = {name: common_column_type([one[name] for one in renamed if name in one]) for name in given}
    return columns, [json.dumps(one, ensure_ascii=False, sort_keys=True) for one in renamed]


def raster_ids(scenes: Sequence[Scene], taken: set[str], into: str) -> dict[tuple[str, str, str], str]:
    """The id of each product's raster: the product's, fit for a file name, and unlike any that is taken."""
    ids: dict[tuple[str, str, str], str] = {}
    used = set(taken)
    for scene in scenes:
        key = key_of(scene.product)
        plain = _UNFIT.sub("_", scene.product.product_id.removesuffix(".SAFE")).strip(".")[:_LONGEST] or "raster"
        digest = hashlib.sha256("\n".join(key).encode()).hexdigest()[:8]
        choices = (plain, f"{plain}.{into}", f"{plain}.{digest}", f"{plain}.{into}.{digest}")
        ids[key] = next(one for one in choices if one not in used)
        used.add(ids[key])
    return ids


def key_of(product: Product) -> tuple[str, str, str]:
    """What names a product among all."""
    return product.provider, product.collection, product.product_id
