"""ALOS World 3D: the 1° tiles of JAXA's 30 m elevation model, over HTTP or FTP, which eodag does not offer."""

from __future__ import annotations

import re
from collections.abc import Iterator
from math import ceil, floor
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any, Final, NamedTuple
from urllib.parse import urlparse

from geographer.archives.base import BytesCallback, FileInfo, Product, SearchQuery, Source, SourceError
from geographer.archives.http_ftp import MissingError, fetch_file, listed, stated_at
from geographer.archives.stac_properties import Fact
from geographer.base.errors import NotFoundError, UsageError, quote_names

_COLLECTION: Final = "AW3D30"
_URL: Final = "https://www.eorc.jaxa.jp/ALOS/aw3d30/data/release_v2404"
_LAYOUT: Final = "{block}/{tile}.zip"
_LICENCE: Final = "JAXA terms of use, https://earth.jaxa.jp/en/data/policy/"
_OPTIONS: Final = {"url", "layout"}
_BLOCK: Final = 5
_TILE: Final = re.compile(r"[NS]\d{3}[EW]\d{3}")
_RELEASE: Final = re.compile(r"release_(v\d+)")


class Cell(NamedTuple):
    """A cell of one degree, by its south-west corner in degrees."""

    west: int
    south: int

    @property
    def name(self) -> str:
        """`N046E007`."""
        north, east = "N" if self.south >= 0 else "S", "E" if self.west >= 0 else "W"
        return f"{north}{abs(self.south):03d}{east}{abs(self.west):03d}"

    @property
    def block(self) -> Cell:
        """The corner of the block of five degrees that it is in."""
        return Cell(floor(self.west / _BLOCK) * _BLOCK, floor(self.south / _BLOCK) * _BLOCK)


class AlosWorld3d(Source):
    """The tiles of ALOS World 3D - 30 m (AW3D30), each an archive of one degree by one.

    JAXA wants users to register, free of charge; user and password stand in `~/.netrc` (or the file that NETRC names).
    A search ignores times: the model is made of scenes of 2006 to 2011, and the tiles are not dated.

    Options:
        url: The release's folder at JAXA (which is the default, over HTTPS) or of a mirror: http, https or ftp. Without
            user, password or query: the log keeps it.
        layout: Where a tile is in there: `{block}/{tile}.zip` as in releases since 2020; earlier ones have
            `{block}/{tile}.tar.gz`. `{tile}` is N046E007 for the degree north and east of that corner, `{block}` the
            corner of the five degrees around it, N045E005.
    """

    max_concurrent = 2
    reader = "geotiff"
    # Beside the heights lie a mask, and how many scenes each is made of.
    reader_options = MappingProxyType({"pattern": "*DSM.tif"})

    def __init__(self, *, provider: str | None = None, collection: str | None = None, **options: Any) -> None:
        """See `Source`; `provider` is the name that is recorded, 'jaxa' unless it is a mirror's."""
        super().__init__(provider=provider or "jaxa", collection=collection or _COLLECTION, **options)
        if self.collection != _COLLECTION:
            raise NotFoundError(f"no collection '{collection}' in this archive: there is {_COLLECTION}")
        unknown = sorted(set(options) - _OPTIONS)
        if unknown:
            raise UsageError(
                f"the source of AW3D30 has no option {quote_names(unknown)}: it has {', '.join(sorted(_OPTIONS))}"
            )
        self._url = _checked_url(options.get("url", _URL))
        self._layout = _checked_layout(options.get("layout", _LAYOUT))

    def search(self, query: SearchQuery) -> Iterator[list[Product]]:
        """See `Source.search`: one page, of the tiles that the box meets and that are there.

        It asks for one listing a block of five degrees, or where a server lists nothing, for every tile.
        """
        page: list[Product] = []
        blocks: dict[Cell, list[Cell]] = {}
        for cell in _cells(query):
            blocks.setdefault(cell.block, []).append(cell)
        for cells in blocks.values():
            page += [self._product(cell, stated) for cell, stated in self._there(cells)]
        yield sorted(page, key=lambda product: product.product_id)

    def fetch(self, product: Product, folder: Path, told: BytesCallback) -> None:
        """See `Source.fetch`: the archive, as it is."""
        path = str(product.handle)
        fetch_file(f"{self._url}/{path}", folder / PurePosixPath(path).name, told)

    def _there(self, cells: list[Cell]) -> Iterator[tuple[Cell, FileInfo]]:
        """Of the cells of one block, those that the archive has."""
        names = self._listed(PurePosixPath(self._path(cells[0])).parent)
        for cell in cells:
            path = self._path(cell)
            if names is None:
                stated = stated_at(f"{self._url}/{path}")
                if stated is not None:
                    yield cell, stated
            elif PurePosixPath(path).name in names:
                yield cell, FileInfo(names[PurePosixPath(path).name])

    def _listed(self, folder: PurePosixPath) -> dict[str, int | None] | None:
        """The names in a folder; None when the server does not tell them.

        A web server that has no index for a folder may still have files in it; only FTP tells the two apart.
        """
        over_ftp = urlparse(self._url).scheme == "ftp"
        address = f"{self._url}/{folder}/" if str(folder) != "." else f"{self._url}/"
        try:
            names = listed(address)
        except MissingError:
            return {} if over_ftp else None
        except SourceError as error:
            if over_ftp or error.retryable:
                raise
            return None
        return names if over_ftp or any(_TILE.search(name) for name in names) else None

    def _path(self, cell: Cell) -> str:
        return self._layout.format(block=cell.block.name, tile=cell.name)

    def _product(self, cell: Cell, stated: FileInfo) -> Product:
        import shapely

        place = shapely.to_wkb(shapely.box(cell.west, cell.south, cell.west + 1, cell.south + 1))
        path = self._path(cell)
        facts: dict[str, Fact] = {"platform": "alos", "tile": cell.name}
        release = _RELEASE.search(self._url)
        if release:
            facts["processing_baseline"] = release[1]
        return Product(
            provider=str(self.provider),
            collection=_COLLECTION,
            product_id=f"ALPSMLC30_{cell.name}",
            footprint=place,
            crs="EPSG:4326",
            outline=place,
            size=stated.size,
            licence=_LICENCE,
            properties=facts,
            files={PurePosixPath(path).name: stated},
            handle=path,
        )


def _cells(query: SearchQuery) -> list[Cell]:
    """The cells that the box meets, also a box that is only a point or a line; by latitude, then longitude."""
    columns = range(floor(query.west), max(ceil(query.east), floor(query.west) + 1))
    rows = range(max(floor(query.south), -90), min(max(ceil(query.north), floor(query.south) + 1), 90))
    return [Cell((west + 180) % 360 - 180, south) for south in rows for west in columns]


def _checked_url(url: Any) -> str:
    parts = urlparse(url) if isinstance(url, str) else None
    if parts is None or parts.scheme not in {"http", "https", "ftp"} or not parts.hostname:
        raise UsageError("the option url is no http://, https:// or ftp:// address")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise UsageError(
            "the option url has a user, password, query or fragment in it, and the log would keep it: leave them out, "
            "and put user and password into ~/.netrc"
        )
    return str(url).rstrip("/")


def _checked_layout(layout: Any) -> str:
    try:
        good = isinstance(layout, str) and Cell(7, 46).name in layout.format(block="", tile=Cell(7, 46).name)
    except (KeyError, IndexError, ValueError, AttributeError):
        good = False
    if not good or ".." in layout or layout.startswith("/") or layout.endswith("/"):
        raise UsageError(f"the option layout {layout!r} is no path with {{tile}}, and maybe {{block}}, in it")
    return str(layout)
