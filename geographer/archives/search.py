"""One search to its end: all pages or an error, begun anew as long as patience lasts."""

from __future__ import annotations

from geographer.archives.base import Product, Query, Source, SourceError, failure_of
from geographer.base.errors import GeographerError
from geographer.base.retry import Patience


def all_pages(source: Source, query: Query, patience: Patience | None = None) -> list[list[Product]]:
    """Every page of what a search finds, in the archive's order.

    Raises:
        SourceError: a page can't be had, now or for good; or the source failed.
        UsageError, NotFoundError: what was asked can't be answered.
    """

    def once() -> list[list[Product]]:
        try:
            return [list(page) for page in source.search(query)]
        except GeographerError:
            raise
        except Exception as error:
            raise SourceError(failure_of(source, error)) from error

    return (patience or Patience()).tried(once)
