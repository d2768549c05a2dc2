"""Benchmark 33: bytes and CPU of a clone of one hundredth of the rasters, beside the clone of all of them."""

from __future__ import annotations

from pathlib import Path

from tests.benchmarks.measure import Row, check_limit, compare_values, report_progress, run_geographer, run_in_process
from tests.benchmarks.sharing import count_bytes, publish_rasters

COUNT = 2_000


def compare_partial_clone(folder: Path, scale: float) -> list[Row]:
    """33. `clone --bbox` of 1 % of 2,000 rasters, and its growth by as many, compared with the clone of all."""
    count = max(round(COUNT * scale), 200)
    side = max(count // 400, 1)
    report_progress(f"partial clone: about 1 % of {count:,} rasters")
    published, remote = folder / "published", folder / "remote"
    run_in_process(publish_rasters, published, remote, folder / "rasters", count)
    (first, part), (second, more) = (
        run_in_process(_find_box, published, start, side) for start in (count // 4, 3 * count // 4)
    )
    full = run_geographer(folder, "clone", remote, folder / "full")
    partial = run_geographer(folder, "clone", remote, folder / "partial", f"--bbox={first}")
    cloned = count_bytes(folder / "partial/.dvc/cache")
    verified = run_geographer(folder / "partial", "verify")
    whole = run_geographer(folder / "full", "verify")
    grown = run_geographer(folder / "partial", "fetch", f"--bbox={second}")
    added = count_bytes(folder / "partial/.dvc/cache") - cloned
    size = next((folder / "rasters").iterdir()).stat().st_size
    subject = f"{part:,} of {count:,} rasters"
    return [
        compare_values(
            f"clone of {subject}",
            cloned,
            count_bytes(folder / "full/.dvc/cache"),
            unit="bytes",
            other_name="clone of all",
            at_most=0.03,
        ),
        compare_values(
            f"clone of {subject}", partial.cpu, full.cpu, unit="CPU s", other_name="clone of all", at_most=0.8
        ),
        compare_values(
            f"growth by {more:,}", added, more * size, unit="bytes", other_name="the rasters themselves", at_most=1.05
        ),
        compare_values(f"growth by {more:,}", grown.cpu, full.cpu, unit="CPU s", other_name="clone of all"),
        compare_values(f"verify {subject}", verified.cpu, whole.cpu, unit="CPU s", other_name="verify of all"),
        check_limit("partial clone, peak memory", partial.peak, 1_000, unit="MB"),
    ]


def _find_box(folder: Path, start: int, count: int) -> tuple[str, int]:
    """Return the box of the middles of rasters that lie side by side, and the number of rasters that meet it."""
    import shapely

    from geographer import Dataset

    names = [f"r{number:05}" for number in range(start, start + count)]
    rasters = Dataset.open(folder).rasters().to_geopandas().set_index("raster_id")
    text = ",".join(f"{number:.6f}" for number in rasters.loc[names].geometry.representative_point().total_bounds)
    box = shapely.box(*map(float, text.split(",")))
    return text, int(rasters.geometry.intersects(box).sum())
