"""Which scene shows which feature, or which piece of one: as the graph will tell once the scene is here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from geographer.storage.database.connection import memory_connection, run_script
from geographer.storage.state.update import MACROS

if TYPE_CHECKING:
    from collections.abc import Sequence

    import duckdb
    import pyarrow as pa

    Connection = duckdb.DuckDBPyConnection

Ints = npt.NDArray[np.int64]

Place = tuple[bytes, str | None, bytes | None]
"""Where a scene has pixels: its footprint (WKB, longitude/latitude); its CRS and its outline in that, where told."""

_SPOTS: Final = Path(__file__).with_name("scene_geometries.sql")
_SHOWN: Final = Path(__file__).with_name("scene_coverage.sql")
_AREAS: Final = (
    "SELECT ST_AsWKB(CASE WHEN drawn IS NULL THEN footprint WHEN whole THEN drawn "
    "ELSE ST_Intersection(drawn, footprint) END)::BLOB AS area FROM spot ORDER BY spot"
)
_FULL: Final = 0.995
"""A stated footprint of at least this share of a scene's outline means all of it: its edges are drawn straight."""


class Members(NamedTuple):
    """What is to be shown: of each, by its place, its feature's place and by how many scenes."""

    features: Ints
    needs: Ints


def shown(missing: pa.Table, places: Sequence[Place], *, union: bool) -> tuple[Ints, Members]:
    """Which scene shows which member: pairs of their places in the order given, shape (pairs, 2); and the members.

    Args:
        missing: The features, with `geometry` (WKB, longitude/latitude) and `lacking`, by how many scenes; and, without
            `union`, with `native` (WKB) in `crs`, where they came in another one.
        places: Where each scene has pixels; scenes of one place are looked at once.
        union: Scenes may show a feature together: its pieces are the members.
    """
    scenes: dict[Place, list[int]] = {}
    for number, place in enumerate(places):
        scenes.setdefault(place, []).append(number)
    if union:
        spots, members = _in_pieces(missing, list(scenes))
    else:
        lacking = missing["lacking"].to_numpy().astype(np.int64)
        spots, members = _contained(missing, list(scenes)), Members(np.arange(len(lacking)), lacking)
    numbers = list(scenes.values())
    pairs = [(number, member) for spot, member in spots.tolist() for number in numbers[spot]]
    return np.array(pairs, np.int64).reshape(-1, 2), members


def _contained(missing: pa.Table, places: list[Place]) -> Ints:
    """Which place contains which feature: pairs, shape (n, 2)."""
    import pyarrow as pa

    numbers = pa.array(range(len(missing)), pa.int64())
    with memory_connection() as connection:
        _set_up(connection, places)
        connection.register("given_member", missing.append_column("member", numbers))
        run_script(connection, _SHOWN.read_text())
        found = connection.execute("FROM shown ORDER BY member, spot").to_arrow_table()
    return np.column_stack([found["spot"].to_numpy(), found["member"].to_numpy()]).astype(np.int64)


def _in_pieces(missing: pa.Table, places: list[Place]) -> tuple[Ints, Members]:
    """Which place shows which piece of a feature."""
    import shapely

    from geographer.operations.download.split_by_footprint import pieces_of

    with memory_connection() as connection:
        _set_up(connection, places)
        areas = connection.execute(_AREAS).to_arrow_table()["area"].to_pylist()
    geometries = shapely.from_wkb(missing["geometry"].to_pylist())
    found = pieces_of(geometries, shapely.make_valid(shapely.from_wkb(areas)))
    pairs = np.column_stack([found.footprints, found.pieces])
    return pairs, Members(found.features, np.ones(len(found.features), np.int64))


def _set_up(connection: Connection, places: list[Place]) -> None:
    """Make the table `spot` of places, by their number."""
    import pyarrow as pa

    footprints, systems, outlines = zip(*places, strict=True) if places else ((), (), ())
    spots = pa.table(
        {
            "spot": pa.array(range(len(places)), pa.int64()),
            "footprint": pa.array(footprints, pa.binary()),
            "crs": pa.array(systems, pa.string()),
            "outline": pa.array(outlines, pa.binary()),
        }
    )
    connection.register("given_spot", spots)
    run_script(connection, MACROS.read_text())
    run_script(connection, _SPOTS.read_text(), {"full": _FULL})
