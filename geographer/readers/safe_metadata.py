"""What the metadata of a Sentinel-2 product in the SAFE format say: its facts, tiles, grids, offsets and files."""

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
"""In the order of wavelengths' numbers, the order of `band_id` too."""

_NATIVE = {"B02": 10, "B03": 10, "B04": 10, "B08": 10, "TCI": 10, "B01": 60, "B09": 60, "B10": 60}
"""The resolution of bands whose files don't say it; of all others it is 20 m."""
_PRODUCT: Final = re.compile(r"(?:MTD_MSI|S2[A-Z]_[A-Z]+_MTD_SAF)(?:L1C|L2A)(?:_.*)?\.xml")
_GRANULE: Final = re.compile(r"MTD_TL\.xml|S2[A-Z]_[A-Z]+_MTD_L(?:1C|2A)_TL_.*\.xml")
_IMAGE: Final = re.compile(r"(?:^|_)(B\d\d|B8A|AOT|WVP|SCL|TCI)(?:_(\d\d)m)?$")
_PROBABILITY: Final = re.compile(r"(?:^|_)(CLDPRB|CLD|SNWPRB|SNW)_(\d\d)m$")
_PROBABILITIES = {"CLDPRB": "CLDPRB", "CLD": "CLDPRB", "SNWPRB": "SNWPRB", "SNW": "SNWPRB"}
_TILE: Final = re.compile(r"_T(\d\d[A-Z]{3})(?:_|$)")
_ABSOLUTE_ORBIT: Final = re.compile(r"_(\d{6})_N")
_HASHES = {"MD5": "md5", "SHA3-256": "sha3_256", "SHA-256": "sha256", "SHA256": "sha256"}
_LARGEST_XML = 64 << 20

Images = dict[str, dict[int, Path]]
"""The files of a band by their resolution in metres; those that the metadata name may be missing."""


@dataclass(frozen=True, slots=True)
class Safe:
    """One tile of a product.

    Attributes:
        root: The folder of the product.
        level: `L1C` or `L2A`.
        tile: Its name in the military grid, such as `32TPT`.
        grids: By resolution in metres.
        images: See `Images`; `CLDPRB` and `SNWPRB` are among them.
        quantification: What a pixel is divided by, by band (`AOT`, `WVP`) or by `""` for reflectance.
        offsets: What is added to a band's pixels before; none before processing baseline 04.00.
        saturated: The value of saturated pixels.
        facts: What is worth recording; see `facts`.
    """

    root: Path
    level: str
    tile: str
    grids: dict[int, Grid]
    images: Images
    quantification: dict[str, float]
    offsets: dict[str, int]
    saturated: int
    facts: dict[str, str | int | float]


def products_in(folder: Path) -> list[Path]:
    """The files with a product's metadata in a folder, by path."""
    return sorted(path for path in folder.rglob("*.xml") if _PRODUCT.fullmatch(path.name) and path.is_file())


def safe_in(folder: Path, product_id: str = "", tile: str | None = None, hint: str = "") -> Safe:
    """The product in `folder`, which is its `.SAFE` or holds it; of one with several tiles, `tile`, or else `hint`.

    Raises:
        UsageError: there are several products, or tiles, and nothing says which one is meant.
        CorruptError: there is none, or its metadata are damaged or at odds with each other.
    """
    path = _product_file(folder, product_id)
    level = "L1C" if "L1C" in path.name else "L2A"
    root = path.parent
    product = _xml(path)
    name, metadata = _granule(root, product, tile, hint)
    granule = _xml(metadata)
    facts = _facts(path, level, product, granule)
    facts["tile"] = _tile_of(name) or str(facts.get("tile", ""))
    return Safe(
        root=root,
        level=level,
        tile=str(facts["tile"]),
        grids=_grids(metadata, granule),
        images=_images(root, product, name, metadata.parent),
        quantification=_quantification(path, product),
        offsets=_offsets(path, product),
        saturated=_saturated(path, product),
        facts=facts,
    )


def facts(folder: Path, product_id: str = "", tile: str | None = None) -> dict[str, str | int | float]:
    """What a product's metadata say that is worth recording, by the names of `Product.properties` where it has one.

    `product_uri`, `processing_level`, `processing_baseline`, `processed` (ISO 8601, UTC), `platform`,
    `datatake`, `absolute_orbit`, `relative_orbit`, `orbit_direction`, `tile`, `acquired` (of the tile) and
    `cloud_cover` in percent; as far as they are there.

    Raises:
        UsageError, CorruptError: as `safe_in`.
    """
    return safe_in(folder, product_id, tile).facts


def check_sum(safe: Safe, path: Path) -> None:
    """Raise if the product's manifest states another size or digest of one of its files.

    Raises:
        CorruptError: it does, or the manifest is damaged.
    """
    manifest = safe.root / "manifest.safe"
    if not manifest.is_file():
        return
    inside = path.relative_to(safe.root)
    for stream in _xml(manifest).iterfind(".//{*}byteStream"):
        location = stream.find("{*}fileLocation")
        if location is None or PurePosixPath(location.get("href", "")) != PurePosixPath(inside.as_posix()):
            continue
        stated, size = stream.find("{*}checksum"), stream.get("size", "")
        algorithm = None if stated is None else _HASHES.get(stated.get("checksumName", "").upper())
        with path.open("rb") as file:
            wrong = size.isdigit() and int(size) != path.stat().st_size
            if not wrong and algorithm and stated is not None and stated.text:
                wrong = hashlib.file_digest(file, algorithm).hexdigest().lower() != stated.text.strip().lower()
        if wrong:
            raise CorruptError(f"'{path}' is damaged: it is not what {manifest.name} says; fetch the product again")


def _product_file(folder: Path, product_id: str) -> Path:
    found = products_in(folder)
    if not found:
        raise CorruptError(f"'{folder}' has no Sentinel-2 product: neither MTD_MSIL1C.xml nor MTD_MSIL2A.xml is there")
    named = [
        path
        for path in found
        if product_id and path.parent.name.removesuffix(".SAFE") == product_id.removesuffix(".SAFE")
    ]
    if len(named or found) > 1:
        names = quote_names([str(path.parent.relative_to(folder)) for path in found])
        raise UsageError(f"'{folder}' has {len(found)} Sentinel-2 products, and one is read at a time: {names}")
    return (named or found)[0]


def _xml(path: Path) -> ElementTree.Element:
    """The root element. A document type is refused, and with it all entities: products have none."""
    try:
        content = path.read_bytes() if path.stat().st_size <= _LARGEST_XML else b""
        return ElementTree.fromstring(content, ElementTree.XMLParser(target=_WithoutDoctype()))
    except (OSError, ElementTree.ParseError, ValueError, LookupError) as error:
        raise CorruptError(f"metadata '{path}' are damaged: fetch the product again ({error})") from error


class _WithoutDoctype(ElementTree.TreeBuilder):
    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise ValueError(f"they declare a document type, {name}")


def _granule(root: Path, product: ElementTree.Element, tile: str | None, hint: str) -> tuple[str, Path]:
    """The identifier of the tile's granule, or nothing, and its metadata."""
    files = sorted(path for path in root.rglob("*.xml") if _GRANULE.fullmatch(path.name))
    names = [element.get("granuleIdentifier", "") for element in _granules(product)]
    if not files:
        raise CorruptError(f"product '{root}' has no metadata of its tile (MTD_TL.xml): fetch it again")
    tiles = {file: _tile_of(file.parent.name) or _tile_of(file.stem) or "" for file in files}
    if tile is not None:
        chosen = [file for file in files if tiles[file] == _plain_tile(tile)]
        if not chosen:
            raise UsageError(
                f"product '{root.name}' has no tile {tile}: it has {quote_names(sorted(set(tiles.values())))}"
            )
    else:
        chosen = [file for file in files if hint and tiles[file] == _plain_tile(hint)] or files
    if len(chosen) > 1:
        raise UsageError(
            f"product '{root.name}' has {len(chosen)} tiles, and one is read at a time: pass one of "
            f"{quote_names(sorted(set(tiles.values())), limit=20)} as the option tile"
        )
    right = [name for name in names if _tile_of(name) == tiles[chosen[0]]] or (names if len(names) == 1 else [])
    return (right or [chosen[0].parent.name])[0], chosen[0]


def _granules(product: ElementTree.Element) -> Iterator[ElementTree.Element]:
    """The elements of granules; before the compact naming they were called `Granules`."""
    for name in ("Granule", "Granules"):
        yield from (one for one in product.iterfind(f".//{{*}}{name}") if one.get("granuleIdentifier"))


def _tile_of(name: str) -> str | None:
    found = _TILE.search(name)
    return found[1] if found else None


def _plain_tile(name: str) -> str:
    """`32TPT` for `MGRS-32TPT`, `T32TPT` or `32/T/PT`."""
    return re.sub(r"[^0-9A-Z]", "", name.upper())[-5:]


def _text(element: ElementTree.Element, *names: str) -> str | None:
    """The text of the first element of one of these names."""
    for name in names:
        found = element.find(f".//{{*}}{name}")
        if found is not None and found.text and found.text.strip():
            return found.text.strip()
    return None


def _facts(
    path: Path, level: str, product: ElementTree.Element, granule: ElementTree.Element
) -> dict[str, str | int | float]:
    take = product.find(".//{*}Datatake")
    datatake = "" if take is None else take.get("datatakeIdentifier", "")
    orbit = _ABSOLUTE_ORBIT.search(datatake)
    texts = {
        "product_uri": _text(product, "PRODUCT_URI", "PRODUCT_URI_2A") or path.parent.name,
        "processing_level": level,
        "processing_baseline": _text(product, "PROCESSING_BASELINE"),
        "processed": _moment(_text(product, "GENERATION_TIME")),
        "platform": _text(product, "SPACECRAFT_NAME"),
        "datatake": datatake,
        "orbit_direction": _text(product, "SENSING_ORBIT_DIRECTION"),
        "tile": _tile_of(_text(granule, "TILE_ID", "TILE_ID_2A") or ""),
        "acquired": _moment(_text(granule, "SENSING_TIME") or _text(product, "PRODUCT_START_TIME")),
    }
    numbers = {
        "absolute_orbit": int(orbit[1]) if orbit else None,
        "relative_orbit": _number(path, _text(product, "SENSING_ORBIT_NUMBER")),
        "cloud_cover": _number(path, _text(product, "Cloud_Coverage_Assessment")),
    }
    if numbers["relative_orbit"] is not None:
        numbers["relative_orbit"] = int(numbers["relative_orbit"])
    return {name: value for name, value in (texts | numbers).items() if value not in (None, "")}


def _moment(text: str | None) -> str | None:
    """UTC without its mark."""
    return text.removesuffix("Z") if text else None


def _grids(path: Path, granule: ElementTree.Element) -> dict[int, Grid]:
    crs = _text(granule, "HORIZONTAL_CS_CODE")
    sizes = {one.get("resolution"): one for one in granule.iterfind(".//{*}Tile_Geocoding/{*}Size")}
    places = {one.get("resolution"): one for one in granule.iterfind(".//{*}Tile_Geocoding/{*}Geoposition")}
    if not crs or not sizes or sizes.keys() != places.keys():
        raise CorruptError(f"metadata '{path}' don't say where the tile lies: fetch the product again")
    try:
        system = crs_to_text(parse_crs(crs))
    except UsageError as error:
        raise CorruptError(f"metadata '{path}' are damaged: {error}") from error
    grids = {}
    for resolution, size in sizes.items():
        rows, columns = (_required(path, size, name) for name in ("NROWS", "NCOLS"))
        place = places[resolution]
        x, y, across, down = (_required(path, place, name) for name in ("ULX", "ULY", "XDIM", "YDIM"))
        if rows < 1 or columns < 1 or not across or not down:
            raise CorruptError(f"metadata '{path}' tell of a tile without pixels: fetch the product again")
        transform = Transform(across, 0.0, x, 0.0, down, y)
        grids[int(resolution or 0)] = Grid(system, transform, int(columns), int(rows))
    return grids


def _required(path: Path, element: ElementTree.Element, name: str) -> float:
    value = _number(path, _text(element, name))
    if value is None:
        raise CorruptError(f"metadata '{path}' have no {name}: fetch the product again")
    return value


def _number(path: Path, text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return float(text)
    except ValueError as error:
        raise CorruptError(
            f"metadata '{path}' have '{text}' where a number belongs: fetch the product again"
        ) from error


def _images(root: Path, product: ElementTree.Element, granule: str, folder: Path) -> Images:
    """Where the metadata say that files are; or else by that name, or by a name for that band, in the granule."""
    present: dict[str, Path] = {}
    for path in sorted(folder.rglob("*.jp2")):
        present.setdefault(path.name, path)
    images: Images = {}
    for stated in _stated(root, product, granule, folder):
        path = stated if stated.is_file() else present.get(stated.name, stated)
        _add(images, path)
    for path in present.values():
        _add(images, path)
    return images


def _add(images: Images, path: Path) -> None:
    """Take a file in; one that is there stands in for one of its band and resolution that is not."""
    if image := _IMAGE.search(path.stem):
        band, resolution = image[1], int(image[2] or _NATIVE.get(image[1], 20))
    elif probability := _PROBABILITY.search(path.stem):
        band, resolution = _PROBABILITIES[probability[1]], int(probability[2])
    else:
        return
    known = images.setdefault(band, {})
    if resolution not in known or (not known[resolution].is_file() and path.is_file()):
        known[resolution] = path


def _stated(root: Path, product: ElementTree.Element, granule: str, folder: Path) -> Iterator[Path]:
    """The images' paths: whole ones (IMAGE_FILE), or names in the granule's folder (IMAGE_ID of older products)."""
    for element in _granules(product):
        if element.get("granuleIdentifier") != granule:
            continue
        for image in element:
            inside = PurePosixPath((image.text or "").strip() + ".jp2")
            if inside.is_absolute() or ".." in inside.parts:
                raise CorruptError(f"the metadata of product '{root.name}' name a file that is none of it: '{inside}'")
            if "/" in str(inside):
                yield root / inside
            else:
                resolution = re.search(r"_(\d\dm)$", inside.stem)
                yield folder / "IMG_DATA" / (f"R{resolution[1]}" if resolution else "") / inside


def _quantification(path: Path, product: ElementTree.Element) -> dict[str, float]:
    names = {
        "": ("QUANTIFICATION_VALUE", "BOA_QUANTIFICATION_VALUE", "L2A_BOA_QUANTIFICATION_VALUE"),
        "AOT": ("AOT_QUANTIFICATION_VALUE", "L2A_AOT_QUANTIFICATION_VALUE"),
        "WVP": ("WVP_QUANTIFICATION_VALUE", "L2A_WVP_QUANTIFICATION_VALUE"),
    }
    values = {band: _number(path, _text(product, *some)) for band, some in names.items()}
    found = {band: value for band, value in values.items() if value}
    if "" not in found:
        raise CorruptError(f"metadata '{path}' have no QUANTIFICATION_VALUE: fetch the product again")
    return found


def _offsets(path: Path, product: ElementTree.Element) -> dict[str, int]:
    ids = {
        one.get("bandId", ""): _band_of(one.get("physicalBand", ""))
        for one in product.iterfind(".//{*}Spectral_Information")
    } or {str(number): band for number, band in enumerate(BANDS)}
    offsets = {}
    for name in ("RADIO_ADD_OFFSET", "BOA_ADD_OFFSET"):
        for one in product.iterfind(f".//{{*}}{name}"):
            band, value = ids.get(one.get("band_id", "")), _number(path, one.text)
            if band is None or value is None or not value.is_integer():
                raise CorruptError(f"metadata '{path}' have a {name} that fits no band: fetch the product again")
            offsets[band] = int(value)
    return offsets


def _band_of(physical: str) -> str:
    """`B01` for `B1`."""
    return f"B0{physical[1:]}" if re.fullmatch(r"B\d", physical) else physical


def _saturated(path: Path, product: ElementTree.Element) -> int:
    for one in product.iterfind(".//{*}Special_Values"):
        value = _number(path, _text(one, "SPECIAL_VALUE_INDEX"))
        if _text(one, "SPECIAL_VALUE_TEXT") == "SATURATED" and value is not None:
            return int(value)
    return 65535
