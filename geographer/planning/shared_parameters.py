"""Parameters that several operations share: selections, sizes of covers, and forms of recorded values."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from geographer.base.canonical_json import canonical_json, parse_canonical_json
from geographer.base.errors import UsageError
from geographer.base.parameters import Parameter
from geographer.base.values import Size
from geographer.planning.selection import Selection, parse_selection

NAME_SCHEMA: Final = {"$ref": "event.v1.json#/$defs/name"}
SELECTION_SCHEMA: Final = {"$ref": "event.v1.json#/$defs/choice"}
OBJECT_SCHEMA: Final = {"type": "object"}
TEXT: Final = {"type": "string"}
TEXTS: Final = {"type": "array", "items": TEXT}
OPTIONAL_TEXT: Final = {"type": ["string", "null"]}

NAME: Final = Parameter("The recipe's name.", "NAME", cli="argument", schema=NAME_SCHEMA, kind="recipe")

WHERE: Final = Parameter(
    "Use only features for which this SQL expression over their columns is true.", "SQL", "all features"
)


def parse_options(options: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a plugin's options as later runs read them from the log; raise `UsageError` if they are not JSON."""
    normalised: dict[str, Any] = parse_canonical_json(canonical_json(dict(options or {})))
    return normalised


OPTIONS: Final = Parameter("", "KEY=VALUE", "none", "", parse_options, cli="pairs", schema=OBJECT_SCHEMA)
"""Options of a plugin."""

SizeSpec = int | tuple[int, int] | str | Size
"""Pixels (`512`, `(640, 480)`), or text: `'640x480'`, `'2560m'` for metres on the ground."""


def list_values(values: Any) -> tuple[str, ...]:
    """Return one or several texts, paths or integers as texts."""
    return tuple(map(str, [values] if isinstance(values, str | Path | int) else values))


def parse_size(value: Any) -> Size:
    """Return a size in any form as a `Size`."""
    if isinstance(value, bool):
        raise UsageError(f"invalid size {value}. Use pixels or metres, e.g. 512, 640x480 or 2560m.")
    if isinstance(value, tuple) and len(value) == len(Size._fields):
        return Size(*value)
    return Size.from_value(value)


SIZE: Final = Parameter(
    "Width and height of a chip, in pixels (512, 640x480) or metres on the ground (2560m).",
    *("SIZE", "512"),
    convert=parse_size,
    schema={"$ref": "event.v1.json#/$defs/size"},
)

_FEATURES: Final = Parameter(
    "Use only features for which this SQL expression is true, or which @SELECTOR returns.",
    *("SQL", "all features"),
    convert=parse_selection,
    schema=SELECTION_SCHEMA,
)
FeatureSelection = Annotated[Selection, _FEATURES]
RasterSelection = Annotated[
    Selection,
    _FEATURES._replace(help=_FEATURES.help.replace("features", "rasters"), default="all of the collection"),
]
_CRS_HELP: Final = "Use this CRS instead of the one that the data states: EPSG:… or WKT."


def parse_crs_text(crs: Any) -> str:
    """Return a CRS as text: a text itself, an EPSG code, or a CRS object of pyproj, geopandas or rasterio."""
    if isinstance(crs, int) and not isinstance(crs, bool):
        return f"EPSG:{crs}"
    if isinstance(crs, str):
        return crs
    if not (hasattr(crs, "to_authority") and hasattr(crs, "to_wkt")):
        raise UsageError(f"invalid --crs {crs!r}. Use EPSG:…, WKT, or a CRS object of pyproj or rasterio.")
    authority = crs.to_authority()
    return ":".join(authority) if authority else str(crs.to_wkt())


CRS: Final = Parameter(_CRS_HELP, "CRS", "the CRS that the data states", convert=parse_crs_text)
CrsText = Annotated[str | None, CRS]
OnError = Annotated[
    Literal["fail", "skip"],
    Parameter("For invalid input: refuse everything, or skip it and record what was skipped and why."),
]
TimeLimit = Annotated[
    float, Parameter("How long to search for a proof that fewer are impossible.", "SECONDS", minimum=0)
]
