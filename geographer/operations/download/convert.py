"""Convert downloaded products to GeoTIFFs by a reader, on this machine or another one, and describe the results."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from geographer.archives.base import Product, Source
from geographer.archives.download_pool import FetchedProduct
from geographer.base.errors import GeographerError, UsageError
from geographer.base.executors.task_files import InputFile, locate_file
from geographer.base.redaction import redact_text
from geographer.base.timestamps import parse_utc
from geographer.base.values import Checksums
from geographer.planning.raster_rows import Footprint, RasterOptions, RasterRow, describe_raster
from geographer.readers.base import ProductFiles, Reader, ReadResult, choose_reader
from geographer.readers.unpack import unpack_product

if TYPE_CHECKING:
    from geographer.operations.download.recipe import Download

logger = logging.getLogger(__name__)


class ConversionTask(NamedTuple):
    """A product to convert.

    Attributes:
        product: The product, without the private data of its source.
        folder: The folder with its files as delivered.
        names: The paths of the files in the folder.
        path: The GeoTIFF to write.
        reader: The name of the reader; None: the first that can read the files.
        options: The options of the reader.
        collection: The collection that the raster joins.
        footprint: Whether the raster's bounds or its valid pixels are its footprint.
    """

    product: Product
    folder: Path
    names: Sequence[str]
    path: Path
    reader: Any
    options: Mapping[str, Any]
    collection: str
    footprint: Footprint


class ConvertedProduct(NamedTuple):
    """A product as a GeoTIFF: its row for the log, the reader with its notes, and properties found in the files."""

    row: RasterRow
    checksums: Checksums
    reader: str
    notes: Mapping[str, Any]
    properties: Mapping[str, Any]


def make_conversion_task(fetched: FetchedProduct, path: Path, source: Source, recipe: Download) -> ConversionTask:
    """Return the task to convert a product by the recipe's reader, or else by the source's."""
    reader = recipe.reader or source.reader
    options = {**({} if recipe.reader else source.reader_options), **recipe.all_reader_options}
    product = replace(fetched.product, handle=None)
    return ConversionTask(
        product, fetched.folder, list(fetched.files), path, reader, options, recipe.into, recipe.footprint
    )


def convert_products(tasks: Sequence[ConversionTask]) -> Iterator[ConvertedProduct | GeographerError]:
    """Convert products, and yield the result or the error of each."""
    for task in tasks:
        try:
            yield convert_product(task)
        except GeographerError as error:
            yield error


def list_product_files(tasks: Sequence[ConversionTask]) -> list[InputFile]:
    """Return the files that tasks read."""
    return [InputFile(task.folder / name) for task in tasks for name in task.names]


def convert_product(task: ConversionTask) -> ConvertedProduct:
    """Convert a product.

    Raises:
        UsageError: no reader can read the files, or a custom reader fails.
        CorruptError: the files are damaged.
    """
    product, path = task.product, locate_file(task.path)
    unpacked = path.with_suffix(".unpacked")
    try:
        unpack_product(_locate_folder(task), unpacked)
        files = ProductFiles(unpacked, product.product_id, product.collection, dict(product.properties), product.bands)
        reader = choose_reader(files, task.reader, task.options)
        notes = dict(_run_reader(reader, files, path).notes)
    finally:
        shutil.rmtree(unpacked, ignore_errors=True)
    properties = dict(notes.pop("facts", {}))
    found = properties.pop("acquired", None)
    acquired = parse_utc(product.acquired or found)
    row, checksums, _ = describe_raster(task.path, RasterOptions(task.collection, footprint=task.footprint), file=path)
    row["acquired"] = acquired.isoformat() if acquired else None
    return ConvertedProduct(row, checksums, reader.name, notes, properties)


def _locate_folder(task: ConversionTask) -> Path:
    """Return where this machine has the folder of a product."""
    if not task.names:
        return task.folder
    name = task.names[0]
    return locate_file(task.folder / name).parents[name.count("/")]


def _run_reader(reader: Reader, files: ProductFiles, destination: Path) -> ReadResult:
    """Run a reader. A custom reader may raise anything, or write nothing."""
    try:
        result = reader.read(files, destination)
    except GeographerError:
        raise
    except Exception as error:
        logger.debug("a reader failed", exc_info=True)
        message = redact_text(f"{type(error).__name__}: {error}")
        advice = "Fix it, or name another one with --reader."
        raise UsageError(f"reader '{reader.name}' failed ({message}). {advice}") from error
    if not isinstance(result, ReadResult) or not destination.is_file():
        reason = "did not write a GeoTIFF or did not return a geographer.ReadResult"
        raise UsageError(f"reader '{reader.name}' {reason}. Fix it.")
    return result
