"""Convert a downloaded product to a GeoTIFF with the requested reader, or with one that recognises its files."""

from __future__ import annotations

import logging
import shutil
from typing import TYPE_CHECKING, Any, NamedTuple

from geographer.base.errors import GeographerError, UsageError
from geographer.base.redaction import redact_urls

if TYPE_CHECKING:
    from pathlib import Path

    from geographer.archives.base import Source
    from geographer.archives.download_pool import FetchedProduct
    from geographer.operations.download.recipe import DownloadRecipe
    from geographer.readers.base import ProductFiles, Reader

logger = logging.getLogger(__name__)


def check_reader(recipe: DownloadRecipe) -> None:
    """Check that the requested reader exists and accepts its options.

    Raises:
        NotFoundError: the reader does not exist.
        UsageError: it rejects its options.
    """
    from geographer.readers.base import find_reader, make_reader

    if recipe.reader is not None:
        make_reader(find_reader(recipe.reader), _make_reader_options(recipe))


def _make_reader_options(recipe: DownloadRecipe) -> dict[str, Any]:
    return {"bands": recipe.bands, "resolution": recipe.resolution, **recipe.reading}


class ConversionResult(NamedTuple):
    """A conversion: the reader's name, its notes, and properties found in the files, as in `Product.properties`."""

    reader: str
    notes: dict[str, Any]
    properties: dict[str, Any]


def convert_product(
    recipe: DownloadRecipe, source: Source, fetched: FetchedProduct, unpack_folder: Path, destination: Path
) -> ConversionResult:
    """Convert a product to the GeoTIFF `destination` with the requested reader, or else with the source's.

    `unpack_folder` receives unpacked archives and is deleted afterwards.

    Raises:
        UsageError, CorruptError, StorageError: the reader cannot read the product.
    """
    from geographer.readers.base import ProductFiles, choose_reader
    from geographer.readers.unpack import unpack_product

    product = fetched.product
    try:
        unpack_product(fetched.folder, unpack_folder)
        files = ProductFiles(unpack_folder, product.product_id, product.collection, dict(product.properties))
        options = _make_reader_options(recipe)
        if not recipe.reader:
            options = {**source.reader_options, **options}
        reader = choose_reader(files, recipe.reader or source.reader, options)
        notes = _run_reader(reader, files, destination)
    finally:
        shutil.rmtree(unpack_folder, ignore_errors=True)
    return ConversionResult(reader.name, notes, dict(notes.pop("facts", {})))


def _run_reader(reader: Reader, files: ProductFiles, destination: Path) -> dict[str, Any]:
    """Run a reader and return its notes. A custom reader may raise anything, or write nothing."""
    from geographer.readers.base import ReadResult

    try:
        result = reader.read(files, destination)
    except GeographerError:
        raise
    except Exception as error:
        logger.debug("a reader failed", exc_info=True)
        message = redact_urls(f"{type(error).__name__}: {error}")
        advice = "Fix it, or name another one with --reader."
        raise UsageError(f"reader '{reader.name}' failed ({message}). {advice}") from error
    if not isinstance(result, ReadResult) or not destination.is_file():
        reason = "did not write a GeoTIFF or did not return a geographer.ReadResult"
        raise UsageError(f"reader '{reader.name}' {reason}. Fix it.")
    return dict(result.notes)
