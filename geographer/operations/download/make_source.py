"""The archive of a download, made ready; and what must not be asked of it, because the log would keep it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from geographer.archives.base import SOURCES, Source
from geographer.base.errors import UsageError
from geographer.base.plugins import Plugin
from geographer.base.redaction import redact_urls
from geographer.operations.download.parameters import OURS

if TYPE_CHECKING:
    from geographer.operations.download.parameters import Asked

_SECRET: Final = re.compile(r"passw|secret|token|api.?key|credential|authorization|signature", re.IGNORECASE)
_SIGNED: Final = re.compile(r"://[^/\s]*@|[?&][^=&]*(sig|token|key)=")


def archive_of(asked: Asked) -> Source:
    """The source, made with its options.

    Raises:
        ExtensionError: it can't be imported here.
        UsageError: it is no source, or can't be made of its options.
    """
    name = asked.archive
    brought = Plugin(OURS.get(name.name, name.name), name.version).load_or_raise(SOURCES)
    query = {"query": dict(asked.query)} if asked.query else {}
    try:
        source = brought(provider=asked.provider, collection=asked.product_collection, **query, **asked.options)
    except TypeError as error:
        raise UsageError(f"source '{name.name}' can't be made of its options: {error}") from error
    if not isinstance(source, Source):
        raise UsageError(f"source '{name.name}' is no geographer.Source: make it a subclass of that")
    source.bands = asked.bands
    return source


def refuse_secrets(given: Mapping[str, Any], option: str) -> None:
    """Raise `UsageError` where an option holds a credential, however deep, or a URL that the log can't keep whole."""
    for key, value in given.items():
        if any(_SECRET.search(name) for name in _names_in({key: value})) or _SIGNED.search(str(value)):
            raise UsageError(
                f"{option} {key}=… looks like a credential, which the log would keep: give it to the source's own "
                "configuration or environment instead"
            )
        if redact_urls(value) != value:
            raise UsageError(
                f"{option} {key}=… holds a URL with a query or fragment, which the log leaves out, so that the recipe "
                "would come back as another one: give the URL without it"
            )


def _names_in(value: Any) -> Iterator[str]:
    """The names in what JSON can hold."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield str(name)
            yield from _names_in(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _names_in(inner)
