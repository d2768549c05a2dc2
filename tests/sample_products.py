"""Products as archives have them, generated: Sentinel-2 SAFE, COGs, bands in files of their own, and archives of them.

All pixels come from a seed, so that a test knows them without reading the files: see `pixels_of`.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio import Affine

EAST, NORTH = 600_000.0, 5_200_020.0
"""The upper left corner of generated tiles, in their UTM zone."""

BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")
NATIVE = {"B02": 10, "B03": 10, "B04": 10, "B08": 10, "TCI": 10, "B01": 60, "B09": 60, "B10": 60}
"""The finest resolution of each band in metres; of all others it is 20."""
L2A_FILES = {
    10: ("B02", "B03", "B04", "B08", "AOT", "WVP", "TCI"),
    20: ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B8A", "B11", "B12", "AOT", "WVP", "SCL", "TCI"),
    60: (*("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B8A", "B09", "B11", "B12", "AOT", "WVP", "SCL", "TCI"),),
}
"""Which bands an L2A product has at which resolution."""


def from_origin(x: float, y: float, across: float, down: float) -> Affine:
    """The transform of pixels from an upper left corner; rasterio's own warns with a new affine."""
    return Affine(across, 0.0, x, 0.0, -down, y)


def pixels_of(band: str, resolution: int, size: int, *, collar: float = 0.2, seed: int = 0) -> np.ndarray:
    """What a generated product has for a band: uint16 or uint8 of shape (bands, size, size).

    The right `collar` of the tile has no data: whole 60 m pixels, 0 in all bands but the probabilities.
    """
    rng = np.random.default_rng([seed, resolution, zlib.crc32(band.encode())])
    if band == "TCI":
        pixels = rng.integers(1, 256, (3, size, size), dtype=np.uint8)
    elif band == "SCL":
        pixels = rng.integers(1, 12, (1, size, size), dtype=np.uint8)
    elif band in ("CLDPRB", "SNWPRB"):
        return rng.integers(0, 101, (1, size, size), dtype=np.uint8)
    else:
        # Some are so dark that an offset of -1000 takes them below 0, and some are saturated.
        pixels = rng.integers(900, 6000, (1, size, size), dtype=np.uint16)
        pixels[:, ::7, ::5] = 65535
    coarse = size * resolution // 60
    pixels[:, :, (coarse - int(coarse * collar)) * 60 // resolution :] = 0
    return pixels


def write_jp2(path: Path, pixels: np.ndarray, resolution: float, crs: str, corner: tuple[float, float]) -> None:
    """A lossless JPEG 2000, in tiles of 1,024 pixels as Sentinel-2 has them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    count, height, width = pixels.shape
    # GDAL leaves an .aux.xml beside it otherwise, which products don't have.
    with (
        rasterio.Env(GDAL_PAM_ENABLED=False),
        rasterio.open(
            path,
            "w",
            driver="JP2OpenJPEG",
            width=width,
            height=height,
            count=count,
            dtype=pixels.dtype.name,
            crs=crs,
            transform=from_origin(*corner, resolution, resolution),
            REVERSIBLE="YES",
            QUALITY="100",
            YCBCR420="NO",
        ) as raster,
    ):
        raster.write(pixels)


def write_safe(
    folder: Path,
    level: str = "L2A",
    tile: str = "32TPT",
    size_10m: int = 360,
    baseline: str = "05.09",
    seed: int = 0,
    *,
    acquired: str = "2026-06-01T10:10:31",
    generated: str = "2026-06-01T14:00:00",
    platform: str = "S2B",
    orbit: int = 42_123,
    relative_orbit: int = 22,
    cloud_cover: float = 12.5,
    offset: int | None = None,
    naming: str = "compact",
    corner: tuple[float, float] = (EAST, NORTH),
    bands: Sequence[str] | None = None,
    manifest: bool = True,
    collar: float = 0.2,
) -> Path:
    """A Sentinel-2 product in `folder`; answers its `.SAFE`.

    Args:
        folder: Made if it isn't there.
        level: `L1C` or `L2A`.
        tile: Its first two digits are the UTM zone.
        size_10m: Pixels at 10 m on a side; a multiple of 6.
        baseline: Products from 04.00 on have an offset of -1000, unless `offset` says otherwise.
        seed: Of the pixels; see `pixels_of`.
        acquired: ISO 8601, UTC; of the tile.
        generated: ISO 8601, UTC; of the product.
        platform: `S2A`, `S2B`, `S2C`.
        orbit: The absolute one.
        relative_orbit: 1 to 143.
        cloud_cover: In percent.
        offset: Of all bands.
        naming: `compact`, or `old` as until December 2016.
        corner: x and y of the upper left one.
        bands: Those that there are files of; None: all.
        manifest: Whether a manifest.safe has the files' sizes and digests.
        collar: The share of the tile on the right that has no data.
    """
    crs = f"EPSG:{(32600 if tile[2] >= 'N' else 32700) + int(tile[:2])}"
    if offset is None:
        offset = -1000 if float(baseline) >= 4 else 0
    sensed, made = (text.replace("-", "").replace(":", "") for text in (acquired, generated))
    processed = f"N{baseline.replace('.', '')}"
    short = level[1:]
    uri = f"{platform}_MSI{level}_{sensed}_{processed}_R{relative_orbit:03}_T{tile}_{made}.SAFE"
    granule = f"{level}_T{tile}_A{orbit:06}_{sensed}"
    names = {"product": f"MTD_MSI{level}.xml", "granule": "MTD_TL.xml", "image": f"T{tile}_{sensed}"}
    if naming == "old":
        uri = f"{platform}_OPER_PRD_MSI{level}_PDMC_{made}_R{relative_orbit:03}_V{sensed}_{sensed}.SAFE"
        granule = f"{platform}_OPER_MSI_{level}_TL_SGS__{made}_A{orbit:06}_T{tile}_N{baseline}"
        names = {
            "product": f"{platform}_OPER_MTD_SAF{level}_PDMC_{made}_R{relative_orbit:03}_V{sensed}_{sensed}.xml",
            "granule": f"{platform}_OPER_MTD_{level}_TL_SGS__{made}_A{orbit:06}_T{tile}.xml",
            "image": f"{platform}_OPER_MSI_{level}_TL_SGS__{made}_A{orbit:06}_T{tile}",
        }
    safe = folder / uri
    inside = Path("GRANULE", granule)
    images: list[Path] = []
    for band, resolution, suffix in _files_of(level, bands):
        stem = f"{names['image']}_{band}{suffix}"
        images.append(inside / "IMG_DATA" / (f"R{resolution}m" if level == "L2A" else "") / stem)
        size = size_10m * 10 // resolution
        pixels = pixels_of(band, resolution, size, seed=seed, collar=collar)
        write_jp2(safe / f"{images[-1]}.jp2", pixels, resolution, crs, corner)
    if level == "L2A":
        for band in ("CLDPRB", "SNWPRB"):
            for resolution in (20, 60):
                pixels = pixels_of(band, resolution, size_10m * 10 // resolution, seed=seed)
                path = safe / inside / "QI_DATA" / f"MSK_{band}_{resolution}m.jp2"
                write_jp2(path, pixels, resolution, crs, corner)
    facts = {
        "uri": uri,
        "short": short,
        "baseline": baseline,
        "generated": generated,
        "acquired": acquired,
        "platform": f"Sentinel-2{platform[-1]}",
        "datatake": f"G{platform}_{sensed}_{orbit:06}_N{baseline}",
        "relative_orbit": relative_orbit,
        "cloud_cover": cloud_cover,
        "granule": granule,
        "offset": offset,
        "has_offset": float(baseline) >= 4,
        "old": naming == "old",
    }
    (safe / names["product"]).write_text(_product_xml(facts, images), encoding="utf-8")
    (safe / inside / names["granule"]).write_text(_granule_xml(facts, tile, crs, size_10m, corner), encoding="utf-8")
    if manifest:
        (safe / "manifest.safe").write_text(_manifest(safe), encoding="utf-8")
    return safe


def write_cog(path: Path, pixels: np.ndarray, **more: Any) -> Path:
    """A COG of `pixels`, shape (bands, rows, columns), of 10 m in EPSG:32632 unless `more` says otherwise.

    `descriptions` are the bands' names, `mask` a mask of uint8, `tags` the file's; the rest goes to rasterio.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    count, height, width = pixels.shape
    descriptions, mask, tags = more.pop("descriptions", None), more.pop("mask", None), more.pop("tags", None)
    profile = {"driver": "GTiff", "crs": "EPSG:32632", "transform": from_origin(EAST, NORTH, 10, 10), "tiled": True}
    profile |= {"blockxsize": 64, "blockysize": 64, "compress": "deflate"} | more
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(path, "w", width=width, height=height, count=count, dtype=pixels.dtype.name, **profile) as raster,
    ):
        if descriptions:
            raster.descriptions = descriptions
        if tags:
            raster.update_tags(**tags)
        raster.write(pixels)
        if mask is not None:
            raster.write_mask(mask)
    return path


def write_band_files(
    folder: Path, bands: Mapping[str, np.ndarray], resolution: Mapping[str, float], **more: Any
) -> dict[str, Path]:
    """A GeoTIFF for each band, named by it, whose pixels (rows, columns) begin at the same upper left corner.

    `nodata` in `more` is by band. Answers the files by band.
    """
    nodata = more.pop("nodata", {})
    return {
        name: write_cog(
            folder / f"{name}.tif",
            pixels[np.newaxis],
            **{"transform": from_origin(EAST, NORTH, resolution[name], resolution[name])}
            | ({"nodata": nodata[name]} if name in nodata else {})
            | more,
        )
        for name, pixels in bands.items()
    }


def zipped(archive: Path, source: Path) -> Path:
    """A zip of a file, or of a folder with its own name inside."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in [source, *sorted(source.rglob("*"))] if source.is_dir() else [source]:
            packed.write(path, path.relative_to(source.parent))
    return archive


def zip_of(archive: Path, members: Mapping[str, bytes]) -> Path:
    """A zip of members by name."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in members.items():
            packed.writestr(name, content)
    return archive


def tar_of(
    archive: Path, members: Mapping[str, bytes] | Sequence[tuple[tarfile.TarInfo, bytes]], mode: str = "w"
) -> Path:
    """A tar of members by name, or of headers with contents; `mode` as `w:gz`."""
    pairs = (
        [(tarfile.TarInfo(name), data) for name, data in members.items()] if isinstance(members, Mapping) else members
    )
    with tarfile.open(archive, mode) as packed:
        for header, content in pairs:
            header.size = len(content)
            packed.addfile(header, io.BytesIO(content))
    return archive


def _files_of(level: str, bands: Sequence[str] | None) -> list[tuple[str, int, str]]:
    """Each image's band, resolution and end of name."""
    if level == "L1C":
        files = [(band, NATIVE.get(band, 20), "") for band in (*BANDS, "TCI")]
    else:
        files = [(band, resolution, f"_{resolution}m") for resolution, some in L2A_FILES.items() for band in some]
    return [file for file in files if bands is None or file[0] in bands]


def _product_xml(facts: Mapping[str, Any], images: Sequence[Path]) -> str:
    level = facts["short"]
    two = level == "2A"
    granules, image = ("Granules", "IMAGE_ID") if facts["old"] else ("Granule", "IMAGE_FILE")
    listed = "".join(f"<{image}>{path.name if facts['old'] else path.as_posix()}</{image}>" for path in images)
    if two:
        quantification = (
            '<QUANTIFICATION_VALUES_LIST><BOA_QUANTIFICATION_VALUE unit="none">10000</BOA_QUANTIFICATION_VALUE>'
            '<AOT_QUANTIFICATION_VALUE unit="none">1000.0</AOT_QUANTIFICATION_VALUE>'
            '<WVP_QUANTIFICATION_VALUE unit="cm">1000.0</WVP_QUANTIFICATION_VALUE></QUANTIFICATION_VALUES_LIST>'
        )
    else:
        quantification = '<QUANTIFICATION_VALUE unit="none">10000</QUANTIFICATION_VALUE>'
    name, around = (
        ("BOA_ADD_OFFSET", "BOA_ADD_OFFSET_VALUES_LIST") if two else ("RADIO_ADD_OFFSET", "Radiometric_Offset_List")
    )
    offsets = "".join(f'<{name} band_id="{number}">{facts["offset"]}</{name}>' for number in range(13))
    spectral = "".join(
        f'<Spectral_Information bandId="{number}" physicalBand="{band.replace("B0", "B")}"/>'
        for number, band in enumerate(BANDS)
    )
    return f"""<?xml version="1.0" encoding="UTF-8" standalone="no" ?>
<n1:Level-{level}_User_Product xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD/User_Product_Level-{level}.xsd">
<n1:General_Info><Product_Info>
<PRODUCT_START_TIME>{facts["acquired"]}.024Z</PRODUCT_START_TIME>
<PRODUCT_URI>{facts["uri"]}</PRODUCT_URI>
<PROCESSING_LEVEL>Level-{level}</PROCESSING_LEVEL><PROCESSING_BASELINE>{facts["baseline"]}</PROCESSING_BASELINE>
<GENERATION_TIME>{facts["generated"]}.000000Z</GENERATION_TIME>
<Datatake datatakeIdentifier="{facts["datatake"]}"><SPACECRAFT_NAME>{facts["platform"]}</SPACECRAFT_NAME>
<SENSING_ORBIT_NUMBER>{facts["relative_orbit"]}</SENSING_ORBIT_NUMBER>
<SENSING_ORBIT_DIRECTION>DESCENDING</SENSING_ORBIT_DIRECTION></Datatake>
<Product_Organisation><Granule_List><{granules} granuleIdentifier="{facts["granule"]}" imageFormat="JPEG2000">{listed}\
</{granules}></Granule_List></Product_Organisation></Product_Info>
<Product_Image_Characteristics>
<Special_Values><SPECIAL_VALUE_TEXT>NODATA</SPECIAL_VALUE_TEXT><SPECIAL_VALUE_INDEX>0</SPECIAL_VALUE_INDEX></Special_Values>
<Special_Values><SPECIAL_VALUE_TEXT>SATURATED</SPECIAL_VALUE_TEXT><SPECIAL_VALUE_INDEX>65535</SPECIAL_VALUE_INDEX>\
</Special_Values>{quantification}
{f"<{around}>{offsets}</{around}>" if facts["has_offset"] else ""}<Spectral_Information_List>{spectral}</Spectral_Information_List>
</Product_Image_Characteristics></n1:General_Info>
<n1:Quality_Indicators_Info><Cloud_Coverage_Assessment>{facts["cloud_cover"]}</Cloud_Coverage_Assessment>
</n1:Quality_Indicators_Info></n1:Level-{level}_User_Product>
"""


def _granule_xml(facts: Mapping[str, Any], tile: str, crs: str, size_10m: int, corner: tuple[float, float]) -> str:
    x, y = corner
    sizes = "".join(
        f'<Size resolution="{one}"><NROWS>{size_10m * 10 // one}</NROWS><NCOLS>{size_10m * 10 // one}</NCOLS></Size>'
        for one in (10, 20, 60)
    )
    places = "".join(
        f'<Geoposition resolution="{one}"><ULX>{x:g}</ULX><ULY>{y:.10g}</ULY><XDIM>{one}</XDIM><YDIM>-{one}</YDIM></Geoposition>'
        for one in (10, 20, 60)
    )
    level = facts["short"]
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<n1:Level-{level}_Tile_ID xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD/S2_PDI_Level-{level}_Tile_Metadata.xsd">
<n1:General_Info><TILE_ID metadataLevel="Brief">S2B_OPER_MSI_L{level}_TL_2BPS_A042123_T{tile}_N{facts["baseline"]}</TILE_ID>
<SENSING_TIME metadataLevel="Standard">{facts["acquired"]}.500000Z</SENSING_TIME></n1:General_Info>
<n1:Geometric_Info><Tile_Geocoding metadataLevel="Brief"><HORIZONTAL_CS_NAME>WGS84 / UTM zone {tile[:2]}</HORIZONTAL_CS_NAME>
<HORIZONTAL_CS_CODE>{crs}</HORIZONTAL_CS_CODE>{sizes}{places}</Tile_Geocoding></n1:Geometric_Info>
</n1:Level-{level}_Tile_ID>
"""


def _manifest(safe: Path) -> str:
    streams = "".join(
        f'<dataObject ID="{number}"><byteStream mimeType="application/octet-stream" size="{path.stat().st_size}">'
        f'<fileLocation locatorType="URL" href="./{path.relative_to(safe).as_posix()}"/>'
        f'<checksum checksumName="SHA3-256">{hashlib.sha3_256(path.read_bytes()).hexdigest()}</checksum>'
        "</byteStream></dataObject>"
        for number, path in enumerate(sorted(safe.rglob("*.jp2")))
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?><xfdu:XFDU xmlns:xfdu="urn:ccsds:schema:xfdu:1">'
        f"<dataObjectSection>{streams}</dataObjectSection></xfdu:XFDU>\n"
    )
