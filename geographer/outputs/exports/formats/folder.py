"""GeoTIFFs in folders of images and labels, with a GeoParquet index and lists of the subsets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Final, Literal

from geographer.base.errors import UsageError, quote_names
from geographer.base.parameters import Parameter
from geographer.outputs.exports.export import Export, ExportedSample
from geographer.outputs.exports.exporter import Exporter
from geographer.outputs.exports.geotiff import IMAGE_PATH, SUBSET, express_label_paths, locate_image, write_geotiffs
from geographer.outputs.exports.index import INDEX_LAYOUT, write_index
from geographer.outputs.exports.terratorch import (
    BandFacts,
    choose_subsets,
    format_classification,
    format_segmentation,
    name_config,
)

BACKGROUND: Final = "background"
"""The folder of images that show no feature, for classification."""
_CLASS: Final = f"coalesce(main_class, '{BACKGROUND}')"
_UNCLEAR: Final = f"""
    SELECT raster_id FROM export_sample
    WHERE main_class IS NULL AND len(classes) > 1 OR contains({_CLASS}, '/') OR {_CLASS} IN ('.', '..') ORDER BY number
"""  # noqa: S608
_CLASSES: Final = f"SELECT DISTINCT {SUBSET} AS part, {_CLASS} AS class FROM export_sample ORDER BY ALL"  # noqa: S608
_SHAPES: Final = "SELECT count(DISTINCT bands) + count(*) FILTER (contains(dtype, 'complex')) FROM export_sample"
"""1 if all images have one number of bands, and none has complex pixels."""


class FolderExporter(Exporter, kw_only=True, frozen=True):
    """Write GeoTIFFs in folders with a GeoParquet index, for torchgeo and TerraTorch.

    The files are those of the dataset, byte by byte; images of other formats are converted. torchgeo, TerraTorch and
    every GIS read the folders; terratorch-LABEL.yaml configures TerraTorch's data module, with means and standard
    deviations of the subset train. With --task classification, the images of a subset lie in a folder for each class,
    as torchvision's ImageFolder has them: the class of the feature that the chip was cut for, or else the only one
    that it shows. TerraTorch reads those of more bands or bits than a picture with tifffile, which needs the package
    imagecodecs.
    """

    format: ClassVar[str] = "folder"
    title: ClassVar[str] = "GeoTIFFs in folders"
    example: ClassVar[str] = "export folder --to ../folder --labels mask"
    layout: ClassVar[Mapping[str, str]] = {
        "images/PART/NAME.tif": "an image; for classification images/PART/CLASS/NAME.tif",
        "labels/LABEL/PART/NAME.tif": "a label of the image (boxes: .json)",
        "splits/PART.txt": "the file names of a subset",
        **INDEX_LAYOUT,
        "terratorch-LABEL.yaml": "TerraTorch's data module for a mask label; for classification terratorch.yaml",
    }
    usage: ClassVar[str] = """
import geopandas
import rasterio

samples = geopandas.read_parquet("samples.parquet")
for sample in samples[samples.part == "train"].itertuples():
    with rasterio.open(sample.image) as image, rasterio.open(sample.label_mask) as mask:
        pixels, classes = image.read(), mask.read(1)
"""

    task: Annotated[
        Literal["segmentation", "classification"],
        Parameter("What to train: masks, or one class for each image, which lies in the folder of its class."),
    ] = "segmentation"

    def write_files(self, export: Export, /) -> None:
        """See `Exporter.write_files`."""
        masks = export.list_labels("mask")
        if self.task == "classification":
            _require_classes(export)
        else:
            export.require_label_files(masks, "TerraTorch pairs images and masks by their order.")
        self._write_configs(export)
        write_geotiffs(export, self._locate_image)
        for part in export.folders:
            names = "".join(f"{name}.tif\n" for name in export.list_stems(part))
            export.folder.write_bytes(f"splits/{part}.txt", names.encode())
        self._write_index(export)

    def _locate_image(self, sample: ExportedSample) -> str:
        if self.task == "segmentation":
            return locate_image(sample)
        return f"images/{sample.folder_name}/{sample.main_class or BACKGROUND}/{sample.stem}.tif"

    def _write_index(self, export: Export) -> None:
        classified = f"'images/' || {SUBSET} || '/' || {_CLASS} || '/' || stem || '.tif'"
        write_index(export, IMAGE_PATH if self.task == "segmentation" else classified, express_label_paths(export))

    def _write_configs(self, export: Export) -> None:
        """Write TerraTorch's configurations, if samples are to train on, and all have one number of bands."""
        subsets = choose_subsets(export.parts)
        masks = export.list_labels("mask")
        is_classification = self.task == "classification"
        if "train" not in subsets or export.revision.fetch_value(_SHAPES) != 1 or not (masks or is_classification):
            return
        train = export.compute_statistics().subsets[subsets["train"]]
        names = [band.name or f"band {number}" for number, band in enumerate(train.bands, 1)]
        bands = BandFacts(names, train.list_means(), train.list_standard_deviations())
        if is_classification:
            classes = {name for _, name in export.revision.fetch_rows(_CLASSES)}
            text = format_classification(subsets, bands, [*classes])
            export.folder.write_bytes(name_config(None), text.encode())
            return
        for label in masks:
            text = format_segmentation(export, subsets, bands, label)
            export.folder.write_bytes(name_config(label), text.encode())


def _require_classes(export: Export) -> None:
    unclear = [name for (name,) in export.revision.fetch_rows(_UNCLEAR)]
    if unclear:
        raise UsageError(
            f"{len(unclear):,} of {export.count:,} samples show several classes, or one whose name cannot be that of "
            f"a folder: {quote_names(unclear, 3)}. Cut chips around features, or use --task segmentation."
        )
    classes: dict[str, set[str]] = {}
    for part, name in export.revision.fetch_rows(_CLASSES):
        classes.setdefault(part, set()).add(name)
    for part, names in classes.items():
        if missing := set().union(*classes.values()) - names:
            raise UsageError(
                f"subset '{part}' has no image of class {quote_names(sorted(missing))}, and readers number the classes "
                "by the folders of a subset. Choose other subsets, or remap the classes."
            )
