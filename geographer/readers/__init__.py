"""Readers: convert the files of a downloaded product to one GeoTIFF.

- `base`           the `Reader` base class, its options, and the choice of the reader for a product
- `unpack`         unpacking of archives (zip, tar), safe from path traversal and decompression bombs
- `geotiff`        a product that is one GeoTIFF or COG; kept unchanged if possible
- `bands`          a product with bands in separate files, resampled to one grid
- `safe`           Sentinel-2 products (L1C, L2A) in the SAFE format
- `safe_metadata`  the metadata files of SAFE products
- `band_stack`     opens rasters as GeoTIFF or JPEG 2000 only, resamples bands to one grid, and writes one GeoTIFF
"""
