"""Assets of STAC items: which to download, what bands they hold, and the names of their files."""

import re
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import Any, Final
from urllib.parse import unquote, urlparse

from geographer.base.band_names import BandNames, find_band
from geographer.base.errors import SourceError, UsageError, quote_names

Asset = Mapping[str, Any]
"""An asset as the item has it."""

AssetFilter = Callable[[str], bool]
"""Returns whether to download the asset of that name."""

_PREVIEW_ROLES: Final = frozenset({"thumbnail", "overview"})
_EXTENSIONS: Final = {
    **{"image/tiff": ".tif", "image/jp2": ".jp2", "image/png": ".png", "image/jpeg": ".jpg", "text/plain": ".txt"},
    **{"text/xml": ".xml", "application/xml": ".xml", "application/json": ".json", "application/zip": ".zip"},
    **{"application/geo+json": ".geojson", "application/x-hdf5": ".h5"},
    **dict.fromkeys(("application/x-netcdf", "application/netcdf"), ".nc"),
}
_UNSAFE: Final = re.compile(r"[^\w.+-]+")


def make_asset_filter(assets: object) -> AssetFilter | None:
    """Return a predicate on asset names for the option 'assets'."""
    if assets is None:
        return None
    if isinstance(assets, str) and ("," not in assets or re.search(r"[\[({]", assets)):
        try:
            pattern = re.compile(assets)
        except re.error as error:
            raise UsageError(f"the option assets {assets!r} is not a regular expression: {error}.") from error
        return lambda name: pattern.fullmatch(name) is not None
    names = [name.strip() for name in assets.split(",")] if isinstance(assets, str) else assets
    if isinstance(names, list | tuple) and names and all(isinstance(name, str) for name in names):
        return frozenset(names).__contains__
    raise UsageError("the option assets must be a regular expression or a list of names.")


def select_assets(
    assets: Mapping[str, Asset], asset_filter: AssetFilter | None, bands: tuple[str, ...], subject: str
) -> dict[str, Asset]:
    """Return the assets to download: those that pass the filter, else those of the bands, else all but previews.

    Raises:
        SourceError: no asset passes the filter.
        UsageError: several assets hold a requested band.
    """
    assets = {key: asset for key, asset in assets.items() if asset.get("href")}
    if asset_filter is None:
        by_band = find_band_assets(assets, bands, subject)
        return by_band or {key: asset for key, asset in assets.items() if not _is_preview(asset)} or dict(assets)
    selected = {key: asset for key, asset in assets.items() if asset_filter(key)}
    if not selected:
        names = f"Its assets are {', '.join(sorted(assets)) or 'missing'}. Correct the option 'assets'."
        raise SourceError(f"{subject} has none of the requested assets. {names}")
    return selected


def find_band_assets(assets: Mapping[str, Asset], bands: tuple[str, ...], subject: str) -> dict[str, Asset] | None:
    """Return the assets that hold the bands, or None if a band is missing; `UsageError` if several hold one.

    The key of an asset counts before the names, and these before the common names, of the bands that it states. An
    asset of one band counts before assets of several, and previews count by their keys only.
    """
    assets, keys = {key: asset for key, asset in assets.items() if asset.get("href")}, set()
    candidates = [(key, *names) for key, asset in assets.items() for names in _list_searched_bands(asset)]
    for band in bands:
        matches = {candidates[index][0] for index in find_band(band, candidates)}
        found = {key for key in matches if len(read_bands(assets[key])) == 1} or matches
        if len(found) > 1:
            raise UsageError(
                f"band '{band}' of {subject} is in several assets: {quote_names(sorted(found), 20)}. Name one of them "
                "in --bands, or choose it with the option assets."
            )
        if not found:
            return None
        keys |= found
    return {key: asset for key, asset in assets.items() if key in keys}


def read_bands(asset: Asset) -> tuple[BandNames, ...]:
    """Return the names of an asset's bands, in order, by `bands` (STAC 1.1) and `eo:bands`; empty if not stated."""
    by_field = [value for value in map(asset.get, ("bands", "eo:bands")) if isinstance(value, list)]
    n_bands = max(map(len, by_field), default=0)
    fields = [[value[index] for value in by_field if index < len(value)] for index in range(n_bands)]
    keys = ("name",), ("eo:common_name", "common_name")
    return tuple(BandNames(*(_find_text(band, names) for names in keys)) for band in fields)


def read_all_bands(assets: Mapping[str, Asset], file_names: Mapping[str, str]) -> dict[str, tuple[BandNames, ...]]:
    """Return the names of the bands of each file whose asset states them."""
    bands = {file_names[key]: read_bands(asset) for key, asset in assets.items()}
    return {name: names for name, names in bands.items() if any(any(band) for band in names)}


def complete_assets(assets: Mapping[str, Asset], templates: Any) -> dict[str, Asset]:
    """Return the assets with the fields that only the collection's `item_assets` state."""
    templates = templates if isinstance(templates, dict) else {}
    shared = {key: templates[key] for key in assets if isinstance(templates.get(key), dict)}
    return {key: {**shared.get(key, {}), **asset} for key, asset in assets.items()}


def make_file_names(assets: Mapping[str, Asset]) -> dict[str, str]:
    """Return a file name for each asset: its key with the extension of its address, or of its media type."""
    file_names: dict[str, str] = {}
    for key, asset in assets.items():
        name = "/".join(make_safe_name(part) for part in key.split("/") if part.strip(". ")) or "asset"
        extension = _find_extension(asset)
        name = name if name.lower().endswith(extension) else name + extension
        taken = {other.casefold() for other in file_names.values()}
        file_names[key] = name if name.casefold() not in taken else f"{len(file_names)}_{name}"
    return file_names


def make_safe_name(text: str) -> str:
    """Return a text as a file name."""
    return _UNSAFE.sub("_", text).lstrip(".") or "product"


def _list_searched_bands(asset: Asset) -> tuple[BandNames, ...]:
    """Return the bands by which an asset is found; one without names if it states none or is a preview."""
    return (() if _is_preview(asset) else read_bands(asset)) or (BandNames(),)


def _find_text(fields: list[Any], names: tuple[str, ...]) -> str | None:
    values = (band.get(name) for band in fields if isinstance(band, Mapping) for name in names)
    return next((value for value in values if value and isinstance(value, str)), None)


def _is_preview(asset: Asset) -> bool:
    roles = asset.get("roles")
    return isinstance(roles, list) and bool(roles) and set(map(str, roles)) <= _PREVIEW_ROLES


def _find_extension(asset: Asset) -> str:
    path = PurePosixPath(unquote(urlparse(str(asset["href"])).path))
    suffixes = "".join(path.suffixes[-2:]).lower() if path.suffix.lower() in {".gz", ".bz2"} else path.suffix.lower()
    if re.fullmatch(r"(\.[a-z0-9]{1,7}){1,2}", suffixes):
        return suffixes
    return _EXTENSIONS.get(str(asset.get("type", "")).partition(";")[0].strip().lower(), "")
