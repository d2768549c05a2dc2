"""Chip windows: what the log records of a virtual chip in place of a path, and the address at which it is read."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from geographer.base.canonical_json import canonical_json
from geographer.base.errors import ConflictError, NotFoundError
from geographer.base.values import Window
from geographer.storage.queries.revision import Revision

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_VIRTUAL_CHIPS: Final = (
    "SELECT chip.raster_id, chip.path, chip.sha256, nodata, parent_id, parent.sha256, parent.crs "
    "FROM (SELECT raster_id, path, sha256, nodata, parent_id FROM current_raster "
    "WHERE storage = 'virtual' AND raster_id IN (SELECT unnest($ids::VARCHAR[]))) AS chip "
    "LEFT JOIN (SELECT raster_id, sha256, crs FROM current_raster) AS parent ON parent.raster_id = parent_id "
    "ORDER BY chip.raster_id"
)
_Number = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]


class ChipWindow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What identifies the pixels of a virtual chip.

    Attributes:
        source: The SHA-256 that the log has of the raster that it is a window of.
        window: Column, row, width and height in pixels of that raster.
        bands: The bands, numbered from 1, in their order; None: all.
        pad_value: The value of pixels outside the raster, as text; None: the window lies inside.
    """

    source: str
    window: tuple[int, int, _Number, _Number]
    bands: tuple[_Number, ...] | None
    pad_value: str | None

    def to_path(self) -> str:
        """Return what the log records as path: canonical JSON."""
        return canonical_json(msgspec.to_builtins(self))

    def compute_digest(self) -> str:
        """Return what the log records as SHA-256: that of the path."""
        return hashlib.sha256(self.to_path().encode()).hexdigest()


class VirtualChip(msgspec.Struct, frozen=True):
    """A virtual chip of a revision: its window, its digest, and the raster that it is a window of, with its CRS."""

    window: ChipWindow
    sha256: str
    parent_id: str
    crs: str
    pads_valid_pixels: bool = False

    def make_address(self, source: Path, content: str, *, with_sidecars: bool) -> Path:
        """Return the path at which the chip is read; `source` is the file of its raster, `content` identifies that."""
        from geographer.rasters.chip_address import ChipAddress
        from geographer.rasters.nodata import parse_nodata

        pad_value = None if self.window.pad_value is None else parse_nodata(self.window.pad_value)
        window, bands = Window(*self.window.window), self.window.bands
        return ChipAddress(str(source), content, window, bands, pad_value, self.crs, with_sidecars).to_path()

    def make_gdal_name(self, source: str | None) -> str | None:
        """Return the name by which GDAL opens the window of a source; None if it is padded with other than nodata."""
        if source is None or "?" in source or self.pads_valid_pixels:
            return None
        bands = f"&bands={','.join(map(str, self.window.bands))}" if self.window.bands else ""
        prefix = "/vsicurl/" if source.startswith("http") else ""
        source = f"/vsis3/{source.removeprefix('s3://')}" if source.startswith("s3://") else source
        return f"vrt://{prefix}{source}?srcwin={','.join(map(str, self.window.window))}{bands}"


def parse_chip_window(path: str | None) -> ChipWindow:
    """Return the window that the log records as path; `ValueError` if it is none."""
    window = msgspec.json.decode(path or "", type=ChipWindow)
    if not _SHA256.fullmatch(window.source) or window.to_path() != path or window.bands == ():
        raise ValueError("the window is not in canonical form")
    if window.pad_value is not None:
        float(window.pad_value)
    return window


def find_window_fault(path: str | None, sha256: str | None) -> str | None:
    """Return why a path cannot be that of a virtual chip, as the macro in `path_fault.sql` does; None if it can."""
    try:
        window = parse_chip_window(path)
    except (ValueError, msgspec.MsgspecError):
        return "its path does not describe a window"
    return None if window.compute_digest() == sha256 else "its SHA-256 is not that of its window"


def list_virtual_chips(revision: Revision, raster_ids: Sequence[str]) -> Mapping[str, VirtualChip]:
    """Return those of the rasters that are virtual chips, by id.

    Raises:
        NotFoundError: The revision has no longer the raster that a chip is a window of.
        ConflictError: It has another version of that raster.
    """
    rows = revision.fetch_rows(_VIRTUAL_CHIPS, {"ids": [*raster_ids]})
    chips = {}
    for raster_id, path, sha256, nodata, parent_id, parent_sha256, crs in rows:
        window = parse_chip_window(path)
        problem = f"virtual chip '{raster_id}' cannot be read at @{revision.position}: its raster '{parent_id}'"
        if parent_sha256 is None:
            raise NotFoundError(f"{problem} is no longer in the dataset. Run geographer update.")
        if parent_sha256 != window.source:
            raise ConflictError(f"{problem} has other pixels since the chip was cut. Run geographer update.")
        pads_valid = window.pad_value is not None and (nodata is None or float(window.pad_value) != nodata)
        chips[raster_id] = VirtualChip(window, sha256, parent_id, crs, pads_valid)
    return chips
