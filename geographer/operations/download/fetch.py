"""The chosen products, fetched and read: each as soon as it is there, whatever becomes of the others."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from geographer.base.errors import CorruptError, GeographerError, SourceError, UnsupportedProductError, UsageError
from geographer.base.timestamps import moment_of
from geographer.operations.download.convert import read_product
from geographer.operations.download.metadata_columns import key_of, origin_of
from geographer.planning.raster_rows import RasterOptions, describe_raster

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from geographer.archives.base import Product, Source
    from geographer.archives.download_pool import Fetched
    from geographer.base.values import Checksums
    from geographer.operations.download.parameters import Asked
    from geographer.operations.download.search import Scene
    from geographer.planning.recipe import BuildContext

FOLDER: Final = Path(".geographer") / "downloads"
"""Where products are kept until the dataset has taken them over."""

_NAMED: Final = 5


@dataclass(frozen=True, slots=True)
class Brought:
    """A scene that is a raster now: its row, what the log is to know of where it came from, and its file."""

    scene: Scene
    row: dict[str, Any]
    origin: dict[str, Any]
    path: Path
    checksums: Checksums


@dataclass(frozen=True, slots=True)
class Refused:
    """A product that could not be had, or not be read, and why; `misread`: other options may read what arrived."""

    product_id: str
    reason: str
    misread: bool = False


def bring(
    asked: Asked, source: Source, scenes: Sequence[Scene], names: Mapping[Any, str], workshop: BuildContext
) -> tuple[list[Brought], list[Refused]]:
    """What was fetched and read into the staging folder, and what was not; each by id.

    Args:
        asked: How they are to be read.
        source: Where they come from.
        scenes: What to fetch.
        names: The id of each product's raster, by `key_of` it.
        workshop: Where; as many products at once as it has workers.
    """
    from geographer.archives.download_pool import Fetched, fetch_all

    by_key = {key_of(scene.product): scene for scene in scenes}
    brought: list[Brought] = []
    refused: list[Refused] = []
    arrivals = fetch_all(
        source,
        [scene.product for scene in scenes],
        workshop.root / FOLDER,
        workers=workshop.workers,
        told=lambda done, of, arrived: workshop.progress(f"products, {arrived / 1e6:,.1f} MB", done, of),
    )
    with closing(arrivals):
        for arrival in arrivals:
            product = arrival.product
            if not isinstance(arrival, Fetched):
                refused.append(Refused(product.product_id, _without_paths(arrival.reason, workshop)))
                continue
            key = key_of(product)
            try:
                brought.append(_read(asked, source, arrival, by_key[key], names[key], workshop))
            except GeographerError as error:
                misread = isinstance(error, UsageError)
                refused.append(Refused(product.product_id, _without_paths(str(error), workshop), misread))
    return sorted(brought, key=lambda one: one.row["raster_id"]), sorted(refused, key=lambda one: one.product_id)


def discard(products: Sequence[Product], root: Path) -> None:
    """Let go of what arrived of products that the dataset has taken over."""
    from geographer.archives import download_pool as fetching

    fetching.discard(root / FOLDER, products)


def failure(refused: Sequence[Refused]) -> GeographerError:
    """What to raise where not one product could be had: it says whether trying again will do."""
    if all(one.misread for one in refused):
        return UnsupportedProductError(
            f"{told(refused)}; what arrived is kept: run it again with other options, and it is only read"
        )
    return SourceError(f"{told(refused)}; what arrived is kept: run it again")


def told(refused: Sequence[Refused]) -> str:
    """The failures, in words: how many, and why the first ones."""
    shown = "; ".join(f"'{one.product_id}': {one.reason}" for one in refused[:_NAMED])
    more = f"; and {len(refused) - _NAMED:,} more" if len(refused) > _NAMED else ""
    products = "product" if len(refused) == 1 else "products"
    return f"{len(refused):,} {products} could not be had ({shown}{more})"


def _read(
    asked: Asked, source: Source, fetched: Fetched, scene: Scene, raster_id: str, workshop: BuildContext
) -> Brought:
    """Turn what arrived into a GeoTIFF in the staging folder, described as a row.

    Raises:
        UsageError, CorruptError, StorageError: it can't be read; nothing is left in the staging folder.
    """
    product, path = fetched.product, workshop.staging / f"{raster_id}.tif"
    try:
        read = read_product(asked, source, fetched, workshop.staging / f"{raster_id}.arrived", path)
        options = RasterOptions(collection=asked.into, footprint=asked.footprint)
        row, checksums, _ = describe_raster(path, workshop.root, options)
    except GeographerError as error:
        path.unlink(missing_ok=True)
        if isinstance(error, CorruptError):
            # What arrived was all that the archive stated, and still damaged: the next run fetches it anew.
            discard([product], workshop.root)
        raise
    when = moment_of(product.acquired or read.facts.pop("acquired", None))
    read.facts.pop("acquired", None)
    row["acquired"] = when.isoformat() if when else None
    return Brought(scene, row, origin_of(fetched, scene, read), path, checksums)


def _without_paths(text: str, workshop: BuildContext) -> str:
    """An error's text without this machine's paths: the log keeps it."""
    for folder in (workshop.staging, workshop.root):
        text = text.replace(f"{folder}/", "")
    return text
