"""What a download would fetch: few searches of the archive, and of what they find the fewest scenes that show all."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from geographer.archives.base import SearchQuery, SourceError
from geographer.base.timestamps import moment_of
from geographer.operations.download.coverage import Members, shown
from geographer.operations.download.deduplicate import Processing, twins_to_leave
from geographer.operations.download.search_boxes import search_boxes
from geographer.operations.download.select_scenes import choose

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    import pyarrow as pa

    from geographer.archives.base import Product, Source
    from geographer.operations.download.parameters import Asked
    from geographer.planning.recipe import ProgressCallback

Ints = npt.NDArray[np.int64]

_UNTOLD_CLOUD: Final = 50.0
_OF_BYTES: Final = 0.1
_YEAR: Final = timedelta(days=365.25)
_REVISIT: Final = 5.0
"""Days between two scenes of a place, as far as is known before a search."""

_ANY_DAYS: Final = 365.0
"""So many days an open span is taken for."""

NONE_SHOWS: Final = "no scene of the archive shows it"
TOO_FEW_SHOW: Final = "too few scenes of the archive show it"


class Wanted(NamedTuple):
    """What a download looks for.

    Attributes:
        missing: The features to show: `feature_key`, `feature_id`, `geometry` (WKB, longitude/latitude: what of them is
            to be shown), `lacking` (by how many scenes); of whole features also `native` (WKB) in `crs`.
        known: The products that are not to be fetched again.
        span: The first and the last moment of acquisition, UTC, or None.
        near: The moment that scenes should be near to, or None.
    """

    missing: pa.Table
    known: list[Processing]
    span: tuple[datetime | None, datetime | None]
    near: datetime | None


class Search(NamedTuple):
    """One search that was made: its box and span, how many pages the archive gave, and how many products."""

    query: SearchQuery
    pages: int
    found: int

    def as_json(self) -> dict[str, Any]:
        """What the log keeps."""
        start, end = self.query.start, self.query.end
        span = {**({"start": start} if start else {}), **({"end": end} if end else {})}
        return {"box": [round(side, 6) for side in self.query[:4]], **span, "pages": self.pages, "found": self.found}


@dataclass(frozen=True, slots=True)
class Scene:
    """A product to fetch: by which search it was found first, how many missing features it shows, what it costs."""

    product: Product
    search: int
    shows: int
    cost: float


@dataclass(frozen=True, slots=True)
class Found:
    """What the searches found, and what was chosen of it.

    Attributes:
        scenes: The chosen ones, by id.
        bound: Nobody could do with fewer.
        searches: All that were made.
        candidates: How many products there were to choose from.
        unmet: How many features lack scenes after all, by reason.
    """

    scenes: list[Scene]
    bound: int
    searches: list[Search]
    candidates: int
    unmet: dict[str, int]


def find(asked: Asked, wanted: Wanted, source: Source, progress: ProgressCallback) -> Found:
    """Search the archive, and choose.

    Raises:
        SourceError: a search could not be had whole.
    """
    import shapely

    geometries = shapely.from_wkb(wanted.missing["geometry"].to_pylist())
    queries = _queries(geometries, wanted)
    products, found_by, searches = _searched(source, queries, progress)
    kept = _eligible(asked, wanted, products)
    candidates, searched = [products[place] for place in kept], [found_by[place] for place in kept]
    places = [(one.footprint, one.crs, one.outline) for one in candidates]
    pairs, members = shown(wanted.missing, places, union=asked.union)
    needs = members.needs
    costs = _costs(candidates, wanted)
    chosen = choose(pairs[:, 1], pairs[:, 0], needs, costs, seconds=asked.time_limit)
    by_scene = np.unique(np.column_stack([pairs[:, 0], members.features[pairs[:, 1]]]), axis=0)
    shows = np.bincount(by_scene[:, 0], minlength=len(candidates))
    scenes = [
        Scene(candidates[place], searched[place], int(shows[place]), float(costs[place]))
        for place in np.flatnonzero(chosen.taken).tolist()
    ]
    unmet = _unmet(members, chosen.short, needs)
    return Found(sorted(scenes, key=_identity), chosen.bound, searches, len(candidates), unmet)


def _identity(scene: Scene) -> tuple[str, str]:
    return scene.product.product_id, scene.product.provider


def _queries(geometries: npt.NDArray[np.object_], wanted: Wanted) -> list[SearchQuery]:
    import shapely

    boxes = shapely.bounds(shapely.get_parts(geometries)) if len(geometries) else np.empty((0, 4))
    first, final = wanted.span
    days = (final - first).days + 1 if first and final else _ANY_DAYS
    start, end = (None if one is None else f"{one.isoformat(timespec='milliseconds')}Z" for one in wanted.span)
    return [
        SearchQuery(west, south, east, north, start, end)
        for west, south, east, north in search_boxes(boxes, days / _REVISIT).tolist()
    ]


def _searched(
    source: Source, queries: list[SearchQuery], progress: ProgressCallback
) -> tuple[list[Product], list[int], list[Search]]:
    """All products, each once, the number of the search that found each first, and the searches."""
    from geographer.archives.search import all_pages

    products: dict[tuple[str, str, str], tuple[Product, int]] = {}
    searches: list[Search] = []
    for query in queries:
        pages = all_pages(source, query)
        for product in (_sound(one) for page in pages for one in page):
            products.setdefault((product.provider, product.collection, product.product_id), (product, len(searches)))
        searches.append(Search(query, len(pages), sum(map(len, pages))))
        progress("searches", len(searches), len(queries))
    return [one for one, _ in products.values()], [number for _, number in products.values()], searches


def _sound(product: Product) -> Product:
    """A product, without a cloud cover or size that is no number, as tables have it where something is not told.

    Raises:
        SourceError: its time of acquisition can't be read.
    """
    try:
        moment_of(product.acquired)
    except (TypeError, ValueError) as error:
        raise SourceError(
            f"product '{product.product_id}' was acquired at '{product.acquired}', which is not ISO 8601: let the "
            "source put it right"
        ) from error
    cloud_cover = None if product.cloud_cover != product.cloud_cover else product.cloud_cover
    size = None if product.size != product.size else product.size
    if (cloud_cover, size) == (product.cloud_cover, product.size):
        return product
    return replace(product, cloud_cover=cloud_cover, size=size)


def _eligible(asked: Asked, wanted: Wanted, products: Sequence[Product]) -> list[int]:
    """The places of the products that may be fetched: not here yet, in the span, clear enough, no older twin."""
    known = {(one.properties.get("product_collection"), one.product_id) for one in wanted.known}
    fit = [
        place
        for place, product in enumerate(products)
        if (product.collection, product.product_id) not in known
        and (asked.max_cloud is None or (product.cloud_cover or 0) <= asked.max_cloud)
        and _within(product, wanted.span)
    ]
    if asked.keep_twins:
        return fit
    processings = [Processing(one.product_id, one.properties, one.footprint) for one in (products[p] for p in fit)]
    left = twins_to_leave(processings, wanted.known)
    return [place for order, place in enumerate(fit) if order not in left]


def _within(product: Product, span: tuple[datetime | None, datetime | None]) -> bool:
    when, (start, end) = moment_of(product.acquired), span
    if when is None:
        return True
    return (start is None or when >= start) and (end is None or when <= end)


def _costs(products: Sequence[Product], wanted: Wanted) -> npt.NDArray[np.float64]:
    """Of each product: its cloud cover from 0 to 1, its bytes up to a tenth, its distance in time in years, added up.

    The largest product counts a tenth, and a year or more counts 1: so a scene a month farther away is worth it for a
    twelfth less cloud. What an archive does not say counts half.
    """
    cloud = [(_UNTOLD_CLOUD if one.cloud_cover is None else one.cloud_cover) / 100 for one in products]
    largest = max((one.size or 0 for one in products), default=0)
    size = [(one.size / largest if one.size is not None else 0.5) * _OF_BYTES if largest else 0.0 for one in products]
    times = [moment_of(one.acquired) for one in products]
    target = _target(wanted, [time for time in times if time is not None])
    away = [None if time is None or target is None else abs(time - target) for time in times]
    distance = [0.5 if one is None else min(one / _YEAR, 1.0) for one in away]
    return np.asarray(np.array(cloud) + np.array(size) + np.array(distance), np.float64)


def _target(wanted: Wanted, times: list[datetime]) -> datetime | None:
    """The moment to be near to: what was asked, the middle of the span, or the newest scene's."""
    start, end = wanted.span
    if wanted.near is not None:
        return wanted.near
    return start + (end - start) / 2 if start and end else max(times, default=None)


def _unmet(members: Members, short: Ints, needs: Ints) -> dict[str, int]:
    """How many features are not shown as often, or not as far, as they should be, by reason."""
    lacking, wanted = (np.bincount(members.features, weights=counts) for counts in (short, needs))
    told = {NONE_SHOWS: (lacking > 0) & (lacking == wanted), TOO_FEW_SHOW: (lacking > 0) & (lacking < wanted)}
    return {reason: int(which.sum()) for reason, which in told.items() if which.any()}
