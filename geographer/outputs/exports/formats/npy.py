"""Arrays of numpy: one file for each image and mask."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any, BinaryIO, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from geographer.base.parameters import Parameter
from geographer.outputs.exports.export import Export
from geographer.outputs.exports.exporter import Exporter
from geographer.outputs.exports.index import OBJECTS_LAYOUT, write_objects
from geographer.rasters.read import open_raster, translate_read_errors


class NpyExporter(Exporter, kw_only=True, frozen=True):
    """Write an array of numpy for each image and each label that is a raster.

    Values and data types are those of the files: nothing is scaled, and nodata stays as it is. The table `splits.csv`
    has CRS and transform of each image.
    """

    format: ClassVar[str] = "npy"
    title: ClassVar[str] = "arrays of numpy"
    example: ClassVar[str] = "export npy --to ../arrays --channels last"
    layout: ClassVar[Mapping[str, str]] = {
        "images/PART/NAME.npy": "an image",
        "labels/LABEL/PART/NAME.npy": "a label of the image; with one band, of shape (rows, columns)",
        **OBJECTS_LAYOUT,
    }
    usage: ClassVar[str] = 'import numpy as np\n\nimage = np.load("images/train/NAME.npy")'

    channels: Annotated[
        Literal["first", "last"], Parameter("Whether the shape is (bands, rows, columns) or (rows, columns, bands).")
    ] = "first"

    def write_files(self, export: Export, /) -> None:
        """See `Exporter.write_files`."""
        labels = export.list_labels("mask", "instances", "multilabel", "probabilities", "custom")
        for sample in export.iter_samples():
            path = sample.image.path
            name = f"images/{sample.folder_name}/{sample.stem}.npy"
            export.folder.write_file(name, partial(self._write_array, path))
            for label in labels:
                if label.name in sample.labels:
                    path = sample.labels[label.name].path
                    name = f"labels/{label.name}/{sample.folder_name}/{sample.stem}.npy"
                    export.folder.write_file(name, partial(self._write_label, path))

        write_objects(export)

    def _write_array(self, path: Path, file: BinaryIO) -> None:
        pixels = _read_bands(path)
        np.save(file, pixels if self.channels == "first" else np.ascontiguousarray(np.moveaxis(pixels, 0, -1)))

    def _write_label(self, path: Path, file: BinaryIO) -> None:
        pixels = _read_bands(path)
        if len(pixels) == 1:
            np.save(file, pixels[0])
        else:
            self._write_array(path, file)


def _read_bands(path: Path) -> NDArray[Any]:
    """Read all bands of a file, shape (bands, rows, columns)."""
    with open_raster(path, with_sidecars=False) as raster, translate_read_errors(path):
        return np.asarray(raster.read())
