"""An archive of generated, Sentinel-2-like scenes around the stadiums: GeoTIFFs and the STAC items that tell of them.

The tiling is MGRS's in spirit: squares of 20.48 km on a 20 km raster of the stadium's own UTM zone, so that neighbours
overlap by 480 m and every stadium lies wholly in one of them. Each tile has three acquisitions, of which one is clear,
one cloudy, and one crossed by the edge of the orbit; some were processed twice. The ground is drawn from numbers that
depend on the place alone, clouds from the place and the day: the same bytes on every run.
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
from outlines import SIDES, Stadium, feature
from rasterio.warp import transform

COLLECTION: Final = "sentinel-2-l2a"
LICENCE: Final = "CC0-1.0"
BANDS: Final = {"B02": "blue", "B03": "green", "B04": "red", "B08": "nir"}
PIXEL: Final = 20
SIZE: Final = 1024
STEP: Final = 1000
"""Pixels from one tile to the next: 24 fewer than a tile has."""

_FIRST_DAY: Final = datetime(2026, 5, 4, tzinfo=UTC)
_DAYS_BETWEEN: Final = 35
_NEWEST, _OLDER = 5.11, 5.10
"""Baselines: the older one comes to slightly darker pixels."""
_STEP_OF_VALUES: Final = 64
"""Reflectances are multiples of it, which compresses well."""
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
    """A square of the tiling: the EPSG code of its UTM zone, and its column and row there, counted in steps."""

    epsg: int
    column: int
    row: int

    @property
    def code(self) -> str:
        """Such as `30N034E285N`: the zone, and the south-western corner in steps of 20 km."""
        side = "N" if self.epsg < 32700 else "S"
        return f"{self.epsg % 100:02d}{side}{self.column:03d}E{self.row:03d}N"

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """West, south, east and north in metres."""
        west, south = self.column * STEP * PIXEL, self.row * STEP * PIXEL
        return west, south, west + SIZE * PIXEL, south + SIZE * PIXEL

    @property
    def transform(self) -> Affine:
        """From pixels to metres."""
        west, _, _, north = self.bounds
        return Affine(PIXEL, 0, west, 0, -PIXEL, north)


@dataclass(frozen=True, slots=True)
class Scene:
    """One acquisition of a tile, processed once.

    Attributes:
        tile: Where.
        acquired: When, in UTC.
        aspect: 'clear', 'cloudy' or 'edge'.
        baseline: Of the processing, such as 5.11.
    """

    tile: Tile
    acquired: datetime
    aspect: str
    baseline: float

    @property
    def platform(self) -> str:
        """The two satellites take turns."""
        return "ab"[self.acquired.toordinal() // 5 % 2]

    @property
    def version(self) -> str:
        """The baseline as product names have it, such as `N0511`."""
        return f"N{round(self.baseline * 100):04d}"

    @property
    def identity(self) -> str:
        """Such as `S2A_30N034E285N_20260508_N0511`."""
        return f"S2{self.platform.upper()}_{self.tile.code}_{self.acquired:%Y%m%d}_{self.version}"


def tiles(stadiums: Iterable[Stadium]) -> list[Tile]:
    """Every tile that some stadium touches, in the UTM zone that the stadium lies in; sorted."""
    return sorted({tile for stadium in stadiums for tile in _touched(stadium)})


def scenes(tile: Tile) -> list[Scene]:
    """What there is of a tile: three acquisitions, of which the clear one may be there in two processings."""
    chance = _chance(tile.code)
    morning = (10 - (tile.epsg % 100 * 6 - 183) // 15) % 24
    orbit_day = _FIRST_DAY + timedelta(days=tile.column // 5 % 5, hours=morning, minutes=tile.row % 60)
    days = [orbit_day + timedelta(days=_DAYS_BETWEEN * number) for number in range(3)]
    aspects = chance.permutation(["clear", "cloudy", "edge"])
    found = [Scene(tile, day, str(aspect), _NEWEST) for day, aspect in zip(days, aspects, strict=True)]
    if chance.random() < 0.2:
        found += [Scene(tile, scene.acquired, "clear", _OLDER) for scene in found if scene.aspect == "clear"]
    return found


def make(folder: Path, stadiums: Iterable[Stadium]) -> list[dict[str, Any]]:
    """Write the archive of `stadiums` into `folder`; answer its STAC items, with hrefs relative to the folder.

    `collection.json` and `items.json` are written beside the scenes.
    """
    there = list(stadiums)
    folder.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(2) as pool:
        made = pool.map(lambda tile: _of_tile(folder, tile, there), tiles(there))
        items = [item for some in made for item in some]
    collection = _collection(items)
    (folder / "collection.json").write_text(json.dumps(collection, indent=1) + "\n", encoding="utf-8")
    (folder / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": items}) + "\n")
    return items


def _of_tile(folder: Path, tile: Tile, stadiums: list[Stadium]) -> list[dict[str, Any]]:
    ground = _ground(tile)
    west, south, east, north = _lonlat(tile, shapely.box(*tile.bounds)).bounds
    for stadium in stadiums:
        if west <= stadium.longitude <= east and south <= stadium.latitude <= north:
            _draw(ground, tile, stadium)
    return [_written(folder, scene, ground) for scene in scenes(tile)]


def _touched(stadium: Stadium) -> Iterator[Tile]:
    zone = int((stadium.longitude + 180) // 6) + 1
    epsg = (32600 if stadium.latitude >= 0 else 32700) + zone
    ring = feature(stadium)["geometry"]["coordinates"][0]
    eastings, northings = transform("EPSG:4326", f"EPSG:{epsg}", *zip(*ring, strict=True))
    step, size = STEP * PIXEL, SIZE * PIXEL
    for column in range(int(min(eastings) - size) // step + 1, int(max(eastings)) // step + 1):
        for row in range(int(min(northings) - size) // step + 1, int(max(northings)) // step + 1):
            yield Tile(epsg, column, row)


# How the ground looks: numbers that depend on absolute pixels, so that tiles agree where they overlap.


def _ground(tile: Tile) -> Pixels:
    """Reflectances of the bands (band, row, column): water, parks, and blocks of a town."""
    water, parks = _noise(tile, "water", 250), _noise(tile, "parks", 40)
    blocks, haze = _blocks(tile, 8), _noise(tile, "haze", 120)
    green, wet = parks > 0.66, (np.abs(water - 0.5) < 0.02) | (water < 0.14)
    shade = np.where(wet, np.float32(1), np.where(green, 0.85 + 0.3 * haze, 0.65 + 0.7 * blocks))
    look = np.where(wet, 2, green)
    return np.stack([np.float32(looks)[look] * shade for looks in zip(_TOWN, _PARK, _WATER, strict=True)])


def _noise(tile: Tile, what: str, spacing: int) -> Pixels:
    """Smooth noise in 0 … 1: random numbers on a lattice of `spacing` pixels, and smooth steps between them."""
    columns, left, across = _steps(tile.column * STEP, spacing)
    rows, top, down = _steps(-tile.row * STEP - SIZE, spacing)
    lattice = _hashed(f"{tile.epsg} {what}", rows, columns)
    # Products and sums one by one: a matrix product may differ between processors in the last bit.
    lines = lattice[:, left] * (1 - across) + lattice[:, left + 1] * across
    return lines[top] * (1 - down[:, None]) + lines[top + 1] * down[:, None]


def _blocks(tile: Tile, spacing: int) -> Pixels:
    columns = (tile.column * STEP + np.arange(SIZE)) // spacing
    rows = (-tile.row * STEP - SIZE + np.arange(SIZE)) // spacing
    each = _hashed(f"{tile.epsg} blocks", np.arange(rows[0], rows[-1] + 1), np.arange(columns[0], columns[-1] + 1))
    return each[np.ix_(rows - rows[0], columns - columns[0])]


def _steps(first: int, spacing: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Pixels]:
    """Along an axis: the lattice's numbers, the place of the one before each pixel, and how far that is past it."""
    places = (first + np.arange(SIZE)) / spacing
    below = np.floor(places).astype(np.int64)
    part = places - below
    numbers = np.arange(below[0], below[-1] + 2)
    return numbers, below - below[0], (part * part * (3 - 2 * part)).astype(np.float32)


def _hashed(what: str, rows: npt.NDArray[np.int64], columns: npt.NDArray[np.int64]) -> Pixels:
    """A random number in 0 … 1 for each pair of a row and a column: SplitMix64's finaliser over both."""
    seed = np.uint64(int.from_bytes(hashlib.sha256(what.encode()).digest()[:8], "big"))
    mixed = seed + rows.astype(np.uint64)[:, None] * np.uint64(0x9E3779B97F4A7C15)
    for value in (columns.astype(np.uint64)[None, :] * np.uint64(0xD1B54A32D192ED03), np.uint64(0)):
        mixed = mixed + value
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed = mixed ^ (mixed >> np.uint64(31))
    return (mixed >> np.uint64(40)).astype(np.float32) / np.float32(2**24)


def _chance(*what: str) -> np.random.Generator:
    digest = hashlib.sha256(" ".join(what).encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "big")))


# How a stadium looks: a bright oval of stands around what is played on.


def _draw(ground: Pixels, tile: Tile, stadium: Stadium) -> None:
    (easting,), (northing,) = transform("EPSG:4326", f"EPSG:{tile.epsg}", [stadium.longitude], [stadium.latitude])
    west, _, _, north = tile.bounds
    column, row = (easting - west) / PIXEL, (north - northing) / PIXEL
    reach = SIDES[stadium.kind] // PIXEL
    columns = np.arange(max(int(column) - reach, 0), min(int(column) + reach + 1, SIZE))
    rows = np.arange(max(int(row) - reach, 0), min(int(row) + reach + 1, SIZE))
    if not (columns.size and rows.size):
        return
    piece = ground[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    fine = (np.arange(4) + 0.5) / 4
    x = ((columns[:, None] + fine).ravel() - column) * PIXEL
    y = ((rows[:, None] + fine).ravel() - row) * PIXEL
    for held, look in _parts(stadium.kind, x[None, :], y[:, None]):
        share = held.reshape(rows.size, 4, columns.size, 4).mean(axis=(1, 3), dtype=np.float32)
        piece += share * (np.float32(look)[:, None, None] - piece)


def _parts(kind: str, x: Pixels, y: Pixels) -> Iterator[tuple[npt.NDArray[np.bool_], tuple[int, ...]]]:
    """Masks and reflectances from the bottom up, over metres east (x) and south (y) of the centre."""
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


# One scene: the ground as that day shows it, and the item that tells of it.


def _written(folder: Path, scene: Scene, ground: Pixels) -> dict[str, Any]:
    chance = _chance(scene.tile.code, f"{scene.acquired:%Y%m%d}")
    season = np.float32([1, 1, 1, 1 + chance.uniform(-0.12, 0.12)]) * np.float32(chance.uniform(0.94, 1.06))
    season *= np.float32(1 if scene.baseline == _NEWEST else 0.98)
    cover = {"clear": chance.uniform(0.005, 0.1), "edge": chance.uniform(0, 0.08), "cloudy": chance.uniform(0.35, 0.8)}
    clouds = _clouds(scene, cover[scene.aspect])
    valid, outline = _swath(scene)
    bands = zip(ground, season, _CLOUD, strict=True)
    values = np.stack([_seen(band * gain, clouds, bright) * valid for band, gain, bright in bands])
    path = folder / f"{scene.identity}.tif"
    _write(path, scene, values)
    return _item(scene, path, outline, float((clouds > 0.5)[valid].mean() * 100), float((~valid).mean() * 100))


def _seen(band: Pixels, clouds: Pixels, bright: float) -> npt.NDArray[np.uint16]:
    """One band (row, column) under the clouds, as it is kept."""
    band += clouds * (bright - band)
    band /= _STEP_OF_VALUES
    return np.rint(band, out=band).astype(np.uint16) * np.uint16(_STEP_OF_VALUES)


def _clouds(scene: Scene, cover: float) -> Pixels:
    """How much of each pixel is cloud, 0 … 1; about `cover` of the tile."""
    day = f"{scene.acquired:%Y%m%d}"
    heaps = 0.75 * _noise(scene.tile, f"clouds {day}", 150) + 0.25 * _noise(scene.tile, f"tufts {day}", 30)
    level = np.quantile(heaps[::8, ::8], 1 - cover)
    return np.clip((heaps - level) / 0.04 + 0.5, 0, 1)


def _swath(scene: Scene) -> tuple[npt.NDArray[np.bool_], shapely.Polygon]:
    """Which pixels the satellite saw, and their outline in metres."""
    west, south, east, north = scene.tile.bounds
    if scene.aspect != "edge":
        return np.ones((SIZE, SIZE), bool), shapely.box(west, south, east, north)
    at, slant = _chance(scene.tile.code, "edge").uniform(0.45, 0.8), 0.2
    columns, rows = np.arange(SIZE) + 0.5, np.arange(SIZE)[:, None] + 0.5
    seen = columns < at * SIZE - slant * (rows - SIZE / 2)
    across = [west + PIXEL * (at * SIZE - slant * (row - SIZE / 2)) for row in (0, SIZE)]
    return seen, shapely.Polygon([(west, south), (across[1], south), (across[0], north), (west, north)])


def _write(path: Path, scene: Scene, values: npt.NDArray[np.uint16]) -> None:
    profile = {
        "driver": "GTiff",
        "width": SIZE,
        "height": SIZE,
        "count": len(BANDS),
        "dtype": "uint16",
        "crs": f"EPSG:{scene.tile.epsg}",
        "transform": scene.tile.transform,
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


def _item(scene: Scene, path: Path, outline: shapely.Polygon, cloudy: float, unseen: float) -> dict[str, Any]:
    content = path.read_bytes()
    orbit = 1 + scene.tile.column // 5 * 7 % 143
    orbits = 50_000 + 143 * ((scene.acquired - _FIRST_DAY).days // 10) + orbit
    baseline = f"{scene.baseline:05.2f}"
    footprint = _lonlat(scene.tile, outline)
    processed = scene.acquired + timedelta(days=40 if scene.baseline == _NEWEST else 1)
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
        "id": scene.identity,
        "collection": COLLECTION,
        "geometry": shapely.geometry.mapping(footprint),
        "bbox": [round(value, 7) for value in footprint.bounds],
        "properties": {
            "datetime": f"{scene.acquired:%Y-%m-%dT%H:%M:%SZ}",
            "created": f"{processed:%Y-%m-%dT%H:%M:%SZ}",
            "platform": f"sentinel-2{scene.platform}",
            "constellation": "sentinel-2",
            "instruments": ["msi"],
            "gsd": PIXEL,
            "eo:cloud_cover": round(cloudy, 2),
            "grid:code": f"UTM20K-{scene.tile.code}",
            "proj:code": f"EPSG:{scene.tile.epsg}",
            "proj:bbox": list(scene.tile.bounds),
            "proj:shape": [SIZE, SIZE],
            "proj:transform": list(scene.tile.transform)[:6],
            "sat:orbit_state": "descending",
            "sat:relative_orbit": orbit,
            "sat:absolute_orbit": orbits,
            "s2:datatake_id": f"GS2{scene.platform.upper()}_{scene.acquired:%Y%m%dT%H0000}_{orbits:06d}_N{baseline}",
            "s2:nodata_pixel_percentage": round(unseen, 2),
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


def _lonlat(tile: Tile, outline: shapely.Polygon) -> shapely.Polygon:
    """The outline in longitude and latitude, counter-clockwise, with a vertex every 5 km."""

    def to_degrees(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.round(np.column_stack(transform(f"EPSG:{tile.epsg}", "EPSG:4326", *points.T)), 7)

    return shapely.orient_polygons(shapely.transform(shapely.segmentize(outline, 5_000), to_degrees))


def _collection(items: list[dict[str, Any]]) -> dict[str, Any]:
    boxes = np.array([item["bbox"] for item in items])
    moments = sorted(item["properties"]["datetime"] for item in items)
    whole = [*boxes[:, :2].min(axis=0).tolist(), *boxes[:, 2:].max(axis=0).tolist()]
    return {
        "type": "Collection",
        "stac_version": "1.0.0",
        "id": COLLECTION,
        "title": "Sentinel-2-like scenes, generated",
        "description": "Drawn by the example of geographer: not what any satellite saw.",
        "license": LICENCE,
        "extent": {"spatial": {"bbox": [whole]}, "temporal": {"interval": [[moments[0], moments[-1]]]}},
        "links": [],
    }
