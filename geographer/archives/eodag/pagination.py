"""Complete search results page by page: each page as the archive sent it, and an error for every missing one.

eodag's own paging takes many failures for the end of the results: a failed page, one without `features`, a page shorter
than requested, a repeated page, a next link that it cannot follow. Here only the archive's own statement is the end.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final
from urllib.error import HTTPError
from urllib.parse import parse_qs, urlparse

from geographer.archives.base import SearchQuery
from geographer.archives.eodag.client import EodagClient
from geographer.archives.http_errors import iter_causes
from geographer.base.errors import NotFoundError, SourceError, UsageError
from geographer.base.text import format_count

_TOKEN_KEYS: Final = ("token", "next", "page", "skip", "cursor", "page_token", "offset")
"""Usual names of the parameter for the next page; eodag guesses only the first four."""

_MAX_EMPTY_PAGES: Final = 10
"""More consecutive empty pages are an error."""

_MIN_HALF_SIZE: Final = 1e-7
"""Degrees, about a centimetre; half the size of the box searched for a point or a line."""

_END_OF_DAY: Final = "T23:59:59.999Z"
_DATE_LENGTH: Final = len("2023-01-31")

EodagItem = tuple[Any, Any]
"""An EOProduct and the item it was made of: a dictionary, or another type if the archive does not answer with JSON."""


@dataclass
class CapturedResponse:
    """What one request of eodag returned: items and next-page token as eodag read them, and the JSON body.

    `n_items` is the number of items in the body, if it can be determined.
    """

    items: list[Any] = field(default_factory=list)
    token: Any = None
    key: str | None = None
    body: dict[str, Any] | None = None
    n_bodies: int = 0
    n_items: int | None = None


def iter_pages(
    client: EodagClient, query: SearchQuery, parameters: dict[str, Any], token_key: str | None
) -> Iterator[list[EodagItem]]:
    """Yield the pages of a search. A product that appears on two pages is yielded once.

    `parameters` are further search parameters as eodag names them; `token_key` is that for the next page, if known.

    Raises:
        SourceError: a page is missing or malformed.
        UsageError, NotFoundError: the search is invalid.
    """
    plugin, arguments = _prepare_search(client, query, parameters)
    subject = _describe_search(client)
    ids: set[str] = set()
    tokens: set[str] = set()
    total: int | None = None
    token, key, n_empty = None, None, 0
    for number in count(1):
        result, response = _fetch_page(client, plugin, arguments, number, token, key)
        total = _read_total(result, response) if number == 1 else total
        page = _pair_items(client, result, response)
        new = [item for item in page if str(item[0].properties["id"]) not in ids]
        if page and not new:
            raise SourceError(f"{subject}: page {number} repeats an earlier page", retryable=True)
        n_empty = 0 if page else n_empty + 1
        ids.update(str(item[0].properties["id"]) for item in new)
        if new:
            yield new
        token, key = _find_next_token(client, plugin, response, len(page), token_key)
        if token is None:
            break
        if str(token) in tokens or n_empty > _MAX_EMPTY_PAGES:
            raise SourceError(f"{subject}: page {number} links to an earlier page", retryable=True)
        tokens.add(str(token))
    if total is not None and len(ids) < total:
        raise SourceError(f"{subject}: the archive states {total:,} products but sent {len(ids):,}", retryable=True)


def _describe_search(client: EodagClient) -> str:
    return f"search in '{client.collection}' of '{client.provider}'"


def _prepare_search(client: EodagClient, query: SearchQuery, parameters: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Return eodag's search plugin and the arguments of the search as eodag names them."""
    import shapely

    end = query.end + _END_OF_DAY if query.end and len(query.end) == _DATE_LENGTH else query.end
    box = shapely.box(*query[:4])
    if not box.area:  # Archives reject points and lines.
        west, south, east, north = query[:4]
        box = shapely.box(west - _MIN_HALF_SIZE, south - _MIN_HALF_SIZE, east + _MIN_HALF_SIZE, north + _MIN_HALF_SIZE)
    names = {"provider": client.provider, "collection": client.collection, **parameters}
    with client.lock:
        try:
            plugins, arguments = client.dag._prepare_search(start=query.start, end=end, geom=box, **names)
        except Exception as error:
            raise _translate_exception(client, error) from None
        plugin = next(plugin for plugin in plugins if plugin.provider == client.provider)
        # Our `RetryPolicy` decides about retries: eodag would sleep for as long as an archive asks, even a day.
        plugin.config.retry_total = 0
        plugin.config.retry_status_forcelist = []
    return plugin, arguments


def _fetch_page(
    client: EodagClient, plugin: Any, arguments: dict[str, Any], number: int, token: Any, key: str | None
) -> tuple[Any, CapturedResponse]:
    """Make one request; the first one also asks for the total number of products."""
    page = {"next_page_token": token, "next_page_token_key": key} if number > 1 else {"page": 1}
    options = {"count": number == 1, "raise_errors": True, "validate": False, "limit": client.page_size, **page}
    with client.lock, _capture_response(client, plugin, number) as response:
        try:
            plugin.clear()
            result = client.dag._do_search(plugin, **options, **arguments)
        except Exception as error:
            raise _translate_exception(client, error, number) from None
    return result, response


@contextmanager
def _capture_response(client: EodagClient, plugin: Any, number: int) -> Iterator[CapturedResponse]:
    """Wrap two methods of a search plugin to record its responses before eodag drops what it does not understand."""
    captured = CapturedResponse()
    originals = {name: getattr(plugin, name) for name in ("_request", "normalize_results") if hasattr(plugin, name)}

    def capture_request(prep: Any) -> Any:
        response = originals["_request"](prep)
        if hasattr(prep, "search_urls") and getattr(plugin.config, "result_type", "json") == "json":
            captured.body, captured.n_items = _parse_body(client, plugin, response, number)
            captured.n_bodies += 1
        return response

    def capture_results(results: Any, **kwargs: Any) -> Any:
        captured.items = list(results)
        captured.token = getattr(results, "next_page_token", None)
        captured.key = getattr(results, "next_page_token_key", None)
        products = originals["normalize_results"](results, **kwargs)
        for product in products:
            # Prevents eodag from logging in once per product, which is a request and may fail.
            product.search_intersection = None
        return products

    wrappers = {"_request": capture_request, "normalize_results": capture_results}
    instance_attributes = dict(vars(plugin))
    vars(plugin).update({name: wrappers[name] for name in originals})
    try:
        yield captured
    finally:
        for name in originals:
            vars(plugin).pop(name)
            if name in instance_attributes:
                setattr(plugin, name, instance_attributes[name])


def _parse_body(client: EodagClient, plugin: Any, response: Any, number: int) -> tuple[dict[str, Any], int | None]:
    """Return the JSON body of a page, and its number of items if eodag's path to them is a plain one."""
    malformed = SourceError(f"{_describe_search(client)}: page {number} is not a valid search result", retryable=True)
    try:
        body = response.json()
    except ValueError:
        raise malformed from None
    if not isinstance(body, dict):
        raise malformed
    keys = str(getattr(plugin.config, "results_entry", "")).removesuffix("[*]").removeprefix("$.").split(".")
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


def _pair_items(client: EodagClient, result: Any, response: CapturedResponse) -> list[EodagItem]:
    """Return eodag's products, each with the item it was made of."""
    subject = _describe_search(client)
    products = list(result)
    items = response.items if len(response.items) == len(products) else [None] * len(products)
    for product, item in zip(products, items, strict=True):
        is_feature = isinstance(item, dict) and item.get("type") == "Feature"
        if not product.properties.get("id") or (is_feature and not item.get("id")):
            raise SourceError(f"{subject}: the archive sent a product without an id", retryable=True)
    n_missing = (response.n_items or 0) - len(response.items)
    if response.n_bodies == 1 and n_missing > 0:
        raise SourceError(f"{subject}: a page lacks {format_count(n_missing, 'product')}", retryable=True)
    if len(products) < len(response.items):
        raise SourceError(f"{subject}: eodag understands only {len(products)} of {len(response.items)} products")
    return list(zip(products, items, strict=True))


def _read_total(result: Any, response: CapturedResponse) -> int | None:
    """Return the total number of products that the archive states, or None."""
    total = result.number_matched
    if total is None and response.n_bodies == 1:
        total = (response.body or {}).get("numberMatched")
    return total if isinstance(total, int) and not isinstance(total, bool) else None


def _find_next_token(
    client: EodagClient, plugin: Any, response: CapturedResponse, n_items: int, token_key: str | None
) -> tuple[Any, str | None]:
    """Return the token of the next page and its parameter, or (None, None) after the last page."""
    pagination = getattr(plugin.config, "pagination", None) or {}
    paths: list[Any] = [pagination.get(name) for name in ("next_page_query_obj_key_path", "next_page_url_key_path")]
    if not any(paths):
        return (response.token, response.key) if n_items >= client.page_size else (None, None)
    body = response.body or {}
    links = body.get("links")
    links = [link for link in links if isinstance(link, dict)] if isinstance(links, list) else []
    link = next((link for link in links if link.get("rel") == "next"), None)
    if link is not None:
        token, key = _read_token(link, token_key)
        if token is not None:
            return token, key
    if response.token is not None:
        return response.token, response.key
    matches = [match for path in paths if body and hasattr(path, "find") for match in path.find(body)]
    if link is not None or any(match.value for match in matches):
        raise SourceError(
            f"{_describe_search(client)}: the link to the next page cannot be followed. Pass the option "
            "next_page_token_key with the name of the page parameter in that link."
        )
    return None, None


def _read_token(link: dict[str, Any], token_key: str | None) -> tuple[Any, str | None]:
    """Return the token and its parameter from the link to the next page: from its POST body, else from its URL."""
    body = link.get("body")
    query = parse_qs(urlparse(str(link.get("href", ""))).query)
    for fields in (body if isinstance(body, dict) else {}, {name: values[0] for name, values in query.items()}):
        for name in (token_key,) if token_key else _TOKEN_KEYS:
            if fields.get(name) not in (None, ""):
                return fields[name], name
    return None, None


def _translate_exception(client: EodagClient, error: Exception, number: int = 1) -> Exception:
    """Return the exception to raise in place of one of eodag's."""
    from eodag.utils import exceptions

    if isinstance(error, SourceError):
        return error
    subject = _describe_search(client)
    if isinstance(error, exceptions.ValidationError) and getattr(error, "status_code", None) is None:
        return UsageError(f"{subject}: eodag rejects the query: {client.redact(error.message)}")
    if isinstance(error, exceptions.UnsupportedProvider | exceptions.UnsupportedCollection):
        return NotFoundError(f"{subject}: provider or collection is not known to eodag. Correct their names.")
    source_error = client.to_source_error(error, f"{subject}, page {number}")
    for cause in iter_causes(error):
        if isinstance(cause, HTTPError):
            cause.close()  # eodag leaves its connection open.
    return source_error
