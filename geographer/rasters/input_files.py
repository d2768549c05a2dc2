"""The files that GDAL reads with a raster: what a task that opens it needs on another machine."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from geographer.base.errors import GeographerError
from geographer.base.executors.task_files import InputFile
from geographer.rasters.chip_address import ChipAddress
from geographer.rasters.read import open_raster
from geographer.rasters.remote_address import is_remote_address


def list_input_files(path: str | Path, *, md5: str | None = None, with_sidecars: bool = False) -> list[InputFile]:
    """Return a raster's file, whose MD5 may be known, and with `with_sidecars` those that GDAL reads beside it.

    Of a virtual chip, they are those of the raster that it is a window of.

    A raster that cannot be opened has only its own file: the task that opens it raises the error.
    """
    if address := ChipAddress.from_path(path):
        return list_input_files(address.source, with_sidecars=address.with_sidecars)
    if is_remote_address(path):
        return []  # a worker reads ranges of it
    files = [InputFile(path, md5)]
    if with_sidecars and Path(path).is_file():
        with suppress(GeographerError), open_raster(Path(path)) as raster:
            files += [InputFile(file) for file in raster.files if Path(file) != Path(path) and Path(file).is_file()]
    return files
