"""geographer: event-sourced versioning of object-centric remote-sensing datasets.

`Dataset` is the public API; what it returns, what it raises and what users subclass is importable from here too.
The package, from the top down (import-linter enforces that imports run downwards only):

- `cli`         the commands: they parse, call `Dataset` and print
- `demo`        the example that `geographer demo` runs on real data
- `torch`       datasets for PyTorch: chips with their labels as the samples of torchgeo
- `dataset`     `Dataset`, the public API: one module for each group of methods
- `operations`  one package for each kind of change: add, remove, classes, merge, download, cut, label, split
- `outputs`     what reads a dataset without changing it: history, impact, export
- `diff`        what differs between two revisions: changes, flags, version numbers, patches
- `planning`    what the plans of several operations share: recipes, selections, rows of rasters, vector files
- `archives`    where rasters are downloaded from: eodag, STAC APIs, ALOS World 3D
- `readers`     how a downloaded product becomes one GeoTIFF
- `storage`     events, log, state, queries, DVC, workspace; the unit of work that every change goes through
- `rasters`     reading, writing and hashing GeoTIFFs
- `algorithms`  pure algorithms: set cover, connected components, geodesic distance
- `base`        errors, values, plugins, executors, atomic files, retries
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"
__all__ = [
    "AccessDeniedError",
    "BandNames",
    "ChangeResult",
    "CommandFailedError",
    "ConflictError",
    "CorruptError",
    "Cutter",
    "DamagedFileError",
    "Dataset",
    "FileInfo",
    "GeographerError",
    "LabelMaker",
    "MissingLibraryError",
    "NotFoundError",
    "OrderRequiredError",
    "PluginError",
    "Product",
    "ProductFiles",
    "ReadOnlyError",
    "ReadResult",
    "Reader",
    "SearchQuery",
    "Source",
    "SourceError",
    "StorageError",
    "Table",
    "UnsupportedProductError",
    "UnsupportedVersionError",
    "UsageError",
    "Window",
    "__version__",
    "audit",
]

if TYPE_CHECKING:
    from geographer.archives.base import FileInfo, Product, SearchQuery, Source
    from geographer.base.band_names import BandNames
    from geographer.base.errors import (
        AccessDeniedError,
        CommandFailedError,
        ConflictError,
        CorruptError,
        DamagedFileError,
        GeographerError,
        MissingLibraryError,
        NotFoundError,
        OrderRequiredError,
        PluginError,
        ReadOnlyError,
        SourceError,
        StorageError,
        UnsupportedProductError,
        UnsupportedVersionError,
        UsageError,
    )
    from geographer.base.values import Window
    from geographer.dataset import Dataset
    from geographer.operations.cut.custom import Cutter
    from geographer.operations.label.rendering.custom import LabelMaker
    from geographer.outputs.audit.run import audit_dataset as audit
    from geographer.readers.base import ProductFiles, Reader, ReadResult
    from geographer.storage.events import ChangeResult
    from geographer.storage.queries.table import Table

_MODULES = {
    "AccessDeniedError": "geographer.base.errors",
    "BandNames": "geographer.base.band_names",
    "ChangeResult": "geographer.storage.events",
    "Cutter": "geographer.operations.cut.custom",
    "Dataset": "geographer.dataset",
    "LabelMaker": "geographer.operations.label.rendering.custom",
    "Table": "geographer.storage.queries.table",
    "Window": "geographer.base.values",
    "audit": "geographer.dataset.audit",
    **dict.fromkeys(("ConflictError", "CorruptError", "GeographerError", "NotFoundError"), "geographer.base.errors"),
    **dict.fromkeys(("OrderRequiredError", "PluginError", "SourceError", "StorageError"), "geographer.base.errors"),
    **dict.fromkeys(
        ("CommandFailedError", "DamagedFileError", "MissingLibraryError", "ReadOnlyError", "UsageError"),
        "geographer.base.errors",
    ),
    **dict.fromkeys(("UnsupportedProductError", "UnsupportedVersionError"), "geographer.base.errors"),
    **dict.fromkeys(("FileInfo", "Product", "SearchQuery", "Source"), "geographer.archives.base"),
    **dict.fromkeys(("ProductFiles", "ReadResult", "Reader"), "geographer.readers.base"),
}
_OLD_NAMES = {
    "Arrived": "ProductFiles",
    "Query": "SearchQuery",
    "Reading": "ReadResult",
    "Recorded": "ChangeResult",
    "Stated": "FileInfo",
}
"""Names of version 0.1.0, importable for one more release."""
_FUNCTIONS = {"audit": "audit_dataset"}
"""The functions that have a shorter name here."""


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that `geographer --help` starts fast."""
    from importlib import import_module

    current = _OLD_NAMES.get(name, name)
    if current not in _MODULES:
        raise AttributeError(f"module 'geographer' has no attribute '{name}'")
    return getattr(import_module(_MODULES[current]), _FUNCTIONS.get(current, current))


def __dir__() -> list[str]:
    """List the public names for completion."""
    return __all__
