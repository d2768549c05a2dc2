"""One search, page by page: every page as the archive sent it, and an error for every way in which one can be missing.

eodag's own paging takes much for the end: a page that fails, one without `features`, one that is shorter than was asked
for, one that comes again, a next page that it can't address. Here the end is only what the archive says is the end.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.error import HTTPError
from urllib.parse import parse_qs, urlparse

from geographer.archives.base import SearchQuery, SourceError
from geographer.archives.eodag.client import Client
from geographer.archives.http_errors import chain, trouble
from geographer.base.errors import NotFoundError, UsageError

_TOKENS: Final = ("token", "next", "page", "skip", "cursor", "page_token", "offset")
"""What the parameter of the next page is called by archives; eodag guesses from the first four."""

_EMPTY_PAGES: Final = 10
"""More empty pages in a row than this are no paging any more."""

_TINY: Final = 1e-7
"""Degrees; about a centimetre."""

_END_OF_DAY: Final = "T23:59:59.999Z"
_DAY: Final = len("2023-01-31")

Found = tuple[Any, Any]
"""An EOProduct, and the item that it was made of: a dictionary, or something else where the archive speaks no JSON."""


@dataclass
class _Seen:
    """What went by while eodag searched."""

    items: list[Any] = field(default_factory=list)
    token: Any = None
    key: str | None = None
    body: dict[str, Any] | None = None
    bodies: int = 0
    told: int | None = None


def pages(client: Client, query: SearchQuery, asked: dict[str, Any], token_key: str | None) -> Iterator[list[Found]]:
    """The pages of a search; a product that comes twice because the archive changes meanwhile is given once.

    Args:
        client: What to ask.
        query: The place and time.
        asked: What else is asked for, in eodag's words.
        token_key: What the parameter of the next page is called; None: it is guessed.

    Raises:
        SourceError: a page can't be had, or is not what it should be.
        UsageError, NotFoundError: what is asked for can't be answered.
    """
    plugin, arguments = _prepared(client, query, asked)
    ids: set[str] = set()
    tokens: set[str] = set()
    total: int | None = None
    token, key, empty, number = None, None, 0, 0
    while True:
        number += 1
        result, seen = _page(client, plugin, arguments, number, token, key)
        total = _total(result, seen) if number == 1 else total
        found = _paired(client, result, seen)
        new = [one for one in found if str(one[0].properties["id"]) not in ids]
        if found and not new:
            raise SourceError(f"{_what(client)}: page {number} is one that was there before", retryable=True)
        empty = 0 if found else empty + 1
        ids.update(str(one[0].properties["id"]) for one in new)
        if new:
            yield new
        token, key = _following(client, plugin, seen, len(found), token_key)
        if token is None:
            break
        if str(token) in tokens or empty > _EMPTY_PAGES:
            raise SourceError(f"{_what(client)}: page {number} leads to one that was there before", retryable=True)
        tokens.add(str(token))
    if total is not None and len(ids) < total:
        raise SourceError(
            f"{_what(client)}: the archive has {total:,} products but gave only {len(ids):,}", retryable=True
        )


def _what(client: Client) -> str:
    return f"search in '{client.collection}' of '{client.provider}'"


def _prepared(client: Client, query: SearchQuery, asked: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The search plugin of eodag, and the arguments of the search in its words."""
    import shapely

    end = query.end + _END_OF_DAY if query.end and len(query.end) == _DAY else query.end
    place = shapely.box(query.west, query.south, query.east, query.north)
    if not place.area:  # a point or a line is no polygon to an archive
        place = shapely.box(query.west - _TINY, query.south - _TINY, query.east + _TINY, query.north + _TINY)
    with client.lock:
        try:
            plugins, arguments = client.dag._prepare_search(
                start=query.start, end=end, geom=place, provider=client.provider, collection=client.collection, **asked
            )
        except Exception as error:
            raise _failed(client, error) from None
        plugin = next(one for one in plugins if one.provider == client.provider)
        # The pauses between tries are ours: eodag's would sleep for as long as an archive says, be it a day.
        plugin.config.retry_total = 0
        plugin.config.retry_status_forcelist = []
    return plugin, arguments


def _page(
    client: Client, plugin: Any, arguments: dict[str, Any], number: int, token: Any, key: str | None
) -> tuple[Any, _Seen]:
    """One request; the first one asks how many products there are."""
    place = {"next_page_token": token, "next_page_token_key": key} if number > 1 else {"page": 1}
    with client.lock, _watched(client, plugin, number) as seen:
        try:
            plugin.clear()
            result = client.dag._do_search(
                plugin,
                count=number == 1,
                raise_errors=True,
                validate=False,
                limit=client.page_size,
                **place,
                **dict(arguments),
            )
        except Exception as error:
            raise _failed(client, error, number) from None
    return result, seen


@contextmanager
def _watched(client: Client, plugin: Any, number: int) -> Iterator[_Seen]:
    """Watch what a search plugin gets, before eodag drops what it does not understand."""
    seen = _Seen()
    originals = {name: getattr(plugin, name) for name in ("_request", "normalize_results") if hasattr(plugin, name)}

    def request(prep: Any) -> Any:
        response = originals["_request"](prep)
        if hasattr(prep, "search_urls") and getattr(plugin.config, "result_type", "json") == "json":
            seen.body, seen.told = _body(client, plugin, response, number)
            seen.bodies += 1
        return response

    def normalize(results: Any, **kwargs: Any) -> Any:
        seen.items = list(results)
        seen.token = getattr(results, "next_page_token", None)
        seen.key = getattr(results, "next_page_token_key", None)
        products = originals["normalize_results"](results, **kwargs)
        for product in products:
            # eodag would set up a login for every product that it finds: a request, and an error where that fails.
            product.search_intersection = None
        return products

    watching = {"_request": request, "normalize_results": normalize}
    own = dict(vars(plugin))
    vars(plugin).update({name: watching[name] for name in originals})
    try:
        yield seen
    finally:
        for name in originals:
            vars(plugin).pop(name)
            if name in own:
                setattr(plugin, name, own[name])


def _body(client: Client, plugin: Any, response: Any, number: int) -> tuple[dict[str, Any], int | None]:
    """The answer, if it is a page of products, and how many those are, where that can be told."""
    problem = SourceError(f"{_what(client)}: page {number} is not what a search should answer", retryable=True)
    try:
        body = response.json()
    except ValueError:
        raise problem from None
    if not isinstance(body, dict):
        raise problem
    steps = str(getattr(plugin.config, "results_entry", "")).removesuffix("[*]").removeprefix("$.").split(".")
    inner: Any = body
    if all(step.isidentifier() for step in steps):
        for step in steps:
            inner = inner.get(step) if isinstance(inner, dict) else None
        if not isinstance(inner, list):
            raise problem
        returned = body.get("numberReturned")
        if isinstance(returned, int) and returned != len(inner):
            raise problem
        return body, len(inner)
    return body, None


def _paired(client: Client, result: Any, seen: _Seen) -> list[Found]:
    """The products with the items that they were made of."""
    products = list(result)
    items = seen.items if len(seen.items) == len(products) else [None] * len(products)
    for product, item in zip(products, items, strict=True):
        if not product.properties.get("id") or (
            isinstance(item, dict) and item.get("type") == "Feature" and not item.get("id")
        ):
            raise SourceError(f"{_what(client)}: it answers with a product that has no id", retryable=True)
    if seen.bodies == 1 and seen.told is not None and len(seen.items) < seen.told:
        raise SourceError(
            f"{_what(client)}: {seen.told - len(seen.items)} products of a page are missing", retryable=True
        )
    if len(products) < len(seen.items):
        raise SourceError(f"{_what(client)}: eodag understands only {len(products)} of {len(seen.items)} products")
    return list(zip(products, items, strict=True))


def _total(result: Any, seen: _Seen) -> int | None:
    """How many products there are in all, if the archive says so."""
    total = result.number_matched
    if total is None and seen.bodies == 1:
        total = (seen.body or {}).get("numberMatched")
    return total if isinstance(total, int) and not isinstance(total, bool) else None


def _following(client: Client, plugin: Any, seen: _Seen, count: int, token_key: str | None) -> tuple[Any, str | None]:
    """The token of the next page and what it is called; None when this was the last one."""
    pagination = getattr(plugin.config, "pagination", None) or {}
    paths = [pagination.get(name) for name in ("next_page_query_obj_key_path", "next_page_url_key_path")]
    if not any(paths):
        return (seen.token, seen.key) if count >= client.page_size else (None, None)
    link = _next_link(seen.body)
    if link is not None:
        token, key = _token(link, token_key)
        if token is not None:
            return token, key
    if seen.token is not None:
        return seen.token, seen.key
    if link is not None or any(_leads_on(path, seen.body) for path in paths):
        raise SourceError(
            f"{_what(client)}: there is a next page, but no telling how to ask for it; pass the option "
            "next_page_token_key: what the parameter is called in the link to it"
        )
    return None, None


def _leads_on(path: Any, body: dict[str, Any] | None) -> bool:
    """Whether an answer has something where eodag is told to look for the next page."""
    return bool(body) and hasattr(path, "find") and any(match.value for match in path.find(body))


def _next_link(body: dict[str, Any] | None) -> dict[str, Any] | None:
    links = (body or {}).get("links")
    found = (
        [link for link in links if isinstance(link, dict) and link.get("rel") == "next"]
        if isinstance(links, list)
        else []
    )
    return found[0] if found else None


def _token(link: dict[str, Any], token_key: str | None) -> tuple[Any, str | None]:
    """The token in the link to the next page: in the body to post, else in the query of its URL."""
    body = link.get("body")
    asked = parse_qs(urlparse(str(link.get("href", ""))).query)
    for fields in (body if isinstance(body, dict) else {}, {name: values[0] for name, values in asked.items()}):
        for name in (token_key,) if token_key else _TOKENS:
            if fields.get(name) not in (None, ""):
                return fields[name], name
    return None, None


def _failed(client: Client, error: Exception, number: int = 1) -> Exception:
    """What to raise in place of an error of eodag's."""
    from eodag.utils import exceptions

    if isinstance(error, SourceError):
        return error
    what = f"{_what(client)}, page {number}"
    if isinstance(error, exceptions.ValidationError) and getattr(error, "status_code", None) is None:
        return UsageError(f"{_what(client)}: eodag can't ask for that: {client.clean(error.message)}")
    if isinstance(error, exceptions.UnsupportedProvider | exceptions.UnsupportedCollection):
        return NotFoundError(f"{_what(client)}: eodag knows no such thing: mend the provider or the collection")
    found = trouble(error, what, client.clean, client.credentials)
    for one in chain(error):
        if isinstance(one, HTTPError):
            one.close()  # it holds the connection, which eodag leaves open
    if isinstance(error, exceptions.AuthenticationError | exceptions.MisconfiguredError) and not found.retryable:
        return SourceError(f"{what}: the archive can't be logged in to: {client.credentials}")
    return found
