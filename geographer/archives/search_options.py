"""Options that sources of search APIs share, validated."""

from collections.abc import Mapping
from typing import Any, Final

from geographer.base.errors import UsageError, quote_names

_RESERVED_PARAMETERS: Final = frozenset(
    {"collection", "collections", "provider", "geom", "geometry", "bbox", "box", "intersects", "start", "end", "id"}
    | {"ids", "datetime", "start_datetime", "end_datetime", "page", "limit", "items_per_page", "count", "raise_errors"}
    | {"validate", "locations", "sort_by", "sortby", "next_page_token", "next_page_token_key", "auth"}
)
_MAX_PAGE_SIZE: Final = 10_000


def validate_page_size(size: Any) -> int | None:
    """Return the option `page_size`, or raise `UsageError`."""
    if size is None or (isinstance(size, int) and not isinstance(size, bool) and 0 < size <= _MAX_PAGE_SIZE):
        return size
    raise UsageError(f"invalid page_size {size!r}. Use a whole number from 1 to {_MAX_PAGE_SIZE:,}.")


def validate_query(query: Any) -> Mapping[str, Any]:
    """Return the option `query`, which may not repeat what a download has parameters for, or raise `UsageError`."""
    if query is not None and not (isinstance(query, Mapping) and all(isinstance(name, str) for name in query)):
        raise UsageError("the option query must map parameter names to values.")
    if reserved := sorted(_RESERVED_PARAMETERS & set(query or ())):
        raise UsageError(f"the query cannot contain {quote_names(reserved)}. Use the download's own options for that.")
    return query or {}
