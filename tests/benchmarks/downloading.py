"""9: the fewest scenes for many features: how few, how fast, in how many searches, and how many bytes that takes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from geographer.archives.base import BytesCallback, Product, SearchQuery, Source
from tests.benchmarks.measure import Cost, Row, apart, below, compared, spent, told

_PITCH, _SIDE = 100_000.0, 109_800.0
_DATES = ("2026-06-03T10:30:00", "2026-06-13T10:30:00", "2026-06-23T10:30:00")


class Tiling(Source):
    """Sentinel-2-like scenes of the whole globe: in every UTM zone squares of 109.8 km, 100 km apart, on some dates."""

    def __init__(self, *, provider: str | None, collection: str | None, dates: int = 3) -> None:
        super().__init__(provider=provider, collection=collection, dates=dates)
        self.dates = _DATES[:dates]

    def search(self, query: SearchQuery) -> Iterator[list[Product]]:
        """See `Source.search`."""
        west, south, east, north = query[:4]
        tiles = _tiles()
        met = (tiles["east"] >= west) & (tiles["west"] <= east) & (tiles["north"] >= south) & (tiles["south"] <= north)
        found = [self._product(place, date) for place in np.flatnonzero(met).tolist() for date in self.dates]
        for first in range(0, max(len(found), 1), 500):
            yield found[first : first + 500]

    def fetch(self, product: Product, folder: Path, told: BytesCallback) -> None:
        """Nothing is ever fetched from here."""
        raise NotImplementedError

    def _product(self, place: int, date: str) -> Product:
        tiles = _tiles()
        random = np.random.Generator(np.random.PCG64([place, int(date[8:10])]))
        return Product(
            provider="tiling",
            collection="S2",
            product_id=f"{place}-{date[:10]}",
            footprint=tiles["footprint"][place],
            crs=tiles["crs"][place],
            outline=tiles["outline"][place],
            acquired=date,
            cloud_cover=float(random.uniform(0, 100)),
            size=int(random.uniform(5e8, 9e8)),
        )


@cache
def _tiles() -> dict[str, Any]:
    """Every tile: the box in degrees, the CRS, and outline and footprint as WKB."""
    import shapely
    from pyproj import Transformer

    found: dict[str, list[Any]] = {"crs": [], "outline": [], "footprint": []}
    for zone in range(1, 61):
        for base, rows in ((32600, range(0, 93)), (32700, range(10, 100))):
            into = Transformer.from_crs(base + zone, 4326, always_xy=True)
            west, south = (one.ravel() * _PITCH for one in np.meshgrid(np.arange(1, 9), np.array(rows)))
            boxes = shapely.box(west, south, west + _SIDE, south + _SIDE)
            middle, _ = into.transform(west + _SIDE / 2, south + _SIDE / 2)
            near = np.abs((middle - (zone * 6 - 183) + 180) % 360 - 180) < 3.6
            turned = shapely.transform(boxes[near], lambda at, into=into: np.column_stack(into.transform(*at.T)))
            bounds = shapely.bounds(turned)
            whole = (bounds[:, 2] - bounds[:, 0] < 20) & (np.abs(bounds[:, [1, 3]]).max(axis=1) < 83)
            found["crs"] += [f"EPSG:{base + zone}"] * int(whole.sum())
            found["outline"] += shapely.to_wkb(boxes[near][whole]).tolist()
            found["footprint"] += shapely.to_wkb(turned[whole]).tolist()
    west, south, east, north = shapely.bounds(shapely.from_wkb(found["footprint"])).T
    return {**found, "west": west, "south": south, "east": east, "north": north}


def download(folder: Path, scale: float) -> list[Row]:
    """9. The fewest scenes for 28,000 airports and for 5,000 features; searches and bytes for 1,000 in 50 clusters."""
    folder.mkdir()
    return [*_airports(folder, scale), *_five_thousand(folder, scale), *_served(folder, scale)]


def _airports(folder: Path, scale: float) -> list[Row]:
    """All the positions that `airportsdata` knows."""
    import airportsdata

    places = np.array([(one["lon"], one["lat"]) for one in airportsdata.load().values()])
    places = places[np.abs(places[:, 1]) < 80][: round(28_500 * scale)]
    told(f"downloading: {len(places):,} airports")
    summary, cost = apart(_planned, folder / "airports", places, 3)
    cover = summary["cover"]
    what = f"download --plan, {len(places):,} airports, {summary['candidates']:,} scenes"
    return [
        Row(f"{what}: gap", f"{cover['scenes']:,} scenes", f"{cover['bound']:,} (bound)", f"{cover['gap']:.4f}", "≤ 0.01",
            cover["gap"] <= 0.01),
        Row(f"{what}: planned", f"{cost.wall:.1f} wall s", f"{len(summary['searches']):,} searches"),
    ]  # fmt: skip


def _five_thousand(folder: Path, scale: float) -> list[Row]:
    """Features so spread that some ten thousand scenes may show them."""
    random = np.random.Generator(np.random.PCG64(9))
    count = round(5_000 * scale)
    places = np.column_stack([random.uniform(0, 27, count), random.uniform(-35, 60, count)])
    told(f"downloading: {count:,} features")
    summary, cost = apart(_planned, folder / "features", places, 3)
    what = f"download --plan, {count:,} features, {summary['candidates']:,} candidates"
    return [below(f"{what}: planned", cost.wall, 5, unit="wall s")]


def _planned(folder: Path, places: Any, dates: int) -> tuple[dict[str, Any], Cost]:
    import pyarrow as pa

    from geographer import Dataset

    dataset = Dataset.init(folder, scm=False)
    _tiles()
    points = pa.table({"id": [str(one) for one in range(len(places))], "x": places[:, 0], "y": places[:, 1]})
    dataset.add_features(_geodata(points))
    with spent() as cost:
        _, summary = dataset.plan_download(
            "scenes", source=Tiling, source_options={"dates": dates}, start="2026-06-01", end="2026-06-30"
        )
    return summary, cost


def _geodata(points: Any) -> Any:
    import geopandas

    table = points.to_pandas()
    return geopandas.GeoDataFrame(table[["id"]], geometry=geopandas.points_from_xy(table.x, table.y), crs="EPSG:4326")


def _served(folder: Path, scale: float) -> list[Row]:
    """Scenes of clusters of features, searched and fetched through eodag from a server that counts."""
    clusters = max(round(50 * scale), 2)
    told(f"downloading: {20 * clusters:,} features in {clusters} clusters")
    (folder / "served").mkdir()
    searches, sent, chosen, scenes = apart(_fetched, folder / "served", clusters)
    what = f"download, {20 * clusters:,} features in {clusters} clusters"
    return [
        compared(f"{what}: requests", searches, 20 * clusters, unit="searches", than="one for each", at_most=0.1),
        Row(f"{what}: scenes", f"{scenes:,} scenes", f"{clusters:,} clusters"),
        compared(f"{what}: bytes", sent, chosen, unit="bytes", than="the cover's", at_most=1.01),
    ]


def _fetched(folder: Path, clusters: int) -> tuple[int, int, int, int]:
    """Searches that the server was asked, bytes that it sent, bytes of the scenes that were chosen, and their number."""
    import pyarrow as pa

    from geographer import Dataset
    from tests.sample_rasters import pixels, write_scene
    from tests.stac_servers import faulty_archive

    random = np.random.Generator(np.random.PCG64(10))
    middles = np.array([(lon, lat) for lon in range(-170, 170, 20) for lat in (-45, -15, 15, 45)], float)[:clusters]
    places = np.repeat(middles, 20, axis=0) + random.uniform(-0.08, 0.08, (20 * clusters, 2))
    dataset = Dataset.init(folder / "dataset", scm=False)
    ids = [str(one) for one in range(len(places))]
    dataset.add_features(_geodata(pa.table({"id": ids, "x": places[:, 0], "y": places[:, 1]})))
    with faulty_archive() as archive:
        for number, (lon, lat) in enumerate(middles.tolist()):
            for date in range(3):
                west, north = lon - 0.1 - 0.05 * (date == 2), lat + 0.1
                scene = write_scene(
                    folder / "scene.tif",
                    pixels(1, 200, 200, "uint16", seed=3 * number + date + 1),
                    crs="EPSG:4326",
                    transform=(0.001, 0.0, west, 0.0, -0.001, north),
                )
                box = (west, north - 0.2, west + 0.2, north)
                name, when = f"scene-{number}-{date}", f"2026-06-{3 + 10 * date:02d}T10:00:00Z"
                archive.add(name, box, {"data.tif": scene.read_bytes()}, when=when, cloud=float(random.uniform(0, 60)))
        recorded = dataset.download(
            "scenes",
            provider="local",
            collection="scenes",
            source_options={"url": archive.url},
            start="2026-06-01",
            end="2026-06-30",
        )
        paths = [one.path.removeprefix("/files/") for one in archive.log if one.path.startswith("/files/")]
        sent = sum(len(archive.files[path]) for path in paths)
        searches = len(archive.searches())
    chosen = sum(dataset.rasters()["arrived_bytes"].to_pylist())
    return searches, sent, chosen, recorded.summary["rasters"]
