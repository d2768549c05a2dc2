"""Create the source of a download, and reject options that contain credentials, because the log records them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from geographer.archives.base import SOURCES, Source
from geographer.base.errors import UsageError
from geographer.base.redaction import redact_urls

if TYPE_CHECKING:
    from geographer.operations.download.recipe import DownloadRecipe

_SECRET_NAME: Final = re.compile(r"passw|secret|token|api.?key|credential|authorization|signature", re.IGNORECASE)
_SIGNED_URL: Final = re.compile(r"://[^/\s]*@|[?&][^=&]*(sig|token|key)=")


def make_source(recipe: DownloadRecipe) -> Source:
    """Return an instance of the source, created with its options.

    Raises:
        PluginError: the source cannot be imported.
        UsageError: it is not a `Source`, or rejects its options.
    """
    reference = recipe.archive
    query = {"query": dict(recipe.query)} if recipe.query else {}
    names = {"provider": recipe.provider, "collection": recipe.product_collection}
    named = {**names, **query}
    if repeated := sorted(named.keys() & recipe.options.keys()):
        raise UsageError(f"invalid --source-option {repeated[0]}. Use --{repeated[0]} instead.")
    options = {**named, **recipe.options}
    source: Source = SOURCES.make_instance(reference.require_plugin(), reference.name, Source, options)
    source.bands = recipe.bands
    return source


def reject_credentials(options: Mapping[str, Any], flag: str) -> None:
    """Raise `UsageError` if an option contains a credential at any depth, or a URL that the log would shorten.

    `flag` is the command-line option that sets them.
    """
    for key, value in options.items():
        if any(_SECRET_NAME.search(name) for name in _iter_names({key: value})) or _SIGNED_URL.search(str(value)):
            raise UsageError(
                f"{flag} {key}=… looks like a credential, which the log would record. Put it into the source's own "
                "configuration or into the environment."
            )
        if redact_urls(value) != value:
            raise UsageError(
                f"{flag} {key}=… contains a URL with a query or fragment. The log records URLs without them, so the "
                "recipe would change. Pass the URL without them."
            )


def _iter_names(value: Any) -> Iterator[str]:
    """Yield all keys of a JSON value."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield str(name)
            yield from _iter_names(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _iter_names(inner)
