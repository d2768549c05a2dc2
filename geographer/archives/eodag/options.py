"""Options of `EodagSource`, validated."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from geographer.archives.base import check_options
from geographer.archives.search_options import validate_page_size, validate_query
from geographer.base.errors import UsageError


class EodagOptions(NamedTuple):
    """The options, see `EodagSource`."""

    url: str | None = None
    page_size: int | None = None
    next_page_token_key: str | None = None
    query: Mapping[str, Any] | None = None
    assets: str | list[str] | None = None
    generic: bool = False


def parse_options(options: Mapping[str, Any]) -> EodagOptions:
    """Return the options of a recipe; an unknown or invalid one is a `UsageError`."""
    check_options("eodag", options, frozenset(EodagOptions._fields))
    parsed = EodagOptions(**options)
    validate_page_size(parsed.page_size)
    validate_query(parsed.query)
    key = parsed.next_page_token_key
    if key is not None and not (isinstance(key, str) and re.fullmatch(r"[\w.-]+", key)):
        raise UsageError(f"invalid next_page_token_key {key!r}. Use the name of a URL parameter.")
    if not isinstance(parsed.generic, bool):
        raise UsageError("the option generic must be true or false.")
    return parsed
