"""Hugging Face datasets: Parquet files with the GeoTIFFs of images and labels as bytes, and their georeference."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, Any, BinaryIO, ClassVar, Final

import pyarrow as pa

from geographer.base.errors import UsageError
from geographer.base.parameters import Parameter
from geographer.outputs.exports.export import Export, ExportedSample
from geographer.outputs.exports.exporter import Exporter
from geographer.outputs.exports.geotiff import read_image_geotiff, read_label_bytes

_ROWS: Final = 50
"""How many rows are in memory at once, and in a row group of a file."""
_TEXTS: Final = ("raster_id", "collection", "parent_id", "feature_id")
_NO_SPLIT: Final = "train"
"""The split of samples that have no subset, as Hugging Face names it."""


class HuggingfaceExporter(Exporter, kw_only=True, frozen=True):
    """Write Parquet files with GeoTIFFs, and a card, as Hugging Face datasets reads them.

    Images and labels are columns of bytes, each a GeoTIFF with all bands, the data type, CRS and transform: the type
    Image of datasets keeps at most four bands of 8 bits. CRS, transform, ids, classes and the time are columns, too.
    The class is a ClassLabel; -1 is none. Without a split, all samples are in the split train.
    """

    format: ClassVar[str] = "huggingface"
    title: ClassVar[str] = "a dataset of Hugging Face"
    example: ClassVar[str] = "export huggingface --to ../hub"
    layout: ClassVar[Mapping[str, str]] = {
        "data/PART-00000-of-00001.parquet": "samples of a subset: images, labels, ids, classes, CRS and transform",
    }
    usage: ClassVar[str] = """
from pathlib import Path

from datasets import load_dataset
from rasterio.io import MemoryFile

samples = load_dataset(str(Path.cwd()), split="train")
with MemoryFile(samples[0]["image"]) as file, file.open() as raster:
    pixels, crs, transform = raster.read(), raster.crs, raster.transform
"""

    shard_size: Annotated[int, Parameter("How many samples a file has at most.", "COUNT", minimum=1)] = 1000

    def write_files(self, export: Export, /) -> None:
        """See `Exporter.write_files`."""
        schema = _make_schema(export)
        for folder, split in name_splits(export.parts).items():
            numbers = export.list_numbers(folder)
            shards = [numbers[start : start + self.shard_size] for start in range(0, len(numbers), self.shard_size)]
            for index, chosen in enumerate(shards):
                name = f"data/{split}-{index:05}-of-{len(shards):05}.parquet"
                export.folder.write_file(name, partial(_write_shard, export, chosen, schema))
                export.progress("files written", index + 1, len(shards))

    def describe_header(self, export: Export, /) -> Mapping[str, Any]:
        """See `Exporter.describe_header`."""
        files = [{"split": split, "path": f"data/{split}-*.parquet"} for split in name_splits(export.parts).values()]
        features = [_describe_feature(name, feature) for name, feature in _list_features(export).items()]
        return {
            "configs": [{"config_name": "default", "data_files": files}],
            "dataset_info": {"features": features},
        }


def name_splits(parts: Sequence[str]) -> dict[str, str]:
    """Return the name of the split for each folder of subsets: words, which `datasets` demands.

    `UsageError` if names would be equal, or `all`.
    """
    if not parts:
        return {"all": _NO_SPLIT}
    names = {part: re.sub(r"\W+", "_", part) for part in parts}
    if "all" in names.values() or len({*names.values()}) < len(names):
        raise UsageError(
            "datasets needs subsets with different names of letters, digits and '_', and not 'all'; these are: "
            f"{', '.join(names)}. Choose some with --subset, or make a split with other names."
        )
    return names


def _list_features(export: Export) -> dict[str, tuple[pa.DataType, dict[str, Any]]]:
    """Return the columns with Arrow's type and the feature of `datasets`."""

    def make_value(arrow: pa.DataType, name: str) -> tuple[pa.DataType, dict[str, Any]]:
        return arrow, {"dtype": name, "_type": "Value"}

    text, content = make_value(pa.string(), "string"), make_value(pa.binary(), "binary")
    number = {"names": [item.name for item in export.classes], "_type": "ClassLabel"}
    labels = {f"label_{label.name}": text if label.file_suffix == ".json" else content for label in export.labels}
    return {
        "image": make_value(pa.binary(), "binary"),
        **labels,
        **{name: make_value(pa.string(), "string") for name in _TEXTS},
        "class": (pa.int64(), number),
        "classes": (pa.list_(pa.int64()), {"feature": number, "_type": "List"}),
        "crs": make_value(pa.string(), "string"),
        "transform": (
            pa.list_(pa.float64(), 6),
            {"feature": {"dtype": "float64", "_type": "Value"}, "length": 6, "_type": "List"},
        ),
        "width": make_value(pa.int32(), "int32"),
        "height": make_value(pa.int32(), "int32"),
        "bands": make_value(pa.int32(), "int32"),
        "dtype": make_value(pa.string(), "string"),
        "nodata": make_value(pa.float64(), "float64"),
        "acquired": make_value(pa.timestamp("us"), "timestamp[us]"),
    }


def _make_schema(export: Export) -> pa.Schema:
    columns = _list_features(export)
    features = {name: feature for name, (_, feature) in columns.items()}
    metadata = {"huggingface": json.dumps({"info": {"features": features}}, ensure_ascii=False)}
    return pa.schema([pa.field(name, arrow) for name, (arrow, _) in columns.items()], metadata)


def _describe_feature(name: str, column: tuple[pa.DataType, dict[str, Any]]) -> dict[str, Any]:
    """Return a feature as the YAML of a dataset card writes it."""
    _, feature = column
    if feature["_type"] == "Value":
        return {"name": name, "dtype": feature["dtype"]}
    if feature["_type"] == "ClassLabel":
        return {"name": name, "dtype": _describe_classes(feature)}
    inner = feature["feature"]
    described = inner["dtype"] if inner["_type"] == "Value" else _describe_classes(inner)
    length = {"length": feature["length"]} if "length" in feature else {}
    return {"name": name, "list": described, **length}


def _describe_classes(feature: Mapping[str, Any]) -> dict[str, Any]:
    return {"class_label": {"names": {str(index): name for index, name in enumerate(feature["names"])}}}


def _write_shard(export: Export, numbers: Sequence[int], schema: pa.Schema, file: BinaryIO) -> None:
    import pyarrow.parquet as pq

    positions = {item.name: item.position for item in export.classes}
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        rows: list[dict[str, Any]] = []
        for sample in export.iter_samples(numbers=numbers):
            rows.append(_make_row(export, sample, positions))
            if len(rows) == _ROWS:
                writer.write_table(pa.Table.from_pylist(rows, schema))
                rows.clear()
        if rows:
            writer.write_table(pa.Table.from_pylist(rows, schema))


def _make_row(export: Export, sample: ExportedSample, positions: Mapping[str, int]) -> dict[str, Any]:
    labels: dict[str, Any] = {}
    for label in export.labels:
        content = read_label_bytes(sample, label.name)
        is_text = label.file_suffix == ".json" and content is not None
        labels[f"label_{label.name}"] = content.decode() if is_text and content is not None else content
    return {
        "image": read_image_geotiff(sample),
        **labels,
        **{name: getattr(sample, name) for name in _TEXTS},
        "class": positions.get(sample.main_class or "", -1),
        "classes": [positions[name] for name in sample.classes if name in positions],
        "crs": sample.grid.crs,
        "transform": [*sample.grid.transform],
        "width": sample.grid.width,
        "height": sample.grid.height,
        "bands": sample.bands,
        "dtype": sample.dtype,
        "nodata": sample.nodata,
        "acquired": sample.acquired,
    }
