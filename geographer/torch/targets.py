"""Targets: the masks, boxes and classes of a chip as tensors, with the keys, shapes and dtypes of torchgeo."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from geographer.base.errors import UsageError, quote_names
from geographer.rasters.read_chips import ChipPath, OpenChips, require_same_size
from geographer.torch.chip_index import BACKGROUND, ChipIndex, Ints, LabelColumns, ObjectArrays

_UNKNOWN: Final = np.iinfo(np.int64).min
_DEFAULT_IGNORE: Final = -100
"""What losses of PyTorch ignore by default."""


class ClassCodes:
    """The numbers that stand for classes in samples: stored values, or indices without gaps.

    Attributes:
        names: The names of the classes by number. With stored values, numbers that no class has have the name "".
        ignore_index: The number of pixels to ignore; None: there are none.
    """

    def __init__(self, index: ChipIndex, class_values: str, ignore_index: int | None) -> None:
        by_value = {value: name for name, value in index.classes.items()}
        if index.labels or index.chip_values is None or (index.chip_values == 0).any():
            by_value.setdefault(0, BACKGROUND)
        self._values = sorted(by_value)
        self._is_stored = class_values == "stored"
        if self._is_stored:
            self.names = [by_value.get(value, "") for value in range(max(self._values, default=0) + 1)]
        else:
            self.names = [by_value[value] for value in self._values]
        self._stored_ignore = next((label.ignore for label in index.labels if label.kind == "mask"), None)
        self.ignore_index = self._choose_ignore_index(ignore_index)
        self._table = self._make_table()

    def _choose_ignore_index(self, requested: int | None) -> int | None:
        if requested is not None:
            if 0 <= requested < len(self.names) and self.names[requested]:
                raise UsageError(
                    f"ignore_index {requested} is the number of class '{self.names[requested]}'. Choose another."
                )
            return requested
        if self._stored_ignore is None:
            return None
        is_free = self._is_stored or self._stored_ignore >= len(self.names)
        return self._stored_ignore if is_free else _DEFAULT_IGNORE

    def _make_table(self) -> Ints | None:
        """Return the number by stored value, `_UNKNOWN` for other values; None if the numbers are the stored values."""
        if self._is_stored and self._stored_ignore in (None, self.ignore_index):
            return None
        if self._is_stored:
            table = np.arange(65_536, dtype=np.int64)
        else:
            table = np.full(65_536, _UNKNOWN, np.int64)
            table[self._values] = np.arange(len(self._values))
        if self._stored_ignore is not None and self.ignore_index is not None:
            table[self._stored_ignore] = self.ignore_index
        return table

    def convert_values(self, values: Ints, source: str) -> Ints:
        """Return the numbers for stored values; `UsageError` if `source` has one that no class has."""
        if self._table is None:
            return values
        outside = values.size and (values.min() < 0 or values.max() >= len(self._table))
        converted = None if outside else self._table[values]
        if converted is None or (not self._is_stored and (converted == _UNKNOWN).any()):
            found = np.unique(values)
            unknown = [
                str(value) for value in found if not 0 <= value < len(self._table) or self._table[value] == _UNKNOWN
            ]
            raise UsageError(
                f"'{source}' has values that are no classes: {quote_names(unknown, 10)}. Pass class_values='stored'."
            )
        return converted


class TargetReader:
    """Reads what a sample has besides its image."""

    def __init__(self, index: ChipIndex, codes: ClassCodes, files: OpenChips) -> None:
        self._labels = index.labels
        self._chip_values = index.chip_values
        self._codes = codes
        self._files = files

    def read_targets(self, number: int, image: NDArray[Any], *, with_ids: bool) -> dict[str, Any]:
        """Return the targets of the chip with this number, by key; `image` has the shape (bands, rows, columns)."""
        targets: dict[str, Any] = {}
        for label in self._labels:
            targets |= self._read_label(label, number, image)
            if with_ids and label.objects:
                targets["feature_ids"] = label.objects.feature_ids[label.objects.find_rows(number)]
        if self._chip_values is not None:
            value = self._codes.convert_values(self._chip_values[number : number + 1], "the class of the chip")
            targets["label"] = torch.tensor(int(value[0]))
        return targets

    def _read_label(self, label: LabelColumns, number: int, image: NDArray[Any]) -> Mapping[str, torch.Tensor]:
        if label.files is None:
            assert label.objects is not None
            return self._read_boxes(label.objects, number)
        file = label.files[number]
        if label.kind == "instances":
            assert label.objects is not None
            pixels = self._read_pixels(file, "int64", image)
            return self._read_instances(label.objects, number, pixels[0])
        if label.kind in ("probabilities", "custom"):
            return {"mask": torch.from_numpy(_drop_single_band(self._read_pixels(file, None, image), label.kind))}
        pixels = self._read_pixels(file, "int64", image)
        if label.kind == "multilabel":
            return {"mask": torch.from_numpy(pixels)}
        return {"mask": torch.from_numpy(self._codes.convert_values(pixels[0], file.path))}

    def _read_pixels(self, file: ChipPath, dtype: str | None, image: NDArray[Any]) -> NDArray[Any]:
        pixels = self._files.read_label(file, dtype)
        require_same_size(image, pixels, file.path)
        return pixels

    def _read_boxes(self, objects: ObjectArrays, number: int) -> Mapping[str, torch.Tensor]:
        rows = objects.find_rows(number)
        values = self._codes.convert_values(objects.values[rows], "a label of boxes")
        return {"bbox_xyxy": torch.from_numpy(objects.boxes[rows].copy()), "label": torch.from_numpy(values.copy())}

    def _read_instances(self, objects: ObjectArrays, number: int, pixels: Ints) -> Mapping[str, torch.Tensor]:
        rows = objects.find_rows(number)
        values = self._codes.convert_values(objects.values[rows], "a label of instances")
        masks = np.equal(pixels, objects.numbers[rows][:, np.newaxis, np.newaxis])
        return {
            "mask": torch.from_numpy(masks.astype(np.uint8)),
            "bbox_xyxy": torch.from_numpy(find_mask_boxes(masks)),
            "label": torch.from_numpy(values.copy()),
        }


def find_mask_boxes(masks: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return the boxes around the pixels of masks, x0, y0, x1, y1 at the outer edges, shape (masks, 4).

    `masks` has the shape (masks, rows, columns), and each has a pixel.
    """
    edges = []
    for axis, size in ((1, masks.shape[2]), (2, masks.shape[1])):
        found = np.asarray(masks.any(axis=axis))
        edges.append((found.argmax(axis=1), size - found[:, ::-1].argmax(axis=1)))
    (x0, x1), (y0, y1) = edges
    return np.column_stack([x0, y0, x1, y1]).astype(np.float32)


def _drop_single_band(pixels: NDArray[Any], kind: str) -> NDArray[Any]:
    """Return the pixels as torch has them: integers as int64, others as float32; one custom band without its axis."""
    converted = pixels.astype(np.int64 if pixels.dtype.kind in "iub" else np.float32, copy=False)
    return converted[0] if kind == "custom" and len(converted) == 1 else converted
