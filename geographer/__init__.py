"""geographer: event-sourced versioning of object-centric remote-sensing datasets.

`Dataset` is all of the public API; what it answers and raises is here too. The package, from the top down:

- `cli`         commands; they translate, and decide nothing
- `demo`        the example on real data that `geographer demo` runs
- `dataset`     the facade, and the only place where the parts meet: questions, additions, recipes
- `recorder`    one change, carried through: plan, pixels, ONE event, projection, workspace
- `provenance`  checkout and verify
- `recipes`     download, cut, label, split: query, plan, make, hand back an event
- `intake`      vector files, rasters and catalogues, checked and turned into rows
- `sources`     archives that rasters come from: searched, and fetched from
- `readers`     what arrived from them, read into GeoTIFFs
- `queries`     reads at any revision, differences, history
- `rasters`     pixels: read, cut, burn, hash; and the DVC store
- `projections` the SQL that derives the state (features, rasters, edges …) from the log
- `log`         append, read, digests: the truth
- `database`    the DuckDB engine, and a person's SQL confined
- `planning`    pure decisions: windows, scenes, components, splits
- `execution`   the one place where work goes to many cores
- `extension`   what a person brings along, found by name
- `events`, `values`, `extension`, `errors`
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = [
    "ChangeResult",
    "Cutter",
    "Dataset",
    "FileInfo",
    "GeographerError",
    "LabelMaker",
    "Product",
    "ProductFiles",
    "ReadResult",
    "Reader",
    "SearchQuery",
    "Source",
    "SourceError",
    "Table",
    "Window",
    "__version__",
]

if TYPE_CHECKING:
    from geographer.archives.base import FileInfo, Product, SearchQuery, Source
    from geographer.base.errors import GeographerError, SourceError
    from geographer.base.values import Window
    from geographer.dataset import Dataset
    from geographer.operations.cut.custom import Cutter
    from geographer.operations.label.rendering.custom import LabelMaker
    from geographer.readers.base import ProductFiles, Reader, ReadResult
    from geographer.storage.events import ChangeResult
    from geographer.storage.queries.table import Table

_HOMES = {
    "Dataset": "geographer.dataset",
    "GeographerError": "geographer.base.errors",
    "SourceError": "geographer.base.errors",
    "ChangeResult": "geographer.storage.events",
    "Table": "geographer.storage.queries.table",
    "Cutter": "geographer.operations.cut.custom",
    "LabelMaker": "geographer.operations.label.rendering.custom",
    "Window": "geographer.base.values",
    **dict.fromkeys(("Product", "Query", "Source", "Stated"), "geographer.archives.base"),
    **dict.fromkeys(("Arrived", "Reader", "Reading"), "geographer.readers.base"),
}


def __getattr__(name: str) -> Any:
    """Import the public names when they are first used, so that `geographer --help` is instant."""
    from importlib import import_module

    if name not in _HOMES:
        raise AttributeError(f"module 'geographer' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """The public names, for those who complete them."""
    return __all__
