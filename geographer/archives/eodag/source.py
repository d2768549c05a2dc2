"""The source that asks eodag."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlparse

from geographer.archives.base import BytesCallback, Product, SearchQuery, Source, SourceError
from geographer.base.errors import NotFoundError, UsageError, quote_names

if TYPE_CHECKING:
    from geographer.archives.eodag.client import Client

_OPTIONS: Final = {"assets", "generic", "next_page_token_key", "page_size", "query", "url"}
_RESERVED: Final = frozenset(
    {"collection", "provider", "geom", "geometry", "bbox", "box", "intersects", "start", "end", "datetime", "id"}
    | {"start_datetime", "end_datetime", "page", "limit", "items_per_page", "count", "raise_errors", "validate"}
    | {"locations", "sort_by", "next_page_token", "next_page_token_key", "auth"}
)
_MOST_OF_A_PAGE: Final = 10_000


class EodagSource(Source):
    """Any provider that eodag knows, or a STAC API by its URL.

    Credentials are eodag's own: the file that EODAG_CFG_FILE names, else ~/.config/eodag/eodag.yml, and EODAG__…
    variables. Nothing is written there, and no request is made but those for products.

    Options:
        url: A STAC API (its root, or its `search`) that eodag does not know; `provider` is then the name that is
            recorded for it. Without user, password or query: the log keeps it.
        page_size: Products asked for at once; else what the provider gives at most, as far as eodag knows, up to 500;
            100 of an API by its URL.
        next_page_token_key: What an archive calls the parameter of the next page, where that is not guessed.
        query: What else to ask for, in eodag's words, such as `{"eo:cloud_cover": 20}`.
        assets: Which assets to fetch: a regular expression that must match the whole name, or a list of names, also as
            a text with commas. Else the bands that the recipe asks for, if each is an asset; else all but thumbnails
            and overviews, or the whole product where the archive hands it over as one file.
        generic: `collection` is the archive's own name of a collection that eodag does not list.

    Files are called as their assets, with the extension of what is fetched: `B02.tif`. A product that comes whole is
    `<product id>.zip`, or whatever it is.
    """

    max_concurrent = 4

    def __init__(self, *, provider: str | None, collection: str | None, **options: Any) -> None:
        """See `Source`; it sets eodag up, which takes about a second the first time."""
        super().__init__(provider=provider, collection=collection, **options)
        if collection is None:
            raise UsageError("eodag searches one collection: pass its name, such as S2_MSI_L2A")
        _check(options)
        self._wanted = _chosen(options.get("assets"))
        self._query: dict[str, Any] = dict(options.get("query") or {})
        self._client = self._ready(collection)
        self.provider = self._client.provider

    def _ready(self, collection: str) -> Client:
        from geographer.archives.eodag.client import ready

        return ready(self.provider, collection, self.options)

    def search(self, query: SearchQuery) -> Iterator[list[Product]]:
        """See `Source.search`. A product that has pixels nowhere (a point for a footprint) is left out."""
        from geographer.archives.eodag.pagination import pages
        from geographer.archives.eodag.products import product_of

        nothing = True
        for page in pages(self._client, query, self._query, self.options.get("next_page_token_key")):
            products = [product_of(one, self._wanted_of(one[0]), self._comes_by_assets, self._licence) for one in page]
            nothing = nothing and not products
            yield [product for product in products if product is not None]
        if nothing and self.options.get("url"):
            self._check_collection()

    def fetch(self, product: Product, folder: Path, told: BytesCallback) -> None:
        """See `Source.fetch`."""
        from geographer.archives.eodag.download import download

        download(self._client, product, folder, told)

    def _wanted_of(self, found: Any) -> Callable[[str], bool] | None:
        """Which assets are wanted: those of the option, or the bands that are, if each is an asset; None: all."""
        if self._wanted is not None or not self.bands:
            return self._wanted
        names = {str(key).casefold() for key in found.assets}
        bands = {band.casefold() for band in self.bands}
        return (lambda name: name.casefold() in bands) if bands <= names else None

    @cached_property
    def _licence(self) -> str | None:
        """The collection's licence, which eodag knows of its own providers, and a STAC API tells; else None."""
        from geographer.archives.http_ftp import json_at

        if not self.options.get("url"):
            known = self._client.dag.collections_config.get(self._client.collection)
            return getattr(known, "license", None)
        try:
            found = json_at(f"{self._root()}/collections/{quote(str(self.collection), safe='')}")
        except SourceError:
            return None
        return found.get("license") if isinstance(found, dict) else None

    def _comes_by_assets(self, found: Any) -> bool:
        """Whether eodag would fetch a product by its assets, over HTTP."""
        downloader = self._client.dag._plugins_manager.get_download_plugin(found)
        if not len(found.assets) or not hasattr(downloader, "_should_ignore_assets"):
            return False
        return not downloader._should_ignore_assets(found)

    def _check_collection(self) -> None:
        """Tell a STAC API that has nothing there from one that has no such collection, which answers the same."""
        from geographer.archives.eodag.client import alike
        from geographer.archives.http_ftp import json_at

        try:
            found = json_at(f"{self._root()}/collections")
            collections = {str(one["id"]) for one in found["collections"]}
            more = any(link.get("rel") == "next" for link in found.get("links", []))
        except (SourceError, KeyError, TypeError, AttributeError):
            return
        if collections and not more and self.collection not in collections:
            raise NotFoundError(
                f"no collection '{self.collection}' in the archive '{self.provider}'"
                f"{alike(str(self.collection), collections)}"
            )

    def _root(self) -> str:
        return str(self.options["url"]).rstrip("/").removesuffix("/search")


def _check(options: Mapping[str, Any]) -> None:
    unknown = sorted(set(options) - _OPTIONS)
    if unknown:
        raise UsageError(f"eodag's source has no option {quote_names(unknown)}: it has {', '.join(sorted(_OPTIONS))}")
    size = options.get("page_size")
    if size is not None and (not isinstance(size, int) or isinstance(size, bool) or not 0 < size <= _MOST_OF_A_PAGE):
        raise UsageError(f"page_size {size!r} is no number of products from 1 to {_MOST_OF_A_PAGE:,}")
    key = options.get("next_page_token_key")
    if key is not None and not (isinstance(key, str) and re.fullmatch(r"[\w.-]+", key)):
        raise UsageError(f"next_page_token_key {key!r} is no name of a parameter")
    if not isinstance(options.get("generic", False), bool):
        raise UsageError("the option generic is true or false")
    _check_url(options.get("url"))
    _check_query(options.get("query"))


def _check_url(url: Any) -> None:
    if url is None:
        return
    parts = urlparse(url) if isinstance(url, str) else None
    if parts is None or parts.scheme not in {"http", "https"} or not parts.hostname:
        raise UsageError("the option url is no http:// or https:// address of a STAC API")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise UsageError(
            "the option url has a user, password, query or fragment in it, and the log would keep it: leave them "
            "out, and configure the archive as a provider in eodag's own configuration"
        )


def _check_query(query: Any) -> None:
    if query is None:
        return
    if not isinstance(query, Mapping) or not all(isinstance(name, str) for name in query):
        raise UsageError("the option query is no mapping from names to values")
    taken = sorted(_RESERVED & set(query))
    if taken:
        raise UsageError(f"the query can't ask for {quote_names(taken)}: there are options of their own for that")


def _chosen(assets: Any) -> Callable[[str], bool] | None:
    """Whether an asset is wanted, by its name."""
    if assets is None:
        return None
    if isinstance(assets, str) and "," in assets and not re.search(r"[\[({]", assets):
        assets = [name.strip() for name in assets.split(",")]
    if isinstance(assets, str):
        try:
            pattern = re.compile(assets)
        except re.error as error:
            raise UsageError(f"the option assets {assets!r} is no regular expression: {error}") from error
        return lambda name: pattern.fullmatch(name) is not None
    if isinstance(assets, list | tuple) and assets and all(isinstance(name, str) for name in assets):
        names = frozenset(assets)
        return lambda name: name in names
    raise UsageError("the option assets is no regular expression and no list of names")
