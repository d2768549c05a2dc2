"""ALOS World 3D: 1-degree tiles of JAXA's 30 m elevation model over HTTP or FTP, which eodag does not offer."""

import re
from collections import defaultdict
from collections.abc import Iterator
from math import ceil, floor
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from geographer.archives.base import BytesCallback, FileInfo, Product, SearchQuery, Source, check_options, validate_url
from geographer.archives.http_ftp import UrlNotFoundError, fetch_file, is_ftp, list_directory, read_file_info
from geographer.base.errors import NotFoundError, SourceError, UsageError

_COLLECTION: Final = "AW3D30"
_URL: Final = "https://www.eorc.jaxa.jp/ALOS/aw3d30/data/release_v2404"
_LAYOUT: Final = "{block}/{tile}.zip"
_LICENCE: Final = "JAXA terms of use, https://earth.jaxa.jp/en/data/policy/"
_TILE_NAME: Final = re.compile(r"[NS]\d{3}[EW]\d{3}")
_RELEASE: Final = re.compile(r"release_(v\d+)")


class Tile(NamedTuple):
    """A tile of one degree by one, given by its south-west corner in degrees."""

    west: int
    south: int

    @property
    def tile_name(self) -> str:
        """Name such as `N046E007`."""
        north, east = "N" if self.south >= 0 else "S", "E" if self.west >= 0 else "W"
        return f"{north}{abs(self.south):03d}{east}{abs(self.west):03d}"

    @property
    def block_corner(self) -> "Tile":
        """The south-western tile of the block of 5 by 5 degrees that contains this tile."""
        return Tile(self.west // 5 * 5, self.south // 5 * 5)


class AlosWorld3d(Source):
    """Tiles of ALOS World 3D - 30 m (AW3D30), one archive file per tile of one degree by one.

    JAXA requires registration, free of charge; put user and password into `~/.netrc` (or the file that NETRC names).
    Time ranges are ignored: the model is made of scenes from 2006 to 2011, and tiles have no date.

    Options:
        url: Folder of the release at JAXA (default, over HTTPS) or at a mirror: http, https or ftp. Must not contain
            user, password or query, because the log records it.
        layout: Path of a tile in that folder: `{block}/{tile}.zip` for releases since 2020, `{block}/{tile}.tar.gz`
            for earlier ones. `{tile}` is N046E007 for the tile with that south-west corner, `{block}` the corner of its
            block of five degrees, N045E005.
    """

    max_concurrent = 2
    reader = "geotiff"
    # Each archive also holds a mask and the number of scenes per pixel.
    reader_options = MappingProxyType({"pattern": "*DSM.tif"})

    def __init__(self, *, provider: str | None = None, collection: str | None = None, **options: Any) -> None:
        """See `Source`; `provider` is the name to record: 'jaxa' by default, or that of a mirror."""
        super().__init__(provider=provider or "jaxa", collection=collection or _COLLECTION, **options)
        if self.collection != _COLLECTION:
            raise NotFoundError(f"collection '{collection}' not found: this archive has only {_COLLECTION}")
        check_options("alos", options, frozenset({"url", "layout"}))
        hint = "Leave them out, and put user and password into ~/.netrc."
        self._url = validate_url(options.get("url", _URL), ("http", "https", "ftp"), hint).rstrip("/")
        self._layout = _validate_layout(options.get("layout", _LAYOUT))

    def search(self, query: SearchQuery) -> Iterator[list[Product]]:
        """Yield one page with the existing tiles that meet the box; see `Source.search`.

        Makes one listing request per block of five degrees, or one request per tile if the server does not list.
        """
        blocks = defaultdict(list)
        for tile in _find_tiles(query):
            blocks[tile.block_corner].append(tile)
        products = [product for tiles in blocks.values() for product in self._find_products(tiles)]
        yield sorted(products, key=lambda product: product.product_id)

    def fetch(self, product: Product, folder: Path, on_progress: BytesCallback) -> None:
        """Download the tile's archive file; see `Source.fetch`."""
        path = str(product.handle)
        fetch_file(f"{self._url}/{path}", folder / PurePosixPath(path).name, on_progress)

    def _find_products(self, tiles: list[Tile]) -> Iterator[Product]:
        listing = self._list_files(PurePosixPath(self._format_path(tiles[0])).parent)
        for tile in tiles:
            path = self._format_path(tile)
            name = PurePosixPath(path).name
            file_info = read_file_info(f"{self._url}/{path}") if listing is None else listing.get(name)
            if file_info is not None:
                yield self._make_product(tile, path, {name: file_info})

    def _list_files(self, folder: PurePosixPath) -> dict[str, FileInfo] | None:
        """Return the files in a folder by name; None if a web server, which may still have files, does not list it."""
        try:
            files = list_directory(f"{self._url}/{folder}/".removesuffix("./"))
        except SourceError as error:
            if is_ftp(self._url) and isinstance(error, UrlNotFoundError):
                return {}
            if is_ftp(self._url) or error.retryable:
                raise
            return None
        return files if is_ftp(self._url) or any(map(_TILE_NAME.search, files)) else None

    def _format_path(self, tile: Tile) -> str:
        return self._layout.format(block=tile.block_corner.tile_name, tile=tile.tile_name)

    def _make_product(self, tile: Tile, path: str, files: dict[str, FileInfo]) -> Product:
        import shapely

        outline = shapely.to_wkb(shapely.box(tile.west, tile.south, tile.west + 1, tile.south + 1))
        release = _RELEASE.search(self._url)
        baseline = {"processing_baseline": release[1]} if release else {}
        return Product(
            provider=str(self.provider),
            collection=_COLLECTION,
            product_id=f"ALPSMLC30_{tile.tile_name}",
            footprint=outline,
            crs="EPSG:4326",
            outline=outline,
            size=next(iter(files.values())).size,
            licence=_LICENCE,
            properties={"platform": "alos", "tile": tile.tile_name, **baseline},
            files=files,
            handle=path,
        )


def _find_tiles(query: SearchQuery) -> list[Tile]:
    """Return the tiles that the box meets, by latitude, then longitude; the box may be a point or a line."""
    columns = range(floor(query.west), max(ceil(query.east), floor(query.west) + 1))
    rows = range(max(floor(query.south), -90), min(max(ceil(query.north), floor(query.south) + 1), 90))
    return [Tile((west + 180) % 360 - 180, south) for south in rows for west in columns]


def _validate_layout(layout: Any) -> str:
    tile_name = Tile(7, 46).tile_name
    try:
        is_valid = isinstance(layout, str) and tile_name in layout.format(block="", tile=tile_name)
    except (KeyError, IndexError, ValueError, AttributeError):
        is_valid = False
    if not is_valid or ".." in layout or layout.startswith("/") or layout.endswith("/"):
        advice = f"Use a path with {{tile}}, optionally {{block}}, such as {_LAYOUT}."
        raise UsageError(f"invalid layout {layout!r}. {advice}")
    return str(layout)
