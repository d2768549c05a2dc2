"""How chips are read: bands, dtype, scaling, invalid pixels, values of classes, and what else a sample has."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypedDict

import torch

from geographer.base.errors import UsageError
from geographer.base.python_values import make_python_value

Sample = dict[str, Any]
"""A sample: tensors by key, and the ids of its chip and features as text."""

_MAX_OPEN: Final = 128
_NUMPY_NAMES: Final = {
    torch.float32: "float32",
    torch.float64: "float64",
    **{dtype: str(dtype).removeprefix("torch.") for dtype in (torch.uint8, torch.int8, torch.int16, torch.int32)},
    **{dtype: str(dtype).removeprefix("torch.") for dtype in (torch.int64, torch.uint16, torch.uint32, torch.uint64)},
}


class ReadingArguments(TypedDict, total=False):
    """The arguments of `ReadingOptions`, all of which have defaults."""

    bands: Sequence[int | str] | int | str | None
    dtype: torch.dtype
    scale: Literal["file"] | float | None
    mean: Sequence[float] | None
    std: Sequence[float] | None
    fill: float | None
    valid: bool
    class_label: bool | None
    class_values: Literal["stored", "indices"]
    ignore_index: int | None
    coordinates: torch.dtype
    crs: bool
    ids: bool
    transforms: Callable[[Sample], Sample] | None
    seed: int | None
    max_open_files: int


@dataclass(frozen=True, kw_only=True)
class ReadingOptions:
    """How chips are read.

    Attributes:
        bands: The bands, in the order to return, by number from 1 or by name; None: all.
        dtype: The dtype of `image`.
        scale: 'file' applies scale and offset of the file; a number multiplies all pixels; None: stored values.
        mean: The mean of each band, after scaling, which is subtracted.
        std: The standard deviation of each band, by which is divided.
        fill: The value, after all scaling, of pixels that nodata, alpha or a mask band marks as invalid, or that are
            infinite or not a number; None: as they are stored.
        valid: Whether a sample has `valid`: bool, the shape of `image`.
        class_label: Whether `label` is the class of the chip; None: if there are no labels.
        class_values: 'stored' values, or 'indices' from 0 without gaps: 0 is the background, if a sample has it.
        ignore_index: The value of pixels to ignore, instead of the one that the label has.
        coordinates: The dtype of `bounds` and `transform`: torchgeo's float32 rounds northings to half a metre.
        crs: Whether a sample has `crs`, as text, which torchgeo 0.8 expects.
        ids: Whether a sample has `raster_id`, `feature_id`, and with boxes `feature_ids`.
        transforms: A function of a sample that returns another one; the last step.
        seed: The seed of random transforms, which then depend on seed, epoch and index only; None: as PyTorch does.
        max_open_files: How many files a process keeps open.
    """

    bands: Any = None
    dtype: torch.dtype = torch.float32
    scale: Any = None
    mean: Any = None
    std: Any = None
    fill: float | None = 0.0
    valid: bool = False
    class_label: bool | None = None
    class_values: str = "stored"
    ignore_index: int | None = None
    coordinates: torch.dtype = torch.float32
    crs: bool = False
    ids: bool = True
    transforms: Callable[[Sample], Sample] | None = None
    seed: int | None = None
    max_open_files: int = _MAX_OPEN
    read_dtype: str = field(init=False)

    def __post_init__(self) -> None:
        """Check the values and convert those of numpy; raise `UsageError` for others."""
        self._set_values(bands=_read_bands(self.bands), mean=_read_numbers("mean", self.mean))
        self._set_values(std=_read_numbers("std", self.std), scale=_read_scale(self.scale))
        for name in ("dtype", "coordinates"):
            if not isinstance(getattr(self, name), torch.dtype):
                raise UsageError(f"invalid {name} {getattr(self, name)!r}. Use one of torch, such as torch.float32.")
        if not self.coordinates.is_floating_point:
            raise UsageError(f"invalid coordinates {self.coordinates}. Use torch.float32 or torch.float64.")
        if self.dtype.is_complex or not (self.dtype.is_floating_point or self.dtype in _NUMPY_NAMES):
            raise UsageError(f"invalid dtype {self.dtype}. Use a dtype of numbers, such as torch.float32.")
        self._require_consistency()
        self._set_values(read_dtype=_NUMPY_NAMES.get(self.dtype, "float32"))

    def _set_values(self, **values: Any) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def _require_consistency(self) -> None:
        if not self.dtype.is_floating_point and (self.scale, self.mean, self.std) != (None, None, None):
            raise UsageError(f"scaled pixels are not integers, but dtype is {self.dtype}. Use a floating-point dtype.")
        if self.fill is not None and not _is_number(self.fill):
            raise UsageError(f"invalid fill {self.fill!r}. Use a number, or None.")
        if not self.dtype.is_floating_point and self.fill is not None and not _is_in_range(self.fill, self.dtype):
            raise UsageError(f"fill {self.fill} does not fit {self.dtype}. Use a whole number in its range, or None.")
        if self.std is not None and not all(value > 0 for value in self.std):
            raise UsageError(f"invalid std {[*self.std]}. Use numbers above 0.")
        if self.class_values not in ("stored", "indices"):
            raise UsageError(f"invalid class_values {self.class_values!r}. Use 'stored' or 'indices'.")
        for name in ("ignore_index", "seed"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
                raise UsageError(f"invalid {name} {value!r}. Use a whole number, or None.")
        if isinstance(self.max_open_files, bool) or not isinstance(self.max_open_files, int) or self.max_open_files < 1:
            raise UsageError(f"invalid max_open_files {self.max_open_files!r}. Use 1 or more.")
        if self.transforms is not None and not callable(self.transforms):
            raise UsageError(f"invalid transforms {self.transforms!r}. Use a function of a sample.")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_in_range(value: float, dtype: torch.dtype) -> bool:
    limits = torch.iinfo(dtype)
    return math.isfinite(value) and value == int(value) and limits.min <= value <= limits.max


def _read_bands(value: Any) -> tuple[int | str, ...] | None:
    value = make_python_value(value)
    if value is None:
        return None
    bands = tuple(value) if isinstance(value, Iterable) and not isinstance(value, str) else (value,)
    if not bands or not all(isinstance(band, str | int) and not isinstance(band, bool) for band in bands):
        raise UsageError(f"invalid bands {value!r}. Use numbers from 1 or names, such as ['red', 'nir'].")
    return bands


def _read_numbers(name: str, value: Any) -> tuple[float, ...] | None:
    value = make_python_value(value)
    if value is None:
        return None
    numbers = tuple(value) if isinstance(value, Iterable) and not isinstance(value, str) else ()
    if not numbers or not all(_is_number(number) and math.isfinite(number) for number in numbers):
        raise UsageError(f"invalid {name} {value!r}. Use a number for each band.")
    return numbers


def _read_scale(value: Any) -> Literal["file"] | float | None:
    value = make_python_value(value)
    if value is None:
        return None
    if value == "file":
        return "file"
    if not _is_number(value) or not math.isfinite(value):
        raise UsageError(f"invalid scale {value!r}. Use 'file', a number such as 1e-4, or None.")
    return float(value)


def make_reading_options(arguments: Mapping[str, Any]) -> ReadingOptions:
    """Return options from a caller's arguments; `TypeError` for an unknown name."""
    return ReadingOptions(**arguments)
