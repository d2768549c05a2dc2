"""Options of `EodagSource`, validated."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from geographer.archives.base import check_options, validate_url
from geographer.base.errors import UsageError, quote_names

AssetFilter = Callable[[str], bool]
"""Returns whether to download the asset of that name."""

_RESERVED_PARAMETERS: Final = frozenset(
    {"collection", "provider", "geom", "geometry", "bbox", "box", "intersects", "start", "end", "datetime", "id"}
    | {"start_datetime", "end_datetime", "page", "limit", "items_per_page", "count", "raise_errors", "validate"}
    | {"locations", "sort_by", "next_page_token", "next_page_token_key", "auth"}
)
_MAX_PAGE_SIZE: Final = 10_000


class EodagOptions(NamedTuple):
    """The options, see `EodagSource`."""

    url: str | None = None
    page_size: int | None = None
    next_page_token_key: str | None = None
    query: Mapping[str, Any] | None = None
    assets: str | list[str] | None = None
    generic: bool = False

    @property
    def root_url(self) -> str:
        """The root of the STAC API at `url`."""
        return str(self.url).rstrip("/").removesuffix("/search")


def parse_options(options: Mapping[str, Any]) -> EodagOptions:
    """Return the options of a recipe; an unknown or invalid one is a `UsageError`."""
    check_options("eodag", options, frozenset(EodagOptions._fields))
    parsed = EodagOptions(**options)
    size, key, query = parsed.page_size, parsed.next_page_token_key, parsed.query
    if size is not None and (not isinstance(size, int) or isinstance(size, bool) or not 0 < size <= _MAX_PAGE_SIZE):
        raise UsageError(f"invalid page_size {size!r}. Use a whole number from 1 to {_MAX_PAGE_SIZE:,}.")
    if key is not None and not (isinstance(key, str) and re.fullmatch(r"[\w.-]+", key)):
        raise UsageError(f"invalid next_page_token_key {key!r}. Use the name of a URL parameter.")
    if not isinstance(parsed.generic, bool):
        raise UsageError("the option generic must be true or false.")
    if parsed.url is not None:
        hint = "Leave them out, and configure the archive as a provider in eodag's own configuration."
        validate_url(parsed.url, ("http", "https"), hint)
    if query is not None and not (isinstance(query, Mapping) and all(isinstance(name, str) for name in query)):
        raise UsageError("the option query must map parameter names to values.")
    if reserved := sorted(_RESERVED_PARAMETERS & set(query or ())):
        raise UsageError(f"the query cannot contain {quote_names(reserved)}. Use the download's own options for that.")
    return parsed


def make_asset_filter(assets: object) -> AssetFilter | None:
    """Return a predicate on asset names for the option 'assets'."""
    if assets is None:
        return None
    if isinstance(assets, str) and ("," not in assets or re.search(r"[\[({]", assets)):
        try:
            pattern = re.compile(assets)
        except re.error as error:
            raise UsageError(f"the option assets {assets!r} is not a regular expression: {error}.") from error
        return lambda name: pattern.fullmatch(name) is not None
    names = [name.strip() for name in assets.split(",")] if isinstance(assets, str) else assets
    if isinstance(names, list | tuple) and names and all(isinstance(name, str) for name in names):
        return frozenset(names).__contains__
    raise UsageError("the option assets must be a regular expression or a list of names.")
