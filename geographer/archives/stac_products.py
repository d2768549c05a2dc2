"""Make products from STAC items, or from search results with the same fields."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from geographer.archives import stac_items
from geographer.archives.base import Product
from geographer.archives.stac_assets import Asset, make_file_names, read_all_bands
from geographer.base.errors import SourceError

if TYPE_CHECKING:
    import shapely

_NAME_FIELDS: Final = ("title", "s2:product_uri")


class ItemFields(NamedTuple):
    """A search result: names, `properties`, the assets to download, a shapely `geometry` or None, and maybe a bbox.

    `licence` is that of the collection. If the archive delivers the product as one file, there are no assets.
    """

    provider: str
    collection: str
    product_id: str
    properties: Mapping[str, Any]
    assets: Mapping[str, Asset]
    geometry: "shapely.Geometry | None"
    bbox: Any = None
    licence: str | None = None

    @property
    def display_name(self) -> str:
        """Id and provider, as messages name the product."""
        return f"product '{self.product_id}' of '{self.provider}'"


def make_product(item: ItemFields, handle: Any = None) -> Product | None:
    """Return the product of a search result, or None if its footprint has no area.

    `SourceError` if footprint or time are malformed.
    """
    import shapely

    fields, assets, names = item.properties, item.assets, make_file_names(item.assets)
    try:
        box = stac_items.make_box(item.bbox) if item.bbox else shapely.Point()
        geometry = box if item.geometry is None else item.geometry
        footprint = stac_items.normalise_footprint(geometry, item.bbox)
        outline, crs = stac_items.read_outline(fields, assets.values()) or (None, None)
        acquired = stac_items.read_acquisition_time(fields)
    except Exception as error:
        reason = f"has a malformed geometry or time ({type(error).__name__})"
        raise SourceError(
            f"{item.display_name} {reason}. Exclude it from the search, or report it to the archive."
        ) from None
    if footprint is None:
        return None
    files = {names[key]: stac_items.read_asset_file_info(asset) for key, asset in assets.items()}
    sizes = [file.size for file in files.values()] if assets else [stac_items.parse_size(fields.get("file:size"))]
    licences = (value for value in (fields.get("license"), item.licence) if isinstance(value, str))
    titles = (str(fields.get(name, "")) for name in _NAME_FIELDS)
    return Product(
        provider=item.provider,
        collection=item.collection,
        product_id=item.product_id,
        footprint=shapely.to_wkb(footprint),
        crs=crs,
        outline=None if outline is None else shapely.to_wkb(outline, output_dimension=2),
        acquired=acquired,
        cloud_cover=_parse_number(fields.get("eo:cloud_cover")),
        size=None if None in sizes else sum(size or 0 for size in sizes),
        licence=next((licence for licence in licences if licence not in {"", "other"}), None),
        properties=stac_items.normalise_properties(fields, item.product_id, *titles),
        files=files,
        bands=read_all_bands(assets, names),
        handle=handle,
    )


def _parse_number(value: Any) -> float | None:
    try:
        return None if value is None or isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        return None
