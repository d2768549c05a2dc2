"""The public API: `Dataset`.

- `dataset`    `Dataset`: a dataset that can be changed
- `changeable` what runs requests, without the classes of all of them
- `tables`     its methods that read tables, write them to files, and run SQL
- `filters`    the arguments by which these methods select rows and columns
- `reader`     its other methods that read, check out and verify
- `ids`        ids that callers pass, also of numpy, pandas and Arrow
- `methods`    makes its methods that change from the classes of requests, which declare their parameters
- `update`     runs every recipe again
- `audit`      the function `geographer.audit`
- `old_names`  names of version 0.1.0
"""

from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any

from geographer import operations
from geographer.storage.events.payload import add_class_loader, add_request_loader

if TYPE_CHECKING:
    from geographer.dataset.dataset import Dataset

__all__ = ["Dataset"]


def __getattr__(name: str) -> Any:
    """Import `Dataset` when it is first used: commands that only read do not need the classes of all requests."""
    if name not in __all__:
        raise AttributeError(f"module 'geographer.dataset' has no attribute '{name}'")
    return load_dataset_class()


def load_dataset_class() -> type["Dataset"]:
    """Import and return `Dataset`, and with it the classes of all requests."""
    from geographer.dataset.dataset import Dataset

    return Dataset


def load_event_classes() -> None:
    """Import the classes of all events: each operation has them in its module `events`, or is one module."""
    for module in iter_modules(operations.__path__, f"{operations.__name__}."):
        import_module(f"{module.name}.events" if module.ispkg else module.name)


add_class_loader(load_event_classes)
add_request_loader(load_dataset_class)
