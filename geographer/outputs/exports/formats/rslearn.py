"""rslearn: a dataset folder with a window for each sample, whose layers are the image, the labels and the objects.

Source: docs/DatasetFormat.md and docs/DatasetConfig.md of https://github.com/allenai/rslearn, as of version 0.1.19.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar, Final, NamedTuple

from geographer.base.errors import UsageError, quote_names
from geographer.base.values import Grid, Transform
from geographer.outputs.exports.export import Export, ExportedSample, LabelInfo
from geographer.outputs.exports.exporter import ObjectExporter
from geographer.outputs.exports.geotiff import read_image_geotiff
from geographer.outputs.exports.index import INDEX_LAYOUT, write_index
from geographer.outputs.exports.objects import ExportedObject
from geographer.rasters.geotiff_bytes import convert_to_geotiff
from geographer.rasters.read import open_raster

_IMAGE: Final = "image"
_OBJECTS: Final = "objects"
_DTYPES: Final = frozenset({"uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float32"})
_MAX_FOLDER: Final = 64
"""Longer names of the folder of a band set are hashed."""
_SHAPES: Final = "SELECT DISTINCT bands, dtype, nodata FROM export_sample ORDER BY ALL"
_TILTED: Final = "SELECT raster_id FROM export_sample WHERE transform[2] <> 0 OR transform[4] <> 0 ORDER BY number"


class _Axis(NamedTuple):
    """An axis of a window: the size of a pixel, and the first pixel, counted from 0 of the CRS."""

    step: float
    first: int


class _Layer(NamedTuple):
    """A layer of rasters: the names of its bands, their type, and what the configuration says."""

    name: str
    bands: Sequence[str]
    config: dict[str, Any]

    @property
    def folder_name(self) -> str:
        """The folder of the band set: the names of the bands, hashed if it is long."""
        name = "_".join(self.bands)
        return hashlib.sha256(name.encode()).hexdigest() if len(name) > _MAX_FOLDER else name


class RslearnExporter(ObjectExporter, kw_only=True, frozen=True):
    """Write a dataset of rslearn: a window for each sample, with image, labels and objects.

    A window is in the group of its subset. Layers are image, the labels by name, and objects: the features as
    polygons with their class. The option split of a window is its subset. rslearn counts pixels from 0 of the CRS:
    a grid that does not start at a multiple of its pixel size is fitted by another size, which differs by less than
    half a pixel over the window; or it is moved to the next multiple, if that is closer. The window's options have
    the exact transform.
    """

    format: ClassVar[str] = "rslearn"
    title: ClassVar[str] = "a dataset of rslearn"
    example: ClassVar[str] = "export rslearn --to ../rslearn"
    takes_all_labels: ClassVar[bool] = True
    layout: ClassVar[Mapping[str, str]] = {
        "config.json": "the configuration of the dataset",
        "windows/PART/NAME/metadata.json": "a window: CRS, pixel size, bounds in pixels, time, and options",
        "windows/PART/NAME/layers/image/BANDS/geotiff.tif": "the image",
        "windows/PART/NAME/layers/LABEL/BANDS/geotiff.tif": "a label of the image",
        "windows/PART/NAME/layers/objects/data.geojson": "the features in pixels of the window",
        **INDEX_LAYOUT,
    }
    usage: ClassVar[str] = """
from rslearn.dataset import Dataset
from upath import UPath

dataset = Dataset(UPath("."))
bands = dataset.layers["image"].band_sets[0]
for window in dataset.load_windows(groups=["train"]):
    raster = window.data.read_raster("image", bands.bands, bands.instantiate_raster_format())
    pixels = raster.get_chw_array()
"""

    def write_files(self, export: Export, /) -> None:
        """See `Exporter.write_files`."""
        layers = _describe_layers(export)
        config = {"layers": {name: layer.config for name, layer in layers.items()} | {_OBJECTS: {"type": "vector"}}}
        export.folder.write_bytes("config.json", _encode_json(config))
        for sample, objects in export.iter_objects(self.object_options):
            _write_window(export, sample, objects, layers)
        window = "'windows/' || coalesce(part, 'all') || '/' || stem || '/layers/"
        paths = {name: f"{window}{name}/{layer.folder_name}/geotiff.tif'" for name, layer in layers.items()}
        write_index(export, paths.pop(_IMAGE), paths)


def _describe_layers(export: Export) -> dict[str, _Layer]:
    """Return the layers of rasters; `UsageError` if rslearn cannot have them."""
    shapes = export.revision.fetch_rows(_SHAPES)
    kinds = {(bands, dtype) for bands, dtype, _ in shapes}
    if len(kinds) > 1 or shapes[0][1] not in _DTYPES:
        named = ", ".join(f"{bands} bands of {dtype}" for bands, dtype in sorted(kinds))
        raise UsageError(
            f"a layer of rslearn has one number of bands and one data type, and no float64 or complex numbers; the "
            f"images have {named}. Choose a --collection or --subset."
        )
    tilted = [name for (name,) in export.revision.fetch_rows(_TILTED)]
    if tilted:
        raise UsageError(f"rslearn has no rotated grids: {quote_names(tilted, 3)}. Cut chips, or warp the rasters.")
    nodata = {nodata for *_, nodata in shapes}
    found = {_IMAGE: _describe_image(export, shapes[0][1], nodata.pop() if len(nodata) == 1 else None)}
    for label in export.list_labels("mask", "instances", "multilabel", "probabilities", "custom"):
        if label.name in (_IMAGE, _OBJECTS) or "." in label.name:
            raise UsageError(f"a layer of rslearn cannot be named '{label.name}'. Choose the labels with --labels.")
        if layer := _describe_label(export, label):
            found[label.name] = layer
    return found


def _describe_image(export: Export, dtype: str, nodata: float | None) -> _Layer:
    sample = next(export.iter_samples(numbers=[1]))
    bands = _read_band_names(sample, None)
    value = {} if nodata is None or nodata != nodata else {"nodata_value": int(nodata) if nodata % 1 == 0 else nodata}
    return _Layer(_IMAGE, bands, {"type": "raster", "band_sets": [{"dtype": dtype, "bands": bands, **value}]})


def _describe_label(export: Export, label: LabelInfo) -> _Layer | None:
    """Return the layer of a label by its first file; None if no sample has one."""
    sample = next((sample for sample in export.iter_samples() if label.name in sample.labels), None)
    if sample is None:
        return None
    bands = _read_band_names(sample, label.name)
    with open_raster(sample.labels[label.name].path, with_sidecars=False) as raster:
        dtype = raster.dtypes[0]
    band_set: dict[str, Any] = {"dtype": dtype if dtype in _DTYPES else "float32", "bands": bands}
    if label.kind == "mask":
        names = {item.value: item.name for item in export.classes}
        values = range(1, max(names, default=0) + 1)
        band_set["class_names"] = [["background", *(names.get(value, f"unused {value}") for value in values)]]
    return _Layer(label.name, bands, {"type": "raster", "band_sets": [band_set]})


def _read_band_names(sample: ExportedSample, label: str | None) -> list[str]:
    """Return a name for each band, without `_`, `.` and `/`, which the names of folders are made with."""
    file = sample.image if label is None else sample.labels[label]
    with open_raster(file.path, with_sidecars=file.with_sidecars) as raster:
        texts = [text or "" for text in raster.descriptions]
    words = ["".join(letter if letter.isalnum() else "-" for letter in text).strip("-") for text in texts]
    if all(words) and len({*words}) == len(words):
        return words
    return [f"B{number}" for number in range(1, len(texts) + 1)]


def _write_window(
    export: Export, sample: ExportedSample, objects: Sequence[ExportedObject], layers: Mapping[str, _Layer]
) -> None:
    root = f"windows/{sample.folder_name}/{sample.stem}"
    a, _, c, _, e, f = sample.grid.transform
    x, y = _fit_axis(a, c, sample.grid.width), _fit_axis(e, f, sample.grid.height)
    transform = Transform(x.step, 0.0, x.first * x.step, 0.0, y.step, y.first * y.step)
    fitted = Grid(sample.grid.crs, transform, sample.grid.width, sample.grid.height)
    projection = {"crs": sample.grid.crs, "x_resolution": x.step, "y_resolution": y.step}
    export.folder.write_bytes(f"{root}/metadata.json", _encode_json(_describe_window(sample, projection, x, y)))
    is_moved = transform != sample.grid.transform
    for name, layer in layers.items():
        file = sample.image if name == _IMAGE else sample.labels.get(name)
        path = f"{root}/layers/{name}"
        if file is None:
            continue
        if is_moved:
            content = convert_to_geotiff(file.path, fitted)
            export.folder.write_bytes(f"{path}/{layer.folder_name}/geotiff.tif", content)
        elif name == _IMAGE:
            export.folder.write_bytes(f"{path}/{layer.folder_name}/geotiff.tif", read_image_geotiff(sample))
        else:
            export.folder.copy_file(f"{path}/{layer.folder_name}/geotiff.tif", file)
        export.folder.write_bytes(f"{path}/completed", b"")
    features = _describe_objects(objects, projection, (x.first, y.first))
    export.folder.write_bytes(f"{root}/layers/{_OBJECTS}/data.geojson", _encode_json(features))
    export.folder.write_bytes(f"{root}/layers/{_OBJECTS}/completed", b"")


def _fit_axis(step: float, origin: float, size: int) -> _Axis:
    """Return an axis that starts at a whole number of pixels, and is close to the given one.

    Either the pixel size is changed so that the first pixel stays, or the first pixel is moved; what is closer.
    """
    first = round(origin / step)
    moved = abs(origin / step - first)
    if moved == 0 or first == 0:
        return _Axis(step, first)
    fitted = origin / first
    drift = abs(fitted / step - 1) * size
    return _Axis(fitted, first) if drift < moved else _Axis(step, first)


def _describe_window(sample: ExportedSample, projection: Mapping[str, Any], x: _Axis, y: _Axis) -> dict[str, Any]:
    acquired: datetime | None = sample.acquired
    time = None if acquired is None else acquired.replace(tzinfo=UTC).isoformat()
    options = {
        "split": sample.part,
        "raster_id": sample.raster_id,
        "class": sample.main_class,
        "classes": [*sample.classes],
        "transform": [*sample.grid.transform],
    }
    return {
        "projection": projection,
        "bounds": [x.first, y.first, x.first + sample.grid.width, y.first + sample.grid.height],
        "time_range": None if time is None else [time, time],
        "options": options,
    }


def _describe_objects(
    objects: Sequence[ExportedObject], projection: Mapping[str, Any], first: tuple[int, int]
) -> dict[str, Any]:
    """Return the objects as GeoJSON in pixels of the projection."""
    import shapely

    features = []
    for item in objects:
        polygons = [*item.shape.polygons]
        area = polygons[0] if len(polygons) == 1 else shapely.MultiPolygon(polygons)
        moved = shapely.transform(area, lambda points: points + first)
        properties = {"feature_id": item.feature_id, "class": item.class_name, "value": item.value}
        geometry = json.loads(shapely.to_geojson(moved))
        features.append({"type": "Feature", "properties": properties, "geometry": geometry})
    return {"type": "FeatureCollection", "properties": projection, "features": features}


def _encode_json(document: Any) -> bytes:
    return json.dumps(document, ensure_ascii=False, allow_nan=False).encode() + b"\n"
