"""`StacSource`: a STAC API by its URL."""

import re
from collections.abc import Iterator, Mapping
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import quote, urljoin, urlparse

from geographer.archives.base import BytesCallback, Product, SearchQuery, Source, check_options, validate_url
from geographer.archives.http_errors import to_source_error
from geographer.archives.http_ftp import CREDENTIALS_HINT, fetch_file, get_json
from geographer.archives.object_stores import fetch_object, is_object_url
from geographer.archives.search_options import validate_page_size, validate_query
from geographer.archives.stac_assets import complete_assets, make_asset_filter, make_file_names, select_assets
from geographer.archives.stac_products import ItemFields, make_product
from geographer.base.errors import NotFoundError, OrderRequiredError, SourceError, UsageError
from geographer.base.redaction import redact_text
from geographer.base.text import suggest_names

_PAGE_SIZE: Final = 100
_OFFLINE: Final = frozenset({"orderable", "ordered", "pending", "shipping"})
_CLOSED: Final = frozenset({"failed", "canceled", "expired"})
"""Values of `order:status`, of STAC's order extension, besides `succeeded`."""


_ARCHIVE_TIERS: Final = frozenset({"archive", "coldarchive", "deeparchive", "glacier"})
"""Values of `storage:tier`, of STAC's storage extension, from which a file must be restored before it is read."""


class _Handle(NamedTuple):
    """The `order:status` and the `storage:tier` of an item, and the address of each file by its name."""

    status: str
    tier: str
    addresses: Mapping[str, str]


class StacSource(Source):
    """Any STAC API, by its URL.

    Credentials for HTTP are those of `~/.netrc` (or the file that NETRC names), for object stores (`s3://…`) those of
    the environment, such as AWS_ACCESS_KEY_ID; S3 needs the extra `s3`.

    Options:
        url: The API: its root, or its `search` endpoint. Must not contain user, password or query, because the log
            records it.
        page_size: Items per request. Default: 100.
        query: Properties of the items: `{"eo:cloud_cover": 20}` (at most 20), `{"platform": "landsat-8"}`,
            `{"gsd": {"lte": 10}}`; or `{"filter": EXPRESSION}` in CQL2, as text or JSON.
        assets: Assets to download: a regular expression for the whole name, or a list of names, also as text with
            commas. Default: the bands that the recipe requests, if each is found by the key of an asset or by the name
            or the common name of a band; else all except thumbnails and overviews.

    Files are named after their assets, with the extension of the download: `B02.tif`.
    """

    max_concurrent = 32

    def __init__(self, *, provider: str | None, collection: str | None, **options: Any) -> None:
        """See `Source`; `provider` is the name to record, by default the host's."""
        super().__init__(provider=provider, collection=collection, **options)
        check_options("stac", options, frozenset({"url", "page_size", "query", "assets"}))
        if collection is None:
            raise UsageError("a STAC API is searched for one collection. Pass its name with --collection.")
        if options.get("url") is None:
            raise UsageError("the source stac needs a URL. Pass --source-option url=https://….")
        hint = "Leave them out, and put user and password into ~/.netrc."
        url = validate_url(options["url"], ("http", "https"), hint)
        self._root = url.rstrip("/").removesuffix("/search")
        self._collection = collection
        self._page_size = validate_page_size(options.get("page_size")) or _PAGE_SIZE
        self._filters = validate_query(options.get("query"))
        self._asset_filter = make_asset_filter(options.get("assets"))
        self.provider = provider or urlparse(url).hostname or ""

    def search(self, query: SearchQuery) -> Iterator[list[Product]]:
        """See `Source.search`. Items without a footprint area (such as a point) are left out."""
        is_empty = True
        for items in self._iter_pages(query):
            is_empty = False
            yield [product for product in map(self._make_product, items) if product is not None]
        if is_empty:
            self._check_collection()

    def _iter_pages(self, query: SearchQuery) -> Iterator[list[Mapping[str, Any]]]:
        from geographer.archives.stac_pages import PageError, PageReader, iter_pages

        url, subject = f"{self._root}/search", f"search in '{self.collection}' of '{self.provider}'"
        reader = PageReader(url)
        try:
            yield from iter_pages(reader, url, self._collection, query, self._page_size, self._filters)
        except PageError as error:
            raise SourceError(f"{subject}, page {reader.n_pages}: {error}", retryable=True) from None
        except (SourceError, UsageError):
            raise
        except Exception as error:
            subject = f"{subject}, page {reader.n_pages}"
            raise to_source_error(error, subject, redact_text, CREDENTIALS_HINT) from None
        finally:
            reader.session.close()

    def fetch(self, product: Product, folder: Path, on_progress: BytesCallback) -> None:
        """See `Source.fetch`."""
        handle: _Handle = product.handle
        _require_online(product, handle.status)
        if not handle.addresses:
            raise SourceError(f"{product.display_name} has no download link. Exclude it, or choose another collection.")
        n_before = 0
        for name, address in handle.addresses.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            fetch = fetch_object if is_object_url(address) else fetch_file
            try:
                fetch(address, path, partial(_add_bytes, on_progress, n_before))
            except SourceError as error:
                if error.retryable or re.sub(r"[\s_-]", "", handle.tier.lower()) not in _ARCHIVE_TIERS:
                    raise
                reason = f"is in archival storage (storage:tier '{handle.tier}')"
                raise _make_offline_error(product, reason) from error
            n_before += path.stat().st_size

    def _make_product(self, item: Mapping[str, Any]) -> Product | None:
        import shapely

        properties = item.get("properties") or {}
        item_fields = ItemFields(str(self.provider), self._collection, str(item["id"]), properties, {}, None)
        try:
            geometry = shapely.geometry.shape(item["geometry"]) if item.get("geometry") else None
            assets = complete_assets(item.get("assets") or {}, self._collection_fields.get("item_assets"))
            self_link = next(
                (link["href"] for link in item.get("links") or [] if link.get("rel") == "self"), self._root
            )
        except Exception as error:
            reason = f"has a malformed geometry, asset or link ({type(error).__name__})"
            raise SourceError(f"{item_fields.display_name} {reason}. Report it to the archive.") from None
        assets = select_assets(assets, self._asset_filter, self.bands, item_fields.display_name)
        addresses = {name: urljoin(self_link, assets[key]["href"]) for key, name in make_file_names(assets).items()}
        item_fields = item_fields._replace(
            assets=assets, geometry=geometry, bbox=item.get("bbox"), licence=self._collection_licence
        )
        tiers = (fields.get("storage:tier") for fields in (properties, *assets.values()))
        tier = next((tier for tier in tiers if isinstance(tier, str)), "")
        return make_product(item_fields, _Handle(str(properties.get("order:status", "")), tier, addresses))

    @property
    def _collection_licence(self) -> str | None:
        licence = self._collection_fields.get("license")
        return licence if isinstance(licence, str) else None

    @cached_property
    def _collection_fields(self) -> Mapping[str, Any]:
        try:
            content = get_json(f"{self._root}/collections/{quote(self._collection, safe='')}")
        except SourceError:
            return {}
        return content if isinstance(content, dict) else {}

    def _check_collection(self) -> None:
        """Raise if the API lacks the collection: its search answers like one without results."""
        try:
            content = get_json(f"{self._root}/collections")
            collections = {str(collection["id"]) for collection in content["collections"]}
            is_complete = all(link.get("rel") != "next" for link in content.get("links", []))
        except (SourceError, KeyError, TypeError, AttributeError):
            return
        if collections and is_complete and self._collection not in collections:
            hint = suggest_names(self._collection, collections)
            raise NotFoundError(f"archive '{self.provider}' has no collection '{self._collection}'{hint}.")


def _add_bytes(on_progress: BytesCallback, n_before: int, n_bytes: int) -> None:
    on_progress(n_before + n_bytes)


def _require_online(product: Product, status: str) -> None:
    """Raise if the product is not there yet: STAC has no request that orders it."""
    if status in _OFFLINE:
        raise _make_offline_error(product, f"is offline (order:status '{status}')")
    if status in _CLOSED:
        raise SourceError(f"{product.display_name} is not delivered (order:status '{status}'). Ask the archive.")


def _make_offline_error(product: Product, reason: str) -> OrderRequiredError:
    advice = "Order it at the archive if it is not ordered, and run the command again later."
    text = f"{product.display_name} {reason}, and a STAC API takes no orders. {advice}"
    return OrderRequiredError(text, is_ordered=False)
