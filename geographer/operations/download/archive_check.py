"""Ask archives what they would give today for downloaded rasters: the same, another processing, or nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import shapely

from geographer.archives.base import Product, SearchQuery, Source, search_all_pages
from geographer.archives.download_pool import FetchedProduct, delete_downloads, fetch_products
from geographer.base.errors import GeographerError
from geographer.base.progress import ProgressCallback
from geographer.base.timestamps import parse_utc
from geographer.base.values import Checksums
from geographer.operations.download.deduplicate import (
    ProductProcessing,
    has_same_ground,
    make_acquisition_key,
    make_processing_rank,
)
from geographer.operations.download.fetch import import_scene
from geographer.operations.download.metadata_columns import make_product_key
from geographer.operations.download.recipe import Download
from geographer.storage.events.payload import parse_payload
from geographer.storage.queries.revision import Revision

ArchiveResult = Literal["same", "reprocessed", "altered", "gone", "not asked"]

_DOWNLOADED: Final = Path(__file__).with_name("downloaded_rasters.sql")
_EVENT: Final = "SELECT kind, version, payload FROM log.event WHERE digest = $digest"
_MARGIN: Final = timedelta(days=1)


class DownloadedRaster(NamedTuple):
    """A raster that a download fetched, as recorded.

    Attributes:
        raster_id: Its id.
        collection: The collection that it is in.
        path: The recorded path.
        checksums: Its size, MD5 and SHA-256.
        pixel_digest: The digest of its pixels and grid.
        footprint: WKB, longitude/latitude.
        acquired: ISO 8601 in UTC, or None.
        properties: Its columns, such as `product_id` and `provider`.
        event: The digest of the event of the download.
    """

    raster_id: str
    collection: str
    path: str
    checksums: Checksums
    pixel_digest: str
    footprint: bytes
    acquired: str | None
    properties: Mapping[str, Any]
    event: str

    @property
    def product_id(self) -> str:
        """The id of the product in the archive."""
        return str(self.properties.get("product_id", ""))


class ArchiveAnswer(NamedTuple):
    """What the archive of a raster would give today.

    Attributes:
        raster: The raster.
        result: 'same' (bytes or pixels), 'reprocessed': another processing of the same acquisition in its place,
            'altered': the same product id with other pixels, 'gone', or 'not asked': the archive did not answer.
        product_id: The id of the product that the archive would give.
        baseline: The processing baseline of that product, if the archive states it.
        newer: The id of a newer processing that the archive has beside the same product.
        reason: Why the archive was not asked, or what is to be said of the product.
        has_same_bytes: Whether the new GeoTIFF has the same bytes.
        path: The new GeoTIFF, if its pixels differ.
        checksums: Its size, MD5 and SHA-256.
        pixel_digest: The digest of its pixels and grid.
    """

    raster: DownloadedRaster
    result: ArchiveResult
    product_id: str | None = None
    baseline: str | None = None
    newer: str | None = None
    reason: str | None = None
    has_same_bytes: bool = False
    path: Path | None = None
    checksums: Checksums | None = None
    pixel_digest: str | None = None


def list_downloaded_rasters(
    revision: Revision, recipe: str | None = None
) -> tuple[list[DownloadedRaster], dict[str, Download | str]]:
    """Return the rasters of a revision that downloads fetched, and the recipe of each event by its digest.

    In place of a recipe that cannot be read there is the reason. Only rasters of the download `recipe`, if it is given.
    """
    rasters = []
    for row in revision.fetch_rows(_DOWNLOADED.read_text()):
        raster_id, collection, path, *checksums, pixel_digest, footprint, acquired, properties, digest = row
        columns = json.loads(properties or "{}")
        values = (pixel_digest, bytes(footprint), acquired, columns, digest)
        rasters.append(DownloadedRaster(raster_id, collection, path, Checksums(*checksums), *values))
    recipes: dict[str, Download | str] = {}
    for digest in dict.fromkeys(raster.event for raster in rasters):
        ((kind, version, payload),) = revision.fetch_rows(_EVENT, {"digest": digest})
        try:
            recipes[digest] = parse_payload(kind, version, json.loads(payload)).load_request()
        except GeographerError as error:
            recipes[digest] = str(error)
    if recipe is not None:
        rasters = [raster for raster in rasters if getattr(recipes[raster.event], "name", None) == recipe]
    return rasters, recipes


def ask_archives(
    rasters: Sequence[DownloadedRaster],
    recipes: Mapping[str, Download | str],
    folder: Path,
    *,
    workers: int = 4,
    progress: ProgressCallback,
) -> Iterator[ArchiveAnswer]:
    """Ask the archive of each raster for it, download what it has into the empty `folder`, and yield an answer.

    New GeoTIFFs whose pixels differ stay in `folder`; downloads are deleted when they are read.
    """
    by_event: dict[str, list[DownloadedRaster]] = {}
    for raster in rasters:
        by_event.setdefault(raster.event, []).append(raster)
    for number, (digest, group) in enumerate(by_event.items()):
        recipe = recipes[digest]
        if isinstance(recipe, str):
            yield from (ArchiveAnswer(raster, "not asked", reason=recipe) for raster in group)
            continue
        event_folder = folder / str(number)
        event_folder.mkdir()
        yield from _EventCheck(recipe, event_folder, workers, progress).ask_for(group)


class _EventCheck:
    """Asks the archive of one download."""

    def __init__(self, recipe: Download, folder: Path, workers: int, progress: ProgressCallback) -> None:
        self._recipe, self._folder, self._workers, self._progress = recipe, folder, workers, progress
        self._found: dict[SearchQuery, list[Product]] = {}

    def ask_for(self, rasters: Sequence[DownloadedRaster]) -> Iterator[ArchiveAnswer]:
        """Yield an answer for each raster."""
        try:
            source = self._recipe.make_source()
        except GeographerError as error:
            yield from (ArchiveAnswer(raster, "not asked", reason=str(error)) for raster in rasters)
            return
        chosen: list[tuple[ArchiveAnswer, Product]] = []
        for count, raster in enumerate(rasters, 1):
            try:
                found = [product for query in make_queries(raster) for product in self._search_archive(source, query)]
            except GeographerError as error:
                yield ArchiveAnswer(raster, "not asked", reason=str(error))
                continue
            finally:
                self._progress("rasters looked for", count, len(rasters))
            product, newer = choose_product(raster, found)
            if product is None:
                yield ArchiveAnswer(raster, "gone")
                continue
            result: ArchiveResult = "same" if product.product_id == raster.product_id else "reprocessed"
            baseline = product.properties.get("processing_baseline")
            texts = (product.product_id, str(baseline) if baseline else None, newer.product_id if newer else None)
            chosen.append((ArchiveAnswer(raster, result, *texts), product))
        yield from self._fetch_chosen(source, chosen)

    def _search_archive(self, source: Source, query: SearchQuery) -> list[Product]:
        if query not in self._found:
            self._found[query] = [product for page in search_all_pages(source, query) for product in page]
        return self._found[query]

    def _fetch_chosen(self, source: Source, chosen: Sequence[tuple[ArchiveAnswer, Product]]) -> Iterator[ArchiveAnswer]:
        answers: dict[tuple[str, str, str], list[ArchiveAnswer]] = {}
        for answer, product in chosen:
            answers.setdefault(make_product_key(product), []).append(answer)
        downloads = self._folder / "downloads"
        products = [product for _, product in chosen]
        outcomes = fetch_products(source, products, downloads, workers=self._workers, on_progress=self._progress)
        with closing(outcomes):
            for outcome in outcomes:
                waiting = answers.pop(make_product_key(outcome.product))
                if isinstance(outcome, FetchedProduct):
                    yield from (self._read_product(source, outcome, answer) for answer in waiting)
                    delete_downloads(downloads, [outcome.product])
                else:
                    reason = f"the archive lists it, but does not deliver it: {outcome.reason}"
                    yield from (answer._replace(result="not asked", reason=reason) for answer in waiting)

    def _read_product(self, source: Source, fetched: FetchedProduct, answer: ArchiveAnswer) -> ArchiveAnswer:
        raster = answer.raster
        path = self._folder / f"{raster.raster_id}.tif"
        try:
            scene = import_scene(fetched, 0, path, source, self._recipe)
        except GeographerError as error:
            return answer._replace(result="not asked", reason=f"the archive delivers what cannot be read: {error}")
        if scene.row["pixel_digest"] == raster.pixel_digest:
            path.unlink()
            has_same_bytes = scene.checksums.sha256 == raster.checksums.sha256
            return answer._replace(has_same_bytes=has_same_bytes)
        answer = answer._replace(path=path, checksums=scene.checksums, pixel_digest=scene.row["pixel_digest"])
        if answer.result == "reprocessed":
            return answer
        reason = None
        if fetched.digest == raster.properties.get("arrived_sha256"):
            reason = "the product has the same bytes, so the software of this machine reads it otherwise"
        return answer._replace(result="altered", reason=reason)


def make_queries(raster: DownloadedRaster) -> list[SearchQuery]:
    """Return the searches that find a raster's product: around the parts of its footprint, a day before and after."""
    acquired = parse_utc(raster.acquired)
    limits = (None, None) if acquired is None else (acquired - _MARGIN, acquired + _MARGIN)
    times = [None if time is None else f"{time.isoformat(timespec='milliseconds')}Z" for time in limits]
    parts = shapely.get_parts(shapely.from_wkb(raster.footprint))
    return [SearchQuery(*(round(side, 6) for side in part.bounds), *times) for part in parts]


def choose_product(raster: DownloadedRaster, found: Sequence[Product]) -> tuple[Product | None, Product | None]:
    """Return the product that the archive would give for a raster, and a newer processing beside the same one.

    That is the product of the same id, or else the newest other processing of the same acquisition.
    """
    own = ProductProcessing(raster.product_id, raster.properties, raster.footprint)
    collection = raster.properties.get("product_collection")
    same = [p for p in found if p.product_id == own.product_id and collection in (None, p.collection)]
    key = raster.properties.get("acquisition") or make_acquisition_key(raster.properties)
    twins = [
        product
        for product in found
        if key is not None
        and product.product_id != own.product_id
        and make_acquisition_key(product.properties) == key
        and has_same_ground(product, own)
    ]
    newest = max(twins, key=make_processing_rank, default=None)
    if not same:
        return newest, None
    is_newer = newest is not None and make_processing_rank(newest) > make_processing_rank(same[0])
    return same[0], newest if is_newer else None
