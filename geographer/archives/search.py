"""One search to its end: all pages or an error, begun anew as long as patience lasts."""

from __future__ import annotations

from geographer.archives.base import Product, SearchQuery, Source, SourceError, describe_plugin_failure
from geographer.base.errors import GeographerError
from geographer.base.retry import RetryPolicy


def all_pages(source: Source, query: SearchQuery, patience: RetryPolicy | None = None) -> list[list[Product]]:
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
            raise SourceError(describe_plugin_failure(source, error)) from error

    return (patience or RetryPolicy()).call_with_retry(once)
