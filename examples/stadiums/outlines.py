"""Convert the stadiums of a CSV file to GeoJSON: a square of typical size around each position."""

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
"""Side of the square in metres, by class: the ground with its seats, rounded to 20 m. Typical values, not surveyed."""
_SEMI_MAJOR_AXIS, _FLATTENING = 6_378_137.0, 1 / 298.257223563


class Stadium(NamedTuple):
    """A row of the CSV file, position in degrees (WGS84); `source` is a key of the table in README.md."""

    name: str
    class_name: str
    city: str
    country: str
    longitude: float
    latitude: float
    source: str

    @property
    def stadium_id(self) -> str:
        """The name in lower-case ASCII, words joined by hyphens."""
        text = self.name.replace("\N{LATIN SMALL LETTER DOTLESS I}", "i").replace("'", "")
        ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
        return "-".join(re.findall(r"[a-z0-9]+", ascii_text))


def read_stadiums(file: Path) -> list[Stadium]:
    """Read the rows of a CSV file in order."""
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


def make_square(longitude: float, latitude: float, side: float) -> list[tuple[float, float]]:
    """Return the closed ring of a north-up square of `side` metres around a position, longitude before latitude.

    Metres are converted to degrees by the radii of curvature of WGS84 at that latitude (M along the meridian, N across
    it), which is exact to a millimetre at this size. Rounded to 1e-7 degrees, a centimetre.
    """
    eccentricity = _FLATTENING * (2 - _FLATTENING)
    curvature = 1 - eccentricity * sin(radians(latitude)) ** 2
    normal_radius = _SEMI_MAJOR_AXIS / sqrt(curvature)
    meridian_radius = _SEMI_MAJOR_AXIS * (1 - eccentricity) / curvature**1.5
    half_x = side / 2 / radians(normal_radius * cos(radians(latitude)))
    half_y = side / 2 / radians(meridian_radius)
    corners = ((-1, -1), (1, -1), (1, 1), (-1, 1), (-1, -1))
    return [(round(longitude + x * half_x, 7), round(latitude + y * half_y, 7)) for x, y in corners]


def make_feature(stadium: Stadium) -> dict[str, Any]:
    """Return a stadium as a GeoJSON feature."""
    corners = make_square(stadium.longitude, stadium.latitude, SIDES[stadium.class_name])
    return {
        "type": "Feature",
        "properties": {
            "stadium": stadium.stadium_id,
            "name": stadium.name,
            "class": stadium.class_name,
            "city": stadium.city,
            "country": stadium.country,
            "source": stadium.source,
        },
        "geometry": {"type": "Polygon", "coordinates": [corners]},
    }


def write_geojson(file: Path, destination: Path) -> Path:
    """Write the stadiums of a CSV file as GeoJSON."""
    collection = {"type": "FeatureCollection", "features": [make_feature(stadium) for stadium in read_stadiums(file)]}
    destination.write_text(json.dumps(collection, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return destination
