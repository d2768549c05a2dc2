"""Datasets for PyTorch: chips with their labels as the samples of torchgeo, samplers, and a Lightning data module.

PyTorch is optional: `pip install 'geographer-datasets[torch]'`.

- `chip_dataset`  `ChipDataset`, a map-style dataset
- `options`       how chips are read: bands, dtype, scaling, nodata, values
- `chip_index`    what a dataset knows of its chips, as arrays that worker processes share
- `make_index`    makes them of a dataset or a release
- `text_column`   many texts in one buffer
- `targets`       masks, boxes and classes as tensors
- `collate`       batches
- `samplers`      samplers that balance classes or components
- `data_module`   `ChipDataModule`, for Lightning
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from geographer.base.errors import MissingLibraryError

if TYPE_CHECKING:
    from geographer.torch.chip_dataset import ChipDataset
    from geographer.torch.collate import collate_chips
    from geographer.torch.data_module import ChipDataModule
    from geographer.torch.samplers import ClassBalancedSampler, ComponentBalancedSampler

__all__ = ["ChipDataModule", "ChipDataset", "ClassBalancedSampler", "ComponentBalancedSampler", "collate_chips"]

_MODULES: Final = {
    "ChipDataModule": "data_module",
    "ChipDataset": "chip_dataset",
    "ClassBalancedSampler": "samplers",
    "ComponentBalancedSampler": "samplers",
    "collate_chips": "collate",
}
_COMMANDS: Final = {
    "torch": "pip install 'geographer-datasets[torch]'",
    "lightning": "pip install 'geographer-datasets[lightning]'",
}
_NAMES: Final = {"torch": "PyTorch", "lightning": "Lightning"}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used; `MissingLibraryError` if PyTorch or Lightning is not installed."""
    if name not in _MODULES:
        raise AttributeError(f"module 'geographer.torch' has no attribute '{name}'")
    try:
        return getattr(import_module(f"geographer.torch.{_MODULES[name]}"), name)
    except ModuleNotFoundError as error:
        if error.name not in _COMMANDS:
            raise
        library = _NAMES[error.name]
        raise MissingLibraryError(
            f"{name} needs {library}, which is not installed. Run: {_COMMANDS[error.name]}"
        ) from error


def __dir__() -> list[str]:
    """List the public names for completion."""
    return __all__
