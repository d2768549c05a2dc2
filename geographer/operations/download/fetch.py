"""Download the selected products and convert each as soon as it arrives; a failure does not affect the others."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn

from geographer.base.errors import CorruptError, GeographerError, SourceError, UnsupportedProductError, UsageError
from geographer.base.text import format_count
from geographer.base.timestamps import parse_utc
from geographer.operations.download.convert import convert_product
from geographer.operations.download.metadata_columns import collect_metadata, make_product_key
from geographer.planning.raster_rows import RasterOptions, describe_raster

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from geographer.archives.base import Product, Source
    from geographer.archives.download_pool import FetchedProduct
    from geographer.base.values import Checksums
    from geographer.operations.download.recipe import DownloadRecipe
    from geographer.operations.download.search import SelectedScene
    from geographer.planning.recipe import BuildContext

DOWNLOADS_FOLDER: Final = Path(".geographer") / "downloads"
"""Cache of downloaded products, below the dataset's folder; a product is deleted when its raster is recorded."""

_MAX_DESCRIBED: Final = 5


class ImportedScene(NamedTuple):
    """A scene converted to a GeoTIFF: its row for the log, columns that describe the product, and the staged file."""

    scene: SelectedScene
    row: dict[str, Any]
    metadata: dict[str, Any]
    path: Path
    checksums: Checksums


class FailedProduct(NamedTuple):
    """A product that could not be downloaded or read, and why; `is_unreadable`: other reader options may work."""

    product_id: str
    reason: str
    is_unreadable: bool = False


def import_scenes(
    recipe: DownloadRecipe,
    source: Source,
    scenes: Sequence[SelectedScene],
    raster_ids: Mapping[Any, str],
    context: BuildContext,
) -> tuple[list[ImportedScene], list[FailedProduct]]:
    """Download and convert scenes; return those that succeeded and those that failed, each sorted by id.

    `raster_ids` maps the key of each product, see `make_product_key`, to the id of its raster.
    """
    from geographer.archives.download_pool import FetchedProduct, fetch_products

    scenes_by_key = {make_product_key(scene.product): scene for scene in scenes}
    imported: list[ImportedScene] = []
    failed: list[FailedProduct] = []
    products, folder = [scene.product for scene in scenes], context.root / DOWNLOADS_FOLDER
    outcomes = fetch_products(source, products, folder, workers=context.workers, on_progress=context.progress)
    with closing(outcomes):
        for outcome in outcomes:
            product = outcome.product
            if not isinstance(outcome, FetchedProduct):
                failed.append(FailedProduct(product.product_id, _remove_paths(outcome.reason, context)))
                continue
            key = make_product_key(product)
            try:
                scene = _import_scene(recipe, source, outcome, scenes_by_key[key], raster_ids[key], context)
                imported.append(scene)
            except GeographerError as error:
                reason = _remove_paths(str(error), context)
                failed.append(FailedProduct(product.product_id, reason, isinstance(error, UsageError)))
    imported.sort(key=lambda scene: str(scene.row["raster_id"]))
    return imported, sorted(failed, key=lambda product: product.product_id)


def delete_cached_products(products: Sequence[Product], root: Path) -> None:
    """Delete downloaded products from the cache of the dataset at `root`."""
    from geographer.archives.download_pool import delete_downloads

    delete_downloads(root / DOWNLOADS_FOLDER, products)


def raise_failure(failed: Sequence[FailedProduct]) -> NoReturn:
    """Raise the error for a run in which no product succeeded.

    Raises:
        UnsupportedProductError: every product arrived, but none can be read with the current options.
        SourceError: otherwise; a later run may succeed.
    """
    kept = f"{describe_failures(failed)}. Completed downloads are kept; run the command again"
    if all(product.is_unreadable for product in failed):
        raise UnsupportedProductError(f"{kept} with other reader options.")
    raise SourceError(f"{kept} to retry.")


def describe_failures(failed: Sequence[FailedProduct]) -> str:
    """Return how many products failed, and the reasons of the first ones."""
    reasons = "; ".join(f"'{product.product_id}': {product.reason.rstrip('.')}" for product in failed[:_MAX_DESCRIBED])
    more = f"; and {len(failed) - _MAX_DESCRIBED:,} more" if len(failed) > _MAX_DESCRIBED else ""
    return f"{format_count(len(failed), 'product')} could not be downloaded or read ({reasons}{more})"


def _import_scene(
    recipe: DownloadRecipe,
    source: Source,
    fetched: FetchedProduct,
    scene: SelectedScene,
    raster_id: str,
    context: BuildContext,
) -> ImportedScene:
    """Convert a downloaded product to a GeoTIFF in the staging folder, and describe it as a row.

    Raises:
        UsageError, CorruptError, StorageError: it cannot be read; nothing is left in the staging folder.
    """
    product, path = fetched.product, context.staging / f"{raster_id}.tif"
    try:
        result = convert_product(recipe, source, fetched, context.staging / f"{raster_id}.unpacked", path)
        options = RasterOptions(collection=recipe.into, footprint=recipe.footprint)
        row, checksums, _ = describe_raster(path, context.root, options)
    except GeographerError as error:
        path.unlink(missing_ok=True)
        if isinstance(error, CorruptError):
            # The download matched what the archive states, but is damaged: let the next run download it again.
            delete_cached_products([product], context.root)
        raise
    acquired = parse_utc(product.acquired or result.properties.pop("acquired", None))
    result.properties.pop("acquired", None)
    row["acquired"] = acquired.isoformat() if acquired else None
    return ImportedScene(scene, row, collect_metadata(fetched, scene, result), path, checksums)


def _remove_paths(text: str, context: BuildContext) -> str:
    """Return an error message without this machine's paths, because the log records it."""
    for folder in (context.staging, context.root):
        text = text.replace(f"{folder}/", "")
    return text
