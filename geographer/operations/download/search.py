"""Search an archive with few requests, and select the fewest scenes that cover all features."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import pyarrow as pa
import shapely
from msgspec import UNSET

from geographer.algorithms.connected_components import Floats, Ints
from geographer.archives.base import Product, SearchQuery, Source, search_all_pages
from geographer.base.errors import SourceError
from geographer.base.progress import ProgressCallback
from geographer.base.timestamps import parse_time_option, parse_utc
from geographer.operations.download.coverage import CoverTargets, compute_coverage
from geographer.operations.download.deduplicate import ProductProcessing, find_replaced_products
from geographer.operations.download.events import ArchiveSearch
from geographer.operations.download.metadata_columns import ProductKey, make_product_key
from geographer.operations.download.search_boxes import make_search_boxes
from geographer.operations.download.select_scenes import SceneSelection, select_scenes

if TYPE_CHECKING:
    from geographer.operations.download.recipe import Download

FoundProduct = tuple[Product, int]
"""A product, and the index of the search that found it first."""

_UNKNOWN_CLOUD_COVER: Final = 50.0
_MAX_SIZE_COST: Final = 0.1
_UNKNOWN_TIME_COST: Final = 0.5
_YEAR: Final = timedelta(days=365.25)
_REVISIT_DAYS, _OPEN_RANGE_DAYS = 5.0, 365.0
"""Assumed days between two scenes of a location, and in a time range without start or end."""

NO_SCENE: Final = "no scene of the archive shows it"
TOO_FEW_SCENES: Final = "too few scenes of the archive show it"


class SelectedScene(NamedTuple):
    """A product, the first search that found it, how many features it covers at least in part, and its cost."""

    product: Product
    search_index: int
    n_features: int
    cost: float


class SearchResult(NamedTuple):
    """The selected scenes, sorted by id, and the proven lower bound on their number; all searches.

    `n_candidates` is the number of products to select from; `unmet_counts` are the numbers of features that will still
    lack scenes, by reason; `found` are all products.
    """

    scenes: list[SelectedScene]
    lower_bound: int
    searches: list[ArchiveSearch]
    n_candidates: int
    unmet_counts: dict[str, int]
    found: Sequence[FoundProduct] = ()


class FailedScene(NamedTuple):
    """A product that failed, the products selected instead, and the number of its features that none of them shows."""

    product: Product
    replaced_by: list[Product]
    uncovered: int


def search_and_select(
    recipe: Download,
    features: pa.Table,
    existing: list[ProductProcessing],
    ordered: AbstractSet[ProductKey],
    source: Source,
    progress: ProgressCallback,
) -> SearchResult:
    """Search the archive and select scenes; raise `SourceError` if a search is incomplete.

    `features` lack rasters: `feature_key`, `feature_id`, `geometry` (WKB, longitude/latitude: the part to cover),
    `lacking` (number of scenes), and for whole features `native` (WKB) in `crs`. `existing` products are not selected;
    those that are `ordered` cost nothing.
    """
    found, searches = _run_searches(source, _make_queries(recipe, features), progress)
    candidates = _filter_products(recipe, existing, found)
    products = [product for product, _ in candidates]
    pairs, targets = _compute_scene_coverage(recipe, features, products)
    costs = _compute_costs(products, recipe) * [make_product_key(product) not in ordered for product in products]
    selection = select_scenes(pairs[:, 1], pairs[:, 0], targets.demands, costs, time_limit=recipe.time_limit)
    scenes = _list_selected(candidates, pairs, targets, costs, selection)
    unmet_counts = _count_unmet(targets, selection.shortfall)
    return SearchResult(scenes, selection.lower_bound, searches, len(products), unmet_counts, found)


def select_replacements(
    recipe: Download,
    features: pa.Table,
    existing: list[ProductProcessing],
    found: Sequence[FoundProduct],
    kept: Sequence[Product],
    failed: Sequence[Product],
    excluded: AbstractSet[ProductKey],
) -> tuple[list[SelectedScene], list[FailedScene]]:
    """Select scenes among the `found` ones for what the `failed` ones were to show and the `kept` ones do not.

    `features`, `existing` and `found` are those of the first selection; `excluded` products failed before.
    """
    tried = {make_product_key(product) for product in (*kept, *failed)} | excluded
    processings = [ProductProcessing(product.product_id, product.properties, product.footprint) for product in kept]
    others = [item for item in found if make_product_key(item[0]) not in tried]
    candidates = _filter_products(recipe, [*existing, *processings], others)
    products = [*kept, *failed, *(product for product, _ in candidates)]
    pairs, targets = _compute_scene_coverage(recipe, features, products)
    is_kept, is_candidate = pairs[:, 0] < len(kept), pairs[:, 0] >= len(kept) + len(failed)
    n_kept = np.bincount(pairs[is_kept, 1], minlength=len(targets.demands))
    is_lost = np.isin(np.arange(len(targets.demands)), pairs[~is_kept & ~is_candidate, 1])
    demands = np.where(is_lost, np.maximum(targets.demands - n_kept, 0), 0)
    choice: Ints = pairs[is_candidate] - np.array([len(kept) + len(failed), 0])
    costs = _compute_costs([product for product, _ in candidates], recipe)
    selection = select_scenes(choice[:, 1], choice[:, 0], demands, costs, time_limit=recipe.time_limit)
    scenes = _list_selected(candidates, choice, targets, costs, selection)
    failures = []
    for index, product in enumerate(failed, len(kept)):
        lost = np.intersect1d(pairs[pairs[:, 0] == index, 1], np.flatnonzero(demands))
        chosen = np.unique(choice[np.isin(choice[:, 1], lost) & selection.is_selected[choice[:, 0]], 0])
        uncovered = np.unique(targets.features[lost[selection.shortfall[lost] > 0]])
        failures.append(FailedScene(product, [candidates[number][0] for number in chosen], len(uncovered)))
    return scenes, failures


def _compute_scene_coverage(
    recipe: Download, features: pa.Table, products: Sequence[Product]
) -> tuple[Ints, CoverTargets]:
    geometries = [(product.footprint, product.crs, product.outline) for product in products]
    return compute_coverage(features, geometries, union=recipe.union)


def _list_selected(
    candidates: Sequence[FoundProduct], pairs: Ints, targets: CoverTargets, costs: Floats, selection: SceneSelection
) -> list[SelectedScene]:
    scene_features = np.unique(np.column_stack([pairs[:, 0], targets.features[pairs[:, 1]]]), axis=0)
    n_features = np.bincount(scene_features[:, 0], minlength=len(candidates))
    scenes = [
        SelectedScene(*candidates[index], int(n_features[index]), float(costs[index]))
        for index in np.flatnonzero(selection.is_selected).tolist()
    ]
    return sorted(scenes, key=lambda scene: (scene.product.product_id, scene.product.provider))


def _make_queries(recipe: Download, features: pa.Table) -> list[SearchQuery]:
    parts = shapely.get_parts(shapely.from_wkb(features["geometry"].to_pylist()))
    first, last = recipe.time_range
    n_days = (last - first).days + 1 if first and last else _OPEN_RANGE_DAYS
    limits = [None if time is None else f"{time.isoformat(timespec='milliseconds')}Z" for time in (first, last)]
    boxes = make_search_boxes(shapely.bounds(parts), n_days / _REVISIT_DAYS).tolist()
    return [SearchQuery(*box, *limits) for box in boxes]


def _run_searches(
    source: Source, queries: list[SearchQuery], progress: ProgressCallback
) -> tuple[list[FoundProduct], list[ArchiveSearch]]:
    """Return all products without duplicates, and the searches."""
    found: dict[ProductKey, FoundProduct] = {}
    searches: list[ArchiveSearch] = []
    for query in queries:
        pages = search_all_pages(source, query)
        products = [_normalise_product(product) for page in pages for product in page]
        for product in products:
            found.setdefault(make_product_key(product), (product, len(searches)))
        box, start, end = [round(side, 6) for side in query[:4]], query.start or UNSET, query.end or UNSET
        searches.append(ArchiveSearch(box, len(pages), len(products), start, end))
        progress("searches", len(searches), len(queries))
    return list(found.values()), searches


def _normalise_product(product: Product) -> Product:
    """Return the product with None for a cloud cover or size of NaN, which sources may take from tables."""
    try:
        parse_utc(product.acquired)
    except (TypeError, ValueError) as error:
        reason = f"has the acquisition time '{product.acquired}', which is not ISO 8601"
        raise SourceError(f"product '{product.product_id}' {reason}. Correct it in the source.") from error
    cloud_cover = None if product.cloud_cover != product.cloud_cover else product.cloud_cover
    return replace(product, cloud_cover=cloud_cover, size=None if product.size != product.size else product.size)


def _filter_products(
    recipe: Download, existing: list[ProductProcessing], found: Iterable[FoundProduct]
) -> list[FoundProduct]:
    """Return the products that are new, in the time range, clear enough, and not older processings."""
    existing_ids = {(old.properties.get("product_collection"), old.product_id) for old in existing}
    start, end = recipe.time_range
    first, last = start or datetime.min, end or datetime.max
    kept = [
        (product, index)
        for product, index in found
        if (product.collection, product.product_id) not in existing_ids
        and (recipe.max_cloud is None or (product.cloud_cover or 0) <= recipe.max_cloud)
        and first <= (parse_utc(product.acquired) or first) <= last
    ]
    replaced = set() if recipe.keep_reprocessed else find_replaced_products([product for product, _ in kept], existing)
    return [item for order, item in enumerate(kept) if order not in replaced]


def _compute_costs(products: Sequence[Product], recipe: Download) -> Floats:
    """Return each product's cost: cloud cover (0 to 1), plus size (0 to 0.1), plus years from the target time (0 to 1).

    Sizes are relative to the largest product. The target is `--near`, else the middle of the time range, else the time
    of the newest product: a scene one month further away is chosen for one twelfth less cloud. Unknown values cost half
    of the maximum.
    """
    largest = max((product.size or 0 for product in products), default=0)
    times = [parse_utc(product.acquired) for product in products]
    start, end = recipe.time_range
    middle = start + (end - start) / 2 if start and end else max(filter(None, times), default=None)
    target = parse_time_option(recipe.near, "--near") or middle

    def compute_cost(product: Product, time: datetime | None) -> float:
        cloud = (_UNKNOWN_CLOUD_COVER if product.cloud_cover is None else product.cloud_cover) / 100
        size = _MAX_SIZE_COST * (0.5 if product.size is None else product.size / largest) if largest else 0.0
        years = _UNKNOWN_TIME_COST if time is None or target is None else min(abs(time - target) / _YEAR, 1.0)
        return cloud + size + years

    return np.array(list(map(compute_cost, products, times)), np.float64)


def _count_unmet(targets: CoverTargets, shortfall: Ints) -> dict[str, int]:
    lacking, demanded = (np.bincount(targets.features, weights=counts) for counts in (shortfall, targets.demands))
    is_unmet = {NO_SCENE: (lacking > 0) & (lacking == demanded), TOO_FEW_SCENES: (lacking > 0) & (lacking < demanded)}
    return {reason: int(mask.sum()) for reason, mask in is_unmet.items() if mask.any()}
