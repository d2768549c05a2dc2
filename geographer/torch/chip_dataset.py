"""`ChipDataset`: the chips of a dataset at a revision, with their labels, as samples for PyTorch."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self, Unpack

import numpy as np
import torch
from numpy.typing import NDArray

from geographer.base.errors import UsageError
from geographer.base.html import render_fields
from geographer.rasters.read_chips import ChipPixels, OpenChips
from geographer.torch.chip_index import ChipIndex, Ints
from geographer.torch.options import ReadingArguments, ReadingOptions, Sample
from geographer.torch.targets import ClassCodes, TargetReader

if TYPE_CHECKING:
    from geographer.dataset import Dataset
    from geographer.dataset.filters import RevisionSpec
    from geographer.outputs.samples.training_rows import TrainingRows

_MAX_SEED: Final = 2**32


class ChipDataset(torch.utils.data.Dataset[Sample]):
    """The chips of a dataset at a revision, with their labels: a map-style dataset for `torch.utils.data.DataLoader`.

    A sample is a dictionary, as torchgeo's:

    - `image`: float32 (or `dtype`), shape (bands, rows, columns).
    - `mask`: of a label of masks int64, shape (rows, columns); of multilabels int64 and of probabilities float32, shape
      (classes, rows, columns); of instances uint8, shape (objects, rows, columns).
    - `bbox_xyxy`: of a label of boxes or instances float32, shape (objects, 4): x0, y0, x1, y1 in pixels; `label`: the
      class of each object, int64, shape (objects,).
    - `label`: without labels, the class of the chip, int64: of the feature that it was cut for, or else the only one
      that it shows, or 0 if it shows none.
    - `bounds`: float32, shape (9,): west, east and width of a pixel; south, north and height of a pixel; begin, end (in
      seconds since 1970, as far as they are known) and 1. `transform`: float32, shape (9,): a, b, c, d, e, f, 0, 0, 1
      of x = a·column + b·row + c, y = d·column + e·row + f. Both are in the CRS of the chip.
    - `raster_id`, `feature_id` (the feature that the chip was cut for, or ''), and with boxes `feature_ids`: text.
    - `valid` and `crs`, if options ask for them.

    Files are compared with their recorded checksums once, here; each worker process opens a file once. The dataset can
    be pickled, and works in worker processes that were started in any way.

    Attributes:
        class_names: The names of the classes, by their numbers in samples.
        ignore_index: The number of pixels of a mask to ignore; None: there are none.
        raster_ids: The ids of the chips, in order of id.
        components: The component of the split of each chip, int64, shape (chips,); -1 if it is not known.
        options: How chips are read.
    """

    class_names: list[str]
    ignore_index: int | None
    raster_ids: Sequence[str]
    components: Ints
    options: ReadingOptions

    def __init__(
        self,
        dataset: Dataset | str | Path,
        *,
        split: str | None = None,
        subset: str | Sequence[str] | None = None,
        collection: str | None = None,
        labels: str | Sequence[str] | None = None,
        at: RevisionSpec = None,
        **reading: Unpack[ReadingArguments],
    ) -> None:
        """Select the chips; see `Dataset.samples` for `split`, `subset`, `collection`, `labels` and `at`.

        Args:
            dataset: The dataset, or a folder in it.
            split: The split.
            subset: A part of the split, or several.
            collection: The collection.
            labels: The labels; an empty list: none.
            at: The revision.
            **reading: How chips are read: see `ReadingOptions`.

        Raises:
            NotFoundError: there is no such revision, split, part, collection or label, or no sample.
            UsageError: several collections or splits fit, two labels would have the same key, a chip lacks a label,
                there is no such band, or an option is invalid.
            CorruptError: a file is missing or altered in workspace, cache and remote.
            StorageError: the remote cannot be reached.
        """
        from geographer.dataset import Dataset
        from geographer.outputs.samples.selection import make_selection

        options = ReadingOptions(**reading)
        selection = make_selection(split, subset, collection, labels)
        opened = dataset if isinstance(dataset, Dataset) else Dataset.open(_read_path(dataset))
        self._set_rows(opened._read_training_rows(selection, at), options)

    @classmethod
    def from_release(
        cls,
        folder: str | Path,
        *,
        split: str | None = None,
        subset: str | Sequence[str] | None = None,
        collection: str | None = None,
        labels: str | Sequence[str] | None = None,
        **reading: Unpack[ReadingArguments],
    ) -> Self:
        """Select chips of a release, or of a folder that `checkout --to` or `reproduce` wrote; the log is not needed.

        The samples equal those of the dataset at that revision. Arguments and errors are those of `ChipDataset`; files
        are compared with the manifest of the folder.
        """
        from geographer.outputs.samples.release_rows import read_release_rows
        from geographer.outputs.samples.selection import make_selection

        options = ReadingOptions(**reading)
        selection = make_selection(split, subset, collection, labels)
        chips = cls.__new__(cls)
        chips._set_rows(read_release_rows(_read_path(folder), selection), options)
        return chips

    def _set_rows(self, rows: TrainingRows, options: ReadingOptions) -> None:
        from geographer.torch.make_index import make_chip_index

        self.options = options
        self._index = make_chip_index(rows, class_label=options.class_label)
        codes = ClassCodes(self._index, options.class_values, options.ignore_index)
        self.class_names, self.ignore_index = codes.names, codes.ignore_index
        self.raster_ids, self.components = self._index.raster_ids, self._index.components
        self._files = OpenChips(options.max_open_files)
        self._targets = TargetReader(self._index, codes, self._files)
        self._epoch = make_shared_counter()
        self._read_sample(0)  # an error of options is raised here, not in a worker process

    @property
    def chip_index(self) -> ChipIndex:
        """What the dataset knows of its chips, as arrays."""
        return self._index

    def __len__(self) -> int:
        return len(self._index.raster_ids)

    def __getitem__(self, index: int) -> Sample:
        """Return the sample with a number; negative ones count from the end.

        Raises:
            IndexError: there is no such chip.
            CorruptError: a file has changed since it was checked, and cannot be read.
            UsageError: the chip has no such band, or its label has values that are no classes.
        """
        number = self._find_number(index)
        sample = self._read_sample(number)
        if self.options.transforms is None:
            return sample
        with _seed_generators(self._make_seed(number)):
            return self.options.transforms(sample)

    def _find_number(self, index: int) -> int:
        numbers = range(len(self))
        try:
            return numbers[index]
        except IndexError as error:
            raise IndexError(f"no chip {index}: the dataset has {len(self):,}, numbered from 0") from error

    def __iter__(self) -> Iterator[Sample]:
        """Iterate over the samples, in order of id."""
        return (self[number] for number in range(len(self)))

    def set_epoch(self, epoch: int) -> None:
        """Set the number of the epoch, on which random transforms depend if the options have a seed.

        Worker processes see it, too. Our samplers, and Lightning through them, call it.
        """
        self._epoch[0] = epoch

    def _make_seed(self, number: int) -> int | None:
        if self.options.seed is None:
            return None
        state = np.random.SeedSequence([self.options.seed % _MAX_SEED, int(self._epoch[0]), number]).generate_state(1)
        return int(state[0])

    def _read_sample(self, number: int) -> Sample:
        options, index = self.options, self._index
        with_valid = options.valid or options.fill is not None
        chip = self._files.read_image(index.images[number], options.bands, options.read_dtype, with_valid=with_valid)
        pixels = _scale_pixels(chip, options)
        sample: Sample = {"image": torch.from_numpy(pixels).to(options.dtype)}
        sample |= self._targets.read_targets(number, pixels, with_ids=options.ids)
        georeference = _describe_georeference(chip, index.times[number])
        sample["bounds"], sample["transform"] = torch.tensor(georeference, dtype=options.coordinates).unbind()
        if options.valid:
            valid = np.True_ if chip.valid is None else chip.valid
            sample["valid"] = torch.from_numpy(np.broadcast_to(valid, pixels.shape).copy())
        if options.ids:
            sample["raster_id"], sample["feature_id"] = index.raster_ids[number], index.feature_ids[number]
        if options.crs:
            sample["crs"] = index.crs[index.crs_numbers[number]]
        return sample

    def __repr__(self) -> str:
        return f"ChipDataset of {len(self):,} chips: {', '.join(self._list_keys())}"

    def _repr_html_(self) -> str:
        return render_fields(
            "ChipDataset", {"chips": len(self), "keys": self._list_keys(), "classes": self.class_names}
        )

    def _list_keys(self) -> list[str]:
        return [*self._read_sample(0)]


def make_shared_counter() -> torch.Tensor:
    """Return an int64 tensor of shape (1,), 0, in memory that worker processes share."""
    share: Any = torch.zeros(1, dtype=torch.int64).share_memory_
    counter: torch.Tensor = share()
    return counter


def _read_path(path: Any) -> Path:
    if not isinstance(path, str | Path):
        raise UsageError(f"invalid dataset {path!r}. Use a Dataset or the path of its folder.")
    return Path(path)


def _scale_pixels(chip: ChipPixels, options: ReadingOptions) -> NDArray[Any]:
    """Scale the pixels of a chip in place, and fill invalid ones; shape (bands, rows, columns)."""
    pixels = chip.pixels
    if options.scale == "file":
        if any(scale != 1 for scale in chip.scales):
            pixels *= _make_column(chip.scales, pixels)
        if any(chip.offsets):
            pixels += _make_column(chip.offsets, pixels)
    elif options.scale is not None:
        pixels *= options.scale
    if options.mean is not None:
        pixels -= _make_column(options.mean, pixels, "mean")
    if options.std is not None:
        pixels /= _make_column(options.std, pixels, "std")
    if options.fill is not None and chip.valid is not None:
        np.copyto(pixels, options.fill, where=~chip.valid, casting="unsafe")
    return pixels


def _make_column(values: Sequence[float], pixels: NDArray[Any], name: str = "scale") -> NDArray[Any]:
    """Return a value for each band, shape (bands, 1, 1); `UsageError` if there are more or fewer."""
    if len(values) != len(pixels):
        raise UsageError(
            f"{name} has {len(values)} numbers, but a chip has {len(pixels)} bands. Give one for each band."
        )
    return np.array(values, pixels.dtype)[:, np.newaxis, np.newaxis]


def _describe_georeference(chip: ChipPixels, times: NDArray[np.float64]) -> list[list[float]]:
    """Return the 9 numbers of `bounds` and of `transform`."""
    a, b, c, d, e, f = chip.transform
    height, width = chip.pixels.shape[1:]
    x = c + min(0, a * width) + min(0, b * height), c + max(0, a * width) + max(0, b * height)
    y = f + min(0, d * width) + min(0, e * height), f + max(0, d * width) + max(0, e * height)
    sizes = float(np.hypot(a, d)), float(np.hypot(b, e))
    return [[*x, sizes[0], *y, sizes[1], *times.tolist(), 1.0], [a, b, c, d, e, f, 0.0, 0.0, 1.0]]


@contextmanager
def _seed_generators(seed: int | None) -> Iterator[None]:
    """Seed the global generators of Python, numpy and PyTorch, and restore their states; do nothing without a seed."""
    if seed is None:
        yield
        return
    states = random.getstate(), np.random.get_state(), torch.random.get_rng_state()
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.random.set_rng_state(states[2])
