"""The source and the reader of a download, by their names: ours, or a person's own."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from geographer.errors import UsageError
from geographer.extension import Extension
from geographer.log.secrets import without_secrets
from geographer.sources.source import SOURCES, Source

if TYPE_CHECKING:
    from pathlib import Path

    from geographer.recipes.download.recipe import Download
    from geographer.sources.fetching import Fetched

_OURS: Final = {"eodag": "geographer.sources.eodag:EodagSource", "alos": "geographer.sources.alos:AlosWorld3d"}
_SECRET: Final = re.compile(r"passw|secret|token|api.?key|credential|authorization|signature", re.IGNORECASE)
_SIGNED: Final = re.compile(r"://[^/\s]*@|[?&][^=&]*(sig|token|key)=")


@dataclass(frozen=True, slots=True)
class SourceName(Extension):
    """A kind of archive, by its name and version."""

    @classmethod
    def of(cls, given: str | type[Source]) -> SourceName:
        """The source of that name: 'eodag', 'alos', an entry point in `geographer.sources`, 'module:Class', or a class.

        Raises:
            NotFoundError: there is none.
        """
        if isinstance(given, str) and given in _OURS:
            return cls(given, "")
        return cls(*cls.identity(given, SOURCES))

    def as_json(self) -> dict[str, str]:
        """What the log keeps."""
        return {"source": self.name, "version": self.version}


def made(recipe: Download) -> Source:
    """The recipe's source, made with its options.

    Raises:
        ExtensionError: it can't be imported here.
        UsageError: it is no source, or can't be made of its options.
    """
    name = recipe.archive
    brought = Extension(_OURS.get(name.name, name.name), name.version).required(SOURCES)
    query = {"query": dict(recipe.query)} if recipe.query else {}
    try:
        source = brought(provider=recipe.provider, collection=recipe.product_collection, **query, **recipe.options)
    except TypeError as error:
        raise UsageError(f"source '{name.name}' can't be made of its options: {error}") from error
    if not isinstance(source, Source):
        raise UsageError(f"source '{name.name}' is no geographer.Source: make it a subclass of that")
    source.bands = recipe.bands
    return source


def refuse_secrets(given: Mapping[str, Any], option: str) -> None:
    """Raise `UsageError` where an option holds a credential, however deep, or a URL that the log can't keep whole."""
    for key, value in given.items():
        if any(_SECRET.search(name) for name in _names_in({key: value})) or _SIGNED.search(str(value)):
            raise UsageError(
                f"{option} {key}=… looks like a credential, which the log would keep: give it to the source's own "
                "configuration or environment instead"
            )
        if without_secrets(value) != value:
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


def check_reader(recipe: Download) -> None:
    """Raise where the recipe names a reader that is not there, or that can't be made of its options.

    Raises:
        NotFoundError, UsageError: as the message says.
    """
    from geographer.readers import reader

    if recipe.reader is not None:
        reader.made(reader.reader_named(recipe.reader), _reader_options(recipe))


def _reader_options(recipe: Download) -> dict[str, Any]:
    return {"bands": recipe.bands, "resolution": recipe.resolution, **recipe.reading}


class Read(NamedTuple):
    """Which reader read a product, what it did, and what the product's files say of it, as `Product.properties`."""

    reader: str
    notes: dict[str, Any]
    facts: dict[str, Any]


def read_product(recipe: Download, source: Source, fetched: Fetched, aside: Path, destination: Path) -> Read:
    """Read what arrived of a product into the GeoTIFF `destination`, by the recipe's reader, or else the source's.

    `aside` is a folder for what is unpacked; it is gone afterwards.

    Raises:
        UsageError, CorruptError, StorageError: as the reader says.
    """
    from geographer.readers.reader import Arrived, reader_for
    from geographer.readers.unpack import unpack

    product = fetched.product
    try:
        unpack(fetched.folder, aside)
        arrived = Arrived(aside, product.product_id, product.collection, dict(product.properties))
        options = _reader_options(recipe) if recipe.reader else {**source.reader_options, **_reader_options(recipe)}
        reader = reader_for(arrived, recipe.reader or source.reader, options)
        notes = dict(reader.read(arrived, destination).notes)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return Read(reader.name, notes, dict(notes.pop("facts", {})))
