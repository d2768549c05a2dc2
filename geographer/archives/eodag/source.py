"""`EodagSource`: archives that eodag supports, and STAC APIs by their URL."""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote

from geographer.archives.base import BytesCallback, Product, SearchQuery, Source
from geographer.archives.eodag.client import make_client, suggest_names
from geographer.archives.eodag.download import ProductDownload
from geographer.archives.eodag.options import make_asset_filter, parse_options
from geographer.archives.eodag.pagination import EodagSearch
from geographer.archives.eodag.products import make_product
from geographer.archives.http_ftp import get_json
from geographer.base.errors import NotFoundError, SourceError, UsageError


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
        super().__init__(provider=provider, collection=collection, **options)
        if collection is None:
            raise UsageError("eodag searches one collection. Pass its name, such as S2_MSI_L2A.")
        self._options = parse_options(options)
        self._asset_filter = make_asset_filter(self._options.assets)
        self._client = make_client(provider, collection, self._options)
        self.provider = self._client.provider

    def search(self, query: SearchQuery) -> Iterator[list[Product]]:
        """See `Source.search`. Products without a footprint area (such as a point) are left out."""
        is_empty = True
        for page in EodagSearch(self._client, query, self._options).iter_pages():
            is_empty = False
            licence = self._collection_licence
            products = [make_product(self._client, item, self._asset_filter, self.bands, licence) for item in page]
            yield [product for product in products if product is not None]
        if is_empty and self._options.url:
            self._check_collection()

    def fetch(self, product: Product, folder: Path, on_progress: BytesCallback) -> None:
        """See `Source.fetch`."""
        ProductDownload(self._client, product, on_progress).write_files(folder)

    @cached_property
    def _collection_licence(self) -> str | None:
        if not self._options.url:
            configuration = self._client.dag.collections_config.get(self._client.collection)
            return getattr(configuration, "license", None)
        try:
            content = get_json(f"{self._options.root_url}/collections/{quote(str(self.collection), safe='')}")
        except SourceError:
            return None
        return content.get("license") if isinstance(content, dict) else None

    def _check_collection(self) -> None:
        """Raise if the STAC API lacks the collection: its search answers like one without results."""
        try:
            content = get_json(f"{self._options.root_url}/collections")
            collections = {str(collection["id"]) for collection in content["collections"]}
            is_complete = all(link.get("rel") != "next" for link in content.get("links", []))
        except (SourceError, KeyError, TypeError, AttributeError):
            return
        if collections and is_complete and self.collection not in collections:
            hint = suggest_names(str(self.collection), collections)
            raise NotFoundError(f"archive '{self.provider}' has no collection '{self.collection}'{hint}.")
