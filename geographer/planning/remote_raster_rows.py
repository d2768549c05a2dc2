"""Remote raster rows: describe rasters at URLs as rows of the log's raster table, from their headers."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import msgspec

from geographer.base.errors import UsageError
from geographer.base.values import Checksums
from geographer.planning.raster_rows import RasterOptions, RasterRow, describe_named_grid, make_raster_id
from geographer.storage.workspace.remote_files import iter_remote_bytes, read_remote_version, require_version
from geographer.storage.workspace.roots import Roots


def describe_remote_raster(
    path: Path, options: RasterOptions, roots: Roots, *, is_hashed: bool
) -> tuple[RasterRow, Checksums, Mapping[str, str]]:
    """Read the header of the raster at a remote address, and return its log row, checksums and GDAL tags.

    The row pins the version that the server has. With `is_hashed`, all bytes are read, and the row has their checksums
    and the digest of the pixels.

    Raises:
        NotFoundError: Nothing is at the URL.
        StorageError: The server cannot be reached, or refuses the request.
        UsageError: The file is no raster, has no CRS, or the server does not say which version it has.
        ConflictError: The file changed meanwhile.
    """
    from geographer.rasters.pixel_digest import compute_pixel_digest
    from geographer.rasters.read import read_raster_info
    from geographer.rasters.remote_address import RemoteAddress, find_remote_url

    url = find_remote_url(path) or ""
    version, size = read_remote_version(url)
    if not version.is_pinned:
        raise UsageError(
            f"the server of '{url}' gives neither an ETag nor Last-Modified, so a later change could not be noticed. "
            "Download the file and add it."
        )
    address = RemoteAddress(url, version.etag).to_path()
    info = read_raster_info(address, crs=options.crs, footprint=options.footprint, acquired=options.acquired)
    recorded = msgspec.structs.replace(version, url=roots.record_url(url))
    row = RasterRow(
        raster_id=make_raster_id(path, options.id_folders),
        collection=options.collection,
        path=recorded.to_path(),
        storage="remote",
        sha256=recorded.compute_digest(),
        **describe_named_grid(Path(url), info),
        acquired=info.acquired.isoformat() if info.acquired else None,
        outline=info.footprint_wkb,
    )
    if size is not None:
        row["size"] = size
    if is_hashed:
        md5, sha256, count = hashlib.md5(usedforsecurity=False), hashlib.sha256(), 0
        for block in iter_remote_bytes(version):
            md5.update(block)
            sha256.update(block)
            count += len(block)
        row |= {"size": count, "md5": md5.hexdigest(), "sha256": sha256.hexdigest()}
        row["pixel_digest"] = compute_pixel_digest(address, crs=options.crs)
    require_version(version, size)
    return row, Checksums(row.get("size", 0), row.get("md5", ""), row["sha256"]), info.tags
