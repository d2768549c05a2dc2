"""Zarr 3: for each subset a group with an array of images and one for each label, a chunk for each sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from geographer.base.errors import UsageError
from geographer.outputs.exports.export import Export, ExportedSample
from geographer.outputs.exports.exporter import Exporter
from geographer.outputs.exports.folder import ExportFolder, read_chip_file
from geographer.outputs.exports.geotiff import read_image_geotiff
from geographer.outputs.exports.index import OBJECTS_LAYOUT, write_objects
from geographer.rasters.geotiff_bytes import decode_geotiff

if TYPE_CHECKING:
    import zarr

_STORE: Final = "samples.zarr"
_ROWS: Final = 500
"""How many samples a chunk of the tables has."""
_SHAPES: Final = "SELECT DISTINCT bands, height, width, dtype FROM export_sample ORDER BY ALL"
_SYSTEMS: Final = "SELECT DISTINCT crs FROM export_sample WHERE coalesce(part, 'all') = $part ORDER BY crs"
_CHUNK_KEYS: Final[Mapping[str, Any]] = {"name": "default", "separator": "."}
"""A chunk is one file in the folder of its array."""
_AXES: Final = ("sample", "band", "y", "x")


class PixelShape(NamedTuple):
    """What the pixels of all samples have in common: the number of bands, and numpy's name of their type."""

    bands: int
    dtype: str


class ZarrExporter(Exporter, kw_only=True, frozen=True):
    """Write a Zarr 3 store: for each subset an array of images, and one for each label.

    All images need one size, number of bands and data type. The group of a subset has the array image, shape
    (samples, bands, rows, columns), the group labels with an array for each label (with one band without that
    axis), and tables in the order of the ids: raster_id, class (its value; 0: none or several), transform (a, b, c,
    d, e, f of x = a*column + b*row + c, y = d*column + e*row + f) and crs, which counts from 0 in the attribute crs
    of the group.
    """

    format: ClassVar[str] = "zarr"
    title: ClassVar[str] = "a Zarr 3 store"
    example: ClassVar[str] = "export zarr --to ../arrays"
    packages: ClassVar[Mapping[str, str]] = {"zarr": "zarr"}
    layout: ClassVar[Mapping[str, str]] = {
        f"{_STORE}/PART/image": "the images of a subset",
        f"{_STORE}/PART/labels/LABEL": "the pixels of a label of these images",
        f"{_STORE}/PART/raster_id, class, transform, crs": "a value for each image",
        **OBJECTS_LAYOUT,
    }
    usage: ClassVar[str] = f"""
import zarr

train = zarr.open_group("{_STORE}", mode="r")["train"]
pixels, classes = train["image"][0], train["labels/mask"][0]
crs, transform = train.attrs["crs"][train["crs"][0]], train["transform"][0]
"""

    def write_files(self, export: Export, /) -> None:
        """See `Exporter.write_files`."""
        image, size = _require_one_shape(export)
        labels = _describe_labels(export)
        store = _Store(export.folder)
        classes = {item.name: item.value for item in export.classes}
        store.root.attrs.update({"classes": classes, "nodata": _find_nodata(export)})
        for folder in export.folders:
            _GroupWriter(export, store, folder, image, size, labels).write_samples(classes)
        store.write_metadata()
        write_objects(export)


class _Store:
    """A store in memory, whose entries become files."""

    def __init__(self, folder: ExportFolder) -> None:
        import zarr
        from zarr.storage import MemoryStore

        self._folder = folder
        self._entries: dict[str, Any] = {}
        self.root = zarr.open_group(MemoryStore(self._entries), mode="w", zarr_format=3)

    def add_array(
        self, group: zarr.Group, name: str, shape: Sequence[int], chunk: int, dtype: Any, **options: Any
    ) -> zarr.Array[Any]:
        """Add an array whose chunks have `chunk` samples, and all of the other axes."""
        options |= {"config": {"write_empty_chunks": True}, "chunk_key_encoding": _CHUNK_KEYS}
        return group.create_array(name, shape=(*shape,), chunks=(chunk, *shape[1:]), dtype=dtype, **options)

    def write_chunk(self, array: zarr.Array[Any], chunk: int, values: Any) -> None:
        """Write a chunk of the first axis; `values` is an array, or a function that makes it."""
        key = f"{array.path}/{'.'.join(['c', str(chunk), *('0' * (array.ndim - 1))])}"
        start = chunk * array.chunks[0]

        def encode_chunk() -> bytes:
            pixels = values() if callable(values) else values
            array[start : start + len(pixels)] = pixels
            content: bytes = self._entries.pop(key).to_bytes()
            return content

        self._folder.write_content(f"{_STORE}/{key}", encode_chunk)

    def write_metadata(self) -> None:
        """Write what is left: the documents of groups and arrays."""
        for key, entry in sorted(self._entries.items()):
            self._folder.write_bytes(f"{_STORE}/{key}", entry.to_bytes())


class _GroupWriter:
    """Writes the samples of a subset."""

    def __init__(
        self,
        export: Export,
        store: _Store,
        folder: str,
        image: PixelShape,
        size: tuple[int, int],
        labels: Mapping[str, PixelShape],
    ) -> None:
        self._export = export
        self._store = store
        self._folder = folder
        self._systems = [crs for (crs,) in export.revision.fetch_rows(_SYSTEMS, {"part": folder})]
        self._count = len(export.list_numbers(folder))
        group = store.root.create_group(folder, attributes={"crs": self._systems})
        label_group = group.create_group("labels")
        self._image = self._add_pixels(group, "image", image, size)
        self._labels = {
            name: self._add_pixels(label_group, name, shape, size, squeezes=True) for name, shape in labels.items()
        }
        self._tables = {
            "raster_id": store.add_array(group, "raster_id", (self._count,), _ROWS, str),
            "class": store.add_array(group, "class", (self._count,), _ROWS, "int32"),
            "crs": store.add_array(group, "crs", (self._count,), _ROWS, "int32"),
            "transform": store.add_array(group, "transform", (self._count, 6), _ROWS, "float64"),
        }

    def write_samples(self, classes: Mapping[str, int]) -> None:
        """Write all samples, and the tables."""
        page: list[ExportedSample] = []
        for index, sample in enumerate(self._export.iter_samples(self._folder)):
            self._store.write_chunk(self._image, index, partial(_read_image, sample))
            for name, array in self._labels.items():
                self._store.write_chunk(array, index, partial(_read_label, sample, name, array))
            page.append(sample)
            if len(page) == _ROWS or index + 1 == self._count:
                self._write_tables(index // _ROWS, page, classes)
                page.clear()

    def _write_tables(self, chunk: int, page: Sequence[ExportedSample], classes: Mapping[str, int]) -> None:
        values: dict[str, NDArray[Any]] = {
            "raster_id": np.array([sample.raster_id for sample in page], dtype=object),
            "class": np.array([classes.get(sample.main_class or "", 0) for sample in page]),
            "crs": np.array([self._systems.index(sample.grid.crs) for sample in page]),
            "transform": np.array([[*sample.grid.transform] for sample in page]),
        }
        for name, array in self._tables.items():
            self._store.write_chunk(array, chunk, values[name])

    def _add_pixels(
        self, group: zarr.Group, name: str, shape: PixelShape, size: tuple[int, int], *, squeezes: bool = False
    ) -> zarr.Array[Any]:
        has_bands = not (squeezes and shape.bands == 1)
        axes = (self._count, shape.bands, *size) if has_bands else (self._count, *size)
        names = _AXES if has_bands else (_AXES[0], *_AXES[2:])
        return self._store.add_array(group, name, axes, 1, shape.dtype, dimension_names=names)


def _require_one_shape(export: Export) -> tuple[PixelShape, tuple[int, int]]:
    shapes = export.revision.fetch_rows(_SHAPES)
    if len(shapes) > 1:
        named = ", ".join(
            f"{width}x{height} with {bands} bands of {dtype}" for bands, height, width, dtype in shapes[:3]
        )
        raise UsageError(
            f"a Zarr array needs images of one size, number of bands and data type; the samples have {len(shapes)}: "
            f"{named}. Choose a --collection or --subset, cut chips of one size, or export npy."
        )
    bands, height, width, dtype = shapes[0]
    return PixelShape(bands, dtype), (height, width)


def _describe_labels(export: Export) -> dict[str, PixelShape]:
    """Return what the pixels of each label have in common; `UsageError` if labels are missing or differ."""
    labels = export.list_labels("mask", "instances", "multilabel", "probabilities", "custom")
    export.require_label_files(labels, "Each sample of a Zarr array has the same labels.")
    others = [label for label in labels if label.kind != "mask"]
    shapes: dict[str, PixelShape] = {}
    for label in labels:
        if label.kind == "mask":
            highest = max([label.ignore or 0, *(item.value for item in export.classes)])
            shapes[label.name] = PixelShape(1, np.min_scalar_type(highest).name)
    for sample in export.iter_samples() if others else ():
        for label in others:
            pixels = decode_geotiff(read_chip_file(sample.labels[label.name]), sample.raster_id)
            shape = PixelShape(len(pixels), pixels.dtype.name)
            known = shapes.setdefault(label.name, shape)
            if known.bands != shape.bands:
                raise UsageError(
                    f"label '{label.name}' has {known.bands} and {shape.bands} bands, and an array needs one number. "
                    "Run geographer update, or choose the labels with --labels."
                )
            shapes[label.name] = PixelShape(shape.bands, np.promote_types(known.dtype, shape.dtype).name)
    return shapes


def _find_nodata(export: Export) -> float | None:
    """Return the nodata value of the images; None if they differ, or for NaN, which JSON has not."""
    rows = export.revision.fetch_rows("SELECT DISTINCT nodata FROM export_sample")
    nodata = rows[0][0] if len(rows) == 1 else None
    return None if nodata is None or np.isnan(nodata) else float(nodata)


def _read_image(sample: ExportedSample) -> NDArray[np.generic]:
    return decode_geotiff(read_image_geotiff(sample), sample.raster_id)[np.newaxis]


def _read_label(sample: ExportedSample, name: str, array: zarr.Array[Any]) -> NDArray[np.generic]:
    pixels = decode_geotiff(read_chip_file(sample.labels[name]), sample.raster_id)
    return (pixels if array.ndim == len(_AXES) - 1 else pixels[np.newaxis]).astype(array.dtype)
