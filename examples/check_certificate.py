"""Check a leakage certificate of geographer without geographer.

python check_certificate.py CERTIFICATE FOLDER

FOLDER is what `geographer checkout --to`, `reproduce` or `release` wrote. Needs duckdb, pyarrow, shapely and pyproj.
"""

import json
import sys
from itertools import combinations
from pathlib import Path

import duckdb
import shapely
from pyproj import Geod

DEGREE_M, WGS84 = 111_000, Geod(ellps="WGS84")


def check_certificate(path: Path, folder: Path) -> list[str]:
    """Return the claims of a certificate that are false."""
    claim, revision = json.loads(path.read_text()), json.loads((folder / "revision.json").read_text())
    same = [name for name in ("dataset", "position", "digest", "content_digest") if claim[name] != revision[name]]
    wrong = [f"{name} is not that of the folder" for name in same]
    sql = duckdb.connect()
    sql.execute("SET enable_geoparquet_conversion = false")
    for table in ("splits", "rasters", "chips", "edges", "features"):
        sql.from_parquet(str(folder / "tables" / f"{table}.parquet")).create(table)
    sql.execute("SET enable_external_access = false")  # The certificate's filter may come from a stranger.
    rows = sql.execute(
        "SELECT raster_id, part, parent_id, col, row, rasters.width, rasters.height, footprint FROM splits "
        "JOIN rasters USING (raster_id) LEFT JOIN chips USING (raster_id) "
        "WHERE split = ? AND part IS NOT NULL ORDER BY raster_id",
        [claim["split"]],
    ).fetchall()
    parts = {part: [row for row in rows if row[1] == part] for part in sorted({row[1] for row in rows})}
    if claim["subsets"] != {part: len(members) for part, members in parts.items()}:
        wrong.append("the subsets have other numbers of rasters")
    levels, objects = (
        claim["levels"],
        sql.execute(
            "SELECT count(*) FROM (SELECT feature_id FROM edges JOIN splits USING (raster_id) "  # noqa: S608
            "WHERE split = ? AND part IS NOT NULL AND feature_id IN (SELECT feature_id FROM features "
            f"WHERE {claim['parameters'].get('where', 'true')}) GROUP BY feature_id HAVING count(DISTINCT part) > 1)",
            [claim["split"]],
        ).fetchall()[0][0],
    )
    if (levels["shared_objects"]["holds"], levels["shared_objects"].get("shared_objects")) != (objects == 0, objects):
        wrong.append(f"{objects} objects are in several subsets")
    shared = 0
    for a, b in combinations(parts, 2):
        shapes = {part: shapely.from_wkb([bytes(row[7]) for row in parts[part]]) for part in (a, b)}
        shared += sum(
            share_pixels(parts[a][i], parts[b][j], shapes[a][i], shapes[b][j])
            for j, i in shapely.STRtree(shapes[a]).query(shapes[b]).T
        )
        nearest = min(measure_distance(one, shapes[b]) for one in shapes[a])
        stated = next(
            (row for row in levels["distance"]["subsets"] if {row["subset_a"], row["subset_b"]} == {a, b}), {}
        )
        if abs(stated.get("distance_m", -1) - nearest) > 0.05 + 1e-3 * nearest:
            wrong.append(f"{a} and {b} are {nearest:.1f} m apart")
        if (buffer := levels["distance"]["buffer_m"]) is not None and levels["distance"]["holds"] and nearest <= buffer:
            wrong.append(f"{a} and {b} are not more than {buffer:g} m apart")
    if (levels["shared_pixels"]["holds"], levels["shared_pixels"].get("pairs")) != (shared == 0, shared):
        wrong.append(f"{shared} pairs share pixels or ground")
    if (claim["verdict"] == "leaks") != any(level["holds"] is False for level in levels.values()):
        wrong.append("the verdict does not follow from the levels")
    return wrong


def share_pixels(a: tuple, b: tuple, shape_a: shapely.Geometry, shape_b: shapely.Geometry) -> bool:
    """Return whether two rasters share pixels of one parent, or ground if their parents differ."""
    if a[2] is not None and a[2] == b[2]:
        return a[3] < b[3] + b[5] and b[3] < a[3] + a[5] and a[4] < b[4] + b[6] and b[4] < a[4] + a[6]
    return shape_a.intersection(shape_b).area > 1e-6 * min(shape_a.area, shape_b.area)


def measure_distance(shape: shapely.Geometry, others: list[shapely.Geometry]) -> float:
    """Return the distance in metres from a footprint to the nearest of others."""
    near = sorted(range(len(others)), key=lambda number: shape.distance(others[number]))[:8]
    points = [shapely.get_coordinates(shapely.shortest_line(shape, others[number])) for number in near]
    return min(WGS84.inv(*start, *end)[2] for start, end in points)


if __name__ == "__main__":
    false = [f"FALSE: {claim}" for claim in check_certificate(Path(sys.argv[1]), Path(sys.argv[2]))]
    verdict = json.loads(Path(sys.argv[1]).read_text())["verdict"]
    true = f"OK: every claim on objects, pixels and distance is true. The certificate says: {verdict.upper()}"
    sys.stdout.write("\n".join(false or [true]) + "\n")
    sys.exit(bool(false))
