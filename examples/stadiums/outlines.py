"""The stadiums of a CSV file as features: a square of a stadium's usual size around each position, as GeoJSON."""

from __future__ import annotations

import csv
import json
import re
import unicodedata
from math import cos, radians, sin, sqrt
from pathlib import Path
from typing import Any, Final, NamedTuple

HERE: Final = Path(__file__).parent
FIRST: Final = HERE / "stadiums.csv"
MORE: Final = HERE / "more.csv"
SIDES: Final = {"football": 200, "rugby": 220, "cricket": 240, "baseball": 260, "american_football": 260}
"""The side of the square in metres, by class: the ground with its stands, rounded to 20 m. A rule, not a survey."""
_EQUATOR, _FLATTENING = 6_378_137.0, 1 / 298.257223563


class Stadium(NamedTuple):
    """A row of a CSV file: degrees in WGS84; `source` is a key of the table in README.md."""

    name: str
    kind: str
    city: str
    country: str
    longitude: float
    latitude: float
    source: str

    @property
    def identity(self) -> str:
        """Its name in lower-case ASCII, words joined by hyphens."""
        dotted = self.name.replace("\N{LATIN SMALL LETTER DOTLESS I}", "i").replace("'", "")
        plain = unicodedata.normalize("NFKD", dotted).encode("ascii", "ignore").decode().lower()
        return "-".join(re.findall(r"[a-z0-9]+", plain))


def stadiums(file: Path) -> list[Stadium]:
    """The rows of a CSV file, in its order."""
    with file.open(encoding="utf-8", newline="") as rows:
        return [
            Stadium(
                row["name"],
                row["class"],
                row["city"],
                row["country"],
                float(row["longitude"]),
                float(row["latitude"]),
                row["source"],
            )
            for row in csv.DictReader(rows)
        ]


def square(longitude: float, latitude: float, side: float) -> list[tuple[float, float]]:
    """The corners of a square of `side` metres, upright, around a position, closed; longitude before latitude.

    Metres become degrees by the radii of curvature of WGS84 at that latitude (M along the meridian, N across it),
    which is exact to a millimetre at this size. Rounded to 1e-7 degrees, a centimetre.
    """
    eccentricity = _FLATTENING * (2 - _FLATTENING)
    bulge = 1 - eccentricity * sin(radians(latitude)) ** 2
    across = _EQUATOR / sqrt(bulge)
    along = _EQUATOR * (1 - eccentricity) / bulge**1.5
    half_x = side / 2 / radians(across * cos(radians(latitude)))
    half_y = side / 2 / radians(along)
    corners = ((-1, -1), (1, -1), (1, 1), (-1, 1), (-1, -1))
    return [(round(longitude + x * half_x, 7), round(latitude + y * half_y, 7)) for x, y in corners]


def feature(stadium: Stadium) -> dict[str, Any]:
    """A stadium as a GeoJSON feature."""
    corners = square(stadium.longitude, stadium.latitude, SIDES[stadium.kind])
    return {
        "type": "Feature",
        "properties": {
            "stadium": stadium.identity,
            "name": stadium.name,
            "class": stadium.kind,
            "city": stadium.city,
            "country": stadium.country,
            "source": stadium.source,
        },
        "geometry": {"type": "Polygon", "coordinates": [corners]},
    }


def write(file: Path, destination: Path) -> Path:
    """Write the stadiums of a CSV file as GeoJSON."""
    collection = {"type": "FeatureCollection", "features": [feature(stadium) for stadium in stadiums(file)]}
    destination.write_text(json.dumps(collection, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return destination
