"""Images and labels of samples in exports that keep GeoTIFFs: the recorded bytes wherever they are one GeoTIFF."""

from __future__ import annotations

from geographer.outputs.exports.export import ExportedSample
from geographer.outputs.exports.folder import read_chip_file
from geographer.rasters.geotiff_bytes import convert_to_geotiff, has_sidecar_files, is_geotiff


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


def read_label_bytes(sample: ExportedSample, label: str) -> bytes | None:
    """Return the bytes of a label of a sample, None if it lacks the label; `CorruptError` if they changed."""
    file = sample.labels.get(label)
    return None if file is None else read_chip_file(file)
