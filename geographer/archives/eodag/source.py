"""`EodagSource`: archives that eodag supports."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from geographer.archives.base import BytesCallback, Product, SearchQuery, Source
from geographer.archives.eodag.client import make_client
from geographer.archives.eodag.download import ProductDownload
from geographer.archives.eodag.options import EodagOptions, parse_options
from geographer.archives.eodag.pagination import EodagSearch
from geographer.archives.eodag.products import convert_result
from geographer.archives.stac_api import StacSource
from geographer.archives.stac_assets import make_asset_filter
from geographer.base.errors import UsageError


class EodagSource(Source):
    """Any provider that eodag supports.

    Credentials are those of eodag: the file that EODAG_CFG_FILE names, else ~/.config/eodag/eodag.yml, and EODAG__…
    variables. The source never writes there, and makes no requests except for products.

    Options:
        url: Of version 0.1.0: the STAC API that the source `stac` takes; `provider` is the name to record.
        page_size: Products per request. Default: the provider's maximum as eodag knows it, at most 500.
        next_page_token_key: The archive's parameter for the next page, if it is not recognised.
        query: Further search parameters as eodag names them, such as `{"eo:cloud_cover": 20}`.
        assets: Assets to download: a regular expression for the whole name, or a list of names, also as text with
            commas. Default: the bands that the recipe requests, if each is found by the key of an asset or by the name
            or the common name of a band; else all except thumbnails and overviews, or the whole product if the archive
            delivers it as one file.
        generic: `collection` is the archive's own name of a collection that eodag does not list.

    Files are named after their assets, with the extension of the download: `B02.tif`. A product delivered as a whole is
    `<product id>.zip`, or has the extension of its content.
    """

    max_concurrent = 32

    def __init__(self, *, provider: str | None, collection: str | None, **options: Any) -> None:
        """See `Source`. Setting up eodag takes about a second the first time."""
        super().__init__(provider=provider, collection=collection, **options)
        if collection is None:
            raise UsageError("eodag searches one collection. Pass its name, such as S2_MSI_L2A.")
        self._options = parse_options(options)
        self._asset_filter = make_asset_filter(self._options.assets)
        self._stac = _make_stac_source(provider, collection, self._options) if self._options.url else None
        if self._stac is None:
            self._client = make_client(provider, collection, self._options)
            self.provider = self._client.provider

    def search(self, query: SearchQuery) -> Iterator[list[Product]]:
        """See `Source.search`. Products without a footprint area (such as a point) are left out."""
        if self._stac is not None:
            self._stac.bands = self.bands
            yield from self._stac.search(query)
            return
        for page in EodagSearch(self._client, query, self._options).iter_pages():
            licence = self._collection_licence
            products = [convert_result(self._client, item, self._asset_filter, self.bands, licence) for item in page]
            yield [product for product in products if product is not None]

    def fetch(self, product: Product, folder: Path, on_progress: BytesCallback) -> None:
        """See `Source.fetch`."""
        if self._stac is not None:
            self._stac.fetch(product, folder, on_progress)
            return
        ProductDownload(self._client, product, on_progress).write_files(folder)

    @property
    def _collection_licence(self) -> str | None:
        configuration = self._client.dag.collections_config.get(self._client.collection)
        return getattr(configuration, "license", None)


def _make_stac_source(provider: str | None, collection: str, options: EodagOptions) -> StacSource:
    """Return the source for a STAC API, which recipes of version 0.1.0 name as an option."""
    if provider is None:
        raise UsageError("a STAC API given by 'url' needs a name to record. Pass a provider.")
    shared = {"page_size": options.page_size, "query": options.query, "assets": options.assets}
    return StacSource(provider=provider, collection=collection, url=options.url, **shared)
