"""Convert eodag's search results to `Product`: footprint, outline, time, properties, and the names of the files."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from geographer.archives import stac_items
from geographer.archives.base import Product
from geographer.archives.eodag.client import EodagClient
from geographer.archives.eodag.pagination import EodagItem
from geographer.archives.stac_assets import Asset, AssetFilter, find_band_assets, make_file_names, select_assets
from geographer.archives.stac_products import ItemFields, make_product

ONLINE: Final = "succeeded"
"""The `order:status` of a product that can be downloaded."""


class EodagHandle(NamedTuple):
    """An EOProduct and the paths of its assets' files, or none and maybe its digest if it is downloaded as a whole.

    `status` is the `order:status` that the archive stated.
    """

    eodag_product: Any
    file_names: Mapping[str, str]
    status: str
    digest: str | None = None


def convert_result(
    client: EodagClient,
    item: EodagItem,
    asset_filter: AssetFilter | None,
    bands: tuple[str, ...],
    collection_licence: str | None,
) -> Product | None:
    """Return the product for a search result, or None if its footprint has no area.

    Without `asset_filter`, the assets that hold the `bands` are downloaded if each is found, else all except thumbnails
    and overviews, or the whole product if the archive delivers it as one file.

    Raises:
        SourceError: footprint or time are malformed, or no asset passes the filter.
        UsageError: several assets hold a requested band.
    """
    eodag_product, source_item = item
    stac_item = source_item if isinstance(source_item, dict) and source_item.get("type") == "Feature" else {}
    fields = {**eodag_product.properties, **(stac_item.get("properties") or {})}
    # eodag takes an item without a geometry for one of the whole world.
    has_geometry = not stac_item or stac_item.get("geometry")
    result = ItemFields(
        provider=str(eodag_product.provider),
        collection=str(eodag_product.collection),
        product_id=str(eodag_product.properties["id"]),
        properties=fields,
        assets={},
        geometry=eodag_product.geometry if has_geometry else None,
        bbox=stac_item.get("bbox"),
        licence=collection_licence,
    )
    assets = _select_assets(client, eodag_product, asset_filter, bands, result.display_name)
    digest = None if assets else stac_items.parse_digest(fields.get("file:checksum"))
    status = str(eodag_product.properties.get("order:status", ONLINE))
    handle = EodagHandle(eodag_product, make_file_names(assets), status, digest)
    return make_product(result._replace(assets=assets), handle)


def _select_assets(
    client: EodagClient, eodag_product: Any, asset_filter: AssetFilter | None, bands: tuple[str, ...], subject: str
) -> dict[str, Asset]:
    assets = {str(key): asset for key, asset in eodag_product.assets.items()}
    if asset_filter is None and not _has_asset_downloads(client, eodag_product):
        return find_band_assets(assets, bands, subject) or {}
    return select_assets(assets, asset_filter, bands, subject)


def _has_asset_downloads(client: EodagClient, eodag_product: Any) -> bool:
    downloader = client.dag._plugins_manager.get_download_plugin(eodag_product)
    can_have_assets = len(eodag_product.assets) > 0 and hasattr(downloader, "_should_ignore_assets")
    return can_have_assets and not downloader._should_ignore_assets(eodag_product)
