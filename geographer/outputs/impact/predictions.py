"""Predictions: a folder of arrays with one class value per pixel, or a table with one value per chip."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from geographer.base.errors import NotFoundError, StorageError, UsageError, quote_names
from geographer.base.input_paths import require_input_path

if TYPE_CHECKING:
    import pyarrow as pa

ARRAY_SUFFIXES: Final = (".npy", ".tif", ".png")
TABLE_SUFFIXES: Final = (".csv", ".parquet")
MAX_VALUE: Final = 1e300
_COLUMNS: Final = ("raster_id", "value")


def find_arrays(folder: Path, raster_ids: Sequence[str]) -> dict[str, Path]:
    """Return the file of the prediction of each chip: `FOLDER/RASTER_ID.npy`, `.tif` or `.png`.

    Raises:
        NotFoundError: chips have no file.
        UsageError: a chip has several.
    """
    paths: dict[str, Path] = {}
    missing: list[str] = []
    for raster_id in raster_ids:
        is_inside = ".." not in PurePosixPath(raster_id).parts and not raster_id.startswith("/")
        found = [path for suffix in ARRAY_SUFFIXES if (path := folder / f"{raster_id}{suffix}").is_file() and is_inside]
        if len(found) > 1:
            names = quote_names([path.name for path in found])
            raise UsageError(f"chip '{raster_id}' has several predictions in '{folder}': {names}. Keep one of them.")
        if found:
            paths[raster_id] = found[0]
        else:
            missing.append(raster_id)
    _require_none_missing(missing, len(raster_ids), f"'{folder}', e.g. '{(missing or [''])[0]}.npy'")
    return paths


def read_scores(path: Path, raster_ids: Sequence[str]) -> dict[str, Fraction]:
    """Read the values of chips from a CSV or Parquet table with the columns `raster_id` and `value`.

    Other chips and columns are ignored.

    Raises:
        NotFoundError: chips have no value.
        UsageError: the table cannot be read, lacks a column, has a chip twice, or a value is not a number of at most
            1e300.
    """
    columns = [_read_table(path)[name].to_pylist() for name in _COLUMNS]
    wanted, scores = {*raster_ids}, dict[str, Fraction]()
    for raster_id, value in zip(*columns, strict=True):
        if raster_id not in wanted:
            continue
        if raster_id in scores:
            raise UsageError(f"'{path}' has chip '{raster_id}' more than once. Keep one row per chip.")
        if value is None:
            raise UsageError(f"'{path}' has no number for chip '{raster_id}'. Every chip of the subset needs one.")
        if not abs(value) <= MAX_VALUE:
            raise UsageError(f"'{path}' has the value {value} for chip '{raster_id}'. Use a number of at most 1e300.")
        scores[raster_id] = Fraction(value)
    missing = [raster_id for raster_id in raster_ids if raster_id not in scores]
    _require_none_missing(missing, len(raster_ids), f"'{path}'")
    return scores


def compute_mean(scores: Iterable[Fraction]) -> Fraction | None:
    """Return the exact mean; None of nothing."""
    values = list(scores)
    return sum(values, Fraction(0)) / len(values) if values else None


def require_predictions(path: str | Path) -> Path:
    """Return the path of predictions; `NotFoundError` without such a file, `UsageError` unless a folder or a table."""
    existing = require_input_path(path)
    if not existing.is_dir() and existing.suffix.lower() not in TABLE_SUFFIXES:
        raise UsageError(
            f"'{path}' is neither a folder of arrays nor a table. Use a folder, a .csv or a .parquet file."
        )
    return existing


def _read_table(path: Path) -> pa.Table:
    """Read the two columns as text and float64."""
    import pyarrow as pa
    from pyarrow import csv, parquet

    types = {"raster_id": pa.string(), "value": pa.float64()}
    try:
        if path.suffix.lower() == ".parquet":
            with parquet.ParquetFile(path) as file:
                table = file.read(columns=[*_COLUMNS])
        else:
            table = csv.read_csv(path, convert_options=csv.ConvertOptions(column_types=types))
        if not all(table.column_names.count(name) == 1 for name in _COLUMNS):
            raise UsageError(f"'{path}' has no columns raster_id and value. Write each once, one row per chip.")
        return table.select([*_COLUMNS]).cast(pa.schema(types))
    except pa.ArrowException as error:
        first_line = str(error).partition("\n")[0]
        raise UsageError(f"'{path}' cannot be read as a table of raster_id and value: {first_line}.") from error
    except OSError as error:
        raise StorageError(f"cannot read '{path}': {error}. Check the file and its permissions.") from error


def _require_none_missing(missing: Sequence[str], count: int, place: str) -> None:
    if missing:
        raise NotFoundError(
            f"{len(missing):,} of {count:,} chips have no prediction in {place}: {quote_names([*missing], 3)}. "
            "Predict all chips that the subset has at either revision."
        )
