"""Class values: read the whole numbers, one for each pixel, of a mask or a prediction: GeoTIFF, PNG or NumPy array."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geographer.base.errors import UsageError
from geographer.rasters.read import open_raster, translate_read_errors

_ADVICE = "Store one class value per pixel, e.g. the argmax of probabilities over the classes."


def read_class_values(path: Path, size: tuple[int, int] | None = None) -> NDArray[np.integer[Any]]:
    """Read class values, shape (rows, columns), of an integer dtype; a first axis of length 1 is dropped.

    Args:
        path: A file `.npy`, which is never unpickled, or else one that GDAL opens as one raster.
        size: The expected (rows, columns); None: any.

    Raises:
        NotFoundError: there is no such file.
        UsageError: it cannot be opened, or has another size, several bands or other numbers.
        CorruptError: its pixels cannot be read.
    """
    values = _load_array(path) if path.suffix.lower() == ".npy" else _read_band(path)
    if values.ndim == 3 and len(values) == 1:
        values = values[0]
    if values.ndim != 2 or (size is not None and values.shape != size):
        expected = "(rows, columns)" if size is None else f"{size}"
        raise UsageError(f"'{path}' has the shape {values.shape}, expected {expected}. {_ADVICE}")
    if values.dtype.kind not in "iub":
        raise UsageError(f"'{path}' has the dtype {values.dtype}, expected whole numbers. {_ADVICE}")
    return np.asarray(values, np.uint8) if values.dtype.kind == "b" else np.asarray(values)


def _load_array(path: Path) -> NDArray[Any]:
    """Map an array of a `.npy` file to memory, so that a header of a wrong size costs nothing."""
    try:
        loaded: Any = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, TypeError, SyntaxError, MemoryError, OverflowError) as error:
        raise UsageError(f"'{path}' is not an array of numpy. Write it with numpy.save.") from error
    if not isinstance(loaded, np.ndarray):
        loaded.close()
        raise UsageError(f"'{path}' is an archive of arrays. Write one array with numpy.save.")
    return loaded


def _read_band(path: Path) -> NDArray[Any]:
    with open_raster(path, with_sidecars=False) as raster, translate_read_errors(path):
        if raster.count != 1:
            raise UsageError(f"'{path}' has {raster.count} bands, expected one. {_ADVICE}")
        return np.asarray(raster.read(1))
