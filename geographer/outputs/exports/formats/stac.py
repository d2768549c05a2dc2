"""STAC: a catalogue of the images, and one collection with the label extension for each label."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final
from urllib.parse import quote

from geographer.outputs.exports.export import Export, ExportedSample, LabelInfo, LabelKind
from geographer.outputs.exports.exporter import Exporter
from geographer.outputs.exports.geotiff import (
    IMAGE_PATH,
    express_label_paths,
    locate_image,
    locate_label,
    write_geotiffs,
)
from geographer.outputs.exports.index import INDEX_LAYOUT, write_index
from geographer.outputs.release.stac import (
    GEOTIFF,
    PROJECTION_EXTENSION,
    ItemExtent,
    RasterItem,
    make_bbox,
    make_projection_fields,
    name_data_type,
    name_item,
    parse_geometry,
)

if TYPE_CHECKING:
    import pystac

_QUERY: Final = Path(__file__).parent.parent / "stac_items.sql"
_BATCH: Final = 500
_SAMPLES: Final = "samples"
_TASKS: Final[Mapping[LabelKind, str]] = {
    "mask": "segmentation",
    "instances": "segmentation",
    "multilabel": "segmentation",
    "boxes": "detection",
    "probabilities": "regression",
}
"""The tasks of the label extension by the kind of a label."""


class StacExporter(Exporter, kw_only=True, frozen=True):
    """Write GeoTIFFs in folders, and a STAC 1.1 catalogue of them.

    The collection samples has an item for each image; the collection label-LABEL has one for each label file, with
    the classes as the label extension has them, and a link to the item of its image. The time is that of the image,
    or else when it was recorded.
    """

    format: ClassVar[str] = "stac"
    title: ClassVar[str] = "a STAC catalogue"
    example: ClassVar[str] = "export stac --to ../catalogue"
    layout: ClassVar[Mapping[str, str]] = {
        "catalog.json": "the catalogue",
        "samples/NAME.json": "the item of an image, in samples/collection.json",
        "label-LABEL/NAME.json": "the item of a label, in label-LABEL/collection.json",
        "images/PART/NAME.tif": "an image",
        "labels/LABEL/PART/NAME.tif": "a label of the image (boxes: .json)",
        **INDEX_LAYOUT,
    }
    usage: ClassVar[str] = """
import pystac
import rasterio

catalogue = pystac.Catalog.from_file("catalog.json")
for item in catalogue.get_child("samples").get_items():
    with rasterio.open(item.assets["image"].get_absolute_href()) as image:
        pixels = image.read()
"""

    def write_files(self, export: Export, /) -> None:
        """See `Exporter.write_files`."""
        write_geotiffs(export)
        write_index(export, IMAGE_PATH, express_label_paths(export))
        writer = _CatalogueWriter(export)
        for sample, row in _iter_items(export):
            writer.write_items(sample, row)
        writer.finish()


def _name_collection(label: LabelInfo) -> str:
    return f"label-{label.name}"


class _CatalogueWriter:
    """Writes the items one by one, then the collections and the catalogue."""

    def __init__(self, export: Export) -> None:
        self._export = export
        self._extents: dict[str, ItemExtent] = {}
        self._links: dict[str, list[dict[str, str]]] = {_SAMPLES: []}
        self._links |= {_name_collection(label): [] for label in export.labels}

    def write_items(self, sample: ExportedSample, row: RasterItem) -> None:
        """Write the items of an image and of its labels."""
        self._write_item(_SAMPLES, sample, row, _make_image_item(sample, row), [])
        source = {
            "rel": "source",
            "href": f"../{_SAMPLES}/{quote(name_item(sample.stem, ''))}",
            "type": "application/json",
        }
        for label in self._export.labels:
            if label.name in sample.labels:
                item = _make_label_item(self._export, sample, row, label)
                self._write_item(_name_collection(label), sample, row, item, [source])

    def finish(self) -> None:
        """Write the collections and the catalogue."""
        import pystac

        children = []
        for name, items in self._links.items():
            extent = self._extents.get(name, ItemExtent()).make_extent()
            text = "Images to train on." if name == _SAMPLES else f"Labels of the images: {name.partition('-')[2]}."
            document = pystac.Collection(name, text, extent, license="other").to_dict(False, False)
            parents = [{"rel": rel, "href": "../catalog.json"} for rel in ("root", "parent")]
            self._write_document(f"{name}/collection.json", {**document, "links": [*parents, *items]})
            children.append({"rel": "child", "href": f"./{quote(name)}/collection.json", "title": name})
        catalogue = pystac.Catalog(_SAMPLES, f"{self._export.count:,} samples for training, with labels.")
        document = catalogue.to_dict(False, False)
        self._write_document(
            "catalog.json", {**document, "links": [{"rel": "root", "href": "./catalog.json"}, *children]}
        )

    def _write_item(
        self,
        collection: str,
        sample: ExportedSample,
        row: RasterItem,
        item: pystac.Item,
        links: Sequence[dict[str, str]],
    ) -> None:
        name = name_item(sample.stem, "")
        item.collection_id = collection
        document = item.to_dict(include_self_link=False, transform_hrefs=False)
        parents = [{"rel": rel, "href": "./collection.json"} for rel in ("parent", "collection")]
        document["links"] = [{"rel": "root", "href": "../catalog.json"}, *parents, *links]
        self._write_document(f"{collection}/{name}", document)
        self._links[collection].append({"rel": "item", "href": f"./{quote(name)}"})
        self._extents.setdefault(collection, ItemExtent()).add_raster(row)

    def _write_document(self, path: str, document: Mapping[str, Any]) -> None:
        text = json.dumps(document, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
        self._export.folder.write_bytes(path, f"{text}\n".encode())


def _iter_items(export: Export) -> Iterator[tuple[ExportedSample, RasterItem]]:
    """Yield the samples with what the catalogue of a release knows of a raster."""
    query = _QUERY.read_text()
    numbers = export.list_numbers()
    for start in range(0, len(numbers), _BATCH):
        page = numbers[start : start + _BATCH]
        rows = {number: row for number, *row in export.revision.fetch_rows(query, {"numbers": page})}
        for sample in export.iter_samples(numbers=page):
            yield sample, _make_row(sample, rows[sample.number])


def _make_row(sample: ExportedSample, fetched: Sequence[Any]) -> RasterItem:
    geometry, west, south, east, north, recorded_at = fetched
    return RasterItem(
        key=sample.number,
        raster_id=sample.raster_id,
        path=locate_image(sample),
        storage="dvc",
        geometry=geometry,
        west=west,
        south=south,
        east=east,
        north=north,
        crs=sample.grid.crs,
        width=sample.grid.width,
        height=sample.grid.height,
        transform=[*sample.grid.transform],
        bands=sample.bands,
        dtype=sample.dtype,
        size=None,
        sha256=None,
        acquired=sample.acquired,
        recorded_at=recorded_at,
        licence=None,
        parent_id=sample.parent_id,
        parent_collection=None,
        labels=[],
        parts=[],
        is_older=False,
    )


def _make_image_item(sample: ExportedSample, row: RasterItem) -> pystac.Item:
    classes = {"geographer:class": sample.main_class, "geographer:classes": [*sample.classes]}
    item = _make_item(row, sample, {**classes, "geographer:raster_id": sample.raster_id})
    bands = [
        {"name": f"band {number}", "data_type": name_data_type(row.dtype)} for number in range(1, sample.bands + 1)
    ]
    item.add_asset("image", _make_asset(locate_image(sample), GEOTIFF, ["data"], {"bands": bands}))
    return item


def _make_label_item(export: Export, sample: ExportedSample, row: RasterItem, label: LabelInfo) -> pystac.Item:
    from pystac.extensions.label import LabelClasses, LabelExtension, LabelTask, LabelType

    item = _make_item(row, sample, {})
    names = [item.name for item in export.classes]
    is_raster = label.suffix != ".json"
    LabelExtension.ext(item, add_if_missing=True).apply(
        label_description=f"{label.kind} '{label.name}'",
        label_type=LabelType.RASTER if is_raster else LabelType.VECTOR,
        label_properties=None if is_raster else ["class"],
        label_classes=[LabelClasses.create(names, name=None if is_raster else "class")],
        label_tasks=[LabelTask(_TASKS[label.kind])] if label.kind in _TASKS else None,
    )
    values = {item.name: item.value for item in export.classes}
    item.properties["geographer:values"] = values
    media_type = GEOTIFF if is_raster else "application/json"
    item.add_asset("labels", _make_asset(locate_label(sample, label), media_type, ["labels"], {}))
    return item


def _make_item(row: RasterItem, sample: ExportedSample, properties: Mapping[str, Any]) -> pystac.Item:
    import pystac

    time = row.acquired.replace(tzinfo=UTC) if row.acquired else datetime.fromisoformat(row.recorded_at)
    own = {"geographer:part": sample.part, "geographer:datetime_is": "acquired" if row.acquired else "recorded"}
    return pystac.Item(
        sample.stem,
        parse_geometry(row),
        make_bbox(row),
        time,
        {**own, **properties, **make_projection_fields(row)},
        stac_extensions=[PROJECTION_EXTENSION],
    )


def _make_asset(path: str, media_type: str, roles: list[str], fields: dict[str, Any]) -> pystac.Asset:
    import pystac

    return pystac.Asset(f"../{quote(path)}", media_type=media_type, roles=roles, extra_fields=fields)
