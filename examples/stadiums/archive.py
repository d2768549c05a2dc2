"""Generate an archive of Sentinel-2-like scenes around the stadiums: GeoTIFFs and their STAC items.

The tiling resembles MGRS: squares of 20.48 km every 20 km in the stadium's UTM zone, so that neighbours overlap by
480 m and each stadium is completely in one tile. A tile has three acquisitions: one clear, one cloudy, and one
crossed by the edge of the orbit; some are processed twice. The ground depends on the location, clouds on location and
day, so every run writes the same bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import rasterio
import shapely
from affine import Affine
from outlines import SIDES, Stadium, make_feature
from rasterio.warp import transform

COLLECTION: Final = "sentinel-2-l2a"
LICENCE: Final = "CC0-1.0"
BANDS: Final = {"B02": "blue", "B03": "green", "B04": "red", "B08": "nir"}
PIXEL_SIZE: Final = 20
SIZE: Final = 1024
TILE_STEP: Final = 1000
"""Pixels from one tile to the next; tiles overlap by 24 pixels."""

_FIRST_DAY: Final = datetime(2026, 5, 4, tzinfo=UTC)
_DAYS_BETWEEN: Final = 35
_NEW_BASELINE, _OLD_BASELINE = 5.11, 5.10
"""Processing baselines; the old one gives slightly darker pixels."""
_QUANTISATION: Final = 64
"""Reflectances are multiples of this value, which compress well."""
_WATER: Final = (620, 560, 380, 240)
_PARK: Final = (380, 720, 460, 3100)
_TOWN: Final = (980, 1060, 1160, 1750)
_STAND: Final = (3300, 3250, 3200, 3400)
_GRASS: Final = (480, 1150, 420, 4300)
_EARTH: Final = (900, 1300, 1900, 2500)
_CLOUD: Final = (7600, 7400, 7300, 7100)

Pixels = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, order=True)
class Tile:
    """A square of the tiling: EPSG code of its UTM zone, and column and row in steps of 20 km."""

    epsg: int
    column: int
    row: int

    @property
    def tile_code(self) -> str:
        """Zone and south-west corner in steps of 20 km, such as `30N034E285N`."""
        side = "N" if self.epsg < 32700 else "S"
        return f"{self.epsg % 100:02d}{side}{self.column:03d}E{self.row:03d}N"

    @property
    def tile_bounds(self) -> tuple[float, float, float, float]:
        """West, south, east and north in metres."""
        west, south = self.column * TILE_STEP * PIXEL_SIZE, self.row * TILE_STEP * PIXEL_SIZE
        return west, south, west + SIZE * PIXEL_SIZE, south + SIZE * PIXEL_SIZE

    @property
    def pixel_transform(self) -> Affine:
        """The transform from pixels to metres."""
        west, _, _, north = self.tile_bounds
        return Affine(PIXEL_SIZE, 0, west, 0, -PIXEL_SIZE, north)


@dataclass(frozen=True, slots=True)
class Scene:
    """One acquisition of a tile, processed once.

    Attributes:
        tile: The tile.
        acquired: Acquisition time, UTC.
        aspect: 'clear', 'cloudy' or 'edge'.
        baseline: Processing baseline, such as 5.11.
    """

    tile: Tile
    acquired: datetime
    aspect: str
    baseline: float

    @property
    def platform_letter(self) -> str:
        """Satellite `a` or `b`, which alternate."""
        return "ab"[self.acquired.toordinal() // 5 % 2]

    @property
    def baseline_code(self) -> str:
        """The baseline as in product names, such as `N0511`."""
        return f"N{round(self.baseline * 100):04d}"

    @property
    def scene_id(self) -> str:
        """Product id, such as `S2A_30N034E285N_20260508_N0511`."""
        return f"S2{self.platform_letter.upper()}_{self.tile.tile_code}_{self.acquired:%Y%m%d}_{self.baseline_code}"


def find_tiles(stadiums: Iterable[Stadium]) -> list[Tile]:
    """Return all tiles that a stadium touches, in the UTM zone of the stadium; sorted."""
    return sorted({tile for stadium in stadiums for tile in _find_touched_tiles(stadium)})


def plan_scenes(tile: Tile) -> list[Scene]:
    """Return the scenes of a tile: three acquisitions, the clear one possibly in two processings."""
    rng = _make_rng(tile.tile_code)
    morning = (10 - (tile.epsg % 100 * 6 - 183) // 15) % 24
    orbit_day = _FIRST_DAY + timedelta(days=tile.column // 5 % 5, hours=morning, minutes=tile.row % 60)
    days = [orbit_day + timedelta(days=_DAYS_BETWEEN * number) for number in range(3)]
    aspects = rng.permutation(["clear", "cloudy", "edge"])
    scenes = [Scene(tile, day, str(aspect), _NEW_BASELINE) for day, aspect in zip(days, aspects, strict=True)]
    if rng.random() < 0.2:
        scenes += [Scene(tile, scene.acquired, "clear", _OLD_BASELINE) for scene in scenes if scene.aspect == "clear"]
    return scenes


def make_archive(folder: Path, stadiums: Iterable[Stadium]) -> list[dict[str, Any]]:
    """Write the archive of `stadiums` into `folder`; return its STAC items, with hrefs relative to the folder.

    Also writes `collection.json` and `items.json`.
    """
    stadium_list = list(stadiums)
    folder.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(2) as pool:
        items_by_tile = pool.map(lambda tile: _make_tile(folder, tile, stadium_list), find_tiles(stadium_list))
        items = [item for tile_items in items_by_tile for item in tile_items]
    collection = _make_collection(items)
    (folder / "collection.json").write_text(json.dumps(collection, indent=1) + "\n", encoding="utf-8")
    (folder / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": items}) + "\n")
    return items


def _make_tile(folder: Path, tile: Tile, stadiums: list[Stadium]) -> list[dict[str, Any]]:
    ground = _draw_ground(tile)
    west, south, east, north = _to_lonlat(tile, shapely.box(*tile.tile_bounds)).bounds
    for stadium in stadiums:
        if west <= stadium.longitude <= east and south <= stadium.latitude <= north:
            _draw_stadium(ground, tile, stadium)
    return [_write_scene(folder, scene, ground) for scene in plan_scenes(tile)]


def _find_touched_tiles(stadium: Stadium) -> Iterator[Tile]:
    zone = int((stadium.longitude + 180) // 6) + 1
    epsg = (32600 if stadium.latitude >= 0 else 32700) + zone
    ring = make_feature(stadium)["geometry"]["coordinates"][0]
    eastings, northings = transform("EPSG:4326", f"EPSG:{epsg}", *zip(*ring, strict=True))
    step, size = TILE_STEP * PIXEL_SIZE, SIZE * PIXEL_SIZE
    for column in range(int(min(eastings) - size) // step + 1, int(max(eastings)) // step + 1):
        for row in range(int(min(northings) - size) // step + 1, int(max(northings)) // step + 1):
            yield Tile(epsg, column, row)


# The ground: functions of absolute pixel coordinates, so that tiles agree where they overlap.


def _draw_ground(tile: Tile) -> Pixels:
    """Return reflectances (band, row, column) of water, parks and town blocks."""
    water, parks = _make_noise(tile, "water", 250), _make_noise(tile, "parks", 40)
    blocks, haze = _make_blocks(tile, 8), _make_noise(tile, "haze", 120)
    green, wet = parks > 0.66, (np.abs(water - 0.5) < 0.02) | (water < 0.14)
    shade = np.where(wet, np.float32(1), np.where(green, 0.85 + 0.3 * haze, 0.65 + 0.7 * blocks))
    class_index = np.where(wet, 2, green)
    return np.stack(
        [np.float32(reflectances)[class_index] * shade for reflectances in zip(_TOWN, _PARK, _WATER, strict=True)]
    )


def _make_noise(tile: Tile, seed_text: str, spacing: int) -> Pixels:
    """Return value noise in 0 … 1: random numbers on a lattice of `spacing` pixels, interpolated by smoothstep."""
    columns, left, edge_x = _compute_weights(tile.column * TILE_STEP, spacing)
    rows, top, down = _compute_weights(-tile.row * TILE_STEP - SIZE, spacing)
    lattice = _hash_to_unit(f"{tile.epsg} {seed_text}", rows, columns)
    # No matrix product: its last bit may differ between processors.
    lines = lattice[:, left] * (1 - edge_x) + lattice[:, left + 1] * edge_x
    return lines[top] * (1 - down[:, None]) + lines[top + 1] * down[:, None]


def _make_blocks(tile: Tile, spacing: int) -> Pixels:
    columns = (tile.column * TILE_STEP + np.arange(SIZE)) // spacing
    rows = (-tile.row * TILE_STEP - SIZE + np.arange(SIZE)) // spacing
    block_values = _hash_to_unit(
        f"{tile.epsg} blocks", np.arange(rows[0], rows[-1] + 1), np.arange(columns[0], columns[-1] + 1)
    )
    return block_values[np.ix_(rows - rows[0], columns - columns[0])]


def _compute_weights(first: int, spacing: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Pixels]:
    """Return the lattice numbers along an axis, the index before each pixel, and the smoothed fraction past it."""
    places = (first + np.arange(SIZE)) / spacing
    below = np.floor(places).astype(np.int64)
    part = places - below
    numbers = np.arange(below[0], below[-1] + 2)
    return numbers, below - below[0], (part * part * (3 - 2 * part)).astype(np.float32)


def _hash_to_unit(seed_text: str, rows: npt.NDArray[np.int64], columns: npt.NDArray[np.int64]) -> Pixels:
    """Return a random number in 0 … 1 for each pair of a row and a column: SplitMix64's finaliser over both."""
    seed = np.uint64(int.from_bytes(hashlib.sha256(seed_text.encode()).digest()[:8], "big"))
    hashed = seed + rows.astype(np.uint64)[:, None] * np.uint64(0x9E3779B97F4A7C15)
    for value in (columns.astype(np.uint64)[None, :] * np.uint64(0xD1B54A32D192ED03), np.uint64(0)):
        hashed = hashed + value
        hashed = (hashed ^ (hashed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        hashed = (hashed ^ (hashed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        hashed = hashed ^ (hashed >> np.uint64(31))
    return (hashed >> np.uint64(40)).astype(np.float32) / np.float32(2**24)


def _make_rng(*seed_text: str) -> np.random.Generator:
    digest = hashlib.sha256(" ".join(seed_text).encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "big")))


# A stadium: a bright oval of seats around the pitch.


def _draw_stadium(ground: Pixels, tile: Tile, stadium: Stadium) -> None:
    (easting,), (northing,) = transform("EPSG:4326", f"EPSG:{tile.epsg}", [stadium.longitude], [stadium.latitude])
    west, _, _, north = tile.tile_bounds
    column, row = (easting - west) / PIXEL_SIZE, (north - northing) / PIXEL_SIZE
    reach = SIDES[stadium.class_name] // PIXEL_SIZE
    columns = np.arange(max(int(column) - reach, 0), min(int(column) + reach + 1, SIZE))
    rows = np.arange(max(int(row) - reach, 0), min(int(row) + reach + 1, SIZE))
    if not (columns.size and rows.size):
        return
    piece = ground[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    fine = (np.arange(4) + 0.5) / 4
    x = ((columns[:, None] + fine).ravel() - column) * PIXEL_SIZE
    y = ((rows[:, None] + fine).ravel() - row) * PIXEL_SIZE
    for mask, reflectances in _iter_stadium_parts(stadium.class_name, x[None, :], y[:, None]):
        fraction = mask.reshape(rows.size, 4, columns.size, 4).mean(axis=(1, 3), dtype=np.float32)
        piece += fraction * (np.float32(reflectances)[:, None, None] - piece)


def _iter_stadium_parts(kind: str, x: Pixels, y: Pixels) -> Iterator[tuple[npt.NDArray[np.bool_], tuple[int, ...]]]:
    """Yield masks and reflectances from bottom to top, over metres east (x) and south (y) of the centre."""
    half = SIDES[kind] / 2
    yield (x / (0.85 * half)) ** 2 + (y / half) ** 2 < 1, _STAND
    if kind == "cricket":
        yield (x / 65) ** 2 + (y / 75) ** 2 < 1, _GRASS
        yield (abs(x) < 8) & (abs(y) < 16), _EARTH
    elif kind == "baseball":
        yield (x**2 + (y - 65) ** 2 < 125**2) & (abs(x) < 65 - y), _GRASS
        yield (abs(x) + abs(y - 38) < 30), _EARTH
    else:
        yield (abs(x) < 40) & (abs(y) < 60), _GRASS


# A scene: the ground as seen on one day, and its STAC item.


def _write_scene(folder: Path, scene: Scene, ground: Pixels) -> dict[str, Any]:
    rng = _make_rng(scene.tile.tile_code, f"{scene.acquired:%Y%m%d}")
    season = np.float32([1, 1, 1, 1 + rng.uniform(-0.12, 0.12)]) * np.float32(rng.uniform(0.94, 1.06))
    season *= np.float32(1 if scene.baseline == _NEW_BASELINE else 0.98)
    cover = {"clear": rng.uniform(0.005, 0.1), "edge": rng.uniform(0, 0.08), "cloudy": rng.uniform(0.35, 0.8)}
    clouds = _make_clouds(scene, cover[scene.aspect])
    valid, outline = _make_swath(scene)
    bands = zip(ground, season, _CLOUD, strict=True)
    values = np.stack([_encode_band(band * gain, clouds, bright) * valid for band, gain, bright in bands])
    path = folder / f"{scene.scene_id}.tif"
    _write_geotiff(path, scene, values)
    return _make_item(scene, path, outline, float((clouds > 0.5)[valid].mean() * 100), float((~valid).mean() * 100))


def _encode_band(band: Pixels, clouds: Pixels, bright: float) -> npt.NDArray[np.uint16]:
    """Return one band (row, column) with clouds, quantised to uint16."""
    band += clouds * (bright - band)
    band /= _QUANTISATION
    return np.rint(band, out=band).astype(np.uint16) * np.uint16(_QUANTISATION)


def _make_clouds(scene: Scene, cover: float) -> Pixels:
    """Return the cloud fraction of each pixel, 0 … 1, for a mean of about `cover`."""
    day = f"{scene.acquired:%Y%m%d}"
    density = 0.75 * _make_noise(scene.tile, f"clouds {day}", 150) + 0.25 * _make_noise(scene.tile, f"tufts {day}", 30)
    level = np.quantile(density[::8, ::8], 1 - cover)
    return np.clip((density - level) / 0.04 + 0.5, 0, 1)


def _make_swath(scene: Scene) -> tuple[npt.NDArray[np.bool_], shapely.Polygon]:
    """Return the mask of the pixels that the satellite saw, and their outline in metres."""
    west, south, east, north = scene.tile.tile_bounds
    if scene.aspect != "edge":
        return np.ones((SIZE, SIZE), bool), shapely.box(west, south, east, north)
    edge_position, slant = _make_rng(scene.tile.tile_code, "edge").uniform(0.45, 0.8), 0.2
    columns, rows = np.arange(SIZE) + 0.5, np.arange(SIZE)[:, None] + 0.5
    is_seen = columns < edge_position * SIZE - slant * (rows - SIZE / 2)
    edge_x = [west + PIXEL_SIZE * (edge_position * SIZE - slant * (row - SIZE / 2)) for row in (0, SIZE)]
    return is_seen, shapely.Polygon([(west, south), (edge_x[1], south), (edge_x[0], north), (west, north)])


def _write_geotiff(path: Path, scene: Scene, values: npt.NDArray[np.uint16]) -> None:
    profile = {
        "driver": "GTiff",
        "width": SIZE,
        "height": SIZE,
        "count": len(BANDS),
        "dtype": "uint16",
        "crs": f"EPSG:{scene.tile.epsg}",
        "transform": scene.tile.pixel_transform,
        "nodata": 0,
        "tiled": True,
        "blockxsize": 256,
        "blockysize": 256,
        "interleave": "band",
        "compress": "zstd",
        "zstd_level": 1,
        "predictor": 2,
    }
    with rasterio.open(path, "w", **profile) as raster:
        raster.write(values)
        for number, name in enumerate(BANDS, start=1):
            raster.set_band_description(number, name)


def _make_item(
    scene: Scene, path: Path, outline: shapely.Polygon, cloud_percent: float, nodata_percent: float
) -> dict[str, Any]:
    content = path.read_bytes()
    orbit = 1 + scene.tile.column // 5 * 7 % 143
    orbits = 50_000 + 143 * ((scene.acquired - _FIRST_DAY).days // 10) + orbit
    baseline = f"{scene.baseline:05.2f}"
    platform = scene.platform_letter.upper()
    footprint = _to_lonlat(scene.tile, outline)
    processed = scene.acquired + timedelta(days=40 if scene.baseline == _NEW_BASELINE else 1)
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "stac_extensions": [
            "https://stac-extensions.github.io/eo/v1.1.0/schema.json",
            "https://stac-extensions.github.io/file/v2.1.0/schema.json",
            "https://stac-extensions.github.io/grid/v1.1.0/schema.json",
            "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
            "https://stac-extensions.github.io/sat/v1.0.0/schema.json",
        ],
        "id": scene.scene_id,
        "collection": COLLECTION,
        "geometry": shapely.geometry.mapping(footprint),
        "bbox": [round(value, 7) for value in footprint.bounds],
        "properties": {
            "datetime": f"{scene.acquired:%Y-%m-%dT%H:%M:%SZ}",
            "created": f"{processed:%Y-%m-%dT%H:%M:%SZ}",
            "platform": f"sentinel-2{scene.platform_letter}",
            "constellation": "sentinel-2",
            "instruments": ["msi"],
            "gsd": PIXEL_SIZE,
            "eo:cloud_cover": round(cloud_percent, 2),
            "grid:code": f"UTM20K-{scene.tile.tile_code}",
            "proj:code": f"EPSG:{scene.tile.epsg}",
            "proj:bbox": list(scene.tile.tile_bounds),
            "proj:shape": [SIZE, SIZE],
            "proj:transform": list(scene.tile.pixel_transform)[:6],
            "sat:orbit_state": "descending",
            "sat:relative_orbit": orbit,
            "sat:absolute_orbit": orbits,
            "s2:datatake_id": f"GS2{platform}_{scene.acquired:%Y%m%dT%H0000}_{orbits:06d}_N{baseline}",
            "s2:nodata_pixel_percentage": round(nodata_percent, 2),
            "s2:processing_baseline": baseline,
            "s2:product_type": "S2MSI2A",
        },
        "links": [],
        "assets": {
            "data": {
                "href": path.name,
                "type": "image/tiff; application=geotiff; profile=cloud-optimized",
                "title": "Reflectances times 10,000, offset applied; 0 is no data",
                "roles": ["data", "reflectance"],
                "eo:bands": [{"name": name, "common_name": common} for name, common in BANDS.items()],
                "file:size": len(content),
                "file:checksum": "1220" + hashlib.sha256(content).hexdigest(),
            }
        },
    }


def _to_lonlat(tile: Tile, outline: shapely.Polygon) -> shapely.Polygon:
    """Return the outline in longitude/latitude, counter-clockwise, with a vertex every 5 km."""

    def to_degrees(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.round(np.column_stack(transform(f"EPSG:{tile.epsg}", "EPSG:4326", *points.T)), 7)

    return shapely.orient_polygons(shapely.transform(shapely.segmentize(outline, 5_000), to_degrees))


def _make_collection(items: list[dict[str, Any]]) -> dict[str, Any]:
    boxes = np.array([item["bbox"] for item in items])
    times = sorted(item["properties"]["datetime"] for item in items)
    extent = [*boxes[:, :2].min(axis=0).tolist(), *boxes[:, 2:].max(axis=0).tolist()]
    return {
        "type": "Collection",
        "stac_version": "1.0.0",
        "id": COLLECTION,
        "title": "Sentinel-2-like scenes, generated",
        "description": "Drawn by the example of geographer: not what any satellite saw.",
        "license": LICENCE,
        "extent": {"spatial": {"bbox": [extent]}, "temporal": {"interval": [[times[0], times[-1]]]}},
        "links": [],
    }
