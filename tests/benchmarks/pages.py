"""Benchmarks 25, 26: the page of a difference of many polygons, in a real browser that draws in software."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tests.benchmarks.measure import Cost, Row, check_limit, measure_cost, report_progress, run_in_process

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

POLYGONS, MORE_POLYGONS, MANY_POLYGONS = 10_000, 20_000, 100_000
VERTICES = 16
LOAD_S, FRAMES_PER_S, PAGE_MB = 2.0, 10.0, 15.0
DRAG_S = 4.0
LOADS = 3


def measure_difference_page(folder: Path, scale: float) -> list[Row]:
    """25. The page of 10,000 and of 20,000 changed polygons: load, pan, size, requests."""
    rows = []
    for polygons, has_target in ((POLYGONS, True), (MORE_POLYGONS, False)):
        count = round(polygons * scale)
        rows += _measure_page(folder / str(polygons), count, has_target=has_target)
    return rows


def measure_density_page(folder: Path, scale: float) -> list[Row]:
    """26. The page of 100,000 changed polygons, which shows their density: load, pan, size, memory, requests."""
    return _measure_page(folder, round(MANY_POLYGONS * scale), has_target=True)


def _measure_page(folder: Path, count: int, *, has_target: bool) -> list[Row]:
    report_progress(f"page: {count:,} changed polygons")
    folder.mkdir(parents=True)
    run_in_process(write_changed_polygons, folder / "dataset", count)
    cost, size = run_in_process(_write_page, folder)
    load, frames, requests = _measure_in_browser(folder)
    subject = f"page of {count:,} changed polygons"
    limits = [
        (f"{subject}: load", load, LOAD_S, "s"),
        (f"{subject}: a frame while dragged", 1 / frames, 1 / FRAMES_PER_S, "s"),
        (f"{subject}: size", size, PAGE_MB, "MB"),
    ]
    rows = [check_limit(name, value, limit, unit=unit) for name, value, limit, unit in limits]
    if not has_target:
        rows = [row._replace(target="", is_met=None) for row in rows]
    written = f"{cost.cpu:.1f} CPU s, {cost.peak:,.0f} MB"
    return [*rows, Row(f"{subject}: write", written), check_limit(f"{subject}: requests", requests, 1, unit="")]


def write_changed_polygons(root: Path, count: int) -> None:
    """Create a dataset of `count` polygons that a second event moves a little."""
    import shapely

    from geographer import Dataset
    from geographer.operations.add.events import FeatureIds, FeaturesAdded
    from geographer.storage.database.connection import Database
    from geographer.storage.events import CommitInfo
    from geographer.storage.events.row_tables import make_row_table
    from geographer.storage.log.append import append_event
    from geographer.storage.log.read import read_head
    from geographer.storage.state.update import update_state

    Dataset.init(root, classes=["pond", "field"], scm=False)
    rng = np.random.Generator(np.random.PCG64(18))
    centres = rng.uniform((6, 45), (12, 50), (count, 2))
    radii = rng.uniform(0.2, 1.2, (count, VERTICES, 1)) * 5 / np.sqrt(count) / 3
    angles = np.linspace(0, 2 * np.pi, VERTICES, endpoint=False)
    outlines = np.column_stack((np.cos(angles), np.sin(angles))) * radii
    payload = FeaturesAdded(
        request={},
        source="",
        columns={},
        features=0,
        skipped=0,
        classes=[],
        crs="EPSG:4326",
        ids=FeatureIds("column", "id"),
    )
    database = Database(root / ".geographer")
    with database.open_connection(log="w", spatial=True) as connection:
        for change, shift in (("added", 0.0), ("changed", 0.1 * 5 / np.sqrt(count))):
            columns: dict[str, list[Any]] = {
                "change": [change] * count,
                "feature_id": [f"f{number}" for number in range(count)],
                "id_is_integer": [False] * count,
                "class": [("pond", "field")[number % 2] for number in range(count)],
                "geometry": list(shapely.to_wkb(shapely.polygons(centres[:, None, :] + shift + outlines))),
                "crs": ["EPSG:4326"] * count,
                "properties": [f'{{"depth":{number % 7}}}' for number in range(count)],
            }
            rows = {"feature_change": make_row_table("feature_change", columns)}
            append_event(database, payload, rows, CommitInfo("Ada"), read_head(connection))
    update_state(database)


def _write_page(folder: Path) -> tuple[Cost, float]:
    """Write the page, and return the cost and its size in MB."""
    from geographer import Dataset

    with measure_cost() as cost:
        written = Dataset.open(folder / "dataset").write_diff_page(2, 3, folder / "page.html")
    return cost, written.size / 1e6


def _measure_in_browser(folder: Path) -> tuple[float, float, int]:
    """Return the seconds until the map is drawn (best of some loads), frames per second, and other requests."""
    from tests.browser import list_console_errors, list_requests, open_browser

    with open_browser(folder) as driver:
        loads = [_load_page(driver, (folder / "page.html").as_uri()) for _ in range(LOADS)]
        frames = max(_drag_map(driver) for _ in range(LOADS))
        if errors := list_console_errors(driver):
            raise RuntimeError(f"the page reports {errors}")
        return min(loads), frames, len(list_requests(driver)) - LOADS


def _load_page(driver: Chrome, url: str) -> float:
    """Return the seconds from the start of the navigation until the map is drawn, by the page's clock."""
    driver.get(url)
    deadline = time.monotonic() + 120
    while (drawn := driver.execute_script("return document.documentElement.dataset.drawn")) is None:
        if time.monotonic() > deadline:
            raise TimeoutError("the map is not drawn")
        time.sleep(0.05)
    return float(drawn) / 1000


def _drag_map(driver: Chrome) -> float:
    """Drag the map with the mouse for some seconds; return how often a second it was drawn at another place."""
    driver.execute_script(
        "const map = geographer.page.map; map.fitAll(); map.element.scrollIntoView({block: 'center'});"
        "window.drawn = new Set();"
        "map.plot.x_range.change.connect(() => requestAnimationFrame(() => drawn.add(map.plot.x_range.start)));"
    )
    x, y = driver.execute_script(
        "const box = geographer.page.map.element.getBoundingClientRect();"
        "return [box.x + box.width / 2, box.y + box.height / 2]"
    )
    _send_mouse(driver, "mousePressed", x, y)
    start, step = time.monotonic(), 0
    while time.monotonic() - start < DRAG_S:
        step += 1
        _send_mouse(driver, "mouseMoved", x + 150 * np.sin(step / 8), y + step % 5)
    elapsed = time.monotonic() - start
    _send_mouse(driver, "mouseReleased", x, y)
    return float(driver.execute_script("return drawn.size")) / elapsed


def _send_mouse(driver: Chrome, kind: str, x: float, y: float) -> None:
    buttons = 0 if kind == "mouseReleased" else 1
    event = {"type": kind, "x": float(x), "y": float(y), "button": "left", "buttons": buttons, "clickCount": 1}
    driver.execute_cdp_cmd("Input.dispatchMouseEvent", event)
