"""Benchmark 9: the fewest scenes for many features: their number, planning time, searches and bytes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from geographer.archives.base import BytesCallback, Product, SearchQuery, Source
from tests.benchmarks.measure import (
    Cost,
    Row,
    check_limit,
    compare_values,
    measure_cost,
    report_progress,
    run_in_process,
)

_PITCH, _SIDE = 100_000.0, 109_800.0
_DATES = ("2026-06-03T10:30:00", "2026-06-13T10:30:00", "2026-06-23T10:30:00")


class Tiling(Source):
    """An archive like Sentinel-2: in every UTM zone squares of 109.8 km, 100 km apart, on up to three dates."""

    def __init__(self, *, provider: str | None, collection: str | None, dates: int = 3) -> None:
        super().__init__(provider=provider, collection=collection, dates=dates)
        self.dates = _DATES[:dates]

    def search(self, query: SearchQuery) -> Iterator[list[Product]]:
        """See `Source.search`."""
        west, south, east, north = query[:4]
        tiles = _make_tiles()
        meets_longitudes = (tiles["east"] >= west) & (tiles["west"] <= east)
        meets_latitudes = (tiles["north"] >= south) & (tiles["south"] <= north)
        indices = np.flatnonzero(meets_longitudes & meets_latitudes).tolist()
        products = [self._make_product(index, date) for index in indices for date in self.dates]
        for first in range(0, max(len(products), 1), 500):
            yield products[first : first + 500]

    def fetch(self, product: Product, folder: Path, on_progress: BytesCallback) -> None:
        """Raise NotImplementedError: the benchmark only plans with this source."""
        raise NotImplementedError

    def _make_product(self, index: int, date: str) -> Product:
        tiles = _make_tiles()
        random = np.random.Generator(np.random.PCG64([index, int(date[8:10])]))
        return Product(
            provider="tiling",
            collection="S2",
            product_id=f"{index}-{date[:10]}",
            footprint=tiles["footprint"][index],
            crs=tiles["crs"][index],
            outline=tiles["outline"][index],
            acquired=date,
            cloud_cover=float(random.uniform(0, 100)),
            size=int(random.uniform(5e8, 9e8)),
        )


@cache
def _make_tiles() -> dict[str, Any]:
    """Make the CRS of each tile, its outline and footprint as WKB, and its box in degrees."""
    import shapely
    from pyproj import Transformer

    tiles: dict[str, list[Any]] = {"crs": [], "outline": [], "footprint": []}
    for zone in range(1, 61):
        for base, rows in ((32600, range(93)), (32700, range(10, 100))):
            to_degrees = Transformer.from_crs(base + zone, 4326, always_xy=True).transform
            west, south = (axis.ravel() * _PITCH for axis in np.meshgrid(np.arange(1, 9), np.array(rows)))
            outlines = shapely.box(west, south, west + _SIDE, south + _SIDE)
            longitude, _ = to_degrees(west + _SIDE / 2, south + _SIDE / 2)
            is_in_zone = np.abs((longitude - (zone * 6 - 183) + 180) % 360 - 180) < 3.6
            outlines = outlines[is_in_zone]
            corners = np.column_stack(to_degrees(*shapely.get_coordinates(outlines).T))
            footprints = shapely.set_coordinates(outlines.copy(), corners)
            bounds = shapely.bounds(footprints)
            is_kept = (bounds[:, 2] - bounds[:, 0] < 20) & (np.abs(bounds[:, [1, 3]]).max(axis=1) < 83)
            tiles["crs"] += [f"EPSG:{base + zone}"] * int(is_kept.sum())
            tiles["outline"] += shapely.to_wkb(outlines[is_kept]).tolist()
            tiles["footprint"] += shapely.to_wkb(footprints[is_kept]).tolist()
    west, south, east, north = shapely.bounds(shapely.from_wkb(tiles["footprint"])).T
    return {**tiles, "west": west, "south": south, "east": east, "north": north}


def check_scene_cover(folder: Path, scale: float) -> list[Row]:
    """9. Fewest scenes for 28,000 airports and for 5,000 features; searches and bytes for 1,000 in 50 clusters."""
    folder.mkdir()
    return [*_plan_for_airports(folder, scale), *_plan_for_features(folder, scale), *_check_downloads(folder, scale)]


def _plan_for_airports(folder: Path, scale: float) -> list[Row]:
    """Plan the scenes of all airports of the package `airportsdata`."""
    try:
        import airportsdata
    except ImportError:
        return [Row("download --plan: skipped airports, airportsdata is not installed (extra 'bench')", "")]
    positions = np.array([(airport["lon"], airport["lat"]) for airport in airportsdata.load().values()])
    positions = positions[np.abs(positions[:, 1]) < 80][: round(28_500 * scale)]
    report_progress(f"downloading: {len(positions):,} airports")
    summary, cost = run_in_process(_measure_plan, folder / "airports", positions, 3)
    cover = summary["cover"]
    scenes, bound, gap = f"{cover['scenes']:,} scenes", f"{cover['bound']:,} (bound)", f"{cover['gap']:.4f}"
    subject = f"download --plan, {len(positions):,} airports, {summary['candidates']:,} scenes"
    return [
        Row(f"{subject}: gap", scenes, bound, gap, "≤ 0.01", cover["gap"] <= 0.01),
        Row(f"{subject}: plan", f"{cost.wall:.1f} wall s", f"{len(summary['searches']):,} searches"),
    ]


def _plan_for_features(folder: Path, scale: float) -> list[Row]:
    """Plan the scenes of scattered features, which some ten thousand scenes may show."""
    random = np.random.Generator(np.random.PCG64(9))
    count = round(5_000 * scale)
    positions = np.column_stack([random.uniform(0, 27, count), random.uniform(-35, 60, count)])
    report_progress(f"downloading: {count:,} features")
    summary, cost = run_in_process(_measure_plan, folder / "features", positions, 3)
    subject = f"download --plan, {count:,} features, {summary['candidates']:,} candidates"
    return [check_limit(f"{subject}: plan", cost.wall, 5, unit="wall s")]


def _measure_plan(folder: Path, positions: np.ndarray, dates: int) -> tuple[dict[str, Any], Cost]:
    from geographer import Dataset

    dataset = Dataset.init(folder, scm=False)
    _make_tiles()
    dataset.add_features(_make_points(positions))
    with measure_cost() as cost:
        _, summary = dataset.plan_download(
            "scenes", source=Tiling, source_options={"dates": dates}, start="2026-06-01", end="2026-06-30"
        )
    return summary, cost


def _make_points(positions: np.ndarray) -> Any:
    """Make a GeoDataFrame from (longitude, latitude) in degrees, shape (n, 2)."""
    import geopandas

    ids = [str(number) for number in range(len(positions))]
    return geopandas.GeoDataFrame({"id": ids}, geometry=geopandas.points_from_xy(*positions.T), crs="EPSG:4326")


def _check_downloads(folder: Path, scale: float) -> list[Row]:
    """Download scenes for clusters of features, through eodag, from a local server that counts requests and bytes."""
    clusters = max(round(50 * scale), 2)
    features = 20 * clusters
    report_progress(f"downloading: {features:,} features in {clusters} clusters")
    (folder / "served").mkdir()
    searches, sent, selected, scenes = run_in_process(_download_scenes, folder / "served", clusters)
    subject = f"download, {features:,} features in {clusters} clusters"
    return [
        compare_values(
            f"{subject}: requests", searches, features, unit="searches", other_name="one per feature", at_most=0.1
        ),
        Row(f"{subject}: scenes", f"{scenes:,} scenes", f"{clusters:,} clusters"),
        compare_values(f"{subject}: bytes", sent, selected, unit="bytes", other_name="selected scenes", at_most=1.01),
    ]


def _download_scenes(folder: Path, clusters: int) -> tuple[int, int, int, int]:
    """Return the searches and bytes that the server counted, and the bytes and number of the selected scenes."""
    from geographer import Dataset
    from tests.sample_rasters import make_pixels, write_scene
    from tests.stac_servers import serve_faulty_archive

    random = np.random.Generator(np.random.PCG64(10))
    middles = np.array([(lon, lat) for lon in range(-170, 170, 20) for lat in (-45, -15, 15, 45)], float)[:clusters]
    positions = np.repeat(middles, 20, axis=0) + random.uniform(-0.08, 0.08, (20 * clusters, 2))
    dataset = Dataset.init(folder / "dataset", scm=False)
    dataset.add_features(_make_points(positions))
    with serve_faulty_archive() as archive:
        for number, (lon, lat) in enumerate(middles.tolist()):
            for date in range(3):
                west, north = lon - 0.1 - 0.05 * (date == 2), lat + 0.1
                scene = write_scene(
                    folder / "scene.tif",
                    make_pixels(1, 200, 200, "uint16", seed=3 * number + date + 1),
                    crs="EPSG:4326",
                    transform=(0.001, 0.0, west, 0.0, -0.001, north),
                )
                box = (west, north - 0.2, west + 0.2, north)
                name, acquired = f"scene-{number}-{date}", f"2026-06-{3 + 10 * date:02d}T10:00:00Z"
                archive.add_item(
                    name,
                    box,
                    {"data.tif": scene.read_bytes()},
                    acquired=acquired,
                    cloud_cover=float(random.uniform(0, 60)),
                )
        result = dataset.download(
            "scenes",
            provider="local",
            collection="scenes",
            source_options={"url": archive.url},
            start="2026-06-01",
            end="2026-06-30",
        )
        paths = [request.path.removeprefix("/files/") for request in archive.requests]
        contents = [archive.files[path] for path in paths if path in archive.files]
        sent = sum(len(content) for content in contents if isinstance(content, bytes))
        searches = len(archive.list_search_bodies())
    selected = sum(dataset.rasters()["arrived_bytes"].to_pylist())
    return searches, sent, selected, result.summary["rasters"]
