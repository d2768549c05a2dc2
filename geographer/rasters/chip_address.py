"""Chip addresses: they take the place of the paths of virtual chips in every function that opens a raster."""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple, Self
from urllib.parse import parse_qsl, quote, urlencode

from geographer.base.values import Window

_PREFIX: Final = "/virtual-chip?"


class ChipAddress(NamedTuple):
    """Where the pixels of a virtual chip are.

    Attributes:
        source: The path of the raster that it is a window of; GDAL opens it, or it is a chip address itself.
        content: What identifies the bytes of the source: a source that changed is opened again.
        window: The window, in pixels of the source.
        bands: The bands, numbered from 1, in their order; None: all.
        pad_value: The value of pixels outside the source; None: the window lies inside.
        crs: The CRS of the source as the log has it, which replaces the file's own.
        with_sidecars: Whether GDAL reads sidecar files of the source.
    """

    source: str
    content: str
    window: Window
    bands: tuple[int, ...] | None
    pad_value: float | None
    crs: str
    with_sidecars: bool

    def to_path(self) -> Path:
        """Return the address as a path of one part, which functions that open rasters understand."""
        numbers = {"window": self.window, "bands": self.bands or ()}
        fields = {
            **{"source": self.source, "content": self.content, "crs": self.crs},
            **{name: ",".join(map(str, value)) for name, value in numbers.items()},
            "pad_value": "" if self.pad_value is None else repr(self.pad_value),
            "with_sidecars": "1" if self.with_sidecars else "",
        }
        return Path(_PREFIX + urlencode(fields, quote_via=lambda text, *_: quote(text, safe="")))

    @classmethod
    def from_path(cls, path: str | Path) -> Self | None:
        """Return the address that `to_path` returned as this path; None if it is the path of a file."""
        text = str(path)
        if not text.startswith(_PREFIX):
            return None
        fields = dict(parse_qsl(text.removeprefix(_PREFIX), keep_blank_values=True))
        bands, pad_value = fields["bands"], fields["pad_value"]
        return cls(
            fields["source"],
            fields["content"],
            Window(*map(int, fields["window"].split(","))),
            tuple(map(int, bands.split(","))) if bands else None,
            _parse_number(pad_value) if pad_value else None,
            fields["crs"],
            bool(fields["with_sidecars"]),
        )


def find_opened_file(path: str | Path) -> Path:
    """Return the file that is opened to read a path: of a virtual chip, that of its source."""
    while address := ChipAddress.from_path(path):
        path = address.source
    return Path(path)


def is_chip_address(path: str | Path) -> bool:
    """Return whether a path is that of a virtual chip, which has no file."""
    return str(path).startswith(_PREFIX)


def _parse_number(text: str) -> float:
    """Return a pad value; an int stays exact."""
    try:
        return int(text)
    except ValueError:
        return float(text)
