"""Images and labels of samples in exports that keep GeoTIFFs: the recorded bytes wherever they are one GeoTIFF."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from geographer.outputs.exports.export import Export, ExportedSample, LabelInfo
from geographer.outputs.exports.folder import read_chip_file
from geographer.rasters.geotiff_bytes import convert_to_geotiff, has_sidecar_files, is_geotiff

SUBSET: Final = "coalesce(part, 'all')"
"""SQL for the folder of a subset, with the columns of `export_sample`."""
IMAGE_PATH: Final = f"'images/' || {SUBSET} || '/' || stem || '.tif'"
"""SQL for the path of an image as `write_geotiffs` writes it."""


def read_image_geotiff(sample: ExportedSample) -> bytes:
    """Return the image of a sample as a GeoTIFF: its bytes, or a copy of another format, or one with sidecar files.

    Raises:
        CorruptError: the file has other bytes than those recorded, or is damaged.
        UsageError: GeoTIFF cannot store what the raster holds.
    """
    file = sample.image
    if not (file.with_sidecars and has_sidecar_files(file.path)):
        content = read_chip_file(file)
        if is_geotiff(content):
            return content
    return convert_to_geotiff(file.path, sample.grid)


def write_geotiffs(export: Export, name_image: Callable[[ExportedSample], str] | None = None) -> None:
    """Write the images and labels in a folder for each subset; `name_image` gives the path of an image."""
    for sample in export.iter_samples():
        path = locate_image(sample) if name_image is None else name_image(sample)
        export.folder.write_bytes(path, read_image_geotiff(sample))
        for label in export.labels:
            if label.name in sample.labels:
                export.folder.copy_file(locate_label(sample, label), sample.labels[label.name])


def locate_image(sample: ExportedSample) -> str:
    """Return the path of an image as `write_geotiffs` writes it."""
    return f"images/{sample.folder_name}/{sample.stem}.tif"


def locate_label(sample: ExportedSample, label: LabelInfo) -> str:
    """Return the path of a label as `write_geotiffs` writes it."""
    return f"labels/{label.name}/{sample.folder_name}/{sample.stem}{label.file_suffix}"


def express_label_paths(export: Export) -> dict[str, str]:
    """Return SQL for the path of each label by its name, with the columns of `export_sample`."""
    return {
        label.name: f"'labels/{label.name}/' || {SUBSET} || '/' || stem || '{label.file_suffix}'"
        for label in export.labels
    }


def read_label_bytes(sample: ExportedSample, label: str) -> bytes | None:
    """Return the bytes of a label of a sample, None if it lacks the label; `CorruptError` if they changed."""
    file = sample.labels.get(label)
    return None if file is None else read_chip_file(file)
