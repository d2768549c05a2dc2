"""Raster files: reading, metadata, digests and deterministic GeoTIFFs.

- `read`               a raster's grid, bands, nodata, footprint and acquisition time; strips of its pixels; rejects
                       rasters that depend on sidecar files
- `crs`                one text for each CRS, equal for a raster and the GeoTIFFs made from it
- `metadata`           metadata that chips inherit, and the check that GeoTIFF can store it
- `write`              encodes GeoTIFFs: equal pixels and metadata give equal bytes, for these versions of software
- `geotiff_batches`    encodes many GeoTIFFs of one kind at once, with the same bytes
- `checksums`          size, MD5 and SHA-256 of a file
- `pixel_digest`       a digest of pixels and grid that does not depend on the encoding of the file
"""

from geographer.base.deferred_imports import defer_import

# rasterio imports boto3, which takes 0.3 s, and uses it for rasters in S3 only.
defer_import("boto3")
