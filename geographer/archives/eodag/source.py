"""`EodagSource`: archives that eodag supports, and STAC APIs by their URL."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from geographer.archives.base import BytesCallback, Product, SearchQuery, Source, check_options, validate_url
from geographer.base.errors import NotFoundError, SourceError, UsageError, quote_names

if TYPE_CHECKING:
    from geographer.archives.eodag.products import AssetFilter

_OPTIONS: Final = frozenset({"assets", "generic", "next_page_token_key", "page_size", "query", "url"})
_RESERVED_PARAMETERS: Final = frozenset(
    {"collection", "provider", "geom", "geometry", "bbox", "box", "intersects", "start", "end", "datetime", "id"}
    | {"start_datetime", "end_datetime", "page", "limit", "items_per_page", "count", "raise_errors", "validate"}
    | {"locations", "sort_by", "next_page_token", "next_page_token_key", "auth"}
)
_MAX_PAGE_SIZE: Final = 10_000


class EodagSource(Source):
    """Any provider that eodag supports, or a STAC API by its URL.

    Credentials are those of eodag: the file that EODAG_CFG_FILE names, else ~/.config/eodag/eodag.yml, and EODAG__…
    variables. The source never writes there, and makes no requests except for products.

    Options:
        url: A STAC API (its root or its `search` endpoint) unknown to eodag; `provider` is then the name to record.
            Must not contain user, password or query, because the log records it.
        page_size: Products per request. Default: the provider's maximum as eodag knows it, at most 500; 100 for `url`.
        next_page_token_key: The archive's parameter for the next page, if it is not recognised.
        query: Further search parameters as eodag names them, such as `{"eo:cloud_cover": 20}`.
        assets: Assets to download: a regular expression for the whole name, or a list of names, also as text with
            commas. Default: the bands that the recipe requests, if each is an asset; else all except thumbnails and
            overviews, or the whole product if the archive delivers it as one file.
        generic: `collection` is the archive's own name of a collection that eodag does not list.

    Files are named after their assets, with the extension of the download: `B02.tif`. A product delivered as a whole is
    `<product id>.zip`, or has the extension of its content.
    """

    def __init__(self, *, provider: str | None, collection: str | None, **options: Any) -> None:
        """See `Source`. Setting up eodag takes about a second the first time."""
        from geographer.archives.eodag.client import make_client

        super().__init__(provider=provider, collection=collection, **options)
        if collection is None:
            raise UsageError("eodag searches one collection. Pass its name, such as S2_MSI_L2A.")
        _validate_options(options)
        self._asset_filter = _make_asset_filter(options.get("assets"))
        self._query: dict[str, Any] = dict(options.get("query") or {})
        self._client = make_client(self.provider, collection, self.options)
        self.provider = self._client.provider

    def search(self, query: SearchQuery) -> Iterator[list[Product]]:
        """See `Source.search`. Products without a footprint area (such as a point) are left out."""
        from geographer.archives.eodag.pagination import iter_pages
        from geographer.archives.eodag.products import make_product

        is_empty = True
        for page in iter_pages(self._client, query, self._query, self.options.get("next_page_token_key")):
            products = [
                make_product(item, self._asset_filter_for(item[0]), self._has_asset_downloads, self._collection_licence)
                for item in page
            ]
            is_empty = is_empty and not products
            yield [product for product in products if product is not None]
        if is_empty and self.options.get("url"):
            self._check_collection()

    def fetch(self, product: Product, folder: Path, on_progress: BytesCallback) -> None:
        """See `Source.fetch`."""
        from geographer.archives.eodag.download import download_product

        download_product(self._client, product, folder, on_progress)

    def _asset_filter_for(self, eodag_product: Any) -> AssetFilter | None:
        """Return the filter of the option `assets`, else of the requested bands if each is an asset, or None."""
        if self._asset_filter is not None or not self.bands:
            return self._asset_filter
        names = {str(key).casefold() for key in eodag_product.assets}
        bands = {band.casefold() for band in self.bands}
        return (lambda name: name.casefold() in bands) if bands <= names else None

    @cached_property
    def _collection_licence(self) -> str | None:
        """The collection's licence from eodag or from the STAC API; None if unknown."""
        from geographer.archives.http_ftp import get_json

        if not self.options.get("url"):
            configuration = self._client.dag.collections_config.get(self._client.collection)
            return getattr(configuration, "license", None)
        try:
            collection = get_json(f"{self._root_url()}/collections/{quote(str(self.collection), safe='')}")
        except SourceError:
            return None
        return collection.get("license") if isinstance(collection, dict) else None

    def _has_asset_downloads(self, eodag_product: Any) -> bool:
        """Return whether eodag would download a product as separate assets over HTTP."""
        downloader = self._client.dag._plugins_manager.get_download_plugin(eodag_product)
        can_have_assets = len(eodag_product.assets) > 0 and hasattr(downloader, "_should_ignore_assets")
        return can_have_assets and not downloader._should_ignore_assets(eodag_product)

    def _check_collection(self) -> None:
        """Raise if the STAC API lacks the collection: its search answers like one without results."""
        from geographer.archives.eodag.client import suggest_names
        from geographer.archives.http_ftp import get_json

        try:
            content = get_json(f"{self._root_url()}/collections")
            collections = {str(collection["id"]) for collection in content["collections"]}
            is_complete = all(link.get("rel") != "next" for link in content.get("links", []))
        except (SourceError, KeyError, TypeError, AttributeError):
            return
        if collections and is_complete and self.collection not in collections:
            hint = suggest_names(str(self.collection), collections)
            raise NotFoundError(f"archive '{self.provider}' has no collection '{self.collection}'{hint}.")

    def _root_url(self) -> str:
        return str(self.options["url"]).rstrip("/").removesuffix("/search")


def _validate_options(options: Mapping[str, Any]) -> None:
    check_options("eodag", options, _OPTIONS)
    size = options.get("page_size")
    if size is not None and (not isinstance(size, int) or isinstance(size, bool) or not 0 < size <= _MAX_PAGE_SIZE):
        raise UsageError(f"invalid page_size {size!r}. Use a whole number from 1 to {_MAX_PAGE_SIZE:,}.")
    key = options.get("next_page_token_key")
    if key is not None and not (isinstance(key, str) and re.fullmatch(r"[\w.-]+", key)):
        raise UsageError(f"invalid next_page_token_key {key!r}. Use the name of a URL parameter.")
    if not isinstance(options.get("generic", False), bool):
        raise UsageError("the option generic must be true or false.")
    if options.get("url") is not None:
        hint = "Leave them out, and configure the archive as a provider in eodag's own configuration."
        validate_url(options["url"], ("http", "https"), hint)
    query = options.get("query")
    if query is None:
        return
    if not isinstance(query, Mapping) or not all(isinstance(name, str) for name in query):
        raise UsageError("the option query must map parameter names to values.")
    reserved = sorted(_RESERVED_PARAMETERS & set(query))
    if reserved:
        raise UsageError(f"the query cannot contain {quote_names(reserved)}. Use the download's own options for that.")


def _make_asset_filter(assets: Any) -> AssetFilter | None:
    """Return a predicate on asset names for the option 'assets'."""
    if assets is None:
        return None
    if isinstance(assets, str) and "," in assets and not re.search(r"[\[({]", assets):
        assets = [name.strip() for name in assets.split(",")]
    if isinstance(assets, str):
        try:
            pattern = re.compile(assets)
        except re.error as error:
            raise UsageError(f"the option assets {assets!r} is not a regular expression: {error}.") from error
        return lambda name: pattern.fullmatch(name) is not None
    if isinstance(assets, list | tuple) and assets and all(isinstance(name, str) for name in assets):
        names = frozenset(assets)
        return lambda name: name in names
    raise UsageError("the option assets must be a regular expression or a list of names.")
