"""Table: the result of a query, an Arrow table with a geometry column, which notebooks display."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from geographer.base.errors import UsageError
from geographer.base.html import SHOWN_ROWS, render_rows

if TYPE_CHECKING:
    import geopandas
    import pyarrow as pa


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
        return render_rows(self.arrow.column_names, (row.values() for row in self._iter_shown_rows()), len(self))

    def _iter_shown_rows(self) -> Iterator[dict[str, Any]]:
        """Yield the first rows, with each geometry as its type and size."""
        for row in self.arrow.slice(0, SHOWN_ROWS).to_pylist():
            yield {name: _name_geometry(value) if name == self.geometry else value for name, value in row.items()}


def register_arrow_display() -> None:
    """Let the notebook that this process serves, if any, show Arrow tables as it shows a `Table`, unless it does."""
    get_shell = getattr(sys.modules.get("IPython"), "get_ipython", None)
    shell = get_shell() if get_shell else None
    if shell is not None:
        import pyarrow as pa

        formatter = shell.display_formatter.formatters["text/html"]
        if pa.Table not in formatter.type_printers:
            formatter.for_type(pa.Table, lambda arrow: Table(arrow)._repr_html_())


def _name_geometry(wkb: bytes | None) -> str | None:
    """Return the type of a geometry and the number of its points, such as `POLYGON 9 points`."""
    import shapely

    shape = shapely.from_wkb(wkb)
    if shape is None:
        return None
    return f"{shape.geom_type.upper()} {'EMPTY' if shape.is_empty else f'{shapely.get_num_coordinates(shape)} points'}"


def _mark_geometry(arrow: pa.Table, geometry: str) -> pa.Table:
    """Return the table with its geometry column marked as GeoArrow WKB in longitude/latitude."""
    index = arrow.schema.get_field_index(geometry)
    crs = json.dumps({"crs": "OGC:CRS84", "crs_type": "authority_code"})
    metadata = {"ARROW:extension:name": "geoarrow.wkb", "ARROW:extension:metadata": crs}
    field = arrow.schema.field(index).with_metadata(metadata)
    return arrow.cast(arrow.schema.set(index, field))
