"""GDAL reader: a script that converts one layer of a vector file to Parquet, in a process of its own.

A damaged file can crash GDAL, and with it the process. Tasks are lines of JSON with the arguments of `convert_layer`.
"""

import json
import os
import re
import struct
import sys
import warnings
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from geographer.planning.vectors.gdal_columns import make_columns, select_names
from geographer.planning.vectors.json_text import is_json_file, quote_wide_integers, read_feature_ids
from geographer.planning.vectors.text_files import prepare_text_file

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

_BATCH_SIZE = 16_384
_ROW_GROUP_SIZE = 131_072
_ROW_GROUP_BYTES = 1 << 26
_CURVES = (8, 9, 10, 11, 12, 13, 14)
"""Types of WKB: circular strings, compound curves, curve polygons, multicurves, multisurfaces, curves, surfaces."""
_NETWORK_DRIVERS = "AmigoCloud CSW Carto EEDA Elasticsearch GPSBabel HTTP NGW OAPIF OGCAPI PLSCENES WFS"
_SINGLE_LAYER = frozenset({".fgb", ".geojson", ".geojsonl", ".geojsons", ".shp"})
_XML = b"<"
_POINT_COLUMNS = {"X_POSSIBLE_NAMES": "longitude,lon,lng,long", "Y_POSSIBLE_NAMES": "latitude,lat"}
"""The columns of which points are made, if a CSV has no geometry."""
_LOSSY_TEXT = re.compile(r"characters couldn't be converted correctly from (\S+) to")
_ANY_NAMES = "ISO-8859-1"
"""An encoding that decodes any column name."""
_NO_COLUMN_NAME = "the name of a column is not UTF-8. Pass its --encoding, such as cp1252"


class LayerNotFoundError(Exception):
    """The file has no layer of the requested name; the arguments are the names that it has."""


class _Layer(NamedTuple):
    """A layer of a file, and how to read it."""

    path: str
    name: str | None
    driver: str
    encoding: str | None
    has_geometry: bool = True

    @property
    def open_options(self) -> dict[str, Any]:
        """Options of pyogrio. For a Shapefile in a known encoding, GDAL is to leave the text to Python."""
        options: dict[str, Any] = {"layer": self.name}
        if self.driver == "ESRI Shapefile" and self.encoding:
            options["ENCODING"] = ""
        if self.driver == "CSV" and not self.has_geometry:
            options |= _POINT_COLUMNS
        return options | ({"WRITE_GFS": "NO"} if self.driver == "GML" else {})


def convert_layer(
    path: str, folder: str, output: str, extension: str, layer: str | None, encoding: str | None
) -> dict[str, object]:
    """Write the features of a layer to the Parquet file `output`, in their order, and describe its columns.

    Args:
        path: The absolute path of the file.
        folder: An empty folder for temporary files.
        output: The path of the Parquet file. Its columns are c0, c1 …; geometries are WKB, arcs as chords of at most
            4 degrees; times are in UTC.
        extension: The path of DuckDB's spatial extension.
        layer: The name of the layer; None: the first that has features, or else the first.
        encoding: Python's name of the encoding of the text, or None.

    Raises:
        LayerNotFoundError: The file has no layer of that name.
        ValueError: The text is not in the encoding.
    """
    import pyogrio

    text = prepare_text_file(link_file(Path(path), Path(folder)), Path(folder), encoding)
    is_json = is_json_file(text.path)
    readable = str(quote_wide_integers(text.path, Path(folder)) if is_json else text.path)
    name, others = choose_layer(readable, layer)
    info = {"driver": "GeoJSON"} if is_json else pyogrio.read_info(readable, layer=name, encoding=_ANY_NAMES)
    driver = info["driver"]
    opened = _Layer(readable, name, driver, text.encoding, has_geometry=is_json or info["geometry_type"] is not None)
    described = write_layer(opened, Path(output))
    if described["crs"] and not re.fullmatch(r"EPSG:\d+", str(described["crs"])):
        described["crs"] = describe_crs(opened, str(described["crs"]), Path(folder), extension)
    stated = pyogrio.read_info(readable)["features"] if driver == "FlatGeobuf" else 0
    return {**described, "layer": name, "other_layers": others, "stated": stated}


def link_file(path: Path, folder: Path) -> Path:
    """Return the path, or that of a link without the exclamation marks that pyogrio takes for a path in an archive."""
    if "!" not in str(path):
        return path
    links = folder / "links"
    links.mkdir()
    for file in path.parent.iterdir():
        if file.stem == path.stem:
            (links / file.name.replace("!", "_")).symlink_to(file)
    return links / path.name.replace("!", "_")


def choose_layer(path: str, requested: str | None) -> tuple[str | None, list[str]]:
    """Return the layer to read, and the names of the other layers that have features.

    The layer is None if the file can have only one. `LayerNotFoundError` if the file lacks the requested one.
    """
    import pyogrio

    if requested is None and Path(path).suffix.lower() in _SINGLE_LAYER:
        return None, []
    layers = {str(name): kind for name, kind in pyogrio.list_layers(path)}
    if requested is not None:
        if requested not in layers:
            raise LayerNotFoundError(*layers)
        return requested, []
    if not layers:
        raise ValueError("it has no layers")
    spatial = [name for name, kind in layers.items() if kind is not None] or list(layers)
    if len(spatial) < 2:
        return next(iter(spatial), None), []
    filled = [name for name in spatial if _has_features(path, name)] or spatial[:1]
    return filled[0], filled[1:]


def _has_features(path: str, layer: str) -> bool:
    import pyogrio.raw

    n_features = pyogrio.read_info(path, layer=layer, encoding=_ANY_NAMES)["features"]
    if n_features >= 0:
        return bool(n_features)
    fids = pyogrio.raw.read(path, layer=layer, columns=[], read_geometry=False, max_features=1, return_fids=True)[1]
    return len(fids) > 0


def write_layer(layer: _Layer, output: Path) -> dict[str, object]:
    """Write the features of a layer to a Parquet file, and describe it; see `convert_layer`."""
    if layer.driver != "GeoJSON":
        require_well_formed(Path(layer.path))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        described = _write_batches(layer, output)
    lossy = next(filter(None, (_LOSSY_TEXT.search(str(warning.message)) for warning in caught)), None)
    if lossy:
        # GDAL skips what it cannot decode; Python says where that is.
        return write_layer(layer._replace(encoding=lossy[1]), output)
    return described


def require_well_formed(path: Path) -> None:
    """Raise `ValueError` if a file of XML is not well-formed: GDAL would end at that place without an error."""
    from xml.parsers import expat

    if not path.is_file():
        return
    with path.open("rb") as file:
        is_xml = file.read(len(_XML)) == _XML
        file.seek(0)
        try:
            if is_xml:
                expat.ParserCreate().ParseFile(file)
        except expat.ExpatError as error:
            raise ValueError(f"it is not well-formed XML: {error}. Text that is not UTF-8 needs --encoding") from error


def _write_batches(layer: _Layer, output: Path) -> dict[str, object]:
    import pyarrow as pa
    import pyogrio.raw

    ids = make_id_array(read_feature_ids(Path(layer.path)) if layer.driver == "GeoJSON" else None)
    options = {"return_fids": True, "use_pyarrow": True, "batch_size": _BATCH_SIZE, "datetime_as_string": True}
    with (
        pyogrio.raw.open_arrow(layer.path, **layer.open_options, **options) as (meta, batches),
        _RowGroups(output) as rows,
    ):
        columns = make_columns(meta, len(batches.schema), layer.driver, layer.encoding)
        geometry = next((index for index, column in enumerate(columns) if column.kind == "geometry"), None)
        no_rows = pa.RecordBatch.from_arrays(
            [pa.array([], field.type) for field in batches.schema], [str(index) for index in range(len(columns))]
        )
        for batch in chain([no_rows], _iter_batches(batches, layer.driver)):
            values = [batch.column(index) for index in range(len(columns))]
            arrays = [
                column.convert_values(array, rows.count + 1) for column, array in zip(columns, values, strict=True)
            ]
            if geometry is not None:
                arrays[geometry] = _linearise_curves(layer, arrays[geometry], rows.count)
            rows.write_arrays([*arrays, *_slice_ids(ids, rows.count, len(batch))])
    described = [
        {"column": f"c{index}", "name": name, "kind": column.kind, "type": column.type_name}
        for index, (column, name) in enumerate(zip(columns, select_names(columns), strict=True))
        if name is not None
    ]
    if ids is not None and len(ids) == rows.count:
        described = _insert_ids(described, f"c{len(columns)}", is_integer=pa.types.is_integer(ids.type))
    return {"columns": described, "crs": meta["crs"], "count": rows.count}


def _iter_batches(batches: "pa.RecordBatchReader", driver: str) -> Iterator["pa.RecordBatch"]:
    """Yield the batches; those of a truncated FlatGeobuf end early, and its header states how many features it had."""
    import pyarrow as pa

    try:
        yield from batches
    except (pa.ArrowException, OSError):
        if driver != "FlatGeobuf":
            raise


def _insert_ids(
    described: list[dict[str, str | None]], column: str, *, is_integer: bool
) -> list[dict[str, str | None]]:
    """Add the ids of GeoJSON as column `id`, unless the features have an attribute of that name, and as FID."""
    fid, *others = described
    if is_integer:
        fid = {**fid, "column": column}
    has_own = any(str(other["name"]).lower() == "id" for other in others)
    return [fid, *([] if has_own else [{"column": column, "name": "id", "kind": "value", "type": None}]), *others]


def make_id_array(ids: "list[int | str | None] | None") -> "pa.Array | None":
    """Return ids of features as integers, if all are integers of 64 bits, or else as text."""
    import pyarrow as pa

    if ids is None:
        return None
    try:
        return pa.array(ids, pa.int64())
    except (pa.ArrowException, OverflowError, TypeError, ValueError):
        return pa.array([None if value is None else str(value) for value in ids], pa.string())


def _slice_ids(ids: "pa.Array | None", start: int, length: int) -> "list[pa.Array]":
    import pyarrow as pa

    if ids is None:
        return []
    part = ids.slice(start, length)
    return [pa.concat_arrays([part, pa.nulls(length - len(part), ids.type)])]


def _linearise_curves(layer: _Layer, geometries: "pa.Array", first: int) -> "pa.Array":
    """Replace curves by lines with a vertex each 4 degrees of an arc; `first` is the index of the first row."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyogrio.raw

    kinds = pc.binary_slice(geometries, 1, 5)
    if not any(kind is not None and _is_curve(kind) for kind in kinds.unique().to_pylist()):
        return geometries
    values = geometries.to_pylist()
    curves = [index for index, kind in enumerate(kinds.to_pylist()) if kind is not None and _is_curve(kind)]
    options = {"columns": [], "skip_features": first, "max_features": len(values)}
    linear = pyogrio.raw.read(layer.path, **layer.open_options, **options)[2]
    for index in curves:
        values[index] = linear[index]
    return pa.array(values, pa.binary())


def _is_curve(kind: bytes) -> bool:
    """Return whether a type of WKB, which GDAL writes in the byte order of the machine, is a curve's."""
    return int.from_bytes(kind, sys.byteorder) % 1000 in _CURVES


class _RowGroups:
    """A Parquet file that is written in row groups of many rows, or of few large ones."""

    def __init__(self, path: Path) -> None:
        self.count = 0
        self._path = path
        self._writer: pq.ParquetWriter | None = None
        self._pending: list[pa.RecordBatch] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._write_pending()
        if self._writer is not None:
            self._writer.close()

    def write_arrays(self, arrays: "list[pa.Array]") -> None:
        """Write the columns c0, c1 … of the next rows."""
        import pyarrow as pa

        self._pending.append(pa.RecordBatch.from_arrays(arrays, [f"c{index}" for index in range(len(arrays))]))
        self.count += len(arrays[0])
        size = sum(batch.nbytes for batch in self._pending)
        if size > _ROW_GROUP_BYTES or sum(map(len, self._pending)) >= _ROW_GROUP_SIZE:
            self._write_pending()

    def _write_pending(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        if not self._pending:
            return
        table, self._pending = pa.Table.from_batches(self._pending), []
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._path, table.schema, compression="lz4", use_dictionary=False)
        self._writer.write_table(table, row_group_size=_ROW_GROUP_SIZE)


def describe_crs(layer: _Layer, crs: str, folder: Path, extension: str) -> str:
    """Return DuckDB's text of a CRS that is no EPSG code: recorded features have it, and it differs from GDAL's WKT.

    DuckDB reads the CRS from the file, or if it lacks the driver, from a FlatGeobuf with one point.
    """
    import duckdb
    import numpy as np
    import pyogrio.raw

    connection = duckdb.connect(":memory:", config={"allow_unsigned_extensions": True})
    connection.execute(f"LOAD '{_escape_literal(extension)}'")
    point = folder / "crs.fgb"
    wkb = np.array([struct.pack("<BIdd", 1, 1, 0.0, 0.0)], object)
    pyogrio.raw.write(str(point), wkb, [], [], geometry_type="Point", crs=crs, driver="FlatGeobuf")
    option = f", layer := '{_escape_literal(layer.name)}'" if layer.name else ""
    for path, options in ((layer.path, option), (str(point), "")):
        try:
            rows = connection.execute(f"DESCRIBE FROM ST_Read('{_escape_literal(path)}'{options})").fetchall()
        except duckdb.Error:
            continue
        if found := next(filter(None, (re.fullmatch(r"GEOMETRY\('(.*)'\)", row[1], re.DOTALL) for row in rows)), None):
            return found[1].replace("''", "'")
    return crs


def _escape_literal(text: str) -> str:
    return text.replace("'", "''")


def run_tasks() -> None:
    """Answer each task of stdin on stdout; GDAL, which may print, gets another stdout."""
    # pyogrio imports geopandas if it can, which takes longer than to read a small file.
    sys.modules["geopandas"] = None  # type: ignore[assignment]
    os.environ["GDAL_SKIP"] = _NETWORK_DRIVERS
    with os.fdopen(os.dup(1), "w") as answers, Path(os.devnull).open("w") as devnull:
        os.dup2(devnull.fileno(), 1)
        for line in sys.stdin:
            print(json.dumps(answer_task(json.loads(line))), file=answers, flush=True)


def answer_task(task: dict[str, str]) -> dict[str, object]:
    """Return the answer of `convert_layer`, or the `error`, or the `layers` of a file that lacks the requested one."""
    import pyarrow as pa
    from pyogrio.errors import DataLayerError, DataSourceError

    try:
        return convert_layer(**task)
    except LayerNotFoundError as error:
        return {"layers": error.args}
    except UnicodeDecodeError:
        return {"error": _NO_COLUMN_NAME}
    except (DataSourceError, DataLayerError, pa.ArrowException, OSError, ValueError, RuntimeError) as error:
        return {"error": f"{error}".partition("\n")[0].partition("; It might help")[0].removesuffix(".")}


if __name__ == "__main__":
    run_tasks()
