"""Search an archive with few requests, and select the fewest scenes that cover all features."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from geographer.archives.base import SearchQuery, search_all_pages
from geographer.base.errors import SourceError
from geographer.base.timestamps import parse_utc
from geographer.operations.download.coverage import CoverTargets, compute_coverage
from geographer.operations.download.deduplicate import find_replaced_products
from geographer.operations.download.search_boxes import make_search_boxes
from geographer.operations.download.select_scenes import select_scenes

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from geographer.archives.base import Product, Source
    from geographer.base.progress import ProgressCallback
    from geographer.operations.download.deduplicate import ProductProcessing
    from geographer.operations.download.recipe import DownloadRecipe

Ints = npt.NDArray[np.int64]
TimeRange = tuple[datetime | None, datetime | None]

_UNKNOWN_CLOUD_COVER: Final = 50.0
_MAX_SIZE_COST: Final = 0.1
_UNKNOWN_TIME_COST: Final = 0.5
_YEAR: Final = timedelta(days=365.25)
_REVISIT_DAYS: Final = 5.0
"""Assumed time between two scenes of a location, in days."""

_OPEN_RANGE_DAYS: Final = 365.0
"""Assumed length of a time range without start or end, in days."""

NO_SCENE: Final = "no scene of the archive shows it"
TOO_FEW_SCENES: Final = "too few scenes of the archive show it"


class SearchRequest(NamedTuple):
    """The features to cover, and conditions for scenes.

    Attributes:
        features: Features that lack rasters: `feature_key`, `feature_id`, `geometry` (WKB, longitude/latitude: the part
            to cover), `lacking` (number of scenes); for whole features also `native` (WKB) in `crs`.
        existing_products: Products that must not be downloaded again.
        time_range: Earliest and latest acquisition time, UTC, each or None.
        target_time: The preferred acquisition time, or None.
    """

    features: pa.Table
    existing_products: list[ProductProcessing]
    time_range: TimeRange
    target_time: datetime | None


class SearchRecord(NamedTuple):
    """A search that was made: its query, and how many pages and products the archive returned."""

    query: SearchQuery
    n_pages: int
    n_products: int

    def to_dict(self) -> dict[str, Any]:
        """Return the search as the log records it."""
        limits = {name: text for name, text in (("start", self.query.start), ("end", self.query.end)) if text}
        box = [round(side, 6) for side in self.query[:4]]
        return {"box": box, **limits, "pages": self.n_pages, "found": self.n_products}


class SelectedScene(NamedTuple):
    """A product to download, the index of the search that found it first, and its cost (see `_compute_costs`).

    `n_features` is the number of features to cover that it covers, at least in part.
    """

    product: Product
    search_index: int
    n_features: int
    cost: float


class SearchResult(NamedTuple):
    """Results of the searches and the selection.

    Attributes:
        scenes: The selected scenes, sorted by id.
        lower_bound: Proven lower bound on the number of scenes needed.
        searches: All searches.
        n_candidates: Number of products to select from.
        unmet_counts: Number of features that will still lack scenes, by reason.
    """

    scenes: list[SelectedScene]
    lower_bound: int
    searches: list[SearchRecord]
    n_candidates: int
    unmet_counts: dict[str, int]


def search_and_select(
    recipe: DownloadRecipe, request: SearchRequest, source: Source, progress: ProgressCallback
) -> SearchResult:
    """Search the archive and select scenes.

    Raises:
        SourceError: a search is incomplete.
    """
    import shapely

    geometries = shapely.from_wkb(request.features["geometry"].to_pylist())
    all_products, search_indices, searches = _run_searches(source, _make_queries(geometries, request), progress)
    kept = _filter_products(recipe, request, all_products)
    products = [all_products[index] for index in kept]
    scene_geometries = [(product.footprint, product.crs, product.outline) for product in products]
    pairs, targets = compute_coverage(request.features, scene_geometries, union=recipe.union)
    costs = _compute_costs(products, request)
    selection = select_scenes(pairs[:, 1], pairs[:, 0], targets.demands, costs, time_limit=recipe.time_limit)
    scene_features = np.unique(np.column_stack([pairs[:, 0], targets.features[pairs[:, 1]]]), axis=0)
    n_features = np.bincount(scene_features[:, 0], minlength=len(products))
    scenes = [
        SelectedScene(products[index], search_indices[kept[index]], int(n_features[index]), float(costs[index]))
        for index in np.flatnonzero(selection.is_selected).tolist()
    ]
    scenes.sort(key=lambda scene: (scene.product.product_id, scene.product.provider))
    unmet_counts = _count_unmet(targets, selection.shortfall)
    return SearchResult(scenes, selection.lower_bound, searches, len(products), unmet_counts)


def _make_queries(geometries: npt.NDArray[np.object_], request: SearchRequest) -> list[SearchQuery]:
    import shapely

    boxes = shapely.bounds(shapely.get_parts(geometries)) if len(geometries) else np.empty((0, 4))
    first, last = request.time_range
    n_days = (last - first).days + 1 if first and last else _OPEN_RANGE_DAYS
    start, end = (None if time is None else f"{time.isoformat(timespec='milliseconds')}Z" for time in (first, last))
    search_boxes = make_search_boxes(boxes, n_days / _REVISIT_DAYS).tolist()
    return [SearchQuery(west, south, east, north, start, end) for west, south, east, north in search_boxes]


def _run_searches(
    source: Source, queries: list[SearchQuery], progress: ProgressCallback
) -> tuple[list[Product], list[int], list[SearchRecord]]:
    """Return all products without duplicates, the index of the search that found each first, and the searches."""
    products: dict[tuple[str, str, str], tuple[Product, int]] = {}
    searches: list[SearchRecord] = []
    for query in queries:
        pages = search_all_pages(source, query)
        for product in (_normalise_product(product) for page in pages for product in page):
            products.setdefault((product.provider, product.collection, product.product_id), (product, len(searches)))
        searches.append(SearchRecord(query, len(pages), sum(map(len, pages))))
        progress("searches", len(searches), len(queries))
    return [product for product, _ in products.values()], [index for _, index in products.values()], searches


def _normalise_product(product: Product) -> Product:
    """Return the product with None for a cloud cover or size of NaN, which sources may take from tables.

    Raises:
        SourceError: its acquisition time is not ISO 8601.
    """
    try:
        parse_utc(product.acquired)
    except (TypeError, ValueError) as error:
        reason = f"has the acquisition time '{product.acquired}', which is not ISO 8601"
        raise SourceError(f"product '{product.product_id}' {reason}. Correct it in the source.") from error
    not_numbers = [name for name in ("cloud_cover", "size") if getattr(product, name) != getattr(product, name)]
    missing: dict[str, Any] = dict.fromkeys(not_numbers)
    return replace(product, **missing) if missing else product


def _filter_products(recipe: DownloadRecipe, request: SearchRequest, products: Sequence[Product]) -> list[int]:
    """Return the indices of products that are new, in the time range, clear enough, and not older processings."""
    existing = {(old.properties.get("product_collection"), old.product_id) for old in request.existing_products}
    kept = [
        index
        for index, product in enumerate(products)
        if (product.collection, product.product_id) not in existing
        and (recipe.max_cloud is None or (product.cloud_cover or 0) <= recipe.max_cloud)
        and _is_within(product, request.time_range)
    ]
    if recipe.keep_twins:
        return kept
    replaced = find_replaced_products([products[index] for index in kept], request.existing_products)
    return [index for order, index in enumerate(kept) if order not in replaced]


def _is_within(product: Product, time_range: TimeRange) -> bool:
    """Return whether a product was acquired in the time range; an unknown time passes."""
    acquired, (start, end) = parse_utc(product.acquired), time_range
    return acquired is None or ((start is None or acquired >= start) and (end is None or acquired <= end))


def _compute_costs(products: Sequence[Product], request: SearchRequest) -> npt.NDArray[np.float64]:
    """Return each product's cost: cloud cover (0 to 1), plus size (0 to 0.1), plus years from the target time (0 to 1).

    Sizes are relative to the largest product. A scene one month further away is chosen for one twelfth less cloud.
    Unknown values cost half of the maximum.
    """
    cloud_covers = [product.cloud_cover for product in products]
    cloud = [(_UNKNOWN_CLOUD_COVER if value is None else value) / 100 for value in cloud_covers]
    largest = max((product.size or 0 for product in products), default=0)
    fractions = [0.5 if product.size is None else product.size / (largest or 1) for product in products]
    size = [fraction * _MAX_SIZE_COST if largest else 0.0 for fraction in fractions]
    times = [parse_utc(product.acquired) for product in products]
    target = _find_target_time(request, [time for time in times if time is not None])
    distances = [None if time is None or target is None else abs(time - target) for time in times]
    years = [_UNKNOWN_TIME_COST if distance is None else min(distance / _YEAR, 1.0) for distance in distances]
    return np.asarray(np.array(cloud) + np.array(size) + np.array(years), np.float64)


def _find_target_time(request: SearchRequest, times: list[datetime]) -> datetime | None:
    """Return the requested time, else the middle of the time range, else the newest scene's time."""
    start, end = request.time_range
    if request.target_time is not None:
        return request.target_time
    return start + (end - start) / 2 if start and end else max(times, default=None)


def _count_unmet(targets: CoverTargets, shortfall: Ints) -> dict[str, int]:
    """Return how many features lack scenes after the selection, by reason."""
    lacking, demanded = (np.bincount(targets.features, weights=counts) for counts in (shortfall, targets.demands))
    is_unmet = {NO_SCENE: (lacking > 0) & (lacking == demanded), TOO_FEW_SCENES: (lacking > 0) & (lacking < demanded)}
    return {reason: int(mask.sum()) for reason, mask in is_unmet.items() if mask.any()}
