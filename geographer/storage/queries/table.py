"""Table: the result of a query, an Arrow table with a geometry column, which notebooks display."""

from __future__ import annotations

import html
import json
from typing import TYPE_CHECKING, Any, Final

from geographer.base.errors import UsageError

if TYPE_CHECKING:
    import geopandas
    import pyarrow as pa

_DISPLAYED_ROWS: Final = 10


class Table:
    """An Arrow table (`arrow`) whose geometry column, if any, is WKB in EPSG:4326 (longitude, latitude).

    It has all attributes of a `pyarrow.Table`, and can be passed to libraries that read Arrow streams.
    """

    def __init__(self, arrow: pa.Table, geometry: str | None = None) -> None:
        self.arrow = arrow if geometry is None else _mark_geometry(arrow, geometry)
        self.geometry = geometry

    def to_geopandas(self) -> geopandas.GeoDataFrame:
        """Convert the table to a GeoDataFrame in EPSG:4326; `TypeError` if it has no geometry."""
        try:
            import geopandas
        except ModuleNotFoundError as error:
            raise UsageError("to_geopandas() needs geopandas. Run: pip install geopandas") from error
        import shapely

        if self.geometry is None:
            raise TypeError("this table has no geometry. Use .to_pandas().")
        frame = self.arrow.drop_columns([self.geometry]).to_pandas()
        shapes = shapely.from_wkb(self.arrow[self.geometry].to_numpy(zero_copy_only=False))
        frame = geopandas.GeoDataFrame(frame, geometry=shapes, crs="EPSG:4326")
        return frame.rename_geometry(self.geometry) if self.geometry != "geometry" else frame

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        return self.arrow.__arrow_c_stream__(requested_schema)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.arrow, name)

    def __len__(self) -> int:
        return int(self.arrow.num_rows)

    def __getitem__(self, key: str | int) -> pa.ChunkedArray:
        return self.arrow[key]

    def __repr__(self) -> str:
        return f"Table of {len(self):,} rows: {', '.join(self.arrow.column_names)}"

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{html.escape(name)}</th>" for name in self.arrow.column_names)
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(_abbreviate_value(value))}</td>" for value in row.values()) + "</tr>"
            for row in self.arrow.slice(0, _DISPLAYED_ROWS).to_pylist()
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table><p>{len(self):,} rows</p>"


def _abbreviate_value(value: object) -> str:
    text = f"{len(value)} bytes" if isinstance(value, bytes) else str(value)
    return text if len(text) <= 60 else text[:59] + "…"


def _mark_geometry(arrow: pa.Table, geometry: str) -> pa.Table:
    """Return the table with its geometry column marked as GeoArrow WKB in longitude/latitude."""
    index = arrow.schema.get_field_index(geometry)
    crs = json.dumps({"crs": "OGC:CRS84", "crs_type": "authority_code"})
    metadata = {"ARROW:extension:name": "geoarrow.wkb", "ARROW:extension:metadata": crs}
    field = arrow.schema.field(index).with_metadata(metadata)
    return arrow.cast(arrow.schema.set(index, field))
