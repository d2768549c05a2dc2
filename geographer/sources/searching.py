"""One search to its end: all pages or an error, begun anew as long as patience lasts."""

from __future__ import annotations

from geographer.sources.patience import Patience
from geographer.sources.source import Product, Query, Source


def search_all(source: Source, query: Query, patience: Patience | None = None) -> list[Product]:
    """Every product that a search finds, in the archive's order; one that comes twice is given once.

    Raises:
        SourceError: a page can't be had, now or for good.
        UsageError, NotFoundError: what was asked can't be answered.
    """

    def once() -> list[Product]:
        found = [product for page in source.search(query) for product in page]
        return list({(one.provider, one.collection, one.product_id): one for one in found}.values())

    return (patience or Patience()).tried(once)
