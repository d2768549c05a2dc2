"""Read the metadata of Sentinel-2 SAFE products: properties, tiles, grids, radiometric offsets and image files."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final
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
_IMAGE_NAME: Final = re.compile(r"(?:^|_)(B\d\d|B8A|AOT|WVP|SCL|TCI)(?:_(\d\d)m)?$")
_PROBABILITY_NAME: Final = re.compile(r"(?:^|_)(CLDPRB|CLD|SNWPRB|SNW)_(\d\d)m$")
_PROBABILITY_BANDS = {"CLDPRB": "CLDPRB", "CLD": "CLDPRB", "SNWPRB": "SNWPRB", "SNW": "SNWPRB"}
_TILE: Final = re.compile(r"_T(\d\d[A-Z]{3})(?:_|$)")
_ABSOLUTE_ORBIT: Final = re.compile(r"_(\d{6})_N")
_HASH_NAMES = {"MD5": "md5", "SHA3-256": "sha3_256", "SHA-256": "sha256", "SHA256": "sha256"}
_MAX_XML_BYTES = 64 << 20

ImagePaths = dict[str, dict[int, Path]]
"""The file of each band and resolution in metres; files that only the metadata name may be missing on disk."""


@dataclass(frozen=True, slots=True)
class SafeProduct:
    """One tile of a SAFE product.

    Attributes:
        root: The product's folder.
        level: `L1C` or `L2A`.
        tile: Its MGRS tile, such as `32TPT`.
        grids: The grid of each resolution in metres.
        images: See `ImagePaths`; includes `CLDPRB` and `SNWPRB`.
        quantification: The divisor of pixels, by band (`AOT`, `WVP`) or by `""` for reflectance.
        offsets: The number added to a band's pixels before division; empty before processing baseline 04.00.
        saturated: The value of saturated pixels.
        properties: Properties that are worth recording, named as in `Product.properties` where possible: `product_uri`,
            `processing_level`, `processing_baseline`, `processed` (ISO 8601, UTC), `platform`, `datatake`,
            `absolute_orbit`, `relative_orbit`, `orbit_direction`, `tile`, `acquired` (of the tile) and `cloud_cover` in
            percent. Those that the metadata lack are omitted.
    """

    root: Path
    level: str
    tile: str
    grids: dict[int, Grid]
    images: ImagePaths
    quantification: dict[str, float]
    offsets: dict[str, int]
    saturated: int
    properties: dict[str, str | int | float]


def find_product_metadata(folder: Path) -> list[Path]:
    """Find the product metadata files (`MTD_MSIL1C.xml` …) in a folder, sorted by path."""
    return sorted(path for path in folder.rglob("*.xml") if _PRODUCT_FILE.fullmatch(path.name) and path.is_file())


def read_safe_product(folder: Path, product_id: str = "", tile: str | None = None, hint: str = "") -> SafeProduct:
    """Read the metadata of a SAFE product.

    Args:
        folder: The `.SAFE` folder, or a folder that contains it.
        product_id: Selects the product if there are several.
        tile: Selects the tile of an old product with several tiles.
        hint: The tile according to the archive; used if `tile` is None and the product has it.

    Raises:
        UsageError: the folder has several products, or the product several tiles, and none is selected.
        CorruptError: the folder has no product, or its metadata are damaged or contradictory.
    """
    path = _find_product_file(folder, product_id)
    level = "L1C" if "L1C" in path.name else "L2A"
    root = path.parent
    product = _parse_xml(path)
    granule_id, granule_path = _find_granule(root, product, tile, hint)
    granule = _parse_xml(granule_path)
    properties = _read_properties(path, level, product, granule)
    properties["tile"] = _find_tile(granule_id) or str(properties.get("tile", ""))
    return SafeProduct(
        root=root,
        level=level,
        tile=str(properties["tile"]),
        grids=_read_grids(granule_path, granule),
        images=_find_images(root, product, granule_id, granule_path.parent),
        quantification=_read_quantification(path, product),
        offsets=_read_offsets(path, product),
        saturated=_read_saturated_value(path, product),
        properties=properties,
    )


def verify_checksum(safe: SafeProduct, path: Path) -> None:
    """Raise CorruptError if a file differs in size or digest from the product's manifest, if there is a manifest."""
    manifest = safe.root / "manifest.safe"
    if not manifest.is_file():
        return
    relative_path = PurePosixPath(path.relative_to(safe.root).as_posix())
    for stream in _parse_xml(manifest).iterfind(".//{*}byteStream"):
        location = stream.find("{*}fileLocation")
        if location is None or PurePosixPath(location.get("href", "")) != relative_path:
            continue
        checksum, size = stream.find("{*}checksum"), stream.get("size", "")
        algorithm = None if checksum is None else _HASH_NAMES.get(checksum.get("checksumName", "").upper())
        with path.open("rb") as file:
            differs = size.isdigit() and int(size) != path.stat().st_size
            if not differs and algorithm and checksum is not None and checksum.text:
                differs = hashlib.file_digest(file, algorithm).hexdigest().lower() != checksum.text.strip().lower()
        if differs:
            raise CorruptError(
                f"'{path}' is damaged: its size or digest differs from {manifest.name}. Download the product again."
            )


def _find_product_file(folder: Path, product_id: str) -> Path:
    paths = find_product_metadata(folder)
    if not paths:
        raise CorruptError(f"'{folder}' has no Sentinel-2 product: MTD_MSIL1C.xml and MTD_MSIL2A.xml are missing.")
    name = product_id.removesuffix(".SAFE")
    matches = [path for path in paths if name and path.parent.name.removesuffix(".SAFE") == name] or paths
    if len(matches) > 1:
        names = quote_names([str(path.parent.relative_to(folder)) for path in paths])
        raise UsageError(f"'{folder}' has {len(paths)} Sentinel-2 products, expected one: {names}.")
    return matches[0]


def _parse_xml(path: Path) -> ElementTree.Element:
    """Return the root element. Document types are rejected, and with them all entities: products have none."""
    try:
        content = path.read_bytes() if path.stat().st_size <= _MAX_XML_BYTES else b""
        return ElementTree.fromstring(content, ElementTree.XMLParser(target=_DoctypeRejectingBuilder()))
    except (OSError, ElementTree.ParseError, ValueError, LookupError) as error:
        raise CorruptError(f"metadata file '{path}' is damaged ({error}). Download the product again.") from error


class _DoctypeRejectingBuilder(ElementTree.TreeBuilder):
    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise ValueError(f"document type {name} is not allowed")


def _find_granule(root: Path, product: ElementTree.Element, tile: str | None, hint: str) -> tuple[str, Path]:
    """Return the identifier of the tile's granule (else its folder's name) and its metadata file."""
    paths = sorted(path for path in root.rglob("*.xml") if _GRANULE_FILE.fullmatch(path.name))
    granule_ids = [element.get("granuleIdentifier", "") for element in _iter_granules(product)]
    if not paths:
        raise CorruptError(f"product '{root}' has no metadata of its tile (MTD_TL.xml). Download the product again.")
    tiles = {path: _find_tile(path.parent.name) or _find_tile(path.stem) or "" for path in paths}
    tile_names = quote_names(sorted(set(tiles.values())), limit=20)
    if tile is not None:
        matches = [path for path in paths if tiles[path] == _normalise_tile(tile)]
        if not matches:
            raise UsageError(f"product '{root.name}' has no tile {tile}. Its tiles are: {tile_names}.")
    else:
        matches = [path for path in paths if hint and tiles[path] == _normalise_tile(hint)] or paths
    if len(matches) > 1:
        raise UsageError(
            f"product '{root.name}' has {len(matches)} tiles, expected one. Pass one as the option tile: {tile_names}."
        )
    path = matches[0]
    matching_ids = [granule_id for granule_id in granule_ids if _find_tile(granule_id) == tiles[path]]
    matching_ids = matching_ids or (granule_ids if len(granule_ids) == 1 else [path.parent.name])
    return matching_ids[0], path


def _iter_granules(product: ElementTree.Element) -> Iterator[ElementTree.Element]:
    """Yield the granule elements; products before the compact naming call them `Granules`."""
    for name in ("Granule", "Granules"):
        yield from (element for element in product.iterfind(f".//{{*}}{name}") if element.get("granuleIdentifier"))


def _find_tile(name: str) -> str | None:
    match = _TILE.search(name)
    return match[1] if match else None


def _normalise_tile(name: str) -> str:
    """Return `32TPT` for `MGRS-32TPT`, `T32TPT` or `32/T/PT`."""
    return re.sub(r"[^0-9A-Z]", "", name.upper())[-5:]


def _find_text(element: ElementTree.Element, *names: str) -> str | None:
    """Return the text of the first descendant with one of these names, or None."""
    for name in names:
        match = element.find(f".//{{*}}{name}")
        if match is not None and match.text and match.text.strip():
            return match.text.strip()
    return None


def _read_properties(
    path: Path, level: str, product: ElementTree.Element, granule: ElementTree.Element
) -> dict[str, str | int | float]:
    datatake_element = product.find(".//{*}Datatake")
    datatake = "" if datatake_element is None else datatake_element.get("datatakeIdentifier", "")
    absolute_orbit = _ABSOLUTE_ORBIT.search(datatake)
    relative_orbit = _parse_number(path, _find_text(product, "SENSING_ORBIT_NUMBER"))
    sensing_time = _find_text(granule, "SENSING_TIME") or _find_text(product, "PRODUCT_START_TIME") or ""
    properties = {
        "product_uri": _find_text(product, "PRODUCT_URI", "PRODUCT_URI_2A") or path.parent.name,
        "processing_level": level,
        "processing_baseline": _find_text(product, "PROCESSING_BASELINE"),
        "processed": (_find_text(product, "GENERATION_TIME") or "").removesuffix("Z"),
        "platform": _find_text(product, "SPACECRAFT_NAME"),
        "datatake": datatake,
        "orbit_direction": _find_text(product, "SENSING_ORBIT_DIRECTION"),
        "tile": _find_tile(_find_text(granule, "TILE_ID", "TILE_ID_2A") or ""),
        "acquired": sensing_time.removesuffix("Z"),
        "absolute_orbit": int(absolute_orbit[1]) if absolute_orbit else None,
        "relative_orbit": None if relative_orbit is None else int(relative_orbit),
        "cloud_cover": _parse_number(path, _find_text(product, "Cloud_Coverage_Assessment")),
    }
    return {name: value for name, value in properties.items() if value not in (None, "")}


def _read_grids(path: Path, granule: ElementTree.Element) -> dict[int, Grid]:
    crs = _find_text(granule, "HORIZONTAL_CS_CODE")
    sizes, origins = (
        {element.get("resolution"): element for element in granule.iterfind(f".//{{*}}Tile_Geocoding/{{*}}{name}")}
        for name in ("Size", "Geoposition")
    )
    if not crs or not sizes or sizes.keys() != origins.keys():
        raise CorruptError(f"metadata file '{path}' lacks the CRS or grids of the tile. Download the product again.")
    try:
        crs_text = crs_to_text(parse_crs(crs))
    except UsageError as error:
        raise CorruptError(f"metadata file '{path}' is damaged: {error}") from error
    grids = {}
    for resolution, size in sizes.items():
        height, width = (_require_number(path, size, name) for name in ("NROWS", "NCOLS"))
        origin = origins[resolution]
        x, y, x_step, y_step = (_require_number(path, origin, name) for name in ("ULX", "ULY", "XDIM", "YDIM"))
        if height < 1 or width < 1 or not x_step or not y_step:
            raise CorruptError(f"metadata file '{path}' has a tile without pixels. Download the product again.")
        transform = Transform(x_step, 0.0, x, 0.0, y_step, y)
        grids[int(resolution or 0)] = Grid(crs_text, transform, int(width), int(height))
    return grids


def _require_number(path: Path, element: ElementTree.Element, name: str) -> float:
    value = _parse_number(path, _find_text(element, name))
    if value is None:
        raise CorruptError(f"metadata file '{path}' has no {name}. Download the product again.")
    return value


def _parse_number(path: Path, text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return float(text)
    except ValueError as error:
        message = f"metadata file '{path}' has '{text}' instead of a number. Download the product again."
        raise CorruptError(message) from error


def _find_images(root: Path, product: ElementTree.Element, granule_id: str, folder: Path) -> ImagePaths:
    """Find the image files: at the paths in the metadata, else by those names, else by band names in the granule."""
    present: dict[str, Path] = {}
    for path in sorted(folder.rglob("*.jp2")):
        present.setdefault(path.name, path)
    images: ImagePaths = {}
    for path in _iter_listed_images(root, product, granule_id, folder):
        _add_image(images, path if path.is_file() else present.get(path.name, path))
    for path in present.values():
        _add_image(images, path)
    return images


def _add_image(images: ImagePaths, path: Path) -> None:
    """Add a file under its band and resolution; an existing file replaces a missing one."""
    if image := _IMAGE_NAME.search(path.stem):
        band, resolution = image[1], int(image[2] or _NATIVE_RESOLUTIONS.get(image[1], 20))
    elif probability := _PROBABILITY_NAME.search(path.stem):
        band, resolution = _PROBABILITY_BANDS[probability[1]], int(probability[2])
    else:
        return
    paths = images.setdefault(band, {})
    if resolution not in paths or (not paths[resolution].is_file() and path.is_file()):
        paths[resolution] = path


def _iter_listed_images(root: Path, product: ElementTree.Element, granule_id: str, folder: Path) -> Iterator[Path]:
    """Yield the image paths listed in the metadata: IMAGE_FILE (below root), or IMAGE_ID of older products (a name)."""
    for element in _iter_granules(product):
        if element.get("granuleIdentifier") != granule_id:
            continue
        for image in element:
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


def _read_quantification(path: Path, product: ElementTree.Element) -> dict[str, float]:
    names_by_band = {
        "": ("QUANTIFICATION_VALUE", "BOA_QUANTIFICATION_VALUE", "L2A_BOA_QUANTIFICATION_VALUE"),
        "AOT": ("AOT_QUANTIFICATION_VALUE", "L2A_AOT_QUANTIFICATION_VALUE"),
        "WVP": ("WVP_QUANTIFICATION_VALUE", "L2A_WVP_QUANTIFICATION_VALUE"),
    }
    values = {band: _parse_number(path, _find_text(product, *names)) for band, names in names_by_band.items()}
    divisors = {band: value for band, value in values.items() if value}
    if "" not in divisors:
        raise CorruptError(f"metadata file '{path}' has no QUANTIFICATION_VALUE. Download the product again.")
    return divisors


def _read_offsets(path: Path, product: ElementTree.Element) -> dict[str, int]:
    bands = {
        element.get("bandId", ""): _pad_band_name(element.get("physicalBand", ""))
        for element in product.iterfind(".//{*}Spectral_Information")
    } or {str(number): band for number, band in enumerate(BANDS)}
    offsets = {}
    for name in ("RADIO_ADD_OFFSET", "BOA_ADD_OFFSET"):
        for element in product.iterfind(f".//{{*}}{name}"):
            band, value = bands.get(element.get("band_id", "")), _parse_number(path, element.text)
            if band is None or value is None or not value.is_integer():
                raise CorruptError(f"metadata file '{path}' has an invalid {name}. Download the product again.")
            offsets[band] = int(value)
    return offsets


def _pad_band_name(name: str) -> str:
    """Return `B01` for `B1`."""
    return f"B0{name[1:]}" if re.fullmatch(r"B\d", name) else name


def _read_saturated_value(path: Path, product: ElementTree.Element) -> int:
    for element in product.iterfind(".//{*}Special_Values"):
        value = _parse_number(path, _find_text(element, "SPECIAL_VALUE_INDEX"))
        if _find_text(element, "SPECIAL_VALUE_TEXT") == "SATURATED" and value is not None:
            return int(value)
    return 65535
