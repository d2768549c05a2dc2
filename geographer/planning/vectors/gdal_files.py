"""GDAL files: vector files that GDAL reads in another process, which a damaged file may crash, as Parquet."""

import logging
from pathlib import Path
from typing import Any, Final

from geographer.base.errors import CorruptError, NotFoundError, UsageError, quote_names, quote_objects
from geographer.base.executors.isolated_script import IsolatedScript
from geographer.planning.vectors.columns import SourceColumn
from geographer.storage.database.connection import find_spatial_extension

logger = logging.getLogger(__name__)

_GDAL_READER: Final = IsolatedScript(Path(__file__).with_name("gdal_reader.py"))
_READ_ADVICE: Final = "Correct the file, or convert it to another format, such as GeoPackage."
_CONVERTED: Final = "features.parquet"


def convert_file(
    path: str, folder: Path, layer: str | None, encoding: str | None
) -> tuple[Path, list[SourceColumn], str | None]:
    """Convert a layer of a vector file to a Parquet file in `folder`; return its path, its columns and the CRS.

    Without `layer`, it is the first that has features; a warning names others that have some.

    Raises:
        NotFoundError: The file has no layer of that name.
        UsageError: The file cannot be read, or its text is in another encoding.
        CorruptError: The file is truncated, or crashes GDAL.
    """
    output = folder / _CONVERTED
    task = {
        "path": str(Path(path).absolute()),  # The other process keeps the folder in which it was started.
        "folder": str(folder),
        "output": str(output),
        "extension": str(find_spatial_extension()),
        "layer": layer,
        "encoding": encoding,
    }
    try:
        result = _GDAL_READER.run_task(task)
    except ChildProcessError as error:
        raise CorruptError(f"'{path}' cannot be read as vector data: GDAL crashed ({error}). {_READ_ADVICE}") from error
    _raise_error(path, layer, result)
    if others := result["other_layers"]:
        logger.warning(
            "'%s' has several layers: '%s' is read, and not the %s; choose with --layer",
            *(path, result["layer"], quote_objects("layer", others)),
        )
    return output, [SourceColumn(**column) for column in result["columns"]], result["crs"]


def _raise_error(path: str, layer: str | None, result: dict[str, Any]) -> None:
    """Raise the error that an answer of the other process states, if it does."""
    if "layers" in result:
        raise NotFoundError(f"'{path}' has no layer '{layer}'. Its layers are {quote_names(result['layers'])}.")
    if "error" in result:
        raise UsageError(f"cannot read '{path}' as vector data: {result['error']}. {_READ_ADVICE}")
    if result["count"] < result["stated"]:
        raise CorruptError(
            f"'{path}' is damaged: its header states {result['stated']:,} features, but {result['count']:,} can be "
            "read. Get the file again."
        )
