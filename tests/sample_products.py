"""Generate products for tests: Sentinel-2 SAFE, COGs, bands in separate files, and zip and tar archives.

All pixels come from a seed, so that tests know them without reading the files; see `make_band_pixels`.
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
"""Upper left corner of the generated tiles, in metres of their UTM zone."""

BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")
NATIVE = {"B02": 10, "B03": 10, "B04": 10, "B08": 10, "TCI": 10, "B01": 60, "B09": 60, "B10": 60}
"""The finest resolution of each band in metres; 20 for all others."""
L2A_FILES = {
    10: ("B02", "B03", "B04", "B08", "AOT", "WVP", "TCI"),
    20: ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B8A", "B11", "B12", "AOT", "WVP", "SCL", "TCI"),
    60: (*("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B8A", "B09", "B11", "B12", "AOT", "WVP", "SCL", "TCI"),),
}
"""The bands of an L2A product by resolution in metres."""


def from_origin(x: float, y: float, pixel_width: float, pixel_height: float) -> Affine:
    """Return the transform for an upper left corner; rasterio's function warns with a new affine."""
    return Affine(pixel_width, 0.0, x, 0.0, -pixel_height, y)


def make_band_pixels(band: str, resolution: int, size: int, *, collar: float = 0.2, seed: int = 0) -> np.ndarray:
    """Make a band's pixels in a generated product: uint16 or uint8 of shape (bands, size, size).

    The fraction `collar` at the right of the tile has no data: whole 60 m pixels, 0 in all bands but the probabilities.
    """
    rng = np.random.default_rng([seed, resolution, zlib.crc32(band.encode())])
    if band == "TCI":
        pixels = rng.integers(1, 256, (3, size, size), dtype=np.uint8)
    elif band == "SCL":
        pixels = rng.integers(1, 12, (1, size, size), dtype=np.uint8)
    elif band in ("CLDPRB", "SNWPRB"):
        return rng.integers(0, 101, (1, size, size), dtype=np.uint8)
    else:
        # Some pixels are below 1000, so that the offset of -1000 makes them negative; some are saturated.
        pixels = rng.integers(900, 6000, (1, size, size), dtype=np.uint16)
        pixels[:, ::7, ::5] = 65535
    coarse = size * resolution // 60
    pixels[:, :, (coarse - int(coarse * collar)) * 60 // resolution :] = 0
    return pixels


def write_jp2(path: Path, pixels: np.ndarray, resolution: float, crs: str, corner: tuple[float, float]) -> None:
    """Write a lossless JPEG 2000 in tiles of 1,024 pixels, as in Sentinel-2 products."""
    path.parent.mkdir(parents=True, exist_ok=True)
    count, height, width = pixels.shape
    # Without this, GDAL writes an .aux.xml, which products don't have.
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
    """Write a Sentinel-2 product to `folder`; return its `.SAFE` folder.

    Args:
        folder: Created if missing.
        level: `L1C` or `L2A`.
        tile: MGRS tile; the first two digits are the UTM zone.
        size_10m: Width and height in pixels of 10 m; a multiple of 6.
        baseline: Processing baseline; from 04.00 on, products have an offset of -1000 by default.
        seed: Seed of the pixels; see `make_band_pixels`.
        acquired: Sensing time of the tile, ISO 8601, UTC.
        generated: Processing time of the product, ISO 8601, UTC.
        platform: `S2A`, `S2B`, `S2C`.
        orbit: Absolute orbit.
        relative_orbit: 1 to 143.
        cloud_cover: In percent.
        offset: Radiometric offset of all bands.
        naming: `compact`, or `old` as until December 2016.
        corner: x and y of the upper left corner.
        bands: The bands that have files; None: all.
        manifest: Whether to write manifest.safe with sizes and digests of the files.
        collar: The fraction of the tile, at the right, without data.
    """
    crs = f"EPSG:{(32600 if tile[2] >= 'N' else 32700) + int(tile[:2])}"
    if offset is None:
        offset = -1000 if float(baseline) >= 4 else 0
    sensing_time, processing_time = (text.replace("-", "").replace(":", "") for text in (acquired, generated))
    baseline_text = f"N{baseline.replace('.', '')}"
    uri = f"{platform}_MSI{level}_{sensing_time}_{baseline_text}_R{relative_orbit:03}_T{tile}_{processing_time}.SAFE"
    granule = f"{level}_T{tile}_A{orbit:06}_{sensing_time}"
    names = {"product": f"MTD_MSI{level}.xml", "granule": "MTD_TL.xml", "image": f"T{tile}_{sensing_time}"}
    if naming == "old":
        uri = f"{platform}_OPER_PRD_MSI{level}_PDMC_{processing_time}_R{relative_orbit:03}_V{sensing_time}_{sensing_time}.SAFE"
        granule = f"{platform}_OPER_MSI_{level}_TL_SGS__{processing_time}_A{orbit:06}_T{tile}_N{baseline}"
        names = {
            "product": f"{platform}_OPER_MTD_SAF{level}_PDMC_{processing_time}_R{relative_orbit:03}_V{sensing_time}_{sensing_time}.xml",
            "granule": f"{platform}_OPER_MTD_{level}_TL_SGS__{processing_time}_A{orbit:06}_T{tile}.xml",
            "image": f"{platform}_OPER_MSI_{level}_TL_SGS__{processing_time}_A{orbit:06}_T{tile}",
        }
    safe = folder / uri
    granule_folder = Path("GRANULE", granule)
    images: list[Path] = []
    for band, resolution, suffix in _list_image_files(level, bands):
        stem = f"{names['image']}_{band}{suffix}"
        images.append(granule_folder / "IMG_DATA" / (f"R{resolution}m" if level == "L2A" else "") / stem)
        size = size_10m * 10 // resolution
        pixels = make_band_pixels(band, resolution, size, seed=seed, collar=collar)
        write_jp2(safe / f"{images[-1]}.jp2", pixels, resolution, crs, corner)
    if level == "L2A":
        for band in ("CLDPRB", "SNWPRB"):
            for resolution in (20, 60):
                pixels = make_band_pixels(band, resolution, size_10m * 10 // resolution, seed=seed)
                path = safe / granule_folder / "QI_DATA" / f"MSK_{band}_{resolution}m.jp2"
                write_jp2(path, pixels, resolution, crs, corner)
    properties = {
        "uri": uri,
        "short_level": level[1:],
        "baseline": baseline,
        "generated": generated,
        "acquired": acquired,
        "platform": f"Sentinel-2{platform[-1]}",
        "datatake": f"G{platform}_{sensing_time}_{orbit:06}_N{baseline}",
        "relative_orbit": relative_orbit,
        "cloud_cover": cloud_cover,
        "granule": granule,
        "offset": offset,
        "has_offset": float(baseline) >= 4,
        "old": naming == "old",
    }
    (safe / names["product"]).write_text(_make_product_xml(properties, images), encoding="utf-8")
    (safe / granule_folder / names["granule"]).write_text(
        _make_granule_xml(properties, tile, crs, size_10m, corner), encoding="utf-8"
    )
    if manifest:
        (safe / "manifest.safe").write_text(_make_manifest(safe), encoding="utf-8")
    return safe


def write_cog(path: Path, pixels: np.ndarray, **options: Any) -> Path:
    """Write a tiled GeoTIFF of `pixels`, shape (bands, rows, columns), by default of 10 m in EPSG:32632.

    Options: `descriptions` are the bands' names, `mask` is a mask of uint8, `tags` the file's tags; others are
    rasterio's.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    count, height, width = pixels.shape
    descriptions, mask, tags = options.pop("descriptions", None), options.pop("mask", None), options.pop("tags", None)
    profile = {"driver": "GTiff", "crs": "EPSG:32632", "transform": from_origin(EAST, NORTH, 10, 10), "tiled": True}
    profile |= {"blockxsize": 64, "blockysize": 64, "compress": "deflate"} | options
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
    folder: Path, bands: Mapping[str, np.ndarray], resolutions: Mapping[str, float], **options: Any
) -> dict[str, Path]:
    """Write a GeoTIFF for each band of pixels (rows, columns), all with the same upper left corner.

    The option `nodata` is by band; others are those of `write_cog`. Return the files by band.
    """
    nodata = options.pop("nodata", {})
    return {
        name: write_cog(
            folder / f"{name}.tif",
            pixels[np.newaxis],
            **{"transform": from_origin(EAST, NORTH, resolutions[name], resolutions[name])}
            | ({"nodata": nodata[name]} if name in nodata else {})
            | options,
        )
        for name, pixels in bands.items()
    }


def zip_path(archive: Path, source: Path) -> Path:
    """Write a zip of a file, or of a folder under its name."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in [source, *sorted(source.rglob("*"))] if source.is_dir() else [source]:
            packed.write(path, path.relative_to(source.parent))
    return archive


def write_zip(archive: Path, members: Mapping[str, bytes]) -> Path:
    """Write a zip of members by name."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in members.items():
            packed.writestr(name, content)
    return archive


def write_tar(
    archive: Path, members: Mapping[str, bytes] | Sequence[tuple[tarfile.TarInfo, bytes]], mode: Any = "w"
) -> Path:
    """Write a tar of members by name, or of headers with contents; `mode` is that of tarfile, such as `w:gz`."""
    pairs = (
        [(tarfile.TarInfo(name), data) for name, data in members.items()] if isinstance(members, Mapping) else members
    )
    with tarfile.open(archive, mode) as packed:
        for header, content in pairs:
            header.size = len(content)
            packed.addfile(header, io.BytesIO(content))
    return archive


def _list_image_files(level: str, bands: Sequence[str] | None) -> list[tuple[str, int, str]]:
    """List each image's band, resolution and name suffix."""
    if level == "L1C":
        files = [(band, NATIVE.get(band, 20), "") for band in (*BANDS, "TCI")]
    else:
        files = [(band, resolution, f"_{resolution}m") for resolution, names in L2A_FILES.items() for band in names]
    return [file for file in files if bands is None or file[0] in bands]


def _make_product_xml(properties: Mapping[str, Any], images: Sequence[Path]) -> str:
    level = properties["short_level"]
    is_l2a = level == "2A"
    granules, image = ("Granules", "IMAGE_ID") if properties["old"] else ("Granule", "IMAGE_FILE")
    image_elements = "".join(
        f"<{image}>{path.name if properties['old'] else path.as_posix()}</{image}>" for path in images
    )
    if is_l2a:
        quantification = (
            '<QUANTIFICATION_VALUES_LIST><BOA_QUANTIFICATION_VALUE unit="none">10000</BOA_QUANTIFICATION_VALUE>'
            '<AOT_QUANTIFICATION_VALUE unit="none">1000.0</AOT_QUANTIFICATION_VALUE>'
            '<WVP_QUANTIFICATION_VALUE unit="cm">1000.0</WVP_QUANTIFICATION_VALUE></QUANTIFICATION_VALUES_LIST>'
        )
    else:
        quantification = '<QUANTIFICATION_VALUE unit="none">10000</QUANTIFICATION_VALUE>'
    name, list_name = (
        ("BOA_ADD_OFFSET", "BOA_ADD_OFFSET_VALUES_LIST") if is_l2a else ("RADIO_ADD_OFFSET", "Radiometric_Offset_List")
    )
    offsets = "".join(f'<{name} band_id="{number}">{properties["offset"]}</{name}>' for number in range(13))
    spectral = "".join(
        f'<Spectral_Information bandId="{number}" physicalBand="{band.replace("B0", "B")}"/>'
        for number, band in enumerate(BANDS)
    )
    return f"""<?xml version="1.0" encoding="UTF-8" standalone="no" ?>
<n1:Level-{level}_User_Product xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD/User_Product_Level-{level}.xsd">
<n1:General_Info><Product_Info>
<PRODUCT_START_TIME>{properties["acquired"]}.024Z</PRODUCT_START_TIME>
<PRODUCT_URI>{properties["uri"]}</PRODUCT_URI>
<PROCESSING_LEVEL>Level-{level}</PROCESSING_LEVEL><PROCESSING_BASELINE>{properties["baseline"]}</PROCESSING_BASELINE>
<GENERATION_TIME>{properties["generated"]}.000000Z</GENERATION_TIME>
<Datatake datatakeIdentifier="{properties["datatake"]}"><SPACECRAFT_NAME>{properties["platform"]}</SPACECRAFT_NAME>
<SENSING_ORBIT_NUMBER>{properties["relative_orbit"]}</SENSING_ORBIT_NUMBER>
<SENSING_ORBIT_DIRECTION>DESCENDING</SENSING_ORBIT_DIRECTION></Datatake>
<Product_Organisation><Granule_List><{granules} granuleIdentifier="{properties["granule"]}" imageFormat="JPEG2000">{image_elements}\
</{granules}></Granule_List></Product_Organisation></Product_Info>
<Product_Image_Characteristics>
<Special_Values><SPECIAL_VALUE_TEXT>NODATA</SPECIAL_VALUE_TEXT><SPECIAL_VALUE_INDEX>0</SPECIAL_VALUE_INDEX></Special_Values>
<Special_Values><SPECIAL_VALUE_TEXT>SATURATED</SPECIAL_VALUE_TEXT><SPECIAL_VALUE_INDEX>65535</SPECIAL_VALUE_INDEX>\
</Special_Values>{quantification}
{f"<{list_name}>{offsets}</{list_name}>" if properties["has_offset"] else ""}<Spectral_Information_List>{spectral}</Spectral_Information_List>
</Product_Image_Characteristics></n1:General_Info>
<n1:Quality_Indicators_Info><Cloud_Coverage_Assessment>{properties["cloud_cover"]}</Cloud_Coverage_Assessment>
</n1:Quality_Indicators_Info></n1:Level-{level}_User_Product>
"""


def _make_granule_xml(
    properties: Mapping[str, Any], tile: str, crs: str, size_10m: int, corner: tuple[float, float]
) -> str:
    x, y = corner
    sizes = "".join(
        f'<Size resolution="{resolution}"><NROWS>{size_10m * 10 // resolution}</NROWS><NCOLS>{size_10m * 10 // resolution}</NCOLS></Size>'
        for resolution in (10, 20, 60)
    )
    positions = "".join(
        f'<Geoposition resolution="{resolution}"><ULX>{x:g}</ULX><ULY>{y:.10g}</ULY>'
        f"<XDIM>{resolution}</XDIM><YDIM>-{resolution}</YDIM></Geoposition>"
        for resolution in (10, 20, 60)
    )
    level = properties["short_level"]
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<n1:Level-{level}_Tile_ID xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD/S2_PDI_Level-{level}_Tile_Metadata.xsd">
<n1:General_Info><TILE_ID metadataLevel="Brief">S2B_OPER_MSI_L{level}_TL_2BPS_A042123_T{tile}_N{properties["baseline"]}</TILE_ID>
<SENSING_TIME metadataLevel="Standard">{properties["acquired"]}.500000Z</SENSING_TIME></n1:General_Info>
<n1:Geometric_Info><Tile_Geocoding metadataLevel="Brief"><HORIZONTAL_CS_NAME>WGS84 / UTM zone {tile[:2]}</HORIZONTAL_CS_NAME>
<HORIZONTAL_CS_CODE>{crs}</HORIZONTAL_CS_CODE>{sizes}{positions}</Tile_Geocoding></n1:Geometric_Info>
</n1:Level-{level}_Tile_ID>
"""


def _make_manifest(safe: Path) -> str:
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
