"""Convert eodag's search results to `Product`: footprint, outline, time, properties, and the names of the files."""

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import unquote, urlparse

from geographer.archives import stac_items
from geographer.archives.base import Product
from geographer.archives.eodag.client import EodagClient
from geographer.archives.eodag.options import AssetFilter
from geographer.archives.eodag.pagination import EodagItem
from geographer.base.errors import SourceError

if TYPE_CHECKING:
    import shapely

_PREVIEW_ROLES: Final = frozenset({"thumbnail", "overview"})
_EXTENSIONS: Final = {
    **{"image/tiff": ".tif", "image/jp2": ".jp2", "image/png": ".png", "image/jpeg": ".jpg", "text/plain": ".txt"},
    **{"text/xml": ".xml", "application/xml": ".xml", "application/json": ".json", "application/zip": ".zip"},
    **{"application/geo+json": ".geojson", "application/x-hdf5": ".h5"},
    **dict.fromkeys(("application/x-netcdf", "application/netcdf"), ".nc"),
}
_NAME_FIELDS: Final = ("title", "s2:product_uri")
_UNSAFE: Final = re.compile(r"[^\w.+-]+")


class EodagHandle(NamedTuple):
    """An EOProduct and the paths of its assets' files, or none and maybe its digest if it is downloaded as a whole."""

    eodag_product: Any
    file_names: Mapping[str, str]
    digest: str | None = None


def make_product(
    client: EodagClient,
    item: EodagItem,
    asset_filter: AssetFilter | None,
    bands: tuple[str, ...],
    collection_licence: str | None,
) -> Product | None:
    """Return the product for a search result, or None if its footprint has no area.

    Without `asset_filter`, the assets of the `bands` are downloaded if each is an asset, else all except thumbnails and
    overviews, or the whole product if the archive delivers it as one file. `SourceError` if footprint or time are
    malformed, or no asset passes the filter.
    """
    import shapely

    eodag_product, source_item = item
    stac_item = source_item if isinstance(source_item, dict) and source_item.get("type") == "Feature" else {}
    fields = {**eodag_product.properties, **(stac_item.get("properties") or {})}
    product_id = str(eodag_product.properties["id"])
    subject = f"product '{product_id}' of '{eodag_product.provider}'"
    assets = _select_assets(client, eodag_product, asset_filter or _make_band_filter(eodag_product, bands), subject)
    try:
        footprint = _read_footprint(eodag_product, stac_item)
        outline, crs = stac_items.read_outline(fields, assets.values()) or (None, None)
        acquired = stac_items.read_acquisition_time(fields)
    except Exception as error:
        reason = f"has a malformed geometry or time ({type(error).__name__})"
        raise SourceError(f"{subject} {reason}. Exclude it from the search, or report it to the archive.") from None
    if footprint is None:
        return None
    file_names = _make_file_names(assets)
    files = {file_names[key]: stac_items.read_asset_file_info(asset) for key, asset in assets.items()}
    stated_size, digest = fields.get("file:size"), stac_items.parse_digest(fields.get("file:checksum"))
    sizes = [file_info.size for file_info in files.values()] if assets else [stac_items.parse_size(stated_size)]
    names = (str(fields.get(name, "")) for name in _NAME_FIELDS)
    licences = (value for value in (fields.get("license"), collection_licence) if isinstance(value, str))
    return Product(
        provider=str(eodag_product.provider),
        collection=str(eodag_product.collection),
        product_id=product_id,
        footprint=shapely.to_wkb(footprint),
        crs=crs,
        outline=None if outline is None else shapely.to_wkb(outline, output_dimension=2),
        acquired=acquired,
        cloud_cover=_parse_number(fields.get("eo:cloud_cover")),
        size=None if None in sizes else sum(size or 0 for size in sizes),
        licence=next((licence for licence in licences if licence not in {"", "other"}), None),
        properties=stac_items.normalise_properties(fields, product_id, *names),
        files=files,
        handle=EodagHandle(eodag_product, file_names, None if assets else digest),
    )


def make_safe_name(text: str) -> str:
    """Return a text as a file name."""
    return _UNSAFE.sub("_", text).lstrip(".") or "product"


def _read_footprint(eodag_product: Any, stac_item: Mapping[str, Any]) -> "shapely.Geometry | None":
    import shapely

    geometry, bbox = eodag_product.geometry, stac_item.get("bbox")
    if stac_item and not stac_item.get("geometry"):
        # eodag takes an item without a geometry for one of the whole world.
        geometry = stac_items.make_box(bbox) if bbox else shapely.Point()
    return stac_items.normalise_footprint(geometry, bbox)


def _make_band_filter(eodag_product: Any, bands: tuple[str, ...]) -> AssetFilter | None:
    wanted = {band.casefold() for band in bands}
    is_complete = wanted <= {str(key).casefold() for key in eodag_product.assets}
    return (lambda name: name.casefold() in wanted) if wanted and is_complete else None


def _select_assets(
    client: EodagClient, eodag_product: Any, asset_filter: AssetFilter | None, subject: str
) -> dict[str, Mapping[str, Any]]:
    if asset_filter is None and not _has_asset_downloads(client, eodag_product):
        return {}
    assets = {str(key): asset for key, asset in eodag_product.assets.items() if asset.get("href")}
    if asset_filter is None:
        return {key: asset for key, asset in assets.items() if not _is_preview(asset)} or assets
    selected = {key: asset for key, asset in assets.items() if asset_filter(key)}
    if not selected:
        names = f"Its assets are {', '.join(sorted(assets)) or 'missing'}. Correct the option 'assets'."
        raise SourceError(f"{subject} has none of the requested assets. {names}")
    return selected


def _has_asset_downloads(client: EodagClient, eodag_product: Any) -> bool:
    downloader = client.dag._plugins_manager.get_download_plugin(eodag_product)
    can_have_assets = len(eodag_product.assets) > 0 and hasattr(downloader, "_should_ignore_assets")
    return can_have_assets and not downloader._should_ignore_assets(eodag_product)


def _is_preview(asset: Mapping[str, Any]) -> bool:
    roles = asset.get("roles")
    return isinstance(roles, list) and bool(roles) and set(map(str, roles)) <= _PREVIEW_ROLES


def _make_file_names(assets: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
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
