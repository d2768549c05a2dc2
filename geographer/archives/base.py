"""The `Source` interface: an archive that is searched by place and time and delivers products as files."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Final, NamedTuple
from urllib.parse import urlparse

from geographer.base.band_names import BandNames
from geographer.base.errors import GeographerError, SourceError, UsageError, quote_names
from geographer.base.plugins import PluginKind, accept_old_names
from geographer.base.redaction import redact_text
from geographer.base.retry import RetryPolicy

SOURCES: Final = PluginKind(
    "source",
    "geographer.sources",
    "geographer.Source",
    {
        "eodag": "geographer.archives.eodag:EodagSource",
        "stac": "geographer.archives.stac_api:StacSource",
        "alos": "geographer.archives.alos:AlosWorld3d",
    },
)
"""Sources are named by entry points of this kind."""

PropertyValue = str | int | float | bool

BytesCallback = Callable[[int], None]
"""Called with the number of bytes of a product that have arrived so far."""


class SearchQuery(NamedTuple):
    """One search: a box in degrees of longitude and latitude, and a time range.

    `west` never exceeds `east`: a search across the antimeridian takes two queries. `start` and `end` are ISO 8601 in
    UTC, both inclusive, or None.
    """

    west: float
    south: float
    east: float
    north: float
    start: str | None = None
    end: str | None = None


class FileInfo(NamedTuple):
    """What an archive states about a file: its `size` in bytes and its digest as `algorithm:hex`, each or None."""

    size: int | None = None
    digest: str | None = None


@dataclass(frozen=True, slots=True)
class Product:
    """One product of an archive, as returned by a search.

    Attributes:
        provider: Name of the archive's operator.
        collection: The archive's collection (product type).
        product_id: Id of the product in the collection.
        footprint: Area with pixels, as the archive states it: WKB Polygon or MultiPolygon, longitude/latitude.
        crs: CRS of `outline`, such as 'EPSG:32633'; None if the archive does not state it.
        outline: Outline of the pixel grid in `crs`, WKB; None if the archive does not state it.
        acquired: Acquisition time, ISO 8601 in UTC without an offset.
        cloud_cover: In percent.
        size: Bytes to download, if the archive states them.
        licence: Licence of the pixels.
        properties: Further properties: texts, numbers and booleans. Common names are `platform`, `tile`, `datatake`,
            `relative_orbit`, `absolute_orbit`, `processing_level`, `processing_baseline`, `processed` (ISO 8601, UTC).
            Must not contain secrets.
        files: What the archive states about each file to download, by name; used to verify the download.
        handle: Private data of the source; it stays in this process.
        bands: The names of the bands of files whose bands the archive states, in order, by the file's name.
        order: What `OrderRequiredError.order` kept of an order that an earlier attempt placed; None: not ordered.
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
    properties: Mapping[str, PropertyValue] = field(default_factory=dict)
    files: Mapping[str, FileInfo] = field(default_factory=dict)
    handle: Any = field(default=None, compare=False, repr=False)
    bands: Mapping[str, tuple[BandNames, ...]] = field(default_factory=dict)
    order: Mapping[str, str] | None = field(default=None, compare=False)

    @property
    def display_name(self) -> str:
        """Id and provider, as messages name the product."""
        return f"product '{self.product_id}' of '{self.provider}'"


class Source(ABC):
    """Base class of archives. Name a subclass by an entry point in `geographer.sources`, or as 'module:Class'.

    A source searches and downloads. Scene selection, retries, verification, caching and recording happen elsewhere.
    Credentials come from the source's own configuration or from the environment, never from `options`, which the log
    records.
    """

    max_concurrent: ClassVar[int] = 4
    """The most products that the archive lets a user download at the same time; more `workers` get a warning."""

    reader: ClassVar[str | None] = None
    """Reader for this source's products if the recipe names none; None: chosen by the files."""

    reader_options: ClassVar[Mapping[str, Any]] = MappingProxyType({})
    """Options of that reader; those of the recipe take precedence."""

    bands: tuple[str, ...] = ()
    """Bands that the recipe requests. A source with one file per band may skip the others."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        accept_old_names(cls, {"at_once": "max_concurrent"})

    def __init__(self, *, provider: str | None, collection: str | None, **options: Any) -> None:
        """Store the recipe's parameters (`options` are JSON values), or raise `UsageError` or `NotFoundError`."""
        self.provider, self.collection, self.options = provider, collection, options

    @abstractmethod
    def search(self, query: SearchQuery) -> Iterator[list[Product]]:
        """Yield all products that may contain something in the box, page by page, one request each.

        A page that cannot be fetched is an error, never the end of the results.

        Raises:
            SourceError: a page cannot be fetched. If it is `retryable`, the caller repeats the whole search.
            UsageError, NotFoundError: the query is invalid for this archive.
        """

    @abstractmethod
    def fetch(self, product: Product, folder: Path, on_progress: BytesCallback) -> None:
        """Write the product's files into `folder`, which is empty; do not unpack archives.

        Threads call this concurrently for different products. It makes one attempt: the caller retries.

        Raises:
            SourceError: the download is incomplete.
            OrderRequiredError: the product is offline, and ordered: by this attempt, or by an earlier one, of which
                `product.order` says what `OrderRequiredError.order` kept.
            OSError: the folder cannot be written.
        """


def search_all_pages(source: Source, query: SearchQuery, policy: RetryPolicy | None = None) -> list[list[Product]]:
    """Return all pages of `Source.search`, whose errors are raised; after a retryable error the search starts again."""

    def search_once() -> list[list[Product]]:
        try:
            return [list(page) for page in source.search(query)]
        except GeographerError:
            raise
        except Exception as error:
            raise SourceError(describe_plugin_failure(source, error)) from error

    return (policy or RetryPolicy()).call_with_retry(search_once)


def check_options(source: str, options: Mapping[str, Any], known_names: frozenset[str]) -> None:
    """Raise `UsageError` if `options` contains a name that the source does not know."""
    if unknown := sorted(set(options) - known_names):
        names = ", ".join(sorted(known_names))
        raise UsageError(f"source '{source}' has no option {quote_names(unknown)}. Its options are {names}.")


def validate_url(url: Any, schemes: tuple[str, ...], hint: str) -> str:
    """Return the option `url` if it has one of these schemes and no secret parts; else `UsageError`, with `hint`."""
    parts = urlparse(url) if isinstance(url, str) else None
    if parts is None or parts.scheme not in schemes or not parts.hostname:
        prefixes = " or ".join(f"{scheme}://" for scheme in schemes)
        raise UsageError(f"the option url must be a URL that begins with {prefixes}.")
    if parts.username or parts.password or parts.query or parts.fragment:
        reason = "a user, password, query or fragment, which the log would record"
        raise UsageError(f"the option url contains {reason}. {hint}")
    return str(url)


def describe_plugin_failure(source: Source, error: Exception) -> str:
    """Return the message for an unexpected exception raised by a source."""
    message = redact_text(f"{type(error).__name__}: {error}")
    return f"source '{type(source).__qualname__}' failed ({message}). Fix it or report it to its maintainer."
