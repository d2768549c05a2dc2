"""Benchmark 28: the first paint of `geographer view` with a million features, its tiles, and its memory."""

from __future__ import annotations

import http.client
import json
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

from tests.benchmarks.measure import REPOSITORY, Row, check_limit, compare_values, report_progress, run_in_process

FEATURES, CLASSES, ROUNDS, TILES = 1_000_000, ("lake", "pond", "river", "mine"), 5, 60
FIRST_PAINT_S, SLIDER_S, MEMORY_MB = 3.0, 1.0, 1_500.0
_IS_DRAWN = (
    "return Boolean(window.viewerMap && viewerMap.getSource('features') && viewerMap.loaded() && viewerMap.areTilesLoaded()"
    " && viewerMap.queryRenderedFeatures({layers: ['features-cells', 'features-dots', 'features-fill']}).length)"
)


def measure_viewer(folder: Path, scale: float) -> list[Row]:
    """28. The first paint of `geographer view` with 1,000,000 polygons in Chromium; tiles and memory."""
    count = round(FEATURES * scale)
    report_progress(f"viewing: adding {count:,} polygons")
    run_in_process(_create_dataset, folder, count)
    report_progress("viewing: opening the page")
    with _serve_dataset(folder / "dataset") as (process, address, started):
        first, others, moves = _time_pages(folder, address)
        tile, scan = _time_tiles(address), run_in_process(_time_scan, folder / "features.parquet")
        memory = _read_memory(process.pid)
    subject = f"view with {count:,} polygons"
    return [
        Row(f"{subject}: from the command to the address", f"{started:.3g} s"),
        check_limit(f"{subject}: first page, from navigation to drawn and idle", first, FIRST_PAINT_S, unit="s"),
        check_limit(f"{subject}: later pages (median of {ROUNDS})", others, FIRST_PAINT_S, unit="s"),
        check_limit(f"{subject}: another revision by the slider", moves, SLIDER_S, unit="s"),
        compare_values(
            f"{subject}: a tile (median)", tile, scan, unit="ms", other_name="DuckDB, count by cell of Parquet"
        ),
        check_limit(f"{subject}: peak memory of the server", memory, MEMORY_MB, unit="MB"),
    ]


def _create_dataset(folder: Path, count: int) -> None:
    """Write polygons of 9 corners in 200 clusters, add them, set a tag, and remove one of 1,000."""
    import geopandas as gpd
    import shapely

    from geographer import Dataset

    rng = np.random.Generator(np.random.PCG64(25))
    centres = np.column_stack([rng.uniform(-170, 170, 200), rng.uniform(-60, 75, 200)])
    places = centres[rng.integers(0, 200, count)] + rng.normal(0, 1.5, (count, 2))
    places = np.clip(places, (-178, -80), (178, 80))
    radii = np.exp(rng.normal(math.log(0.002), 1.0, count))
    angles = np.linspace(0, 2 * np.pi, 9)[:-1]
    corners = np.stack([np.cos(angles), np.sin(angles)], axis=1)[None] * radii[:, None, None] + places[:, None]
    geometry = shapely.polygons(np.concatenate([corners, corners[:, :1]], axis=1))
    columns = {"id": [f"f{number}" for number in range(count)], "class": rng.choice(CLASSES, count)}
    folder.mkdir(parents=True, exist_ok=True)
    gpd.GeoDataFrame(columns, geometry=geometry, crs=4326).to_parquet(folder / "features.parquet")
    dataset = Dataset.init(folder / "dataset", scm=False)
    dataset.add_features(folder / "features.parquet")
    dataset.tag("v1")
    dataset.remove_features([f"f{number}" for number in range(0, count, 1000)])


@contextmanager
def _serve_dataset(root: Path) -> Iterator[tuple[subprocess.Popen, str, float]]:
    """Run `geographer view`; yield the process, the address, and the seconds until it was printed."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "geographer", "-C", str(root), "view", "--no-open"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        try:
            yield process, address, time.perf_counter() - start
        finally:
            process.terminate()


def _time_pages(folder: Path, address: str) -> tuple[float, float, float]:
    """Return the seconds until the first page is drawn, the median of later ones, and of moves of the slider."""
    from tests.browser import open_browser

    with open_browser(folder / "browser") as browser:

        def time_drawing(run_script: str) -> float:
            start = time.perf_counter()
            browser.execute_script(run_script)
            while not browser.execute_script(_IS_DRAWN):
                assert time.perf_counter() < start + 120, "the map is not drawn"
                time.sleep(0.02)
            return time.perf_counter() - start

        def open_page() -> float:
            browser.get("about:blank")
            return time_drawing(f"location.href = {json.dumps(address)}")

        first = open_page()
        others = statistics.median(open_page() for _ in range(ROUNDS))
        moves = []
        for number in range(ROUNDS):
            moves.append(time_drawing(f"location.hash = 'at={2 + number % 2}'"))
    return first, others, statistics.median(moves)


def _time_tiles(address: str) -> float:
    """Return the median milliseconds of tiles at zoom levels 0 to 12 around one place."""
    parts, durations = urlsplit(address), []
    connection = http.client.HTTPConnection(parts.netloc)
    for number in range(TILES):
        zoom = number % 13
        column, row = 2**zoom * 3 // 5, 2**zoom * 2 // 5
        start = time.perf_counter()
        connection.request("GET", f"{parts.path}tiles/features/{zoom}/{column}/{row}?at=2")
        response = connection.getresponse()
        response.read()
        assert response.status == 200
        durations.append(time.perf_counter() - start)
    connection.close()
    return statistics.median(durations) * 1e3


def _time_scan(path: Path) -> float:
    """Return the median milliseconds of a count by cell in plain DuckDB: what one tile of all features needs at least."""
    from geographer.storage.database.connection import memory_connection

    with memory_connection() as connection:
        connection.execute(
            "CREATE TABLE place AS SELECT class, ST_X(ST_Centroid(geometry)) AS x, ST_Y(ST_Centroid(geometry)) AS y "
            f"FROM read_parquet('{path}')"
        )
        durations = []
        for _ in range(ROUNDS):
            start = time.perf_counter()
            connection.execute("SELECT floor(x / 6), floor(y / 3), class, count(*) FROM place GROUP BY ALL").fetchall()
            durations.append(time.perf_counter() - start)
    return statistics.median(durations) * 1e3


def _read_memory(process: int) -> float:
    """Return the peak memory of a running process in MB."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1e3 for line in lines if line.startswith("VmHWM:"))
