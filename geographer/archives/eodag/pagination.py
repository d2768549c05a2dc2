"""Complete search results page by page: each page as the archive sent it, and an error for every missing one.

eodag's own paging takes many failures for the end of the results: a failed page, one without `features`, a page shorter
than requested, a repeated page, a next link that it cannot follow. Here only the archive's own statement is the end.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qs, urlparse

from geographer.archives.base import SearchQuery
from geographer.archives.eodag.client import EodagClient
from geographer.archives.eodag.options import EodagOptions
from geographer.base.errors import SourceError

_TOKEN_KEYS: Final = ("token", "next", "page", "skip", "cursor", "page_token", "offset")
"""Usual names of the parameter for the next page; eodag guesses only the first four."""

_MAX_EMPTY_PAGES: Final = 10
"""More consecutive empty pages are an error."""

EodagItem = tuple[Any, Any]
"""An EOProduct and the item it was made of: a dictionary, or another type if the archive does not answer with JSON."""


class PageToken(NamedTuple):
    """What requests the next page: a value, and the name of its parameter if known."""

    value: Any
    key: str | None


@dataclass
class CapturedResponse:
    """What one request returned: items and token as eodag read them, JSON bodies, number of items in the last body."""

    items: list[Any] = field(default_factory=list)
    token: PageToken | None = None
    bodies: list[Mapping[str, Any]] = field(default_factory=list)
    n_items: int | None = None


class EodagSearch:
    """A search with one of eodag's plugins; the errors of an invalid one are `UsageError` and `NotFoundError`."""

    def __init__(self, client: EodagClient, query: SearchQuery, options: EodagOptions) -> None:
        import shapely

        self._client, self._token_key = client, options.next_page_token_key
        self._subject = f"search in '{client.collection}' of '{client.provider}'"
        west, south, east, north, start, end = query
        # Archives reject points and lines: search a centimetre around them.
        margin = 0 if west < east and south < north else 1e-7
        box = shapely.box(west - margin, south - margin, east + margin, north + margin)
        if end and len(end) == len("2023-01-31"):
            end += "T23:59:59.999Z"
        names = {"provider": client.provider, "collection": client.collection, **(options.query or {})}
        with client.lock, client.translate_errors(self._subject):
            plugins, self._arguments = client.dag._prepare_search(start=start, end=end, geom=box, **names)
            self._plugin = next(plugin for plugin in plugins if plugin.provider == client.provider)
            # Our `RetryPolicy` decides about retries: eodag would sleep for as long as an archive asks, even a day.
            self._plugin.config.retry_total = 0
            self._plugin.config.retry_status_forcelist = []

    def iter_pages(self) -> Iterator[list[EodagItem]]:
        """Yield the pages with products, each product once; a missing or malformed page raises `SourceError`."""
        ids: set[str] = set()
        tokens: set[str] = set()
        total: Any = None
        token: PageToken | None = None
        n_empty = 0
        for number in count(1):
            result, response = self._fetch_page(number, token)
            if number == 1:
                total = result.number_matched
                if total is None and len(response.bodies) == 1:
                    total = response.bodies[0].get("numberMatched")
            page = self._pair_items(list(result), response)
            new = [item for item in page if str(item[0].properties["id"]) not in ids]
            if page and not new:
                raise self._make_error(f"page {number} repeats an earlier page")
            n_empty = 0 if page else n_empty + 1
            ids.update(str(item[0].properties["id"]) for item in new)
            if new:
                yield new
            token = self._find_next_token(response, len(page))
            if token is None:
                break
            if str(token.value) in tokens or n_empty > _MAX_EMPTY_PAGES:
                raise self._make_error(f"page {number} links to an earlier page")
            tokens.add(str(token.value))
        if isinstance(total, int) and not isinstance(total, bool) and len(ids) < total:
            raise self._make_error(f"the archive states {total:,} products but sent {len(ids):,}")

    def _make_error(self, reason: str, *, retryable: bool = True) -> SourceError:
        return SourceError(f"{self._subject}: {reason}", retryable=retryable)

    def _fetch_page(self, number: int, token: PageToken | None) -> tuple[Any, CapturedResponse]:
        """Make one request; the first one also asks for the total number of products."""
        page = {"next_page_token": token.value, "next_page_token_key": token.key} if token else {"page": 1}
        options = {"count": number == 1, "raise_errors": True, "validate": False, "limit": self._client.page_size}
        translation = self._client.translate_errors(f"{self._subject}, page {number}")
        with self._client.lock, translation, self._capture_response(number) as response:
            self._plugin.clear()
            return self._client.dag._do_search(self._plugin, **options, **page, **self._arguments), response

    @contextmanager
    def _capture_response(self, number: int) -> Iterator[CapturedResponse]:
        """Wrap two methods of the plugin to record its responses before eodag drops what it does not understand."""
        plugin, captured = self._plugin, CapturedResponse()
        originals = {name: getattr(plugin, name) for name in ("_request", "normalize_results") if hasattr(plugin, name)}

        def capture_request(prep: Any) -> Any:
            response = originals["_request"](prep)
            if hasattr(prep, "search_urls") and getattr(plugin.config, "result_type", "json") == "json":
                body, captured.n_items = self._parse_body(response, number)
                captured.bodies.append(body)
            return response

        def capture_results(results: Any, **kwargs: Any) -> Any:
            captured.items = list(results)
            if (token := getattr(results, "next_page_token", None)) is not None:
                captured.token = PageToken(token, getattr(results, "next_page_token_key", None))
            products = originals["normalize_results"](results, **kwargs)
            for product in products:
                # Prevents eodag from logging in once per product, which is a request and may fail.
                product.search_intersection = None
            return products

        wrappers = {"_request": capture_request, "normalize_results": capture_results}
        vars(plugin).update({name: wrappers[name] for name in originals})
        try:
            yield captured
        finally:
            for name in originals:
                del vars(plugin)[name]

    def _parse_body(self, response: Any, number: int) -> tuple[Mapping[str, Any], int | None]:
        """Return the JSON body of a page, and its number of items if eodag's path to them is a plain one."""
        malformed = self._make_error(f"page {number} is not a valid search result")
        try:
            body = response.json()
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise malformed
        keys = str(getattr(self._plugin.config, "results_entry", "")).removesuffix("[*]").removeprefix("$.").split(".")
        if not all(key.isidentifier() for key in keys):
            return body, None
        items: Any = body
        for key in keys:
            items = items.get(key) if isinstance(items, dict) else None
        if not isinstance(items, list):
            raise malformed
        stated = body.get("numberReturned")
        if isinstance(stated, int) and stated != len(items):
            raise malformed
        return body, len(items)

    def _pair_items(self, products: list[Any], response: CapturedResponse) -> list[EodagItem]:
        items = response.items if len(response.items) == len(products) else [None] * len(products)
        pairs = list(zip(products, items, strict=True))
        for product, item in pairs:
            is_feature = isinstance(item, dict) and item.get("type") == "Feature"
            if not product.properties.get("id") or (is_feature and not item.get("id")):
                raise self._make_error("the archive sent a product without an id")
        n_items = max(len(response.items), response.n_items or 0 if len(response.bodies) == 1 else 0)
        if len(products) < n_items:
            raise self._make_error(f"eodag understands only {len(products)} of {n_items} products")
        return pairs

    def _find_next_token(self, response: CapturedResponse, n_items: int) -> PageToken | None:
        pagination = getattr(self._plugin.config, "pagination", None) or {}
        paths: list[Any] = [pagination.get(name) for name in ("next_page_query_obj_key_path", "next_page_url_key_path")]
        if not any(paths):
            return response.token if n_items >= self._client.page_size else None
        body = response.bodies[-1] if response.bodies else {}
        links = body.get("links")
        links = [link for link in links if isinstance(link, dict)] if isinstance(links, list) else []
        link = next((link for link in links if link.get("rel") == "next"), None)
        token = (_read_token(link, self._token_key) if link else None) or response.token
        matches = [match for path in paths if hasattr(path, "find") for match in path.find(body)]
        if token is None and (link is not None or any(match.value for match in matches)):
            advice = "Pass the option next_page_token_key with the name of the page parameter in that link."
            raise self._make_error(f"the link to the next page cannot be followed. {advice}", retryable=False)
        return token


def _read_token(link: Mapping[str, Any], token_key: str | None) -> PageToken | None:
    """Return the token from the link to the next page: from its POST body, else from its URL."""
    body = link.get("body")
    query = parse_qs(urlparse(str(link.get("href", ""))).query)
    for fields in (body if isinstance(body, dict) else {}, {name: values[0] for name, values in query.items()}):
        for name in (token_key,) if token_key else _TOKEN_KEYS:
            if fields.get(name) not in (None, ""):
                return PageToken(fields[name], name)
    return None
