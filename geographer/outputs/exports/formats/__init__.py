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
    "folder": ("FolderExporter", "Write GeoTIFFs in folders with a GeoParquet index, for torchgeo and TerraTorch."),
    "rslearn": (
        "RslearnExporter",
        "Write a dataset of rslearn: a window for each sample, with image, labels and objects.",
    ),
    "webdataset": (
        "WebdatasetExporter",
        "Write tar files of samples for each subset, as the library webdataset reads them.",
    ),
    "huggingface": (
        "HuggingfaceExporter",
        "Write Parquet files with GeoTIFFs, and a card, as Hugging Face datasets reads them.",
    ),
    "zarr": ("ZarrExporter", "Write a Zarr 3 store: for each subset an array of images, and one for each label."),
    "stac": ("StacExporter", "Write GeoTIFFs in folders, and a STAC 1.1 catalogue of them."),
    "geopackage": (
        "GeopackageExporter",
        "Write GeoTIFFs in folders, and a GeoPackage with the layers samples and features.",
    ),
    "kml": ("KmlExporter", "Write outlines of the samples, and the features on them, to look at in Google Earth."),
    "npy": ("NpyExporter", "Write an array of numpy for each image and each label that is a raster."),
}
"""The class of each format, in the module of its name with `_` for `-`, and the first line of its help."""


def find_exporter(name: str) -> type[Exporter]:
    """Return the class of a format; `UsageError` if there is none of this name."""
    if name not in FORMATS:
        raise UsageError(f"no format {name!r}. The formats are: {', '.join(FORMATS)}.")
    module = import_module(f"{__name__}.{name.replace('-', '_')}")
    exporter: type[Exporter] = getattr(module, FORMATS[name][0])
    return exporter
