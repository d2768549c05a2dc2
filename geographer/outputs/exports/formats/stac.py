"""STAC: a catalogue with a collection for each subset, whose items have image and labels as assets."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from geographer.outputs.exports.export import Export, ExportedSample, LabelClass, LabelInfo
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
    from pystac.extensions.classification import Classification

_QUERY: Final = Path(__file__).parent.parent / "stac_items.sql"
_BATCH: Final = 500
_WITH_VALUES: Final = ("mask",)
"""The kinds of labels whose pixels are values of classes."""


class StacExporter(Exporter, kw_only=True, frozen=True):
    """Write GeoTIFFs in folders, and a STAC 1.1 catalogue of them.

    Each subset is a collection, and each sample an item with the assets image and label-LABEL. The assets of masks have
    the classes with their values, as the classification extension says; the label extension is no longer maintained.
    The time is that of the image, or else when it was recorded. A sample whose name would need escapes in a link has
    files named sample-NUMBER.
    """

    format: ClassVar[str] = "stac"
    title: ClassVar[str] = "a STAC catalogue"
    example: ClassVar[str] = "export stac --to ../catalogue"
    layout: ClassVar[Mapping[str, str]] = {
        "catalog.json": "the catalogue",
        "items/PART/NAME.json": "the item of a sample, of items/PART/collection.json",
        "images/PART/NAME.tif": "an image",
        "labels/LABEL/PART/NAME.tif": "a label of the image (boxes: .json)",
        **INDEX_LAYOUT,
    }
    usage: ClassVar[str] = """
import pystac
import rasterio

catalogue = pystac.Catalog.from_file("catalog.json")
for item in catalogue.get_child("train").get_items():
    with rasterio.open(item.assets["image"].get_absolute_href()) as image:
        pixels = image.read()
"""

    def write_files(self, export: Export, /) -> None:
        """See `Exporter.write_files`."""
        import pystac

        export.use_plain_names()
        write_geotiffs(export)
        write_index(export, IMAGE_PATH, express_label_paths(export))
        writer = _CatalogueWriter(export)
        for sample, row in _iter_items(export):
            writer.write_item(sample, row)
        writer.write_collections()
        catalogue = pystac.Catalog("samples", f"{export.count:,} samples for training, with labels.")
        links = [_make_link("root", "./catalog.json")]
        links += [_make_link("child", f"./items/{folder}/collection.json") for folder in export.folders]
        writer.write_document("catalog.json", catalogue.to_dict(False, False), links)


class _CatalogueWriter:
    """Writes the items one by one, then the collections."""

    def __init__(self, export: Export) -> None:
        self._export = export
        self._extents = {folder: ItemExtent() for folder in export.folders}
        self._items: dict[str, list[dict[str, str]]] = {folder: [] for folder in export.folders}

    def write_item(self, sample: ExportedSample, row: RasterItem) -> None:
        """Write the item of a sample."""
        item = _make_item(sample, row, self._export.classes, self._export.labels)
        name = name_item(sample.stem, "")
        links = [_make_link("root", "../../catalog.json")]
        links += [_make_link(rel, "./collection.json") for rel in ("parent", "collection")]
        document = item.to_dict(include_self_link=False, transform_hrefs=False)
        self.write_document(f"items/{sample.folder_name}/{name}", document, links)
        self._items[sample.folder_name].append(_make_link("item", f"./{name}"))
        self._extents[sample.folder_name].add_raster(row)

    def write_collections(self) -> None:
        """Write the collections of the items."""
        import pystac

        for folder, items in self._items.items():
            extent = self._extents[folder].make_extent()
            collection = pystac.Collection(folder, f"{len(items):,} samples for training.", extent, license="other")
            parents = [_make_link(rel, "../../catalog.json") for rel in ("root", "parent")]
            path = f"items/{folder}/collection.json"
            self.write_document(path, collection.to_dict(False, False), [*parents, *items])

    def write_document(self, path: str, document: Mapping[str, Any], links: Sequence[Mapping[str, str]]) -> None:
        """Write a document with these links."""
        linked = {**document, "links": [*links]}
        text = json.dumps(linked, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
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


def _make_item(
    sample: ExportedSample, row: RasterItem, classes: Sequence[LabelClass], labels: Sequence[LabelInfo]
) -> pystac.Item:
    import pystac
    from pystac.extensions.classification import ClassificationExtension

    own = {
        "geographer:raster_id": sample.raster_id,
        "geographer:part": sample.part,
        "geographer:class": sample.main_class,
        "geographer:classes": [*sample.classes],
        "geographer:datetime_is": "acquired" if row.acquired else "recorded",
    }
    item = pystac.Item(
        sample.stem,
        parse_geometry(row),
        make_bbox(row),
        row.acquired.replace(tzinfo=UTC) if row.acquired else datetime.fromisoformat(row.recorded_at),
        {**own, **make_projection_fields(row)},
        stac_extensions=[PROJECTION_EXTENSION],
        collection=sample.folder_name,
    )
    data_type = name_data_type(row.dtype)
    bands = [{"name": f"band {number}", "data_type": data_type} for number in range(1, sample.bands + 1)]
    item.add_asset("image", _make_asset(locate_image(sample), GEOTIFF, "data", {"bands": bands}))
    for label in labels:
        if label.name in sample.labels:
            media_type = "application/json" if label.file_suffix == ".json" else GEOTIFF
            asset = _make_asset(locate_label(sample, label), media_type, "labels", {"geographer:label": label.kind})
            item.add_asset(f"label-{label.name}", asset)
            if label.kind in _WITH_VALUES:
                described = _describe_values(classes, label)
                ClassificationExtension.ext(asset, add_if_missing=True).apply(classes=described)
    return item


def _describe_values(classes: Sequence[LabelClass], label: LabelInfo) -> list[Classification]:
    """Return the values of the pixels of a mask; names of the extension have letters, digits, `-` and `_` only."""
    from pystac.extensions.classification import Classification

    found = [Classification.create(0, "no object", "background")]
    for item in classes:
        name = re.sub(r"[^0-9A-Za-z_-]", "_", item.name)
        found.append(Classification.create(item.value, item.name, name))
    if label.ignore is not None:
        found.append(Classification.create(label.ignore, "ignored: no data, or of no use", "ignore"))
    return found


def _make_asset(path: str, media_type: str, role: str, fields: dict[str, Any]) -> pystac.Asset:
    import pystac

    return pystac.Asset(f"../../{path}", media_type=media_type, roles=[role], extra_fields=fields)


def _make_link(rel: str, href: str) -> dict[str, str]:
    return {"rel": rel, "href": href}
