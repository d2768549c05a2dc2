"""Download the selected products and convert each as soon as it arrives; a failure does not affect the others."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, NoReturn

from geographer.archives.base import Product, Source
from geographer.archives.download_pool import FetchedProduct, delete_downloads, fetch_products
from geographer.base.errors import (
    CorruptError,
    OrderRequiredError,
    SourceError,
    UnsupportedProductError,
    UsageError,
)
from geographer.base.text import format_count
from geographer.base.values import Checksums
from geographer.operations.download.convert import (
    ConversionTask,
    ConvertedProduct,
    convert_product,
    convert_products,
    list_product_files,
    make_conversion_task,
)
from geographer.operations.download.metadata_columns import ColumnValues, collect_metadata, make_product_key
from geographer.operations.download.search import SelectedScene
from geographer.planning.raster_rows import RasterRow
from geographer.storage.database.dataset_folder import require_real_folder
from geographer.storage.request import BuildContext

if TYPE_CHECKING:
    from geographer.operations.download.recipe import Download

DOWNLOADS_FOLDER: Final = Path(".geographer") / "downloads"
"""Cache of downloaded products, below the dataset's folder; a product is deleted when its raster is recorded."""

_FILES_OF_ONE: Final = 64
"""Converting a product takes as long as making so many chips."""
_MAX_DESCRIBED: Final = 5


class ImportedScene(NamedTuple):
    """A scene converted to a GeoTIFF: its row for the log, columns that describe the product, and the staged file."""

    product: Product
    row: RasterRow
    metadata: ColumnValues
    path: Path
    checksums: Checksums


class FailedProduct(NamedTuple):
    """A product that could not be downloaded or read, and why.

    Of one that `is_unreadable`, other reader options may work; one that `is_ordered` is fetched by a later run; instead
    of one that `is_replaceable`, others may be fetched. One that `is_temporary` may be there later.
    """

    product: Product
    reason: str
    is_unreadable: bool = False
    is_ordered: bool = False
    is_replaceable: bool = False
    is_temporary: bool = False


def import_scenes(
    scenes: Sequence[SelectedScene], raster_ids: Sequence[str], source: Source, recipe: Download, context: BuildContext
) -> tuple[list[ImportedScene], list[FailedProduct]]:
    """Download and convert scenes, which get `raster_ids`; return the imported and the failed ones, sorted by id."""
    products, folder = [scene.product for scene in scenes], context.root / DOWNLOADS_FOLDER
    require_real_folder(folder)
    by_key = dict(zip(map(make_product_key, products), zip(scenes, raster_ids, strict=True), strict=True))
    imported: list[ImportedScene] = []
    failed: list[FailedProduct] = []

    def add_failure(product: Product, reason: str, **flags: bool) -> None:
        for path in (context.staging, context.root):  # The log records the reason, but no path of this machine.
            reason = reason.replace(f"{path}/", "")
        failed.append(FailedProduct(product, reason, **flags))

    fetched: deque[FetchedProduct] = deque()
    executor = context.make_executor(_FILES_OF_ONE * len(products))
    outcomes = fetch_products(source, products, folder, workers=recipe.workers, on_progress=context.progress)

    def iter_tasks() -> Iterator[list[ConversionTask]]:
        for outcome in outcomes:
            if not isinstance(outcome, FetchedProduct):
                names = ("is_ordered", "is_replaceable", "is_temporary")
                add_failure(outcome.product, outcome.reason, **{name: getattr(outcome, name) for name in names})
                continue
            fetched.append(outcome)
            _, raster_id = by_key[make_product_key(outcome.product)]
            yield [make_conversion_task(outcome, context.staging / f"{raster_id}.tif", source, recipe)]

    with closing(outcomes):
        results = executor.run(convert_products, iter_tasks(), inputs=list_product_files, outputs=_list_outputs)
        for result in results:
            outcome = fetched.popleft()
            scene, raster_id = by_key[make_product_key(outcome.product)]
            path = context.staging / f"{raster_id}.tif"
            if isinstance(result, ConvertedProduct):
                imported.append(_make_scene(outcome, scene.search_index, path, result))
                continue
            path.unlink(missing_ok=True)
            is_damaged = isinstance(result, CorruptError)
            if is_damaged:
                # The download matched what the archive states, but is damaged: let the next run download it again.
                delete_downloads(folder, [outcome.product])
            is_unreadable = isinstance(result, UsageError)
            add_failure(outcome.product, str(result), is_unreadable=is_unreadable, is_replaceable=is_damaged)
    imported.sort(key=lambda scene: scene.row["raster_id"])
    return imported, sorted(failed, key=lambda failure: failure.product.product_id)


def _list_outputs(tasks: Sequence[ConversionTask]) -> list[Path]:
    return [task.path for task in tasks]


def raise_failure(failed: Sequence[FailedProduct]) -> NoReturn:
    """Raise `UnsupportedProductError` if all products arrived, but none can be read; else `SourceError`."""
    if all(failure.is_ordered for failure in failed):
        raise OrderRequiredError(describe_orders(failed))
    kept = f"{describe_failures(failed)}. Completed downloads are kept; run the command again"
    if all(failure.is_unreadable for failure in failed):
        raise UnsupportedProductError(f"{kept} with other reader options.")
    raise SourceError(f"{kept} to retry.")


def describe_failures(failed: Sequence[FailedProduct]) -> str:
    """Return how many products failed, and the reasons of the first ones."""
    return f"{format_count(len(failed), 'product')} could not be downloaded or read ({_list_reasons(failed)})"


def describe_orders(ordered: Sequence[FailedProduct]) -> str:
    """Return how many products are ordered, and how they are fetched."""
    verb = "is" if len(ordered) == 1 else "are"
    advice = "Run the command again in a few hours, or geographer update."
    return f"{format_count(len(ordered), 'product')} {verb} ordered ({_list_reasons(ordered)}). {advice}"


def _list_reasons(failed: Sequence[FailedProduct]) -> str:
    shown = [f"'{failure.product.product_id}': {failure.reason.rstrip('.')}" for failure in failed[:_MAX_DESCRIBED]]
    return "; ".join([*shown, *([f"and {len(failed) - len(shown):,} more"] if len(failed) > len(shown) else [])])


def import_scene(
    fetched: FetchedProduct, search_index: int, path: Path, source: Source, recipe: Download
) -> ImportedScene:
    """Convert a product to the GeoTIFF `path` with the recipe's reader, or else with the source's, and describe it."""
    converted = convert_product(make_conversion_task(fetched, path, source, recipe))
    return _make_scene(fetched, search_index, path, converted)


def _make_scene(fetched: FetchedProduct, search_index: int, path: Path, converted: ConvertedProduct) -> ImportedScene:
    row, checksums, reader, notes, properties = converted
    metadata = collect_metadata(fetched, search_index, reader, notes, properties)
    return ImportedScene(fetched.product, row, metadata, path, checksums)
