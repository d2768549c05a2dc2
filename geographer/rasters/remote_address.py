"""Remote addresses: they take the place of the paths of remote rasters in every function that opens a raster."""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple, Self
from urllib.parse import parse_qsl, quote, urlencode

_PREFIX: Final = "/remote-raster?"


class RemoteAddress(NamedTuple):
    """Where a remote raster is.

    Attributes:
        url: Its URL: https://, http:// or s3://.
        etag: The entity tag of the version to read, which the server compares in each request; None: any version.
    """

    url: str
    etag: str | None = None

    def to_path(self) -> Path:
        """Return the address as a path of one part, which functions that open rasters understand."""
        return Path(
            _PREFIX + urlencode({"url": self.url, "etag": self.etag or ""}, quote_via=lambda text, *_: quote(text, ""))
        )

    @classmethod
    def from_path(cls, path: str | Path) -> Self | None:
        """Return the address that `to_path` returned as this path; None if it is the path of a file."""
        text = str(path)
        if not text.startswith(_PREFIX):
            return None
        fields = dict(parse_qsl(text.removeprefix(_PREFIX), keep_blank_values=True))
        return cls(fields["url"], fields["etag"] or None)


def is_remote_address(path: str | Path) -> bool:
    """Return whether a path is that of a remote raster."""
    return str(path).startswith(_PREFIX)


def find_remote_url(path: str | Path) -> str | None:
    """Return the URL in the path of a remote raster, or in the name that GDAL has for one; None for other files."""
    if address := RemoteAddress.from_path(path):
        return address.url
    text = str(path)
    if text.startswith("/vsicurl?"):
        return dict(parse_qsl(text.partition("?")[2])).get("url", "").partition("#")[0]
    return f"s3://{text.removeprefix('/vsis3/')}" if text.startswith("/vsis3/") else None


def is_remote_url(text: str) -> bool:
    """Return whether a text is the URL of a file that can be read in ranges."""
    return text.lower().startswith(("https://", "http://", "s3://"))
