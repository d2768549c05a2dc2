"""What a source is: an archive that is searched by place and time, and that hands products over as files."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Final, NamedTuple

from geographer.base.errors import OrderRequiredError, SourceError
from geographer.base.redaction import redact_urls

__all__ = [
    "SOURCES",
    "BytesCallback",
    "FileInfo",
    "OrderRequiredError",
    "Product",
    "SearchQuery",
    "Source",
    "SourceError",
    "describe_plugin_failure",
]

SOURCES: Final = "geographer.sources"
"""The group of entry points that a source can be named by."""

BytesCallback = Callable[[int], None]
"""Told how many bytes of a product have arrived so far."""


class SearchQuery(NamedTuple):
    """One search: a box in degrees of longitude and latitude, and a span of time.

    `west` is never east of `east`: a search across the antimeridian is two. `start` and `end` are ISO 8601 in UTC, both
    included, or None.
    """

    west: float
    south: float
    east: float
    north: float
    start: str | None = None
    end: str | None = None


class FileInfo(NamedTuple):
    """What an archive states of a file, or None: its `size` in bytes, and its digest as `algorithm:hex`."""

    size: int | None = None
    digest: str | None = None


@dataclass(frozen=True, slots=True)
class Product:
    """One product of an archive, as a search found it.

    Attributes:
        provider: Whose archive it is in.
        collection: The archive's own collection (product type) that it belongs to.
        product_id: Its id there.
        footprint: Where it has pixels, as the archive states it: WKB, a Polygon or MultiPolygon in longitude/latitude.
        crs: The CRS of `outline`, such as 'EPSG:32633'; None where the archive tells none.
        outline: The corners of its pixels in `crs`, WKB; None where the archive does not tell them.
        acquired: ISO 8601 in UTC without an offset.
        cloud_cover: In percent.
        size: How many bytes there are to fetch, as far as the archive says so.
        licence: Under which its pixels may be used.
        properties: What else is worth keeping: texts, numbers and truth values. Names that mean the same everywhere:
            `platform`, `tile`, `datatake`, `relative_orbit`, `absolute_orbit`, `processing_level`,
            `processing_baseline`, `processed` (ISO 8601, UTC). Never anything secret.
        files: What the archive states of the files that it will hand over, by name; for verification.
        handle: The source's own; it never leaves this process.
    """

    provider: str
    collection: str
    product_id: str
    footprint: bytes = field(repr=False)
    crs: str | None = None
    outline: bytes | None = field(default=None, repr=False)
    acquired: str | None = None
    cloud_cover: float | None = None
    size: int | None = None
    licence: str | None = None
    properties: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    files: Mapping[str, FileInfo] = field(default_factory=dict)
    handle: Any = field(default=None, compare=False, repr=False)


class Source(ABC):
    """An archive of one's own: subclass it, and name it by an entry point in `geographer.sources`.

    It finds and hands over; choosing, trying again, verifying, keeping and recording is done for it. Credentials are
    its own business: they come from its configuration or the environment, never from `options`, which the log keeps.
    """

    max_concurrent: ClassVar[int] = 4
    """How many products it hands over at once, at most."""

    reader: ClassVar[str | None] = None
    """The reader that fits what it hands over, where a recipe names none; None: the one that knows the files."""

    reader_options: ClassVar[Mapping[str, Any]] = MappingProxyType({})
    """That reader's options, beside those of the recipe."""

    bands: tuple[str, ...] = ()
    """The bands that the recipe asks for: who hands bands over as files of their own may leave the others out."""

    def __init__(self, *, provider: str | None, collection: str | None, **options: Any) -> None:
        """Take what the recipe was declared with; `options` are JSON values.

        Raises:
            UsageError: an option that it does not know, or can't use.
            NotFoundError: no such provider or collection.
        """
        self.provider, self.collection, self.options = provider, collection, options

    @abstractmethod
    def search(self, query: SearchQuery) -> Iterator[list[Product]]:
        """All products that may show something in the box, a page at a time; one request to the archive for each.

        A page that can't be had is an error, never the end.

        Raises:
            SourceError: a page can't be had; `passing` says whether asking again may help. The caller then begins anew.
            UsageError, NotFoundError: what was asked can't be answered.
        """

    @abstractmethod
    def fetch(self, product: Product, folder: Path, on_progress: BytesCallback) -> None:
        """Write the product's files into `folder`, which is empty; archives as they arrive, not unpacked.

        Called from several threads at once, for different products. It is one try: whoever calls it tries again.

        Raises:
            SourceError: the archive did not deliver all of it.
            OfflineError: it has to be brought back first.
            OSError: the folder can't be written.
        """


def describe_plugin_failure(source: Source, error: Exception) -> str:
    """What to say when a source raised what it should not."""
    told = redact_urls(f"{type(error).__name__}: {error}")
    return f"source '{type(source).__qualname__}' failed ({told}): mend it, or report it to whoever made it"
