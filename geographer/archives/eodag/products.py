"""What eodag found, as products: footprint, outline, time, facts, and the names that their files will have."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import Any, Final, NamedTuple
from urllib.parse import unquote, urlparse

from geographer.archives.base import Product, SourceError
from geographer.archives.eodag.pagination import Found
from geographer.archives.stac_items import acquired_of, footprint_of, outline_of
from geographer.archives.stac_properties import digest_of, facts_of, size_of, stated_of

_PICTURES: Final = frozenset({"thumbnail", "overview"})
"""Roles of assets that are for looking at only."""

_TYPES: Final = {
    "image/tiff": ".tif",
    "image/jp2": ".jp2",
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "application/xml": ".xml",
    "text/xml": ".xml",
    "application/json": ".json",
    "application/geo+json": ".geojson",
    "application/zip": ".zip",
    "application/x-hdf5": ".h5",
    "application/x-netcdf": ".nc",
    "application/netcdf": ".nc",
    "text/plain": ".txt",
}
_UNSAFE: Final = re.compile(r"[^\w.+-]+")


class Handle(NamedTuple):
    """What is needed to fetch a product.

    Attributes:
        found: eodag's product.
        names: By asset, the path that its file gets in the product's folder; empty: the archive hands it over whole.
        digest: Of the whole, as the archive states it.
    """

    found: Any
    names: Mapping[str, str]
    digest: str | None = None


def product_of(
    one: Found, wanted: Callable[[str], bool] | None, by_assets: Callable[[Any], bool], licence: str | None = None
) -> Product | None:
    """The product that eodag found, or None when it has pixels nowhere.

    Args:
        one: eodag's product, and the item that it was made of.
        wanted: Which assets to fetch, by name; None: all but thumbnails and overviews.
        by_assets: Whether the archive hands a product over by its assets.
        licence: Of the collection.

    Raises:
        SourceError: its place or time can't be understood, or it has no asset that is wanted.
    """
    found, item = one
    stac = item if isinstance(item, dict) and item.get("type") == "Feature" else {}
    fields = {**found.properties, **(stac.get("properties") or {})}
    product_id = str(found.properties["id"])
    assets = _assets(found, wanted, product_id) if wanted or by_assets(found) else {}
    try:
        footprint, outline, crs = _places(found, stac, fields, list(assets.values()))
        acquired = acquired_of(fields)
    except Exception as error:
        raise SourceError(
            f"product '{product_id}' of '{found.provider}' has a place or time that can't be understood "
            f"({type(error).__name__}): search around it, or report it to the archive"
        ) from None
    if footprint is None:
        return None
    names = _names(assets)
    files = {names[key]: stated_of(asset) for key, asset in assets.items()}
    sizes = [stated.size for stated in files.values()]
    whole = size_of(fields.get("file:size"))
    return Product(
        provider=str(found.provider),
        collection=str(found.collection),
        product_id=product_id,
        footprint=footprint,
        crs=crs,
        outline=outline,
        acquired=acquired,
        cloud_cover=_number(fields.get("eo:cloud_cover")),
        size=(whole if not assets else None if None in sizes else sum(size or 0 for size in sizes)),
        licence=_licence(fields, licence),
        properties=facts_of(fields, product_id, str(fields.get("title", "")), str(fields.get("s2:product_uri", ""))),
        files=files,
        handle=Handle(found, names, None if assets else digest_of(fields.get("file:checksum"))),
    )


def safe_name(text: str) -> str:
    """A text as the name of a file."""
    return _UNSAFE.sub("_", text).lstrip(".") or "product"


def _places(
    found: Any, stac: dict[str, Any], fields: dict[str, Any], assets: list[Any]
) -> tuple[bytes | None, bytes | None, str | None]:
    """The footprint, and where the item is exact the outline in the CRS of the pixels; the geometries as WKB."""
    import shapely

    stated = found.geometry
    if stac and not stac.get("geometry"):
        # eodag takes an item without a geometry for one of the whole world.
        box = stac.get("bbox")
        stated = shapely.box(*box[:2], *box[len(box) // 2 :][:2]) if box else shapely.Point()
    footprint = footprint_of(stated, stac.get("bbox"))
    outline, crs = outline_of(fields, assets) or (None, None)
    return (
        None if footprint is None else shapely.to_wkb(footprint),
        None if outline is None else shapely.to_wkb(outline, output_dimension=2),
        crs,
    )


def _assets(found: Any, wanted: Callable[[str], bool] | None, product_id: str) -> dict[str, Any]:
    """The assets to fetch, by name."""
    assets = {str(key): asset for key, asset in found.assets.items() if asset.get("href")}
    if wanted is None:
        return {key: one for key, one in assets.items() if not _is_picture(one)} or assets
    chosen = {key: one for key, one in assets.items() if wanted(key)}
    if not chosen:
        raise SourceError(
            f"product '{product_id}' of '{found.provider}' has none of the assets that are wanted, but "
            f"{', '.join(sorted(assets)) or 'none at all'}: mend the option 'assets'"
        )
    return chosen


def _is_picture(asset: Mapping[str, Any]) -> bool:
    roles = asset.get("roles")
    return isinstance(roles, list) and bool(roles) and set(map(str, roles)) <= _PICTURES


def _names(assets: dict[str, Any]) -> dict[str, str]:
    """By asset, the path of its file: the asset's name, with the extension of what it links to."""
    names: dict[str, str] = {}
    for key, asset in assets.items():
        parts = [safe_name(part) for part in key.split("/") if part.strip(". ")]
        name = "/".join(parts) or "asset"
        extension = _extension(asset)
        name = name if name.lower().endswith(extension) else name + extension
        taken = {one.casefold() for one in names.values()}
        names[key] = name if name.casefold() not in taken else f"{len(names)}_{name}"
    return names


def _extension(asset: Mapping[str, Any]) -> str:
    path = PurePosixPath(unquote(urlparse(str(asset["href"])).path))
    suffixes = "".join(path.suffixes[-2:]).lower() if path.suffix.lower() in {".gz", ".bz2"} else path.suffix.lower()
    if re.fullmatch(r"(\.[a-z0-9]{1,7}){1,2}", suffixes):
        return suffixes
    return _TYPES.get(str(asset.get("type", "")).partition(";")[0].strip().lower(), "")


def _number(value: Any) -> float | None:
    try:
        return None if value is None or isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        return None


def _licence(fields: Mapping[str, Any], collection: str | None) -> str | None:
    """The product's licence, else that of the collection; "other" tells nothing."""
    for value in (fields.get("license"), collection):
        if isinstance(value, str) and value and value != "other":
            return value
    return None
