"""Convert eodag's search results to `Product`: footprint, outline, time, properties, and the names of the files."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import Any, Final, NamedTuple
from urllib.parse import unquote, urlparse

from geographer.archives.base import Product
from geographer.archives.eodag.pagination import EodagItem
from geographer.archives.stac_items import normalise_footprint, read_acquisition_time, read_outline
from geographer.archives.stac_properties import normalise_properties, parse_digest, parse_size, read_asset_file_info
from geographer.base.errors import SourceError

AssetFilter = Callable[[str], bool]
"""Returns whether to download the asset of that name."""

_PREVIEW_ROLES: Final = frozenset({"thumbnail", "overview"})
_EXTENSIONS: Final = {
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


class EodagHandle(NamedTuple):
    """An EOProduct, the path of the file of each asset to download, and a digest of the product if it has no assets.

    Without file names, the product is downloaded as a whole.
    """

    eodag_product: Any
    file_names: Mapping[str, str]
    digest: str | None = None


def make_product(
    item: EodagItem,
    asset_filter: AssetFilter | None,
    has_asset_downloads: Callable[[Any], bool],
    licence: str | None = None,
) -> Product | None:
    """Return the product for a search result, or None if its footprint has no area.

    Args:
        item: The search result.
        asset_filter: Which assets to download; None: all except thumbnails and overviews.
        has_asset_downloads: Whether the archive delivers an EOProduct as separate assets.
        licence: Licence of the collection.

    Raises:
        SourceError: footprint or time are malformed, or no asset passes the filter.
    """
    eodag_product, source_item = item
    stac_item = source_item if isinstance(source_item, dict) and source_item.get("type") == "Feature" else {}
    fields = {**eodag_product.properties, **(stac_item.get("properties") or {})}
    product_id = str(eodag_product.properties["id"])
    subject = f"product '{product_id}' of '{eodag_product.provider}'"
    is_by_asset = asset_filter is not None or has_asset_downloads(eodag_product)
    assets = _select_assets(eodag_product, asset_filter, subject) if is_by_asset else {}
    try:
        footprint, outline, crs = _read_geometries(eodag_product, stac_item, fields, list(assets.values()))
        acquired = read_acquisition_time(fields)
    except Exception as error:
        advice = "Exclude it from the search, or report it to the archive."
        message = f"{subject} has a malformed geometry or time ({type(error).__name__}). {advice}"
        raise SourceError(message) from None
    if footprint is None:
        return None
    file_names = _make_file_names(assets)
    files = {file_names[key]: read_asset_file_info(asset) for key, asset in assets.items()}
    sizes = [file_info.size for file_info in files.values()] if assets else [parse_size(fields.get("file:size"))]
    possible_names = (product_id, str(fields.get("title", "")), str(fields.get("s2:product_uri", "")))
    return Product(
        provider=str(eodag_product.provider),
        collection=str(eodag_product.collection),
        product_id=product_id,
        footprint=footprint,
        crs=crs,
        outline=outline,
        acquired=acquired,
        cloud_cover=_parse_number(fields.get("eo:cloud_cover")),
        size=None if None in sizes else sum(size or 0 for size in sizes),
        licence=_find_licence(fields, licence),
        properties=normalise_properties(fields, *possible_names),
        files=files,
        handle=EodagHandle(eodag_product, file_names, None if assets else parse_digest(fields.get("file:checksum"))),
    )


def make_safe_name(text: str) -> str:
    """Return a text as a file name."""
    return _UNSAFE.sub("_", text).lstrip(".") or "product"


def _read_geometries(
    eodag_product: Any, stac_item: dict[str, Any], fields: dict[str, Any], assets: list[Any]
) -> tuple[bytes | None, bytes | None, str | None]:
    """Return the footprint (WKB), and if the item states them, the outline (WKB) and its CRS."""
    import shapely

    geometry = eodag_product.geometry
    bbox = stac_item.get("bbox")
    if stac_item and not stac_item.get("geometry"):
        # eodag takes an item without a geometry for one of the whole world.
        geometry = shapely.box(*bbox[:2], *bbox[len(bbox) // 2 :][:2]) if bbox else shapely.Point()
    footprint = normalise_footprint(geometry, bbox)
    outline, crs = read_outline(fields, assets) or (None, None)
    return (
        None if footprint is None else shapely.to_wkb(footprint),
        None if outline is None else shapely.to_wkb(outline, output_dimension=2),
        crs,
    )


def _select_assets(eodag_product: Any, asset_filter: AssetFilter | None, subject: str) -> dict[str, Any]:
    """Return the assets to download, by name."""
    assets = {str(key): asset for key, asset in eodag_product.assets.items() if asset.get("href")}
    if asset_filter is None:
        return {key: asset for key, asset in assets.items() if not _is_preview(asset)} or assets
    selected = {key: asset for key, asset in assets.items() if asset_filter(key)}
    if not selected:
        names = ", ".join(sorted(assets)) or "missing"
        advice = "Correct the option 'assets'."
        raise SourceError(f"{subject} has none of the requested assets. Its assets are {names}. {advice}")
    return selected


def _is_preview(asset: Mapping[str, Any]) -> bool:
    """Return whether all roles of an asset are those of thumbnails and overviews."""
    roles = asset.get("roles")
    return isinstance(roles, list) and bool(roles) and set(map(str, roles)) <= _PREVIEW_ROLES


def _make_file_names(assets: dict[str, Any]) -> dict[str, str]:
    """Return the path of each asset's file: the asset's name with the extension of its link."""
    file_names: dict[str, str] = {}
    for key, asset in assets.items():
        name = "/".join(make_safe_name(part) for part in key.split("/") if part.strip(". ")) or "asset"
        extension = _find_extension(asset)
        name = name if name.lower().endswith(extension) else name + extension
        taken = {other.casefold() for other in file_names.values()}
        file_names[key] = name if name.casefold() not in taken else f"{len(file_names)}_{name}"
    return file_names


def _find_extension(asset: Mapping[str, Any]) -> str:
    path = PurePosixPath(unquote(urlparse(str(asset["href"])).path))
    suffixes = "".join(path.suffixes[-2:]).lower() if path.suffix.lower() in {".gz", ".bz2"} else path.suffix.lower()
    if re.fullmatch(r"(\.[a-z0-9]{1,7}){1,2}", suffixes):
        return suffixes
    return _EXTENSIONS.get(str(asset.get("type", "")).partition(";")[0].strip().lower(), "")


def _parse_number(value: Any) -> float | None:
    try:
        return None if value is None or isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        return None


def _find_licence(fields: Mapping[str, Any], collection_licence: str | None) -> str | None:
    """Return the product's licence, else that of the collection; "other" is no information."""
    for value in (fields.get("license"), collection_licence):
        if isinstance(value, str) and value and value != "other":
            return value
    return None
