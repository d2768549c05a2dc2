"""The formats of exports by name, each in the module of its name."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

from geographer.base.errors import UsageError

if TYPE_CHECKING:
    from geographer.outputs.exports.exporter import Exporter

FORMATS: Final = {
    "coco": ("CocoExporter", "COCO: boxes, polygons or run lengths of objects, crowds; JSON for each subset."),
    "yolo": ("YoloExporter", "YOLO: boxes or polygons of objects, in a text file for each image."),
    "yolo-obb": ("YoloObbExporter", "YOLO-OBB: rotated boxes of objects, in a text file for each image."),
    "voc": ("VocExporter", "Pascal VOC: boxes of objects in an XML file for each image, and masks."),
    "dota": ("DotaExporter", "DOTA: rotated boxes of objects, in a text file for each image."),
    "label-studio": ("LabelStudioExporter", "Write images, tasks with the features, and the labelling configuration."),
    "cvat": ("CvatExporter", "Write images, and the features as 'CVAT for images 1.1'."),
    "folder": ("FolderExporter", "GeoTIFFs in folders with a GeoParquet index: torchgeo, TerraTorch."),
    "rslearn": ("RslearnExporter", "rslearn: a window for each sample, with image, labels and objects as layers."),
    "webdataset": ("WebdatasetExporter", "WebDataset: tar files of samples for each subset."),
    "huggingface": ("HuggingfaceExporter", "Hugging Face datasets: Parquet files with GeoTIFFs, and a card."),
    "zarr": ("ZarrExporter", "Zarr 3: an array of images and one of each label for each subset."),
    "stac": ("StacExporter", "STAC: a catalogue of the images and labels, with the label extension."),
    "geopackage": ("GeopackageExporter", "GeoPackage: samples and features as layers, beside the GeoTIFFs."),
    "kml": ("KmlExporter", "KML: outlines of the samples, and features, to look at in Google Earth."),
    "npy": ("NpyExporter", "Arrays of numpy: one file for each image and mask, channels first or last."),
}
"""The class of each format, in the module of its name with `_` for `-`, and the first line of its help."""


def find_exporter(name: str) -> type[Exporter]:
    """Return the class of a format; `UsageError` if there is none of this name."""
    if name not in FORMATS:
        raise UsageError(f"no format {name!r}. The formats are: {', '.join(FORMATS)}.")
    module = import_module(f"{__name__}.{name.replace('-', '_')}")
    exporter: type[Exporter] = getattr(module, FORMATS[name][0])
    return exporter
