"""WebDataset: tar files of samples, which training reads from their start to their end."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from io import BytesIO
from typing import Annotated, Any, BinaryIO, ClassVar, Final, Literal

import numpy as np

from geographer.base.errors import UsageError
from geographer.base.parameters import Parameter
from geographer.outputs.exports.export import Export, ExportedSample, LabelInfo
from geographer.outputs.exports.exporter import ObjectExporter
from geographer.outputs.exports.geotiff import read_image_geotiff, read_label_bytes
from geographer.outputs.exports.objects import ExportedObject
from geographer.rasters.geotiff_bytes import decode_geotiff

_IMAGE: Final = "image"
_OWNER: Final = "geographer"


class WebdatasetExporter(ObjectExporter, kw_only=True, frozen=True):
    """Write tar files of samples for each subset, as the library webdataset reads them.

    The members of a sample share a key; they are the image, each label by its name, objects.json with the boxes of
    the features, json with ids, classes, CRS and transform, and cls: the value of the class of the feature that the
    chip was cut for, or else of the only class that it shows, 0 if it shows none; without cls if it shows several.
    Samples are in the order of their ids, or with --seed in a random one inside each subset. Equal samples give equal
    bytes. An interrupted export goes on with the first shard that is missing.
    """

    format: ClassVar[str] = "webdataset"
    title: ClassVar[str] = "shards of WebDataset"
    example: ClassVar[str] = "export webdataset --to ../shards --shard-size 1000 --seed 1"
    takes_all_labels: ClassVar[bool] = True
    packages: ClassVar[Mapping[str, str]] = {"webdataset": "webdataset"}
    layout: ClassVar[Mapping[str, str]] = {
        "PART-000000.tar": "samples of a subset: KEY.image.tif, KEY.LABEL.tif, KEY.objects.json, KEY.json, KEY.cls",
        "shards.json": "the shards of each subset with their numbers of samples",
    }
    usage: ClassVar[str] = """
import webdataset
from rasterio.io import MemoryFile

def read_pixels(content):
    with MemoryFile(content) as file, file.open() as raster:
        return raster.read()

samples = webdataset.WebDataset("train-000000.tar", shardshuffle=False).decode()
for image, mask, record in samples.to_tuple("image.tif", "mask.tif", "json"):
    pixels, classes = read_pixels(image), read_pixels(mask)[0]
"""

    shard_size: Annotated[int, Parameter("How many samples a tar file has at most.", "COUNT", minimum=1)] = 1000
    pixels: Annotated[
        Literal["tif", "npy"],
        Parameter("Images and labels as GeoTIFFs, or as arrays of numpy, which webdataset decodes: bands first."),
    ] = "tif"
    seed: Annotated[
        int | None,
        Parameter("Order the samples of each subset at random by this seed.", "NUMBER", "order of ids", minimum=0),
    ] = None

    def write_files(self, export: Export, /) -> None:
        """See `Exporter.write_files`."""
        require_member_names(export.labels)
        shards: dict[str, list[dict[str, Any]]] = {}
        done = 0
        for folder in export.folders:
            numbers = self._order_samples(export.list_numbers(folder), export.folders.index(folder))
            shards[folder] = []
            for start in range(0, len(numbers), self.shard_size):
                chosen = numbers[start : start + self.shard_size]
                name = f"{folder}-{start // self.shard_size:06}.tar"
                export.folder.write_file(name, partial(self._write_shard, export, chosen))
                shards[folder].append({"url": name, "nsamples": len(chosen)})
                done += len(chosen)
                export.progress("samples exported", done, export.count)
        export.folder.write_bytes("shards.json", json.dumps(shards, indent=2, ensure_ascii=False).encode() + b"\n")

    def _order_samples(self, numbers: list[int], part: int) -> list[int]:
        if self.seed is None:
            return numbers
        generator = np.random.Generator(np.random.PCG64([self.seed, part]))
        return [int(number) for number in generator.permutation(numbers)]

    def _write_shard(self, export: Export, numbers: Sequence[int], file: BinaryIO) -> None:
        from webdataset import TarWriter

        values = {item.name: item.value for item in export.classes}
        labels = {label.name: label.file_suffix for label in export.labels}
        options = {"user": _OWNER, "group": _OWNER, "mode": 0o644, "mtime": 0, "format": "PAX_FORMAT"}
        with TarWriter(file, encoder=False, **options) as tar:
            for sample, objects in export.iter_objects(self.object_options, numbers=numbers):
                tar.write({"__key__": name_key(sample), **self._make_members(sample, objects, labels, values)})

    def _make_members(
        self,
        sample: ExportedSample,
        objects: Sequence[ExportedObject],
        labels: Mapping[str, str],
        values: Mapping[str, int],
    ) -> dict[str, bytes]:
        members = {f"{_IMAGE}.{self.pixels}": self._encode_pixels(read_image_geotiff(sample), sample)}
        for name, suffix in labels.items():
            content = read_label_bytes(sample, name)
            if content is not None and suffix == ".json":
                members[f"{name}.json"] = content
            elif content is not None:
                members[f"{name}.{self.pixels}"] = self._encode_pixels(content, sample)
        members["objects.json"] = _encode_json([_describe_object(item) for item in objects])
        members["json"] = _encode_json(_describe_sample(sample))
        if sample.main_class is not None or not sample.classes:
            members["cls"] = str(values.get(sample.main_class or "", 0)).encode()
        return members

    def _encode_pixels(self, geotiff: bytes, sample: ExportedSample) -> bytes:
        if self.pixels == "tif":
            return geotiff
        buffer = BytesIO()
        np.save(buffer, decode_geotiff(geotiff, sample.raster_id))
        return buffer.getvalue()


def name_key(sample: ExportedSample) -> str:
    """Return the key of a sample: its number and name without dots, since a key ends at the first one."""
    return f"{sample.number:08}-{sample.stem.replace('.', '_')}"


def require_member_names(labels: Sequence[LabelInfo]) -> None:
    """Raise `UsageError` for labels whose files would have the name of another member, which readers write small."""
    names = [label.name.lower() for label in labels]
    for label in labels:
        if label.name.lower() in (_IMAGE, "objects") or names.count(label.name.lower()) > 1:
            raise UsageError(
                f"webdataset cannot hold the label '{label.name}': another member of a sample has that name. Choose "
                "the labels with --labels."
            )


def _describe_sample(sample: ExportedSample) -> dict[str, Any]:
    names = ("raster_id", "stem", "collection", "part", "parent_id", "feature_id", "class_name", "classes")
    record = {name: getattr(sample, name) for name in names}
    record["acquired"] = None if sample.acquired is None else sample.acquired.isoformat()
    grid = {"crs": sample.grid.crs, "transform": [*sample.grid.transform]}
    size = {"width": sample.grid.width, "height": sample.grid.height, "bands": sample.bands, "dtype": sample.dtype}
    return {**record, **grid, **size}


def _describe_object(item: ExportedObject) -> dict[str, Any]:
    names = {"feature_id": item.feature_id, "class": item.class_name, "value": item.value}
    return {**names, "box": item.box, "visible": item.visible}


def _encode_json(document: Any) -> bytes:
    return json.dumps(document, ensure_ascii=False, sort_keys=True).encode()
