"""`download`: rasters from an archive."""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal

from geographer.archives.base import SOURCES, Source
from geographer.base.errors import UsageError
from geographer.base.executors.executor import Workers
from geographer.base.parameters import Parameter, join_schema
from geographer.base.plugins import PluginRef
from geographer.base.redaction import redact_values
from geographer.base.timestamps import parse_time_option
from geographer.base.values import validate_name
from geographer.operations.download.events import RastersDownloaded
from geographer.planning.recipe import WORKERS, Recipe
from geographer.planning.shared_parameters import (
    NAME_SCHEMA,
    OPTIONS,
    FeatureSelection,
    RasterSelection,
    TimeLimit,
    parse_options,
)
from geographer.storage.queries.revision import Revision
from geographer.storage.request import PlanContext

if TYPE_CHECKING:
    from geographer.operations.download.plan import DownloadPlan

_NAME: Final = {"type": "string", "minLength": 1}
_SECRET_NAME: Final = re.compile(r"passw|secret|token|api.?key|credential|authorization|signature", re.IGNORECASE)
_SIGNED_URL: Final = re.compile(r"://[^/\s]*@|[?&][^=&]*(sig|token|key)=")


def _declare_options(text: str, flag: str = "--query", key: str = "query") -> Parameter:
    """Return the declaration of options `KEY=VALUE` of a plugin."""

    def parse_safe_options(options: Mapping[str, Any]) -> Mapping[str, Any]:
        _reject_credentials(options, flag)
        return parse_options(options)

    return OPTIONS._replace(help=text, flags=flag, convert=parse_safe_options, key=key)


def _reject_credentials(options: Mapping[str, object], flag: str) -> None:
    """Raise `UsageError` if an option contains a credential at any depth, or a URL that the log would shorten."""
    for key, value in options.items():
        if any(map(_SECRET_NAME.search, _iter_names({key: value}))) or _SIGNED_URL.search(str(value)):
            raise UsageError(
                f"{flag} {key}=… looks like a credential, which the log would record. Put it into the source's own "
                "configuration or into the environment."
            )
        if redact_values(value) != value:
            raise UsageError(
                f"{flag} {key}=… contains a URL with a query or fragment. The log records URLs without them, so the "
                "recipe would change. Pass the URL without them."
            )


def _iter_names(value: object) -> Iterator[str]:
    if isinstance(value, Mapping):
        yield from map(str, value)
        value = list(value.values())
    if isinstance(value, list | tuple):
        for item in value:
            yield from _iter_names(item)


def _parse_band_names(bands: str | Sequence[str]) -> tuple[str, ...]:
    names = (bands,) if isinstance(bands, str) else tuple(bands)
    if len(set(names)) < len(names):
        raise UsageError(f"--bands {','.join(names)} repeats a band. Name each band once.")
    return names


_BANDS: Final = Parameter(
    "Which bands, in this order, such as B02,B03.",
    *("NAME,…", "chosen by the reader"),
    convert=_parse_band_names,
    parse=lambda text: tuple(name.strip() for name in text.split(",") if name.strip()),
    schema={"type": "array", "items": _NAME},
)
_SOURCE: Final = Parameter(
    "How to reach the archive: eodag, stac, alos, an entry point, or module:Class.",
    *("NAME", "none"),
    convert=SOURCES.parse_plugin,
    key="archive",
    schema=join_schema({"source": _NAME, "version": {"type": "string"}}, ["source", "version"]),
)

FETCH_WORKERS: Final = Parameter("How many products to fetch at the same time.", "COUNT", key=None, minimum=1)
_READ_WORKERS: Final = WORKERS._replace(help="How many processes of this machine convert products at the same time.")


class Download(Recipe, kw_only=True, frozen=True):
    """Search an archive for the rasters that features lack, and fetch the fewest that suffice.

    A feature lacks rasters if fewer than --target-count rasters of the collection contain it. The archive is searched
    in few boxes around those features. Of equally few scenes the cheapest are selected: the cost is the cloud cover (0
    to 1), up to 0.1 for bytes, and the years from --near. Each scene becomes one GeoTIFF and a row with its origin. A
    product that the dataset has, or another processing of its acquisition, is not fetched again.

    eodag reads credentials from its own configuration file and environment variables. Products that cannot be fetched
    are listed in the event and tried again by the next run; the exit code is then 6. With --fall-back, other scenes of
    their features are fetched instead, and the event says which. Products that are offline are ordered, and fetched by
    a later run.
    """

    kind: ClassVar[str] = "download"
    event: ClassVar[type[RastersDownloaded]] = RastersDownloaded
    example: ClassVar[str] = "download s2 --collection S2_MSI_L2A --start 2026-05-01 --plan"

    provider: Annotated[str | None, Parameter("Who runs the archive.", "NAME", "eodag's preferred provider")] = None
    collection: Annotated[str | None, Parameter("The archive's collection.", "NAME", key="product_collection")] = None
    start: Annotated[str | None, Parameter("Earliest acquisition time, ISO 8601 in UTC.", "TIME", "no limit")] = None
    end: Annotated[str | None, Parameter("Latest acquisition time; of a date, its end.", "TIME", "no limit")] = None
    max_cloud: Annotated[
        float | None, Parameter("The highest stated cloud cover.", "PERCENT", "no limit", minimum=0, maximum=100)
    ] = None
    near: Annotated[str | None, Parameter("The preferred time.", "TIME", "the middle of --start and --end")] = None
    query: Annotated[Mapping[str, Any], _declare_options("A further search parameter, as the archive names it.")] = {}
    target_count: Annotated[int, Parameter("How many rasters must contain each feature.", "COUNT", minimum=1)] = 1
    union: Annotated[bool, Parameter("Require instead that rasters cover each feature together.")] = False
    where: FeatureSelection = None
    rasters_where: RasterSelection = None
    into: Annotated[
        str, Parameter("The rasters' collection.", "COLLECTION", flags="--to-collection --into", schema=NAME_SCHEMA)
    ] = "source"
    keep_reprocessed: Annotated[
        bool, Parameter("Consider older processings, too.", flags="--keep-reprocessed --keep-twins", key="keep_twins")
    ] = False
    bands: Annotated[Sequence[str] | None, _BANDS] = ()
    resolution: Annotated[
        float | None, Parameter("Pixel size in the CRS.", "METRES", "that of the finest band", minimum=0, is_above=True)
    ] = None
    reader: Annotated[
        str | None,
        Parameter("How to read: geotiff, bands, safe, an entry point, or module:Class.", "NAME", "chosen by the files"),
    ] = None
    reader_options: Annotated[
        Mapping[str, Any], _declare_options("An option of the reader.", "--reader-option", "reading")
    ] = {}
    footprint: Annotated[
        Literal["valid", "bounds"], Parameter("Whether a raster's valid pixels or its bounds are its footprint.")
    ] = "valid"
    source: Annotated[str | type[Source] | PluginRef, _SOURCE] = "eodag"
    source_options: Annotated[
        Mapping[str, Any], _declare_options("An option of the source, such as its url.", "--source-option", "options")
    ] = {}
    fall_back: Annotated[
        bool,
        Parameter(
            "Where a product fails for good, fetch others that show its features.", records_default=False, since=2
        ),
    ] = False
    workers: Annotated[int, FETCH_WORKERS] = 4
    read_workers: Annotated[Workers, _READ_WORKERS] = 1
    time_limit: TimeLimit = 60.0

    def __post_init__(self) -> None:
        super().__post_init__()
        validate_name("collection", self.into)
        if self.union and self.target_count != 1:
            raise UsageError("--union covers each feature once. Leave out --target-count.")
        start, end = self.time_range
        if start and end and start > end:
            raise UsageError(f"--start {self.start} is after --end {self.end}. Swap them.")
        parse_time_option(self.near, "--near")

    @property
    def max_workers(self) -> Workers:
        """Who converts the products."""
        return self.read_workers

    @property
    def time_range(self) -> tuple[datetime | None, datetime | None]:
        """Earliest and latest acquisition time, UTC, each or None."""
        return parse_time_option(self.start, "--start"), parse_time_option(self.end, "--end", end_of_day=True)

    @property
    def all_reader_options(self) -> Mapping[str, Any]:
        """The options of the reader with bands and resolution, which all readers have."""
        return {"bands": self.bands, "resolution": self.resolution, **(self.reader_options or {})}

    def make_source(self) -> Source:
        """Return the source, with its options; raise `PluginError` or `UsageError` if it cannot be made."""
        reference, options = SOURCES.parse_plugin(self.source), self.source_options or {}
        query = {"query": dict(self.query)} if self.query else {}
        named = {"provider": self.provider, "collection": self.collection, **query}
        if repeated := sorted(named.keys() & options.keys()):
            raise UsageError(f"invalid --source-option {repeated[0]}. Use --{repeated[0]} instead.")
        source: Source = SOURCES.make_instance(reference.require_plugin(), reference.name, Source, {**named, **options})
        source.bands = tuple(self.bands or ())
        return source

    def make_plan(self, revision: Revision, context: PlanContext) -> "DownloadPlan":
        """Plan a download at a revision. The plan searches the archive when it is first read, without a lock held."""
        from geographer.operations.download.plan import plan_download

        return plan_download(self, revision, context)
