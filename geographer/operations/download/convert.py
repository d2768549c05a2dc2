"""What arrived of a product, read into a GeoTIFF by the reader that is asked for, or that fits."""

from __future__ import annotations

import logging
import shutil
from typing import TYPE_CHECKING, Any, NamedTuple

from geographer.base.errors import GeographerError, UsageError
from geographer.base.redaction import redact_urls

if TYPE_CHECKING:
    from pathlib import Path

    from geographer.archives.base import Source
    from geographer.archives.download_pool import Fetched
    from geographer.operations.download.parameters import Asked
    from geographer.readers.base import ProductFiles, Reader

logger = logging.getLogger("geographer")


def check_reader(asked: Asked) -> None:
    """Raise where it names a reader that is not there, or that can't be made of its options.

    Raises:
        NotFoundError, UsageError: as the message says.
    """
    from geographer.readers import base

    if asked.reader is not None:
        base.make_reader(base.find_reader(asked.reader), _options(asked))


def _options(asked: Asked) -> dict[str, Any]:
    return {"bands": asked.bands, "resolution": asked.resolution, **asked.reading}


class Read(NamedTuple):
    """Which reader read a product, what it did, and what the product's files say of it, as `Product.properties`."""

    reader: str
    notes: dict[str, Any]
    facts: dict[str, Any]


def read_product(asked: Asked, source: Source, fetched: Fetched, aside: Path, destination: Path) -> Read:
    """Read what arrived of a product into the GeoTIFF `destination`, by the reader asked for, or else the source's.

    `aside` is a folder for what is unpacked; it is gone afterwards.

    Raises:
        UsageError, CorruptError, StorageError: as the reader says.
    """
    from geographer.readers.base import ProductFiles, choose_reader
    from geographer.readers.unpack import unpack

    product = fetched.product
    try:
        unpack(fetched.folder, aside)
        arrived = ProductFiles(aside, product.product_id, product.collection, dict(product.properties))
        options = _options(asked) if asked.reader else {**source.reader_options, **_options(asked)}
        reader = choose_reader(arrived, asked.reader or source.reader, options)
        notes = _notes(reader, arrived, destination)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return Read(reader.name, notes, dict(notes.pop("facts", {})))


def _notes(reader: Reader, arrived: ProductFiles, destination: Path) -> dict[str, Any]:
    """What a reader told of its work. One of a person's own may raise anything, or make nothing."""
    from geographer.readers.base import ReadResult

    try:
        done = reader.read(arrived, destination)
    except GeographerError:
        raise
    except Exception as error:
        logger.debug("a reader failed", exc_info=True)
        told = redact_urls(f"{type(error).__name__}: {error}")
        raise UsageError(f"reader '{reader.name}' failed ({told}): mend it, or name another by --reader") from error
    if not isinstance(done, ReadResult) or not destination.is_file():
        raise UsageError(f"reader '{reader.name}' made no GeoTIFF, or answered no geographer.Reading: mend it")
    return dict(done.notes)
