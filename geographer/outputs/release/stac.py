"""The rasters of a release as a STAC 1.1 catalogue: a collection for each collection, an item for each raster.

Sources: the STAC specification and its extensions file, projection and version, https://stac-extensions.github.io.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import quote

from geographer.outputs.release import sentences
from geographer.outputs.release.citation import Creators
from geographer.outputs.release.croissant import Bands, list_licences
from geographer.outputs.release.facts import CollectionFacts, ReleaseFacts
from geographer.outputs.release.layout import STAC
from geographer.outputs.release.licences import find_spdx_identifier
from geographer.storage.queries.revision import Revision

if TYPE_CHECKING:
    import pystac

_ITEMS: Final = Path(__file__).with_name("stac_items.sql")
_BATCH: Final = 500
_PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.~-]{0,199}")
_DECIMALS: Final = 9
_EXTENSIONS: Final = "https://stac-extensions.github.io"
FILE_EXTENSION: Final = f"{_EXTENSIONS}/file/v2.1.0/schema.json"
PROJECTION_EXTENSION: Final = f"{_EXTENSIONS}/projection/v2.0.0/schema.json"
VERSION_EXTENSION: Final = f"{_EXTENSIONS}/version/v1.2.0/schema.json"
_SHA256_MULTIHASH: Final = "1220"
GEOTIFF: Final = "image/tiff; application=geotiff"


class RasterItem(NamedTuple):
    """A raster; see `stac_items.sql`. Bounds are west, south, east, north in degrees."""

    key: int
    raster_id: str
    path: str | None
    storage: str
    geometry: str | None
    west: float | None
    south: float | None
    east: float | None
    north: float | None
    crs: str
    width: int | None
    height: int | None
    transform: list[float] | None
    bands: int | None
    dtype: str | None
    size: int | None
    sha256: str | None
    acquired: datetime | None
    recorded_at: str
    licence: str | None
    parent_id: str | None
    parent_collection: str | None
    labels: list[Mapping[str, Any]]
    parts: list[Mapping[str, Any]]
    is_older: bool


def write_catalogue(revision: Revision, facts: ReleaseFacts, bands: Bands, folder: Path) -> None:
    """Write the catalogue into `folder`/stac: one file for each raster, some hundred of which are in memory at once."""
    import pystac

    writer = _CatalogueWriter(facts, folder / STAC)
    catalogue = pystac.Catalog(f"urn:sha256:{facts.tag.content_digest}", sentences.make_summary(facts))
    catalogue.title = sentences.make_title(facts)
    links = []
    for item in facts.collections:
        if item.rasters:
            writer.write_collection(revision, item, bands.get(item.name, []))
            links.append({"rel": "child", "href": f"./{quote(item.name)}/collection.json", "title": item.name})
    document = catalogue.to_dict(include_self_link=False, transform_hrefs=False)
    document["links"] = [{"rel": "root", "href": "./catalog.json"}, *links]
    writer.write_document("catalog.json", document)


class _CatalogueWriter:
    """Writes the documents of a catalogue."""

    def __init__(self, facts: ReleaseFacts, folder: Path) -> None:
        self._facts = facts
        self._folder = folder
        self._creators = Creators(facts)

    def write_document(self, path: str, document: Mapping[str, Any]) -> None:
        target = self._folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(document, ensure_ascii=False, separators=(",", ":"), sort_keys=True) + "\n")

    def write_collection(self, revision: Revision, item: CollectionFacts, bands: list[str]) -> None:
        import pystac

        extent, links = ItemExtent(), []
        for row in _iter_rasters(revision, item.name, self._facts.previous_position):
            path = f"{item.name}/{name_item(row.raster_id, item.name)}"
            self.write_document(path, self._make_item(row, item, bands))
            links.append({"rel": "item", "href": f"./{quote(name_item(row.raster_id, item.name))}"})
            extent.add_raster(row)
        described = self._facts.description.fields.get("source_licences", {})
        licences = list_licences(item, described) or ([] if item.is_source else [self._creators.licence_name])
        collection = pystac.Collection(
            item.name,
            sentences.describe_collection(item),
            extent.make_extent(),
            license=_name_licence(licences[0]) if len(licences) == 1 else "other",
            stac_extensions=[VERSION_EXTENSION],
        )
        document = collection.to_dict(include_self_link=False, transform_hrefs=False)
        document["version"] = self._facts.tag.version
        parents = [{"rel": rel, "href": "../catalog.json"} for rel in ("root", "parent")]
        document["links"] = [*parents, *self._make_version_link(f"{quote(item.name)}/collection.json", depth=2), *links]
        self.write_document(f"{item.name}/collection.json", document)

    def _make_version_link(self, path: str, depth: int) -> list[dict[str, str]]:
        """Return the link to the same document of the previous tag, whose release lies beside this one."""
        if self._facts.previous_tag is None:
            return []
        base = self._creators.described_url.rstrip("/") or "/".join([".."] * (depth + 1))
        href = f"{base}/{quote(self._facts.previous_tag)}/{STAC}/{path}"
        return [{"rel": "predecessor-version", "href": href, "type": "application/json"}]

    def _make_item(self, row: RasterItem, item: CollectionFacts, bands: list[str]) -> dict[str, Any]:
        import pystac

        recorded = datetime.fromisoformat(row.recorded_at)
        properties: dict[str, Any] = {
            "created": row.recorded_at,
            "version": self._facts.tag.version,
            "geographer:datetime_is": "acquired" if row.acquired else "recorded",
            "geographer:splits": {part["split"]: part["part"] for part in row.parts},
        }
        properties |= make_projection_fields(row)
        if row.licence:
            properties["license"] = _name_licence(row.licence)
        stac_item = pystac.Item(
            row.raster_id,
            parse_geometry(row),
            make_bbox(row),
            row.acquired.replace(tzinfo=UTC) if row.acquired else recorded,
            properties,
            stac_extensions=[FILE_EXTENSION, PROJECTION_EXTENSION, VERSION_EXTENSION],
            collection=item.name,
        )
        for name, asset in _iter_assets(row, bands):
            stac_item.add_asset(name, asset)
        document = stac_item.to_dict(include_self_link=False, transform_hrefs=False)
        document["links"] = self._make_item_links(row, item)
        return document

    def _make_item_links(self, row: RasterItem, item: CollectionFacts) -> list[dict[str, str]]:
        links = [
            {"rel": "root", "href": "../catalog.json"},
            {"rel": "parent", "href": "./collection.json"},
            {"rel": "collection", "href": "./collection.json"},
        ]
        if row.parent_id is not None and row.parent_collection is not None:
            parent = quote(name_item(row.parent_id, row.parent_collection))
            links.append({"rel": "derived_from", "href": f"../{quote(row.parent_collection)}/{parent}"})
        if row.is_older:
            path = f"{quote(item.name)}/{quote(name_item(row.raster_id, item.name))}"
            links += self._make_version_link(path, depth=2)
        return links


class ItemExtent:
    """The bounds and times of the items of a collection."""

    def __init__(self) -> None:
        self._bounds: list[float] | None = None
        self._times: list[datetime] = []

    def add_raster(self, row: RasterItem) -> None:
        """Extend the extent by a raster."""
        if row.acquired:
            time = row.acquired.replace(tzinfo=UTC)
            self._times = [min([time, *self._times]), max([time, *self._times])]
        bbox = make_bbox(row)
        if bbox is None:
            return
        if bbox[0] > bbox[2]:
            bbox = [-180.0, bbox[1], 180.0, bbox[3]]
        old = self._bounds or bbox
        self._bounds = [min(old[0], bbox[0]), min(old[1], bbox[1]), max(old[2], bbox[2]), max(old[3], bbox[3])]

    def make_extent(self) -> pystac.Extent:
        """Return the extent; that of the globe without rasters that have bounds."""
        import pystac

        times: list[datetime | None] = [*self._times] or [None, None]
        spatial = pystac.SpatialExtent([self._bounds or [-180.0, -90.0, 180.0, 90.0]])
        return pystac.Extent(spatial, pystac.TemporalExtent([times]))


def name_item(raster_id: str, collection: str) -> str:
    """Return the name of an item's file in the folder of its collection: it is the same as path and in a URL."""
    name = raster_id.removeprefix(f"{collection}/")
    if not _PLAIN_NAME.fullmatch(name) or name.lower().startswith(("collection", "sha256-")):
        name = f"sha256-{hashlib.sha256(raster_id.encode()).hexdigest()}"
    return f"{name}.json"


def _iter_rasters(revision: Revision, collection: str, previous: int) -> Iterator[RasterItem]:
    query, after = _ITEMS.read_text(), -1
    while True:
        parameters = {"collection": collection, "after": after, "limit": _BATCH, "previous": previous}
        rows = [RasterItem(*row) for row in revision.fetch_rows(query, parameters)]
        yield from rows
        if len(rows) < _BATCH:
            return
        after = rows[-1].key


def parse_geometry(row: RasterItem) -> dict[str, Any] | None:
    """Return the footprint as GeoJSON, rounded to a tenth of a millimetre; None if it is not on the globe."""
    if row.geometry is None or row.west is None:
        return None
    geometry: dict[str, Any] = json.loads(row.geometry)
    geometry["coordinates"] = _round_coordinates(geometry["coordinates"])
    return geometry


def _round_coordinates(value: Any) -> Any:
    return [_round_coordinates(item) for item in value] if isinstance(value, list) else round(value, _DECIMALS)


def make_bbox(row: RasterItem) -> list[float] | None:
    """Return west, south, east, north; west is greater than east if the footprint is cut at the antimeridian."""
    geometry = parse_geometry(row)
    if geometry is None or row.west is None or row.south is None or row.east is None or row.north is None:
        return None
    west, east = row.west, row.east
    if geometry["type"] == "MultiPolygon" and west <= -180 and east >= 180:
        bounds = [(min(x for x, _ in part[0]), max(x for x, _ in part[0])) for part in geometry["coordinates"]]
        west = min((low for low, high in bounds if high >= 180), default=west)
        east = max((high for low, high in bounds if low <= -180), default=east)
    return [round(value, _DECIMALS) for value in (west, row.south, east, row.north)]


def make_projection_fields(row: RasterItem) -> dict[str, Any]:
    """Return the CRS and the grid: the transform is a, b, c, d, e, f of x = a*column + b*row + c, y alike."""
    fields: dict[str, Any] = {"proj:code": row.crs} if row.crs.startswith("EPSG:") else {"proj:code": None}
    if not row.crs.startswith("EPSG:"):
        fields["proj:wkt2"] = row.crs
    if row.transform:
        fields["proj:transform"] = row.transform
    if row.height and row.width:
        fields["proj:shape"] = [row.height, row.width]
    return fields


def _iter_assets(row: RasterItem, bands: list[str]) -> Iterator[tuple[str, pystac.Asset]]:
    """Yield the file of the raster, if its bytes are in the release, and its labels."""
    import pystac

    if row.storage == "dvc" and row.path:
        names = bands if len(bands) == row.bands else [f"band {number}" for number in range(1, (row.bands or 0) + 1)]
        fields = make_file_fields(row.size, row.sha256)
        fields["bands"] = [{"name": name, "data_type": name_data_type(row.dtype)} for name in names]
        yield "data", pystac.Asset(f"../../{quote(row.path)}", media_type=GEOTIFF, roles=["data"], extra_fields=fields)
    for label in row.labels:
        is_json = label["path"].endswith(".json")
        media_type = "application/json" if is_json else GEOTIFF
        fields = make_file_fields(label["size"], label["sha256"])
        href = f"../../{quote(label['path'])}"
        roles = ["labels"]
        yield f"label-{label['label']}", pystac.Asset(href, media_type=media_type, roles=roles, extra_fields=fields)


def _name_licence(licence: str) -> str:
    """Return a licence as STAC names it: by its SPDX identifier, or `other`."""
    return find_spdx_identifier(licence) or "other"


def make_file_fields(size: int | None, sha256: str | None) -> dict[str, Any]:
    """Return what the file extension says of a file; the checksum is a multihash."""
    return {"file:size": size, "file:checksum": f"{_SHA256_MULTIHASH}{sha256}"}


def name_data_type(dtype: str | None) -> str:
    """Return the data type as STAC names it."""
    known = {"complex64": "cfloat32", "complex128": "cfloat64", "complex_int16": "cint16"}
    return known.get(dtype or "", dtype or "other")
