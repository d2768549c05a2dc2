"""Complete search results of a STAC API by pystac-client: an error for every page that is missing or malformed.

pystac-client takes a page without `features` for the end of the results, and does not compare the total that an archive
states. Here only the archive's own statement is the end. One attempt is made: `RetryPolicy` decides about retries.
"""

import logging
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import urljoin, urlparse

from pystac import Link
from pystac_client.item_search import ItemSearch
from pystac_client.stac_api_io import StacApiIO

from geographer.archives.base import SearchQuery
from geographer.archives.http_ftp import TIMEOUT_S

logging.getLogger("pystac_client").setLevel(logging.INFO)  # Its debug messages quote headers with credentials.

_MAX_EMPTY_PAGES: Final = 10
"""More consecutive empty pages are an error."""


class PageError(Exception):
    """A page that the archive sent is not a valid search result; a repeated search may succeed."""


class PageReader(StacApiIO):
    """Reads and checks pages; those without items are skipped if another one follows."""

    def __init__(self, url: str) -> None:
        super().__init__(timeout=TIMEOUT_S, max_retries=None)
        self._url, self.n_pages = url, 0
        self.session.hooks["response"].append(_raise_for_status)

    def read_json(self, source: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Return the first page from `source` on that has items, or the last one."""
        for _ in range(_MAX_EMPTY_PAGES):
            self.n_pages += 1
            page = super().read_json(self._resolve_link(source), *args, **kwargs)
            source = _check_page(page)
            if page["features"] or source is None:
                return page
        raise PageError(f"{_MAX_EMPTY_PAGES} consecutive pages are empty")

    def _resolve_link(self, source: Any) -> Any:
        """Return a link with an absolute address: pystac-client would read others from the disk."""
        if isinstance(source, Link):
            source.target = urljoin(self._url, str(source.href))
            if urlparse(source.target).scheme not in {"http", "https"}:
                raise PageError("the link to the next page is not an HTTP address")
        return source


def _raise_for_status(response: Any, **_options: Any) -> None:
    """Raise the error of requests, which has the response, after its body was read; pystac-client drops both."""
    if not response.ok:
        with response:
            _ = response.content
            response.raise_for_status()


def iter_pages(
    reader: PageReader, url: str, collection: str, query: SearchQuery, limit: int, filters: Mapping[str, Any]
) -> Iterator[list[Mapping[str, Any]]]:
    """Yield the items of each page, each item once.

    `filters` are properties and their values: a number for `eo:cloud_cover` is the highest, other values are equal ones
    and mappings are STAC's operators, such as `{"gte": 10}`; `filter` is an expression in CQL2.
    """
    import shapely

    west, south, east, north = query[:4]
    # Archives reject points and lines: search a centimetre around them.
    margin = 0 if west < east and south < north else 1e-7
    box = shapely.box(west - margin, south - margin, east + margin, north + margin)
    search = ItemSearch(
        url=url,
        stac_io=reader,
        limit=limit,
        collections=[collection],
        intersects=box,
        datetime=_format_time_range(query.start, query.end),
        query={name: _make_operators(name, value) for name, value in filters.items() if name != "filter"} or None,
        filter=filters.get("filter"),
    )
    ids: set[str] = set()
    total: Any = None
    for page in search.pages_as_dicts():
        total = total or page.get("numberMatched") or (page.get("context") or {}).get("matched")
        items = {str(item["id"]): item for item in page["features"] if str(item["id"]) not in ids}
        if not items:
            raise PageError(f"page {reader.n_pages} repeats an earlier page")
        ids |= items.keys()
        yield list(items.values())
    if isinstance(total, int) and not isinstance(total, bool) and len(ids) < total:
        raise PageError(f"the archive states {total:,} products but sent {len(ids):,}")


def _check_page(page: Any) -> Link | None:
    """Return the link to the next page, if there is one; raise `PageError` for what is not a page of items."""
    fields = page if isinstance(page, dict) else {}
    items, links = fields.get("features"), fields.get("links") or []
    if not (isinstance(items, list) and isinstance(links, list)):
        raise PageError("it is not a valid search result")
    if not all(isinstance(item, dict) and item.get("id") for item in items):
        raise PageError("the archive sent a product without an id")
    if fields.get("numberReturned", len(items)) != len(items):
        raise PageError("it is not a valid search result")
    fields["links"] = [link for link in links if isinstance(link, dict) and link.get("rel")]
    next_link = next((link for link in fields["links"] if link["rel"] == "next"), None)
    if next_link is not None and not isinstance(next_link.get("href"), str):
        raise PageError("the link to the next page cannot be followed")
    return Link.from_dict(next_link) if next_link else None


def _format_time_range(start: str | None, end: str | None) -> str | None:
    """Return a closed or half-open range; of dates, from the beginning of the first to the end of the last."""
    clocks = ((start, "T00:00:00.000Z"), (end, "T23:59:59.999Z"))
    times = [f"{time}{clock}" if time and len(time) == len("2023-01-31") else time or ".." for time, clock in clocks]
    return "/".join(times) if start or end else None


def _make_operators(name: str, value: Any) -> Mapping[str, Any]:
    if isinstance(value, Mapping):
        return value
    return {"lte" if name == "eo:cloud_cover" else "in" if isinstance(value, list) else "eq": value}
