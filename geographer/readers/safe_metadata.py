"""Read the metadata of Sentinel-2 SAFE products: properties, tiles, grids, radiometric offsets and image files."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple, Self
from xml.etree import ElementTree

from geographer.base.errors import CorruptError, UsageError, quote_names
from geographer.base.values import Grid, Transform
from geographer.rasters.crs import crs_to_text, parse_crs

BANDS: Final = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")
"""The spectral bands in the order of `band_id`."""

_NATIVE_RESOLUTIONS = {"B02": 10, "B03": 10, "B04": 10, "B08": 10, "TCI": 10, "B01": 60, "B09": 60, "B10": 60}
"""In metres, for bands whose file names do not give it; all other bands have 20 m."""
_PRODUCT_FILE: Final = re.compile(r"(?:MTD_MSI|S2[A-Z]_[A-Z]+_MTD_SAF)(?:L1C|L2A)(?:_.*)?\.xml")
_GRANULE_FILE: Final = re.compile(r"MTD_TL\.xml|S2[A-Z]_[A-Z]+_MTD_L(?:1C|2A)_TL_.*\.xml")
_IMAGE_NAME: Final = re.compile(
    r"(?:^|_)(?:(?P<band>B\d\d|B8A|AOT|WVP|SCL|TCI)(?:_(?P<resolution>\d\d)m)?"
    r"|(?P<probability>CLD|SNW)(?:PRB)?_(?P<probability_resolution>\d\d)m)$"
)
_TILE: Final = re.compile(r"_T(\d\d[A-Z]{3})(?:_|$)")
_ABSOLUTE_ORBIT: Final = re.compile(r"_(\d{6})_N")
_HASH_NAMES = {"MD5": "md5", "SHA3-256": "sha3_256", "SHA-256": "sha256", "SHA256": "sha256"}
_MAX_XML_BYTES = 64 << 20

ImagePaths = dict[str, dict[int, Path]]
"""The file of each band and resolution in metres; files that only the metadata name may be missing on disk."""


@dataclass(frozen=True, slots=True)
class SafeProduct:
    """One tile of a SAFE product in the folder `root`, of the `level` L1C or L2A, with a grid for each resolution.

    `offsets` (empty before processing baseline 04.00) are added to a band's pixels before division by `quantification`,
    which is by band (`AOT`, `WVP`) or by `""` for reflectance; pixels of the value `saturated` are saturated.
    """

    root: Path
    level: str
    grids: dict[int, Grid]
    images: ImagePaths
    quantification: dict[str, float]
    offsets: dict[str, int]
    saturated: int
    properties: dict[str, str | int | float]

    def find_divisor(self, band: str) -> float:
        """Return the divisor of a band's pixels."""
        return self.quantification[""] if band in BANDS else self.quantification.get(band, 1.0)

    def require_grid(self, resolution: int) -> Grid:
        """Return the grid of a resolution, or raise CorruptError."""
        if resolution not in self.grids:
            raise CorruptError(
                f"the metadata of product '{self.root.name}' have no grid of {resolution} m. Download the product "
                "again."
            )
        return self.grids[resolution]

    def verify_checksum(self, path: Path) -> None:
        """Raise CorruptError if a file differs in size or digest from the manifest, if there is a manifest."""
        manifest = self.root / "manifest.safe"
        if not manifest.is_file():
            return
        relative_path = PurePosixPath(path.relative_to(self.root).as_posix())
        for stream in _MetadataFile.parse_file(manifest).root.iterfind(".//{*}byteStream"):
            location, checksum = stream.find("{*}fileLocation"), stream.find("{*}checksum")
            if location is None or PurePosixPath(location.get("href", "")) != relative_path:
                continue
            size = stream.get("size", "")
            differs = size.isdigit() and int(size) != path.stat().st_size
            algorithm = None if checksum is None else _HASH_NAMES.get(checksum.get("checksumName", "").upper())
            if not differs and algorithm and checksum is not None and checksum.text:
                with path.open("rb") as file:
                    differs = hashlib.file_digest(file, algorithm).hexdigest() != checksum.text.strip().lower()
            if differs:
                raise CorruptError(
                    f"'{path}' is damaged: its size or digest differs from {manifest.name}. Download the product again."
                )


def find_product_metadata(folder: Path) -> list[Path]:
    """Find the product metadata files (`MTD_MSIL1C.xml` …) in a folder, sorted by path."""
    return sorted(path for path in folder.rglob("*.xml") if _PRODUCT_FILE.fullmatch(path.name) and path.is_file())


def read_safe_product(folder: Path, product_id: str = "", tile: str | None = None, hint: str = "") -> SafeProduct:
    """Read the metadata of a SAFE product in `folder`.

    `product_id` selects the product if there are several, and `tile` the tile of an old product with several. `hint` is
    the tile according to the archive; it is used if `tile` is None and the product has it.

    Raises:
        UsageError: the folder has several products, or the product several tiles, and none is selected.
        CorruptError: the folder has no product, or its metadata are damaged or contradictory.
    """
    product = _MetadataFile.parse_file(_find_product_file(folder, product_id))
    level = "L1C" if "L1C" in product.path.name else "L2A"
    granule_id, granule_path = _find_granule(product, tile, hint)
    granule = _MetadataFile.parse_file(granule_path)
    return SafeProduct(
        root=product.path.parent,
        level=level,
        grids=_read_grids(granule),
        images=_find_images(product, granule_id, granule_path.parent),
        quantification=_read_quantification(product),
        offsets=_read_offsets(product),
        saturated=_read_saturated_value(product),
        properties=_read_properties(product, granule, level, granule_id),
    )


class _MetadataFile(NamedTuple):
    """An XML file; the names of elements are without namespaces."""

    path: Path
    root: ElementTree.Element

    @classmethod
    def parse_file(cls, path: Path) -> Self:
        """Parse a file. Document types are rejected, and with them all entities: products have none."""
        try:
            content = path.read_bytes() if path.stat().st_size <= _MAX_XML_BYTES else b""
            return cls(path, ElementTree.fromstring(content, ElementTree.XMLParser(target=_DoctypeRejectingBuilder())))
        except (OSError, ElementTree.ParseError, ValueError, LookupError) as error:
            raise cls(path, ElementTree.Element("")).make_error(f"is damaged ({error})") from error

    def make_error(self, problem: str) -> CorruptError:
        return CorruptError(f"metadata file '{self.path}' {problem}. Download the product again.")

    def find_text(self, *names: str, parent: ElementTree.Element | None = None) -> str:
        """Return the text of the first descendant with one of these names, or an empty text."""
        matches = ((self.root if parent is None else parent).find(f".//{{*}}{name}") for name in names)
        texts = ((match.text or "").strip() for match in matches if match is not None)
        return next(filter(None, texts), "")

    def parse_number(self, text: str | None) -> float | None:
        try:
            return float(text) if text else None
        except ValueError as error:
            raise self.make_error(f"has '{text}' instead of a number") from error

    def find_number(self, *names: str, parent: ElementTree.Element | None = None) -> float | None:
        return self.parse_number(self.find_text(*names, parent=parent))

    def require_number(self, name: str, parent: ElementTree.Element) -> float:
        if (value := self.find_number(name, parent=parent)) is None:
            raise self.make_error(f"has no {name}")
        return value

    def list_granules(self) -> list[ElementTree.Element]:
        """List the granule elements; products before the compact naming call them `Granules`."""
        elements = (element for name in ("Granule", "Granules") for element in self.root.iterfind(f".//{{*}}{name}"))
        return [element for element in elements if element.get("granuleIdentifier")]


class _DoctypeRejectingBuilder(ElementTree.TreeBuilder):
    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise ValueError(f"document type {name} is not allowed")


def _find_product_file(folder: Path, product_id: str) -> Path:
    paths = find_product_metadata(folder)
    if not paths:
        raise CorruptError(f"'{folder}' has no Sentinel-2 product: MTD_MSIL1C.xml and MTD_MSIL2A.xml are missing.")
    name = product_id.removesuffix(".SAFE")
    matches = [path for path in paths if path.parent.name.removesuffix(".SAFE") == name] or paths
    if len(matches) > 1:
        names = quote_names([str(path.parent.relative_to(folder)) for path in paths])
        raise UsageError(f"'{folder}' has {len(paths)} Sentinel-2 products, expected one: {names}.")
    return matches[0]


def _find_granule(product: _MetadataFile, tile: str | None, hint: str) -> tuple[str, Path]:
    """Return the identifier of the tile's granule (else its folder's name) and its metadata file."""
    root = product.path.parent
    paths = sorted(path for path in root.rglob("*.xml") if _GRANULE_FILE.fullmatch(path.name))
    if not paths:
        raise CorruptError(f"product '{root}' has no metadata of its tile (MTD_TL.xml). Download the product again.")
    tiles = {path: _find_tile(path.parent.name) or _find_tile(path.stem) for path in paths}
    tile_names = quote_names(sorted(set(tiles.values())), limit=20)
    # `MGRS-32TPT`, `T32TPT` and `32/T/PT` name the tile 32TPT.
    requested = re.sub(r"[^0-9A-Z]", "", (tile or hint).upper())[-5:]
    matches = [path for path in paths if requested and tiles[path] == requested]
    if tile and not matches:
        raise UsageError(f"product '{root.name}' has no tile {tile}. Its tiles are: {tile_names}.")
    path, *others = matches or paths
    if others:
        raise UsageError(
            f"product '{root.name}' has {len(others) + 1} tiles, expected one. Pass one as the option tile: "
            f"{tile_names}."
        )
    granule_ids = [element.get("granuleIdentifier", "") for element in product.list_granules()]
    matching_ids = [granule_id for granule_id in granule_ids if _find_tile(granule_id) == tiles[path]]
    return (matching_ids or (granule_ids if len(granule_ids) == 1 else [path.parent.name]))[0], path


def _find_tile(name: str) -> str:
    match = _TILE.search(name)
    return match[1] if match else ""


def _read_properties(
    product: _MetadataFile, granule: _MetadataFile, level: str, granule_id: str
) -> dict[str, str | int | float]:
    """Read what is worth recording, named as in `Product.properties` where possible; times are in UTC."""
    element = product.root.find(".//{*}Datatake")
    datatake = "" if element is None else element.get("datatakeIdentifier", "")
    absolute_orbit = _ABSOLUTE_ORBIT.search(datatake)
    relative_orbit = product.find_number("SENSING_ORBIT_NUMBER")
    sensing_time = granule.find_text("SENSING_TIME") or product.find_text("PRODUCT_START_TIME")
    properties = {
        "product_uri": product.find_text("PRODUCT_URI", "PRODUCT_URI_2A") or product.path.parent.name,
        "processing_level": level,
        "processing_baseline": product.find_text("PROCESSING_BASELINE"),
        "processed": product.find_text("GENERATION_TIME").removesuffix("Z"),
        "platform": product.find_text("SPACECRAFT_NAME"),
        "datatake": datatake,
        "absolute_orbit": int(absolute_orbit[1]) if absolute_orbit else None,
        "relative_orbit": None if relative_orbit is None else int(relative_orbit),
        "orbit_direction": product.find_text("SENSING_ORBIT_DIRECTION"),
        "tile": _find_tile(granule_id) or _find_tile(granule.find_text("TILE_ID", "TILE_ID_2A")),
        "acquired": sensing_time.removesuffix("Z"),
        "cloud_cover": product.find_number("Cloud_Coverage_Assessment"),
    }
    return {name: value for name, value in properties.items() if value not in (None, "")}


def _read_grids(granule: _MetadataFile) -> dict[int, Grid]:
    crs = granule.find_text("HORIZONTAL_CS_CODE")
    sizes, origins = (
        {element.get("resolution"): element for element in granule.root.iterfind(f".//{{*}}Tile_Geocoding/{{*}}{name}")}
        for name in ("Size", "Geoposition")
    )
    if not crs or not sizes or sizes.keys() != origins.keys():
        raise granule.make_error("lacks the CRS or grids of the tile")
    try:
        crs_text = crs_to_text(parse_crs(crs))
    except UsageError as error:
        raise CorruptError(f"metadata file '{granule.path}' is damaged: {error}") from error
    grids = {}
    for resolution, size in sizes.items():
        height, width = (granule.require_number(name, size) for name in ("NROWS", "NCOLS"))
        origin = origins[resolution]
        x, y, x_step, y_step = (granule.require_number(name, origin) for name in ("ULX", "ULY", "XDIM", "YDIM"))
        if height < 1 or width < 1 or not x_step or not y_step:
            raise granule.make_error("has a tile without pixels")
        transform = Transform(x_step, 0.0, x, 0.0, y_step, y)
        grids[int(resolution or 0)] = Grid(crs_text, transform, int(width), int(height))
    return grids


def _find_images(product: _MetadataFile, granule_id: str, folder: Path) -> ImagePaths:
    """Find the image files: at the paths in the metadata, else by those names, else by band names in the granule."""
    present = sorted(folder.rglob("*.jp2"))
    present_by_name = {path.name: path for path in reversed(present)}
    listed = [
        path if path.is_file() else present_by_name.get(path.name, path)
        for path in _iter_listed_images(product, granule_id, folder)
    ]
    images: ImagePaths = {}
    for path in sorted([*listed, *present], key=lambda path: not path.is_file()):
        if match := _IMAGE_NAME.search(path.stem):
            band = match["band"] or f"{match['probability']}PRB"
            resolution = match["resolution"] or match["probability_resolution"] or _NATIVE_RESOLUTIONS.get(band, 20)
            images.setdefault(band, {}).setdefault(int(resolution), path)
    return images


def _iter_listed_images(product: _MetadataFile, granule_id: str, folder: Path) -> Iterator[Path]:
    """Yield the image paths listed in the metadata: IMAGE_FILE (below root), or IMAGE_ID of older products (a name)."""
    root = product.path.parent
    granules = [element for element in product.list_granules() if element.get("granuleIdentifier") == granule_id]
    for image in chain.from_iterable(granules):
        path = PurePosixPath((image.text or "").strip() + ".jp2")
        if path.is_absolute() or ".." in path.parts:
            raise CorruptError(
                f"the metadata of product '{root.name}' list a file outside the product: '{path}'. Download the "
                "product again."
            )
        if "/" in str(path):
            yield root / path
        else:
            resolution = re.search(r"_(\d\dm)$", path.stem)
            yield folder / "IMG_DATA" / (f"R{resolution[1]}" if resolution else "") / path


def _read_quantification(product: _MetadataFile) -> dict[str, float]:
    prefixes = {"": ("", "BOA_", "L2A_BOA_"), "AOT": ("AOT_", "L2A_AOT_"), "WVP": ("WVP_", "L2A_WVP_")}
    divisors = {
        band: value
        for band, names in prefixes.items()
        if (value := product.find_number(*(f"{name}QUANTIFICATION_VALUE" for name in names)))
    }
    if "" not in divisors:
        raise product.make_error("has no QUANTIFICATION_VALUE")
    return divisors


def _read_offsets(product: _MetadataFile) -> dict[str, int]:
    bands = {
        element.get("bandId", ""): re.sub(r"^B(\d)$", r"B0\1", element.get("physicalBand", ""))
        for element in product.root.iterfind(".//{*}Spectral_Information")
    } or {str(number): band for number, band in enumerate(BANDS)}
    offsets = {}
    for name in ("RADIO_ADD_OFFSET", "BOA_ADD_OFFSET"):
        for element in product.root.iterfind(f".//{{*}}{name}"):
            band, value = bands.get(element.get("band_id", "")), product.parse_number(element.text)
            if band is None or value is None or not value.is_integer():
                raise product.make_error(f"has an invalid {name}")
            offsets[band] = int(value)
    return offsets


def _read_saturated_value(product: _MetadataFile) -> int:
    for element in product.root.iterfind(".//{*}Special_Values"):
        value = product.find_number("SPECIAL_VALUE_INDEX", parent=element)
        if product.find_text("SPECIAL_VALUE_TEXT", parent=element) == "SATURATED" and value is not None:
            return int(value)
    return 65535
