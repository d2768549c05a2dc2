"""Extract a collection into a new dataset: create it, import the collection, and copy the attributes."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from geographer.base.atomic_files import translate_os_errors
from geographer.base.errors import UsageError
from geographer.dataset.filters import RevisionSpec
from geographer.operations.attributes import SetAttributes
from geographer.operations.create import CreateDataset
from geographer.operations.import_dataset.request import ImportDataset
from geographer.planning.collections import require_collection
from geographer.storage.database.dataset_folder import FolderBefore
from geographer.storage.log.branches import read_location_digest

if TYPE_CHECKING:
    from geographer.dataset.dataset import Dataset

_VIRTUAL_CHIPS: Final = "SELECT 1 FROM current_raster WHERE collection = $name AND storage = 'virtual' LIMIT 1"


def extract_collection(
    source: "Dataset",
    collection: str,
    to: Path,
    create: Callable[[Path, CreateDataset], "Dataset"],
    *,
    at: RevisionSpec,
    message: str,
    author: str | None,
) -> "Dataset":
    """Return the new dataset in the folder `to`; see `Dataset.extract_collection`. If it fails, `to` is as it was.

    Raises:
        UsageError: the name is not a text, or the collection has virtual chips.
    """
    if not isinstance(collection, str):
        raise UsageError(f"invalid collection {collection!r}. Use the name of a collection of rasters.")
    work = source._unit_of_work
    location = work.locate_revision(at)
    with work.open_database_of(location.branch).open_connection(log="r") as connection:
        digest = read_location_digest(connection, location)
    with work.open_revision(location) as revision:
        require_collection(revision, collection)
        if revision.fetch_rows(_VIRTUAL_CHIPS, {"name": collection}):
            raise UsageError(
                f"collection '{collection}' has virtual chips, and the rasters that they are windows of are not "
                f"extracted. Write their files first: geographer materialise {collection}"
            )
    attributes = source.read_attributes(at)
    with translate_os_errors(to):
        before = FolderBefore(Path(os.path.realpath(to)))
    dataset = create(to, CreateDataset(message=message, author=author))
    try:
        root = os.path.realpath(source.root)
        dataset.run(ImportDataset(root, at=digest, collection=collection, message=message, author=author))
        if attributes:
            dataset.run(SetAttributes(attributes, message=message, author=author))
    except BaseException:
        with suppress(OSError):
            before.restore_folder()
        raise
    return dataset
